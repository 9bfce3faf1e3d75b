//! One street: its row, and the addresses along it.

use std::collections::HashSet;

use rand::Rng;

use super::gazetteer::Place;
use super::locality::{Block, Region};
use super::site::{Site, street_type};
use super::writer::Files;

/// Metres between two houses on one side, and from one side to the middle of the road.
const SPACING: f64 = 18.0;
const SETBACK: f64 = 15.0;
const METRES_PER_DEGREE: f64 = 111_320.0;

/// A street within a locality.
pub(crate) struct Street {
    pid: String,
    locality_pid: String,
    start: (f64, f64),
    /// Unit vector along the street.
    along: (f64, f64),
    building: String,
}

impl Street {
    /// Gives it a name and a place, and writes its rows.
    ///
    /// # Errors
    /// When a file can't be written.
    pub(crate) fn make(
        region: &Region<'_>,
        locality_pid: &str,
        names: &mut HashSet<String>,
        rng: &mut impl Rng,
        files: &mut Files,
    ) -> anyhow::Result<Self> {
        let Region { gazetteer, place, .. } = *region;
        let (street_name, kind, suffix) = loop {
            let (name, kind) = (gazetteer.street_name(rng), street_type(rng));
            let suffix = if rng.random_bool(0.01) { ["N", "S", "E", "W"][rng.random_range(0..4)] } else { "" };
            if names.insert(format!("{name}|{kind}|{suffix}")) {
                break (name, kind, suffix);
            }
        };
        files.counters.streets += 1;
        let pid = format!("GXS{:_<3}{:09}", place.state, files.counters.streets);
        let date = files.date.clone();
        files.line("STREET_LOCALITY", &format!("{pid}|{date}||C|{street_name}|{kind}|{suffix}|{locality_pid}|||4"))?;
        // Inside a disc of the locality's area, at most 4 km from its middle.
        let radius = ((place.area / std::f64::consts::PI).sqrt() * 1000.0 * 0.8).clamp(200.0, 4_000.0);
        let (far, turn) = (radius * rng.random_range(0.0f64..1.0).sqrt(), rng.random_range(0.0..std::f64::consts::TAU));
        let heading = rng.random_range(0.0..std::f64::consts::TAU);
        let street = Self {
            pid,
            locality_pid: locality_pid.to_owned(),
            start: (far * turn.cos(), far * turn.sin()),
            along: (heading.cos(), heading.sin()),
            building: format!(
                "{} {}",
                gazetteer.street_name(rng),
                ["COURT", "HOUSE", "GARDENS", "TOWERS"][rng.random_range(0..4)]
            ),
        };
        let (x, y) = street.point(place, 150.0, 0.0);
        files.line("STREET_LOCALITY_POINT", &format!("{}|{date}||{}|||{x}|{y}", street.pid, street.pid))?;
        if rng.random_bool(0.02) {
            let other = gazetteer.street_name(rng);
            files.line(
                "STREET_LOCALITY_ALIAS",
                &format!("{}|{date}||{}|{other}|{kind}|{suffix}|SYN", street.pid, street.pid),
            )?;
        }
        Ok(street)
    }

    /// Longitude and latitude of a point so many metres along the street and beside it.
    fn point(&self, place: &Place, along: f64, beside: f64) -> (String, String) {
        let east = self.start.0 + self.along.0 * along - self.along.1 * beside;
        let north = self.start.1 + self.along.1 * along + self.along.0 * beside;
        let longitude = place.longitude + east / (METRES_PER_DEGREE * place.latitude.to_radians().cos());
        let latitude = place.latitude + north / METRES_PER_DEGREE;
        (format!("{longitude:.8}"), format!("{latitude:.8}"))
    }

    /// Puts that many addresses along it.
    ///
    /// # Errors
    /// When a file can't be written.
    pub(crate) fn fill(
        &self,
        wanted: u64,
        place: &Place,
        block: &mut Block<'_>,
        rng: &mut impl Rng,
        files: &mut Files,
    ) -> anyhow::Result<()> {
        let mut left = wanted;
        // The next free number on the odd and on the even side.
        let mut next = [1u32, 2];
        let mut side = 0;
        while left > 0 {
            let mut site = Site::make(next[side], rng);
            next[side] = site.last.max(next[side]) + 2;
            let row = f64::from((next[side] - 1) / 2);
            let beside = if side == 0 { SETBACK } else { -SETBACK };
            side = 1 - side;
            site.units.truncate(usize::try_from(left - 1).unwrap_or(usize::MAX));
            let addresses = 1 + site.units.len() as u64;
            block.next(addresses, place.state, rng, files)?;
            let point =
                if site.vague { self.point(place, 150.0, 0.0) } else { self.point(place, row * SPACING, beside) };
            left -= addresses;
            let first = self.site(&site, place, &point, block, files)?;
            // Some ranges are known by their first number alone as well.
            if left > 0 && site.last > 0 && site.units.is_empty() && rng.random_bool(0.08) {
                left -= 1;
                self.alias(&site, &first, place, &point, block, files)?;
            }
        }
        Ok(())
    }

    /// All addresses of one site; gives the identifier of the first.
    fn site(
        &self,
        site: &Site,
        place: &Place,
        point: &(String, String),
        block: &Block<'_>,
        files: &mut Files,
    ) -> anyhow::Result<String> {
        let building = if site.named { self.building.as_str() } else { "" };
        let own = if site.units.is_empty() { "" } else { "P" };
        let first = Detail { site, building, unit: ("", 0, 0), alias: "P", relation: own };
        let first = self.address(&first, place, point, block, files)?;
        for unit in &site.units {
            let detail = Detail {
                site,
                building,
                unit: (unit.flat_type, unit.flat_number, unit.level),
                alias: "P",
                relation: "S",
            };
            let pid = self.address(&detail, place, point, block, files)?;
            files.counters.links += 1;
            let (link, date) = (files.counters.links, files.date.clone());
            files.line("PRIMARY_SECONDARY", &format!("GXR{:_<3}{link:09}|{first}|{pid}|{date}||1|", place.state))?;
        }
        Ok(first)
    }

    fn alias(
        &self,
        site: &Site,
        principal: &str,
        place: &Place,
        point: &(String, String),
        block: &Block<'_>,
        files: &mut Files,
    ) -> anyhow::Result<()> {
        let single = Site { last: 0, ..site.clone() };
        let detail = Detail { site: &single, building: "", unit: ("", 0, 0), alias: "A", relation: "" };
        let pid = self.address(&detail, place, point, block, files)?;
        files.counters.links += 1;
        let (link, date) = (files.counters.links, files.date.clone());
        files.line("ADDRESS_ALIAS", &format!("GXR{:_<3}{link:09}|{date}||{principal}|{pid}|RA|", place.state))
    }

    fn address(
        &self,
        detail: &Detail<'_>,
        place: &Place,
        (x, y): &(String, String),
        block: &Block<'_>,
        files: &mut Files,
    ) -> anyhow::Result<String> {
        files.counters.addresses += 1;
        let (serial, date) = (files.counters.addresses, files.date.clone());
        let state = place.state;
        let pid = format!("GX{state:_<3}{serial:010}");
        let key = format!("GXI{state:_<3}{serial:09}");
        let Detail { site, building, unit: (flat_type, flat, level), alias, relation } = *detail;
        let (kind, reliability, level_geocoded) = if site.vague { ("STL", 4, 6) } else { ("FCS", 2, 7) };
        let level_type = if level > 0 { "L" } else { "" };
        let (flat, level, number, last, lot) =
            (some(flat), some(level), some(site.number), some(site.last), some(site.lot));
        let parcel = if site.lot > 0 { format!("{lot}\\LP{}", 10_000 + serial % 80_000) } else { String::new() };
        let confidence = match serial % 10 {
            0 => 0,
            1 => 1,
            _ => 2,
        };
        files.line(
            "ADDRESS_DETAIL",
            &format!(
                "{pid}|{date}|||{building}||{lot}||{flat_type}||{flat}||{level_type}||{level}|||{number}|{suffix}||{last}||\
                 {street}||{locality}|{alias}|{postcode}||{parcel}|{confidence}|{key}|{level_geocoded}|||{relation}",
                suffix = site.suffix,
                street = self.pid,
                locality = self.locality_pid,
                postcode = place.postcode,
            ),
        )?;
        files.line("ADDRESS_SITE", &format!("{key}|{date}||UR|"))?;
        files.line("ADDRESS_SITE_GEOCODE", &format!("{key}|{date}||{key}|||{kind}|{reliability}||||{x}|{y}"))?;
        files.line("ADDRESS_DEFAULT_GEOCODE", &format!("{key}|{date}||{pid}|{kind}|{x}|{y}"))?;
        files.line("ADDRESS_MESH_BLOCK_2021", &format!("{key}|{date}||{pid}|1|{}", block.pid))?;
        Ok(pid)
    }
}

/// One row of ADDRESS_DETAIL.
struct Detail<'a> {
    site: &'a Site,
    building: &'a str,
    /// Flat type, flat number, level.
    unit: (&'static str, u32, u32),
    /// `P` or `A`.
    alias: &'static str,
    /// `P`, `S` or empty.
    relation: &'static str,
}

fn some(number: u32) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

//! One locality: its row, its neighbours and names, and its streets, mesh block by mesh block.

use std::collections::HashSet;

use rand::Rng;

use super::gazetteer::{Area, Gazetteer, Place};
use super::plan::Share;
use super::street::Street;
use super::writer::{Areas, Files, state_row};

/// What to fill.
pub(crate) struct Region<'a> {
    pub(crate) gazetteer: &'a Gazetteer,
    pub(crate) place: &'a Place,
    pub(crate) share: &'a Share,
}

/// Addresses on a street: 80 on average.
const PER_STREET: std::ops::RangeInclusive<u64> = 20..=140;
/// Addresses of a mesh block; real ones hold 30 to 60 dwellings.
const PER_MESH_BLOCK: u64 = 40;

/// The identifier of a place's locality, also where another locality names it as its neighbour.
fn locality_pid(place: &Place) -> String {
    format!("GXLG{:011}", place.code)
}

/// Writes everything about one locality.
///
/// # Errors
/// When a file can't be written.
pub(crate) fn write(
    region: &Region<'_>,
    rng: &mut impl Rng,
    files: &mut Files,
    areas: &mut Areas,
) -> anyhow::Result<()> {
    let Region { gazetteer, place, share } = *region;
    files.counters.localities += 1;
    let pid = locality_pid(place);
    let (state_pid, _) = state_row(place.state);
    let (serial, date) = (place.code, files.date.clone());
    files.line("LOCALITY", &format!("{pid}|{date}||{}|{}|G|{state_pid}||5", place.name, place.postcode))?;
    let (x, y) = (place.longitude, place.latitude);
    files.line("LOCALITY_POINT", &format!("GXP{serial:012}|{date}||{pid}||{x:.8}|{y:.8}"))?;
    for (index, neighbour) in share.neighbours.iter().enumerate() {
        let other = locality_pid(&gazetteer.places[*neighbour]);
        files.line("LOCALITY_NEIGHBOUR", &format!("GXN{serial:010}{index:02}|{date}||{pid}|{other}"))?;
    }
    if let Some(alias) = share.alias {
        let alias = &gazetteer.places[alias];
        files.line("LOCALITY_ALIAS", &format!("GXA{serial:012}|{date}||{pid}|{}||SYN|{state_pid}", alias.name))?;
    }
    let area = gazetteer.area(x, y)?;
    let mut block = Block { area, areas, code: String::new(), pid: String::new(), left: 0 };
    let mut names = HashSet::new();
    let mut left = share.addresses;
    while left > 0 {
        let wanted = match rng.random_range(PER_STREET).min(left) {
            // No street of a handful of addresses at the end.
            wanted if left - wanted < 10 => left,
            wanted => wanted,
        };
        let street = Street::make(region, &pid, &mut names, rng, files)?;
        street.fill(wanted, place, &mut block, rng, files)?;
        left -= wanted;
    }
    Ok(())
}

/// The mesh block being filled.
pub(crate) struct Block<'a> {
    area: &'a Area,
    areas: &'a mut Areas,
    code: String,
    pub(crate) pid: String,
    left: u64,
}

impl Block<'_> {
    /// The mesh block of the next site, a new one when the last is full.
    ///
    /// # Errors
    /// When a file can't be written.
    pub(crate) fn next(
        &mut self,
        addresses: u64,
        state: &'static str,
        rng: &mut impl Rng,
        files: &mut Files,
    ) -> anyhow::Result<()> {
        if self.left == 0 {
            let category = if rng.random_bool(0.9) { "Residential" } else { "Commercial" };
            self.code = self.areas.mesh_block(self.area, state, category)?;
            files.counters.mesh_blocks += 1;
            self.pid = format!("GXM{state:_<3}{:09}", files.counters.mesh_blocks);
            files.line("MB_2021", &format!("{}|{}||{}", self.pid, files.date.clone(), self.code))?;
            self.left = PER_MESH_BLOCK;
        }
        self.left = self.left.saturating_sub(addresses);
        Ok(())
    }
}

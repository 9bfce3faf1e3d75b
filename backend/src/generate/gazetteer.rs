//! The real names and places that generated data is made of.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail};
use geojson::{FeatureReader, GeometryValue, JsonObject};
use rand::Rng;

use crate::import::find::STATES;
use crate::import::progress::Meter;
use crate::import::psv::{self, Reader};

/// A locality as the Australian Bureau of Statistics lists it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// SSC code, five digits.
    pub(crate) code: u64,
    /// Upper case.
    pub(crate) name: String,
    pub(crate) state: &'static str,
    /// Four digits.
    pub(crate) postcode: String,
    pub(crate) population: f64,
    /// Square kilometres.
    pub(crate) area: f64,
    /// Centroid in degrees.
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
}

impl Place {
    /// Kilometres, on a plane; good enough to tell which of two is nearer.
    pub(crate) fn distance(&self, other: &Self) -> f64 {
        let north = (self.latitude - other.latitude) * 111.32;
        let east = (self.longitude - other.longitude) * 111.32 * self.latitude.to_radians().cos();
        north.hypot(east)
    }
}

/// A statistical area and those above it.
#[derive(Clone, Debug)]
pub(crate) struct Area {
    pub(crate) sa2: (String, String),
    pub(crate) sa3: (String, String),
    pub(crate) sa4: (String, String),
    pub(crate) gccsa: (String, String),
    rings: Vec<Vec<(f64, f64)>>,
}

/// Everything read from the built-in data.
pub(crate) struct Gazetteer {
    pub(crate) places: Vec<Place>,
    /// Street names people meet everywhere.
    common_names: Vec<String>,
    /// Street names that are rarer.
    rare_names: Vec<String>,
    areas: Vec<Area>,
}

impl Gazetteer {
    /// # Errors
    /// When a file isn't there or isn't what it should be.
    pub(crate) fn read(data: &Path) -> anyhow::Result<Self> {
        let gazetteer = data.join("gazetteer");
        Ok(Self {
            places: places(&gazetteer.join("localities_ssc2016.psv.gz"))
                .context("the built-in data is needed: give its folder with --data")?,
            common_names: names(&data.join("addresses/gnaf_addresses_demo.psv.gz"))?,
            rare_names: names(&gazetteer.join("streets_act_by_postcode.psv.gz"))?,
            areas: areas(&data.join("boundaries"))?,
        })
    }

    /// A street name; most are of the common ones.
    pub(crate) fn street_name(&self, rng: &mut impl Rng) -> &str {
        let from = if rng.random_bool(0.6) { &self.common_names } else { &self.rare_names };
        from.get(rng.random_range(0..from.len())).map_or("", String::as_str)
    }

    /// The SA2 that holds a point; the nearest one where the coarse outlines leave a gap.
    pub(crate) fn area(&self, longitude: f64, latitude: f64) -> anyhow::Result<&Area> {
        let holding = self.areas.iter().find(|area| area.holds(longitude, latitude));
        let distance = |area: &&Area| {
            let near = area.rings.iter().flatten().map(|(x, y)| (x - longitude).hypot(y - latitude));
            near.fold(f64::INFINITY, f64::min)
        };
        holding
            .or_else(|| self.areas.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))))
            .context("there are no statistical areas")
    }
}

impl Area {
    /// Even-odd rule over all rings, so that holes and islands come out right.
    fn holds(&self, x: f64, y: f64) -> bool {
        let mut inside = false;
        for ring in &self.rings {
            for (&(x1, y1), &(x2, y2)) in ring.iter().zip(ring.iter().skip(1)) {
                if (y1 > y) != (y2 > y) && x < (x2 - x1) * (y - y1) / (y2 - y1) + x1 {
                    inside = !inside;
                }
            }
        }
        inside
    }
}

/// Where each of `names` is in the file.
fn columns<const N: usize>(reader: &Reader, names: [&str; N]) -> anyhow::Result<[usize; N]> {
    let mut found = [0; N];
    for (slot, name) in found.iter_mut().zip(names) {
        *slot = reader
            .header()
            .iter()
            .position(|column| column == name)
            .with_context(|| format!("{} has no column {name}", reader.path().display()))?;
    }
    Ok(found)
}

fn places(path: &Path) -> anyhow::Result<Vec<Place>> {
    let mut rows = Reader::open(path, Meter::silent())?;
    let [code, name, state, postcode, population, area, latitude, longitude] = columns(
        &rows,
        [
            "SSC_CODE_2016",
            "LOCALITY_NAME",
            "STATE",
            "POSTCODE",
            "POPULATION_2016",
            "AREA_SQKM",
            "LATITUDE",
            "LONGITUDE",
        ],
    )?;
    let mut places = Vec::new();
    let mut seen = BTreeSet::new();
    while rows.next()? {
        let number = |index: usize| rows.field(index).parse::<f64>().map_err(|_| rows.fault(index, "a number"));
        // Rows without a state are the Other Territories.
        let wanted = if rows.field(state).is_empty() { "OT" } else { rows.field(state) };
        let state = *STATES.iter().find(|known| **known == wanted).ok_or_else(|| rows.fault(state, "a state"))?;
        let name = rows.field(name).to_uppercase();
        // Several localities of one name in one state would need their postcodes to be told apart; one is enough here.
        if !seen.insert((state, name.clone())) {
            continue;
        }
        places.push(Place {
            code: rows.field(code).parse().map_err(|_| rows.fault(code, "a number"))?,
            name,
            state,
            postcode: format!("{:0>4}", rows.field(postcode)),
            population: number(population)?,
            area: number(area)?,
            latitude: number(latitude)?,
            longitude: number(longitude)?,
        });
    }
    Ok(places)
}

fn names(path: &Path) -> anyhow::Result<Vec<String>> {
    let mut rows = Reader::open(path, Meter::silent())?;
    let [name] = columns(&rows, ["STREET_NAME"])?;
    let mut names = BTreeSet::new();
    while rows.next()? {
        if !rows.field(name).is_empty() {
            names.insert(rows.field(name).to_uppercase());
        }
    }
    if names.is_empty() {
        bail!("{} holds no street names", path.display());
    }
    Ok(names.into_iter().collect())
}

fn areas(boundaries: &Path) -> anyhow::Result<Vec<Area>> {
    let capitals = boundaries.join("asgs2021_gccsa.geojson.gz");
    let mut gccsa_names = Vec::new();
    for feature in FeatureReader::from_reader(psv::open(&capitals, Meter::silent())?).features() {
        let properties = feature?.properties.unwrap_or_default();
        gccsa_names.push(pair(&properties, "gcc_code_2021", "gcc_name_2021"));
    }
    let path = boundaries.join("asgs2021_sa2.geojson.gz");
    let mut areas = Vec::new();
    for feature in FeatureReader::from_reader(psv::open(&path, Meter::silent())?).features() {
        let feature = feature?;
        let Some(geometry) = feature.geometry else { continue };
        let rings = match geometry.value {
            GeometryValue::Polygon { coordinates } => coordinates,
            GeometryValue::MultiPolygon { coordinates } => coordinates.into_iter().flatten().collect(),
            _ => bail!("{} holds something else than polygons", path.display()),
        };
        let point = |position: &geojson::Position| Some((*position.as_slice().first()?, *position.as_slice().get(1)?));
        let properties = feature.properties.unwrap_or_default();
        let code = properties.get("gcc_code_2021").and_then(|value| value.as_str()).unwrap_or_default();
        areas.push(Area {
            sa2: pair(&properties, "sa2_code_2021", "sa2_name_2021"),
            sa3: pair(&properties, "sa3_code_2021", "sa3_name_2021"),
            sa4: pair(&properties, "sa4_code_2021", "sa4_name_2021"),
            gccsa: gccsa_names.iter().find(|(known, _)| known == code).cloned().unwrap_or_default(),
            rings: rings.iter().map(|ring| ring.iter().filter_map(point).collect()).collect(),
        });
    }
    Ok(areas)
}

fn pair(properties: &JsonObject, code: &str, name: &str) -> (String, String) {
    let text = |key: &str| properties.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    (text(code), text(name))
}

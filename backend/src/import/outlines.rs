//! Area outlines: GeoJSON feature collections whose property names tell what they are.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use geojson::{Feature, FeatureReader, GeometryValue, JsonObject};

use super::copy::Rows;
use super::feed::Tally;
use super::malformed::Malformed;
use super::progress::Meter;
use super::psv;
use super::release::Datum;

/// One kind of area and the property that gives it away.
struct Level {
    level: &'static str,
    code: &'static str,
    name: &'static str,
    edition: &'static str,
    datum: Datum,
}

const fn asgs(level: &'static str, code: &'static str, name: &'static str) -> Level {
    Level { level, code, name, edition: "ASGS 2021", datum: Datum::Gda2020 }
}

/// The finest first: an SA1 also carries the codes of the SA2, SA3 and SA4 around it. The 2016 layers are in GDA94.
const LEVELS: &[Level] = &[
    asgs("SA1", "sa1_code_2021", "sa1_code_2021"),
    asgs("SA2", "sa2_code_2021", "sa2_name_2021"),
    asgs("SA3", "sa3_code_2021", "sa3_name_2021"),
    asgs("SA4", "sa4_code_2021", "sa4_name_2021"),
    Level { level: "LGA", code: "lga_code_2022", name: "lga_name_2022", edition: "LGA 2022", datum: Datum::Gda2020 },
    Level { level: "LOCALITY", code: "ssc_code_2016", name: "locality_name", edition: "SSC 2016", datum: Datum::Gda94 },
    Level { level: "POA", code: "poa_code_2016", name: "poa_code_2016", edition: "POA 2016", datum: Datum::Gda94 },
    asgs("GCCSA", "gcc_code_2021", "gcc_name_2021"),
    asgs("GCCSA", "gccsa_code_2021", "gccsa_name_2021"),
    asgs("STE", "state_code_2021", "state_name_2021"),
];

/// First digit of an ABS code -> state.
const STATES: [&str; 9] = ["NSW", "VIC", "QLD", "SA", "WA", "TAS", "NT", "ACT", "OT"];

/// Streams the features into `raw_area`: `line` is the feature's number. The areas above each one follow it without outline.
///
/// # Errors
/// [`Malformed`] where the text is no GeoJSON; else naming the feature.
pub(crate) fn feed(path: &Path, source: &str, meter: &Meter, rows: &mut Rows) -> anyhow::Result<Tally> {
    let features = FeatureReader::from_reader(psv::open(path, meter.clone())?);
    let mut tally = Tally::default();
    for feature in features.features() {
        let number = tally.rows + 1;
        let feature = feature.map_err(|error| not_geojson(path, number, &error))?;
        areas(&feature, source, number, rows).with_context(|| format!("{}: feature {number}", path.display()))?;
        tally.rows = number;
    }
    if tally.rows == 0 {
        bail!("{} holds no features", path.display());
    }
    meter.done();
    Ok(tally)
}

fn not_geojson(path: &Path, number: u64, error: &geojson::Error) -> anyhow::Error {
    match error {
        geojson::Error::MalformedGeoJson(json) => {
            let found = format!("{json} (character {})", json.column());
            Malformed::line(path, json.line() as u64, found, "a GeoJSON feature").into()
        }
        other => anyhow!("{}: feature {number}: {other}", path.display()),
    }
}

fn areas(feature: &Feature, source: &str, number: u64, rows: &mut Rows) -> anyhow::Result<()> {
    let properties = feature.properties.as_ref().context("no properties")?;
    let present = |level: &&Level| properties.contains_key(level.code);
    let own = LEVELS.iter().find(present).context("none of the properties that name a known kind of area")?;
    area(own, properties, feature, source, number, rows)?;
    if own.edition != "ASGS 2021" {
        return Ok(());
    }
    let bare = Feature::default();
    for above in LEVELS.iter().filter(present).filter(|above| above.level != own.level && above.edition == own.edition)
    {
        if properties.contains_key(above.name) {
            area(above, properties, &bare, source, number, rows)?;
        }
    }
    Ok(())
}

fn area(
    level: &Level,
    properties: &JsonObject,
    feature: &Feature,
    source: &str,
    number: u64,
    rows: &mut Rows,
) -> anyhow::Result<()> {
    let text = |name: &str| properties.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    let code = text(level.code);
    if code.is_empty() || code.len() > 15 || !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        bail!("{} is {:?}, which is no area code", level.code, properties.get(level.code));
    }
    let state = match text("state") {
        "" if level.level == "POA" => "",
        "" => code
            .bytes()
            .next()
            .and_then(|digit| STATES.get(usize::from(digit.checked_sub(b'1')?)))
            .context("no state: neither a property nor the code's first digit")?,
        state => state,
    };
    let gccsa = match (level.level, text("gcc_code_2021")) {
        ("GCCSA" | "STE" | "LGA" | "POA" | "LOCALITY", _) => "",
        (_, "") => text("gccsa_code_2021"),
        (_, code) => code,
    };
    let postcode = if level.level == "POA" { code } else { text("postcode") };
    rows.text(source);
    rows.number(number);
    for value in [level.level, code, text(level.name), state, gccsa, postcode, level.edition] {
        rows.text(value);
    }
    rows.number(level.datum.srid() as u64);
    match &feature.geometry {
        Some(geometry) => {
            let outline = geometry.to_string();
            rows.number(vertices(&geometry.value)?);
            rows.text(&blake3::hash(outline.as_bytes()).to_hex()[..32]);
            rows.text(&outline);
        }
        // Areas without a place, like "no usual address".
        None => (0..3).for_each(|_| rows.text("")),
    }
    rows.end()
}

fn vertices(geometry: &GeometryValue) -> anyhow::Result<u64> {
    let count = match geometry {
        GeometryValue::Polygon { coordinates } => coordinates.iter().map(Vec::len).sum::<usize>(),
        GeometryValue::MultiPolygon { coordinates } => coordinates.iter().flatten().map(Vec::len).sum(),
        _ => bail!("an outline must be a Polygon or MultiPolygon"),
    };
    Ok(count as u64)
}

//! Area outlines: GeoJSON feature collections whose property names tell what they are.

use std::collections::HashSet;
use std::path::Path;

use geojson::{Geometry, GeometryValue, Position};
use serde_json::{Map, Value};

use super::collection::{self, About, Feature, Next};
use super::copy::Rows;
use super::feed::Tally;
use super::layer::{EXPECTED, Layer};
use super::progress::Meter;
use super::release::Datum;
use crate::state;

/// Features looked at for one that has properties.
const LOOKED_AT: u64 = 100;
/// Reasons of features without a usable place, like "no usual address" or what a program could not compute.
pub(crate) const NO_OUTLINE: &str = "it has no outline";
pub(crate) const NO_NUMBER: &str = "a coordinate of its outline is no number";

/// Why a file of outlines is left alone.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotTaken(pub(crate) String);

/// What a file of outlines holds.
#[derive(Debug)]
pub(crate) struct Outlines {
    pub(crate) tally: Tally,
    /// As the file itself says.
    pub(crate) datum: Option<Datum>,
}

/// Looks at the first features of a file.
///
/// # Errors
/// [`NotTaken`] where it is no layer that is known, else as [`collection::read`].
pub(crate) fn layer(path: &Path) -> anyhow::Result<Layer> {
    let (mut first, mut seen) = (None, 0);
    let about = collection::read(path, &Meter::silent(), &mut |feature| {
        seen += 1;
        first = feature.properties.filter(|properties| !properties.is_empty());
        Ok(if first.is_some() || seen == LOOKED_AT { Next::Stop } else { Next::Go })
    })?;
    if about.features == 0 {
        return Err(NotTaken("it is no GeoJSON feature collection, or an empty one".into()).into());
    }
    datum(&about)?;
    let properties = first.unwrap_or_default();
    Layer::of(properties.keys().map(String::as_str)).map_err(|reason| {
        let found = properties.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let found = if found.is_empty() { "none".to_owned() } else { found.chars().take(500).collect() };
        NotTaken(format!("{reason}; found the properties {found}; expected {EXPECTED}")).into()
    })
}

/// Streams the features into `raw_area`: `line` is the feature's number. The areas above each one follow it without outline.
///
/// # Errors
/// [`NotTaken`] where it shows that the file is another layer; else as [`collection::read`].
pub(crate) fn feed(
    path: &Path,
    layer: &Layer,
    source: &str,
    meter: &Meter,
    rows: &mut Rows,
) -> anyhow::Result<Outlines> {
    let mut reader = Reader { layer, source, rows, number: 0, codes: HashSet::new(), above: HashSet::new() };
    let about = collection::read(path, meter, &mut |feature| {
        reader.number += 1;
        if reader.number.is_multiple_of(1024) {
            meter.rows(reader.number);
        }
        reader.feature(feature)?;
        Ok(Next::Go)
    })?;
    meter.done();
    Ok(Outlines { tally: Tally { rows: about.features, ..Tally::default() }, datum: datum(&about)? })
}

/// The datum that the file states. WGS84 states none: programs call everything in degrees so.
fn datum(about: &About) -> Result<Option<Datum>, NotTaken> {
    let Some(crs) = &about.crs else { return Ok(None) };
    let upper = crs.to_uppercase();
    match upper.rsplit([':', '/']).find(|part| !part.is_empty()).unwrap_or_default() {
        "7844" | "GDA2020" => Ok(Some(Datum::Gda2020)),
        "4283" | "GDA94" => Ok(Some(Datum::Gda94)),
        "4326" | "CRS84" | "WGS84" => Ok(None),
        _ => Err(NotTaken(format!(
            "its coordinates are in {crs}; expected degrees in GDA2020 or GDA94: ogr2ogr -t_srs EPSG:7844 converts them"
        ))),
    }
}

struct Reader<'a> {
    layer: &'a Layer,
    source: &'a str,
    rows: &'a mut Rows,
    number: u64,
    codes: HashSet<String>,
    above: HashSet<String>,
}

/// A row of `raw_area`, the columns after `source` and `line`.
#[derive(Default)]
struct Row<'a> {
    problem: &'a str,
    level: &'a str,
    code: &'a str,
    name: &'a str,
    state: &'a str,
    gccsa: &'a str,
    postcode: &'a str,
    category: &'a str,
    sa1: &'a str,
    outline: Option<&'a Outline>,
}

struct Outline {
    text: String,
    vertices: u64,
}

impl Reader<'_> {
    fn feature(&mut self, feature: Feature) -> anyhow::Result<()> {
        let properties = &feature.properties.unwrap_or_default();
        let layer = self.layer;
        let kind = layer.kind;
        let code = match text(properties, &layer.code) {
            // Written as a number, a postcode of the Northern Territory has lost its first digit.
            code if kind.level == "POA" && !code.is_empty() => format!("{code:0>4}"),
            code => code,
        };
        let outline = feature.geometry.map_or(Err(NO_OUTLINE), outline).and_then(|outline| match &code {
            code if code.is_empty() => Err("it has no code"),
            code if !kind.fits(code) => Err("its code is none of that kind of area"),
            _ => Ok(outline),
        });
        let outline = match &outline {
            Ok(outline) => outline,
            Err(problem) => return self.write(&Row { problem, level: kind.level, code: &code, ..Row::default() }),
        };
        if !self.codes.insert(code.clone()) {
            return Err(NotTaken(format!(
                "{} is {code} in feature {} and in one before it, so these are not the outlines of {} areas, or an area is \
                 spread over several features; found the properties {}; expected {EXPECTED}",
                layer.code,
                self.number,
                kind.level,
                properties.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
            ))
            .into());
        }
        let state = layer.state.iter().find_map(|property| {
            let value = text(properties, property);
            state::abbreviation(&value).or_else(|| state::of_code(&value))
        });
        let state =
            state.or_else(|| if kind.level == "POA" { None } else { state::of_code(&code) }).unwrap_or_default();
        let get = |property: Option<&str>| property.map(|name| text(properties, name)).unwrap_or_default();
        let name = match get(layer.name.as_deref()) {
            name if name.is_empty() => code.clone(),
            name if kind.level == "LOCALITY" => without_place(&name).to_owned(),
            name => name,
        };
        let gccsa = get(layer.code_of("GCCSA"));
        let postcode = if kind.level == "POA" { code.clone() } else { get(Some("postcode")) };
        let (category, sa1) = (get(layer.category.as_deref()), get(layer.code_of("SA1")));
        self.write(&Row {
            level: kind.level,
            code: &code,
            name: &name,
            state,
            gccsa: &gccsa,
            postcode: &postcode,
            category: &category,
            sa1: &sa1,
            outline: Some(outline),
            ..Row::default()
        })?;
        for (above, code, name) in &layer.above {
            let (code, name) = (text(properties, code), text(properties, name));
            if !above.fits(&code) || name.is_empty() || !self.above.insert(format!("{}{code}", above.level)) {
                continue;
            }
            let gccsa = if matches!(above.level, "GCCSA" | "STE") { "" } else { &gccsa };
            self.write(&Row { level: above.level, code: &code, name: &name, state, gccsa, ..Row::default() })?;
        }
        Ok(())
    }

    fn write(&mut self, row: &Row<'_>) -> anyhow::Result<()> {
        let rows = &mut *self.rows;
        rows.text(self.source);
        rows.number(self.number);
        for value in [row.problem, row.level, row.code, row.name, row.state, row.gccsa, row.postcode] {
            rows.text(value);
        }
        for value in [&self.layer.edition, row.category, row.sa1] {
            rows.text(value);
        }
        match row.outline {
            Some(Outline { text, vertices }) => {
                rows.number(*vertices);
                rows.text(&blake3::hash(text.as_bytes()).to_hex()[..32]);
                rows.text(text);
            }
            None => (0..3).for_each(|_| rows.text("")),
        }
        rows.end()
    }
}

/// A property as text: codes are also written as numbers.
fn text(properties: &Map<String, Value>, name: &str) -> String {
    match properties.get(name) {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.as_u64().map(|number| number.to_string()).unwrap_or_default(),
        _ => String::new(),
    }
}

/// The Bureau writes `Killara (Alpine - Vic.)` where several localities have one name; G-NAF does not.
fn without_place(name: &str) -> &str {
    name.strip_suffix(')').and_then(|name| name.rsplit_once(" (")).map_or(name, |(name, _)| name)
}

/// The outline, or why it is none.
fn outline(geometry: Value) -> Result<Outline, &'static str> {
    if geometry.is_null() {
        return Err(NO_OUTLINE);
    }
    if !geometry["coordinates"].as_array().is_none_or(|coordinates| coordinates.iter().all(is_number)) {
        return Err(NO_NUMBER);
    }
    let geometry: Geometry = serde_json::from_value(geometry).map_err(|_| "its outline is no GeoJSON geometry")?;
    let rings: Vec<&Vec<Position>> = match &geometry.value {
        GeometryValue::Polygon { coordinates } => coordinates.iter().collect(),
        GeometryValue::MultiPolygon { coordinates } => coordinates.iter().flatten().collect(),
        _ => return Err("its outline is neither Polygon nor MultiPolygon"),
    };
    if rings.is_empty() {
        return Err(NO_OUTLINE);
    }
    let closed = |ring: &&Vec<Position>| ring.len() >= 4 && ring.first() == ring.last();
    if !rings.iter().all(closed) {
        return Err("a ring of its outline is not closed");
    }
    // The box of sql/import/staging.sql.
    let inside = |position: &Position| {
        matches!(position.as_slice(), [longitude, latitude, ..]
            if (96.0..=169.0).contains(longitude) && (-55.0..=-8.0).contains(latitude))
    };
    if !rings.iter().any(|ring| ring.iter().any(inside)) {
        return Err("outside of Australia");
    }
    let vertices = rings.iter().map(|ring| ring.len()).sum::<usize>() as u64;
    Ok(Outline { text: geometry.to_string(), vertices })
}

/// Whether a tree of coordinates has numbers only.
fn is_number(value: &Value) -> bool {
    match value {
        Value::Array(inside) => inside.iter().all(is_number),
        Value::Number(number) => number.as_f64().is_some_and(f64::is_finite),
        _ => false,
    }
}

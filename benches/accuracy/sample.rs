//! The addresses of the sample, from the files as published.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use anyhow::Context;

use crate::codes::Codes;

/// One address in its parts; words as published in upper case, absent parts empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Address {
    /// G-NAF's own key, where the file has it.
    pub(crate) pid: String,
    pub(crate) label: String,
    /// The long word: UNIT, SHOP, SUITE.
    pub(crate) flat_type: String,
    pub(crate) flat: String,
    /// The long word: LEVEL, GROUND.
    pub(crate) level_type: String,
    pub(crate) level: String,
    pub(crate) lot: String,
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) street: String,
    /// The long word: STREET.
    pub(crate) street_type: String,
    /// The long word: NORTH.
    pub(crate) suffix: String,
    pub(crate) locality: String,
    pub(crate) state: String,
    pub(crate) postcode: String,
}

/// A street of a locality: name, type, suffix, locality, state.
pub(crate) type Street = (String, String, String, String, String);

impl Address {
    pub(crate) fn street_key(&self) -> Street {
        let parts = [&self.street, &self.street_type, &self.suffix, &self.locality, &self.state];
        let [name, kind, suffix, locality, state] = parts.map(Clone::clone);
        (name, kind, suffix, locality, state)
    }
}

/// All addresses, and what is needed to know that something does not exist.
pub(crate) struct Sample {
    pub(crate) addresses: Vec<Address>,
    /// Per street: every first, last and lot number.
    pub(crate) numbers: HashMap<Street, HashSet<String>>,
    /// Per street and number: every unit.
    pub(crate) flats: HashMap<(Street, String), HashSet<String>>,
    /// Per street and number: every street line (`12`, `12-14`) with that number at an end.
    pub(crate) lines: HashMap<(Street, String), HashSet<String>>,
    /// Street names per locality and state.
    pub(crate) streets: HashMap<(String, String), HashSet<String>>,
    /// Every pair of street name and type.
    pub(crate) street_names: Vec<(String, String)>,
    /// Every locality with its state and postcode.
    pub(crate) localities: Vec<(String, String, String)>,
    /// Other names by which a locality is known, and its neighbours.
    pub(crate) nearby: HashMap<(String, String), Vec<String>>,
}

type Row = HashMap<String, String>;

fn rows(path: &Path) -> anyhow::Result<Vec<Row>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text)?;
    } else {
        text = String::from_utf8(bytes)?;
    }
    let mut lines = text.lines();
    let header: Vec<String> = lines.next().context("an empty file")?.split('|').map(str::to_owned).collect();
    Ok(lines.map(|line| header.iter().cloned().zip(line.split('|').map(str::to_owned)).collect()).collect())
}

fn get(row: &Row, column: &str) -> String {
    row.get(column).cloned().unwrap_or_default()
}

fn flat_file(path: &Path) -> anyhow::Result<Vec<Address>> {
    let read = rows(path)?;
    Ok(read
        .iter()
        .map(|row| Address {
            pid: get(row, "ADDRESS_DETAIL_PID"),
            label: get(row, "ADDRESS_LABEL"),
            flat_type: get(row, "FLAT_TYPE"),
            flat: get(row, "FLAT_NUMBER"),
            level_type: get(row, "LEVEL_TYPE"),
            level: get(row, "LEVEL_NUMBER"),
            lot: get(row, "LOT_NUMBER"),
            first: get(row, "NUMBER_FIRST"),
            last: get(row, "NUMBER_LAST"),
            street: get(row, "STREET_NAME"),
            street_type: get(row, "STREET_TYPE"),
            suffix: get(row, "STREET_SUFFIX"),
            locality: get(row, "LOCALITY_NAME"),
            state: get(row, "STATE"),
            postcode: get(row, "POSTCODE"),
        })
        .collect())
}

fn by_key(rows: Vec<Row>, key: &str) -> HashMap<String, Row> {
    rows.into_iter().map(|row| (get(&row, key), row)).collect()
}

fn joined(row: &Row, base: &str) -> String {
    [format!("{base}_PREFIX"), base.to_owned(), format!("{base}_SUFFIX")].map(|column| get(row, &column)).concat()
}

/// The official layout: numbers in parts, names behind keys.
fn release(folder: &Path, codes: &Codes) -> anyhow::Result<Vec<Address>> {
    let localities = by_key(rows(&folder.join("VIC_LOCALITY_psv.psv"))?, "LOCALITY_PID");
    let streets = by_key(rows(&folder.join("VIC_STREET_LOCALITY_psv.psv"))?, "STREET_LOCALITY_PID");
    let long = |table: &HashMap<String, String>, code: String| table.get(&code).cloned().unwrap_or(code);
    let mut addresses = Vec::new();
    for row in rows(&folder.join("VIC_ADDRESS_DETAIL_psv.psv"))? {
        let served = get(&row, "DATE_RETIRED").is_empty()
            && get(&row, "ALIAS_PRINCIPAL") == "P"
            && !get(&row, "CONFIDENCE").starts_with('-');
        let (Some(street), Some(locality)) =
            (streets.get(&get(&row, "STREET_LOCALITY_PID")), localities.get(&get(&row, "LOCALITY_PID")))
        else {
            continue;
        };
        if !served {
            continue;
        }
        let mut address = Address {
            pid: get(&row, "ADDRESS_DETAIL_PID"),
            flat_type: long(&codes.flat_types, get(&row, "FLAT_TYPE_CODE")),
            flat: joined(&row, "FLAT_NUMBER"),
            level_type: long(&codes.level_types, get(&row, "LEVEL_TYPE_CODE")),
            level: joined(&row, "LEVEL_NUMBER"),
            lot: joined(&row, "LOT_NUMBER"),
            first: joined(&row, "NUMBER_FIRST"),
            last: joined(&row, "NUMBER_LAST"),
            street: get(street, "STREET_NAME"),
            street_type: get(street, "STREET_TYPE_CODE"),
            suffix: long(&codes.suffixes, get(street, "STREET_SUFFIX_CODE")),
            locality: get(locality, "LOCALITY_NAME"),
            state: "VIC".to_owned(),
            postcode: get(&row, "POSTCODE"),
            ..Address::default()
        };
        address.label = crate::variants::label(&address);
        addresses.push(address);
    }
    Ok(addresses)
}

fn nearby(folder: &Path) -> anyhow::Result<HashMap<(String, String), Vec<String>>> {
    let localities = by_key(rows(&folder.join("VIC_LOCALITY_psv.psv"))?, "LOCALITY_PID");
    let name = |pid: &str| localities.get(pid).map(|row| get(row, "LOCALITY_NAME"));
    let mut nearby: HashMap<(String, String), Vec<String>> = HashMap::new();
    for row in rows(&folder.join("VIC_LOCALITY_ALIAS_psv.psv"))? {
        if let Some(own) = name(&get(&row, "LOCALITY_PID")) {
            nearby.entry((own, "VIC".to_owned())).or_default().push(get(&row, "NAME"));
        }
    }
    for row in rows(&folder.join("VIC_LOCALITY_NEIGHBOUR_psv.psv"))? {
        if let (Some(own), Some(other)) = (name(&get(&row, "LOCALITY_PID")), name(&get(&row, "NEIGHBOUR_LOCALITY_PID")))
        {
            nearby.entry((own, "VIC".to_owned())).or_default().push(other);
        }
    }
    Ok(nearby)
}

impl Sample {
    /// Every address that the service should know after `import data/`.
    pub(crate) fn read(data: &Path, codes: &Codes) -> anyhow::Result<Self> {
        let standard = data.join("gnaf-vic-sample/Standard");
        let mut addresses = release(&standard, codes)?;
        addresses.extend(flat_file(&data.join("addresses/gnaf_addresses_acton_act.psv"))?);
        addresses.extend(flat_file(&data.join("addresses/gnaf_addresses_demo.psv.gz"))?);
        let mut sample = Self {
            addresses: Vec::new(),
            numbers: HashMap::new(),
            flats: HashMap::new(),
            lines: HashMap::new(),
            streets: HashMap::new(),
            street_names: Vec::new(),
            localities: Vec::new(),
            nearby: nearby(&standard)?,
        };
        for address in &addresses {
            let street = address.street_key();
            let numbers = sample.numbers.entry(street.clone()).or_default();
            numbers.extend([&address.first, &address.last, &address.lot].into_iter().cloned());
            for number in [&address.first, &address.last] {
                let place = (street.clone(), number.clone());
                sample.flats.entry(place.clone()).or_default().insert(address.flat.clone());
                sample.lines.entry(place).or_default().insert(format!("{}-{}", address.first, address.last));
            }
            let place = (address.locality.clone(), address.state.clone());
            sample.streets.entry(place).or_default().insert(address.street.clone());
            sample.street_names.push((address.street.clone(), address.street_type.clone()));
            let locality = (address.locality.clone(), address.state.clone(), address.postcode.clone());
            sample.localities.push(locality);
        }
        sample.street_names.sort();
        sample.street_names.dedup();
        sample.localities.sort();
        sample.localities.dedup();
        sample.addresses = addresses;
        Ok(sample)
    }
}

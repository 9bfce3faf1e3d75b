//! Where the street or the locality is that a text names: for clients that take such a point where there is no address.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_postgres::Row;

use super::keys::distinct;
use super::streets::Streets;
use super::{Record, Spot};
use crate::db::Database;
use crate::error::ApiError;
use crate::input::coordinates::Position;
use crate::parse::{Parsed, Reading, Typing};
use crate::place::Precision;
use crate::rank::{Known, VALID, part_confidence};

const STREETS: &str = include_str!("../sql/lookup/streets_point.sql");
const LOCALITIES: &str = include_str!("../sql/lookup/localities_named.sql");
/// Streets looked at.
const MOST: usize = 50;

/// A street or a locality as a record without a number, and how well it fits, 80 to 100.
pub(crate) struct Part {
    pub record: Record,
    pub confidence: u8,
}

/// The street that `text` names, or where `coarsest` allows it the locality, if one alone is meant and nothing in the text says
/// otherwise. A number that is not there is passed over; a post office box is no place.
///
/// # Errors
/// What the database says.
pub(crate) async fn find_part(
    database: &Database,
    deadline: Instant,
    text: &str,
    coarsest: Precision,
) -> Result<Option<Part>, ApiError> {
    let parsed = Parsed::new(text, Typing::Done);
    if parsed.postal || coarsest == Precision::Property {
        return Ok(None);
    }
    let streets = Streets { database, deadline };
    let possible = parsed.possible();
    let names = streets.known(&possible).await?;
    let readings = parsed.familiar(possible, &names);
    let mut known = Known::of(&readings, names.localities);
    known.others = streets.left_over(&readings, &known).await?;
    let here = streets.here(&readings).await?;
    let mut found = one_of(on_streets(&streets, here, &readings, &known).await?);
    if found.is_none() {
        let alike = streets.alike(&readings).await?;
        found = one_of(on_streets(&streets, alike, &readings, &known).await?);
    }
    if found.is_none() && coarsest == Precision::Locality {
        let names = distinct(readings.iter().filter_map(|r| r.locality.as_ref()).map(|l| l.name.as_str()));
        let rows = database.query(deadline, LOCALITIES, &[&names]).await?;
        let at = |row: &Row| judged(Spot::from_row(row), row, &readings, &known, Precision::Locality);
        found = one_of(rows.iter().filter_map(at).collect());
    }
    Ok(found)
}

async fn on_streets(
    streets: &Streets<'_>,
    spots: Vec<Spot>,
    readings: &[Reading],
    known: &Known,
) -> Result<Vec<Part>, ApiError> {
    let spots: Vec<Spot> = spots.into_iter().filter(|spot| !spot.street_pid.is_empty()).take(MOST).collect();
    if spots.is_empty() {
        return Ok(Vec::new());
    }
    let pids = distinct(spots.iter().map(|spot| spot.street_pid.as_str()));
    let rows = streets.database.query(streets.deadline, STREETS, &[&pids]).await?;
    let by_pid: HashMap<String, &Row> = rows.iter().map(|row| (row.get("pid"), row)).collect();
    let judge = |spot: Spot| {
        let row = by_pid.get(&spot.street_pid)?;
        judged(spot, row, readings, known, Precision::Street)
    };
    Ok(spots.into_iter().filter_map(judge).collect())
}

fn judged(spot: Spot, row: &Row, readings: &[Reading], known: &Known, precision: Precision) -> Option<Part> {
    let postcodes: Vec<String> = row.get::<_, Option<Vec<String>>>("postcodes").unwrap_or_default();
    let asked = readings.iter().find_map(|reading| reading.tail.postcode.clone());
    // Of several the one that was written.
    let postcode = asked.filter(|asked| postcodes.contains(asked)).or_else(|| postcodes.first().cloned());
    let (pid, geocode_type, reliability) = match precision {
        Precision::Locality => (&spot.locality_pid, "LOC", 5),
        _ => (&spot.street_pid, "STL", 4),
    };
    let record = Record {
        pid: pid.clone(),
        postcode,
        geocode_type: Some(geocode_type.to_owned()),
        reliability: Some(reliability),
        point: Some(Position { latitude: row.get("latitude"), longitude: row.get("longitude") }),
        spot: Arc::new(spot),
        ..Record::default()
    };
    let fits = readings.iter().filter_map(|reading| part_confidence(reading, &record, known, precision));
    let confidence = fits.max().filter(|confidence| *confidence >= VALID)?;
    Some(Part { record, confidence })
}

/// The best, if no other place fits as well. One street from two sources is one place.
fn one_of(parts: Vec<Part>) -> Option<Part> {
    let confidence = parts.iter().map(|part| part.confidence).max()?;
    let mut best = parts.into_iter().filter(|part| part.confidence == confidence);
    let first = best.next()?;
    let label = |part: &Part| part.record.place().label();
    best.all(|other| label(&other) == label(&first)).then_some(first)
}

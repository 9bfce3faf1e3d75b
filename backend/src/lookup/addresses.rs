//! The statements that find addresses on streets that are known.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::keys::distinct;
use super::{MOST, Record, Spot, Wanted};
use crate::db::Database;
use crate::error::ApiError;
use crate::parse::{Head, Reading};
use crate::rank::{Fit, Known, Readings, Scored, best};

const AT: &str = include_str!("../sql/lookup/addresses_at.sql");
const ALONG: &str = include_str!("../sql/lookup/addresses_along.sql");
const NEAREST: &str = include_str!("../sql/lookup/addresses_nearest.sql");
const OFF_STREET: &str = include_str!("../sql/lookup/addresses_off_street.sql");

/// Street and number combinations looked into, the best first.
const KEYS: usize = 120;
/// Streets on which the nearest numbers are looked for, and numbers of each.
const NEAR_STREETS: usize = 3;
const NEAR_NUMBERS: i64 = 5;
/// Worse than this is not even a suggestion.
const WORST: u8 = 20;

/// A place with the readings it fits.
pub(super) struct Fitting<'r> {
    pub spot: Arc<Spot>,
    pub fits: Vec<Fit<'r>>,
}

impl Fitting<'_> {
    fn points(&self) -> u16 {
        self.fits.first().map_or(u16::MAX, |fit| fit.verdict.points)
    }
}

/// The spots that fit a reading, the best first, equals by how busy they are.
pub(super) fn fitting<'r>(readings: &Readings<'r>, spots: Vec<Spot>, known: &Known) -> Vec<Fitting<'r>> {
    let mut fitting: Vec<Fitting<'r>> = spots
        .into_iter()
        .map(|spot| Fitting { fits: readings.fits(&spot, known), spot: Arc::new(spot) })
        .filter(|fitting| !fitting.fits.is_empty())
        .collect();
    fitting.sort_by(|a, b| {
        let key = |f: &Fitting<'_>| (f.points(), std::cmp::Reverse(f.spot.addresses));
        key(a).cmp(&key(b)).then_with(|| a.spot.street_pid.cmp(&b.spot.street_pid))
    });
    fitting
}

/// What is asked of one street.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Key {
    street: String,
    number: Option<String>,
    lot: Option<String>,
    unit: Option<String>,
}

impl Key {
    fn new(spot: &Spot, head: &Head) -> Option<Self> {
        head.has_number().then(|| Self {
            street: spot.street_pid.clone(),
            number: head.number.clone(),
            lot: head.lot.clone(),
            unit: head.flat.as_ref().and_then(|flat| flat.number.clone()),
        })
    }
}

/// The addresses with the numbers that the readings ask for, at most `each` per street and number, scored; and whether there
/// may be more.
pub(super) async fn numbered(
    database: &Database,
    deadline: Instant,
    fitting: &[Fitting<'_>],
    known: &Known,
    each: i64,
) -> Result<(Vec<Scored>, bool), ApiError> {
    // Several readings ask the same of a street, and a street may have come under several names.
    let mut asked: BTreeMap<Key, Vec<&Fitting<'_>>> = BTreeMap::new();
    let mut keys: Vec<Key> = Vec::new();
    let mut more = false;
    for spot in fitting {
        for fit in &spot.fits {
            let Some(key) = Key::new(&spot.spot, &fit.reading.head) else { continue };
            if let Some(askers) = asked.get_mut(&key) {
                if !askers.iter().any(|asker| Arc::ptr_eq(&asker.spot, &spot.spot)) {
                    askers.push(spot);
                }
            } else if keys.len() < KEYS {
                keys.push(key.clone());
                asked.insert(key, vec![spot]);
            } else {
                more = true;
            }
        }
    }
    if keys.is_empty() {
        return Ok((Vec::new(), false));
    }
    let streets: Vec<&str> = keys.iter().map(|key| key.street.as_str()).collect();
    let numbers: Vec<Option<&str>> = keys.iter().map(|key| key.number.as_deref()).collect();
    let lots: Vec<Option<&str>> = keys.iter().map(|key| key.lot.as_deref()).collect();
    let units: Vec<Option<&str>> = keys.iter().map(|key| key.unit.as_deref()).collect();
    let rows = database.query(deadline, AT, &[&streets, &numbers, &lots, &units, &each]).await?;
    let mut scored = Vec::with_capacity(rows.len());
    let mut counts = vec![0; keys.len()];
    for row in &rows {
        let at: i64 = row.get("at");
        if let Some(count) = counts.get_mut((at - 1) as usize) {
            *count += 1;
        }
        let Some(askers) = keys.get((at - 1) as usize).and_then(|key| asked.get(key)) else { continue };
        for asker in askers {
            let record = Record::from_row(row, asker.spot.clone());
            scored.extend(judged(record, &asker.fits, known));
        }
    }
    Ok((scored, more || counts.contains(&each)))
}

fn judged(record: Record, fits: &[Fit<'_>], known: &Known) -> Option<Scored> {
    scored(record, fits, known).filter(|scored| scored.score.confidence >= WORST)
}

fn scored(record: Record, fits: &[Fit<'_>], known: &Known) -> Option<Scored> {
    let score = best(fits, &record, known)?;
    Some(Scored { label: record.place().label(), record, score })
}

/// Addresses that have a locality but no street, at most `each`; and whether there may be more.
pub(super) async fn off_street(
    database: &Database,
    deadline: Instant,
    readings: &[Reading],
    known: &Known,
    each: i64,
) -> Result<(Vec<Scored>, bool), ApiError> {
    let asked = |r: &&Reading| r.street.is_none() && r.locality.is_some() && r.head.has_number();
    let readings: Vec<Reading> = readings.iter().filter(asked).cloned().collect();
    let keys = distinct(readings.iter().filter_map(|r| r.locality.as_ref()).map(|l| l.name.as_str()));
    let Some(head) = readings.first().map(|r| &r.head).filter(|_| !keys.is_empty()) else {
        return Ok((Vec::new(), false));
    };
    let numbers = vec![head.number.as_deref(); keys.len()];
    let lots = vec![head.lot.as_deref(); keys.len()];
    let rows = database.query(deadline, OFF_STREET, &[&keys, &numbers, &lots, &each]).await?;
    let judge = Readings::new(&readings, false);
    let score = |row: &Row| {
        let spot = Spot::from_row(row);
        let fits = judge.fits(&spot, known);
        judged(Record::from_row(row, Arc::new(spot)), &fits, known)
    };
    Ok((rows.iter().filter_map(score).collect(), rows.len() as i64 >= each))
}

/// The addresses on the likeliest streets whose numbers are nearest to the one asked for, which isn't there.
pub(super) async fn nearest(
    database: &Database,
    deadline: Instant,
    fitting: &[Fitting<'_>],
    known: &Known,
) -> Result<Vec<Scored>, ApiError> {
    let mut streets: Vec<&Fitting<'_>> = Vec::new();
    for one in fitting {
        let asked = one.fits.first().is_some_and(|fit| fit.reading.head.has_number());
        let new = streets.iter().all(|known| known.spot.street_pid != one.spot.street_pid);
        if asked && new && !one.spot.street_pid.is_empty() && streets.len() < NEAR_STREETS {
            streets.push(one);
        }
    }
    let Some(fit) = streets.first().and_then(|one| one.fits.first()) else { return Ok(Vec::new()) };
    let head = &fit.reading.head;
    let digits = |text: &String| text.chars().filter(char::is_ascii_digit).take(6).collect::<String>();
    let number: i32 = head.number.as_ref().or(head.lot.as_ref()).map(digits).and_then(|n| n.parse().ok()).unwrap_or(0);
    let pids: Vec<&str> = streets.iter().map(|one| one.spot.street_pid.as_str()).collect();
    let rows = database.query(deadline, NEAREST, &[&pids, &number, &NEAR_NUMBERS]).await?;
    let near = |row: &Row| {
        let one = streets.get((row.get::<_, i64>("at") - 1) as usize)?;
        scored(Record::from_row(row, one.spot.clone()), &one.fits, known)
    };
    Ok(rows.iter().filter_map(near).collect())
}

/// The addresses along streets.
pub(super) struct Along {
    pub page: Vec<Scored>,
    /// Addresses on the streets that were looked at.
    pub total: u64,
    /// There are more streets than were looked at.
    pub more: bool,
}

/// `count` addresses after the first `from`, street by street in the order of `fitting`, with one postcode or any.
pub(super) async fn along(
    database: &Database,
    deadline: Instant,
    fitting: &[Fitting<'_>],
    wanted: &Wanted,
) -> Result<Along, ApiError> {
    let Wanted { from, count, .. } = *wanted;
    // A street that two sources have, or that came under two names, is one street.
    let mut labels: Vec<(String, u64)> = Vec::new();
    let mut streets: Vec<(&Fitting<'_>, usize)> = Vec::new();
    for fitting in fitting {
        let spot = &fitting.spot;
        if streets.iter().any(|(known, _)| known.spot.street_pid == spot.street_pid) {
            continue;
        }
        let label = format!("{}, {} {}", spot.street_label(), spot.locality_name, spot.state);
        let rank = labels.iter().position(|(known, _)| *known == label).unwrap_or(labels.len());
        if rank == labels.len() {
            labels.push((label, 0));
        }
        labels[rank].1 = labels[rank].1.max(spot.addresses.max(0) as u64);
        streets.push((fitting, rank));
    }
    // Enough for the page and for a total that is capped. How many of a street's addresses have a postcode isn't known before.
    let mut short = (from + count) as u64 + MOST;
    let mut needed = |(_, addresses): &&(String, u64)| {
        let is_short = short > 0;
        short = short.saturating_sub(*addresses);
        is_short
    };
    let read = match wanted.postcode {
        Some(_) => KEYS,
        None => labels.iter().take_while(&mut needed).count(),
    };
    streets.retain(|(_, rank)| *rank < read);
    if streets.is_empty() {
        return Ok(Along { page: Vec::new(), total: 0, more: false });
    }
    let pids: Vec<&str> = streets.iter().map(|(fitting, _)| fitting.spot.street_pid.as_str()).collect();
    let ranks: Vec<i64> = streets.iter().map(|(_, rank)| *rank as i64).collect();
    let params: [&(dyn ToSql + Sync); 5] = [&pids, &ranks, &(from as i64), &(count as i64), &wanted.postcode];
    let rows = database.query(deadline, ALONG, &params).await?;
    let listed = |row: &Row| {
        let at: Option<i64> = row.get("at");
        let (fitting, _) = streets.get((at? - 1) as usize)?;
        // Low as its confidence is without a number, what is listed was asked for.
        scored(Record::from_row(row, fitting.spot.clone()), &fitting.fits, &Known::default())
    };
    let page = rows.iter().filter_map(listed).collect();
    let total = rows.first().map_or(0, |row| row.get::<_, i64>("total") as u64);
    Ok(Along { page, total, more: read < labels.len() })
}

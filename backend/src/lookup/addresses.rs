//! The statements that find addresses on streets that are known.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::keys::distinct;
use super::{Record, Spot, Wanted};
use crate::db::Database;
use crate::error::ApiError;
use crate::parse::{Head, Reading};
use crate::rank::{Fit, Known, Readings, Scored, best};

const AT: &str = include_str!("../sql/lookup/addresses_at.sql");
const ALONG: &str = include_str!("../sql/lookup/addresses_along.sql");
const OFF_STREET: &str = include_str!("../sql/lookup/addresses_off_street.sql");

/// Street and number combinations looked into, the best first.
const KEYS: usize = 120;
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
/// may be more of one.
pub(super) async fn numbered(
    database: &Database,
    deadline: Instant,
    fitting: &[Fitting<'_>],
    each: i64,
) -> Result<(Vec<Scored>, bool), ApiError> {
    // Several readings ask the same of a street, and a street may have come under several names.
    let mut asked: BTreeMap<Key, Vec<&Fitting<'_>>> = BTreeMap::new();
    let mut keys: Vec<Key> = Vec::new();
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
            scored.extend(judged(record, &asker.fits));
        }
    }
    Ok((scored, counts.contains(&each)))
}

fn judged(record: Record, fits: &[Fit<'_>]) -> Option<Scored> {
    scored(record, fits).filter(|scored| scored.score.confidence >= WORST)
}

fn scored(record: Record, fits: &[Fit<'_>]) -> Option<Scored> {
    let score = best(fits, &record)?;
    Some(Scored { label: record.place().label(), record, score })
}

/// Addresses that have a locality but no street.
pub(super) async fn off_street(
    database: &Database,
    deadline: Instant,
    readings: &[Reading],
    known: &Known,
) -> Result<Vec<Scored>, ApiError> {
    let asked = |r: &&Reading| r.street.is_none() && r.locality.is_some() && r.head.has_number();
    let readings: Vec<Reading> = readings.iter().filter(asked).cloned().collect();
    let keys = distinct(readings.iter().filter_map(|r| r.locality.as_ref()).map(|l| l.name.as_str()));
    let Some(head) = readings.first().map(|r| &r.head).filter(|_| !keys.is_empty()) else { return Ok(Vec::new()) };
    let numbers = vec![head.number.as_deref(); keys.len()];
    let lots = vec![head.lot.as_deref(); keys.len()];
    let rows = database.query(deadline, OFF_STREET, &[&keys, &numbers, &lots]).await?;
    let judge = Readings::new(&readings, false);
    let score = |row: &tokio_postgres::Row| {
        let spot = Spot::from_row(row);
        let fits = judge.fits(&spot, known);
        judged(Record::from_row(row, Arc::new(spot)), &fits)
    };
    Ok(rows.iter().filter_map(score).collect())
}

/// The addresses along streets.
pub(super) struct Along {
    pub page: Vec<Scored>,
    /// Addresses on all of these streets.
    pub total: u64,
}

/// `count` addresses after the first `from`, street by street in the order of `fitting`, with one postcode or any.
pub(super) async fn along(
    database: &Database,
    deadline: Instant,
    fitting: &[Fitting<'_>],
    wanted: &Wanted,
) -> Result<Along, ApiError> {
    let Wanted { from, count, .. } = *wanted;
    let postcode = wanted.postcode.as_deref();
    // A street that two sources have, or that came under two names, is one street.
    let mut labels: Vec<(String, u64)> = Vec::new();
    let mut streets: Vec<(&Fitting<'_>, i64)> = Vec::new();
    for spot in fitting {
        if streets.iter().any(|(known, _)| known.spot.street_pid == spot.spot.street_pid) {
            continue;
        }
        let label = format!("{}, {} {}", spot.spot.street_label(), spot.spot.locality_name, spot.spot.state);
        let rank = match labels.iter().position(|(known, _)| *known == label) {
            Some(rank) => rank,
            None => {
                labels.push((label, 0));
                labels.len() - 1
            }
        };
        labels[rank].1 += spot.spot.addresses.max(0) as u64;
        streets.push((spot, rank as i64));
    }
    let total = labels.iter().map(|(_, addresses)| addresses).sum();
    // Streets that lie wholly before or after the page need not be read, unless a postcode decides which addresses count.
    let (mut before, mut on_page, mut skipped) = (0_u64, Vec::new(), 0_u64);
    for (rank, (_, addresses)) in labels.iter().enumerate() {
        let (begin, end) = (before, before + addresses);
        before = end;
        if end <= from as u64 {
            skipped = end;
        } else if begin < (from + count) as u64 {
            on_page.push(rank as i64);
        }
    }
    match postcode {
        None => streets.retain(|(_, rank)| on_page.contains(rank)),
        Some(_) => (skipped, _) = (0, streets.truncate(KEYS)),
    }
    if streets.is_empty() {
        return Ok(Along { page: Vec::new(), total });
    }
    let pids: Vec<&str> = streets.iter().map(|(spot, _)| spot.spot.street_pid.as_str()).collect();
    let ranks: Vec<i64> = streets.iter().map(|(_, rank)| *rank).collect();
    let offset = from as i64 - skipped as i64;
    let rows = database.query(deadline, ALONG, &[&pids, &ranks, &offset, &(count as i64), &postcode]).await?;
    let mut page: Vec<Scored> = Vec::with_capacity(rows.len());
    for row in &rows {
        let at: i64 = row.get("at");
        let Some((spot, _)) = streets.get((at - 1) as usize) else { continue };
        let record = Record::from_row(row, spot.spot.clone());
        // Low as its confidence is without a number, what is listed was asked for.
        if let Some(next) =
            self::scored(record, &spot.fits).filter(|next| page.iter().all(|one| one.label != next.label))
        {
            page.push(next);
        }
    }
    let total = match postcode {
        None => total,
        Some(_) => rows.first().map_or(0, |row| row.get::<_, i64>("total") as u64),
    };
    Ok(Along { page, total })
}

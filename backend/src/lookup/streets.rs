//! The statements that find streets: by exact name, by a beginning, by a like name, in a neighbouring locality.

use std::collections::HashMap;

use tokio::time::Instant;
use tokio_postgres::Row;

use super::Spot;
use super::keys::{Anywhere, Begun, LeftOver, Pairs, distinct, postcode, state, streets_by_postcode};
use crate::db::Database;
use crate::error::ApiError;
use crate::input::coordinates::Position;
use crate::parse::{Left, Names, Possible, Reading, Town};
use crate::rank::Known;

const HERE: &str = include_str!("../sql/lookup/streets_here.sql");
const BEGUN: &str = include_str!("../sql/lookup/streets_begun.sql");
const ANYWHERE: &str = include_str!("../sql/lookup/streets_anywhere.sql");
const ALIKE: &str = include_str!("../sql/lookup/streets_alike.sql");
const ELSEWHERE: &str = include_str!("../sql/lookup/streets_elsewhere.sql");
const NEAR: &str = include_str!("../sql/lookup/streets_near.sql");
const KNOWN: &str = include_str!("../sql/lookup/names_known.sql");
const LIKE_LOCALITIES: &str = include_str!("../sql/lookup/localities_alike.sql");
const LIKE_WORDS: &str = include_str!("../sql/lookup/words_alike.sql");
const IN_LOCALITY: &str = include_str!("../sql/lookup/streets_in_locality.sql");

/// Asks on behalf of one request.
#[derive(Clone, Copy)]
pub(super) struct Streets<'a> {
    pub database: &'a Database,
    pub deadline: Instant,
}

fn spots(rows: &[Row]) -> Vec<Spot> {
    rows.iter().map(Spot::from_row).collect()
}

fn names_of(rows: &[Row]) -> Names {
    let mut names = Names::default();
    for row in rows {
        let name = row.get("name");
        match row.get("is_street") {
            true => _ = names.streets.insert(name),
            false => {
                let (latitude, longitude): (Option<f64>, Option<f64>) = (row.get("latitude"), row.get("longitude"));
                let point = latitude.zip(longitude).map(|(latitude, longitude)| Position { latitude, longitude });
                let town = Town { state: row.get("state"), postcodes: row.get("postcodes"), point };
                names.localities.entry(name).or_default().push(town);
            }
        }
    }
    names
}

/// Whether the statement had more to give than it may.
fn more(rows: &[Row]) -> bool {
    rows.first().is_some_and(|row| row.get("more"))
}

impl Streets<'_> {
    /// By exact name where the readings say they are.
    pub(super) async fn here(&self, readings: &[Reading]) -> Result<Vec<Spot>, ApiError> {
        let pairs = Pairs::finished(readings);
        let postcode = postcode(readings);
        let alone = if postcode.is_some() { streets_by_postcode(readings) } else { Vec::new() };
        self.exactly(&pairs, &alone, postcode).await
    }

    async fn exactly(&self, pairs: &Pairs, alone: &[String], postcode: Option<String>) -> Result<Vec<Spot>, ApiError> {
        if pairs.streets.is_empty() && alone.is_empty() {
            return Ok(Vec::new());
        }
        let rows =
            self.database.query(self.deadline, HERE, &[&pairs.streets, &pairs.localities, &alone, &postcode]).await?;
        Ok(spots(&rows))
    }

    /// By what the last word may be the beginning of.
    pub(super) async fn begun(&self, readings: &[Reading]) -> Result<Vec<Spot>, ApiError> {
        let keys = Begun::gather(readings);
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .database
            .query(
                self.deadline,
                BEGUN,
                &[
                    &keys.street,
                    &keys.locality_low,
                    &keys.locality_high,
                    &keys.low,
                    &keys.high,
                    &keys.locality,
                    &keys.in_postcode_low,
                    &keys.in_postcode_high,
                    &postcode(readings),
                ],
            )
            .await?;
        Ok(spots(&rows))
    }

    /// By name alone, the busiest first; and whether there are more.
    pub(super) async fn anywhere(&self, readings: &[Reading]) -> Result<(Vec<Spot>, bool), ApiError> {
        let keys = Anywhere::gather(readings);
        if keys.is_empty() {
            return Ok((Vec::new(), false));
        }
        let state = state(readings);
        let rows = self
            .database
            .query(self.deadline, ANYWHERE, &[&keys.street, &keys.types, &keys.locality, &keys.low, &keys.high, &state])
            .await?;
        Ok((spots(&rows), more(&rows)))
    }

    /// By a name that may be a misspelling, in the localities and the postcode of the readings.
    pub(super) async fn alike(&self, readings: &[Reading]) -> Result<Vec<Spot>, ApiError> {
        let pairs = Pairs::all(readings);
        let postcode = postcode(readings);
        let alone = match postcode {
            Some(_) => distinct(readings.iter().filter_map(|r| r.street.as_ref()).map(|s| s.name.as_str())),
            None => Vec::new(),
        };
        let rows =
            self.database.query(self.deadline, ALIKE, &[&pairs.streets, &pairs.localities, &alone, &postcode]).await?;
        Ok(spots(&rows))
    }

    /// By exact name, in localities whose name may be the misspelt one.
    pub(super) async fn elsewhere(&self, readings: &[Reading]) -> Result<Vec<Spot>, ApiError> {
        let pairs = Pairs::all(readings);
        let rows = self
            .database
            .query(self.deadline, ELSEWHERE, &[&pairs.streets, &pairs.localities, &state(readings)])
            .await?;
        Ok(spots(&rows))
    }

    /// By exact name in localities next to those of the readings.
    pub(super) async fn near(&self, readings: &[Reading]) -> Result<Vec<Spot>, ApiError> {
        let pairs = Pairs::finished(readings);
        let rows = self.database.query(self.deadline, NEAR, &[&pairs.streets, &pairs.localities]).await?;
        Ok(spots(&rows))
    }

    /// Which of the names that a text may hold exist.
    pub(super) async fn known(&self, possible: &Possible) -> Result<Names, ApiError> {
        let (streets, localities) = possible.names();
        let rows = self.database.query(self.deadline, KNOWN, &[&localities, &streets]).await?;
        Ok(names_of(&rows))
    }

    /// The localities that words left over name.
    pub(super) async fn towns(&self, readings: &[Reading]) -> Result<HashMap<String, Vec<Town>>, ApiError> {
        let left = readings.iter().flat_map(|reading| reading.left.iter());
        let names = left.filter_map(|left| match left {
            Left::Name { words, .. } => Some(words.as_str()),
            _ => None,
        });
        let none: [&str; 0] = [];
        let rows = self.database.query(self.deadline, KNOWN, &[&distinct(names), &none.as_slice()]).await?;
        Ok(names_of(&rows).localities)
    }

    /// The streets, in the localities or the postcode of the readings, that words left over name.
    pub(super) async fn left_over(&self, readings: &[Reading], known: &Known) -> Result<Vec<Spot>, ApiError> {
        let left = LeftOver::gather(readings, known);
        self.exactly(&left.pairs, &left.alone, postcode(readings)).await
    }

    /// Both street and locality misspelt: localities by trigrams, then the like streets in them; and without a locality,
    /// the streets' names by trigrams.
    pub(super) async fn guessed(&self, readings: &[Reading]) -> Result<Vec<Spot>, ApiError> {
        let pairs = Pairs::all(readings);
        let like = self.like(LIKE_LOCALITIES, &distinct(pairs.localities.iter().map(String::as_str))).await?;
        let meant = pairs.streets.iter().zip(&pairs.localities).flat_map(|(street, locality)| {
            like.iter().filter(move |(typed, _)| typed == locality).map(move |(_, name)| (street.clone(), name.clone()))
        });
        let (streets, localities): (Vec<String>, Vec<String>) = meant.unzip();
        let none: (Vec<String>, Option<String>) = Default::default();
        let mut found = match streets.is_empty() {
            true => Vec::new(),
            false => {
                spots(&self.database.query(self.deadline, ALIKE, &[&streets, &localities, &none.0, &none.1]).await?)
            }
        };
        let alone = readings.iter().filter(|r| r.locality.is_none()).filter_map(|r| r.street.as_ref());
        let alone = distinct(alone.map(|s| s.name.as_str()));
        let mut words: Vec<String> = self.like(LIKE_WORDS, &alone).await?.into_iter().map(|(_, name)| name).collect();
        words.sort_unstable();
        words.dedup();
        if !words.is_empty() {
            let any = vec![""; words.len()];
            let none: [&str; 0] = [];
            let rows = self
                .database
                .query(
                    self.deadline,
                    ANYWHERE,
                    &[&words, &any, &any, &none.as_slice(), &none.as_slice(), &state(readings)],
                )
                .await?;
            found.extend(spots(&rows));
        }
        Ok(found)
    }

    async fn like(&self, sql: &'static str, names: &[String]) -> Result<Vec<(String, String)>, ApiError> {
        let long: Vec<&String> = names.iter().filter(|name| name.len() >= 4).collect();
        if long.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.database.query(self.deadline, sql, &[&long]).await?;
        Ok(rows.iter().map(|row| (row.get("typed"), row.get("name"))).collect())
    }

    /// Streets of the localities that the readings name, or begin to name, and nothing else; and whether there are more.
    pub(super) async fn in_locality(&self, readings: &[Reading]) -> Result<(Vec<Spot>, bool), ApiError> {
        let alone = readings.iter().filter(|r| r.street.is_none()).filter_map(|r| r.locality.as_ref());
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for locality in alone.filter(|l| l.name.len() >= 3) {
            if !low.contains(&locality.name) {
                low.push(locality.name.clone());
                // A finished name is a range of one.
                high.push(if locality.open {
                    super::keys::end_of_range(&locality.name)
                } else {
                    format!("{}\u{1}", locality.name)
                });
            }
        }
        if low.is_empty() {
            return Ok((Vec::new(), false));
        }
        let rows = self
            .database
            .query(self.deadline, IN_LOCALITY, &[&low, &high, &state(readings), &postcode(readings)])
            .await?;
        Ok((spots(&rows), more(&rows)))
    }
}

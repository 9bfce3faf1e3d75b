//! From readings to the addresses that may be meant: streets first, then the addresses on them, in few bounded statements.
//!
//! The first stage looks names up exactly, as typed. Only when it finds nothing good does the second bend the order of the
//! words, correct spelling and look next door; what it finds is judged by `rank` like everything else.

mod addresses;
mod keys;
mod record;
mod streets;

use std::collections::BTreeSet;

use futures::future::try_join3;
use tokio::time::Instant;

use self::addresses::{Along, Fitting, along, fitting, numbered, off_street};
pub(crate) use self::record::{Record, Spot};
use self::streets::Streets;
use crate::db::Database;
use crate::error::ApiError;
use crate::parse::{Parsed, Reading, Typing};
use crate::rank::{Known, Readings, Scored, VALID, ranked};
use crate::tags::Tags;

/// Addresses of one street and number, or without a street, that are looked at.
const EACH: i64 = 200;
/// A place that costs no more than this is the one that was typed.
const SURE: u16 = 12;
/// Confidence of an address whose place and number are right and at most the unit is not.
const SETTLED: u8 = 60;
/// Matches counted; a larger total is said to be capped.
pub(crate) const MOST: u64 = 1_000;

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub typing: Typing,
    /// Only addresses in this state.
    pub state: Option<&'static str>,
    /// Only addresses with this postcode.
    pub postcode: Option<String>,
    /// Answers to skip.
    pub from: usize,
    /// Answers to give at most.
    pub count: usize,
    /// Whether the second stage is allowed.
    pub second_stage: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// From the best; only the page that was wanted.
    pub page: Vec<Scored>,
    /// Matches in all, at most [`MOST`].
    pub total: u64,
    pub total_is_capped: bool,
    /// The second stage would have been tried but was not allowed.
    pub degraded: bool,
    /// The text names no number, so that the page only lists what is there.
    pub listed: bool,
    /// A post office box, not a place.
    pub postal: bool,
    /// House and lot numbers that were looked for.
    numbers: BTreeSet<String>,
    /// Where the streets lie that the page lists or counts, if it lists.
    localities: BTreeSet<String>,
}

impl Found {
    /// A post office box.
    pub(crate) fn postal() -> Self {
        Self { postal: true, ..Self::default() }
    }

    /// The page that was wanted of all that was found, in order.
    pub(crate) fn page_of(ranked: Vec<Scored>, wanted: &Wanted) -> Self {
        let total = ranked.len() as u64;
        let page = ranked.into_iter().skip(wanted.from).take(wanted.count).collect();
        Self { page, total: total.min(MOST), total_is_capped: total > MOST, ..Self::default() }
    }

    /// Adds the tags by which a change reaches this answer. An address that appears, changes or goes purges its numbers and
    /// its locality; a change of the names of streets and localities purges `names`.
    pub(crate) fn tag(&self, tags: &mut Tags) {
        tags.mark("names");
        self.numbers.iter().for_each(|number| _ = tags.need("number", number));
        self.localities.iter().for_each(|pid| _ = tags.need("locality", pid));
        for scored in &self.page {
            let record = &scored.record;
            tags.hint("pid", &record.pid).hint("locality", &record.spot.locality_pid);
            record.postcode.iter().for_each(|postcode| _ = tags.hint("postcode", postcode));
        }
    }
}

/// Finds what `text` may mean.
///
/// # Errors
/// What the database says.
pub(crate) async fn find(
    database: &Database,
    deadline: Instant,
    text: &str,
    wanted: &Wanted,
) -> Result<Found, ApiError> {
    let parsed = Parsed::new(text, wanted.typing);
    if parsed.postal {
        return Ok(Found::postal());
    }
    let search = Search { streets: Streets { database, deadline }, wanted };
    let readings = wanted.added_to(parsed.readings.clone());
    let mut found = search.first(&readings).await?;
    if !found.is_good() {
        if wanted.second_stage {
            search.second(&parsed, readings.clone(), &mut found).await?;
        } else {
            found.degraded = true;
        }
    }
    search.page(found, &readings).await
}

impl Wanted {
    /// State and postcode asked for beside the text belong to every reading that has none.
    pub(crate) fn added_to(&self, mut readings: Vec<Reading>) -> Vec<Reading> {
        if self.state.is_none() && self.postcode.is_none() {
            return readings;
        }
        for reading in &mut readings {
            let mut tail = (*reading.tail).clone();
            if tail.states.is_empty() {
                tail.states.extend(self.state);
            }
            if tail.postcode.is_none() {
                tail.postcode.clone_from(&self.postcode);
            }
            reading.tail = tail.into();
        }
        readings
    }

    /// Whether it is in the state and the postcode asked for.
    pub(crate) fn allows(&self, scored: &Scored) -> bool {
        let record = &scored.record;
        self.state.is_none_or(|state| record.spot.state == state)
            && self.postcode.as_ref().is_none_or(|postcode| record.postcode.as_ref() == Some(postcode))
    }
}

/// What the stages hand on.
#[derive(Default)]
struct Collected {
    scored: Vec<Scored>,
    /// Places that fit a reading without a number, to list what is there.
    unnumbered: Vec<Spot>,
    /// The place that was typed exists.
    sure_spot: bool,
    degraded: bool,
    numbers: BTreeSet<String>,
    /// There is more than was looked at: units at a number, streets, localities.
    more: bool,
}

impl Collected {
    fn best(&self) -> u8 {
        self.scored.iter().map(|scored| scored.score.confidence).max().unwrap_or(0)
    }

    /// Nothing better is to be expected from corrections.
    fn is_good(&self) -> bool {
        let settled = self.best() >= SETTLED || self.numbers.is_empty();
        self.best() >= VALID || (self.sure_spot && settled)
    }

    fn add(&mut self, fitting: &[Fitting<'_>]) {
        self.sure_spot |= fitting.iter().any(|f| f.fits.iter().any(|fit| fit.verdict.points <= SURE));
        let bare = fitting.iter().filter(|f| f.fits.iter().any(|fit| !fit.reading.head.has_number()));
        for spot in bare.map(|f| &*f.spot) {
            if !self.unnumbered.contains(spot) {
                self.unnumbered.push(spot.clone());
            }
        }
    }
}

struct Search<'a> {
    streets: Streets<'a>,
    wanted: &'a Wanted,
}

impl Search<'_> {
    fn is_typing(&self) -> bool {
        self.wanted.typing == Typing::Going
    }

    /// Names exactly as typed, or begun.
    async fn first(&self, readings: &[Reading]) -> Result<Collected, ApiError> {
        let mut collected = Collected::default();
        let mut spots = self.streets.here(readings).await?;
        if self.is_typing() {
            spots.extend(self.streets.begun(readings).await?);
            if !self.promising(readings, &spots) {
                let (anywhere, more) = self.streets.anywhere(readings).await?;
                spots.extend(anywhere);
                collected.more = more;
            }
        }
        // What stands before the number may be a locality, and then it may contradict the rest.
        let known = match readings.iter().any(|reading| !reading.head.ignored.is_empty()) {
            true => Known { localities: self.streets.known(readings).await?, street: false },
            false => Known::default(),
        };
        self.collect(readings, spots, &known, false, &mut collected).await?;
        Ok(collected)
    }

    /// Whether one of these spots is what was typed, so that no wider look is needed.
    fn promising(&self, readings: &[Reading], spots: &[Spot]) -> bool {
        let judge = Readings::new(readings, false);
        let known = Known::default();
        spots.iter().any(|spot| judge.fits(spot, &known).first().is_some_and(|fit| fit.verdict.points <= SURE))
    }

    /// Other orders, other spellings, next door.
    async fn second(
        &self,
        parsed: &Parsed,
        mut readings: Vec<Reading>,
        collected: &mut Collected,
    ) -> Result<(), ApiError> {
        readings.extend(self.wanted.added_to(parsed.relaxed()));
        let streets = &self.streets;
        let (relaxed, alike, elsewhere) =
            try_join3(streets.here(&readings), streets.alike(&readings), streets.elsewhere(&readings)).await?;
        let (near, (anywhere, more_streets), known) =
            try_join3(streets.near(&readings), streets.anywhere(&readings), streets.known(&readings)).await?;
        let known = Known { localities: known, street: collected.sure_spot };
        let mut spots = relaxed;
        for others in [alike, elsewhere, near, anywhere] {
            spots.extend(others);
        }
        self.collect(&readings, spots, &known, true, collected).await?;
        let (off_street, more) = off_street(streets.database, streets.deadline, &readings, &known, EACH).await?;
        collected.more |= more_streets || more;
        collected.scored.extend(off_street.into_iter().filter(|scored| self.wanted.allows(scored)));
        if collected.best() < SETTLED && !collected.sure_spot {
            let spots = streets.guessed(&readings).await?;
            self.collect(&readings, spots, &known, true, collected).await?;
        }
        Ok(())
    }

    async fn collect(
        &self,
        readings: &[Reading],
        spots: Vec<Spot>,
        known: &Known,
        tolerant: bool,
        collected: &mut Collected,
    ) -> Result<(), ApiError> {
        let numbers = readings.iter().flat_map(|reading| [&reading.head.number, &reading.head.lot]).flatten();
        collected.numbers.extend(numbers.cloned());
        let judge = Readings::new(readings, tolerant);
        let fitting = fitting(&judge, spots, known);
        collected.add(&fitting);
        let Streets { database, deadline } = self.streets;
        let (scored, more) = numbered(database, deadline, &fitting, EACH).await?;
        collected.more |= more;
        collected.scored.extend(scored.into_iter().filter(|scored| self.wanted.allows(scored)));
        Ok(())
    }

    /// The page that was wanted: the addresses with the number, or those along the street when there is no number.
    async fn page(&self, collected: Collected, readings: &[Reading]) -> Result<Found, ApiError> {
        let Collected { scored, unnumbered, degraded, numbers, mut more, .. } = collected;
        if !scored.is_empty() {
            let found = Found::page_of(ranked(scored), self.wanted);
            let total_is_capped = found.total_is_capped || more;
            return Ok(Found { degraded, numbers, total_is_capped, ..found });
        }
        let bare: Vec<Reading> = readings.iter().filter(|r| !r.head.has_number()).cloned().collect();
        let mut spots = unnumbered;
        if spots.is_empty() && !bare.is_empty() {
            (spots, more) = self.streets.in_locality(&bare).await?;
        }
        let judge = Readings::new(&bare, true);
        spots.retain(|spot| self.wanted.state.is_none_or(|state| spot.state == state));
        let fitting = fitting(&judge, spots, &Known::default());
        let Streets { database, deadline } = self.streets;
        let localities = fitting.iter().map(|fitting| fitting.spot.locality_pid.clone()).collect();
        let Along { page, total, more: more_streets } = along(database, deadline, &fitting, self.wanted).await?;
        let (total, total_is_capped) = (total.min(MOST), total > MOST || more || more_streets);
        Ok(Found { page, total, total_is_capped, degraded, listed: true, postal: false, numbers, localities })
    }
}

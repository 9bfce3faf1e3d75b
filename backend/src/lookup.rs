//! From readings to the addresses that may be meant: streets first, then the addresses on them, in few bounded statements.
//!
//! The first stage looks names up exactly, as typed. Only when it finds nothing good does the second bend the order of the
//! words, correct spelling and look next door; what it finds is judged by `rank` like everything else.

mod addresses;
mod keys;
mod part;
mod streets;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::try_join;
use tokio::time::Instant;

use self::addresses::{Along, Fitting, along, fitting, nearest, numbered, off_street};
pub(crate) use self::part::{Part, find_part};
use self::streets::Streets;
use crate::db::Database;
use crate::error::ApiError;
use crate::parse::{Parsed, Reading, Typing};
use crate::rank::{Fit, Known, Readings, Scored, VALID, ranked};
use crate::record::{Record, Spot};
use crate::tags::Tags;

/// Addresses of one street and number, or without a street, that are looked at.
const EACH: i64 = 200;
/// A place that costs no more than this is the one that was typed.
const SURE: u16 = 12;
/// Confidence of an address whose place and number are right and at most the unit is not.
const SETTLED: u8 = 60;
/// Readings of what is left to suggest.
const LOOSE: usize = 64;
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

    /// The text names an address that isn't there, and the page only tells what is near.
    pub(crate) fn only_suggests(&self) -> bool {
        self.listed && !self.numbers.is_empty()
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
    let search = Search { streets: Streets { database, deadline }, wanted };
    let mut readings = wanted.added_to(parsed.readings.clone());
    let mut found = search.exact(&readings, &Known::default()).await?;
    let mut known = Known::default();
    if !found.is_settled() && found.best() >= VALID {
        // Most names left over are a company's: it is enough to know that they are no other place's.
        known = Known::of(&readings, search.streets.towns(&readings).await?);
        known.others = search.streets.left_over(&readings, &known).await?;
        found = search.judged_again(&readings, &known, found).await?;
    }
    if !found.is_settled() && found.best() < VALID {
        // Which of the names exist tells what the words are that are left, and the likelier readings.
        let possible = parsed.possible();
        let names = search.streets.known(&possible).await?;
        readings = wanted.added_to(parsed.familiar(possible, &names));
        known = Known::of(&readings, names.localities);
        known.others = search.streets.left_over(&readings, &known).await?;
        found = search.exact(&readings, &known).await?;
    }
    if !found.is_good() {
        if wanted.second_stage {
            search.second(&readings, &known, &mut found).await?;
        } else {
            found.degraded = true;
        }
    }
    let page = search.page(found, &readings, &known).await?;
    Ok(Found { postal: parsed.postal, ..page })
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

/// Whether it is the place that was typed. A name without a street type may be the suburb, or the type of what stands in front of it,
/// misspelt.
fn sure(fit: &Fit<'_>) -> bool {
    let bare = fit.reading.street.as_ref().is_some_and(|street| street.types.is_empty());
    fit.verdict.points <= SURE && !fit.reading.leaves_parts() && !(bare && fit.reading.leaves_names())
}

/// What the stages hand on.
#[derive(Default)]
struct Collected {
    scored: Vec<Scored>,
    /// Places that fit a reading without a number, to list what is there.
    unnumbered: Vec<Spot>,
    /// Places that fit a reading with a number, to suggest the nearest where there is no such number.
    numbered: Vec<Spot>,
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
        let best = self.scored.iter().max_by_key(|scored| scored.score.confidence);
        let confidence = best.map_or(0, |best| best.score.confidence);
        // A name that is left over may be the misspelt one.
        let explained = best.is_none_or(|best| !best.score.leaves_parts);
        let settled = self.numbers.is_empty() || (confidence >= SETTLED && explained);
        confidence >= VALID || (self.sure_spot && settled)
    }

    /// Every word of the text has a role in an address that exists, or in one of which only the unit is another, or in a street if it
    /// names no number.
    fn is_settled(&self) -> bool {
        let enough = if self.sure_spot { SETTLED } else { VALID };
        let explained = |scored: &Scored| scored.score.confidence >= enough && !scored.score.leaves_names;
        let best = self.best();
        self.scored.iter().any(|scored| explained(scored) && (best < VALID || scored.score.confidence >= VALID))
            || (self.sure_spot && self.numbers.is_empty())
    }

    fn add(&mut self, fitting: &[Fitting<'_>]) {
        self.sure_spot |= fitting.iter().any(|f| f.fits.iter().any(sure));
        for one in fitting {
            let has = |numbered: bool| one.fits.iter().any(|fit| fit.reading.head.has_number() == numbered);
            for (numbered, spots) in [(false, &mut self.unnumbered), (true, &mut self.numbered)] {
                if has(numbered) && !spots.contains(&one.spot) {
                    spots.push((*one.spot).clone());
                }
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
    async fn exact(&self, readings: &[Reading], known: &Known) -> Result<Collected, ApiError> {
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
        self.collect(readings, spots, known, false, &mut collected).await?;
        Ok(collected)
    }

    /// What was found, judged with what is known by now.
    async fn judged_again(&self, readings: &[Reading], known: &Known, found: Collected) -> Result<Collected, ApiError> {
        let Collected { mut numbered, unnumbered, more, .. } = found;
        numbered.extend(unnumbered.into_iter().filter(|spot| !numbered.contains(spot)).collect::<Vec<_>>());
        let mut again = Collected { more, ..Collected::default() };
        self.collect(readings, numbered, known, false, &mut again).await?;
        Ok(again)
    }

    /// Whether one of these spots is what was typed, so that no wider look is needed.
    fn promising(&self, readings: &[Reading], spots: &[Spot]) -> bool {
        let judge = Readings::new(readings, false);
        let known = Known::default();
        spots.iter().any(|spot| judge.fits(spot, &known).iter().any(sure))
    }

    /// Other spellings, next door.
    async fn second(&self, readings: &[Reading], known: &Known, collected: &mut Collected) -> Result<(), ApiError> {
        let streets = &self.streets;
        let (alike, elsewhere) = try_join(streets.alike(readings), streets.elsewhere(readings)).await?;
        let (near, (anywhere, more_streets)) = try_join(streets.near(readings), streets.anywhere(readings)).await?;
        let known = Known { street: collected.sure_spot, ..known.clone() };
        let mut spots = alike;
        for others in [elsewhere, near, anywhere] {
            spots.extend(others);
        }
        self.collect(readings, spots, &known, true, collected).await?;
        let (off_street, more) = off_street(streets.database, streets.deadline, readings, &known, EACH).await?;
        collected.more |= more_streets || more;
        collected.scored.extend(off_street.into_iter().filter(|scored| self.wanted.allows(scored)));
        if collected.best() < SETTLED && !collected.sure_spot {
            let spots = streets.guessed(readings).await?;
            self.collect(readings, spots, &known, true, collected).await?;
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
        let (scored, more) = numbered(database, deadline, &fitting, known, EACH).await?;
        collected.more |= more;
        collected.scored.extend(scored.into_iter().filter(|scored| self.wanted.allows(scored)));
        Ok(())
    }

    /// The page that was wanted: the addresses with the number, or the nearest to it, or those along the street when there is
    /// no number, or those of the town.
    async fn page(&self, collected: Collected, readings: &[Reading], known: &Known) -> Result<Found, ApiError> {
        let Collected { scored, unnumbered, numbered, degraded, numbers, mut more, .. } = collected;
        if !scored.is_empty() {
            let found = Found::page_of(ranked(scored), self.wanted);
            let total_is_capped = found.total_is_capped || more;
            return Ok(Found { degraded, numbers, total_is_capped, ..found });
        }
        let Streets { database, deadline } = self.streets;
        let allowed = |spot: &Spot| self.wanted.state.is_none_or(|state| spot.state == state);
        if !numbers.is_empty() {
            let judge = Readings::new(readings, true);
            let fitting = fitting(&judge, numbered.into_iter().filter(allowed).collect(), known);
            let near = nearest(database, deadline, &fitting, known).await?;
            let near: Vec<Scored> = near.into_iter().filter(|scored| self.wanted.allows(scored)).collect();
            if !near.is_empty() {
                return Ok(Found { degraded, numbers, listed: true, ..Found::page_of(ranked(near), self.wanted) });
            }
        }
        let bare: Vec<Reading> = match readings.iter().any(|r| !r.head.has_number()) {
            true => readings.iter().filter(|r| !r.head.has_number()).cloned().collect(),
            // Of an address that isn't there, what its words tell: the town, or the streets of that name.
            false => readings.to_vec(),
        };
        let mut spots = unnumbered;
        if spots.is_empty() && !bare.is_empty() {
            (spots, more) = self.streets.in_locality(&bare).await?;
        }
        let mut bare = bare;
        if spots.is_empty() && !self.is_typing() {
            bare = loosened(readings);
            (spots, more) = self.streets.in_locality(&bare).await?;
            if spots.is_empty() {
                (spots, more) = self.streets.anywhere(&bare).await?;
            }
        }
        let judge = Readings::new(&bare, true);
        spots.retain(allowed);
        let fitting = fitting(&judge, spots, known);
        let localities = fitting.iter().map(|fitting| fitting.spot.locality_pid.clone()).collect();
        let Along { mut page, total, more: more_streets } = along(database, deadline, &fitting, self.wanted).await?;
        // What shares no name with a finished text is no suggestion.
        let shares = |fit: &Fit<'_>, spot: &Spot| {
            let Reading { street, locality, .. } = fit.reading;
            street.as_ref().is_some_and(|street| street.name == spot.asked_name)
                || locality.as_ref().is_some_and(|locality| locality.name == spot.asked_locality)
        };
        let named: BTreeSet<&str> = fitting
            .iter()
            .filter(|one| one.fits.iter().any(|fit| shares(fit, &one.spot)))
            .map(|one| one.spot.street_pid.as_str())
            .collect();
        page.retain(|scored| {
            let Scored { record, score, .. } = scored;
            self.is_typing() || score.confidence > 0 || named.contains(record.spot.street_pid.as_str())
        });
        let (total, total_is_capped) = (total.min(MOST), total > MOST || more || more_streets);
        Ok(Found { page, total, total_is_capped, degraded, listed: true, postal: false, numbers, localities })
    }
}

/// The readings with only their locality, and with only their street: what is left to suggest of an address that isn't there.
fn loosened(readings: &[Reading]) -> Vec<Reading> {
    let mut loose: Vec<Reading> = Vec::new();
    for reading in readings {
        let bare = |street, locality| Reading { head: Arc::default(), street, locality, ..reading.clone() };
        let town = reading.locality.clone().map(|locality| bare(None, Some(locality)));
        let street = reading.street.clone().map(|street| bare(Some(street), None));
        for one in town.into_iter().chain(street) {
            if loose.len() < LOOSE && !loose.contains(&one) {
                loose.push(one);
            }
        }
    }
    loose
}

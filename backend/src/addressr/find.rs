//! From a text to addresses of the instance, read by our own parser and judged by our own match score.

use tokio::time::Instant;

use super::client::Client;
use super::shape::{Address, Line};
use crate::error::ApiError;
use crate::lookup::{Found, Wanted};
use crate::parse::{Parsed, Reading, Typing};
use crate::rank::{Known, Readings, Scored, VALID, best, ranked};
use crate::record::Record;

/// Pages of eight that one search may cost. What is written out is on the first.
const PAGES: usize = 3;
/// Worse than this is not even a suggestion.
const WORST: u8 = 20;
/// From here it is worth a call to learn all about an address.
const WORTHWHILE: u8 = 50;

/// A text, read.
pub(super) struct Asked {
    readings: Vec<Reading>,
    tolerant: bool,
}

impl Asked {
    fn judged(&self, record: Record) -> Option<Scored> {
        let fits = Readings::new(&self.readings, self.tolerant).fits(&record.spot, &Known::default());
        let score = best(&fits, &record, &Known::default())?;
        Some(Scored { label: record.place().label(), record, score })
    }

    /// Whether the text names no number, so that addresses are only listed.
    fn lists(&self) -> bool {
        self.readings.iter().all(|reading| !reading.head.has_number())
    }
}

/// Finds what `text` may mean, from the lines of the instance's own search.
///
/// # Errors
/// Those of [`Client::search`].
pub(super) async fn find(
    client: &Client,
    deadline: Instant,
    text: &str,
    wanted: &Wanted,
) -> Result<(Found, Asked), ApiError> {
    let parsed = Parsed::new(text, wanted.typing);
    let asked = Asked { readings: wanted.added_to(parsed.readings.clone()), tolerant: wanted.second_stage };
    if parsed.postal {
        return Ok((Found::postal(), asked));
    }
    let words = [Some(text), wanted.state, wanted.postcode.as_deref()];
    let words = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("q", &words).finish();
    let (mut next, mut scored) = (Some(query), Vec::new());
    let pages = if wanted.typing == Typing::Going { PAGES } else { 1 };
    for _ in 0..pages {
        let Some(query) = next.take_if(|_| scored.len() < wanted.from + wanted.count) else { break };
        let page = client.search::<Vec<Line>>(deadline, &query).await?;
        let judged = page.value.iter().filter_map(Line::record).filter_map(|record| asked.judged(record));
        scored.extend(judged.filter(|one| wanted.allows(one) && (asked.lists() || one.score.confidence >= WORST)));
        next = page.next;
    }
    let mut found = Found::page_of(ranked(scored), wanted);
    let good = found.page.first().is_some_and(|best| best.score.confidence >= VALID);
    found.degraded = !wanted.second_stage && !good;
    found.total_is_capped = next.is_some();
    found.listed = asked.lists();
    Ok((found, asked))
}

/// Learns all about the best of what was found, and judges it again.
///
/// # Errors
/// Those of [`Client::get`].
pub(super) async fn detailed(
    client: &Client,
    deadline: Instant,
    mut found: Found,
    asked: &Asked,
) -> Result<Found, ApiError> {
    let Some(best) = found.page.first_mut().filter(|best| best.score.confidence >= WORTHWHILE) else {
        return Ok(found);
    };
    let pid = best.record.pid.clone();
    if let Some(address) = client.get::<Address>(deadline, &["addresses", &pid], None).await?
        && let Some(judged) = asked.judged(address.value.record(&pid).0)
    {
        *best = judged;
    }
    Ok(found)
}

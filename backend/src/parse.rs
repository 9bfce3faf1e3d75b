//! From what a person typed to the few ways to read it as an address. Pure: no data but G-NAF's code tables. Which of the
//! readings is meant, the database tells (`lookup`) and `rank` judges.

pub(crate) mod codes;
mod head;
mod middle;
pub(crate) mod normal;
mod relaxed;
mod spelling;
mod tail;

use std::sync::Arc;

pub(crate) use self::head::{Head, Unit};
pub(crate) use self::middle::{Locality, Street};
use self::normal::{Word, Words, words};
pub(crate) use self::tail::{Tail, says_where};

/// Readings kept of one text, the likeliest; the worst of real addresses gives about eighty.
pub(crate) const MAX_READINGS: usize = 128;

/// Whether the last word may be half typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Typing {
    /// A client completes as its user types: the last word may be a beginning, unless something follows it.
    Going,
    /// The text is complete.
    Done,
}

/// One way to read a text as an address.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    pub head: Arc<Head>,
    pub street: Option<Street>,
    pub locality: Option<Locality>,
    pub tail: Arc<Tail>,
    /// The locality came before the street.
    pub swapped: bool,
    /// How far from likely, 0 best.
    pub oddity: u8,
}

/// A text, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// Likeliest first, at most [`MAX_READINGS`].
    pub readings: Vec<Reading>,
    /// A post office box or mail bag: no place.
    pub postal: bool,
    words: Words,
    typing: bool,
}

impl Parsed {
    /// Reads `text`; any text is accepted.
    pub(crate) fn new(text: &str, typing: Typing) -> Self {
        let words = words(text);
        let typing = typing == Typing::Going && !words.closed;
        let readings = bounded(in_order(&words.list, typing, &Tail::default()));
        Self { readings, postal: is_postal(&words.list), words, typing }
    }

    /// Readings that bend the usual order: the locality first, words that belong to no part. For when the usual ones
    /// found nothing good.
    pub(crate) fn relaxed(&self) -> Vec<Reading> {
        let usual: Vec<&Reading> = self.readings.iter().collect();
        bounded(relaxed::readings(&self.words.list, self.typing).into_iter().filter(|r| !usual.contains(&r)).collect())
    }
}

fn bounded(mut readings: Vec<Reading>) -> Vec<Reading> {
    readings.sort_by_key(|reading| reading.oddity);
    readings.truncate(MAX_READINGS);
    readings
}

/// The readings of `words` in the usual order: unit, number, street, locality, state, postcode.
fn in_order(words: &[Word], open: bool, junk: &Tail) -> Vec<Reading> {
    let mut readings = Vec::new();
    for (tail_order, (mut tail, end)) in tail::tails(words, open).into_iter().enumerate() {
        tail.junk.clone_from(&junk.junk);
        tail.junk_apart = junk.junk_apart;
        let (tail, addressed) = (Arc::new(tail), &words[..end]);
        for (head_order, (head, rest)) in head::heads(addressed).into_iter().enumerate() {
            let head = Arc::new(head);
            let extra = 3 * tail_order as u8 + head_order as u8;
            for middle in middle::middles(&addressed[rest..], open && end == words.len()) {
                readings.push(Reading {
                    head: head.clone(),
                    street: middle.street,
                    locality: middle.locality,
                    tail: tail.clone(),
                    swapped: false,
                    oddity: middle.oddity.saturating_add(extra),
                });
            }
        }
    }
    readings
}

fn is_postal(words: &[Word]) -> bool {
    let text = |at: usize| words.get(at).map_or("", |word| word.text.as_str());
    match text(0) {
        "PO" | "GPO" | "POBOX" | "GPOBOX" => text(0).ends_with("BOX") || matches!(text(1), "BOX" | "BX"),
        "P" => text(1) == "O" && text(2) == "BOX",
        "LOCKED" | "PRIVATE" => text(1) == "BAG",
        _ => false,
    }
}

#[cfg(test)]
#[path = "parse/tests.rs"]
mod tests;

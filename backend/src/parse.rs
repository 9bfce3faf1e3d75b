//! From what a person typed to the few ways to read it as an address. Every word gets a role: the text becomes a lattice of
//! what its words may be (`lattice`), of which the likeliest labellings are kept (`best`). Pure: no data but G-NAF's code
//! tables and closed word lists. Which names exist the database tells (`lookup`), and `rank` judges.

mod best;
mod clean;
pub(crate) mod codes;
mod lattice;
mod left;
mod middle;
pub(crate) mod normal;
mod premises;
mod spelling;
mod words;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use self::best::{Familiar, labellings};
use self::lattice::{Lattice, Role, Span};
pub(crate) use self::left::{Left, Where};
pub(crate) use self::middle::{Locality, Street};
use self::normal::{Words, words};
pub(crate) use self::premises::{Head, Unit};
pub(crate) use self::words::QUALIFIERS;

/// Readings kept of one text, the likeliest.
pub(crate) const MAX_READINGS: usize = 128;
/// Readings of one labelling: spellings of its street by spellings of its locality.
const PER_LABELLING: usize = 24;
/// Names of one text that the data is asked for.
const MAX_NAMES: usize = 1_200;

/// Whether the last word may be half typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Typing {
    /// A client completes as its user types: the last word may be a beginning, unless something follows it.
    Going,
    /// The text is complete.
    Done,
}

/// State and postcode.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Tail {
    /// The states it may be in; empty when none was written. Several only while the last word is being typed.
    pub states: Vec<&'static str>,
    pub postcode: Option<String>,
    /// The postcode is still being typed: its first digits.
    pub postcode_open: bool,
}

/// One way to read a text as an address.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    pub head: Arc<Head>,
    pub street: Option<Street>,
    pub locality: Option<Locality>,
    pub tail: Arc<Tail>,
    /// What the text says besides.
    pub left: Arc<Vec<Left>>,
    /// The locality came before the street.
    pub swapped: bool,
    /// How far from likely, 0 best.
    pub oddity: u8,
}

impl Reading {
    /// Words are left of which only the data can tell what they are.
    pub(crate) fn leaves_names(&self) -> bool {
        self.left.iter().any(|left| matches!(left, Left::Name { .. }))
    }

    /// Words are left where street and locality stand, so that they may be one of them, misspelt.
    pub(crate) fn leaves_parts(&self) -> bool {
        self.left.iter().any(|left| matches!(left, Left::Name { at, .. } if *at != Where::Front))
    }
}

/// Names in search form.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Names {
    pub streets: HashSet<String>,
    pub localities: HashSet<String>,
}

/// A text, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// Likeliest first, at most [`MAX_READINGS`], without knowledge of names.
    pub readings: Vec<Reading>,
    /// A post office box or mail bag: no place.
    pub postal: bool,
    words: Words,
    open: bool,
}

type Spans<T> = BTreeMap<(usize, usize), Vec<T>>;

/// Before the data was asked.
struct Unasked;

impl Familiar for Unasked {
    fn street(&self, _: usize, _: usize) -> Option<bool> {
        None
    }

    fn locality(&self, _: usize, _: usize) -> Option<bool> {
        None
    }
}

/// What every stretch of words may be called, and whether the data knows it by one of these names.
#[derive(Default)]
struct Asked {
    streets: Spans<Street>,
    localities: Spans<Locality>,
}

impl Familiar for Asked {
    fn street(&self, from: usize, to: usize) -> Option<bool> {
        Some(self.streets.contains_key(&(from, to)))
    }

    fn locality(&self, from: usize, to: usize) -> Option<bool> {
        Some(self.localities.contains_key(&(from, to)))
    }
}

impl Parsed {
    /// Reads `text`; any text is accepted.
    pub(crate) fn new(text: &str, typing: Typing) -> Self {
        let words = words(text);
        let open = typing == Typing::Going && !words.closed;
        let mut parsed = Self { readings: Vec::new(), postal: false, words, open };
        (parsed.readings, parsed.postal) = parsed.read(&Unasked, &Asked::default());
        parsed
    }

    /// The readings once it is known which names exist.
    pub(crate) fn familiar(&self, known: &Names) -> Vec<Reading> {
        let (mut streets, mut localities) = self.names();
        let begun = |name: &str, open: bool| open && name.len() >= 3;
        for all in streets.values_mut() {
            all.retain(|street| known.streets.contains(&street.name) || begun(&street.name, street.open));
        }
        for all in localities.values_mut() {
            all.retain(|locality| known.localities.contains(&locality.name) || begun(&locality.name, locality.open));
        }
        streets.retain(|_, all| !all.is_empty());
        localities.retain(|_, all| !all.is_empty());
        let asked = Asked { streets, localities };
        self.read(&asked, &asked).0
    }

    /// The names that the data may know: of streets and of localities.
    pub(crate) fn possible(&self) -> (Vec<String>, Vec<String>) {
        let (streets, localities) = self.names();
        let streets: BTreeSet<String> = streets.into_values().flatten().map(|street| street.name).collect();
        let localities: BTreeSet<String> = localities.into_values().flatten().map(|locality| locality.name).collect();
        (streets.into_iter().take(MAX_NAMES).collect(), localities.into_iter().take(MAX_NAMES).collect())
    }

    fn names(&self) -> (Spans<Street>, Spans<Locality>) {
        let words = &self.words.list;
        let lattice = Lattice::new(words, self.open);
        let (mut streets, mut localities) = (Spans::new(), Spans::new());
        for (from, spans) in lattice.spans.iter().enumerate() {
            for span in spans {
                let (key, open) = ((from, span.to), self.open && span.to == words.len());
                match span.role {
                    Role::Street => _ = streets.insert(key, middle::streets(&words[from..span.to], open)),
                    Role::Locality => _ = localities.insert(key, middle::localities(&words[from..span.to], open)),
                    _ => {}
                }
            }
        }
        (streets, localities)
    }

    fn read(&self, familiar: &dyn Familiar, asked: &Asked) -> (Vec<Reading>, bool) {
        let words = &self.words.list;
        let lattice = Lattice::new(words, self.open);
        let (mut readings, mut postal) = (Vec::new(), false);
        for (order, (spans, cost)) in labellings(&lattice, familiar).into_iter().enumerate() {
            let (reading, middle) = self.labelled(&spans);
            if order == 0 {
                let boxed = spans.iter().any(|(_, span)| span.role == Role::Postal);
                postal = boxed && !(reading.head.has_number() && middle.street.is_some());
            }
            // What names neither a street nor a town is a reading of nothing.
            if middle.street.is_none() && middle.locality.is_none() {
                continue;
            }
            let open = |to: usize| self.open && to == words.len();
            let streets = middle.street.map_or(vec![None], |(from, to)| {
                let known = asked.streets.get(&(from, to)).cloned();
                let all = known.unwrap_or_else(|| middle::streets(&words[from..to], open(to)));
                all.into_iter().map(Some).collect()
            });
            let localities = middle.locality.map_or(vec![None], |(from, to)| {
                let known = asked.localities.get(&(from, to)).cloned();
                let all = known.unwrap_or_else(|| middle::localities(&words[from..to], open(to)));
                all.into_iter().map(Some).collect()
            });
            let pairs = streets
                .iter()
                .enumerate()
                .flat_map(|(order, street)| localities.iter().map(move |l| (order, street, l)));
            for (order, street, locality) in pairs.take(PER_LABELLING) {
                let oddity = cost.saturating_add((order as u16).min(3)).min(250) as u8;
                readings.push(Reading {
                    street: street.clone(),
                    locality: locality.clone(),
                    oddity,
                    ..reading.clone()
                });
            }
        }
        readings.sort_by_key(|reading| reading.oddity);
        readings.truncate(MAX_READINGS);
        (readings, postal)
    }

    /// The reading of a labelling, without the names of its street and locality, and where these stand.
    fn labelled(&self, spans: &[(usize, &Span)]) -> (Reading, Middle) {
        let (mut head, mut tail, mut middle) = (Head::default(), Tail::default(), Middle::default());
        let mut left = left::Lefts::new(&self.words.list);
        let mut swapped = false;
        for &(from, span) in spans {
            match &span.role {
                Role::Flat { unit, several } => {
                    head.flat = Some(unit.clone());
                    left.several(*several);
                    left.guessed(unit, span.to);
                }
                Role::Block(unit) => head.block = Some(unit.clone()),
                Role::Level(unit) => head.level = Some(unit.clone()),
                Role::Lot { number, several } => {
                    head.lot = Some(number.clone());
                    left.several(*several);
                }
                Role::Plan => head.parcel = true,
                Role::Number { first, last } => {
                    head.number = Some(first.clone());
                    head.number_last.clone_from(last);
                    swapped |= middle.street.is_some();
                }
                Role::Street => {
                    swapped |= middle.locality.is_some();
                    middle.street = Some((from, span.to));
                }
                Role::Locality => middle.locality = Some((from, span.to)),
                Role::State(states) if tail.states.is_empty() => tail.states.clone_from(states),
                Role::Postcode { digits, open } if tail.postcode.is_none() => {
                    tail.postcode = Some(digits.clone());
                    tail.postcode_open = *open;
                }
                Role::State(_)
                | Role::Postcode { .. }
                | Role::Foreign
                | Role::Postal
                | Role::Beside
                | Role::Aside { .. }
                | Role::Stray
                | Role::Name => {
                    let address = head.has_number() || middle.street.is_some();
                    let told = !tail.states.is_empty() || tail.postcode.is_some();
                    let at = match (address, middle.street.is_some(), middle.locality.is_some(), told) {
                        (false, _, false, false) => Where::Front,
                        (_, true, _, true) => Where::Sealed,
                        (_, true, true, false) => Where::Behind,
                        _ => Where::Inside,
                    };
                    left.add(from, span, at);
                }
                Role::Again | Role::Country | Role::Contact | Role::Blank => {}
            }
        }
        if self.words.cut {
            left.cut();
        }
        // A tower may be what has no better unit.
        head.flat = head.flat.or_else(|| head.block.take());
        let reading = Reading {
            head: Arc::new(head),
            tail: Arc::new(tail),
            left: Arc::new(left.done()),
            swapped,
            ..Reading::default()
        };
        (reading, middle)
    }
}

/// Where street and locality stand in the words.
#[derive(Default)]
struct Middle {
    street: Option<(usize, usize)>,
    locality: Option<(usize, usize)>,
}

#[cfg(test)]
#[path = "parse/tests.rs"]
mod tests;

//! From what a person typed to the few ways to read it as an address. Every word gets a role: the text becomes a lattice of
//! what its words may be (`lattice`), of which the likeliest labellings are kept (`best`). Pure: no data but G-NAF's code
//! tables and closed word lists. Which names exist the database tells (`lookup`), and `rank` judges.

mod best;
mod characters;
mod clean;
pub(crate) mod codes;
mod lattice;
mod left;
mod middle;
pub(crate) mod normal;
mod premises;
mod spelling;
mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use self::best::{NARROW, WIDE, Width, labellings};
use self::lattice::{Lattice, Role, Span};
pub(crate) use self::left::{Left, Where};
pub(crate) use self::middle::{Locality, Street};
use self::normal::{Words, words};
pub(crate) use self::premises::{Head, Unit};
pub(crate) use self::words::QUALIFIERS;
use crate::input::coordinates::Position;

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
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Names {
    pub streets: HashSet<String>,
    pub localities: HashMap<String, Vec<Town>>,
}

/// A locality of some name.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Town {
    pub state: String,
    /// Of its addresses.
    pub postcodes: Vec<String>,
    pub point: Option<Position>,
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

/// The streets that a name left over may be, and the number in front of them; none where it does not end in a street type as
/// tables know it.
pub(crate) fn streets_named(name: &str) -> (Option<String>, Vec<Street>) {
    let mut list = words(name).list;
    while list.last().is_some_and(|word| matches!(word.text.as_str(), "AND" | "OR" | "AKA" | "ALSO")) {
        list.pop();
    }
    let numbers = list.iter().take_while(|word| premises::is_number(&word.text)).count();
    let named = middle::streets(&list[numbers..], false);
    let named = named.into_iter().filter(|street| !street.types.is_empty() && street.misspelt.is_none());
    (numbers.checked_sub(1).map(|last| list[last].text.clone()), named.collect())
}

/// The state that words say, all of them and nothing else, spelt as it may be.
pub(crate) fn state_named(name: &str) -> Option<&'static str> {
    codes::STATE
        .code(name)
        .or_else(|| codes::STATE.code(&name.replace(' ', "")))
        .or_else(|| codes::misspelt_state(name))
}

/// Whether words name another country, and nothing else.
pub(crate) fn is_foreign(name: &str) -> bool {
    self::words::lists(name).is_some_and(|lists| lists.foreign)
}

/// Whether a city or a region goes by this name, of which suburbs are a part.
pub(crate) fn is_city(name: &str) -> bool {
    self::words::CITIES.split('|').any(|city| city == name)
}

type Spans<T> = BTreeMap<(usize, usize), Vec<T>>;

/// What stretches of words may be called, by where they begin and end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Possible {
    streets: Spans<Street>,
    localities: Spans<Locality>,
}

impl Possible {
    /// The names that the data may know: of streets and of localities.
    pub(crate) fn names(&self) -> (Vec<&str>, Vec<&str>) {
        let streets: BTreeSet<&str> = self.streets.values().flatten().map(|street| street.name.as_str()).collect();
        let localities: BTreeSet<&str> = self.localities.values().flatten().map(|l| l.name.as_str()).collect();
        (streets.into_iter().take(MAX_NAMES).collect(), localities.into_iter().take(MAX_NAMES).collect())
    }
}

impl Parsed {
    /// Reads `text`; any text is accepted.
    pub(crate) fn new(text: &str, typing: Typing) -> Self {
        let words = words(text);
        let open = typing == Typing::Going && !words.closed;
        let mut parsed = Self { readings: Vec::new(), postal: false, words, open };
        let lattice = Lattice::new(&parsed.words.list, open);
        let (readings, postal) = parsed.read(&lattice, NARROW, &mut Possible::default());
        (parsed.readings, parsed.postal) = (readings, postal);
        parsed
    }

    /// The readings once it is known which of the possible names exist.
    pub(crate) fn familiar(&self, mut possible: Possible, known: &Names) -> Vec<Reading> {
        let begun = |name: &str, open: bool| open && name.len() >= 3;
        for all in possible.streets.values_mut() {
            all.retain(|street| known.streets.contains(&street.name) || begun(&street.name, street.open));
        }
        for all in possible.localities.values_mut() {
            all.retain(|locality| {
                known.localities.contains_key(&locality.name) || begun(&locality.name, locality.open)
            });
        }
        possible.streets.retain(|_, all| !all.is_empty());
        possible.localities.retain(|_, all| !all.is_empty());
        let mut lattice = Lattice::new(&self.words.list, self.open);
        lattice.doubt(|role, from, to| match role {
            Role::Street => possible.streets.contains_key(&(from, to)),
            _ => possible.localities.contains_key(&(from, to)),
        });
        self.read(&lattice, WIDE, &mut possible).0
    }

    /// What every stretch of words may be called.
    pub(crate) fn possible(&self) -> Possible {
        let lattice = Lattice::new(&self.words.list, self.open);
        let mut possible = Possible::default();
        for (from, spans) in lattice.spans.iter().enumerate() {
            for span in spans {
                match span.role {
                    Role::Street => _ = possible.streets.insert((from, span.to), self.streets(from, span.to)),
                    Role::Locality => _ = possible.localities.insert((from, span.to), self.localities(from, span.to)),
                    _ => {}
                }
            }
        }
        possible
    }

    fn streets(&self, from: usize, to: usize) -> Vec<Street> {
        middle::streets(&self.words.list[from..to], self.open && to == self.words.list.len())
    }

    fn localities(&self, from: usize, to: usize) -> Vec<Locality> {
        middle::localities(&self.words.list[from..to], self.open && to == self.words.list.len())
    }

    fn read(&self, lattice: &Lattice<'_>, width: Width, possible: &mut Possible) -> (Vec<Reading>, bool) {
        let (mut readings, mut postal) = (Vec::new(), false);
        for (order, (spans, cost)) in labellings(lattice, width).into_iter().enumerate() {
            let (reading, middle) = self.labelled(&spans);
            if order == 0 {
                let boxed = spans.iter().any(|(_, span)| span.role == Role::Postal);
                postal = boxed && !(reading.head.has_number() && middle.street.is_some());
            }
            // What names neither a street nor a town is a reading of nothing.
            if middle.street.is_none() && middle.locality.is_none() {
                continue;
            }
            let streets = middle.street.map_or(vec![None], |(from, to)| {
                let all = possible.streets.entry((from, to)).or_insert_with(|| self.streets(from, to));
                all.iter().cloned().map(Some).collect()
            });
            let localities = middle.locality.map_or(vec![None], |(from, to)| {
                let all = possible.localities.entry((from, to)).or_insert_with(|| self.localities(from, to));
                all.iter().cloned().map(Some).collect()
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
                    left.range(from, span.to);
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
                Role::Again | Role::Country | Role::Contact | Role::Blank | Role::Joint => {}
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

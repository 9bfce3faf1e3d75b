//! What a text says besides the address: nothing of it is passed over in silence.

use super::lattice::{Role, Span, begins, ends};
use super::normal::{Mark, Word};
use super::premises::{Unit, is_number, may_be_range};

/// Where words stand that are no part of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// Before all of it.
    Front,
    /// Among its parts.
    Inside,
    /// After street and locality.
    Behind,
    /// After state or postcode, which complete an address.
    Sealed,
}

/// Something a text says besides the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Words that only the data may know: a building's, a company's or a person's name, a city's, a region's.
    Name {
        /// In search form.
        words: String,
        at: Where,
        /// Commas, or the end of the address, set them apart.
        apart: bool,
        /// They end in a number, are one letter or are joined to a number by a slash, so that they may name a part of a building.
        numbered: bool,
    },
    /// A second state.
    State(Vec<&'static str>),
    /// A second postcode.
    Postcode(String),
    /// Another country.
    Foreign(String),
    /// The address is only what the place lies beside of.
    Beside(String),
    /// A remark to whoever delivers.
    Aside(String),
    /// A post office box or the like, beside the address.
    Postal,
    /// Digits that have no place in an address.
    Digits(String),
    /// More than one unit or lot was named.
    Several,
    /// `4-31` was taken for unit 4 of number 31; it may be a range as well.
    Guessed,
    /// The same where it can be no range, or `14/16` was taken for a range.
    Notation,
    /// The text is longer than any address.
    Cut,
}

/// Gathers what is left, in the order of the words.
pub(super) struct Lefts<'w> {
    words: &'w [Word],
    /// With the words that each takes.
    list: Vec<((usize, usize), Left)>,
}

impl<'w> Lefts<'w> {
    pub(super) fn new(words: &'w [Word]) -> Self {
        Self { words, list: Vec::new() }
    }

    pub(super) fn several(&mut self, several: bool) {
        if several {
            self.list.push(((0, 0), Left::Several));
        }
    }

    /// Whether the unit was told by a hyphen alone, as the first of a range is.
    pub(super) fn guessed(&mut self, unit: &Unit, to: usize) {
        let Some(next) = self.words.get(to).filter(|word| unit.kind.is_none() && word.mark == Mark::Hyphen) else {
            return;
        };
        let number = |text: &str| text.trim_end_matches(|c: char| c.is_ascii_uppercase()).parse::<u32>();
        let range = match (unit.number.as_deref().map(number), number(&next.text)) {
            (Some(Ok(first)), Ok(last)) => may_be_range(first, last),
            _ => true,
        };
        self.list.push(((0, 0), if range { Left::Guessed } else { Left::Notation }));
    }

    /// Whether the range from `from` up to `to` was told by a slash, as a unit is.
    pub(super) fn range(&mut self, from: usize, to: usize) {
        if self.words[from + 1..to].iter().any(|word| word.mark == Mark::Slash) {
            self.list.push(((0, 0), Left::Notation));
        }
    }

    pub(super) fn cut(&mut self) {
        self.list.push(((0, 0), Left::Cut));
    }

    pub(super) fn add(&mut self, from: usize, span: &Span, at: Where) {
        let text = self.words[from..span.to].iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
        let left = match &span.role {
            Role::State(states) => Left::State(states.clone()),
            Role::Postcode { digits, .. } => Left::Postcode(digits.clone()),
            Role::Foreign => Left::Foreign(text),
            Role::Beside => Left::Beside(text),
            Role::Aside { .. } => Left::Aside(text),
            Role::Postal => Left::Postal,
            Role::Stray => Left::Digits(text),
            _ => return self.name(from, span.to, at),
        };
        self.list.push(((from, span.to), left));
    }

    fn name(&mut self, from: usize, to: usize, at: Where) {
        let goes_on = self.words[from].mark != Mark::Comma;
        match self.list.last_mut() {
            Some((run, Left::Name { .. })) if run.1 == from && goes_on => run.1 = to,
            _ => {
                let name = Left::Name { words: String::new(), at, apart: true, numbered: false };
                self.list.push(((from, to), name));
            }
        }
    }

    /// All of it.
    pub(super) fn done(self) -> Vec<Left> {
        let words = self.words;
        let told = |((from, to), left): ((usize, usize), Left)| match left {
            Left::Name { at, .. } => {
                let text = words[from..to].iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
                let apart = match at {
                    Where::Front | Where::Sealed => true,
                    Where::Behind => begins(words, from),
                    Where::Inside => begins(words, from) && ends(words, to),
                };
                let joined = words.get(to).is_some_and(|word| word.mark == Mark::Slash && is_number(&word.text));
                let numbered = is_number(&words[to - 1].text) || text.len() == 1 || joined;
                Left::Name { words: text, at, apart, numbered }
            }
            left => left,
        };
        self.list.into_iter().map(told).collect()
    }
}

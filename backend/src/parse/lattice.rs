//! Every stretch of words that may play one part of an address, as a lattice: from code tables, closed word lists and the
//! shape of words. Names of streets and localities are any words here; which of them exist only the data knows.

use super::codes::{STATE, STREET_TYPE, SUFFIX};
use super::normal::{Mark, Word};
use super::premises::{self, Unit, is_digits};
use super::words::{Lists, lists};

/// More words than this make no address: fewer paths are kept, and shorter names.
pub(super) const LONG: usize = 24;

/// Words of the longest street name and of the longest locality name.
pub(super) const STREET_WORDS: usize = 7;
pub(super) const LOCALITY_WORDS: usize = 5;
/// Words of a remark that no comma ends.
const ASIDE_WORDS: usize = 8;
/// Words of the longest phrase in the lists.
const PHRASE_WORDS: usize = 5;

/// The part that a stretch of words plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A unit; several where more than one was named.
    Flat {
        unit: Unit,
        several: bool,
    },
    /// A building of a site, in which a unit may be.
    Block(Unit),
    Level(Unit),
    Lot {
        number: String,
        several: bool,
    },
    /// A plan that tells the lot's parcel.
    Plan,
    Number {
        first: String,
        last: Option<String>,
    },
    Street,
    Locality,
    /// The locality said again.
    Again,
    /// The states it may be, several while it is being typed.
    State(Vec<&'static str>),
    Postcode {
        digits: String,
        open: bool,
    },
    Country,
    /// Another country.
    Foreign,
    Postal,
    /// A preposition: the address is what the place is beside of.
    Beside,
    /// Said to whoever delivers; or where it is near, if that may be said only after the address or in a part of its own.
    Aside {
        after: bool,
    },
    /// A telephone number or a reference.
    Contact,
    /// Says that there is nothing to say.
    Blank,
    /// A preposition between the parts: `12 on Smith Street in Horsham`.
    Joint,
    /// Digits that have no place.
    Stray,
    /// Any other word.
    Name,
}

/// A stretch of words from where it is listed up to `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub to: usize,
    pub role: Role,
    /// How far from likely.
    pub cost: u16,
}

/// The words with what each may be.
pub(super) struct Lattice<'w> {
    pub words: &'w [Word],
    pub open: bool,
    /// By the word they begin with.
    pub spans: Vec<Vec<Span>>,
    /// Words that mean something by themselves and are no part of a company's or a person's name.
    pub claims: Vec<bool>,
}

impl<'w> Lattice<'w> {
    pub(super) fn new(words: &'w [Word], open: bool) -> Self {
        let mut lattice = Self { words, open, spans: vec![Vec::new(); words.len()], claims: vec![false; words.len()] };
        for at in 0..words.len() {
            lattice.phrases(at);
            lattice.prepositions(at);
            lattice.tail(at);
            lattice.names(at);
            for (span, claimed) in premises::spans(words, at) {
                lattice.add(at, span, claimed);
            }
            let text = &words[at].text;
            if text.bytes().any(|b| b.is_ascii_digit()) {
                lattice.add(at, Span { to: at + 1, role: Role::Stray, cost: 14 }, false);
            }
            lattice.add(at, Span { to: at + 1, role: Role::Name, cost: 0 }, false);
        }
        lattice
    }

    /// Makes names that don't exist unlikely.
    pub(super) fn doubt(&mut self, exists: impl Fn(&Role, usize, usize) -> bool) {
        for (at, spans) in self.spans.iter_mut().enumerate() {
            for span in spans.iter_mut().filter(|span| matches!(span.role, Role::Street | Role::Locality)) {
                span.cost += if exists(&span.role, at, span.to) { 0 } else { 5 };
            }
        }
    }

    fn add(&mut self, at: usize, span: Span, claimed: bool) {
        if claimed {
            self.claims[at..span.to].fill(true);
        }
        self.spans[at].push(span);
    }

    /// Whether a part begins here: nothing or a comma before it.
    pub(super) fn begins(&self, at: usize) -> bool {
        begins(self.words, at)
    }

    /// Whether a part ends before here.
    pub(super) fn ends(&self, at: usize) -> bool {
        ends(self.words, at)
    }

    fn phrases(&mut self, at: usize) {
        let words = self.words;
        let mut form = String::new();
        for to in at + 1..=(at + PHRASE_WORDS).min(words.len()) {
            if to > at + 1 {
                // A phrase doesn't cross a comma.
                if matches!(words[to - 1].mark, Mark::Comma) {
                    break;
                }
                form.push(' ');
            }
            form.push_str(&words[to - 1].text);
            let form = form.as_str();
            let plan = form.strip_prefix("ON ").or_else(|| form.strip_prefix("IN ")).unwrap_or(form);
            let plan = lists(plan).is_some_and(|lists| lists.plan);
            let is = lists(form).unwrap_or_default();
            if !plan && is == Lists::default() {
                continue;
            }
            let whole = self.begins(at) && self.ends(to);
            if is.postal {
                self.postal(at, to, form);
            }
            if plan {
                let to = words.get(to).filter(|w| matches!(w.text.as_str(), "NO" | "NUMBER")).map_or(to, |_| to + 1);
                if words.get(to).is_some_and(|w| has_digit(&w.text)) {
                    self.add(at, Span { to: to + 1, role: Role::Plan, cost: 0 }, false);
                }
            }
            if is.contact {
                self.contact(at, to);
            }
            let care = form != "C O" || words[at + 1].mark == Mark::Slash;
            if is.beside || (is.aside && care) {
                self.aside(at, to, is.beside);
            }
            // `Street: High`, but not the end of `High Street, 12 Smith Road`.
            let is_type = !STREET_TYPE.codes(&words[at].text).is_empty();
            if is.field && to < words.len() && (!is_type || self.begins(at)) {
                self.add(at, Span { to, role: Role::Blank, cost: 2 }, false);
            }
            if is.beside && to < words.len() {
                let leads = premises::begins_address(words, to);
                self.add(at, Span { to, role: Role::Beside, cost: 2 }, leads);
            }
            if is.blank && whole {
                self.add(at, Span { to, role: Role::Blank, cost: 0 }, false);
            }
            if is.country && (whole || to == words.len() || at == 0) {
                self.add(at, Span { to, role: Role::Country, cost: 0 }, false);
            }
            if is.foreign && (whole || at > 0 && to == words.len()) {
                self.add(at, Span { to, role: Role::Foreign, cost: 1 }, true);
            }
        }
        // `DP123456` in one word, and a telephone number without a word before it.
        let letters: String = words[at].text.chars().take_while(char::is_ascii_uppercase).collect();
        let digits = &words[at].text[letters.len()..];
        let known = lists(&letters).unwrap_or_default();
        if known.plan && is_digits(digits) {
            self.add(at, Span { to: at + 1, role: Role::Plan, cost: 0 }, false);
        }
        let fused = known.postal && letters.len() > 2 && is_digits(digits);
        if fused {
            self.add(at, Span { to: at + 1, role: Role::Postal, cost: 0 }, true);
        }
        let run =
            words[at..].iter().take(4).take_while(|w| is_digits(&w.text) && w.mark != Mark::Slash).collect::<Vec<_>>();
        let first = words[at].text.as_str();
        if first.starts_with('0') || first == "61" || first == "1300" || first == "1800" || first.len() >= 8 {
            for count in (1..=run.len()).rev() {
                let total: usize = run[..count].iter().map(|w| w.text.len()).sum();
                if (8..=13).contains(&total) {
                    self.add(at, Span { to: at + count, role: Role::Contact, cost: 1 }, false);
                }
            }
        }
    }

    /// `Two doors down from 12 Smith St` and `300 m north of` lead away from it, but not `Unit 3 of 12`; `on` and `in` join parts.
    fn prepositions(&mut self, at: usize) {
        let words = self.words;
        let spaced = |at: usize| words.get(at).is_some_and(|w| w.mark == Mark::Space);
        if at == 0 || !spaced(at) || !spaced(at + 1) {
            return;
        }
        let before = words[at - 1].text.as_str();
        match words[at].text.as_str() {
            "FROM" | "OF" | "TOWARDS"
                if !has_digit(before) && before != "CARE" && premises::begins_address(words, at + 1) =>
            {
                self.add(at, Span { to: at + 1, role: Role::Beside, cost: 0 }, true);
            }
            "IN" | "ON" if !has_digit(&words[at + 1].text) => {
                self.add(at, Span { to: at + 1, role: Role::Joint, cost: 2 }, false);
            }
            _ => {}
        }
    }

    /// `PO Box 12`, `RMB 37`: the number is the box's.
    fn postal(&mut self, at: usize, to: usize, form: &str) {
        let words = self.words;
        let to = match words.get(to).map(|w| w.text.as_str()) {
            Some("NO" | "NUMBER" | "NUM" | "NR" | "BOX") => to + 1,
            _ => to,
        };
        let numbered = words.get(to).is_some_and(|w| has_digit(&w.text) && w.mark != Mark::Comma);
        let vague = matches!(
            form,
            "BOX" | "BAG" | "MS" | "B P" | "CPA" | "CMA" | "RMS" | "MAIL SERVICE" | "POST OFFICE" | "GPO"
        );
        if !numbered {
            let alone = self.begins(at) && self.ends(to);
            if !vague || (alone && form == "GPO") {
                self.add(at, Span { to, role: Role::Postal, cost: 0 }, true);
            }
        } else if !matches!(form, "BOX" | "BAG") || self.begins(at) {
            // `PO Box 90-106 Smith Road` has no house number.
            let joined =
                words.get(to + 1).is_some_and(|w| matches!(w.mark, Mark::Hyphen | Mark::Slash) && has_digit(&w.text));
            let to = if joined { to + 2 } else { to + 1 };
            self.add(at, Span { to, role: Role::Postal, cost: 0 }, true);
        }
    }

    fn contact(&mut self, at: usize, to: usize) {
        let words = self.words;
        let to = words.get(to).filter(|w| matches!(w.text.as_str(), "NO" | "NUMBER" | "ON")).map_or(to, |_| to + 1);
        let digits =
            words[to.min(words.len())..].iter().take(5).take_while(|w| has_digit(&w.text) && w.mark != Mark::Comma);
        for count in 1..=digits.count() {
            self.add(at, Span { to: to + count, role: Role::Contact, cost: 1 }, false);
        }
    }

    /// From a word that begins a remark up to `from`, on to any word of its part.
    fn aside(&mut self, at: usize, from: usize, beside: bool) {
        for to in from + 1..=(from + ASIDE_WORDS).min(self.words.len()) {
            if self.words[to - 1].mark == Mark::Comma {
                break;
            }
            // `Opposite 19-21` names one number.
            if premises::connected(self.words, to).is_some() && has_digit(&self.words[to - 1].text) {
                continue;
            }
            let ends = self.ends(to);
            let role = Role::Aside { after: beside && !ends };
            self.add(at, Span { to, role, cost: if ends { 2 } else { 5 } }, false);
        }
    }

    /// State and postcode.
    fn tail(&mut self, at: usize) {
        let words = self.words;
        let letters = |words: &[Word]| words.iter().any(|w| !has_digit(&w.text));
        for to in at + 1..=(at + STATE.longest()).min(words.len()) {
            let form = words[at..to].iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
            // `N.S.W.`
            let spelled =
                (to - at >= 2 && words[at..to].iter().all(|w| w.text.len() == 1)).then(|| form.replace(' ', ""));
            let next = words.get(to);
            let before_postcode = next.is_some_and(|w| is_postcode(&w.text));
            if let Some(state) = STATE.code(spelled.as_deref().unwrap_or(&form)) {
                let closes = self.ends(to) || before_postcode;
                let short = form.len() <= 3 || spelled.is_some();
                let cost = match (closes, short, self.begins(at)) {
                    (true, ..) => 0,
                    (false, true, _) => 1,
                    (false, false, true) => 2,
                    (false, false, false) => 4,
                };
                // `Victoria Hotel, 12 Smith St` names a hotel, `Hotel Victoria` too.
                let claimed = closes && (short || self.begins(at) || before_postcode || at > words.len() / 2);
                self.add(at, Span { to, role: Role::State(vec![state]), cost }, claimed);
            } else if self.open && to == words.len() && at > 0 && letters(&words[..at]) {
                let states = STATE.codes_from(&form);
                if !states.is_empty() {
                    self.add(at, Span { to, role: Role::State(states), cost: 3 }, false);
                }
            }
        }
        let text = words[at].text.as_str();
        if is_postcode(text) {
            let digits = text.to_owned();
            self.add(at, Span { to: at + 1, role: Role::Postcode { digits, open: false }, cost: 0 }, false);
        } else if self.open && at + 1 == words.len() && is_digits(text) && text.len() < 4 && letters(&words[..at]) {
            let digits = text.to_owned();
            self.add(at, Span { to: at + 1, role: Role::Postcode { digits, open: true }, cost: 4 }, false);
        }
    }

    /// Whether the word is our own country's name.
    pub(super) fn is_country(&self, at: usize) -> bool {
        self.words.get(at).and_then(|word| lists(&word.text)).is_some_and(|lists| lists.country)
    }

    fn closes_with_state(&self, at: usize) -> bool {
        let next = self.words.get(at + 1);
        let typed = self.open && next.is_none();
        let closes = next.is_none_or(|next| is_postcode(&next.text));
        closes && !typed && matches!(self.words[at].text.as_str(), "NSW" | "VIC" | "QLD" | "TAS" | "ACT")
    }

    /// Streets and localities by their shape.
    fn names(&mut self, at: usize) {
        let words = self.words;
        let mut crossed = 0;
        // Of a text that is no address every stretch would be a name.
        let longest = if words.len() > LONG { STREET_WORDS / 2 } else { STREET_WORDS };
        for to in at + 1..=(at + STREET_WORDS).min(words.len()) {
            // A state that ends the text or stands before a postcode is no part of a name.
            if self.closes_with_state(to - 1) {
                break;
            }
            if to > at + 1 {
                crossed += match words[to - 1].mark {
                    Mark::Comma => 6,
                    Mark::Slash => 4,
                    Mark::And | Mark::Hyphen => 1,
                    Mark::Space => 0,
                };
            }
            if crossed > 5 || to - at > longest {
                break;
            }
            let open = self.open && to == words.len();
            let shape = street_shape(&words[at..to], open);
            if let Some(shape) = shape {
                self.add(at, Span { to, role: Role::Street, cost: shape + crossed }, false);
            }
            let count = to - at;
            let same = |(one, other): (&Word, &Word)| one.text == other.text;
            if count <= at && words[at - count..at].iter().zip(&words[at..to]).all(same) {
                self.add(at, Span { to, role: Role::Again, cost: 1 }, false);
            }
            let plain = words[at..to].iter().all(|w| !has_digit(&w.text)) || open;
            if to <= at + LOCALITY_WORDS && plain {
                self.add(at, Span { to, role: Role::Locality, cost: crossed }, false);
            }
        }
    }
}

/// How far from likely these words are as a street's name, none when they are none.
fn street_shape(words: &[Word], open: bool) -> Option<u16> {
    let text = |at: usize| words[at].text.as_str();
    let (count, last) = (words.len(), words.len() - 1);
    // A bare number is no street, an ordinal may be one.
    let numbers = words.iter().filter(|w| is_digits(&w.text)).count() as u16;
    if is_digits(text(0)) {
        return None;
    }
    let is_type = |word: &str| !STREET_TYPE.codes(word).is_empty();
    let typed = count > 1 && is_type(text(last));
    let suffixed = count > 2 && SUFFIX.code(text(last)).is_some() && is_type(text(last - 1));
    let cost = match () {
        () if typed || suffixed => 0,
        () if open => 1,
        () if count > 1 && SUFFIX.code(text(last)).is_some() => 3,
        () if count > 1 && !super::middle::misspelt_types(text(last)).is_empty() => 2,
        () => 3,
    };
    Some(cost + 4 * numbers)
}

pub(super) fn has_digit(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit())
}

/// Four digits.
pub(super) fn is_postcode(text: &str) -> bool {
    text.len() == 4 && is_digits(text)
}

/// Whether a part begins at this word.
pub(super) fn begins(words: &[Word], at: usize) -> bool {
    at == 0 || words.get(at).is_none_or(|w| apart(w.mark))
}

/// Whether a part ends before this word.
pub(super) fn ends(words: &[Word], at: usize) -> bool {
    words.get(at).is_none_or(|w| apart(w.mark))
}

fn apart(mark: Mark) -> bool {
    matches!(mark, Mark::Comma | Mark::Hyphen | Mark::Slash)
}

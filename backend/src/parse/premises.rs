//! What stands for a place on a street: unit, level, lot and house number, in whatever notation.

use super::codes::{FLAT_TYPE, LEVEL_TYPE, Table};
use super::lattice::{Role, Span, begins, ends, has_digit};
use super::normal::{Mark, Word};
use super::words::{number_in_words, ordinal};

/// A unit or a level: its kind where one was written, its number where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Unit {
    /// FLAT_TYPE or LEVEL_TYPE code; none for `1/23`.
    pub kind: Option<&'static str>,
    /// As displayed, such as `1`, `16B`, `G04`; none for `REAR` or `GROUND FLOOR`.
    pub number: Option<String>,
}

/// The place on a street.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Head {
    pub flat: Option<Unit>,
    /// The building of a site that the unit is in.
    pub block: Option<Unit>,
    pub level: Option<Unit>,
    pub lot: Option<String>,
    /// The lot is told with its plan: that names a parcel of land, beside the address.
    pub parcel: bool,
    pub number: Option<String>,
    pub number_last: Option<String>,
}

impl Head {
    /// Whether it names one place on a street.
    pub(crate) fn has_number(&self) -> bool {
        self.number.is_some() || self.lot.is_some()
    }
}

/// Unit words that often stand without a number of their own (`Rear 12 Smith St`).
const OFTEN_BARE: &[&str] =
    &["REAR", "GRGE", "SHED", "LOFT", "STU", "PTHS", "LBBY", "HALL", "CTGE", "STR", "BNGW", "BTSD", "KSK"];
/// Buildings of a site.
const BLOCKS: &[&str] = &["BLCK", "BLDG", "TWR"];
/// Units that have words for numbers (`Unit Alpha`).
const NAMED: &[&str] = &["UNIT", "FLAT", "APT", "VLLA", "TNHS", "SE"];
/// Words before a house number that say that it is one.
const LEADS: &[&[&str]] = &[
    &["NO"],
    &["NUM"],
    &["NUMBER"],
    &["NR"],
    &["NBR"],
    &["HOUSE"],
    &["HOUSE", "NO"],
    &["HOUSE", "NUMBER"],
    &["STREET", "NO"],
    &["STREET", "NUMBER"],
    &["ST", "NO"],
    &["PROPERTY"],
    &["PROPERTY", "NO"],
    &["AT"],
];

/// Digits with at most three letters before and two after: `12`, `12A`, `LG3`, `1021B`; `4TH` is a word.
pub(super) fn is_number(text: &str) -> bool {
    let digits_from = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let rest = &text[digits_from..];
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let after = &rest[digits..];
    let is_ordinal = digits_from == 0 && matches!(after, "ST" | "ND" | "RD" | "TH");
    digits_from <= 3
        && (1..=6).contains(&digits)
        && after.len() <= 2
        && after.bytes().all(|b| b.is_ascii_uppercase())
        && !is_ordinal
}

pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

fn is_letters(text: &str, most: usize) -> bool {
    text.len() <= most && text.bytes().all(|b| b.is_ascii_uppercase())
}

/// Without leading zeros: `030B` is 30B.
fn plain(text: &str) -> String {
    let short = text.trim_start_matches('0');
    if short.starts_with(|c: char| c.is_ascii_digit()) { short } else { text }.to_owned()
}

fn text(words: &[Word], at: usize) -> &str {
    words.get(at).map_or("", |word| word.text.as_str())
}

fn mark(words: &[Word], at: usize) -> Mark {
    words.get(at).map_or(Mark::Comma, |word| word.mark)
}

/// A house number, or a house number with a letter apart, at `at`, and the words it takes.
fn number_at(words: &[Word], at: usize) -> Option<(String, usize)> {
    let word = text(words, at);
    (is_number(word) && starts_with_digit(word)).then(|| (plain(word), 1))
}

/// A connector of two numbers before `at`, and the index of the second.
pub(super) fn connected(words: &[Word], at: usize) -> Option<usize> {
    let number = |at: usize| is_number(text(words, at)) && starts_with_digit(text(words, at));
    if matches!(mark(words, at), Mark::Hyphen | Mark::And) && number(at) {
        return Some(at);
    }
    let word = matches!(text(words, at), "TO" | "AND" | "THROUGH" | "THRU" | "TILL" | "UNTIL");
    (word && number(at + 1)).then_some(at + 1)
}

/// Whether unit, number or a street with one begins here, so that a preposition before it leads away from it.
pub(super) fn begins_address(words: &[Word], at: usize) -> bool {
    let number = |at: usize| is_number(text(words, at));
    number(at) || (!number_keyword(words, at).is_empty()) || LEADS.iter().any(|lead| led(words, at, lead).is_some())
}

fn led(words: &[Word], at: usize, lead: &[&str]) -> Option<usize> {
    let matches = lead.iter().enumerate().all(|(n, word)| text(words, at + n) == *word);
    let from = at + lead.len();
    (matches && is_number(text(words, from))).then_some(from)
}

/// Everything at `at` that may be a unit, a level, a lot or a number, and whether it can't be part of a name.
pub(super) fn spans(words: &[Word], at: usize) -> Vec<(Span, bool)> {
    let mut spans = number_keyword(words, at);
    spans.extend(ordinal_level(words, at).map(|span| (span, true)));
    let mut add = |to: usize, role: Role, cost: u16| spans.push((Span { to, role, cost }, false));
    let word = text(words, at);
    let hash = words[at].hash;
    if is_number(word) {
        let next = text(words, at + 1);
        let slash = mark(words, at + 1) == Mark::Slash && is_number(next);
        let unit = Unit { kind: None, number: Some(plain(word)) };
        if slash || hash {
            add(at + 1, Role::Flat { unit: unit.clone(), several: false }, 0);
        }
        if slash && at > 0 && mark(words, at) == Mark::Slash {
            add(at + 1, Role::Level(unit.clone()), 1);
        }
        // `1 23 Smith St`
        let bare =
            matches!(mark(words, at + 1), Mark::Space | Mark::Comma) && starts_with_digit(next) && is_number(next);
        if bare && starts_with_digit(word) && !slash {
            add(at + 1, Role::Flat { unit: unit.clone(), several: false }, 2);
        }
        // `4-31 Smith St`, where there is no such range
        if mark(words, at + 1) == Mark::Hyphen && starts_with_digit(next) && is_number(next) && starts_with_digit(word)
        {
            add(at + 1, Role::Flat { unit: unit.clone(), several: false }, 4);
        }
        // `LG3 12 Smith St`
        if !starts_with_digit(word) && !slash && is_number(next) {
            add(at + 1, Role::Flat { unit: unit.clone(), several: false }, 2);
        }
        // `12 Smith St, 3, Horsham` and `Smith St 12/3` are no notation of a unit that anyone could be sure of.
        if word.starts_with('L') && starts_with_digit(&word[1..]) {
            add(at + 1, Role::Lot { number: word[1..].to_owned(), several: false }, 3);
        }
    }
    // `C 804/21`: the block's letter is part of the unit's number.
    if is_letters(word, 2)
        && is_number(text(words, at + 1))
        && mark(words, at + 1) != Mark::Comma
        && mark(words, at + 2) == Mark::Slash
    {
        let number = Some(format!("{word}{}", plain(text(words, at + 1))));
        add(at + 2, Role::Flat { unit: Unit { kind: None, number }, several: false }, 0);
        let block = Unit { kind: Some("BLCK"), number: Some(word.to_owned()) };
        add(at + 1, Role::Block(block), 1);
    }
    // `A/23`
    if is_letters(word, 2) && mark(words, at + 1) == Mark::Slash && is_number(text(words, at + 1)) {
        let unit = Unit { kind: None, number: Some(word.to_owned()) };
        add(at + 1, Role::Flat { unit, several: false }, 0);
    }
    for lead in LEADS {
        if let Some(from) = led(words, at, lead) {
            numbers(words, from, &mut |to, role, cost| add(to, role, cost));
        }
    }
    numbers(words, at, &mut |to, role, cost| add(to, role, cost + if hash { 2 } else { 0 }));
    // `Eight Smith Street`
    if begins(words, at)
        && !is_number(text(words, at + 1))
        && let Some(first) = number_in_words(word)
    {
        add(at + 1, Role::Number { first, last: None }, 3);
    }
    // `14/16 Smith St`, where there is no unit 14
    if let (Ok(first), Ok(last)) = (word.parse::<u32>(), text(words, at + 1).parse::<u32>())
        && mark(words, at + 1) == Mark::Slash
        && may_be_range(first, last)
    {
        add(at + 2, Role::Number { first: plain(word), last: Some(plain(text(words, at + 1))) }, 5);
    }
    spans
}

/// Whether two numbers of a street may be the ends of one range: they rise, on one side of the street.
pub(super) fn may_be_range(first: u32, last: u32) -> bool {
    first < last && last - first <= 40 && (last - first).is_multiple_of(2)
}

/// House numbers that begin at `from`.
fn numbers(words: &[Word], from: usize, add: &mut dyn FnMut(usize, Role, u16)) {
    let word = text(words, from);
    if !is_number(word) {
        return;
    }
    let first = plain(word);
    let mut joined = |to: usize, first: &str, last: Option<&str>, cost: u16| {
        let last = last.map(str::to_owned);
        add(to, Role::Number { first: first.to_owned(), last: last.clone() }, cost);
        // `12 A Smith St` is 12A, unless the street is called A Smith.
        let letter = text(words, to);
        let digits = is_digits(last.as_deref().unwrap_or(first));
        if letter.len() == 1
            && is_letters(letter, 1)
            && mark(words, to) != Mark::Comma
            && to + 1 < words.len()
            && digits
        {
            let role = match last {
                Some(last) => Role::Number { first: first.to_owned(), last: Some(last + letter) },
                None => Role::Number { first: first.to_owned() + letter, last: None },
            };
            add(to + 1, role, cost);
        }
    };
    if let Some(second) = connected(words, from + 1) {
        let (last, used) = number_at(words, second).unwrap_or_default();
        joined(second + used, &first, Some(&last), 0);
        joined(from + 1, &first, None, 6);
    } else if text(words, from + 1).len() == 1
        && is_letters(text(words, from + 1), 1)
        && let Some(second) = connected(words, from + 2)
        && let Some((last, used)) = number_at(words, second)
    {
        // `12 A - 14 B`
        joined(second + used, &format!("{first}{}", text(words, from + 1)), Some(&last), 0);
    } else {
        joined(from + 1, &first, None, if starts_with_digit(word) { 0 } else { 1 });
    }
    if words.get(from + 1).is_some_and(|w| w.thousands) {
        joined(from + 2, &format!("{first}{}", text(words, from + 1)), None, 1);
    }
}

/// A code of `table` written at `at` in one or more words: the code and the number of words. No comma is crossed.
fn keyword(words: &[Word], at: usize, table: &Table) -> Option<(&'static str, usize)> {
    (1..=table.longest()).rev().find_map(|count| {
        let phrase = words.get(at..at + count)?;
        if phrase[1..].iter().any(|w| w.mark == Mark::Comma) {
            return None;
        }
        let form = phrase.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
        // `Villas 7 & 8`
        let one = || table.code(form.strip_suffix('S').filter(|one| one.len() > 3)?);
        Some((table.code(&form).or_else(one)?, count))
    })
}

/// Units, levels and lots that a word announces.
fn number_keyword(words: &[Word], at: usize) -> Vec<(Span, bool)> {
    let mut found = Vec::new();
    let word = text(words, at);
    if let Some(digits_from) = word.find(|c: char| c.is_ascii_digit()).filter(|&at| at > 0) {
        fused(words, at, digits_from, &mut found);
        return found;
    }
    if matches!(word, "LOT" | "LOTS") {
        for (number, several, to) in numbered(words, at + 1, false, true) {
            found.push((Span { to, role: Role::Lot { number, several }, cost: u16::from(several) }, true));
        }
        return found;
    }
    for table in [&*FLAT_TYPE, &*LEVEL_TYPE] {
        let Some((kind, count)) = keyword(words, at, table) else { continue };
        let is_level = std::ptr::eq(table, &*LEVEL_TYPE);
        let from = at + count;
        let role = |number: Option<String>, several: bool| {
            let unit = Unit { kind: Some(kind), number };
            match () {
                () if is_level => Role::Level(unit),
                () if BLOCKS.contains(&kind) => Role::Block(unit),
                () => Role::Flat { unit, several },
            }
        };
        let named = !is_level && NAMED.contains(&kind) && word.len() > 2;
        for (number, several, to) in numbered(words, from, named, false) {
            // A single letter such as F or B is a unit or level word only where a house number follows.
            let other = has_number(words, to) || has_number_before(words, at);
            if other || word.len() > 1 {
                let role = role(Some(number.clone()), several);
                let house = kind == "HSE" || OFTEN_BARE.contains(&kind);
                let cost = if house && !other { 4 } else { u16::from(several) };
                found.push((Span { to, role, cost }, !house));
            }
        }
        // `Rear 12 Smith St`, `Ground Floor, 12 Smith St`: no number of its own.
        let ends = ends(words, from) || from == words.len();
        let before_number = is_number(text(words, from)) || !number_keyword_begins(words, from).is_empty();
        let of = text(words, from) == "OF" && is_number(text(words, from + 1));
        let floor = matches!(word, "UPSTAIRS" | "DOWNSTAIRS" | "TOP" | "UPPER" | "LOWER");
        let level = is_level && (floor || !matches!(kind, "L" | "FL")) && word.len() > 1;
        let bare = level || (!is_level && OFTEN_BARE.contains(&kind));
        if bare && (before_number || of || (ends && begins(words, at))) {
            let to = if of { from + 1 } else { from };
            found.push((Span { to, role: role(None, false), cost: u16::from(!before_number) }, begins(words, at)));
        }
        if kind == "HSE" && is_number(text(words, from)) {
            found.push((Span { to: from, role: Role::Blank, cost: 2 }, false));
        }
    }
    found
}

/// Whether a unit, level or lot word with a number stands here.
fn number_keyword_begins(words: &[Word], at: usize) -> Vec<()> {
    let known = keyword(words, at, &FLAT_TYPE).or_else(|| keyword(words, at, &LEVEL_TYPE));
    known.filter(|(_, count)| is_number(text(words, at + count))).map(|_| ()).into_iter().collect()
}

fn has_number(words: &[Word], from: usize) -> bool {
    words[from.min(words.len())..].iter().any(|word| is_number(&word.text))
}

fn has_number_before(words: &[Word], at: usize) -> bool {
    words[..at].iter().any(|word| is_number(&word.text))
}

/// The numbers that a unit, level or lot word may have, whether several were named, and the index after each. `named`: a word may
/// be one; `alone`: no house number need follow.
fn numbered(words: &[Word], at: usize, named: bool, alone: bool) -> Vec<(String, bool, usize)> {
    let from = match text(words, at) {
        "NO" | "NUM" | "NUMBER" | "NR" | "NBR" | "NOS" | "NUMBERS" => at + 1,
        _ => at,
    };
    let word = text(words, from);
    if mark(words, from) == Mark::Comma {
        return Vec::new();
    }
    if is_number(word) {
        let one = (plain(word), false, from + 1);
        // `Units 4 & 5, 12 Smith St`; `Unit 4-12 Smith St` is unit 4 of number 12.
        let second = connected(words, from + 1).filter(|&second| alone || has_number(words, second + 1));
        return second.map(|second| (plain(word), true, second + 1)).into_iter().chain([one]).collect();
    }
    if let Some(number) = number_in_words(word) {
        return vec![(number, false, from + 1)];
    }
    let next = words.get(from + 1);
    // `Unit C 804`, `Unit A, 23 Smith St`
    let letter = is_letters(word, 2) && next.is_some_and(|next| is_number(&next.text) || next.mark == Mark::Comma);
    let ends = next.is_none_or(|next| next.mark == Mark::Comma || is_number(&next.text));
    let named = named && ends && !has_digit(word) && word.len() <= 10;
    if letter || named { vec![(word.to_owned(), false, from + 1)] } else { Vec::new() }
}

/// `U1`, `LVL2`, `LOT12`: a keyword and its number in one word.
fn fused(words: &[Word], at: usize, digits_from: usize, found: &mut Vec<(Span, bool)>) {
    let (key, number) = text(words, at).split_at(digits_from);
    if !is_number(number) {
        return;
    }
    let other = has_number(words, at + 1) || has_number_before(words, at);
    let number = plain(number);
    if key == "LOT" {
        found.push((Span { to: at + 1, role: Role::Lot { number, several: false }, cost: 0 }, true));
        return;
    }
    // `G04/12` is unit G04, `L4/12` level 4.
    let slash = mark(words, at + 1) == Mark::Slash;
    let several = connected(words, at + 1).filter(|&second| has_number(words, second + 1));
    let to = several.map_or(at + 1, |second| second + 1);
    let several = several.is_some();
    let shop = (key == "S" && slash).then_some("SHOP");
    if let Some(kind) = FLAT_TYPE.code(key).or(shop).filter(|_| other) {
        let unit = Unit { kind: Some(kind), number: Some(number.clone()) };
        let role = if BLOCKS.contains(&kind) { Role::Block(unit) } else { Role::Flat { unit, several } };
        found.push((Span { to, role, cost: 0 }, true));
    }
    if let Some(kind) = LEVEL_TYPE.code(key).filter(|_| other) {
        let unit = matches!(kind, "G" | "B" | "M" | "LG" | "UG" | "P");
        let cost = if slash && unit { 3 } else { 0 };
        let role = Role::Level(Unit { kind: Some(kind), number: Some(number) });
        found.push((Span { to: at + 1, role, cost }, false));
    }
}

/// `2nd floor`, `Second Level`: an ordinal before a level word.
fn ordinal_level(words: &[Word], at: usize) -> Option<Span> {
    let number = Some(ordinal(text(words, at))?);
    let kind = LEVEL_TYPE.code(text(words, at + 1)).filter(|kind| matches!(*kind, "L" | "FL"))?;
    Some(Span { to: at + 2, role: Role::Level(Unit { kind: Some(kind), number }), cost: 0 })
}

//! What stands before the street: unit, level, lot and house number, after words that only name the building.

use super::codes::{FLAT_TYPE, LEVEL_TYPE, Table};
use super::normal::{Mark, Word};

/// A unit or a level: its kind where one was written, its number where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Unit {
    /// FLAT_TYPE or LEVEL_TYPE code; none for `1/23`.
    pub kind: Option<&'static str>,
    /// As displayed, such as `1`, `16B`, `G04`; none for `REAR` or `GROUND FLOOR`.
    pub number: Option<String>,
}

/// The part of an address before its street.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// Words that were passed over: a building's or a person's name.
    pub ignored: Vec<String>,
    pub flat: Option<Unit>,
    pub level: Option<Unit>,
    pub lot: Option<String>,
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
const OFTEN_BARE: &[&str] = &["REAR", "GRGE", "SHED", "LOFT", "STU", "PTHS", "LBBY", "HALL", "HSE", "CTGE", "STR"];

/// Digits with at most three letters before and two after: `12`, `12A`, `LG3`, `1021B`; `4TH` is a word.
pub(super) fn is_number(text: &str) -> bool {
    let digits_from = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let rest = &text[digits_from..];
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let after = &rest[digits..];
    let ordinal = digits_from == 0 && matches!(after, "ST" | "ND" | "RD" | "TH");
    digits_from <= 3
        && (1..=6).contains(&digits)
        && after.len() <= 2
        && after.bytes().all(|b| b.is_ascii_uppercase())
        && !ordinal
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

fn is_letters(text: &str, most: usize) -> bool {
    text.len() <= most && text.bytes().all(|b| b.is_ascii_uppercase())
}

/// The first index from `from` where a number stands.
fn next_number(words: &[Word], from: usize) -> Option<usize> {
    (from..words.len()).find(|&at| is_number(&words[at].text))
}

/// A code of `table` written at `at` in one or more words: the code and the number of words.
fn keyword(words: &[Word], at: usize, table: &Table) -> Option<(&'static str, usize)> {
    (1..=table.longest()).rev().find_map(|count| {
        let phrase = words.get(at..at + count)?;
        let form = phrase.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
        Some((table.code(&form)?, count))
    })
}

/// `U1`, `LVL2`: a keyword and its number in one word.
fn fused(text: &str, table: &Table) -> Option<Unit> {
    let digits_from = text.find(|c: char| c.is_ascii_digit()).filter(|&at| at > 0)?;
    let number = &text[digits_from..];
    let kind = table.code(&text[..digits_from])?;
    is_number(number).then(|| Unit { kind: Some(kind), number: Some(number.to_owned()) })
}

/// A unit or level at `at`, with the number of words it takes.
fn unit_at(words: &[Word], at: usize, table: &Table) -> Option<(Unit, usize)> {
    let later_number = |from: usize| next_number(words, from).is_some();
    let Some((kind, used)) = keyword(words, at, table) else {
        // `G04/12` is unit G04, `L4/12` level 4.
        let slash = words.get(at + 1).is_some_and(|w| w.mark == Mark::Slash);
        let meant = |unit: &Unit| !slash || !matches!(unit.kind, Some("G" | "B" | "M" | "LG" | "UG" | "P"));
        return fused(&words[at].text, table).filter(|unit| later_number(at + 1) && meant(unit)).map(|unit| (unit, 1));
    };
    let bare = |number: Option<String>| Unit { kind: Some(kind), number };
    let is_level = std::ptr::eq(table, &*LEVEL_TYPE);
    match words.get(at + used) {
        Some(next) if is_number(&next.text) => {
            let own = later_number(at + used + 1);
            if !own && (OFTEN_BARE.contains(&kind) || (is_level && kind != "L" && kind != "FL")) {
                return Some((bare(None), used));
            }
            // A single letter such as F or B is a unit or level word only where a house number follows.
            (own || words[at].text.len() > 1).then(|| (bare(Some(next.text.clone())), used + 1))
        }
        Some(next) if is_letters(&next.text, 2) && words.get(at + used + 1).is_some_and(|w| is_number(&w.text)) => {
            Some((bare(Some(next.text.clone())), used + 1))
        }
        Some(_) if is_level && kind != "L" && kind != "FL" && words[at].text.len() > 1 && later_number(at + used) => {
            Some((bare(None), used))
        }
        _ => None,
    }
}

/// `2nd floor`: an ordinal before a level word.
fn ordinal_level(words: &[Word], at: usize) -> Option<Unit> {
    let text = &words[at].text;
    let digits =
        text.strip_suffix("ST").or(text.strip_suffix("ND")).or(text.strip_suffix("RD")).or(text.strip_suffix("TH"))?;
    let kind = LEVEL_TYPE.code(&words.get(at + 1)?.text).filter(|kind| matches!(*kind, "L" | "FL"))?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| Unit { kind: Some(kind), number: Some(digits.to_owned()) })
}

/// The head at the start of `words` and the index of the first word after it.
fn read(words: &[Word]) -> (Head, usize) {
    let mut head = Head::default();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let next = words.get(at + 1);
        if head.flat.is_none()
            && let Some((unit, used)) = unit_at(words, at, &FLAT_TYPE).filter(|(unit, _)| unit.kind != Some("LOT"))
        {
            head.flat = (unit.kind != Some("HSE") || unit.number.is_some()).then_some(unit);
            at += used;
        } else if head.level.is_none()
            && let Some((unit, used)) = unit_at(words, at, &LEVEL_TYPE)
        {
            head.level = Some(unit);
            at += used;
        } else if let Some(level) = ordinal_level(words, at) {
            head.level = Some(level);
            at += 2;
        } else if word.text == "LOT" && next.is_some_and(|w| is_number(&w.text)) {
            head.lot = next.map(|w| w.text.clone());
            at += 2;
        } else if matches!(word.text.as_str(), "NO" | "NUM" | "NUMBER" | "NR")
            && next.is_some_and(|w| is_number(&w.text))
        {
            at += 1;
        } else if is_number(&word.text) {
            let after = words.get(at + 2);
            match next {
                Some(next) if next.mark == Mark::Slash && is_number(&next.text) => {
                    let unit = Unit { kind: None, number: Some(word.text.clone()) };
                    if head.flat.is_none() {
                        head.flat = Some(unit)
                    } else {
                        head.level.get_or_insert(unit);
                    }
                    at += 1;
                }
                Some(next) if next.mark == Mark::Hyphen && is_number(&next.text) => {
                    head.number = Some(word.text.clone());
                    head.number_last = Some(next.text.clone());
                    at += 2;
                    break;
                }
                Some(next)
                    if head.flat.is_none()
                        && head.lot.is_none()
                        && matches!(next.mark, Mark::Space | Mark::Comma)
                        && starts_with_digit(&next.text)
                        && is_number(&next.text)
                        && after.is_some() =>
                {
                    head.flat = Some(Unit { kind: None, number: Some(word.text.clone()) });
                    at += 1;
                }
                _ => {
                    head.number = Some(word.text.clone());
                    at += 1;
                    break;
                }
            }
        } else if is_letters(&word.text, 2) && next.is_some_and(|w| w.mark == Mark::Slash && is_number(&w.text)) {
            head.flat.get_or_insert(Unit { kind: None, number: Some(word.text.clone()) });
            at += 1;
        } else if head.lot.is_none() && next_number(words, at).is_some() {
            head.ignored.push(word.text.clone());
            at += 1;
        } else {
            break;
        }
    }
    (head, at)
}

/// The lot meant by `L12` where no other number follows.
fn lot_of(head: &Head) -> Option<String> {
    let lot = head.number.as_deref()?.strip_prefix('L').filter(|lot| starts_with_digit(lot))?;
    (head.lot.is_none() && head.number_last.is_none()).then(|| lot.to_owned())
}

/// The ways to read the start of `words`, likeliest first, each with the index of the first word after it.
pub(super) fn heads(words: &[Word]) -> Vec<(Head, usize)> {
    let (first, rest) = read(words);
    let mut heads = Vec::with_capacity(3);
    // `12 A Smith St` is 12A, unless the street is called A Smith.
    let letter = words.get(rest).filter(|w| w.text.len() == 1 && !starts_with_digit(&w.text) && w.mark != Mark::Comma);
    if let (Some(letter), Some(number)) = (letter, &first.number)
        && rest + 1 < words.len()
        && number.bytes().all(|b| b.is_ascii_digit())
    {
        let mut joined = first.clone();
        let target = if joined.number_last.is_some() { &mut joined.number_last } else { &mut joined.number };
        if let Some(target) = target {
            target.push_str(&letter.text);
        }
        heads.push((joined, rest + 1));
    }
    // `LG3 12 Smith St`: level LG 3, or unit LG3; without another number the house number LG3.
    let fused_level = first.level.as_ref().and_then(|level| level.kind.zip(level.number.as_ref()));
    if let Some((_, number)) = fused_level
        && first.flat.is_none()
        && let Some(whole) =
            words.iter().find(|w| !starts_with_digit(&w.text) && w.text.len() <= 5 && w.text.ends_with(number.as_str()))
    {
        let flat = Some(Unit { kind: None, number: Some(whole.text.clone()) });
        let unit = Head { flat, level: None, ..first.clone() };
        heads.push((first, rest));
        heads.push((unit, rest));
    } else if let Some(lot) = lot_of(&first) {
        let lot = Head { lot: Some(lot), number: None, ..first.clone() };
        heads.push((first, rest));
        heads.push((lot, rest));
    } else {
        heads.push((first, rest));
    }
    heads
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;

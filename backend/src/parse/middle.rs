//! What stands between the number and the state: street and locality. Where one ends and the other begins only the data
//! knows (`12 Collins St Kilda`), so every plausible split is kept, the likelier first.

use super::codes::{STREET_TYPE, SUFFIX};
use super::normal::{Mark, Word};
use super::spelling::spellings;

/// Words of the longest street name and of the longest locality name.
const STREET_WORDS: usize = 7;
const LOCALITY_WORDS: usize = 5;

/// A street as written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Street {
    /// Search form, without type and suffix.
    pub name: String,
    /// The last word of `name` is still being typed.
    pub open: bool,
    /// The types it may have, by code; empty when none was written.
    pub types: Vec<&'static str>,
    /// The type is still being typed.
    pub type_open: bool,
    /// STREET_SUFFIX code.
    pub suffix: Option<&'static str>,
}

/// A locality as written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Locality {
    /// Search form.
    pub name: String,
    /// The last word is still being typed.
    pub open: bool,
}

/// One way to read the middle. Without a street it is only a locality, without a locality only a street.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Middle {
    pub street: Option<Street>,
    pub locality: Option<Locality>,
    /// How far from likely; orders readings, no more.
    pub oddity: u8,
}

/// Every way to read `words` as a street alone, the likelier first.
pub(super) fn streets(words: &[Word], open: bool) -> Vec<Street> {
    let texts: Vec<&str> = words.iter().map(|w| w.text.as_str()).collect();
    let mut streets: Vec<Street> = Vec::new();
    let mut add = |street: Street| {
        if !street.name.is_empty() && !streets.contains(&street) {
            streets.push(street);
        }
    };
    for suffix_words in [0, 1, 2] {
        let Some(stem) = texts.len().checked_sub(suffix_words).filter(|&n| n > 0) else { continue };
        let ending = texts[stem..].join(" ");
        // Half typed, only a long form is a suffix: the S of `Harris S` is the beginning of STREET.
        let suffix = SUFFIX.code(&ending).filter(|_| !open || ending.len() > 2);
        if suffix_words > 0 && suffix.is_none() {
            continue;
        }
        let stem_open = open && suffix_words == 0;
        for type_words in (1..=STREET_TYPE.longest().min(stem.saturating_sub(1))).rev() {
            let ending = texts[stem - type_words..stem].join(" ");
            let exact = STREET_TYPE.codes(&ending);
            let begun = if stem_open { STREET_TYPE.codes_from(&ending) } else { Vec::new() };
            let names = spellings(&texts[..stem - type_words], false);
            if !exact.is_empty() {
                for name in names.clone() {
                    add(Street { name, types: exact.to_vec(), suffix, ..Street::default() });
                }
            }
            if begun.iter().any(|code| !exact.contains(code)) {
                for name in names {
                    add(Street { name, types: begun.clone(), type_open: true, suffix, ..Street::default() });
                }
            }
        }
        for name in spellings(&texts[..stem], stem_open) {
            add(Street { name, open: stem_open, suffix, ..Street::default() });
        }
    }
    streets.sort_by_key(|street| match (street.types.is_empty(), street.suffix.is_some()) {
        (false, true) => 0,
        (false, false) => 1,
        (true, false) => 2,
        (true, true) => 3,
    });
    streets
}

/// Every spelling of `words` as a locality.
pub(super) fn localities(words: &[Word], open: bool) -> Vec<Locality> {
    let texts: Vec<&str> = words.iter().map(|w| w.text.as_str()).collect();
    if texts.is_empty() || texts.len() > LOCALITY_WORDS {
        return Vec::new();
    }
    spellings(&texts, open).into_iter().map(|name| Locality { name, open }).collect()
}

/// Whether a street that ends before `at` would end in a type or suffix.
fn ends_like_a_street(words: &[Word], at: usize) -> bool {
    let Some(last) = at.checked_sub(1).map(|last| words[last].text.as_str()) else { return false };
    at > 1 && (!STREET_TYPE.codes(last).is_empty() || (at > 2 && SUFFIX.code(last).is_some()))
}

/// Every way to cut `words` into a street and a locality after it.
pub(super) fn middles(words: &[Word], open: bool) -> Vec<Middle> {
    let count = words.len();
    let commas: Vec<usize> = (1..count).filter(|&at| words[at].mark == Mark::Comma).collect();
    let mut middles = Vec::new();
    for at in 0..=count {
        if at > STREET_WORDS {
            break;
        }
        let (street, locality) = words.split_at(at);
        let street_open = open && locality.is_empty();
        let crossed = commas.iter().filter(|&&comma| comma != at).count().min(3) as u8;
        let oddity = 2 * crossed
            + match () {
                () if commas.contains(&at) => 0,
                () if at == 0 => 5,
                () if !locality.is_empty() && ends_like_a_street(words, at) => 0,
                () if locality.is_empty() => 1,
                () => 2,
            };
        let streets: Vec<Option<Street>> =
            if at == 0 { vec![None] } else { streets(street, street_open).into_iter().map(Some).collect() };
        let localities: Vec<Option<Locality>> = match localities(locality, open) {
            list if list.is_empty() => vec![None],
            list => list.into_iter().map(Some).collect(),
        };
        if !locality.is_empty() && localities == [None] {
            continue;
        }
        for (order, street) in streets.iter().enumerate() {
            for locality in &localities {
                if street.is_some() || locality.is_some() {
                    let oddity = oddity + (order as u8).min(3);
                    middles.push(Middle { street: street.clone(), locality: locality.clone(), oddity });
                }
            }
        }
    }
    middles.sort_by_key(|middle| middle.oddity);
    middles
}

#[cfg(test)]
#[path = "middle_tests.rs"]
mod tests;

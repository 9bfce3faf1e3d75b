//! The ways in which the same words may be a street or a locality: with or without a type, a suffix, another spelling.

use strsim::osa_distance;

use super::codes::{STREET_TYPE, SUFFIX};
use super::normal::Word;
use super::spelling::spellings;

/// Types of which a slip of the finger is understood by itself; with the others the data helps.
const COMMON: &[&str] = &[
    "ALLEY",
    "ARCADE",
    "AVENUE",
    "BOULEVARD",
    "BOULEVARDE",
    "CIRCLE",
    "CIRCUIT",
    "CLOSE",
    "COURT",
    "CRESCENT",
    "DRIVE",
    "ESPLANADE",
    "GARDENS",
    "GROVE",
    "HIGHWAY",
    "LANE",
    "MEWS",
    "PARADE",
    "PARKWAY",
    "PLACE",
    "PROMENADE",
    "RISE",
    "ROAD",
    "SQUARE",
    "STREET",
    "TERRACE",
    "TRACK",
    "WALK",
    "WAY",
];
/// Suffixes that people put in front.
const DIRECTIONS: &[&str] = &["N", "S", "E", "W", "NE", "NW", "SE", "SW"];
/// Spellings of one stretch of words as a street.
const MAX_STREETS: usize = 14;

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
    /// The type as it was written, where it was misspelt.
    pub misspelt: Option<String>,
    /// Not written as streets are: the suffix in front (`North Armstrong Street`), the type glued to the name.
    pub unusual: bool,
}

/// A locality as written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Locality {
    /// Search form.
    pub name: String,
    /// The last word is still being typed.
    pub open: bool,
}

/// The types that a word may be a misspelling of; none for a word that is a type or too short.
pub(super) fn misspelt_types(word: &str) -> Vec<&'static str> {
    let plain = word.len() >= 4 && word.bytes().all(|b| b.is_ascii_uppercase());
    if !plain || !STREET_TYPE.codes(word).is_empty() {
        return Vec::new();
    }
    let allowed = if word.len() < 8 { 1 } else { 2 };
    let near = |meant: &&&str| {
        let slip = meant.len().abs_diff(word.len()) <= allowed && osa_distance(word, meant) <= allowed;
        meant.len() >= 4 && (slip || shortens(word, meant))
    };
    COMMON.iter().filter(near).copied().collect()
}

/// `CRSCNT` for CRESCENT: letters left out between the first and the last, at least half of them there.
fn shortens(word: &str, meant: &str) -> bool {
    let mut rest = meant.chars();
    word.len() < meant.len()
        && 2 * word.len() >= meant.len()
        && word.chars().next() == meant.chars().next()
        && word.chars().last() == meant.chars().last()
        && word.chars().all(|c| rest.any(|other| other == c))
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
                // `North Armstrong Street` may be Armstrong Street North.
                let front = texts[0];
                if suffix.is_none()
                    && stem - type_words > 1
                    && let Some(suffix) = SUFFIX.code(front).filter(|code| DIRECTIONS.contains(code))
                {
                    let name = texts[1..stem - type_words].join(" ");
                    add(Street {
                        name,
                        types: exact.to_vec(),
                        suffix: Some(suffix),
                        unusual: true,
                        ..Street::default()
                    });
                }
                // `Newton Road Rd`
                let doubled = texts[..stem - type_words].split_last().filter(|(last, stem)| {
                    !stem.is_empty() && STREET_TYPE.codes(last).iter().any(|code| exact.contains(code))
                });
                if let Some((_, stem)) = doubled {
                    for name in spellings(stem, false) {
                        add(Street { name, types: exact.to_vec(), suffix, ..Street::default() });
                    }
                }
            } else if type_words == 1 {
                let types = misspelt_types(&ending);
                if !types.is_empty() && !stem_open {
                    for name in names.clone() {
                        let misspelt = Some(ending.clone());
                        add(Street { name, types: types.clone(), suffix, misspelt, ..Street::default() });
                    }
                }
            }
            if begun.iter().any(|code| !exact.contains(code)) {
                for name in names {
                    add(Street { name, types: begun.clone(), type_open: true, suffix, ..Street::default() });
                }
            }
        }
        // `Yarrockstreet`
        let last = texts[stem - 1];
        let glued = COMMON.iter().filter(|kind| kind.len() >= 4 && last.len() >= kind.len() + 3);
        if let Some((kind, begun)) = glued.filter_map(|kind| Some((*kind, last.strip_suffix(kind)?))).next()
            && !stem_open
        {
            let name = [&texts[..stem - 1], &[begun]].concat().join(" ");
            add(Street { name, types: vec![kind], suffix, unusual: true, ..Street::default() });
        }
        for name in spellings(&texts[..stem], stem_open) {
            // `Horsley Drive` for The Horsley Drive, and the reverse.
            let other = match name.strip_prefix("THE ") {
                Some(rest) => rest.to_owned(),
                None => format!("THE {name}"),
            };
            add(Street { name, open: stem_open, suffix, ..Street::default() });
            if !stem_open {
                add(Street { name: other, suffix, ..Street::default() });
            }
        }
    }
    streets.sort_by_key(|street| match (street.types.is_empty(), street.suffix.is_some()) {
        (false, true) => 0,
        (false, false) => 1,
        (true, false) => 2,
        (true, true) => 3,
    });
    streets.truncate(MAX_STREETS);
    streets
}

/// Every spelling of `words` as a locality.
pub(super) fn localities(words: &[Word], open: bool) -> Vec<Locality> {
    let texts: Vec<&str> = words.iter().map(|w| w.text.as_str()).collect();
    spellings(&texts, open).into_iter().map(|name| Locality { name, open }).collect()
}

#[cfg(test)]
#[path = "middle_tests.rs"]
mod tests;

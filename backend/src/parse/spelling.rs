//! Other spellings of a name that mean the same words: `MT` and `MOUNT`, `ST` and `SAINT`, `4TH` and `FOURTH`.
//! These are not corrections; both forms occur in the data.

use super::codes::STREET_TYPE;

/// Spellings considered of one name, the name as typed first.
const MAX_SPELLINGS: usize = 4;

/// Pairs that stand for each other anywhere in a name.
const PAIRS: &[(&str, &str)] = &[
    ("MT", "MOUNT"),
    ("MNT", "MOUNT"),
    ("MTN", "MOUNTAIN"),
    ("ST", "SAINT"),
    ("STE", "SAINTE"),
    ("PT", "POINT"),
    ("PT", "PORT"),
    ("FT", "FORT"),
    ("LT", "LITTLE"),
    ("LTL", "LITTLE"),
    ("GT", "GREAT"),
    ("NTH", "NORTH"),
    ("STH", "SOUTH"),
    ("NORTHEAST", "NORTH EAST"),
    ("NORTHWEST", "NORTH WEST"),
    ("SOUTHEAST", "SOUTH EAST"),
    ("SOUTHWEST", "SOUTH WEST"),
    ("LWR", "LOWER"),
    ("UPR", "UPPER"),
    ("CK", "CREEK"),
    ("CRK", "CREEK"),
    ("RVR", "RIVER"),
    ("JN", "JUNCTION"),
    ("JNCT", "JUNCTION"),
    ("1ST", "FIRST"),
    ("2ND", "SECOND"),
    ("3RD", "THIRD"),
    ("4TH", "FOURTH"),
    ("5TH", "FIFTH"),
    ("6TH", "SIXTH"),
    ("7TH", "SEVENTH"),
    ("8TH", "EIGHTH"),
    ("9TH", "NINTH"),
    ("10TH", "TENTH"),
    ("11TH", "ELEVENTH"),
    ("12TH", "TWELFTH"),
    ("13TH", "THIRTEENTH"),
    ("14TH", "FOURTEENTH"),
    ("15TH", "FIFTEENTH"),
    ("16TH", "SIXTEENTH"),
];

/// One letter means a direction only at an end of a name of several words.
const DIRECTIONS: &[(&str, &str)] = &[("N", "NORTH"), ("S", "SOUTH"), ("E", "EAST"), ("W", "WEST")];

fn others(words: &[&str], at: usize) -> Vec<&'static str> {
    let word = words[at];
    let mut others: Vec<&'static str> = PAIRS
        .iter()
        .filter_map(|&(short, long)| match word {
            _ if word == short => Some(long),
            _ if word == long && !long.contains(' ') => Some(short),
            _ => None,
        })
        .collect();
    let at_end = at + 1 == words.len();
    if words.len() > 1 && (at == 0 || at_end) {
        others.extend(DIRECTIONS.iter().filter(|(short, _)| *short == word).map(|(_, long)| *long));
    }
    // `Coolum Bch`, `Wheelers Hts`: localities end in the words that are street types too.
    if words.len() > 1 && at_end {
        others.extend(STREET_TYPE.codes(word).iter().filter(|&&code| code != word));
    }
    others.dedup();
    others
}

/// The spellings of a name given as words in normal form. With `open` the last word is still being typed and stays.
pub(crate) fn spellings(words: &[&str], open: bool) -> Vec<String> {
    let mut spellings = vec![words.join(" ")];
    let fixed = usize::from(open);
    for at in 0..words.len().saturating_sub(fixed) {
        for other in others(words, at) {
            let mut changed = words.to_vec();
            changed[at] = other;
            let changed = changed.join(" ");
            if spellings.len() < MAX_SPELLINGS && !spellings.contains(&changed) {
                spellings.push(changed);
            }
        }
    }
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(&["MT", "EVELYN"], false, &["MT EVELYN", "MOUNT EVELYN"])]
    #[case(&["MOUNT", "EVELYN"], false, &["MOUNT EVELYN", "MT EVELYN", "MNT EVELYN"])]
    #[case(&["ST", "KILDA"], false, &["ST KILDA", "SAINT KILDA"])]
    #[case(&["BELMONT", "NTH"], false, &["BELMONT NTH", "BELMONT NORTH"])]
    #[case(&["BELMONT", "N"], false, &["BELMONT N", "BELMONT NORTH"])]
    #[case(&["COOLUM", "BCH"], false, &["COOLUM BCH", "COOLUM BEACH"])]
    #[case(&["HARRIS", "S"], true, &["HARRIS S"])]
    #[case(&["N"], false, &["N"])]
    #[case(&["4TH"], false, &["4TH", "FOURTH"])]
    fn both_forms_are_tried(#[case] words: &[&str], #[case] open: bool, #[case] expected: &[&str]) {
        assert_eq!(spellings(words, open), expected);
    }
}

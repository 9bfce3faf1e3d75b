//! Whether one word may be a misspelling of another. Damerau's optimal string alignment: substitution, deletion, insertion
//! and transposition of neighbours count one each.

use strsim::osa_distance;

/// Edits allowed in a word of so many letters: none below five, so that no short name turns into its neighbour.
fn allowed(letters: usize) -> usize {
    match letters {
        0..=4 => 0,
        5..=7 => 1,
        _ => 2,
    }
}

/// Edits between two words when they may be the same word misspelt; never for words with digits.
fn word_edits(typed: &str, meant: &str) -> Option<usize> {
    if typed == meant {
        return Some(0);
    }
    let allowed = allowed(meant.len());
    let digits = |text: &str| text.bytes().any(|b| b.is_ascii_digit());
    if typed.len().abs_diff(meant.len()) > allowed || typed.len() < 4 || allowed == 0 || digits(typed) || digits(meant)
    {
        return None;
    }
    Some(osa_distance(typed, meant)).filter(|&edits| edits <= allowed)
}

/// Edits between two names when they may be the same name misspelt: word by word, or, where a blank was lost or put in
/// (`MC DONALD`), letter by letter. At most two in all.
pub(crate) fn edits(typed: &str, meant: &str) -> Option<usize> {
    if typed == meant {
        return Some(0);
    }
    if typed.len().abs_diff(meant.len()) > 3 {
        return None;
    }
    let (typed_words, meant_words) = (typed.split(' ').count(), meant.split(' ').count());
    if typed_words == meant_words {
        let edits = typed.split(' ').zip(meant.split(' ')).map(|(t, m)| word_edits(t, m)).sum::<Option<usize>>();
        if let Some(edits) = edits.filter(|&edits| edits <= 2) {
            return Some(edits);
        }
    }
    if typed_words.abs_diff(meant_words) <= 1 && typed_words.max(meant_words) > 1 {
        let (typed, meant) = (typed.replace(' ', ""), meant.replace(' ', ""));
        // A blank in another place is itself one edit.
        return word_edits(&typed, &meant).map(|edits| edits + 1).filter(|&edits| edits <= 2);
    }
    None
}

/// Edits between what was typed so far and the beginning of a name.
pub(crate) fn prefix_edits(typed: &str, meant: &str) -> Option<usize> {
    let letters = typed.len();
    if letters < 5 {
        return meant.starts_with(typed).then_some(0);
    }
    let lengths = letters.saturating_sub(1)..=letters + 1;
    lengths.filter_map(|length| edits(typed, meant.get(..length)?)).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("HORSHM", "HORSHAM", Some(1))]
    #[case("HORHSAM", "HORSHAM", Some(1))]
    #[case("HORSHAMM", "HORSHAM", Some(1))]
    #[case("LROEN", "LORNE", None)]
    #[case("LRONE", "LORNE", Some(1))]
    #[case("LORN", "LORNE", Some(1))]
    #[case("KEW", "KEN", None)]
    #[case("HIGH", "NIGH", None)]
    #[case("CHARLSTOWM", "CHARLESTOWN", Some(2))]
    #[case("NEW LAMBTN", "NEW LAMBTON", Some(1))]
    #[case("MC DONALD", "MCDONALD", Some(1))]
    #[case("STGEORGES", "ST GEORGES", Some(1))]
    #[case("SMITH", "SMITH JONES", None)]
    #[case("138", "137", None)]
    #[case("12345", "12346", None)]
    #[case("", "LORNE", None)]
    fn names(#[case] typed: &str, #[case] meant: &str, #[case] expected: Option<usize>) {
        assert_eq!(edits(typed, meant), expected);
    }

    #[rstest]
    #[case("CHARLS", "CHARLESTOWN", Some(1))]
    #[case("COL", "COLLINS", Some(0))]
    #[case("KOL", "COLLINS", None)]
    fn beginnings(#[case] typed: &str, #[case] meant: &str, #[case] expected: Option<usize>) {
        assert_eq!(prefix_edits(typed, meant), expected);
    }

    proptest! {
        #[test]
        fn one_edit_in_a_long_word_is_found(word in "[A-Z]{5,12}", at in 0usize..12, letter in "[A-Z]") {
            let at = at % word.len();
            let mut changed = word.clone();
            changed.replace_range(at..=at, &letter);
            prop_assert!(edits(&changed, &word).is_some());
            changed.remove(at);
            prop_assert!(edits(&changed, &word).is_some());
        }

        #[test]
        fn any_two_strings_are_compared(a in "[A-Z0-9 ]{0,20}", b in "[A-Z0-9 ]{0,20}") {
            prop_assert!(edits(&a, &b).is_none_or(|edits| edits <= 2));
            let _ = prefix_edits(&a, &b);
        }
    }
}

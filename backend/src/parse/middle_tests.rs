use super::*;
use crate::parse::normal::words;
use rstest::rstest;

fn all(text: &str, open: bool) -> Vec<String> {
    let shown = |s: Street| {
        let more = |open: bool| if open { "*" } else { "" };
        let types = match s.types.len() {
            0..=2 => s.types.join("+"),
            n => format!("{n} types"),
        };
        let suffix = s.suffix.map_or(String::new(), |x| format!(" {x}"));
        format!("{}{} [{types}{}]{suffix}", s.name, more(s.open), more(s.type_open))
    };
    streets(&words(text).list, open).into_iter().map(shown).collect()
}

#[rstest]
#[case("Collins St", "COLLINS [STREET]")]
#[case("Armstrong Street North", "ARMSTRONG [STREET] N")]
#[case("The Boulevarde", "THE BOULEVARDE []")]
#[case("Boulevarde", "THE BOULEVARDE []")]
#[case("The Horsley Dr", "THE HORSLEY DRIVE []")]
#[case("Horsley Dr", "THE HORSLEY DRIVE []")]
#[case("Mt Napier Rd", "MOUNT NAPIER [ROAD]")]
#[case("Newton Road Rd", "NEWTON [ROAD]")]
#[case("Dougherty Street St", "DOUGHERTY [STREET]")]
#[case("Churchill Raod", "CHURCHILL [ROAD]")]
#[case("Churchill Steet", "CHURCHILL [STREET]")]
#[case("Churchill Cresent North", "CHURCHILL [CRESCENT] N")]
#[case("Owen La", "OWEN [LANE]")]
#[case("St James Rd", "SAINT JAMES [ROAD]")]
fn this_street_is_among_them(#[case] text: &str, #[case] expected: &str) {
    let all = all(text, false);
    assert!(all.iter().any(|one| one == expected), "{all:#?}");
}

#[rstest]
#[case("coll", "COLL* []")]
#[case("collins s", "COLLINS [15 types*]")]
#[case("collins s", "COLLINS S* []")]
#[case("pyrmont bri", "PYRMONT [BRIDGE*]")]
#[case("pyrmont bri", "PYRMONT BRI* []")]
fn the_last_word_may_be_the_beginning_of_anything(#[case] text: &str, #[case] expected: &str) {
    let all = all(text, true);
    assert!(all.iter().any(|one| one == expected), "{all:#?}");
}

#[test]
fn a_half_typed_letter_is_not_a_suffix() {
    assert!(!all("harris s", true).iter().any(|one| one.ends_with("] S")), "{:#?}", all("harris s", true));
}

#[rstest]
#[case("STREET", &[])]
#[case("RD", &[])]
#[case("STRET", &["STREET"])]
#[case("LNE", &[])]
#[case("SMITH", &[])]
fn only_a_slip_of_the_finger_is_understood(#[case] word: &str, #[case] expected: &[&str]) {
    assert_eq!(misspelt_types(word), expected);
}

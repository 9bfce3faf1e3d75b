use super::*;
use crate::parse::normal::words;
use rstest::rstest;

fn shown(middle: &Middle) -> String {
    let street = middle.street.as_ref().map_or(String::new(), |s| {
        let more = |open: bool| if open { "*" } else { "" };
        let types = match s.types.len() {
            0..=2 => s.types.join("+"),
            n => format!("{n} types"),
        };
        format!(
            "{}{} [{types}{}]{}",
            s.name,
            more(s.open),
            more(s.type_open),
            s.suffix.map_or(String::new(), |x| format!(" {x}"))
        )
    });
    let locality =
        middle.locality.as_ref().map_or(String::new(), |l| format!("{}{}", l.name, if l.open { "*" } else { "" }));
    format!("{street} | {locality}")
}

fn all(text: &str, open: bool) -> Vec<String> {
    middles(&words(text).list, open).iter().map(shown).collect()
}

#[rstest]
#[case("Collins St Melbourne", "COLLINS [STREET] | MELBOURNE")]
#[case("Collins St, Kilda", "COLLINS [STREET] | KILDA")]
#[case("Collins, St Kilda", "COLLINS [] | ST KILDA")]
#[case("Armstrong St N, Soldiers Hill", "ARMSTRONG [STREET] N | SOLDIERS HILL")]
#[case("Armstrong Street North Soldiers Hill", "ARMSTRONG [STREET] | NORTH SOLDIERS HILL")]
fn the_likeliest_split_comes_first(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(all(text, false)[0], expected);
}

#[rstest]
#[case("Collins St Kilda", "COLLINS [] | ST KILDA")]
#[case("Collins St Kilda", "COLLINS [STREET] | KILDA")]
#[case("The Boulevarde Wetherill Park", "THE BOULEVARDE [] | WETHERILL PARK")]
#[case("The Horsley Dr Wetherill Park", "THE HORSLEY DRIVE [] | WETHERILL PARK")]
#[case("Armstrong Street North Soldiers Hill", "ARMSTRONG [STREET] N | SOLDIERS HILL")]
#[case("Mt Napier Rd Hamilton", "MOUNT NAPIER [ROAD] | HAMILTON")]
#[case("Smith Rd Mt Evelyn", "SMITH [ROAD] | MOUNT EVELYN")]
#[case("Horsham", " | HORSHAM")]
#[case("Collins St", "COLLINS [STREET] | ")]
fn this_split_is_among_them(#[case] text: &str, #[case] expected: &str) {
    let all = all(text, false);
    assert!(all.iter().any(|one| one == expected), "{all:#?}");
}

#[rstest]
#[case("coll", "COLL* [] | ")]
#[case("coll", " | COLL*")]
#[case("collins s", "COLLINS [15 types*] | ")]
#[case("collins s", "COLLINS S* [] | ")]
#[case("collins s", "COLLINS [] | S*")]
#[case("collins st mel", "COLLINS [STREET] | MEL*")]
#[case("pyrmont bri", "PYRMONT [BRIDGE*] | ")]
#[case("pyrmont bri", "PYRMONT BRI* [] | ")]
fn the_last_word_may_be_the_beginning_of_anything(#[case] text: &str, #[case] expected: &str) {
    let all = all(text, true);
    assert!(all.iter().any(|one| one == expected), "{all:#?}");
}

#[test]
fn a_half_typed_letter_is_not_a_suffix() {
    assert!(!all("harris s", true).iter().any(|one| one.ends_with("S | ")), "{:#?}", all("harris s", true));
}

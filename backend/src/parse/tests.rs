use super::*;
use proptest::prelude::*;
use rstest::rstest;

/// unit/number; street; locality; state; postcode
fn shown(r: &Reading) -> String {
    let unit = r.head.flat.as_ref().map_or(String::new(), |u| format!("{}/", u.number.clone().unwrap_or_default()));
    let lot = r.head.lot.as_ref().map_or(String::new(), |lot| format!("L{lot} "));
    let last = r.head.number_last.as_ref().map_or(String::new(), |last| format!("-{last}"));
    let street = r.street.as_ref().map_or(String::new(), |s| {
        let open = if s.open { "*" } else { "" };
        [s.name.clone() + open, s.types.first().copied().unwrap_or("").into(), s.suffix.unwrap_or("").into()].join(" ")
    });
    let locality = r.locality.as_ref().map_or("", |l| l.name.as_str());
    let postcode = r.tail.postcode.as_deref().unwrap_or_default();
    let head = format!("{unit}{lot}{}{last}", r.head.number.as_deref().unwrap_or_default());
    format!("{head}; {}; {locality}; {}; {postcode}", street.trim_end(), r.tail.states.join("+"))
}

#[rstest]
#[case("1/23 Smith St, Horsham VIC 3400", "1/23; SMITH STREET; HORSHAM; VIC; 3400")]
#[case("u1 23 smith st horsham", "1/23; SMITH STREET; HORSHAM; ; ")]
#[case("UNIT 2, LOT 2 PERREN CRESCENT, BLI BLI QLD 4560", "2/L2 ; PERREN CRESCENT; BLI BLI; QLD; 4560")]
#[case("103-107 Armstrong Street North, Soldiers Hill 3350", "103-107; ARMSTRONG STREET N; SOLDIERS HILL; ; 3350")]
#[case("12 Collins St 3000", "12; COLLINS STREET; ; ; 3000")]
#[case("12 O'Connell St", "12; OCONNELL STREET; ; ; ")]
#[case("72 YANDINA - BLI BLI ROAD, BLI BLI QLD 4560", "72; YANDINA BLI BLI ROAD; BLI BLI; QLD; 4560")]
fn the_usual_order(#[case] text: &str, #[case] expected: &str) {
    let parsed = Parsed::new(text, Typing::Done);
    let all: Vec<_> = parsed.readings.iter().map(shown).collect();
    assert!(all[..4.min(all.len())].contains(&expected.to_owned()), "{all:#?}");
}

#[rstest]
#[case("Horsham VIC 3400, 12 Smith St", "12; SMITH STREET; HORSHAM; VIC; 3400")]
#[case("Horsham, 12 Smith St VIC 3400", "12; SMITH STREET; HORSHAM; VIC; 3400")]
#[case("Horsham 1/12 Smith St", "1/12; SMITH STREET; HORSHAM; ; ")]
#[case("Horsham, Unit 1 12 Smith St", "1/12; SMITH STREET; HORSHAM; ; ")]
#[case("12 Horsham Smith St VIC 3400", "12; SMITH STREET; HORSHAM; VIC; 3400")]
#[case("Smith St 12 Horsham VIC 3400", "12; SMITH STREET; HORSHAM; VIC; 3400")]
#[case("12 Smith St Horsham VIC 3400 near the pool", "12; SMITH STREET; HORSHAM; VIC; 3400")]
#[case("12 Smith St Horsham VIC 3400 ph 0400 123 456", "12; SMITH STREET; HORSHAM; VIC; 3400")]
#[case("12 Smith St Horsham, near the pool", "12; SMITH STREET; HORSHAM; ; ")]
#[case("12 Smith St 3400 Horsham", "12; SMITH STREET; HORSHAM; ; 3400")]
fn other_orders_are_read_when_relaxed(#[case] text: &str, #[case] expected: &str) {
    let all: Vec<_> = Parsed::new(text, Typing::Done).relaxed().iter().map(shown).collect();
    assert!(all.contains(&expected.to_owned()), "{all:#?}");
}

#[rstest]
#[case("PO Box 12 Horsham", true)]
#[case("P.O. Box 12", true)]
#[case("GPO Box 12", true)]
#[case("Locked Bag 12", true)]
#[case("12 Polo St", false)]
#[case("", false)]
fn a_box_is_no_place(#[case] text: &str, #[case] postal: bool) {
    assert_eq!(Parsed::new(text, Typing::Done).postal, postal);
}

#[test]
fn a_blank_after_the_last_word_finishes_it() {
    let open =
        |text| Parsed::new(text, Typing::Going).readings.iter().any(|r| r.street.as_ref().is_some_and(|s| s.open));
    assert!(open("6 coll"));
    assert!(!open("6 coll "));
}

fn check(text: &str) -> Result<(), TestCaseError> {
    for typing in [Typing::Going, Typing::Done] {
        let parsed = Parsed::new(text, typing);
        prop_assert!(parsed.readings.len() <= MAX_READINGS);
        prop_assert!(parsed.relaxed().len() <= MAX_READINGS);
        for reading in &parsed.readings {
            let open = reading.street.as_ref().is_some_and(|s| s.open || s.type_open)
                || reading.locality.as_ref().is_some_and(|l| l.open);
            prop_assert!(typing == Typing::Going || !open);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_read_within_bounds(text in "\\PC{0,600}") {
        check(&text)?;
    }

    #[test]
    fn text_like_addresses_too(
        words in proptest::collection::vec("[0-9]{1,4}|UNIT|LOT|L|LG3|/|-|,|ST|NORTH|MT|VIC|NEW SOUTH WALES|[A-Z]{1,6}", 0..40)
    ) {
        check(&words.join(" "))?;
    }

    #[test]
    fn every_word_is_kept_somewhere(words in proptest::collection::vec("[B-Z]{4,7}", 1..8)) {
        // No word is lost: it is in the street, the locality, the tail, or told as ignored.
        let parsed = Parsed::new(&words.join(" "), Typing::Done);
        let readings: Vec<String> = parsed.readings.iter().map(|reading| format!("{reading:?}")).collect();
        prop_assert!(readings.iter().any(|reading| words.iter().all(|word| reading.contains(word))), "{readings:?}");
    }
}

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
fn other_orders_are_read_too(#[case] text: &str, #[case] expected: &str) {
    let all: Vec<_> = Parsed::new(text, Typing::Done).readings.iter().map(shown).collect();
    assert!(all.contains(&expected.to_owned()), "{all:#?}");
}

fn unit(unit: Option<&Unit>) -> String {
    unit.map_or(String::new(), |u| format!("{} {}", u.kind.unwrap_or("-"), u.number.as_deref().unwrap_or("-")))
}

/// flat; level; lot; number; last; the words of street and locality
fn head(reading: &Reading) -> String {
    let Reading { head, street, locality, .. } = reading;
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let names = [street.as_ref().map(|s| s.name.clone()), locality.as_ref().map(|l| l.name.clone())];
    [
        unit(head.flat.as_ref()),
        unit(head.level.as_ref()),
        text(&head.lot),
        text(&head.number),
        text(&head.number_last),
        names.into_iter().flatten().collect::<Vec<_>>().join(" "),
    ]
    .join(";")
}

#[rstest]
#[case("23 smith st", ";;;23;;SMITH")]
#[case("12A smith st", ";;;12A;;SMITH")]
#[case("12 a smith st", ";;;12A;;SMITH")]
#[case("1/23 smith st", "- 1;;;23;;SMITH")]
#[case("1 / 23 smith st", "- 1;;;23;;SMITH")]
#[case("U1 23 smith st", "UNIT 1;;;23;;SMITH")]
#[case("u1/23 smith st", "UNIT 1;;;23;;SMITH")]
#[case("Unit 1, 23 smith st", "UNIT 1;;;23;;SMITH")]
#[case("Unit 1 23 smith st", "UNIT 1;;;23;;SMITH")]
#[case("unit 1/23 smith st", "UNIT 1;;;23;;SMITH")]
#[case("1 23 smith st", "- 1;;;23;;SMITH")]
#[case("1, 23 smith st", "- 1;;;23;;SMITH")]
#[case("unit a, 23 smith st", "UNIT A;;;23;;SMITH")]
#[case("A/23 smith st", "- A;;;23;;SMITH")]
#[case("G04/23 smith st", "- G04;;;23;;SMITH")]
#[case("103-107 smith st", ";;;103;107;SMITH")]
#[case("2/103-107 smith st", "- 2;;;103;107;SMITH")]
#[case("unit 2, 103 - 107 smith st", "UNIT 2;;;103;107;SMITH")]
#[case("1 103-107 smith st", "- 1;;;103;107;SMITH")]
#[case("lot 7 smith st", ";;7;;;SMITH")]
#[case("lot 7, 12 smith st", ";;7;12;;SMITH")]
#[case("unit 2, lot 2 perren cr", "UNIT 2;;2;;;PERREN")]
#[case("Lvl 2, 53-57 queen st", ";L 2;;53;57;QUEEN")]
#[case("L2 53 queen st", ";L 2;;53;;QUEEN")]
#[case("LG3 12 smith st", ";LG 3;;12;;SMITH")]
#[case("LG3 smith st", ";;;LG3;;SMITH")]
#[case("suite 1, level 1, 84 william st", "SE 1;L 1;;84;;WILLIAM")]
#[case("1/1/84 william st", "- 1;- 1;;84;;WILLIAM")]
#[case("2nd floor 84 william st", ";FL 2;;84;;WILLIAM")]
#[case("ground floor 84 william st", ";G -;;84;;WILLIAM")]
#[case("rear 84 william st", "REAR -;;;84;;WILLIAM")]
#[case("rear 2/84 william st", "REAR 2;;;84;;WILLIAM")]
#[case("house 84 william st", ";;;84;;WILLIAM")]
#[case("no 84 william st", ";;;84;;WILLIAM")]
#[case("The Pinnacle, Unit 30, 102-106 st georges rd", "UNIT 30;;;102;106;ST GEORGES")]
#[case("shop 22 showgrounds village 320-380 epsom rd", "SHOP 22;;;320;380;EPSOM")]
#[case("apartment 2201, level 22, 222 russell st", "APT 2201;L 22;;222;;RUSSELL")]
#[case("42 4th ave", ";;;42;;4TH")]
#[case("collins st", ";;;;;COLLINS")]
#[case("unit 5 smith st", "UNIT 5;;;;;SMITH")]
#[case("st georges rd", ";;;;;ST GEORGES")]
#[case("f", ";;;;;F")]
// Notations that no code table has.
#[case("C 804/21 smith st", "- C804;;;21;;SMITH")]
#[case("unit no. 5, 39 first ave", "UNIT 5;;;39;;FIRST")]
#[case("unit three, 47 smith st", "UNIT 3;;;47;;SMITH")]
#[case("shop ten 47 smith st", "SHOP 10;;;47;;SMITH")]
#[case("011/39 smith st", "- 11;;;39;;SMITH")]
#[case("030B smith st", ";;;30B;;SMITH")]
#[case("suite 2, first floor, 49 smith st", "SE 2;FL 1;;49;;SMITH")]
#[case("25 to 27 smith st", ";;;25;27;SMITH")]
#[case("43 & 45 smith st", ";;;43;45;SMITH")]
#[case("6 through 8 smith st", ";;;6;8;SMITH")]
#[case("111−115 smith st", ";;;111;115;SMITH")]
#[case("163.0 smith st", ";;;163;;SMITH")]
#[case("1,234 smith st", ";;;1234;;SMITH")]
#[case("12 smith st, unit 3", "UNIT 3;;;12;;SMITH")]
#[case("12 smith st #3", "- 3;;;12;;SMITH")]
#[case("12 smith st u 3", "UNIT 3;;;12;;SMITH")]
#[case("units 4 & 5, 12 smith st", "UNIT 4;;;12;;SMITH")]
#[case("unit 4-12 smith st", "UNIT 4;;;12;;SMITH")]
#[case("house no 2, smith st", ";;;2;;SMITH")]
#[case("lot no. 12 smith st", ";;12;;;SMITH")]
#[case("lots 4 and 5 smith st", ";;4;;;SMITH")]
#[case("44Smith st", ";;;44;;SMITH")]
#[case("unit north, 20 smith st", "UNIT NORTH;;;20;;SMITH")]
#[case("24/7 gym, 6 smith st", ";;;6;;SMITH")]
#[case("rear of 84 william st", "REAR -;;;84;;WILLIAM")]
fn what_stands_before_the_street(#[case] text: &str, #[case] expected: &str) {
    let parsed = Parsed::new(text, Typing::Done);
    let all: Vec<_> = parsed.readings.iter().map(head).collect();
    assert!(all.contains(&expected.to_owned()), "{all:#?}");
}

#[test]
fn a_letter_after_the_number_may_begin_the_street() {
    let all: Vec<_> = Parsed::new("12 E K Avenue", Typing::Done).readings.iter().map(head).collect();
    for expected in [";;;12E;;K", ";;;12;;E K"] {
        assert!(all.contains(&expected.to_owned()), "{all:#?}");
    }
}

#[test]
fn a_level_with_its_number_in_one_word_may_be_a_unit() {
    let all: Vec<_> = Parsed::new("LG3 12 smith st", Typing::Done).readings.iter().map(head).collect();
    for expected in [";LG 3;;12;;SMITH", "- LG3;;;12;;SMITH"] {
        assert!(all.contains(&expected.to_owned()), "{all:#?}");
    }
}

#[rstest]
#[case("6 collins st vic", ("VIC", ""))]
#[case("6 collins st v", ("VIC", ""))]
#[case("6 collins st vic 30", ("VIC", "30*"))]
#[case("6 collins st 3000", ("", "3000"))]
#[case("6 collins st vic", ("", ""))]
fn state_and_postcode_while_they_are_typed(#[case] text: &str, #[case] (state, postcode): (&str, &str)) {
    let tails: Vec<_> = Parsed::new(text, Typing::Going)
        .readings
        .iter()
        .filter(|r| r.street.as_ref().is_some_and(|street| street.name.starts_with("COLLINS")))
        .map(|r| {
            (
                r.tail.states.join("+"),
                r.tail.postcode.clone().unwrap_or_default() + if r.tail.postcode_open { "*" } else { "" },
            )
        })
        .collect();
    assert!(tails.contains(&(state.to_owned(), postcode.to_owned())), "{tails:#?}");
}

#[rstest]
#[case("12 Smith St, Horsham N.S.W. 2170", "NSW", "2170")]
#[case("12 Smith St, Horsham N S W 2170", "NSW", "2170")]
#[case("12 Smith St, Horsham NSW2170", "NSW", "2170")]
#[case("12 Smith St, Horsham, AU-NSW, 2170", "NSW", "2170")]
#[case("12 Smith St, Horsham NSW - 2170", "NSW", "2170")]
#[case("12 Smith St, Horsham, New South Wales (NSW) 2170", "NSW", "2170")]
#[case("2170 12 Smith St, Horsham", "", "2170")]
#[case("NSW, Horsham, 12 Smith St", "NSW", "")]
#[case("Australia, NSW 2170, Horsham, 12 Smith St", "NSW", "2170")]
#[case("12 Smith St | Horsham | NSW | 2170", "NSW", "2170")]
#[case("12 Smith St\tHorsham\tNSW\t2170", "NSW", "2170")]
fn state_and_postcode_in_every_notation(#[case] text: &str, #[case] state: &str, #[case] postcode: &str) {
    let parsed = Parsed::new(text, Typing::Done);
    let expected = format!("12; SMITH STREET; HORSHAM; {state}; {postcode}");
    let all: Vec<_> = parsed.readings.iter().map(shown).collect();
    assert!(all[..8.min(all.len())].contains(&expected), "{all:#?}");
}

#[rstest]
#[case("PO Box 12 Horsham", true)]
#[case("Acme Pty Ltd, PO Box 1 Chester Cl, Charlestown NSW 2290", true)]
#[case("C/- Smith & Sons, PO Box 5, Bli Bli QLD 4560", true)]
#[case("RMB 37, Hamilton VIC 3300", true)]
#[case("Roadside Mail Box 37, Hamilton VIC 3300", true)]
#[case("18 Barnes Blvd, PO Box 12, Horsham VIC 3400", false)]
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
        let possible = parsed.possible();
        let (streets, localities) = possible.names();
        prop_assert!(streets.len() <= MAX_NAMES && localities.len() <= MAX_NAMES);
        let names = |list: Vec<&str>, step| list.into_iter().step_by(step).map(str::to_owned).collect();
        let known = Names {
            streets: names(streets, 2),
            localities: names(localities, 1).into_iter().map(|name| (name, Vec::new())).collect(),
        };
        prop_assert!(parsed.familiar(possible, &known).len() <= MAX_READINGS);
        for reading in &parsed.readings {
            let open = reading.street.as_ref().is_some_and(|s| s.open || s.type_open)
                || reading.locality.as_ref().is_some_and(|l| l.open);
            prop_assert!(typing == Typing::Going || !open);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

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

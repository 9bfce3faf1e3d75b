use std::sync::Arc;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::parse::{Names, Parsed, Typing};

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// unit, level, number, last, lot of an address on Como Parade West, Mordialloc
fn record(unit: &str, level: &str, number: &str, last: &str, lot: &str) -> Record {
    let spot = Spot {
        street_pid: "S1".into(),
        street_name: "COMO".into(),
        street_type: some("PARADE"),
        street_suffix: some("W"),
        locality_pid: "L1".into(),
        locality_name: "MORDIALLOC".into(),
        state: "VIC".into(),
        asked_name: "COMO".into(),
        asked_type: some("PARADE"),
        asked_suffix: some("W"),
        asked_locality: "MORDIALLOC".into(),
        ..Spot::default()
    };
    Record {
        pid: "GAVIC1".into(),
        flat_type: some(if unit.is_empty() { "" } else { "UNIT" }),
        flat_number: some(unit),
        level_type: some(if level.is_empty() { "" } else { "L" }),
        level_number: some(level),
        number_first: some(number),
        number_last: some(last),
        lot_number: some(lot),
        postcode: some("3195"),
        spot: Arc::new(spot),
        ..Record::default()
    }
}

/// The best score of `text` for `record`, 0 when it can't be meant at all.
fn confidence(text: &str, record: &Record) -> u8 {
    scored(text, record, &Known::default()).map_or(0, |score| score.confidence)
}

fn town() -> Town {
    Town { state: "VIC".into(), ..Town::default() }
}

/// Towns of Victoria that are known to exist.
fn towns(names: &[&str]) -> Known {
    let localities = names.iter().map(|name| ((*name).to_owned(), vec![town()])).collect();
    Known { localities, ..Known::default() }
}

fn scored(text: &str, record: &Record, known: &Known) -> Option<Score> {
    let parsed = Parsed::new(text, Typing::Done);
    let mut localities = known.localities.clone();
    localities.insert("MORDIALLOC".to_owned(), vec![town()]);
    let names = Names { streets: HashSet::from(["COMO".to_owned()]), localities };
    let readings = [parsed.readings.clone(), parsed.familiar(parsed.possible(), &names)].concat();
    let known = &Known { others: known.others.clone(), ..Known::of(&readings, known.localities.clone()) };
    best(&Readings::new(&readings, true).fits(&record.spot, known), record, known)
}

#[rstest]
#[case("460 Como Parade West, Mordialloc VIC 3195", 100..=100)]
#[case("460 como pde w mordialloc 3195 vic", 100..=100)]
#[case("460 como pde w mordialloc", 95..=99)]
#[case("460 como parade west 3195", 90..=95)]
#[case("460 como parade mordialloc vic 3195", 90..=95)]
#[case("460 como west mordialloc vic 3195", 90..=96)]
#[case("460 como prade west, mordialloc vic 3195", 80..=89)]
#[case("460 como parade west, mordialoc vic 3195", 80..=89)]
#[case("mordialloc vic 3195, 460 como parade west", 90..=99)]
#[case("Como House, 460 Como Parade West, Mordialloc VIC 3195", 90..=99)]
#[case("460 Como Parade West, Mordialloc VIC 3195 near the station", 90..=95)]
#[case("460 como street west mordialloc vic 3195", 0..=79)]
#[case("460 como parade east mordialloc vic 3195", 0..=79)]
#[case("460 como parade west mordialloc nsw 3195", 0..=79)]
#[case("460 como parade west mordialloc vic 3196", 0..=79)]
#[case("460 como parade west frankston vic 3195", 0..=79)]
#[case("461 como parade west mordialloc vic 3195", 0..=59)]
#[case("460A como parade west mordialloc vic 3195", 0..=59)]
#[case("unit 7, 460 como parade west mordialloc vic 3195", 0..=79)]
#[case("como parade west mordialloc vic 3195", 0..=60)]
#[case("460 como parade west", 0..=60)]
#[case("como", 0..=40)]
#[case("", 0..=0)]
fn what_a_house_is_worth(#[case] text: &str, #[case] expected: std::ops::RangeInclusive<u8>) {
    let confidence = confidence(text, &record("", "", "460", "", ""));
    assert!(expected.contains(&confidence), "{text}: {confidence}");
}

#[rstest]
#[case("3/460 Como Parade West, Mordialloc VIC 3195", 99..=99)]
#[case("Unit 3, 460 Como Parade West, Mordialloc VIC 3195", 100..=100)]
#[case("U3 460 Como Parade West, Mordialloc VIC 3195", 100..=100)]
#[case("3 460 Como Parade West, Mordialloc VIC 3195", 99..=99)]
#[case("Flat 3, 460 Como Parade West, Mordialloc VIC 3195", 90..=98)]
#[case("Shop 3, 460 Como Parade West, Mordialloc VIC 3195", 90..=95)]
#[case("Garage 3, 460 Como Parade West, Mordialloc VIC 3195", 90..=95)]
#[case("460 Como Parade West, Mordialloc VIC 3195", 0..=79)]
#[case("4/460 Como Parade West, Mordialloc VIC 3195", 0..=60)]
#[case("3/461 Como Parade West, Mordialloc VIC 3195", 0..=60)]
fn what_a_unit_is_worth(#[case] text: &str, #[case] expected: std::ops::RangeInclusive<u8>) {
    let confidence = confidence(text, &record("3", "", "460", "", ""));
    assert!(expected.contains(&confidence), "{text}: {confidence}");
}

#[rstest]
#[case("103-107 como pde w mordialloc vic 3195", 100..=100)]
#[case("103 como pde w mordialloc vic 3195", 90..=99)]
#[case("107 como pde w mordialloc vic 3195", 90..=99)]
#[case("104 como pde w mordialloc vic 3195", 0..=59)]
#[case("105 como pde w mordialloc vic 3195", 0..=59)]
#[case("103-105 como pde w mordialloc vic 3195", 0..=79)]
fn a_range_answers_for_its_ends(#[case] text: &str, #[case] expected: std::ops::RangeInclusive<u8>) {
    let confidence = confidence(text, &record("", "", "103", "107", ""));
    assert!(expected.contains(&confidence), "{text}: {confidence}");
}

#[rstest]
#[case("Lot 7 como pde w mordialloc vic 3195", ("", "7"), 100..=100)]
#[case("Lot 7 como pde w mordialloc vic 3195", ("9", "7"), 90..=99)]
#[case("Lot 7, 9 como pde w mordialloc vic 3195", ("9", "7"), 100..=100)]
// A lot that was named and is not in the data, or is another: the house is not the answer.
#[case("Lot 7, 9 como pde w mordialloc vic 3195", ("9", ""), 60..=79)]
#[case("Lot 7, 9 como pde w mordialloc vic 3195", ("9", "8"), 60..=79)]
#[case("Lot 7 DP 12345, 9 como pde w mordialloc vic 3195", ("9", ""), 90..=99)]
#[case("7 como pde w mordialloc vic 3195", ("", "7"), 0..=59)]
#[case("Lot 8 como pde w mordialloc vic 3195", ("", "7"), 0..=59)]
fn lots(#[case] text: &str, #[case] (number, lot): (&str, &str), #[case] expected: std::ops::RangeInclusive<u8>) {
    let confidence = confidence(text, &record("", "", number, "", lot));
    assert!(expected.contains(&confidence), "{text}: {confidence}");
}

#[rstest]
#[case("460 Como Parade West, Mordialloc VIC 3195, Tasmania")]
#[case("460 Como Parade West, Mordialloc VIC 3195, NSW")]
#[case("460 Como Parade West, Mordialloc, Western Australia")]
#[case("460 Como Parade West, Mordialloc VIC 3195, New Zealand")]
#[case("460 Como Parade West, Mordialloc VIC 3195, France")]
#[case("460 Como Parade West, Mordialloc VIC 31955")]
#[case("460 Como Parade West, Mordialloc VIC 319")]
#[case("460 Como Parade West, Mordialloc VIC 3195 3196")]
#[case("460 Como Parade West, Mordialloc, Frankston")]
#[case("460 Como Parade West, Mordialloc VIC 3195, Frankston")]
#[case("Frankston, 460 Como Parade West, Mordialloc VIC 3195")]
#[case("460 Como Parade West, Mordialloc VIC 3195, Unit 9")]
#[case("460 Como Parade West, Apartment 9, Mordialloc VIC 3195")]
#[case("460 Como Parade West, Level 9, Mordialloc VIC 3195")]
#[case("Unit Alpha, 460 Como Parade West, Mordialloc VIC 3195")]
#[case("Basement, 460 Como Parade West, Mordialloc VIC 3195")]
#[case("Tower 2, 460 Como Parade West, Mordialloc VIC 3195")]
#[case("Lot 9, 460 Como Parade West, Mordialloc VIC 3195")]
#[case("Behind 460 Como Parade West, Mordialloc VIC 3195")]
#[case("Acme Pty Ltd, opposite 460 Como Parade West, Mordialloc VIC 3195")]
#[case("Next door to 460 Como Parade West, Mordialloc VIC 3195")]
#[case("PO Box 460 Como Parade West, Mordialloc VIC 3195")]
#[case("RMB 460 Como Parade West, Mordialloc VIC 3195")]
#[case("460 Como Parade West 14 Mordialloc VIC 3195")]
#[case("460 Mordialloc VIC 3195")]
#[case("460, Como, VIC, 3195")]
fn what_says_otherwise_is_never_valid(#[case] text: &str) {
    let known = towns(&["FRANKSTON", "MORDIALLOC"]);
    let score = scored(text, &record("", "", "460", "", ""), &known);
    assert!(score.as_ref().is_none_or(|score| score.confidence < VALID), "{text}: {score:?}");
}

#[rstest]
#[case("Acme Pty Ltd, 460 Como Parade West, Mordialloc VIC 3195")]
#[case("Frankston Motors, 460 Como Parade West, Mordialloc VIC 3195")]
#[case("Canada Imports, 460 Como Parade West, Mordialloc VIC 3195")]
#[case("24/7 Gym, 460 Como Parade West, Mordialloc VIC 3195")]
#[case("Care of 7-Eleven Stores Pty Ltd, 460 Como Parade West, Mordialloc VIC 3195")]
#[case("c/- Smith & Sons, 460 Como Parade West, Mordialloc VIC 3195")]
#[case("460 Como Parade West, Mordialloc, Frankston VIC 3195")]
#[case("460 Como Parade West, Mordialloc, Mordialloc VIC 3195")]
#[case("460 Como Parade West, PO Box 12, Mordialloc VIC 3195")]
#[case("460 Como Parade West, N/A, Mordialloc VIC 3195")]
#[case("460 Como Parade West, Central Plaza, Mordialloc VIC 3195")]
#[case("460 Como Parade West (cnr Smith St), Mordialloc VIC 3195")]
#[case("460 Como Parade West, Ground Floor, Mordialloc VIC 3195")]
#[case("Australia, VIC, Mordialloc, 3195, 460 Como Parade West")]
#[case("460 Como Parade West, Mordialloc, Victoria (VIC) 3195, Australia")]
#[case("460 Como Parade West\nMordialloc\nV.I.C.\n3195\nph 0400 123 456")]
#[case("House No. 460, Como Parade West, Mordialloc VIC 3195")]
#[case("460 Como Praade West / Mordialloc / VIC / 3195")]
fn what_only_says_more_stays_valid(#[case] text: &str) {
    let known = towns(&["FRANKSTON", "MORDIALLOC"]);
    let score = scored(text, &record("", "", "460", "", ""), &known);
    assert!(score.as_ref().is_some_and(|score| score.confidence >= VALID), "{text}: {score:?}");
}

#[test]
fn aliases_and_neighbours_are_worth_less() {
    let with = |change: &dyn Fn(&mut Spot)| {
        let mut record = record("", "", "460", "", "");
        let mut spot = (*record.spot).clone();
        change(&mut spot);
        record.spot = Arc::new(spot);
        let score = scored("460 como parade west aspendale vic 3195", &record, &Known::default()).unwrap();
        assert!(!score.issues.is_empty());
        score.confidence
    };
    let alias = with(&|spot| {
        spot.asked_locality = "ASPENDALE".into();
        spot.locality_alias = true;
    });
    assert!((85..=92).contains(&alias), "{alias}");
    let neighbour = with(&|spot| spot.neighbour_of = some("ASPENDALE"));
    assert!((70..=79).contains(&neighbour), "{neighbour}");
}

#[test]
fn what_exists_as_typed_is_not_corrected_into_something_else() {
    let record = record("", "", "460", "", "");
    let text = "460 como parade west mordialoc vic 3195";
    let known = towns(&["MORDIALOC"]);
    assert!(scored(text, &record, &known).unwrap().confidence < VALID);
}

const PARTS: [&str; 7] = ["UNIT 3,", "460", "COMO", "PARADE", "WEST", "MORDIALLOC", "VIC 3195"];

proptest! {
    #[test]
    fn dropping_a_part_never_raises_the_confidence(mut keep in proptest::collection::vec(any::<bool>(), 7), drop in 0usize..7) {
        // Without the street's name the other words mean something else.
        keep[2] = true;
        prop_assume!(drop != 2);
        let record = record("3", "", "460", "", "");
        let text = |keep: &[bool]| PARTS.iter().zip(keep).filter(|(_, keep)| **keep).map(|(part, _)| *part).collect::<Vec<_>>().join(" ");
        let mut fewer = keep.clone();
        fewer[drop] = false;
        let (more, fewer) = (confidence(&text(&keep), &record), confidence(&text(&fewer), &record));
        prop_assert!(fewer <= more, "{} {more} / {} {fewer}", text(&keep), drop);
        prop_assert!(more <= confidence(&PARTS.join(" "), &record));
    }

    #[test]
    fn a_typo_is_worth_less_than_the_right_spelling(at in 0usize..10, letter in "[A-Z]") {
        let record = record("", "", "460", "", "");
        let mut typed = "MORDIALLOC".to_owned();
        typed.replace_range(at..=at, &letter);
        prop_assume!(typed != "MORDIALLOC");
        let worth = confidence(&format!("460 COMO PARADE WEST {typed} VIC 3195"), &record);
        prop_assert!((VALID..95).contains(&worth), "{typed} {worth}");
    }

    #[test]
    fn any_text_has_a_confidence_up_to_a_hundred(text in "([0-9]{1,4}|COMO|PARADE|WEST|MORDIALLOC|VIC|3195|UNIT|/|,| ){0,12}") {
        prop_assert!(confidence(&text, &record("", "", "460", "", "")) <= 100);
    }

    #[test]
    fn the_order_does_not_depend_on_the_order_of_arrival(numbers in proptest::collection::vec((0u8..20, 0u8..3), 1..20), swap in any::<proptest::sample::Index>()) {
        let scored = |(number, confidence): &(u8, u8)| {
            let mut record = record("", "", &number.to_string(), "", "");
            record.pid = format!("GAVIC{number}");
            let label = record.place().label();
            Scored { record, score: Score { confidence: *confidence, ..Score::default() }, label }
        };
        let mut list: Vec<_> = numbers.iter().map(scored).collect();
        let first = ranked(list.clone());
        let last = list.len() - 1;
        list.swap(swap.index(last + 1), last);
        list.reverse();
        let pids = |list: &[Scored]| list.iter().map(|s| s.record.pid.clone()).collect::<Vec<_>>();
        prop_assert_eq!(pids(&first), pids(&ranked(list)));
    }
}

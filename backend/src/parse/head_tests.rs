use super::*;
use crate::parse::normal::words;
use rstest::rstest;

fn shown(unit: Option<&Unit>) -> String {
    unit.map_or(String::new(), |u| format!("{} {}", u.kind.unwrap_or("-"), u.number.as_deref().unwrap_or("-")))
}

/// flat; level; lot; number; last; rest of the words
fn first(text: &str) -> String {
    let words = words(text).list;
    let (head, rest) = heads(&words).swap_remove(0);
    let rest: Vec<_> = words[rest..].iter().map(|w| w.text.as_str()).collect();
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    [
        shown(head.flat.as_ref()),
        shown(head.level.as_ref()),
        text(&head.lot),
        text(&head.number),
        text(&head.number_last),
        rest.join(" "),
    ]
    .join(";")
}

#[rstest]
#[case("23 smith st", ";;;23;;SMITH ST")]
#[case("12A smith st", ";;;12A;;SMITH ST")]
#[case("12 a smith st", ";;;12A;;SMITH ST")]
#[case("1/23 smith st", "- 1;;;23;;SMITH ST")]
#[case("1 / 23 smith st", "- 1;;;23;;SMITH ST")]
#[case("U1 23 smith st", "UNIT 1;;;23;;SMITH ST")]
#[case("u1/23 smith st", "UNIT 1;;;23;;SMITH ST")]
#[case("Unit 1, 23 smith st", "UNIT 1;;;23;;SMITH ST")]
#[case("Unit 1 23 smith st", "UNIT 1;;;23;;SMITH ST")]
#[case("unit 1/23 smith st", "UNIT 1;;;23;;SMITH ST")]
#[case("1 23 smith st", "- 1;;;23;;SMITH ST")]
#[case("1, 23 smith st", "- 1;;;23;;SMITH ST")]
#[case("unit a, 23 smith st", "UNIT A;;;23;;SMITH ST")]
#[case("A/23 smith st", "- A;;;23;;SMITH ST")]
#[case("G04/23 smith st", "- G04;;;23;;SMITH ST")]
#[case("103-107 smith st", ";;;103;107;SMITH ST")]
#[case("2/103-107 smith st", "- 2;;;103;107;SMITH ST")]
#[case("unit 2, 103 - 107 smith st", "UNIT 2;;;103;107;SMITH ST")]
#[case("1 103-107 smith st", "- 1;;;103;107;SMITH ST")]
#[case("lot 7 smith st", ";;7;;;SMITH ST")]
#[case("lot 7, 12 smith st", ";;7;12;;SMITH ST")]
#[case("unit 2, lot 2 perren cr", "UNIT 2;;2;;;PERREN CR")]
#[case("Lvl 2, 53-57 queen st", ";L 2;;53;57;QUEEN ST")]
#[case("L2 53 queen st", ";L 2;;53;;QUEEN ST")]
#[case("LG3 12 smith st", ";LG 3;;12;;SMITH ST")]
#[case("LG3 smith st", ";;;LG3;;SMITH ST")]
#[case("suite 1, level 1, 84 william st", "SE 1;L 1;;84;;WILLIAM ST")]
#[case("1/1/84 william st", "- 1;- 1;;84;;WILLIAM ST")]
#[case("2nd floor 84 william st", ";FL 2;;84;;WILLIAM ST")]
#[case("ground floor 84 william st", ";G -;;84;;WILLIAM ST")]
#[case("rear 84 william st", "REAR -;;;84;;WILLIAM ST")]
#[case("rear 2/84 william st", "REAR 2;;;84;;WILLIAM ST")]
#[case("house 84 william st", ";;;84;;WILLIAM ST")]
#[case("no 84 william st", ";;;84;;WILLIAM ST")]
#[case("The Pinnacle, Unit 30, 102-106 st georges rd", "UNIT 30;;;102;106;ST GEORGES RD")]
#[case("shop 22 showgrounds village 320-380 epsom rd", "SHOP 22;;;320;380;EPSOM RD")]
#[case("apartment 2201, level 22, 222 russell st", "APT 2201;L 22;;222;;RUSSELL ST")]
#[case("42 4th ave", ";;;42;;4TH AVE")]
#[case("collins st", ";;;;;COLLINS ST")]
#[case("unit 5 smith st", "UNIT 5;;;;;SMITH ST")]
#[case("st georges rd", ";;;;;ST GEORGES RD")]
#[case("f", ";;;;;F")]
fn the_likeliest_reading(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(first(text), expected);
}

#[test]
fn a_letter_after_the_number_may_begin_the_street() {
    let words = words("12 E K Avenue").list;
    let heads = heads(&words);
    assert_eq!(heads[0].0.number.as_deref(), Some("12E"));
    assert_eq!((heads[1].0.number.as_deref(), heads[1].1), (Some("12"), 1));
}

#[test]
fn a_level_with_its_number_in_one_word_may_be_a_unit() {
    let words = words("LG3 12 smith st").list;
    let heads = heads(&words);
    assert_eq!(shown(heads[1].0.flat.as_ref()), "- LG3");
    assert_eq!(heads[1].0.level, None);
}

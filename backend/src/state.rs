//! States and territories, in the ways people write them.

/// Abbreviation and name, in the order of the Bureau of Statistics' codes 1 to 9.
const STATES: [(&str, &str); 9] = [
    ("NSW", "New South Wales"),
    ("VIC", "Victoria"),
    ("QLD", "Queensland"),
    ("SA", "South Australia"),
    ("WA", "Western Australia"),
    ("TAS", "Tasmania"),
    ("NT", "Northern Territory"),
    ("ACT", "Australian Capital Territory"),
    ("OT", "Other Territories"),
];

/// The abbreviation of the state that `text` names: `nsw`, `N.S.W.`, `New South Wales`, `AU-NSW` (ISO 3166-2). None for
/// anything else.
pub(crate) fn abbreviation(text: &str) -> Option<&'static str> {
    let plain = |text: &str| -> String {
        let kept = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '.' | '-' | '_'));
        kept.map(|c| c.to_ascii_uppercase()).collect()
    };
    let text = text.trim();
    let iso = text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("AU-"));
    let word = plain(if iso { text.get(3..).unwrap_or_default() } else { text });
    STATES.iter().find(|(short, name)| *short == word || plain(name) == word).map(|(short, _)| *short)
}

/// The name of the state with this abbreviation.
pub(crate) fn name(abbreviation: &str) -> Option<&'static str> {
    STATES.iter().find(|(short, _)| *short == abbreviation).map(|(_, name)| *name)
}

/// The state that a code of the Bureau of Statistics begins with.
pub(crate) fn of_code(code: &str) -> Option<&'static str> {
    let digit = code.bytes().next()?.checked_sub(b'1')?;
    STATES.get(usize::from(digit)).map(|(short, _)| *short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("nsw", Some("NSW"))]
    #[case("N.S.W.", Some("NSW"))]
    #[case("New South  Wales", Some("NSW"))]
    #[case("new-south-wales", Some("NSW"))]
    #[case("AU-VIC", Some("VIC"))]
    #[case("Australian Capital Territory", Some("ACT"))]
    #[case("Other Territories", Some("OT"))]
    #[case("AUVIC", None)]
    #[case("XYZ", None)]
    #[case("Wales", None)]
    #[case("", None)]
    fn ways_to_write_a_state(#[case] text: &str, #[case] wanted: Option<&str>) {
        assert_eq!(abbreviation(text), wanted);
    }

    #[test]
    fn codes_begin_with_their_state() {
        assert_eq!(
            [of_code("1GSYD"), of_code("9"), of_code("ZZZ"), of_code(""), of_code("0")],
            [Some("NSW"), Some("OT"), None, None, None]
        );
    }
}

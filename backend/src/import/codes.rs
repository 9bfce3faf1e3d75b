//! G-NAF's authority tables, built in: flat files name types in words and bring no code tables of their own.

use std::collections::HashMap;

/// Kind (as in the `code` table) and the published file's text, release of February 2026.
pub(crate) const BUILT_IN: &[(&str, &str)] = &[
    (
        "address_alias_type",
        include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_ADDRESS_ALIAS_TYPE_AUT_psv.psv"),
    ),
    (
        "address_type",
        include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_ADDRESS_TYPE_AUT_psv.psv"),
    ),
    ("flat_type", include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_FLAT_TYPE_AUT_psv.psv")),
    (
        "geocoded_level_type",
        include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_GEOCODED_LEVEL_TYPE_AUT_psv.psv"),
    ),
    (
        "geocode_reliability",
        include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_GEOCODE_RELIABILITY_AUT_psv.psv"),
    ),
    (
        "geocode_type",
        include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_GEOCODE_TYPE_AUT_psv.psv"),
    ),
    ("level_type", include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_LEVEL_TYPE_AUT_psv.psv")),
    (
        "locality_alias_type",
        include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_LOCALITY_ALIAS_TYPE_AUT_psv.psv"),
    ),
    (
        "locality_class",
        include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_LOCALITY_CLASS_AUT_psv.psv"),
    ),
    (
        "mb_match_code",
        include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_MB_MATCH_CODE_AUT_psv.psv"),
    ),
    (
        "ps_join_type",
        include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_PS_JOIN_TYPE_AUT_psv.psv"),
    ),
    (
        "street_class",
        include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_STREET_CLASS_AUT_psv.psv"),
    ),
    (
        "street_locality_alias_type",
        include_str!(
            "../../../data/gnaf-vic-sample/Authority Code/Authority_Code_STREET_LOCALITY_ALIAS_TYPE_AUT_psv.psv"
        ),
    ),
    (
        "street_suffix",
        include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_STREET_SUFFIX_AUT_psv.psv"),
    ),
    (
        "street_type",
        include_str!("../../../data/gnaf-vic-sample/Authority Code/Authority_Code_STREET_TYPE_AUT_psv.psv"),
    ),
];

/// From a code or its name, in any case, to the code.
pub(crate) struct Codes {
    by_word: HashMap<(&'static str, String), &'static str>,
}

impl Codes {
    /// All built-in tables.
    pub(crate) fn built_in() -> Self {
        let mut by_word = HashMap::new();
        // Codes after names, so that a word that is both means the code.
        for pick in [1, 0] {
            for (kind, code, name) in rows() {
                by_word.insert((kind, [code, name][pick].to_owned()), code);
            }
        }
        Self { by_word }
    }

    /// The code of `kind` that `word` is, or names.
    pub(crate) fn code(&self, kind: &'static str, word: &str) -> Option<&'static str> {
        self.by_word.get(&(kind, word.to_uppercase())).copied()
    }
}

/// Kind, code and name of every built-in row.
fn rows() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    BUILT_IN.iter().flat_map(|(kind, text)| {
        text.lines().skip(1).filter_map(move |line| {
            let mut fields = line.split('|');
            Some((*kind, fields.next()?, fields.next()?))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("flat_type", "SUITE", Some("SE"))]
    #[case("flat_type", "se", Some("SE"))]
    #[case("flat_type", "UNIT", Some("UNIT"))]
    #[case("level_type", "LEVEL", Some("L"))]
    #[case("street_type", "STREET", Some("STREET"))]
    #[case("street_suffix", "NORTH", Some("N"))]
    #[case("geocode_type", "FRONTAGE CENTRE SETBACK", Some("FCS"))]
    #[case("flat_type", "PALACE", None)]
    fn words(#[case] kind: &'static str, #[case] word: &str, #[case] wanted: Option<&str>) {
        assert_eq!(Codes::built_in().code(kind, word), wanted);
    }

    #[test]
    fn every_table_is_there() {
        assert_eq!(BUILT_IN.len(), 15);
        assert_eq!(rows().filter(|(kind, ..)| *kind == "street_type").count(), 276);
    }
}

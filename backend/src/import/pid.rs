//! Persistent identifiers for data published without any. G-NAF's own begin with `GA`, a state, or `loc`; ours with `GX`, so
//! that neither can be taken for the other.

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// `GX`, the state padded to three with `_`, and 50 bits of the label's BLAKE3 in Crockford's base 32: 15 characters as in
/// G-NAF. The same label gives the same identifier for ever.
pub(crate) fn address(state: &str, label: &str) -> String {
    format!("GX{state:_<3}{}", digest(&["address", label], 10))
}

/// A locality known by its name only. `source` is part of it, so that two files never share a row.
pub(crate) fn locality(source: &str, state: &str, name: &str) -> String {
    format!("GXL{}", digest(&["locality", source, state, name], 12))
}

/// A street known by its name within a locality.
pub(crate) fn street(locality_pid: &str, name: &str, kind: &str, suffix: &str) -> String {
    format!("GXS{}", digest(&["street", locality_pid, name, kind, suffix], 12))
}

fn digest(parts: &[&str], characters: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    let mut bits = u128::from_be_bytes(std::array::from_fn(|index| hasher.finalize().as_bytes()[index]));
    (0..characters)
        .map(|_| {
            let digit = CROCKFORD[(bits >> 123) as usize];
            bits <<= 5;
            char::from(digit)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_stable_and_of_the_usual_length() {
        assert_eq!(
            address("VIC", "1 HIGH STREET, HORSHAM VIC 3400"),
            address("VIC", "1 HIGH STREET, HORSHAM VIC 3400")
        );
        assert_eq!(address("SA", "X").len(), 15);
        assert!(address("SA", "X").starts_with("GXSA_"));
        let locality = locality("core:demo", "VIC", "HORSHAM");
        assert_eq!((locality.len(), street(&locality, "HIGH", "STREET", "").len()), (15, 15));
    }

    #[test]
    fn this_label_keeps_its_identifier_for_ever() {
        assert_eq!(address("NSW", "1 ALFRED STREET, BELMONT NORTH NSW 2280"), "GXNSWN8866XST2R");
    }

    proptest::proptest! {
        #[test]
        fn labels_do_not_share_identifiers(a in "[A-Z0-9 ,]{1,40}", b in "[A-Z0-9 ,]{1,40}") {
            proptest::prop_assert_eq!(a == b, address("VIC", &a) == address("VIC", &b));
        }

        #[test]
        fn only_unambiguous_characters(label in ".*") {
            let pid = address("ACT", &label);
            proptest::prop_assert!(pid.bytes().skip(5).all(|byte| CROCKFORD.contains(&byte)));
        }
    }
}

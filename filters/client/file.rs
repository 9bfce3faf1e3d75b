//! Clients in a file of their own, so that keys can be changed without touching the configuration.

use std::collections::BTreeMap;

use super::config::Config;

/// Reads a file of clients: YAML (or JSON) of the form of `clients`. No `${VAR}` is replaced in it.
///
/// # Errors
/// A text with line and column.
pub fn read(text: &str) -> Result<BTreeMap<String, Config>, String> {
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    serde_saphyr::from_str(text).map_err(|e| e.to_string())
}

/// The clients of the configuration and those of the file.
///
/// # Errors
/// A sentence where both have a client of one name: which of them is meant would be a guess.
pub fn merge(
    configured: &BTreeMap<String, Config>,
    filed: BTreeMap<String, Config>,
) -> Result<BTreeMap<String, Config>, String> {
    let mut all = configured.clone();
    for (name, client) in filed {
        if all.insert(name.clone(), client).is_some() {
            return Err(format!("client `{name}` is in the configuration and in the file of clients"));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::digest_of;

    #[test]
    fn the_form_is_that_of_the_configuration() {
        let text = format!("web:\n  keys: [\"{}\"]\n  plan: partner\nbatch: {{ limits: [10/1m] }}\n", digest_of("k"));
        let clients = read(&text).unwrap();
        assert_eq!(clients["web"].keys, [digest_of("k")]);
        assert_eq!(
            (clients["web"].plan.as_deref(), clients["batch"].limits.as_ref().unwrap().len()),
            (Some("partner"), 1)
        );
        assert_eq!(read("{\"web\": {\"keys\": []}}").unwrap().len(), 1, "JSON is YAML");
        assert!(read("\n").unwrap().is_empty());
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for text in ["web:\n  key: [a]\n", "web: 5\n", "web: {}\nweb: {}\n", "- web\n", "web:\n  limits: [5]\n"] {
            let error = read(text).unwrap_err();
            assert!(error.contains("line"), "{text}: {error}");
        }
    }

    #[test]
    fn one_name_one_client() {
        let one = BTreeMap::from([("web".to_owned(), Config::default())]);
        let other = BTreeMap::from([("batch".to_owned(), Config::default())]);
        assert_eq!(merge(&one, other).unwrap().len(), 2);
        assert!(merge(&one, one.clone()).unwrap_err().contains("`web`"));
    }
}

//! Turns `X-API-Key` into an identity, before the body is read.
//!
//! Keys are random and never stored: the configuration holds their SHA-256 digests. A key is looked up by its digest and
//! the digests are compared in constant time, so nothing of a key leaks through timing. A client may have two keys while
//! it changes from one to the other.
//!
//! ```yaml
//! clients:
//!   web-portal:
//!     keys: ["sha256:9f86d081..."]   # `addrgate keys new` prints a key and this line; empty texts are skipped
//!     limits: [5000/15m]             # in place of `rate_limit.client`; []: none
//!     priority: high                 # critical, high, normal, low or background
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::head::Head;
use crate::priority::Class;
use crate::reply::Code;
use crate::route::Auth;
use crate::units::Rate;
use crate::verdict::Verdict;
use crate::{Filter, Flow, rate_limit};

/// One client, as written; its name is the key of the map.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Digests of at most two keys, each `sha256:` and 64 hex digits. An empty text is skipped, so that
    /// `${ADDRGATE_KEY_SHA256:-}` may stay unset.
    pub keys: Vec<String>,
    /// What it may ask, in place of `rate_limit.client`; an empty list: as much as it likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Vec<Rate>>,
    /// How much its requests matter; it can lower itself by `Priority`, never raise itself. Left out: `priority.default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Class>,
}

/// A known client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Client {
    /// The name in the configuration; in logs, metrics and limits.
    pub name: Arc<str>,
    /// Its own limits, where it has any.
    pub limits: Option<Vec<Rate>>,
    /// Its class, where it has one of its own.
    pub priority: Option<Class>,
}

/// The digest of a key, as the configuration writes it.
#[must_use]
pub fn digest_of(key: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(key.as_bytes())))
}

/// A fresh key: 256 random bits in 43 characters of base 64 (URL alphabet), from the operating system's generator.
///
/// # Errors
/// Where the operating system has no randomness to give.
pub fn new_key() -> Result<String, getrandom::Error> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = [0u8; 43];
    getrandom::fill(&mut random)?;
    Ok(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect())
}

/// The filter: all clients by the digest of their keys.
#[derive(Debug, Default)]
pub struct Clients(HashMap<[u8; 32], Arc<Client>>);

impl Clients {
    /// Compiles the map; the error is a sentence naming the client.
    pub fn new(configs: &BTreeMap<String, Config>) -> Result<Self, String> {
        let mut clients = HashMap::new();
        for (name, config) in configs {
            rate_limit::check(config.limits.iter().flatten()).map_err(|e| format!("client `{name}`: {e}"))?;
            let client = Arc::new(Client {
                name: name.as_str().into(),
                limits: config.limits.clone(),
                priority: config.priority,
            });
            let digests: Vec<&String> = config.keys.iter().filter(|text| !text.is_empty()).collect();
            if digests.len() > 2 {
                return Err(format!("client `{name}` has {} keys; two at most", digests.len()));
            }
            for text in digests {
                let digest = text.strip_prefix("sha256:").and_then(|hex| {
                    let mut bytes = [0; 32];
                    hex::decode_to_slice(hex, &mut bytes).ok().map(|()| bytes)
                });
                let digest = digest.ok_or_else(|| {
                    format!("client `{name}`: a key is `sha256:` and 64 hex digits, as `addrgate keys new` prints it")
                })?;
                if let Some(other) = clients.insert(digest, Arc::clone(&client)) {
                    return Err(format!("clients `{}` and `{name}` have the same key", other.name));
                }
            }
        }
        Ok(Self(clients))
    }

    /// Whether no key at all is known, so that every route with a key is closed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The client with this key.
    #[must_use]
    pub fn identify(&self, key: &[u8]) -> Option<&Arc<Client>> {
        let digest: [u8; 32] = Sha256::digest(key).into();
        let (known, client) = self.0.get_key_value(&digest)?;
        bool::from(known.ct_eq(&digest)).then_some(client)
    }
}

impl Filter for Clients {
    fn name(&self) -> &'static str {
        "client"
    }

    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        if !verdict.route.as_ref().is_some_and(|route| route.config.auth == Auth::ApiKey) {
            return Flow::Continue;
        }
        match (head.headers.get("x-api-key"), head.headers.count("x-api-key")) {
            (None, _) | (Some(b""), 1) => {
                Flow::refuse(Code::MissingApiKey, "no_key", "Send your API key in the field X-API-Key.")
            }
            // Two different keys would be two identities; whoever reads the other one would disagree with us.
            (Some(_), 2..) => Flow::refuse(Code::InvalidApiKey, "duplicate_key", "The field X-API-Key was sent twice."),
            (Some(key), _) => match self.identify(key) {
                Some(client) => {
                    verdict.client = Some(Arc::clone(client));
                    Flow::Continue
                }
                None => Flow::refuse(Code::InvalidApiKey, "unknown_key", "The API key is not known."),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::head::Headers;
    use crate::route;

    fn clients() -> Clients {
        let web = Config { keys: vec![digest_of("old"), digest_of("new"), String::new()], ..Config::default() };
        Clients::new(&BTreeMap::from([("web".to_owned(), web)])).unwrap()
    }

    fn ask(keys: &[&str], auth: &str) -> (Flow, Verdict) {
        let yaml = format!(r#"{{"name":"r","paths":["/"],"auth":"{auth}"}}"#);
        let routes = route::Routes::new(vec![serde_json::from_str(&yaml).unwrap()]).unwrap();
        let fields: Vec<_> =
            keys.iter().map(|key| httparse::Header { name: "X-Api-Key", value: key.as_bytes() }).collect();
        let mut verdict = Verdict { route: Some(Arc::clone(&routes.list()[0])), ..Verdict::default() };
        let flow = clients().request(&Head::new("GET", "/", Headers::Raw(&fields)), &mut verdict);
        (flow, verdict)
    }

    #[rstest]
    #[case("old")]
    #[case("new")]
    fn both_keys_of_a_client_work(#[case] key: &str) {
        let (flow, verdict) = ask(&[key], "api_key");
        assert_eq!((flow, &*verdict.client.unwrap().name), (Flow::Continue, "web"));
    }

    #[rstest]
    #[case(&[], Code::MissingApiKey, "no_key")]
    #[case(&[""], Code::MissingApiKey, "no_key")]
    #[case(&["wrong"], Code::InvalidApiKey, "unknown_key")]
    #[case(&["old", "old"], Code::InvalidApiKey, "duplicate_key")]
    #[case(&["new", "wrong"], Code::InvalidApiKey, "duplicate_key")]
    fn refusals(#[case] keys: &[&str], #[case] code: Code, #[case] reason: &str) {
        match ask(keys, "api_key") {
            (Flow::Reply(cause), verdict) => {
                assert_eq!((cause.code, cause.reason), (code, reason));
                assert!(verdict.client.is_none());
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn open_routes_need_no_key() {
        assert_eq!(ask(&[], "none").0, Flow::Continue);
    }

    #[rstest]
    #[case(vec!["abc".to_owned()], "64 hex digits")]
    #[case(vec!["sha256:12".to_owned()], "64 hex digits")]
    #[case(vec![digest_of("1"), digest_of("2"), digest_of("3")], "two at most")]
    #[case(vec![digest_of("1"), digest_of("1")], "the same key")]
    fn wrong_configs(#[case] keys: Vec<String>, #[case] message: &str) {
        let error =
            Clients::new(&BTreeMap::from([("web".to_owned(), Config { keys, ..Config::default() })])).unwrap_err();
        assert!(error.contains(message) && error.contains("web"), "{error}");
    }

    #[test]
    fn fresh_keys_differ_and_are_long() {
        let (a, b) = (new_key().unwrap(), new_key().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), 43);
    }
}

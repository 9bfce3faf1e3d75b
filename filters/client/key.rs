//! API keys: how they are made, and how they are looked up without being known.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::profile::Client;
use crate::cause::{Cause, Code};
use crate::http::head::Head;

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

/// A digest in words, which are compared in constant time eight times faster than its bytes.
type Words = [u64; 4];

/// Clients by the digest of their keys. A digest is random already, so a quick hash is as good as a strong one.
#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<Words, Arc<Client>, foldhash::fast::RandomState>);

impl Keys {
    /// Adds a client's digests; the error is a sentence naming it.
    pub(super) fn add(&mut self, client: &Arc<Client>, digests: &[String]) -> Result<(), String> {
        let name = &client.name;
        let digests: Vec<&String> = digests.iter().filter(|text| !text.is_empty()).collect();
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
            if let Some(other) = self.0.insert(words(digest), Arc::clone(client)) {
                return Err(format!("clients `{}` and `{name}` have the same key", other.name));
            }
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<&Arc<Client>> {
        let digest = words(Sha256::digest(key).into());
        let (known, client) = self.0.get_key_value(&digest)?;
        bool::from(known.ct_eq(&digest)).then_some(client)
    }

    /// The client that `X-API-Key` names.
    pub(super) fn show(&self, head: &Head<'_>) -> Result<Arc<Client>, Cause> {
        match (head.headers.get("x-api-key"), head.headers.count("x-api-key")) {
            (None, _) | (Some(b""), 1) => {
                Err(Cause::new(Code::MissingApiKey, "no_key", "Send your API key in the field X-API-Key."))
            }
            // Two different keys would be two identities; whoever reads the other one would disagree with us.
            (Some(_), 2..) => {
                Err(Cause::new(Code::InvalidApiKey, "duplicate_key", "The field X-API-Key was sent twice."))
            }
            (Some(key), _) => {
                let unknown = || Cause::new(Code::InvalidApiKey, "unknown_key", "The API key is not known.");
                self.find(key).map(Arc::clone).ok_or_else(unknown)
            }
        }
    }
}

fn words(digest: [u8; 32]) -> Words {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(digest.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    words
}

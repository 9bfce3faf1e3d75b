//! Settings of cache keys, and a key.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::canonical::Rule;

/// What is in a route's key.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The query parameters that reach key and upstream, each with its rule. Left out: the query as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<BTreeMap<String, Rule>>,
    /// Whether the body is in the key; for POST and QUERY.
    pub body: BodyKey,
    /// Rules for members of a JSON body, by dotted path (`coordinates.latitude`). Members without a rule stay as they are.
    pub members: BTreeMap<String, Rule>,
    /// Whether `Host` is in the key (in lower case) and reaches the upstream. Else the upstream sees its own name, so
    /// that a foreign host can't make a difference.
    pub host: bool,
    /// Whether each client has its own entries. Only for answers that depend on who asks.
    pub client: bool,
}

/// What of the body is in the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyKey {
    /// Nothing: a request with a body is not cached.
    #[default]
    None,
    /// The JSON value, independent of member order and white space; numbers as they are written. Duplicate member names are
    /// refused.
    Json,
}

/// Names a cached answer: the BLAKE3 hash of the canonical request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 32]);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

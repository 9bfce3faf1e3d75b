//! Settings of clients.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::Networks;
use crate::traffic::Class;
use crate::traffic::units::Rate;

/// One client, as written; its name is the key of the map.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Digests of at most two keys, each `sha256:` and 64 hex digits. An empty text is skipped, so that
    /// `${ADDRGATE_KEY_SHA256:-}` may stay unset. None at all: the client shows tokens only.
    pub keys: Vec<String>,
    /// The plan by name, for all that follows and is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// What it may ask, in place of `rate_limit.client`; an empty list: as much as it likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Vec<Rate>>,
    /// The routes it may use, by name; others are answered 403. Left out: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<String>>,
    /// Networks from which it may ask; others are answered 403. Left out: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Networks>,
    /// How much its requests matter. It can lower them by `Priority`, never raise them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Class>,
}

/// What several clients have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// What each client of the plan may ask, in place of `rate_limit.client`; an empty list: as much as it likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Vec<Rate>>,
    /// The routes they may use, by name; others are answered 403. Left out: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<String>>,
    /// Networks from which they may ask; others are answered 403. Left out: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Networks>,
    /// How much their requests matter. They can lower them by `Priority`, never raise them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Class>,
}

//! Settings of how clients show who they are.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::token;
use crate::traffic::Mode;
use crate::traffic::units::{Rate, Span};

/// How clients show who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// A file with more clients, of the form of `clients`. It is watched: a key taken out stops working within seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients_file: Option<PathBuf>,
    /// How many wrong keys and tokens one address may show; more are answered 429. A right key always passes, and a token
    /// that was seen before; a new one is not verified then. `null`: any
    /// number.
    pub failures: Option<Rate>,
    /// Whether `routes`, `addresses` and `failures` refuse or only count. A wrong key is refused in either mode.
    pub mode: Mode,
    /// Bearer tokens; left out: none is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<token::Config>,
}

impl Default for Identity {
    fn default() -> Self {
        let failures = Rate { count: 30, per: Span::secs(60) };
        Self { clients_file: None, failures: Some(failures), mode: Mode::Enforce, jwt: None }
    }
}

//! Bearer tokens (JWT, RFC 7519), for services that already have an issuer.
//!
//! ```yaml
//! identity:
//!   jwt:
//!     algorithms: [RS256, ES256]    # or [HS256]; no token chooses beyond these
//!     jwks_file: jwks.json          # the issuer's public keys; for HS256 `secret_file` instead. Watched.
//!     issuer: https://login.example
//!     audience: addrgate
//!     leeway: 30s                   # for clocks that differ
//!     client: sub                   # the claim that names the client
//!     plan: plan                    # the claim that names the plan of one who is not in `clients`; left out: refused
//! ```
//!
//! A key serves the one algorithm it was made for, and a secret never stands beside public keys, so no token can have its
//! signature checked by the wrong means. `exp`, `iss` and `aud` must be there; `crit` (RFC 7515 section 4.1.11) must not.
//! A token that was good is remembered until it expires, because a signature costs more than the rest of a request.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use moka::sync::Cache;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::profile::Client;
use crate::cause::{Cause, Code};
use crate::http::head::Head;
use crate::traffic::units::Span;

mod keys;

use keys::Key;

/// Which tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What a token may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// The issuer's public keys, a JWK set (RFC 7517), for RS256 and ES256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// The secret shared with the issuer, at least 32 bytes, for HS256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be, or hold.
    pub audience: String,
    /// How far clocks may differ, at most five minutes.
    #[serde(default = "half_a_minute")]
    pub leeway: Span,
    /// The claim that names the client.
    #[serde(default = "subject")]
    pub client: String,
    /// The claim that names the plan of a client who is not in `clients`. Left out: such clients are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

fn half_a_minute() -> Span {
    Span::secs(30)
}

fn subject() -> String {
    "sub".to_owned()
}

impl Config {
    /// The file with the keys or the secret, to be read by the caller.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.jwks_file.as_deref().or(self.secret_file.as_deref())
    }
}

/// How a token is signed (RFC 7518 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HS256,
    /// RSA (PKCS #1 1.5) with SHA-256.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::HS256 => Self::HS256,
            Algorithm::RS256 => Self::RS256,
            Algorithm::ES256 => Self::ES256,
        }
    }
}

/// What a good token says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) subject: String,
    pub(super) plan: Option<String>,
    /// In seconds since 1970.
    pub(super) expires: u64,
}

/// No longer token is looked at.
const LONGEST: usize = 8192;

/// All keys that tokens may be signed with.
pub(super) struct Tokens {
    keys: Vec<Key>,
    leeway: u64,
    client: String,
    plan: Option<String>,
    known: Cache<[u8; 32], (Arc<Client>, u64)>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} keys)", self.keys.len())
    }
}

impl Tokens {
    /// Compiles; `file` is what is in the file of keys. The error is a sentence.
    pub(super) fn new(config: &Config, file: &[u8]) -> Result<Self, String> {
        let secret_is_enough = [Algorithm::HS256];
        if config.leeway.0.as_secs() > 300 {
            return Err("`leeway` is longer than five minutes".to_owned());
        }
        if config.issuer.is_empty() || config.audience.is_empty() || config.client.is_empty() {
            return Err("`issuer`, `audience` and `client` can't be empty".to_owned());
        }
        let keys = match (&config.jwks_file, &config.secret_file) {
            (None, Some(_)) if config.algorithms == secret_is_enough => vec![keys::secret(file, config)?],
            (None, Some(_)) => return Err("a secret serves HS256 alone: `algorithms: [HS256]`".to_owned()),
            (Some(_), None) if config.algorithms.contains(&Algorithm::HS256) => {
                return Err(
                    "HS256 needs `secret_file` in place of `jwks_file`; both at once are not offered".to_owned()
                );
            }
            (Some(_), None) => keys::public(file, config)?,
            _ => return Err("exactly one of `jwks_file` and `secret_file` is needed".to_owned()),
        };
        Ok(Self {
            keys,
            leeway: config.leeway.0.as_secs(),
            client: config.client.clone(),
            plan: config.plan.clone(),
            known: Cache::new(10_000),
        })
    }

    /// The client of a token that was good before and has not expired.
    pub(super) fn known(&self, token: &str) -> Option<Arc<Client>> {
        let (client, expires) = self.known.get(&digest(token))?;
        (jsonwebtoken::get_current_timestamp() <= expires.saturating_add(self.leeway)).then_some(client)
    }

    pub(super) fn remember(&self, token: &str, client: &Arc<Client>, expires: u64) {
        self.known.insert(digest(token), (Arc::clone(client), expires));
    }

    /// Checks signature and claims.
    pub(super) fn verify(&self, token: &str) -> Result<Claims, Cause> {
        let malformed = || refusal("token_form", "The token is not a JWT.");
        if token.len() > LONGEST {
            return Err(malformed());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| malformed())?;
        if header.crit.is_some() {
            return Err(refusal("token_crit", "The token has critical extensions, none of which is known."));
        }
        let of_algorithm = || self.keys.iter().filter(|key| key.validation.algorithms.contains(&header.alg));
        if of_algorithm().next().is_none() {
            return Err(refusal("token_algorithm", "The token is signed with an algorithm that is not accepted."));
        }
        let mut found = refusal("token_key", "The token is signed with a key that is not known.");
        // A key without a name may be anyone's, a secret for one.
        let may_be = |id: &Option<String>| header.kid.is_none() || id.is_none() || *id == header.kid;
        for key in of_algorithm().filter(|key| may_be(&key.id)) {
            match jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &key.validation) {
                Ok(data) => return self.claims(&data.claims),
                Err(e) => {
                    found = cause(e.kind());
                    // Without a key's name each may be the one.
                    if !matches!(e.kind(), ErrorKind::InvalidSignature) {
                        break;
                    }
                }
            }
        }
        Err(found)
    }

    fn claims(&self, claims: &Map<String, Value>) -> Result<Claims, Cause> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        // It goes into logs and accounts.
        let usable = |text: &&str| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        let subject = text(&self.client).filter(usable);
        let subject = subject.ok_or_else(|| refusal("token_client", "The token names no client."))?;
        let plan = self.plan.as_deref().and_then(text).map(str::to_owned);
        let expires = claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
        Ok(Claims { subject: subject.to_owned(), plan, expires: expires as u64 })
    }
}

/// Whether the request shows a bearer token at all.
pub(super) fn is_sent(head: &Head<'_>) -> bool {
    head.headers.get("authorization").is_some_and(|value| bearer(value).is_some())
}

/// The token in `Authorization: Bearer` (RFC 6750 section 2.1). Never out of the URL or a body.
pub(super) fn sent<'a>(head: &Head<'a>) -> Result<&'a str, Cause> {
    let token = head.headers.get("authorization").and_then(bearer);
    match (token, head.headers.count("authorization")) {
        (Some(_), 2..) => Err(refusal("duplicate_token", "The field Authorization was sent twice.")),
        (Some(token), _) => std::str::from_utf8(token).map_err(|_| refusal("token_form", "The token is not a JWT.")),
        (None, _) => {
            let message = "Send your token in the field Authorization, after the word Bearer.";
            Err(Cause::new(Code::MissingApiKey, "no_token", message))
        }
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn refusal(reason: &'static str, message: &'static str) -> Cause {
    Cause::new(Code::InvalidApiKey, reason, message)
}

fn cause(kind: &ErrorKind) -> Cause {
    match kind {
        ErrorKind::ExpiredSignature => refusal("token_expired", "The token has expired."),
        ErrorKind::ImmatureSignature => refusal("token_early", "The token is not yet valid."),
        ErrorKind::InvalidIssuer => refusal("token_issuer", "The token is another issuer's."),
        ErrorKind::InvalidAudience => refusal("token_audience", "The token is not meant for this service."),
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => {
            refusal("token_claims", "The token lacks `exp`, `iss` or `aud`.")
        }
        ErrorKind::InvalidSignature => refusal("token_signature", "The token's signature is wrong."),
        _ => refusal("token_form", "The token is not a JWT."),
    }
}

#[cfg(test)]
mod tests;

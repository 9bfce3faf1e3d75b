//! Chooses what is in the key, and removes everything else from what is forwarded.
//!
//! An input that could change the answer but is not in the key is how caches get poisoned. So there is one canonical
//! request: the key is its hash, and it is also exactly what the upstream sees.
//!
//! ```yaml
//! cache:
//!   key:
//!     query:                        # only these; others are dropped. Leave `query` out to keep the query as written.
//!       q: { fold: true }           # letter case folded, runs of spaces collapsed, line breaks made commas
//!       limit: { default: 10 }      # dropped where it has the default
//!       latitude: { decimals: 6 }   # rounded
//!     body: json                    # POST: the canonical JSON body is in the key
//!     members:                      # rules for members of that body, by dotted path
//!       address: { fold: true }
//!     host: false                   # whether `Host` is in the key and forwarded
//!     client: false                 # whether clients get entries of their own
//! ```

use std::borrow::Cow;

use bytes::Bytes;

use crate::cause::{Cause, Code};
use crate::http::body::has_body;
use crate::http::head::Head;
use crate::http::response::wants_problem;
use crate::http::{canonical, target};
use crate::request_body::{self, Inflate};
use crate::verdict::Verdict;
use crate::{Filter, Flow};

mod config;
mod find;

pub use config::{BodyKey, Config, Key};
pub use find::{Unkeyed, find};

/// The filter. Its settings are the route's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keys;

impl Keys {
    /// The second half for body-keyed routes, once the body is read: inflates it where it is coded, and puts the canonical body and the key into the verdict.
    #[must_use]
    pub fn body(&self, head: &Head<'_>, body: &[u8], verdict: &mut Verdict) -> Flow {
        let Some(route) = verdict.route.clone() else { return Flow::Continue };
        let Some(cache) = &route.config.cache else { return Flow::Continue };
        let body = match verdict.gzip.then(|| inflated(request_body::most(&route, head.method), body)).transpose() {
            Ok(inflated) => inflated.map_or(Cow::Borrowed(body), Cow::Owned),
            Err(cause) => return Flow::Reply(cause),
        };
        match canonical::json(&body, &cache.key.members) {
            Ok(canonical) => {
                let canonical = Bytes::from(canonical);
                verdict.key = Some(key(&cache.key, head, verdict, &canonical));
                verdict.body = Some(canonical);
                Flow::Continue
            }
            Err(canonical::Wrong::ByteOrderMark) => Flow::refuse(
                Code::InvalidJson,
                "byte_order_mark",
                "The body begins with a byte-order mark. Send JSON in UTF-8 without one.",
            ),
            Err(canonical::Wrong::NotUtf8) => {
                Flow::refuse(Code::InvalidJson, "not_utf8", "The body is not UTF-8. Send JSON in UTF-8.")
            }
            Err(canonical::Wrong::Syntax(message)) => Flow::refuse(Code::InvalidJson, "json_syntax", message),
            Err(canonical::Wrong::Duplicate(name)) => Flow::Reply(
                Cause::new(Code::InvalidJson, "json_duplicate", "A member name appears twice in one object.")
                    .detail("member", name),
            ),
        }
    }
}

/// What a whole body in gzip holds.
fn inflated(most: u64, body: &[u8]) -> Result<Vec<u8>, Cause> {
    let mut inflate = Inflate::new(most);
    let mut out = inflate.push(body)?;
    out.append(&mut inflate.end()?);
    Ok(out)
}

impl Filter for Keys {
    fn name(&self) -> &'static str {
        "cache_key"
    }

    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        let Some(route) = &verdict.route else { return Flow::Continue };
        let cache = route.config.cache.as_ref().filter(|cache| cache.covers(head.method));
        if let Some(raw) = head.query.filter(|q| !q.is_empty()) {
            let rules = cache.and_then(|cache| cache.key.query.as_ref());
            let before = verdict.target.len();
            verdict.target.push('?');
            let done = match rules {
                Some(rules) => canonical::query(raw, rules, &mut verdict.target),
                None => target::query(raw, &mut verdict.target),
            };
            if let Err(reason) = done {
                return Flow::refuse(
                    Code::InvalidRequest,
                    reason,
                    "The query holds characters that are not allowed in a URL.",
                );
            }
            if verdict.target.len() == before + 1 {
                verdict.target.truncate(before);
            }
        }
        if let Some(cache) = cache.filter(|cache| cache.key.body == BodyKey::None || !has_body(head.method)) {
            verdict.key = Some(key(&cache.key, head, verdict, b""));
        }
        Flow::Continue
    }
}

fn key(config: &Config, head: &Head<'_>, verdict: &Verdict, body: &[u8]) -> Key {
    let client = verdict.client.as_ref().filter(|_| config.client);
    let asker: [&[u8]; 3] = [
        client.map_or(&[], |client| client.name.as_bytes()),
        // Who is sent to another upstream has entries of its own.
        verdict.upstream.as_ref().map_or(&[], |upstream| upstream.as_bytes()),
        // The upstream hears in which form errors are wanted.
        if wants_problem(head.headers) { b"problem" } else { b"" },
    ];
    digest(config, head, verdict, body, asker)
}

/// What all keys of a request have in common, whoever asks and whichever upstream answers: a purge of a URL names it.
#[must_use]
pub fn common(config: &Config, head: &Head<'_>, verdict: &Verdict) -> Key {
    digest(config, head, verdict, verdict.body.as_deref().unwrap_or_default(), [b""; 3])
}

fn digest(
    config: &Config,
    head: &Head<'_>,
    verdict: &Verdict,
    body: &[u8],
    [client, upstream, form]: [&[u8]; 3],
) -> Key {
    let host = head.host().filter(|_| config.host).map(<[u8]>::to_ascii_lowercase);
    let parts = [
        // HEAD is answered from what GET stored.
        if head.is_head() { b"GET" } else { head.method.as_bytes() },
        host.as_deref().unwrap_or_default(),
        verdict.target.as_bytes(),
        body,
        client,
        upstream,
        form,
    ];
    // One piece of memory and one call: hashing part by part costs twice as much.
    let mut text = Vec::with_capacity(256 + verdict.target.len() + body.len());
    // Lengths first: no two different lists of parts are the same bytes.
    for part in parts {
        text.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
    }
    for part in parts {
        text.extend_from_slice(part);
    }
    Key(*blake3::hash(&text).as_bytes())
}

#[cfg(test)]
mod tests;

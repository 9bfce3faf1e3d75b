//! `POST /admin/v1/cache/purge`: by URL, by tag, or everything; gone, or stale.
//!
//! ```json
//! {"urls": ["/api/v1/addresses/search?q=x", {"url": "/api/v1/addresses/validate", "method": "POST", "body": {"address": "x"}}],
//!  "tags": ["locality:horsham"], "soft": true}
//! {"all": true}
//! ```
//!
//! The answer says whether every instance will know (`confirmed`), how many have applied it by now, and how many there are.
//! Where the log can't be written it is a 202: this instance has purged, and goes on trying to tell the others.

use std::sync::Arc;

use addrgate_filters::cache_key::find;
use addrgate_filters::http::head::{Head, Headers};
use addrgate_filters::reply::{Cause, Code, Reply};
use serde::Deserialize;
use serde_json::json;

use crate::invalidation::{Name, Purge, Target};
use crate::plan::Plan;
use crate::shared::Shared;
use crate::warm;

/// URLs and tags of one call.
const MOST: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
#[derive(Default)]
struct Wanted {
    urls: Vec<warm::Target>,
    tags: Vec<String>,
    all: bool,
    soft: bool,
}

/// Purges what the body says.
pub(super) async fn purge(shared: &Arc<Shared>, body: &[u8]) -> Result<Reply, Cause> {
    let wanted: Wanted = serde_json::from_slice(body).map_err(|e| {
        Cause::new(Code::InvalidJson, "purge", "The body is not a purge.").detail("error", e.to_string())
    })?;
    let bad = |message: String| Err(Cause::new(Code::InvalidRequest, "purge", message));
    let count = wanted.urls.len() + wanted.tags.len();
    let target = match (wanted.all, count) {
        (true, 0) => Target::All,
        (true, _) => return bad("`all` leaves nothing for `urls` and `tags` to add.".to_owned()),
        (false, 0) => return bad("Say what to purge: `urls`, `tags`, or `all`.".to_owned()),
        (false, _) if count > MOST => return bad(format!("At most {MOST} URLs and tags in one call.")),
        (false, _) => Target::Names(names(&shared.plan(), &wanted)?),
    };
    let what = if wanted.all { "everything".to_owned() } else { format!("{count} URLs and tags") };
    let receipt = shared.invalidation.purge(Purge { target, soft: wanted.soft }).await;
    tracing::info!(what, soft = wanted.soft, ?receipt, "purged");
    let mut reply = Reply::json(
        200,
        &json!({
            "confirmed": receipt.confirmed,
            "applied": receipt.applied,
            "instances": receipt.instances,
        }),
    );
    if !receipt.confirmed {
        reply.status = 202;
    }
    Ok(reply)
}

fn names(plan: &Plan, wanted: &Wanted) -> Result<Vec<Name>, Cause> {
    let mut names = wanted.tags.iter().map(|tag| tag_name(tag)).collect::<Result<Vec<_>, _>>()?;
    for target in &wanted.urls {
        names.extend(url_names(plan, target)?);
    }
    Ok(names)
}

fn refused(message: &'static str, what: &'static str, value: &str) -> Cause {
    Cause::new(Code::InvalidRequest, "purge", message).detail(what, value)
}

/// Where no `*` means anything.
const NO_WILDCARD: &str = "There are no wildcards: purge by a tag that the responses share ({\"tags\": [...]}), by each URL, or \
                           everything ({\"all\": true}). A star that is part of a URL is written %2A.";

/// The name of one tag, as it is compared: whole.
fn tag_name(tag: &str) -> Result<Name, Cause> {
    let plain = tag.trim();
    let message = match plain {
        "" => "A tag is empty.",
        _ if plain.contains('*') => NO_WILDCARD,
        _ if plain.contains(',') => "A comma parts tags, so none has one: write two texts for two tags.",
        _ if plain.chars().any(char::is_control) => "A tag has no control characters, so nothing bears this one.",
        _ => return Ok(Name::tag(plain)),
    };
    Err(refused(message, "tag", tag))
}

/// The names of what a URL means: as it is written, and as a browser would send it, where that is not the same key.
fn url_names(plan: &Plan, target: &warm::Target) -> Result<Vec<Name>, Cause> {
    let (method, written, body) = target.parts();
    if written.contains('*') {
        return Err(refused(NO_WILDCARD, "url", written));
    }
    let body = body.map(warm::text);
    let key = |url: &str| {
        let head = Head::new(method, url, Headers::Raw(&[]));
        find(&plan.filters, &head, body.as_deref().map(str::as_bytes))
    };
    let spelled = warm::spellings(written).map_err(|message| refused(message, "url", written))?;
    let found: Vec<_> = spelled.iter().map(|url| key(url)).collect();
    let mut names: Vec<Name> = found.iter().flatten().map(Name::key).collect();
    names.dedup();
    match found.into_iter().find_map(Result::err).filter(|_| names.is_empty()) {
        None => Ok(names),
        Some(unkeyed) => Err(refused(unkeyed.why(), "url", written)),
    }
}

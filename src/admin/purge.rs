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

use addrgate_filters::head::{Head, Headers};
use addrgate_filters::reply::{Cause, Code, Reply};
use addrgate_filters::verdict::Verdict;
use addrgate_filters::{Filter, Flow};
use serde::Deserialize;
use serde_json::{Value, json};

use super::json_reply;
use crate::config::Plan;
use crate::invalidation::{Name, Purge, Target};
use crate::shared::Shared;

/// URLs and tags of one call.
const MOST: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
#[derive(Default)]
struct Wanted {
    urls: Vec<Place>,
    tags: Vec<String>,
    all: bool,
    soft: bool,
}

/// A cached request.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Place {
    Url(String),
    Request(Request),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    url: String,
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    body: Option<Value>,
}

fn get() -> String {
    "GET".to_owned()
}

/// Purges what the body says.
pub(super) async fn purge(shared: &Arc<Shared>, body: &[u8]) -> Result<Reply, Cause> {
    let wanted: Wanted = serde_json::from_slice(body).map_err(|e| {
        Cause::new(Code::InvalidJson, "purge", "The body is not a purge.").detail("error", e.to_string())
    })?;
    let refused = |message: String| Err(Cause::new(Code::InvalidRequest, "purge", message));
    let count = wanted.urls.len() + wanted.tags.len();
    let target = match (wanted.all, count) {
        (true, 0) => Target::All,
        (true, _) => return refused("`all` leaves nothing for `urls` and `tags` to add.".to_owned()),
        (false, 0) => return refused("Say what to purge: `urls`, `tags`, or `all`.".to_owned()),
        (false, MOST..) if count > MOST => return refused(format!("At most {MOST} URLs and tags in one call.")),
        (false, _) => Target::Names(names(&shared.plan(), &wanted)?),
    };
    let what = if wanted.all { "everything".to_owned() } else { format!("{count} URLs and tags") };
    let receipt = shared.invalidation.purge(Purge { target, soft: wanted.soft }).await;
    tracing::info!(what, soft = wanted.soft, ?receipt, "purged");
    let mut reply = json_reply(&json!({
        "confirmed": receipt.confirmed,
        "applied": receipt.applied,
        "instances": receipt.instances,
    }));
    if !receipt.confirmed {
        reply.status = 202;
    }
    Ok(reply)
}

fn names(plan: &Plan, wanted: &Wanted) -> Result<Vec<Name>, Cause> {
    let tags = wanted.tags.iter().map(|tag| Ok(Name::tag(tag.trim())));
    let urls = wanted.urls.iter().map(|place| match place {
        Place::Url(url) => key(plan, "GET", url, None),
        Place::Request(Request { url, method, body }) => key(plan, method, url, body.as_ref()),
    });
    tags.chain(urls).collect()
}

/// The name of a cached request's answer.
fn key(plan: &Plan, method: &str, url: &str, body: Option<&Value>) -> Result<Name, Cause> {
    let refused = |message: &'static str| Cause::new(Code::InvalidRequest, "purge", message).detail("url", url);
    let head = Head::new(method, url, Headers::Raw(&[]));
    let mut verdict = Verdict::default();
    let filters = &plan.filters;
    if filters.route.request(&head, &mut verdict) != Flow::Continue
        || filters.cache_key.request(&head, &mut verdict) != Flow::Continue
    {
        return Err(refused("No route has this URL."));
    }
    if verdict.route.as_ref().and_then(|route| route.cache.as_ref()).is_some_and(|cache| cache.config.key.client) {
        return Err(refused("Each client has entries of its own there; purge by tag."));
    }
    if let Some(body) = body
        && filters.cache_key.body(&head, body.to_string().as_bytes(), &mut verdict) != Flow::Continue
    {
        return Err(refused("The body can't be in a key."));
    }
    let key = verdict.key.ok_or_else(|| refused("Answers to this request are not kept."))?;
    Ok(Name::key(&key))
}

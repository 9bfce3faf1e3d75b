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

use addrgate_filters::cache_key::{Unkeyed, find};
use addrgate_filters::head::{Head, Headers};
use addrgate_filters::reply::{Cause, Code, Reply};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::Plan;
use crate::invalidation::{Name, Purge, Target};
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
    let refused = |message: String| Err(Cause::new(Code::InvalidRequest, "purge", message));
    let count = wanted.urls.len() + wanted.tags.len();
    let target = match (wanted.all, count) {
        (true, 0) => Target::All,
        (true, _) => return refused("`all` leaves nothing for `urls` and `tags` to add.".to_owned()),
        (false, 0) => return refused("Say what to purge: `urls`, `tags`, or `all`.".to_owned()),
        (false, _) if count > MOST => return refused(format!("At most {MOST} URLs and tags in one call.")),
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
    let mut names: Vec<Name> = wanted.tags.iter().map(|tag| Name::tag(tag.trim())).collect();
    for target in &wanted.urls {
        let (method, url, body) = target.parts();
        let head = Head::new(method, url, Headers::Raw(&[]));
        let body = body.map(Value::to_string);
        let key = find(&plan.filters, &head, body.as_deref().map(str::as_bytes)).map_err(|unkeyed| {
            let message = match unkeyed {
                Unkeyed::NoRoute => "No route has this URL.",
                Unkeyed::Body => "The body can't be in a key.",
                Unkeyed::NotKept => "Answers to this request are not kept.",
            };
            Cause::new(Code::InvalidRequest, "purge", message).detail("url", url)
        })?;
        names.push(Name::key(&key));
    }
    Ok(names)
}

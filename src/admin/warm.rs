//! `POST /admin/v1/cache/warm`: asks for answers before clients do.
//!
//! ```json
//! {"urls": ["/api/v1/addresses/search?q=x"], "popular": true}
//! ```
//!
//! Answers at once; `GET /admin/v1/status` tells how far it is.

use std::sync::Arc;

use addrgate_filters::reply::{Cause, Code, Reply};
use serde::Deserialize;
use serde_json::json;

use crate::shared::Shared;
use crate::warm::{Target, warm_popular, warm_soon};

/// URLs of one call.
const MOST: usize = 10_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    urls: Vec<Target>,
    /// What is asked most.
    popular: bool,
}

/// Begins to warm with what the body says.
pub(super) fn warm(shared: &Arc<Shared>, body: &[u8]) -> Result<Reply, Cause> {
    let wanted: Wanted = serde_json::from_slice(body).map_err(|e| {
        Cause::new(Code::InvalidJson, "warm", "The body does not say what to warm.").detail("error", e.to_string())
    })?;
    let refused = |message: String| Err(Cause::new(Code::InvalidRequest, "warm", message));
    match (wanted.urls.len(), wanted.popular) {
        (0, false) => return refused("Say what to warm: `urls`, or `popular`.".to_owned()),
        (MOST.., _) => return refused(format!("Fewer than {MOST} URLs in one call.")),
        _ => {}
    }
    let plan = shared.plan_kept();
    let recipe = |target: &Target| {
        let wrong = |why| Cause::new(Code::InvalidRequest, "warm", why).detail("url", target.parts().1);
        target.recipe(&plan.filters).map_err(wrong)
    };
    // All or nothing: what is not cached would only be asked, or be done.
    let recipes = wanted.urls.iter().map(recipe).collect::<Result<Vec<_>, _>>()?;
    if !recipes.is_empty() {
        warm_soon(shared, recipes);
    }
    if wanted.popular {
        warm_popular(shared, "requested by an operator");
    }
    let mut reply = Reply::json(200, &json!({"begun": true, "urls": wanted.urls.len(), "popular": wanted.popular}));
    reply.status = 202;
    Ok(reply)
}

//! Requests of the gateway's own: to fetch what clients wait for, to refresh a stale response, to warm the cache.
//!
//! They take the same path as any client's, over a connection that exists in memory only: the filters judge them, Pingora
//! fetches, the store keeps. What they don't need is a key, and they count against nobody's limit.

use std::sync::Arc;
use std::time::Duration;

use addrgate_filters::http::cache_policy::fields::strip_hop_by_hop;
use addrgate_filters::http::head::{Head, Headers};
use addrgate_filters::reply::wants_problem;
use addrgate_filters::route::Route;
use addrgate_filters::verdict::Verdict;
use addrgate_filters::{Flow, Stop};
use bytes::Bytes;
use http::{Method, header};
use pingora::http::RequestHeader;
use tokio::time::{Instant, timeout};

use crate::coalesce::Lead;
use crate::context::{Carried, Context};
use crate::fetch::Fetch;
use crate::recipe::{Recipe, wire};
use crate::shared::Shared;
use crate::upstream::request::selects;

/// Longer than any route's upstream may take and than any queue.
const LIMIT: Duration = Duration::from_secs(60);

/// Refreshes behind the response to another request, which has taken the lead for it. Nothing happens where too much is
/// under way already.
pub(crate) fn refresh(shared: &Arc<Shared>, recipe: Recipe, lead: Lead) {
    let Some(permit) = shared.dispatch.permit() else { return };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        // A refresh that failed is counted as the upstream's failure; the next request tries again.
        let _status = ask(&shared, &recipe, Some(Fetch::new(lead, None, false))).await;
        drop(permit);
    });
}

/// Asks, and gives the status of the response; `None` where there was none.
pub(crate) async fn ask(shared: &Arc<Shared>, recipe: &Recipe, fetch: Option<Fetch>) -> Option<u16> {
    let plan = shared.plan_kept();
    let (client, upstream) = (recipe.client.clone(), recipe.upstream.clone());
    let mut verdict = Verdict { background: true, client, upstream, ..Verdict::default() };
    let length = recipe.body.len().to_string();
    let headers = recipe.headers(&length);
    let head = Head::new(&recipe.method, &recipe.target, Headers::Raw(&headers));
    let mut stop = plan.filters.request(&head, &mut verdict).err();
    if stop.is_none()
        && !recipe.body.is_empty()
        && let Flow::Reply(cause) = plan.filters.cache_key.body(&head, &recipe.body, &mut verdict)
    {
        stop = Some(Stop::Refused("cache_key", cause));
    }
    let wire = recipe.wire(&headers);
    let carried = Carried { verdict, stop, plan, started: Instant::now(), last: true, date: None, body: None, fetch };
    timeout(LIMIT, send(shared, wire, carried)).await.ok()?
}

/// Begins the fetch that a request caused: with what of it reaches the upstream, and what the filters found.
pub(crate) fn fetch(ctx: &mut Context, route: &Arc<Route>, request: &RequestHeader, host: &[u8], fetch: Fetch) {
    let of = &mut ctx.verdict;
    let verdict = Verdict {
        background: true,
        request_id: of.request_id,
        route: Some(Arc::clone(route)),
        client: of.client.clone(),
        class: of.class,
        upstream: of.upstream.clone(),
        shadow: of.shadow.take(),
        target: of.target.clone(),
        key: of.key,
        body: of.body.clone(),
        ..Verdict::default()
    };
    let mut fields = request.headers.clone();
    strip_hop_by_hop(&mut fields);
    let problem = wants_problem(Headers::Map(&fields)) && !selects(route, &header::ACCEPT);
    let length = verdict.body.as_ref().map_or(0, Bytes::len).to_string();
    let selecting = fields.iter().filter(|(name, _)| selects(route, name));
    // HTTP/1.0 need not name any.
    let host = Some(host).filter(|host| !host.is_empty());
    let mut headers: Vec<_> = host.map(|value| httparse::Header { name: "host", value }).into_iter().collect();
    headers.extend(selecting.map(|(name, value)| httparse::Header { name: name.as_str(), value: value.as_bytes() }));
    if problem {
        headers.push(httparse::Header { name: "accept", value: b"application/problem+json" });
    }
    if verdict.body.is_some() {
        headers.push(httparse::Header { name: "content-type", value: b"application/json" });
        headers.push(httparse::Header { name: "content-length", value: length.as_bytes() });
    }
    // HEAD is answered from what GET stored.
    let method = if request.method == Method::HEAD { "GET" } else { request.method.as_str() };
    let wire = wire(method, &verdict.target, &headers, verdict.body.as_deref().unwrap_or_default());
    // The route's time counts for both from the same moment.
    let (plan, started) = (Arc::clone(&ctx.plan), ctx.begun);
    let carried =
        Carried { verdict, stop: None, plan, started, last: true, date: None, body: None, fetch: Some(fetch) };
    let shared = Arc::clone(&ctx.shared);
    tokio::spawn(async move {
        // All who wait were told by the fetch.
        let _status = send(&shared, wire, carried).await;
    });
}

async fn send(shared: &Shared, wire: Vec<u8>, carried: Carried) -> Option<u16> {
    let relay = carried.fetch.as_ref().map(Fetch::relay).unwrap_or_default();
    shared.dispatch.send(wire, Box::new(carried), shared.caching.store, &relay).await
}

//! Finds what there is for a request: what is stored and will do, what comes in for another request, or what a fetch brings
//! that this request causes. A request waits to its own deadline, and looks once more before it fails.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use addrgate_filters::cache_key::Key;
use addrgate_filters::http::cache_policy::reuse::{Reuse, decide};
use addrgate_filters::http::cache_policy::vary::variance;
use addrgate_filters::http::head::Headers;
use addrgate_filters::reply::Cause;
use addrgate_filters::route::Route;
use http::header;
use pingora::Result;
use pingora::proxy::Session;
use tokio::time::{Instant, timeout_at};

use super::forward::gone;
use super::head::head_of;
use super::respond;
use crate::coalesce::{End, Failure, Filling, Lead, Turn};
use crate::context::Context;
use crate::fetch::{Causer, Fetch, Fetched};
use crate::replay;
use crate::store::{Entry, Filled, Given, Held, Id, Tier};
use crate::upstream::answer::{closed, upstream_timeout};

/// A refusal: the filter, or `upstream`, that refuses, and the reason.
pub(super) type Refused = (&'static str, Cause);

/// Whether there is something for the request.
type Found = std::result::Result<(), Refused>;

/// Longer than the fetch has, which then says what went wrong.
const GRACE: Duration = Duration::from_millis(200);

/// A body that is there as a whole within this time, or so much of it, is known to be good before anything is sent.
const SETTLED: (usize, Duration) = (64 << 10, Duration::from_millis(50));

/// What is stored for a request.
enum Use {
    /// It will do.
    Serves,
    /// It will not, and a fetch for all would be for this request too.
    Fetch,
    /// Whatever others fetch, this request wants its own response.
    Apart,
}

/// Finds it, and puts it into the context.
///
/// # Errors
/// When the client leaves while it waits; and, inside, who refuses the request, and why.
pub(super) async fn find(session: &mut Session, ctx: &mut Context, route: &Arc<Route>, key: Key) -> Result<Found> {
    let shared = Arc::clone(&ctx.shared);
    let until = ctx.begun + route.config.timeout.0 + GRACE;
    let is_apart = is_apart(session, ctx, route);
    loop {
        let held = shared.caching.store.find(&key, Headers::Map(&session.req_header().headers));
        let id = held.id;
        let of_held = judge(ctx, held.entry.as_ref());
        ctx.cached.held = Some(held);
        if is_apart || !matches!(of_held, Use::Fetch) {
            return Ok(Ok(()));
        }
        let turn = tokio::select! {
            biased;
            turn = shared.caching.coalesce.turn(id, until, ctx.verdict.class) => turn,
            // There is nothing to be read any more, so this ends when the client leaves.
            idle = session.as_downstream_mut().read_body_or_idle(true) => return Err(gone(idle)),
        };
        let (end, own) = match turn {
            Turn::Ended(end) => (end, false),
            Turn::Lead(lead) => match lead_for_all(session, ctx, route, lead, until).await? {
                Some(end) => (end, true),
                None => continue,
            },
            Turn::TimedOut => return Ok(late(ctx)),
            Turn::Alone => return Ok(Ok(())),
            Turn::Pass => {
                ctx.cached.passing = true;
                return Ok(Ok(()));
            }
        };
        ctx.cached.waited = !own;
        if let End::Filling(filling) = &end
            && filling.stored
            && !own
            && !shared.caching.store.holds(&filling.fill.meta.kept)
        {
            shared.caching.coalesce.forget(&id, &filling.fill);
            continue;
        }
        if is_of_variant(session, &end) {
            return Ok(take(ctx, end).await);
        }
        // Another variant. If it is known now which one this request means, that one has waiters of its own.
        (ctx.cached.facts, ctx.cached.waited) = (None, false);
        let held = shared.caching.store.find(&key, Headers::Map(&session.req_header().headers));
        if held.id == id {
            ctx.cached.held = Some(held);
            return Ok(Ok(()));
        }
    }
}

/// Whether the response to this request may be another one than all others get, or may not be stored for its sake.
fn is_apart(session: &Session, ctx: &Context, route: &Route) -> bool {
    // A part is fetched alone.
    ctx.cached.wanted.is_some()
        || ctx.cached.wish.is_some_and(|wish| wish.no_store || wish.no_cache || wish.only_if_cached)
        // RFC 9111 section 3.5.
        || session.req_header().headers.contains_key(header::AUTHORIZATION) && !route.config.auth.reads_token()
}

fn judge(ctx: &Context, entry: Option<&Arc<Entry>>) -> Use {
    let Some(view) = entry.and_then(|entry| ctx.shared.caching.store.view(&entry.kept)) else {
        return Use::Fetch;
    };
    let now = SystemTime::now();
    match decide(&view.times, view.windows.on_request, ctx.cached.wish.as_ref(), now) {
        Reuse::Fresh | Reuse::StaleAccepted => Use::Serves,
        Reuse::Stale if view.is_servable_stale(now) && !ctx.verdict.background => Use::Serves,
        Reuse::Stale => Use::Fetch,
        Reuse::Unwanted => Use::Apart,
    }
}

/// Looks where no other request needs to look: into memory again, and into the second tier; then causes the fetch, and waits
/// for it. `None` where there is something else to be found by now.
async fn lead_for_all(
    session: &mut Session,
    ctx: &mut Context,
    route: &Arc<Route>,
    mut lead: Lead,
    until: Instant,
) -> Result<Option<End>> {
    let shared = Arc::clone(&ctx.shared);
    let (store, id) = (shared.caching.store, lead.id());
    // Another fetch may have ended since the look before.
    let held = store.find(&id.key, Headers::Map(&session.req_header().headers));
    if held.id != id || !matches!(judge(ctx, held.entry.as_ref()), Use::Fetch) {
        return Ok(None);
    }
    let mut looked = false;
    if store.second().is_some() {
        let headers = session.req_header().headers.clone();
        let found = tokio::select! {
            biased;
            found = store.find_second(id, &headers) => found,
            idle = session.as_downstream_mut().read_body_or_idle(true) => return Err(gone(idle)),
        };
        match found {
            Some(entry) if !matches!(judge(ctx, Some(&entry)), Use::Fetch) => {
                lead.end(End::Stored(Arc::clone(&entry)));
                ctx.cached.second = true;
                return Ok(Some(End::Stored(entry)));
            }
            // The fetch validates it; and where that fails, it may go out after all.
            Some(entry) => ctx.cached.held = Some(Held { entry: Some(entry), ..held }),
            None => looked = true,
        }
    }
    let (cause, mut awaited) = Causer::new();
    let mut told = lead.wait();
    let host = head_of(session).host().unwrap_or_default().to_vec();
    replay::fetch(ctx, route, session.req_header(), &host, Fetch::new(lead, Some(cause), looked));
    let fetched = loop {
        let interim = tokio::select! {
            biased;
            Some(interim) = awaited.interim.recv() => interim,
            fetched = timeout_at(until, &mut awaited.fetched) => break fetched,
            // Another instance was faster.
            Ok(end) = told.wait_for(|end| matches!(end, Some(End::Stored(_)))) => match awaited.fetched.try_recv() {
                Ok(fetched) => break Ok(Ok(fetched)),
                Err(_) => {
                    ctx.cached.second = true;
                    return Ok(end.clone());
                }
            },
            idle = session.as_downstream_mut().read_body_or_idle(true) => return Err(gone(idle)),
        };
        respond::interim(session, &interim).await?;
    };
    Ok(Some(match fetched {
        Ok(Ok(Fetched { end, facts })) => {
            ctx.upstream_time = facts.time;
            // Where the upstream was not asked, what was found is a hit.
            ctx.cached.facts = Some(facts).filter(|facts| facts.status.is_some());
            end
        }
        // It died: this request tries by itself.
        Ok(Err(_)) => End::Abandoned,
        Err(_elapsed) => End::Failed(Arc::new(Failure { by: "upstream", cause: upstream_timeout() })),
    }))
}

/// While a fetch asks the upstream although another instance does so, too: looks for what that one stores, and hands it to
/// those who wait.
pub(super) fn look_for_other(session: &Session, ctx: &Context) {
    const EVERY: Duration = Duration::from_millis(50);
    let waiters = ctx.fetch.as_ref().and_then(Fetch::waiters).filter(|_| ctx.cached.contended.load(Ordering::Relaxed));
    let (Some(waiters), Some(held), Some(end)) = (waiters, &ctx.cached.held, ctx.verdict.deadline) else { return };
    let (store, id, headers) = (ctx.shared.caching.store, held.id, session.req_header().headers.clone());
    tokio::spawn(async move {
        while !waiters.are_told() && Instant::now() < end {
            tokio::time::sleep(EVERY).await;
            let found = store.find_second(id, &headers).await;
            let view = found.as_ref().and_then(|entry| store.view(&entry.kept));
            if let Some(entry) = found.filter(|_| view.is_some_and(|view| view.times.is_fresh(SystemTime::now()))) {
                return waiters.found(entry);
            }
        }
    });
}

/// Whether the response is one for this request's fields.
fn is_of_variant(session: &Session, end: &End) -> bool {
    let is_of = |id: &Id, vary: Option<&[http::HeaderName]>| {
        vary.map(|fields| variance(fields, Headers::Map(&session.req_header().headers))) == id.variance
    };
    match end {
        End::Stored(entry) => is_of(&entry.id, entry.kept.vary.as_deref()),
        End::Filling(Filling { fill, stored: true, .. }) => is_of(&fill.meta.id, fill.meta.kept.vary.as_deref()),
        _ => true,
    }
}

/// Takes what a fetch brought; where it failed, what is stored, if that may go out for an error (RFC 5861 section 4).
async fn take(ctx: &mut Context, end: End) -> Found {
    match end {
        // It is older than this request accepts.
        End::Stored(entry) if ctx.cached.facts.is_none() && matches!(judge(ctx, Some(&entry)), Use::Apart) => Ok(()),
        End::Stored(entry) => {
            let tier = if ctx.cached.second { Tier::Second } else { Tier::First };
            ctx.cached.given = Some(Given::Entry(entry, tier));
            Ok(())
        }
        End::Filling(Filling { fill, status, stored, terms }) => {
            let error = (status >= 500).then(|| stale(ctx)).flatten();
            if let Some(entry) = error {
                return in_place(ctx, entry);
            }
            if fill.settled(SETTLED.0, SETTLED.1).await == Some(Filled::Broken) {
                return failed(ctx, ("upstream", closed()));
            }
            ctx.cached.given = Some(Given::Fill(fill));
            (ctx.cached.unstored, ctx.cached.terms) = (!stored, terms);
            Ok(())
        }
        End::Failed(failure) => failed(ctx, (failure.by, failure.cause.clone())),
        // It fetches for itself.
        End::Private { .. } | End::Abandoned => Ok(()),
    }
}

/// The request's time is over.
fn late(ctx: &mut Context) -> Found {
    failed(ctx, ("upstream", upstream_timeout()))
}

fn failed(ctx: &mut Context, (by, cause): Refused) -> Found {
    // A refusal says nothing against the upstream, so it is passed on.
    match stale(ctx).filter(|_| cause.status() >= 500) {
        Some(entry) => in_place(ctx, entry),
        None => Err((by, cause)),
    }
}

/// What is stored, where it may go out for an error.
fn stale(ctx: &Context) -> Option<Arc<Entry>> {
    let entry = ctx.cached.held.as_ref()?.entry.clone()?;
    let view = ctx.shared.caching.store.view(&entry.kept)?;
    let may = !ctx.verdict.background && SystemTime::now() < view.times.fresh_until + view.windows.if_error;
    may.then_some(entry)
}

fn in_place(ctx: &mut Context, entry: Arc<Entry>) -> Found {
    ctx.cached.given = Some(Given::Entry(entry, Tier::First));
    (ctx.cached.facts, ctx.cached.failed) = (None, true);
    Ok(())
}

//! Keeps the cache warm: what is asked most is remembered, and asked again by ourselves after everything was purged and at
//! the start.
//!
//! ```yaml
//! warm:
//!   keys: 1000               # how many of the most asked are remembered; 0: none
//!   at_once: 4               # requests of our own at a time
//!   targets: []              # asked at the start, too: paths, or {url, method, body}
//! ```
//!
//! The list is shared through Redis, so that an instance that starts knows what the others know. Such requests take the
//! path of any other, in the lowest class; with leases, instances that warm up together fetch each answer once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use addrgate_filters::cache_key::{Unkeyed, find};
use addrgate_filters::http::head::{Head, Headers};
use addrgate_filters::route::{self, Route};
use addrgate_filters::verdict::Verdict;
use addrgate_filters::{Filter, Filters, Flow};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use rand::seq::SliceRandom;
use tokio::time::{interval, sleep};

use crate::recipe::Recipe;
use crate::replay;
use crate::shared::Shared;
use crate::telemetry::METRICS;

mod config;
mod shared;

pub(crate) use config::{Config, Target, text};

impl Target {
    /// The request, as far as the configuration caches it; else the reason, in a sentence.
    pub(crate) fn recipe(&self, filters: &Filters) -> Result<Recipe, &'static str> {
        let (method, url, body) = self.parts();
        let mut wrong = "No route has this URL with this method.";
        // As a browser would send it first.
        for url in spellings(url)?.iter().rev() {
            let head = Head::new(method, url, Headers::Raw(&[]));
            let query = head.query.map(|query| format!("?{query}")).unwrap_or_default();
            let recipe = Recipe {
                method: method.to_owned(),
                target: format!("{}{query}", head.path),
                host: head.authority.unwrap_or("warm").to_owned(),
                fields: Vec::new(),
                body: body.map(|body| Bytes::from(text(body))).unwrap_or_default(),
                client: None,
                upstream: None,
            };
            match is_stored(filters, &recipe) {
                Ok(()) => return Ok(recipe),
                Err(why) => wrong = why,
            }
        }
        Err(wrong)
    }
}

/// A URL without its fragment, as it is written and as a browser would send it (WHATWG URL standard), each also with a star
/// in place of `%2A`: both mean the same to people, and may be two keys.
///
/// # Errors
/// A sentence, where it is no URL.
pub(crate) fn spellings(url: &str) -> Result<Vec<String>, &'static str> {
    const FORM: &str = "A URL starts with `/`, `http://` or `https://`.";
    let url = url.trim();
    let absolute = ["http://", "https://"]
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    if !absolute && (!url.starts_with('/') || url.starts_with("//")) {
        return Err(FORM);
    }
    let base = url::Url::parse("http://gateway.invalid/").map_err(|_| FORM)?;
    let mut sent = base.join(url).map_err(|_| "This is no URL.")?;
    sent.set_fragment(None);
    let sent = if absolute { &sent[..] } else { &sent[url::Position::BeforePath..] };
    let written = url.split('#').next().unwrap_or_default();
    let mut spellings = Vec::new();
    for spelling in [written, sent] {
        for spelling in [spelling.to_owned(), spelling.replace("%2A", "*").replace("%2a", "*")] {
            if !spellings.contains(&spelling) {
                spellings.push(spelling);
            }
        }
    }
    Ok(spellings)
}

/// Whether the route of a request caches it; else the reason, in a sentence. Warming asks nothing that is not stored: it
/// would be work for nothing, or do what was asked.
fn is_stored(filters: &Filters, recipe: &Recipe) -> Result<(), &'static str> {
    let mut fields = vec![httparse::Header { name: "host", value: recipe.host.as_bytes() }];
    let own = recipe.fields.iter();
    fields.extend(own.map(|(name, value)| httparse::Header { name: name.as_str(), value: value.as_bytes() }));
    let head = Head::new(&recipe.method, &recipe.target, Headers::Raw(&fields));
    let body = Some(&*recipe.body).filter(|body| !body.is_empty());
    find(filters, &head, body).map_err(|unkeyed| unkeyed.why())?;
    let mut verdict = Verdict::default();
    let routed = filters.route.request(&head, &mut verdict) == Flow::Continue;
    let goes_to = |upstream: &str, route: &Route| {
        let route::Config { upstream: own, fallback, rollout, .. } = &route.config;
        let trial = rollout.as_ref().map(|rollout| rollout.upstream.as_str());
        [own.as_deref(), fallback.as_deref(), trial].contains(&Some(upstream))
    };
    match (verdict.route.filter(|_| routed), recipe.upstream.as_deref()) {
        (Some(route), Some(upstream)) if !goes_to(upstream, &route) => Err("Its route never calls this upstream."),
        (Some(_), _) => Ok(()),
        (None, _) => Err(Unkeyed::NoRoute.why()),
    }
}

/// After a purge of everything, instances begin within this time of each other, so that one finds what another fetched.
const SPREAD: Duration = Duration::from_secs(1);

/// How often the list is shared.
const SHARE: Duration = Duration::from_secs(5);

/// Asks for all of these, a few at a time; one run after the other.
pub(crate) async fn warm(shared: &Arc<Shared>, recipes: Vec<Recipe>, why: &'static str) {
    let _turn = shared.warming.running.lock().await;
    ask(shared, recipes, why).await;
}

async fn ask(shared: &Arc<Shared>, recipes: Vec<Recipe>, why: &'static str) {
    let progress = &shared.warming;
    let plan = shared.plan_kept();
    // What was noted, here or by an instance of another configuration, may not be cached any more.
    let recipes: Vec<_> = recipes.into_iter().filter(|recipe| is_stored(&plan.filters, recipe).is_ok()).collect();
    drop(plan);
    for (counter, value) in [(&progress.total, recipes.len()), (&progress.done, 0), (&progress.failed, 0)] {
        counter.store(value, Ordering::Relaxed);
    }
    tracing::info!(requests = recipes.len(), why, "warming the cache");
    let at_once = shared.plan().file.warm.at_once.max(1);
    // What stops is not held up.
    let recipes = recipes.into_iter().take_while(|_| shared.is_ready());
    let asked = futures::stream::iter(recipes).map(async |recipe| {
        let well = replay::ask(shared, &recipe, None).await.is_some_and(|status| status < 400);
        METRICS.warmed.with_label_values(&[if well { "ok" } else { "failed" }]).inc();
        progress.done.fetch_add(1, Ordering::Relaxed);
        progress.failed.fetch_add(usize::from(!well), Ordering::Relaxed);
    });
    asked.buffer_unordered(at_once).for_each(|()| std::future::ready(())).await;
    tracing::info!(why, progress = %progress.status(), "the cache is warm");
}

/// Asks for these, in the background.
pub(crate) fn warm_soon(shared: &Arc<Shared>, recipes: Vec<Recipe>) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move { warm(&shared, recipes, "requested by an operator").await });
}

/// Asks for the most asked, in the background. A run that has not begun yet will do for this one, too.
pub(crate) fn warm_popular(shared: &Arc<Shared>, why: &'static str) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let Ok(next) = shared.warming.next.try_lock() else { return };
        let _turn = shared.warming.running.lock().await;
        drop(next);
        let mut recipes = shared.popular.recipes();
        recipes.shuffle(&mut rand::rng());
        ask(&shared, recipes, why).await;
    });
}

/// Warms when there is reason to, and shares the list.
pub(crate) struct Warmer(pub(crate) Arc<Shared>);

#[async_trait]
impl BackgroundService for Warmer {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        tokio::select! {
            () = self.run() => {}
            _ = shutdown.wait_for(|stopping| *stopping) => {}
        }
    }
}

impl Warmer {
    async fn run(&self) {
        let shared = &self.0;
        let mut cleared = shared.invalidation.cleared();
        // Health checks and Redis have had a moment by then.
        sleep(Duration::from_secs(1)).await;
        if let Some(redis) = &shared.redis
            && let Some(known) = shared::read(redis, shared.popular.most()).await
        {
            shared.popular.take_in(known);
        }
        cleared.mark_unchanged();
        let plan = shared.plan_kept();
        // Those that are not cached were warned of with the configuration.
        let targets =
            plan.file.warm.targets.iter().filter_map(|target| target.recipe(&plan.filters).ok()).collect::<Vec<_>>();
        let recipes = targets.into_iter().chain(shared.popular.recipes()).collect::<Vec<_>>();
        if !recipes.is_empty() {
            let shared = Arc::clone(shared);
            tokio::spawn(async move { warm(&shared, recipes, "the process starts").await });
        }
        let mut share = interval(SHARE);
        share.tick().await;
        loop {
            tokio::select! {
                changed = cleared.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    sleep(SPREAD.mul_f64(rand::random())).await;
                    cleared.mark_unchanged();
                    warm_popular(shared, "everything was purged");
                }
                _ = share.tick() => {
                    if let Some(redis) = &shared.redis {
                        shared::write(redis, &shared.popular.shareable(), shared.popular.most()).await;
                    }
                    shared.popular.fade();
                }
            }
        }
    }
}

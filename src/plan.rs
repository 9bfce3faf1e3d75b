//! The configuration as the process uses it: checked, defaults in, compiled.

use std::path::Path;
use std::sync::Arc;

use addrgate_filters::route::{self, Auth, Body, Kind, Routes};
use addrgate_filters::traffic::units::{Secret, Size, Span};
use addrgate_filters::verdict::Verdict;
use addrgate_filters::{
    Filters, address, breaker, cache_key, client, cors, degrade, edge, priority, queue, rate_limit, request_body,
    request_id, rollout,
};

use rustls::sign::CertifiedKey;

use crate::config::{ConfigError, File, Limits, Problem, Written};
use crate::redis;
use crate::telemetry::{METRICS, RouteMetrics};
use crate::upstream::Pool;

mod check;

/// What was made; where it could not be, the mistake is noted and the default stands in, so that more mistakes are found.
fn noted<T: Default>(problems: &mut Vec<Problem>, made: Result<T, Problem>) -> T {
    made.unwrap_or_else(|problem| {
        problems.push(problem);
        T::default()
    })
}

/// What a process runs with while it reads its file again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running<'a> {
    /// What it knows of upstreams that stay the same goes on.
    pub(crate) plan: &'a Plan,
    /// Whether it shares Redis, which only a restart changes.
    pub(crate) has_redis: bool,
}

/// Reads and compiles a file, for a process that begins or one that is running; variables come from `env`.
///
/// # Errors
/// All mistakes, with their places.
pub(crate) fn load(
    path: &Path,
    env: &impl Fn(&str) -> Option<String>,
    running: Option<Running<'_>>,
) -> Result<Plan, ConfigError> {
    Written::read(path, env)?.make(|file, folder| Plan::compile(file, folder, running))
}

/// The same from text, which `path` names in errors.
#[cfg(test)]
pub(crate) fn parse(text: &str, path: &Path, env: &impl Fn(&str) -> Option<String>) -> Result<Plan, ConfigError> {
    Written::parse(text, path, env)?.make(|file, folder| Plan::compile(file, folder, None))
}

/// The compiled configuration. Swapped as a whole; a request keeps the one it began with.
#[derive(Debug)]
pub(crate) struct Plan {
    /// As written, with defaults.
    pub(crate) file: File,
    /// A digest of the file with its defaults, to tell two instances' configurations apart.
    pub(crate) hash: String,
    /// The filters.
    pub(crate) filters: Filters,
    /// The upstreams, each once.
    pub(crate) pools: Vec<Arc<Pool>>,
    /// The upstream of each route, by the route's index.
    by_route: Vec<Option<Arc<Pool>>>,
    /// Counters of each route, by the route's index; then those of requests without a route.
    metrics: Vec<RouteMetrics>,
    /// What TLS clients are shown.
    pub(crate) certificate: Option<Arc<CertifiedKey>>,
    /// What admin calls must show.
    pub(crate) admin_token: Option<Secret>,
    /// What an operator should know, though it is not wrong.
    pub(crate) warnings: Vec<String>,
}

impl Plan {
    /// Checks and compiles; finds as many problems as it can.
    pub(crate) fn compile(file: File, folder: &Path, running: Option<Running<'_>>) -> Result<Self, Vec<Problem>> {
        let file = without_unset(file);
        let mut problems = check::file(&file);
        let mut configs = routes(&file);
        let routes = loop {
            match Routes::new(configs.clone()) {
                Ok(routes) => break routes,
                Err(mistake) => {
                    // The last of that name: where two have it, the second is the mistake.
                    let is_it = |route: &route::Config| route.name == mistake.route;
                    let index = file.routes.iter().flatten().collect::<Vec<_>>().iter().rposition(|route| is_it(route));
                    let index = index.unwrap_or_default().to_string();
                    problems.push(Problem::new(&["routes", &index], mistake.to_string()));
                    configs.retain(|route| !is_it(route));
                }
            }
        };
        let pools = file.upstreams.iter().filter_map(|(name, upstream)| {
            let known = running.and_then(|running| running.plan.pool_named(name));
            if let Some(known) = known.filter(|known| known.is_made_of(upstream, &file.retries)) {
                return Some(Arc::clone(known));
            }
            let pool = Pool::new(name, upstream, &file.retries);
            pool.map_err(|message| problems.push(Problem::new(&["upstreams", name], message))).ok()
        });
        let pools: Vec<Arc<Pool>> = pools.collect();
        let by_route = routes
            .list()
            .iter()
            .map(|route| {
                let written = file.routes.iter().flatten().position(|written| written.name == route.name());
                let index = written.unwrap_or_default().to_string();
                let found = check::upstream(&route.config, &pools);
                noted(&mut problems, found.map_err(Problem::at(&["routes", &index, "upstream"])))
            })
            .collect();
        let clients = noted(&mut problems, check::clients(&file, folder, routes.list()));
        let cors = noted(&mut problems, cors::Cors::new(&file.cors, &routes).map_err(Problem::at(&["cors"])));
        let has_redis = file.redis.as_ref().is_some_and(redis::Config::is_used);
        let alone = !running.map_or(has_redis, |running| running.has_redis);
        let limits = rate_limit::Config { shared: file.rate_limit.shared && !alone, ..file.rate_limit.clone() };
        let rate_limit = rate_limit::RateLimit::new(&limits).map_err(Problem::at(&["rate_limit"]));
        let rate_limit = noted(&mut problems, rate_limit);
        let admin_token = noted(&mut problems, check::token(&file, folder));
        let certificate = noted(&mut problems, check::certificate(&file, folder));
        problems.extend(check::redis(&file, folder));
        problems.extend(check::other_upstreams(&file));
        let (queue, breaker) = per_upstream(&file, &mut problems);
        let degrade = degrade::Degrade::new(&file.degrade).map_err(Problem::at(&["degrade"]));
        let degrade = noted(&mut problems, degrade);
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut warnings = Vec::new();
        if clients.is_empty() && routes.list().iter().any(|route| route.config.auth != Auth::None) {
            warnings.push(
                "no client has a key, and no token is accepted: every route but those with `auth: none` responds 401"
                    .to_owned(),
            );
        }
        if admin_token.is_none() {
            warnings.push("no admin token: metrics and /admin/v1 respond 403".to_owned());
        }
        if file.cache.wait.is_some() {
            warnings.push("`cache.wait` has no effect: a request waits for a fetch to its own deadline".to_owned());
        }
        warnings.extend(routes.list().iter().flat_map(|route| check::shared(&route.config)));
        let names = routes.list().iter().map(|route| route.name()).chain(["none"]);
        let metrics = names.map(|name| METRICS.route(name)).collect();
        let edge = edge::Edge(edge_of(&file.limits));
        let filters = Filters {
            request_id: request_id::NameRequest,
            edge,
            address: address::Addresses(file.address.clone()),
            cors,
            route: routes,
            client: clients,
            priority: priority::Priority(file.priority),
            rate_limit,
            request_body: request_body::Bodies,
            rollout: rollout::Rollout,
            cache_key: cache_key::Keys,
            degrade,
            breaker,
            queue,
        };
        warnings.extend(file.warm.targets.iter().filter_map(|target| {
            let why = target.recipe(&filters).err()?;
            let (method, url, _) = target.parts();
            Some(format!("`warm.targets`: {method} {url} is not asked: {why}"))
        }));
        let hash = digest(&file);
        Ok(Self { file, hash, filters, pools, by_route, metrics, certificate, admin_token, warnings })
    }

    /// The upstream of a route; `None` where the gateway answers itself.
    pub(crate) fn pool(&self, route: &route::Route) -> Option<&Arc<Pool>> {
        self.by_route.get(route.index)?.as_ref()
    }

    /// The upstream with this name.
    pub(crate) fn pool_named(&self, name: &str) -> Option<&Arc<Pool>> {
        self.pools.iter().find(|pool| pool.name() == name)
    }

    /// The upstream to which a request goes: the one chosen for it, else its route's.
    pub(crate) fn pool_of(&self, verdict: &Verdict) -> Option<&Arc<Pool>> {
        match verdict.upstream.as_deref() {
            Some(name) => self.pool_named(name),
            None => self.pool(verdict.route.as_deref()?),
        }
    }

    /// The counters of a route.
    pub(crate) fn metrics(&self, route: Option<&route::Route>) -> &RouteMetrics {
        let last = self.metrics.len() - 1;
        &self.metrics[route.map_or(last, |route| route.index.min(last))]
    }

    /// The settings that differ from those of the process's start but need a restart.
    pub(crate) fn restart_needed(&self, old: &File) -> Vec<&'static str> {
        let new = &self.file;
        let mut changed = Vec::new();
        for (name, differs) in [
            ("server", !new.server.is_served_by(&old.server)),
            ("admin.listen", new.admin.listen != old.admin.listen),
            ("cache", new.cache != old.cache),
            ("invalidation", new.invalidation != old.invalidation),
            ("redis", new.redis != old.redis),
            ("rate_limit.accounts", new.rate_limit.accounts != old.rate_limit.accounts),
            ("limits.bodies", new.limits.bodies != old.limits.bodies),
            ("warm.keys", new.warm.keys != old.warm.keys),
            ("log.level", new.log.level != old.log.level),
        ] {
            if differs {
                changed.push(name);
            }
        }
        changed
    }
}

/// Skips addresses that are an empty text. An upstream that has no others is left out, and so is a `fallback` on it:
/// `${FALLBACK:-}` may stay unset.
fn without_unset(mut file: File) -> File {
    let mut unset = Vec::new();
    for (name, upstream) in &mut file.upstreams {
        let written = upstream.addresses.len();
        upstream.addresses.retain(|address| !address.is_empty());
        if upstream.addresses.is_empty() && written > 0 {
            unset.push(name.clone());
        }
    }
    file.upstreams.retain(|name, _| !unset.contains(name));
    for route in file.routes.iter_mut().flatten() {
        route.fallback = route.fallback.take().filter(|name| !unset.contains(name));
    }
    file
}

/// Queue and breaker of each upstream, by its own settings or the general ones.
fn per_upstream(file: &File, problems: &mut Vec<Problem>) -> (queue::Queues, breaker::Breakers) {
    let queues = file.upstreams.iter().map(|(name, own)| (name.clone(), own.queue.unwrap_or(file.queue))).collect();
    let breakers =
        file.upstreams.iter().map(|(name, own)| (name.clone(), own.breaker.unwrap_or(file.breaker))).collect();
    let queues = noted(problems, queue::Queues::new(&queues).map_err(Problem::at(&["queue"])));
    let breakers = noted(problems, breaker::Breakers::new(&breakers).map_err(Problem::at(&["breaker"])));
    (queues, breakers)
}

fn digest(file: &File) -> String {
    let text = serde_json::to_string(file).unwrap_or_default();
    let hash = client::digest_of(&text);
    hash.trim_start_matches("sha256:").chars().take(16).collect()
}

fn edge_of(limits: &Limits) -> edge::Config {
    edge::Config { fields: limits.fields, head: limits.head, uri: limits.uri, hosts: limits.hosts.clone() }
}

/// The gateway's own routes, then the file's, or where it has none one that passes everything on.
fn routes(file: &File) -> Vec<route::Config> {
    let own = [("livez", route::Answer::Livez), ("readyz", route::Answer::Readyz)].map(|(name, answer)| {
        route::Config { answer: Some(answer), auth: Auth::None, ..bare(name, &format!("/{name}")) }
    });
    let everything = || {
        let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].map(str::to_owned).to_vec();
        let body = Some(Body { max: Size::kib(1024), kind: Kind::Any, inflate: true });
        let auth = if file.clients.is_empty() { Auth::None } else { Auth::ApiKey };
        vec![route::Config { methods, body, auth, answers: Kind::Any, ..bare("everything", "/**") }]
    };
    own.into_iter().chain(file.routes.clone().unwrap_or_else(everything)).collect()
}

fn bare(name: &str, path: &str) -> route::Config {
    route::Config {
        name: name.to_owned(),
        paths: vec![path.to_owned()],
        methods: vec!["GET".to_owned()],
        auth: Auth::ApiKey,
        upstream: None,
        answer: None,
        timeout: Span::secs(10),
        body: None,
        forward: None,
        meta: false,
        answers: Kind::Json,
        cache: None,
        class: None,
        sheds: None,
        fallback: None,
        hedge: None,
        cdn: None,
        cdn_lifetime: None,
        repeatable: false,
        limits: rate_limit::Limits::default(),
        rollout: None,
        shadow: None,
    }
}

#[cfg(test)]
mod tests;

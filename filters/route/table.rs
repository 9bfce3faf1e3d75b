//! The routes, compiled: which one a method and a path belong to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::config::{Answer, Config, lists};
use super::pattern::Pattern;
use crate::http::head::Head;
use crate::http::target;

/// A compiled route.
#[derive(Debug)]
pub struct Route {
    /// As written, defaults in.
    pub config: Config,
    /// Where the route stands in the list, from 0; the upstream table of the plan has the same index.
    pub index: usize,
    /// The name, for accounts of this route's limits.
    pub(crate) scope: Arc<str>,
    pub(super) patterns: Vec<Pattern>,
    allow: String,
}

impl Route {
    /// The name in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// From when an answer of the upstream counts as slow, for breaker and queue: 80 % of the timeout.
    #[must_use]
    pub fn slow(&self) -> Duration {
        self.config.timeout.0.mul_f64(0.8)
    }
}

/// A mistake in a route, for the configuration's own error.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("route `{route}`: {message}")]
pub struct Mistake {
    /// The route's name.
    pub route: String,
    /// A sentence.
    pub message: String,
}

/// All routes in order; the filter.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    list: Vec<Arc<Route>>,
    /// Where load balancers ask whether the process lives and is ready.
    probes: Vec<Pattern>,
}

impl Routes {
    /// Compiles the list; checks what can be checked without the rest of the configuration.
    pub fn new(configs: Vec<Config>) -> Result<Self, Mistake> {
        let mut routes: Vec<Arc<Route>> = Vec::with_capacity(configs.len());
        let mut probes = Vec::new();
        for (index, mut config) in configs.into_iter().enumerate() {
            let wrong = |message: String| Mistake { route: config.name.clone(), message };
            config.check().map_err(wrong)?;
            if routes.iter().any(|other| other.name() == config.name) {
                return Err(wrong("the name is used twice".to_owned()));
            }
            let patterns: Vec<Pattern> =
                config.paths.iter().map(|path| Pattern::new(path)).collect::<Result<_, _>>().map_err(wrong)?;
            if matches!(config.answer, Some(Answer::Livez | Answer::Readyz)) {
                // Some load balancers ask by it, and it changes nothing.
                if !config.methods.iter().any(|method| method == "OPTIONS") {
                    config.methods.push("OPTIONS".to_owned());
                }
                let is_first = |path: &str| !routes.iter().flat_map(|route| &route.patterns).any(|p| p.matches(path));
                probes.extend(patterns.iter().filter(|pattern| pattern.text().is_some_and(is_first)).cloned());
            }
            let mut allow: Vec<&str> = config.methods.iter().map(String::as_str).collect();
            if allow.contains(&"GET") && !allow.contains(&"HEAD") {
                allow.push("HEAD");
            }
            let allow = allow.join(", ");
            let scope = config.name.as_str().into();
            routes.push(Arc::new(Route { config, index, scope, patterns, allow }));
        }
        Ok(Self { list: routes, probes })
    }

    /// The routes in order.
    #[must_use]
    pub fn list(&self) -> &[Arc<Route>] {
        &self.list
    }

    /// Whether it asks if the process lives or is ready: that is told whatever host and address it comes by.
    pub(crate) fn is_probe(&self, head: &Head<'_>) -> bool {
        matches!(head.method, "GET" | "HEAD" | "OPTIONS") && self.probes.iter().any(|probe| probe.matches(head.path))
    }

    /// Every method that some route has, for `Allow`.
    pub(super) fn methods(&self) -> String {
        let mut methods: Vec<&str> = self.list.iter().flat_map(|route| route.allow.split(", ")).collect();
        methods.push("OPTIONS");
        methods.sort_unstable();
        methods.dedup();
        methods.join(", ")
    }

    /// The methods that a path has, as `Allow` lists them; empty where it is no route's, or no path.
    #[must_use]
    pub fn methods_of(&self, path: &str) -> String {
        let mut canonical = String::new();
        if target::path(path, &mut canonical).is_err() {
            return String::new();
        }
        let matching =
            self.list.iter().filter(|route| route.patterns.iter().any(|pattern| pattern.matches(&canonical)));
        let mut methods: Vec<&str> = Vec::new();
        for method in matching.flat_map(|route| route.allow.split(", ")) {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        methods.join(", ")
    }

    /// The first route with this method and canonical path; else the methods that the path has, if any.
    pub(super) fn find(&self, method: &str, path: &str) -> Result<&Arc<Route>, Vec<&str>> {
        let mut allow = Vec::new();
        for route in &self.list {
            if route.patterns.iter().any(|pattern| pattern.matches(path)) {
                if lists(&route.config.methods, method) {
                    return Ok(route);
                }
                if !allow.contains(&route.allow.as_str()) {
                    allow.push(&route.allow);
                }
            }
        }
        Err(allow)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.name(), self.allow, self.config.paths.join(" "))
    }
}

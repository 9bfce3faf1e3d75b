//! What is known of a client.

use std::sync::Arc;

use super::config::{Config, Plan};
use crate::address::Networks;
use crate::rate_limit;
use crate::route::Route;
use crate::traffic::Class;
use crate::traffic::units::Rate;

/// A known client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Client {
    /// The name in the configuration, or out of a token; in logs, limits and keys, but no label of metrics.
    pub name: Arc<str>,
    /// Its own limits, where it has any.
    pub limits: Option<Vec<Rate>>,
    /// The routes it may use; `None`: all.
    pub routes: Option<Vec<String>>,
    /// From where it may ask; `None`: from anywhere.
    pub addresses: Option<Networks>,
    /// How much its requests matter; `None`: as the default says.
    pub priority: Option<Class>,
}

impl Client {
    /// The plan, and what the client itself says in place of it.
    pub(super) fn new(name: &str, own: &Config, plan: &Plan) -> Self {
        Self {
            name: name.into(),
            limits: own.limits.clone().or_else(|| plan.limits.clone()),
            routes: own.routes.clone().or_else(|| plan.routes.clone()),
            addresses: own.addresses.clone().or_else(|| plan.addresses.clone()),
            priority: own.priority.or(plan.priority),
        }
    }

    pub(super) fn check(&self, routes: &[Arc<Route>]) -> Result<(), String> {
        rate_limit::check(self.limits.iter().flatten())?;
        let unknown = |name: &&String| routes.iter().all(|route| route.name() != name.as_str());
        match self.routes.iter().flatten().find(unknown) {
            Some(name) => Err(format!("there is no route `{name}`")),
            None => Ok(()),
        }
    }
}

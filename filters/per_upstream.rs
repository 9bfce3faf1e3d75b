//! What a filter keeps for each upstream: settings, and a state that outlives them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::verdict::Verdict;

/// By the name of the upstream.
#[derive(Debug)]
pub struct PerUpstream<C, S>(BTreeMap<String, (C, Arc<S>)>);

impl<C, S> Default for PerUpstream<C, S> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<C: Clone, S> PerUpstream<C, S> {
    /// From the settings of each upstream.
    pub(crate) fn new(configs: &BTreeMap<String, C>, state: impl Fn(&str, &C) -> Arc<S>) -> Self {
        Self(configs.iter().map(|(name, config)| (name.clone(), (config.clone(), state(name, config)))).collect())
    }

    /// That of the upstream to which a request goes: the one chosen for it, else its route's, else the only one.
    pub(crate) fn of(&self, verdict: &Verdict) -> Option<&(C, Arc<S>)> {
        let of_route = || verdict.route.as_ref().and_then(|route| route.config.upstream.as_deref());
        match verdict.upstream.as_deref().or_else(of_route) {
            Some(name) => self.0.get(name),
            None if self.0.len() == 1 => self.0.values().next(),
            None => None,
        }
    }

    /// The state of an upstream.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<S>> {
        self.0.get(name).map(|(_, state)| state)
    }

    /// All states, in the order of the names.
    pub fn states(&self) -> impl Iterator<Item = &Arc<S>> {
        self.0.values().map(|(_, state)| state)
    }

    /// Goes on with the states of before, under the settings of now.
    pub(crate) fn adopt(&mut self, old: &Self, configure: impl Fn(&Arc<S>, &C)) {
        for (name, (config, state)) in &mut self.0 {
            if let Some((_, running)) = old.0.get(name) {
                configure(running, config);
                *state = Arc::clone(running);
            }
        }
    }
}

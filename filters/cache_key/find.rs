//! Under which keys the answers to a request may be kept, to purge them.

use std::sync::Arc;

use super::Key;
use crate::client::Client;
use crate::head::Head;
use crate::verdict::Verdict;
use crate::{Filter, Filters, Flow};

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unkeyed {
    /// No route has this target.
    NoRoute,
    /// Each client has entries of its own there, and none was named.
    PerClient,
    /// The body can't be in a key.
    Body,
    /// Answers to this request are not kept.
    NotKept,
}

/// One key for the route's own upstream, and one for that of a rollout.
///
/// # Errors
/// Where answers to such a request are not kept, or can't be named.
pub fn keys(
    filters: &Filters,
    head: &Head<'_>,
    body: Option<&[u8]>,
    client: Option<&Arc<Client>>,
) -> Result<Vec<Key>, Unkeyed> {
    let mut verdict = Verdict { client: client.cloned(), ..Verdict::default() };
    if filters.route.request(head, &mut verdict) != Flow::Continue {
        return Err(Unkeyed::NoRoute);
    }
    let route = verdict.route.clone().ok_or(Unkeyed::NoRoute)?;
    let cache = route.cache.as_ref().ok_or(Unkeyed::NotKept)?;
    if cache.config.key.client && client.is_none() {
        return Err(Unkeyed::PerClient);
    }
    let target = verdict.target.clone();
    let elsewhere = route.config.rollout.as_ref().map(|rollout| Arc::from(rollout.upstream.as_str()));
    let mut keys = Vec::new();
    for upstream in std::iter::once(None).chain(elsewhere.map(Some)) {
        verdict.upstream = upstream;
        verdict.target.clone_from(&target);
        if filters.cache_key.request(head, &mut verdict) != Flow::Continue {
            return Err(Unkeyed::NoRoute);
        }
        if let Some(body) = body
            && filters.cache_key.body(head, body, &mut verdict) != Flow::Continue
        {
            return Err(Unkeyed::Body);
        }
        keys.push(verdict.key.take().ok_or(Unkeyed::NotKept)?);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::head::Headers;
    use crate::route::Routes;

    fn filters() -> Filters {
        let routes = json!([
            {"name": "tried", "paths": ["/tried"], "upstream": "main", "rollout": {"upstream": "next", "share": 0.1}, "cache": {}},
            {"name": "own", "paths": ["/own"], "cache": {"key": {"client": true}}},
            {"name": "posted", "paths": ["/posted"], "methods": ["POST"], "body": {"max": "1KiB"}, "cache": {"methods": ["POST"], "key": {"body": "json"}}},
            {"name": "plain", "paths": ["/plain"]},
        ]);
        let route = Routes::new(serde_json::from_value(routes).unwrap()).unwrap();
        Filters { route, ..Filters::default() }
    }

    #[rstest]
    #[case("GET", "/tried?a=1", None, Ok(2))]
    #[case("GET", "/own", None, Err(Unkeyed::PerClient))]
    #[case("POST", "/posted", Some("{}"), Ok(1))]
    #[case("POST", "/posted", Some("{"), Err(Unkeyed::Body))]
    #[case("POST", "/posted", None, Err(Unkeyed::NotKept))]
    #[case("GET", "/plain", None, Err(Unkeyed::NotKept))]
    #[case("GET", "/elsewhere", None, Err(Unkeyed::NoRoute))]
    fn each_upstream_has_a_key(
        #[case] method: &str,
        #[case] target: &str,
        #[case] body: Option<&str>,
        #[case] expected: Result<usize, Unkeyed>,
    ) {
        let head = Head::new(method, target, Headers::Raw(&[]));
        let found = keys(&filters(), &head, body.map(str::as_bytes), None);
        assert_eq!(found.as_ref().map(Vec::len).map_err(|e| *e), expected);
        if let Ok(keys) = found {
            let different: std::collections::BTreeSet<_> = keys.iter().collect();
            assert_eq!(different.len(), keys.len());
        }
    }

    #[test]
    fn they_are_those_of_the_request_itself() {
        let filters = filters();
        let head = Head::new("GET", "/tried?a=1", Headers::Raw(&[]));
        let mut verdict = Verdict::default();
        for upstream in [None, Some("next".into())] {
            verdict = Verdict { upstream, ..Verdict::default() };
            assert_eq!(filters.route.request(&head, &mut verdict), Flow::Continue);
            assert_eq!(filters.cache_key.request(&head, &mut verdict), Flow::Continue);
            assert!(keys(&filters, &head, None, None).unwrap().contains(&verdict.key.unwrap()));
        }
        assert_eq!(verdict.target, "/tried?a=1");
    }
}

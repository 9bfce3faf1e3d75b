//! What the answers to a request have in common, to purge them.

use super::{Key, common};
use crate::head::Head;
use crate::verdict::Verdict;
use crate::{Filter, Filters, Flow};

/// Why there is nothing to purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unkeyed {
    /// No route has this target.
    NoRoute,
    /// The body can't be in a key.
    Body,
    /// Answers to this request are not kept.
    NotKept,
}

/// The [`common`] part of the keys under which answers to a request are kept.
///
/// # Errors
/// Where answers to such a request are not kept, or can't be named.
pub fn find(filters: &Filters, head: &Head<'_>, body: Option<&[u8]>) -> Result<Key, Unkeyed> {
    let mut verdict = Verdict::default();
    for filter in [&filters.route as &dyn Filter, &filters.cache_key] {
        if filter.request(head, &mut verdict) != Flow::Continue {
            return Err(Unkeyed::NoRoute);
        }
    }
    let route = verdict.route.clone().ok_or(Unkeyed::NoRoute)?;
    let cache = route.config.cache.as_ref().ok_or(Unkeyed::NotKept)?;
    if let Some(body) = body
        && filters.cache_key.body(head, body, &mut verdict) != Flow::Continue
    {
        return Err(Unkeyed::Body);
    }
    verdict.key.map(|_| common(&cache.key, head, &verdict)).ok_or(Unkeyed::NotKept)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::client::Client;
    use crate::head::Headers;
    use crate::route::Routes;

    fn filters() -> Filters {
        let routes = json!([
            {"name": "kept", "paths": ["/kept"], "cache": {"key": {"client": true}}},
            {"name": "posted", "paths": ["/posted"], "methods": ["POST"], "body": {"max": "1KiB"}, "cache": {"methods": ["POST"], "key": {"body": "json"}}},
            {"name": "plain", "paths": ["/plain"]},
        ]);
        let route = Routes::new(serde_json::from_value(routes).unwrap()).unwrap();
        Filters { route, ..Filters::default() }
    }

    #[rstest]
    #[case("GET", "/kept?a=1", None, None)]
    #[case("POST", "/posted", Some("{}"), None)]
    #[case("POST", "/posted", Some("{"), Some(Unkeyed::Body))]
    #[case("POST", "/posted", None, Some(Unkeyed::NotKept))]
    #[case("GET", "/plain", None, Some(Unkeyed::NotKept))]
    #[case("GET", "/elsewhere", None, Some(Unkeyed::NoRoute))]
    fn what_is_kept_can_be_named(
        #[case] method: &str,
        #[case] target: &str,
        #[case] body: Option<&str>,
        #[case] expected: Option<Unkeyed>,
    ) {
        let head = Head::new(method, target, Headers::Raw(&[]));
        assert_eq!(find(&filters(), &head, body.map(str::as_bytes)).err(), expected);
    }

    #[test]
    fn whoever_asks_and_whoever_answers_it_is_the_same() {
        let filters = filters();
        let named = find(&filters, &Head::new("GET", "/kept?a=1", Headers::Raw(&[])), None).unwrap();
        let problem = [httparse::Header { name: "accept", value: b"application/problem+json" }];
        let client = |name: &str| Some(Arc::new(Client { name: name.into(), ..Client::default() }));
        let mut keys = std::collections::BTreeSet::new();
        for (client, upstream, fields) in [
            (None, None, &[][..]),
            (client("a"), None, &[]),
            (client("b"), None, &[]),
            (client("a"), Some("next".into()), &[]),
            (client("a"), None, &problem),
        ] {
            let head = Head::new("HEAD", "/kept?a=1", Headers::Raw(fields));
            let mut verdict = Verdict { client, upstream, ..Verdict::default() };
            assert_eq!(filters.route.request(&head, &mut verdict), Flow::Continue);
            assert_eq!(filters.cache_key.request(&head, &mut verdict), Flow::Continue);
            let route = verdict.route.clone().unwrap();
            assert_eq!(common(&route.config.cache.as_ref().unwrap().key, &head, &verdict), named);
            assert!(keys.insert(verdict.key), "each has a key of its own");
        }
    }
}

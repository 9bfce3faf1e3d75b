//! What the answers to a request have in common, to purge them.

use super::{Key, common};
use crate::http::head::Head;
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
    /// The host is in the key and the request names none.
    NoHost,
}

impl Unkeyed {
    /// A sentence for who asked.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::NoRoute => "No route has this URL with this method.",
            Self::Body => "The body can't be in a key.",
            Self::NotKept => {
                "Responses to this request are not stored: its route does not cache this method, or caches it by a body, \
                 which is needed here, too ({\"url\": ..., \"method\": ..., \"body\": ...})."
            }
            Self::NoHost => "The route's key holds the host, so the whole URL is needed: https://host/path.",
        }
    }
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
    if cache.key.host && head.host().is_none_or(<[u8]>::is_empty) {
        return Err(Unkeyed::NoHost);
    }
    // A body counts only where the key is made of it.
    if !cache.covers(head.method) || body.is_some() && !cache.by_body(head.method) {
        return Err(Unkeyed::NotKept);
    }
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
    use crate::http::head::Headers;
    use crate::route::Routes;

    fn filters() -> Filters {
        let routes = json!([
            {"name": "kept", "paths": ["/kept"], "cache": {"key": {"client": true}}},
            {"name": "posted", "paths": ["/posted"], "methods": ["POST"], "body": {"max": "1KiB"}, "cache": {"methods": ["POST"], "key": {"body": "json"}}},
            {"name": "plain", "paths": ["/plain"]},
            {"name": "hosted", "paths": ["/hosted"], "cache": {"key": {"host": true}}},
        ]);
        let route = Routes::new(serde_json::from_value(routes).unwrap()).unwrap();
        Filters { route, ..Filters::default() }
    }

    #[rstest]
    #[case("GET", "/kept?a=1", None, None)]
    #[case("POST", "/posted", Some("{}"), None)]
    #[case("POST", "/posted", Some("{"), Some(Unkeyed::Body))]
    #[case("POST", "/posted", None, Some(Unkeyed::NotKept))]
    #[case("GET", "/kept", Some("{}"), Some(Unkeyed::NotKept))]
    #[case("HEAD", "/kept", None, None)]
    #[case("GET", "/plain", None, Some(Unkeyed::NotKept))]
    #[case("GET", "/elsewhere", None, Some(Unkeyed::NoRoute))]
    #[case("GET", "/hosted", None, Some(Unkeyed::NoHost))]
    #[case("GET", "http://a.example/hosted", None, None)]
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

//! Who goes first when the upstream has not enough places: five classes, from the route, the client's plan, and the
//! client itself, which can lower a request but never raise it.
//!
//! ```yaml
//! priority:
//!   default: normal    # where neither route nor client says
//!   header: true       # heed `Priority` (RFC 9218); it can only lower
//! ```
//!
//! The class is the lower of the route's (`class`) and the client's (`priority`). Urgencies 0 to 3 of RFC 9218 leave it
//! (3 is what is meant without the field), 4 lowers it to normal, 5 and 6 to low, 7 to background. A refresh that nobody
//! waits for is background work. What a class gives is said in [`crate::queue`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::http::head::{Head, Headers};
use crate::traffic::Class;
use crate::verdict::Verdict;
use crate::{Filter, Flow};

/// Classes, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The class where neither route nor client has one.
    pub default: Class,
    /// Whether a client can lower a request by `Priority`.
    pub header: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { default: Class::Normal, header: true }
    }
}

/// The filter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Priority(pub Config);

impl Filter for Priority {
    fn name(&self) -> &'static str {
        "priority"
    }

    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        let of_route = verdict.route.as_ref().and_then(|route| route.config.class);
        let of_client = verdict.client.as_ref().and_then(|client| client.priority);
        let granted = of_route.into_iter().chain(of_client).min().unwrap_or(self.0.default);
        verdict.class = match verdict.background {
            true => Class::Background,
            false if self.0.header => granted.min(wish(head.headers)),
            false => granted,
        };
        Flow::Continue
    }
}

/// The highest class that the client wants. What RFC 9218 says to ignore is ignored.
fn wish(headers: Headers<'_>) -> Class {
    if !headers.has("priority") {
        return Class::Critical;
    }
    let mut text = Vec::new();
    headers.each("priority", |line| {
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(line);
    });
    let parameters: Dictionary = Parser::new(&text).parse().unwrap_or_default();
    let urgency = match parameters.get("u") {
        Some(ListEntry::Item(item)) => match item.bare_item {
            BareItem::Integer(urgency) => i64::from(urgency),
            _ => 3,
        },
        _ => 3,
    };
    match urgency {
        4 => Class::Normal,
        5 | 6 => Class::Low,
        7 => Class::Background,
        _ => Class::Critical,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rstest::rstest;

    use super::*;
    use crate::client::Client;
    use crate::route::Routes;

    fn class(route: Option<Class>, client: Option<Class>, priority: &[&str], config: Config) -> Class {
        let mut routes: Vec<crate::route::Config> = serde_json::from_str(r#"[{"name": "r", "paths": ["/"]}]"#).unwrap();
        routes[0].class = route;
        let routes = Routes::new(routes).unwrap();
        let client = Client { priority: client, ..Client::default() };
        let mut verdict = Verdict {
            route: Some(Arc::clone(&routes.list()[0])),
            client: Some(Arc::new(client)),
            ..Verdict::default()
        };
        let fields: Vec<_> =
            priority.iter().map(|value| httparse::Header { name: "Priority", value: value.as_bytes() }).collect();
        let flow = Priority(config).request(&Head::new("GET", "/", Headers::Raw(&fields)), &mut verdict);
        assert_eq!(flow, Flow::Continue);
        verdict.class
    }

    #[rstest]
    #[case(None, None, Class::Normal)]
    #[case(None, Some(Class::High), Class::High)]
    #[case(Some(Class::Critical), None, Class::Critical)]
    #[case(Some(Class::Low), Some(Class::High), Class::Low)]
    #[case(Some(Class::Critical), Some(Class::Low), Class::Low)]
    fn the_lower_of_route_and_client(
        #[case] route: Option<Class>,
        #[case] client: Option<Class>,
        #[case] expected: Class,
    ) {
        assert_eq!(class(route, client, &[], Config::default()), expected);
    }

    #[rstest]
    #[case(&["u=0"], Class::High)]
    #[case(&["u=3, i"], Class::High)]
    #[case(&["i"], Class::High)]
    #[case(&["u=4"], Class::Normal)]
    #[case(&["u=5"], Class::Low)]
    #[case(&["u=6"], Class::Low)]
    #[case(&["u=7"], Class::Background)]
    #[case(&["i", "u=7"], Class::Background)]
    #[case(&["u=8"], Class::High)]
    #[case(&["u=-1"], Class::High)]
    #[case(&["u=7.0"], Class::High)]
    #[case(&["u=\"7\""], Class::High)]
    #[case(&["u=(7)"], Class::High)]
    #[case(&["u=7,,"], Class::High)]
    #[case(&["\u{7f}"], Class::High)]
    fn the_client_can_only_lower(#[case] priority: &[&str], #[case] expected: Class) {
        assert_eq!(class(None, Some(Class::High), priority, Config::default()), expected);
        assert!(class(None, Some(Class::Low), priority, Config::default()) <= Class::Low);
    }

    #[test]
    fn the_field_counts_only_where_it_may() {
        let deaf = Config { header: false, default: Class::Low };
        assert_eq!(class(None, Some(Class::High), &["u=7"], deaf), Class::High);
        assert_eq!(class(None, None, &[], deaf), Class::Low);
    }

    #[test]
    fn what_nobody_waits_for_is_background_work() {
        let mut verdict = Verdict { background: true, ..Verdict::default() };
        Priority::default().request(&Head::new("GET", "/", Headers::Raw(&[])), &mut verdict);
        assert_eq!(verdict.class, Class::Background);
    }
}

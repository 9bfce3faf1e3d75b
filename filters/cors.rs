//! Lets browsers on other origins use the API: answers their preflights and names the origins that may read answers
//! (Fetch standard, section 3.2).
//!
//! ```yaml
//! cors:
//!   origins: ["https://shop.example"]   # or ["*"]; empty: no origin but our own
//!   headers: [content-type, x-api-key]  # request fields that scripts may set
//!   max_age: 1d                         # how long a browser remembers a preflight
//! ```
//!
//! Cookies play no part here, so `*` gives away nothing that a key does not guard. Before `route`: a preflight has no key.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::head::Head;
use crate::http::response::Reply;
use crate::route::Routes;
use crate::traffic::units::Span;
use crate::verdict::Verdict;
use crate::{Filter, Flow};

mod allowed;

pub use allowed::Allowed;

/// Which scripts may use the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Origins such as `https://shop.example`, or `*` alone for any.
    pub origins: Vec<String>,
    /// Request fields that scripts may set, in lower case.
    pub headers: Vec<String>,
    /// How long a browser may remember a preflight.
    pub max_age: Span,
}

impl Default for Config {
    fn default() -> Self {
        let headers = ["content-type", "x-api-key", "x-request-id", "x-correlation-id", "if-none-match"];
        Self { origins: Vec::new(), headers: headers.map(str::to_owned).into(), max_age: Span::secs(86_400) }
    }
}

/// Response fields that scripts may read besides those they always may.
pub const EXPOSED: &str = "etag, age, retry-after, x-request-id, x-correlation-id, x-response-time, cache-status, \
                           x-cache, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, ratelimit, \
                           ratelimit-policy";

/// The filter.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    config: Config,
    any: bool,
    routes: Routes,
}

impl Cors {
    /// For the scripts of these origins, and these routes; the error is a sentence about what is wrong.
    pub fn new(config: &Config, routes: &Routes) -> Result<Self, String> {
        let any = config.origins.iter().any(|origin| origin == "*");
        if any && config.origins.len() > 1 {
            return Err("`*` stands for every origin; leave the others out".to_owned());
        }
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && b != b',');
        for origin in config.origins.iter().filter(|_| !any) {
            let host = origin.strip_prefix("https://").or(origin.strip_prefix("http://"));
            if !host.is_some_and(|host| !host.is_empty() && !host.contains('/') && plain(host)) {
                return Err(format!(
                    "`{origin}` is not an origin: `https://` and a host, with a port where it has one"
                ));
            }
        }
        if let Some(name) = config.headers.iter().find(|name| name.is_empty() || !plain(name)) {
            return Err(format!("`{name}` is not the name of a field"));
        }
        Ok(Self { config: config.clone(), any, routes: routes.clone() })
    }

    fn allowed(&self, head: &Head<'_>) -> Allowed {
        let listed = |origin: &&str| self.config.origins.iter().any(|known| known == origin);
        let origin = match self.any {
            true => Some("*".into()),
            false if self.config.origins.is_empty() => None,
            false => head.headers.text("origin").filter(listed).map(Box::from),
        };
        Allowed { origin, varies: !self.any && !self.config.origins.is_empty() }
    }
}

impl Filter for Cors {
    fn name(&self) -> &'static str {
        "cors"
    }

    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        verdict.cors = self.allowed(head);
        let preflight =
            head.method == "OPTIONS" && head.headers.has("origin") && head.headers.has("access-control-request-method");
        if !preflight || verdict.cors.origin.is_none() {
            return Flow::Continue;
        }
        let mut fields = vec![
            ("access-control-allow-headers", self.config.headers.join(", ")),
            ("access-control-max-age", self.config.max_age.0.as_secs().to_string()),
        ];
        // Where there is no route, the request that follows hears of it: GET, HEAD and POST need no permission.
        let methods = self.routes.methods_of(head.path);
        if !methods.is_empty() {
            fields.push(("access-control-allow-methods", methods));
        }
        Flow::Answer(Reply { status: 204, fields, body: Bytes::new(), close: false })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::http::head::Headers;

    fn ask(origins: &[&str], method: &str, fields: &[(&str, &str)]) -> (Flow, Allowed) {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        let config = Config { origins: origins.iter().map(|&origin| origin.to_owned()).collect(), ..Config::default() };
        let mut verdict = Verdict::default();
        let cors = Cors::new(&config, &routes()).unwrap();
        let flow = cors.request(&Head::new(method, "/", Headers::Raw(&fields)), &mut verdict);
        (flow, verdict.cors)
    }

    fn routes() -> Routes {
        let routes = serde_json::json!([
            {"name": "read", "paths": ["/both", "/read/{id}"]},
            {"name": "write", "paths": ["/both", "/write"], "methods": ["POST", "GET", "DELETE"]},
            {"name": "post", "paths": ["/post"], "methods": ["POST"]},
        ]);
        Routes::new(serde_json::from_value(routes).unwrap()).unwrap()
    }

    #[rstest]
    #[case("/read/1?a=b", Some("GET, HEAD"))]
    #[case("/%72ead/1", Some("GET, HEAD"))]
    #[case("/both", Some("GET, HEAD, POST, DELETE"))]
    #[case("/write/", Some("POST, GET, DELETE, HEAD"))]
    #[case("/post", Some("POST"))]
    #[case("/none", None)]
    #[case("/a//b", None)]
    fn a_preflight_names_the_methods_of_its_route(#[case] target: &str, #[case] methods: Option<&str>) {
        let fields = PREFLIGHT.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() });
        let fields: Vec<_> = fields.collect();
        let config = Config { origins: vec!["*".to_owned()], ..Config::default() };
        let cors = Cors::new(&config, &routes()).unwrap();
        let head = Head::new("OPTIONS", target, Headers::Raw(&fields));
        let Flow::Answer(reply) = cors.request(&head, &mut Verdict::default()) else { panic!("no response") };
        let named = reply.fields.iter().find(|(name, _)| *name == "access-control-allow-methods");
        assert_eq!(named.map(|(_, value)| &**value), methods);
    }

    #[test]
    fn every_field_of_a_limit_can_be_read_by_scripts() {
        let standing = crate::rate_limit::Standing {
            rate: "1/1m".parse().unwrap(),
            remaining: 1,
            full_in: std::time::Duration::ZERO,
            fields: crate::rate_limit::Fields::Both,
        };
        let exposed: Vec<&str> = EXPOSED.split(", ").collect();
        standing.write(std::time::SystemTime::now(), |name, _| assert!(exposed.contains(&name), "{name}"));
        assert!(exposed.iter().all(|name| !name.is_empty() && name.trim() == *name), "{exposed:?}");
    }

    const PREFLIGHT: &[(&str, &str)] = &[("origin", "https://a.example"), ("access-control-request-method", "POST")];

    #[rstest]
    #[case(&["*"], Some("*"), false)]
    #[case(&["https://b.example", "https://a.example"], Some("https://a.example"), true)]
    #[case(&["https://b.example"], None, true)]
    #[case(&[], None, false)]
    fn origins(#[case] listed: &[&str], #[case] origin: Option<&str>, #[case] varies: bool) {
        let (flow, allowed) = ask(listed, "OPTIONS", PREFLIGHT);
        assert_eq!((allowed.origin.as_deref(), allowed.varies), (origin, varies));
        assert_eq!(matches!(flow, Flow::Answer(_)), origin.is_some(), "a preflight is answered where it is allowed");
        assert_eq!(ask(listed, "GET", PREFLIGHT), (Flow::Continue, allowed));
    }

    #[test]
    fn a_preflight_is_remembered_for_a_day() {
        let (Flow::Answer(reply), _) = ask(&["*"], "OPTIONS", PREFLIGHT) else { panic!("no answer") };
        assert!(reply.fields.contains(&("access-control-max-age", "86400".to_owned())));
        assert!(reply.fields.iter().any(|(_, value)| value.contains("x-api-key")));
    }

    #[test]
    fn any_other_options_goes_on() {
        assert_eq!(ask(&["*"], "OPTIONS", &[("origin", "https://a.example")]).0, Flow::Continue);
    }

    #[rstest]
    #[case(&["*", "https://a.example"])]
    #[case(&["a.example"])]
    #[case(&["https://a.example/"])]
    #[case(&["https://"])]
    #[case(&["null"])]
    fn mistakes(#[case] origins: &[&str]) {
        let config = Config { origins: origins.iter().map(|&o| o.to_owned()).collect(), ..Config::default() };
        Cors::new(&config, &Routes::default()).unwrap_err();
    }
}

//! Says what would happen to a request, without a request: the filters run, nothing is asked.

use std::fmt::Write;
use std::net::{TcpStream, ToSocketAddrs};

use addrgate_filters::Flow;
use addrgate_filters::head::{Head, Headers};
use addrgate_filters::reply::Cause;
use addrgate_filters::route::{Auth, Route};
use addrgate_filters::verdict::Verdict;

use crate::config::Plan;

/// The explanation, for people.
pub(crate) fn request(plan: &Plan, method: &str, url: &str, body: Option<&str>) -> String {
    let length = body.map_or(0, str::len).to_string();
    let host = Head::new(method, url, Headers::Raw(&[])).authority.unwrap_or("explain").as_bytes();
    let mut fields = vec![httparse::Header { name: "host", value: host }];
    if body.is_some() {
        fields.push(httparse::Header { name: "content-type", value: b"application/json" });
        fields.push(httparse::Header { name: "content-length", value: length.as_bytes() });
    }
    let head = Head::new(method, url, Headers::Raw(&fields));
    let mut verdict = Verdict::default();
    let mut out = String::new();
    let mut refused = None;
    for filter in plan.filters.order() {
        // Who asks is not part of the question; that a key is needed is said below.
        let flow = if filter.name() == "client" { Flow::Continue } else { filter.request(&head, &mut verdict) };
        match flow {
            Flow::Continue => {}
            Flow::Reply(cause) => {
                refused = Some((filter.name(), cause));
                break;
            }
            // Only a preflight is answered by a filter, and that needs fields which no one gives here.
            Flow::Answer(_) => break,
        }
    }
    let route = verdict.route.clone();
    if refused.is_none()
        && let (Some(route), Some(body)) = (&route, body)
        && route.cache.as_ref().is_some_and(|cache| cache.by_body(method))
        && let Flow::Reply(cause) = plan.filters.cache_key.body(&head, body.as_bytes(), &mut verdict)
    {
        refused = Some(("cache_key", cause));
    }
    let mut line = |name: &str, text: &str| {
        // Writing into a string can't fail.
        let _never_fails = writeln!(out, "{name:<10} {text}");
    };
    line("request", &format!("{method} {url}"));
    if let Some(route) = &route {
        line("route", &format!("{route}, number {} of {}", route.index + 1, plan.filters.route.list().len()));
        describe(plan, route, method, &verdict, body.is_some(), &mut line);
    }
    if let Some((by, Cause { code, reason, message, .. })) = &refused {
        line("refused", &format!("{} {} by {by}, reason {reason}: {message}", code.status(), code.as_str()));
    }
    out.truncate(out.trim_end().len());
    out
}

fn describe(
    plan: &Plan,
    route: &Route,
    method: &str,
    verdict: &Verdict,
    with_body: bool,
    line: &mut impl FnMut(&str, &str),
) {
    let config = &route.config;
    let shown = match config.auth {
        Auth::ApiKey => "yes, X-API-Key",
        Auth::Jwt => "a token, Authorization: Bearer",
        Auth::Any => "yes, X-API-Key, or a token, Authorization: Bearer",
        Auth::None => "no",
    };
    line("key needed", shown);
    match (config.answer, plan.pool(route)) {
        (Some(answer), _) => line("answered", &format!("by the gateway itself ({answer:?})").to_lowercase()),
        (None, Some(pool)) => line("upstream", &format!("{}, within {}", pool.name(), config.timeout)),
        (None, None) => {}
    }
    match config.body {
        Some(body) => line(
            "body",
            &format!("{:?}, at most {}", body.kind, body.max)
                .to_lowercase()
                .replace("kib", "KiB")
                .replace("mib", "MiB"),
        ),
        None => line("body", "refused"),
    }
    line("forwarded", &verdict.target);
    if config.meta {
        line("meta", "stamped on the way out");
    }
    let Some(cache) = route.cache.as_ref().filter(|cache| cache.covers(method)) else {
        let why = match &route.cache {
            None => "the route has no `cache`".to_owned(),
            Some(cache) => format!("the route caches {} only", cache.config.methods.join(", ")),
        };
        return line("cacheable", &format!("no: {why}"));
    };
    line("cacheable", "yes, where the answer allows it");
    match (&verdict.key, &verdict.body) {
        (Some(key), Some(body)) => {
            line("key", &key.to_string());
            line("key body", &String::from_utf8_lossy(body));
        }
        (Some(key), None) => line("key", &key.to_string()),
        (None, _) if !with_body => line("key", "depends on the body; give it with --body"),
        (None, _) => {}
    }
    let policy = &cache.config.lifetimes;
    let by_status: Vec<String> = policy.default.iter().map(|(status, span)| format!("{status}: {span}")).collect();
    let fallback = if by_status.is_empty() { "none".to_owned() } else { by_status.join(", ") };
    line("lifetime", &format!("the answer's own, at most {}; where it names none: {fallback}", policy.max));
    line(
        "stale",
        &format!("{} while revalidating, {} on errors", policy.stale_while_revalidate, policy.stale_if_error),
    );
}

/// Connects to every address of every upstream once.
///
/// # Errors
/// Names each that can't be reached.
pub(crate) fn connect(plan: &Plan) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for (name, upstream) in &plan.file.upstreams {
        for address in &upstream.addresses {
            let connected = address.to_socket_addrs().and_then(|mut found| {
                let first = found.next().ok_or_else(|| std::io::Error::other("the name has no address"))?;
                TcpStream::connect_timeout(&first, upstream.connect_time.0)
            });
            if let Err(e) = connected {
                failed.push(format!("upstream `{name}`: {address}: {e}"));
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(anyhow::anyhow!(failed.join("\n"))) }
}

//! Says what would happen to a request, without a request: the filters run, nothing is asked.

use std::fmt::{self, Display, Formatter};

use addrgate_filters::Flow;
use addrgate_filters::http::cache_policy::downstream::Audience;
use addrgate_filters::http::cache_policy::{Errors, SetCookie};
use addrgate_filters::http::cache_policy::{directives::RequestDirectives, part::Wanted};
use addrgate_filters::http::head::{Head, Headers};
use addrgate_filters::route::{Auth, Cache, Route};
use addrgate_filters::traffic::units::Span;
use addrgate_filters::verdict::Verdict;
use serde_json::{Map, Value, json};

use crate::plan::Plan;

/// What is asked about.
#[derive(Debug, clap::Args)]
pub(crate) struct Question {
    /// The method, such as GET.
    method: String,
    /// Path and query, or a whole URL.
    url: String,
    /// The body, taken for JSON unless a field says otherwise.
    #[arg(long, visible_alias = "data", short = 'd')]
    body: Option<String>,
    /// A field of the request, such as "Cache-Control: no-cache"; may be repeated. With a key or a token the client is
    /// checked, too.
    #[arg(long = "header", short = 'H', value_parser = field)]
    headers: Vec<(String, String)>,
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a field is written `Name: value`")?;
    let name =
        http::HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| format!("`{name}` is no field name"))?;
    Ok((name.as_str().to_owned(), value.trim().to_owned()))
}

/// What is known, in order, each under its name.
#[derive(Debug, Default)]
struct Facts(Map<String, Value>);

impl Facts {
    fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Display for Facts {
    /// For people: a line for each, more for those that have several parts.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            let lines = match value {
                Value::Bool(yes) => vec![if *yes { "yes, where the response allows it" } else { "no" }.to_owned()],
                Value::String(text) => vec![text.clone()],
                Value::Array(parts) => parts.iter().map(|part| part.as_str().unwrap_or_default().to_owned()).collect(),
                // Said in words as well.
                _ => continue,
            };
            for (i, line) in lines.iter().enumerate() {
                let name = if i == 0 { name.replace('_', " ") } else { String::new() };
                writeln!(f, "{name:<10} {line}")?;
            }
        }
        Ok(())
    }
}

/// The explanation, for people or as JSON.
pub(crate) fn request(plan: &Plan, question: &Question) -> String {
    let Question { method, url, body, .. } = question;
    let mut given: Vec<(&str, &str)> = question.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let length = body.as_ref().map_or(0, String::len).to_string();
    let host = Head::new(method, url, Headers::Raw(&[])).authority.unwrap_or("explain").to_owned();
    let mut implied = vec![("host", &*host)];
    if body.is_some() {
        implied.extend([("content-type", "application/json"), ("content-length", &*length)]);
    }
    implied.retain(|(name, _)| !given.iter().any(|(other, _)| other == name));
    given.extend(implied);
    let fields: Vec<_> = given.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
    let head = Head::new(method, url, Headers::Raw(&fields));
    let facts = facts(plan, &head, url, body.as_deref());
    match question.json {
        true => format!("{:#}", Value::Object(facts.0)),
        false => facts.to_string().trim_end().to_owned(),
    }
}

fn facts(plan: &Plan, head: &Head<'_>, url: &str, body: Option<&str>) -> Facts {
    let mut verdict = Verdict::default();
    let mut refused = None;
    let mut answered = None;
    let identified = head.headers.has("x-api-key") || head.headers.has("authorization");
    for filter in plan.filters.order() {
        // Who asks is part of the question only where it is said.
        let flow = match filter.name() {
            "client" if !identified => Flow::Continue,
            _ => filter.request(head, &mut verdict),
        };
        match flow {
            Flow::Continue => continue,
            Flow::Reply(cause) => refused = Some((filter.name(), cause)),
            Flow::Answer(reply) => answered = Some((filter.name(), reply.status)),
        }
        break;
    }
    let route = verdict.route.clone();
    if refused.is_none()
        && let (Some(route), Some(body)) = (&route, body)
        && route.config.cache.as_ref().is_some_and(|cache| cache.by_body(head.method))
        && let Flow::Reply(cause) = plan.filters.cache_key.body(head, body.as_bytes(), &mut verdict)
    {
        refused = Some(("cache_key", cause));
    }
    let mut facts = Facts::default();
    facts.add("request", format!("{} {url}", head.method));
    if let Some(route) = &route {
        facts.add("route", format!("{route}, number {} of {}", route.index + 1, plan.filters.route.list().len()));
        describe(plan, route, &verdict, &mut facts);
        match &route.config.cache {
            Some(caching) if caching.covers(head.method) => cached(caching, head, &verdict, body, &mut facts),
            Some(caching) => uncached(format!("the route caches {} only", caching.methods.join(", ")), &mut facts),
            None => uncached("the route has no `cache`".to_owned(), &mut facts),
        }
    }
    if let Some((by, cause)) = &refused {
        let (status, code) = (cause.status(), cause.code.as_str());
        facts.add("refused", format!("{status} {code} by {by}, reason {}: {}", cause.reason, cause.message));
    }
    if let Some((by, status)) = answered {
        facts.add("answered", format!("{status} by {by}"));
    }
    facts
}

fn describe(plan: &Plan, route: &Route, verdict: &Verdict, facts: &mut Facts) {
    let config = &route.config;
    let shown = match config.auth {
        Auth::ApiKey => "yes, X-API-Key",
        Auth::Jwt => "a token, Authorization: Bearer",
        Auth::Any => "yes, X-API-Key, or a token, Authorization: Bearer",
        Auth::None => "no",
    };
    facts.add("key_needed", shown);
    if let Some(client) = &verdict.client {
        facts.add("client", &*client.name);
    }
    facts.add("class", verdict.class.as_str());
    let general = &plan.file.rate_limit;
    let limits = [("client", &general.client), ("address", &general.address)].into_iter().map(|limit| (limit, ""));
    let own =
        [("client", &config.limits.client), ("address", &config.limits.address)].map(|limit| (limit, ", here alone"));
    let limits = limits
        .chain(own)
        .flat_map(|((who, rates), here)| rates.iter().map(move |rate| format!("{rate} for each {who}{here}")));
    facts.add("limits", limits.collect::<Vec<_>>());
    match (config.answer, plan.pool(route)) {
        (Some(answer), _) => facts.add("answered", format!("by the gateway itself ({answer:?})").to_lowercase()),
        (None, Some(pool)) => facts.add("upstream", format!("{}, within {}", pool.name(), config.timeout)),
        (None, None) => {}
    }
    match config.body {
        Some(body) => facts.add("body", format!("{}, at most {}", format!("{:?}", body.kind).to_lowercase(), body.max)),
        None => facts.add("body", "refused"),
    }
    facts.add("forwarded", &*verdict.target);
    let in_front = match config.audience() {
        Audience::Private => "the client's own cache alone".to_owned(),
        Audience::Shared(None) => "shared caches too, as long as it is stored here".to_owned(),
        Audience::Shared(Some(lifetime)) => format!("shared caches too, for {}", Span(lifetime)),
        Audience::AsUpstream => "whom the upstream lets".to_owned(),
    };
    facts.add("in_front", format!("may be stored by {in_front}"));
    if config.meta {
        facts.add("meta", "stamped on the way out");
    }
}

fn uncached(why: String, facts: &mut Facts) {
    facts.add("cacheable", false);
    facts.add("reasons", vec![why]);
}

fn cached(caching: &Cache, head: &Head<'_>, verdict: &Verdict, body: Option<&str>, facts: &mut Facts) {
    facts.add("cacheable", true);
    match (&verdict.key, &verdict.body) {
        (Some(key), body) => {
            facts.add("key", key.to_string());
            if let Some(body) = body {
                facts.add("key_body", String::from_utf8_lossy(body).into_owned());
            }
        }
        (None, _) if body.is_none() => facts.add("key", "depends on the body; give it with --body"),
        (None, _) => {}
    }
    let policy = &caching.lifetimes;
    let by_status: Vec<String> = policy.default.iter().map(|(status, span)| format!("{status}: {span}")).collect();
    let fallback = if by_status.is_empty() { "none".to_owned() } else { by_status.join(", ") };
    facts.add("lifetime", format!("the response's own, at most {}; where it names none: {fallback}", policy.max));
    let windows = (policy.stale_while_revalidate, policy.stale_if_error);
    facts.add("stale", format!("{} while revalidating, {} on errors", windows.0, windows.1));
    facts.add("lifetimes", json!(policy));
    if !caching.tags.is_empty() {
        facts.add("tags", caching.tags.join(", "));
    }
    facts.add("reasons", reasons(caching, head));
}

/// What of the route and of the request decides about keeping and using an answer.
fn reasons(caching: &Cache, head: &Head<'_>) -> Vec<String> {
    let policy = &caching.lifetimes;
    let mut reasons = vec![format!("the route caches {}", caching.methods.join(", "))];
    let mut say = |applies: bool, reason: &str| {
        if applies {
            reasons.push(reason.to_owned());
        }
    };
    if caching.min_uses > 1 {
        let reason =
            format!("stored from request {} for a key within {} on", caching.min_uses, caching.min_uses_within);
        say(true, &reason);
    }
    if policy.errors == Errors::Own {
        let kept: Vec<_> = policy.default.keys().filter(|status| **status >= 400).map(u16::to_string).collect();
        let kept = if kept.is_empty() { "none".to_owned() } else { kept.join(", ") };
        say(true, &format!("of errors are stored: {kept}"));
    }
    say(policy.set_cookie == SetCookie::Never, "a response that sets a cookie is not stored");
    let mut lines = Vec::new();
    head.headers.each("cache-control", |line| lines.push(line));
    let asked = (!lines.is_empty()).then(|| RequestDirectives::read(lines));
    let honoured = policy.request_directives;
    say(asked.is_some() && !honoured, "the request's Cache-Control is not honoured");
    if let Some(asked) = asked.filter(|_| honoured) {
        say(asked.no_store, "the request forbids storing its response (no-store)");
        say(
            !asked.is_plain(),
            "the request wants the stored response validated, or fresher (no-cache, max-age, min-fresh)",
        );
        say(asked.only_if_cached, "the request wants a 504 rather than a visit upstream (only-if-cached)");
    }
    let authorized = head.headers.has("authorization");
    say(authorized, "with Authorization, unless the gateway checks it, only with public, must-revalidate or s-maxage");
    let part = Wanted::of(head.headers).is_some();
    say(part && policy.parts, "the request wants a part: what is not stored is fetched as a part, and stored as one");
    say(part && !policy.parts, "the request wants a part: the whole is fetched and stored, the part is cut out of it");
    reasons
}

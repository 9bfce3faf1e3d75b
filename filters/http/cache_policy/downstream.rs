//! What caches in front of the gateway (browsers, shared caches, CDNs) are told about storing a response.
//!
//! A response to a client that needs a key is that client's own: a shared cache does not check keys, and would hand it to
//! anyone. So it goes out as `private` unless the route says `cdn: shared`. And what the gateway itself would not store, or
//! not for so long, it recommends to nobody (RFC 9111 section 5.2.2, RFC 9213).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sfv::{BareItem, DictSerializer, Dictionary, Integer, ListEntry, Parser};

use super::{
    directives::{MAX_DELTA, ResponseDirectives, Scope},
    freshness, list, targeted,
};
use crate::traffic::units::FieldName;

/// Which caches in front may store the responses of a route, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cdn {
    /// The client's own cache alone.
    Private,
    /// Shared caches too.
    Shared,
}

/// Which caches in front may store the responses of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The client's own cache alone.
    Private,
    /// Shared caches too; with this lifetime in `CDN-Cache-Control`, where the route sets one.
    Shared(Option<Duration>),
    /// Those that the upstream lets.
    AsUpstream,
}

/// How far a response may be stored in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terms {
    /// As long as the response says, and no longer than `most`; `own` is the lifetime where it names none.
    Store {
        /// The bound of every lifetime.
        most: Duration,
        /// What the gateway's settings give a response that names no lifetime.
        own: Option<Duration>,
    },
    /// The same, by the client's own cache alone.
    OneClient(Duration),
    /// Only to be validated before each use.
    Validate,
    /// Not at all.
    Nothing,
}

impl Terms {
    /// As the response says.
    pub const UNBOUNDED: Self = Self::Store { most: Duration::MAX, own: None };
}

/// The targeted field that the gateway sends.
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// Carries, in a stored head only, one line of what the upstream said about caching before it was rewritten; empty where it
/// said nothing. Never sent.
pub const ORIGINAL: HeaderName = HeaderName::from_static("addrgate-original");

/// Whether a field tells a cache how to store: `Expires`, `Cache-Control`, and every targeted field, by the naming of RFC
/// 9213 section 2 or one of the older ones.
fn is_caching(name: &HeaderName, targets: &[FieldName]) -> bool {
    let text = name.as_str();
    text.ends_with("cache-control")
        || matches!(text, "expires" | "surrogate-control" | "edge-control" | "x-accel-expires")
        || targets.iter().any(|target| target.0 == *name)
}

/// Whether it is a targeted one.
fn is_targeted(name: &HeaderName, targets: &[FieldName]) -> bool {
    is_caching(name, targets) && *name != header::CACHE_CONTROL && *name != header::EXPIRES
}

/// Removes the fields that `of` picks.
fn remove(headers: &mut HeaderMap, of: impl Fn(&HeaderName) -> bool) {
    let names: Vec<_> = headers.keys().filter(|name| of(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Rewrites what a response says about caching. `now` is when it was received.
pub fn write(headers: &mut HeaderMap, audience: Audience, terms: Terms, targets: &[FieldName], now: SystemTime) {
    if audience == Audience::AsUpstream
        && terms == Terms::Nothing
        && ResponseDirectives::read(control(headers)).no_store
    {
        // It says so itself.
        return remove(headers, |name| is_targeted(name, targets));
    }
    let line = match (audience, terms) {
        (_, Terms::Nothing) => b"no-store".to_vec(),
        (Audience::Private, Terms::Validate) => b"private, no-cache".to_vec(),
        (_, Terms::Validate) => b"no-cache".to_vec(),
        (Audience::AsUpstream, Terms::Store { most, .. }) => return shorten(headers, most, targets, now),
        (Audience::Shared(lifetime), Terms::Store { most, own }) => {
            let targeted = for_cdns(headers, lifetime, (most, own), targets, now);
            let line = for_clients(headers, false, (most, own), now);
            replace(headers, &line, targets);
            if let Some(targeted) = targeted {
                put(headers, CDN_CACHE_CONTROL, targeted.as_bytes());
            }
            return;
        }
        (Audience::Private, Terms::Store { most, own }) => for_clients(headers, true, (most, own), now),
        (Audience::AsUpstream, Terms::OneClient(most)) => {
            let line = for_clients(headers, true, (most, None), now);
            // Where it is the upstream's only word it stays: `private` beside it says enough.
            let only = !headers.contains_key(header::CACHE_CONTROL);
            let expires = headers.get(header::EXPIRES).filter(|_| only).cloned();
            replace(headers, &line, targets);
            headers.extend(expires.map(|expires| (header::EXPIRES, expires)));
            return;
        }
        (_, Terms::OneClient(most)) => for_clients(headers, true, (most, None), now),
    };
    replace(headers, &line, targets);
}

/// The same for a response that is to be stored. What the upstream said stays in [`ORIGINAL`] where it was changed: a
/// validation (304) may repeat none of it.
pub fn write_stored(headers: &mut HeaderMap, audience: Audience, terms: Terms, targets: &[FieldName], now: SystemTime) {
    let said = |headers: &HeaderMap| -> Vec<(HeaderName, HeaderValue)> {
        let lines = headers.iter().filter(|(name, _)| is_caching(name, targets));
        lines.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let before = said(headers);
    write(headers, audience, terms, targets, now);
    if before == said(headers) {
        return;
    }
    if before.is_empty() {
        headers.append(ORIGINAL, HeaderValue::from_static(""));
    }
    for (name, value) in before {
        let line = [name.as_str().as_bytes(), b":", value.as_bytes()].concat();
        // Both parts are valid in a value.
        headers.extend(HeaderValue::from_bytes(&line).ok().map(|line| (ORIGINAL, line)));
    }
}

/// Puts back what the upstream said into the fields of a stored head.
pub fn restore(headers: &mut HeaderMap, targets: &[FieldName]) {
    let http::header::Entry::Occupied(entry) = headers.entry(ORIGINAL) else { return };
    let lines: Vec<HeaderValue> = entry.remove_entry_mult().1.collect();
    remove(headers, |name| is_caching(name, targets));
    for line in lines {
        let Some(colon) = line.as_bytes().iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line.as_bytes()[..colon], &line.as_bytes()[colon + 1..]);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
}

/// What the fields of a response let caches in front do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Openness {
    /// A shared cache may store it by an explicit word.
    pub shared: bool,
    /// `private` or `no-store`: no shared cache may.
    pub closed: bool,
}

impl Openness {
    /// From the fields, name by name.
    pub fn of<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut control = Vec::new();
        let mut targeted = false;
        for (name, value) in fields {
            if name.eq_ignore_ascii_case(b"cache-control") {
                control.push(value);
            } else if name.eq_ignore_ascii_case(b"cdn-cache-control") || name.eq_ignore_ascii_case(b"surrogate-control")
            {
                let said = ResponseDirectives::read([value]);
                targeted |= !said.no_store && said.private != Scope::Response && said.max_age != Some(0);
            }
        }
        let said = ResponseDirectives::read(control);
        let closed = said.private == Scope::Response || said.no_store;
        let lives = |seconds: Option<u32>| seconds.is_some_and(|seconds| seconds > 0);
        let explicit = said.public || lives(said.s_maxage) || lives(said.max_age);
        let shared = targeted || !closed && said.no_cache != Scope::Response && explicit;
        Self { shared, closed: closed && !targeted }
    }

    /// The same of a map.
    pub fn of_map(headers: &HeaderMap) -> Self {
        Self::of(headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
    }
}

/// `Cache-Control` in place of all that says how to store.
fn replace(headers: &mut HeaderMap, line: &[u8], targets: &[FieldName]) {
    remove(headers, |name| is_caching(name, targets));
    put(headers, header::CACHE_CONTROL, line);
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    // Made of what was in a field before.
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(name, value);
    }
}

fn control(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::CACHE_CONTROL).iter().map(HeaderValue::as_bytes)
}

/// The lifetime that a response names for a client's own cache.
fn client_lifetime(headers: &HeaderMap, said: &ResponseDirectives, now: SystemTime) -> Option<Duration> {
    let said = ResponseDirectives { max_age: said.max_age, ..ResponseDirectives::default() };
    freshness::explicit(&said, false, headers, now).map(|(lifetime, _)| lifetime)
}

/// `Cache-Control` for clients, and for shared caches that know no targeted field. What else the upstream's says stays.
fn for_clients(
    headers: &HeaderMap,
    private: bool,
    (most, own): (Duration, Option<Duration>),
    now: SystemTime,
) -> Vec<u8> {
    let said = ResponseDirectives::read(control(headers));
    if said.no_store {
        return b"no-store".to_vec();
    }
    let private = private || said.private == Scope::Response;
    let mut line = if private { b"private".to_vec() } else { b"public".to_vec() };
    let mut add = |member: &[u8]| {
        line.extend_from_slice(b", ");
        line.extend_from_slice(member);
    };
    let lifetime = client_lifetime(headers, &said, now).or(own).filter(|_| said.no_cache != Scope::Response);
    if let Some(lifetime) = lifetime {
        add(format!("max-age={}", seconds(lifetime.min(most))).as_bytes());
    }
    if let Some(lifetime) = said.s_maxage.filter(|_| !private) {
        add(format!("s-maxage={}", seconds(Duration::from_secs(lifetime.into()).min(most))).as_bytes());
    }
    for member in control(headers).flat_map(list::members) {
        let Some((name, _)) = list::directive(member) else { continue };
        let written = ["public", "private", "max-age", "s-maxage", "must-understand"];
        let shared_only = private && name.eq_ignore_ascii_case(b"proxy-revalidate");
        if !shared_only && !written.iter().any(|written| name.eq_ignore_ascii_case(written.as_bytes())) {
            add(member);
        }
    }
    line
}

/// `CDN-Cache-Control` from what holds for the gateway; `None` where nothing says how long.
fn for_cdns(
    headers: &HeaderMap,
    lifetime: Option<Duration>,
    (most, own): (Duration, Option<Duration>),
    targets: &[FieldName],
    now: SystemTime,
) -> Option<String> {
    let target = targeted::read(headers, targets);
    let is_targeted = target.is_some();
    let said = target.unwrap_or_else(|| ResponseDirectives::read(control(headers)));
    if said.no_cache == Scope::Response {
        return Some("no-cache".to_owned());
    }
    let named = freshness::explicit(&said, is_targeted, headers, now).map(|(named, _)| named);
    let allowed = named.or(own).map(|allowed| allowed.min(most));
    let lives = match (allowed, lifetime) {
        // What is stale at once stays so.
        (Some(Duration::ZERO), _) => Duration::ZERO,
        (allowed, lifetime) => lifetime.or(allowed)?,
    };
    let mut line = format!("max-age={}", seconds(lives));
    let windows = [("stale-while-revalidate", said.stale_while_revalidate), ("stale-if-error", said.stale_if_error)];
    for (name, window) in windows {
        if let Some(window) = window {
            line += &format!(", {name}={window}");
        }
    }
    if said.must_revalidate || said.proxy_revalidate {
        line += ", must-revalidate";
    }
    Some(line)
}

/// As long as a setting can be: no bound at all.
const FOREVER: Duration = Duration::from_secs(3_650 * 86_400);

/// Shortens every lifetime that is longer than `most`; all else stays as it came.
fn shorten(headers: &mut HeaderMap, most: Duration, targets: &[FieldName], now: SystemTime) {
    if most >= FOREVER {
        return;
    }
    let most_seconds = seconds(most);
    let said = ResponseDirectives::read(control(headers));
    let is_long = |lifetime: Option<u32>| lifetime.is_some_and(|lifetime| lifetime > most_seconds);
    let by_client = client_lifetime(headers, &said, now).is_some_and(|lifetime| lifetime > most);
    if by_client || is_long(said.max_age) || is_long(said.s_maxage) {
        let mut members: Vec<Vec<u8>> = Vec::new();
        if said.max_age.is_none() && by_client {
            members.push(format!("max-age={most_seconds}").into_bytes());
        }
        for member in control(headers).flat_map(list::members) {
            let name = list::directive(member).map(|(name, _)| name.to_ascii_lowercase());
            members.push(match name.as_deref() {
                Some(b"max-age") if is_long(said.max_age) => format!("max-age={most_seconds}").into_bytes(),
                Some(b"s-maxage") if is_long(said.s_maxage) => format!("s-maxage={most_seconds}").into_bytes(),
                _ => member.to_vec(),
            });
        }
        put(headers, header::CACHE_CONTROL, &members.join(&b", "[..]));
        // It would say more, to those who read it alone.
        headers.remove(header::EXPIRES);
    }
    let names: Vec<_> = headers.keys().filter(|name| is_targeted(name, targets)).cloned().collect();
    for name in names {
        let lines: Vec<&[u8]> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
        match shortened(&lines.join(&b", "[..]), most_seconds) {
            Shortened::Same => {}
            Shortened::To(line) => put(headers, name, line.as_bytes()),
            Shortened::Unknown => drop(headers.remove(name)),
        }
    }
}

enum Shortened {
    Same,
    To(String),
    /// It can't be read, so nobody knows how long it lets a cache store.
    Unknown,
}

/// A targeted field with lifetimes of at most `most` seconds.
fn shortened(line: &[u8], most: u32) -> Shortened {
    let Ok(mut dictionary) = Parser::new(line).parse::<Dictionary>() else { return Shortened::Unknown };
    let mut changed = false;
    for (name, member) in &mut dictionary {
        if let ListEntry::Item(item) = member
            && matches!(name.as_str(), "max-age" | "s-maxage")
            && let BareItem::Integer(lifetime) = item.bare_item
            && i64::from(lifetime) > i64::from(most)
        {
            item.bare_item = BareItem::Integer(Integer::from(most));
            changed = true;
        }
    }
    if !changed {
        return Shortened::Same;
    }
    let mut serializer = DictSerializer::new();
    serializer.members(&dictionary);
    serializer.finish().map_or(Shortened::Unknown, Shortened::To)
}

fn seconds(lifetime: Duration) -> u32 {
    u32::try_from(lifetime.as_secs()).unwrap_or(MAX_DELTA).min(MAX_DELTA)
}

#[cfg(test)]
mod tests;

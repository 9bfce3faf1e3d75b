//! Whether an answer may be kept (RFC 9111 section 3), and with which lifetime.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

use super::{
    Config, Errors, SetCookie,
    directives::{ResponseDirectives, Scope},
    downstream::Terms,
    freshness::{self, Exchange, Source, Windows},
    part::Part,
    reuse::Times,
    targeted,
    vary::Vary,
};

/// What of the request bears on storing its answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// It carried `Authorization`.
    pub authorization: bool,
    /// It carried `Cache-Control: no-store`.
    pub no_store: bool,
    /// It asked the upstream for a part.
    pub part: bool,
}

/// Why an answer is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The response says `no-store`.
    NoStore,
    /// The request says `no-store`.
    RequestNoStore,
    /// `private`
    Private,
    /// The request was authenticated and the answer does not allow sharing (RFC 9111 section 3.5).
    Authorization,
    /// It sets a cookie, which belongs to one client.
    SetCookie,
    /// A part of a representation that was not asked for, that varies, or that does not say which part it is.
    Partial,
    /// `Vary: *`
    VaryStar,
    /// An error, and the route does not keep errors of this status, or keeps something better.
    Error,
    /// `must-understand` with a status that is not understood.
    NotUnderstood,
    /// Nothing says how long.
    NoLifetime,
    /// Its key was not asked for often enough (`min_uses`).
    FewUses,
    /// Its body is larger than what is kept.
    TooLarge,
    /// It has more tags than an entry can hold, so that a purge by one of the others would miss it.
    TooManyTags,
    /// Stale on arrival, with no validator and no window in which it could be used.
    Useless,
}

impl Reason {
    /// In a word, for `Cache-Status`, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoStore => "no-store",
            Self::RequestNoStore => "request-no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::Partial => "partial",
            Self::VaryStar => "vary-star",
            Self::Error => "error-status",
            Self::NotUnderstood => "not-understood",
            Self::NoLifetime => "no-lifetime",
            Self::FewUses => "min-uses",
            Self::TooLarge => "too-large",
            Self::TooManyTags => "too-many-tags",
            Self::Useless => "stale-on-arrival",
        }
    }

    /// The reasons for which the next answer under the same key is likely to be refused too, so that its requests should
    /// not wait for each other (hit-for-miss). Errors pass, and a request's own wish says nothing of the next request.
    pub const LASTING: [Self; 8] = [
        Self::NoStore,
        Self::Private,
        Self::SetCookie,
        Self::Partial,
        Self::VaryStar,
        Self::NotUnderstood,
        Self::NoLifetime,
        Self::TooManyTags,
    ];

    /// What caches in front may do with a response that is not stored for this reason.
    pub fn terms(self, policy: &Config) -> Terms {
        match self {
            Self::NoStore | Self::Error | Self::TooManyTags => Terms::Nothing,
            Self::NoLifetime => Terms::Validate,
            // Decided before its directives were looked at, but for the first three.
            Self::Private | Self::Authorization | Self::SetCookie | Self::Partial | Self::RequestNoStore => {
                Terms::OneClient(policy.max.0)
            }
            // Good, but of no use here, or meant for caches that know the status (RFC 9111 section 5.2.2.3).
            Self::NotUnderstood | Self::VaryStar | Self::FewUses | Self::TooLarge | Self::Useless => {
                Terms::Store { most: policy.max.0, own: None }
            }
        }
    }
}

/// An answer that may be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Storable {
    /// How long it is fresh, from its making.
    pub lifetime: Duration,
    /// What gave the lifetime.
    pub source: Source,
    /// The bound of the lifetime, whatever the response says.
    pub most: Duration,
    /// The lifetime before it was spread by the policy's jitter.
    pub named: Duration,
    /// How old it was on arrival.
    pub initial_age: Duration,
    /// Stale use.
    pub windows: Windows,
    /// How long it is worth keeping after its freshness: the longest window, or longer where it can be validated or a
    /// window be widened ([`crate::degrade`]).
    pub keep: Duration,
    /// The fields that select it.
    pub vary: Vary,
    /// The directives in force.
    pub directives: ResponseDirectives,
}

impl Storable {
    /// When the answer was made, by our clock: its age is the time since then.
    pub fn made(&self, received: SystemTime) -> SystemTime {
        received.checked_sub(self.initial_age).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// What caches in front may do with it.
    pub fn terms(&self) -> Terms {
        let own = matches!(self.source, Source::Setting | Source::Heuristic).then_some(self.named);
        Terms::Store { most: self.most, own }
    }

    /// Shortens lifetime and bound.
    pub fn cap(&mut self, most: Duration) {
        self.lifetime = self.lifetime.min(most);
        self.most = self.most.min(most);
    }

    /// When it stops being fresh.
    pub fn fresh_until(&self, received: SystemTime) -> SystemTime {
        self.made(received) + self.lifetime
    }

    /// Its times, as kept.
    pub fn times(&self, received: SystemTime) -> Times {
        Times { made: self.made(received), fresh_until: self.fresh_until(received) }
    }
}

/// Decides about one final response to a cacheable request. `spread` in 0..1 shortens the lifetime by up to the
/// policy's jitter, so that entries filled together do not all expire together.
///
/// # Errors
/// The reason why it must not, or had better not, be kept.
pub fn decide(
    policy: &Config,
    asked: Asked,
    status: u16,
    headers: &HeaderMap,
    exchange: &Exchange,
    spread: f64,
) -> Result<Storable, Reason> {
    let targeted = targeted::read(headers, &policy.targets);
    let is_targeted = targeted.is_some();
    let directives = targeted.unwrap_or_else(|| {
        ResponseDirectives::read(headers.get_all(header::CACHE_CONTROL).iter().map(|line| line.as_bytes()))
    });
    let vary = Vary::of(headers);
    permitted(policy, asked, status, headers, &directives, &vary)?;

    let explicit = freshness::explicit(&directives, is_targeted, headers, exchange.received);
    let (mut lifetime, source) = lifetime(policy, status, headers, &directives, explicit, exchange)?;
    let is_own_error = status >= 400 && policy.errors == Errors::Own;
    let most = policy.by_status(status).filter(|_| is_own_error).map_or(policy.max.0, |own| own.min(policy.max.0));
    lifetime = lifetime.min(policy.max.0);
    let named = lifetime;
    lifetime = lifetime.saturating_sub(lifetime.mul_f64((policy.jitter * spread).clamp(0.0, 1.0)));
    let windows = freshness::windows(policy, &directives);
    let validator = headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED);
    let window = windows.while_revalidate.max(windows.if_error);
    // A window can be widened under pressure, so what has one is kept as long as what can be validated.
    let keep = window.max(if validator || !window.is_zero() { policy.keep.0 } else { Duration::ZERO });
    if lifetime.is_zero() && keep.is_zero() {
        return Err(Reason::Useless);
    }
    let initial_age = freshness::initial_age(headers, exchange);
    Ok(Storable { lifetime, source, most, named, initial_age, windows, keep, vary, directives })
}

/// RFC 9111 section 3 but for the lifetime, and the gateway's own caution.
fn permitted(
    policy: &Config,
    asked: Asked,
    status: u16,
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    vary: &Vary,
) -> Result<(), Reason> {
    if asked.no_store {
        return Err(Reason::RequestNoStore);
    }
    let known_part =
        || headers.get(header::CONTENT_RANGE).is_some_and(|range| Part::new(range.as_bytes(), 1).is_some());
    if status == 304 || status == 206 && !(asked.part && *vary == Vary::Nothing && known_part()) {
        return Err(Reason::Partial);
    }
    // What was said of a part alone is no answer to who asks for the whole.
    if asked.part && !matches!(status, 200 | 206) {
        return Err(Reason::Partial);
    }
    // Section 5.2.2.3: a cache that knows the status ignores `no-store` beside `must-understand`.
    let understood = directives.must_understand && is_understood(status);
    if directives.must_understand && !understood {
        return Err(Reason::NotUnderstood);
    }
    if directives.no_store && !understood {
        return Err(Reason::NoStore);
    }
    if directives.private == Scope::Response {
        return Err(Reason::Private);
    }
    if asked.authorization && !(directives.public || directives.must_revalidate || directives.s_maxage.is_some()) {
        return Err(Reason::Authorization);
    }
    if policy.set_cookie == SetCookie::Never && headers.contains_key(header::SET_COOKIE) {
        return Err(Reason::SetCookie);
    }
    if *vary == Vary::Everything {
        return Err(Reason::VaryStar);
    }
    Ok(())
}

fn lifetime(
    policy: &Config,
    status: u16,
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    explicit: Option<(Duration, Source)>,
    exchange: &Exchange,
) -> Result<(Duration, Source), Reason> {
    let setting = policy.by_status(status).map(|lifetime| (lifetime, Source::Setting));
    let is_own = status >= 400 && policy.errors == Errors::Own;
    if is_own && setting.is_none() {
        return Err(Reason::Error);
    }
    if directives.no_cache == Scope::Response {
        return Ok((Duration::ZERO, Source::NoCache));
    }
    if let Some((own, source)) = setting.filter(|_| is_own) {
        // Upstreams are known to send a week of freshness with an error: only the route's own, short lifetime counts.
        return Ok((explicit.map_or(own, |(lifetime, _)| lifetime.min(own)), source));
    }
    let heuristic = || {
        if is_heuristic(status) || directives.public {
            freshness::heuristic(policy, headers, exchange.received)
        } else {
            None
        }
    };
    explicit.or(setting).or_else(heuristic).ok_or(Reason::NoLifetime)
}

/// Statuses that may be kept without explicit freshness (RFC 9110 section 15.1).
fn is_heuristic(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Final statuses of RFC 9110 section 15 and their registered companions, whose caching this policy implements.
fn is_understood(status: u16) -> bool {
    matches!(status, 200..=205 | 300..=303 | 307 | 308 | 400..=417 | 421 | 422 | 425 | 426 | 428 | 429 | 431 | 451 | 500..=505 | 511)
}

#[cfg(test)]
mod tests;

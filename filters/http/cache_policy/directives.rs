//! `Cache-Control` of requests (RFC 9111 section 5.2.1) and of responses (section 5.2.2).

use http::HeaderName;

use super::list;

/// The largest delta-seconds a cache keeps (RFC 9111 section 1.2.2): 2^31 seconds, about 68 years.
pub const MAX_DELTA: u32 = 1 << 31;

/// What a request's `Cache-Control` asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// Nothing of this exchange may be stored.
    pub no_store: bool,
    /// A stored response must be validated first.
    pub no_cache: bool,
    /// A 504 is preferred to a visit upstream.
    pub only_if_cached: bool,
    /// The oldest age accepted, in seconds.
    pub max_age: Option<u32>,
    /// The shortest remaining freshness accepted, in seconds.
    pub min_fresh: Option<u32>,
    /// How stale a response may be, in seconds; [`MAX_DELTA`] when no limit was named.
    pub max_stale: Option<u32>,
}

impl RequestDirectives {
    /// Reads all `Cache-Control` lines of a request. `Pragma` is deprecated and not read (RFC 9111 section 5.4).
    pub fn read<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut found = Self::default();
        for member in lines.into_iter().flat_map(list::members) {
            let Some((name, value)) = list::directive(member) else { continue };
            // A value that is no number leaves the client's wish unknown: the strictest reading is taken.
            let seconds = |fallback: u32| value.as_deref().map_or(fallback, |text| delta(text).unwrap_or(fallback));
            match () {
                () if name.eq_ignore_ascii_case(b"no-store") => found.no_store = true,
                () if name.eq_ignore_ascii_case(b"no-cache") => found.no_cache = true,
                () if name.eq_ignore_ascii_case(b"only-if-cached") => found.only_if_cached = true,
                () if name.eq_ignore_ascii_case(b"max-age") => found.max_age = Some(seconds(0)),
                () if name.eq_ignore_ascii_case(b"min-fresh") => found.min_fresh = Some(seconds(MAX_DELTA)),
                () if name.eq_ignore_ascii_case(b"max-stale") => {
                    found.max_stale = Some(if value.is_none() { MAX_DELTA } else { seconds(0) });
                }
                () => {}
            }
        }
        found
    }

    /// Whether any fresh stored response will do.
    pub fn is_plain(&self) -> bool {
        !self.no_cache && self.max_age.is_none() && self.min_fresh.is_none()
    }
}

/// `no-cache` and `private` may name fields instead of meaning the whole response (RFC 9111 sections 5.2.2.4, 5.2.2.7).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// The directive is not there.
    #[default]
    Absent,
    /// It means the response.
    Response,
    /// It means these fields only.
    Fields(Vec<HeaderName>),
}

impl Scope {
    /// The unqualified form wins over the qualified one, and qualified ones add up.
    fn widen(&mut self, value: Option<&[u8]>) {
        let names: Vec<_> =
            value.into_iter().flat_map(list::members).filter_map(|name| HeaderName::from_bytes(name).ok()).collect();
        match self {
            Self::Response => {}
            Self::Fields(known) if !names.is_empty() => known.extend(names),
            Self::Absent if !names.is_empty() => *self = Self::Fields(names),
            Self::Absent | Self::Fields(_) => *self = Self::Response,
        }
    }
}

/// What a response's `Cache-Control`, or the targeted field that stands in for it, allows a shared cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "one flag per directive of the RFC")]
pub struct ResponseDirectives {
    /// Lifetime in seconds; 0 when the value could not be read (RFC 9111 section 4.2.1: then it is stale).
    pub max_age: Option<u32>,
    /// The same, for shared caches only.
    pub s_maxage: Option<u32>,
    /// RFC 5861 section 3, in seconds.
    pub stale_while_revalidate: Option<u32>,
    /// RFC 5861 section 4, in seconds.
    pub stale_if_error: Option<u32>,
    /// Do not store.
    pub no_store: bool,
    /// Validate before each use.
    pub no_cache: Scope,
    /// Not for a shared cache.
    pub private: Scope,
    /// Storable even where it would not be otherwise.
    pub public: bool,
    /// Never served stale.
    pub must_revalidate: bool,
    /// Never served stale by a shared cache.
    pub proxy_revalidate: bool,
    /// Store only if the status code is understood, and then in spite of `no-store`.
    pub must_understand: bool,
    /// The response will not change while fresh (RFC 8246).
    pub immutable: bool,
}

impl ResponseDirectives {
    /// Reads all `Cache-Control` lines of a response. Of repeated directives the first counts (RFC 9111 section 4.2.1).
    pub fn read<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut found = Self::default();
        for member in lines.into_iter().flat_map(list::members) {
            if let Some((name, value)) = list::directive(member) {
                found.set(name, value.as_deref());
            }
        }
        found
    }

    /// Takes one directive; an unknown one is ignored (RFC 9111 section 5.2.3).
    fn set(&mut self, name: &[u8], value: Option<&[u8]>) {
        // A lifetime that can't be read means stale; an argument where none belongs does not weaken a directive.
        if !self.set_seconds(name, value.and_then(delta).unwrap_or(0)) {
            self.set_flag(name, value);
        }
    }

    /// Takes a directive with a number of seconds; `false` where the name is of another kind.
    pub(super) fn set_seconds(&mut self, name: &[u8], seconds: u32) -> bool {
        let slot = match name.to_ascii_lowercase().as_slice() {
            b"max-age" => &mut self.max_age,
            b"s-maxage" => &mut self.s_maxage,
            b"stale-while-revalidate" => &mut self.stale_while_revalidate,
            b"stale-if-error" => &mut self.stale_if_error,
            _ => return false,
        };
        slot.get_or_insert(seconds);
        true
    }

    /// Takes a directive without a number; `fields` is the argument of a qualified one.
    pub(super) fn set_flag(&mut self, name: &[u8], fields: Option<&[u8]>) {
        match name.to_ascii_lowercase().as_slice() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache.widen(fields),
            b"private" => self.private.widen(fields),
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"immutable" => self.immutable = true,
            _ => {}
        }
    }

    /// Whether RFC 9111 section 4.2.4 forbids every stale use by a shared cache.
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.s_maxage.is_some() || self.no_cache == Scope::Response
    }
}

/// delta-seconds (RFC 9111 section 1.2.2): digits only, capped at [`MAX_DELTA`].
pub fn delta(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = text.iter().fold(0_u64, |value, digit| {
        value.saturating_mul(10).saturating_add(u64::from(digit - b'0')).min(u64::from(MAX_DELTA))
    });
    u32::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn response(lines: &[&str]) -> ResponseDirectives {
        ResponseDirectives::read(lines.iter().map(|line| line.as_bytes()))
    }

    #[rstest]
    #[case(&["max-age=3600"], Some(3600))]
    #[case(&["MaX-aGe=3600"], Some(3600))]
    #[case(&["max-age=\"3600\""], Some(3600))]
    #[case(&["max-age=003600"], Some(3600))]
    #[case(&["max-age=99999999999"], Some(MAX_DELTA))]
    #[case(&["max-age=1800, max-age=1"], Some(1800))]
    #[case(&["max-age=1", "max-age=1800"], Some(1))]
    #[case(&["extension=\"max-age=3600\", max-age=1"], Some(1))]
    #[case(&["max-age=-3600"], Some(0))]
    #[case(&["max-age=3600.0"], Some(0))]
    #[case(&["max-age='3600'"], Some(0))]
    #[case(&["max-age=a3600"], Some(0))]
    #[case(&["max-age"], Some(0))]
    #[case(&["max-age =3600"], None)]
    #[case(&["max-age= 3600"], Some(0))]
    fn max_age(#[case] lines: &[&str], #[case] expected: Option<u32>) {
        assert_eq!(response(lines).max_age, expected);
    }

    #[test]
    fn scopes() {
        assert_eq!(response(&["no-cache"]).no_cache, Scope::Response);
        assert_eq!(response(&["no-cache=\"a\""]).no_cache, Scope::Fields(vec![HeaderName::from_static("a")]));
        assert_eq!(response(&["no-cache=\"a\", no-cache"]).no_cache, Scope::Response);
        assert_eq!(response(&["no-cache, no-cache=\"a\""]).no_cache, Scope::Response);
        let two = Scope::Fields(vec![HeaderName::from_static("a"), HeaderName::from_static("b")]);
        assert_eq!(response(&["private=\"a, b\""]).private, two);
        assert_eq!(response(&["private=a", "private=b"]).private, two);
        assert_eq!(response(&["private=\"\""]).private, Scope::Response);
    }

    #[rstest]
    #[case("no-cache", RequestDirectives { no_cache: true, ..Default::default() })]
    #[case("no-store", RequestDirectives { no_store: true, ..Default::default() })]
    #[case("Only-If-Cached", RequestDirectives { only_if_cached: true, ..Default::default() })]
    #[case("max-age=5", RequestDirectives { max_age: Some(5), ..Default::default() })]
    #[case("max-age=x", RequestDirectives { max_age: Some(0), ..Default::default() })]
    #[case("max-stale", RequestDirectives { max_stale: Some(MAX_DELTA), ..Default::default() })]
    #[case("max-stale=7", RequestDirectives { max_stale: Some(7), ..Default::default() })]
    #[case("max-stale=x", RequestDirectives { max_stale: Some(0), ..Default::default() })]
    #[case("min-fresh=7", RequestDirectives { min_fresh: Some(7), ..Default::default() })]
    #[case("min-fresh=x", RequestDirectives { min_fresh: Some(MAX_DELTA), ..Default::default() })]
    #[case("nothing-to-see-here", RequestDirectives::default())]
    fn requests(#[case] line: &str, #[case] expected: RequestDirectives) {
        assert_eq!(RequestDirectives::read([line.as_bytes()]), expected);
    }

    proptest! {
        #[test]
        fn takes_any_bytes(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..4)) {
            let _ = RequestDirectives::read(lines.iter().map(Vec::as_slice));
            let _ = ResponseDirectives::read(lines.iter().map(Vec::as_slice));
        }

        #[test]
        fn delta_agrees_with_parse(value in any::<u64>()) {
            let expected = u32::try_from(value.min(u64::from(MAX_DELTA))).unwrap();
            prop_assert_eq!(delta(value.to_string().as_bytes()), Some(expected));
        }
    }
}

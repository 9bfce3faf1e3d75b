//! A good answer: its bytes, how long it stays fresh and for whom, and the tags by which it can be purged.

use addrgate_filters::http::cache_policy::conditional::names_tag;
use addrgate_filters::http::head::Headers;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::tags::Tags;

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// How long an answer stays fresh, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lifetime(u32);

impl Lifetime {
    /// An answer that found nothing: data may arrive any time.
    pub(crate) const EMPTY: Self = Self(60);
    /// Search results.
    pub(crate) const SEARCH: Self = Self(300);
    /// Validation.
    pub(crate) const VALIDATE: Self = Self(3_600);
    /// Geocoding, forward and reverse.
    pub(crate) const GEOCODE: Self = Self(1_800);
    /// Addresses around a point.
    pub(crate) const PROXIMITY: Self = Self(600);
    /// Boundaries around a point.
    pub(crate) const BOUNDARIES: Self = Self(1_800);
    /// Statistical areas, which change with the census.
    pub(crate) const STATISTICS: Self = Self(86_400);
    /// One address by its identifier.
    pub(crate) const ADDRESS: Self = Self(3_600);
    /// What another source answers while ours can't: soon to be replaced by better.
    pub(crate) const FALLBACK: Self = Self(300);
    /// What is loaded.
    pub(crate) const COVERAGE: Self = Self(300);

    /// Stale answers may be served while a fresh one is fetched for a fifth of the lifetime, and instead of an error for
    /// a day (RFC 5861). No `s-maxage`: it would forbid the stale windows (RFC 9111, section 5.2.2.10).
    fn directives(self) -> String {
        let revalidate = (self.0 / 5).clamp(30, 3_600);
        format!("public, max-age={}, stale-while-revalidate={revalidate}, stale-if-error=86400", self.0)
    }
}

/// The answer to a spatial question, before it is wrapped.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What the contract calls `data`.
    pub(crate) data: Value,
    /// `data` without what is volatile in it, such as timings; `None` when nothing is.
    pub(crate) meaning: Option<Value>,
    /// How long it stays fresh.
    pub(crate) lifetime: Lifetime,
    /// What it was made from.
    pub(crate) tags: Tags,
}

impl Answer {
    /// `{success, data}`. The contract's `meta` is volatile: the gateway adds it on the way out.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when it can't be written as JSON.
    pub(crate) fn into_reply(self) -> Result<Reply, ApiError> {
        let body = json!({"success": true, "data": self.data});
        match &self.meaning {
            Some(meaning) => Reply::cached_weak(&body, meaning, self.lifetime, self.tags),
            None => Reply::cached(&body, self.lifetime, self.tags),
        }
    }

    /// The same, not to be kept by anyone.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when it can't be written as JSON.
    pub(crate) fn into_uncached(self) -> Result<Reply, ApiError> {
        Reply::uncached(StatusCode::OK, &json!({"success": true, "data": self.data}))
    }
}

/// An answer ready to be sent.
#[derive(Debug)]
pub(crate) struct Reply {
    body: Bytes,
    status: StatusCode,
    caching: Option<Caching>,
}

#[derive(Debug)]
struct Caching {
    lifetime: Lifetime,
    tags: Tags,
    etag: String,
}

impl Reply {
    /// An answer that caches may keep. The entity tag is strong: it is made from the bytes.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when `value` can't be written as JSON.
    pub(crate) fn cached<T: Serialize>(value: &T, lifetime: Lifetime, tags: Tags) -> Result<Self, ApiError> {
        let body = encode(value)?;
        let etag = format!("\"{}\"", digest(&body));
        Ok(Self { body, status: StatusCode::OK, caching: Some(Caching { lifetime, tags, etag }) })
    }

    /// Like [`Reply::cached`] for a body with a volatile part: the entity tag is weak and made from `meaning`, the rest.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when `value` or `meaning` can't be written as JSON.
    pub(crate) fn cached_weak<T: Serialize, M: Serialize>(
        value: &T,
        meaning: &M,
        lifetime: Lifetime,
        tags: Tags,
    ) -> Result<Self, ApiError> {
        let etag = format!("W/\"{}\"", digest(&encode(meaning)?));
        Ok(Self { body: encode(value)?, status: StatusCode::OK, caching: Some(Caching { lifetime, tags, etag }) })
    }

    /// An answer true only now, such as health.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when `value` can't be written as JSON.
    pub(crate) fn uncached<T: Serialize>(status: StatusCode, value: &T) -> Result<Self, ApiError> {
        Ok(Self { body: encode(value)?, status, caching: None })
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        let Some(Caching { lifetime, tags, etag }) = self.caching else {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return response;
        };
        let directives = lifetime.directives();
        // All of these are made of visible ASCII, which a header value takes.
        for (name, text) in [
            (header::CACHE_CONTROL, directives.as_str()),
            (CDN_CACHE_CONTROL, directives.as_str()),
            (header::ETAG, etag.as_str()),
            (CACHE_TAG, tags.header().as_str()),
        ] {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// 304 instead of `response` when the client's `If-None-Match` names its entity tag (RFC 9110, section 13.1.2: weak
/// comparison, GET and HEAD only).
pub(crate) fn not_modified(method: &Method, request: &HeaderMap, response: Response) -> Response {
    if response.status() != StatusCode::OK || !(*method == Method::GET || *method == Method::HEAD) {
        return response;
    }
    let tag = response.headers().get(header::ETAG).map(HeaderValue::as_bytes);
    let named = names_tag(Headers::Map(request), tag);
    if tag.is_none() || !named {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, axum::body::Body::empty())
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes, ApiError> {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => {
            tracing::error!(%error, "a response could not be written as JSON");
            Err(ApiError::internal())
        }
    }
}

/// 128 bits of BLAKE3, in hexadecimal.
fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> Response {
        let mut tags = Tags::new("2026-02");
        tags.hint("pid", "GAVIC1").need("locality", "VIC1");
        Reply::cached(&json!({"a": 1}), Lifetime::SEARCH, tags).unwrap().into_response()
    }

    #[test]
    fn an_answer_says_how_it_may_be_kept() {
        let response = reply();
        let headers = response.headers();
        assert_eq!(headers["cache-control"], "public, max-age=300, stale-while-revalidate=60, stale-if-error=86400");
        assert_eq!(headers["cache-tag"], "release:2026-02,locality:VIC1,pid:GAVIC1");
        assert!(headers["etag"].to_str().unwrap().starts_with('"'));
    }

    #[test]
    fn a_known_entity_tag_is_answered_304() {
        let etag = reply().headers()["etag"].to_str().unwrap().to_owned();
        for (method, list, status) in [
            ("GET", format!("\"x\", W/{etag}"), 304),
            ("HEAD", etag.clone(), 304),
            ("GET", "*".into(), 304),
            ("GET", "\"x\"".into(), 200),
            ("POST", etag.clone(), 200),
        ] {
            let mut request = HeaderMap::new();
            request.insert("if-none-match", list.parse().unwrap());
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = not_modified(&method, &request, reply());
            assert_eq!(answer.status().as_u16(), status, "{method} {list}");
            assert!(answer.headers().contains_key("cache-tag"));
        }
    }
}

//! Axum extractors over `Fields`, and the request's deadline.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::{Instant, timeout_at};

use super::{Fields, json, query};
use crate::error::ApiError;

/// The most bytes of a body for one thing, and for a batch.
const SINGLE: usize = 64 << 10;
const BATCH: usize = 1 << 20;
/// Time for a body to arrive; what the deadline leaves when that is less.
const BODY_TIME: Duration = Duration::from_secs(5);

/// When the answer must be ready; set by the route (`routes::Class`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(pub(crate) Instant);

impl<S: Sync> FromRequestParts<S> for Deadline {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().copied().ok_or_else(ApiError::internal)
    }
}

/// The fields of the query string.
pub(crate) struct Query(pub(crate) Fields);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        query::parse(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// The fields of a JSON body of at most 64 KiB.
pub(crate) struct Json(pub(crate) Fields);

impl<S: Sync> FromRequest<S> for Json {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        body(request, SINGLE).await.map(Self)
    }
}

/// The fields of a JSON body of at most 1 MiB.
pub(crate) struct BatchJson(pub(crate) Fields);

impl<S: Sync> FromRequest<S> for BatchJson {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        body(request, BATCH).await.map(Self)
    }
}

/// The fields of the query string, or of a POST's JSON body.
pub(crate) struct QueryOrJson(pub(crate) Fields);

impl<S: Sync> FromRequest<S> for QueryOrJson {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if request.method() == Method::POST {
            return Json::from_request(request, state).await.map(|Json(fields)| Self(fields));
        }
        query::parse(request.uri().query().unwrap_or_default()).map(Self)
    }
}

async fn body(request: Request, limit: usize) -> Result<Fields, ApiError> {
    check_type(request.headers())?;
    let deadline = request.extensions().get::<Deadline>().copied().ok_or_else(ApiError::internal)?.0;
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if declared.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let arrival = collect(request.into_body(), limit);
    match timeout_at(deadline.min(Instant::now() + BODY_TIME), arrival).await {
        Ok(bytes) => json::parse(&bytes?),
        Err(_) => Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "The body did not arrive in time")),
    }
}

async fn collect(body: Body, limit: usize) -> Result<bytes::Bytes, ApiError> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        // The connection broke or the framing is wrong: hardly anyone is left to read this.
        Err(_) => Err(ApiError::bad_request("INVALID_JSON", "The body could not be read")),
    }
}

/// Only `application/json` or a `+json` type, in UTF-8, not compressed. Without a type it is JSON: what else would it be.
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let wrong = |message| Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message));
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.to_ascii_lowercase();
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    if !essence.is_empty()
        && essence != "application/json"
        && !(essence.starts_with("application/") && essence.ends_with("+json"))
    {
        return wrong("The body must be JSON: Content-Type: application/json");
    }
    let parameters = parts.filter_map(|part| part.split_once('='));
    let charset = parameters.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| *name == "charset");
    let charset = charset.map(|(_, charset)| charset.trim_matches('"'));
    if charset.is_some_and(|charset| !matches!(charset, "utf-8" | "utf8" | "us-ascii")) {
        return wrong("JSON is UTF-8. Send the body in UTF-8, without another charset.");
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            wrong("Compressed bodies are not accepted")
        }
        _ => Ok(()),
    }
}

fn too_large(limit: usize) -> ApiError {
    let message = format!("The body must have at most {limit} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", message)
        .with_details(serde_json::json!({"limit": limit}))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn post(kind: &str, body: impl Into<Body>) -> Request {
        let mut request = Request::builder().method("POST").body(body.into()).unwrap();
        if !kind.is_empty() {
            request.headers_mut().insert("content-type", kind.parse().unwrap());
        }
        request.extensions_mut().insert(Deadline(Instant::now() + Duration::from_secs(3)));
        request
    }

    async fn status(request: Request) -> u16 {
        match Json::from_request(request, &()).await {
            Ok(_) => 200,
            Err(error) => error.status.as_u16(),
        }
    }

    #[rstest]
    #[case("application/json", 200)]
    #[case("Application/JSON; Charset=UTF-8", 200)]
    #[case("application/vnd.api+json", 200)]
    #[case("", 200)]
    #[case("application/json; charset=\"utf-8\"", 200)]
    #[case("text/plain", 415)]
    #[case("application/jsonp", 415)]
    #[case("application/json; charset=utf-16", 415)]
    #[case("application/json; profile=x; charset=\"iso-8859-1\"", 415)]
    #[tokio::test]
    async fn only_json_is_read(#[case] kind: &str, #[case] expected: u16) {
        assert_eq!(status(post(kind, "{}")).await, expected);
    }

    #[tokio::test]
    async fn bodies_are_bounded_with_and_without_a_length() {
        let body = format!("{{\"a\":\"{}\"}}", "x".repeat(SINGLE));
        assert_eq!(status(post("application/json", body.clone())).await, 413);
        let stream = futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from(body))]);
        assert_eq!(status(post("application/json", Body::from_stream(stream))).await, 413);
    }

    #[tokio::test]
    async fn a_body_that_never_comes_is_not_waited_for() {
        let never = futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
        let mut request = post("application/json", Body::from_stream(never));
        request.extensions_mut().insert(Deadline(Instant::now() + Duration::from_millis(50)));
        assert_eq!(status(request).await, 408);
    }
}

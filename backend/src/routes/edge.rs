//! The outermost layer: request identity, source, panics, errors as bodies, conditional requests.

use std::panic::AssertUnwindSafe;

use addrgate_filters::http::head::Headers;
use addrgate_filters::http::request_id::is_usable;
use addrgate_filters::http::response::wants_problem;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::time::Instant;

use crate::error::ApiError;
use crate::reply;

const SOURCE: HeaderName = HeaderName::from_static("x-source");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Wraps the whole router.
pub(super) async fn edge(State(source): State<&'static str>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(request.headers());
    let problem = wants_problem(Headers::Map(request.headers()));
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut conditions = HeaderMap::new();
    for value in request.headers().get_all(header::IF_NONE_MATCH) {
        conditions.append(header::IF_NONE_MATCH, value.clone());
    }

    let mut response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        // The panic hook has logged where.
        Err(_) => ApiError::internal().into_response(),
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        response = explain(response, &id, problem);
    }
    let mut response = reply::not_modified(&method, &conditions, response);

    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(SOURCE, HeaderValue::from_static(source));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let status = response.status().as_u16();
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    if response.status().is_server_error() {
        tracing::warn!(request = id, %method, path, status, milliseconds, "failed");
    } else {
        tracing::debug!(request = id, %method, path, status, milliseconds, "answered");
    }
    response
}

/// Our errors carry their cause as an extension; health answers are bodies of their own; what remains is axum's.
fn explain(mut response: Response, id: &str, problem: bool) -> Response {
    let error = match response.extensions_mut().remove::<ApiError>() {
        Some(error) => error,
        None if response.headers().contains_key(header::CACHE_CONTROL) => return response,
        None if response.status().is_client_error() => {
            ApiError::new(response.status(), "BAD_REQUEST", "The request could not be understood")
        }
        None => ApiError::internal(),
    };
    let mut explained = error.render(id, problem);
    if let Some(methods) = response.headers().get(header::ALLOW) {
        explained.headers_mut().insert(header::ALLOW, methods.clone());
    }
    if error.status == StatusCode::REQUEST_TIMEOUT {
        explained.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    explained
}

/// The caller's id when it is 1 to 128 characters of `[A-Za-z0-9._:-]`, else a new one (UUID version 7).
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_usable(id));
    given.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

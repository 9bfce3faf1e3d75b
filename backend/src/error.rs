//! A refusal or failure as a value, and the one place that turns it into HTTP.

use std::borrow::Cow;

use addrgate_filters::http::response::timestamp;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// What a client is told when it does not get an answer. Messages are written for clients: never SQL, paths or addresses.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// The contract's word for it, upper case.
    pub(crate) code: &'static str,
    /// One sentence for a person.
    pub(crate) message: Cow<'static, str>,
    /// Machine-readable particulars.
    pub(crate) details: Option<Value>,
    /// Seconds to wait before trying again.
    pub(crate) retry_after: Option<u32>,
}

impl ApiError {
    /// Any status and code.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), details: None, retry_after: None }
    }

    /// 400: the request is wrong and will stay wrong.
    pub(crate) fn bad_request(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 404: the thing asked for is not in the data.
    pub(crate) fn not_found(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 503 `SERVICE_UNAVAILABLE`: not the client's fault, worth another try after `retry_after` seconds.
    pub(crate) fn unavailable(message: impl Into<Cow<'static, str>>, retry_after: u32) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", message);
        Self { retry_after: Some(retry_after), ..error }
    }

    /// 503 for a request whose deadline passed.
    pub(crate) fn timed_out() -> Self {
        Self::unavailable("The request took too long", 1)
    }

    /// 500: a defect of ours. The cause belongs in the log, not here.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "Something went wrong on our side")
    }

    /// Adds machine-readable particulars.
    pub(crate) fn with_details(self, details: Value) -> Self {
        Self { details: Some(details), ..self }
    }

    /// `{code, message, details?}`, as an item of a batch carries it.
    pub(crate) fn to_item(&self) -> Value {
        let mut item = json!({"code": self.code, "message": self.message});
        if let (Some(details), Some(fields)) = (&self.details, item.as_object_mut()) {
            fields.insert("details".into(), details.clone());
        }
        item
    }

    /// The whole answer: the contract's envelope, or RFC 9457 problem details when the client prefers that.
    pub(crate) fn render(&self, request_id: &str, problem: bool) -> Response {
        let mut fields = self.to_item();
        if let Some(fields) = fields.as_object_mut() {
            if problem {
                fields.shift_remove("message");
                fields.insert("type".into(), "about:blank".into());
                fields.insert("title".into(), self.status.canonical_reason().unwrap_or("Error").into());
                fields.insert("status".into(), self.status.as_u16().into());
                fields.insert("detail".into(), self.message.as_ref().into());
            }
            fields.insert("timestamp".into(), timestamp(Utc::now()).into());
            fields.insert("requestId".into(), request_id.into());
        }
        let (body, kind) = if problem {
            (fields, "application/problem+json")
        } else {
            (json!({"error": fields}), "application/json; charset=utf-8")
        };
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Carries the error to the edge (`routes::edge`), which knows the request's id and what the client accepts.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response) -> Value {
        let bytes = axum::body::to_bytes(response.into_body(), 65536).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn the_envelope_has_the_contracts_fields() {
        let error = ApiError::bad_request("INVALID_LIMIT", "no").with_details(json!({"max": 50}));
        let response = error.render("r-1", false);
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["cache-control"], "no-store");
        let body = body(response).await;
        assert_eq!(body["error"]["code"], "INVALID_LIMIT");
        assert_eq!(body["error"]["details"]["max"], 50);
        assert_eq!(body["error"]["requestId"], "r-1");
        assert!(body["error"]["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[tokio::test]
    async fn problem_details_keep_the_code() {
        let response = ApiError::unavailable("later", 3).render("r-2", true);
        assert_eq!(response.headers()["retry-after"], "3");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = body(response).await;
        assert_eq!(
            (body["status"].as_u64(), &body["code"], &body["detail"]),
            (Some(503), &json!("SERVICE_UNAVAILABLE"), &json!("later"))
        );
    }
}

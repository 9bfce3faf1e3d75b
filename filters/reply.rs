//! The one place that knows statuses: what a filter refuses is a [`Cause`], and only here it becomes HTTP.
//!
//! Existing clients read `{"error":{"code","message","details"?,"timestamp","requestId"}}`; a client that prefers
//! `application/problem+json` gets RFC 9457 with the same code. Both carry `reason`, one word that tells two refusals of
//! the same code apart; docs/refusals.md lists them.

use bytes::Bytes;
use serde_json::{Map, json};

use crate::route::Auth;
use crate::verdict::Verdict;

pub use crate::cause::{Cause, Code, REASONS};
pub use crate::http::response::{Reply, timestamp, wants_problem};

/// Turns a cause into the answer. `now` is the wall clock, `problem` what [`wants_problem`] said.
#[must_use]
pub fn render(cause: &Cause, verdict: &Verdict, problem: bool, now: chrono::DateTime<chrono::Utc>) -> Reply {
    let status = cause.status();
    let timestamp = timestamp(now);
    let mut details = Map::new();
    details.insert("reason".to_owned(), cause.reason.into());
    details.extend(cause.details.clone());
    let (kind, body) = if problem {
        let title = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error");
        let body = json!({
            "type": "about:blank", "title": title, "status": status, "detail": cause.message,
            "code": cause.code.as_str(), "timestamp": timestamp, "requestId": verdict.request_id.as_str(),
            "details": details,
        });
        ("application/problem+json", body)
    } else {
        let body = json!({ "error": {
            "code": cause.code.as_str(), "message": cause.message, "details": details,
            "timestamp": timestamp, "requestId": verdict.request_id.as_str(),
        }});
        ("application/json; charset=utf-8", body)
    };
    let mut fields = vec![("content-type", kind.to_owned()), ("cache-control", "no-store".to_owned())];
    if let Some(wait) = cause.retry_after {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        fields.push(("retry-after", seconds.max(1).to_string()));
    }
    if let Some(allow) = &cause.allow {
        fields.push(("allow", allow.to_string()));
    }
    fields.extend(cause.field.map(|(name, value)| (name, value.to_owned())));
    if status == 401 {
        fields.push(("www-authenticate", challenge(cause, verdict).to_owned()));
    }
    Reply { status, fields, body: Bytes::from(body.to_string()), close: cause.close }
}

/// RFC 9110 section 15.5.2 asks for a challenge. The scheme of API keys has no registered name; that of tokens is of RFC
/// 6750 section 3.
fn challenge(cause: &Cause, verdict: &Verdict) -> &'static str {
    let auth = verdict.route.as_ref().map_or(Auth::ApiKey, |route| route.config.auth);
    match (auth, cause.code) {
        (Auth::Jwt, Code::InvalidApiKey) => "Bearer error=\"invalid_token\"",
        (Auth::Jwt, _) => "Bearer",
        (Auth::Any, _) => "ApiKey header=\"X-API-Key\", Bearer",
        (Auth::ApiKey | Auth::None, _) => "ApiKey header=\"X-API-Key\"",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::http::head::Headers;

    fn verdict() -> Verdict {
        Verdict { request_id: crate::http::request_id::RequestId::new(), ..Verdict::default() }
    }

    #[test]
    fn the_envelope_is_the_contracts() {
        let verdict = verdict();
        let cause = Cause::new(Code::ServiceUnavailable, "upstream_down", "No upstream can answer.")
            .retry_after(Duration::from_millis(200))
            .detail("upstream", "address-service");
        let reply = render(&cause, &verdict, false, chrono::DateTime::UNIX_EPOCH);
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            body,
            json!({"error": {
                "code": "SERVICE_UNAVAILABLE", "message": "No upstream can answer.",
                "details": {"reason": "upstream_down", "upstream": "address-service"},
                "timestamp": "1970-01-01T00:00:00.000Z", "requestId": verdict.request_id.as_str(),
            }})
        );
        assert_eq!(reply.status, 503);
        assert!(reply.fields.contains(&("retry-after", "1".to_owned())), "never 0: {:?}", reply.fields);
        assert!(reply.fields.contains(&("cache-control", "no-store".to_owned())));
    }

    #[test]
    fn problem_json_on_request() {
        let accept = [httparse::Header { name: "Accept", value: b"text/html, Application/Problem+json;q=0.9" }];
        assert!(wants_problem(Headers::Raw(&accept)));
        assert!(!wants_problem(Headers::Raw(&[])));
        let cause = Cause::new(Code::MissingApiKey, "no_key", "Send X-API-Key.");
        let reply = render(&cause, &verdict(), true, chrono::DateTime::UNIX_EPOCH);
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((body["status"].as_u64(), body["title"].as_str()), (Some(401), Some("Unauthorized")));
        assert_eq!(body["code"], "MISSING_API_KEY");
        assert!(reply.fields.iter().any(|(name, _)| *name == "www-authenticate"));
    }

    #[test]
    fn reasons_are_words_in_order() {
        assert!(REASONS.is_sorted_by(|a, b| a < b), "they are searched by halves");
        assert!(REASONS.iter().all(|reason| reason.bytes().all(|b| b.is_ascii_lowercase() || b"_8".contains(&b))));
    }

    #[test]
    fn every_code_has_an_error_status_and_a_word() {
        for code in Code::ALL {
            assert!((400..600).contains(&code.status()));
            assert!(code.as_str().bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
        }
    }
}

//! Judges what an upstream answered, and turns its failures into causes: nothing of a broken upstream reaches a client.

use std::time::{Duration, SystemTime};

use addrgate_filters::http::cache_policy::date;
use addrgate_filters::reply::{Cause, Code};
use addrgate_filters::request_body::too_slow;
use addrgate_filters::route::{Kind, Route};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorSource, ErrorType};

/// When to come back after a failure of the upstream.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// Whether a response may be passed on (and stored).
/// What is no response of the route's kind is not passed on; of a refusal the status and `Retry-After` are.
pub(crate) fn judge(answer: &ResponseHeader, route: &Route) -> Result<(), Cause> {
    let status = answer.status.as_u16();
    if answer.status.is_informational() {
        let message = "The upstream service sent an unexpected response.";
        return Err(Cause::new(Code::BadGateway, "upstream_invalid", message).retry_after(SOON));
    }
    let bodiless = matches!(status, 204 | 304);
    let content_type = answer.headers.get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    if bodiless || route.config.answers.admits(content_type) {
        return Ok(());
    }
    let after = retry_after(answer);
    let mut cause = match (status, refusal(status)) {
        (429, Some(code)) => {
            let message = "The upstream service has received too many requests. Try again later.";
            Cause::new(code, "upstream_limit", message).retry_after(after.unwrap_or(SOON))
        }
        (_, Some(code)) => Cause::new(code, "upstream_refused", "The upstream service refuses the request."),
        (503, _) => unavailable("upstream_unavailable", "The upstream service is not available. Try again later."),
        (504, _) => upstream_timeout(),
        _ => {
            let message = "The upstream service sent an unexpected response.";
            Cause::new(Code::BadGateway, "upstream_content", message).retry_after(SOON)
        }
    };
    cause.retry_after = after.or(cause.retry_after);
    if status == 405 {
        let allow = answer.headers.get(http::header::ALLOW).and_then(|allow| allow.to_str().ok());
        cause.allow = Some(allow.unwrap_or_default().to_owned().into());
    }
    Err(cause)
}

/// The code for a status by which an upstream refuses a request, so that it says nothing against the upstream. 401 is not
/// one: clients show their keys to the gateway.
pub(crate) fn refusal(status: u16) -> Option<Code> {
    Some(match status {
        400 => Code::InvalidRequest,
        403 => Code::Forbidden,
        404 => Code::EndpointNotFound,
        405 => Code::MethodNotAllowed,
        413 => Code::PayloadTooLarge,
        414 => Code::UriTooLong,
        415 => Code::UnsupportedMediaType,
        429 => Code::RateLimitExceeded,
        431 => Code::HeadersTooLarge,
        _ => return None,
    })
}

/// When to come back, as the upstream says: seconds or a date (RFC 9110 section 10.2.3); nothing that is over, no more than a
/// day.
fn retry_after(answer: &ResponseHeader) -> Option<Duration> {
    const MOST: Duration = Duration::from_secs(86_400);
    let value = answer.headers.get(http::header::RETRY_AFTER)?.as_bytes().trim_ascii();
    let seconds = std::str::from_utf8(value)
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let wait = match seconds {
        Some(seconds) => seconds.parse().map_or(MOST, Duration::from_secs),
        None => date::parse(value)?.duration_since(SystemTime::now()).ok()?,
    };
    Some(wait.min(MOST))
}

/// It did not answer in time.
pub(crate) fn upstream_timeout() -> Cause {
    let message = "The upstream service did not respond in time.";
    Cause::new(Code::GatewayTimeout, "upstream_timeout", message).retry_after(SOON)
}

/// It broke off.
pub(crate) fn closed() -> Cause {
    Cause::new(
        Code::BadGateway,
        "upstream_closed",
        "The upstream service closed the connection before the response was complete.",
    )
    .retry_after(SOON)
}

/// A 304 to a request that was not conditional: there is nothing that it could stand for.
pub(crate) fn unasked() -> Cause {
    let message = "The upstream service sent an unexpected response.";
    Cause::new(Code::BadGateway, "upstream_invalid", message).retry_after(SOON)
}

/// A 503 that says when to come back.
pub(crate) fn unavailable(reason: &'static str, message: &'static str) -> Cause {
    Cause::new(Code::ServiceUnavailable, reason, message).retry_after(SOON)
}

/// What a failure means for the client; `None` where there is no client left to tell.
pub(crate) fn cause(error: &Error) -> Option<Cause> {
    use ErrorType as E;
    let upstream = |code, reason, message: &'static str| Some(Cause::new(code, reason, message).retry_after(SOON));
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, E::WriteError | E::ReadError | E::ConnectionClosed | E::WriteTimedout) => None,
        (ErrorSource::Downstream, E::ReadTimedout) => Some(too_slow()),
        (ErrorSource::Downstream, _) => {
            Some(Cause::new(Code::InvalidRequest, "malformed", "The request is malformed.").closing())
        }
        (
            _,
            E::ConnectTimedout
            | E::ConnectRefused
            | E::ConnectNoRoute
            | E::ConnectError
            | E::SocketError
            | E::BindError,
        ) => upstream(
            Code::ServiceUnavailable,
            "upstream_down",
            "The upstream service can't be reached. Try again later.",
        ),
        (
            _,
            E::TLSHandshakeFailure
            | E::TLSHandshakeTimedout
            | E::InvalidCert
            | E::HandshakeError
            | E::TLSWantX509Lookup,
        ) => upstream(
            Code::ServiceUnavailable,
            "upstream_tls",
            "No secure connection to the upstream service can be made.",
        ),
        (ErrorSource::Upstream, E::ReadTimedout | E::WriteTimedout) => Some(upstream_timeout()),
        (ErrorSource::Upstream, E::ConnectionClosed | E::ReadError | E::WriteError) => Some(closed()),
        (ErrorSource::Upstream, _) => {
            upstream(Code::BadGateway, "upstream_invalid", "The upstream service sent an unexpected response.")
        }
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(internal()),
    }
}

/// A failure of our own; what is left on the connection is in doubt.
pub(crate) fn internal() -> Cause {
    Cause::new(Code::InternalError, "internal", "The gateway failed.").closing()
}

/// Whether an answer of this content type may carry `meta`.
pub(crate) fn is_json(answer: &ResponseHeader) -> bool {
    Kind::Json.admits(answer.headers.get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes))
}

/// Bytes of the body, where the head tells.
pub(crate) fn length(answer: &ResponseHeader) -> Option<usize> {
    answer.headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use addrgate_filters::route::Routes;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(200, "application/json; charset=utf-8", "json", None)]
    #[case(404, "application/problem+json", "json", None)]
    #[case(200, "text/html", "json", Some((502, "upstream_content")))]
    #[case(500, "text/html", "json", Some((502, "upstream_content")))]
    #[case(503, "text/plain", "json", Some((503, "upstream_unavailable")))]
    #[case(504, "text/plain", "json", Some((504, "upstream_timeout")))]
    #[case(401, "text/html", "json", Some((502, "upstream_content")))]
    #[case(403, "text/html", "json", Some((403, "upstream_refused")))]
    #[case(404, "", "json", Some((404, "upstream_refused")))]
    #[case(413, "text/plain", "json", Some((413, "upstream_refused")))]
    #[case(429, "text/plain", "json", Some((429, "upstream_limit")))]
    #[case(429, "application/json", "json", None)]
    #[case(204, "", "json", None)]
    #[case(304, "", "json", None)]
    #[case(101, "text/html", "any", Some((502, "upstream_invalid")))]
    #[case(200, "text/html", "any", None)]
    fn judging(#[case] status: u16, #[case] kind: &str, #[case] answers: &str, #[case] refused: Option<(u16, &str)>) {
        let route = serde_json::json!([{"name": "r", "paths": ["/"], "answers": answers}]);
        let routes = Routes::new(serde_json::from_value(route).unwrap()).unwrap();
        let mut answer = ResponseHeader::build(status, None).unwrap();
        if !kind.is_empty() {
            answer.insert_header("content-type", kind).unwrap();
        }
        let judged = judge(&answer, &routes.list()[0]).err();
        assert_eq!(judged.as_ref().map(|cause| (cause.status(), cause.reason)), refused);
        assert!(judged.is_none_or(|cause| cause.retry_after.is_some() || (400..429).contains(&cause.status())));
    }

    #[rstest]
    #[case("120", Some(120..=120))]
    #[case("0", Some(0..=0))]
    #[case("999999999999999999999", Some(86_400..=86_400))]
    #[case("1.5", None)]
    #[case("-1", None)]
    #[case("", None)]
    #[case("soon", None)]
    #[case("Sun, 06 Nov 1994 08:49:37 GMT", None)]
    #[case("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400..=86_400))]
    fn coming_back(#[case] value: &str, #[case] expected: Option<std::ops::RangeInclusive<u64>>) {
        let mut answer = ResponseHeader::build(503, None).unwrap();
        answer.insert_header("retry-after", value).unwrap();
        let got = retry_after(&answer).map(|wait| wait.as_secs());
        assert!(got.is_some() == expected.is_some(), "{got:?}");
        assert!(got.zip(expected).is_none_or(|(got, expected)| expected.contains(&got)), "{got:?}");
    }

    #[rstest]
    #[case(ErrorType::ConnectRefused, ErrorSource::Upstream, Some((503, "upstream_down")))]
    #[case(ErrorType::ReadTimedout, ErrorSource::Upstream, Some((504, "upstream_timeout")))]
    #[case(ErrorType::ConnectionClosed, ErrorSource::Upstream, Some((502, "upstream_closed")))]
    #[case(ErrorType::InvalidHTTPHeader, ErrorSource::Upstream, Some((502, "upstream_invalid")))]
    #[case(ErrorType::ReadTimedout, ErrorSource::Downstream, Some((408, "body_time")))]
    #[case(ErrorType::InvalidHTTPHeader, ErrorSource::Downstream, Some((400, "malformed")))]
    #[case(ErrorType::WriteError, ErrorSource::Downstream, None)]
    #[case(ErrorType::InternalError, ErrorSource::Internal, Some((500, "internal")))]
    fn failures(#[case] kind: ErrorType, #[case] source: ErrorSource, #[case] expected: Option<(u16, &str)>) {
        let mut error = Error::new(kind);
        error.esource = source;
        assert_eq!(cause(&error).as_ref().map(|cause| (cause.status(), cause.reason)), expected);
    }
}

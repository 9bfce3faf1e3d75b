//! Names every request.
//!
//! `X-Request-ID` is always our own (a UUIDv7: unique, and sorted by time in logs); a client can't choose it, because it
//! is what an operator searches for. `X-Correlation-ID` is the client's: echoed if it is 1 to 128 characters of
//! `[A-Za-z0-9._:-]`, else replaced by the request id. It has no settings.

use crate::http::head::Head;
use crate::http::request_id::{RequestId, is_usable};
use crate::verdict::Verdict;
use crate::{Filter, Flow};

/// The filter. Never refuses.
#[derive(Debug, Clone, Copy, Default)]
pub struct NameRequest;

impl Filter for NameRequest {
    fn name(&self) -> &'static str {
        "request_id"
    }

    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        verdict.request_id = RequestId::at(head.moment().wall);
        verdict.correlation = head.headers.text("x-correlation-id").filter(|id| is_usable(id)).map(Box::from);
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::http::head::Headers;

    fn name(correlation: &str) -> Verdict {
        let fields = [httparse::Header { name: "X-Correlation-ID", value: correlation.as_bytes() }];
        let mut verdict = Verdict::default();
        let flow = NameRequest.request(&Head::new("GET", "/", Headers::Raw(&fields)), &mut verdict);
        assert_eq!(flow, Flow::Continue);
        verdict
    }

    #[rstest]
    #[case("order-7:a.b_c", true)]
    #[case("", false)]
    #[case("a b", false)]
    #[case("a\r\nx: y", false)]
    #[case("<script>", false)]
    #[case("ü", false)]
    fn correlation_is_echoed_or_replaced(#[case] sent: &str, #[case] echoed: bool) {
        let verdict = name(sent);
        assert_eq!(verdict.correlation() == sent, echoed);
        assert!(echoed || verdict.correlation() == verdict.request_id.as_str());
    }

    #[test]
    fn length_bound() {
        assert_eq!(name(&"a".repeat(128)).correlation().len(), 128);
        assert_eq!(name(&"a".repeat(129)).correlation().len(), 36);
    }

    #[test]
    fn ids_are_version_7_and_differ() {
        let (a, b) = (RequestId::new(), RequestId::new());
        assert_ne!(a, b);
        let id: uuid::Uuid = a.as_str().parse().unwrap();
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        let (seconds, _) = id.get_timestamp().unwrap().to_unix();
        assert!(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - seconds <= 1);
        assert_eq!(RequestId::default().as_str(), "");
    }

    proptest! {
        #[test]
        fn what_is_echoed_is_always_safe_in_a_header(sent in ".{0,200}") {
            prop_assert!(is_usable(name(&sent).correlation()));
        }
    }
}

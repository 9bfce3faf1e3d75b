//! A request of the gateway's own, as far as its response depends on it: enough to ask again, later or on another instance.

use std::sync::Arc;

use addrgate_filters::client::Client;
use addrgate_filters::http::head::Head;
use addrgate_filters::reply::wants_problem;
use addrgate_filters::verdict::Verdict;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};

/// What to ask: all of a request that its answer depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) method: String,
    /// Path and query in canonical form.
    pub(crate) target: String,
    /// Where the route's key has the host in it.
    pub(crate) host: String,
    /// The fields that the answer's `Vary` names, and what is in the key besides.
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    /// The canonical body of a body-keyed request.
    pub(crate) body: Bytes,
    /// Who asked, where the route's key has the client in it.
    pub(crate) client: Option<Arc<Client>>,
    /// Whom to ask, where that is not the route's own upstream.
    pub(crate) upstream: Option<Arc<str>>,
}

impl Recipe {
    /// From a request that the filters have judged.
    pub(crate) fn of(head: &Head<'_>, verdict: &Verdict, vary: &[HeaderName]) -> Self {
        let mut fields = Vec::new();
        for name in vary {
            head.headers.each(name.as_str(), |value| {
                fields.extend(HeaderValue::from_bytes(value).ok().map(|value| (name.clone(), value)));
            });
        }
        if wants_problem(head.headers) && !vary.contains(&header::ACCEPT) {
            fields.push((header::ACCEPT, HeaderValue::from_static("application/problem+json")));
        }
        Self {
            // HEAD is answered from what GET stored.
            method: if head.is_head() { "GET" } else { head.method }.to_owned(),
            target: verdict.target.clone(),
            host: head.host().and_then(|host| std::str::from_utf8(host).ok()).unwrap_or_default().to_owned(),
            fields,
            body: verdict.body.clone().unwrap_or_default(),
            client: verdict.client.clone(),
            upstream: verdict.upstream.clone(),
        }
    }

    /// All fields of the request, as the filters judge them and as Pingora reads them; `length` is that of the body.
    pub(crate) fn headers<'a>(&'a self, length: &'a str) -> Vec<httparse::Header<'a>> {
        let mut headers = vec![httparse::Header { name: "host", value: self.host.as_bytes() }];
        let own = self.fields.iter();
        headers.extend(own.map(|(name, value)| httparse::Header { name: name.as_str(), value: value.as_bytes() }));
        if !self.body.is_empty() {
            headers.push(httparse::Header { name: "content-type", value: b"application/json" });
            headers.push(httparse::Header { name: "content-length", value: length.as_bytes() });
        }
        headers
    }

    pub(crate) fn wire(&self, headers: &[httparse::Header<'_>]) -> Vec<u8> {
        wire(&self.method, &self.target, headers, &self.body)
    }
}

/// A request as it goes over the wire.
pub(crate) fn wire(method: &str, target: &str, headers: &[httparse::Header<'_>], body: &[u8]) -> Vec<u8> {
    let mut wire = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    for header in headers {
        wire.extend_from_slice(header.name.as_bytes());
        wire.extend_from_slice(b": ");
        wire.extend_from_slice(header.value);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"\r\n");
    wire.extend_from_slice(body);
    wire
}

//! Requests as the filters see them.

use std::net::IpAddr;

use addrgate_filters::http::head::{Head, Headers};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

/// The borrowed view of a request that the filters judge.
pub(crate) fn head(request: &RequestHeader, peer: Option<IpAddr>) -> Head<'_> {
    let target = std::str::from_utf8(request.raw_path()).unwrap_or("");
    let mut head = Head::new(request.method.as_str(), target, Headers::Map(&request.headers));
    (head.version, head.peer) = (request.version, peer);
    if head.authority.is_none() {
        head.authority = request.uri.authority().map(http::uri::Authority::as_str);
        head.scheme = request.uri.scheme_str();
    }
    head
}

/// The same of a session's request.
pub(super) fn head_of(session: &Session) -> Head<'_> {
    let peer = session.client_addr().and_then(|addr| addr.as_inet()).map(std::net::SocketAddr::ip);
    head(session.req_header(), peer)
}

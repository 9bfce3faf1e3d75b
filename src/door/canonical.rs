//! The head of a request that is handed over, as Pingora reads it in place of the client's: one target, one host, one
//! statement of where the body ends, and nothing that was meant for the client's connection alone.

use addrgate_filters::Stop;
use addrgate_filters::http::body::has_body;
use addrgate_filters::http::head::Head;
use addrgate_filters::verdict::Verdict;
use http::Version;

use super::body::Body;
use super::write::Fields;

/// These say what is said anew here, or are about the client's connection (RFC 9110 section 7.6.1).
const DROPPED: [&str; 11] = [
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "http2-settings",
    "te",
    "trailer",
    "expect",
    "content-length",
    "transfer-encoding",
];

/// Of a request on which the filters have this verdict, before such a body.
pub(super) fn head(head: &Head<'_>, verdict: &Verdict, stop: Option<&Stop>, body: Body) -> Vec<u8> {
    // In canonical form the upstream gets it as it is. Of what is not judged to its end only the path is told, to the log.
    let judged = verdict.target.as_str();
    let target = match stop {
        None => judged,
        Some(_) if judged.starts_with('/') => judged.split('?').next().unwrap_or(judged),
        Some(_) if head.path.bytes().all(|byte| byte.is_ascii_graphic()) => head.path,
        Some(_) => "/",
    };
    let mut out = Vec::with_capacity(512);
    write(head, target, body, &mut out);
    out
}

fn write(head: &Head<'_>, target: &str, body: Body, out: &mut Vec<u8>) {
    let is_old = head.version == Version::HTTP_10;
    out.extend_from_slice(head.method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(if is_old { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" });
    if let Some(host) = head.host() {
        line(out, "host", host);
    }
    let options = options(head);
    head.headers.all(|name, value| {
        let is_option = options.iter().any(|option| option.eq_ignore_ascii_case(name.as_bytes()));
        if !is_option && !DROPPED.iter().any(|dropped| dropped.eq_ignore_ascii_case(name)) {
            line(out, name, value);
        }
    });
    if closes(head) {
        out.put("connection", &["close"]);
    } else if is_old {
        out.put("connection", &["keep-alive"]);
    }
    match body {
        // Some servers want to hear that nothing comes, where something could (RFC 9110 section 8.6).
        Body::Bytes(0) if !has_body(head.method) || !announces(head) => {}
        Body::Bytes(length) => out.put("content-length", &[itoa::Buffer::new().format(length)]),
        Body::Chunks => out.put("transfer-encoding", &["chunked"]),
    }
    out.extend_from_slice(b"\r\n");
}

fn announces(head: &Head<'_>) -> bool {
    head.headers.has("content-length") || head.headers.has("transfer-encoding")
}

/// Whether the client ends the connection with this request (RFC 9112 section 9.3).
fn closes(head: &Head<'_>) -> bool {
    let is_old = head.version == Version::HTTP_10;
    head.headers.lists("connection", "close") || is_old && !head.headers.lists("connection", "keep-alive")
}

/// What `Connection` names besides the fields that are dropped anyway.
fn options<'a>(head: &Head<'a>) -> Vec<&'a [u8]> {
    let mut options = Vec::new();
    head.headers.each("connection", |value| {
        let named = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let known = |option: &[u8]| DROPPED.iter().any(|name| option.eq_ignore_ascii_case(name.as_bytes()));
        options.extend(named.filter(|option| !option.is_empty() && *option != b"close" && !known(option)));
    });
    options
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use addrgate_filters::http::head::Headers;
    use rstest::rstest;

    use super::*;

    fn written(version: Version, target: &str, fields: &[(&str, &str)], body: Body) -> String {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        let head = Head { version, ..Head::new("GET", target, Headers::Raw(&fields)) };
        let mut out = Vec::new();
        write(&head, "/t", body, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[rstest]
    #[case(&[("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"), ("Connection", "Upgrade, HTTP2-Settings")], "")]
    #[case(&[("Connection", "keep-alive"), ("Connection", "Close"), ("A", "b")], "A: b\r\nconnection: close\r\n")]
    #[case(&[("X-Hop", "1"), ("Connection", "x-hop, y"), ("X-End", "2")], "X-End: 2\r\n")]
    #[case(&[("TE", "trailers"), ("Trailer", "x"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "close")], "")]
    fn what_is_of_one_hop_stays_there(#[case] fields: &[(&str, &str)], #[case] expected: &str) {
        let all = [&[("Host", "h")], fields].concat();
        let head = written(Version::HTTP_11, "/", &all, Body::Bytes(0));
        assert_eq!(head, format!("GET /t HTTP/1.1\r\nhost: h\r\n{expected}\r\n"));
    }

    #[test]
    fn the_body_ends_in_one_way_and_the_host_is_the_targets() {
        let fields = [("Host", "H:80"), ("Content-Length", "0005"), ("Expect", "100-continue")];
        let head = written(Version::HTTP_11, "http://h/", &fields, Body::Bytes(5));
        assert_eq!(head, "GET /t HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n");
        let fields = [("Transfer-Encoding", ","), ("Transfer-Encoding", "Chunked")];
        let head = written(Version::HTTP_11, "/", &fields, Body::Chunks);
        assert_eq!(head, "GET /t HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n");
    }

    #[rstest]
    #[case(&[], "close")]
    #[case(&[("Connection", "x"), ("Connection", "Keep-Alive")], "keep-alive")]
    #[case(&[("Connection", "keep-alive, close")], "close")]
    fn http_1_0_says_whether_the_connection_stays(#[case] fields: &[(&str, &str)], #[case] option: &str) {
        let head = written(Version::HTTP_10, "/", fields, Body::Bytes(0));
        assert_eq!(head, format!("GET /t HTTP/1.0\r\nconnection: {option}\r\n\r\n"));
    }
}

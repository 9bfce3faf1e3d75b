use rstest::rstest;

use super::*;
use crate::http::head::Headers;

fn judge_as(
    version: http::Version,
    (method, target): (&str, &str),
    fields: &[(&str, &str)],
    config: Config,
) -> Option<&'static str> {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
    let mut head = Head::new(method, target, Headers::Raw(&fields));
    head.version = version;
    match Edge(config).request(&head, &mut Verdict::default()) {
        Flow::Continue | Flow::Answer(_) => None,
        Flow::Reply(cause) => {
            assert!(cause.close);
            Some(cause.reason)
        }
    }
}

fn judge(target: &str, fields: &[(&str, &str)], config: Config) -> Option<&'static str> {
    judge_as(http::Version::HTTP_11, ("POST", target), fields, config)
}

#[rstest]
#[case(&[("Content-Length", "5")], None)]
#[case(&[("Transfer-Encoding", "Chunked")], None)]
#[case(&[("Expect", "100-Continue")], None)]
#[case(&[("Content-Length", "5"), ("Transfer-Encoding", "chunked")], Some("length_and_coding"))]
#[case(&[("Transfer-Encoding", "chunked"), ("Content-Length", "5")], Some("length_and_coding"))]
#[case(&[("Content-Length", "5"), ("content-length", "5")], Some("content_length"))]
#[case(&[("Content-Length", "+5")], Some("content_length"))]
#[case(&[("Content-Length", "-1")], Some("content_length"))]
#[case(&[("Content-Length", "0x5")], Some("content_length"))]
#[case(&[("Content-Length", "5, 5")], Some("content_length"))]
#[case(&[("Content-Length", "")], Some("content_length"))]
#[case(&[("Content-Length", "18446744073709551621")], Some("content_length"))]
#[case(&[("Transfer-Encoding", "chunked, identity")], Some("transfer_coding"))]
#[case(&[("Transfer-Encoding", "xchunked")], Some("transfer_coding"))]
#[case(&[("Transfer-Encoding", "\tchunked")], None)]
#[case(&[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], Some("transfer_coding"))]
#[case(&[("Content-Length", "00000000000000000000000000005")], None)]
#[case(&[("Content-Length", "00010000000000000000000")], Some("content_length"))]
#[case(&[("Transfer-Encoding", ", chunked,")], None)]
#[case(&[("Transfer-Encoding", ""), ("Transfer-Encoding", "chunked")], None)]
#[case(&[("Transfer-Encoding", "")], Some("transfer_coding"))]
#[case(&[("Transfer-Encoding", "chunked, chunked")], Some("transfer_coding"))]
#[case(&[("Transfer-Encoding", "chunked;a=b")], Some("transfer_coding"))]
#[case(&[("Upgrade", "h2c"), ("Connection", "upgrade")], None)]
#[case(&[("HTTP2-Settings", "AAMAAABk"), ("Upgrade", "h2c"), ("Connection", "HTTP2-Settings, Upgrade")], None)]
#[case(&[("Upgrade", "websocket"), ("Upgrade", "TLS/1.0")], None)]
#[case(&[("Expect", "a-pony")], Some("expect"))]
#[case(&[("Expect", "100-continue"), ("Expect", "100-continue")], Some("expect"))]
#[case(&[("Trailer", "X-Checksum")], None)]
#[case(&[("Connection", "X-Any, keep-alive"), ("X-Any", "1")], None)]
#[case(&[("Connection", "If-None-Match")], Some("connection_option"))]
#[case(&[("Connection", "accept-language")], Some("connection_option"))]
#[case(&[("Connection", "a b")], Some("connection_option"))]
#[case(&[("Connection", "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a")], Some("connection_option"))]
#[case(&[("TE", "trailers, deflate;q=0.5"), ("Connection", "TE, close")], None)]
#[case(&[("Connection", "Keep-Alive"), ("Keep-Alive", "timeout=86400")], None)]
#[case(&[("Connection", "")], None)]
#[case(&[("Connection", "close,, keep-alive")], None)]
#[case(&[("Connection", "X-Api-Key"), ("X-Api-Key", "k")], Some("connection_option"))]
#[case(&[("Connection", "close, Authorization")], Some("connection_option"))]
#[case(&[("Connection", "close"), ("Connection", "X-Forwarded-For")], Some("connection_option"))]
#[case(&[("Connection", "Host")], Some("connection_option"))]
#[case(&[("Connection", "Content-Length")], Some("connection_option"))]
#[case(&[("Connection", "close\u{b}")], Some("connection_option"))]
fn framing(#[case] fields: &[(&str, &str)], #[case] reason: Option<&str>) {
    let mut all = vec![("Host", "h")];
    all.extend(fields);
    assert_eq!(judge("/", &all, Config::default()), reason);
}

#[rstest]
#[case(&[], Some("host"))]
#[case(&[("Host", "a"), ("Host", "a")], Some("host"))]
#[case(&[("Host", "")], Some("host"))]
#[case(&[("Host", "[a")], Some("host"))]
#[case(&[("Host", "]")], Some("host"))]
#[case(&[("Host", "::1")], Some("host"))]
#[case(&[("Host", "[zz]")], Some("host"))]
#[case(&[("Host", "[::1]x")], Some("host"))]
#[case(&[("Host", "a@b")], Some("host"))]
#[case(&[("Host", "a/b")], Some("host"))]
#[case(&[("Host", "a:b")], Some("host"))]
#[case(&[("Host", "a b")], Some("host"))]
#[case(&[("Host", "API.example:8080")], None)]
#[case(&[("Host", "[::1]:80")], Some("foreign_host"))]
#[case(&[("Host", "evil.example")], Some("foreign_host"))]
fn hosts(#[case] fields: &[(&str, &str)], #[case] reason: Option<&str>) {
    let config = Config { hosts: vec!["api.example".to_owned()], ..Config::default() };
    assert_eq!(judge("/", fields, config), reason);
}

#[test]
fn the_authority_of_the_target_counts() {
    let config = Config { hosts: vec!["api.example".to_owned()], ..Config::default() };
    assert_eq!(judge("http://evil.example/", &[("Host", "api.example")], config.clone()), Some("foreign_host"));
    assert_eq!(judge("http://a@api.example/", &[("Host", "api.example")], config), Some("host"));
}

#[rstest]
#[case(&[("Content-Length", "5")], None)]
#[case(&[("TE", "trailers")], None)]
#[case(&[("TE", "trailers, gzip")], Some("connection_field"))]
#[case(&[("Connection", "close")], Some("connection_field"))]
#[case(&[("Keep-Alive", "timeout=5")], Some("connection_field"))]
#[case(&[("Proxy-Connection", "keep-alive")], Some("connection_field"))]
#[case(&[("Transfer-Encoding", "chunked")], Some("connection_field"))]
#[case(&[("Upgrade", "websocket")], Some("connection_field"))]
#[case(&[("HTTP2-Settings", "AAMAAABk")], None)]
#[case(&[("X-Any", " a")], Some("field_value"))]
#[case(&[("X-Any", "a\t")], Some("field_value"))]
#[case(&[("X-Any", " ")], Some("field_value"))]
#[case(&[("X-Any", ""), ("X-Other", "a b")], None)]
#[case(&[("Content-Length", "5"), ("Content-Length", "5")], Some("content_length"))]
fn http_2(#[case] fields: &[(&str, &str)], #[case] reason: Option<&str>) {
    let mut all = vec![("Host", "h")];
    all.extend(fields);
    let request = ("POST", "https://h/");
    assert_eq!(judge_as(http::Version::HTTP_2, request, &all, Config::default()), reason);
    assert_eq!(judge_as(http::Version::HTTP_2, request, fields, Config::default()), reason, "Host is not needed");
}

#[rstest]
#[case(&[], None)]
#[case(&[("Host", "h"), ("Connection", "keep-alive")], None)]
#[case(&[("Host", "a"), ("Host", "b")], Some("host"))]
#[case(&[("Transfer-Encoding", "chunked")], Some("transfer_coding"))]
#[case(&[("Upgrade", "h2c")], None)]
fn http_1_0(#[case] fields: &[(&str, &str)], #[case] reason: Option<&str>) {
    assert_eq!(judge_as(http::Version::HTTP_10, ("GET", "/"), fields, Config::default()), reason);
}

#[rstest]
#[case("GET", None)]
#[case("X-CUSTOM", None)]
#[case("get", None)]
#[case("", Some("method_form"))]
#[case("GE T", Some("method_form"))]
#[case("GET\0", Some("method_form"))]
#[case("G(T)", Some("method_form"))]
#[case("AVERYLONGMETHODTHATNOBODYEVERSENDS", Some("method_length"))]
fn methods(#[case] method: &str, #[case] reason: Option<&str>) {
    assert_eq!(judge_as(http::Version::HTTP_11, (method, "/"), &[("Host", "h")], Config::default()), reason);
}

#[rstest]
#[case("http://h/", "h", None)]
#[case("http://H/", "H", None)]
#[case("http://H/", "h", None)]
#[case("http://h:80/", "H", None)]
#[case("https://h/", "h:443", None)]
#[case("http://h/", "h:443", Some("host"))]
#[case("http://h/", "g", Some("host"))]
#[case("http://a%20b/", "a%20b", Some("host"))]
#[case("http://h:8080/", "h", Some("host"))]
#[case("http://h/", "other", Some("host"))]
fn host_and_target_agree(#[case] target: &str, #[case] host: &str, #[case] reason: Option<&str>) {
    assert_eq!(judge(target, &[("Host", host)], Config::default()), reason);
}

#[test]
fn bounds() {
    let long = format!("/{}", "a".repeat(8192));
    assert_eq!(judge(&long, &[("Host", "h")], Config::default()), Some("uri_length"));
    assert_eq!(judge(&long[..8192], &[("Host", "h")], Config::default()), None);
    let many = vec![("Host", "h"); 101];
    assert_eq!(judge("/", &many, Config::default()), Some("field_count"));
    let large = "v".repeat(16 * 1024);
    assert_eq!(judge("/", &[("Host", "h"), ("X", &large)], Config::default()), Some("head_size"));
}

#[rstest]
#[case(&["gzip, chunked"], Code::NotImplemented)]
#[case(&["identity", "chunked"], Code::NotImplemented)]
#[case(&["chunked, gzip"], Code::InvalidRequest)]
#[case(&["chunked", "gzip"], Code::InvalidRequest)]
#[case(&["identity"], Code::InvalidRequest)]
#[case(&["chunked, gzip, chunked"], Code::InvalidRequest)]
#[case(&["chun\tked, chunked"], Code::InvalidRequest)]
fn transfer_codings(#[case] lines: &[&str], #[case] code: Code) {
    let host = httparse::Header { name: "Host", value: b"h" };
    let lines = lines.iter().map(|line| httparse::Header { name: "Transfer-Encoding", value: line.as_bytes() });
    let fields: Vec<_> = std::iter::once(host).chain(lines).collect();
    let head = Head::new("POST", "/", Headers::Raw(&fields));
    let Flow::Reply(cause) = Edge::default().request(&head, &mut Verdict::default()) else { panic!("accepted") };
    assert_eq!((cause.reason, cause.code), ("transfer_coding", code));
}

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::http::head::Headers;

fn networks(texts: &[&str]) -> Networks {
    Networks(texts.iter().map(|text| text.parse().unwrap()).collect())
}

fn ask(config: Config, peer: &str, fields: &[(&str, &str)]) -> (Flow, Verdict) {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
    let mut head = Head::new("GET", "/", Headers::Raw(&fields));
    head.peer = peer.parse().ok();
    let mut verdict = Verdict::default();
    (Addresses(config).request(&head, &mut verdict), verdict)
}

fn seen(field: Field, peer: &str, fields: &[(&str, &str)]) -> String {
    let trusted_proxies = networks(&["10.0.0.0/8", "fd00::/8", "192.0.2.250"]);
    let (flow, verdict) = ask(Config { trusted_proxies, field, ..Config::default() }, peer, fields);
    assert_eq!(flow, Flow::Continue);
    verdict.address.unwrap().to_string()
}

#[rstest]
#[case("203.0.113.9", &[("X-Forwarded-For", "198.51.100.1")], "203.0.113.9")]
#[case("10.1.2.3", &[], "10.1.2.3")]
#[case("10.1.2.3", &[("X-Forwarded-For", "198.51.100.1")], "198.51.100.1")]
#[case("10.1.2.3", &[("X-Forwarded-For", "1.1.1.1, 198.51.100.1")], "198.51.100.1")]
#[case("10.1.2.3", &[("X-Forwarded-For", "1.1.1.1, 198.51.100.1, 10.9.9.9,fd00::7")], "198.51.100.1")]
#[case("10.1.2.3", &[("X-Forwarded-For", "1.1.1.1"), ("x-forwarded-for", "198.51.100.1")], "198.51.100.1")]
#[case("10.1.2.3", &[("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "10.0.0.1")], "198.51.100.1")]
#[case("10.1.2.3", &[("X-Forwarded-For", "10.0.0.5, 10.0.0.6")], "10.0.0.5")]
#[case("10.1.2.3", &[("X-Forwarded-For", "198.51.100.1, unknown")], "10.1.2.3")]
#[case("10.1.2.3", &[("X-Forwarded-For", "unknown, 198.51.100.1")], "198.51.100.1")]
#[case("10.1.2.3", &[("X-Forwarded-For", "198.51.100.1, unknown, 10.0.0.1")], "10.1.2.3")]
#[case("10.1.2.3", &[("X-Forwarded-For", "")], "10.1.2.3")]
#[case("10.1.2.3", &[("X-Forwarded-For", " , 198.51.100.1 ,, ")], "198.51.100.1")]
#[case("10.1.2.3", &[("X-Forwarded-For", "198.51.100.1:4711")], "198.51.100.1")]
#[case("10.1.2.3", &[("X-Forwarded-For", "[2001:db8::1]:4711")], "2001:db8::1")]
#[case("10.1.2.3", &[("X-Forwarded-For", "[2001:db8::1]")], "2001:db8::1")]
#[case("10.1.2.3", &[("X-Forwarded-For", "::ffff:198.51.100.1")], "198.51.100.1")]
#[case("::ffff:10.1.2.3", &[("X-Forwarded-For", "198.51.100.1")], "198.51.100.1")]
#[case("192.0.2.250", &[("X-Forwarded-For", "198.51.100.1")], "198.51.100.1")]
#[case("10.1.2.3", &[("Forwarded", "for=198.51.100.1")], "10.1.2.3")]
#[case("10.1.2.3", &[("X-Real-IP", "198.51.100.1"), ("CF-Connecting-IP", "198.51.100.1")], "10.1.2.3")]
fn forwarded_for(#[case] peer: &str, #[case] fields: &[(&str, &str)], #[case] address: &str) {
    assert_eq!(seen(Field::XForwardedFor, peer, fields), address);
}

#[rstest]
#[case("for=198.51.100.1", "198.51.100.1")]
#[case("For=\"198.51.100.1:80\";proto=https;by=10.0.0.1", "198.51.100.1")]
#[case("proto=http; for=1.1.1.1, for=\"[2001:db8::1]:47\"", "2001:db8::1")]
#[case("for=198.51.100.1;host=\"a,for=6.6.6.6\"", "198.51.100.1")]
#[case("for=198.51.100.1, for=10.0.0.2", "198.51.100.1")]
#[case("for=198.51.100.1, for=_hidden", "10.1.2.3")]
#[case("for=198.51.100.1, proto=http", "10.1.2.3")]
#[case("for=\"198.51.100.1", "10.1.2.3")]
#[case("for=\", for=198.51.100.1", "198.51.100.1")]
fn rfc_7239_where_configured(#[case] line: &str, #[case] address: &str) {
    let fields = [("X-Forwarded-For", "6.6.6.6"), ("Forwarded", line)];
    assert_eq!(seen(Field::Forwarded, "10.1.2.3", &fields), address);
}

#[test]
fn a_connection_without_an_address_has_none() {
    let (_, verdict) = ask(Config::default(), "no address", &[("X-Forwarded-For", "198.51.100.1")]);
    assert_eq!(verdict.address, None);
}

#[test]
fn only_the_networks_that_are_allowed() {
    let config = Config { allow: networks(&["198.51.100.0/24"]), ..Config::default() };
    assert_eq!(ask(config.clone(), "198.51.100.7", &[]).0, Flow::Continue);
    let (flow, _) = ask(config.clone(), "203.0.113.9", &[("X-Forwarded-For", "198.51.100.7")]);
    let Flow::Reply(cause) = flow else { panic!("{flow:?}") };
    assert_eq!((cause.code, cause.reason, cause.status()), (Code::Forbidden, "address", 403));
    let mut refresh = Verdict { background: true, ..Verdict::default() };
    let head = Head::new("GET", "/", Headers::Raw(&[]));
    assert_eq!(Addresses(config.clone()).request(&head, &mut refresh), Flow::Continue, "a refresh has no address");
    let (flow, verdict) = ask(Config { mode: Mode::Observe, ..config }, "203.0.113.9", &[]);
    assert_eq!((flow, verdict.observed), (Flow::Continue, vec![("address", "address")]));
}

#[rstest]
#[case("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")]
#[case("::ffff:192.0.2.1", "192.0.2.1")]
#[case("192.0.2.1", "192.0.2.1")]
fn units(#[case] address: &str, #[case] unit: &str) {
    assert_eq!(super::unit(address.parse().unwrap()).to_string(), unit);
}

#[rstest]
#[case("10.0.0.1/8", "`10.0.0.0/8` is the network")]
#[case("10.0.0.0/33", "is not a network")]
#[case("localhost", "is not a network")]
#[case("", "is not a network")]
fn wrong_networks(#[case] text: &str, #[case] message: &str) {
    let error = text.parse::<Network>().unwrap_err();
    assert!(error.contains(message), "{error}");
    assert!(serde_json::from_value::<Networks>(serde_json::json!([text])).is_err());
}

#[test]
fn networks_print_as_they_are_read() {
    let written = serde_json::json!(["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]);
    let read: Networks = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), written);
}

proptest! {
    /// The client stands directly before the trusted proxies, whatever it writes before that.
    #[test]
    fn nothing_that_a_client_writes_counts(spoofed in "[ -~]{0,80}", own_line: bool) {
        for (field, name, real) in [
            (Field::XForwardedFor, "X-Forwarded-For", "198.51.100.1, 10.0.0.2"),
            (Field::Forwarded, "Forwarded", "for=198.51.100.1;proto=http, for=10.0.0.2"),
        ] {
            let appended = format!("{spoofed}, {real}");
            let fields = if own_line { vec![(name, spoofed.as_str()), (name, real)] } else { vec![(name, appended.as_str())] };
            prop_assert_eq!(seen(field, "10.1.2.3", &fields), "198.51.100.1");
        }
    }
}

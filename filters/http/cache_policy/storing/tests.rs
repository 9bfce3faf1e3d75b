use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::http::cache_policy::Heuristic;
use crate::traffic::units::{FieldName, Span};

const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn exchange() -> Exchange {
    Exchange { requested: at(NOW), received: at(NOW) }
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    map
}

fn with(policy: &Config, asked: Asked, status: u16, fields: &[(&str, &str)]) -> Result<Storable, Reason> {
    decide(policy, asked, status, &headers(fields), &exchange(), 0.0)
}

fn plain(status: u16, fields: &[(&str, &str)]) -> Result<u64, Reason> {
    with(&Config::bare(), Asked::default(), status, fields).map(|storable| storable.lifetime.as_secs())
}

#[rstest]
#[case(200, "max-age=60", Ok(60))]
#[case(200, "s-maxage=60", Ok(60))]
#[case(200, "max-age=60, no-store", Err(Reason::NoStore))]
#[case(200, "max-age=60, private", Err(Reason::Private))]
#[case(200, "max-age=60, private=\"x\"", Ok(60))]
#[case(200, "max-age=60, No-StOrE", Err(Reason::NoStore))]
#[case(200, "max-age=60, immutable", Ok(60))]
#[case(200, "max-age=60, unknown=1", Ok(60))]
#[case(200, "public", Err(Reason::NoLifetime))]
#[case(200, "max-age=0", Err(Reason::Useless))]
#[case(200, "no-cache", Err(Reason::Useless))]
#[case(206, "max-age=60", Err(Reason::Partial))]
#[case(304, "max-age=60", Err(Reason::Partial))]
#[case(299, "max-age=60", Ok(60))]
#[case(302, "max-age=60", Ok(60))]
#[case(404, "max-age=60", Ok(60))]
#[case(503, "max-age=60", Ok(60))]
#[case(599, "max-age=60", Ok(60))]
#[case(200, "max-age=60, no-store, must-understand", Ok(60))]
#[case(599, "max-age=60, no-store, must-understand", Err(Reason::NotUnderstood))]
#[case(599, "max-age=60, must-understand", Err(Reason::NotUnderstood))]
fn control(#[case] status: u16, #[case] line: &str, #[case] expected: Result<u64, Reason>) {
    assert_eq!(plain(status, &[("cache-control", line)]), expected);
}

#[test]
fn what_has_a_validator_or_a_window_is_kept_though_stale() {
    assert_eq!(plain(200, &[("cache-control", "no-cache"), ("etag", "\"a\"")]), Err(Reason::Useless));
    let policy = Config { keep: Span::secs(60), ..Config::bare() };
    let kept =
        with(&policy, Asked::default(), 200, &[("cache-control", "max-age=9, no-cache"), ("etag", "\"a\"")]).unwrap();
    assert_eq!((kept.lifetime, kept.source), (Duration::ZERO, Source::NoCache));
    assert_eq!(kept.keep.as_secs(), 60);
    let kept = plain(200, &[("cache-control", "max-age=0, stale-while-revalidate=9")]);
    assert_eq!(kept, Ok(0));
}

#[rstest]
#[case(true, &[("content-range", "bytes 4-9/10")], Ok(60))]
#[case(true, &[("content-range", "bytes 4-9/*")], Err(Reason::Partial))]
#[case(true, &[("content-range", "bytes 4-9/10"), ("vary", "accept-language")], Err(Reason::Partial))]
#[case(true, &[], Err(Reason::Partial))]
#[case(false, &[("content-range", "bytes 4-9/10")], Err(Reason::Partial))]
fn parts(#[case] part: bool, #[case] more: &[(&str, &str)], #[case] expected: Result<u64, Reason>) {
    let fields = [&[("cache-control", "max-age=60")], more].concat();
    let asked = Asked { part, ..Asked::default() };
    let got = with(&Config::bare(), asked, 206, &fields).map(|s| s.lifetime.as_secs());
    assert_eq!(got, expected);
    let refused = with(&Config::bare(), asked, 416, &fields).map(|s| s.lifetime.as_secs());
    assert_eq!(refused == Err(Reason::Partial), part, "what is said of a part is not kept for the whole: {refused:?}");
}

#[rstest]
#[case("max-age=60", Err(Reason::Authorization))]
#[case("max-age=60, public", Ok(60))]
#[case("max-age=60, must-revalidate", Ok(60))]
#[case("s-maxage=60", Ok(60))]
#[case("max-age=60, proxy-revalidate", Err(Reason::Authorization))]
fn authorization(#[case] line: &str, #[case] expected: Result<u64, Reason>) {
    let asked = Asked { authorization: true, ..Asked::default() };
    let got = with(&Config::bare(), asked, 200, &[("cache-control", line)]).map(|s| s.lifetime.as_secs());
    assert_eq!(got, expected);
}

#[rstest]
#[case(SetCookie::Never, "max-age=60, public", false)]
#[case(SetCookie::default(), "max-age=60", false)]
#[case(SetCookie::default(), "s-maxage=60", false)]
#[case(SetCookie::Always, "max-age=60", true)]
fn cookies(#[case] set_cookie: SetCookie, #[case] line: &str, #[case] kept: bool) {
    let policy = Config { set_cookie, ..Config::bare() };
    let got = with(&policy, Asked::default(), 200, &[("cache-control", line), ("set-cookie", "a=b")]);
    assert_eq!(got.err(), (!kept).then_some(Reason::SetCookie));
}

#[rstest]
#[case(404, Some("max-age=604800"), Ok(5))]
#[case(404, Some("max-age=2"), Ok(2))]
#[case(404, None, Ok(5))]
#[case(404, Some("no-store"), Err(Reason::NoStore))]
#[case(404, Some("no-cache"), Err(Reason::Useless))]
#[case(400, Some("no-cache"), Err(Reason::Error))]
#[case(400, Some("max-age=604800"), Err(Reason::Error))]
#[case(500, Some("max-age=604800"), Err(Reason::Error))]
#[case(200, None, Ok(300))]
#[case(200, Some("max-age=60"), Ok(60))]
fn errors_and_lifetimes_of_the_route(
    #[case] status: u16,
    #[case] line: Option<&str>,
    #[case] expected: Result<u64, Reason>,
) {
    let default = [(200, Span::secs(300)), (404, Span::secs(5))].into();
    let policy = Config { errors: Errors::Own, default, ..Config::bare() };
    let fields: Vec<_> = line.map(|line| ("cache-control", line)).into_iter().collect();
    assert_eq!(with(&policy, Asked::default(), status, &fields).map(|s| s.lifetime.as_secs()), expected);
}

#[rstest]
#[case(200, None, true)]
#[case(201, None, false)]
#[case(404, None, true)]
#[case(403, None, false)]
#[case(503, None, false)]
#[case(599, None, false)]
#[case(599, Some("public"), true)]
fn heuristics(#[case] status: u16, #[case] line: Option<&str>, #[case] kept: bool) {
    let heuristic = Some(Heuristic { fraction: 0.1, max: Span::secs(3600) });
    let policy = Config { heuristic, ..Config::bare() };
    let modified = httpdate::fmt_http_date(at(NOW - 1000));
    let mut fields = vec![("last-modified", modified.as_str())];
    fields.extend(line.map(|line| ("cache-control", line)));
    let got = with(&policy, Asked::default(), status, &fields);
    assert_eq!(got.as_ref().ok().map(|s| (s.lifetime.as_secs(), s.source)), kept.then_some((100, Source::Heuristic)));
    assert_eq!(with(&Config::bare(), Asked::default(), status, &fields), Err(Reason::NoLifetime));
}

#[test]
fn a_targeted_field_replaces_the_others() {
    let policy =
        Config { targets: vec![FieldName(http::HeaderName::from_static("cdn-cache-control"))], ..Config::bare() };
    let ask = |target: &str, control: &str| {
        let fields =
            [("cdn-cache-control", target), ("cache-control", control), ("expires", "Thu, 01 Jan 2099 00:00:00 GMT")];
        with(&policy, Asked::default(), 200, &fields).map(|storable| storable.lifetime.as_secs())
    };
    assert_eq!(ask("max-age=60", "no-store"), Ok(60));
    assert_eq!(ask("max-age=60", "max-age=1"), Ok(60));
    assert_eq!(ask("no-store", "max-age=60"), Err(Reason::NoStore));
    assert_eq!(ask("private", "max-age=60"), Err(Reason::Private));
    assert_eq!(ask("no-cache", "max-age=60"), Err(Reason::Useless));
    assert_eq!(ask("public", "max-age=60"), Err(Reason::NoLifetime), "Expires is ignored as well");
    assert_eq!(ask("max-age=9, &&&", "max-age=60"), Ok(60), "an invalid field is as if absent");
}

#[test]
fn no_store_of_the_request_and_vary_star() {
    let asked = Asked { no_store: true, ..Asked::default() };
    assert_eq!(with(&Config::bare(), asked, 200, &[("cache-control", "max-age=60")]), Err(Reason::RequestNoStore));
    assert_eq!(plain(200, &[("cache-control", "max-age=60"), ("vary", "a, *")]), Err(Reason::VaryStar));
}

#[test]
fn made_and_fresh_until() {
    let storable =
        with(&Config::bare(), Asked::default(), 200, &[("cache-control", "max-age=60"), ("age", "20")]).unwrap();
    assert_eq!(storable.made(at(NOW)), at(NOW - 20));
    assert_eq!(storable.fresh_until(at(NOW)), at(NOW + 40));
}

proptest! {
    #[test]
    fn jitter_only_shortens_and_the_cap_holds(age in 0_u32..10_000_000, jitter in 0.0..0.5, spread in 0.0..1.0, cap in 1_u64..1_000_000) {
        let policy = Config { jitter, max: Span::secs(cap), keep: Span::secs(1), ..Config::bare() };
        let fields = headers(&[("cache-control", &format!("max-age={age}")), ("etag", "\"a\"")]);
        let storable = decide(&policy, Asked::default(), 200, &fields, &exchange(), spread).unwrap();
        let full = Duration::from_secs(u64::from(age).min(cap));
        prop_assert!(storable.lifetime <= full);
        prop_assert!(storable.lifetime >= full.mul_f64(0.499));
    }

    #[test]
    fn takes_any_answer(status in 200_u16..600, lines in prop::collection::vec("[ -~]{0,40}", 0..3), vary in "[ -~]{0,20}") {
        let mut fields: Vec<(&str, &str)> = lines.iter().map(|line| ("cache-control", line.as_str())).collect();
        fields.push(("vary", &vary));
        fields.push(("expires", lines.first().map_or("", String::as_str)));
        let _ = with(&Config::bare(), Asked::default(), status, &fields);
    }

    /// Whatever else an answer says, these are never kept for others.
    #[test]
    fn prohibitions_always_win(rest in "(max-age=[0-9]{1,5}|public|s-maxage=[0-9]{1,5}|immutable|must-revalidate)(, public)?", what in "(no-store|private)") {
        let refused = |lines: &[&str]| {
            let fields: Vec<_> = lines.iter().map(|line| ("cache-control", *line)).collect();
            plain(200, &fields).is_err()
        };
        prop_assert!(refused(&[&[rest.as_str(), what.as_str()].join(", ")]));
        prop_assert!(refused(&[&[what.as_str(), rest.as_str()].join(", ")]));
        prop_assert!(refused(&[&rest, &what]));
    }
}

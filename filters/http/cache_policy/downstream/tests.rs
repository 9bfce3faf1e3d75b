use std::time::UNIX_EPOCH;

use rstest::rstest;

use super::*;

const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    map
}

fn targets() -> [FieldName; 1] {
    [FieldName(CDN_CACHE_CONTROL)]
}

/// `Cache-Control`, then what else there is, in words.
fn said(headers: &HeaderMap) -> String {
    let line = |name: &HeaderName| headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect::<Vec<_>>();
    let mut all = vec![line(&header::CACHE_CONTROL).join(" + ")];
    let mut names: Vec<_> = headers.keys().filter(|name| **name != header::CACHE_CONTROL).collect();
    names.sort_by_key(|name| name.as_str());
    all.extend(names.into_iter().map(|name| format!("{name}: {}", line(name).join(" + "))));
    all.join("; ")
}

fn told(fields: &[(&str, &str)], audience: Audience, terms: Terms) -> String {
    let mut map = headers(fields);
    write(&mut map, audience, terms, &targets(), at(NOW));
    said(&map)
}

fn store(most: u64) -> Terms {
    Terms::Store { most: Duration::from_secs(most), own: None }
}

const CLIENT: Audience = Audience::Private;
const ANY: Audience = Audience::AsUpstream;
const SHARED: Audience = Audience::Shared(None);
const DAY: Audience = Audience::Shared(Some(Duration::from_secs(86_400)));
const CC: &str = "cache-control";
const CDN: &str = "cdn-cache-control";

#[rstest]
#[case(&[(CC, "public, max-age=60, stale-while-revalidate=9")], "private, max-age=60, stale-while-revalidate=9")]
#[case(&[(CC, "public"), (CC, "max-age=60, no-transform, proxy-revalidate")], "private, max-age=60, no-transform")]
#[case(&[(CC, "max-age=600")], "private, max-age=100")]
#[case(&[(CC, "s-maxage=60")], "private")]
#[case(&[(CC, "s-maxage=60, max-age=5")], "private, max-age=5")]
#[case(&[(CC, "private, max-age=60")], "private, max-age=60")]
#[case(&[(CC, "private=\"x\", max-age=60")], "private, max-age=60")]
#[case(&[(CC, "no-cache, max-age=60")], "private, no-cache")]
#[case(&[(CC, "no-store"), (CDN, "max-age=60")], "no-store")]
#[case(&[(CC, "max-age=60"), (CDN, "max-age=600"), ("surrogate-control", "max-age=9")], "private, max-age=60")]
#[case(&[(CC, "max-age=60"), ("fastly-cache-control", "max-age=9"), ("x-accel-expires", "9")], "private, max-age=60")]
#[case(&[], "private")]
fn for_one_client(#[case] fields: &[(&str, &str)], #[case] expected: &str) {
    assert_eq!(told(fields, CLIENT, store(100)), expected);
}

#[test]
fn expires_becomes_a_lifetime() {
    let date = |seconds| httpdate::fmt_http_date(at(NOW + seconds));
    let fields = [("expires", &*date(60)), ("date", &*date(0))];
    assert_eq!(told(&fields, CLIENT, store(100)), format!("private, max-age=60; date: {}", date(0)));
    assert_eq!(told(&fields, ANY, store(10)), format!("max-age=10; date: {}", date(0)));
    let same = format!("; date: {}; expires: {}", date(0), date(60));
    assert_eq!(told(&fields, ANY, store(100)), same);
}

#[test]
fn a_lifetime_of_the_settings_is_told_where_the_response_has_none() {
    let own = Terms::Store { most: Duration::from_secs(100), own: Some(Duration::from_secs(30)) };
    assert_eq!(told(&[], CLIENT, own), "private, max-age=30");
    assert_eq!(told(&[], SHARED, own), "public, max-age=30; cdn-cache-control: max-age=30");
    assert_eq!(told(&[], ANY, own), "", "as the upstream says: nothing");
}

#[rstest]
#[case(SHARED, &[(CC, "max-age=60")], "public, max-age=60; cdn-cache-control: max-age=60")]
#[case(DAY, &[(CC, "max-age=60")], "public, max-age=60; cdn-cache-control: max-age=86400")]
#[case(SHARED, &[(CC, "max-age=600, stale-if-error=9")], "public, max-age=100, stale-if-error=9; cdn-cache-control: max-age=100, stale-if-error=9")]
#[case(SHARED, &[(CC, "max-age=5"), (CDN, "max-age=50, stale-while-revalidate=7")], "public, max-age=5; cdn-cache-control: max-age=50, stale-while-revalidate=7")]
#[case(SHARED, &[(CC, "private, max-age=5"), (CDN, "max-age=50")], "private, max-age=5; cdn-cache-control: max-age=50")]
#[case(DAY, &[(CC, "max-age=0")], "public, max-age=0; cdn-cache-control: max-age=0")]
#[case(DAY, &[(CC, "no-cache")], "public, no-cache; cdn-cache-control: no-cache")]
#[case(SHARED, &[(CC, "s-maxage=600, must-revalidate")], "public, s-maxage=100, must-revalidate; cdn-cache-control: max-age=100, must-revalidate")]
#[case(SHARED, &[(CC, "max-age=60"), ("surrogate-control", "max-age=900")], "public, max-age=60; cdn-cache-control: max-age=60")]
fn for_shared_caches(#[case] audience: Audience, #[case] fields: &[(&str, &str)], #[case] expected: &str) {
    assert_eq!(told(fields, audience, store(100)), expected);
}

#[rstest]
#[case(&[(CC, "public, max-age=60"), (CDN, "max-age=99, x=\"y\""), ("expires", "0")])]
#[case(&[(CC, "max-age=60"), (CC, "s-maxage=100"), ("surrogate-control", "max-age=50")])]
#[case(&[("expires", "0")])]
#[case(&[])]
fn what_is_no_longer_than_allowed_goes_out_as_it_came(#[case] fields: &[(&str, &str)]) {
    assert_eq!(told(fields, ANY, store(100)), said(&headers(fields)));
}

#[test]
fn what_has_no_bound_or_forbids_storing_itself_stays_to_the_letter() {
    let long = [(CC, "max-age=99999999999"), (CDN, "max-age=99999999999"), ("surrogate-control", "max-age=3600+600")];
    assert_eq!(told(&long, ANY, store(3_650 * 86_400)), said(&headers(&long)));
    let never = [(CC, "max-age=10000, No-Store"), (CDN, "max-age=9"), ("expires", "0")];
    assert_eq!(told(&never, ANY, Terms::Nothing), "max-age=10000, No-Store; expires: 0");
}

#[rstest]
#[case(&[(CC, "max-age=604800, public"), ("expires", "0")], "max-age=100, public")]
#[case(&[(CC, "max-age=5, s-maxage=101")], "max-age=5, s-maxage=100")]
#[case(&[(CC, "max-age=5"), (CDN, "max-age=101, stale-if-error=500")], "max-age=5; cdn-cache-control: max-age=100, stale-if-error=500")]
#[case(&[(CC, "max-age=5"), ("surrogate-control", "max-age=3600+600")], "max-age=5")]
fn what_is_longer_is_shortened(#[case] fields: &[(&str, &str)], #[case] expected: &str) {
    assert_eq!(told(fields, ANY, store(100)), expected);
}

#[rstest]
#[case(Terms::Nothing, ["no-store"; 3])]
#[case(Terms::Validate, ["private, no-cache", "no-cache", "no-cache"])]
#[case(Terms::OneClient(Duration::from_secs(30)), ["private, max-age=30"; 3])]
fn what_is_not_stored_here_is_recommended_to_nobody(#[case] terms: Terms, #[case] expected: [&str; 3]) {
    let fields = [(CC, "public, max-age=604800"), (CDN, "max-age=9"), ("expires", "0"), ("surrogate-control", "x")];
    assert_eq!([CLIENT, SHARED, ANY].map(|audience| told(&fields, audience, terms)), expected);
}

#[test]
fn expires_stays_beside_private_where_it_is_the_only_word() {
    let fields = [("expires", "0")];
    let line = told(&fields, ANY, Terms::OneClient(Duration::from_secs(30)));
    assert!(line.starts_with("private") && line.ends_with("expires: 0"), "{line}");
}

#[test]
fn a_stored_head_remembers_what_the_upstream_said() {
    for fields in [&[][..], &[(CC, "max-age=600, a=\"b: c\""), (CDN, "max-age=9"), (CC, "public")]] {
        let original = headers(fields);
        for audience in [CLIENT, SHARED, DAY, ANY] {
            let mut stored = original.clone();
            write_stored(&mut stored, audience, store(100), &targets(), at(NOW));
            let mut once = original.clone();
            write(&mut once, audience, store(100), &targets(), at(NOW));
            assert_eq!(stored.contains_key(ORIGINAL), once != original);
            restore(&mut stored, &targets());
            assert_eq!(said(&stored), said(&original));
        }
    }
}

#[rstest]
#[case(&[(CC, "public, max-age=60")], (true, false))]
#[case(&[(CC, "private, max-age=60")], (false, true))]
#[case(&[(CC, "private"), (CDN, "max-age=60")], (true, false))]
#[case(&[(CC, "no-store")], (false, true))]
#[case(&[(CC, "no-cache, max-age=60")], (false, false))]
#[case(&[(CC, "max-age=0")], (false, false))]
#[case(&[(CC, "max-age=5"), (CC, "private")], (false, true))]
#[case(&[], (false, false))]
fn openness(#[case] fields: &[(&str, &str)], #[case] expected: (bool, bool)) {
    let Openness { shared, closed } = Openness::of_map(&headers(fields));
    assert_eq!((shared, closed), expected);
}

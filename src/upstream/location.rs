//! References of a response that name the upstream's own address, which no client can reach and none should see: they become
//! references without one, which each client resolves against the address that it used (RFC 9110 section 10.2.2). So they
//! are the same for all, and can be stored.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::Pool;

const REFERENCES: [HeaderName; 2] = [header::LOCATION, header::CONTENT_LOCATION];

/// Maps `Location` and `Content-Location`. `asked` is the authority that the client used: what names it stays.
pub(crate) fn map(headers: &mut HeaderMap, pool: &Pool, asked: Option<&str>) {
    for name in &REFERENCES {
        let Some(value) = headers.get(name) else { continue };
        if let Some(mapped) = mapped(value.as_bytes(), pool, asked) {
            headers.insert(name, mapped);
        }
    }
}

/// The reference without its address, where that is the upstream's.
fn mapped(value: &[u8], pool: &Pool, asked: Option<&str>) -> Option<HeaderValue> {
    let text = String::from_utf8_lossy(value);
    let scheme = if pool.is_tls() { "https:" } else { "http:" };
    // Without a scheme it is that of the request.
    let url = match text.trim().strip_prefix("//") {
        Some(rest) => Url::parse(&format!("{scheme}//{rest}")),
        None => Url::parse(text.trim()),
    };
    let url = url.ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    let is_asked = asked.and_then(|asked| Url::parse(&format!("{}://{asked}/", url.scheme())).ok());
    if is_asked.is_some_and(|asked| asked.host_str() == Some(host) && asked.port_or_known_default() == Some(port)) {
        return None;
    }
    if !pool.is_at(host, port) {
        return None;
    }
    HeaderValue::from_str(&url[url::Position::BeforePath..]).ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://10.0.0.1:3002/a?b=c#d", Some("/a?b=c#d"))]
    #[case("http://10.0.0.1:3002", Some("/"))]
    #[case("//10.0.0.1:3002/a", Some("/a"))]
    #[case("HTTP://Inner.Example/a", Some("/a"))]
    #[case("http://inner.example:3002/a", Some("/a"))]
    #[case("http://other.example:3002/a", None)]
    #[case("http://10.0.0.1:3003/a", None)]
    #[case("https://inner.example/a", None)]
    #[case("http://public.example/a", None)]
    #[case("/a", None)]
    #[case("mailto:a@inner.example", None)]
    fn own_addresses(#[case] reference: &str, #[case] expected: Option<&str>) {
        let config = serde_json::json!({"addresses": ["10.0.0.1:3002"], "host": "inner.example"});
        let pool = Pool::new("p", &serde_json::from_value(config).unwrap(), &Default::default()).unwrap();
        let found = mapped(reference.as_bytes(), &pool, Some("public.example"));
        assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), expected);
        // What the client used is no secret.
        assert_eq!(
            mapped(reference.as_bytes(), &pool, Some("inner.example")).is_some(),
            expected.is_some() && !reference.to_lowercase().contains("//inner.example/")
        );
    }
}

//! An HTTP client that hides nothing: headers as sent, bodies as bytes, and raw bytes where a library would be too polite.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request takes this long at most; the longest deadline of the gateway, batches, is 30 s.
const LIMIT: Duration = Duration::from_secs(40);

/// Sends requests to one base URL with an API key.
#[derive(Clone)]
pub struct Client {
    pub base: String,
    pub key: String,
    http: reqwest::Client,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// How long it took.
    pub time: Duration,
}

impl Client {
    /// A client that follows no redirects, decompresses nothing and keeps no more than it must.
    pub fn new(base: &str, key: &str) -> Self {
        let http = reqwest::Client::builder()
            .timeout(LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self { base: base.to_owned(), key: key.to_owned(), http }
    }

    /// The same with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// The same over HTTP/2 without TLS, on one connection.
    pub fn over_http2(&self) -> Self {
        let http = reqwest::Client::builder().timeout(LIMIT).http2_prior_knowledge().no_proxy().build().unwrap();
        Self { http, ..self.clone() }
    }

    /// A request to be completed with `.header()` and the like, and sent with [`Client::send`].
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}{path}", self.base)).header("x-api-key", &self.key)
    }

    /// The answer to `request`.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let begun = tokio::time::Instant::now();
        let answer = request.send().await.unwrap_or_else(|error| panic!("no answer: {error:?}"));
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await.unwrap_or_else(|error| panic!("half an answer: {error:?}")).to_vec();
        Reply { status, headers, body, time: begun.elapsed() }
    }

    /// Whether GET is answered with 200, or at all.
    pub async fn reaches(&self, path: &str) -> bool {
        self.request("GET", path).send().await.is_ok_and(|reply| reply.status().is_success())
    }

    /// GET with the API key.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request("GET", path)).await
    }

    /// POST of JSON with the API key.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request("POST", path).json(body)).await
    }

    /// POST of any bytes as `application/json` with the API key.
    pub async fn post_bytes(&self, path: &str, body: impl Into<reqwest::Body>) -> Reply {
        self.send(self.request("POST", path).header("content-type", "application/json").body(body)).await
    }

    /// Sends the very bytes on a connection of their own and reads until it is closed, at most [`LIMIT`].
    /// Ask for `Connection: close` in them.
    pub async fn raw(&self, bytes: &[u8]) -> Reply {
        let begun = tokio::time::Instant::now();
        let place = self.base.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(place).await.unwrap();
        // A refusal may come, and the connection go, before all of it is read.
        let _ = stream.write_all(bytes).await;
        let mut all = Vec::new();
        // A reset after the answer, for bytes that were not read, is as good as an end.
        let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut all)).await.expect("the connection is closed");
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| {
            panic!("no HTTP answer to {:?}: {:?}", String::from_utf8_lossy(bytes), String::from_utf8_lossy(&all))
        });
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let name = reqwest::header::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.trim().parse().unwrap());
        }
        Reply { status, headers, body: all[end + 4..].to_vec(), time: begun.elapsed() }
    }

    /// POST of JSON in chunks of a thousand bytes, its length not told beforehand.
    pub async fn raw_chunked(&self, path: &str, body: &[u8]) -> Reply {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
            self.key
        );
        let mut bytes = head.into_bytes();
        for piece in body.chunks(1000) {
            bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        self.raw(&bytes).await
    }

    /// GET of a target that no URL library would let through.
    pub async fn raw_get(&self, target: &[u8]) -> Reply {
        let mut bytes = b"GET ".to_vec();
        bytes.extend_from_slice(target);
        let fields = format!(" HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\nConnection: close\r\n\r\n", self.key);
        bytes.extend_from_slice(fields.as_bytes());
        self.raw(&bytes).await
    }
}

impl Reply {
    /// A header as text; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header of visible ASCII"))
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}), status {}: {:?}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `error.code` of the envelope.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Panics unless this is the error envelope of the contract, agreeing with the headers.
    pub fn assert_envelope(&self) {
        let body = self.json();
        let error = body["error"].as_object().unwrap_or_else(|| panic!("no envelope, status {}: {body}", self.status));
        for field in ["code", "message", "timestamp", "requestId"] {
            assert!(error.get(field).and_then(Value::as_str).is_some_and(|text| !text.is_empty()), "{field}: {body}");
        }
        let code = error["code"].as_str().unwrap();
        assert!(code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'), "{code}");
        assert_eq!(error["requestId"], self.header("x-request-id"), "the id in the body is the one in the header");
        assert_eq!(self.header("content-type"), "application/json; charset=utf-8");
        assert!(!self.header("x-correlation-id").is_empty(), "{:?}", self.headers);
        let kept = self.header("cache-control");
        assert!(kept.contains("no-store") || kept.is_empty(), "an error that may be cached: {kept}");
        let text = body.to_string().to_lowercase();
        for leak in ["select ", "postgres", "syntax error", "panicked", "/src/", "127.0.0.1"] {
            assert!(!text.contains(leak), "the error tells {leak:?}: {body}");
        }
    }
}

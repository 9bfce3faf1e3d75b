use std::sync::Arc;

use axum::body::Body;
use rstest::rstest;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use super::*;
use crate::dataset::AgeArgs;
use crate::{dataset, db};

/// The service with a database that refuses connections.
fn service(places: usize) -> Router {
    let config = "postgresql://nobody:secret@127.0.0.1:1/none".parse().unwrap();
    let args = db::PoolArgs { pool_size: 2, pool_waiters: 8, connect_timeout: Duration::from_secs(1) };
    let database = db::Database::open(db::Server::new(config, None).unwrap(), &args);
    let requests = Arc::new(Semaphore::new(places));
    let app = App {
        facts: dataset::keep(database.clone(), AgeArgs::default()),
        database,
        purges: None,
        requests: requests.clone(),
        started: Instant::now(),
    };
    router(table(), app, &Gate { requests, data: None }, "gnaf")
}

async fn send(method: &str, path: &str, headers: &[(&str, &str)]) -> (Response, serde_json::Value) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = service(8).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let json = serde_json::from_slice(&bytes).unwrap_or_default();
    (Response::from_parts(parts, Body::empty()), json)
}

#[rstest]
#[case("GET", "/", 404, "ENDPOINT_NOT_FOUND")]
#[case("GET", "/api/v1/nothing", 404, "ENDPOINT_NOT_FOUND")]
#[case("POST", "/api/v1/health", 405, "METHOD_NOT_ALLOWED")]
#[case("OPTIONS", "/api/v1/health/live/", 405, "METHOD_NOT_ALLOWED")]
#[tokio::test]
async fn what_is_not_there_is_said_in_the_envelope(
    #[case] method: &str,
    #[case] path: &str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let (response, body) = send(method, path, &[("x-request-id", "abc-1")]).await;
    assert_eq!(response.status(), status);
    assert_eq!(body["error"]["code"], code);
    assert_eq!(body["error"]["requestId"], "abc-1");
    assert_eq!(response.headers()["x-request-id"], "abc-1");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers().get("allow").is_some(), status == 405);
}

#[rstest]
#[case("GET", "/api/v1/health/live")]
#[case("GET", "/api/v1/health/live/")]
#[case("HEAD", "/api/v1/health/live")]
#[tokio::test]
async fn slashes_and_heads_are_accepted(#[case] method: &str, #[case] path: &str) {
    let (response, _) = send(method, path, &[]).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn health_says_that_the_database_is_away() {
    let begun = Instant::now();
    let (response, body) = send("GET", "/api/v1/health", &[]).await;
    assert_eq!(response.status(), 503);
    assert_eq!(body["checks"]["database"]["state"], "down");
    assert!(begun.elapsed() < Duration::from_millis(900));
    let (response, body) = send("GET", "/api/v1/health/ready", &[]).await;
    assert_eq!((response.status().as_u16(), &body["ready"]), (503, &serde_json::json!(false)));
}

#[tokio::test]
async fn a_bad_request_id_is_replaced() {
    let (response, _) = send("GET", "/api/v1/health/live", &[("x-request-id", "a b<script>")]).await;
    assert_eq!(response.headers()["x-request-id"].len(), 36);
}

#[tokio::test]
async fn problem_details_on_request() {
    let (response, body) = send("GET", "/x", &[("accept", "text/html, application/problem+json;q=0.5")]).await;
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(body["code"], "ENDPOINT_NOT_FOUND");
}

#[test]
fn no_path_is_in_the_table_twice() {
    let mut paths: Vec<_> = table().iter().map(|endpoint| endpoint.path).collect();
    paths.sort_unstable();
    paths.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1]));
    let mut others: Vec<_> = crate::addressr::table().iter().map(|endpoint| endpoint.path).collect();
    others.sort_unstable();
    assert_eq!(paths, others, "both sources have every path");
}

#[rstest]
#[case("2500", Some(2_300))]
#[case("1000", Some(900))]
#[case("0", Some(0))]
#[case("-1", None)]
#[case("soon", None)]
fn whoever_waits_is_answered_before_they_give_up(#[case] sent: &'static str, #[case] left: Option<u64>) {
    let headers = HeaderMap::from_iter([(http::HeaderName::from_static("x-request-timeout"), sent.parse().unwrap())]);
    assert_eq!(told(&headers), left.map(Duration::from_millis));
}

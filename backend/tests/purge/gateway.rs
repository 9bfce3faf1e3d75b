//! A gateway's purge API, recorded, that answers as it is told.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// What the stub's token is.
pub(crate) const TOKEN: &str = "token-of-the-purge-tests-not-a-secret";

/// How it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mood {
    Confirming,
    /// Its log can't be written.
    Unconfirmed,
    Failing,
    /// 200 with something that is no answer.
    Talking,
}

#[derive(Clone)]
struct Shared {
    mood: Arc<Mutex<Mood>>,
    /// Everything asked with the right token, and the answer's status.
    calls: Arc<Mutex<Vec<(Value, u16)>>>,
    refused: Arc<Mutex<usize>>,
}

/// The stub; it stops listening when it is dropped.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Gateway {
    pub(crate) async fn start(mood: Mood) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), mood).await
    }

    /// At an address, to come back where one was.
    pub(crate) async fn at(address: SocketAddr, mood: Mood) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared { mood: Arc::new(Mutex::new(mood)), calls: Arc::default(), refused: Arc::default() };
        let router = axum::Router::new().route("/admin/v1/cache/purge", post(purge)).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// Forgets what it was asked.
    pub(crate) fn forget(&self) {
        self.shared.calls.lock().unwrap().clear();
    }

    /// What was asked and confirmed so far.
    pub(crate) fn confirmed(&self) -> Vec<Value> {
        self.shared
            .calls
            .lock()
            .unwrap()
            .iter()
            .filter(|(_, status)| *status == 200)
            .map(|(body, _)| body.clone())
            .collect()
    }

    /// The tags of these.
    pub(crate) fn tags(&self) -> BTreeSet<String> {
        let calls = self.confirmed();
        let lists = calls.iter().filter_map(|body| body["tags"].as_array());
        lists.flatten().map(|tag| tag.as_str().unwrap().to_owned()).collect()
    }

    /// Calls with the right token, however they were answered.
    pub(crate) fn calls(&self) -> usize {
        self.shared.calls.lock().unwrap().len()
    }

    /// Calls without the right token.
    pub(crate) fn refused(&self) -> usize {
        *self.shared.refused.lock().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn purge(State(shared): State<Shared>, headers: HeaderMap, body: axum::body::Bytes) -> Response {
    if headers.get("authorization").is_none_or(|value| value != format!("Bearer {TOKEN}").as_str()) {
        *shared.refused.lock().unwrap() += 1;
        return (StatusCode::UNAUTHORIZED, "no").into_response();
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    if let Some(tags) = body["tags"].as_array() {
        assert!((1..=1_000).contains(&tags.len()), "{} tags in a call", tags.len());
    }
    let mood = *shared.mood.lock().unwrap();
    let (status, answer) = match mood {
        Mood::Confirming => (StatusCode::OK, json!({"confirmed": true, "applied": 2, "instances": 2})),
        Mood::Unconfirmed => (StatusCode::ACCEPTED, json!({"confirmed": false, "applied": 1, "instances": 2})),
        Mood::Failing => (StatusCode::INTERNAL_SERVER_ERROR, json!({"error": {"code": "INTERNAL_ERROR"}})),
        Mood::Talking => (StatusCode::OK, json!("hello")),
    };
    let recorded = if mood == Mood::Talking { 599 } else { status.as_u16() };
    shared.calls.lock().unwrap().push((body, recorded));
    (status, answer.to_string()).into_response()
}

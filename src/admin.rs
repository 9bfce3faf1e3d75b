//! The admin listener: health, metrics, status, control.
//!
//! | path | answer | token |
//! |---|---|---|
//! | `GET /livez`, `GET /readyz` | about this process only | no |
//! | `GET /metrics` | Prometheus | yes |
//! | `GET /admin/v1/status` | what runs, and how it is | yes |
//! | `GET /admin/v1/config` | the configuration with its defaults, secrets hidden | yes |
//! | `POST /admin/v1/cache/purge` | makes kept answers gone or stale, everywhere ([`purge`]) | yes |
//! | `POST /admin/v1/cache/warm` | asks for answers before clients do ([`warm`]) | yes |
//! | `GET`, `PUT /admin/v1/degradation`, `/admin/v1/breakers/{name}` | what an operator sets by hand ([`control`]) | yes |
//! | `POST /admin/v1/reload` | reads the file again | yes |
//! | `POST /admin/v1/drain` | stops as SIGTERM does | yes |

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use addrgate_filters::http::head::{Head, Headers};
use addrgate_filters::reply::{Cause, Code, Reply, render};
use addrgate_filters::request_body::too_slow;
use addrgate_filters::request_id::NameRequest;
use addrgate_filters::verdict::Verdict;
use addrgate_filters::{Filter, Flow};
use async_trait::async_trait;
use bytes::BytesMut;
use pingora::apps::ServerApp;
use pingora::apps::http_app::{HttpServer, ServeHttp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use pingora::services::listening::Service;
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::health::{livez, metrics, readyz};
use crate::reload::reload;
use crate::shared::Shared;
use crate::status;
use crate::upstream::answer;

mod control;
mod purge;
mod warm;

/// The service on its own listener and thread.
pub(crate) fn service(shared: &Arc<Shared>, path: &Path, listen: &str) -> Service<Listener> {
    /// They take descriptors that clients' connections need.
    const MOST: usize = 128;
    let app = HttpServer::new_app(Admin { shared: Arc::clone(shared), path: path.to_owned() });
    let listener = Listener { app: Arc::new(app), places: Semaphore::new(MOST) };
    let mut service = Service::new("admin".to_owned(), listener);
    service.threads = Some(1);
    service.add_tcp(listen);
    service
}

/// Bounds connections: how many, and how long one lives, for Pingora ends none that goes on sending a byte a minute.
pub(crate) struct Listener {
    app: Arc<HttpServer<Admin>>,
    places: Semaphore,
}

#[async_trait]
impl ServerApp for Listener {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        const LONGEST: Duration = Duration::from_secs(600);
        let _place = self.places.try_acquire().ok()?;
        tokio::time::timeout(LONGEST, self.app.process_new(stream, shutdown)).await.ok().flatten()
    }
}

/// Answers admin calls.
pub(crate) struct Admin {
    shared: Arc<Shared>,
    path: PathBuf,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> http::Response<Vec<u8>> {
        session.set_keepalive((!self.shared.is_stopping()).then_some(5));
        let request = session.req_header();
        let target = std::str::from_utf8(request.raw_path()).unwrap_or("");
        let head = Head::new(request.method.as_str(), target, Headers::Map(&request.headers));
        let mut verdict = Verdict::default();
        let _always_continues: Flow = NameRequest.request(&head, &mut verdict);
        let reply = match self.admit(&head) {
            Ok(()) if matches!(head.method, "POST" | "PUT") => {
                // The head borrows from the session that the body is read from.
                let (method, path) = (head.method.to_owned(), head.path.to_owned());
                match read(session).await {
                    Ok(body) => self.command(&method, &path, &body).await,
                    Err(cause) => Err(cause),
                }
            }
            Ok(()) => {
                let peer = session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip());
                self.show(&head, peer, &verdict)
            }
            Err(cause) => Err(cause),
        };
        let reply = reply.unwrap_or_else(|cause| render(&cause, &verdict, false, chrono::Utc::now()));
        let mut answer = http::Response::builder().status(reply.status);
        for (name, value) in &reply.fields {
            answer = answer.header(*name, value);
        }
        answer = answer.header("x-request-id", verdict.request_id.as_str());
        answer = answer.header(http::header::CONTENT_LENGTH, reply.body.len());
        // Statuses and fields are literals of ours.
        answer.body(reply.body.to_vec()).unwrap_or_default()
    }
}

impl Admin {
    /// What is asked by GET.
    fn show(&self, head: &Head<'_>, peer: Option<IpAddr>, verdict: &Verdict) -> Result<Reply, Cause> {
        if let ("GET", Some(name)) = (head.method, head.path.strip_prefix(BREAKERS)) {
            return control::breaker(&self.shared, name);
        }
        match (head.method, head.path) {
            ("GET" | "HEAD" | "OPTIONS", "/livez") => Ok(livez()),
            ("GET" | "HEAD" | "OPTIONS", "/readyz") => Ok(readyz(&self.shared, peer, verdict)),
            ("GET", "/metrics") => Ok(metrics(&self.shared)),
            ("GET", "/admin/v1/status") => Ok(Reply::json(200, &status::status(&self.shared))),
            ("GET", "/admin/v1/config") => {
                let file = serde_json::to_value(&self.shared.plan().file);
                file.map(|file| Reply::json(200, &file)).map_err(|_unprintable| answer::internal())
            }
            ("GET", "/admin/v1/degradation") => Ok(control::degradation(&self.shared)),
            (_, path) => Err(elsewhere(path)),
        }
    }

    /// What is done by POST and PUT.
    async fn command(&self, method: &str, path: &str, body: &[u8]) -> Result<Reply, Cause> {
        if let ("PUT", Some(name)) = (method, path.strip_prefix(BREAKERS)) {
            return control::set_breaker(&self.shared, name, body);
        }
        match (method, path) {
            ("POST", "/admin/v1/cache/purge") => purge::purge(&self.shared, body).await,
            ("POST", "/admin/v1/cache/warm") => warm::warm(&self.shared, body),
            ("POST", "/admin/v1/reload") => self.reload().await,
            ("POST", "/admin/v1/drain") => {
                tracing::info!("drain requested");
                self.shared.drain.notify_one();
                Ok(Reply::json(200, &json!({"draining": true})))
            }
            ("PUT", "/admin/v1/degradation") => control::set_degradation(&self.shared, body),
            (_, path) => Err(elsewhere(path)),
        }
    }

    /// `Authorization: Bearer`, compared in constant time; without a token nobody is let in, but for a look at the
    /// process's own health.
    fn admit(&self, head: &Head<'_>) -> Result<(), Cause> {
        if matches!((head.method, head.path), ("GET" | "HEAD" | "OPTIONS", "/livez" | "/readyz")) {
            return Ok(());
        }
        let plan = self.shared.plan();
        let refused = |reason, message: &'static str| Err(Cause::new(Code::Forbidden, reason, message));
        let Some(token) = &plan.admin_token else {
            return refused("no_admin_token", "No admin token is configured, so admin calls are closed.");
        };
        let shown = head.headers.get("authorization").and_then(|value| value.strip_prefix(b"Bearer "));
        match shown {
            Some(shown) if bool::from(shown.ct_eq(token.reveal().as_bytes())) => Ok(()),
            _ => refused("admin_token", "Send the admin token as `Authorization: Bearer`."),
        }
    }

    async fn reload(&self) -> Result<Reply, Cause> {
        let (shared, path) = (Arc::clone(&self.shared), self.path.clone());
        let done = tokio::task::spawn_blocking(move || reload(&shared, &path)).await;
        match done {
            Ok(Ok(restart)) => Ok(Reply::json(
                200,
                &json!({
                    "reloaded": true, "hash": self.shared.plan().hash, "restartNeeded": restart,
                }),
            )),
            Ok(Err(e)) => {
                let message = "The file is not valid; the old configuration stays.";
                Err(Cause::new(Code::InvalidRequest, "config", message).detail("errors", e.to_string()))
            }
            Err(e) => Err(Cause::new(Code::InternalError, "reload", e.to_string())),
        }
    }
}

/// What the name of a breaker follows.
const BREAKERS: &str = "/admin/v1/breakers/";

/// All others that there are.
const PATHS: [&str; 10] = [
    "/livez",
    "/readyz",
    "/metrics",
    "/admin/v1/status",
    "/admin/v1/config",
    "/admin/v1/cache/purge",
    "/admin/v1/cache/warm",
    "/admin/v1/degradation",
    "/admin/v1/reload",
    "/admin/v1/drain",
];

/// Why a call is none.
fn elsewhere(path: &str) -> Cause {
    match PATHS.contains(&path) || path.starts_with(BREAKERS) {
        true => Cause::new(Code::MethodNotAllowed, "method", "The endpoint does not have this method."),
        false => Cause::new(Code::EndpointNotFound, "no_route", "There is no such endpoint."),
    }
}

/// The body of a call: small, and in time.
async fn read(session: &mut ServerSession) -> Result<BytesMut, Cause> {
    const MOST: usize = 1 << 20;
    let mut body = BytesMut::new();
    let whole = async {
        let broken = |_| Cause::new(Code::InvalidRequest, "body_broken", "The request body broke off.");
        while let Some(piece) = session.read_request_body().await.map_err(broken)? {
            body.extend_from_slice(&piece);
            if body.len() > MOST {
                return Err(Cause::new(Code::PayloadTooLarge, "body_size", "The request body is too large."));
            }
        }
        Ok(())
    };
    match tokio::time::timeout(Duration::from_secs(5), whole).await {
        Ok(done) => done.map(|()| body),
        Err(_elapsed) => Err(too_slow()),
    }
}

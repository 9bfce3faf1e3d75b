//! The table of endpoints, and what surrounds every one of them.

mod edge;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::{HeaderMap, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::dataset::Facts;
use crate::error::ApiError;
use crate::input::Deadline;
use crate::{
    address, analyze, area, batch, boundaries, completion, coverage, geocode, health, proximity, reverse, search,
    statistics, validate,
};

pub(crate) const GET: MethodFilter = MethodFilter::GET;
pub(crate) const POST: MethodFilter = MethodFilter::POST;

/// Every endpoint over our own data. A trailing slash is accepted everywhere, HEAD wherever GET is.
pub(crate) fn table() -> Vec<Endpoint<App>> {
    vec![
        endpoint(GET, "/api/v1/addresses/search", Class::Search, search::search),
        endpoint(GET, "/api/v1/addresses/localities", Class::Search, completion::localities),
        endpoint(GET, "/api/v1/addresses/streets", Class::Search, completion::streets),
        endpoint(GET.or(POST), "/api/v1/addresses/validate", Class::Single, validate::validate),
        endpoint(POST, "/api/v1/addresses/batch/validate", Class::Batch, batch::validate),
        endpoint(POST, "/api/v1/addresses/batch-validate", Class::Batch, batch::validate),
        endpoint(GET.or(POST), "/api/v1/addresses/geocode", Class::Single, geocode::answer),
        endpoint(GET.or(POST), "/api/v1/geocode", Class::Single, geocode::answer),
        endpoint(GET, "/api/v1/addresses/{gnafPid}", Class::Single, address::address),
        endpoint(GET.or(POST), "/api/v1/addresses/reverse-geocode", Class::Single, reverse::reverse_geocode),
        endpoint(GET.or(POST), "/api/v1/reverse-geocode", Class::Single, reverse::reverse_geocode),
        endpoint(GET.or(POST), "/api/v1/spatial/proximity", Class::Single, proximity::proximity),
        endpoint(GET.or(POST), "/api/v1/spatial/boundaries", Class::Single, boundaries::boundaries),
        endpoint(GET.or(POST), "/api/v1/spatial/statistical-areas", Class::Single, statistics::statistical_areas),
        endpoint(GET.or(POST), "/api/v1/spatial/statistics", Class::Single, statistics::statistical_areas),
        endpoint(GET, "/api/v1/spatial/statistical-areas/{level}/{code}", Class::Single, area::statistical_area),
        endpoint(POST, "/api/v1/spatial/batch/analyze", Class::Batch, analyze::analyze),
        endpoint(GET, "/api/v1/spatial/coverage", Class::Single, coverage::coverage),
        endpoint(GET, "/api/v1/health", Class::Health, health::health),
        endpoint(GET, "/api/v1/health/detailed", Class::Health, health::detailed),
        endpoint(GET, "/api/v1/health/ready", Class::Health, health::ready),
        endpoint(GET, "/api/v1/health/live", Class::Health, health::live),
        endpoint(GET, "/api/v1/addresses/health", Class::Health, health::group),
        endpoint(GET, "/api/v1/spatial/health", Class::Health, health::group),
    ]
}

/// One line of the table.
pub(crate) struct Endpoint<S> {
    path: &'static str,
    class: Class,
    handlers: MethodRouter<S>,
}

pub(crate) fn endpoint<S, H, T>(methods: MethodFilter, path: &'static str, class: Class, handler: H) -> Endpoint<S>
where
    S: Clone + Send + Sync + 'static,
    H: Handler<T, S>,
    T: 'static,
{
    Endpoint { path, class, handlers: on(methods, handler) }
}

/// What an endpoint may cost. The deadlines lie below the timeouts of known clients: 3 s for search, 5 s for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Health,
    Search,
    Single,
    Batch,
}

impl Class {
    fn deadline(self) -> Duration {
        match self {
            Self::Health => Duration::from_secs(1),
            Self::Search => Duration::from_millis(2_500),
            Self::Single => Duration::from_millis(4_500),
            Self::Batch => Duration::from_secs(30),
        }
    }

    /// Health must answer when nothing else does.
    fn is_counted(self) -> bool {
        self != Self::Health
    }
}

/// What a request has to pass, unless it asks for health.
#[derive(Clone)]
pub(crate) struct Gate {
    /// One permit per request being answered.
    pub(crate) requests: Arc<Semaphore>,
    /// The data, which may be too old to be shown.
    pub(crate) data: Option<Facts>,
}

impl Gate {
    fn enter(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        if self.data.as_ref().is_some_and(Facts::are_refused) {
            let message = "The address data is too old to be used";
            return Err(ApiError { code: "DATASET_OUTDATED", ..ApiError::unavailable(message, 300) });
        }
        let place = self.requests.clone().try_acquire_owned();
        place.map_err(|_| ApiError::unavailable("Too many requests at a time", 1))
    }
}

/// The service: the table, its guards, and answers for everything else. Every answer says what `source` it comes from.
pub(crate) fn router<S>(table: Vec<Endpoint<S>>, state: S, gate: &Gate, source: &'static str) -> Router
where
    S: Clone + Send + Sync + 'static,
{
    let mut router = Router::new();
    for Endpoint { path, class, handlers } in table {
        let handlers = handlers.route_layer(middleware::from_fn_with_state((gate.clone(), class), guard));
        router = router.route(path, handlers.clone()).route(&format!("{path}/"), handlers);
    }
    router
        .fallback(|| async { ApiError::not_found("ENDPOINT_NOT_FOUND", "There is no such endpoint") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "This endpoint has other methods")
        })
        .layer(middleware::from_fn_with_state(source, edge::edge))
        .with_state(state)
}

/// How long whoever asks will wait (`X-Request-Timeout`, milliseconds), less what the answer needs to get there: an answer
/// that says why is better than none.
fn told(headers: &HeaderMap) -> Option<Duration> {
    let wait = Duration::from_millis(headers.get("x-request-timeout")?.to_str().ok()?.parse().ok()?);
    Some(wait - (wait / 10).min(Duration::from_millis(200)))
}

/// Gives the request its deadline and its place among those being answered.
async fn guard(State((gate, class)): State<(Gate, Class)>, mut request: Request, next: Next) -> Response {
    let _place = match class.is_counted().then(|| gate.enter()).transpose() {
        Ok(place) => place,
        Err(refusal) => return refusal.into_response(),
    };
    let deadline = Instant::now() + told(request.headers()).map_or(class.deadline(), |told| told.min(class.deadline()));
    request.extensions_mut().insert(Deadline(deadline));
    // Handlers keep the deadline themselves; this holds for whatever they forget.
    match timeout_at(deadline + Duration::from_millis(100), next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::timed_out().into_response(),
    }
}

#[cfg(test)]
mod tests;

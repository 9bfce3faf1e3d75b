//! The endpoints that an addressr instance can serve, in the same shape as from our own data.

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::find::{detailed, find};
use super::shape::Address;
use super::{App, SOURCE};
use crate::address;
use crate::batch::Batch;
use crate::components::Asked;
use crate::degrade::no_fuzzy;
use crate::error::ApiError;
use crate::geocode::{self, Geocoded};
use crate::input::coordinates::CoordinateSystem;
use crate::input::{BatchJson, Deadline, Query, QueryOrJson};
use crate::lookup::Found;
use crate::reply::{Lifetime, Reply};
use crate::search::Question;
use crate::tags::Tags;
use crate::validate::{Options, Validation, verdict_on};

/// Addresses of one batch that are looked up at a time; each takes two calls.
const AT_ONCE: usize = 2;

/// The source, so that all of these can be purged when our own data is back, and what is shown.
fn tags(found: &Found) -> Tags {
    let mut tags = Tags::default();
    tags.need("source", SOURCE);
    for scored in &found.page {
        tags.hint("pid", &scored.record.pid);
        scored.record.postcode.iter().for_each(|postcode| _ = tags.hint("postcode", postcode));
    }
    tags
}

pub(super) async fn search(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    Query(fields): Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let begun = Instant::now();
    let question = Question::read(&fields, !no_fuzzy(&headers))?;
    let (found, _) = find(&app.client, deadline, &question.text, &question.wanted).await?;
    question.answer(&found, begun, Lifetime::FALLBACK, tags(&found))
}

async fn judge(app: &App, deadline: Instant, question: &Asked, options: Options) -> Result<Validation, ApiError> {
    let (found, asked) = find(&app.client, deadline, &question.text, &options.wanted()).await?;
    let found = detailed(&app.client, deadline, found, &asked).await?;
    Ok(verdict_on(found, question, options, SOURCE))
}

pub(super) async fn validate(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    headers: HeaderMap,
    QueryOrJson(fields): QueryOrJson,
) -> Result<Response, ApiError> {
    let (question, options) = Options::read(&fields, &headers)?;
    let (found, asked) = find(&app.client, deadline, &question.text, &options.wanted()).await?;
    let found = detailed(&app.client, deadline, found, &asked).await?;
    let tags = tags(&found);
    verdict_on(found, &question, options, SOURCE).answer(Lifetime::FALLBACK, tags)
}

pub(super) async fn batch(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    headers: HeaderMap,
    BatchJson(fields): BatchJson,
) -> Result<Response, ApiError> {
    let batch = Batch::read(&fields, &headers)?;
    // Half a batch is no answer, and its calls would be lost.
    let (needed, left) = (2 * batch.distinct(), app.client.left() as usize);
    if needed > left {
        let error = ApiError::unavailable("The budget of calls to the fallback source is too small for the batch", 60);
        return Err(error.with_details(json!({"calls": needed, "budget": left})));
    }
    let judge = move |asked: Asked, options: Options| {
        let app = app.clone();
        async move { judge(&app, deadline, &asked, options).await }
    };
    batch.answer(AT_ONCE, SOURCE, judge).await
}

pub(super) async fn geocode(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    headers: HeaderMap,
    QueryOrJson(fields): QueryOrJson,
) -> Result<Response, ApiError> {
    let question = geocode::Question::read(&fields)?;
    if question.system == CoordinateSystem::Gda94 {
        return Err(ApiError::unavailable("The fallback source doesn't give positions in GDA94", 5));
    }
    let wanted = Geocoded::wanted(!no_fuzzy(&headers));
    let (found, asked) = find(&app.client, deadline, &question.asked.text, &wanted).await?;
    let found = detailed(&app.client, deadline, found, &asked).await?;
    let tags = tags(&found);
    let geocoded = Geocoded::of(found);
    if geocoded.place.as_ref().is_some_and(|place| place.point.is_none()) {
        return Err(ApiError::unavailable("The fallback source has no position for this address", 5));
    }
    geocoded.agreed(&question.asked).answer(&question, Lifetime::FALLBACK, tags)
}

/// Without its aliases and relatives, of which the instance knows nothing.
pub(super) async fn by_pid(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    Path(pid): Path<String>,
) -> Result<Reply, ApiError> {
    let pid = address::identifier(&pid)?;
    let answer = app.client.get::<Address>(deadline, &["addresses", &pid], None).await?;
    let (record, sources) = answer.ok_or_else(address::not_found)?.value.record(&pid);
    let place = record.place();
    let mut body = address::body(&place);
    for (name, value) in [
        ("buildingName", place.building_name.clone().map(Value::from)),
        ("lotNumber", place.lot_number.clone().map(Value::from)),
        ("geocodeType", place.geocode_type.clone().map(Value::from)),
        ("gnafConfidence", sources.map(Value::from)),
    ] {
        if let Some(value) = value {
            body.insert(name.into(), value);
        }
    }
    let mut tags = Tags::default();
    tags.need("source", SOURCE).need("pid", &place.pid);
    place.postcode.iter().for_each(|postcode| _ = tags.hint("postcode", postcode));
    Reply::cached(&body, Lifetime::FALLBACK, tags)
}

/// What needs our own data.
pub(super) async fn refuse() -> ApiError {
    let error = ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "SERVICE_UNAVAILABLE",
        "Only addresses are available at the moment: search, validate, geocode and by identifier",
    );
    ApiError { retry_after: Some(30), ..error.with_details(json!({"source": SOURCE})) }
}

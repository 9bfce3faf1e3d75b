//! POST /api/v1/addresses/batch/validate: many addresses, several at a time.

use std::collections::{HashMap, HashSet};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::components::Asked;
use crate::degrade::with_mark;
use crate::error::ApiError;
use crate::input::{BatchJson, Deadline, Fields, refuse};
use crate::rank::Kind;
use crate::reply::Reply;
use crate::tags::Tags;
use crate::validate::{FLAG, GNAF, Options, Validation, judge};

/// Addresses of one batch.
const MOST: usize = 1_000;
/// Addresses of one batch that are looked up at a time; the pool is shared with everyone else.
const AT_ONCE: usize = 6;

/// One item as it came, and what it asks about where that can be looked up.
struct Item {
    id: Value,
    /// `address` and `components` as they came.
    written: Value,
    parts: Option<Value>,
    asked: Result<Asked, ApiError>,
}

impl Item {
    /// A bad item is an item: it gets a verdict like the others.
    fn read(index: usize, value: &Value) -> Self {
        let Value::Object(object) = value else {
            let error = ApiError::bad_request("INVALID_ADDRESS", "An item must be an object with `id` and `address`");
            return Self { id: index.to_string().into(), written: value.clone(), parts: None, asked: Err(error) };
        };
        let id = match object.get("id") {
            Some(id @ (Value::String(_) | Value::Number(_))) => id.clone(),
            _ => index.to_string().into(),
        };
        let written = object.get("address").cloned().unwrap_or(Value::Null);
        let parts = object.get("components").cloned();
        Self { id, written, parts, asked: Asked::read(&Fields::from_object(object.clone())) }
    }
}

/// What a client asks for.
pub(crate) struct Batch {
    items: Vec<Item>,
    options: Options,
    fail_fast: bool,
}

/// Answers a batch. With `failFast` it ends with the first address that isn't valid.
///
/// # Errors
/// `MISSING_ADDRESSES`, `BATCH_TOO_LARGE`, `INVALID_OPTIONS`, `INVALID_BOOLEAN_FLAG`; `SERVICE_UNAVAILABLE` when the database
/// can't answer.
pub(crate) async fn validate(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    headers: HeaderMap,
    BatchJson(fields): BatchJson,
) -> Result<Response, ApiError> {
    let batch = Batch::read(&fields, &headers)?;
    let judge = move |asked: Asked, options: Options| {
        let app = app.clone();
        // A batch is not kept by caches: its tags are of no use.
        async move { judge(&app, deadline, &asked, options, &mut Tags::default()).await }
    };
    batch.answer(AT_ONCE, GNAF, judge).await
}

impl Batch {
    /// Reads it.
    ///
    /// # Errors
    /// `MISSING_ADDRESSES`, `BATCH_TOO_LARGE`, `INVALID_OPTIONS`, `INVALID_BOOLEAN_FLAG`.
    pub(crate) fn read(fields: &Fields, headers: &HeaderMap) -> Result<Self, ApiError> {
        let items = match fields.list("addresses", "MISSING_ADDRESSES")? {
            None | Some([]) => return refuse("MISSING_ADDRESSES", "`addresses` must be a list of 1 to 1000 items"),
            Some(items) if items.len() > MOST => {
                return Err(ApiError::bad_request("BATCH_TOO_LARGE", "`addresses` must be a list of 1 to 1000 items")
                    .with_details(json!({"limit": MOST})));
            }
            Some(items) => items.iter().enumerate().map(|(index, item)| Item::read(index, item)).collect(),
        };
        let flags = fields.object("options", "INVALID_OPTIONS")?.unwrap_or_default();
        let fail_fast = flags.flag("failFast", false, FLAG)?;
        Ok(Self { items, options: Options::read_flags(&flags, headers)?, fail_fast })
    }

    /// Different addresses in it.
    pub(crate) fn distinct(&self) -> usize {
        self.items.iter().filter_map(|item| item.asked.as_ref().ok()).collect::<HashSet<_>>().len()
    }

    /// Has every address judged, `at_once` at a time.
    ///
    /// # Errors
    /// What judging says.
    pub(crate) async fn answer<F>(
        &self,
        at_once: usize,
        source: &'static str,
        judge: impl Fn(Asked, Options) -> F + Sync,
    ) -> Result<Response, ApiError>
    where
        F: Future<Output = Result<Validation, ApiError>> + Send,
    {
        let begun = Instant::now();
        let validations = self.validations(at_once, source, judge).await?;
        let results: Vec<Value> = self
            .items
            .iter()
            .zip(&validations)
            .map(|(item, validation)| match &item.parts {
                None => json!({"id": item.id, "address": item.written, "validation": validation}),
                Some(parts) => json!({
                    "id": item.id, "address": item.written, "components": parts, "validation": validation,
                }),
            })
            .collect();
        let valid = validations.iter().filter(|validation| validation.is_valid).count();
        let body = json!({
            "results": results,
            "summary": {
                "total": validations.len(),
                "valid": valid,
                "invalid": validations.len() - valid,
                "warnings": validations.iter().filter(|validation| validation.has_warnings()).count(),
                "processingTime": begun.elapsed().as_millis() as u64,
            },
        });
        let degraded = validations.iter().any(|validation| validation.degraded);
        Ok(with_mark(Reply::uncached(StatusCode::OK, &body)?.into_response(), degraded))
    }

    /// The verdicts in the order of the items; fewer than items only when `fail_fast` ended it.
    async fn validations<F>(
        &self,
        at_once: usize,
        source: &'static str,
        judge: impl Fn(Asked, Options) -> F + Sync,
    ) -> Result<Vec<Validation>, ApiError>
    where
        F: Future<Output = Result<Validation, ApiError>> + Send,
    {
        // An address that comes twice is looked up once.
        let mut first: HashMap<&Asked, usize> = HashMap::new();
        let tasks = self.items.iter().enumerate().map(|(index, item)| match &item.asked {
            Ok(asked) => match *first.entry(asked).or_insert(index) {
                same if same != index => Task::SameAs(same),
                _ => Task::Judge(asked.clone()),
            },
            Err(error) => Task::Bad(error.clone()),
        });
        let tasks: Vec<Task> = tasks.collect();
        let (judge, options) = (&judge, self.options);
        let verdict = move |task: Task| async move {
            match task {
                Task::Judge(asked) => judge(asked, options).await.map(Verdict::New),
                Task::SameAs(index) => Ok(Verdict::SameAs(index)),
                Task::Bad(error) => {
                    let missing = error.code == "MISSING_ADDRESS";
                    let kind = if missing { Kind::MissingComponent } else { Kind::InvalidFormat };
                    Ok(Verdict::New(Validation::invalid(kind, error.message, source)))
                }
            }
        };
        let mut verdicts = std::pin::pin!(stream::iter(tasks).map(verdict).buffered(at_once));
        let mut validations: Vec<Validation> = Vec::with_capacity(self.items.len());
        while let Some(verdict) = verdicts.next().await {
            let validation = match verdict? {
                Verdict::New(validation) => validation,
                Verdict::SameAs(index) => validations.get(index).cloned().ok_or_else(ApiError::internal)?,
            };
            let ends = self.fail_fast && !validation.is_valid;
            validations.push(validation);
            if ends {
                break;
            }
        }
        Ok(validations)
    }
}

/// What to do for one item.
enum Task {
    Judge(Asked),
    /// As the item with this index, which comes before.
    SameAs(usize),
    Bad(ApiError),
}

/// What came of it.
enum Verdict {
    New(Validation),
    SameAs(usize),
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(json!({"id": "a", "address": "12 Smith St"}), json!("a"), None)]
    #[case(json!({"id": 7, "address": "12 Smith St"}), json!(7), None)]
    #[case(json!({"address": "12 Smith St"}), json!("3"), None)]
    #[case(json!({"id": ["a"], "address": "12 Smith St"}), json!("3"), None)]
    #[case(json!({"id": "a"}), json!("a"), Some("MISSING_ADDRESS"))]
    #[case(json!({"id": "a", "components": {"streetNumber": "12", "street": "Smith St"}}), json!("a"), None)]
    #[case(json!({"id": "a", "address": "12 Smith St", "components": {"postcode": 3400}}), json!("a"), None)]
    #[case(json!({"id": "a", "components": {}}), json!("a"), Some("MISSING_ADDRESS"))]
    #[case(json!({"id": "a", "components": "12 Smith St"}), json!("a"), Some("INVALID_COMPONENTS"))]
    #[case(json!({"id": "a", "address": " "}), json!("a"), Some("MISSING_ADDRESS"))]
    #[case(json!({"id": "a", "address": 12}), json!("a"), Some("INVALID_ADDRESS"))]
    #[case(json!({"id": "a", "address": "x".repeat(501)}), json!("a"), Some("ADDRESS_TOO_LONG"))]
    #[case(json!("12 Smith St"), json!("3"), Some("INVALID_ADDRESS"))]
    #[case(json!(null), json!("3"), Some("INVALID_ADDRESS"))]
    fn a_bad_item_keeps_its_place(#[case] item: Value, #[case] id: Value, #[case] code: Option<&str>) {
        let item = Item::read(3, &item);
        assert_eq!(item.id, id);
        assert_eq!(item.asked.err().map(|error| error.code), code);
    }
}

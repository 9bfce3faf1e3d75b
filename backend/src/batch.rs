//! POST /api/v1/addresses/batch/validate: many addresses, several at a time.

use std::collections::HashMap;

use axum::extract::State;
use futures::StreamExt;
use futures::stream;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::degrade::no_fuzzy;
use crate::error::ApiError;
use crate::input::{BatchJson, Deadline, Fields, refuse};
use crate::rank::Kind;
use crate::reply::Reply;
use crate::tags::Tags;
use crate::validate::{ADDRESS, FLAG, Options, Validation, judge};

/// Addresses of one batch.
const MOST: usize = 1_000;
/// Addresses of one batch that are looked up at a time; the pool is shared with everyone else.
const AT_ONCE: usize = 6;

/// One item as it came, and its address where it has one that can be looked up.
struct Item {
    id: Value,
    written: Value,
    address: Result<String, ApiError>,
}

impl Item {
    /// A bad item is an item: it gets a verdict like the others.
    fn read(index: usize, value: &Value) -> Self {
        let Value::Object(object) = value else {
            let error = ApiError::bad_request("INVALID_ADDRESS", "An item must be an object with `id` and `address`");
            return Self { id: index.to_string().into(), written: value.clone(), address: Err(error) };
        };
        let id = match object.get("id") {
            Some(id @ (Value::String(_) | Value::Number(_))) => id.clone(),
            _ => index.to_string().into(),
        };
        let written = object.get("address").cloned().unwrap_or(Value::Null);
        let address = Fields::from_object(object.clone()).required_text("address", "MISSING_ADDRESS", ADDRESS);
        Self { id, written, address }
    }
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
) -> Result<Reply, ApiError> {
    let begun = Instant::now();
    let items = match fields.list("addresses", "MISSING_ADDRESSES")? {
        None | Some([]) => return refuse("MISSING_ADDRESSES", "`addresses` must be a list of 1 to 1000 items"),
        Some(items) if items.len() > MOST => {
            return Err(ApiError::bad_request("BATCH_TOO_LARGE", "`addresses` must be a list of 1 to 1000 items")
                .with_details(json!({"limit": MOST})));
        }
        Some(items) => items,
    };
    let options = fields.object("options", "INVALID_OPTIONS")?.unwrap_or_default();
    let fail_fast = options.flag("failFast", false, FLAG)?;
    let options = Options {
        strict: options.flag("strictMode", false, FLAG)?,
        components: options.flag("includeComponents", true, FLAG)?,
        suggestions: options.flag("includeSuggestions", true, FLAG)?,
        second_stage: !no_fuzzy(&headers),
    };
    let items: Vec<Item> = items.iter().enumerate().map(|(index, item)| Item::read(index, item)).collect();
    let validations = validations(&app, deadline, &items, options, fail_fast).await?;
    let results: Vec<Value> = items
        .iter()
        .zip(&validations)
        .map(|(item, validation)| json!({"id": item.id, "address": item.written, "validation": validation}))
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
    Reply::uncached(StatusCode::OK, &body)
}

/// What to do for one item.
enum Task {
    Judge(String),
    /// As the item with this index, which comes before.
    SameAs(usize),
    Bad(ApiError),
}

impl Task {
    /// The verdict, or the index of the item that has it.
    async fn done(self, app: App, deadline: Instant, options: Options) -> Result<Result<Validation, usize>, ApiError> {
        match self {
            // A batch is not kept by caches: its tags are of no use.
            Self::Judge(address) => judge(&app, deadline, &address, options, &mut Tags::default()).await.map(Ok),
            Self::SameAs(index) => Ok(Err(index)),
            Self::Bad(error) => {
                let kind = if error.code == "MISSING_ADDRESS" { Kind::MissingComponent } else { Kind::InvalidFormat };
                Ok(Ok(Validation::invalid(kind, error.message, false)))
            }
        }
    }
}

/// The verdicts in the order of `items`; fewer than items only when `fail_fast` ended it.
async fn validations(
    app: &App,
    deadline: Instant,
    items: &[Item],
    options: Options,
    fail_fast: bool,
) -> Result<Vec<Validation>, ApiError> {
    // An address that comes twice is looked up once.
    let mut first: HashMap<&str, usize> = HashMap::new();
    let tasks: Vec<Task> = items
        .iter()
        .enumerate()
        .map(|(index, item)| match &item.address {
            Ok(address) => match *first.entry(address).or_insert(index) {
                source if source != index => Task::SameAs(source),
                _ => Task::Judge(address.clone()),
            },
            Err(error) => Task::Bad(error.clone()),
        })
        .collect();
    let mut verdicts = stream::iter(tasks).map(|task| task.done(app.clone(), deadline, options)).buffered(AT_ONCE);
    let mut validations: Vec<Validation> = Vec::with_capacity(items.len());
    while let Some(verdict) = verdicts.next().await {
        let validation = match verdict? {
            Ok(validation) => validation,
            Err(source) => match validations.get(source) {
                Some(same) => same.clone(),
                None => return Err(ApiError::internal()),
            },
        };
        let ends = fail_fast && !validation.is_valid;
        validations.push(validation);
        if ends {
            break;
        }
    }
    Ok(validations)
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
    #[case(json!({"id": "a", "address": " "}), json!("a"), Some("MISSING_ADDRESS"))]
    #[case(json!({"id": "a", "address": 12}), json!("a"), Some("INVALID_ADDRESS"))]
    #[case(json!({"id": "a", "address": "x".repeat(501)}), json!("a"), Some("ADDRESS_TOO_LONG"))]
    #[case(json!("12 Smith St"), json!("3"), Some("INVALID_ADDRESS"))]
    #[case(json!(null), json!("3"), Some("INVALID_ADDRESS"))]
    fn a_bad_item_keeps_its_place(#[case] item: Value, #[case] id: Value, #[case] code: Option<&str>) {
        let item = Item::read(3, &item);
        assert_eq!(item.id, id);
        assert_eq!(item.address.err().map(|error| error.code), code);
    }
}

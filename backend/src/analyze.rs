//! Many spatial questions in one request.

use axum::extract::State;
use futures::StreamExt;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::degrade::no_fuzzy;
use crate::error::ApiError;
use crate::input::{BatchJson, Deadline, Fields, Text, refuse};
use crate::reply::{Answer, Lifetime, Reply};
use crate::tags::Tags;
use crate::validate::FLAG;
use crate::{boundaries, proximity, statistics};

const MOST: usize = 100;
/// How many questions of a batch are asked at a time, unless the client wants fewer. More would take the pool from others.
const AT_A_TIME: i64 = 8;

/// One question.
struct Operation {
    /// A string or number, given back as it came.
    id: Value,
    kind: Kind,
    parameters: Fields,
}

#[derive(Clone, Copy)]
enum Kind {
    Proximity,
    Boundary,
    Statistical,
}

impl Kind {
    const ALL: [(&'static str, Self); 3] =
        [("proximity", Self::Proximity), ("boundary", Self::Boundary), ("statistical", Self::Statistical)];

    fn name(self) -> &'static str {
        match self {
            Self::Proximity => "proximity",
            Self::Boundary => "boundary",
            Self::Statistical => "statistical",
        }
    }
}

/// POST /api/v1/spatial/batch/analyze
pub(crate) async fn analyze(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    headers: HeaderMap,
    BatchJson(fields): BatchJson,
) -> Result<Reply, ApiError> {
    let begun = Instant::now();
    let second_stage = !no_fuzzy(&headers);
    let operations = operations(&fields)?;
    let options = fields.object("options", "INVALID_OPTIONS")?.unwrap_or_default();
    let batch_size = options.integer("batchSize", 1..=MOST as i64, "INVALID_BATCH_SIZE")?.unwrap_or(10);
    let fail_fast = options.flag("failFast", false, FLAG)?;

    let total = operations.len();
    let mut tags = Tags::new(&app.facts.release());
    let mut lifetime = Lifetime::PROXIMITY;
    let mut results = Vec::with_capacity(total);
    let (mut successful, mut failed, mut lost) = (0, 0, None);
    // Answers come in the order of the questions, a few being worked on ahead.
    let mut answers = futures::stream::iter(0..total)
        .map(|index| ask(&app, deadline, &operations[index], second_stage))
        .buffered(batch_size.min(AT_A_TIME) as usize);
    for operation in &operations {
        if fail_fast && failed > 0 {
            results.push(operation.result("skipped", None));
            continue;
        }
        let Some(answer) = answers.next().await else { break };
        match answer {
            Ok(answer) => {
                successful += 1;
                tags.merge(&answer.tags);
                lifetime = lifetime.min(answer.lifetime);
                results.push(operation.result("success", Some(("data", answer.data))));
            }
            Err(error) => {
                failed += 1;
                results.push(operation.result("error", Some(("error", error.to_item()))));
                lifetime = lifetime.min(Lifetime::EMPTY);
                // What would make it succeed is not known here.
                tags.widen();
                if error.status.is_server_error() {
                    lost = Some(error);
                }
            }
        }
    }
    drop(answers);
    let mut data = json!({
        "results": results,
        "summary": {"total": total, "successful": successful, "failed": failed, "batchSize": batch_size},
    });
    let meaning = data.clone();
    data["summary"]["processingTime"] = json!(begun.elapsed().as_millis() as u64);
    match lost {
        // Nothing could be answered, for a reason that is ours: that is no success.
        Some(error) if successful == 0 => Err(error),
        Some(_) => Answer { data, meaning: None, lifetime, tags }.into_uncached(),
        None => Answer { data, meaning: Some(meaning), lifetime, tags }.into_reply(),
    }
}

impl Operation {
    fn result(&self, status: &str, outcome: Option<(&str, Value)>) -> Value {
        let mut result = json!({"id": self.id, "type": self.kind.name(), "status": status});
        if let (Some((name, value)), Some(fields)) = (outcome, result.as_object_mut()) {
            fields.insert(name.to_owned(), value);
        }
        result
    }
}

async fn ask(app: &App, deadline: Instant, operation: &Operation, second_stage: bool) -> Result<Answer, ApiError> {
    let parameters = &operation.parameters;
    match operation.kind {
        Kind::Proximity => proximity::answer(app, deadline, parameters, second_stage).await,
        Kind::Boundary => boundaries::answer(app, deadline, parameters).await,
        Kind::Statistical => statistics::answer(app, deadline, parameters, second_stage).await,
    }
}

fn operations(fields: &Fields) -> Result<Vec<Operation>, ApiError> {
    let items = fields.list("operations", "MISSING_OPERATIONS")?.unwrap_or_default();
    if items.is_empty() {
        return refuse("MISSING_OPERATIONS", "`operations` must be an array of 1 to 100 operations");
    }
    if items.len() > MOST {
        return refuse("BATCH_TOO_LARGE", format!("`operations` has {} operations, more than {MOST}", items.len()));
    }
    let operations = items.iter().enumerate().map(|(index, item)| operation(index, item));
    let operations = operations.collect::<Result<Vec<_>, _>>()?;
    let mut ids: Vec<String> = operations.iter().map(|operation| operation.id.to_string()).collect();
    ids.sort_unstable();
    if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return refuse("INVALID_OPERATION_ID", format!("two operations have the id {}", pair[0]));
    }
    Ok(operations)
}

fn operation(index: usize, item: &Value) -> Result<Operation, ApiError> {
    const WORD: Text = Text { max: 100, invalid: "INVALID_OPERATION_TYPE", too_long: "INVALID_OPERATION_TYPE" };
    let at = |error: ApiError| error.with_details(json!({"index": index}));
    let Value::Object(object) = item else {
        return refuse("INVALID_OPERATION_ID", "every operation must be an object with id, type and parameters")
            .map_err(at);
    };
    let id = match object.get("id") {
        Some(Value::String(id)) if (1..=100).contains(&id.trim().chars().count()) => Value::from(id.as_str()),
        Some(Value::Number(id)) => Value::Number(id.clone()),
        _ => return refuse("INVALID_OPERATION_ID", "`id` must be text of 1 to 100 characters").map_err(at),
    };
    let fields = Fields::from_object(object.clone());
    let word = fields.required_text("type", "INVALID_OPERATION_TYPE", WORD).map_err(at)?;
    let Some((_, kind)) = Kind::ALL.into_iter().find(|(name, _)| *name == word) else {
        return refuse("INVALID_OPERATION_TYPE", "`type` must be proximity, boundary or statistical").map_err(at);
    };
    match fields.object("parameters", "MISSING_PARAMETERS").map_err(at)? {
        Some(parameters) => Ok(Operation { id, kind, parameters }),
        None => refuse("MISSING_PARAMETERS", "`parameters` is required").map_err(at),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn code(body: Value) -> &'static str {
        let Value::Object(values) = body else { panic!("not an object") };
        operations(&Fields::from_object(values)).err().map_or("", |error| error.code)
    }

    #[rstest]
    #[case(json!({}), "MISSING_OPERATIONS")]
    #[case(json!({"operations": []}), "MISSING_OPERATIONS")]
    #[case(json!({"operations": {}}), "MISSING_OPERATIONS")]
    #[case(json!({"operations": vec![json!(1); 101]}), "BATCH_TOO_LARGE")]
    #[case(json!({"operations": [1]}), "INVALID_OPERATION_ID")]
    #[case(json!({"operations": [{"type": "boundary"}]}), "INVALID_OPERATION_ID")]
    #[case(json!({"operations": [{"id": "", "type": "boundary"}]}), "INVALID_OPERATION_ID")]
    #[case(json!({"operations": [{"id": "a", "type": "x", "parameters": {}}]}), "INVALID_OPERATION_TYPE")]
    #[case(json!({"operations": [{"id": "a", "parameters": {}}]}), "INVALID_OPERATION_TYPE")]
    #[case(json!({"operations": [{"id": "a", "type": "boundary"}]}), "MISSING_PARAMETERS")]
    #[case(json!({"operations": [{"id": "a", "type": "boundary", "parameters": [1]}]}), "MISSING_PARAMETERS")]
    #[case(json!({"operations": [{"id": 1, "type": "boundary", "parameters": {}}, {"id": 1, "type": "boundary", "parameters": {}}]}),
        "INVALID_OPERATION_ID")]
    #[case(json!({"operations": [{"id": "1", "type": "boundary", "parameters": {}}, {"id": 1, "type": "boundary", "parameters": {}}]}), "")]
    fn each_fault_has_its_code(#[case] body: Value, #[case] expected: &str) {
        assert_eq!(code(body), expected);
    }
}

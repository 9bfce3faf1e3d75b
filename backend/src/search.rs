//! GET /api/v1/addresses/search: addresses for what was typed so far.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::db::Database;
use crate::degrade::{no_fuzzy, with_mark};
use crate::error::ApiError;
use crate::input::{Deadline, Fields, Query, Text, refuse};
use crate::lookup::{Found, MOST, Wanted, find};
use crate::parse::Typing;
use crate::place::Place;
use crate::rank::Scored;
use crate::reply::{Lifetime, Reply};
use crate::state;
use crate::tags::Tags;
use crate::towns::{Asked, CONFIDENCE, Town, before};
use crate::validate::FLAG;

/// What a client asks for.
pub(crate) struct Question {
    pub(crate) text: String,
    pub(crate) wanted: Wanted,
    coordinates: bool,
    components: bool,
}

impl Question {
    /// Reads it; `second_stage` is whether misspellings are corrected.
    ///
    /// # Errors
    /// The contract's codes for each parameter.
    pub(crate) fn read(fields: &Fields, second_stage: bool) -> Result<Self, ApiError> {
        const TEXT: Text = Text { max: 500, invalid: "INVALID_QUERY", too_long: "QUERY_TOO_LONG" };
        let text = fields.required_text("q", "MISSING_QUERY", TEXT)?;
        let count = fields.integer("limit", 1..=50, "INVALID_LIMIT")?.unwrap_or(10) as usize;
        let from = fields.integer("offset", 0..=100_000, "INVALID_OFFSET")?.unwrap_or(0) as usize;
        let wanted = Wanted {
            typing: Typing::Going,
            state: state(fields)?,
            postcode: postcode(fields)?,
            from,
            count,
            second_stage,
        };
        let coordinates = fields.flag("includeCoordinates", false, FLAG)?;
        let components = fields.flag("includeComponents", true, FLAG)?;
        Ok(Self { text, wanted, coordinates, components })
    }

    /// The answer, fresh for `longest` if it has something to show.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when it can't be written as JSON.
    pub(crate) fn answer(
        &self,
        found: &Found,
        begun: Instant,
        longest: Lifetime,
        tags: Tags,
    ) -> Result<Response, ApiError> {
        let listed = Listed {
            results: found.page.iter().map(|scored| shown(scored, self)).collect(),
            total: found.total,
            is_capped: found.total_is_capped,
            degraded: found.degraded,
        };
        self.reply(listed, begun, longest, tags)
    }

    fn reply(&self, listed: Listed, begun: Instant, longest: Lifetime, tags: Tags) -> Result<Response, ApiError> {
        let (is_empty, degraded) = (listed.results.is_empty(), listed.degraded);
        let meaning = body(self, listed);
        let mut whole = meaning.clone();
        whole.insert("executionTime".into(), (begun.elapsed().as_millis() as u64).into());
        let lifetime = if is_empty || degraded { Lifetime::EMPTY } else { longest };
        let reply = Reply::cached_weak(&whole, &meaning, lifetime, tags)?;
        Ok(with_mark(reply.into_response(), degraded))
    }
}

/// The parameter `state`: an abbreviation or a name.
///
/// # Errors
/// `INVALID_STATE`.
pub(crate) fn state(fields: &Fields) -> Result<Option<&'static str>, ApiError> {
    const CODE: &str = "INVALID_STATE";
    match fields.text("state", Text { max: 40, invalid: CODE, too_long: CODE })? {
        None => Ok(None),
        Some(word) => match state::abbreviation(&word) {
            Some(state) => Ok(Some(state)),
            None => refuse(CODE, "`state` must be one of NSW, VIC, QLD, SA, WA, TAS, NT, ACT, OT, or its name in full"),
        },
    }
}

/// The parameter `postcode`.
///
/// # Errors
/// `INVALID_POSTCODE`.
pub(crate) fn postcode(fields: &Fields) -> Result<Option<String>, ApiError> {
    const CODE: &str = "INVALID_POSTCODE";
    match fields.text("postcode", Text { max: 10, invalid: CODE, too_long: CODE })? {
        Some(text) if text.len() != 4 || !text.bytes().all(|b| b.is_ascii_digit()) => {
            refuse(CODE, "`postcode` must be four digits")
        }
        postcode => Ok(postcode),
    }
}

/// Answers a search.
///
/// # Errors
/// The contract's codes for each parameter; `SERVICE_UNAVAILABLE` when the database can't answer.
pub(crate) async fn search(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    Query(fields): Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let begun = Instant::now();
    let question = Question::read(&fields, !no_fuzzy(&headers))?;
    let mut tags = Tags::new(&app.facts.release());
    let wanted = &question.wanted;
    if let Some(asked) = Asked::read(&question.text, wanted.state, wanted.postcode.as_deref())
        && let Some(town) = Town::find(&app.database, deadline, &asked, wanted.from + wanted.count).await?
    {
        town.tag(&mut tags);
        let listed = list(&app.database, deadline, &question, &town).await?;
        return question.reply(listed, begun, Lifetime::SEARCH, tags);
    }
    let found = find(&app.database, deadline, &question.text, wanted).await?;
    found.tag(&mut tags);
    question.answer(&found, begun, Lifetime::SEARCH, tags)
}

/// A page of results, as they are written.
struct Listed {
    results: Vec<Value>,
    total: u64,
    is_capped: bool,
    degraded: bool,
}

/// The addresses of a town, taking turns with those on the streets of that name.
async fn list(database: &Database, deadline: Instant, question: &Question, town: &Town) -> Result<Listed, ApiError> {
    let Wanted { from, count, .. } = question.wanted;
    let mut named = town.page(database, deadline, &town.named, from / 2, count).await?;
    let streets = named.total as usize;
    let own = town.page(database, deadline, &town.own, before(from, usize::MAX, streets), count).await?;
    let addresses = own.total as usize;
    let on = from.saturating_sub(before(from, addresses, streets));
    if on > from / 2 && streets > 0 {
        // The town was through before this page.
        named = town.page(database, deadline, &town.named, on, count).await?;
    }
    let (mut of_town, mut of_streets) = (own.places.iter(), named.places.iter());
    let mut results = Vec::with_capacity(count);
    for place in from..from + count {
        let is_town = before(place + 1, addresses, streets) > before(place, addresses, streets);
        let next = if is_town { of_town.next() } else { of_streets.next() };
        results.extend(next.map(|place| result(place, &place.label(), CONFIDENCE, question)));
    }
    let total = own.total + named.total;
    Ok(Listed {
        results,
        total: total.min(MOST),
        is_capped: own.is_capped || named.is_capped || total > MOST,
        degraded: false,
    })
}

/// Everything but the time it took.
fn body(question: &Question, listed: Listed) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("results".into(), listed.results.into());
    body.insert("total".into(), listed.total.into());
    if listed.is_capped {
        body.insert("totalIsCapped".into(), true.into());
    }
    body.insert("limit".into(), question.wanted.count.into());
    body.insert("offset".into(), question.wanted.from.into());
    body
}

fn shown(scored: &Scored, question: &Question) -> Value {
    result(&scored.record.place(), &scored.label, scored.score.confidence, question)
}

fn result(place: &Place, label: &str, confidence: u8, question: &Question) -> Value {
    let mut result = json!({
        "gnafPid": place.pid,
        "address": label,
        "formattedAddress": label,
        "confidence": confidence,
    });
    if let Some(fields) = result.as_object_mut() {
        if question.components {
            fields.insert("components".into(), place.components());
        }
        if question.coordinates {
            let mut position = place.position();
            if let Some(precise) = position.as_object_mut() {
                precise.insert("precision".into(), place.precision().name().into());
                fields.insert("coordinates".into(), position);
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Question, ApiError> {
        let Value::Object(values) = value else { panic!("not an object") };
        Question::read(&Fields::from_object(values), true)
    }

    #[rstest]
    #[case(json!({}), "MISSING_QUERY")]
    #[case(json!({"q": "  "}), "MISSING_QUERY")]
    #[case(json!({"q": "x".repeat(501)}), "QUERY_TOO_LONG")]
    #[case(json!({"q": "x", "limit": 0}), "INVALID_LIMIT")]
    #[case(json!({"q": "x", "limit": 51}), "INVALID_LIMIT")]
    #[case(json!({"q": "x", "offset": -1}), "INVALID_OFFSET")]
    #[case(json!({"q": "x", "state": "XYZ"}), "INVALID_STATE")]
    #[case(json!({"q": "x", "state": "Wales"}), "INVALID_STATE")]
    #[case(json!({"q": "x", "postcode": "300"}), "INVALID_POSTCODE")]
    #[case(json!({"q": "x", "postcode": "30O0"}), "INVALID_POSTCODE")]
    #[case(json!({"q": "x", "includeComponents": "perhaps"}), "INVALID_BOOLEAN_FLAG")]
    fn each_fault_has_its_code(#[case] fields: Value, #[case] code: &str) {
        assert_eq!(read(fields).err().map(|error| error.code), Some(code));
    }

    #[test]
    fn what_is_absent_has_the_contracts_defaults() {
        let question = read(json!({"q": " 6 coll ", "state": "vic"})).unwrap();
        assert_eq!((question.wanted.count, question.wanted.from, question.wanted.state), (10, 0, Some("VIC")));
        assert!(question.components && !question.coordinates);
        assert_eq!(question.text, "6 coll");
    }
}

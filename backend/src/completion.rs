//! Completion in two steps: a town by its beginning, then a street of it.

use axum::extract::State;
use serde_json::{Value, json};
use tokio_postgres::Row;

use crate::app::App;
use crate::error::ApiError;
use crate::input::{Deadline, Fields, Query, Text, refuse};
use crate::parse::codes::{STREET_TYPE, SUFFIX};
use crate::place::round;
use crate::reply::{Lifetime, Reply};
use crate::search::{postcode, state};
use crate::tags::Tags;
use crate::towns;

const LOCALITIES: &str = include_str!("sql/complete_localities.sql");
const STREETS: &str = include_str!("sql/complete_streets.sql");
const QUERY: Text = Text { max: 100, invalid: "INVALID_QUERY", too_long: "QUERY_TOO_LONG" };
const LOCALITY: Text = Text { max: 100, invalid: "INVALID_LOCALITY", too_long: "INVALID_LOCALITY" };

/// GET /api/v1/addresses/localities: `q` is the beginning of a locality's name or of a postcode, or a name with state and
/// postcode.
///
/// # Errors
/// `MISSING_QUERY`, `INVALID_QUERY`, `QUERY_TOO_LONG`, `INVALID_STATE`, `INVALID_POSTCODE`, `INVALID_LIMIT`;
/// `SERVICE_UNAVAILABLE` when the database can't answer.
pub(crate) async fn localities(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    Query(fields): Query,
) -> Result<Reply, ApiError> {
    let text = fields.required_text("q", "MISSING_QUERY", QUERY)?;
    let (state, postcode) = (state(&fields)?, postcode(&fields)?);
    let limit = limit(&fields)?;
    let mut words = words(&text);
    let is_digits = |word: &&String| word.len() <= 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    let written = words.last().filter(is_digits).cloned();
    words.truncate(words.len() - usize::from(written.is_some()));
    let names = towns::names(&words.iter().map(String::as_str).collect::<Vec<_>>(), state);
    let texts: Vec<&str> = names.iter().map(|(name, ..)| name.as_str()).collect();
    let states: Vec<Option<&str>> = names.iter().map(|(_, state, _)| *state).collect();
    let ranks: Vec<i32> = names.iter().map(|(.., rank)| *rank).collect();
    let rows =
        app.database.query(deadline, LOCALITIES, &[&texts, &states, &ranks, &written, &postcode, &limit]).await?;
    reply(&app, &rows, limit, locality)
}

/// GET /api/v1/addresses/streets: the streets of `locality`, an identifier or a name, that begin with `q`, or all.
///
/// # Errors
/// `MISSING_LOCALITY`, `INVALID_LOCALITY`, `INVALID_QUERY`, `QUERY_TOO_LONG`, `INVALID_STATE`, `INVALID_POSTCODE`,
/// `INVALID_LIMIT`; `SERVICE_UNAVAILABLE` when the database can't answer.
pub(crate) async fn streets(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    Query(fields): Query,
) -> Result<Reply, ApiError> {
    let text = fields.text("q", QUERY)?.unwrap_or_default();
    let Some(locality) = fields.text("locality", LOCALITY)? else {
        return refuse("MISSING_LOCALITY", "`locality` is required: the identifier or the name of a locality");
    };
    let (state, postcode) = (state(&fields)?, postcode(&fields)?);
    let limit = limit(&fields)?;
    let words = words(&text);
    let beginnings = beginnings(&words);
    let name = self::words(&locality).join(" ");
    let rows =
        app.database.query(deadline, STREETS, &[&beginnings, &locality, &name, &state, &postcode, &limit]).await?;
    reply(&app, &rows, limit, street)
}

fn limit(fields: &Fields) -> Result<i64, ApiError> {
    Ok(fields.integer("limit", 1..=50, "INVALID_LIMIT")?.unwrap_or(10))
}

/// A text in search form, as words.
fn words(text: &str) -> Vec<String> {
    let plain: String = text.chars().filter(|c| !matches!(c, '\'' | '’' | '`')).collect();
    let upper = plain.to_uppercase();
    upper.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The beginnings that a street may have: as typed, and with short forms of its type and suffix written out.
fn beginnings(words: &[String]) -> Vec<String> {
    let mut all = vec![words.join(" ")];
    for (index, word) in words.iter().enumerate().skip(1) {
        for long in STREET_TYPE.code(word).into_iter().chain(SUFFIX.code(word).and_then(|code| SUFFIX.name(code))) {
            let mut written = words.to_vec();
            written[index] = long.to_owned();
            all.push(written.join(" "));
        }
    }
    all
}

fn reply(app: &App, rows: &[Row], limit: i64, show: fn(&Row) -> Value) -> Result<Reply, ApiError> {
    let mut tags = Tags::new(&app.facts.release());
    tags.mark("names");
    for row in rows {
        tags.need("locality", row.get("locality_pid"));
    }
    let results: Vec<Value> = rows.iter().map(show).collect();
    let lifetime = if results.is_empty() { Lifetime::EMPTY } else { Lifetime::SEARCH };
    let total = rows.first().map_or(0, |row| row.get::<_, i64>("total"));
    Reply::cached(&json!({"results": results, "total": total, "limit": limit}), lifetime, tags)
}

fn locality(row: &Row) -> Value {
    let mut shown = json!({
        "pid": row.get::<_, &str>("locality_pid"),
        "name": row.get::<_, &str>("name"),
        "state": row.get::<_, &str>("state"),
        "postcode": row.get::<_, Option<&str>>("postcode"),
        "postcodes": row.get::<_, Vec<&str>>("postcodes"),
        "addresses": row.get::<_, i64>("addresses"),
        "point": point(row),
    });
    if let (Some(alias), Some(fields)) = (row.get::<_, Option<&str>>("alias"), shown.as_object_mut()) {
        fields.insert("alias".into(), alias.into());
    }
    shown
}

fn street(row: &Row) -> Value {
    let suffix: Option<&str> = row.get("suffix");
    let suffix = suffix.map(|code| SUFFIX.name(code).unwrap_or(code));
    let (name, kind): (&str, Option<&str>) = (row.get("name"), row.get("type"));
    let label = [Some(name), kind, suffix].into_iter().flatten().collect::<Vec<_>>().join(" ");
    json!({
        "pid": row.get::<_, &str>("pid"),
        "name": label,
        "streetName": name,
        "streetType": kind,
        "streetSuffix": suffix,
        "locality": row.get::<_, &str>("locality"),
        "localityPid": row.get::<_, &str>("locality_pid"),
        "state": row.get::<_, &str>("state"),
        "postcode": row.get::<_, Option<&str>>("postcode"),
        "addresses": row.get::<_, i64>("addresses"),
        "point": point(row),
    })
}

/// `{latitude, longitude}`, or null where the source has none.
fn point(row: &Row) -> Value {
    match (row.get::<_, Option<f64>>("latitude"), row.get::<_, Option<f64>>("longitude")) {
        (Some(latitude), Some(longitude)) => json!({"latitude": round(latitude, 8), "longitude": round(longitude, 8)}),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("high st", &["HIGH ST", "HIGH STREET"])]
    #[case("King St N", &["KING ST N", "KING STREET N", "KING ST NORTH"])]
    #[case("o'brien", &["OBRIEN"])]
    #[case("", &[""])]
    fn short_forms_are_written_out(#[case] text: &str, #[case] wanted: &[&str]) {
        assert_eq!(beginnings(&words(text)), wanted);
    }
}

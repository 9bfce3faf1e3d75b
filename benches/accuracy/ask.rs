//! Sends the questions to the service: search for addresses that exist, validate for those that don't, both for habits of
//! writing, geocode for what has no place.

use std::time::Duration;

use anyhow::{Context, bail};
use futures::StreamExt;
use serde_json::{Value, json};

/// Requests under way at once.
const CONCURRENCY: usize = 8;

/// The address that is meant.
pub(crate) struct Expected {
    /// Empty where the published file has none.
    pub(crate) pid: String,
    pub(crate) label: String,
}

/// Which calls a question is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Search,
    Validate,
    /// Search, for whether the address is found; validate, for whether another one is called valid.
    Written,
    Geocode,
}

/// One thing that somebody may type.
pub(crate) struct Question {
    pub(crate) class: &'static str,
    pub(crate) text: String,
    /// None: it does not exist and must not validate.
    pub(crate) expected: Option<Expected>,
    pub(crate) ask: Ask,
}

/// What became of a question.
pub(crate) struct Answer {
    pub(crate) question: Question,
    /// Where the expected address stood among the first five, from 0.
    pub(crate) rank: Option<usize>,
    /// Whether validate called it valid, or geocode found a place.
    pub(crate) valid: bool,
    /// Whether validate called an address valid that is not the expected one.
    pub(crate) another: bool,
    /// The first address of the answer.
    pub(crate) first: String,
}

/// Asks everything, with progress on standard error.
///
/// # Errors
/// The first request that isn't answered with 200: an outage says nothing about accuracy.
pub(crate) async fn all(url: &str, questions: Vec<Question>) -> anyhow::Result<Vec<Answer>> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let bar = indicatif::ProgressBar::new(questions.len() as u64);
    let mut answers = Vec::with_capacity(questions.len());
    let mut asked =
        futures::stream::iter(questions).map(|question| one(&client, url, question)).buffer_unordered(CONCURRENCY);
    while let Some(answer) = asked.next().await {
        answers.push(answer?);
        bar.inc(1);
        if bar.is_hidden() && answers.len().is_multiple_of(20_000) {
            eprintln!("{} asked", answers.len());
        }
    }
    bar.finish_and_clear();
    answers.sort_by(|a, b| (a.question.class, &a.question.text).cmp(&(b.question.class, &b.question.text)));
    Ok(answers)
}

async fn one(client: &reqwest::Client, url: &str, question: Question) -> anyhow::Result<Answer> {
    let text = &question.text;
    let post = |call: &str| client.post(format!("{url}/api/v1/addresses/{call}")).json(&json!({"address": text}));
    let search = || client.get(format!("{url}/api/v1/addresses/search")).query(&[("q", text.as_str()), ("limit", "5")]);
    let (found, checked) = match question.ask {
        Ask::Search => (body(search(), text).await?, Value::Null),
        Ask::Validate => (Value::Null, body(post("validate"), text).await?),
        Ask::Written => (body(search(), text).await?, body(post("validate"), text).await?),
        Ask::Geocode => (Value::Null, body(post("geocode"), text).await?),
    };
    let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let meant = |pid: &Value, label: &Value| {
        question.expected.as_ref().is_some_and(|expected| {
            (!expected.pid.is_empty() && *pid == expected.pid.as_str()) || same(&words(label), &expected.label)
        })
    };
    let empty = Vec::new();
    let results = found["results"].as_array().unwrap_or(&empty);
    let rank = results.iter().take(5).position(|result| meant(&result["gnafPid"], &result["address"]));
    let valid = checked["isValid"] == true || checked["success"] == true;
    let another = valid && !meant(&checked["gnafPid"], &checked["standardizedAddress"]);
    let first = match results.first() {
        Some(result) if !another => words(&result["address"]),
        _ => words(&checked["standardizedAddress"]),
    };
    Ok(Answer { question, rank, valid, another, first })
}

async fn body(request: reqwest::RequestBuilder, text: &str) -> anyhow::Result<Value> {
    let response = request.send().await.with_context(|| text.to_owned())?;
    if !response.status().is_success() {
        bail!("{} for {text:?}: {}", response.status(), response.text().await.unwrap_or_default());
    }
    response.json().await.with_context(|| text.to_owned())
}

/// The same address comes from two sources with two keys; equal words are the same address.
fn same(one: &str, other: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_uppercase).collect()
    };
    words(one) == words(other)
}

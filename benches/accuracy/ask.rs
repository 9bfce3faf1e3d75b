//! Puts the questions to the service: search for addresses that exist, validate for those that don't.

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

/// One thing that somebody may type.
pub(crate) struct Question {
    pub(crate) class: &'static str,
    pub(crate) text: String,
    /// None: it does not exist and must not validate.
    pub(crate) expected: Option<Expected>,
}

/// What became of a question.
pub(crate) struct Answer {
    pub(crate) question: Question,
    /// Where the expected address stood among the first five, from 0.
    pub(crate) rank: Option<usize>,
    /// Whether validate called it valid.
    pub(crate) valid: bool,
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
    let request = if question.expected.is_some() {
        let query = [("q", question.text.as_str()), ("limit", "5")];
        client.get(format!("{url}/api/v1/addresses/search")).query(&query)
    } else {
        client.post(format!("{url}/api/v1/addresses/validate")).json(&json!({"address": question.text}))
    };
    let response = request.send().await.with_context(|| question.text.clone())?;
    if !response.status().is_success() {
        bail!("{} for {:?}: {}", response.status(), question.text, response.text().await.unwrap_or_default());
    }
    let body: Value = response.json().await.with_context(|| question.text.clone())?;
    let empty = Vec::new();
    let results = body["results"].as_array().unwrap_or(&empty);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rank = question.expected.as_ref().and_then(|expected| {
        results.iter().take(5).position(|result| {
            result["gnafPid"] == expected.pid.as_str() || same(&text(&result["address"]), &expected.label)
        })
    });
    let valid = body["isValid"] == true;
    let first = match results.first() {
        Some(result) => text(&result["address"]),
        None => text(&body["standardizedAddress"]),
    };
    Ok(Answer { question, rank, valid, first })
}

/// The same address comes from two sources with two keys; equal words are the same address.
fn same(one: &str, other: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_uppercase).collect()
    };
    words(one) == words(other)
}

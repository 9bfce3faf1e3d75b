//! GET and POST /api/v1/addresses/validate: whether an address exists, and how it is written.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::components::Asked;
use crate::degrade::{no_fuzzy, with_mark};
use crate::error::ApiError;
use crate::input::{Deadline, Fields, QueryOrJson, Text};
use crate::lookup::{Found, Wanted, find};
use crate::parse::Typing;
use crate::rank::{AMBIGUOUS, EXACT, Issue, Kind, Scored, Severity, VALID};
use crate::reply::{Lifetime, Reply};
use crate::tags::Tags;

/// The contract's code for a flag that is none.
pub(crate) const FLAG: &str = "INVALID_BOOLEAN_FLAG";
/// The source of our own data, as answers name it.
pub(crate) const GNAF: &str = "gnaf";
/// The limits of an address.
pub(crate) const ADDRESS: Text = Text { max: 500, invalid: "INVALID_ADDRESS", too_long: "ADDRESS_TOO_LONG" };
/// Addresses looked at, to find equals and to suggest.
const LOOKED_AT: usize = 6;
const SUGGESTIONS: usize = 5;
/// From here the best match is likely the address that is meant, valid or not.
const LIKELY: u8 = 60;

const BOX: &str = "A post office box or mail bag is not a place";
const NOTHING: &str = "No address like this was found";

/// How to validate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Only an exact match after normalisation is valid.
    pub strict: bool,
    pub components: bool,
    pub suggestions: bool,
    /// Whether misspellings are corrected.
    pub second_stage: bool,
}

impl Options {
    /// Reads the address and the options beside it.
    ///
    /// # Errors
    /// `MISSING_ADDRESS`, `INVALID_ADDRESS`, `ADDRESS_TOO_LONG`, `INVALID_COMPONENTS`, `INVALID_BOOLEAN_FLAG`.
    pub(crate) fn read(fields: &Fields, headers: &HeaderMap) -> Result<(Asked, Self), ApiError> {
        Ok((Asked::read(fields)?, Self::read_flags(fields, headers)?))
    }

    /// Reads the options alone.
    ///
    /// # Errors
    /// `INVALID_BOOLEAN_FLAG`.
    pub(crate) fn read_flags(fields: &Fields, headers: &HeaderMap) -> Result<Self, ApiError> {
        Ok(Self {
            strict: fields.flag("strictMode", false, FLAG)?,
            components: fields.flag("includeComponents", true, FLAG)?,
            suggestions: fields.flag("includeSuggestions", true, FLAG)?,
            second_stage: !no_fuzzy(headers),
        })
    }

    /// What to look for.
    pub(crate) fn wanted(self) -> Wanted {
        Wanted {
            typing: Typing::Done,
            state: None,
            postcode: None,
            from: 0,
            count: LOOKED_AT,
            second_stage: self.second_stage,
        }
    }
}

/// The contract's answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Validation {
    pub is_valid: bool,
    pub confidence: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gnaf_pid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standardized_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<Value>,
    pub suggestions: Vec<Value>,
    pub issues: Vec<Issue>,
    pub source: &'static str,
    /// Whether there is an address like it.
    #[serde(skip)]
    pub found: bool,
    #[serde(skip)]
    pub degraded: bool,
}

/// Answers a validation.
///
/// # Errors
/// Those of [`Options::read`]; `SERVICE_UNAVAILABLE` when the database can't answer.
pub(crate) async fn validate(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    headers: HeaderMap,
    QueryOrJson(fields): QueryOrJson,
) -> Result<Response, ApiError> {
    let (asked, options) = Options::read(&fields, &headers)?;
    let mut tags = Tags::new(&app.facts.release());
    let found = find(&app.database, deadline, &asked.text, &options.wanted()).await?;
    found.tag(&mut tags);
    verdict_on(found, &asked, options, GNAF).answer(Lifetime::VALIDATE, tags)
}

/// Validates one address, and adds the tags of the answer.
///
/// # Errors
/// What the database says.
pub(crate) async fn judge(
    app: &App,
    deadline: Instant,
    asked: &Asked,
    options: Options,
    tags: &mut Tags,
) -> Result<Validation, ApiError> {
    let found = find(&app.database, deadline, &asked.text, &options.wanted()).await?;
    found.tag(tags);
    Ok(verdict_on(found, asked, options, GNAF))
}

/// The answer for what was found in `source`; where the parts that were asked for are others, it is not valid.
pub(crate) fn verdict_on(found: Found, asked: &Asked, options: Options, source: &'static str) -> Validation {
    let best = found.page.first();
    let Some((part, best)) = best.and_then(|best| Some((asked.disagreement(&best.record)?, suggestion(best)))) else {
        return verdict(found, options, source);
    };
    let mut validation = verdict(found, options, source);
    let message = format!("`{part}` is another one than that of the address found");
    validation
        .issues
        .insert(0, Issue { kind: Kind::InvalidFormat, message: message.into(), severity: Severity::Error });
    validation.confidence = validation.confidence.min(LIKELY - 1);
    if options.suggestions && validation.suggestions.is_empty() {
        validation.suggestions.push(best);
    }
    Validation { is_valid: false, gnaf_pid: None, standardized_address: None, components: None, ..validation }
}

/// The answer for what was found in `source`.
pub(crate) fn verdict(found: Found, options: Options, source: &'static str) -> Validation {
    let suggests = found.only_suggests();
    let Found { page, listed, postal, degraded, .. } = found;
    let Some(best) = page.first() else { return nothing(postal, degraded, source) };
    let mut confidence = best.score.confidence;
    let mut issues = best.score.issues.clone();
    let equal = page.iter().filter(|other| other.score.confidence == confidence).count();
    let ambiguous = equal > 1 && !listed;
    if ambiguous {
        confidence = confidence.min(AMBIGUOUS);
        let message = "Several addresses fit equally well".into();
        issues.insert(0, Issue { kind: Kind::AmbiguousMatch, message, severity: Severity::Error });
    }
    for (said, message) in [(suggests, NOTHING), (postal, BOX)] {
        if said {
            issues.insert(0, Issue { kind: Kind::InvalidFormat, message: message.into(), severity: Severity::Error });
        }
    }
    // What is listed or beside a box was not named.
    let is_valid = !listed && !postal && confidence >= if options.strict { EXACT } else { VALID };
    if options.strict && !is_valid && confidence >= VALID {
        let message = "The address is not written exactly as it is registered".into();
        issues.push(Issue { kind: Kind::InvalidFormat, message, severity: Severity::Error });
    }
    let likely = is_valid || (!ambiguous && !listed && !postal && confidence >= LIKELY);
    let place = best.record.place();
    let suggestions = match options.suggestions && !is_valid {
        true => page.iter().take(SUGGESTIONS).map(suggestion).collect(),
        false => Vec::new(),
    };
    Validation {
        is_valid,
        confidence,
        gnaf_pid: likely.then(|| place.pid.clone()),
        standardized_address: likely.then(|| best.label.clone()),
        components: (likely && options.components).then(|| place.components()),
        suggestions,
        issues,
        source,
        found: true,
        degraded,
    }
}

fn suggestion(scored: &Scored) -> Value {
    json!({"address": scored.label, "confidence": scored.score.confidence, "gnafPid": scored.record.pid})
}

fn nothing(postal: bool, degraded: bool, source: &'static str) -> Validation {
    let message = if postal { BOX } else { NOTHING };
    Validation { degraded, ..Validation::invalid(Kind::InvalidFormat, message, source) }
}

impl Validation {
    /// Nothing to say but why.
    pub(crate) fn invalid(
        kind: Kind,
        message: impl Into<std::borrow::Cow<'static, str>>,
        source: &'static str,
    ) -> Self {
        Self {
            is_valid: false,
            confidence: 0,
            gnaf_pid: None,
            standardized_address: None,
            components: None,
            suggestions: Vec::new(),
            issues: vec![Issue { kind, message: message.into(), severity: Severity::Error }],
            source,
            found: false,
            degraded: false,
        }
    }

    /// The answer, fresh for `longest` if there is an address like it.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when it can't be written as JSON.
    pub(crate) fn answer(&self, longest: Lifetime, tags: Tags) -> Result<Response, ApiError> {
        let lifetime = if self.found && !self.degraded { longest } else { Lifetime::EMPTY };
        let reply = Reply::cached(self, lifetime, tags)?;
        Ok(with_mark(reply.into_response(), self.degraded))
    }

    /// Whether it is valid with something to look at.
    pub(crate) fn has_warnings(&self) -> bool {
        self.is_valid && self.issues.iter().any(|issue| issue.severity == Severity::Warning)
    }
}

//! What is wrong with an input, in the contract's words.

use serde::Serialize;
use std::borrow::Cow;

/// The contract's three kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Kind {
    /// A part was not given, or the record doesn't have it.
    MissingComponent,
    /// A part was given that differs from the record, or can't be read.
    InvalidFormat,
    /// Several addresses fit equally well.
    AmbiguousMatch,
}

/// How much it matters: an ERROR alone keeps an address from being valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Severity {
    Error,
    Warning,
    Info,
}

/// One remark about an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Issue {
    #[serde(rename = "type")]
    pub kind: Kind,
    pub message: Cow<'static, str>,
    pub severity: Severity,
}

/// What one component costs of the hundred points, and why.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Verdict {
    pub points: u16,
    pub issues: Vec<Issue>,
}

impl Verdict {
    /// The component matches.
    pub(crate) fn good() -> Self {
        Self::default()
    }

    /// It costs points and needs no words.
    pub(crate) fn quiet(points: u16) -> Self {
        Self { points, issues: Vec::new() }
    }

    /// A part is missing, in the input or in the record.
    pub(crate) fn missing(points: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self::of(points, Kind::MissingComponent, message.into())
    }

    /// A part differs from the record.
    pub(crate) fn differs(points: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self::of(points, Kind::InvalidFormat, message.into())
    }

    fn of(points: u16, kind: Kind, message: Cow<'static, str>) -> Self {
        // More than twenty points can't be valid any more.
        let severity = match points {
            0..=9 => Severity::Info,
            10..=20 => Severity::Warning,
            _ => Severity::Error,
        };
        Self { points, issues: vec![Issue { kind, message, severity }] }
    }

    /// Both.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.points = self.points.saturating_add(other.points);
        self.issues.extend(other.issues);
        self
    }
}

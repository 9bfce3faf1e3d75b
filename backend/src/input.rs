//! What a client sent, checked: fields of a query string or of a JSON object, each read once by type and range, each
//! refusal with the contract's own code. Unknown fields are ignored; a null or, in a query string, an empty value counts
//! as absent.

pub(crate) mod coordinates;
mod extract;
mod json;
mod query;

use std::borrow::Cow;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

pub(crate) use self::extract::{BatchJson, Deadline, Query, QueryOrJson};
use crate::error::ApiError;

/// The fields of one request, or of one object inside it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    values: Map<String, Value>,
    /// Names that came more than once (query strings only; JSON with duplicate keys is refused whole).
    repeated: Vec<String>,
    /// True for query strings, where every value is text.
    textual: bool,
}

/// The limits of a text field and the codes of its refusals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    /// The most characters (Unicode scalar values), after trimming.
    pub(crate) max: usize,
    /// When it is not text, or given twice.
    pub(crate) invalid: &'static str,
    /// When it is longer than `max`.
    pub(crate) too_long: &'static str,
}

impl Fields {
    /// An object found inside a body.
    pub(crate) fn from_object(values: Map<String, Value>) -> Self {
        Self { values, repeated: Vec::new(), textual: false }
    }

    /// Trimmed text, its line breaks turned into commas and other control characters into spaces; `None` when absent or blank.
    ///
    /// # Errors
    /// `limits.invalid` when it is not text, `limits.too_long` when it is too long.
    pub(crate) fn text(&self, name: &str, limits: Text) -> Result<Option<String>, ApiError> {
        let Some(value) = self.value(name, limits.invalid)? else { return Ok(None) };
        let Value::String(text) = value else {
            return Err(ApiError::bad_request(limits.invalid, format!("`{name}` must be text")));
        };
        let clean = text.trim_matches(|c: char| c.is_whitespace() || c.is_control());
        let plain = |c: char| match c {
            '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => ',',
            c if c.is_control() => ' ',
            c => c,
        };
        let clean: String = clean.chars().map(plain).collect();
        if clean.chars().count() > limits.max {
            let message = format!("`{name}` must have at most {} characters", limits.max);
            return Err(ApiError::bad_request(limits.too_long, message));
        }
        Ok(Some(clean).filter(|text| !text.is_empty()))
    }

    /// Like [`Fields::text`], but `missing` is the code when it is absent or blank.
    pub(crate) fn required_text(&self, name: &str, missing: &'static str, limits: Text) -> Result<String, ApiError> {
        self.text(name, limits)?.ok_or_else(|| ApiError::bad_request(missing, format!("`{name}` is required")))
    }

    /// Like [`Fields::text`], but a whole number will do as well: house numbers and postcodes are also written so.
    pub(crate) fn word(&self, name: &str, limits: Text) -> Result<Option<String>, ApiError> {
        match self.value(name, limits.invalid)? {
            Some(Value::Number(number)) if number.is_u64() => Ok(Some(number.to_string())),
            _ => self.text(name, limits),
        }
    }

    /// true or false; in a query string also 1 and 0.
    ///
    /// # Errors
    /// `code` when it is anything else.
    pub(crate) fn flag(&self, name: &str, default: bool, code: &'static str) -> Result<bool, ApiError> {
        match self.value(name, code)? {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if self.textual => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(ApiError::bad_request(code, format!("`{name}` must be true or false"))),
            },
            Some(_) => Err(ApiError::bad_request(code, format!("`{name}` must be true or false"))),
        }
    }

    /// A whole number within `range`.
    ///
    /// # Errors
    /// `code` when it is not a whole number or outside.
    pub(crate) fn integer(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
        code: &'static str,
    ) -> Result<Option<i64>, ApiError> {
        let bounds = (*range.start() as f64)..=(*range.end() as f64);
        let wrong = || {
            let message = format!("`{name}` must be a whole number from {} to {}", range.start(), range.end());
            ApiError::bad_request(code, message)
        };
        match self.finite(name, code).map_err(|_| wrong())? {
            None => Ok(None),
            Some(number) if number.fract() == 0.0 && bounds.contains(&number) => Ok(Some(number as i64)),
            Some(_) => Err(wrong()),
        }
    }

    /// A finite number within `range`.
    ///
    /// # Errors
    /// `code` when it is not a number or outside.
    pub(crate) fn number(
        &self,
        name: &str,
        range: RangeInclusive<f64>,
        code: &'static str,
    ) -> Result<Option<f64>, ApiError> {
        match self.finite(name, code)? {
            Some(number) if !range.contains(&number) => {
                let message = format!("`{name}` must be a number from {} to {}", range.start(), range.end());
                Err(ApiError::bad_request(code, message))
            }
            number => Ok(number),
        }
    }

    /// An object.
    ///
    /// # Errors
    /// `code` when it is anything else.
    pub(crate) fn object(&self, name: &str, code: &'static str) -> Result<Option<Fields>, ApiError> {
        match self.value(name, code)? {
            None => Ok(None),
            Some(Value::Object(values)) => Ok(Some(Self::from_object(values.clone()))),
            Some(_) => Err(ApiError::bad_request(code, format!("`{name}` must be an object"))),
        }
    }

    /// An array.
    ///
    /// # Errors
    /// `code` when it is anything else.
    pub(crate) fn list(&self, name: &str, code: &'static str) -> Result<Option<&[Value]>, ApiError> {
        match self.value(name, code)? {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(ApiError::bad_request(code, format!("`{name}` must be an array"))),
        }
    }

    /// The members of an object, which a query string gives as parameters of their own.
    ///
    /// # Errors
    /// `code` when it is anything else.
    pub(crate) fn members(&self, name: &str, code: &'static str) -> Result<Option<Fields>, ApiError> {
        if self.textual { Ok(Some(self.clone())) } else { self.object(name, code) }
    }

    /// The items of an array, which a query string gives separated by commas.
    ///
    /// # Errors
    /// `code` when it is anything else.
    pub(crate) fn items(&self, name: &str, code: &'static str) -> Result<Vec<Value>, ApiError> {
        match self.value(name, code)? {
            Some(Value::String(text)) if self.textual => {
                Ok(text.split(',').filter(|item| !item.trim().is_empty()).map(Value::from).collect())
            }
            _ => Ok(self.list(name, code)?.unwrap_or_default().to_vec()),
        }
    }

    /// Whether anything but null was given under this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !self.is_absent(value))
    }

    fn value(&self, name: &str, code: &'static str) -> Result<Option<&Value>, ApiError> {
        if self.repeated.iter().any(|repeated| repeated == name) {
            return Err(ApiError::bad_request(code, format!("`{name}` was given more than once")));
        }
        Ok(self.values.get(name).filter(|value| !self.is_absent(value)))
    }

    fn is_absent(&self, value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::String(text) => self.textual && text.trim().is_empty(),
            _ => false,
        }
    }

    fn finite(&self, name: &str, code: &'static str) -> Result<Option<f64>, ApiError> {
        let number = match self.value(name, code)? {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) if self.textual => decimal(text),
            Some(_) => None,
        };
        match number.filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(ApiError::bad_request(code, format!("`{name}` must be a number"))),
        }
    }
}

/// Digits with an optional sign, point and exponent; not Rust's `inf`, `nan` or surrounding blanks.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    (plain && text.len() <= 40).then(|| text.parse().ok()).flatten()
}

/// A refusal with the field's name in it.
pub(crate) fn refuse<T>(code: &'static str, message: impl Into<Cow<'static, str>>) -> Result<T, ApiError> {
    Err(ApiError::bad_request(code, message))
}

#[cfg(test)]
mod tests;

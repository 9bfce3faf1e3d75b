//! What a level does.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// One effect, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Effect {
    /// Stale windows are so many times as long; `stale_x4`.
    Stale(u32),
    /// Routes with `sheds: batch` are refused.
    NoBatch,
    /// Routes with `sheds: analysis` are refused.
    NoAnalysis,
    /// The upstream is asked to skip costly searches.
    NoFuzzy,
    /// Routes that have a fallback use it.
    Fallback,
    /// No upstream is asked.
    CacheOnly,
    /// The cache gives memory back.
    ShrinkCache,
}

const NAMED: [(&str, Effect); 6] = [
    ("no_batch", Effect::NoBatch),
    ("no_analysis", Effect::NoAnalysis),
    ("no_fuzzy", Effect::NoFuzzy),
    ("fallback", Effect::Fallback),
    ("cache_only", Effect::CacheOnly),
    ("shrink_cache", Effect::ShrinkCache),
];

impl FromStr for Effect {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, effect)) = NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(*effect);
        }
        let factor = text.strip_prefix("stale_x").and_then(|factor| factor.parse().ok());
        factor.filter(|factor| (2..=1_000).contains(factor)).map(Effect::Stale).ok_or_else(|| {
            let names = NAMED.map(|(name, _)| name).join(", ");
            format!("`{text}` is no effect; there are stale_x2 to stale_x1000, {names}")
        })
    }
}

impl TryFrom<String> for Effect {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Effect> for String {
    fn from(effect: Effect) -> Self {
        effect.to_string()
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Stale(factor) => write!(f, "stale_x{factor}"),
            named => f.write_str(NAMED.iter().find(|(_, effect)| effect == named).map_or("", |(name, _)| name)),
        }
    }
}

impl JsonSchema for Effect {
    fn schema_name() -> Cow<'static, str> {
        "Effect".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = NAMED.map(|(name, _)| name).join("|");
        json_schema!({ "type": "string", "pattern": format!(r"^(stale_x\d+|{names})$|^\$\{{") })
    }
}

/// All effects of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Effects {
    /// By how much stale windows are longer; 1: not.
    pub stale: u32,
    /// Batches are refused.
    pub no_batch: bool,
    /// Spatial analysis is refused.
    pub no_analysis: bool,
    /// The upstream is asked to skip costly searches. Its answers are poorer, so they should not be kept for long.
    pub no_fuzzy: bool,
    /// Routes that have a fallback use it.
    pub fallback: bool,
    /// No upstream is asked.
    pub cache_only: bool,
    /// While too much memory is used the cache is made smaller, step by step.
    pub shrink_cache: bool,
}

impl Default for Effects {
    fn default() -> Self {
        Self {
            stale: 1,
            no_batch: false,
            no_analysis: false,
            no_fuzzy: false,
            fallback: false,
            cache_only: false,
            shrink_cache: false,
        }
    }
}

impl Effects {
    /// What the upstream is told in `X-Degrade`.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        self.no_fuzzy.then_some("no-fuzzy")
    }
}

/// All of a list together; the error is a sentence.
pub(crate) fn compile(list: &[Effect]) -> Result<Effects, String> {
    let mut effects = Effects::default();
    for (at, effect) in list.iter().enumerate() {
        let twice = list[..at].iter().any(|other| std::mem::discriminant(other) == std::mem::discriminant(effect));
        if twice {
            return Err(format!("`{effect}` is there twice"));
        }
        match effect {
            Effect::Stale(factor) => effects.stale = *factor,
            Effect::NoBatch => effects.no_batch = true,
            Effect::NoAnalysis => effects.no_analysis = true,
            Effect::NoFuzzy => effects.no_fuzzy = true,
            Effect::Fallback => effects.fallback = true,
            Effect::CacheOnly => effects.cache_only = true,
            Effect::ShrinkCache => effects.shrink_cache = true,
        }
    }
    Ok(effects)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("stale_x4")]
    #[case("no_batch")]
    #[case("no_analysis")]
    #[case("no_fuzzy")]
    #[case("fallback")]
    #[case("cache_only")]
    #[case("shrink_cache")]
    fn what_is_printed_reads_back(#[case] text: &str) {
        let effect: Effect = serde_json::from_value(text.into()).unwrap();
        assert_eq!(serde_json::to_value(effect).unwrap(), text);
    }

    #[rstest]
    #[case("stale_x1")]
    #[case("stale_x1001")]
    #[case("stale_x")]
    #[case("stale")]
    #[case("No_batch")]
    #[case("")]
    fn what_is_no_effect_is_told_what_is(#[case] text: &str) {
        let error = serde_json::from_value::<Effect>(text.into()).unwrap_err().to_string();
        assert!(error.contains("stale_x2 to stale_x1000, no_batch, no_analysis"), "{error}");
    }

    #[test]
    fn each_once() {
        assert!(compile(&[Effect::Stale(2), Effect::Stale(4)]).unwrap_err().contains("twice"));
        let effects = compile(&[Effect::Stale(4), Effect::NoFuzzy]).unwrap();
        assert_eq!((effects.stale, effects.hint(), effects.no_batch), (4, Some("no-fuzzy"), false));
    }
}

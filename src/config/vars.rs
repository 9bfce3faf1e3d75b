//! `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `$$` in scalars.
//!
//! A value is put in as it is: what looks like a variable inside it is not replaced again, and it can't add structure,
//! because the document is parsed already.

/// Replaces the variables of a text; `None` where it holds no `$`. `env` answers for a name.
///
/// # Errors
/// A sentence: a variable that is not set and has no default, or a form that is not known.
pub(super) fn expand(text: &str, env: &impl Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
    if !text.contains('$') {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (inner, tail) = after.split_once('}').ok_or("`${` without its `}`")?;
            out.push_str(&value(inner, env)?);
            rest = tail;
        } else {
            return Err("a lone `$`; write `$$` for the sign itself".to_owned());
        }
    }
    out.push_str(rest);
    Ok(Some(out))
}

fn value(inner: &str, env: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
    let (name, form) = inner.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("`${{{inner}}}` names no variable"));
    }
    let default = if form.is_empty() {
        Err("")
    } else if let Some(default) = form.strip_prefix(":-") {
        Ok(default)
    } else if let Some(message) = form.strip_prefix(":?") {
        Err(message)
    } else {
        return Err(format!(
            "`${{{inner}}}` is not a known form; use ${{{name}}}, ${{{name}:-default}} or ${{{name}:?message}}"
        ));
    };
    // As in a shell, the forms with a colon count an empty value as not set.
    let set = env(name).filter(|value| form.is_empty() || !value.is_empty());
    let value = match (set, default) {
        (Some(value), _) => value,
        (None, Ok(default)) => default.to_owned(),
        (None, Err("")) => return Err(format!("the variable {name} is not set")),
        (None, Err(message)) => return Err(format!("the variable {name} is not set: {message}")),
    };
    if value.chars().any(char::is_control) {
        return Err(format!("the variable {name} holds a control character"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("h".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            "LINES" => Some("a\nb: c".to_owned()),
            _ => None,
        }
    }

    #[rstest]
    #[case("plain", None)]
    #[case("${HOST}:1", Some("h:1"))]
    #[case("a${HOST}b${HOST}", Some("ahbh"))]
    #[case("${MISSING:-d:-e}", Some("d:-e"))]
    #[case("${MISSING:-}", Some(""))]
    #[case("${EMPTY:-d}", Some("d"))]
    #[case("${EMPTY}", Some(""))]
    #[case("${HOST:?needed}", Some("h"))]
    #[case("$$5 and $${HOST}", Some("$5 and ${HOST}"))]
    #[case("${NESTED}", Some("${HOST}"))]
    fn forms(#[case] text: &str, #[case] expanded: Option<&str>) {
        assert_eq!(expand(text, &env).unwrap().as_deref(), expanded);
    }

    #[rstest]
    #[case("${MISSING}", "the variable MISSING is not set")]
    #[case("${MISSING:?set it to the token}", "the variable MISSING is not set: set it to the token")]
    #[case("${EMPTY:?}", "the variable EMPTY is not set")]
    #[case("${HOST", "without its `}`")]
    #[case("$HOST", "a lone `$`")]
    #[case("${}", "names no variable")]
    #[case("${1X}", "names no variable")]
    #[case("${HOST+x}", "not a known form")]
    #[case("${HOST:}", "not a known form")]
    #[case("${MISSING:}", "not a known form")]
    #[case("${LINES}", "control character")]
    fn mistakes(#[case] text: &str, #[case] message: &str) {
        let error = expand(text, &env).unwrap_err();
        assert!(error.contains(message), "{error}");
    }

    proptest! {
        #[test]
        fn never_panics(text in "[${}A-Z:?a-]{0,30}") {
            let _ = expand(&text, &env);
        }

        #[test]
        fn escaped_text_survives(text in ".{0,30}") {
            let escaped = text.replace('$', "$$");
            prop_assert_eq!(expand(&escaped, &env).unwrap().unwrap_or(escaped), text);
        }
    }
}

//! The references of settings and metrics in Markdown: `docs/configuration.md` and `docs/metrics.md` are made here.

use clap::ValueEnum;
use serde_json::Value;

use crate::telemetry::METRICS;

/// What is listed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Reference {
    /// The settings of `config.yaml`.
    Settings,
    /// The metrics of `/metrics`.
    Metrics,
}

impl Reference {
    /// The page.
    pub(crate) fn page(self) -> anyhow::Result<String> {
        Ok(match self {
            Reference::Settings => settings(crate::config::schema().as_value()),
            Reference::Metrics => metrics(),
        })
    }
}

fn metrics() -> String {
    let mut page = "# Metrics

Made by `addrgate reference metrics`. They are at `/metrics` of the admin listener (with its token), in the text format of Prometheus. Labels
come from closed sets, so a client can't add series.

| metric | kind | labels | meaning |
|---|---|---|---|
"
    .to_owned();
    for metric in METRICS.list() {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        page += &format!("| `{}` | {} | {} | {} |\n", metric.name, metric.kind, labels.join(", "), cell(&metric.help));
    }
    page
}

fn settings(schema: &Value) -> String {
    let mut page = "# Settings

Made by `addrgate reference settings`; [config.yaml](../config.yaml) shows them at work. Units are always written: `250ms`, `10s`, `5m`, `64KiB`,
`5%`, `1000/15m`. `${NAME:-default}` in a value is taken from the environment, `${NAME:?message}` must be there. `*` stands for a name of your
choice, `[]` for each item of a list. What is wrong is refused with its place and what to do; `addrgate check` says so beforehand.
A change is taken over while the gateway runs, unless the part says that it needs a restart.
"
    .to_owned();
    let mut walk = Walk { schema, listed: Vec::new() };
    // The general parts first, so that what may replace one for an upstream names it.
    let parts = || schema["properties"].as_object().into_iter().flatten();
    walk.listed = parts().map(|(name, part)| (walk.resolved(part), name.clone())).collect();
    for (name, part) in parts() {
        page += &format!("\n## {name}\n\n{}\n\n", text(part));
        let mut rows = Vec::new();
        walk.list(name, part, part.get("default"), &mut rows);
        match rows.is_empty() {
            true => page += &format!("{}.\n", walk.kind(part)),
            false => page += &format!("| setting | value | default | meaning |\n|---|---|---|---|\n{}", rows.concat()),
        }
    }
    page
}

struct Walk<'a> {
    schema: &'a Value,
    /// What has members, and where they are listed.
    listed: Vec<(&'a Value, String)>,
}

impl<'a> Walk<'a> {
    /// A row for each setting below `part`, whose own default comes before those of its members; or where the same ones
    /// are listed already.
    fn list(
        &mut self,
        path: &str,
        part: &'a Value,
        whole: Option<&'a Value>,
        rows: &mut Vec<String>,
    ) -> Option<String> {
        let part = self.resolved(part);
        if let Some(items) = part.get("items") {
            return self.list(&format!("{path}[]"), items, None, rows);
        }
        if let Some(values) = part.get("additionalProperties").filter(|values| values.is_object()) {
            return self.list(&format!("{path}.*"), values, None, rows);
        }
        let members = part.get("properties").and_then(Value::as_object)?;
        let known = self.listed.iter().find(|(listed, _)| std::ptr::eq(*listed, part));
        if let Some((_, at)) = known.filter(|(_, at)| whole.is_none() && at != path) {
            return Some(at.clone());
        }
        self.listed.push((part, path.to_owned()));
        let required: Vec<&str> = part["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, member) in members {
            let path = format!("{path}.{name}");
            let given = whole.and_then(|whole| whole.get(name)).or_else(|| member.get("default"));
            let default = match given {
                Some(Value::Object(_)) | None if !required.contains(&name.as_str()) => String::new(),
                None => "required".to_owned(),
                Some(Value::String(text)) if text.is_empty() => String::new(),
                Some(Value::String(text)) => format!("`{text}`"),
                Some(value) => format!("`{value}`"),
            };
            let own = if text(member).is_empty() { text(self.resolved(member)) } else { text(member) };
            let mut below = Vec::new();
            let kind = match self.list(&path, member, given, &mut below) {
                Some(at) if at.ends_with('*') => format!("by name, each as `{at}`"),
                Some(at) => format!("as `{at}`"),
                None => self.kind(member),
            };
            rows.push(format!("| `{path}` | {} | {} | {} |\n", cell(&kind), cell(&default), cell(&own)));
            rows.append(&mut below);
        }
        None
    }

    /// What a value looks like.
    fn kind(&self, part: &'a Value) -> String {
        let of = self.resolved(part);
        let words = |values: &[Value]| {
            let words: Vec<String> = values.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
            words.join(", ")
        };
        if let Some(values) = of["enum"].as_array() {
            return words(values);
        }
        if let Some(choices) = of["oneOf"].as_array().or_else(|| of["anyOf"].as_array()) {
            let kinds: Vec<String> = choices.iter().map(|choice| self.kind(choice)).collect();
            return kinds.join(", ");
        }
        if let Some(word) = of["const"].as_str() {
            return format!("`{word}`");
        }
        // What may be left out is of two types, the other one `null`.
        let types = of["type"].as_array().map_or(std::slice::from_ref(&of["type"]), Vec::as_slice);
        match types.iter().filter_map(Value::as_str).find(|name| *name != "null") {
            Some("array") => format!("list of {}", of.get("items").map(|items| self.kind(items)).unwrap_or_default()),
            Some("object") if of.get("additionalProperties").is_some_and(Value::is_object) => "by name".to_owned(),
            Some("object") => "settings".to_owned(),
            Some("integer" | "number") => "number".to_owned(),
            Some("boolean") => "`true`, `false`".to_owned(),
            Some(_) => "text".to_owned(),
            None => "any JSON value".to_owned(),
        }
    }

    /// Past references, and past the `null` of what may be left out.
    fn resolved(&self, part: &'a Value) -> &'a Value {
        if let Some(name) = part["$ref"].as_str().and_then(|place| place.strip_prefix("#/$defs/")) {
            return self.resolved(&self.schema["$defs"][name]);
        }
        let choices = part["anyOf"].as_array().map(Vec::as_slice).unwrap_or_default();
        let some: Vec<&Value> = choices.iter().filter(|choice| choice["type"] != "null").collect();
        match some.as_slice() {
            [one] => self.resolved(one),
            _ => part,
        }
    }
}

fn text(part: &Value) -> String {
    part["description"].as_str().unwrap_or_default().replace('\n', " ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

//! One JSON object per line of the process log.
//!
//! The subscriber's own format adds `log.file` to what comes through the crate `log`: paths of the machine on which the
//! program was built, which are nobody's business and of no use to an operator.

use std::fmt;
use std::panic::PanicHookInfo;
use std::path::Path;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// No text of a line is longer, in bytes: the buffer holds lines, not novels.
const LONGEST: usize = 8 << 10;

/// Formats a log event as one line of JSON.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writeln!(writer, "{}", object(event, chrono::Utc::now()))
    }
}

fn object(event: &Event<'_>, now: chrono::DateTime<chrono::Utc>) -> Value {
    let mut fields = Fields::default();
    fields.put("timestamp", now.format("%FT%T%.6fZ").to_string().into());
    fields.put("level", event.metadata().level().as_str().into());
    event.record(&mut fields);
    let target = fields.target.take().unwrap_or_else(|| event.metadata().target().to_owned());
    fields.put("target", target.into());
    Value::Object(fields.map)
}

/// The fields of an event, in their order. Of those that the crate `log` adds only the target is taken.
#[derive(Default)]
struct Fields {
    map: Map<String, Value>,
    target: Option<String>,
}

impl Fields {
    fn put(&mut self, name: &str, value: Value) {
        if !name.starts_with("log.") {
            self.map.insert(name.to_owned(), value);
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "log.target" => self.target = Some(value.to_owned()),
            name => self.put(name, cut(value.to_owned()).into()),
        }
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), cut(format!("{value:?}")).into());
    }
}

/// Logs a panic instead of the standard hook.
pub(super) fn panicked(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = panic.location().map(|at| place(at.file(), at.line())).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("without a message");
    tracing::error!(thread = thread.name().unwrap_or(""), place, "a thread panicked: {message}");
}

/// A place in our own source; of another's the file's name alone, since its path is the build machine's.
fn place(file: &str, line: u32) -> String {
    let path = Path::new(file);
    match path.is_absolute() {
        true => format!("{}:{line}", path.file_name().unwrap_or_default().display()),
        false => format!("{file}:{line}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// The lines that `log` makes.
    fn lines(log: impl FnOnce()) -> Vec<Value> {
        #[derive(Clone, Default)]
        struct Sink(Arc<Mutex<Vec<u8>>>);
        impl Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt().event_format(Json).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = sink.0.lock().unwrap().clone();
        bytes
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    #[test]
    fn a_line_holds_the_events_own_fields() {
        let found = lines(|| tracing::warn!(n = 3, flag = true, text = "a\n\"b\"", list = ?[1, 2], "said {}", 5));
        assert_eq!(found.len(), 1);
        let Value::Object(mut line) = found[0].clone() else { panic!("{found:?}") };
        assert!(line.shift_remove("timestamp").unwrap().as_str().unwrap().ends_with('Z'));
        let expected = serde_json::json!({
            "level": "WARN", "message": "said 5", "n": 3, "flag": true, "text": "a\n\"b\"", "list": "[1, 2]",
            "target": module_path!(),
        });
        assert_eq!(Value::Object(line), expected);
    }

    #[test]
    fn long_texts_are_cut() {
        let found = lines(|| tracing::info!(text = "é".repeat(LONGEST), "m"));
        assert!(found[0]["text"].as_str().unwrap().len() <= LONGEST + "…".len());
    }

    #[test]
    fn paths_of_the_build_machine_are_told_to_nobody() {
        assert_eq!(place("/build/registry/src/h2-0.4/src/codec.rs", 7), "codec.rs:7");
        assert_eq!(place("src/door.rs", 7), "src/door.rs:7");
        // As `log` hands its records over.
        let found = lines(|| {
            tracing::error!(
                message = "m",
                log.target = "pingora_core::services",
                log.module_path = "pingora_core::services",
                log.file = "/build/registry/src/pingora/services.rs",
                log.line = 241,
            );
        });
        assert_eq!(found[0]["target"], "pingora_core::services");
        assert!(!found[0].to_string().contains("/build") && !found[0].to_string().contains("log."), "{found:?}");
    }
}

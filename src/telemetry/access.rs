//! One JSON line per request, through a bounded buffer ([`Lines`]).

use std::io::Write;
use std::time::Duration;

use addrgate_filters::verdict::Verdict;

use super::METRICS;
use super::lines::Lines;
use super::metrics::CacheOutcome;

/// What a line tells; everything that a client chose is cut and escaped.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    /// The request's names, its client and its route.
    pub(crate) verdict: &'a Verdict,
    /// Told where the verdict knows no better address.
    pub(crate) peer: Option<std::net::IpAddr>,
    pub(crate) method: &'a str,
    /// Without the query: what people look for is their own business.
    pub(crate) path: &'a str,
    /// 0 where the client left before the answer.
    pub(crate) status: u16,
    /// Body bytes sent.
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
    pub(crate) cache: CacheOutcome,
    /// Time the upstream took, where it was asked.
    pub(crate) upstream: Option<Duration>,
    /// Which filter or part refused, and its reason.
    pub(crate) refused: Option<(&'a str, &'a str)>,
}

/// The access log.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog(Lines);

impl AccessLog {
    /// Writes to `out`.
    pub(crate) fn start(out: Box<dyn Write + Send>) -> std::io::Result<Self> {
        Lines::start("access-log", out, &METRICS.access_dropped).map(Self)
    }

    /// Appends a line.
    pub(crate) fn write(&self, line: &Line<'_>) {
        self.0.append(|out| format(line, chrono::Utc::now(), out));
    }

    /// Writes out what is there, within a second; nothing is logged afterwards.
    pub(crate) fn close(&self) {
        self.0.close();
    }
}

fn format(line: &Line<'_>, now: chrono::DateTime<chrono::Utc>, out: &mut Vec<u8>) {
    let verdict = line.verdict;
    // Writing into a vector can't fail.
    let _never_fails = write!(out, r#"{{"ts":"{}","id":"{}""#, now.format("%FT%T%.3fZ"), verdict.request_id.as_str());
    let text = |out: &mut Vec<u8>, name: &str, value: Option<&str>| {
        if let Some(value) = value {
            let _never_fails = write!(out, r#","{name}":""#);
            escape(value, out);
            out.push(b'"');
        }
    };
    text(out, "correlation", verdict.correlation.as_deref());
    text(out, "client", verdict.client.as_ref().map(|client| &*client.name));
    if let Some(peer) = verdict.address.or(line.peer) {
        let _never_fails = write!(out, r#","peer":"{peer}""#);
    }
    text(out, "route", verdict.route.as_ref().map(|route| route.name()));
    text(out, "method", Some(line.method));
    text(out, "path", Some(line.path));
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let _never_fails = write!(
        out,
        r#","status":{},"bytes":{},"ms":{:.3},"cache":"{}""#,
        line.status,
        line.bytes,
        ms(line.elapsed),
        line.cache.as_str()
    );
    if let Some(upstream) = line.upstream {
        let _never_fails = write!(out, r#","upstream_ms":{:.3}"#, ms(upstream));
    }
    if let Some((by, reason)) = line.refused {
        text(out, "by", Some(by));
        text(out, "reason", Some(reason));
    }
    out.extend_from_slice(b"}\n");
}

/// Escapes for JSON and cuts after 256 bytes.
fn escape(value: &str, out: &mut Vec<u8>) {
    const LONGEST: usize = 256;
    let end = (0..=LONGEST.min(value.len())).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
    for byte in value[..end].bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 | 0x7f => {
                let _never_fails = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
    if end < value.len() {
        out.extend_from_slice("…".as_bytes());
    }
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn line<'a>(verdict: &'a Verdict, path: &'a str) -> Line<'a> {
        Line {
            verdict,
            peer: None,
            method: "GET",
            path,
            status: 200,
            bytes: 5,
            elapsed: Duration::from_micros(1500),
            cache: CacheOutcome::Hit,
            upstream: None,
            refused: Some(("client", "no_key")),
        }
    }

    proptest! {
        #[test]
        fn every_line_is_one_line_of_json(path in any::<String>()) {
            let mut out = Vec::new();
            format(&line(&Verdict::default(), &path), chrono::DateTime::UNIX_EPOCH, &mut out);
            prop_assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
            let value: Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&value["ms"], &Value::from(1.5));
            if path.len() <= 256 {
                prop_assert_eq!(value["path"].as_str().unwrap(), path);
            } else {
                prop_assert!(value["path"].as_str().unwrap().len() <= 260);
            }
        }
    }
}

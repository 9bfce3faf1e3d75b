//! What a scenario measured, beside its bars.

use std::fmt;

/// How large a scenario is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Seconds, beside other tests.
    Short,
    /// As written, alone on the machine.
    Full,
}

impl Scale {
    /// The value of this form.
    pub fn pick<T>(self, short: T, full: T) -> T {
        match self {
            Scale::Short => short,
            Scale::Full => full,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bar {
    AtLeast(f64),
    AtMost(f64),
    /// Only told.
    None,
}

/// The measures of one run.
#[derive(Debug, Default)]
pub struct Report(Vec<(String, f64, Bar)>);

impl Report {
    /// A value that must not be below `bar`.
    pub fn at_least(&mut self, what: impl Into<String>, value: f64, bar: f64) {
        self.0.push((what.into(), value, Bar::AtLeast(bar)));
    }

    /// A value that must not be above `bar`.
    pub fn at_most(&mut self, what: impl Into<String>, value: f64, bar: f64) {
        self.0.push((what.into(), value, Bar::AtMost(bar)));
    }

    /// A value without a bar.
    pub fn tell(&mut self, what: impl Into<String>, value: f64) {
        self.0.push((what.into(), value, Bar::None));
    }

    /// Whether every bar was reached.
    pub fn met(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|(_, value, bar)| met(*value, *bar))
    }

    /// Panics with the whole table where one was not.
    pub fn check(&self) {
        assert!(self.met(), "\n{self}");
    }
}

fn met(value: f64, bar: Bar) -> bool {
    match bar {
        // What was not measured (not a number) reaches nothing.
        Bar::AtLeast(bar) => value >= bar,
        Bar::AtMost(bar) => value <= bar,
        Bar::None => true,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, value, bar) in &self.0 {
            let wanted = match bar {
                Bar::AtLeast(bar) => format!(">= {bar:.3}"),
                Bar::AtMost(bar) => format!("<= {bar:.3}"),
                Bar::None => String::new(),
            };
            let mark = if met(*value, *bar) { "" } else { "  MISSED" };
            writeln!(f, "  {what:<64} {value:>12.3}  {wanted:<14}{mark}")?;
        }
        Ok(())
    }
}

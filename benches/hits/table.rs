//! Ratios of one round each, and bars.

use std::time::Duration;

use crate::load::Seen;
use crate::servers::Server;

/// Answers per second of CPU time, by server and round.
pub(crate) struct Ratios {
    names: Vec<&'static str>,
    rates: Vec<Vec<f64>>,
    /// How much of its core the server used.
    busy: Vec<Vec<f64>>,
}

impl Ratios {
    pub(crate) fn new(servers: &[Server]) -> Self {
        let none = vec![Vec::new(); servers.len()];
        Self { names: servers.iter().map(|server| server.name).collect(), rates: none.clone(), busy: none }
    }

    pub(crate) fn add(&mut self, server: &Server, (seen, cpu): &(Seen, Duration)) {
        self.put(server, seen.answers, *cpu, seen.wall);
    }

    /// So many responses for so much CPU time, within so much time.
    pub(crate) fn put(&mut self, server: &Server, responses: u64, cpu: Duration, wall: Duration) {
        if let Some(at) = self.names.iter().position(|name| *name == server.name) {
            self.rates[at].push(responses as f64 / cpu.as_secs_f64());
            self.busy[at].push(cpu.as_secs_f64() / wall.as_secs_f64());
        }
    }

    /// How many times as many answers as another a server gives for its CPU time.
    pub(crate) fn of(&self, name: &str, other: &str) -> f64 {
        let at = |name| self.names.iter().position(|known| *known == name);
        at(name).zip(at(other)).map_or(f64::NAN, |(at, other)| median(&self.against(at, other)))
    }

    /// Each round by itself: what else the machine does hits neighbours alike.
    fn against(&self, at: usize, other: usize) -> Vec<f64> {
        self.rates[at].iter().zip(&self.rates[other]).map(|(rate, other)| rate / other).collect()
    }

    pub(crate) fn print(&self) {
        let first = self.names[0];
        let (rate, each, best, spread) = ("per CPU s", "us each", "at best", "least to most");
        println!("{:<22} {rate:>12} {each:>10} {best:>8} {first:>8} {spread:>16} {:>6}", "", "busy");
        for (at, name) in self.names.iter().enumerate() {
            let ratios = self.against(at, 0);
            let (least, most) =
                ratios.iter().fold((f64::MAX, 0.0_f64), |(least, most), r| (least.min(*r), most.max(*r)));
            let (rate, busy) = (median(&self.rates[at]), median(&self.busy[at]) * 100.0);
            // The round in which other programs took least from this one.
            let best = self.rates[at].iter().copied().fold(0.0, f64::max);
            let (each, best, ratio, spread) =
                (1e6 / rate, 1e6 / best, median(&ratios), format!("{least:.2} to {most:.2}"));
            println!("{name:<22} {rate:>12.0} {each:>10.2} {best:>8.2} {ratio:>8.2} {spread:>16} {busy:>5.0}%");
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Prints what was reached beside what should be; whether all is. `at_least`: or at most.
pub(crate) fn bars(bars: &[(&str, f64, f64, bool)]) -> bool {
    let mut all = true;
    for (name, value, bar, at_least) in bars {
        let kept = if *at_least { value >= bar } else { value <= bar };
        all &= kept;
        let relation = if *at_least { ">=" } else { "<=" };
        println!("bar: {name:<26} {value:>8.3} {relation} {bar:<6} {}", if kept { "ok" } else { "MISSED" });
    }
    all
}

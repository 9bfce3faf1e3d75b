//! The state machine against a model that keeps everything that happened since the last change and counts it anew.

use proptest::prelude::*;

use super::machine::Machine;
use super::window::Call;
use super::*;
use crate::traffic::units::Percent;

#[derive(Debug, Clone)]
enum Step {
    Admit,
    /// The call that was admitted as the n-th of those still out.
    Report {
        nth: usize,
        call: Call,
    },
    Cancel {
        nth: usize,
    },
    Wait {
        millis: u64,
    },
    OwnProbe,
    Force(Force),
}

fn step() -> impl Strategy<Value = Step> {
    let call = (any::<bool>(), any::<bool>()).prop_map(|(failed, slow)| Call { failed, slow: slow && !failed });
    prop_oneof![
        8 => Just(Step::Admit),
        8 => (0usize..8, call).prop_map(|(nth, call)| Step::Report { nth, call }),
        2 => (0usize..8).prop_map(|nth| Step::Cancel { nth }),
        3 => (0u64..3_000).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::OwnProbe),
        1 => prop_oneof![Just(Force::Open), Just(Force::Closed), Just(Force::Automatic), Just(Force::Automatic)]
            .prop_map(Step::Force),
    ]
}

struct Model {
    config: Config,
    state: State,
    /// Number of changes so far.
    epoch: u64,
    /// Results, and calls let through and not cancelled, since the last change.
    results: Vec<Call>,
    admitted: usize,
    last_admitted: Instant,
    until: Instant,
}

impl Model {
    fn go(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
        self.results.clear();
        self.admitted = 0;
    }

    fn admit(&mut self, now: Instant) -> bool {
        if self.state == State::Open && now >= self.until {
            self.go(State::HalfOpen);
        }
        let full = self.state == State::HalfOpen && self.admitted == self.config.probes;
        if full && now >= self.last_admitted + self.config.half_open.0 {
            self.go(State::Open);
        }
        let passes = !full && !self.state.refuses();
        if passes {
            self.admitted += 1;
            self.last_admitted = now;
        }
        passes
    }

    fn report(&mut self, epoch: u64, call: Call) {
        if epoch != self.epoch {
            return;
        }
        self.results.push(call);
        let config = self.config;
        let last = &self.results[self.results.len().saturating_sub(config.window)..];
        let bad = |of: usize| {
            config.failure_rate.is_reached(last.iter().filter(|call| call.failed).count(), of)
                || config.slow_rate.is_reached(last.iter().filter(|call| call.slow).count(), of)
        };
        match self.state {
            State::Closed if last.len() >= config.minimum && bad(last.len()) => self.go(State::Open),
            State::HalfOpen if bad(config.probes) => self.go(State::Open),
            State::HalfOpen if self.results.len() == config.probes => self.go(State::Closed),
            _ => {}
        }
    }

    fn force(&mut self, force: Force) {
        match (force, self.state) {
            (Force::Open, state) if state != State::ForcedOpen => self.go(State::ForcedOpen),
            (Force::Closed, state) if state != State::ForcedClosed => self.go(State::ForcedClosed),
            (Force::Automatic, State::ForcedOpen) => self.go(State::HalfOpen),
            (Force::Automatic, State::ForcedClosed) => self.go(State::Closed),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn behaves_like_the_model(
        window in 1usize..12,
        minimum in 1usize..12,
        probes in 1usize..6,
        rate in 20u32..=100,
        slow_rate in 20u32..=100,
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let window = window.max(probes);
        let config = Config {
            window,
            minimum: minimum.min(window),
            probes,
            failure_rate: Percent::of(rate),
            slow_rate: Percent::of(slow_rate),
            ..Config::default()
        };
        config.check().unwrap();
        let mut now = Instant::now();
        let mut machine = Machine::new(config);
        let mut model = Model {
            config, state: State::Closed, epoch: 0, results: Vec::new(), admitted: 0, last_admitted: now, until: now,
        };
        let mut out: Vec<u64> = Vec::new();
        let mut opened = 0;
        for step in steps {
            match step {
                Step::Wait { millis } => now += Duration::from_millis(millis),
                Step::Admit => {
                    let admitted = machine.admit(now);
                    prop_assert_eq!(admitted.is_ok(), model.admit(now));
                    if admitted.is_ok() {
                        out.push(machine.generation);
                    }
                }
                Step::Report { nth, call } if nth < out.len() => {
                    let generation = out.remove(nth);
                    machine.report(generation, call, false, now);
                    model.report(generation, call);
                }
                Step::Cancel { nth } if nth < out.len() => {
                    let generation = out.remove(nth);
                    machine.cancelled(generation);
                    model.admitted -= usize::from(generation == model.epoch);
                }
                Step::Report { .. } | Step::Cancel { .. } => {}
                Step::OwnProbe => {
                    if machine.answered(machine.generation, now) {
                        prop_assert_eq!(model.state, State::Open);
                        model.go(State::HalfOpen);
                        prop_assert!(model.admit(now));
                        out.push(machine.generation);
                    }
                }
                Step::Force(force) => {
                    machine.force(force, now);
                    model.force(force);
                }
            }
            prop_assert_eq!(machine.state(), model.state);
            prop_assert_eq!(machine.generation, model.epoch, "every change is a generation");
            if machine.opened > opened {
                opened = machine.opened;
                let time = machine.reopens_in(now).unwrap();
                let longest = config.open_max.0;
                prop_assert!(time <= longest && time >= config.open.0.mul_f64(0.79), "{:?}", time);
                model.until = now + time;
            }
            // It can always be let through again, without anybody's help.
            let patience = config.half_open.0 + config.open_max.0;
            if model.state == State::Open {
                prop_assert!(machine.reopens_in(now).unwrap() <= patience);
            }
        }
    }
}

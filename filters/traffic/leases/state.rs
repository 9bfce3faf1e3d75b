//! What this instance holds of one shared budget, and what to do next: decisions alone, no clock and no network.
//!
//! Tokens at hand are spent without asking. When less than half a batch is left, more are asked for; only who finds
//! nothing waits. The batch follows the demand: it doubles when it was spent in half a second and halves when it lasted
//! two, between a fiftieth and a tenth of the budget. Tokens that nobody used for two seconds are given back.
//!
//! While nobody can say what the other instances do, this one allows what `on_error` says. Its own share, `local`, begins
//! with what is left of the budget as far as is known, divided by the instances: all of it where nothing is known. Others may
//! have spent everything without its being known here; so that all instances together never allow more than 1.5 times the
//! budget, and then what comes back in time, more than two begin with less. What was allowed alone is owed, and taken from
//! the budget as soon as it can be asked again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::traffic::gcra::Pace;
use crate::traffic::units::Rate;

/// What is allowed while nobody knows what the other instances allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// What is known to be left of the limit, all of it where nothing is known, divided by the number of instances: all
    /// together at most 1.5 times the limit.
    #[default]
    Local,
    /// Everything.
    Allow,
    /// What is at hand, then nothing: 503.
    Deny,
}

const SECOND: u64 = 1_000_000_000;

/// Tokens that nobody used for so long are given back.
pub(crate) const IDLE: u64 = 2 * SECOND;

/// After a failure, so long nothing is asked.
const RETRY: u64 = SECOND;

/// Where the budget is empty, nothing is asked before something can have come back in time: but for so long at least, so
/// that a flood asks twenty times a second at most (shorter for short periods), and at most so long, because other
/// instances may give back.
const LULL: (u64, u64) = (SECOND / 20, SECOND);

/// Of smaller budgets nothing is leased ahead of need: one idle token would be too much of them.
const SMALL: u64 = 20;

/// Times are nanoseconds of [`crate::traffic::gcra::now`].
#[derive(Debug)]
pub(crate) struct State {
    count: u64,
    period: u64,
    interval: u64,
    /// At hand.
    tokens: u64,
    /// To be given back when next something is asked.
    back: u64,
    /// Allowed without a token, to be paid when next something is asked; never more than the budget.
    owed: u64,
    /// To be asked for at once.
    batch: u64,
    used_at: u64,
    leased_at: u64,
    /// When the whole budget is there, as the last answer told.
    full_at: u64,
    /// Until then nothing is asked, because there was nothing to lease.
    empty_until: u64,
    /// When one token will have come back, as the last answer told.
    next_at: u64,
    /// An answer is awaited.
    asking: bool,
    /// The last question failed; not before `retry_at` another.
    away: bool,
    retry_at: u64,
    /// The theoretical arrival time of what is allowed while away.
    alone_at: u64,
    /// A request found nothing at hand since something was last asked.
    missed: bool,
}

/// How an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) remaining: u64,
    /// Nanoseconds until the whole budget is there.
    pub(crate) full_in: u64,
}

/// What a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    /// One of the tokens at hand.
    Token(Balance),
    /// Leave, though nobody knows what the others do.
    Alone(Balance),
    /// Nothing; so many nanoseconds until there is one.
    Empty { wait: u64, balance: Balance },
    /// Nothing, because nobody can be asked and `on_error` says `deny`.
    Unknown,
    /// An answer has to be awaited.
    Wait,
}

/// What to ask of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) back: u64,
    pub(crate) owed: u64,
    pub(crate) want: u64,
}

impl State {
    pub(crate) fn new(rate: Rate) -> Self {
        let Pace { period, interval } = rate.into();
        Self {
            count: rate.count,
            period,
            interval,
            tokens: 0,
            back: 0,
            owed: 0,
            batch: (rate.count / 50).max(2),
            used_at: 0,
            leased_at: 0,
            full_at: 0,
            empty_until: 0,
            next_at: 0,
            asking: false,
            away: false,
            retry_at: 0,
            alone_at: 0,
            missed: false,
        }
    }

    /// One request.
    pub(crate) fn take(&mut self, on_error: OnError, instances: u64, now: u64) -> Take {
        self.put_idle_aside(now);
        self.used_at = now;
        if self.tokens > 0 {
            self.tokens -= 1;
            return Take::Token(self.balance(now));
        }
        self.missed = true;
        if self.away {
            return match on_error {
                OnError::Local => self.alone(instances, now),
                OnError::Allow => {
                    self.owe();
                    Take::Alone(self.balance(now))
                }
                OnError::Deny => Take::Unknown,
            };
        }
        if now < self.empty_until {
            let wait = self.next_at.max(self.empty_until) - now;
            return Take::Empty { wait, balance: self.balance(now) };
        }
        Take::Wait
    }

    /// A token that was taken but not used.
    pub(crate) fn give_back(&mut self) {
        self.tokens += 1;
    }

    /// What to ask now, if anything; the answer comes by [`State::leased`] or [`State::failed`].
    pub(crate) fn order(&mut self, now: u64) -> Option<Order> {
        let low = self.missed || self.count >= SMALL && self.tokens * 2 < self.batch;
        let wants = low && now.saturating_sub(self.used_at) < IDLE && now >= self.empty_until;
        let may = !self.asking && (!self.away || now >= self.retry_at);
        if !may || !wants && self.back == 0 && self.owed == 0 {
            return None;
        }
        if wants && self.leased_at > 0 {
            let (least, most) = ((self.count / 50).max(2), (self.count / 10).max(2));
            match now.saturating_sub(self.leased_at) {
                ..=500_000_000 => self.batch = (self.batch * 2).min(most),
                2_000_000_000.. => self.batch = (self.batch / 2).max(least),
                _ => {}
            }
        }
        (self.asking, self.missed) = (true, false);
        Some(self.settle(if wants { self.batch } else { 0 }))
    }

    /// Gives everything back that is at hand, and pays what is owed: the end of this instance.
    pub(crate) fn surrender(&mut self) -> Option<Order> {
        self.back += std::mem::take(&mut self.tokens);
        (self.back > 0 || self.owed > 0).then(|| self.settle(0))
    }

    fn settle(&mut self, want: u64) -> Order {
        Order { back: std::mem::take(&mut self.back), owed: std::mem::take(&mut self.owed), want }
    }

    fn owe(&mut self) {
        self.owed = (self.owed + 1).min(self.count);
    }

    /// An answer: tokens, and the nanoseconds until the whole budget and until one token is there.
    pub(crate) fn leased(&mut self, order: Order, granted: u64, full_in: u64, wait: u64, now: u64) {
        (self.asking, self.away, self.missed) = (false, false, false);
        self.next_at = now.saturating_add(wait);
        self.full_at = now.saturating_add(full_in);
        if granted > 0 {
            self.tokens += granted;
            (self.leased_at, self.used_at) = (now, now);
        }
        let lull = wait.clamp(LULL.0.min(self.period / 1000), LULL.1);
        self.empty_until = if granted == 0 && order.want > 0 { now + lull } else { 0 };
    }

    /// No answer. What was to be given back is gone, and what was owed still is: giving it back twice would allow too much.
    pub(crate) fn failed(&mut self, order: Order, instances: u64, now: u64) {
        self.asking = false;
        self.owed = (self.owed + order.owed).min(self.count);
        self.go_away(instances, now);
    }

    /// An answer that was awaited too long; it may still come.
    pub(crate) fn go_away(&mut self, instances: u64, now: u64) {
        if !self.away {
            // What is left of the budget, divided by the instances; but one whole request if there is one for each. The
            // others of this instance may know no better: together they begin with half the budget at most.
            let (step, most) = self.alone_steps(instances);
            let left = self.period - self.full_at.saturating_sub(now).min(self.period);
            let one = if left >= step.min(self.period) { step } else { 0 };
            let others = instances.saturating_sub(1).max(1);
            let begin = left.min((self.period / 2 / others).saturating_mul(instances)).max(one);
            self.alone_at = self.alone_at.max(now + most - begin);
        }
        (self.away, self.retry_at) = (true, now + RETRY);
    }

    /// Whether there is something that must be given back once it was idle for too long, or paid.
    pub(crate) fn holds(&self) -> bool {
        self.tokens > 0 || self.back > 0 || self.owed > 0
    }

    /// Whether the last question failed.
    pub(crate) fn is_away(&self) -> bool {
        self.away
    }

    /// When the tokens at hand will have been idle for too long.
    pub(crate) fn idle_at(&self) -> u64 {
        self.used_at + IDLE
    }

    /// Puts tokens that were idle for too long aside, to be given back.
    pub(crate) fn put_idle_aside(&mut self, now: u64) {
        if now >= self.idle_at() {
            self.back += std::mem::take(&mut self.tokens);
        }
    }

    fn balance(&self, now: u64) -> Balance {
        let full_in = self.full_at.saturating_sub(now);
        let elsewhere = (self.period - full_in.min(self.period)) / self.interval;
        Balance {
            remaining: (elsewhere + self.tokens).min(self.count),
            full_in: full_in.saturating_sub(self.tokens.saturating_mul(self.interval)),
        }
    }

    /// The budget divided by the instances.
    fn alone(&mut self, instances: u64, now: u64) -> Take {
        let (step, most) = self.alone_steps(instances);
        let ahead = (self.alone_at.max(now) - now).saturating_add(step);
        if ahead > most {
            let balance = Balance { remaining: 0, full_in: ahead - step };
            return Take::Empty { wait: ahead - most, balance };
        }
        self.alone_at = now + ahead;
        self.owe();
        Take::Alone(Balance { remaining: (most - ahead) / step, full_in: ahead })
    }

    /// Alone, an instance lets one request through in so many nanoseconds, and may be so many ahead. Where there are more
    /// instances than requests in the budget, each still has one.
    fn alone_steps(&self, instances: u64) -> (u64, u64) {
        let step = self.interval.saturating_mul(instances.max(1));
        (step, self.period.max(step))
    }
}

#[cfg(test)]
mod tests;

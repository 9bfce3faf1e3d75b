//! How many requests an upstream gets at once: additive increase, multiplicative decrease, between a floor and a ceiling.
//!
//! The limit grows by one per round of good responses and shrinks by a tenth at most once per round of bad ones. Below the
//! last limit that was good it doubles per round (slow start, RFC 5681): what a freeze took is back in a few rounds. A slow
//! response or a timeout counts only while at least half of the limit is in use: one among three requests says nothing about
//! sixty.

use std::time::Duration;

use tokio::time::Instant;

use super::knee::Knee;
use crate::traffic::Answered;

/// What a bad sign leaves of the limit.
const BACKOFF: f64 = 0.9;

/// A call that came back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// Which route it was made for; latencies are compared within one.
    pub(super) route: usize,
    pub(super) answered: Answered,
    /// How long it took, and from when on that is a bad sign.
    pub(super) elapsed: Duration,
    pub(super) slow: Duration,
    pub(super) began: Instant,
}

#[derive(Debug)]
pub(super) struct Limit {
    value: f64,
    /// Up to here it doubles per round. What was found too high first, less a tenth, as long as no good response came since.
    good: f64,
    /// Whether it has grown since it last shrank.
    grown: bool,
    /// What it may grow to: the knee as it was found last, else the ceiling.
    bound: f64,
    knee: Knee,
    floor: usize,
    ceiling: usize,
    /// When it last shrank. Calls begun before say nothing about the limit of now.
    shrunk: Option<Instant>,
}

impl Limit {
    /// Begins at the ceiling, which the operator has found bearable; a start from below would refuse the first burst.
    pub(super) fn new(floor: usize, ceiling: usize) -> Self {
        let most = ceiling as f64;
        Self { value: most, good: most, grown: true, bound: most, knee: Knee::new(), floor, ceiling, shrunk: None }
    }

    /// Whole requests.
    pub(super) fn now(&self) -> usize {
        // Between floor and ceiling, both small and positive.
        self.knee.limit().unwrap_or_else(|| self.usual())
    }

    /// The same but for a trial, which is over in a moment.
    pub(super) fn usual(&self) -> usize {
        self.value as usize
    }

    /// With so many at the upstream: whether the limit is another now. Says when to look again at the latest.
    pub(super) fn look(&mut self, running: usize) -> Option<Instant> {
        self.knee.look(running);
        self.knee.until()
    }

    /// Other bounds. A limit that stood at the old ceiling had found nothing, so it goes to the new one.
    pub(super) fn configure(&mut self, floor: usize, ceiling: usize) {
        self.knee.give_up();
        let value = if self.now() == self.ceiling { ceiling as f64 } else { self.value };
        self.bound = if self.bound >= self.ceiling as f64 { ceiling as f64 } else { self.bound.min(ceiling as f64) };
        (self.floor, self.ceiling) = (floor, ceiling);
        self.value = value.clamp(floor as f64, ceiling as f64);
        self.good = self.good.clamp(self.value, ceiling as f64);
    }

    /// What came of a call on `route` that began at `began`, with so many running, itself included. A response after `slow`
    /// is bad.
    pub(super) fn learn(&mut self, call: &Call, running: usize) {
        let Call { route, answered, elapsed, slow, began } = *call;
        let bad = match answered {
            Answered::Ok => elapsed >= slow,
            Answered::Throttled | Answered::Overloaded | Answered::TimedOut => true,
            // Quick failures say nothing about how much it can bear; the breaker counts them.
            Answered::Failed => return,
        };
        // In a trial a call that took too long is what is looked for, not a reason to end it.
        let counts = bad && matches!(answered, Answered::Ok | Answered::TimedOut) && self.knee.limit().is_some();
        if !bad || counts {
            // On the way back up nothing is tried out.
            if self.value >= self.good.min(self.bound) || self.knee.limit().is_some() {
                let bounds = (self.floor, self.ceiling);
                match self.knee.learn((route, elapsed, began), running, self.value, bounds) {
                    Some(found) if found < self.value || self.value >= self.bound => {
                        (self.bound, self.value) = (found, found);
                    }
                    Some(found) => self.bound = self.bound.max(found),
                    None => {}
                }
            }
            if self.knee.limit().is_none() {
                let step = if self.value < self.good { 1.0 } else { 1.0 / self.value };
                self.value = (self.value + step).min(self.bound);
            }
            self.grown |= !bad;
            return;
        }
        // Such a response is quick and leaves few running, so that says nothing there.
        let used = matches!(answered, Answered::Throttled | Answered::Overloaded) || running as f64 >= self.value / 2.0;
        if used && self.shrunk.is_none_or(|shrunk| began >= shrunk) {
            self.knee.trouble(matches!(answered, Answered::Ok | Answered::TimedOut));
            // Too much on the way up is no reason to crawl: half of the way is left.
            if self.grown {
                self.good = (self.value.max((self.value + self.good) / 2.0) * BACKOFF).max(self.floor as f64);
            }
            self.value = (self.value * BACKOFF).max(self.floor as f64);
            (self.grown, self.shrunk) = (false, Some(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SLOW: Duration = Duration::from_secs(1);

    fn learn(limit: &mut Limit, answered: Answered, elapsed: Duration, slow: Duration, began: Instant, running: usize) {
        limit.learn(&Call { route: 0, answered, elapsed, slow, began }, running);
    }

    #[rstest]
    #[case(Answered::Ok, 100, false)]
    #[case(Answered::Ok, 1000, true)]
    #[case(Answered::Overloaded, 1, true)]
    #[case(Answered::Throttled, 1, true)]
    #[case(Answered::TimedOut, 1000, true)]
    #[case(Answered::Failed, 1, false)]
    #[tokio::test(start_paused = true)]
    async fn bad_signs(#[case] answered: Answered, #[case] elapsed: u32, #[case] bad: bool) {
        let mut limit = Limit::new(4, 100);
        learn(&mut limit, answered, elapsed * MS, SLOW, Instant::now(), 100);
        assert_eq!(limit.now(), if bad { 90 } else { 100 });
    }

    #[tokio::test(start_paused = true)]
    async fn once_per_round() {
        let mut limit = Limit::new(4, 100);
        let began = Instant::now();
        tokio::time::advance(MS).await;
        (0..50).for_each(|_| learn(&mut limit, Answered::TimedOut, SLOW, SLOW, began, 100));
        assert_eq!(limit.now(), 90, "all of them began under the old limit");
        learn(&mut limit, Answered::TimedOut, SLOW, SLOW, Instant::now(), 100);
        assert_eq!(limit.now(), 81);
    }

    #[tokio::test(start_paused = true)]
    async fn never_below_the_floor_nor_above_the_ceiling_and_back_by_one_a_round() {
        let mut limit = Limit::new(4, 100);
        learn(&mut limit, Answered::Overloaded, MS, SLOW, Instant::now(), 100);
        for round in 1..=10 {
            let running = limit.now();
            (0..running).for_each(|_| learn(&mut limit, Answered::Ok, MS, SLOW, Instant::now(), running));
            assert!((90 + round * 3 / 4..=90 + round).contains(&limit.now()), "{} after {round}", limit.now());
        }
        for _ in 0..100 {
            learn(&mut limit, Answered::Overloaded, MS, SLOW, Instant::now(), 100);
        }
        assert_eq!(limit.now(), 4);
        (0..100_000).for_each(|_| learn(&mut limit, Answered::Ok, MS, SLOW, Instant::now(), 10));
        assert_eq!(limit.now(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_freeze_took_is_back_in_a_few_rounds_but_not_what_was_found_too_high() {
        let mut limit = Limit::new(4, 100);
        let freeze = |limit: &mut Limit| {
            (0..100).for_each(|_| learn(limit, Answered::TimedOut, SLOW, SLOW, Instant::now(), 100));
            assert_eq!(limit.now(), 4);
        };
        let round = |limit: &mut Limit| {
            (0..limit.now()).for_each(|_| learn(limit, Answered::Ok, MS, SLOW, Instant::now(), 100));
            limit.now()
        };
        freeze(&mut limit);
        assert_eq!(
            [(); 6].map(|()| round(&mut limit)),
            [8, 16, 32, 64, 90, 91],
            "less a tenth, and then by one a round"
        );
        freeze(&mut limit);
        assert_eq!([(); 3].map(|()| round(&mut limit)), [8, 16, 32]);
        learn(&mut limit, Answered::Overloaded, MS, SLOW, Instant::now(), 32);
        assert_eq!(limit.now(), 28);
        assert_eq!([(); 3].map(|()| round(&mut limit)), [51, 52, 53], "half of the way is left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_counts_only_while_the_limit_is_used() {
        let mut limit = Limit::new(4, 100);
        learn(&mut limit, Answered::TimedOut, SLOW, SLOW, Instant::now(), 49);
        assert_eq!(limit.now(), 100);
        learn(&mut limit, Answered::TimedOut, SLOW, SLOW, Instant::now(), 50);
        assert_eq!(limit.now(), 90);
        learn(&mut limit, Answered::Overloaded, MS, SLOW, Instant::now(), 1);
        assert_eq!(limit.now(), 81);
    }

    #[test]
    fn other_bounds() {
        let mut limit = Limit::new(4, 100);
        limit.configure(4, 200);
        assert_eq!(limit.now(), 200, "it had found nothing below the ceiling");
        learn(&mut limit, Answered::Overloaded, MS, SLOW, Instant::now(), 200);
        limit.configure(4, 300);
        assert_eq!(limit.now(), 180);
        limit.configure(4, 50);
        assert_eq!(limit.now(), 50);
        limit.configure(4, 100);
        assert_eq!(limit.now(), 100, "at the ceiling again, and that had not been found too high");
        learn(&mut limit, Answered::Overloaded, MS, SLOW, Instant::now() + MS, 100);
        limit.configure(95, 100);
        assert_eq!(limit.now(), 95);
    }
}

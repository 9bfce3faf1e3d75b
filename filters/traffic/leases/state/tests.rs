use proptest::prelude::*;

use super::*;

const MINUTE: u64 = 60 * SECOND;

/// An instance's state, and the whole budget behind it as the script keeps it.
struct Table {
    state: State,
    rate: Rate,
    tat: u64,
    now: u64,
    asked: u32,
    up: bool,
}

impl Table {
    fn new(rate: &str) -> Self {
        let rate = rate.parse().unwrap();
        Self { state: State::new(rate), rate, tat: 0, now: 1000 * SECOND, asked: 0, up: true }
    }

    /// One request, all questions answered at once; whether it is allowed, and whether it had to wait.
    fn ask(&mut self) -> (bool, bool) {
        let mut waited = false;
        loop {
            let take = self.state.take(OnError::Local, 2, self.now);
            self.answer();
            match take {
                Take::Token(_) | Take::Alone(_) => return (true, waited),
                Take::Empty { .. } | Take::Unknown => return (false, waited),
                Take::Wait => waited = true,
            }
        }
    }

    fn answer(&mut self) {
        let Some(order) = self.state.order(self.now) else { return };
        self.asked += 1;
        if !self.up {
            return self.state.failed(order, 2, self.now);
        }
        let Pace { period, interval } = self.rate.into();
        self.tat = self.tat.max(self.now).saturating_sub(order.back * interval).max(self.now);
        self.tat = (self.tat + order.owed * interval).min(self.now + period);
        let available = (self.now + period - self.tat) / interval;
        let granted = order.want.min((available / 4).max(self.rate.count.div_ceil(100))).min(available);
        self.tat += granted * interval;
        let wait = (self.tat + interval).saturating_sub(self.now + period);
        self.state.leased(order, granted, self.tat - self.now, wait, self.now);
    }

    fn available(&self) -> u64 {
        let Pace { period, interval } = self.rate.into();
        (self.now + period - self.tat.max(self.now)) / interval
    }
}

#[test]
fn only_the_first_request_of_a_busy_key_waits() {
    let mut table = Table::new("100/1m");
    let waited: Vec<bool> = (0..60).map(|_| table.ask()).map(|(allowed, waited)| allowed && waited).collect();
    assert_eq!(waited.iter().filter(|waited| **waited).count(), 1);
    assert!(waited[0]);
    assert!(table.asked < 20, "{} questions for 60 requests", table.asked);
}

#[test]
fn the_whole_budget_and_no_more() {
    for rate in ["1/1h", "2/1h", "5/1m", "19/1m", "20/1m", "100/15m", "1000/15m", "100000/1h"] {
        let mut table = Table::new(rate);
        let count = table.rate.count;
        let allowed = (0..count + 500).filter(|_| table.ask().0).count() as u64;
        assert_eq!(allowed, count, "{rate}");
    }
}

#[test]
fn who_is_over_the_limit_asks_seldom_and_gets_what_comes_back() {
    let mut table = Table::new("600/1m");
    (0..600).for_each(|_| assert!(table.ask().0));
    let (asked, mut allowed) = (table.asked, 0);
    for _ in 0..10_000 {
        table.now += SECOND / 1000;
        allowed += u64::from(table.ask().0);
    }
    assert!((98..=100).contains(&allowed), "{allowed} in ten seconds at ten a second");
    assert!(table.asked - asked <= 400, "{} questions for 10000 requests", table.asked - asked);
}

#[test]
fn the_balance_is_the_whole_budgets() {
    let mut table = Table::new("100/15m");
    for spent in 1..=100 {
        let mut take = table.state.take(OnError::Local, 2, table.now);
        table.answer();
        if take == Take::Wait {
            take = table.state.take(OnError::Local, 2, table.now);
            table.answer();
        }
        let Take::Token(balance) = take else { panic!("{take:?}") };
        assert_eq!((balance.remaining, balance.full_in), (100 - spent, spent * 9 * SECOND));
    }
}

#[test]
fn idle_tokens_are_given_back() {
    let mut table = Table::new("1000/15m");
    (0..50).for_each(|_| assert!(table.ask().0));
    assert!(table.available() < 950, "some are at hand: {}", table.available());
    table.now += IDLE - 1;
    table.state.put_idle_aside(table.now);
    assert_eq!(table.state.order(table.now), None, "not yet");
    table.now += 1;
    table.state.put_idle_aside(table.now);
    table.answer();
    assert!(!table.state.holds());
    // Two came back in the two seconds.
    assert_eq!(table.available(), 952);
}

#[test]
fn a_key_that_is_used_keeps_its_tokens_and_its_batch_fits_its_pace() {
    let mut table = Table::new("600/1m");
    let mut waited = 0;
    for _ in 0..100 {
        table.now += SECOND * 3 / 2;
        let (allowed, had_to_wait) = table.ask();
        assert!(allowed);
        waited += u32::from(had_to_wait);
    }
    assert_eq!(waited, 1, "but for the first");
    assert!(table.state.batch <= 12, "{}", table.state.batch);
    (0..300).for_each(|_| assert!(table.ask().0));
    assert_eq!(table.state.batch, 60, "a tenth of the budget at most");
}

#[test]
fn while_away_a_share_and_no_waiting() {
    let mut table = Table::new("100/15m");
    table.up = false;
    let allowed = (0..1000).filter(|_| table.ask() == (true, false)).count();
    // The first had to wait for the failure.
    assert_eq!(allowed, 49, "of what nothing is known its whole share");
    assert_eq!(table.asked, 1, "nobody is asked again for a second");
    table.now += 15 * MINUTE;
    let allowed = (0..1000).filter(|_| table.ask().0).count();
    assert_eq!(allowed, 50, "later again");
    table.now += SECOND;
    table.up = true;
    // What was allowed alone is paid: all of the budget.
    assert!(!table.ask().0);
    assert!(!table.state.away);
    assert_eq!(table.available(), 0);
    table.now += 15 * MINUTE;
    table.ask();
    assert_eq!(table.ask(), (true, false), "the others are there again");
}

#[test]
fn a_share_is_of_what_is_left_as_far_as_is_known() {
    for (spent, expected) in [(0, 49..=50), (40, 20..=30), (90, 0..=5)] {
        let mut table = Table::new("100/15m");
        (0..spent).for_each(|_| assert!(table.ask().0));
        let at_hand = table.state.tokens as usize;
        table.up = false;
        table.now += SECOND;
        let allowed = (0..1000).filter(|_| table.ask().0).count() - at_hand;
        assert!(expected.contains(&allowed), "{allowed} after {spent}");
    }
}

/// However many instances there are: one that spent everything, and the others that know nothing of it.
#[test]
fn all_together_never_allow_more_than_half_the_limit_on_top() {
    for instances in 1..=12 {
        let mut state = State::new("1000/15m".parse().unwrap());
        let now = 1000 * SECOND;
        state.go_away(instances, now);
        let mut allowed = 0;
        while matches!(state.take(OnError::Local, instances, now), Take::Alone(_)) {
            allowed += 1;
        }
        let share = 1000 / instances;
        assert!(allowed * (instances - 1) <= 500 && allowed <= share, "{allowed} each of {instances}");
        assert!(allowed * 2 >= share, "{allowed} each of {instances}");
    }
}

#[test]
fn what_was_allowed_alone_is_paid_once_and_only_once() {
    let mut table = Table::new("100/15m");
    table.up = false;
    (0..30).for_each(|_| assert!(table.ask().0));
    // Tried again and again in vain.
    for _ in 0..5 {
        table.now += 2 * SECOND;
        table.answer();
    }
    assert!(table.state.holds(), "it is not forgotten while nobody asks");
    table.up = true;
    table.now += 2 * SECOND;
    table.answer();
    assert!((70..=72).contains(&table.available()), "{}", table.available());
    table.now += 2 * SECOND;
    table.answer();
    assert!((70..=72).contains(&table.available()), "{}", table.available());
    assert!(!table.state.holds());
}

#[test]
fn at_the_end_everything_at_hand_is_given_back() {
    let mut table = Table::new("1000/15m");
    (0..50).for_each(|_| assert!(table.ask().0));
    assert!(table.state.tokens > 0);
    let order = table.state.surrender().unwrap();
    assert_eq!((table.available() + order.back, order.want, table.state.tokens), (950, 0, 0));
    assert_eq!(table.state.surrender(), None);
}

#[test]
fn what_was_spent_before_counts_while_away() {
    let mut table = Table::new("100/15m");
    while table.ask().0 {}
    table.up = false;
    table.now += 9 * SECOND;
    let allowed = (0..100).filter(|_| table.ask().0).count();
    assert_eq!(allowed, 0, "one came back, and half of it is ours");
    table.now += 9 * SECOND;
    assert_eq!((0..100).filter(|_| table.ask().0).count(), 1);
}

#[test]
fn away_with_other_wishes() {
    let mut table = Table::new("5/1m");
    table.up = false;
    assert_eq!(table.state.take(OnError::Deny, 2, table.now), Take::Wait);
    table.answer();
    assert_eq!(table.state.take(OnError::Deny, 2, table.now), Take::Unknown);
    for _ in 0..100 {
        assert!(matches!(table.state.take(OnError::Allow, 2, table.now), Take::Alone(_)));
    }
}

#[test]
fn more_instances_than_requests_still_let_one_through() {
    let mut table = Table::new("3/1m");
    table.up = false;
    assert_eq!(table.state.take(OnError::Local, 10, table.now), Take::Wait);
    let order = table.state.order(table.now).unwrap();
    assert_eq!(order.want, 2);
    table.state.failed(order, 10, table.now);
    assert!(matches!(table.state.take(OnError::Local, 10, table.now), Take::Alone(_)));
    assert!(matches!(table.state.take(OnError::Local, 10, table.now), Take::Empty { .. }));
}

#[test]
fn coming_and_going_gives_no_fresh_budgets() {
    let mut table = Table::new("100/15m");
    let mut allowed = 0;
    for turn in 0..60 {
        table.up = turn % 2 == 0;
        table.now += 2 * SECOND;
        allowed += (0..200).filter(|_| table.ask().0).count();
    }
    // The budget, half of it, and what came back in two minutes.
    assert!(allowed <= 150 + 13, "{allowed}");
}

proptest! {
    /// However requests, pauses and failures come: an instance alone with the script never allows more than the budget,
    /// what came back, and half of it besides.
    #[test]
    fn never_more_than_promised(
        count in 1u64..300,
        steps in proptest::collection::vec((0u64..3000, 1u32..40, any::<bool>()), 1..60),
    ) {
        let mut table = Table::new(&format!("{count}/1m"));
        let begin = table.now;
        let (mut allowed, mut ever_down) = (0, false);
        for (pause, requests, up) in steps {
            table.now += pause * 1_000_000;
            table.up = up || pause % 3 > 0;
            ever_down |= !table.up;
            allowed += (0..requests).filter(|_| table.ask().0).count() as u64;
            let Pace { interval, .. } = table.rate.into();
            let back = (table.now - begin) / interval + 1;
            // What lies at hand was paid for, and may be spent when more has come back than the budget holds.
            let at_hand = (count / 10).max(2) * 2;
            let share = if ever_down { (count / 2).max(1) + back / 2 + 1 } else { 0 };
            prop_assert!(allowed <= count + back + at_hand + share, "{allowed} of {count}, {back} came back");
        }
    }
}

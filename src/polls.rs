//! How often load balancers ask `/readyz`: for so long a stop goes on serving that all of them notice.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Addresses that are remembered; of more the one that has been silent for the longest is forgotten.
const MOST: usize = 32;

/// Polls of one address that are looked at: enough to see through several balancers behind one address, whose polls come in
/// pairs or triples.
const RECENT: usize = 9;

/// After a longer silence an address begins anew: nobody polls so rarely.
const SILENCE: Duration = Duration::from_secs(300);

/// The longest delay.
const LONGEST: Duration = Duration::from_secs(15);

/// Missed or late polls until a balancer acts: three are the habit.
const POLLS: u32 = 3;

/// The addresses that poll readiness, with the times of their last polls.
#[derive(Debug, Default)]
pub(crate) struct Polls(Mutex<Vec<Poller>>);

#[derive(Debug)]
struct Poller {
    address: Option<IpAddr>,
    /// The newest last.
    at: VecDeque<Instant>,
}

impl Poller {
    /// The longest of its recent intervals; `None` where it polls no more, or came by twice at most, as people do.
    fn interval(&self, now: Instant) -> Option<Duration> {
        if self.at.len() < 3 {
            return None;
        }
        let interval = self.at.iter().zip(self.at.iter().skip(1)).map(|(one, next)| *next - *one).max()?;
        let silent = now - *self.at.back()?;
        (silent <= interval * POLLS).then_some(interval)
    }
}

impl Polls {
    fn pollers(&self) -> MutexGuard<'_, Vec<Poller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody at `address` has asked.
    pub(crate) fn note(&self, address: Option<IpAddr>) {
        let now = Instant::now();
        let mut pollers = self.pollers();
        let known = match pollers.iter().position(|poller| poller.address == address) {
            Some(known) => known,
            None => {
                if pollers.len() == MOST
                    && let Some(silent) = (0..MOST).min_by_key(|i| pollers[*i].at.back().copied())
                {
                    pollers.swap_remove(silent);
                }
                pollers.push(Poller { address, at: VecDeque::with_capacity(RECENT) });
                pollers.len() - 1
            }
        };
        let at = &mut pollers[known].at;
        if at.back().is_some_and(|last| now - *last > SILENCE) {
            at.clear();
        }
        if at.len() == RECENT {
            at.pop_front();
        }
        at.push_back(now);
    }

    /// How long a stop that begins now should go on serving: three times the interval of whoever polls most rarely, at most
    /// 15 s; zero where nobody polls.
    pub(crate) fn delay(&self) -> Duration {
        let now = Instant::now();
        let longest = self.pollers().iter().filter_map(|poller| poller.interval(now)).max();
        longest.map_or(Duration::ZERO, |interval| (interval * POLLS).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const BALANCER: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    async fn wait(millis: u64) {
        advance(Duration::from_millis(millis)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_polls() {
        let polls = Polls::default();
        assert_eq!(polls.delay(), Duration::ZERO);
        polls.note(BALANCER);
        wait(1000).await;
        polls.note(BALANCER);
        assert_eq!(polls.delay(), Duration::ZERO, "somebody looked twice");
    }

    #[tokio::test(start_paused = true)]
    async fn three_intervals_and_not_after_the_balancer_has_left() {
        let polls = Polls::default();
        for _ in 0..20 {
            polls.note(BALANCER);
            wait(2000).await;
        }
        assert_eq!(polls.delay(), Duration::from_secs(6));
        wait(5000).await;
        assert_eq!(polls.delay(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn two_balancers_behind_one_address() {
        let polls = Polls::default();
        for _ in 0..10 {
            polls.note(BALANCER);
            wait(100).await;
            polls.note(BALANCER);
            wait(1900).await;
        }
        let delay = polls.delay();
        assert!(delay >= Duration::from_millis(5700) && delay <= Duration::from_secs(6), "{delay:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_slower_of_two_counts_and_no_more_than_the_longest() {
        let polls = Polls::default();
        for i in 0..12 {
            polls.note(BALANCER);
            if i % 3 == 0 {
                polls.note(None);
            }
            wait(1000).await;
        }
        assert_eq!(polls.delay(), Duration::from_secs(9));
        for _ in 0..4 {
            polls.note(None);
            wait(30_000).await;
        }
        assert_eq!(polls.delay(), LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gap_is_forgotten_and_so_are_strangers() {
        let polls = Polls::default();
        polls.note(BALANCER);
        wait(4_000_000).await;
        for i in 0..4 * MOST {
            polls.note(BALANCER);
            polls.note(Some(IpAddr::from([10, 0, 0, i as u8])));
            wait(1000).await;
        }
        assert_eq!(polls.delay(), Duration::from_secs(3));
        assert_eq!(polls.pollers().len(), MOST);
    }
}

//! An empty cache under a load that only a full one can bear.

use std::time::Duration;

use super::generator::{Seen, offer, share};
use super::profile::{self, capacity, clients, limited};
use super::{Report, Scale};

/// Keys, all asked equally often. Three quarters of them are fetched in 9 s at the best.
const KEYS: u64 = 3600;

/// Five times the capacity from the first second on; the hit ratio of each second until it is 0.75 and stays.
pub async fn recovery(scale: Scale) -> Report {
    let keys = scale.pick(KEYS / 3, KEYS);
    let upstream = limited().await;
    let gateway = profile::gateway(&upstream.origin.place).await;
    let (people, _) = clients(&gateway);
    let ideal = 0.75 * keys as f64 / capacity();
    let time = Duration::from_secs_f64(ideal * 2.0);
    let seen = offer(&people, 5.0 * capacity(), time, |_| format!("/cold/{}", rand::random_range(0..keys))).await;
    let second = |from: u64| {
        let those = |seen: &&Seen| seen.at.as_secs() == from;
        share(seen.iter().filter(those), Seen::is_hit)
    };
    let seconds = time.as_secs();
    let recovered = (0..seconds).find(|from| (*from..seconds).all(|at| second(at) >= 0.75));
    let mut report = Report::default();
    report.tell("seconds at the best", ideal);
    let after = recovered.map_or(f64::NAN, |from| (from + 1) as f64);
    report.at_most("seconds to a hit ratio of 0.75", after, scale.pick(2.0 * ideal, 12.0));
    report.at_least("hit ratio in the last second", second(seconds - 1), 0.75);
    report.at_most("neither served nor refused", share(&seen, |s| !matches!(s.status, 200 | 503)), 0.0);
    gateway.stop(&["level of degradation"]).await;
    report
}

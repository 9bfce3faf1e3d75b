//! The gateway with tests/traffic/gateway.yaml, and an origin that can do so much and no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::support::{Answer, Client, Gateway, Origin, project};

/// Of the profile.
pub const PLACES: usize = 30;
pub const DEADLINE: Duration = Duration::from_secs(1);

/// The profile as it is written.
pub fn text() -> String {
    std::fs::read_to_string(project("tests/traffic/gateway.yaml")).unwrap()
}

/// A gateway with the profile in front of an origin.
pub async fn gateway(upstream: &str) -> Gateway {
    with(upstream, &text(), &[]).await
}

/// The same with a text made of the profile's, or with more environment.
pub async fn with(upstream: &str, text: &str, more: &[(&str, &str)]) -> Gateway {
    let mut environment = vec![("UPSTREAM", upstream)];
    environment.extend(more);
    Gateway::with(text, &environment).await
}

/// A client of class high, and one of class low.
pub fn clients(gateway: &Gateway) -> (Client, Client) {
    (gateway.client.with_key("demo-interactive"), gateway.client.with_key("demo-batch"))
}

/// An origin with so many places, each held for so long; whoever comes beyond waits inside it.
pub struct Limited {
    pub origin: Origin,
    /// The most that were there at once.
    pub most: Arc<AtomicUsize>,
}

/// 30 places of 100 ms: 300 requests a second.
pub async fn limited() -> Limited {
    let (places, here, most) = (Arc::new(Semaphore::new(PLACES)), Arc::new(AtomicUsize::new(0)), Arc::default());
    let most_seen = Arc::clone(&most);
    let origin = Origin::start(move |asked| {
        let (places, here, most) = (Arc::clone(&places), Arc::clone(&here), Arc::clone(&most_seen));
        async move {
            let now = here.fetch_add(1, Ordering::SeqCst) + 1;
            AtomicUsize::fetch_max(&most, now, Ordering::SeqCst);
            let _place = places.acquire_owned().await;
            tokio::time::sleep(SERVICE).await;
            here.fetch_sub(1, Ordering::SeqCst);
            let lasts = if asked.target.starts_with("/nocache/") { "no-store" } else { "max-age=3600" };
            Answer::json("{}").with("cache-control", lasts)
        }
    })
    .await;
    Limited { origin, most }
}

/// How long a place is held.
pub const SERVICE: Duration = Duration::from_millis(100);

/// What the origin can do, a second.
pub fn capacity() -> f64 {
    PLACES as f64 / SERVICE.as_secs_f64()
}

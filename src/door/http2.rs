//! HTTP/2 connections: Pingora's, but for the end that a stop brings them.

use std::time::Duration;

use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use tokio::sync::watch;

use super::Door;

impl Door {
    /// An HTTP/2 connection, to its end. From the beginning of a stop on its client is told to send further requests elsewhere
    /// (GOAWAY, RFC 9113 section 6.8).
    pub(super) async fn http2(&self, stream: Stream) -> Option<Stream> {
        /// A connection that comes during a stop comes with a request. Told at once, its client would never send that.
        const FIRST: Duration = Duration::from_secs(1);
        let mut stop = self.shared.stop_watch();
        let late = self.shared.is_stopping();
        let (tell, told) = watch::channel(false);
        let goaway = async {
            // The sender lives as long as the process.
            drop(stop.wait_for(|stops| *stops).await);
            if late {
                tokio::time::sleep(FIRST).await;
            }
            tell.send_replace(true);
            std::future::pending().await
        };
        tokio::select! {
            left = self.proxy.process_new(stream, &told) => left,
            never = goaway => never,
        }
    }
}

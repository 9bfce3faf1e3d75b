//! TLS with clients: the certificate, and the handshake.
//!
//! The certificate is a part of the plan, so a reload renews it: it is read and checked like the rest of the configuration,
//! and a connection is shown the one of the plan in place when it comes. The door shakes hands, not Pingora's listener,
//! because a connection must hold its place among `limits.connections` before it costs anything.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::stream::Stream as Tcp;
use pingora::protocols::{Peek, Stream};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::timeout;

use crate::shared::Shared;

mod certificate;

pub(crate) use certificate::certificate;
use certificate::provider;

/// Shows every client the certificate of the plan in place, whatever name it asks for.
struct Current(Arc<Shared>);

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate of the current plan")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.plan().certificate.clone()
    }
}

/// The server's side of TLS. Cheap to keep: one per process.
pub(crate) struct Tls(Acceptor);

impl Tls {
    /// For connections that are shown the plan's certificate; `http2`: whether that is offered (ALPN).
    pub(crate) fn new(shared: &Arc<Shared>, http2: bool) -> Result<Self, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Current(Arc::clone(shared))));
        if http2 {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        Ok(Self(Acceptor::from_server_config(Arc::new(config))))
    }

    /// Shakes hands, within `time`; an error is one word for the metric of refusals. Any client can bring one about, so none
    /// is worth more than a line at level `debug`.
    pub(crate) async fn accept(&self, mut stream: Tcp, time: Duration) -> Result<Stream, &'static str> {
        let shake = async {
            // A load balancer that checks whether something listens connects, and that is all.
            stream.try_peek(&mut [0]).await.map_err(|_gone| "tls_closed")?;
            self.0.tls_handshake(stream).await.map_err(|error| {
                tracing::debug!(%error, "a TLS handshake failed");
                "tls"
            })
        };
        let stream = timeout(time, shake).await.unwrap_or(Err("tls_time"))?;
        Ok(Box::new(stream))
    }
}

//! The database server: its address, and TLS on the way to it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Client, Config, Connection, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where the database is, and how it is reached. With `sslmode=require` in the URL there is TLS and the certificate is verified,
/// its name too; with any other there is none.
#[derive(Clone)]
pub(crate) struct Server {
    /// What the URL says.
    pub(crate) config: Config,
    tls: MakeRustlsConnect,
}

/// A connection, which has to be run.
pub(crate) type Running = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

impl Server {
    /// `authorities`: a PEM file with the certificates that are trusted, in place of the system's.
    ///
    /// # Errors
    /// When certificates can't be read, or TLS is wanted and there are none.
    pub(crate) fn new(mut config: Config, authorities: Option<&Path>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        if config.get_ssl_mode() == SslMode::Require {
            match authorities {
                Some(file) => {
                    let unreadable = || format!("the certificates can't be read from {}", file.display());
                    for certificate in CertificateDer::pem_file_iter(file).with_context(unreadable)? {
                        roots.add(certificate.with_context(unreadable)?).with_context(unreadable)?;
                    }
                    ensure!(!roots.is_empty(), "there is no certificate in {}", file.display());
                }
                None => {
                    let system = rustls_native_certs::load_native_certs();
                    roots.add_parsable_certificates(system.certs);
                    ensure!(
                        !roots.is_empty(),
                        "sslmode=require, and the system trusts no certificate: --database-ca-file"
                    );
                }
            }
        } else {
            config.ssl_mode(SslMode::Disable);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = versions.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { config, tls: MakeRustlsConnect::new(tls) })
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// Where the server is away, refuses, or its certificate is not trusted.
    pub(crate) async fn connect(&self) -> Result<(Client, Running), Error> {
        self.config.connect(self.tls.clone()).await
    }

    /// Asks the server to give up what the session does.
    ///
    /// # Errors
    /// As [`Server::connect`].
    pub(crate) async fn cancel(&self, token: CancelToken) -> Result<(), Error> {
        token.cancel_query(self.tls.clone()).await
    }
}

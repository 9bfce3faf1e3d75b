//! Certificates from files.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

pub(super) fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// Reads a certificate chain and its private key, both PEM.
///
/// # Errors
/// A sentence, where a file can't be read or the key is not the certificate's.
pub(crate) fn certificate(chain_file: &Path, key_file: &Path) -> Result<Arc<CertifiedKey>, String> {
    let wrong = |file: &Path, e: &dyn fmt::Display| format!("{} can't be used: {e}", file.display());
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(chain_file).and_then(Iterator::collect).map_err(|e| wrong(chain_file, &e))?;
    if chain.is_empty() {
        return Err(wrong(chain_file, &"it holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|e| wrong(key_file, &e))?;
    CertifiedKey::from_der(chain, key, &provider()).map(Arc::new).map_err(|e| match e {
        rustls::Error::InconsistentKeys(_) => wrong(key_file, &"it is not the key of the certificate"),
        e => wrong(chain_file, &e),
    })
}

//! The keys that tokens are signed with, each for the one algorithm it was made for.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Validation};

use super::{Algorithm, Config};

/// More keys than any issuer has at a time.
const MOST_KEYS: usize = 32;

pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) key: DecodingKey,
    /// Allows the one algorithm that the key was made for.
    pub(super) validation: Validation,
}

fn validation(algorithm: Algorithm, config: &Config) -> Validation {
    let mut validation = Validation::new(algorithm.into());
    validation.leeway = config.leeway.0.as_secs();
    validation.validate_nbf = true;
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.set_issuer(&[&config.issuer]);
    validation.set_audience(&[&config.audience]);
    validation
}

/// The key out of `secret_file`.
pub(super) fn secret(file: &[u8], config: &Config) -> Result<Key, String> {
    let secret = file.trim_ascii_end();
    if secret.len() < 32 {
        return Err("`secret_file` holds less than 32 bytes (RFC 7518 section 3.2)".to_owned());
    }
    Ok(Key { id: None, key: DecodingKey::from_secret(secret), validation: validation(Algorithm::HS256, config) })
}

/// The keys out of `jwks_file` that serve one of the algorithms.
pub(super) fn public(file: &[u8], config: &Config) -> Result<Vec<Key>, String> {
    let set: JwkSet = serde_json::from_slice(file).map_err(|e| format!("`jwks_file` is not a JWK set: {e}"))?;
    if set.keys.len() > MOST_KEYS {
        return Err(format!("`jwks_file` holds {} keys; {MOST_KEYS} at most", set.keys.len()));
    }
    let mut keys = Vec::new();
    for jwk in &set.keys {
        if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
            return Err("`jwks_file` holds a secret; only public keys belong there".to_owned());
        }
        let Some(algorithm) = made_for(jwk).filter(|algorithm| config.algorithms.contains(algorithm)) else { continue };
        let key = DecodingKey::from_jwk(jwk).map_err(|e| format!("`jwks_file` holds a key that is none: {e}"))?;
        keys.push(Key { id: jwk.common.key_id.clone(), key, validation: validation(algorithm, config) });
    }
    if keys.is_empty() {
        return Err("`jwks_file` holds no key for one of `algorithms`".to_owned());
    }
    Ok(keys)
}

/// The algorithm of ours that a key serves; `None` where it is for others, or for encryption.
fn made_for(jwk: &Jwk) -> Option<Algorithm> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    match (&jwk.algorithm, jwk.common.key_algorithm) {
        (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Some(Algorithm::RS256),
        (AlgorithmParameters::EllipticCurve(key), None | Some(KeyAlgorithm::ES256))
            if key.curve == EllipticCurve::P256 =>
        {
            Some(Algorithm::ES256)
        }
        _ => None,
    }
}

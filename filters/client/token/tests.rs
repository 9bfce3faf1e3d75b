use aws_lc_rs::encoding::AsDer;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header, encode};
use rstest::rstest;
use serde_json::json;

use super::*;

const SECRET: &[u8] = b"an-example-of-a-secret-of-thirty-two-bytes";

fn config(settings: Value) -> Config {
    let mut config = json!({"issuer": "https://login.example", "audience": "addrgate"});
    config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

fn by_secret() -> Tokens {
    Tokens::new(&config(json!({"algorithms": ["HS256"], "secret_file": "s"})), SECRET).unwrap()
}

fn claims() -> Value {
    let exp = jsonwebtoken::get_current_timestamp() + 600;
    json!({"iss": "https://login.example", "aud": ["other", "addrgate"], "sub": "web", "exp": exp})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn signed(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

fn reason(tokens: &Tokens, token: &str) -> &'static str {
    let cause = tokens.verify(token).unwrap_err();
    assert_eq!(cause.code, Code::InvalidApiKey);
    cause.reason
}

#[test]
fn a_good_token_names_its_client() {
    let found = by_secret().verify(&signed(&claims())).unwrap();
    assert_eq!((found.subject.as_str(), found.plan), ("web", None));
    assert_eq!(found.expires, claims()["exp"].as_u64().unwrap());
    assert!(by_secret().verify(&signed(&with("aud", json!("addrgate")))).is_ok());
}

#[test]
fn other_claims_can_name_client_and_plan() {
    let settings = json!({"algorithms": ["HS256"], "secret_file": "s", "client": "azp", "plan": "tier"});
    let tokens = Tokens::new(&config(settings), SECRET).unwrap();
    let mut claims = with("azp", json!("batch"));
    claims["tier"] = json!("small");
    let found = tokens.verify(&signed(&claims)).unwrap();
    assert_eq!((found.subject.as_str(), found.plan.as_deref()), ("batch", Some("small")));
}

#[rstest]
#[case(without("exp"), "token_claims")]
#[case(without("iss"), "token_claims")]
#[case(without("aud"), "token_claims")]
#[case(without("sub"), "token_client")]
#[case(with("exp", json!("4102444800")), "token_claims")]
#[case(with("exp", json!(1)), "token_expired")]
#[case(with("exp", json!(jsonwebtoken::get_current_timestamp() - 60)), "token_expired")]
#[case(with("nbf", json!(jsonwebtoken::get_current_timestamp() + 60)), "token_early")]
#[case(with("nbf", json!("soon")), "token_claims")]
#[case(with("iss", json!("https://evil.example")), "token_issuer")]
#[case(with("aud", json!("other")), "token_audience")]
#[case(with("aud", json!([])), "token_audience")]
#[case(with("sub", json!("")), "token_client")]
#[case(with("sub", json!("a b")), "token_client")]
#[case(with("sub", json!("x".repeat(129))), "token_client")]
fn claims_that_do_not_do(#[case] claims: Value, #[case] expected: &str) {
    assert_eq!(reason(&by_secret(), &signed(&claims)), expected);
}

#[test]
fn clocks_may_differ_by_the_leeway() {
    let now = jsonwebtoken::get_current_timestamp();
    assert!(by_secret().verify(&signed(&with("exp", json!(now - 20)))).is_ok());
    assert!(by_secret().verify(&signed(&with("nbf", json!(now + 20)))).is_ok());
}

/// `header.claims.signature`, the parts as they are given.
fn assembled(header: &Value, claims: &Value, signature: &str) -> String {
    use base64::Engine;
    let part = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

#[rstest]
#[case("")]
#[case("a")]
#[case("a.b")]
#[case("a.b.c")]
#[case("a.b.c.d")]
#[case("!!!.!!!.!!!")]
fn not_a_token(#[case] token: &str) {
    assert_eq!(reason(&by_secret(), token), "token_form");
}

#[test]
fn unsigned_tokens_are_none() {
    for name in ["none", "None", "NONE", "nOnE", ""] {
        for signature in ["", "e30"] {
            let token = assembled(&json!({"alg": name, "typ": "JWT"}), &claims(), signature);
            assert_eq!(reason(&by_secret(), &token), "token_form", "{name}");
        }
    }
    let bare = signed(&claims());
    let (unsigned, _) = bare.rsplit_once('.').unwrap();
    assert_eq!(reason(&by_secret(), &format!("{unsigned}.")), "token_signature");
    let other = encode(&Header::default(), &claims(), &EncodingKey::from_secret(&[7; 32])).unwrap();
    assert_eq!(reason(&by_secret(), &other), "token_signature");
}

#[test]
fn what_is_critical_and_what_is_long_is_refused() {
    let header = Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() };
    let token = encode(&header, &claims(), &EncodingKey::from_secret(SECRET)).unwrap();
    assert_eq!(reason(&by_secret(), &token), "token_crit");
    assert_eq!(reason(&by_secret(), &signed(&with("more", json!("x".repeat(LONGEST))))), "token_form");
}

#[test]
fn a_key_without_a_name_may_be_the_one_that_is_named() {
    let named = Header { kid: Some("k1".to_owned()), ..Header::default() };
    let token = encode(&named, &claims(), &EncodingKey::from_secret(SECRET)).unwrap();
    assert_eq!(by_secret().verify(&token).unwrap().subject, "web");
}

/// A pair of keys of each kind, and their public set.
struct Pairs {
    rsa: EncodingKey,
    ec: EncodingKey,
    set: Value,
}

fn pairs() -> Pairs {
    use aws_lc_rs::{rsa, signature};
    let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    // Without the 26 bytes that wrap a key of this size in PKCS #8.
    let rsa = EncodingKey::from_rsa_der(&rsa.as_der().unwrap().as_ref()[26..]);
    let ec = signature::EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let ec = EncodingKey::from_ec_der(ec.to_pkcs8v1().unwrap().as_ref());
    let public = |key, algorithm, id: &str| {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(id);
        jwk
    };
    let set = json!({"keys": [
        public(&rsa, jsonwebtoken::Algorithm::RS256, "rsa-1"),
        public(&ec, jsonwebtoken::Algorithm::ES256, "ec-1"),
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "ed"},
    ]});
    Pairs { rsa, ec, set }
}

fn by_set(algorithms: Value, set: &Value) -> Result<Tokens, String> {
    let config = config(json!({"algorithms": algorithms, "jwks_file": "j"}));
    Tokens::new(&config, set.to_string().as_bytes())
}

fn header(algorithm: jsonwebtoken::Algorithm, id: Option<&str>) -> Header {
    Header { kid: id.map(str::to_owned), ..Header::new(algorithm) }
}

#[test]
fn public_keys_by_name_or_by_trying() {
    use jsonwebtoken::Algorithm::{ES256, RS256, RS384};
    let pairs = pairs();
    let tokens = by_set(json!(["RS256", "ES256"]), &pairs.set).unwrap();
    for (algorithm, key, id) in [(RS256, &pairs.rsa, "rsa-1"), (ES256, &pairs.ec, "ec-1")] {
        for id in [Some(id), None] {
            let token = encode(&header(algorithm, id), &claims(), key).unwrap();
            assert_eq!(tokens.verify(&token).unwrap().subject, "web");
        }
        let token = encode(&header(algorithm, Some("other")), &claims(), key).unwrap();
        assert_eq!(reason(&tokens, &token), "token_key");
        let token = encode(&header(algorithm, None), &claims(), key).unwrap();
        let other = encode(&header(algorithm, None), &with("sub", json!("batch")), key).unwrap();
        let (rest, signature) = (other.rsplit_once('.').unwrap().0, token.rsplit_once('.').unwrap().1);
        let forged = format!("{rest}.{signature}");
        assert_eq!(reason(&tokens, &forged), "token_signature");
    }
    let token = encode(&header(RS384, Some("rsa-1")), &claims(), &pairs.rsa).unwrap();
    assert_eq!(reason(&tokens, &token), "token_algorithm");
}

#[test]
fn no_token_chooses_beyond_the_configured_algorithms() {
    use jsonwebtoken::Algorithm::{ES256, HS256};
    let pairs = pairs();
    let tokens = by_set(json!(["RS256"]), &pairs.set).unwrap();
    let token = encode(&header(ES256, Some("ec-1")), &claims(), &pairs.ec).unwrap();
    assert_eq!(reason(&tokens, &token), "token_algorithm");
    // The public key, which everybody knows, used as a secret.
    let modulus = pairs.set["keys"][0]["n"].as_str().unwrap();
    for secret in [modulus.as_bytes(), pairs.set.to_string().as_bytes()] {
        let token = encode(&header(HS256, Some("rsa-1")), &claims(), &EncodingKey::from_secret(secret)).unwrap();
        assert_eq!(reason(&tokens, &token), "token_algorithm");
    }
    // Keys that a token brings along count for nothing.
    let mut own = header(ES256, None);
    own.jwk = Some(Jwk::from_encoding_key(&pairs.ec, ES256).unwrap());
    own.jku = Some("https://evil.example/jwks.json".to_owned());
    assert_eq!(reason(&tokens, &encode(&own, &claims(), &pairs.ec).unwrap()), "token_algorithm");
}

#[rstest]
#[case(json!({"algorithms": ["HS256"]}), "exactly one of")]
#[case(json!({"algorithms": ["HS256"], "secret_file": "s", "jwks_file": "j"}), "exactly one of")]
#[case(json!({"algorithms": ["RS256"], "secret_file": "s"}), "HS256 alone")]
#[case(json!({"algorithms": ["HS256", "RS256"], "secret_file": "s"}), "HS256 alone")]
#[case(json!({"algorithms": [], "secret_file": "s"}), "HS256 alone")]
#[case(json!({"algorithms": ["RS256", "HS256"], "jwks_file": "j"}), "needs `secret_file`")]
#[case(json!({"algorithms": ["RS256"], "jwks_file": "j"}), "is not a JWK set")]
#[case(json!({"algorithms": ["HS256"], "secret_file": "s", "leeway": "6m"}), "five minutes")]
#[case(json!({"algorithms": ["HS256"], "secret_file": "s", "issuer": ""}), "can't be empty")]
fn wrong_settings(#[case] settings: Value, #[case] message: &str) {
    let error = Tokens::new(&config(settings), SECRET).unwrap_err();
    assert!(error.contains(message), "{error}");
}

#[test]
fn wrong_files() {
    let short = Tokens::new(&config(json!({"algorithms": ["HS256"], "secret_file": "s"})), b"short\n").unwrap_err();
    assert!(short.contains("less than 32 bytes"));
    let secret = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]});
    assert!(by_set(json!(["RS256"]), &secret).unwrap_err().contains("only public keys"));
    let mut set = pairs().set;
    set["keys"][0]["use"] = json!("enc");
    assert!(by_set(json!(["RS256"]), &set).unwrap_err().contains("no key for"));
    set["keys"] = json!(vec![set["keys"][1].clone(); 33]);
    assert!(by_set(json!(["ES256"]), &set).unwrap_err().contains("32 at most"));
    for name in ["none", "HS512", "EdDSA"] {
        let settings = json!({"algorithms": [name], "jwks_file": "j", "issuer": "i", "audience": "a"});
        assert!(serde_json::from_value::<Config>(settings).is_err());
    }
}

#[test]
fn secrets_do_not_print() {
    assert_eq!(format!("{:?}", by_secret()), "Tokens(1 keys)");
}

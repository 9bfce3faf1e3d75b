//! The list of the most asked, shared through Redis: a rank and a request under each digest, as many as are remembered.
//!
//! A request is kept in an envelope with a version and a checksum; what can't be read is passed over.

use std::sync::LazyLock;
use std::time::Duration;

use addrgate_filters::cache_key::Key;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use redis::Script;
use serde::{Deserialize, Serialize};

use crate::popular::Known;
use crate::recipe::Recipe;
use crate::redis::Redis;

static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("write.lua")));
static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("read.lua")));

/// Nobody waits for it.
const DEADLINE: Duration = Duration::from_secs(2);

/// What one call writes.
const AT_ONCE: usize = 100;

const VERSION: u8 = 1;
const CHECKSUM: usize = 8;

/// The largest request that is shared.
const LARGEST: usize = 8 << 10;

#[derive(Serialize, Deserialize)]
struct Written {
    method: String,
    target: String,
    host: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    upstream: Option<String>,
}

/// Adds what is known here to what is known of all.
pub(super) async fn write(redis: &Redis, known: &[(Key, Known)], most: usize) {
    for part in known.chunks(AT_ONCE) {
        let rank = redis.key("{warm}:rank");
        let mut script = WRITE.key(&rank);
        script.key(redis.key("{warm}:requests")).arg(most);
        for (key, known) in part {
            let bytes = pack(&known.recipe);
            if bytes.len() <= LARGEST {
                script.arg(&key.0[..]).arg(known.uses).arg(bytes);
            }
        }
        if let Err(error) = redis.ask_within::<()>(&rank, &script, DEADLINE).await {
            tracing::debug!(%error, "the list of the most asked could not be shared");
            return;
        }
    }
}

/// What is known of all, the most asked first; `None` where Redis can't be asked.
pub(super) async fn read(redis: &Redis, most: usize) -> Option<Vec<(Key, f64, Recipe)>> {
    if most == 0 {
        return None;
    }
    let rank = redis.key("{warm}:rank");
    let mut script = READ.key(&rank);
    script.key(redis.key("{warm}:requests")).arg(most);
    type Rows = Vec<(Vec<u8>, f64, Vec<u8>)>;
    let rows: Rows = redis.ask_within(&rank, &script, DEADLINE).await.ok()?;
    let known = |(key, uses, bytes): (Vec<u8>, f64, Vec<u8>)| Some((Key(key.try_into().ok()?), uses, unpack(&bytes)?));
    Some(rows.into_iter().filter_map(known).collect())
}

fn pack(recipe: &Recipe) -> Vec<u8> {
    let written = Written {
        method: recipe.method.clone(),
        target: recipe.target.clone(),
        host: recipe.host.clone(),
        fields: recipe.fields.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
        body: recipe.body.to_vec(),
        upstream: recipe.upstream.as_deref().map(str::to_owned),
    };
    // Texts and bytes are always valid JSON.
    let json = serde_json::to_vec(&written).unwrap_or_default();
    [&[VERSION], &blake3::hash(&json).as_bytes()[..CHECKSUM], &json].concat()
}

fn unpack(bytes: &[u8]) -> Option<Recipe> {
    let rest = bytes.strip_prefix(&[VERSION]).filter(|rest| rest.len() <= LARGEST)?;
    let (sum, json) = rest.split_at_checked(CHECKSUM)?;
    if blake3::hash(json).as_bytes()[..CHECKSUM] != *sum {
        return None;
    }
    let written: Written = serde_json::from_slice(json).ok()?;
    let plain = |text: &str| !text.bytes().any(|byte| byte.is_ascii_control() || byte == b' ');
    if ![&written.method, &written.target, &written.host].into_iter().all(|text| plain(text)) {
        return None;
    }
    let field = |(name, value): (String, Vec<u8>)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value).ok()?))
    };
    Some(Recipe {
        method: written.method,
        target: written.target,
        host: written.host,
        fields: written.fields.into_iter().map(field).collect::<Option<_>>()?,
        body: Bytes::from(written.body),
        client: None,
        upstream: written.upstream.map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_back_whole_and_nothing_else_does() {
        let recipe = Recipe {
            method: "POST".to_owned(),
            target: "/a?b=c".to_owned(),
            host: "h:1".to_owned(),
            fields: vec![(HeaderName::from_static("accept-language"), HeaderValue::from_static("de"))],
            body: Bytes::from_static(b"{\"a\":1}"),
            client: None,
            upstream: Some("next".into()),
        };
        let bytes = pack(&recipe);
        assert_eq!(unpack(&bytes), Some(recipe.clone()));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(unpack(&bad), None, "{at}");
        }
        let smuggled = Recipe { target: "/a HTTP/1.1\r\nX: y".to_owned(), ..recipe };
        assert_eq!(unpack(&pack(&smuggled)), None);
    }
}

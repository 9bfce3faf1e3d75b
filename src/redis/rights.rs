//! Whether the user has all the rights that the gateway needs: every command is tried, on keys of no use to anyone.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{ErrorKind, Script, ServerErrorKind};
use tokio::time::timeout;

use super::connect::Link;

static RIGHTS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("rights.lua")));

/// The longest time for an answer.
const DEADLINE: Duration = Duration::from_secs(1);

/// Keys tried until one is the server's own, in a cluster.
const TRIES: u32 = 100;

/// What the user lacks, in Redis' own words; `Err` where that can't be found out now.
pub(super) async fn lacking(link: &Link, prefix: &str) -> Result<Option<String>, String> {
    for _ in 0..TRIES {
        let tag = rand::random::<u32>();
        let mut script = RIGHTS.prepare_invoke();
        for kind in ["text", "stream", "set", "hash"] {
            script.key(format!("{prefix}:{{rights:{tag:x}}}:{kind}"));
        }
        let answer = timeout(DEADLINE, link.ask::<Vec<String>>((&script).into())).await;
        match answer.map_err(|_elapsed| "no reply in time".to_owned())? {
            Ok(denied) if denied.is_empty() => return Ok(None),
            Ok(denied) => return Ok(Some(denied.join("; "))),
            Err(e) if e.redirect_node().is_some() => {}
            Err(e) if e.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => {
                return Ok(Some(format!("NOPERM {}", e.detail().unwrap_or_default())));
            }
            Err(e) => return Err(e.to_string()),
        }
    }
    Err("no key of this server was found".to_owned())
}

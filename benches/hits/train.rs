//! Work for a build that counts what it does (`make profile`): every kind of request that is measured here.

use std::time::Duration;

use crate::load::{self, Load};
use crate::servers::Bench;
use crate::{CONNECTIONS, PROXIED, answer, check, secure};

/// Of each kind.
const TIME: Duration = Duration::from_secs(3);

/// Runs addrgate as the bench does: alone, with its access log, with Redis as its only tier, and over TLS by both protocols. Each is asked to stop before
/// the next begins, which is when it writes down what it has counted.
pub(crate) fn train() -> anyhow::Result<()> {
    let bench = Bench::new()?;
    let redis = bench.redis()?;
    let url = format!("redis://{}", redis.place);
    let second = [("REDIS_URL", &*url), ("CACHE_MEMORY", "0B")];
    let mut number = 0;
    for environment in [&[][..], &[("ADDRGATE_ACCESS_LOG", "true")], &second] {
        let server = bench.addrgate("addrgate", environment)?;
        for (path, connections) in [("/hit", CONNECTIONS), ("/nostore", PROXIED)] {
            check(&server, &load::run(Load { mark: b"", ..Load::same(&server, path, connections, TIME) })?)?;
        }
        let mut unlike = |out: &mut Vec<u8>| {
            number += 1;
            answer::unlike("/hit", number, out);
        };
        check(&server, &load::run(Load { connections: CONNECTIONS, ..Load::with(server.place, TIME, &mut unlike) })?)?;
        let mut new = |out: &mut Vec<u8>| {
            number += 1;
            answer::request(&format!("/new/{number}"), out);
        };
        check(&server, &load::run(Load { connections: PROXIED, ..Load::with(server.place, TIME, &mut new) })?)?;
    }
    secure::train(&bench, TIME)
}

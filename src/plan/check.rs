//! Checks that need more than one setting, or more than a type says. Each message is a sentence that says what to do.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use addrgate_filters::http::cache_policy::downstream::Cdn;
use addrgate_filters::route::Auth;
use addrgate_filters::traffic::units::{Secret, Size};
use addrgate_filters::{client, route};
use rustls::sign::CertifiedKey;

use crate::config::{File, Problem};
use crate::redis::Redis;
use crate::tls;
use crate::upstream::Pool;

/// Who means "without end" by zero would have none in time.
const NO_TIME: &str = "must be more than zero";

/// Everything that the file alone shows.
pub(super) fn file(file: &File) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut wrong = |path: &[&str], message: String| found.push(Problem::new(path, message));
    if file.version != 1 {
        wrong(&["version"], format!("version {} is not known; this program reads version 1", file.version));
    }
    if file.server.listen.is_empty() {
        wrong(&["server", "listen"], "needs at least one address, such as 127.0.0.1:3001".to_owned());
    }
    for (i, address) in file.server.listen.iter().enumerate() {
        if let Err(message) = host_port(address) {
            wrong(&["server", "listen", &i.to_string()], message);
        }
    }
    for (i, address) in file.server.proxy_protocol.iter().enumerate() {
        let place = ["server", "proxy_protocol", &i.to_string()];
        if !file.server.listen.contains(address) {
            wrong(&place, format!("`{address}` is not among the addresses of `listen`"));
        }
    }
    if !file.server.proxy_protocol.is_empty() && file.address.trusted_proxies.is_empty() {
        let message = "nobody may speak it: name the balancers in `address.trusted_proxies`";
        wrong(&["server", "proxy_protocol"], message.to_owned());
    }
    // Both listeners would share one socket.
    if file.server.listen.contains(&file.admin.listen) {
        wrong(&["admin", "listen"], format!("`{}` is among the addresses of `server.listen`", file.admin.listen));
    }
    if let Err(message) = host_port(&file.admin.listen) {
        wrong(&["admin", "listen"], message);
    }
    if file.admin.token.is_some() && file.admin.token_file.is_some() {
        wrong(&["admin", "token_file"], "`token` and `token_file` can't both be given".to_owned());
    }
    if file.upstreams.is_empty() {
        wrong(&["upstreams"], "needs at least one upstream".to_owned());
    }
    for (name, upstream) in &file.upstreams {
        if upstream.addresses.is_empty() {
            wrong(&["upstreams", name, "addresses"], "needs at least one address".to_owned());
        }
        for (i, address) in upstream.addresses.iter().enumerate() {
            if let Err(message) = host_port(address) {
                wrong(&["upstreams", name, "addresses", &i.to_string()], message);
            }
        }
        let health = &upstream.health;
        if health.fall == 0 || health.rise == 0 {
            wrong(&["upstreams", name, "health"], "`fall` and `rise` must be more than zero".to_owned());
        }
        for (field, span) in [("interval", health.interval), ("timeout", health.timeout)] {
            if span.0.is_zero() {
                wrong(&["upstreams", name, "health", field], NO_TIME.to_owned());
            }
        }
        if upstream.connect_time.0.is_zero() {
            wrong(&["upstreams", name, "connect_time"], NO_TIME.to_owned());
        }
        if health.timeout > health.interval {
            let message = "`timeout` is longer than `interval`: checks would overlap".to_owned();
            wrong(&["upstreams", name, "health", "timeout"], message);
        }
        for (field, path) in [("path", &health.path), ("probe", &health.probe)] {
            let is_path = |path: &String| path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok();
            if path.as_ref().is_some_and(|path| !is_path(path)) {
                let message = "a path starts with `/` and has no spaces or control characters".to_owned();
                wrong(&["upstreams", name, "health", field], message);
            }
        }
        if upstream.host.as_ref().is_some_and(|host| http::HeaderValue::from_str(host).is_err()) {
            wrong(&["upstreams", name, "host"], "can't be in a field `Host`".to_owned());
        }
        for (i, route) in file.routes.iter().flatten().enumerate() {
            let ours = route.upstream.as_deref().unwrap_or(name) == name && route.answer.is_none();
            if ours && upstream.connect_time >= route.timeout {
                let message =
                    format!("shorter than `connect_time` of `{name}`: a new connection would never be in time");
                wrong(&["routes", &i.to_string(), "timeout"], message);
            }
        }
    }
    if !(1..=9).contains(&file.compression.level) {
        wrong(&["compression", "level"], "must be from 1 to 9".to_owned());
    }
    if file.limits.connections == 0 || file.limits.connections_per_address == 0 {
        wrong(&["limits"], "`connections` and `connections_per_address` must be more than zero".to_owned());
    }
    let largest = file.routes.iter().flatten().filter_map(|route| Some(route.body?.max.0)).max().unwrap_or(0);
    if file.limits.bodies.0 < 2 * largest + (64 << 10) {
        let message =
            format!("too little for the largest body of a route ({}): must be more than twice that", Size(largest));
        wrong(&["limits", "bodies"], message);
    }
    let limits = &file.limits;
    for (name, span) in
        [("head_time", limits.head_time), ("body_time", limits.body_time), ("write_time", limits.write_time)]
    {
        if span.0.is_zero() {
            wrong(&["limits", name], NO_TIME.to_owned());
        }
    }
    if file.limits.fields == 0 || file.limits.fields > 256 {
        wrong(&["limits", "fields"], "must be from 1 to 256".to_owned());
    }
    for (name, size) in [("head", file.limits.head), ("uri", file.limits.uri)] {
        if !(256..=1 << 20).contains(&size.0) {
            wrong(&["limits", name], "must be from 256B to 1MiB".to_owned());
        }
    }
    if let Err(e) = tracing_subscriber::EnvFilter::try_new(&file.log.level) {
        wrong(&["log", "level"], format!("is not a log filter: {e}"));
    }
    found
}

/// Checks the form only: a name that doesn't resolve yet is not a mistake.
fn host_port(address: &str) -> Result<(), String> {
    let good = address.rsplit_once(':').is_some_and(|(host, port)| {
        let v6 = host.starts_with('[') && host.ends_with(']');
        let host_is_good = !host.is_empty() && !host.contains(['/', '@', ' ']) && (v6 || !host.contains(':'));
        host_is_good && port.parse::<u16>().is_ok()
    });
    if good { Ok(()) } else { Err(format!("`{address}` is not `host:port`")) }
}

/// The pool that a route means.
pub(super) fn upstream(config: &route::Config, pools: &[Arc<Pool>]) -> Result<Option<Arc<Pool>>, String> {
    match (&config.upstream, pools) {
        _ if config.answer.is_some_and(|answer| answer != route::Answer::Health) => Ok(None),
        // Told already.
        (None, []) => Ok(None),
        (Some(name), pools) => match pools.iter().find(|pool| pool.name() == name) {
            Some(pool) => Ok(Some(Arc::clone(pool))),
            None => Err(format!("there is no upstream `{name}`")),
        },
        (None, [only]) => Ok(Some(Arc::clone(only))),
        (None, _) => Err("there are several upstreams, so the route must name its own".to_owned()),
    }
}

/// What the parts that share Redis find wrong.
pub(super) fn redis(file: &File, folder: &Path) -> Vec<Problem> {
    let redis = file.redis.as_ref().and_then(|config| Redis::new(config, folder).err());
    let found = [("redis", redis), ("invalidation", file.invalidation.check().err())];
    found.into_iter().filter_map(|(part, message)| Some(Problem::new(&[part], message?))).collect()
}

/// The upstreams that routes name besides their own, which must exist.
pub(super) fn other_upstreams(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (i, route) in file.routes.iter().flatten().enumerate() {
        let named = [
            ("fallback", route.fallback.as_ref()),
            ("rollout", route.rollout.as_ref().map(|rollout| &rollout.upstream)),
            ("shadow", route.shadow.as_ref().map(|shadow| &shadow.upstream)),
        ];
        for (what, name) in named {
            if let Some(name) = name.filter(|name| !file.upstreams.contains_key(*name)) {
                let message = format!("there is no upstream `{name}`");
                problems.push(Problem::new(&["routes", &i.to_string(), what], message));
            }
        }
        let own = route.upstream.as_ref().or_else(|| file.upstreams.keys().next());
        if route.hedge.is_some()
            && own.and_then(|own| file.upstreams.get(own)).is_some_and(|own| own.tls_name.is_some())
        {
            let message = "is only for upstreams without TLS";
            problems.push(Problem::new(&["routes", &i.to_string(), "hedge"], message));
        }
        if route.fallback.is_some() && route.fallback == route.upstream {
            let message = "is the route's own upstream, so there is nothing to fall back on";
            problems.push(Problem::new(&["routes", &i.to_string(), "fallback"], message));
        }
    }
    problems
}

/// What an operator should know of a route whose responses shared caches in front may store.
pub(super) fn shared(route: &route::Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if route.cdn != Some(Cdn::Shared) {
        return warnings;
    }
    if route.auth != Auth::None {
        warnings.push(format!(
            "route `{}` needs a key and says `cdn: shared`: a shared cache in front hands what it stores to everyone, so it \
             must check keys itself; else leave `cdn` out",
            route.name
        ));
    }
    if route.meta {
        warnings.push(format!(
            "route `{}` says `cdn: shared`: `meta` names one request, so it is left out of what shared caches may store",
            route.name
        ));
    }
    warnings
}

/// Who may do what, with the files that the configuration names. A route that was refused already is not missed again.
pub(super) fn clients(file: &File, folder: &Path, routes: &[Arc<route::Route>]) -> Result<client::Clients, Problem> {
    let read = |path: &Path, setting: &[&str]| {
        let path = folder.join(path);
        std::fs::read(&path).map_err(|e| Problem::new(setting, format!("{} can't be read: {e}", path.display())))
    };
    let filed = match &file.identity.clients_file {
        None => BTreeMap::new(),
        Some(path) => {
            let setting = ["identity", "clients_file"];
            let text = read(path, &setting)?;
            client::read(&String::from_utf8_lossy(&text)).map_err(|message| Problem::new(&setting, message))?
        }
    };
    let all = client::merge(&file.clients, filed).map_err(|message| Problem::new(&["clients"], message))?;
    let jwt = file.identity.jwt.as_ref().and_then(client::TokenConfig::file);
    let token_keys = jwt.map(|path| read(path, &["identity", "jwt"])).transpose()?;
    let settings = client::Settings {
        clients: &all,
        plans: &file.plans,
        identity: &file.identity,
        token_keys: token_keys.as_deref(),
        routes,
    };
    client::Clients::new(&settings).map_err(|message| Problem::new(&["clients"], message))
}

/// What TLS clients are shown, from its files.
pub(super) fn certificate(file: &File, folder: &Path) -> Result<Option<Arc<CertifiedKey>>, Problem> {
    let Some(tls) = &file.server.tls else { return Ok(None) };
    let [certificate, key] = [&tls.certificate_file, &tls.key_file].map(|file| folder.join(file));
    tls::certificate(&certificate, &key).map(Some).map_err(Problem::at(&["server", "tls"]))
}

/// The admin token, from the file or from its own file.
pub(super) fn token(file: &File, folder: &Path) -> Result<Option<Secret>, Problem> {
    let given = match (&file.admin.token, &file.admin.token_file) {
        (Some(token), _) => token.reveal().to_owned(),
        (None, Some(path)) => {
            let path = folder.join(path);
            let read = std::fs::read_to_string(&path);
            let unreadable =
                |e| Problem::new(&["admin", "token_file"], format!("{} can't be read: {e}", path.display()));
            read.map_err(unreadable)?.trim().to_owned()
        }
        (None, None) => return Ok(None),
    };
    match given.len() {
        // `token: ${ADDRGATE_ADMIN_TOKEN:-}` may stay unset.
        0 => Ok(None),
        16.. => given.parse().map(Some).map_err(|e| Problem::new(&["admin", "token"], e)),
        _ => Err(Problem::new(&["admin", "token"], "a token needs at least 16 characters")),
    }
}

//! Puts the process together: listeners, services, threads, and waits for its end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pingora::apps::{HttpServerApp as _, HttpServerOptions};
use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::{Opt, ServerConf};
use pingora::server::{RunArgs, Server};
use pingora::services::background::background_service;
use pingora::services::listening::Service;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};

use crate::admin;
use crate::checks::Checks;
use crate::config::Shutdown;
use crate::door::Door;
use crate::invalidation::Reader;
use crate::leases::Leases;
use crate::plan::Plan;
use crate::pressure::Pressure;
use crate::proxy::Gateway;
use crate::redis::{Keeper, Redis};
use crate::reload::Reload;
use crate::shared::Shared;
use crate::shutdown::{Caught, Signals, Stage, drained};
use crate::telemetry::{AccessLog, METRICS, ProcessLog};
use crate::tls::Tls;
use crate::warm::Warmer;

/// Runs until it is told to stop.
pub(crate) fn run(plan: Plan, path: &Path, upgrade: bool) -> anyhow::Result<()> {
    let _log = ProcessLog::start(&plan.file.log.level)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (caught, hangup) = {
        let _inside = runtime.enter();
        (
            Caught::new().context("signals can't be caught")?,
            signal(SignalKind::hangup()).context("SIGHUP can't be caught")?,
        )
    };
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    let settings = plan.file.server.clone();
    let admin_listen = plan.file.admin.listen.clone();
    let access = AccessLog::start(Box::new(std::io::stdout())).context("the access log can't be started")?;
    let threads = match settings.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        n => n,
    };
    let room = room(plan.file.limits.connections);
    for address in settings.listen.iter().chain([&admin_listen]) {
        probe(address, upgrade)?;
    }
    let Shutdown { delay, drain } = settings.shutdown;
    let conf = server_conf(threads, drain.0, settings.upgrade_socket.as_deref());
    let hash = plan.hash.clone();
    let folder = path.parent().unwrap_or(Path::new("."));
    let redis = Redis::of(plan.file.redis.as_ref(), folder)?;
    if redis.is_none() {
        tracing::info!("no Redis is configured: cache, limits and purges are this instance's own");
    }
    let (shared, writer) = Shared::new(plan, access, redis);
    let mut server = Server::new_with_opt_and_conf(Opt { upgrade, ..Opt::default() }, conf);
    server.bootstrap();

    let mut proxy = HttpProxy::new(Gateway(Arc::clone(&shared)), Arc::clone(&server.configuration));
    proxy.handle_init_modules();
    proxy.server_options = Some(server_options());
    let proxy = Arc::new(proxy);
    let (through, running) = (Arc::clone(&proxy), watch::channel(false).1);
    shared.dispatch.connect(Box::new(move |session| {
        let (proxy, running) = (Arc::clone(&through), running.clone());
        Box::pin(async move { drop(proxy.process_new_http(session, &running).await) })
    }));
    let proxied = settings.proxy_protocol.iter().filter_map(|address| address.rsplit_once(':')?.1.parse().ok());
    let tls =
        settings.tls.as_ref().map(|tls| Tls::new(&shared, tls.http2)).transpose().context("TLS can't be set up")?;
    let door = Door::new(Arc::clone(&shared), proxy, tls, proxied.collect(), room);
    let mut public = Service::new("gateway".to_owned(), door);
    for address in &settings.listen {
        // The door has buffers of its own.
        public.add_listener(ListenerConfig::tcp(address).l4_buffer(L4BufferSettings::unbuffered()));
    }
    server.add_service(public);
    server.add_service(admin::service(&shared, path, &admin_listen));
    server.add_service(background_service("pressure", Pressure(Arc::clone(&shared))));
    server.add_service(background_service("warmer", Warmer(Arc::clone(&shared))));
    server.add_service(background_service("health checks", Checks(Arc::clone(&shared))));
    if let (Some(redis), Some(writer)) = (&shared.redis, writer) {
        server.add_service(background_service("redis", Keeper(Arc::clone(redis))));
        server.add_service(background_service("second tier", writer));
        let leases = Leases { redis: Arc::clone(redis), invalidation: Arc::clone(&shared.invalidation) };
        server.add_service(background_service("leases", leases));
        server.add_service(background_service("invalidation log", Reader(Arc::clone(&shared.invalidation))));
    }
    let reload = Reload { shared: Arc::clone(&shared), path: path.to_owned(), hangup: Mutex::new(hangup) };
    server.add_service(background_service("reload", reload));

    METRICS.ready.set(1);
    tracing::info!(listen = ?settings.listen, admin = %admin_listen, threads, hash = %hash, "addrgate starts");
    let phases = server.watch_execution_phase();
    let (stage, stages) = watch::channel(Stage::Running);
    let upgradable = settings.upgrade_socket.is_some();
    let signals = Signals { caught: Mutex::new(caught), shared: Arc::clone(&shared), delay, upgradable, stage };
    let ended = std::thread::Builder::new()
        .name("server".to_owned())
        .spawn(move || server.run(RunArgs { shutdown_signal: Box::new(signals) }))
        .context("the server can't be started")?;
    let cut_off = runtime.block_on(async {
        let cut_off = drained(&shared, stages, phases, drain.0).await;
        if let Some(redis) = &shared.redis {
            crate::leases::give_back(redis).await;
        }
        shared.invalidation.leave().await;
        cut_off
    });
    if ended.is_finished() && ended.join().is_err() {
        anyhow::bail!("the server failed; its last log lines say why");
    }
    if cut_off {
        tracing::warn!(in_flight = shared.in_flight(), "stopped with requests in flight");
    }
    tracing::info!("stopped");
    shared.access.close();
    Ok(())
}

/// For how many connections there are descriptors: one each, one each for its request at the upstream, and some for all
/// else. The process's limit is raised as far as the system lets it: a reload may want more connections than the start.
fn room(wanted: usize) -> usize {
    const ELSE: u64 = 512;
    let files = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => files,
        Err(error) => {
            tracing::info!(%error, "the limit of open files is not known; `limits.connections` alone holds");
            return usize::MAX;
        }
    };
    let room = usize::try_from(files.saturating_sub(ELSE) / 2).unwrap_or(usize::MAX).max(1);
    if room < wanted {
        tracing::info!(
            files,
            room,
            wanted,
            "open files allow fewer connections than `limits.connections`: raise `ulimit -n`"
        );
    }
    room
}

/// Pingora panics where it can't bind; say it in a sentence before. Sockets that are taken over are bound already.
fn probe(address: &str, upgrade: bool) -> anyhow::Result<()> {
    if upgrade {
        return Ok(());
    }
    std::net::TcpListener::bind(address).map(drop).with_context(|| format!("can't listen on {address}"))
}

fn server_options() -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    // Passed on to the filters, which refuse it as they refuse everything: in the envelope, counted and logged.
    options.allow_connect_method_proxying = true;
    options
}

fn server_conf(threads: usize, drain: Duration, upgrade_socket: Option<&Path>) -> ServerConf {
    // Pingora's own names in the shared temporary folder would collide between instances. Without a socket of ours
    // nothing is offered: a folder is no socket.
    let upgrade_sock = upgrade_socket.map_or("/".to_owned(), |path| path.to_string_lossy().into_owned());
    ServerConf {
        threads,
        // Alone, a thread needs nobody to steal from: tokio's runtime for one thread costs less, and it serves all in turn,
        // where the one for many makes some connections wait twelve times as long under full load. With several threads
        // it must be that one: between runtimes Pingora loses every few kept connections to the upstream.
        work_stealing: threads > 1,
        upgrade_sock,
        pid_file: String::new(),
        // Longer than our own bound, which ends the process.
        grace_period_seconds: Some(drain.as_secs() + 5),
        graceful_shutdown_timeout_seconds: Some(1),
        // Pingora counts tries, not retries; `proxy::forward` ends them: each address of the upstream once, one more over a
        // new connection, and the fallback's.
        max_retries: 1000,
        upstream_keepalive_pool_size: 256,
        ..ServerConf::default()
    }
}

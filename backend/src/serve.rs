//! `address-service serve`: listen, answer, and stop without dropping what was begun.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::addressr::{self, AddressrArgs};
use crate::app::App;
use crate::dataset::AgeArgs;
use crate::db::{ConnectArgs, Database, PoolArgs};
use crate::purge::{self, PurgeArgs};
use crate::routes::Gate;
use crate::validate::GNAF;
use crate::{dataset, routes};

/// From the first wait for a request to the end of its head. As it also bounds how long a connection may idle, it is
/// longer than any gateway keeps one (60 s), so that it is the gateway that closes.
const HEAD_TIME: Duration = Duration::from_secs(75);
const HEAD_BYTES: usize = 32 << 10;
const HEAD_FIELDS: usize = 100;
/// What was begun may take this long after the signal to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// How to serve.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:3002", env = "ADDRESS_SERVICE_LISTEN")]
    listen: SocketAddr,
    /// Most connections at a time; further ones wait to be accepted
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,
    /// Most requests being answered at a time; more are refused with 503
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    max_requests: u32,
    /// Where answers come from: our own data in PostGIS, or an addressr instance to fall back on
    #[arg(long, value_enum, default_value_t = Source::Gnaf)]
    source: Source,
    #[command(flatten)]
    addressr: AddressrArgs,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    pool: PoolArgs,
    #[command(flatten)]
    age: AgeArgs,
    #[command(flatten)]
    purge: PurgeArgs,
}

/// Where answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Source {
    Gnaf,
    Addressr,
}

impl Args {
    /// The endpoints over the source.
    fn router(&self) -> anyhow::Result<Router> {
        let requests = Arc::new(Semaphore::new(self.max_requests as usize));
        let mut gate = Gate { requests: requests.clone(), data: None };
        if self.source == Source::Addressr {
            let app = addressr::App::new(&self.addressr, &requests)?;
            return Ok(routes::router(addressr::table(), app, &gate, addressr::SOURCE));
        }
        let server = self.connect.server()?;
        let gateways = self.purge.gateways()?;
        let database = Database::open(server.clone(), &self.pool);
        let app = App {
            facts: dataset::keep(database.clone(), self.age),
            database,
            purges: gateways.map(|gateways| purge::keep(server, gateways)),
            requests,
            started: Instant::now(),
        };
        gate.data = Some(app.facts.clone());
        Ok(routes::router(routes::table(), app, &gate, GNAF))
    }
}

/// Serves until SIGTERM or SIGINT, then finishes what was begun.
///
/// # Errors
/// When the source's URL is unusable, there is a URL to purge at and no token, or the address can't be listened on. A database that is away is no error: it may
/// come later.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    log_panics();
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT can't be handled")?;
    let router = args.router()?;
    let listener = TcpListener::bind(args.listen).await.with_context(|| format!("can't listen on {}", args.listen))?;
    let address = listener.local_addr().context("the listener has no address")?;
    tracing::info!(%address, "listening");

    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES).max_headers(HEAD_FIELDS);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(args.max_connections as usize));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let Some((stream, place)) = accepted else { continue };
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(place);
        });
    }
    drop(listener);
    tracing::info!(connections = graceful.count(), "stopping");
    match timeout(DRAIN, graceful.shutdown()).await {
        Ok(()) => tracing::info!("stopped"),
        Err(_) => tracing::warn!("stopped with requests unfinished"),
    }
    Ok(())
}

/// The next connection, once there is a place for it; `None` when accepting failed for now.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
            Some((stream, place))
        }
        Err(error) => {
            // Out of file descriptors, most likely: connections that end will free some.
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// Panics as log lines instead of text on standard error. They are caught per request (`routes::edge`).
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, message, "a panic; this is a defect");
    }));
}

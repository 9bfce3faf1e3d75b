//! A fetch belongs to nobody: it is a task of the gateway's own, made from the canonical request, and driven at the upstream's
//! speed. The client that caused it reads along like all others; whether that one reads slowly, or leaves, is not the
//! fetch's affair.
//!
//! [`Fetch`] is carried by the request that the task sends through the proxy. It alone says how the fetch ends, once.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use addrgate_filters::http::cache_status::Forward;
use addrgate_filters::traffic::queue::Lend;
use http::HeaderMap;
use pingora::http::ResponseHeader;
use tokio::sync::{mpsc, oneshot};

use crate::coalesce::{End, Failure, Lead, Waiters};
use crate::store::Fill;

/// The end of one fetch.
#[derive(Debug)]
pub(crate) struct Fetch {
    lead: Lead,
    /// Where the request that caused it waits; `None` for a refresh behind a response.
    cause: Option<Causer>,
    /// Whether it is known that the second tier has nothing.
    pub(crate) looked: bool,
    relay: Relay,
    fill: Option<Arc<Fill>>,
}

/// The request that caused a fetch, as the fetch knows it.
#[derive(Debug)]
pub(crate) struct Causer {
    fetched: oneshot::Sender<Fetched>,
    interim: mpsc::Sender<ResponseHeader>,
}

/// What that request waits for.
#[derive(Debug)]
pub(crate) struct Awaited {
    /// What the fetch brings.
    pub(crate) fetched: oneshot::Receiver<Fetched>,
    /// Interim responses (1xx) before it.
    pub(crate) interim: mpsc::Receiver<ResponseHeader>,
}

impl Causer {
    /// Both ends.
    pub(crate) fn new() -> (Self, Awaited) {
        let (fetched, awaited) = oneshot::channel();
        // More at once are lost: they are hints.
        let (interim, interims) = mpsc::channel(8);
        (Self { fetched, interim }, Awaited { fetched: awaited, interim: interims })
    }
}

/// The body of a response that is not stored, for the task that reads it.
pub(crate) type Relay = Arc<OnceLock<Arc<Fill>>>;

/// What a fetch brought to the request that caused it.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// [`End::Stored`], [`End::Filling`] or [`End::Failed`].
    pub(crate) end: End,
    /// How it went.
    pub(crate) facts: Facts,
}

/// How a fetch went, for `Cache-Status` and the log.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Why the upstream was asked.
    pub(crate) forward: Forward,
    /// Its status; `None` where it was not asked after all.
    pub(crate) status: Option<u16>,
    /// It validated what was stored.
    pub(crate) validated: bool,
    /// Why the response is not stored.
    pub(crate) unstored: Option<&'static str>,
    /// Fields that are for this request alone.
    pub(crate) own: HeaderMap,
    /// How long the upstream took to the head of its response.
    pub(crate) time: Option<Duration>,
}

impl Fetch {
    /// For all who wait for the lead, and the request that caused it. `looked`: the second tier has nothing.
    pub(crate) fn new(lead: Lead, cause: Option<Causer>, looked: bool) -> Self {
        Self { lead, looked, cause, relay: Relay::default(), fill: None }
    }

    /// The body of a response that is not stored.
    pub(crate) fn relay(&self) -> Relay {
        Arc::clone(&self.relay)
    }

    /// What those who wait raise its class by.
    pub(crate) fn lend(&self) -> Lend {
        self.lead.lend()
    }

    /// Those who wait; `None` where it goes on without any.
    pub(crate) fn waiters(&self) -> Option<Waiters> {
        self.cause.as_ref().map(|_| self.lead.waiters())
    }

    /// An interim response, for the request that caused the fetch.
    pub(crate) fn interim(&self, answer: &ResponseHeader) {
        if let Some(cause) = &self.cause {
            let _too_many = cause.interim.try_send(answer.clone());
        }
    }

    /// There is a response: `own` for the request that caused the fetch, `all` for the others.
    pub(crate) fn end(&mut self, own: End, facts: Facts, all: End) {
        if let End::Filling(filling) = &own {
            self.fill = Some(Arc::clone(&filling.fill));
        }
        if let Some(cause) = self.cause.take() {
            // It has left.
            let _gone = cause.fetched.send(Fetched { end: own, facts });
        }
        self.lead.end(all);
    }

    /// There is none.
    pub(crate) fn failed(&mut self, failure: Failure) {
        let end = End::Failed(Arc::new(failure));
        self.end(end.clone(), Facts::default(), end);
    }

    /// From now on the body comes in here, not into the store.
    pub(crate) fn relay_to(&self, fill: &Arc<Fill>) {
        // There is one response.
        let _first = self.relay.set(Arc::clone(fill));
    }

    /// All of the body has come: one of more than `most` bytes is not waited for next time.
    pub(crate) fn over(&self, most: usize) {
        if self.fill.as_ref().is_some_and(|fill| fill.length() > most) {
            self.lead.pass();
        }
    }
}

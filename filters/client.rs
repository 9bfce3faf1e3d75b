//! Turns an API key or a bearer token into a client, before the body is read, and says what that client may use.
//!
//! Keys are random and never stored: the configuration holds their SHA-256 digests. A key is looked up by its digest and
//! the digests are compared in constant time, so nothing of a key leaks through timing. A client may have two keys while
//! it changes from one to the other. What a client may do is a plan's, or its own where it says so.
//!
//! ```yaml
//! plans:
//!   partner:
//!     limits: [5000/15m]             # in place of `rate_limit.client`; []: none
//!     routes: [search, validate]     # left out: all
//!     priority: high                 # critical, high, normal, low or background; left out: `priority.default`
//! clients:
//!   web-portal:
//!     keys: ["sha256:9f86d081..."]   # `addrgate keys new` prints a key and this line; empty texts are skipped
//!     plan: partner
//!     addresses: [198.51.100.0/24]   # from where it may ask; left out: from anywhere
//! identity:
//!   clients_file: clients.yaml       # more clients, in the form of `clients`; watched
//!   failures: 30/1m                  # wrong keys and tokens per address; more are answered 429
//!   mode: enforce                    # or observe: only count whom `routes`, `addresses`, `failures` would refuse
//!   jwt: { ... }                     # see `client/token.rs`
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::address::Networks;
use crate::cause::{Cause, Code};
use crate::http::head::Head;
use crate::route::{Auth, Route};
use crate::verdict::Verdict;
use crate::{Filter, Flow, Mode, rate_limit};

mod config;
mod failures;
mod file;
mod identity;
mod key;
mod profile;
mod token;

pub use config::{Config, Plan};
pub use file::{merge, read};
pub use identity::Identity;
pub use key::{digest_of, new_key};
pub use profile::Client;
pub use token::{Algorithm, Config as TokenConfig};

/// All that says who may do what, with the contents of the files it names.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// All clients, those of `clients_file` included ([`merge`]).
    pub clients: &'a BTreeMap<String, Config>,
    /// All plans.
    pub plans: &'a BTreeMap<String, Plan>,
    /// How clients show who they are.
    pub identity: &'a Identity,
    /// What is in the file of [`TokenConfig::file`].
    pub token_keys: Option<&'a [u8]>,
    /// All routes, so that a misspelt name is found.
    pub routes: &'a [Arc<Route>],
}

/// The filter: all clients, by name and by the digest of their keys.
#[derive(Debug, Default)]
pub struct Clients {
    by_key: key::Keys,
    by_name: HashMap<Arc<str>, Arc<Client>>,
    plans: BTreeMap<String, Plan>,
    tokens: Option<token::Tokens>,
    failures: failures::Failures,
    mode: Mode,
}

impl Clients {
    /// Compiles; the error is a sentence naming the client or plan.
    pub fn new(settings: &Settings<'_>) -> Result<Self, String> {
        let Settings { clients, plans, identity, token_keys, routes } = *settings;
        for (name, plan) in plans {
            Client::new(name, &Config::default(), plan).check(routes).map_err(|e| format!("plan `{name}`: {e}"))?;
        }
        let mut found = Self { plans: plans.clone(), mode: identity.mode, ..Self::default() };
        for (name, config) in clients {
            let wrong = |e| format!("client `{name}`: {e}");
            let plan = match &config.plan {
                None => &Plan::default(),
                Some(plan) => plans.get(plan).ok_or_else(|| wrong(format!("there is no plan `{plan}`")))?,
            };
            let client = Arc::new(Client::new(name, config, plan));
            client.check(routes).map_err(wrong)?;
            found.by_key.add(&client, &config.keys)?;
            found.by_name.insert(Arc::clone(&client.name), client);
        }
        rate_limit::check(identity.failures.iter()).map_err(|e| format!("failures: {e}"))?;
        found.failures = failures::Failures::new(identity.failures);
        if let Some(config) = &identity.jwt {
            let tokens = token::Tokens::new(config, token_keys.unwrap_or_default());
            found.tokens = Some(tokens.map_err(|e| format!("jwt: {e}"))?);
        }
        let asks_for_token = |route: &&Arc<Route>| matches!(route.config.auth, Auth::Jwt);
        if let Some(route) = routes.iter().find(asks_for_token).filter(|_| found.tokens.is_none()) {
            return Err(format!("route `{}` has `auth: jwt`, so `identity.jwt` is needed", route.name()));
        }
        Ok(found)
    }

    /// Whether nobody is known, so that every route that asks for a client is closed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty() && self.tokens.is_none()
    }

    fn show(&self, head: &Head<'_>, auth: Auth, verdict: &Verdict) -> Result<Arc<Client>, Cause> {
        match auth {
            Auth::Jwt => self.by_token(head, verdict),
            // The key is what counts where both are sent; a wrong one is not made good by a token.
            Auth::Any if !head.headers.has("x-api-key") && token::is_sent(head) => self.by_token(head, verdict),
            Auth::ApiKey | Auth::Any | Auth::None => self.by_key.show(head),
        }
    }

    /// The client that a bearer token names: one of `clients`, or one of the plan it names.
    fn by_token(&self, head: &Head<'_>, verdict: &Verdict) -> Result<Arc<Client>, Cause> {
        let token = token::sent(head)?;
        let Some(tokens) = &self.tokens else {
            return Err(Cause::new(Code::InvalidApiKey, "no_tokens", "Tokens are not accepted here; send an API key."));
        };
        if let Some(client) = tokens.known(token) {
            return Ok(client);
        }
        // Signatures cost: who has sent too many wrong ones has none checked.
        if let Some(cause) = self.failures.spent(verdict.address).filter(|_| self.mode == Mode::Enforce) {
            return Err(cause);
        }
        let claims = tokens.verify(token)?;
        let client = match (self.by_name.get(&*claims.subject), claims.plan.as_ref().and_then(|p| self.plans.get(p))) {
            (Some(client), _) => Arc::clone(client),
            (None, Some(plan)) => Arc::new(Client::new(&claims.subject, &Config::default(), plan)),
            (None, None) => {
                return Err(Cause::new(Code::Forbidden, "unknown_client", "The token names no client that is known."));
            }
        };
        tokens.remember(token, &client, claims.expires);
        Ok(client)
    }
}

/// Whether the client may use the route, from where it asks.
fn may(client: &Client, verdict: &Verdict) -> Result<(), Cause> {
    let route = verdict.route.as_ref().map_or("", |route| route.name());
    if client.routes.as_ref().is_some_and(|routes| routes.iter().all(|name| name != route)) {
        return Err(Cause::new(Code::Forbidden, "client_route", "Your plan does not include this endpoint."));
    }
    let here = |networks: &Networks| verdict.address.is_some_and(|address| networks.contain(address));
    if client.addresses.as_ref().is_some_and(|networks| !here(networks)) {
        let message = "This API key may not be used from your address.";
        return Err(Cause::new(Code::Forbidden, "client_address", message));
    }
    Ok(())
}

impl Filter for Clients {
    fn name(&self) -> &'static str {
        "client"
    }

    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        if verdict.background {
            return Flow::Continue;
        }
        let auth = verdict.route.as_ref().map_or(Auth::None, |route| route.config.auth);
        if auth == Auth::None {
            return Flow::Continue;
        }
        // A token runs out.
        verdict.once |= auth != Auth::ApiKey;
        match self.show(head, auth, verdict) {
            Ok(client) => {
                let may = may(&client, verdict);
                verdict.client = Some(client);
                match may {
                    Ok(()) => Flow::Continue,
                    Err(cause) => self.mode.refuse(self.name(), cause, verdict),
                }
            }
            Err(cause) => {
                let wrong = cause.code == Code::InvalidApiKey;
                let spent = if wrong { self.failures.count(verdict.address) } else { None };
                match spent.map(|spent| self.mode.refuse(self.name(), spent, verdict)) {
                    Some(refusal @ Flow::Reply(_)) => refusal,
                    _ => Flow::Reply(cause),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Whose budget: the accounts of one instance, each with a bucket of its own or with tokens leased from all instances'.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::config::Config;
use crate::traffic::gcra::{Bucket, LONGEST};
use crate::traffic::leases::{Ask, Lease, Leases};
use crate::traffic::units::Rate;

/// Whose budget, for which routes, under which limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Account {
    pub(super) owner: Owner,
    /// The route that the limit is for; `None`: all of them.
    pub(super) scope: Option<Arc<str>>,
    pub(super) rate: Rate,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    Client(Arc<str>),
    Address(IpAddr),
}

impl Account {
    /// What it is called among all instances. Hashed, so that no client chooses a key, or its slot by `{...}`.
    fn key(&self) -> String {
        let mut hash = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hash.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(bytes);
        };
        match &self.owner {
            Owner::Client(name) => [&b"client"[..], name.as_bytes()].map(&mut part),
            Owner::Address(address) => [&b"address"[..], address.to_string().as_bytes()].map(&mut part),
        };
        match &self.scope {
            Some(route) => [&b"route"[..], route.as_bytes()].map(&mut part),
            None => [&b"all"[..], b""].map(&mut part),
        };
        part(self.rate.to_string().as_bytes());
        format!("lease:1:{}", &hash.finalize().to_hex()[..32])
    }
}

/// The accounts of one instance.
pub struct Accounts {
    buckets: Table<Bucket>,
    leased: Table<Lease>,
    leases: Arc<Leases>,
}

/// Accounts, each with its state. Those of clients and those of addresses are bounded apart: whoever has many addresses
/// can't make a client's budget forgotten.
struct Table<T> {
    clients: Cache<Account, Arc<T>>,
    addresses: Cache<Account, Arc<T>>,
}

impl<T: Send + Sync + 'static> Table<T> {
    fn new(most: u64) -> Self {
        // The idlest give way: a newcomer that was turned away instead would have no limit at all.
        let cache = || {
            let bounded = Cache::builder().max_capacity(most).time_to_idle(LONGEST);
            bounded.eviction_policy(EvictionPolicy::lru()).build()
        };
        Self { clients: cache(), addresses: cache() }
    }

    fn get(&self, account: &Account, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let cache = match account.owner {
            Owner::Client(_) => &self.clients,
            Owner::Address(_) => &self.addresses,
        };
        cache.get_with_by_ref(account, make)
    }

    fn count(&self) -> u64 {
        self.clients.entry_count() + self.addresses.entry_count()
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accounts({} buckets, {} leased)", self.buckets.count(), self.leased.count())
    }
}

impl Default for Accounts {
    fn default() -> Self {
        Self::new(Config::default().accounts)
    }
}

/// The accounts of this process.
static ACCOUNTS: OnceLock<Arc<Accounts>> = OnceLock::new();

impl Accounts {
    /// At most so many of clients and of addresses each; the idlest give way.
    fn new(most: usize) -> Self {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        Self { buckets: Table::new(most), leased: Table::new(most), leases: Arc::default() }
    }

    /// The accounts of this process: a reload must not hand out fresh budgets.
    #[must_use]
    pub fn of_process() -> Arc<Self> {
        Self::bounded(Config::default().accounts)
    }

    /// The same; the first caller says how many there may be.
    pub(super) fn bounded(most: usize) -> Arc<Self> {
        Arc::clone(ACCOUNTS.get_or_init(|| Arc::new(Self::new(most))))
    }

    /// How tokens are leased.
    #[must_use]
    pub fn leases(&self) -> &Arc<Leases> {
        &self.leases
    }

    /// Gives back all leased tokens that are at hand: for the end of the process, when no request needs them any more.
    #[must_use]
    pub fn surrender(&self) -> Vec<Ask> {
        let all = self.leased.clients.iter().chain(&self.leased.addresses);
        all.filter_map(|(_, lease)| lease.surrender()).collect()
    }

    pub(super) fn bucket(&self, account: &Account) -> Arc<Bucket> {
        self.buckets.get(account, Arc::default)
    }

    pub(super) fn lease(&self, account: &Account) -> Arc<Lease> {
        self.leased.get(account, || Lease::new(account.key(), account.rate, &self.leases))
    }
}

#[cfg(test)]
mod tests {
    use super::super::gcra::{Decision, now};
    use super::*;

    fn account(owner: Owner) -> Account {
        Account { owner, scope: None, rate: "2/1d".parse().unwrap() }
    }

    fn of_address(n: u32) -> Account {
        account(Owner::Address(IpAddr::from(n.to_be_bytes())))
    }

    fn is_allowed(accounts: &Accounts, account: &Account) -> bool {
        matches!(accounts.bucket(account).take(account.rate, now()), Decision::Allowed { .. })
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory_limits_newcomers_and_makes_no_client_forgotten() {
        let accounts = Accounts::new(1_000);
        let client = account(Owner::Client("client".into()));
        assert_eq!([0; 3].map(|_| is_allowed(&accounts, &client)), [true, true, false]);
        for n in 0..20_000 {
            // Also the latest of thousands has a limit.
            assert_eq!([0; 3].map(|_| is_allowed(&accounts, &of_address(n))), [true, true, false], "{n}");
            accounts.lease(&of_address(n));
        }
        accounts.buckets.addresses.run_pending_tasks();
        accounts.leased.addresses.run_pending_tasks();
        let counts = [&accounts.buckets.addresses.entry_count(), &accounts.leased.addresses.entry_count()];
        assert!(counts.iter().all(|count| **count <= 1_000), "{counts:?}");
        assert!(!is_allowed(&accounts, &client));
        assert!(is_allowed(&accounts, &of_address(0)), "the idlest begins anew");
    }
}

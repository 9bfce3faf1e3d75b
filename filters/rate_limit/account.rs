//! Whose budget: the accounts of one instance, each with a bucket of its own or with tokens leased from all instances'.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use moka::sync::Cache;

use super::gcra::Bucket;
use super::lease::Lease;
use super::leases::Leases;
use crate::units::Rate;

/// The longest time that a budget may take to fill; an account that was idle so long is as good as new.
pub(super) const LONGEST: Duration = Duration::from_secs(86_400);

/// Accounts kept; the idlest give way. An attacker with a million addresses gets a million fresh budgets, but no memory.
const MOST: u64 = 1_000_000;

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
    buckets: Cache<Account, Arc<Bucket>>,
    leased: Cache<Account, Arc<Lease>>,
    leases: Arc<Leases>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accounts({} buckets, {} leased)", self.buckets.entry_count(), self.leased.entry_count())
    }
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            buckets: Cache::builder().max_capacity(MOST).time_to_idle(LONGEST).build(),
            leased: Cache::builder().max_capacity(MOST).time_to_idle(LONGEST).build(),
            leases: Arc::default(),
        }
    }
}

impl Accounts {
    /// The accounts of this process: a reload must not hand out fresh budgets.
    #[must_use]
    pub fn of_process() -> Arc<Self> {
        static ACCOUNTS: LazyLock<Arc<Accounts>> = LazyLock::new(Arc::default);
        Arc::clone(&ACCOUNTS)
    }

    /// How tokens are leased.
    #[must_use]
    pub fn leases(&self) -> &Arc<Leases> {
        &self.leases
    }

    pub(super) fn bucket(&self, account: &Account) -> Arc<Bucket> {
        self.buckets.get_with_by_ref(account, Arc::default)
    }

    pub(super) fn lease(&self, account: &Account) -> Arc<Lease> {
        self.leased.get_with_by_ref(account, || Lease::new(account.key(), account.rate, &self.leases))
    }
}

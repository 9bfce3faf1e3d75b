//! What is asked most: a bounded list, in which old fame fades.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use addrgate_filters::cache_key::Key;
use addrgate_filters::verdict::Verdict;
use http::HeaderName;

use crate::recipe::Recipe;
use crate::store::{Entry, NOTED};

/// A request and how much it is asked.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) recipe: Recipe,
    pub(crate) uses: f64,
    /// Its answers are one client's own, so that nobody else can ask for them.
    pub(crate) own: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Popular {
    most: usize,
    known: Mutex<HashMap<Key, Known>>,
}

impl Popular {
    /// Empty; at most so many.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, known: Mutex::default() }
    }

    /// How many at most.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// A kept answer was used once more. Where that is worth noting, so is the request, whose recipe is made from the fields
    /// that select the variant.
    pub(crate) fn used(&self, entry: &Entry, verdict: &Verdict, recipe: impl FnOnce(&[HeaderName]) -> Recipe) {
        if let Some(uses) = entry.used()
            && let Some(key) = verdict.key
        {
            let vary = entry.kept.vary.as_deref().unwrap_or_default();
            self.note(key, uses, is_own(verdict, vary), || recipe(vary));
        }
    }

    /// Notes a request whose kept answer was used so often.
    fn note(&self, key: Key, uses: u32, own: bool, recipe: impl FnOnce() -> Recipe) {
        // Since it was noted last the number has doubled.
        let new = f64::from(if uses <= NOTED { uses } else { uses / 2 });
        let mut known = self.lock();
        if let Some(known) = known.get_mut(&key) {
            known.uses += new;
            return;
        }
        if self.most == 0 {
            return;
        }
        if known.len() >= self.most {
            let least = known.iter().min_by(|(_, a), (_, b)| a.uses.total_cmp(&b.uses));
            let Some((least, uses)) = least.map(|(key, known)| (*key, known.uses)) else { return };
            if uses > new {
                return;
            }
            known.remove(&least);
        }
        known.insert(key, Known { recipe: recipe(), uses: new, own });
    }

    /// What others know, where it is more than is known here.
    pub(crate) fn take_in(&self, others: Vec<(Key, f64, Recipe)>) {
        let mut known = self.lock();
        for (key, uses, recipe) in others {
            if known.len() < self.most {
                known.entry(key).or_insert(Known { recipe, uses, own: false });
            }
        }
    }

    /// Halves what is known of old uses within some minutes, so that new ones have a chance.
    pub(crate) fn fade(&self) {
        const PART: f64 = 0.99;
        let mut known = self.lock();
        known.values_mut().for_each(|known| known.uses *= PART);
        known.retain(|_, known| known.uses > 0.5);
    }

    /// All, the most asked first.
    pub(crate) fn recipes(&self) -> Vec<Recipe> {
        let mut all: Vec<Known> = self.lock().values().cloned().collect();
        all.sort_by(|a, b| b.uses.total_cmp(&a.uses));
        all.into_iter().map(|known| known.recipe).collect()
    }

    /// What other instances may ask for, too.
    pub(crate) fn shareable(&self) -> Vec<(Key, Known)> {
        self.lock().iter().filter(|(_, known)| !known.own).map(|(key, known)| (*key, known.clone())).collect()
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether answers are kept for one client alone. A recipe with a credential in it would carry that into Redis.
fn is_own(verdict: &Verdict, vary: &[HeaderName]) -> bool {
    let credential = |name: &HeaderName| matches!(name.as_str(), "authorization" | "cookie" | "x-api-key");
    let per_client =
        verdict.route.as_ref().and_then(|route| route.config.cache.as_ref()).is_some_and(|cache| cache.key.client);
    per_client || vary.iter().any(credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(n: u8) -> Recipe {
        Recipe {
            method: "GET".to_owned(),
            target: format!("/{n}"),
            host: String::new(),
            fields: Vec::new(),
            body: bytes::Bytes::new(),
            client: None,
            upstream: None,
        }
    }

    #[test]
    fn the_most_asked_are_kept_and_come_first() {
        let popular = Popular::new(2);
        for (n, uses) in [(1, 4), (2, 4), (2, 8), (3, 4), (3, 8), (3, 16), (4, 4)] {
            popular.note(Key([n; 32]), uses, false, || recipe(n));
        }
        let targets: Vec<String> = popular.recipes().into_iter().map(|recipe| recipe.target).collect();
        assert_eq!(targets, ["/3", "/2"]);
    }

    #[test]
    fn old_fame_fades() {
        let popular = Popular::new(1);
        for uses in [4, 8, 16] {
            popular.note(Key([1; 32]), uses, false, || recipe(1));
        }
        for _ in 0..600 {
            popular.fade();
        }
        assert_eq!(popular.len(), 0);
        popular.note(Key([2; 32]), 4, true, || recipe(2));
        assert!(popular.shareable().is_empty(), "one client's own");
    }

    #[test]
    fn what_varies_by_a_credential_is_one_clients_own() {
        let is_own = |name| is_own(&Verdict::default(), &[HeaderName::from_static(name)]);
        assert!(is_own("authorization") && is_own("cookie") && is_own("x-api-key"));
        assert!(!is_own("accept-language"));
    }
}

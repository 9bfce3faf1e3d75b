//! Bounds on connections: in all, and of one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who is connected. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections {
    all: Arc<AtomicUsize>,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Connections {
    /// A place among all; `None` where there are so many already.
    pub(crate) fn enter(&self, most: usize) -> Option<Place> {
        let before = self.all.fetch_add(1, Ordering::AcqRel);
        let place = Place { connections: self.clone(), address: None };
        // Dropping the place takes it off again.
        (before < most).then_some(place)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.load(Ordering::Acquire)
    }

    fn by_address(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Connections,
    address: Option<IpAddr>,
}

impl Place {
    /// Counts it under its address; `false` where that has so many already.
    pub(crate) fn of(&mut self, address: IpAddr, most: usize) -> bool {
        let mut by_address = self.connections.by_address();
        let count = by_address.entry(address).or_default();
        if *count >= most {
            return false;
        }
        *count += 1;
        self.address = Some(address);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.all.fetch_sub(1, Ordering::AcqRel);
        let Some(address) = self.address else { return };
        let mut by_address = self.connections.by_address();
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let connections = Connections::default();
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let mut first = connections.enter(3).unwrap();
        assert!(first.of(a, 1));
        let mut second = connections.enter(3).unwrap();
        assert!(!second.of(a, 1) && second.of(b, 1));
        let third = connections.enter(3).unwrap();
        assert!(connections.enter(3).is_none());
        drop((first, third));
        let mut again = connections.enter(3).unwrap();
        assert!(again.of(a, 1));
        drop((second, again));
        assert!(connections.by_address().is_empty());
        assert_eq!(connections.count(), 0);
    }
}

//! Who is next. Five queues, one per class; classes take turns by weight, clients inside a class one by one.
//!
//! Both turns are kept as virtual time, so that nothing is scanned: a class that is served moves ahead by its stride
//! (stride scheduling, Waldspurger and Weihl 1995), and a request is tagged with its client's turn when it comes
//! (start-time fair queueing, Goyal et al. 1996). Whoever comes back after a pause begins at the present: pauses earn
//! nothing. Everything is removed at once, so what is kept is what waits.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::traffic::Class;

/// How often a class is served beside others that wait, by class. Alone each has everything.
pub(super) const WEIGHTS: [u64; 5] = [1, 2, 8, 16, 128];

/// Whose requests take turns with those of others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A client, by name.
    Client(Arc<str>),
    /// Whoever asks without a key from this network.
    Address(IpAddr),
    /// Whoever is known by neither.
    Nobody,
}

/// A request that waits, with what wakes it.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    pub(super) owner: Owner,
    pub(super) since: Instant,
    /// How long a queue of its like is not empty while a burst passes.
    pub(super) patience: Duration,
    pub(super) wake: T,
}

/// Why a request can't wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Its class is full, and each client that waits there has one request waiting.
    Class,
    /// Its class is full, and its client has as many waiting as any other.
    Share,
}

#[derive(Debug)]
struct Queue<T> {
    /// By the client's turn, then by age.
    waiting: BTreeMap<(u64, u64), Waiter<T>>,
    /// Of each client that waits: how many, and the turn of its last.
    clients: HashMap<Owner, (usize, u64)>,
    /// The turn that is being served.
    turn: u64,
    /// The class's own turn among the classes.
    pass: u64,
    /// Since when someone has been waiting, and when the last one that waited had gone.
    since: Instant,
    emptied: Instant,
}

impl<T> Queue<T> {
    /// The turn of a client's next request.
    fn next_turn(&self, owner: &Owner) -> u64 {
        self.turn.max(self.clients.get(owner).map_or(0, |(_, last)| *last)) + 1
    }
}

#[derive(Debug)]
pub(super) struct Line<T> {
    classes: [Queue<T>; 5],
    /// Where each request waits: class and turn.
    places: HashMap<u64, (Class, u64)>,
    /// The pass of the class that was served last.
    pass: u64,
    next: u64,
}

impl<T> Line<T> {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let class =
            |_| Queue { waiting: BTreeMap::new(), clients: HashMap::new(), turn: 0, pass: 0, since: now, emptied: now };
        Self { classes: [0, 1, 2, 3, 4].map(class), places: HashMap::new(), pass: 0, next: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn of_class(&self, class: Class) -> usize {
        self.classes[class as usize].waiting.len()
    }

    /// Whether the class has had someone waiting for longer than a burst takes: than one request may wait.
    pub(super) fn stands(&self, class: Class, patience: Duration) -> bool {
        let queue = &self.classes[class as usize];
        !queue.waiting.is_empty() && queue.since.elapsed() >= patience
    }

    /// When the one that has waited longest came.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let heads = self.classes.iter().filter_map(|class| class.waiting.values().next());
        heads.map(|waiter| waiter.since).min()
    }

    /// Whether one more may wait where at most `size` do per class. In a full class it may where its turn comes before that
    /// of another, which has to go then ([`Line::displace`]).
    pub(super) fn room(&self, class: Class, owner: &Owner, size: usize) -> Result<(), Full> {
        let queue = &self.classes[class as usize];
        let last = queue.waiting.last_key_value().map_or(0, |((turn, _), _)| *turn);
        match queue.clients.get(owner) {
            _ if queue.waiting.len() < size || queue.next_turn(owner) < last => Ok(()),
            Some(_) => Err(Full::Share),
            None => Err(Full::Class),
        }
    }

    /// Makes room for one more in a full class: takes the request out that would be served last, of the client that has
    /// most waiting.
    pub(super) fn displace(&mut self, class: Class, size: usize) -> Option<Waiter<T>> {
        let queue = &self.classes[class as usize];
        let full = queue.waiting.len() >= size;
        let (_, number) = *queue.waiting.last_key_value().filter(|_| full)?.0;
        Some(self.remove(number)?.1)
    }

    /// How many of its class are served before the next one of this client would be.
    pub(super) fn ahead(&self, class: Class, owner: &Owner) -> usize {
        let queue = &self.classes[class as usize];
        let own = queue.clients.get(owner).map_or(0, |(waiting, _)| *waiting);
        let others = queue.clients.len() - usize::from(own > 0);
        others.saturating_mul(own + 1).saturating_add(own).min(queue.waiting.len())
    }

    /// Lets a request wait; its number is what it is removed or raised by.
    pub(super) fn push(&mut self, class: Class, waiter: Waiter<T>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.insert(class, number, waiter);
        number
    }

    /// The next in turn.
    pub(super) fn pop(&mut self) -> Option<(Class, Waiter<T>)> {
        let waits = |class: &&Class| !self.classes[**class as usize].waiting.is_empty();
        let higher_first = Class::ALL.iter().rev().filter(waits);
        let class = *higher_first.min_by_key(|class| self.classes[**class as usize].pass)?;
        let queue = &mut self.classes[class as usize];
        self.pass = queue.pass;
        queue.pass += WEIGHTS[Class::Critical as usize] / WEIGHTS[class as usize];
        let (turn, number) = *queue.waiting.first_key_value()?.0;
        queue.turn = turn;
        self.remove(number)
    }

    /// Takes a request out, if it still waits.
    pub(super) fn remove(&mut self, number: u64) -> Option<(Class, Waiter<T>)> {
        let (class, turn) = self.places.remove(&number)?;
        let queue = &mut self.classes[class as usize];
        let waiter = queue.waiting.remove(&(turn, number))?;
        if let Some((waiting, _)) = queue.clients.get_mut(&waiter.owner) {
            *waiting -= 1;
            if *waiting == 0 {
                queue.clients.remove(&waiter.owner);
            }
        }
        if queue.waiting.is_empty() {
            queue.emptied = Instant::now();
        }
        Some((class, waiter))
    }

    /// Moves a request that still waits to a higher class.
    pub(super) fn raise(&mut self, number: u64, class: Class) {
        if self.places.get(&number).is_some_and(|(now, _)| *now < class)
            && let Some((_, waiter)) = self.remove(number)
        {
            self.insert(class, number, waiter);
        }
    }

    fn insert(&mut self, class: Class, number: u64, waiter: Waiter<T>) {
        let queue = &mut self.classes[class as usize];
        if queue.waiting.is_empty() {
            queue.pass = queue.pass.max(self.pass);
            // One that stands does so until it has been empty for a tenth of that time: a queue that is let in little is
            // empty now and then, and would be let in a whole burst each time.
            let stood = queue.emptied.duration_since(queue.since) >= waiter.patience;
            if !stood || queue.emptied.elapsed() >= waiter.patience / 10 {
                queue.since = Instant::now();
            }
        }
        let turn = queue.next_turn(&waiter.owner);
        let (waiting, last) = queue.clients.entry(waiter.owner.clone()).or_insert((0, 0));
        *waiting += 1;
        *last = turn;
        queue.waiting.insert((turn, number), waiter);
        self.places.insert(number, (class, turn));
    }
}

#[cfg(test)]
mod tests;

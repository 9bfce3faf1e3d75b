//! Memory for answers, shared by the connections of a thread.
//!
//! A hot hit is written, sent and forgotten at once. The buffer of the last one is still in the processor's cache; one of
//! each connection's own would not be, and would be held while the connection idles.

use std::cell::RefCell;

/// Buffers larger than this are given back to the system.
pub(super) const ROOMY: usize = 64 << 10;

/// So many lie ready in each thread; more are in use at once where clients are slow to read.
const MOST: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty one.
pub(super) fn take() -> Vec<u8> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Is not needed any more.
pub(super) fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > ROOMY {
        return;
    }
    buffer.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < MOST {
            spare.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_is_the_first() {
        give_back(Vec::with_capacity(10));
        give_back(b"secret".to_vec());
        give_back(Vec::with_capacity(ROOMY + 1));
        give_back(Vec::new());
        let buffer = take();
        assert_eq!((buffer.len(), buffer.capacity()), (0, 6));
        assert!(take().capacity() >= 10);
        assert_eq!(take().capacity(), 0);
        (0..100).for_each(|_| give_back(Vec::with_capacity(10)));
        let ready = (0..100).filter(|_| take().capacity() > 0).count();
        assert_eq!(ready, MOST);
    }
}

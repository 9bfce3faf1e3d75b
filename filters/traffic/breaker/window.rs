//! The last calls of a dependency, and how many of them failed or were slow.

use std::collections::VecDeque;

/// How one call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

/// At most `size` calls, the newest last.
#[derive(Debug)]
pub(super) struct Window {
    calls: VecDeque<Call>,
    size: usize,
    failed: usize,
    slow: usize,
}

impl Window {
    pub(super) fn new(size: usize) -> Self {
        Self { calls: VecDeque::new(), size, failed: 0, slow: 0 }
    }

    pub(super) fn push(&mut self, call: Call) {
        self.calls.push_back(call);
        self.failed += usize::from(call.failed);
        self.slow += usize::from(call.slow);
        self.shrink();
    }

    /// Another size; the newest calls stay.
    pub(super) fn resize(&mut self, size: usize) {
        self.size = size;
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.calls.len() > self.size {
            let Some(oldest) = self.calls.pop_front() else { return };
            self.failed -= usize::from(oldest.failed);
            self.slow -= usize::from(oldest.slow);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    pub(super) fn slow(&self) -> usize {
        self.slow
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counts_are_those_of_the_last_calls(
            calls in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..60),
            size in 1usize..20,
            later in 1usize..20,
        ) {
            let mut window = Window::new(size);
            calls.iter().for_each(|(failed, slow)| window.push(Call { failed: *failed, slow: *slow }));
            for size in [size, later.min(size)] {
                window.resize(size);
                let kept = &calls[calls.len().saturating_sub(size)..];
                prop_assert_eq!(window.len(), kept.len());
                prop_assert_eq!(window.failed(), kept.iter().filter(|call| call.0).count());
                prop_assert_eq!(window.slow(), kept.iter().filter(|call| call.1).count());
            }
        }
    }
}

//! Threads that change something, and threads that fork: who forks sees that others are changing, or they see that it
//! forks.
//!
//! Each side writes its own count and then reads the other's. So that not both read what was before, each has a fence
//! between the two, and the counts are changed by read-modify-write alone.

use crate::sync::{AtomicU64, Ordering, constant, fence};

/// See the module.
pub(crate) struct ForkBarrier {
    changing: ForkCounter,
    forking: ForkCounter,
}

impl ForkBarrier {
    constant! {
        pub(crate) fn new() -> Self {
            Self { changing: ForkCounter::new(), forking: ForkCounter::new() }
        }
    }

    /// None while another thread forks.
    pub(crate) fn enter(&self, generation: u32) -> Option<Changing<'_>> {
        self.changing.add(generation, 1);
        let changing = Changing { barrier: self, generation };
        fence(Ordering::SeqCst);
        (self.forking.get(generation) == 0).then_some(changing)
    }

    /// From here on nobody else begins to change anything; who is at it may go on.
    pub(crate) fn begin_fork(&self, generation: u32) {
        self.forking.add(generation, 1);
        fence(Ordering::SeqCst);
    }

    /// Whether somebody is still at it. If not, all that was changed is seen.
    pub(crate) fn is_being_changed(&self, generation: u32) -> bool {
        self.changing.get(generation) > 0
    }

    pub(crate) fn end_fork(&self, generation: u32) {
        self.forking.add(generation, -1);
    }
}

/// Changing something. Lasts until it is dropped.
pub(crate) struct Changing<'a> {
    barrier: &'a ForkBarrier,
    generation: u32,
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.barrier.changing.add(self.generation, -1);
    }
}

/// A count of threads (low half) in the process of that generation (high half); in a child it is 0 again.
struct ForkCounter(AtomicU64);

impl ForkCounter {
    constant! {
        fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    fn get(&self, generation: u32) -> u32 {
        Self::value(self.0.load(Ordering::SeqCst), generation)
    }

    fn add(&self, generation: u32, change: i32) {
        let changed = |word| {
            let value = Self::value(word, generation).saturating_add_signed(change);
            Some(u64::from(generation) << 32 | u64::from(value))
        };
        // `changed` never says no.
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, changed);
    }

    fn value(word: u64, generation: u32) -> u32 {
        if (word >> 32) as u32 == generation { word as u32 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_a_parent_are_void() {
        let count = ForkCounter::new();
        count.add(1, 1);
        count.add(1, 1);
        assert_eq!((count.get(1), count.get(2)), (2, 0));
        count.add(2, 1);
        assert_eq!((count.get(1), count.get(2)), (0, 1));
        count.add(2, -1);
        count.add(2, -1);
        assert_eq!(count.get(2), 0);
    }

    #[test]
    fn nothing_is_changed_while_one_forks() {
        let barrier = ForkBarrier::new();
        let changing = barrier.enter(1);
        barrier.begin_fork(1);
        assert!(changing.is_some() && barrier.is_being_changed(1) && barrier.enter(1).is_none());
        drop(changing);
        assert!(!barrier.is_being_changed(1));
        barrier.end_fork(1);
        assert!(barrier.enter(1).is_some());
        // In a child, which has copies of both counts.
        barrier.begin_fork(1);
        assert!(barrier.enter(2).is_some());
    }
}

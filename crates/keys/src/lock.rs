//! A lock that is only ever tried, and that a child of fork takes over from a thread that it does not have.

use std::sync::atomic::{AtomicU32, Ordering};

/// Holds the generation of its owner, 0 for none.
pub(crate) struct Lock(AtomicU32);

impl Lock {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Takes it if nobody of this process has it.
    pub(crate) fn try_lock(&self, generation: u32) -> Option<Held<'_>> {
        let owner = self.0.load(Ordering::Relaxed);
        let free = owner != generation;
        let taken = free && self.0.compare_exchange(owner, generation, Ordering::Acquire, Ordering::Relaxed).is_ok();
        taken.then(|| Held { lock: self, generation })
    }
}

/// The lock, held.
pub(crate) struct Held<'a> {
    lock: &'a Lock,
    generation: u32,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Not if a child took it over from us in its copy of our memory.
        let _ = self.lock.0.compare_exchange(self.generation, 0, Ordering::Release, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_but_not_for_the_dead() {
        let lock = Lock::new();
        let held = lock.try_lock(1).unwrap();
        assert!(lock.try_lock(1).is_none());
        let child = lock.try_lock(2).unwrap();
        drop(held);
        assert!(lock.try_lock(2).is_none(), "what the parent's thread does cannot free it");
        drop(child);
        assert!(lock.try_lock(2).is_some());
    }
}

//! Locks that a child of fork takes over from a thread that it does not have: one that is only ever tried, and, for
//! what takes no time, one that is waited for.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

use crate::fork::generation;
use crate::sync::{AtomicU32, Ordering, constant};

/// Holds the generation of its owner, 0 for none.
pub(crate) struct Lock(AtomicU32);

impl Lock {
    constant! {
        pub(crate) fn new() -> Self {
            Self(AtomicU32::new(0))
        }
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

/// A value that one thread at a time changes, in no more time than it takes to set some words. Unlike with
/// `std::sync::Mutex`, a child that was forked while another thread was inside does not wait for that thread for ever:
/// there the value may be half changed, so it must be one for which that does not matter.
pub struct ForkMutex<T> {
    lock: Lock,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives the value to one thread at a time, as in `std::sync::Mutex`.
unsafe impl<T: Send> Sync for ForkMutex<T> {}

impl<T> ForkMutex<T> {
    constant! {
        /// Holds `value`.
        pub fn new(value: T) -> Self {
            Self { lock: Lock::new(), value: UnsafeCell::new(value) }
        }
    }

    /// Waits until no other thread of this process has it.
    pub fn lock(&self) -> ForkGuard<'_, T> {
        let generation = generation();
        loop {
            if let Some(held) = self.lock.try_lock(generation) {
                return ForkGuard { value: &self.value, _held: held };
            }
            crate::sync::yield_now();
        }
    }
}

/// The value, as long as this lives.
pub struct ForkGuard<'a, T> {
    value: &'a UnsafeCell<T>,
    _held: Held<'a>,
}

impl<T> Deref for ForkGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held: nobody else in this process has a reference to it.
        unsafe { &*self.value.get() }
    }
}

impl<T> DerefMut for ForkGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above; `&mut self` makes it the only one.
        unsafe { &mut *self.value.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_at_a_time_has_the_value() {
        let sum = ForkMutex::new((0, 0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let mut both = sum.lock();
                        assert_eq!(both.0, both.1);
                        both.0 += 1;
                        both.1 += 1;
                    }
                });
            }
        });
        assert_eq!(*sum.lock(), (40_000, 40_000));
    }

    #[test]
    fn a_child_does_not_wait_for_a_thread_that_it_does_not_have() {
        let mutex = ForkMutex::new(1);
        let (inside, forked) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let held = mutex.lock();
                inside.wait();
                forked.wait();
                drop(held);
            });
            inside.wait();
            // SAFETY: the child takes a lock of ours and makes system calls.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                // SAFETY: no preconditions. Ends it if it waits.
                unsafe { libc::alarm(5) };
                let value = *mutex.lock();
                // SAFETY: no preconditions.
                unsafe { libc::_exit(value) };
            }
            forked.wait();
            let mut status = 0;
            // SAFETY: our child, and a place for its status.
            assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1, "status {status:x}");
        });
    }

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

//! A salt for each ticket, which no other thread, process or host was given (`ticketshim_core::salt` says why that
//! matters).
//!
//! A process has a few runs of salts, and threads are spread over them: so a thread for each connection costs no random
//! bytes either, and the keys that go with an instance are soon all known. A run belongs to the generation (`fork`) that
//! drew it: a child has its parent's copy, and must not go on with it.

use ticketshim_core::format::Salt;
use ticketshim_core::salt::{INSTANCE_LEN, Instance};

use crate::sync::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    constant, each,
};
use crate::{random, sys};

/// Runs of a process; with more threads than that, some share one.
#[cfg(not(loom))]
const RUNS: usize = 16;

/// The next salt of this thread's run; None if the system has no randomness for us.
#[cfg(not(loom))]
pub(crate) fn next() -> Option<Salt> {
    static ALL: [Run; RUNS] = [const { Run::new() }; RUNS];
    ALL.get(crate::thread::share(RUNS))?.next(crate::fork::generation())
}

/// Alone in its lines of the cache (two, which processors fetch together), so that threads do not wait for one another's.
#[repr(align(128))]
pub(crate) struct Run {
    /// The generation (high half) and one of the words below.
    state: AtomicU64,
    first: [AtomicU32; INSTANCE_LEN / 4],
    /// How many were given out. It only ever grows, also from one generation to the next: whoever has read `first` a
    /// moment before it changed still gets a number that nobody else gets.
    count: AtomicU64,
}

/// A thread is drawing `first`.
const TAKEN: u32 = 1;
/// `first` is there, and stays in this generation.
const READY: u32 = 2;

fn state(generation: u32, word: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(word)
}

impl Run {
    constant! {
        pub(crate) fn new() -> Self {
            Self {
                state: AtomicU64::new(0),
                first: each!(INSTANCE_LEN / 4, AtomicU32::new(0)),
                count: AtomicU64::new(0),
            }
        }
    }

    pub(crate) fn next(&self, generation: u32) -> Option<Salt> {
        let seen = self.state.load(Acquire);
        if seen == state(generation, READY) {
            let words = self.first.each_ref().map(|word| word.load(Relaxed).to_ne_bytes());
            let mut first = [0; INSTANCE_LEN];
            first.copy_from_slice(words.as_flattened());
            return Some(Salt::first(Instance(first)).plus(self.count.fetch_add(1, Relaxed)));
        }
        let mut random = [0; INSTANCE_LEN];
        if !sys::as_a_guest(|| random::fill(&mut random)) {
            return None;
        }
        let of_ours = (seen >> 32) as u32 == generation;
        if !of_ours && self.state.compare_exchange(seen, state(generation, TAKEN), Acquire, Relaxed).is_ok() {
            for (word, bytes) in self.first.iter().zip(random.as_chunks().0) {
                word.store(u32::from_ne_bytes(*bytes), Relaxed);
            }
            self.state.store(state(generation, READY), Release);
            return Some(Salt::first(Instance(random)).plus(self.count.fetch_add(1, Relaxed)));
        }
        // Another thread is at it, and may be long: a run of one salt.
        Some(Salt::first(Instance(random)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_salt_comes_twice() {
        static RUN: Run = Run::new();
        let threads: Vec<_> = (0..8)
            .map(|_| std::thread::spawn(|| (0..5000).map(|_| RUN.next(1).unwrap().0).collect::<Vec<_>>()))
            .collect();
        let all: HashSet<[u8; 16]> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(all.len(), 40_000);
    }

    #[test]
    fn a_child_draws_its_own() {
        let run = Run::new();
        let ours = [run.next(1).unwrap(), run.next(1).unwrap()];
        assert_eq!(ours[0].plus(1), ours[1]);
        let child = run.next(2).unwrap();
        assert_ne!(child.instance(), ours[0].instance());
        assert_eq!(child.plus(1), run.next(2).unwrap());
        // As a thread left it that does not exist in the child.
        run.state.store(state(2, TAKEN), Relaxed);
        let other = run.next(3).unwrap();
        assert!(![ours[0].instance(), child.instance()].contains(&other.instance()));
        assert_eq!(other.plus(1), run.next(3).unwrap());
    }

    #[test]
    fn nobody_waits_for_who_is_drawing() {
        let run = Run::new();
        run.state.store(state(1, TAKEN), Relaxed);
        let (a, b) = (run.next(1).unwrap(), run.next(1).unwrap());
        assert_ne!(a.instance(), b.instance());
    }

    #[test]
    fn new_threads_go_on_with_the_runs_that_there_are() {
        const THREADS: usize = 40 * RUNS;
        let one = || std::thread::spawn(|| next().unwrap().instance().0).join().unwrap();
        let instances: HashSet<_> = (0..THREADS).map(|_| one()).collect();
        // Other tests' threads may be drawing, which is a run of one salt.
        assert!(instances.len() > 1 && instances.len() < THREADS / 4, "{}", instances.len());
    }
}

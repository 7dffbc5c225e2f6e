//! Bindings that were hashed lately. Hashing one costs more than everything else that is done with it, and most tickets
//! of a server are for few names.
//!
//! A table in which the newer takes the place of the older, so nobody fills it for good. Each entry is a seqlock made of
//! atomic words: readers wait for nobody, and take what changed meanwhile for a miss. An entry belongs to the generation
//! (`fork`) that wrote it, because a copy that a child has of one that was being written may be of two halves.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use ticketshim_core::Binding;

use crate::fork::generation;

/// Most bytes that a binding is remembered by.
pub const FACTS: usize = 128;
const WORDS: usize = FACTS / 8;
const ENTRIES: usize = 64;

struct Entry {
    /// The generation (high half) and a counter, odd while the entry is written.
    state: AtomicU64,
    facts: [AtomicU64; WORDS],
    binding: [AtomicU64; 4],
}

static TABLE: [Entry; ENTRIES] = [const {
    Entry {
        state: AtomicU64::new(0),
        facts: [const { AtomicU64::new(0) }; WORDS],
        binding: [const { AtomicU64::new(0) }; 4],
    }
}; ENTRIES];

/// The binding that `hash` would give. `facts` are all that it depends on, so encoded that no two are the same.
pub fn binding(facts: &[u8; FACTS], hash: impl FnOnce() -> Binding) -> Binding {
    let generation = generation();
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(facts.as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    // Only to choose a place.
    let mixed =
        words.iter().fold(0u64, |mixed, word| (mixed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
    let Some(entry) = TABLE.get((mixed % ENTRIES as u64) as usize) else { return hash() };
    if let Some(known) = entry.get(generation, &words) {
        return known;
    }
    let new = hash();
    entry.set(generation, &words, &new);
    new
}

impl Entry {
    fn get(&self, generation: u32, facts: &[u64; WORDS]) -> Option<Binding> {
        let state = self.state.load(Ordering::Acquire);
        if (state >> 32) as u32 != generation || state & 1 == 1 {
            return None;
        }
        if self.facts.iter().zip(facts).any(|(theirs, ours)| theirs.load(Ordering::Relaxed) != *ours) {
            return None;
        }
        let mut binding = [0; 32];
        for (bytes, word) in binding.as_chunks_mut().0.iter_mut().zip(&self.binding) {
            *bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        fence(Ordering::Acquire);
        (self.state.load(Ordering::Relaxed) == state).then_some(Binding(binding))
    }

    fn set(&self, generation: u32, facts: &[u64; WORDS], binding: &Binding) {
        let old = self.state.load(Ordering::Relaxed);
        if (old >> 32) as u32 == generation && old & 1 == 1 {
            return;
        }
        let counter = (old as u32).wrapping_add(1) | 1;
        let writing = u64::from(generation) << 32 | u64::from(counter);
        if self.state.compare_exchange(old, writing, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return;
        }
        fence(Ordering::Release);
        for (word, fact) in self.facts.iter().zip(facts) {
            word.store(*fact, Ordering::Relaxed);
        }
        for (word, bytes) in self.binding.iter().zip(binding.0.as_chunks().0) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        let written = u64::from(generation) << 32 | u64::from(counter.wrapping_add(1));
        self.state.store(written, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(n: u32) -> [u8; FACTS] {
        let mut facts = [0; FACTS];
        facts[40..44].copy_from_slice(&n.to_be_bytes());
        facts
    }

    fn of(n: u32) -> Binding {
        Binding(std::array::from_fn(|i| (n >> (i % 4 * 8)) as u8))
    }

    #[test]
    fn a_binding_is_hashed_once_and_never_mixed_up() {
        let mut hashed = 0;
        let mut ask = |n| {
            binding(&facts(n), || {
                hashed += 1;
                of(n)
            })
        };
        assert!(ask(1) == of(1) && ask(1) == of(1));
        assert!((0..10_000).all(|n| ask(n) == of(n)));
        assert!(ask(9_999) == of(9_999));
        assert!(hashed <= 10_001, "{hashed}");
    }

    #[test]
    fn threads_see_whole_entries_only() {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    // Few, so that they meet.
                    for n in (0..200u32).cycle().skip(thread * 50).take(100_000) {
                        assert!(binding(&facts(n % 97), || of(n % 97)) == of(n % 97));
                    }
                });
            }
        });
    }

    #[test]
    fn entries_of_an_ancestor_are_void() {
        let entry = &TABLE[0];
        let words = [u64::MAX; WORDS];
        let (ours, child) = (generation(), generation().wrapping_add(1));
        entry.set(ours, &words, &of(7));
        assert!(entry.get(child, &words).is_none());
        // As a thread left it that does not exist in the child.
        entry.state.store(u64::from(ours) << 32 | 1, Ordering::Relaxed);
        entry.set(child, &words, &of(8));
        assert!(entry.get(child, &words) == Some(of(8)) && entry.get(ours, &words).is_none());
    }
}

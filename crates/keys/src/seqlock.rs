//! Words that are read whole or not at all, while one thread at a time replaces them. Readers wait for nobody, and nor
//! do writers: what is being written is not there, for either.
//!
//! They belong to the generation (`fork`) that wrote them, because a copy that a child has of some that were being written
//! may be of two halves.

use crate::sync::{AtomicU64, Ordering, constant, each, fence};

/// See the module.
pub(crate) struct Seqlock<const N: usize> {
    /// The generation (high half) and a counter, odd while the words are written.
    state: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> Seqlock<N> {
    constant! {
        /// Nothing yet.
        pub(crate) fn new() -> Self {
            Self { state: AtomicU64::new(0), words: each!(N, AtomicU64::new(0)) }
        }
    }

    /// What was written last in this generation, unless it is just being replaced.
    pub(crate) fn read(&self, generation: u32) -> Option<[u64; N]> {
        let state = self.state.load(Ordering::Acquire);
        if (state >> 32) as u32 != generation || state & 1 == 1 {
            return None;
        }
        let words = self.words.each_ref().map(|word| word.load(Ordering::Relaxed));
        // Whoever has seen a word of a later writer sees here that there was one: its own fence is before that word.
        fence(Ordering::Acquire);
        (self.state.load(Ordering::Relaxed) == state).then_some(words)
    }

    /// Replaces the words, unless another thread of this generation is at it.
    pub(crate) fn write(&self, generation: u32, words: &[u64; N]) {
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
        for (place, word) in self.words.iter().zip(words) {
            place.store(*word, Ordering::Relaxed);
        }
        let written = u64::from(generation) << 32 | u64::from(counter.wrapping_add(1));
        self.state.store(written, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_an_ancestor_are_void() {
        let words = Seqlock::<2>::new();
        assert!(words.read(1).is_none());
        words.write(1, &[7, 7]);
        assert!(words.read(1) == Some([7, 7]) && words.read(2).is_none());
        // As a thread left it that does not exist in the child.
        words.state.store(1 << 32 | 1, Ordering::Relaxed);
        words.write(1, &[8, 8]);
        assert!(words.read(1).is_none());
        words.write(2, &[8, 8]);
        assert!(words.read(2) == Some([8, 8]) && words.read(1).is_none());
    }
}

//! Words in memory that processes share, any of which may write them at any time and end in the middle of it: they are
//! read whole or not at all.
//!
//! There is no lock that a process which ended would keep, and no order of writes that would do with two writers. A
//! check over the words is written with them; words of two writers do not fit it, and are as good as none.

use crate::sync::{AtomicU64, Ordering};
#[cfg(any(test, loom))]
use crate::sync::{constant, each};

/// All zeros is nothing yet.
#[repr(C)]
pub struct Record<const N: usize> {
    words: [AtomicU64; N],
    check: AtomicU64,
}

impl<const N: usize> Record<N> {
    #[cfg(any(test, loom))]
    constant! {
        /// Nothing yet.
        #[allow(clippy::new_without_default, reason = "a Default is not const")]
        pub fn new() -> Self {
            Self { words: each!(N, AtomicU64::new(0)), check: AtomicU64::new(0) }
        }
    }

    /// What one writer wrote.
    pub fn read(&self) -> Option<[u64; N]> {
        // Acquire: with the check of a writer come its words, or later ones.
        let written = self.check.load(Ordering::Acquire);
        let words = self.words.each_ref().map(|word| word.load(Ordering::Relaxed));
        (written == check(&words)).then_some(words)
    }

    /// Replaces them.
    pub fn write(&self, words: &[u64; N]) {
        for (place, word) in self.words.iter().zip(words) {
            place.store(*word, Ordering::Relaxed);
        }
        self.check.store(check(words), Ordering::Release);
    }

    /// Leaves them as a writer does that ended in the middle.
    #[cfg(test)]
    pub fn tear(&self, words: &[u64; N]) {
        for (place, word) in self.words.iter().zip(words) {
            place.store(*word, Ordering::Relaxed);
        }
    }
}

/// Never that of zeros, which were not written. The words are hashes, and whoever may write them may write anything: this
/// is against accidents.
fn check(words: &[u64]) -> u64 {
    let mixed = words.iter().fold(0x243f_6a88_85a3_08d3_u64, |mixed, word| {
        let mixed = (mixed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ mixed >> 32
    });
    mixed | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_two_writers_are_none() {
        let record = Record::<3>::new();
        assert!(record.read().is_none());
        record.write(&[1, 2, 3]);
        assert_eq!(record.read(), Some([1, 2, 3]));
        for (at, word) in record.words.iter().enumerate() {
            record.write(&[1, 2, 3]);
            word.store(9, Ordering::Relaxed);
            assert!(record.read().is_none(), "{at}");
        }
        record.write(&[4, 5, 6]);
        record.check.store(check(&[1, 2, 3]), Ordering::Relaxed);
        assert!(record.read().is_none());
    }
}

//! Counts that begin anew with each epoch, in words that several processes raise without a lock.
//!
//! A word is the low 24 bits of its epoch and a count of 40. Whoever counts first in an epoch puts both there in one
//! step: with a word that is emptied first and raised then, one count empties what others have just raised.

use crate::sync::{AtomicU64, Ordering};

const COUNT_BITS: u32 = 40;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// One more in that epoch. A count of another epoch ends.
pub(super) fn add_one(word: &AtomicU64, epoch: u64) {
    // As many as there is room for: a million a second for twelve days.
    let count = |known| (count_of(known, epoch) + 1).min(COUNT);
    let next = |known| Some(tag_of(epoch) << COUNT_BITS | count(known));
    let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
}

/// The count of that epoch in a word, 0 if the word is of another.
pub(super) const fn count_of(word: u64, epoch: u64) -> u64 {
    if word >> COUNT_BITS == tag_of(epoch) { word & COUNT } else { 0 }
}

const fn tag_of(epoch: u64) -> u64 {
    epoch & (u64::MAX >> COUNT_BITS)
}

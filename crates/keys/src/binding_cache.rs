//! Bindings that were hashed lately. Hashing one costs more than everything else that is done with it, and most tickets
//! of a server are for few names.
//!
//! A table in which the newer takes the place of the older, so nobody fills it for good. An entry is a `seqlock`.

use ticketshim_core::Binding;

use crate::fork::generation;
use crate::seqlock::Seqlock;

/// Most bytes that a binding is cached by.
pub const FACTS: usize = 128;
const WORDS: usize = FACTS / 8;
const ENTRIES: usize = 64;

/// Facts, and the binding that they give.
static TABLE: [Seqlock<{ WORDS + 4 }>; ENTRIES] = [const { Seqlock::new() }; ENTRIES];

/// The binding that `hash` would give. `facts` are all that it depends on, so encoded that no two are the same.
pub fn get_or_hash(facts: &[u8; FACTS], hash: impl FnOnce() -> Binding) -> Binding {
    let generation = generation();
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(facts.as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    // Only to choose a place.
    let mixed =
        words.iter().fold(0u64, |mixed, word| (mixed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
    let Some(entry) = TABLE.get((mixed % ENTRIES as u64) as usize) else { return hash() };
    let known = entry.read(generation).and_then(|cached| {
        let (facts, binding) = cached.split_first_chunk::<WORDS>()?;
        (*facts == words).then(|| bytes_of(binding))
    });
    if let Some(known) = known {
        return known;
    }
    let new = hash();
    let mut cached = [0; WORDS + 4];
    let (facts, binding) = cached.split_at_mut(WORDS);
    facts.copy_from_slice(&words);
    for (word, bytes) in binding.iter_mut().zip(new.0.as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    entry.write(generation, &cached);
    new
}

fn bytes_of(words: &[u64]) -> Binding {
    let mut binding = [0; 32];
    for (bytes, word) in binding.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_ne_bytes();
    }
    Binding(binding)
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
            get_or_hash(&facts(n), || {
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
                        assert!(get_or_hash(&facts(n % 97), || of(n % 97)) == of(n % 97));
                    }
                });
            }
        });
    }
}

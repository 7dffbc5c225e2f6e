//! A digest that was worked out lately, and the facts that it is of: who has the same facts within the same second takes it,
//! without a lock.
//!
//! The second bounds how long it serves when something changes that is not among the facts, because it is dear to look at.

use crate::clock;
use crate::fork::generation;
use crate::seqlock::Seqlock;

/// Most words of facts.
pub const FACTS: usize = 14;
/// With the second and the digest.
const WORDS: usize = 1 + 4 + FACTS;

/// See the module.
pub struct Recent(Seqlock<WORDS>);

impl Recent {
    /// Nothing yet.
    #[allow(clippy::new_without_default, reason = "a Default is not const")]
    pub const fn new() -> Self {
        Self(Seqlock::new())
    }

    /// The digest of these facts, if it was worked out in this second. Facts of one kind only are kept in one place.
    pub fn get(&self, facts: &[u64]) -> Option<[u8; 32]> {
        let words = self.0.read(generation())?;
        let ([second, digest @ ..], known) = words.split_first_chunk::<5>()?;
        if *second != clock::now() || known.get(..facts.len())? != facts {
            return None;
        }
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(digest) {
            *bytes = word.to_ne_bytes();
        }
        Some(bytes)
    }

    /// Keeps it in the place of what was there.
    pub fn put(&self, facts: &[u64], digest: &[u8; 32]) {
        let mut words = [0; WORDS];
        let Some((head, rest)) = words.split_first_chunk_mut::<5>() else { return };
        let Some(rest) = rest.get_mut(..facts.len()) else { return };
        rest.copy_from_slice(facts);
        let digest = digest.as_chunks().0.iter().map(|bytes| u64::from_ne_bytes(*bytes));
        for (place, word) in head.iter_mut().zip([clock::now()].into_iter().chain(digest)) {
            *place = word;
        }
        self.0.write(generation(), &words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_serves_for_its_facts_and_its_second() {
        let recent = Recent::new();
        assert_eq!(recent.get(&[]), None);
        // The second may end in between, but not each time.
        let served = |facts: &[u64]| {
            recent.put(&[1, 2], &[7; 32]);
            recent.get(facts)
        };
        assert!((0..10).any(|_| served(&[1, 2]) == Some([7; 32])));
        assert!((0..10).all(|_| served(&[1, 3]).is_none() && served(&[2, 2]).is_none()));
        recent.put(&[1, 2], &[7; 32]);
        let second = clock::now();
        while clock::now() == second {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(recent.get(&[1, 2]), None);
        // What does not fit is not kept.
        recent.put(&[3; FACTS + 1], &[7; 32]);
        assert_eq!(recent.get(&[3; FACTS + 1]), None);
    }
}

//! Ciphers that were made for tickets of the keys in force, kept for the next ticket of the same epoch, instance and
//! binding: deriving the key and expanding it takes several times as long as sealing.
//!
//! They are part of the value that holds the ring ([`super::Keys`]): in the same locked memory, erased at the same
//! moment, so no derived key outlives the root that it was derived from. An entry is written once and then only read,
//! in place, so nobody waits and nothing is copied; when the places for a ticket are taken its cipher is made afresh.
//! What is kept is a pure function of root, instance and binding, and takes no part in the choice of salts.
//!
//! An entry belongs to the generation ([`crate::fork`]) that wrote it: in a child it is free. So it does not matter in
//! what state a bare clone(2) beside a writing thread has copied it.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

use ticketshim_core::Binding;
use ticketshim_core::format::KeyName;
use ticketshim_core::salt::Instance;
use ticketshim_core::seal::Cipher;

/// How many are kept. Sealing needs one for each run of salts and server name; a process has one ring, or for a moment two.
const ENTRIES: usize = 32;
/// Entries that a given name may be in.
const WAYS: usize = 4;

/// See the module.
pub(super) struct Ciphers([Entry; ENTRIES]);

/// What a cipher is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) key: KeyName,
    pub(super) instance: Instance,
    pub(super) binding: Binding,
}

struct Entry {
    /// The generation (high half) and one of the words below; 0 if it was never used.
    state: AtomicU64,
    kept: UnsafeCell<MaybeUninit<(Name, Option<Cipher>)>>,
}

/// A thread is writing it.
const TAKEN: u32 = 1;
/// Written, and never changed again in this generation.
const READY: u32 = 2;

fn state(generation: u32, word: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(word)
}

// SAFETY: an entry is written by the one thread that has taken it, and read when it is ready, which is published with
// release and seen with acquire.
unsafe impl Sync for Entry {}

impl Ciphers {
    pub(super) const fn empty() -> Self {
        Self([const { Entry { state: AtomicU64::new(0), kept: UnsafeCell::new(MaybeUninit::uninit()) } }; ENTRIES])
    }

    /// The cipher of that name, if it is kept.
    pub(super) fn get(&self, generation: u32, name: &Name) -> Option<&Cipher> {
        self.places(name).find_map(|entry| {
            if entry.state.load(Ordering::Acquire) != state(generation, READY) {
                return None;
            }
            // SAFETY: ready: written before, and not changed any more.
            let (theirs, cipher) = unsafe { &*entry.kept.get().cast::<(Name, Option<Cipher>)>() };
            cipher.as_ref().filter(|_| theirs == name)
        })
    }

    /// Keeps the cipher that `make` puts in its place, if there is room.
    pub(super) fn keep(&self, generation: u32, name: &Name, make: impl FnOnce(&mut Option<Cipher>)) -> Option<&Cipher> {
        let free = self.places(name).find(|entry| {
            let seen = entry.state.load(Ordering::Relaxed);
            (seen >> 32) as u32 != generation
                && entry
                    .state
                    .compare_exchange(seen, state(generation, TAKEN), Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
        });
        let entry = free?;
        // What an ancestor left there is overwritten; all of it is plain bytes, so that nothing is lost by not dropping it.
        // SAFETY: taken: ours alone until it is ready.
        let kept = unsafe { &mut *entry.kept.get() };
        let (_, cipher) = kept.write((*name, None));
        make(cipher);
        // From here on others read it too.
        let cipher = &*cipher;
        entry.state.store(state(generation, READY), Ordering::Release);
        cipher.as_ref()
    }

    /// Names are hashes or random, so any of their bytes tell them apart.
    fn places(&self, name: &Name) -> impl Iterator<Item = &Entry> {
        let word = usize::from(name.instance.0[0] ^ name.binding.0[0] ^ name.key.0[0]);
        let set = word % (ENTRIES / WAYS);
        self.0.iter().skip(set * WAYS).take(WAYS)
    }
}

#[cfg(test)]
mod tests {
    use ticketshim_core::derive::Secret;
    use ticketshim_core::format::Salt;

    use super::*;

    const HERE: u32 = 1;
    const CHILD: u32 = 2;

    fn name(n: u8) -> Name {
        Name { key: KeyName([7; 16]), instance: Instance([n; 12]), binding: Binding([9; 32]) }
    }

    fn cipher(n: u8) -> Cipher {
        Cipher::new(&Secret::new([n; 32]), Instance([n; 12]), &Binding([9; 32]))
    }

    fn keep(ciphers: &Ciphers, generation: u32, name: &Name, n: u8) {
        ciphers.keep(generation, name, |place| *place = Some(cipher(n)));
    }

    /// What a cipher makes of nothing.
    fn tag(cipher: &Cipher) -> [u8; 16] {
        cipher.seal(&Salt([0; 16]), &mut []).unwrap()
    }

    #[test]
    fn a_cipher_is_found_by_its_whole_name() {
        let ciphers = Ciphers::empty();
        assert!(ciphers.get(HERE, &name(1)).is_none());
        keep(&ciphers, HERE, &name(1), 1);
        assert_eq!(tag(ciphers.get(HERE, &name(1)).unwrap()), tag(&cipher(1)));
        let others = [
            Name { key: KeyName([7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8]), ..name(1) },
            Name { instance: Instance([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]), ..name(1) },
            Name { binding: Binding([9; 32].map(|b| b - 1)), ..name(1) },
        ];
        assert!(others.iter().all(|other| ciphers.get(HERE, other).is_none()));
    }

    #[test]
    fn when_it_is_full_it_stays_as_it_is() {
        let ciphers = Ciphers::empty();
        for n in 0..=255 {
            keep(&ciphers, HERE, &name(n), n);
        }
        let kept: Vec<u8> = (0..=255).filter(|n| ciphers.get(HERE, &name(*n)).is_some()).collect();
        assert_eq!(kept.len(), ENTRIES);
        assert!(kept.iter().all(|n| tag(ciphers.get(HERE, &name(*n)).unwrap()) == tag(&cipher(*n))));
    }

    #[test]
    fn a_child_begins_without() {
        let ciphers = Ciphers::empty();
        for n in 0..=255 {
            keep(&ciphers, HERE, &name(n), n);
        }
        assert!((0..=255).all(|n| ciphers.get(CHILD, &name(n)).is_none()));
        // As a thread left it that does not exist in the child.
        ciphers.0[0].state.store(state(HERE, TAKEN), Ordering::Relaxed);
        for n in 0..=255 {
            keep(&ciphers, CHILD, &name(n), n);
        }
        assert_eq!((0..=255).filter(|n| ciphers.get(CHILD, &name(*n)).is_some()).count(), ENTRIES);
    }

    #[test]
    fn threads_find_whole_ciphers_only() {
        let ciphers = Ciphers::empty();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in (0..=255).cycle().take(5000) {
                        match ciphers.get(HERE, &name(n)) {
                            Some(found) => assert_eq!(tag(found), tag(&cipher(n))),
                            None => keep(&ciphers, HERE, &name(n), n),
                        }
                    }
                });
            }
        });
    }
}

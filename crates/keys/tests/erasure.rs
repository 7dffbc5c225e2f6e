//! What is dropped is gone: the memory that keys were in is looked at afterwards. (The library that servers load keeps
//! its rings in pages that are overwritten as a whole; whoever uses the core alone has only this.) It is not among the
//! core's tests because nothing of the core has `unsafe`.

use std::mem::{ManuallyDrop, size_of};

use ticketshim_core::derive::{EpochKeys, Secret};
use ticketshim_core::ring::Schedule;
use ticketshim_core::{Chain, ChainId, EpochLength, Keyring, Ring};
use zeroize::Zeroize;

const NOW: u64 = 1_800_000_000;
const HOUR: u64 = 3600;

/// The memory of a value, after `end` was done to it.
fn left_behind<T>(value: Box<T>, end: impl FnOnce(&mut ManuallyDrop<T>)) -> Vec<u8> {
    let place = Box::into_raw(value).cast::<ManuallyDrop<T>>();
    // SAFETY: a ManuallyDrop has its value's layout; the box was given up, so nobody else refers to it.
    end(unsafe { &mut *place });
    let start = place.cast::<u8>();
    let byte = |at| {
        let byte = start.wrapping_add(at);
        // SAFETY: inside the allocation, which is still there. Bytes are read as the machine has them.
        unsafe { byte.read_volatile() }
    };
    let bytes = (0..size_of::<T>()).map(byte).collect();
    // SAFETY: made by Box; what is in it was dropped already, or needs no drop.
    drop(unsafe { Box::from_raw(place) });
    bytes
}

fn has(memory: &[u8], secret: &[u8; 32]) -> bool {
    // Half of a key would do for whoever looks for the rest.
    [&secret[..16], &secret[16..]].into_iter().any(|half| memory.windows(16).any(|window| window == half))
}

fn drop_it<T>(value: &mut ManuallyDrop<T>) {
    // SAFETY: it is not used again.
    unsafe { ManuallyDrop::drop(value) };
}

fn ring() -> (Box<Ring>, Vec<[u8; 32]>) {
    let chain = Chain::from_seed(&Secret::new([7; 32]), NOW / HOUR - 3);
    let schedule = Schedule::new(EpochLength::new(HOUR as u32).unwrap(), 3 * HOUR);
    let mut ring = Box::new(Ring::empty());
    ring.start(&Keyring::from_chain(&chain, ChainId([7; 16]), schedule), NOW);
    let mut secrets = Vec::new();
    let mut at = chain.clone();
    for epoch in NOW / HOUR - 3..=NOW / HOUR + 1 {
        at.advance_to(epoch);
        let keys = EpochKeys::from_link(at.link());
        secrets.extend([*keys.mac.expose(), *keys.root.expose()]);
    }
    at.advance_to(NOW / HOUR + 2);
    secrets.extend([*at.link().expose(), *at.next_era().expose()]);
    (ring, secrets)
}

#[test]
fn a_ring_that_is_dropped_leaves_nothing() {
    let (ring, secrets) = ring();
    let memory = left_behind(ring, |_| ());
    assert!(secrets.iter().all(|secret| has(&memory, secret)), "what is looked for was there");
    let (ring, secrets) = self::ring();
    let memory = left_behind(ring, drop_it);
    assert_eq!(secrets.iter().filter(|secret| has(&memory, secret)).count(), 0);
}

#[test]
fn a_ring_that_is_zeroized_leaves_nothing() {
    let (ring, secrets) = ring();
    let memory = left_behind(ring, |ring| ring.zeroize());
    assert_eq!(secrets.iter().filter(|secret| has(&memory, secret)).count(), 0);
}

#[test]
fn chains_keys_and_secrets_that_are_dropped_leave_nothing() {
    let link = Secret::new(std::array::from_fn(|i| (i * 7 + 1) as u8));
    let keys = EpochKeys::from_link(&link);
    let (mac, root) = (*keys.mac.expose(), *keys.root.expose());
    let memory = left_behind(Box::new(keys), drop_it);
    assert!(!has(&memory, &mac) && !has(&memory, &root));
    let chain = Chain::from_seed(&link, NOW / HOUR);
    let (first, era) = (*chain.link().expose(), *chain.next_era().expose());
    let memory = left_behind(Box::new(chain), drop_it);
    assert!(!has(&memory, &first) && !has(&memory, &era));
    let bytes = *link.expose();
    assert!(!has(&left_behind(Box::new(link), drop_it), &bytes));
}

//! What must hold of rings whatever happens: those that come from the same chain agree, and nothing leads back.

mod common;

use std::collections::BTreeSet;

use common::Finder;
use proptest::prelude::*;
use ticketshim_core::derive::Secret;
use ticketshim_core::ratchet::{Chain, EpochLength};
use ticketshim_core::ring::{Leaving, Ring, Schedule};
use ticketshim_core::{ChainId, Keyring};

fn chain(seed: [u8; 32], epoch: u64) -> Chain {
    Chain::from_seed(&Secret::new(seed), epoch)
}

fn keyring(schedule: Schedule, chain: &Chain) -> Keyring {
    // The same for one chain at different epochs: its next era, within one era.
    let mut id = [0; 16];
    id.copy_from_slice(&chain.next_era().expose()[..16]);
    Keyring::from_chain(chain, ChainId(id), schedule)
}

fn started(schedule: Schedule, chain: &Chain, now: u64) -> Box<Ring> {
    let mut ring = Box::new(Ring::empty());
    ring.start(&keyring(schedule, chain), now);
    ring
}

fn advanced(ring: &Ring, now: u64) -> Box<Ring> {
    let mut next = Box::new(Ring::empty());
    next.succeed(ring, now);
    next
}

fn bytes(ring: &Ring) -> &[u8] {
    // SAFETY: read as they are, in this test only; a byte that was never written compares as any other would.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(ring).cast(), size_of::<Ring>()) }
}

/// What a ring says of its epochs, without those of chains that were replaced.
fn epochs(ring: &Ring) -> Vec<(u64, [u8; 16], u64)> {
    let mut epochs: Vec<_> = ring.epochs().filter(|e| e.chain.is_some()).map(|e| (e.epoch, e.name.0, e.end)).collect();
    epochs.sort_unstable();
    epochs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One process walks by any steps, one starts late from the same file, one from a copy that was advanced on the way.
    #[test]
    fn rings_of_one_chain_agree_at_any_time(
        seed: [u8; 32],
        length in 1u32..200_000,
        accept in 0u64..700_000,
        start in 0u64..5_000_000_000,
        steps in prop::collection::vec(0u64..400_000, 1..20),
        copied in any::<prop::sample::Index>(),
    ) {
        let schedule = Schedule::new(EpochLength::new(length).unwrap(), accept);
        let file = chain(seed, schedule.oldest(schedule.epoch.epoch_at(start)));
        let mut walked = started(schedule, &file, start);
        let mut copy = file.clone();
        let mut now = start;
        for (at, step) in steps.iter().enumerate() {
            now += step;
            if walked.is_due(now) {
                walked = advanced(&walked, now);
            }
            if at == copied.index(steps.len()) {
                copy.advance_to(schedule.oldest(schedule.epoch.epoch_at(now)));
            }
            prop_assert_eq!(epochs(&walked), epochs(&started(schedule, &file, now)));
            prop_assert_eq!(epochs(&walked), epochs(&started(schedule, &copy, now)));
            let sealing = walked.sealing(now).unwrap();
            let same = started(schedule, &copy, now);
            prop_assert_eq!(sealing.name, same.sealing(now).unwrap().name);
            prop_assert_eq!(sealing.root.expose(), same.sealing(now).unwrap().root.expose());
        }
    }

    /// The bytes are gone: links, era secrets and keys of every epoch before the window, also after a chain was replaced.
    #[test]
    fn nothing_older_than_the_window_is_in_a_ring(
        seed: [u8; 32],
        other: [u8; 32],
        behind in 0u64..20,
        start in 0u64..100_000,
        steps in prop::collection::vec(0u64..6, 1..8),
        replaced_at in any::<prop::sample::Index>(),
    ) {
        const LENGTH: u64 = 3600;
        let schedule = Schedule::new(EpochLength::new(LENGTH as u32).unwrap(), behind * LENGTH);
        let first = schedule.oldest(start);
        let (mut file, mut since) = (chain(seed, first), start);
        let mut ring = started(schedule, &file, start * LENGTH);
        let mut now = start;
        for (at, step) in steps.iter().enumerate() {
            now += step;
            ring = advanced(&ring, now * LENGTH);
            if at == replaced_at.index(steps.len()) {
                file = chain(other, now);
                since = now;
                let mut next = Box::new(Ring::empty());
                next.change(&ring, &keyring(schedule, &file), Leaving::Open, now * LENGTH);
                ring = next;
            }
            let oldest = schedule.oldest(now);
            let found = Finder::new(&file, file.epoch()..now + 2, &["link", "mac", "root"]).find(bytes(&ring));
            // Keys are there for the window, links nowhere but at the tip, which is beyond all keys.
            let keys = oldest.max(file.epoch())..now + 2;
            let expected = keys.flat_map(|epoch| [("mac", epoch), ("root", epoch)]).collect();
            prop_assert_eq!(found, expected);
            if since > start || seed != other {
                let erased = first..schedule.oldest(now).min(since).max(first);
                let found = Finder::new(&chain(seed, first), erased, &["link", "mac", "root"]).find(bytes(&ring));
                prop_assert_eq!(found, BTreeSet::new());
            }
        }
    }
}

/// 50 years of hours: how long it takes is said, not judged. `cargo test --release -- --ignored --nocapture fifty`
#[test]
#[ignore = "a measurement"]
fn fifty_years_of_hours() {
    let schedule = Schedule::new(EpochLength::new(3600).unwrap(), 12 * 3600);
    let years = 50 * 365 * 86_400u64;
    let file = chain([7; 32], 500_000);
    let started_at = std::time::Instant::now();
    let ring = started(schedule, &file, 500_000 * 3600 + years);
    println!("a ring from a chain that is 50 years old: {:?}", started_at.elapsed());
    let started_at = std::time::Instant::now();
    let next = advanced(&ring, 500_000 * 3600 + 2 * years);
    println!("a ring advanced over 50 years at once: {:?}", started_at.elapsed());
    let started_at = std::time::Instant::now();
    let mut walked = next;
    for hour in 0..1000 {
        walked = advanced(&walked, 500_000 * 3600 + 2 * years + hour * 3600);
    }
    println!("1000 rotations: {:?}", started_at.elapsed());
}

/// What a ticket asks of a store. `cargo test --release -- --ignored --nocapture a_ticket`
#[test]
#[ignore = "a measurement"]
fn what_a_ticket_asks_of_a_store() {
    let store = ticketshim_keys::store::Store::open(&common::settings(None));
    let now = ticketshim_keys::clock::now();
    drop(store.read(now));
    let each = |what: &str, work: &dyn Fn()| {
        const TIMES: u32 = 1_000_000;
        let started_at = std::time::Instant::now();
        (0..TIMES).for_each(|_| work());
        println!("{what}: {:?}", started_at.elapsed() / TIMES);
    };
    each("the time", &|| assert!(ticketshim_keys::clock::now() > 0));
    each("the keys", &|| assert!(store.read(now).is_some()));
    each("a salt", &|| assert!(store.salt().is_some()));
}

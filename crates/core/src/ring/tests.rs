//! Rings as time goes by: what they seal under, what they open, what they forget.

use super::*;
use crate::derive::Secret;
use crate::ratchet::Chain;

const HOUR: u64 = 3600;
const NOW: u64 = 1_800_000_000;

fn schedule(accept: u64) -> Schedule {
    Schedule::new(EpochLength::new(HOUR as u32).unwrap(), accept)
}

fn keyring(seed: u8, at: u64, accept: u64) -> Keyring {
    Keyring::from_seed(&Secret::new([seed; 32]), ChainId([seed; 16]), schedule(accept), at / HOUR)
}

fn announced(keyring: &Keyring, seed: u8, use_at: u64, now: u64) -> Keyring {
    let mut new = Keyring::empty();
    new.copy_from(keyring);
    let schedule = keyring.sealing(now).unwrap().schedule;
    new.announce(use_at, now, |member| {
        member.id = ChainId([seed; 16]);
        member.schedule = schedule;
        member.chain = Chain::from_seed(&Secret::new([seed; 32]), now / HOUR);
    })
    .unwrap();
    new
}

fn started(keyring: &Keyring, now: u64) -> Box<Ring> {
    let mut ring = Box::new(Ring::empty());
    ring.start(keyring, now);
    ring
}

fn advanced(ring: &Ring, now: u64) -> Box<Ring> {
    let mut next = Box::new(Ring::empty());
    next.succeed(ring, now);
    next
}

fn changed(ring: &Ring, keyring: &Keyring, leaving: Leaving, now: u64) -> Box<Ring> {
    let mut next = Box::new(Ring::empty());
    next.change(ring, keyring, leaving, now);
    next
}

fn name_at(ring: &Ring, now: u64) -> KeyName {
    ring.sealing(now).unwrap().name
}

fn opens(ring: &Ring, name: &KeyName, now: u64) -> bool {
    matches!(ring.find(name, now), Found::Keys { .. })
}

#[test]
fn schedules_are_bounded() {
    assert_eq!(schedule(12 * HOUR).accept(), 12 * HOUR);
    assert_eq!(schedule(12 * HOUR + 1).accept(), 13 * HOUR);
    assert_eq!(schedule(0).accept(), 0);
    assert_eq!(schedule(u64::MAX).accept(), MAX_ACCEPT - HOUR, "no key opens for longer than 7 days");
    let short = Schedule::new(EpochLength::new(1).unwrap(), MAX_ACCEPT);
    assert_eq!(short.accept(), MAX_EPOCHS as u64 - 3);
    let long = Schedule::new(EpochLength::new(u32::MAX).unwrap(), MAX_ACCEPT);
    assert_eq!(long.accept(), 0);
}

#[test]
fn a_ticket_opens_for_the_window_and_not_longer() {
    let mut ring = started(&keyring(1, NOW, 3 * HOUR), NOW);
    let name = name_at(&ring, NOW);
    let sealed_until = (NOW / HOUR + 1) * HOUR;
    for later in (NOW..NOW + 8 * HOUR).step_by(600) {
        if ring.is_due(later) {
            ring = advanced(&ring, later);
        }
        let expected = later < sealed_until + 3 * HOUR;
        assert_eq!(opens(&ring, &name, later), expected, "{} s later", later - NOW);
        assert_eq!(matches!(ring.find(&name, later), Found::Expired), !expected);
        let newest = matches!(ring.find(&name, later), Found::Keys { newest: true, .. });
        assert_eq!(newest, later < sealed_until);
    }
    assert!(matches!(ring.find(&KeyName([9; 16]), NOW), Found::Unknown));
    assert!(matches!(ring.find(&KeyName([0; 16]), NOW), Found::Unknown));
}

#[test]
fn a_ring_that_nobody_advanced_refuses_what_has_ended() {
    let ring = started(&keyring(1, NOW, HOUR), NOW);
    let name = name_at(&ring, NOW);
    assert!(ring.is_due(NOW + 9 * HOUR));
    assert!(matches!(ring.find(&name, NOW + 9 * HOUR), Found::Expired));
    assert!(ring.sealing(NOW + 9 * HOUR).is_some());
}

#[test]
fn slots_of_the_chain_in_use_ascend_and_come_last() {
    // What `sealing_slot` counts on.
    let mut keys = keyring(0, NOW, 3 * HOUR);
    let mut ring = started(&keys, NOW);
    for seed in 1..=6 {
        let now = NOW + u64::from(seed) * 9 * HOUR;
        keys = announced(&keys, seed, now + 2 * HOUR, now);
        ring = changed(&ring, &keys, Leaving::Erased, now);
        for later in [0, 1, 2, 3, 8] {
            ring = advanced(&ring, now + later * HOUR);
            let chains: Vec<u8> = ring.live().map(|slot| slot.chain).collect();
            assert_eq!(usize::from(*chains.last().unwrap()), ring.in_use);
            let own: Vec<u64> =
                ring.live().filter(|slot| usize::from(slot.chain) == ring.in_use).map(|slot| slot.epoch).collect();
            assert!(own.is_sorted_by(|a, b| a < b) && !own.is_empty(), "{own:?}");
        }
    }
}

#[test]
fn one_epoch_ahead_opens_and_is_newest() {
    let here = started(&keyring(1, NOW, HOUR), NOW);
    let ahead = started(&keyring(1, NOW, HOUR), NOW + HOUR);
    let name = name_at(&ahead, NOW + HOUR);
    assert!(matches!(here.find(&name, NOW), Found::Keys { newest: true, .. }));
    let far = started(&keyring(1, NOW, HOUR), NOW + 2 * HOUR);
    assert!(!opens(&here, &name_at(&far, NOW + 2 * HOUR), NOW));
}

#[test]
fn a_clock_that_goes_back_erases_nothing_and_resurrects_nothing() {
    let ring = started(&keyring(1, NOW, HOUR), NOW);
    let old = name_at(&ring, NOW);
    let later = advanced(&ring, NOW + 5 * HOUR);
    for back in [NOW + 4 * HOUR, NOW, 1000, 0] {
        assert!(!later.is_due(back));
        assert!(!opens(&later, &old, back));
        assert!(opens(&later, &name_at(&later, back), back));
    }
    let again = advanced(&later, 0);
    assert_eq!(again.current_epoch(), later.current_epoch());
    assert!(again.epochs().eq(later.epochs()));
}

#[test]
fn an_announced_chain_opens_at_once_and_seals_from_its_moment_on() {
    let first = keyring(1, NOW, 2 * HOUR);
    let use_at = NOW + 90 * 60;
    let both = announced(&first, 2, use_at, NOW);
    let (mut here, mut there) = (started(&both, NOW), changed(&started(&first, NOW), &both, Leaving::Erased, NOW));
    // A clock that is most of an hour ahead has begun to use it.
    let early = name_at(&started(&both, use_at), use_at);
    assert!(matches!(here.find(&early, use_at - 3000), Found::Keys { newest: true, .. }));
    let ends = use_at + 3 * HOUR;
    let mut sealed: Vec<(u64, KeyName)> = Vec::new();
    for now in (NOW..ends + 4 * HOUR).step_by(600) {
        for ring in [&mut here, &mut there] {
            if ring.is_due(now) {
                *ring = advanced(ring, now);
            }
        }
        assert_eq!(name_at(&here, now), name_at(&there, now));
        let of_first = here.epochs().find(|e| e.name == name_at(&here, now)).unwrap().chain == Some(ChainId([1; 16]));
        assert_eq!(of_first, now < use_at);
        sealed.push((now, name_at(&here, now)));
        let age = |then: u64| now - then;
        assert!(sealed.iter().all(|(then, name)| age(*then) > 2 * HOUR || opens(&there, name, now)));
        assert!(sealed.iter().all(|(then, name)| age(*then) < 3 * HOUR || !opens(&here, name, now)));
        let chains = here.keyring().members().len();
        assert_eq!(chains, if now < ends { 2 } else { 1 }, "{} s after its use", now as i64 - use_at as i64);
        // Whoever starts now has the same.
        assert_eq!(name_at(&started(&both, now), now), name_at(&here, now));
    }
}

#[test]
fn a_chain_that_is_left_out_is_erased_at_once() {
    let ring = started(&announced(&keyring(1, NOW, 2 * HOUR), 2, NOW + HOUR, NOW), NOW);
    let old = name_at(&ring, NOW);
    let mut theft = keyring(3, NOW, 2 * HOUR);
    theft.clear(3);
    theft.add().unwrap().copy_from(&keyring(3, NOW, 2 * HOUR).members()[0]);
    let next = changed(&ring, &theft, Leaving::Erased, NOW);
    assert!(matches!(next.find(&old, NOW), Found::Expired));
    assert!(next.epochs().all(|epoch| epoch.chain == Some(ChainId([3; 16]))));
}

#[test]
fn keys_of_a_processs_own_open_until_their_end_and_never_seal() {
    let first = started(&keyring(1, NOW, 2 * HOUR), NOW);
    let old = name_at(&first, NOW);
    let ring = changed(&first, &keyring(2, NOW, 2 * HOUR), Leaving::Open, NOW);
    assert_ne!(name_at(&ring, NOW), old);
    assert!(matches!(ring.find(&old, NOW), Found::Keys { newest: false, .. }));
    let end = (NOW / HOUR + 1 + 2) * HOUR;
    let ring = advanced(&ring, end - 1);
    assert!(opens(&ring, &old, end - 1));
    assert!(!opens(&ring, &old, end));
    let ring = advanced(&ring, end);
    assert!(matches!(ring.find(&old, end), Found::Expired));
    // The epoch ahead of the replaced chain is kept an hour longer: a peer may have sealed under it.
    assert!(ring.epochs().filter(|epoch| epoch.chain.is_none()).count() <= 1);
}

#[test]
fn many_replacements_never_overflow() {
    let mut ring = started(&keyring(0, NOW, MAX_ACCEPT), NOW);
    for seed in 1..=255 {
        let next = changed(&ring, &keyring(seed, NOW, MAX_ACCEPT), Leaving::Open, NOW);
        ring = advanced(&next, NOW + u64::from(seed) * 60);
    }
    assert!(ring.epochs().count() <= SLOTS);
    assert_eq!(name_at(&ring, NOW), name_at(&started(&keyring(255, NOW, 0), NOW), NOW));
}

#[test]
fn three_chains_with_the_longest_window_have_the_one_in_use_whole() {
    let minutes = Schedule::new(EpochLength::new(600).unwrap(), MAX_ACCEPT);
    let at = NOW / 600 - 300;
    let mut keys = Keyring::from_seed(&Secret::new([1; 32]), ChainId([1; 16]), minutes, at);
    for (seed, use_at) in [(2, NOW - 7200), (3, NOW - 3600)] {
        let fill = |member: &mut crate::keyring::Member| {
            member.id = ChainId([seed; 16]);
            member.schedule = minutes;
            member.chain = Chain::from_seed(&Secret::new([seed; 32]), at);
        };
        keys.announce(use_at, use_at - 60, fill).unwrap();
    }
    let later = NOW + 20 * HOUR;
    for ring in [started(&keys, NOW), advanced(&started(&keys, NOW), later), started(&keys, later)] {
        let of = |id: u8| ring.epochs().filter(|epoch| epoch.chain == Some(ChainId([id; 16]))).count();
        assert!(of(3) > 7 && of(2) > 7 && of(1) > 7, "{} {} {}", of(1), of(2), of(3));
        assert!(ring.used <= SLOTS);
    }
}

#[test]
fn clocks_from_1970_to_the_kernels_end_of_time_seal_and_open() {
    // Linux keeps time in 63 bits of nanoseconds: 2262.
    for now in [0, 1, u64::from(u32::MAX), i64::MAX as u64 / 1_000_000_000] {
        let ring = started(&keyring(1, now, HOUR), now);
        assert!(opens(&ring, &name_at(&ring, now), now), "{now}");
    }
    // A chain that claims to stand at the end of all numbers is no reason to walk there.
    let mut far = keyring(1, NOW, HOUR);
    far.members_mut()[0].chain = Chain::from_parts(u64::MAX, Secret::new([1; 32]), Secret::new([2; 32]));
    let ring = started(&far, NOW);
    assert!(ring.sealing(NOW).is_some() && !ring.is_due(NOW));
}

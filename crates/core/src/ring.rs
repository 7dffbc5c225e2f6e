//! The keys in force at a moment: one to seal under, those of the accept window to open with, one epoch ahead for the
//! peer host whose clock is early.
//!
//! A ring is filled once and then only read ([`Ring::succeed`] makes the next one out of it), so readers need no lock.
//! It lives where its owner puts it (memory that is locked and kept out of core dumps), is filled in place and erases
//! itself when dropped. It holds derived keys and the chain's *tip*, beyond the newest of them: nothing in it leads to
//! an epoch that has left the window.

use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::derive::EpochKeys;
use crate::erase::erasing;
use crate::format::KeyName;
use crate::ratchet::{Chain, EpochLength};

/// Most epochs that a ring holds: 7 days of hours (168), the current one, one ahead, and room for a chain's end.
pub const MAX_EPOCHS: usize = 256;
/// The longest that any key may be accepted, in seconds: RFC 8446 section 4.6.1 limits a ticket to 7 days.
pub const MAX_ACCEPT: u64 = 7 * 86_400;
/// Names of erased epochs that are remembered, to tell "expired" from "never known".
const REMEMBERED: usize = 64;

/// When keys change and how long they open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule {
    /// How long tickets are sealed under one key.
    pub epoch: EpochLength,
    /// How many epochs before the current one still open.
    behind: u64,
}

impl Schedule {
    /// Keys that change every `epoch` and open for at least `accept` seconds after sealing, at most one epoch longer,
    /// and in no case beyond [`MAX_ACCEPT`] or [`MAX_EPOCHS`]: see [`Schedule::accept`] for what came of it.
    pub const fn new(epoch: EpochLength, accept: u64) -> Self {
        let by_time = (MAX_ACCEPT / epoch.seconds()).saturating_sub(1);
        let by_room = MAX_EPOCHS as u64 - 3;
        let most = if by_time < by_room { by_time } else { by_room };
        let wanted = accept.div_ceil(epoch.seconds());
        Self { epoch, behind: if wanted < most { wanted } else { most } }
    }

    /// For how long a ticket opens at the least, in seconds.
    pub fn accept(&self) -> u64 {
        self.behind * self.epoch.seconds()
    }

    /// The oldest epoch that opens while `current` is sealed under.
    pub fn oldest(&self, current: u64) -> u64 {
        current.saturating_sub(self.behind)
    }

    fn end_of(&self, epoch: u64) -> u64 {
        self.epoch.start_of(epoch.saturating_add(self.behind + 1))
    }
}

/// One epoch's keys in a ring.
struct Slot {
    keys: EpochKeys,
    epoch: u64,
    /// Unix seconds from which it opens nothing any more.
    end: u64,
    /// Of a chain that was replaced: opens, never seals.
    replaced: bool,
}

/// The keys in force. See the module.
pub struct Ring {
    schedule: Schedule,
    /// Beyond the newest slot: what the next epoch's keys will come from.
    tip: Chain,
    /// The epoch it was last advanced to. The slots of the current chain reach one further.
    current: u64,
    slots: [Option<Slot>; MAX_EPOCHS],
    used: usize,
    /// Names erased lately, the oldest overwritten first.
    forgotten: [Option<KeyName>; REMEMBERED],
    forgotten_next: usize,
}

/// Where in a ring an epoch's keys are. Means nothing in another ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position(usize);

/// What a key name leads to.
pub enum Found<'a> {
    /// Keys to open with.
    Keys {
        /// The keys.
        keys: &'a EpochKeys,
        /// Where they are.
        at: Position,
        /// Whether a ticket sealed now would be under an older or the same key, so that renewing gains nothing.
        newest: bool,
    },
    /// A name that has left the accept window.
    Expired,
    /// A name that this ring never had.
    Unknown,
}

impl Ring {
    /// A ring without keys, to be filled in place.
    pub const fn empty(schedule: Schedule) -> Self {
        Self {
            schedule,
            tip: Chain::ZERO,
            current: 0,
            slots: [const { None }; MAX_EPOCHS],
            used: 0,
            forgotten: [None; REMEMBERED],
            forgotten_next: 0,
        }
    }

    /// Gives an empty ring its schedule: for one that is copied from a constant to where it will be filled.
    pub fn set_schedule(&mut self, schedule: Schedule) {
        self.schedule = schedule;
    }

    /// Fills an empty ring from a chain at `now` (Unix seconds). The chain may stand anywhere: before the window (a
    /// copy made days ago) or beyond now (the clock went back, or the file comes from a host that is ahead).
    pub fn start(&mut self, chain: &Chain, now: u64) {
        self.tip.clone_from(chain);
        self.current = self.schedule.epoch.epoch_at(now).max(chain.epoch());
        let oldest = self.schedule.oldest(self.current);
        self.tip.advance_to(oldest);
        self.derive_up_to(self.current.saturating_add(1));
    }

    /// Fills an empty ring with what `old` holds that still opens at `now`, and the epochs that have come since.
    pub fn succeed(&mut self, old: &Ring, now: u64) {
        self.schedule = old.schedule;
        self.tip.clone_from(&old.tip);
        self.current = old.schedule.epoch.epoch_at(now).max(old.current);
        let oldest = self.schedule.oldest(self.current);
        self.inherit(old, now, |slot| slot.replaced || slot.epoch >= oldest, false);
        self.tip.advance_to(oldest);
        self.derive_up_to(self.current.saturating_add(1));
    }

    /// Fills an empty ring from a `chain` that replaces the one of `old`: tickets are sealed under the new chain, and
    /// what the old one still opens it opens until its window ends. Where there is no room, the oldest go first.
    pub fn replace(&mut self, old: &Ring, chain: &Chain, now: u64) {
        self.start(chain, now);
        self.inherit(old, now, |_| true, true);
    }

    /// Whether [`Ring::succeed`] would give another ring: an epoch has begun, or a replaced chain's key has ended.
    pub fn is_due(&self, now: u64) -> bool {
        self.schedule.epoch.epoch_at(now) > self.current || self.live().any(|slot| slot.replaced && now >= slot.end)
    }

    /// The keys to seal under at `now`; `None` in a ring that was never filled.
    ///
    /// After a step of the clock behind all that the ring holds, these are the oldest of the current chain: nothing
    /// that was erased comes back.
    pub fn sealing(&self, now: u64) -> Option<&EpochKeys> {
        self.sealing_slot(now).map(|(_, slot)| &slot.keys)
    }

    /// Where [`Ring::sealing`] has them from.
    pub fn sealing_at(&self, now: u64) -> Option<Position> {
        self.sealing_slot(now).map(|(at, _)| at)
    }

    /// The keys that are there; `None` for a position of another ring.
    pub fn keys(&self, at: Position) -> Option<&EpochKeys> {
        self.slots.get(at.0)?.as_ref().map(|slot| &slot.keys)
    }

    /// Looks a key name up.
    pub fn find(&self, name: &KeyName, now: u64) -> Found<'_> {
        let Some((at, slot)) = self.newest_first().find(|(_, slot)| slot.keys.name == *name) else {
            return if self.forgotten.contains(&Some(*name)) { Found::Expired } else { Found::Unknown };
        };
        if now >= slot.end {
            return Found::Expired;
        }
        let newest = !slot.replaced && self.sealing_slot(now).is_some_and(|(_, sealing)| slot.epoch >= sealing.epoch);
        Found::Keys { keys: &slot.keys, at, newest }
    }

    /// The epoch it was last advanced to.
    pub fn current_epoch(&self) -> u64 {
        self.current
    }

    /// When its keys change and how long they open.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// Every epoch it holds keys of: number, name, when it stops opening (Unix seconds), whether its chain was replaced.
    pub fn epochs(&self) -> impl Iterator<Item = (u64, KeyName, u64, bool)> {
        self.live().map(|slot| (slot.epoch, slot.keys.name, slot.end, slot.replaced))
    }

    /// A digest of all that it holds, secrets too: to see, in a copy that the system made of our memory while it was in
    /// use, whether it is whole.
    pub fn digest(&self) -> [u8; 32] {
        erasing(|| self.hash())
    }

    fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for number in [self.tip.epoch(), self.current, self.schedule.epoch.seconds(), self.schedule.accept()] {
            hash.update(number.to_be_bytes());
        }
        hash.update(self.tip.link().expose());
        hash.update(self.tip.next_era().expose());
        for slot in self.live() {
            hash.update(slot.epoch.to_be_bytes());
            hash.update(slot.end.to_be_bytes());
            hash.update([u8::from(slot.replaced)]);
            hash.update(slot.keys.name.0);
            hash.update(slot.keys.mac.expose());
            hash.update(slot.keys.root.expose());
        }
        hash.finalize().into()
    }

    fn live(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().take(self.used).flatten()
    }

    /// The slots of a chain are in the order of its epochs, and those of the current one end with the newest: what is
    /// looked for is mostly found at once.
    fn newest_first(&self) -> impl Iterator<Item = (Position, &Slot)> {
        let slots = self.slots.get(..self.used).unwrap_or_default();
        slots.iter().enumerate().rev().filter_map(|(at, slot)| Some((Position(at), slot.as_ref()?)))
    }

    fn sealing_slot(&self, now: u64) -> Option<(Position, &Slot)> {
        let wanted = self.schedule.epoch.epoch_at(now);
        let mut own = self.newest_first().filter(|(_, slot)| !slot.replaced);
        let mut oldest = None;
        own.find(|(at, slot)| {
            oldest = Some((*at, *slot));
            slot.epoch <= wanted
        })
        .or(oldest)
    }

    fn derive_up_to(&mut self, last: u64) {
        while self.tip.epoch() <= last && self.used < MAX_EPOCHS {
            let epoch = self.tip.epoch();
            let slot = Slot { keys: EpochKeys::ZERO, epoch, end: self.schedule.end_of(epoch), replaced: false };
            let slot = self.slots[self.used].insert(slot);
            slot.keys.set_from_link(self.tip.link());
            self.used += 1;
            let Some(next) = epoch.checked_add(1) else { return };
            self.tip.advance_to(next);
        }
    }

    /// Copies the slots of `old` that `keep` chooses and that still open, as many of the newest as there is room for
    /// beside the two that a next epoch may need, and remembers the names of the others.
    fn inherit(&mut self, old: &Ring, now: u64, keep: impl Fn(&Slot) -> bool, replaced: bool) {
        self.forgotten = old.forgotten;
        self.forgotten_next = old.forgotten_next;
        // In place, without memory of the heap: there may be none, and keys have to be rotated all the same.
        let (own, free) = self.slots.split_at_mut(self.used);
        let is_own = |name: &KeyName| own.iter().flatten().any(|slot| slot.keys.name == *name);
        let wanted = |slot: &&Slot| keep(slot) && !(slot.replaced && now >= slot.end) && !is_own(&slot.keys.name);
        let room = MAX_EPOCHS - 2 - self.used.min(MAX_EPOCHS - 2);
        let too_many = old.live().filter(wanted).count().saturating_sub(room);
        for (place, slot) in free.iter_mut().zip(old.live().filter(wanted).skip(too_many)) {
            let copy =
                Slot { keys: EpochKeys::ZERO, epoch: slot.epoch, end: slot.end, replaced: slot.replaced || replaced };
            place.insert(copy).keys.clone_from(&slot.keys);
            self.used += 1;
        }
        for slot in old.live() {
            if !self.live().any(|kept| kept.keys.name == slot.keys.name) {
                self.forgotten[self.forgotten_next] = Some(slot.keys.name);
                self.forgotten_next = (self.forgotten_next + 1) % REMEMBERED;
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl Zeroize for Ring {
    fn zeroize(&mut self) {
        self.tip.zeroize();
        for slot in self.slots.iter_mut().flatten() {
            slot.keys.zeroize();
        }
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::Secret;

    const HOUR: u64 = 3600;
    const NOW: u64 = 1_800_000_000;

    fn schedule(accept: u64) -> Schedule {
        Schedule::new(EpochLength::new(HOUR as u32).unwrap(), accept)
    }

    fn chain(seed: u8, at: u64) -> Chain {
        Chain::from_seed(&Secret::new([seed; 32]), at / HOUR)
    }

    fn started(chain: &Chain, accept: u64, now: u64) -> Ring {
        let mut ring = Ring::empty(schedule(accept));
        ring.start(chain, now);
        ring
    }

    fn advanced(ring: &Ring, now: u64) -> Ring {
        let mut next = Ring::empty(ring.schedule());
        next.succeed(ring, now);
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
        let mut ring = started(&chain(1, NOW), 3 * HOUR, NOW);
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
        let ring = started(&chain(1, NOW), HOUR, NOW);
        let name = name_at(&ring, NOW);
        assert!(ring.is_due(NOW + 9 * HOUR));
        assert!(matches!(ring.find(&name, NOW + 9 * HOUR), Found::Expired));
        assert!(ring.sealing(NOW + 9 * HOUR).is_some());
    }

    #[test]
    fn slots_of_the_current_chain_ascend() {
        // What `sealing_slot` counts on.
        let mut ring = started(&chain(0, NOW), 3 * HOUR, NOW);
        for seed in 1..=6 {
            let mut next = Ring::empty(ring.schedule());
            next.replace(&ring, &chain(seed, NOW), NOW + u64::from(seed) * HOUR);
            ring = advanced(&next, NOW + u64::from(seed) * HOUR + 2 * HOUR);
            let own: Vec<u64> = ring.live().filter(|slot| !slot.replaced).map(|slot| slot.epoch).collect();
            assert!(own.is_sorted_by(|a, b| a < b) && !own.is_empty(), "{own:?}");
            assert!(ring.keys(ring.sealing_at(NOW).unwrap()).unwrap().name == name_at(&ring, NOW));
        }
    }

    #[test]
    fn one_epoch_ahead_opens_and_is_newest() {
        let here = started(&chain(1, NOW), HOUR, NOW);
        let ahead = started(&chain(1, NOW), HOUR, NOW + HOUR);
        let name = name_at(&ahead, NOW + HOUR);
        assert!(matches!(here.find(&name, NOW), Found::Keys { newest: true, .. }));
        let far = started(&chain(1, NOW), HOUR, NOW + 2 * HOUR);
        assert!(!opens(&here, &name_at(&far, NOW + 2 * HOUR), NOW));
    }

    #[test]
    fn a_clock_that_goes_back_erases_nothing_and_resurrects_nothing() {
        let ring = started(&chain(1, NOW), HOUR, NOW);
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
    fn replaced_chains_open_until_their_end_and_never_seal() {
        let first = started(&chain(1, NOW), 2 * HOUR, NOW);
        let old = name_at(&first, NOW);
        let mut ring = Ring::empty(first.schedule());
        ring.replace(&first, &chain(2, NOW), NOW);
        assert_ne!(name_at(&ring, NOW), old);
        assert!(matches!(ring.find(&old, NOW), Found::Keys { newest: false, .. }));
        let end = (NOW / HOUR + 1 + 2) * HOUR;
        let ring = advanced(&ring, end - 1);
        assert!(opens(&ring, &old, end - 1));
        assert!(!opens(&ring, &old, end));
        let ring = advanced(&ring, end);
        assert!(matches!(ring.find(&old, end), Found::Expired));
        // The epoch ahead of the replaced chain is kept an hour longer: a peer may have sealed under it.
        assert!(ring.epochs().filter(|(.., replaced)| *replaced).count() <= 1);
    }

    #[test]
    fn many_replacements_never_overflow() {
        let mut ring = started(&chain(0, NOW), MAX_ACCEPT, NOW);
        for seed in 1..=255 {
            let mut next = Ring::empty(ring.schedule());
            next.replace(&ring, &chain(seed, NOW), NOW);
            ring = advanced(&next, NOW + u64::from(seed) * 60);
        }
        assert!(ring.epochs().count() <= MAX_EPOCHS);
        assert_eq!(name_at(&ring, NOW), name_at(&started(&chain(255, NOW), 0, NOW), NOW));
    }

    #[test]
    fn clocks_from_1970_to_the_kernels_end_of_time_seal_and_open() {
        // Linux keeps time in 63 bits of nanoseconds: 2262.
        for now in [0, 1, u64::from(u32::MAX), i64::MAX as u64 / 1_000_000_000] {
            let ring = started(&chain(1, now), HOUR, now);
            assert!(opens(&ring, &name_at(&ring, now), now), "{now}");
        }
        // A chain that claims to stand at the end of all numbers is no reason to walk there.
        let far = Chain::from_parts(u64::MAX, Secret::new([1; 32]), Secret::new([2; 32]));
        let ring = started(&far, HOUR, NOW);
        assert!(ring.sealing(NOW).is_some() && !ring.is_due(NOW));
    }
}

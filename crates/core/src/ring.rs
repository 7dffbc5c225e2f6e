//! The keys in force at a moment: one to seal under, those of the accept window to open with, one epoch ahead for the
//! peer host whose clock is early. Of each chain of a [`Keyring`]: the one in use, the one before it, one that is announced.
//!
//! A ring is filled once and then only read ([`Ring::succeed`] makes the next one out of it), so readers need no lock.
//! It lives where its owner puts it (memory that is locked and kept out of core dumps), is filled in place and erases
//! itself when dropped. It holds derived keys and each chain's *tip*, beyond the newest of them: nothing in it leads to
//! an epoch that has left the window.

use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::derive::EpochKeys;
use crate::erase::erasing;
use crate::format::KeyName;
use crate::keyring::{ChainId, Keyring, MAX_CHAINS, NO_END};
use crate::ratchet::EpochLength;

/// Most epochs of one chain in a ring: 7 days of hours (168), the current one, one ahead, and some more.
pub const MAX_EPOCHS: usize = 256;
/// Keys that a ring has room for: two chains with the longest window.
const SLOTS: usize = 2 * MAX_EPOCHS;
/// Use of a chain that is announced for later than this is not prepared yet, in seconds.
const FAR_AHEAD: u64 = 366 * 86_400;
/// In a [`Slot`]: of no chain of the keyring.
const NO_CHAIN: u8 = u8::MAX;
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
    /// Where its chain is in the keyring; [`NO_CHAIN`] if that was a process's own, which a state file's has replaced:
    /// opens, never seals.
    chain: u8,
}

/// The keys in force. See the module.
pub struct Ring {
    /// Each chain stands beyond its newest slot: what the next epoch's keys will come from.
    tips: Keyring,
    /// The epoch that each chain was last advanced to. The slots reach one further.
    current: [u64; MAX_CHAINS],
    /// The chain that was sealed under when the ring was filled.
    in_use: usize,
    /// Unix seconds from which there is another ring to make.
    due: u64,
    /// The slots of a chain are together, in the order of its epochs; those of the chain in use come last.
    slots: [Option<Slot>; SLOTS],
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

/// One epoch of a ring, without its keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochTimes {
    /// Its chain; `None` for one that was a process's own before it had a state file's.
    pub chain: Option<ChainId>,
    /// The epoch.
    pub epoch: u64,
    /// The public name of its keys.
    pub name: KeyName,
    /// When it stops opening, in Unix seconds.
    pub end: u64,
}

/// What becomes of keys whose chain another keyring does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaving {
    /// They open until their window ends, and never seal: what a process sealed before it could read its state file.
    Open,
    /// They are erased at once: what a state file leaves out may have been stolen.
    Erased,
}

/// The epochs of a chain that a ring wants.
#[derive(Clone, Copy, Default)]
struct Span {
    from: u64,
    to: u64,
    room: usize,
}

impl Ring {
    /// A ring without keys, to be filled in place.
    pub const fn empty() -> Self {
        Self {
            tips: Keyring::empty(),
            current: [0; MAX_CHAINS],
            in_use: 0,
            due: u64::MAX,
            slots: [const { None }; SLOTS],
            used: 0,
            forgotten: [None; REMEMBERED],
            forgotten_next: 0,
        }
    }

    /// Fills an empty ring from a keyring at `now` (Unix seconds). Its chains may stand anywhere: before the window (a
    /// copy made days ago) or beyond now (the clock went back, or the file comes from a host that is ahead).
    pub fn start(&mut self, keyring: &Keyring, now: u64) {
        self.tips.copy_from(keyring);
        self.fill(None, now);
    }

    /// Fills an empty ring with what `old` holds that still opens at `now`, and the epochs that have come since.
    pub fn succeed(&mut self, old: &Ring, now: u64) {
        self.tips.copy_from(&old.tips);
        self.fill(Some((old, Leaving::Open)), now);
    }

    /// Fills an empty ring from a `keyring` that takes the place of that of `old`. Chains that both have go on as they are.
    pub fn change(&mut self, old: &Ring, keyring: &Keyring, leaving: Leaving, now: u64) {
        self.tips.copy_from(keyring);
        for tip in self.tips.members_mut() {
            // Theirs may be further on, or not as far: ours leads to what comes after the keys that are here.
            if let Some(ours) = old.tips.members().iter().find(|ours| ours.id == tip.id) {
                tip.chain.clone_from(&ours.chain);
            }
        }
        self.fill(Some((old, leaving)), now);
    }

    /// Whether [`Ring::succeed`] would give another ring: an epoch has begun, a chain is to be used or has ended.
    pub fn is_due(&self, now: u64) -> bool {
        now >= self.due
    }

    /// From when on that is so, in Unix seconds.
    pub fn due(&self) -> u64 {
        self.due
    }

    /// The keys to seal under at `now`; `None` in a ring that was never filled.
    ///
    /// After a step of the clock behind all that the ring holds, these are the oldest of the oldest chain: nothing
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
        let is_newest = |(_, sealing): (_, &Slot)| (slot.chain, slot.epoch) >= (sealing.chain, sealing.epoch);
        let newest = slot.chain != NO_CHAIN && self.sealing_slot(now).is_some_and(is_newest);
        Found::Keys { keys: &slot.keys, at, newest }
    }

    /// The epoch that the chain in use was last advanced to.
    pub fn current_epoch(&self) -> u64 {
        self.current.get(self.in_use).copied().unwrap_or_default()
    }

    /// The chain that was in use when the ring was filled.
    pub fn chain(&self) -> ChainId {
        self.tips.members().get(self.in_use).map_or(ChainId([0; 16]), |tip| tip.id)
    }

    /// When its keys change and how long they open.
    pub fn schedule(&self) -> Schedule {
        self.tips.members().get(self.in_use).map_or(NO_SCHEDULE, |tip| tip.schedule)
    }

    /// Which chains there are and when they are in use. Each stands beyond the keys that the ring holds.
    pub fn keyring(&self) -> &Keyring {
        &self.tips
    }

    /// Every epoch that it holds keys of.
    pub fn epochs(&self) -> impl Iterator<Item = EpochTimes> {
        self.live().map(|slot| EpochTimes {
            chain: self.tips.members().get(usize::from(slot.chain)).map(|tip| tip.id),
            epoch: slot.epoch,
            name: slot.keys.name,
            end: slot.end,
        })
    }

    /// A digest of all that it holds, secrets too: to see, in a copy that the system made of our memory while it was in
    /// use, whether it is whole.
    pub fn digest(&self) -> [u8; 32] {
        erasing(|| self.hash())
    }

    fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut number = |number: u64| hash.update(number.to_be_bytes());
        [self.tips.generation(), self.in_use as u64, self.due].into_iter().chain(self.current).for_each(&mut number);
        for tip in self.tips.members() {
            let times = [tip.schedule.epoch.seconds(), tip.schedule.accept(), tip.sealing_from, tip.opening_until];
            times.into_iter().for_each(&mut number);
        }
        for tip in self.tips.members() {
            hash.update(tip.id.0);
            hash.update(tip.chain.epoch().to_be_bytes());
            hash.update(tip.chain.link().expose());
            hash.update(tip.chain.next_era().expose());
        }
        for slot in self.live() {
            hash.update(slot.epoch.to_be_bytes());
            hash.update(slot.end.to_be_bytes());
            hash.update([slot.chain]);
            hash.update(slot.keys.name.0);
            hash.update(slot.keys.mac.expose());
            hash.update(slot.keys.root.expose());
        }
        hash.finalize().into()
    }

    fn live(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().take(self.used).flatten()
    }

    /// The slots of the chain in use end with the newest: what is looked for is mostly found at once.
    fn newest_first(&self) -> impl Iterator<Item = (Position, &Slot)> {
        let slots = self.slots.get(..self.used).unwrap_or_default();
        slots.iter().enumerate().rev().filter_map(|(at, slot)| Some((Position(at), slot.as_ref()?)))
    }

    fn sealing_slot(&self, now: u64) -> Option<(Position, &Slot)> {
        let chain = self.tips.sealing_at(now);
        let wanted = self.tips.members().get(chain)?.schedule.epoch.epoch_at(now);
        let mut own = self.newest_first().filter(|(_, slot)| usize::from(slot.chain) == chain);
        let mut oldest = None;
        own.find(|(at, slot)| {
            oldest = Some((*at, *slot));
            slot.epoch <= wanted
        })
        .or(oldest)
    }

    /// Makes the slots of all tips, of what `old` has and of what the chains lead to.
    fn fill(&mut self, old: Option<(&Ring, Leaving)>, now: u64) {
        self.tips.drop_ended(now);
        let count = self.tips.members().len();
        self.in_use = self.tips.sealing_at(now);
        let mut spans = [Span::default(); MAX_CHAINS];
        for (at, span) in spans.iter_mut().enumerate().take(count) {
            *span = self.span(at, old.map(|(old, _)| old), now);
        }
        // Where there is no room for all (two chains with the longest window are no trouble), the chain in use comes first,
        // then those after it, then those before it; and of a chain its newest epochs.
        let mut room = SLOTS;
        for at in (self.in_use..count).chain((0..self.in_use).rev()) {
            let span = &mut spans[at];
            let wanted = span.to.saturating_sub(span.from).saturating_add(1);
            span.room = usize::try_from(wanted).map_or(room, |wanted| wanted.min(room));
            span.from = span.to.saturating_sub((span.room as u64).saturating_sub(1));
            room -= span.room;
        }
        if let Some((old, leaving)) = old {
            self.forgotten = old.forgotten;
            self.forgotten_next = old.forgotten_next;
            if leaving == Leaving::Open {
                self.keep_leaving(old, room, now);
            }
        }
        for at in (0..self.in_use).chain(self.in_use + 1..count).chain([self.in_use]) {
            self.fill_chain(at, spans[at], old.map(|(old, _)| old));
        }
        if let Some((old, _)) = old {
            self.remember_what_is_missing(old);
        }
        self.due = self.next_change(now);
    }

    /// Which epochs of a chain are wanted at `now`.
    fn span(&mut self, at: usize, old: Option<&Ring>, now: u64) -> Span {
        let tip = &self.tips.members()[at];
        let epochs = tip.schedule.epoch;
        let known = old.and_then(|old| Some(old.current[old.tips.position(tip.id)?]));
        let current = epochs.epoch_at(now).max(known.unwrap_or_else(|| tip.chain.epoch()));
        self.current[at] = current;
        let (mut from, mut to) = (tip.schedule.oldest(current), current.saturating_add(1));
        if at > 0 {
            // Nobody has sealed under it before its time, but those who are ahead. A moment that no clock will see is no
            // reason to walk there.
            let first = epochs.epoch_at(tip.sealing_from.min(now.saturating_add(FAR_AHEAD)));
            (from, to) = (from.max(first.saturating_sub(1)), to.max(first.saturating_add(1)));
        }
        // What begins when it opens nothing any more is of no use.
        if tip.opening_until != NO_END {
            to = to.min(epochs.epoch_at(tip.opening_until.saturating_sub(1))).max(from);
        }
        Span { from, to, room: 0 }
    }

    /// Copies what `old` has of the epochs in `span`, and derives what comes after.
    fn fill_chain(&mut self, at: usize, span: Span, old: Option<&Ring>) {
        if span.room == 0 {
            return;
        }
        let tip = &mut self.tips.members_mut()[at];
        let schedule = tip.schedule;
        let until = tip.opening_until;
        let mut slots = self.slots[self.used..].iter_mut();
        let mut made = 0;
        let mut put = |epoch: u64, fill: &mut dyn FnMut(&mut EpochKeys)| {
            let Some(place) = slots.next().filter(|_| made < span.room) else { return };
            let end = schedule.end_of(epoch).min(until);
            fill(&mut place.insert(Slot { keys: EpochKeys::ZERO, epoch, end, chain: at as u8 }).keys);
            made += 1;
        };
        let theirs = old.and_then(|old| Some((old, old.tips.position(tip.id)?)));
        if let Some((old, theirs)) = theirs {
            let wanted =
                |slot: &&Slot| usize::from(slot.chain) == theirs && (span.from..=span.to).contains(&slot.epoch);
            old.live().filter(wanted).for_each(|slot| put(slot.epoch, &mut |keys| keys.clone_from(&slot.keys)));
        }
        tip.chain.advance_to(span.from);
        while tip.chain.epoch() <= span.to {
            let epoch = tip.chain.epoch();
            put(epoch, &mut |keys| keys.set_from_link(tip.chain.link()));
            let Some(next) = epoch.checked_add(1) else { break };
            tip.chain.advance_to(next);
        }
        self.used += made;
    }

    /// Copies the slots of `old` whose chain is not here and that still open, as many of the newest as there is room for.
    fn keep_leaving(&mut self, old: &Ring, room: usize, now: u64) {
        let tips = &self.tips;
        let leaves = |slot: &&Slot| {
            let chain = old.tips.members().get(usize::from(slot.chain));
            now < slot.end && chain.is_none_or(|chain| tips.position(chain.id).is_none())
        };
        // In place, without memory of the heap: there may be none, and keys have to be rotated all the same.
        let too_many = old.live().filter(leaves).count().saturating_sub(room);
        let mut made = 0;
        for (place, slot) in self.slots.iter_mut().zip(old.live().filter(leaves).skip(too_many)) {
            let copy = Slot { keys: EpochKeys::ZERO, epoch: slot.epoch, end: slot.end, chain: NO_CHAIN };
            place.insert(copy).keys.clone_from(&slot.keys);
            made += 1;
        }
        self.used = made;
    }

    fn remember_what_is_missing(&mut self, old: &Ring) {
        for slot in old.live() {
            if !self.live().any(|kept| kept.keys.name == slot.keys.name) {
                self.forgotten[self.forgotten_next] = Some(slot.keys.name);
                self.forgotten_next = (self.forgotten_next + 1) % REMEMBERED;
            }
        }
    }

    fn next_change(&self, now: u64) -> u64 {
        let tips = self.tips.members();
        let next_epochs =
            tips.iter().zip(self.current).map(|(tip, now)| tip.schedule.epoch.start_of(now.saturating_add(1)));
        let uses = tips.iter().skip(1).map(|tip| tip.sealing_from);
        let ends = tips.iter().map(|tip| tip.opening_until);
        let of_none = self.live().filter(|slot| slot.chain == NO_CHAIN).map(|slot| slot.end);
        next_epochs.chain(uses).chain(ends).chain(of_none).filter(|time| *time > now).fold(u64::MAX, u64::min)
    }
}

/// Of a ring without a chain.
const NO_SCHEDULE: Schedule = Schedule::new(EpochLength::new(1).expect("1 is not 0"), 0);

impl Drop for Ring {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl Zeroize for Ring {
    fn zeroize(&mut self) {
        self.tips.zeroize();
        for slot in self.slots.iter_mut().flatten() {
            slot.keys.zeroize();
        }
        self.used = 0;
    }
}

#[cfg(test)]
mod tests;

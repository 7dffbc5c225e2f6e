//! Up to three chains and when each is in use: what a state file holds, and what everybody who shares keys agrees on.
//!
//! A keyring has a **generation**, which grows by one with each chain that is announced or replaced, and never goes back.
//! A chain is announced before it is used: readers open under it at once and seal under it from a moment on that is the
//! same for all. The chain before it opens until no ticket of it can be left.

use core::fmt;

use zeroize::Zeroize;

use crate::derive::Secret;
use crate::ratchet::{Chain, EpochLength};
use crate::ring::Schedule;

/// Most chains in a keyring: one in use, the one before it, and one that is announced.
pub const MAX_CHAINS: usize = 3;
/// Of a chain that no other has been announced for: it opens for as long as it is in use.
pub const NO_END: u64 = u64::MAX;
/// How many epochs a chain may be ahead of a clock that is right: one for the clock's error, one for the other host's.
pub const EPOCHS_AHEAD: u64 = 2;

/// Tells one chain from another, in files, logs and on other hosts. Public.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ChainId(pub [u8; 16]);

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A chain of a keyring, and when it is in use. Times are Unix seconds.
pub struct Member {
    /// Which chain it is.
    pub id: ChainId,
    /// When its keys change and how long they open.
    pub schedule: Schedule,
    /// Tickets are sealed under it from this moment on. Of no account in the oldest chain of a keyring.
    pub sealing_from: u64,
    /// It opens nothing from this moment on; [`NO_END`] in the newest chain of a keyring.
    pub opening_until: u64,
    /// The chain itself.
    pub chain: Chain,
}

impl Member {
    const BLANK: Self = Self {
        id: ChainId([0; 16]),
        schedule: Schedule::new(EpochLength::new(1).expect("1 is not 0"), 0),
        sealing_from: 0,
        opening_until: NO_END,
        chain: Chain::ZERO,
    };

    /// Takes over what `other` holds, in place.
    pub fn copy_from(&mut self, other: &Self) {
        self.id = other.id;
        self.schedule = other.schedule;
        self.sealing_from = other.sealing_from;
        self.opening_until = other.opening_until;
        self.chain.clone_from(&other.chain);
    }

    /// The oldest epoch that opens at `now`.
    pub fn oldest_at(&self, now: u64) -> u64 {
        self.schedule.oldest(self.schedule.epoch.epoch_at(now))
    }

    /// By how many seconds the epoch that it stands at begins after all that a clock at `now` can explain; 0 if it does not.
    pub fn ahead_of(&self, now: u64) -> u64 {
        let explained = self.schedule.epoch.epoch_at(now).saturating_add(EPOCHS_AHEAD);
        if self.chain.epoch() > explained {
            self.schedule.epoch.start_of(self.chain.epoch()).saturating_sub(now)
        } else {
            0
        }
    }
}

/// Two keyrings, as seen from the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relation {
    /// The same chains.
    Same,
    /// The second has the higher generation.
    Newer,
    /// The second has the lower generation.
    Older,
    /// The same generation, other chains: two were announced without knowing of each other.
    Conflict,
}

/// What an announcement did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announced {
    /// A chain that was announced before and not used yet, which the new one takes the place of.
    pub instead_of: Option<ChainId>,
    /// When the chain that is in use now opens nothing any more, in Unix seconds.
    pub old_opens_until: u64,
}

/// An announcement that cannot be made yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotBefore(pub u64);

/// See the module.
pub struct Keyring {
    generation: u64,
    len: usize,
    members: [Member; MAX_CHAINS],
}

impl Keyring {
    /// Without a chain: the place for one.
    pub const fn empty() -> Self {
        Self { generation: 0, len: 0, members: [Member::BLANK; MAX_CHAINS] }
    }

    /// How many chains have been announced or replaced on the way here. 1 for the first; 0 for an empty keyring.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Erases all chains, and sets the generation.
    pub fn clear(&mut self, generation: u64) {
        self.zeroize();
        self.generation = generation;
    }

    /// Takes over what `other` holds, in place.
    pub fn copy_from(&mut self, other: &Self) {
        self.clear(other.generation);
        for member in other.members() {
            if let Some(place) = self.add() {
                place.copy_from(member);
            }
        }
    }

    /// The place for one more chain, blank; `None` if it is full.
    pub fn add(&mut self) -> Option<&mut Member> {
        let place = self.members.get_mut(self.len)?;
        self.len += 1;
        Some(place)
    }

    /// The chains, the oldest first.
    pub fn members(&self) -> &[Member] {
        self.members.get(..self.len).unwrap_or_default()
    }

    /// The same, to be changed.
    pub fn members_mut(&mut self) -> &mut [Member] {
        self.members.get_mut(..self.len).unwrap_or_default()
    }

    /// Where a chain is in [`Keyring::members`].
    pub fn position(&self, id: ChainId) -> Option<usize> {
        self.members().iter().position(|member| member.id == id)
    }

    /// Where the chain is that tickets are sealed under at `now`: the newest whose time has come. After a step of the clock
    /// behind all of them it is the oldest.
    pub fn sealing_at(&self, now: u64) -> usize {
        self.members().iter().rposition(|member| member.sealing_from <= now).unwrap_or(0)
    }

    /// That chain; `None` in an empty keyring.
    pub fn sealing(&self, now: u64) -> Option<&Member> {
        self.members().get(self.sealing_at(now))
    }

    /// Whether a part of it is a value that no honest source gives ([`Secret::is_weak`]).
    pub fn is_weak(&self) -> bool {
        self.members().is_empty() || self.members().iter().any(|member| member.chain.is_weak())
    }

    /// Whether the chains are in the order of their use, and the newest has no end.
    pub fn is_in_order(&self) -> bool {
        let ends = |member: &Member| member.opening_until != NO_END;
        let [older @ .., newest] = self.members() else { return false };
        let ascend = |pair: &[Member]| pair[0].sealing_from < pair[1].sealing_from && pair[0].id != pair[1].id;
        self.generation > 0
            && !ends(newest)
            && older.iter().all(ends)
            && self.members().windows(2).all(ascend)
            && older.iter().all(|member| member.id != newest.id)
    }

    /// Erases the chains that open nothing any more at `now`. The chain in use and what comes after it stay.
    pub fn drop_ended(&mut self, now: u64) -> bool {
        let before = self.len;
        while self.len > 1 && self.members[0].opening_until <= now && self.sealing_at(now) > 0 {
            self.members[..self.len].rotate_left(1);
            self.len -= 1;
            self.members[self.len].zeroize();
        }
        self.len < before
    }

    /// Adds a chain that is sealed under from `use_at` on (Unix seconds), which must lie ahead of `now`: `fill` puts id,
    /// schedule and chain in place. An announced chain whose use is more than an epoch away makes room for it.
    ///
    /// # Errors
    /// [`NotBefore`]: a chain that was announced before is too close to its use, or there are three that open.
    pub fn announce(&mut self, use_at: u64, now: u64, fill: impl FnOnce(&mut Member)) -> Result<Announced, NotBefore> {
        self.drop_ended(now);
        let newest = self.len.saturating_sub(1);
        let mut instead_of = None;
        if let Some(waiting) = self.members().get(newest).filter(|_| newest > self.sealing_at(now)) {
            let last_moment = waiting.sealing_from.saturating_sub(waiting.schedule.epoch.seconds());
            if now >= last_moment {
                return Err(NotBefore(waiting.sealing_from));
            }
            instead_of = Some(waiting.id);
            self.members[newest].zeroize();
            self.len = newest;
        }
        if self.len == MAX_CHAINS {
            return Err(NotBefore(self.members[0].opening_until));
        }
        let mut old_opens_until = 0;
        if let Some(before) = self.members_mut().last_mut() {
            let window = before.schedule.accept().saturating_add(before.schedule.epoch.seconds());
            before.opening_until = use_at.saturating_add(window).min(NO_END - 1);
            // A clock that was set back: what is in use stays in use.
            before.sealing_from = before.sealing_from.min(now);
            old_opens_until = before.opening_until;
        }
        self.generation = self.generation.saturating_add(1);
        if let Some(place) = self.add() {
            fill(place);
            place.sealing_from = use_at;
            place.opening_until = NO_END;
        }
        Ok(Announced { instead_of, old_opens_until })
    }

    /// How `other` stands to this one. Chains that have ended are erased at one time here and at another there, so the
    /// older chains of one may be missing in the other.
    pub fn relation(&self, other: &Self) -> Relation {
        match other.generation.cmp(&self.generation) {
            core::cmp::Ordering::Less => Relation::Older,
            core::cmp::Ordering::Greater => Relation::Newer,
            core::cmp::Ordering::Equal => {
                let mut newest_first = self.members().iter().rev().zip(other.members().iter().rev());
                let same = |(a, b): (&Member, &Member)| {
                    let times = |m: &Member| (m.id, m.schedule, m.opening_until);
                    times(a) == times(b)
                };
                if newest_first.all(same) { Relation::Same } else { Relation::Conflict }
            }
        }
    }

    /// Takes from `other`, which has the same chains ([`Relation::Same`]), what is further: epochs, and that a chain has
    /// gone. Whether anything has changed.
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut changed = false;
        while self.len > other.len && other.len > 0 {
            self.members[..self.len].rotate_left(1);
            self.len -= 1;
            self.members[self.len].zeroize();
            changed = true;
        }
        for member in self.members_mut() {
            let theirs = other.members().iter().find(|theirs| theirs.id == member.id);
            if let Some(theirs) = theirs.filter(|theirs| theirs.chain.epoch() > member.chain.epoch()) {
                member.chain.clone_from(&theirs.chain);
                changed = true;
            }
        }
        changed
    }

    /// A keyring of the first generation with the chain that a seed stands for.
    pub fn from_seed(seed: &Secret, id: ChainId, schedule: Schedule, epoch: u64) -> Self {
        Self::from_chain(&Chain::from_seed(seed, epoch), id, schedule)
    }

    /// A keyring of the first generation with that chain.
    pub fn from_chain(chain: &Chain, id: ChainId, schedule: Schedule) -> Self {
        let mut keyring = Self::empty();
        keyring.clear(1);
        if let Some(member) = keyring.add() {
            member.id = id;
            member.schedule = schedule;
            member.chain.clone_from(chain);
        }
        keyring
    }
}

impl Zeroize for Member {
    fn zeroize(&mut self) {
        self.chain.fill(0, |link, next_era| {
            link.zeroize();
            next_era.zeroize();
        });
        self.id = ChainId([0; 16]);
        self.schedule = Self::BLANK.schedule;
        (self.sealing_from, self.opening_until) = (0, NO_END);
    }
}

impl Zeroize for Keyring {
    fn zeroize(&mut self) {
        self.members.iter_mut().for_each(Zeroize::zeroize);
        (self.generation, self.len) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const NOW: u64 = 1_800_000_000;

    fn schedule() -> Schedule {
        Schedule::new(EpochLength::new(HOUR as u32).unwrap(), 12 * HOUR)
    }

    fn fill(seed: u8) -> impl FnOnce(&mut Member) {
        move |member| {
            member.id = ChainId([seed; 16]);
            member.schedule = schedule();
            member.chain = Chain::from_seed(&Secret::new([seed; 32]), NOW / HOUR);
        }
    }

    fn first() -> Keyring {
        Keyring::from_seed(&Secret::new([1; 32]), ChainId([1; 16]), schedule(), NOW / HOUR)
    }

    fn copy(of: &Keyring) -> Keyring {
        let mut copy = Keyring::empty();
        copy.copy_from(of);
        copy
    }

    fn ids(keyring: &Keyring) -> Vec<u8> {
        keyring.members().iter().map(|member| member.id.0[0]).collect()
    }

    #[test]
    fn an_announced_chain_is_used_from_its_moment_on() {
        let mut keyring = first();
        let use_at = NOW + 2 * HOUR;
        let announced = keyring.announce(use_at, NOW, fill(2)).unwrap();
        assert_eq!((announced.instead_of, announced.old_opens_until), (None, use_at + 13 * HOUR));
        assert_eq!((keyring.generation(), keyring.is_in_order()), (2, true));
        assert_eq!([use_at - 1, use_at, 0].map(|now| keyring.sealing_at(now)), [0, 1, 0]);
        assert!(!keyring.drop_ended(use_at + 13 * HOUR - 1) && keyring.drop_ended(use_at + 13 * HOUR));
        assert_eq!((ids(&keyring), keyring.generation()), (vec![2], 2), "what has ended is no new generation");
        assert!(!keyring.drop_ended(u64::MAX), "one stays");
    }

    #[test]
    fn an_announcement_may_be_replaced_until_one_epoch_before_its_use() {
        let mut keyring = first();
        let use_at = NOW + 5 * HOUR;
        keyring.announce(use_at, NOW, fill(2)).unwrap();
        assert_eq!(copy(&keyring).announce(use_at + HOUR, use_at - HOUR, fill(3)), Err(NotBefore(use_at)));
        let other = keyring.announce(use_at + HOUR, use_at - HOUR - 1, fill(3)).unwrap();
        assert_eq!((other.instead_of, other.old_opens_until), (Some(ChainId([2; 16])), use_at + 14 * HOUR));
        assert_eq!((ids(&keyring), keyring.generation()), (vec![1, 3], 3));
    }

    #[test]
    fn of_four_chains_the_first_has_to_end_before() {
        let mut keyring = first();
        keyring.announce(NOW + HOUR, NOW, fill(2)).unwrap();
        keyring.announce(NOW + 3 * HOUR, NOW + HOUR, fill(3)).unwrap();
        let at = NOW + 4 * HOUR;
        assert_eq!(keyring.announce(at + HOUR, at, fill(4)), Err(NotBefore(NOW + 14 * HOUR)));
        assert_eq!((ids(&keyring), keyring.generation()), (vec![1, 2, 3], 3), "nothing has changed");
        keyring.announce(NOW + 16 * HOUR, NOW + 14 * HOUR, fill(4)).unwrap();
        assert_eq!((ids(&keyring), keyring.generation(), keyring.is_in_order()), (vec![2, 3, 4], 4, true));
    }

    #[test]
    fn generations_decide_and_chains_that_ended_do_not_matter() {
        let mut here = first();
        here.announce(NOW + HOUR, NOW, fill(2)).unwrap();
        let mut there = copy(&here);
        assert_eq!(here.relation(&there), Relation::Same);
        assert_eq!((here.relation(&first()), first().relation(&here)), (Relation::Older, Relation::Newer));
        assert!(there.drop_ended(NOW + 30 * HOUR));
        assert_eq!((here.relation(&there), there.relation(&here)), (Relation::Same, Relation::Same));
        let mut other = first();
        other.announce(NOW + HOUR, NOW, fill(3)).unwrap();
        assert_eq!(here.relation(&other), Relation::Conflict);
        // The same chain, for another moment: both cannot be right.
        let mut later = first();
        later.announce(NOW + 2 * HOUR, NOW, fill(2)).unwrap();
        assert_eq!(here.relation(&later), Relation::Conflict);
    }

    #[test]
    fn merging_keeps_what_is_further_and_brings_nothing_back() {
        let mut here = first();
        here.announce(NOW + HOUR, NOW, fill(2)).unwrap();
        let mut there = copy(&here);
        there.members_mut()[1].chain.advance_to(NOW / HOUR + 5);
        here.members_mut()[0].chain.advance_to(NOW / HOUR + 3);
        assert!(here.merge(&there) && !here.merge(&there));
        let epochs: Vec<u64> = here.members().iter().map(|member| member.chain.epoch() - NOW / HOUR).collect();
        assert_eq!(epochs, [3, 5]);
        there.drop_ended(NOW + 30 * HOUR);
        assert!(!there.merge(&here), "an erased chain does not come back");
        assert!(here.merge(&there) && ids(&here) == [2]);
    }

    #[test]
    fn what_is_out_of_order_is_seen() {
        let two = || {
            let mut keyring = first();
            keyring.announce(NOW + HOUR, NOW, fill(2)).unwrap();
            keyring
        };
        type Change = fn(&mut Keyring);
        let changes: [Change; 6] = [
            |k| k.generation = 0,
            |k| k.len = 0,
            |k| k.members[1].opening_until = NOW,
            |k| k.members[0].opening_until = NO_END,
            |k| k.members[1].sealing_from = 0,
            |k| k.members[1].id = k.members[0].id,
        ];
        assert!(two().is_in_order() && first().is_in_order() && !Keyring::empty().is_in_order());
        for (at, change) in changes.iter().enumerate() {
            let mut keyring = two();
            change(&mut keyring);
            assert!(!keyring.is_in_order(), "change {at}");
        }
    }

    #[test]
    fn a_clock_explains_two_epochs() {
        let keyring = first();
        let member = &keyring.members()[0];
        assert_eq!([0, 2 * HOUR].map(|back| member.ahead_of(NOW - back)), [0, 0]);
        assert_eq!(member.ahead_of(NOW / HOUR * HOUR - 3 * HOUR), 3 * HOUR);
    }
}

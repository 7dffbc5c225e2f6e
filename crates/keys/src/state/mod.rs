//! The state file: how hosts, restarts and workers come by the same keys.
//!
//! This module is what `ticketshim state` is made of; [`crate::store`] uses the parts below it. A state file holds a
//! [`Keyring`] whose chains stand at the oldest epoch that still opens, so whoever reads it (or steals it) opens the tickets
//! of the accept window and nothing older. `docs/state-file.md` describes it.

mod change;
mod format;
mod read;
mod refusal;
mod way;
mod write;

use std::ops::Deref;
use std::path::Path;

use sha2::{Digest, Sha256};
use ticketshim_core::derive::Secret;
use ticketshim_core::erase::erasing;
use ticketshim_core::format::KeyName;
use ticketshim_core::keyring::{Member, NO_END};
use ticketshim_core::ring::{Ring, Schedule};

pub use change::{Access, Put, advance, announce, create, put, reseed_now};
pub use format::{LEN, MAGIC, VERSION};
pub use refusal::Refusal;
pub use ticketshim_core::keyring::{Announced, ChainId, Keyring, Relation};

pub(crate) use change::advance_with;
pub(crate) use read::{Identity, Reader, look, read as read_contents};
pub(crate) use write::{Writer, create_now};

use crate::memory::Locked;
use crate::{random, sys};

/// An advance over more than this is not written: it is the mark of a wrong clock, and a file cannot go back.
const FAR_AHEAD: u64 = 366 * 86_400;
/// No clock that shows an earlier time is right (2025-01-01): a machine without a battery starts in 1970. A file that
/// was made by such a clock may be advanced as far as it takes.
const NO_EARLIER: u64 = 1_735_689_600;

/// Whether a clock that shows `time` (Unix seconds) can be right.
pub(crate) fn is_plausible(time: u64) -> bool {
    time >= NO_EARLIER
}

/// What a state file holds. Its secrets never leave it but to a file.
pub struct State(pub(crate) Locked<Keyring>);

/// A ring outside of a server: for looking at tickets.
pub struct LockedRing(Locked<Ring>);

impl Deref for LockedRing {
    type Target = Ring;

    fn deref(&self) -> &Ring {
        &self.0
    }
}

/// One epoch's key, without the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyTimes {
    /// Its chain.
    pub chain: ChainId,
    /// Its public name, which begins its tickets.
    pub name: KeyName,
    /// The epoch.
    pub epoch: u64,
    /// When tickets are first sealed under it, in Unix seconds, if its chain is in use then.
    pub begins: u64,
    /// When it opens nothing any more, in Unix seconds.
    pub ends: u64,
    /// Whether tickets are sealed under it now.
    pub seals: bool,
}

/// One chain of a state file, without its secrets. Times are Unix seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainTimes {
    /// Which chain it is.
    pub id: ChainId,
    /// When its keys change and how long they open.
    pub schedule: Schedule,
    /// The epoch it stands at: nothing before it can be derived.
    pub epoch: u64,
    /// When tickets are first sealed under it.
    pub sealing_from: u64,
    /// When it opens nothing any more; `None` while no other chain has been announced.
    pub opening_until: Option<u64>,
    /// Whether tickets are sealed under it now.
    pub in_use: bool,
    /// By how many seconds it is ahead of all that this clock can explain, 0 if it is not.
    pub ahead: u64,
}

/// Who can read a state file by its owner and mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Readers {
    /// Its owner, who can read and write it.
    pub owner: u32,
    /// A group whose members can read it.
    pub group: Option<u32>,
    /// Its mode, permission bits only.
    pub mode: u32,
}

/// What an advance came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advanced {
    /// The file stood at the oldest epoch that still opens, or beyond.
    Current,
    /// The file was advanced; from which epoch to which (of the chain in use).
    From(u64, u64),
}

impl State {
    /// A new chain. Its first epoch is the one of `now` (Unix seconds).
    ///
    /// # Errors
    /// [`Refusal::NoRandomness`], [`Refusal::NoMemory`].
    pub fn random(schedule: Schedule, now: u64) -> Result<Self, Refusal> {
        let mut keyring = Locked::new(Keyring::empty()).ok_or(Refusal::NoMemory)?;
        if draw(&mut keyring, schedule, now) { Ok(Self(keyring)) } else { Err(Refusal::NoRandomness) }
    }

    /// The chain that a seed stands for, at `now` (Unix seconds). Whoever is given the same seed and schedule has the
    /// same chain, under the same id. Where the seed is kept there is no forward secrecy.
    ///
    /// # Errors
    /// [`Refusal::Weak`], [`Refusal::NoMemory`].
    pub fn from_seed(seed: &Secret, schedule: Schedule, now: u64) -> Result<Self, Refusal> {
        if seed.is_weak() {
            return Err(Refusal::Weak);
        }
        let mut keyring = Locked::new(Keyring::empty()).ok_or(Refusal::NoMemory)?;
        let mut id = ChainId([0; 16]);
        erasing(|| {
            let mut hash = Sha256::new_with_prefix(b"ticketshim v1 chain id");
            hash.update(seed.expose());
            hash.update(schedule.epoch.seconds().to_be_bytes());
            hash.update(schedule.accept().to_be_bytes());
            id.0.copy_from_slice(&hash.finalize()[..16]);
        });
        let epoch = schedule.oldest(schedule.epoch.epoch_at(now));
        erasing(|| keyring.copy_from(&Keyring::from_seed(seed, id, schedule, epoch)));
        Ok(Self(keyring))
    }

    /// The state that the bytes of a state file hold, as a secret manager hands them over.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refusal> {
        format::decode(bytes).map(Self)
    }

    /// How many chains have been announced or replaced on the way here; 1 for the first.
    pub fn generation(&self) -> u64 {
        self.0.generation()
    }

    /// The chain that tickets are sealed under at `now` (Unix seconds).
    pub fn in_use(&self, now: u64) -> ChainTimes {
        let all = self.chains(now);
        // A state file has a chain (`format`).
        all[all.iter().position(|chain| chain.in_use).unwrap_or_default()]
    }

    /// All its chains at `now` (Unix seconds), the oldest first.
    pub fn chains(&self, now: u64) -> Vec<ChainTimes> {
        let in_use = self.0.sealing_at(now);
        let times = |(at, member): (usize, &Member)| ChainTimes {
            id: member.id,
            schedule: member.schedule,
            epoch: member.chain.epoch(),
            sealing_from: member.sealing_from,
            opening_until: (member.opening_until != NO_END).then_some(member.opening_until),
            in_use: at == in_use,
            ahead: member.ahead_of(now),
        };
        self.0.members().iter().enumerate().map(times).collect()
    }

    /// By how many seconds it is ahead of all that a clock at `now` (Unix seconds) can explain; 0 if it is not. Whoever
    /// uses it seals under one key until the clock gets there.
    pub fn ahead(&self, now: u64) -> u64 {
        ahead(&self.0, now)
    }

    /// How another one stands to this one.
    pub fn relation(&self, other: &Self) -> Relation {
        self.0.relation(&other.0)
    }

    /// The keys at `now` (Unix seconds).
    ///
    /// # Errors
    /// [`Refusal::NoMemory`].
    pub fn ring(&self, now: u64) -> Result<LockedRing, Refusal> {
        let mut ring = Locked::new(Ring::empty()).ok_or(Refusal::NoMemory)?;
        ring.start(&self.0, now);
        Ok(LockedRing(ring))
    }

    /// The names and times of the keys at `now` (Unix seconds): of each chain the oldest first, the chain in use last.
    ///
    /// # Errors
    /// [`Refusal::NoMemory`].
    pub fn keys(&self, now: u64) -> Result<Vec<KeyTimes>, Refusal> {
        let ring = self.ring(now)?;
        let sealing = ring.sealing(now).map(|keys| keys.name);
        let times = |key: ticketshim_core::ring::EpochTimes| {
            let member = &self.0.members()[self.0.position(key.chain?)?];
            let begins = member.schedule.epoch.start_of(key.epoch);
            let (name, seals) = (key.name, sealing == Some(key.name));
            Some(KeyTimes { chain: member.id, name, epoch: key.epoch, begins, ends: key.end, seals })
        };
        Ok(ring.epochs().filter_map(times).collect())
    }
}

/// Makes it a keyring of one new chain that begins at `now`; false if the system has no randomness for us.
pub(crate) fn draw(keyring: &mut Keyring, schedule: Schedule, now: u64) -> bool {
    keyring.clear(1);
    let Some(member) = keyring.add() else { return false };
    member.schedule = schedule;
    let epoch = schedule.epoch.epoch_at(now);
    let drawn = member.chain.fill(epoch, |link, next_era| random::fill(link) && random::fill(next_era));
    drawn && random::fill(&mut member.id.0)
}

/// By how many seconds a keyring is ahead of all that a clock at `now` can explain.
pub(crate) fn ahead(keyring: &Keyring, now: u64) -> u64 {
    keyring.members().iter().map(|member| member.ahead_of(now)).max().unwrap_or_default()
}

/// Whether a file should be advanced; or why it must not be brought there.
pub(crate) fn advance_due(keyring: &Keyring, now: u64) -> Result<bool, Refusal> {
    let mut due =
        keyring.members().len() > 1 && keyring.members()[0].opening_until <= now && keyring.sealing_at(now) > 0;
    for member in keyring.members() {
        let target = member.oldest_at(now);
        if target <= member.chain.epoch() {
            continue;
        }
        due = true;
        let from = member.schedule.epoch.start_of(member.chain.epoch());
        let ahead = member.schedule.epoch.start_of(target).saturating_sub(from);
        if ahead > FAR_AHEAD && is_plausible(from) {
            return Err(Refusal::FarAhead(u32::try_from(ahead / 86_400).unwrap_or(u32::MAX)));
        }
    }
    Ok(due)
}

/// Reads a state file, for somebody who looks at it: root may read any user's.
///
/// # Errors
/// Why it is refused.
pub fn read(path: &Path) -> Result<State, Refusal> {
    sys::as_a_guest(|| read::read(path, Reader::Tool)).map(|(keyring, _)| State(keyring))
}

/// Reads a state file as a server of this process's user would.
///
/// # Errors
/// Why it is refused.
pub fn read_as_server(path: &Path) -> Result<State, Refusal> {
    sys::as_a_guest(|| read::read(path, Reader::Server)).map(|(keyring, _)| State(keyring))
}

/// Who can read the file at `path`, by its owner and mode.
///
/// # Errors
/// Why it cannot be looked at.
pub fn readers(path: &Path) -> Result<Readers, Refusal> {
    let stat = sys::as_a_guest(|| look(path))?;
    let mode = stat.st_mode & 0o7777;
    Ok(Readers { owner: stat.st_uid, group: (mode & 0o040 != 0).then_some(stat.st_gid), mode })
}

/// The directory that a file is in.
pub(crate) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}

#[cfg(test)]
mod tests;

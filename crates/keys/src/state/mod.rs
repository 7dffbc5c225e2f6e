//! The state file: how hosts, restarts and workers come by the same keys.
//!
//! This module is what `ticketshim state` is made of; [`crate::store`] uses the parts below it. A state file holds the
//! chain at the oldest epoch that still opens, so whoever reads it (or steals it) opens the tickets of the accept
//! window and nothing older. `docs/state-file.md` describes it.

mod format;
mod read;
mod refusal;
mod write;

use std::ops::Deref;
use std::path::Path;

use sha2::{Digest, Sha256};
use ticketshim_core::derive::Secret;
use ticketshim_core::erase::erasing;
use ticketshim_core::format::KeyName;
use ticketshim_core::ratchet::Chain;
use ticketshim_core::ring::{Ring, Schedule};

pub use format::{ChainId, LEN, MAGIC, VERSION};
pub use refusal::Refusal;

pub(crate) use format::Contents;
pub(crate) use read::{Identity, look, read as read_contents};
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
pub struct State(pub(crate) Locked<Contents>);

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
    /// Its public name, which begins its tickets.
    pub name: KeyName,
    /// The epoch.
    pub epoch: u64,
    /// When tickets are first sealed under it, in Unix seconds.
    pub begins: u64,
    /// When it opens nothing any more, in Unix seconds.
    pub ends: u64,
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
    /// The file was advanced; from which epoch to which.
    From(u64, u64),
}

impl State {
    /// A new chain. Its first epoch is the one of `now` (Unix seconds).
    ///
    /// # Errors
    /// [`Refusal::NoRandomness`], [`Refusal::NoMemory`].
    pub fn random(schedule: Schedule, now: u64) -> Result<Self, Refusal> {
        let mut state = Self::blank(schedule)?;
        if state.0.draw(now) { Ok(state) } else { Err(Refusal::NoRandomness) }
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
        let mut state = Self::blank(schedule)?;
        let contents = &mut *state.0;
        erasing(|| contents.chain.clone_from(&Chain::from_seed(seed, schedule.oldest(schedule.epoch.epoch_at(now)))));
        erasing(|| {
            let mut hash = Sha256::new_with_prefix(b"ticketshim v1 chain id");
            hash.update(seed.expose());
            hash.update(schedule.epoch.seconds().to_be_bytes());
            hash.update(schedule.accept().to_be_bytes());
            contents.id.0.copy_from_slice(&hash.finalize()[..16]);
        });
        Ok(state)
    }

    /// The state that the bytes of a state file hold, as a secret manager hands them over.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refusal> {
        format::decode(bytes).map(Self)
    }

    /// Which chain it is.
    pub fn id(&self) -> ChainId {
        self.0.id
    }

    /// When keys change and how long they open.
    pub fn schedule(&self) -> Schedule {
        self.0.schedule
    }

    /// The epoch it stands at: nothing before it can be derived from it.
    pub fn epoch(&self) -> u64 {
        self.0.chain.epoch()
    }

    /// The keys at `now` (Unix seconds).
    ///
    /// # Errors
    /// [`Refusal::NoMemory`].
    pub fn ring(&self, now: u64) -> Result<LockedRing, Refusal> {
        let mut ring = Locked::new(Ring::empty(self.0.schedule)).ok_or(Refusal::NoMemory)?;
        ring.start(&self.0.chain, now);
        Ok(LockedRing(ring))
    }

    /// The names and times of the keys at `now` (Unix seconds), oldest first.
    ///
    /// # Errors
    /// [`Refusal::NoMemory`].
    pub fn keys(&self, now: u64) -> Result<Vec<KeyTimes>, Refusal> {
        let starts = |epoch| self.0.schedule.epoch.start_of(epoch);
        let times = |(epoch, name, ends, _)| KeyTimes { name, epoch, begins: starts(epoch), ends };
        Ok(self.ring(now)?.epochs().map(times).collect())
    }

    fn blank(schedule: Schedule) -> Result<Self, Refusal> {
        Locked::new(Contents::blank(schedule)).map(Self).ok_or(Refusal::NoMemory)
    }
}

impl Contents {
    /// Makes it a new chain that begins at `now`; false if the system has no randomness for us.
    pub(crate) fn draw(&mut self, now: u64) -> bool {
        let epoch = self.schedule.epoch.epoch_at(now);
        let drawn = self.chain.fill(epoch, |link, next_era| random::fill(link) && random::fill(next_era));
        drawn && random::fill(&mut self.id.0)
    }

    /// The epoch that its chain should stand at, if that is further on; or why a file must not be brought there.
    pub(crate) fn advance_due(&self, now: u64) -> Result<Option<u64>, Refusal> {
        let target = self.schedule.oldest(self.schedule.epoch.epoch_at(now));
        if target <= self.chain.epoch() {
            return Ok(None);
        }
        let from = self.schedule.epoch.start_of(self.chain.epoch());
        let ahead = self.schedule.epoch.start_of(target).saturating_sub(from);
        if ahead > FAR_AHEAD && is_plausible(from) {
            return Err(Refusal::FarAhead(u32::try_from(ahead / 86_400).unwrap_or(u32::MAX)));
        }
        Ok(Some(target))
    }
}

/// Makes a state file where there is none, mode 0600.
///
/// # Errors
/// [`Refusal::Exists`], or why it could not be written.
pub fn create(path: &Path, state: &State) -> Result<(), Refusal> {
    sys::as_a_guest(|| match write::create(path, &state.0) {
        Err(Refusal::NotOurs(_)) => Err(Refusal::Exists),
        done => done,
    })
}

/// Reads a state file.
///
/// # Errors
/// Why it is refused.
pub fn read(path: &Path) -> Result<State, Refusal> {
    sys::as_a_guest(|| read::read(path)).map(|(contents, _)| State(contents))
}

/// Advances a state file to the oldest epoch that still opens at `now` (Unix seconds): what lies before it is erased.
/// `far` allows any distance.
///
/// # Errors
/// Why it is refused, or not written; [`Refusal::FarAhead`] if the clock looks wrong.
pub fn advance(path: &Path, now: u64, far: bool) -> Result<Advanced, Refusal> {
    sys::as_a_guest(|| advance_with(&writer_of(path)?, path, now, far))
}

/// The right to write a file that is there. What is wrong with the file itself comes first.
fn writer_of(path: &Path) -> Result<Writer<'_>, Refusal> {
    Writer::begin(path).map_err(|refusal| match read::read(path) {
        Err(first) if refusal != Refusal::NoDirectory && !first.is_damage() => first,
        _ => refusal,
    })
}

/// The same, with what `ticketshim state advance` need not have: the lock already.
pub(crate) fn advance_with(writer: &Writer<'_>, path: &Path, now: u64, far: bool) -> Result<Advanced, Refusal> {
    let (mut contents, _) = read::read(path)?;
    let due = match contents.advance_due(now) {
        Err(Refusal::FarAhead(_)) if far => Some(contents.schedule.oldest(contents.schedule.epoch.epoch_at(now))),
        other => other?,
    };
    let Some(target) = due else { return Ok(Advanced::Current) };
    let from = contents.chain.epoch();
    contents.chain.advance_to(target);
    writer.replace(&contents)?;
    Ok(Advanced::From(from, target))
}

/// Puts another chain in the place of a state file's. Running processes take it up, and open old tickets until their
/// window ends. A damaged state file can be replaced; a file of anything else, or one that others can reach, cannot.
///
/// # Errors
/// Why it is refused, or not written.
pub fn reseed(path: &Path, state: &State) -> Result<(), Refusal> {
    sys::as_a_guest(|| {
        let writer = writer_of(path)?;
        match read::read(path) {
            Ok(_) => {}
            Err(refusal) if refusal.is_damage() => {}
            Err(refusal) => return Err(refusal),
        }
        writer.replace(&state.0)
    })
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

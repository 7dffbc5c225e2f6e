//! Changing a state file. Each change is one write under the lock, and refused before anything is written.

use std::path::Path;

use ticketshim_core::keyring::{Announced, Keyring, Member, Relation};

use super::read::{self, Reader, look};
use super::write::{self, Like, Writer};
use super::{Advanced, Refusal, State, advance_due, ahead};
use crate::memory::Locked;
use crate::sys;

/// Who shall be able to read a state file. What is not said stays as it is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Access {
    /// The group that it belongs to.
    pub group: Option<u32>,
    /// Its mode, permission bits only.
    pub mode: Option<u32>,
}

/// What became of a keyring that was put in the place of a file's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// There was no file, or a damaged one.
    Made,
    /// It had a lower generation, this one.
    Taken(u64),
    /// It had the same chains, which stand further on now.
    Advanced,
    /// It had all of it; owner, group and mode are as they were asked for.
    Unchanged,
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

/// Advances a state file to the oldest epoch that still opens at `now` (Unix seconds): what lies before it is erased, and so
/// are chains that have ended. `far` allows any distance.
///
/// # Errors
/// Why it is refused, or not written; [`Refusal::FarAhead`] and [`Refusal::AheadOfClock`] if a clock looks wrong, this one
/// or that of the file.
pub fn advance(path: &Path, now: u64, far: bool) -> Result<Advanced, Refusal> {
    sys::as_a_guest(|| {
        let writer = writer_of(path)?;
        let done = advance_with(&writer, path, Reader::Tool, now, far)?;
        let (keyring, _) = read::read(path, Reader::Tool)?;
        explained(&keyring, now).map(|()| done)
    })
}

/// The same, with what `ticketshim state advance` need not have: the lock already.
pub(crate) fn advance_with(
    writer: &Writer<'_>,
    path: &Path,
    reader: Reader,
    now: u64,
    far: bool,
) -> Result<Advanced, Refusal> {
    let (mut keyring, _) = read::read(path, reader)?;
    let due = match advance_due(&keyring, now) {
        Err(Refusal::FarAhead(_)) if far => true,
        other => other?,
    };
    if !due {
        return Ok(Advanced::Current);
    }
    let in_use = |keyring: &Keyring| keyring.sealing(now).map_or(0, |member| member.chain.epoch());
    let from = in_use(&keyring);
    keyring.drop_ended(now);
    for member in keyring.members_mut() {
        let oldest = member.oldest_at(now);
        member.chain.advance_to(oldest);
    }
    writer.replace(&keyring)?;
    Ok(Advanced::From(from, in_use(&keyring)))
}

/// Adds the chain of `new` to a state file, to be used from `use_at` on (Unix seconds), which lies ahead of `now`.
///
/// # Errors
/// Why it is refused, or not written; [`Refusal::NotYet`] if another chain has to be used, or to end, before.
pub fn announce(path: &Path, new: &State, use_at: u64, now: u64) -> Result<Announced, Refusal> {
    sys::as_a_guest(|| {
        let writer = writer_of(path)?;
        let (mut keyring, _) = read::read(path, Reader::Tool)?;
        let member = new.0.members().first().ok_or(Refusal::Schedule)?;
        if keyring.position(member.id).is_some() {
            return Err(Refusal::Known);
        }
        let announced = keyring.announce(use_at, now, |place: &mut Member| place.copy_from(member));
        let announced =
            announced.map_err(|not_before| Refusal::NotYet(u32::try_from(not_before.0).unwrap_or(u32::MAX)))?;
        writer.replace(&keyring).map(|()| announced)
    })
}

/// Puts the chain of `new` in the place of all that a state file holds, at once: nothing that was sealed before opens. A
/// damaged state file can be replaced so; a file of anything else, or one that others can reach, cannot.
///
/// # Errors
/// Why it is refused, or not written.
pub fn reseed_now(path: &Path, new: &State, now: u64) -> Result<(), Refusal> {
    sys::as_a_guest(|| {
        let writer = writer_of(path)?;
        let generation = match read::read(path, Reader::Tool) {
            Ok((old, _)) => old.generation().saturating_add(1),
            // It cannot be told any more. What people count does not reach the seconds since 1970.
            Err(refusal) if refusal.is_damage() => now.max(2),
            Err(refusal) => return Err(refusal),
        };
        let mut keyring = Locked::new(Keyring::empty()).ok_or(Refusal::NoMemory)?;
        keyring.clear(generation);
        let (Some(place), Some(member)) = (keyring.add(), new.0.members().first()) else {
            return Err(Refusal::Schedule);
        };
        place.copy_from(member);
        writer.replace(&keyring)
    })
}

/// Brings a state file to what `given` holds, or makes it: the same result however often it is done. Never back.
///
/// # Errors
/// Why it is refused, or not written; the file is then what it was. [`Refusal::Older`], [`Refusal::Conflict`],
/// [`Refusal::AheadOfClock`] (unless `force`d) of what was given.
pub fn put(path: &Path, given: &State, access: Access, now: u64, force: bool) -> Result<Put, Refusal> {
    if !force {
        explained(&given.0, now)?;
    }
    sys::as_a_guest(|| {
        let (writer, old) = match Writer::begin(path) {
            Ok(writer) => (writer, look(path)),
            Err(refusal) => return Err(writer_of(path).err().unwrap_or(refusal)),
        };
        let old = match old {
            Ok(old) => old,
            Err(Refusal::Missing) => {
                let like = Like::new(access)?;
                return writer.create_like(&given.0, like).map(|()| Put::Made);
            }
            Err(refusal) => return Err(refusal),
        };
        let like = Like::of(&old).with(access)?;
        let mut keyring = match read::read(path, Reader::Tool) {
            Ok((keyring, _)) => keyring,
            Err(refusal) if refusal.is_damage() => return writer.replace_like(&given.0, like).map(|()| Put::Made),
            Err(refusal) => return Err(refusal),
        };
        let before = keyring.generation();
        match keyring.relation(&given.0) {
            Relation::Older => Err(Refusal::Older(u32::try_from(given.generation()).unwrap_or(u32::MAX))),
            Relation::Conflict => Err(Refusal::Conflict(u32::try_from(before).unwrap_or(u32::MAX))),
            Relation::Newer => writer.replace_like(&given.0, like).map(|()| Put::Taken(before)),
            Relation::Same => {
                let changed = keyring.merge(&given.0);
                if changed || like != Like::of(&old) {
                    writer.replace_like(&keyring, like)?;
                }
                Ok(if changed { Put::Advanced } else { Put::Unchanged })
            }
        }
    })
}

/// Whether a clock at `now` can be right, and the keyring too.
fn explained(keyring: &Keyring, now: u64) -> Result<(), Refusal> {
    match ahead(keyring, now) {
        0 => Ok(()),
        seconds => Err(Refusal::AheadOfClock(u32::try_from(seconds).unwrap_or(u32::MAX))),
    }
}

/// The right to write a file that is there. What is wrong with the file itself comes first.
fn writer_of(path: &Path) -> Result<Writer<'_>, Refusal> {
    Writer::begin(path).map_err(|refusal| match read::read(path, Reader::Tool) {
        Err(first) if refusal != Refusal::NoDirectory && !first.is_damage() => first,
        _ => refusal,
    })
}

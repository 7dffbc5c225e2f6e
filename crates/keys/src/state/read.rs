//! Reading a state file: who could have changed it comes first, what is in it second.

use std::io;
use std::path::Path;

use ticketshim_core::keyring::Keyring;

use super::format::{self, Buffer, LEN};
use super::{Refusal, directory, way};
use crate::memory::Locked;
use crate::sys::{self, File};

/// Tells one version of a file from the next: a change of contents, owner or mode changes it, and so does replacing it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity([u64; 7]);

impl Identity {
    pub(crate) fn of(stat: &libc::stat) -> Self {
        let [mtime, ctime] = [stat.st_mtime, stat.st_ctime].map(i64::cast_unsigned);
        let [mtime_ns, ctime_ns] = [stat.st_mtime_nsec, stat.st_ctime_nsec].map(i64::cast_unsigned);
        Self([stat.st_dev, stat.st_ino, stat.st_size.cast_unsigned(), mtime, mtime_ns, ctime, ctime_ns])
    }

    /// In one word, never 0. That two versions of a file in a row have the same is as good as impossible: the inode or
    /// the time of change differs.
    pub(crate) fn word(&self) -> u64 {
        // FNV-1a's step over words: only needs to tell apart what was not chosen to collide.
        self.0
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, word| (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29))
            | 1
    }
}

/// On whose behalf a file is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reader {
    /// Of a server, whose tickets it decides about.
    Server,
    /// Of somebody who looks at it or keeps it up. Root does so for everybody.
    Tool,
}

/// The file now, without opening it. A link is followed: where it may lead is looked at when the file is read.
pub(crate) fn look(path: &Path) -> Result<libc::stat, Refusal> {
    let stat = sys::lstat(path).map_err(|error| Refusal::of(&error))?;
    if stat.st_mode & libc::S_IFMT == libc::S_IFLNK {
        return sys::stat(path).map_err(|error| Refusal::of(&error));
    }
    Ok(stat)
}

/// Reads a state file.
///
/// A writer that replaces the file erases the old one afterwards: who opened that one before may find zeros, and looks
/// again.
pub(crate) fn read(path: &Path, reader: Reader) -> Result<(Locked<Keyring>, Identity), Refusal> {
    let mut attempts = 3;
    loop {
        let (found, identity) = read_once(path, reader)?;
        attempts -= 1;
        match found {
            Ok(contents) => return Ok((contents, identity)),
            Err(_) if attempts > 0 && look(path).is_ok_and(|now| Identity::of(&now) != identity) => {}
            Err(refusal) => return Err(refusal),
        }
    }
}

type Found = (Result<Locked<Keyring>, Refusal>, Identity);

fn read_once(path: &Path, reader: Reader) -> Result<Found, Refusal> {
    let of = |error: io::Error| Refusal::of(&error);
    // Looked at before it is opened: opening can be an act in itself where it is a device.
    let mut flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let named = sys::lstat(path).map_err(of)?;
    let is_link = named.st_mode & libc::S_IFMT == libc::S_IFLNK;
    if is_link {
        regular(&sys::stat(path).map_err(of)?)?;
        // Only root can change what is root's all the way, so it is still that when it is opened.
        if !way::is_safe(path, 0)? {
            return Err(Refusal::Symlink);
        }
        flags &= !libc::O_NOFOLLOW;
    } else {
        regular(&named)?;
    }
    let file = File::open_with(path, flags, 0).map_err(of)?;
    let stat = file.stat().ok_or(Refusal::System(0))?;
    regular(&stat)?;
    trusted(&stat, path, reader, is_link)?;
    let mut buffer = Locked::<Buffer>::new([0; LEN + 1]).ok_or(Refusal::NoMemory)?;
    let len = file.read(&mut *buffer).map_err(of)?;
    Ok((format::decode(&buffer[..len]), Identity::of(&stat)))
}

fn regular(stat: &libc::stat) -> Result<(), Refusal> {
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => Ok(()),
        libc::S_IFLNK => Err(Refusal::Symlink),
        libc::S_IFDIR => Err(Refusal::IsDirectory),
        _ => Err(Refusal::NotAFile),
    }
}

/// Whoever could write the file chooses everybody's keys; whoever could read it opens everybody's tickets.
///
/// The rule is PostgreSQL's for private keys: mode 0600 or less, or, if the file is root's, 0640 or less, so that
/// servers that start without root can share a group.
fn trusted(stat: &libc::stat, path: &Path, reader: Reader, way_is_roots: bool) -> Result<(), Refusal> {
    let us = sys::effective_user();
    if stat.st_uid != 0 && stat.st_uid != us && !(reader == Reader::Tool && us == 0 && way::is_safe(path, stat.st_uid)?)
    {
        return Err(Refusal::Owner(stat.st_uid));
    }
    acceptable(stat.st_uid, stat.st_mode)?;
    if way_is_roots {
        return Ok(());
    }
    // Replacing the file takes no right to the file, only to its directory. In a sticky one (/tmp) it takes both.
    let dir = sys::stat(directory(path)).map_err(|error| Refusal::of(&error))?;
    if dir.st_mode & libc::S_IWOTH != 0 && dir.st_mode & libc::S_ISVTX == 0 {
        return Err(Refusal::Directory(dir.st_mode & 0o7777));
    }
    Ok(())
}

/// Whether a file of that owner may have that mode.
pub(super) fn acceptable(owner: u32, mode: libc::mode_t) -> Result<(), Refusal> {
    let mode = mode & 0o7777;
    if mode & 0o007 != 0 {
        return Err(Refusal::Mode(mode));
    }
    let group = if owner == 0 { 0o030 } else { 0o070 };
    if mode & group != 0 { Err(Refusal::GroupMode(mode)) } else { Ok(()) }
}

//! Why a state file is not used or not written, and what to do about it.

use std::fmt;
use std::io;
use std::mem::discriminant;
use std::path::Path;

use crate::clock::Utc;
use crate::settings::Duration;

/// Why a state file is not used or not written. [`Refusal::text`] says what to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// There is no such file.
    Missing,
    /// There is one already.
    Exists,
    /// We may not.
    Denied,
    /// It is a symbolic link.
    Symlink,
    /// It is a directory.
    IsDirectory,
    /// It is a FIFO, a device or a socket.
    NotAFile,
    /// It belongs to that user, who is neither root nor us.
    Owner(u32),
    /// It has that mode: others can read or write it.
    Mode(u32),
    /// It belongs to us, not to root, and its group can read or write it; the mode.
    GroupMode(u32),
    /// Anybody can replace the files in its directory; the directory's mode.
    Directory(u32),
    /// It is empty.
    Empty,
    /// It has that many bytes.
    Truncated(u32),
    /// It is longer than a state file.
    TooLong,
    /// It does not begin as a state file does.
    NotState,
    /// It is a file of ticket keys of so many bytes, of another product.
    ForeignKeys(u32),
    /// It is a PEM file.
    Pem,
    /// It is a state file that was encoded in base64.
    Base64,
    /// It has that version.
    Version(u32),
    /// Its checksum does not fit.
    Checksum,
    /// Its times make no sense.
    Schedule,
    /// Its secrets are none.
    Weak,
    /// Our clock is that many days beyond the file's epoch.
    FarAhead(u32),
    /// It belongs to that user, so only they can write it.
    NotOurs(u32),
    /// Another process of its owner is writing it.
    Busy,
    /// Its file system has no locks.
    NoLocks,
    /// Its file system is full, or our quota or file size limit is reached.
    NoSpace,
    /// Its file system is mounted read-only.
    ReadOnly,
    /// The system has no memory for us.
    NoMemory,
    /// The system has no randomness for us yet.
    NoRandomness,
    /// Anything else: the error number.
    System(u32),
    /// There is no such directory to write it in.
    NoDirectory,
    /// What is to be made beside it is there already, and is that user's.
    InTheWay(u32),
    /// The system forbids a system call that it takes: which (`Call`) in the high half, the error number in the low.
    Forbidden(u32),
    /// What was given has that generation, which is lower than that of what is there.
    Older(u32),
    /// It has that generation, and so has what is there, with other chains.
    Conflict(u32),
    /// It is that many seconds ahead of all that our clock can explain.
    AheadOfClock(u32),
    /// It can be done from that moment on, in Unix seconds.
    NotYet(u32),
    /// The chain is in the file already.
    Known,
}

/// A system call that a state file takes, as its refusal names it. New ones come last.
#[derive(Clone, Copy)]
pub(crate) enum Call {
    Some,
    Open,
    Lock,
    Mode,
    Write,
    Sync,
    Rename,
}

const CALLS: [&str; 7] = ["a system call", "open", "flock", "fchmod", "write", "fsync", "rename"];

impl Refusal {
    /// What a system call's failure means here.
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => Self::Missing,
            Some(libc::EEXIST) => Self::Exists,
            Some(libc::EACCES) => Self::Denied,
            Some(libc::EPERM) => Self::of_call(Call::Some, error),
            Some(libc::ELOOP) => Self::Symlink,
            Some(libc::EISDIR) => Self::IsDirectory,
            Some(libc::ENXIO | libc::ENODEV) => Self::NotAFile,
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => Self::NoSpace,
            Some(libc::EROFS) => Self::ReadOnly,
            Some(libc::ENOMEM) => Self::NoMemory,
            Some(other) => Self::System(other.unsigned_abs()),
            None => Self::System(0),
        }
    }

    /// What the failure of that call means: a filter answers with errors that the call itself has not, or for other
    /// reasons.
    pub(crate) fn of_call(call: Call, error: &io::Error) -> Self {
        let number = error.raw_os_error().unwrap_or(0);
        let forbidden = match number {
            libc::EPERM | libc::ENOSYS => true,
            libc::EACCES => !matches!(call, Call::Open | Call::Rename),
            _ => false,
        };
        if forbidden { Self::Forbidden((call as u32) << 16 | number.unsigned_abs()) } else { Self::of(error) }
    }

    /// In one word, never 0: for the counters. The order of the numbers is part of the format of a stats file.
    pub(crate) fn to_word(self) -> u64 {
        let same = |make: &fn(u32) -> Self| discriminant(&make(0)) == discriminant(&self);
        // Every variant is in the table: a test sees to it.
        let number = NUMBERED.iter().position(same).map_or(0, |at| at as u64 + 1);
        number << 32 | u64::from(self.detail())
    }

    /// Reads [`Refusal::to_word`].
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        let number = usize::try_from(word >> 32).ok()?.checked_sub(1)?;
        NUMBERED.get(number).map(|make| make(word as u32))
    }

    fn detail(self) -> u32 {
        use Refusal as R;
        match self {
            R::Owner(n) | R::Mode(n) | R::GroupMode(n) | R::Directory(n) | R::Truncated(n) | R::ForeignKeys(n) => n,
            R::Version(n) | R::FarAhead(n) | R::NotOurs(n) | R::System(n) | R::InTheWay(n) | R::Forbidden(n) => n,
            R::Older(n) | R::Conflict(n) | R::AheadOfClock(n) | R::NotYet(n) => n,
            _ => 0,
        }
    }

    /// Whether it is a state file that went bad, rather than a file of something else.
    pub(crate) fn is_damage(self) -> bool {
        use Refusal::{Checksum, Empty, Schedule, TooLong, Truncated, Version, Weak};
        matches!(self, Empty | Truncated(_) | TooLong | Version(_) | Checksum | Schedule | Weak)
    }

    /// One line: what is wrong with the file at `path`, and what to do.
    pub fn text(self, path: &Path) -> impl fmt::Display + '_ {
        Text { refusal: self, path }
    }
}

/// New ones come last.
const NUMBERED: [fn(u32) -> Refusal; 38] = [
    |_| Refusal::Missing,
    |_| Refusal::Exists,
    |_| Refusal::Denied,
    |_| Refusal::Symlink,
    |_| Refusal::IsDirectory,
    |_| Refusal::NotAFile,
    Refusal::Owner,
    Refusal::Mode,
    Refusal::GroupMode,
    Refusal::Directory,
    |_| Refusal::Empty,
    Refusal::Truncated,
    |_| Refusal::TooLong,
    |_| Refusal::NotState,
    Refusal::ForeignKeys,
    |_| Refusal::Pem,
    |_| Refusal::Base64,
    Refusal::Version,
    |_| Refusal::Checksum,
    |_| Refusal::Schedule,
    |_| Refusal::Weak,
    Refusal::FarAhead,
    Refusal::NotOurs,
    |_| Refusal::Busy,
    |_| Refusal::NoLocks,
    |_| Refusal::NoSpace,
    |_| Refusal::ReadOnly,
    |_| Refusal::NoMemory,
    |_| Refusal::NoRandomness,
    Refusal::System,
    |_| Refusal::NoDirectory,
    Refusal::InTheWay,
    Refusal::Forbidden,
    Refusal::Older,
    Refusal::Conflict,
    Refusal::AheadOfClock,
    Refusal::NotYet,
    |_| Refusal::Known,
];

struct Text<'a> {
    refusal: Refusal,
    path: &'a Path,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Refusal as R;
        let name = self.path.display();
        let dir = super::directory(self.path).display();
        match self.refusal {
            R::Missing => write!(f, "{name} does not exist: make it with `ticketshim state init {name}`"),
            R::Exists => write!(f, "{name} exists already: `ticketshim state reseed {name}` replaces its keys"),
            R::Denied => write!(f, "{name}: this process (uid {}) may not: let root or the file's owner do it", euid()),
            R::Symlink => write!(
                f,
                "{name} is a symbolic link, which is followed to read a file if it and each directory on the way are root's \
                 and closed to others, and never to write one: name the file itself"
            ),
            R::IsDirectory => write!(f, "{name} is a directory: name a file in it"),
            R::NotAFile => write!(f, "{name} is not a regular file: name one"),
            R::Owner(uid) if euid() == 0 => write!(
                f,
                "{name} belongs to uid {uid}. A server that runs as root uses root's files only; `ticketshim state` takes \
                 another user's if that user or root has each directory on the way, and nobody else may write there"
            ),
            R::Owner(uid) => write!(
                f,
                "{name} belongs to uid {uid}, and this process (uid {}) uses root's files and its own: let uid {uid} or root \
                 do it, or name another file",
                euid()
            ),
            R::Mode(mode) => {
                write!(
                    f,
                    "{name} is open to others (mode {mode:04o}): chmod 600 {name}, and if anybody may have read "
                )?;
                write!(f, "it, `ticketshim state reseed --now {name}`")
            }
            R::GroupMode(mode) => write!(
                f,
                "{name} is open to its group (mode {mode:04o}), which is allowed to read only, and only of root's files: \
                 chmod 600 {name}"
            ),
            R::Directory(mode) => write!(
                f,
                "anybody can replace {name}, because the mode of {dir} is {mode:04o}: chmod o-w {dir}, or move it to a \
                 directory of its own"
            ),
            R::Empty => write!(f, "{name} is empty: remove it, and run `ticketshim state init {name}`"),
            R::Truncated(len) => {
                write!(f, "{name} is cut off ({len} bytes): copy it again, or `ticketshim state reseed --now {name}`")
            }
            R::TooLong => {
                write!(f, "{name} has something appended (an editor's newline?): copy it again, byte for byte")
            }
            R::NotState => write!(f, "{name} is not a state file of ticketshim: name another path"),
            R::ForeignKeys(len) => write!(
                f,
                "{name} looks like a {len}-byte ticket key file of nginx, Apache httpd or HAProxy, whose keys never \
                 change by themselves: leave it to them, and name another path"
            ),
            R::Pem => write!(f, "{name} is a PEM file (a certificate or private key?): name another path"),
            R::Base64 => write!(f, "{name} is a state file in base64: decode it (base64 -d)"),
            R::Version(version) => write!(
                f,
                "{name} has version {version}, and this ticketshim knows version {}: install the release that it was made \
                 with, or `ticketshim state reseed --now {name}`, which costs everyone one full handshake",
                super::VERSION
            ),
            R::Checksum => write!(
                f,
                "{name} is damaged (its checksum does not fit): copy it again, or `ticketshim state reseed --now {name}`"
            ),
            R::Schedule => write!(f, "{name} has times that make no sense: `ticketshim state reseed --now {name}`"),
            R::Weak => {
                write!(
                    f,
                    "{name} holds a constant or a pattern where random keys belong: `ticketshim state reseed --now {name}`"
                )
            }
            R::FarAhead(days) => write!(
                f,
                "{name} was not advanced: the clock is {days} days beyond it. Set the clock, or if it is right, \
                 `ticketshim state advance --force {name}`"
            ),
            R::NotOurs(uid) => write!(f, "{name} can only be written by its owner, uid {uid}"),
            R::Busy => write!(f, "{name}: another process of its owner is writing it: try again"),
            R::NoLocks => write!(
                f,
                "{name}: the file system of {dir} has no locks (NFS without a lock server?): keep it on a local one"
            ),
            R::NoSpace => write!(f, "{name}: no space (disk, quota or file size limit) to write it in {dir}"),
            R::ReadOnly => write!(f, "{name}: {dir} is read-only, so it cannot be written from here"),
            R::NoDirectory => write!(
                f,
                "{name}: there is no directory {dir} for this process: if there is one outside of it, it is in a chroot, and \
                 the file has to be there before it starts (`ticketshim state init {name}`); else mkdir -m 700 {dir}"
            ),
            R::InTheWay(uid) => write!(
                f,
                "{name}: uid {uid} has put something under the name of its lock or its draft (.….lock, .….new) into {dir}, \
                 which cannot be removed from here: remove it, and keep the file in a directory of its own"
            ),
            R::Forbidden(which) => {
                let (call, number) = ((which >> 16) as usize, (which & 0xFFFF).cast_signed());
                let call = CALLS.get(call).unwrap_or(&CALLS[0]);
                let error = io::Error::from_raw_os_error(number);
                write!(
                    f,
                    "{name}: the system forbids this process {call} ({error}): allow it (seccomp, SystemCallFilter=, a \
                     security module), or let `ticketshim state` write the file"
                )
            }
            R::Older(generation) => write!(
                f,
                "{name}: what was given is of generation {generation}, and newer keys are there: nothing goes back. A copy of \
                 the newest file is on the hosts that have it (`ticketshim state show`)"
            ),
            R::Conflict(generation) => write!(
                f,
                "{name}: two keyrings of generation {generation} have different chains, because two were announced without \
                 each other: choose one, and `ticketshim state announce` once more on that, which makes it the newest"
            ),
            R::AheadOfClock(seconds) => write!(
                f,
                "{name} is {} ahead of this clock, so no key changes until then, and tickets open for longer than they \
                 should. If the clock is right, a wrong one made the file: `ticketshim state reseed {name}`. If not, set it",
                Duration(u64::from(seconds))
            ),
            R::NotYet(time) => write!(
                f,
                "{name}: a chain that was announced before is about to be used, or three chains still open: it will do \
                 from {} on, or at once with `ticketshim state reseed --now {name}`",
                Utc(u64::from(time))
            ),
            R::Known => write!(f, "{name} holds that chain already: give another seed"),
            R::NoMemory => write!(f, "{name}: the system has no memory for it"),
            R::NoRandomness => write!(f, "{name}: the system has no randomness to make it of yet"),
            R::System(errno) => {
                let error = io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(0));
                write!(f, "{name}: {error}")
            }
        }
    }
}

fn euid() -> u32 {
    crate::sys::effective_user()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_number_and_says_what_to_do() {
        let path = Path::new("/var/lib/t/state");
        for (at, make) in NUMBERED.iter().enumerate() {
            let refusal = make(7);
            assert_eq!(refusal.to_word() >> 32, at as u64 + 1, "{refusal:?} stands twice in the table");
            assert_eq!(Refusal::from_word(refusal.to_word()), Some(refusal));
            let text = refusal.text(path).to_string();
            assert!(text.starts_with("/var/lib/t/state") || text.starts_with("anybody"), "{text}");
        }
        assert_eq!((Refusal::from_word(0), Refusal::from_word(99 << 32)), (None, None));
    }
}

//! Writing a state file: a new file beside the old one, made durable, and renamed into place.
//!
//! Whoever is killed at any point leaves the old file or the new one. Writers exclude each other by a lock on the
//! directory: a lock on the file itself would be on an inode that the rename takes away. Readers need no lock.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::format::{self, Buffer, Contents, LEN};
use super::{Refusal, directory};
use crate::memory::Locked;
use crate::sys::{CName, File};

/// How long a writer waits for another one, who needs a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The right to write one state file, until dropped.
pub(crate) struct Writer {
    dir: File,
    name: Name,
    /// Where the next file is prepared. Always the same name, so that what a killed writer left there is overwritten by
    /// the next one and no old keys gather in the directory.
    draft: Name,
}

/// A name in a directory (255 bytes at most), with what a draft's name has more.
type Name = CName<272>;

/// How a new file takes its place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Only if there is none.
    Free,
    /// Instead of the one that is there.
    Taken,
}

impl Writer {
    /// Waits at most `patience` for other writers.
    fn new(path: &Path, patience: Duration) -> Result<Self, Refusal> {
        let name = path.file_name().ok_or(Refusal::IsDirectory)?.as_bytes();
        let c_name = |parts: &[&[u8]]| CName::new(parts).map_err(|error| Refusal::of(&error));
        let dir = File::open_with(directory(path), libc::O_RDONLY | libc::O_DIRECTORY, 0);
        let dir = dir.map_err(|error| match Refusal::of(&error) {
            Refusal::Missing => Refusal::NoDirectory,
            other => other,
        })?;
        step(Step::Opened);
        lock(&dir, patience)?;
        step(Step::Locked);
        Ok(Self { dir, name: c_name(&[name])?, draft: c_name(&[b".", name, b".new"])? })
    }

    /// Waits for other writers as long as it takes them.
    pub(crate) fn begin(path: &Path) -> Result<Self, Refusal> {
        Self::new(path, PATIENCE)
    }

    /// Does not wait.
    pub(crate) fn try_begin(path: &Path) -> Result<Self, Refusal> {
        Self::new(path, Duration::ZERO)
    }

    /// Makes a file where there is none.
    pub(crate) fn create(&self, contents: &Contents) -> Result<(), Refusal> {
        // Saves whoever comes second the trouble; that nobody else comes first from here on is seen to below.
        if self.dir.stat_at(&self.name).is_ok() {
            return Err(Refusal::Exists);
        }
        self.write(contents, None, Place::Free)
    }

    /// Puts `contents` in the place of the file, which keeps its group and mode. It must be ours.
    pub(crate) fn replace(&self, contents: &Contents) -> Result<(), Refusal> {
        let old = self.dir.stat_at(&self.name).map_err(|error| Refusal::of(&error))?;
        // SAFETY: no preconditions.
        let us = unsafe { libc::geteuid() };
        if old.st_uid != us {
            return Err(Refusal::NotOurs(old.st_uid));
        }
        self.write(contents, Some(&old), Place::Taken)
    }

    fn write(&self, contents: &Contents, like: Option<&libc::stat>, place: Place) -> Result<(), Refusal> {
        let mut bytes = Locked::<Buffer>::new([0; LEN + 1]).ok_or(Refusal::NoMemory)?;
        format::encode(contents, &mut bytes);
        // Kept open to be erased: without a name it would not be found again.
        let old = match place {
            Place::Taken => self.dir.open_at(&self.name, libc::O_WRONLY | libc::O_NOFOLLOW, 0).ok(),
            Place::Free => None,
        };
        let done = self.draft(&bytes[..LEN], like).and_then(|()| {
            step(Step::Drafted);
            self.put(place)?;
            step(Step::Renamed);
            // What is durable is the name as well as the bytes.
            self.dir.sync()
        });
        if let Err(error) = done {
            // It may not be there; it is then not in the way either.
            let _ = self.dir.unlink_at(&self.draft);
            return Err(Refusal::of(&error));
        }
        step(Step::Durable);
        if let Some(old) = old {
            erase(&old);
        }
        Ok(())
    }

    fn draft(&self, bytes: &[u8], like: Option<&libc::stat>) -> io::Result<()> {
        if let Ok(left) = self.dir.open_at(&self.draft, libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0) {
            self.dir.unlink_at(&self.draft)?;
            erase(&left);
        } else {
            let _ = self.dir.unlink_at(&self.draft);
        }
        let file =
            self.dir.open_at(&self.draft, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW, 0o600)?;
        step(Step::Made);
        let mode = like.map_or(0o600, |old| {
            let same_group = file.stat().is_some_and(|new| new.st_gid == old.st_gid);
            // A group that we may not give it gets no access, which is the safe side.
            let group = if same_group || file.set_group(old.st_gid).is_ok() { 0o660 } else { 0o600 };
            old.st_mode & group
        });
        // Whatever the umask is.
        file.set_mode(mode)?;
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        step(Step::HalfWritten);
        file.write_all(rest)?;
        step(Step::Written);
        file.sync()
    }

    fn put(&self, place: Place) -> io::Result<()> {
        if place == Place::Taken {
            return self.dir.rename_at(&self.draft, &self.name, 0);
        }
        match self.dir.rename_at(&self.draft, &self.name, libc::RENAME_NOREPLACE) {
            // Not every file system knows how (EINVAL), nor every kernel (ENOSYS). A second link is as exclusive.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
                self.dir.link_at(&self.draft, &self.name)?;
                self.dir.unlink_at(&self.draft)
            }
            other => other,
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Closing it is not enough: a process that another thread forks off meanwhile has the same lock.
        self.dir.unlock();
    }
}

fn lock(dir: &File, patience: Duration) -> Result<(), Refusal> {
    const PAUSE: Duration = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    loop {
        match dir.try_lock() {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                let none = [libc::ENOLCK, libc::EOPNOTSUPP, libc::EBADF, libc::EINVAL, libc::ENOSYS];
                let unsupported = error.raw_os_error().is_some_and(|e| none.contains(&e));
                return Err(if unsupported { Refusal::NoLocks } else { Refusal::of(&error) });
            }
        }
        if waited >= patience {
            return Err(Refusal::Busy);
        }
        std::thread::sleep(PAUSE);
        waited += PAUSE;
    }
}

/// Overwrites a file that has lost its name, so that its keys are not found in free blocks. Best effort: file systems
/// that never write in place, and flash below any of them, keep what they like.
fn erase(file: &File) {
    let Some(stat) = file.stat().filter(|stat| stat.st_nlink == 0) else { return };
    let len = usize::try_from(stat.st_size).map_or(0, |len| len.min(LEN));
    let _ = file.write_all(&[0; LEN][..len]).and_then(|()| file.sync());
}

/// The points between which a kill must not matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Opened,
    Locked,
    Made,
    HalfWritten,
    Written,
    Drafted,
    Renamed,
    Durable,
}

#[cfg(not(any(test, feature = "fault-injection")))]
fn step(_: Step) {}

/// Test builds only: the process kills itself at the step that `TICKETSHIM_FAULT_KILL` names.
#[cfg(any(test, feature = "fault-injection"))]
fn step(step: Step) {
    if std::env::var_os("TICKETSHIM_FAULT_KILL").is_some_and(|name| name == *format!("{step:?}")) {
        // SAFETY: no preconditions. It does not return.
        unsafe { libc::raise(libc::SIGKILL) };
    }
}

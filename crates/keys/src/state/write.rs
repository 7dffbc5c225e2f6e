//! Writing a state file: a new file beside the old one, made durable, and renamed into place.
//!
//! Whoever is killed at any point leaves the old file or the new one. Writers exclude each other by a lock file beside it
//! (`sys::OwnerLock`) that only the state file's owner can open: whoever can open the directory or the state file to read
//! could hold a lock on those, and keep a re-seed away. Readers need no lock.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use ticketshim_core::keyring::Keyring;

use super::change::Access;
use super::format::{self, Buffer, LEN};
use super::read::acceptable;
use super::refusal::Call;
use super::{Refusal, directory};
use crate::memory::Locked;
use crate::sys::{self, CName, File, NotLocked, OwnerLock};

/// How long the command waits for another writer, who needs a few milliseconds. Servers never wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes a state file where there is none, without waiting for anybody (else it is [`Refusal::Busy`]).
///
/// Where the file system can, it is written without a name and then given one, which at most one process can do. So
/// nothing is left behind, and no lock is needed.
pub(crate) fn create_now(path: &Path, contents: &Keyring) -> Result<(), Refusal> {
    create_nameless(path, contents).unwrap_or_else(|| Writer::try_begin(path)?.create(contents))
}

/// The same; waits for other writers where it cannot do without the lock.
pub(crate) fn create(path: &Path, contents: &Keyring) -> Result<(), Refusal> {
    create_nameless(path, contents).unwrap_or_else(|| Writer::begin(path)?.create(contents))
}

/// `None` if it cannot be done in this way: the other one finds out why.
#[inline(never)]
fn create_nameless(path: &Path, contents: &Keyring) -> Option<Result<(), Refusal>> {
    if !may_be_nameless() {
        return None;
    }
    let name = Name::new(&[path.file_name()?.as_bytes()]).ok()?;
    let dir = File::open_with(directory(path), libc::O_RDONLY | libc::O_DIRECTORY, 0).ok()?;
    step(Step::Opened);
    if dir.stat_at(&name).is_ok() {
        return Some(Err(Refusal::Exists));
    }
    let file = dir.open_at(c".", libc::O_WRONLY | libc::O_TMPFILE, 0o600).ok()?;
    step(Step::Made);
    let mut bytes = Locked::<Buffer>::new([0; LEN + 1])?;
    format::encode(contents, &mut bytes);
    file.set_mode(0o600).ok()?;
    write_in_steps(&file, &bytes[..LEN]).ok()?;
    step(Step::Drafted);
    match dir.name_file(&file, &name) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Some(Err(Refusal::Exists)),
        Err(_) => return None,
    }
    step(Step::Renamed);
    // What is durable is the name as well as the bytes.
    let done = dir.sync().map_err(|error| Refusal::of_call(Call::Sync, &error));
    step(Step::Durable);
    Some(done)
}

/// The right to write one state file, until dropped.
pub(crate) struct Writer<'a> {
    dir: File,
    names: Names<'a>,
    lock: OwnerLock,
}

/// What there is in the directory for one state file. Made where they are used, because a stack may be small.
#[derive(Clone, Copy)]
struct Names<'a>(&'a [u8]);

impl Names<'_> {
    fn file(self) -> io::Result<Name> {
        Name::new(&[self.0])
    }

    /// Where the next file is prepared. Always the same name, so that what a killed writer left there is overwritten by
    /// the next one and no old keys gather in the directory.
    fn draft(self) -> io::Result<Name> {
        Name::new(&[b".", self.0, b".new"])
    }

    fn lock(self) -> io::Result<Name> {
        Name::new(&[b".", self.0, b".lock"])
    }
}

/// A name in a directory (255 bytes at most), with what a draft's name has more.
type Name = CName<272>;

/// Owner, group and mode of a new file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Like {
    owner: u32,
    /// `None`: the one that new files get there.
    group: Option<u32>,
    mode: libc::mode_t,
    /// The group was asked for: without it the file is not written.
    insists: bool,
}

impl Like {
    /// Of a file that is ours, as it was asked for.
    pub(super) fn new(access: Access) -> Result<Self, Refusal> {
        Self { owner: sys::effective_user(), group: None, mode: 0o600, insists: false }.with(access)
    }

    /// As that file.
    pub(super) fn of(stat: &libc::stat) -> Self {
        Self { owner: stat.st_uid, group: Some(stat.st_gid), mode: stat.st_mode & 0o7777, insists: false }
    }

    /// With what was asked for, if such a file would be used.
    pub(super) fn with(self, access: Access) -> Result<Self, Refusal> {
        let mode = access.mode.unwrap_or(self.mode);
        acceptable(self.owner, mode)?;
        // The mark is for the write, and no difference to what is there.
        let insists = access.group.is_some_and(|group| self.group != Some(group));
        Ok(Self { group: access.group.or(self.group), mode, insists, ..self })
    }
}

/// How a new file comes to its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Only if there is none.
    New,
    /// Instead of the one that is there.
    Existing,
}

impl<'a> Writer<'a> {
    /// Waits at most `patience` for other writers.
    fn new(path: &'a Path, patience: Duration) -> Result<Self, Refusal> {
        let names = Names(path.file_name().ok_or(Refusal::IsDirectory)?.as_bytes());
        let dir = File::open_with(directory(path), libc::O_RDONLY | libc::O_DIRECTORY, 0);
        let dir = dir.map_err(|error| match Refusal::of(&error) {
            Refusal::Missing => Refusal::NoDirectory,
            other => other,
        })?;
        step(Step::Opened);
        let owner = writing_owner(&dir, names)?;
        let lock = lock(&dir, names, owner, patience)?;
        step(Step::Locked);
        Ok(Self { dir, names, lock })
    }

    /// Waits for other writers as long as it takes them: for a command.
    pub(crate) fn begin(path: &'a Path) -> Result<Self, Refusal> {
        Self::new(path, PATIENCE)
    }

    /// Does not wait: for a server.
    pub(crate) fn try_begin(path: &'a Path) -> Result<Self, Refusal> {
        Self::new(path, Duration::ZERO)
    }

    /// Makes a file where there is none.
    pub(crate) fn create(&self, contents: &Keyring) -> Result<(), Refusal> {
        self.create_like(contents, Like::new(Access::default())?)
    }

    /// The same, with that group and mode.
    pub(super) fn create_like(&self, contents: &Keyring, like: Like) -> Result<(), Refusal> {
        // Saves whoever comes second the trouble; that nobody else comes first from here on is seen to below.
        if self.look().is_ok() {
            return Err(Refusal::Exists);
        }
        self.write(contents, like, Target::New)
    }

    /// Puts `contents` in the place of the file, which keeps its owner, group and mode. It must be ours, or we root.
    pub(crate) fn replace(&self, contents: &Keyring) -> Result<(), Refusal> {
        let old = self.look().map_err(|error| Refusal::of(&error))?;
        self.replace_like(contents, Like::of(&old))
    }

    /// The same, with that group and mode.
    pub(super) fn replace_like(&self, contents: &Keyring, like: Like) -> Result<(), Refusal> {
        let old = self.look().map_err(|error| Refusal::of(&error))?;
        let us = sys::effective_user();
        match old.st_mode & libc::S_IFMT {
            libc::S_IFREG if old.st_uid == us || us == 0 => self.write(contents, like, Target::Existing),
            libc::S_IFREG => Err(Refusal::NotOurs(old.st_uid)),
            // What a link leads to is kept up by whoever made the link.
            _ => Err(Refusal::Symlink),
        }
    }

    #[inline(never)]
    fn look(&self) -> io::Result<libc::stat> {
        self.dir.stat_at(&self.names.file()?)
    }

    #[inline(never)]
    fn write(&self, contents: &Keyring, like: Like, target: Target) -> Result<(), Refusal> {
        let mut bytes = Locked::<Buffer>::new([0; LEN + 1]).ok_or(Refusal::NoMemory)?;
        format::encode(contents, &mut bytes);
        // Kept open to be erased: without a name it would not be found again.
        let old = match target {
            Target::Existing => self.open_old().ok(),
            Target::New => None,
        };
        let done = self.draft(&bytes[..LEN], like).and_then(|()| {
            step(Step::Drafted);
            self.put(target).map_err(|error| Refusal::of_call(Call::Rename, &error))?;
            step(Step::Renamed);
            // What is durable is the name as well as the bytes.
            self.dir.sync().map_err(|error| Refusal::of_call(Call::Sync, &error))
        });
        if let Err(refusal) = done {
            // It may not be there; it is then not in the way either.
            let _ = self.names.draft().and_then(|draft| self.dir.unlink_at(&draft));
            return Err(refusal);
        }
        step(Step::Durable);
        if let Some(old) = old {
            erase(&old);
        }
        Ok(())
    }

    #[inline(never)]
    fn open_old(&self) -> io::Result<File> {
        self.dir.open_at(&self.names.file()?, libc::O_WRONLY | libc::O_NOFOLLOW, 0)
    }

    #[inline(never)]
    fn new_draft(&self) -> Result<File, Refusal> {
        let name = self.names.draft().map_err(|error| Refusal::of(&error))?;
        let left = self.dir.open_at(&name, libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0);
        // If it cannot be removed, or is made again by somebody else, it is in the way below.
        let _ = self.dir.unlink_at(&name);
        if let Ok(left) = left {
            erase(&left);
        }
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        self.dir.open_at(&name, flags, 0o600).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Refusal::InTheWay(self.dir.stat_at(&name).map_or(0, |stat| stat.st_uid)),
            _ => Refusal::of_call(Call::Open, &error),
        })
    }

    #[inline(never)]
    fn draft(&self, bytes: &[u8], like: Like) -> Result<(), Refusal> {
        let file = self.new_draft()?;
        step(Step::Made);
        if like.owner != sys::effective_user() {
            file.set_owner(like.owner).map_err(|error| Refusal::of_call(Call::Mode, &error))?;
        }
        let has_group = |group| file.stat().is_some_and(|new| new.st_gid == group) || file.set_group(group).is_ok();
        let mode = match like.group {
            Some(group) if has_group(group) => like.mode,
            Some(_) if like.insists => return Err(Refusal::Denied),
            // A group that we may not give it gets no access, which is the safe side.
            Some(_) => like.mode & 0o600,
            None => like.mode,
        };
        // Whatever the umask is.
        file.set_mode(mode).map_err(|error| Refusal::of_call(Call::Mode, &error))?;
        write_in_steps(&file, bytes)
    }

    #[inline(never)]
    fn put(&self, target: Target) -> io::Result<()> {
        let (draft, name) = (self.names.draft()?, self.names.file()?);
        if target == Target::Existing {
            return self.dir.rename_at(&draft, &name, 0);
        }
        match self.dir.rename_at(&draft, &name, libc::RENAME_NOREPLACE) {
            // Not every file system knows how (EINVAL), nor every kernel (ENOSYS) or filter (EPERM). A second link is as
            // exclusive.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EPERM)) => {
                self.dir.link_at(&draft, &name)?;
                self.dir.unlink_at(&draft)
            }
            other => other,
        }
    }
}

fn write_in_steps(file: &File, bytes: &[u8]) -> Result<(), Refusal> {
    let write = |bytes| file.write_all(bytes).map_err(|error| Refusal::of_call(Call::Write, &error));
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    write(first)?;
    step(Step::HalfWritten);
    write(rest)?;
    step(Step::Written);
    file.sync().map_err(|error| Refusal::of_call(Call::Sync, &error))
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // The name was good when the lock was taken.
        if let Ok(name) = self.names.lock() {
            self.lock.give_back(&self.dir, &name);
        }
    }
}

/// Whose the file is, or will be, if this process may write it. The lock is the owner's, also where root writes.
#[inline(never)]
fn writing_owner(dir: &File, names: Names<'_>) -> Result<u32, Refusal> {
    let us = sys::effective_user();
    let name = names.file().map_err(|error| Refusal::of(&error))?;
    let owner = dir.stat_at(&name).map_or(us, |old| old.st_uid);
    if owner != us && us != 0 { Err(Refusal::NotOurs(owner)) } else { Ok(owner) }
}

#[inline(never)]
fn lock(dir: &File, names: Names<'_>, owner: u32, patience: Duration) -> Result<OwnerLock, Refusal> {
    const PAUSE: Duration = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    let name = names.lock().map_err(|error| Refusal::of(&error))?;
    loop {
        match OwnerLock::try_take(dir, &name, owner) {
            Ok(lock) => return Ok(lock),
            Err(NotLocked::Busy) => {}
            Err(NotLocked::InTheWay(uid)) => return Err(Refusal::InTheWay(uid)),
            Err(NotLocked::File(error)) => return Err(Refusal::of_call(Call::Open, &error)),
            Err(NotLocked::Lock(error)) => {
                let none = [libc::ENOLCK, libc::EOPNOTSUPP, libc::EBADF, libc::EINVAL];
                let unsupported = error.raw_os_error().is_some_and(|e| none.contains(&e));
                return Err(if unsupported { Refusal::NoLocks } else { Refusal::of_call(Call::Lock, &error) });
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

#[cfg(not(any(test, feature = "fault-injection")))]
fn may_be_nameless() -> bool {
    true
}

/// Test builds only: as on a file system that has no files without a name.
#[cfg(any(test, feature = "fault-injection"))]
fn may_be_nameless() -> bool {
    std::env::var_os("TICKETSHIM_FAULT_NAMES").is_none()
}

/// Test builds only: the process kills itself at the step that `TICKETSHIM_FAULT_KILL` names.
#[cfg(any(test, feature = "fault-injection"))]
fn step(step: Step) {
    if std::env::var_os("TICKETSHIM_FAULT_KILL").is_some_and(|name| name == *format!("{step:?}")) {
        // SAFETY: no preconditions. It does not return.
        unsafe { libc::raise(libc::SIGKILL) };
    }
}

//! A lock between the processes of one user, for the length of a call: nobody else can hold it against them.
//!
//! What others can open, be it only to read, they can lock (flock(2)) for as long as they like. So the lock is on a file
//! of its own that only its owner can open (0600), beside the file that it is for. It is removed before it is given
//! back: who takes it next looks whether it is still the file of that name, and else begins anew. One that a killed
//! process left behind is not locked any more, and is taken. Anything else under that name (another user's file, one
//! that others can open, a link, a directory) is not waited on but removed.

use std::ffi::CStr;
use std::io;

use super::File;

/// The lock, held until [`give_back`](Self::give_back).
pub(crate) struct OwnerLock(File);

/// Why it was not taken.
#[derive(Debug)]
pub(crate) enum NotLocked {
    /// Another process of its owner has it.
    Busy,
    /// Something of that user's is in the way and cannot be removed.
    InTheWay(u32),
    /// The lock file cannot be made or looked at.
    File(io::Error),
    /// The system gives no lock on it.
    Lock(io::Error),
}

impl OwnerLock {
    /// Takes the lock `name` in `dir`, without waiting. `owner`: whose lock it is; this process is that user, or root.
    pub(crate) fn try_take(dir: &File, name: &CStr, owner: libc::uid_t) -> Result<Self, NotLocked> {
        // Each round that fails was somebody else's, who took it between two calls, or gave it back.
        for _ in 0..16 {
            if let Some(lock) = Self::once(dir, name, owner)? {
                return Ok(lock);
            }
        }
        Err(NotLocked::Busy)
    }

    fn once(dir: &File, name: &CStr, owner: libc::uid_t) -> Result<Option<Self>, NotLocked> {
        // For writing, because NFS makes a write lock of an exclusive one.
        let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_NOFOLLOW;
        let made = match dir.open_at(name, flags | libc::O_CREAT | libc::O_EXCL, 0o600) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
            Err(error) => return Err(NotLocked::File(error)),
        };
        let is_new = made.is_some();
        let file = match made {
            Some(file) => prepare(file, owner).map_err(NotLocked::File)?,
            None => match dir.open_at(name, flags, 0) {
                Ok(file) => file,
                Err(error) => {
                    return match error.raw_os_error() {
                        Some(libc::ENOENT) => Ok(None),
                        // Not ours, or no file.
                        Some(libc::EACCES | libc::ELOOP | libc::EISDIR | libc::ENXIO) => {
                            remove(dir, name).map(|()| None)
                        }
                        _ => Err(NotLocked::File(error)),
                    };
                }
            },
        };
        let is_ours = |stat: &libc::stat| {
            let mode = stat.st_mode & (libc::S_IFMT | 0o077);
            mode == libc::S_IFREG && stat.st_uid == owner && stat.st_nlink <= 1
        };
        if !file.stat().is_some_and(|stat| is_ours(&stat)) {
            return remove(dir, name).map(|()| None);
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(NotLocked::Busy),
            Err(error) => {
                if is_new {
                    let _ = dir.unlink_at(name);
                }
                return Err(NotLocked::Lock(error));
            }
        }
        let lock = Self(file);
        Ok(lock.has_its_name(dir, name).then_some(lock))
    }

    /// Gives it back.
    pub(crate) fn give_back(&self, dir: &File, name: &CStr) {
        if self.has_its_name(dir, name) {
            // If it stays, it is taken by who comes next.
            let _ = dir.unlink_at(name);
        }
        // Closing it is not enough: a process that another thread forks off meanwhile has the same lock.
        self.0.unlock();
    }

    /// Whether the file that is locked is still the one of that name, rather than one whose holder is done with it.
    fn has_its_name(&self, dir: &File, name: &CStr) -> bool {
        let (Some(here), Ok(there)) = (self.0.stat(), dir.stat_at(name)) else { return false };
        (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
    }
}

/// A lock file that was just made. Until it is its owner's, others take it for something in the way.
fn prepare(file: File, owner: libc::uid_t) -> io::Result<File> {
    let stat = file.stat();
    // Whatever the umask is.
    if stat.is_none_or(|stat| stat.st_mode & 0o600 != 0o600) {
        file.set_mode(0o600)?;
    }
    if stat.is_some_and(|stat| stat.st_uid != owner) {
        file.set_owner(owner)?;
    }
    Ok(file)
}

fn remove(dir: &File, name: &CStr) -> Result<(), NotLocked> {
    let Ok(stat) = dir.stat_at(name) else { return Ok(()) };
    match dir.unlink_at(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(NotLocked::InTheWay(stat.st_uid)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    const NAME: &CStr = c".lock";

    fn us() -> u32 {
        super::super::effective_user()
    }

    fn open(dir: &Path) -> File {
        File::open_with(dir, libc::O_RDONLY | libc::O_DIRECTORY, 0).unwrap()
    }

    #[test]
    fn one_at_a_time_and_nothing_is_left() {
        let temp = tempfile::tempdir().unwrap();
        let dir = open(temp.path());
        let lock = OwnerLock::try_take(&dir, NAME, us()).unwrap();
        assert_eq!(fs::metadata(temp.path().join(".lock")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(OwnerLock::try_take(&dir, NAME, us()), Err(NotLocked::Busy)));
        lock.give_back(&dir, NAME);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
        OwnerLock::try_take(&dir, NAME, us()).unwrap().give_back(&dir, NAME);
        // Of one that was killed.
        fs::write(temp.path().join(".lock"), "").unwrap();
        fs::set_permissions(temp.path().join(".lock"), fs::Permissions::from_mode(0o600)).unwrap();
        OwnerLock::try_take(&dir, NAME, us()).unwrap().give_back(&dir, NAME);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn threads_that_take_it_in_turn_are_never_two() {
        use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
        let temp = tempfile::tempdir().unwrap();
        let (inside, taken) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let dir = open(temp.path());
                    for _ in 0..500 {
                        let Ok(lock) = OwnerLock::try_take(&dir, NAME, us()) else { continue };
                        assert_eq!(inside.fetch_add(1, SeqCst), 0);
                        taken.fetch_add(1, SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, SeqCst);
                        lock.give_back(&dir, NAME);
                    }
                });
            }
        });
        assert!(taken.load(SeqCst) > 0);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    /// What others can open, and what is no lock file, is held for ever by somebody, and not waited on.
    #[test]
    fn what_others_can_open_is_not_waited_on() {
        let temp = tempfile::tempdir().unwrap();
        let (lock, other) = (temp.path().join(".lock"), temp.path().join("other"));
        fs::write(&other, "stays").unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
        let dir = open(temp.path());
        let make: [(&str, &dyn Fn()); 5] = [
            ("open to all", &|| {
                fs::write(&lock, "").unwrap();
                fs::set_permissions(&lock, fs::Permissions::from_mode(0o644)).unwrap();
            }),
            ("a link", &|| symlink(&other, &lock).unwrap()),
            ("a dangling link", &|| symlink("/nonexistent/file", &lock).unwrap()),
            ("a second name", &|| fs::hard_link(&other, &lock).unwrap()),
            ("a FIFO", &|| {
                assert!(std::process::Command::new("mkfifo").arg("-m600").arg(&lock).status().unwrap().success());
            }),
        ];
        for (what, make) in make {
            make();
            let rude = File::open(&lock).ok();
            if let Some(rude) = &rude {
                rude.try_lock().unwrap();
            }
            let Ok(ours) = OwnerLock::try_take(&dir, NAME, us()) else { panic!("{what}") };
            ours.give_back(&dir, NAME);
            assert!(fs::symlink_metadata(&lock).is_err(), "{what}: it is left");
        }
        assert_eq!(fs::read_to_string(&other).unwrap(), "stays");
        fs::create_dir(&lock).unwrap();
        assert!(matches!(OwnerLock::try_take(&dir, NAME, us()), Err(NotLocked::InTheWay(uid)) if uid == us()));
    }
}

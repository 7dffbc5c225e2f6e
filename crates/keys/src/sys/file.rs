//! Files, for the length of a call.
//!
//! Not `std::fs`: what is needed here is links that are not followed, names relative to a directory that is locked,
//! descriptors away from 0 to 2, and writes that raise no signal.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Mapping, quietly, retry, stat_fd};

/// An open descriptor, closed when dropped. Never kept from one call into the library to the next: daemons close what
/// they do not know, and whatever they open then would take its place.
pub(crate) struct File(libc::c_int);

impl File {
    /// Opens a file to read it, without waiting for anything (a FIFO's other end, a terminal's carrier).
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::open_with(path, libc::O_RDONLY | libc::O_NONBLOCK, 0)
    }

    /// Opens a file. A symbolic link in the last place is followed unless `flags` says no.
    pub(crate) fn open_with(path: &Path, flags: libc::c_int, mode: libc::mode_t) -> io::Result<Self> {
        let flags = flags | libc::O_CLOEXEC | libc::O_NOCTTY;
        with_c_path(path, |path| {
            // SAFETY: a C string of ours.
            let fd = retry(|| unsafe { libc::open(path.as_ptr(), flags, mode) } as isize)?;
            Self(fd as libc::c_int).away_from_stdio()
        })
    }

    /// A host that closed its standard descriptors still writes to them: not into our file.
    fn away_from_stdio(self) -> io::Result<Self> {
        if self.0 > libc::STDERR_FILENO {
            return Ok(self);
        }
        // SAFETY: a descriptor of ours.
        let fd = retry(|| unsafe { libc::fcntl(self.0, libc::F_DUPFD_CLOEXEC, libc::STDERR_FILENO + 1) } as isize)?;
        Ok(Self(fd as libc::c_int))
    }

    /// What it is.
    pub(crate) fn stat(&self) -> Option<libc::stat> {
        stat_fd(self.0)
    }

    /// Reads until `out` is full or the file ends.
    pub(crate) fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            let rest = &mut out[done..];
            // SAFETY: `rest` is valid for writes of its length.
            match retry(|| unsafe { libc::read(self.0, rest.as_mut_ptr().cast(), rest.len()) })? {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }

    /// Reads from a place until `out` is full or the file ends.
    pub(crate) fn read_at(&self, out: &mut [u8], at: usize) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            let (rest, offset) = (&mut out[done..], (at + done) as libc::off_t);
            // SAFETY: `rest` is valid for writes of its length.
            match retry(|| unsafe { libc::pread(self.0, rest.as_mut_ptr().cast(), rest.len(), offset) })? {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }

    /// Writes all of it.
    pub(crate) fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match super::write(self.0, bytes)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => bytes = &bytes[n..],
            }
        }
        Ok(())
    }

    /// Writes all of it at a place.
    pub(crate) fn write_at(&self, mut bytes: &[u8], mut at: usize) -> io::Result<()> {
        while !bytes.is_empty() {
            let offset = at as libc::off_t;
            // SAFETY: `bytes` is valid for reads of its length.
            let written =
                quietly(|| retry(|| unsafe { libc::pwrite(self.0, bytes.as_ptr().cast(), bytes.len(), offset) }))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
            at += written;
        }
        Ok(())
    }

    /// Makes it `len` bytes long, and keeps room for them on the disk if the file system can.
    pub(crate) fn reserve(&self, len: usize) -> io::Result<()> {
        let len = len as libc::off_t;
        // SAFETY: a descriptor of ours.
        match quietly(|| done(|| unsafe { libc::fallocate(self.0, 0, 0, len) })) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) => {
                // SAFETY: as above.
                quietly(|| done(|| unsafe { libc::ftruncate(self.0, len) }))
            }
            other => other,
        }
    }

    /// Maps its first `len` bytes, for all processes that have the mapping.
    pub(crate) fn map_shared(&self, len: usize) -> io::Result<Mapping> {
        Mapping::of(self.0, len)
    }

    /// Waits until it is on the disk. A file system that cannot say so of a directory (EINVAL) is not asked again.
    pub(crate) fn sync(&self) -> io::Result<()> {
        // SAFETY: a descriptor of ours.
        match done(|| unsafe { libc::fsync(self.0) }) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            other => other,
        }
    }

    /// Gives it to a user.
    pub(crate) fn set_owner(&self, user: libc::uid_t) -> io::Result<()> {
        // SAFETY: a descriptor of ours; the group stays.
        done(|| unsafe { libc::fchown(self.0, user, libc::gid_t::MAX) })
    }

    /// Gives it to a group.
    pub(crate) fn set_group(&self, group: libc::gid_t) -> io::Result<()> {
        // SAFETY: a descriptor of ours; the owner stays.
        done(|| unsafe { libc::fchown(self.0, libc::uid_t::MAX, group) })
    }

    /// Sets its mode.
    pub(crate) fn set_mode(&self, mode: libc::mode_t) -> io::Result<()> {
        // SAFETY: a descriptor of ours.
        done(|| unsafe { libc::fchmod(self.0, mode) })
    }

    /// Takes the exclusive lock on it, or fails at once.
    pub(crate) fn try_lock(&self) -> io::Result<()> {
        // SAFETY: a descriptor of ours.
        done(|| unsafe { libc::flock(self.0, libc::LOCK_EX | libc::LOCK_NB) })
    }

    /// Gives the lock back, for all who have inherited the descriptor.
    pub(crate) fn unlock(&self) {
        // SAFETY: a descriptor of ours.
        unsafe { libc::flock(self.0, libc::LOCK_UN) };
    }

    /// Opens a file in this directory.
    pub(crate) fn open_at(&self, name: &CStr, flags: libc::c_int, mode: libc::mode_t) -> io::Result<Self> {
        let flags = flags | libc::O_CLOEXEC | libc::O_NOCTTY;
        // SAFETY: a descriptor and a C string of ours.
        let fd = retry(|| unsafe { libc::openat(self.0, name.as_ptr(), flags, mode) } as isize)?;
        Self(fd as libc::c_int).away_from_stdio()
    }

    /// What a name in this directory is, a link for itself.
    pub(crate) fn stat_at(&self, name: &CStr) -> io::Result<libc::stat> {
        stat_by(self.0, name, libc::AT_SYMLINK_NOFOLLOW)
    }

    /// Where a symbolic link in this directory leads: so many bytes of `out`, as much of it as has room.
    pub(crate) fn link_at_leads_to(&self, name: &CStr, out: &mut [u8]) -> io::Result<usize> {
        // SAFETY: a descriptor and a C string of ours; `out` is valid for writes of its length.
        retry(|| unsafe { libc::readlinkat(self.0, name.as_ptr(), out.as_mut_ptr().cast(), out.len()) })
    }

    /// Removes a name from this directory.
    pub(crate) fn unlink_at(&self, name: &CStr) -> io::Result<()> {
        // SAFETY: a descriptor and a C string of ours.
        done(|| unsafe { libc::unlinkat(self.0, name.as_ptr(), 0) })
    }

    /// Renames in this directory.
    pub(crate) fn rename_at(&self, from: &CStr, to: &CStr, flags: libc::c_uint) -> io::Result<()> {
        if flags == 0 {
            // SAFETY: a descriptor and C strings of ours.
            return done(|| unsafe { libc::renameat(self.0, from.as_ptr(), self.0, to.as_ptr()) });
        }
        // SAFETY: as above.
        done(|| unsafe { libc::renameat2(self.0, from.as_ptr(), self.0, to.as_ptr(), flags) })
    }

    /// Gives a file that has no name one in this directory, if it is free.
    pub(crate) fn name_file(&self, file: &Self, name: &CStr) -> io::Result<()> {
        // The thread's, because a thread may have descriptors of its own (unshare(2)).
        let mut digits = [b'0'; 10];
        let mut number = file.0.unsigned_abs();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        let first = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len() - 1);
        let path = CName::<48>::new(&[b"/proc/thread-self/fd/", &digits[first..]])?;
        let (from, to) = (path.as_ptr(), name.as_ptr());
        // SAFETY: a descriptor and C strings of ours.
        done(|| unsafe { libc::linkat(libc::AT_FDCWD, from, self.0, to, libc::AT_SYMLINK_FOLLOW) })
    }

    /// Gives a file in this directory a second name.
    pub(crate) fn link_at(&self, from: &CStr, to: &CStr) -> io::Result<()> {
        // SAFETY: a descriptor and C strings of ours.
        done(|| unsafe { libc::linkat(self.0, from.as_ptr(), self.0, to.as_ptr(), 0) })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: ours, and closed here only.
        unsafe { libc::close(self.0) };
    }
}

/// A name of less than `N` bytes as the C library takes it. On the stack: the heap may be empty when a file has to be
/// looked at, and then there must be an answer.
pub(crate) struct CName<const N: usize>([u8; N]);

impl<const N: usize> CName<N> {
    /// These parts, one after the other.
    pub(crate) fn new(parts: &[&[u8]]) -> io::Result<Self> {
        let mut name = [0; N];
        let mut end = 0;
        for part in parts {
            if part.contains(&0) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let too_long = || io::Error::from_raw_os_error(libc::ENAMETOOLONG);
            name.get_mut(end..end + part.len()).ok_or_else(too_long)?.copy_from_slice(part);
            end += part.len();
        }
        // One byte is left for the end.
        if end < N { Ok(Self(name)) } else { Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG)) }
    }
}

impl<const N: usize> Deref for CName<N> {
    type Target = CStr;

    fn deref(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// Gives `call` a path as the C library takes it: on the stack if it is short (see [`CName`]), because the stack may be
/// short as well, else on the heap.
fn with_c_path<R>(path: &Path, call: impl FnOnce(&CStr) -> io::Result<R>) -> io::Result<R> {
    let c_str = |bytes| CStr::from_bytes_with_nul(bytes).map_err(|_| io::ErrorKind::InvalidInput);
    let path = path.as_os_str().as_bytes();
    let mut short = [0; 256];
    if let Some(place) = short.get_mut(..path.len()) {
        place.copy_from_slice(path);
        if let Some(bytes) = short.get(..=path.len()) {
            return call(c_str(bytes)?);
        }
    }
    let mut long = Vec::new();
    long.try_reserve_exact(path.len() + 1).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
    long.extend_from_slice(path);
    long.push(0);
    call(c_str(&long)?)
}

/// What a path is, at the end of its links.
pub(crate) fn stat(path: &Path) -> io::Result<libc::stat> {
    with_c_path(path, |path| stat_by(libc::AT_FDCWD, path, 0))
}

/// What a path is, a link for itself.
pub(crate) fn lstat(path: &Path) -> io::Result<libc::stat> {
    with_c_path(path, |path| stat_by(libc::AT_FDCWD, path, libc::AT_SYMLINK_NOFOLLOW))
}

fn stat_by(dir: libc::c_int, name: &CStr, flags: libc::c_int) -> io::Result<libc::stat> {
    let mut stat = MaybeUninit::uninit();
    // SAFETY: a C string of ours, and room for a stat.
    done(|| unsafe { libc::fstatat(dir, name.as_ptr(), stat.as_mut_ptr(), flags) })?;
    // SAFETY: fstatat fills it in when it succeeds.
    Ok(unsafe { stat.assume_init() })
}

fn done(mut call: impl FnMut() -> libc::c_int) -> io::Result<()> {
    retry(|| call() as isize).map(drop)
}

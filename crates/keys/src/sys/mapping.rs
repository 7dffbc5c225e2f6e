//! Memory that several processes share.

use std::io;
use std::ptr::{self, NonNull};

use super::retry;

/// A zeroed page that this process shares with all that are forked from it from now on. Never unmapped.
pub(crate) fn shared_page<T>() -> Option<NonNull<T>> {
    const { assert!(size_of::<T>() <= 4096 && align_of::<T>() <= 4096) }
    let start = map(-1, 4096, libc::MAP_SHARED | libc::MAP_ANONYMOUS).ok()?;
    NonNull::new(ptr::with_exposed_provenance_mut(start))
}

/// A zeroed page of this process's own; a child has a copy. Never unmapped.
pub(crate) fn private_page<T>() -> Option<NonNull<T>> {
    const { assert!(size_of::<T>() <= 4096 && align_of::<T>() <= 4096) }
    let start = map(-1, 4096, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS).ok()?;
    NonNull::new(ptr::with_exposed_provenance_mut(start))
}

/// So many zeroed `T`, which this process shares with all that are forked from it from now on: address space alone, of which
/// a page is taken when it is first written. Never unmapped.
///
/// `T` is made of atomics, which are zero to begin with.
pub(crate) fn shared_pages<T: Sync>(count: usize) -> Option<&'static [T]> {
    const { assert!(align_of::<T>() <= 4096 && size_of::<T>() > 0) }
    let len = count.checked_mul(size_of::<T>())?;
    let start = map(-1, len, libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE).ok()?;
    let start = ptr::with_exposed_provenance_mut::<T>(start);
    // If the system refuses, more is taken than is used.
    for advice in [libc::MADV_NOHUGEPAGE, libc::MADV_DONTDUMP] {
        // SAFETY: a mapping of ours; changes how much is taken at once, and what is in a core dump.
        unsafe { libc::madvise(start.cast(), len, advice) };
    }
    // SAFETY: so long, aligned to a page, zeroed, never unmapped; processes that share it use its atomics alone.
    Some(unsafe { std::slice::from_raw_parts(start, count) })
}

/// Whether the process has all memory that it is given locked, and so taken at once (mlockall(2), `MCL_FUTURE`). The advice
/// that a page is not needed is refused for one that is locked (madvise(2)).
pub(crate) fn locks_new_memory() -> bool {
    let Ok(page) = map(-1, 4096, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) else { return true };
    let start = ptr::with_exposed_provenance_mut(page);
    // SAFETY: a page of ours that nobody uses.
    let done = unsafe { libc::madvise(start, 4096, libc::MADV_DONTNEED) };
    // SAFETY: the same page, unmapped once.
    unsafe { libc::munmap(start, 4096) };
    done != 0
}

/// How much address space the process may have (`RLIMIT_AS`); the largest number for as much as it likes.
pub(crate) fn address_space_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: room for a limit. If the system does not say, it is as above.
    unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) };
    limit.rlim_cur
}

/// A file's bytes at an address that is never used as one: whoever truncates the file would end the process that does
/// (SIGBUS). The kernel copies to it and from it, and says EFAULT instead.
#[derive(Clone, Copy)]
pub(crate) struct Mapping {
    start: usize,
    len: usize,
}

impl Mapping {
    pub(super) fn of(fd: libc::c_int, len: usize) -> io::Result<Self> {
        Ok(Self { start: map(fd, len, libc::MAP_SHARED)?, len })
    }

    /// Copies `bytes` to it.
    pub(crate) fn write(self, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.copy(at, bytes.as_ptr(), bytes.len())
    }

    /// Copies the bytes of `value` to it, which others may change meanwhile.
    pub(crate) fn write_from<T>(self, at: usize, value: &T) -> io::Result<()> {
        self.copy(at, ptr::from_ref(value).cast(), size_of::<T>())
    }

    fn copy(self, at: usize, from: *const u8, len: usize) -> io::Result<()> {
        let here = libc::iovec { iov_base: from.cast_mut().cast(), iov_len: len };
        let there = self.part(at, len)?;
        let pid = super::process_id().cast_signed();
        // SAFETY: `here` is read by the kernel alone, which fails for what cannot be read. `there` lies in a mapping that is there for this alone, so
        // nothing that Rust knows of is changed; if nothing is there, the call fails.
        let copied = retry(|| unsafe { libc::process_vm_writev(pid, &here, 1, &there, 1, 0) })?;
        if copied == len { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Copies from it. Like `write` without memory from the allocator: a child of fork(2) calls it.
    pub(crate) fn read<const N: usize>(self, parts: [(usize, &mut [u8]); N]) -> io::Result<()> {
        let mut wanted = 0;
        let none = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        let (mut here, mut there) = ([none; N], [none; N]);
        for (index, (at, bytes)) in parts.into_iter().enumerate() {
            wanted += bytes.len();
            here[index] = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            there[index] = self.part(at, bytes.len())?;
        }
        let (pid, count) = (super::process_id().cast_signed(), N as libc::c_ulong);
        // SAFETY: each of `here` is valid for writes of its length; for `there` see `write`.
        let copied = retry(|| unsafe { libc::process_vm_readv(pid, here.as_ptr(), count, there.as_ptr(), count, 0) })?;
        if copied == wanted { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn part(self, at: usize, len: usize) -> io::Result<libc::iovec> {
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(libc::iovec { iov_base: ptr::without_provenance_mut(self.start + at), iov_len: len })
    }
}

fn map(fd: libc::c_int, len: usize, flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let start = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) };
    if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(start.expose_provenance()) }
}

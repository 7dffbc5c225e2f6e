//! What has to hold around every system call that is made inside somebody else's process.

mod file;
mod mapping;
mod owner_lock;

use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::ptr;

pub(crate) use file::{CName, File, lstat, stat};
pub(crate) use mapping::{Mapping, address_space_limit, locks_new_memory, private_page, shared_page, shared_pages};
pub(crate) use owner_lock::{NotLocked, OwnerLock};

/// Runs `work` as a guest should: `errno` is afterwards what it was before (a server looks at it after `SSL_read`),
/// and the thread cannot be cancelled inside (`open`, `read` and `write` are cancellation points, and unwinding a
/// cancelled thread through Rust's frames is not allowed).
pub(crate) fn as_a_guest<R>(work: impl FnOnce() -> R) -> R {
    let _errno = Errno::keep();
    let _cancel = NoCancel::new();
    work()
}

/// Repeats a call that a signal interrupted. `call` returns -1 with `errno` as system calls do.
pub(crate) fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(n) => return Ok(n),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Writes `bytes` in one call, raising no signal if nobody can take them.
pub(crate) fn write(fd: libc::c_int, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` is valid for reads of its length.
    quietly(|| retry(|| unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) }))
}

/// Runs a call that writes to a file, without the signals that such calls may raise.
fn quietly<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let mut signals = QuietSignals { ours: no_signals(), before: no_signals(), raised: false };
    signals.block();
    let done = call();
    // The two errors that come with a signal (write(2)).
    signals.raised = done.as_ref().is_err_and(|e| matches!(e.raw_os_error(), Some(libc::EPIPE | libc::EFBIG)));
    done
}

/// The user that this process acts as.
pub(crate) fn effective_user() -> libc::uid_t {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() }
}

/// The process id.
pub(crate) fn process_id() -> u32 {
    std::process::id()
}

/// Whether there is a process of that id, as far as this one can see.
pub(crate) fn process_exists(pid: u32) -> bool {
    let Some(pid) = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 0) else { return false };
    // SAFETY: signal 0 is none: it only asks.
    let asked = unsafe { libc::kill(pid, 0) };
    asked == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// A process's state (`Z` if it has ended and nobody knows yet), and when it was started, in seconds since the system
/// was; `None` if that cannot be seen.
pub(crate) fn process_stat(pid: u32) -> Option<(char, u64)> {
    let mut stat = [0; 1024];
    let len = File::open(Path::new(&format!("/proc/{pid}/stat"))).and_then(|file| file.read(&mut stat)).ok()?;
    // proc_pid_stat(5), fields 3 and 22. The name, in parentheses, may hold anything.
    let rest = stat[..len].rsplit(|b| *b == b')').next()?;
    let mut fields = std::str::from_utf8(rest).ok()?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let ticks: u64 = fields.nth(22 - 4)?.parse().ok()?;
    // SAFETY: no preconditions.
    let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?;
    Some((state, ticks.checked_div(per_second)?))
}

/// Half of the random id that the kernel has from its start to its end; 0 if it cannot be read.
pub(crate) fn boot_id() -> u64 {
    // "5ac7e8a0-92d4-4a6e-…"
    let mut text = [0; 18];
    let read = File::open(Path::new("/proc/sys/kernel/random/boot_id")).and_then(|file| file.read(&mut text));
    let digits = text.iter().filter_map(|b| char::from(*b).to_digit(16));
    if read.is_ok() { digits.fold(0, |id, digit| id << 4 | u64::from(digit)) } else { 0 }
}

/// What an open descriptor is; `None` if it is closed.
pub(crate) fn stat_fd(fd: libc::c_int) -> Option<libc::stat> {
    let mut stat = MaybeUninit::uninit();
    // SAFETY: room for a stat.
    let result = unsafe { libc::fstat(fd, stat.as_mut_ptr()) };
    // SAFETY: fstat fills it in when it succeeds.
    (result == 0).then(|| unsafe { stat.assume_init() })
}

/// Whether a descriptor was opened for appending, or for writing alone, and is handed on to other programs: what dup2(2)
/// puts in the place of stderr is, and what a program opens for itself is not, if it is written today.
pub(crate) fn is_handed_on(fd: libc::c_int, appends: bool) -> bool {
    // SAFETY: asks for flags; no pointers.
    let (flags, close_on_exec) = (unsafe { libc::fcntl(fd, libc::F_GETFL) }, unsafe { libc::fcntl(fd, libc::F_GETFD) });
    let wanted = if appends { flags & libc::O_APPEND != 0 } else { flags & libc::O_ACCMODE == libc::O_WRONLY };
    flags != -1 && wanted && close_on_exec == 0
}

/// Whether a descriptor is a socket that does not leave the machine (the journal's, for one).
pub(crate) fn is_local_socket(fd: libc::c_int) -> bool {
    let mut domain: libc::c_int = 0;
    let mut len = size_of_val(&domain) as libc::socklen_t;
    // SAFETY: room for an int, and its size.
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_DOMAIN, ptr::from_mut(&mut domain).cast(), &mut len) };
    result == 0 && domain == libc::AF_UNIX
}

/// Whether a write would neither wait nor fail.
pub(crate) fn is_writable_now(fd: libc::c_int) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd of ours.
    unsafe { libc::poll(&mut poll, 1, 0) == 1 && poll.revents == libc::POLLOUT }
}

/// The size of a page of memory.
pub(crate) fn page_size() -> usize {
    // SAFETY: no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

struct Errno(libc::c_int);

impl Errno {
    fn keep() -> Self {
        Self(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }
}

impl Drop for Errno {
    fn drop(&mut self) {
        // SAFETY: no preconditions.
        let place = unsafe { libc::__errno_location() };
        // SAFETY: this thread's errno is there as long as the thread is.
        unsafe { place.write(self.0) };
    }
}

struct NoCancel(libc::c_int);

unsafe extern "C" {
    // POSIX; the libc crate does not have it for Linux.
    fn pthread_setcancelstate(state: libc::c_int, old: *mut libc::c_int) -> libc::c_int;
}

/// `PTHREAD_CANCEL_DISABLE`, which is 1 in both glibc's and musl's pthread.h.
const CANCEL_DISABLE: libc::c_int = 1;

impl NoCancel {
    fn new() -> Self {
        let mut old = 0;
        // SAFETY: `old` is ours. The call changes this thread's state only.
        unsafe { pthread_setcancelstate(CANCEL_DISABLE, &mut old) };
        Self(old)
    }
}

impl Drop for NoCancel {
    fn drop(&mut self) {
        let mut old = 0;
        // SAFETY: as above; the state is one that the library gave us.
        unsafe { pthread_setcancelstate(self.0, &mut old) };
    }
}

/// Keeps a write to a closed pipe or beyond a file size limit from ending the host: SIGPIPE and SIGXFSZ go to the thread
/// that wrote, so blocking them there and taking back what became pending leaves the rest of the process as it was.
struct QuietSignals {
    ours: libc::sigset_t,
    before: libc::sigset_t,
    raised: bool,
}

impl QuietSignals {
    /// In place, because a set is 128 bytes, and a stack may be small.
    fn block(&mut self) {
        for signal in SIGNALS {
            // SAFETY: a set of ours, a signal that exists.
            unsafe { libc::sigaddset(&mut self.ours, signal) };
        }
        // SAFETY: sets of ours.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &self.ours, &mut self.before) };
        // One that the host had blocked may be pending: it is the host's, and must not be taken away.
        for signal in SIGNALS {
            // SAFETY: as above.
            if unsafe { libc::sigismember(&self.before, signal) } == 1 && is_pending(signal) {
                // SAFETY: as above.
                unsafe { libc::sigdelset(&mut self.ours, signal) };
            }
        }
    }
}

const SIGNALS: [libc::c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

#[cold]
#[inline(never)]
fn is_pending(signal: libc::c_int) -> bool {
    let mut pending = no_signals();
    // SAFETY: a set of ours.
    unsafe { libc::sigpending(&mut pending) };
    // SAFETY: as above, a signal that exists.
    unsafe { libc::sigismember(&pending, signal) == 1 }
}

impl Drop for QuietSignals {
    fn drop(&mut self) {
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a set and a time of ours; a null siginfo pointer is allowed.
        while self.raised && unsafe { libc::sigtimedwait(&self.ours, ptr::null_mut(), &now) } > 0 {}
        // SAFETY: the mask is what it was.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut()) };
    }
}

fn no_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: room for a set; sigemptyset fills it in and cannot fail for a valid pointer.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: just filled in.
    unsafe { set.assume_init() }
}

#[cfg(test)]
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "a test of system calls is a row of them")]
mod tests {
    use super::*;

    #[test]
    fn a_broken_pipe_is_an_error_and_no_signal() {
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors; they are used and closed here only.
        unsafe {
            assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
            libc::close(ends[0]);
            assert!(!is_writable_now(ends[1]));
            let before = libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            *libc::__errno_location() = 77;
            let result = as_a_guest(|| write(ends[1], b"x"));
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EPIPE));
            assert_eq!(*libc::__errno_location(), 77);
            libc::signal(libc::SIGPIPE, before);
            libc::close(ends[1]);
        }
    }
}

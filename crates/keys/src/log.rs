//! Lines for the operator: on stderr, prefixed `ticketshim: `, one write(2) each, and only where they are wanted.
//!
//! The library is a guest in processes whose descriptor 2 may be anything by now: daemons close it, and the next file
//! they open takes its place; inetd hands them the connection itself. So a line is written only to what was stderr when
//! the library was loaded, or to something that looks like a log that was put there since: a pipe, or a file opened
//! for appending, that is not closed on exec. Never to a connection or another device, never if there was no stderr at
//! load, and never where writing would wait.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering::Relaxed};

use crate::sys;

/// How much is written. Each level includes the ones before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Level {
    /// Nothing at all.
    Off,
    /// What the operator has to do something about, each thing once.
    #[default]
    Warn,
    /// Also what was loaded, and what changes.
    Info,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Warn as u8);
/// What descriptor 2 was at load, mixed into a number.
static STDERR: AtomicU64 = AtomicU64::new(UNKNOWN);
const CLOSED: u64 = 0;
/// Nobody has set up the log.
const UNKNOWN: u64 = 1;

/// Sets the level, and remembers what stderr is: called when the library is loaded.
pub fn set_up(level: Level) {
    LEVEL.store(level as u8, Relaxed);
    sys::as_a_guest(|| SESSION_TIMEOUT.prepare());
    STDERR.store(sys::as_a_guest(|| sys::stat_fd(libc::STDERR_FILENO)).map_or(CLOSED, |s| identity(&s)), Relaxed);
}

/// Whether [`info`] writes anything.
pub fn is_verbose() -> bool {
    LEVEL.load(Relaxed) >= Level::Info as u8
}

/// Writes a line if the level is [`Level::Info`].
pub fn info(line: fmt::Arguments<'_>) {
    if is_verbose() {
        write(line);
    }
}

/// Writes a line unless the level is [`Level::Off`]. Not for what can happen again and again: see [`warn_once`].
pub fn warn(line: fmt::Arguments<'_>) {
    if LEVEL.load(Relaxed) >= Level::Warn as u8 {
        write(line);
    }
}

/// Writes a line the first time that it is called with this `once`.
pub fn warn_once(once: &Once, line: fmt::Arguments<'_>) {
    if once.first() {
        warn(line);
    }
}

/// Remembers whether something was said. (Not `std::sync::Once`: a child of fork would wait there for a thread that was
/// inside and does not exist in the child.)
#[derive(Debug, Default)]
pub struct Once(AtomicBool);

impl Once {
    /// Not said yet.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// True once.
    pub fn first(&self) -> bool {
        !self.0.load(Relaxed) && !self.0.swap(true, Relaxed)
    }

    /// Forgets that it was said.
    pub fn again(&self) {
        self.0.store(false, Relaxed);
    }
}

/// As [`Once`], for a whole fork group: the process that loaded the library and all that is forked from it, so that a server
/// says it once and not with each of its workers.
#[derive(Debug)]
pub struct ForkGroupOnce {
    here: Once,
    /// In a page that children share; null if there was none to be had: then each process says it.
    shared: AtomicPtr<AtomicBool>,
}

/// That the server's session timeout is longer than its ticket keys open.
pub static SESSION_TIMEOUT: ForkGroupOnce =
    ForkGroupOnce { here: Once::new(), shared: AtomicPtr::new(std::ptr::null_mut()) };

impl ForkGroupOnce {
    /// True once in the fork group.
    pub fn first(&self) -> bool {
        // SAFETY: null or the page that `prepare` made, which is zeroed at first and never unmapped.
        let shared = unsafe { self.shared.load(Relaxed).as_ref() };
        self.here.first() && shared.is_none_or(|said| !said.swap(true, Relaxed))
    }

    fn prepare(&self) {
        if self.shared.load(Relaxed).is_null()
            && let Some(page) = sys::shared_page::<AtomicBool>()
        {
            self.shared.store(page.as_ptr(), Relaxed);
        }
    }
}

#[cold]
fn write(line: fmt::Arguments<'_>) {
    let mut text = Line { bytes: [0; 1024], len: 0 };
    // What does not fit is cut off; nothing else can fail.
    let _ = text.write_str("ticketshim: ").and_then(|()| text.write_fmt(line));
    text.bytes[text.len] = b'\n';
    let text = &text.bytes[..=text.len];
    sys::as_a_guest(|| {
        if may_write() {
            // Nobody can be told that telling failed.
            let _ = sys::write(libc::STDERR_FILENO, text);
        }
    });
}

fn may_write() -> bool {
    const FD: libc::c_int = libc::STDERR_FILENO;
    let at_load = STDERR.load(Relaxed);
    if at_load == CLOSED {
        // What is there now is the first that the program happened to open.
        return false;
    }
    let Some(stat) = sys::stat_fd(FD) else { return false };
    let same = identity(&stat) == at_load;
    let looks_like_a_log = match stat.st_mode & libc::S_IFMT {
        libc::S_IFCHR => same || at_load == UNKNOWN,
        libc::S_IFIFO => same || sys::is_handed_on(FD, false),
        libc::S_IFREG => same || sys::is_handed_on(FD, true),
        libc::S_IFSOCK => same && sys::is_local_socket(FD),
        _ => false,
    };
    // A file never makes a writer wait. Not to ask spares a call that a filter may forbid.
    looks_like_a_log && (stat.st_mode & libc::S_IFMT == libc::S_IFREG || sys::is_writable_now(FD))
}

/// Device and inode in one number; never 0. That two files share it is as unlikely as harmless.
fn identity(stat: &libc::stat) -> u64 {
    stat.st_dev.rotate_left(32) ^ stat.st_ino | 1 << 63
}

/// Leaves room for the newline. Control characters (a path may hold any) are written as `?`: a line stays a line.
struct Line {
    bytes: [u8; 1024],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let Some(place) = self.bytes[self.len..].split_last_mut().and_then(|(_, room)| room.first_mut()) else {
                return Err(fmt::Error);
            };
            *place = if byte.is_ascii_control() { b'?' } else { byte };
            self.len += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_off_and_stays_one_line() {
        let mut line = Line { bytes: [0; 1024], len: 0 };
        line.write_str("a\nb\x1b[31m").unwrap();
        assert_eq!(&line.bytes[..line.len], b"a?b?[31m");
        assert!(line.write_str(&"x".repeat(5000)).is_err());
        assert_eq!(line.len, 1023);
    }

    #[test]
    fn once_is_once_until_forgotten() {
        let once = Once::new();
        assert!(once.first() && !once.first());
        once.again();
        assert!(once.first());
    }
}

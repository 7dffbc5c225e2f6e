//! How things are written: errors, hex, times.

use std::fmt::{self, Display};
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde::Serialize;

pub use ticketshim_keys::clock::{Utc, parse_utc};

use crate::exit::Exit;

/// Something was written to stdout, or tried to be.
static SAID: AtomicBool = AtomicBool::new(false);
/// Why some of it did not get there.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Writes a line about trouble to stderr.
pub fn complain(what: impl Display) {
    // Nobody can be told that telling failed.
    let _ = writeln!(io::stderr(), "ticketshim: {what}");
}

/// Writes a line of a result to stdout. [`finish`] says if it did not get there.
pub fn say(what: impl Display) {
    say_text(format_args!("{what}\n"));
}

/// Writes a result to stdout as it is.
pub fn say_text(what: impl Display) {
    said(write!(io::stdout(), "{what}"));
}

/// Takes note of what came of writing to stdout.
pub fn said(outcome: io::Result<()>) {
    SAID.store(true, Relaxed);
    if let Err(error) = outcome {
        // The first is the cause of the others.
        let _ = LOST.set(error);
    }
}

/// Whether there is nobody to say anything more to.
pub fn is_lost() -> bool {
    LOST.get().is_some()
}

/// What the command ends with: trouble if its output was lost. A reader who has closed the pipe has what it wanted.
pub fn finish(exit: Exit) -> Exit {
    if !SAID.load(Relaxed) {
        return exit;
    }
    said(io::stdout().flush().and_then(|()| close_a_copy()));
    match LOST.get() {
        None => exit,
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => exit,
        Some(error) => {
            complain(format_args!("the output is lost: stdout: {error}"));
            if exit == Exit::OK { Exit::TROUBLE } else { exit }
        }
    }
}

/// Some file systems say only when a file is closed that it did not fit. And std takes a stdout that was closed before
/// the start for one that nobody reads.
fn close_a_copy() -> io::Result<()> {
    let copy = io::stdout().as_fd().try_clone_to_owned()?;
    nix::unistd::close(copy).map_err(io::Error::from)
}

/// Writes a result to stdout as JSON.
pub fn say_json(what: &impl Serialize) {
    match serde_json::to_string_pretty(what) {
        Ok(text) => say(text),
        Err(error) => complain(error),
    }
}

/// Bytes in hex.
pub struct Hex<'a>(pub &'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The last part of a path.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A user's name, and number.
pub fn user_name(uid: u32) -> String {
    name_in("/etc/passwd", uid).map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
}

/// A group's name, and number.
pub fn group_name(gid: u32) -> String {
    name_in("/etc/group", gid).map_or_else(|| format!("gid {gid}"), |name| format!("{name} (gid {gid})"))
}

/// The number of a group that is named, or given as a number.
pub fn group_of_name(name: &str) -> Option<u32> {
    if let Ok(gid) = name.parse() {
        return Some(gid);
    }
    let text = fs::read_to_string("/etc/group").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        fields.nth(1)?.parse().ok()
    })
}

/// Only what is in the file: asking a directory server over the network is not worth a name.
fn name_in(file: &str, id: u32) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_calendars_have_them() {
        let known = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_735_689_600, "2025-01-01 00:00:00 UTC"),
            (4_102_444_799, "2099-12-31 23:59:59 UTC"),
        ];
        for (seconds, text) in known {
            assert_eq!(Utc(seconds).to_string(), text);
        }
    }
}

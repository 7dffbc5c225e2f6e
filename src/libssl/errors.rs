//! The OpenSSL error queue: what we reject is raised there with a text that says what to do; what we merely try leaves
//! no trace.

use std::ffi::CStr;
use std::fmt::{self, Display, Write};

use super::ffi;
use super::mechanism::{self, Reason};

/// Raises `text`, prefixed with the library's name, under libssl's number and one of OpenSSL's common reasons. So a
/// program that prints its error queue shows for example `passed a null parameter:ticketshim: …: ctx is NULL`.
pub(crate) fn raise(reason: Reason, text: impl Display) {
    let mut line = Line { bytes: [0; 512], len: 0 };
    // What does not fit is cut off; nothing else can fail.
    let _ = write!(line, "ticketshim: {text}");
    // None of our texts has an inner NUL, and the last byte is one.
    if let Ok(text) = CStr::from_bytes_until_nul(&line.bytes) {
        mechanism::raise(reason, text);
    }
}

/// On the stack: what is wrong may be that there is no memory.
struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - 1 - self.len;
        let part = &text.as_bytes()[..text.len().min(room)];
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
        if part.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Runs `body` and takes back whatever it left on the error queue.
pub(crate) fn quietly<T>(body: impl FnOnce() -> T) -> T {
    // No panic passes by the mark unseen: at worst one stays, which libcrypto clears with the queue.
    ffi::ERR_set_mark();
    let result = body();
    ffi::ERR_pop_to_mark();
    result
}

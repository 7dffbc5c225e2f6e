//! The OpenSSL error queue: what we reject is raised there with a text that says what to do; what we merely try leaves
//! no trace.

use std::ffi::CString;
use std::fmt::Display;

use super::ffi;
use super::mechanism::{self, Reason};

/// Raises `text`, prefixed with the library's name, under libssl's number and one of OpenSSL's common reasons. So a
/// program that prints its error queue shows for example `passed a null parameter:ticketshim: …: ctx is NULL`.
pub(crate) fn raise(reason: Reason, text: impl Display) {
    // `CString` refuses only an inner NUL, which none of our texts has.
    if let Ok(text) = CString::new(format!("ticketshim: {text}")) {
        mechanism::raise(reason, &text);
    }
}

/// Runs `body` and takes back whatever it left on the error queue.
pub(crate) fn quietly<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: always allowed; the mark is taken back below, and no panic passes by it unseen: at worst one mark stays,
    // which libcrypto clears with the queue.
    unsafe { ffi::ERR_set_mark() };
    let result = body();
    // SAFETY: as above.
    unsafe { ffi::ERR_pop_to_mark() };
    result
}

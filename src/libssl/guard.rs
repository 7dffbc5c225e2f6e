//! The panic guard, and one type for each meaning that an `int` has at this border.
//!
//! Zero means four things to libssl: failure of an API call, "no ticket", "key not known" and "cipher failed". Each
//! has a type, so that one cannot be returned for another (the last one's is in each mechanism); they become integers
//! only in the last line of an `extern "C"` function.

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ticketshim_keys::counters::{Counter, add};

/// Runs `body`; if it panics, counts that and gives `instead`, so that no panic crosses into C.
///
/// `AssertUnwindSafe`: what a panic may leave half done is a ticket, which `instead` gives up.
pub(crate) fn guard<T>(instead: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        // A payload with a panicking Drop would get out of here.
        std::mem::forget(payload);
        add(Counter::Failures);
        instead
    })
}

/// What a call of the API returns: 1 for success, 0 for failure with a text on the error queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Api {
    Done = 1,
    Failed = 0,
}

/// What the ticket key callback answers when a ticket is to be made (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sealing {
    /// Cipher and MAC are set up.
    Ready = 1,
    /// No ticket for this connection; the handshake goes on. (Negative would end it, so there is no such variant.)
    NoTicket = 0,
}

/// What the ticket key callback answers when a ticket came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opening {
    /// Cipher and MAC are set up; the ticket may be used again.
    Ready = 1,
    /// Cipher and MAC are set up; send a new ticket.
    ReadyRenew = 2,
    /// Not ours: full handshake.
    Unknown = 0,
}

/// Makes a type like those above the integer that C takes it for.
macro_rules! to_int {
    ($($name:ident),*) => {$(
        impl From<$name> for std::ffi::c_int {
            fn from(value: $name) -> Self {
                value as Self
            }
        }
    )*};
}
to_int!(Api, Sealing, Opening);

/// Makes a named place panic when the test suite asks for it: `TICKETSHIM_TEST_PANIC=place`. Nothing in other builds.
pub(crate) fn maybe_panic(place: &str) {
    if asked(c"TICKETSHIM_TEST_PANIC", place) {
        std::panic::panic_any(format!("injected at {place}"));
    }
}

/// Whether a named place is to fail: `TICKETSHIM_TEST_FAIL=place`. Never in other builds.
pub(crate) fn maybe_fail(place: &str) -> bool {
    asked(c"TICKETSHIM_TEST_FAIL", place)
}

/// Whether what is left out is to be done as well and compared: `TICKETSHIM_TEST_COMPARE=sessions`.
#[cfg(feature = "fault-injection")]
pub(crate) fn compares() -> bool {
    asked(c"TICKETSHIM_TEST_COMPARE", "sessions")
}

#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
fn asked(_variable: &CStr, _place: &str) -> bool {
    false
}

/// Without memory of its own: tests have it fail.
#[cfg(feature = "fault-injection")]
fn asked(variable: &CStr, place: &str) -> bool {
    // SAFETY: a C string. Tests change their environment in one thread.
    let value = unsafe { libc::getenv(variable.as_ptr()) };
    // SAFETY: null was excluded, so it is a C string of the environment.
    !value.is_null() && unsafe { CStr::from_ptr(value) }.to_bytes() == place.as_bytes()
}

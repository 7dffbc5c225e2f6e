//! What is asked of a session, and done with it.

use std::ffi::c_int;

use openssl_sys::{SSL_SESSION, SSL_SESSION_get_time, SSL_SESSION_get_timeout, SSL_SESSION_up_ref};

/// Whether what `d2i_SSL_SESSION` makes of it would be serialised to the same bytes: times of 0 are left out, and
/// become now and three seconds in a copy, which so is longer: libssl ends the handshake over that.
///
/// # Safety
/// `session` is a live session for this call.
pub(crate) unsafe fn is_plain(session: *const SSL_SESSION) -> bool {
    // SAFETY: a live session, by the caller's promise (SSL_SESSION_get_time(3)).
    let time = unsafe { SSL_SESSION_get_time(session) };
    // SAFETY: a live session, by the caller's promise (SSL_SESSION_get_timeout(3)).
    let timeout = unsafe { SSL_SESSION_get_timeout(session) };
    time > 0 && timeout > 0
}

/// Takes a reference, for a copy that is none. `place` and `len`: the bytes of which that copy would be made.
///
/// # Safety
/// `session` is a live session for this call, and `place` has `len` readable bytes.
pub(crate) unsafe fn share(session: *mut SSL_SESSION, place: *const u8, len: c_int) -> bool {
    #[cfg(feature = "fault-injection")]
    // SAFETY: the caller's promise.
    unsafe {
        compared::compare(session, place, len);
    }
    #[cfg(not(feature = "fault-injection"))]
    let _ = (place, len);
    // SAFETY: a live session, by the caller's promise: libssl is at work with it (SSL_SESSION_up_ref(3)).
    unsafe { SSL_SESSION_up_ref(session) == 1 }
}

/// Test builds only: what libssl would have done is done too, and must come to the same bytes.
#[cfg(feature = "fault-injection")]
mod compared {
    use std::ffi::{c_int, c_long};
    use std::{ptr, slice};

    use openssl_sys::SSL_SESSION;

    use crate::libssl::guard::compares;
    use crate::libssl::real;

    /// Ends the process if there is any difference.
    ///
    /// # Safety
    /// As `share`.
    pub(super) unsafe fn compare(session: *mut SSL_SESSION, place: *const u8, len: c_int) {
        if !compares() {
            return;
        }
        let (Some(d2i), Some(i2d)) = (real::D2I_SSL_SESSION.get(), real::I2D_SSL_SESSION.get()) else { return };
        let Some(free) = real::SSL_SESSION_FREE.get() else { return };
        // SAFETY: `len` readable bytes, by the caller's promise.
        let once = unsafe { slice::from_raw_parts(place, len as usize) };
        let mut from = place;
        // SAFETY: `len` readable bytes (d2i_SSL_SESSION(3)).
        let copy = unsafe { d2i(ptr::null_mut(), &raw mut from, c_long::from(len)) };
        // SAFETY: null, or the session that was just made (i2d_SSL_SESSION(3)).
        let again = unsafe { i2d(copy, ptr::null_mut()) };
        let size = usize::try_from(again).unwrap_or_default();
        let mut bytes: Vec<u8> = Vec::new();
        // Tests have memory fail.
        if bytes.try_reserve_exact(size).is_err() {
            // SAFETY: made above, and used by nobody else (SSL_SESSION_free(3)).
            return unsafe { free(copy) };
        }
        bytes.resize(size, 0);
        let mut to = bytes.as_mut_ptr();
        // SAFETY: as many bytes as it has just asked for (i2d_SSL_SESSION(3)).
        unsafe { i2d(copy, &raw mut to) };
        // SAFETY: a live session, by the caller's promise (i2d_SSL_SESSION(3)).
        let length_now = unsafe { i2d(session, ptr::null_mut()) };
        if bytes != once || from != place.wrapping_add(len as usize) || length_now != len {
            eprintln!("ticketshim: a ticket that was serialised once differs from libssl's: {once:02x?}, {bytes:02x?}");
            std::process::abort();
        }
        // SAFETY: made above, and used by nobody else (SSL_SESSION_free(3)).
        unsafe { free(copy) };
    }
}

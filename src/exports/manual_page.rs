//! The three functions of the manual page SSL_CTX_set_session_ticket_cb(3).
//!
//! What they store is libssl's own business (the callbacks in the context, the data in the session, from where it goes
//! into the ticket that the core seals), so they hand over to the real functions. What they add is an answer where
//! libssl has none: to NULL, and to application data that no ticket can hold.

use std::ffi::{c_int, c_void};

use openssl_sys::{SSL_CTX, SSL_SESSION};

use super::types::{SSL_CTX_decrypt_session_ticket_fn, SSL_CTX_generate_session_ticket_fn};
use super::{call, context_of, is_null, pass, version_libssl_tickets};
use crate::libssl::errors::raise;
use crate::libssl::guard::{Api, guard};
use crate::libssl::mechanism::Reason;
use crate::libssl::{real, role};

/// The longest session, in bytes of DER, that libssl makes a ticket of (construct_stateless_ticket). A longer one ends
/// the handshake with internal_error.
const MAX_SESSION: usize = 0xFF00;

version_libssl_tickets!("SSL_CTX_set_session_ticket_cb");
/// Sets the callbacks for session ticket application data on a server's context. Either callback may be NULL, which
/// takes it back; arg is handed to both and stays the caller's. See SSL_CTX_set_session_ticket_cb(3).
///
/// Returns 1, or 0 with an entry on the error queue if ctx is NULL.
///
/// # Safety
/// ctx is NULL or a live SSL_CTX; the callbacks and arg stay valid for as long as ctx lives or until they are replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_set_session_ticket_cb(
    ctx: *mut SSL_CTX,
    gen_cb: SSL_CTX_generate_session_ticket_fn,
    dec_cb: SSL_CTX_decrypt_session_ticket_fn,
    arg: *mut c_void,
) -> c_int {
    pass!(real::SET_SESSION_TICKET_CB, of ctx; ctx, gen_cb, dec_cb, arg);
    guard(Api::Failed.into(), || {
        // SAFETY: the caller's promise: NULL, or a live SSL_CTX until this returns (SSL_CTX_set_session_ticket_cb(3)).
        let Some(context) = (unsafe { context_of(ctx, "SSL_CTX_set_session_ticket_cb") }) else {
            return Api::Failed.into();
        };
        let Some(real) = real::SET_SESSION_TICKET_CB.get() else { return Api::Failed.into() };
        if gen_cb.is_some() || dec_cb.is_some() {
            role::shows(context);
        }
        call!(real(ctx, gen_cb, dec_cb, arg))
    })
}

version_libssl_tickets!("SSL_SESSION_set1_ticket_appdata");
/// Copies len bytes at data into session ss, to go into every ticket that is made of it from then on; data stays the
/// caller's. NULL or a len of 0 clears it. May be called at any time before the ticket is made, usually in gen_cb.
///
/// Returns 1, or 0 with an entry on the error queue: ss is NULL, memory has run out, or len is over 65,280, which no
/// ticket can hold; then the session's application data is left as it was. As with libssl alone, data that fits by
/// itself and not together with the rest of the session (65,280 bytes of DER in all) is accepted here and ends the
/// handshake with internal_error when the ticket is made: only then is the session's size known.
///
/// # Safety
/// ss is NULL or a live session that no other thread changes; data is NULL or has len readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_SESSION_set1_ticket_appdata(
    ss: *mut SSL_SESSION,
    data: *const c_void,
    len: usize,
) -> c_int {
    pass!(real::SET1_TICKET_APPDATA, ss, data, len);
    guard(Api::Failed.into(), || {
        const FUNCTION: &str = "SSL_SESSION_set1_ticket_appdata";
        if is_null(ss, FUNCTION, "ss") {
            return Api::Failed.into();
        }
        if !data.is_null() && len > MAX_SESSION {
            raise(
                Reason::PassedInvalid,
                format_args!(
                    "{FUNCTION}: {len} bytes of application data fit no ticket, which holds a session of at most \
                     {MAX_SESSION} bytes: keep the data on the server and put its key into the ticket"
                ),
            );
            return Api::Failed.into();
        }
        let Some(real) = real::SET1_TICKET_APPDATA.get() else { return Api::Failed.into() };
        call!(real(ss, data, len))
    })
}

version_libssl_tickets!("SSL_SESSION_get0_ticket_appdata");
/// Gives the application data of session ss: *data points to it and *len is its length in bytes. It belongs to the
/// session and is valid until the session is freed or other data is set. Without any, *data is NULL and *len is 0.
///
/// Returns 1, or 0 with an entry on the error queue if a pointer is NULL; then nothing is written.
///
/// # Safety
/// ss is NULL or a live session; data and len are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_SESSION_get0_ticket_appdata(
    ss: *mut SSL_SESSION,
    data: *mut *mut c_void,
    len: *mut usize,
) -> c_int {
    pass!(real::GET0_TICKET_APPDATA, ss, data, len);
    guard(Api::Failed.into(), || {
        const FUNCTION: &str = "SSL_SESSION_get0_ticket_appdata";
        if is_null(ss, FUNCTION, "ss") || is_null(data, FUNCTION, "data") || is_null(len, FUNCTION, "len") {
            return Api::Failed.into();
        }
        let Some(real) = real::GET0_TICKET_APPDATA.get() else { return Api::Failed.into() };
        call!(real(ss, data, len))
    })
}

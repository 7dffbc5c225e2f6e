//! The manual page's types and constants, for the header: programs that include `<openssl/ssl.h>` have them from there.
#![expect(non_camel_case_types, reason = "the names in <openssl/ssl.h>")]
#![expect(dead_code, reason = "for the header; what libssl hands to callbacks does not pass through us")]

use std::ffi::{c_int, c_uchar, c_void};

use openssl_sys::{SSL, SSL_SESSION};

/// What came of decrypting a ticket: one of SSL_TICKET_EMPTY, _NO_DECRYPT, _SUCCESS, _SUCCESS_RENEW (the others never
/// reach a callback).
#[cfg(not(ticketshim_openssl_header))]
pub type SSL_TICKET_STATUS = c_int;
/// What dec_cb wants done: one of the SSL_TICKET_RETURN_... values.
#[cfg(not(ticketshim_openssl_header))]
pub type SSL_TICKET_RETURN = c_int;

/// Status: fatal error, out of memory. Never given to dec_cb.
#[cfg(not(ticketshim_openssl_header))]
pub const SSL_TICKET_FATAL_ERR_MALLOC: SSL_TICKET_STATUS = 0;
/// Status: fatal error, or dec_cb has returned SSL_TICKET_RETURN_ABORT. Never given to dec_cb.
#[cfg(not(ticketshim_openssl_header))]
pub const SSL_TICKET_FATAL_ERR_OTHER: SSL_TICKET_STATUS = 1;
/// Status: no ticket present. Never given to dec_cb.
#[cfg(not(ticketshim_openssl_header))]
pub const SSL_TICKET_NONE: SSL_TICKET_STATUS = 2;
/// Status: the client sent an empty ticket, asking for one (TLS 1.2 and below).
#[cfg(not(ticketshim_openssl_header))]
pub const SSL_TICKET_EMPTY: SSL_TICKET_STATUS = 3;
/// Status: the ticket could not be decrypted.
#[cfg(not(ticketshim_openssl_header))]
pub const SSL_TICKET_NO_DECRYPT: SSL_TICKET_STATUS = 4;
/// Status: decrypted.
#[cfg(not(ticketshim_openssl_header))]
pub const SSL_TICKET_SUCCESS: SSL_TICKET_STATUS = 5;
/// Status: decrypted, and a new ticket is due.
#[cfg(not(ticketshim_openssl_header))]
pub const SSL_TICKET_SUCCESS_RENEW: SSL_TICKET_STATUS = 6;

/// Answer: end the handshake.
#[cfg(not(ticketshim_openssl_header))]
pub const SSL_TICKET_RETURN_ABORT: SSL_TICKET_RETURN = 0;
/// Answer: full handshake, no new ticket.
#[cfg(not(ticketshim_openssl_header))]
pub const SSL_TICKET_RETURN_IGNORE: SSL_TICKET_RETURN = 1;
/// Answer: full handshake, new ticket.
#[cfg(not(ticketshim_openssl_header))]
pub const SSL_TICKET_RETURN_IGNORE_RENEW: SSL_TICKET_RETURN = 2;
/// Answer: resume, no new ticket.
#[cfg(not(ticketshim_openssl_header))]
pub const SSL_TICKET_RETURN_USE: SSL_TICKET_RETURN = 3;
/// Answer: resume, new ticket.
#[cfg(not(ticketshim_openssl_header))]
pub const SSL_TICKET_RETURN_USE_RENEW: SSL_TICKET_RETURN = 4;

/// Called when a ticket is about to be made for connection s; SSL_get_session(s) gives the session to put application
/// data into. Returns 1 to go on; 0 ends the connection with an internal_error alert.
#[cfg(not(ticketshim_openssl_header))]
pub type SSL_CTX_generate_session_ticket_fn = Option<unsafe extern "C" fn(s: *mut SSL, arg: *mut c_void) -> c_int>;

/// Called when decrypting a ticket has been tried. ss is valid only with status SSL_TICKET_SUCCESS or
/// SSL_TICKET_SUCCESS_RENEW and is not to be freed; keyname (keyname_len bytes, 16 or what there is of a shorter
/// ticket) names the key, and is valid during the call. Returns what is to be done.
#[cfg(not(ticketshim_openssl_header))]
pub type SSL_CTX_decrypt_session_ticket_fn = Option<
    unsafe extern "C" fn(
        s: *mut SSL,
        ss: *mut SSL_SESSION,
        keyname: *const c_uchar,
        keyname_len: usize,
        status: SSL_TICKET_STATUS,
        arg: *mut c_void,
    ) -> SSL_TICKET_RETURN,
>;

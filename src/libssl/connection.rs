//! What we keep per `SSL`: the context it started on, and what the ticket it was resumed from said.

use std::ffi::{c_int, c_long, c_void};

use openssl_sys::{
    CRYPTO_EX_DATA, DTLS_client_method, SSL, SSL_CTX, SSL_METHOD, SSL_get_SSL_CTX, SSL_get_ex_data, TLS_client_method,
};
use ticketshim_core::Binding;
use ticketshim_core::binding::PolicyDigest;
use ticketshim_core::format::FullHandshake;
use ticketshim_keys::settings::Mode;

use super::ex_data::Class;
use super::memory::try_box;
use super::{context, crossings, ffi};
use crate::shim::shim;

/// Our part of an `SSL`. Lives in its ex_data and dies with it.
#[derive(Default)]
pub(crate) struct Connection {
    /// The context that the connection started on: whose ticket callbacks and keys libssl uses, whatever the
    /// servername callback switches to later. Kept alive by libssl for as long as the SSL (`session_ctx`).
    /// Null until [`of`] was first asked, if libssl did not know it yet when it made the SSL.
    pub(crate) first: *mut SSL_CTX,
    /// The last ticket of this connection that opened.
    pub(crate) opened: Option<OpenedTicket>,
    /// The policy that this one was opened for, until the servername callback has shown what it is.
    pub(super) foretold: Option<PolicyDigest>,
    /// The policy that the client was asked under.
    pub(super) asked: Option<PolicyDigest>,
    /// The crossing (`ticketshim_core::binding::Crossing`) at which a ticket was looked at, until the servername callback.
    pub(super) looked_up: Option<[u8; 32]>,
    /// The crossing that led to `asked`, until that is remembered.
    pub(super) crossing: Option<[u8; 32]>,
}

/// What a ticket that opened says about the tickets that will follow it.
#[derive(Clone, Copy)]
pub(crate) struct OpenedTicket {
    pub(crate) time: FullHandshake,
    pub(crate) binding: Binding,
    /// Which session it is (`ticketshim_core::session::fingerprint`); TLS 1.2 and below only, where it stays the same.
    pub(crate) session: Option<[u8; 16]>,
    /// Whom the connection lets in, as it was foretold when the ticket was opened; `None` where that is not bound.
    pub(super) policy: Option<PolicyDigest>,
}

impl Connection {
    /// Remembers which policy the server name led to.
    pub(super) fn remember(&mut self) {
        if let (Some(crossing), Some(policy)) = (self.crossing.take(), &self.asked) {
            crossings::put(&crossing, policy);
        }
    }
}

/// Has libssl tell us of every `SSL_CTX` and `SSL` that is made from now on. Called before a context of this method is made.
/// False if nothing is to be kept of that: it is a client's, and there was none of another kind before. So a program that
/// is a client only has its ex_data indexes for itself.
pub(crate) fn watch(method: *const SSL_METHOD) -> bool {
    if shim().settings.mode == Mode::Off {
        return true;
    }
    if !context::is_watched() && is_clients(method) {
        return false;
    }
    context::watch();
    PARTS.reserve(ffi::EX_INDEX_SSL, Some(new_connection), Some(dup_connection), free_connection);
    true
}

/// Whether it is a method that only clients have.
fn is_clients(method: *const SSL_METHOD) -> bool {
    // SAFETY: always allowed: the address of a constant of libssl's.
    let tls = unsafe { TLS_client_method() };
    // SAFETY: as above.
    let dtls = unsafe { DTLS_client_method() };
    method == tls || method == dtls
}

/// Our part of a connection. `None` for one that was made before we watched, or when memory had run out.
///
/// # Safety
/// `ssl` is alive, and nobody else uses its [`Connection`] while the reference lives: libssl's rule that one thread at
/// a time uses an `SSL` gives that inside a callback that was handed it.
pub(crate) unsafe fn of<'a>(ssl: *mut SSL) -> Option<&'a mut Connection> {
    // SAFETY: the caller's promise: a live SSL.
    let mut connection = PARTS.get::<Connection>(ssl.cast(), |index| unsafe { SSL_get_ex_data(ssl, index) })?;
    // SAFETY: what new_connection stored, and free_connection has not taken away; unshared by the caller's promise.
    let connection = unsafe { connection.as_mut() };
    if connection.first.is_null() {
        // Still the first: SSL_set_SSL_CTX asks before it changes it.
        // SAFETY: the caller's promise: a live SSL.
        connection.first = unsafe { SSL_get_SSL_CTX(ssl) };
    }
    Some(connection)
}

/// Each SSL's [`Connection`].
static PARTS: Class = Class::new(true);

/// Called by libssl when it makes an SSL: up to 3.1 when that has its context, from 3.2 on just before.
unsafe extern "C" fn new_connection(
    parent: *mut c_void,
    _ptr: *mut c_void,
    ad: *mut CRYPTO_EX_DATA,
    _index: c_int,
    _argl: c_long,
    _argp: *mut c_void,
) {
    super::guard::guard((), || {
        // SAFETY: libssl's promise: `ad` is the new SSL's.
        let write = |index, value| unsafe { ffi::CRYPTO_set_ex_data(ad, index, value) };
        PARTS.tell(write);
        // SAFETY: libssl's promise: for this class of ex_data the parent is the SSL being made.
        let first = unsafe { SSL_get_SSL_CTX(parent.cast::<SSL>()) };
        if !first.is_null() && context::of(first).is_none() {
            return;
        }
        let Some(connection) = try_box(Connection { first, ..Connection::default() }) else { return };
        let connection = Box::into_raw(connection);
        if !PARTS.set(parent, connection, write) {
            // SAFETY: made by into_raw above and not taken.
            drop(unsafe { Box::from_raw(connection) });
        }
    });
}

/// Called by libssl inside `SSL_dup`, after the new SSL had its own `new_connection`: what that put there stays.
unsafe extern "C" fn dup_connection(
    to: *mut CRYPTO_EX_DATA,
    _from: *const CRYPTO_EX_DATA,
    from_d: *mut *mut c_void,
    index: c_int,
    _argl: c_long,
    _argp: *mut c_void,
) -> c_int {
    // SAFETY: libssl's promise: the ex_data of the new SSL.
    let own = unsafe { ffi::CRYPTO_get_ex_data(to, index) };
    // SAFETY: libssl's promise: the place of the value that will be stored in the new SSL.
    unsafe { *from_d = own };
    1
}

/// Called by libssl when the SSL dies; destructors of others may still come, and use it.
unsafe extern "C" fn free_connection(
    parent: *mut c_void,
    _connection: *mut c_void,
    ad: *mut CRYPTO_EX_DATA,
    _index: c_int,
    _argl: c_long,
    _argp: *mut c_void,
) {
    super::guard::guard((), || {
        // SAFETY: libssl's promise: `ad` is that of the SSL, still whole.
        let read = |index| unsafe { ffi::CRYPTO_get_ex_data(ad, index) };
        // SAFETY: as above.
        let write = |index, value| unsafe { ffi::CRYPTO_set_ex_data(ad, index, value) };
        if let Some(connection) = PARTS.take::<Connection>(parent, read, write) {
            // SAFETY: what new_connection stored (made by Box), and nobody finds any more.
            drop(unsafe { Box::from_raw(connection.as_ptr()) });
        }
    });
}

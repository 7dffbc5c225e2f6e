//! What we keep per `SSL`: the context it started on, and what the ticket it was resumed from said.

use std::ffi::{c_int, c_void};
use std::ptr;

use openssl_sys::{DTLS_client_method, SSL, SSL_CTX, SSL_METHOD, TLS_client_method};
use ticketshim_core::Binding;
use ticketshim_core::binding::PolicyDigest;
use ticketshim_core::format::FullHandshake;
use ticketshim_keys::settings::Mode;

use super::ex_data::{Class, Part};
use super::handle::{Ctx, Ssl};
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
    Connection::class().reserve();
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
    // SAFETY: the caller's promise: a live SSL, for as long as the reference.
    let ssl = unsafe { Ssl::new(ssl) };
    let mut connection = Connection::class().get(&ssl)?;
    // SAFETY: what `Class::give` stored, alive as long as the SSL; unshared by the caller's promise.
    let connection = unsafe { connection.as_mut() };
    if connection.first.is_null() {
        // Still the first: SSL_set_SSL_CTX asks before it changes it.
        connection.first = ssl.ctx().map_or(ptr::null_mut(), Ctx::as_ptr);
    }
    Some(connection)
}

impl Part for Connection {
    const KIND: c_int = ffi::EX_INDEX_SSL;
    const ALL_END: bool = true;

    fn class() -> &'static Class<Self> {
        static CONNECTIONS: Class<Connection> = Class::new();
        &CONNECTIONS
    }

    /// Up to 3.1 the new SSL has its context, from 3.2 on it gets it just after.
    unsafe fn of_new(ssl: *mut c_void) -> Option<Self> {
        // SAFETY: the caller's promise (`Part::of_new`): an SSL, alive for the length of this call.
        let first = unsafe { Ssl::new(ssl.cast()) }.ctx();
        if first.is_some_and(|first| first.part().is_none()) {
            return None;
        }
        Some(Self { first: first.map_or(ptr::null_mut(), Ctx::as_ptr), ..Self::default() })
    }
}

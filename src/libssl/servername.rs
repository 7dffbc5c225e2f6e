//! The application's servername callback, and what it makes of a connection.
//!
//! libssl has opened the client's ticket by the time it calls this one, and it is here that most servers switch to a
//! virtual host. So ours stands in front of the application's: afterwards it is known under which policy the client is
//! let in. The ticket was opened for the policy that was foretold (`crossings`). If it turns out to be another, nothing
//! can make a full handshake of this one any more, and it is ended: that takes a server that leads one name from one
//! context to another policy than before. From then on that crossing is not relied on, so it happens once.

use std::ffi::{c_int, c_long, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use openssl_sys::{
    SSL, SSL_AD_ACCESS_DENIED, SSL_CTX, SSL_TLSEXT_ERR_ALERT_FATAL, SSL_TLSEXT_ERR_NOACK, SSL_TLSEXT_ERR_OK,
    SSL_get_SSL_CTX, SSL_session_reused, TLS1_3_VERSION,
};
use ticketshim_core::binding::{Crossing, PolicyDigest};
use ticketshim_keys::counters::{Counter, add};
use ticketshim_keys::log;
use ticketshim_keys::settings::Bind;

use super::connection::{self, Connection};
use super::context::{self, Context};
use super::ffi::{self, AnyFn};
use super::guard::guard;
use super::handle::Ssl;
use super::place::{Moment, protocol, server_name};
use super::{client_auth, crossings, policy, trust};
use crate::shim::shim;

/// The callback's type (SSL_CTX_set_tlsext_servername_callback(3)). C++ programs may throw through it.
type ServernameFn = unsafe extern "C-unwind" fn(*mut SSL, *mut c_int, *mut c_void) -> c_int;

/// The application's callback of a context; null for none.
#[derive(Default)]
pub(super) struct Servername(AtomicPtr<c_void>);

impl Servername {
    fn get(&self) -> Option<ServernameFn> {
        let callback = self.0.load(Ordering::Acquire);
        // SAFETY: null, or what `set` stored: a function of this type, by the promise of the application that set it.
        unsafe { std::mem::transmute::<*mut c_void, Option<ServernameFn>>(callback) }
    }
}

/// The application sets its callback, or takes it back; `real` sets what it is given.
pub(crate) fn set(ctx: *mut SSL_CTX, callback: AnyFn, real: impl FnOnce(AnyFn) -> c_long) -> c_long {
    let Some(context) = context::of(ctx) else { return real(callback) };
    let stored = callback.map_or(std::ptr::null_mut(), |callback| callback as *mut c_void);
    context.servername.0.store(stored, Ordering::Release);
    // SAFETY: libssl calls it back as the type that it has; AnyFn is only how it is handed over.
    let ours = unsafe { std::mem::transmute::<ServernameFn, unsafe extern "C" fn()>(in_front) };
    real(callback.map(|_| ours))
}

/// The callback that libssl will call for `ssl`: that of its context, or else that of the one it started on.
///
/// # Safety
/// `ssl` is alive.
unsafe fn callback(ssl: *mut SSL, first: Option<&Context>) -> Option<ServernameFn> {
    // SAFETY: the caller's promise.
    let now = context::of(unsafe { SSL_get_SSL_CTX(ssl) });
    now.and_then(|context| context.servername.get()).or_else(|| first?.servername.get())
}

/// What is foretold when a ticket comes in.
pub(super) enum Foretold {
    Policy(PolicyDigest),
    /// Not known yet, and it may be any.
    Unknown,
}

/// The policy that `ssl` will have when all callbacks have been called. `None` if memory has run out.
///
/// # Safety
/// `ssl` is alive and inside its ticket key callback, opening; `connection` is our part of it, and `first` that of the
/// context it started on.
pub(super) unsafe fn foretell(ssl: *mut SSL, connection: &mut Connection, first: &Context) -> Option<Foretold> {
    // SAFETY: the caller's promise.
    let now = unsafe { policy::of(Ssl::new(ssl)) }?;
    // SAFETY: the caller's promise.
    let may_change = unsafe { callback(ssl, Some(first)) }.is_some();
    if !may_change || !client_auth::is_requested() {
        return Some(Foretold::Policy(now));
    }
    // SAFETY: the caller's promise.
    let name = unsafe { server_name(ssl, Moment::Opening) }?;
    let crossing = crossing(first, &now, name);
    connection.looked_up = Some(crossing);
    Some(match crossings::get(&crossing) {
        Some(policy) => Foretold::Policy(policy),
        // There is no other context to switch to. (It may still set another verify mode: that shows afterwards.)
        None if context::count() == 1 => Foretold::Policy(now),
        None => Foretold::Unknown,
    })
}

fn crossing(first: &Context, policy: &PolicyDigest, name: Option<&[u8]>) -> [u8; 32] {
    Crossing { context_id: &first.place.id, trust_changes: trust::changes(), policy, name }.digest()
}

/// What libssl calls.
unsafe extern "C-unwind" fn in_front(ssl: *mut SSL, alert: *mut c_int, argument: *mut c_void) -> c_int {
    // SAFETY: libssl's promise: a live SSL. Clients have such callbacks too, and let nobody in.
    let serves = unsafe { ffi::SSL_is_server(ssl) } == 1;
    let before = guard(None, || {
        if !serves {
            return None;
        }
        // SAFETY: libssl's promise: an SSL in the middle of its handshake, its ClientHello still there.
        unsafe { before(ssl) }
    });
    // SAFETY: as above.
    let first = unsafe { connection::of(ssl) }.and_then(|connection| context::of(connection.first));
    // SAFETY: as above.
    let Some(callback) = (unsafe { callback(ssl, first) }) else { return SSL_TLSEXT_ERR_NOACK };
    // SAFETY: libssl's arguments, handed on; the argument is that of the context whose callback this is.
    let answer = unsafe { callback(ssl, alert, argument) };
    if answer == SSL_TLSEXT_ERR_ALERT_FATAL || !serves {
        return answer;
    }
    // SAFETY: as above.
    let resumed = unsafe { SSL_session_reused(ssl) } == 1;
    // SAFETY: as above. If that fails, a resumption has not been found right.
    let stays = guard(!resumed, || unsafe { after(ssl, resumed, answer, before) });
    if stays {
        return answer;
    }
    if !alert.is_null() {
        // SAFETY: libssl's promise: where the callback puts its alert.
        unsafe { *alert = SSL_AD_ACCESS_DENIED };
    }
    SSL_TLSEXT_ERR_ALERT_FATAL
}

/// What is known of a connection before the application's callback.
struct Before {
    looked_up: Option<[u8; 32]>,
    policy: PolicyDigest,
}

/// # Safety
/// `ssl` is alive and about to call its servername callback, and no other thread uses it.
unsafe fn before(ssl: *mut SSL) -> Option<Before> {
    if !policy_is_bound() {
        return None;
    }
    // SAFETY: the caller's promise; one thread at a time uses an SSL.
    let looked_up = unsafe { connection::of(ssl) }?.looked_up.take();
    // SAFETY: the caller's promise.
    Some(Before { looked_up, policy: unsafe { policy::of(Ssl::new(ssl)) }? })
}

/// Notes what the callback made of it. False if the session was resumed for another policy.
///
/// # Safety
/// `ssl` is alive, and no other thread uses it.
unsafe fn after(ssl: *mut SSL, resumed: bool, answer: c_int, before: Option<Before>) -> bool {
    // SAFETY: the caller's promise.
    let Some(connection) = (unsafe { connection::of(ssl) }) else { return true };
    if !policy_is_bound() {
        return true;
    }
    // SAFETY: the caller's promise.
    let policy = unsafe { policy::of(Ssl::new(ssl)) };
    connection.asked = policy;
    connection.crossing = before.as_ref().and_then(|before| before.looked_up);
    let policy_before = before.as_ref().map(|before| before.policy);
    // Without a ticket nobody has asked for the crossing yet. (In TLS 1.2 the name of a resumed connection is that of
    // its session, which only a ticket binds.)
    if connection.crossing.is_none()
        && !resumed
        && client_auth::is_requested()
        && let (Some(before), Some(first)) = (before, context::of(connection.first))
    {
        // SAFETY: the caller's promise; the extension has been evaluated by now.
        let name = unsafe { server_name(ssl, Moment::Sealing) };
        connection.crossing = name.map(|name| crossing(first, &before.policy, name));
    }
    // Up to TLS 1.2 libssl shows a resumed connection the name of its session, which is kept only if it was
    // acknowledged. A callback that goes by the name without acknowledging it will decide otherwise then.
    // SAFETY: the caller's promise.
    let shows_name = answer == SSL_TLSEXT_ERR_OK || unsafe { protocol(ssl) }.version == TLS1_3_VERSION as u16;
    if let (Some(then), Some(now)) = (policy_before, policy)
        && !resumed
        && !shows_name
        && then != now
    {
        connection.crossing = None;
        connection.asked = Some(PolicyDigest::between(&then, &now));
    }
    let Some(foretold) = connection.foretold.take() else { return true };
    if !resumed || policy == Some(foretold) {
        return true;
    }
    connection.remember();
    add(Counter::Ended);
    static SAID: log::Once = log::Once::new();
    log::warn_once(
        &SAID,
        format_args!(
            "a server name led to another client certificate policy than before; a resumption under the old one was \
             ended (the client can connect again)"
        ),
    );
    false
}

fn policy_is_bound() -> bool {
    matches!(shim().settings.bind, Bind::Strict | Bind::Context)
}

//! The servername callback that libssl calls: ours, in front of the application's.

use std::ffi::{c_int, c_long, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use openssl_sys::{SSL, SSL_AD_ACCESS_DENIED, SSL_TLSEXT_ERR_ALERT_FATAL, SSL_TLSEXT_ERR_NOACK};

use super::context::Context;
use super::ffi::AnyFn;
use super::guard::guard;
use super::handle::{Ctx, Evaluated, Ssl};
use super::servername::{after, before};

/// The callback's type (SSL_CTX_set_tlsext_servername_callback(3)). C++ programs may throw through it.
type ServernameFn = unsafe extern "C-unwind" fn(*mut SSL, *mut c_int, *mut c_void) -> c_int;

/// The application's callback of a context; null for none.
#[derive(Default)]
pub(super) struct Servername(AtomicPtr<c_void>);

impl Servername {
    fn get(&self) -> Option<ServernameFn> {
        let callback = self.0.load(Ordering::Acquire);
        // SAFETY: null, or what `set` stored: the application has set it as a callback of this type, for as long as it is
        // in the context (SSL_CTX_set_tlsext_servername_callback(3)).
        unsafe { std::mem::transmute::<*mut c_void, Option<ServernameFn>>(callback) }
    }
}

/// The application sets its callback, or takes it back; `real` sets what it is given.
pub(crate) fn set(ctx: Ctx<'_>, callback: AnyFn, real: impl FnOnce(AnyFn) -> c_long) -> c_long {
    let Some(context) = ctx.part() else { return real(callback) };
    let stored = callback.map_or(std::ptr::null_mut(), |callback| callback as *mut c_void);
    context.servername.0.store(stored, Ordering::Release);
    // SAFETY: libssl calls it back as the type that it has (SSL_CTX_callback_ctrl(3)); AnyFn is only how it is handed over.
    let ours = unsafe { std::mem::transmute::<ServernameFn, unsafe extern "C" fn()>(in_front) };
    real(callback.map(|_| ours))
}

/// The callback that libssl will call for `ssl`: that of its context, or else that of the one it started on.
pub(super) fn of(ssl: Ssl<'_>, first: Option<&Context>) -> Option<ServernameFn> {
    let now = ssl.ctx().and_then(Ctx::part);
    now.and_then(|context| context.servername.get()).or_else(|| first?.servername.get())
}

/// What libssl calls. Nothing that has to be undone is at hand while the application's callback runs: it may jump or throw
/// over us.
unsafe extern "C-unwind" fn in_front(ssl: *mut SSL, alert: *mut c_int, argument: *mut c_void) -> c_int {
    // SAFETY: libssl calls this with an SSL in the middle of its handshake, whose ClientHello it has evaluated, and waits
    // (SSL_CTX_set_tlsext_servername_callback(3)).
    let handle = unsafe { Evaluated::new(ssl) };
    // Clients have such callbacks too, and let nobody in.
    let serves = handle.is_server();
    let before = guard(None, || if serves { before(*handle) } else { None });
    let first = handle.parts().map(|parts| parts.context);
    let Some(callback) = of(*handle, first) else { return SSL_TLSEXT_ERR_NOACK };
    // SAFETY: libssl's arguments, handed on; the argument is that of the context whose callback this is.
    let answer = unsafe { callback(ssl, alert, argument) };
    if answer == SSL_TLSEXT_ERR_ALERT_FATAL || !serves {
        return answer;
    }
    let resumed = handle.is_resumed();
    // If that fails, a resumption has not been found right.
    let stays = guard(!resumed, || after(handle, resumed, answer, before));
    if stays {
        return answer;
    }
    if !alert.is_null() {
        // SAFETY: where libssl has the callback put its alert (SSL_CTX_set_tlsext_servername_callback(3)).
        unsafe { *alert = SSL_AD_ACCESS_DENIED };
    }
    SSL_TLSEXT_ERR_ALERT_FATAL
}

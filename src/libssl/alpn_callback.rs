//! The ALPN callback that libssl calls: ours, in front of the application's.

use std::ffi::{c_int, c_uchar, c_uint, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use openssl_sys::{SSL, SSL_TLSEXT_ERR_ALERT_FATAL, SSL_TLSEXT_ERR_NOACK};

use super::ffi::AnyFn;
use super::guard::guard;
use super::handle::{Ctx, Evaluated};
use super::late_demand;

/// The callback's type (SSL_CTX_set_alpn_select_cb(3)). C++ programs may throw through it.
type AlpnFn = unsafe extern "C-unwind" fn(
    *mut SSL,
    *mut *const c_uchar,
    *mut c_uchar,
    *const c_uchar,
    c_uint,
    *mut c_void,
) -> c_int;

/// The application's callback of a context; null for none.
#[derive(Default)]
pub(super) struct Alpn(AtomicPtr<c_void>);

impl Alpn {
    pub(super) fn is_set(&self) -> bool {
        !self.0.load(Ordering::Relaxed).is_null()
    }

    fn get(&self) -> Option<AlpnFn> {
        let callback = self.0.load(Ordering::Acquire);
        // SAFETY: null, or what `set` stored: the application has set it as a callback of this type, for as long as it is
        // in the context (SSL_CTX_set_alpn_select_cb(3)).
        unsafe { std::mem::transmute::<*mut c_void, Option<AlpnFn>>(callback) }
    }
}

/// The application sets its callback, or takes it back; `real` sets what it is given.
pub(crate) fn set(ctx: Ctx<'_>, callback: AnyFn, real: impl FnOnce(AnyFn)) {
    let Some(context) = ctx.part() else { return real(callback) };
    let stored = callback.map_or(std::ptr::null_mut(), |callback| callback as *mut c_void);
    // SAFETY: libssl calls it back as the type that it has (SSL_CTX_set_alpn_select_cb(3)); AnyFn is only how it is handed
    // over.
    let ours = unsafe { std::mem::transmute::<AlpnFn, unsafe extern "C" fn()>(in_front) };
    context.alpn.0.store(stored, Ordering::Release);
    real(callback.map(|_| ours));
}

/// What libssl calls, on behalf of the context that the SSL has now. Nothing that has to be undone is at hand while the
/// application's callback runs: it may jump or throw over us.
unsafe extern "C-unwind" fn in_front(
    ssl: *mut SSL,
    out: *mut *const c_uchar,
    out_len: *mut c_uchar,
    input: *const c_uchar,
    input_len: c_uint,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: libssl calls this with an SSL in the middle of its handshake, whose ClientHello it has evaluated, and waits
    // (SSL_CTX_set_alpn_select_cb(3)).
    let handle = unsafe { Evaluated::new(ssl) };
    let callback = handle.ctx().and_then(Ctx::part).and_then(|context| context.alpn.get());
    let Some(callback) = callback else { return SSL_TLSEXT_ERR_NOACK };
    let before = guard(None, || late_demand::before(handle));
    // SAFETY: libssl's arguments, handed on; the argument is that of the context whose callback this is.
    let answer = unsafe { callback(ssl, out, out_len, input, input_len, argument) };
    match before {
        Some(before) if answer != SSL_TLSEXT_ERR_ALERT_FATAL => {
            // If that fails, the resumption has not been found right.
            let stays = guard(false, || late_demand::after(handle, &before));
            if stays { answer } else { SSL_TLSEXT_ERR_ALERT_FATAL }
        }
        _ => answer,
    }
}

//! The interposed functions that came with OpenSSL 3.

use std::ffi::{c_char, c_int};
use std::ptr;

use openssl_sys::{OSSL_LIB_CTX, SSL_CTX, SSL_METHOD};

use super::{call, context_of, pass, version_libssl};
use crate::libssl::context::{self, KeySource};
use crate::libssl::guard::{Api, guard};
use crate::libssl::handle::Ctx;
use crate::libssl::{connection, mechanism};

version_libssl!("SSL_CTX_new_ex");
/// SSL_CTX_new_ex(3): the context gets the core.
///
/// # Safety
/// As SSL_CTX_new_ex(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn SSL_CTX_new_ex(
    libctx: *mut OSSL_LIB_CTX,
    propq: *const c_char,
    method: *const SSL_METHOD,
) -> *mut SSL_CTX {
    pass!(mechanism::SSL_CTX_NEW_EX, by method; libctx, propq, method);
    let Some((real, watched)) = guard(None, || {
        let real = mechanism::SSL_CTX_NEW_EX.get()?;
        Some((real, connection::watch(method)))
    }) else {
        return ptr::null_mut();
    };
    let ctx = call!(real(libctx, propq, method));
    if watched {
        // SAFETY: null, or a context that libssl has just made and that the program gets when this returns.
        let new = unsafe { Ctx::new(ctx) };
        guard((), || context::attach_new(new, !libctx.is_null() || !propq.is_null()));
    }
    ctx
}

version_libssl!("SSL_CTX_set_tlsext_ticket_key_evp_cb");
/// SSL_CTX_set_tlsext_ticket_key_evp_cb(3): the application's own keys, so the core steps aside; NULL brings it back.
///
/// # Safety
/// As SSL_CTX_set_tlsext_ticket_key_evp_cb(3); NULL is answered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx: *mut SSL_CTX, fp: mechanism::KeyFn) -> c_int {
    pass!(mechanism::SET_TICKET_KEY_EVP_CB, of ctx; ctx, fp);
    guard(Api::Failed.into(), || {
        const FUNCTION: &str = "SSL_CTX_set_tlsext_ticket_key_evp_cb";
        // SAFETY: the caller's promise: NULL, or a live SSL_CTX until this returns (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)).
        let Some(context) = (unsafe { context_of(ctx, FUNCTION) }) else { return Api::Failed.into() };
        let Some(real) = mechanism::SET_TICKET_KEY_EVP_CB.get() else { return Api::Failed.into() };
        let real = || call!(real(ctx, fp));
        context::set_key_callback(context, KeySource::EvpCallback, fp.is_some(), Api::Done.into(), real)
    })
}

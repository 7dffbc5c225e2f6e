//! The ticket key callback with HMAC_CTX (`SSL_CTX_set_tlsext_ticket_key_cb`, a macro over SSL_CTX_callback_ctrl(3)).
//!
//! OpenSSL 1.1.1 has no other. From 3.0 on it is deprecated, and still the one that we prefer: with EVP_MAC_CTX libssl
//! fetches the MAC by name for each ticket and the callback the digest, which is more than the core's own work.

use std::ffi::{c_int, c_uchar, c_void};
use std::mem;

use openssl_sys::{ENGINE, EVP_CIPHER_CTX, EVP_MD, HMAC_CTX, SSL};

use super::ffi::{AnyFn, SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB};
use super::handle::Ctx;
use super::real::{NODE, SSL_CTX_CALLBACK_CTRL};
use super::{callback, mechanism};

/// The callback's type (SSL_CTX_set_tlsext_ticket_key_cb(3)).
type KeyFn = unsafe extern "C" fn(
    s: *mut SSL,
    key_name: *mut c_uchar,
    iv: *mut c_uchar,
    ctx: *mut EVP_CIPHER_CTX,
    hctx: *mut HMAC_CTX,
    enc: c_int,
) -> c_int;

real! {
    // Looked up, because a libcrypto that was built without what is deprecated does not have it.
    HMAC_INIT_EX = "HMAC_Init_ex" in NODE,
        unsafe extern "C" fn(*mut HMAC_CTX, *const c_void, c_int, *const EVP_MD, *mut ENGINE) -> c_int;
}

/// Puts our callback into a context. False if the OpenSSL that runs cannot do this.
pub(super) fn put(ctx: Ctx<'_>) -> bool {
    HMAC_INIT_EX.find().is_some() && !mechanism::sha256().is_null() && set(ctx, Some(key_callback))
}

/// Takes it out.
pub(super) fn take(ctx: Ctx<'_>) {
    set(ctx, None);
}

fn set(ctx: Ctx<'_>, callback: Option<KeyFn>) -> bool {
    let Some(real) = SSL_CTX_CALLBACK_CTRL.get() else { return false };
    // SAFETY: a function pointer stays one; libssl calls it as a KeyFn (SSL_CTX_set_tlsext_ticket_key_cb(3)).
    let callback = callback.map(|callback| unsafe { mem::transmute::<KeyFn, unsafe extern "C" fn()>(callback) });
    let callback: AnyFn = callback;
    // SAFETY: a live SSL_CTX (`Ctx`), and a callback of the type that SSL_CTX_set_tlsext_ticket_key_cb(3) has for this
    // command, which lives as long as the process.
    unsafe { real(ctx.as_ptr(), SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB, callback) == 1 }
}

unsafe extern "C" fn key_callback(
    ssl: *mut SSL,
    key_name: *mut c_uchar,
    iv: *mut c_uchar,
    ctx: *mut EVP_CIPHER_CTX,
    hctx: *mut HMAC_CTX,
    enc: c_int,
) -> c_int {
    // SAFETY: the MAC context that libssl has made for this ticket, alive for this call (SSL_CTX_set_tlsext_ticket_key_cb(3)).
    let set_mac = |key: &[u8; 32]| unsafe { set_mac(hctx, key) };
    // SAFETY: the cipher context that libssl has made for this ticket, alive for this call (SSL_CTX_set_tlsext_ticket_key_cb(3)).
    let set_job = |job| unsafe { mechanism::set_job(ctx, job, enc) };
    if enc == 1 {
        // SAFETY: libssl's own arguments, as SSL_CTX_set_tlsext_ticket_key_cb(3) says for enc = 1.
        unsafe { callback::seal(ssl, key_name, iv, set_mac, set_job) }.into()
    } else {
        // SAFETY: libssl's own arguments, as SSL_CTX_set_tlsext_ticket_key_cb(3) says for enc = 0.
        unsafe { callback::open(ssl, key_name, iv, set_mac, set_job) }.into()
    }
}

/// Gives libssl's HMAC its key and digest.
///
/// # Safety
/// `hctx` is the HMAC_CTX that libssl handed to the callback.
unsafe fn set_mac(hctx: *mut HMAC_CTX, key: &[u8; 32]) -> bool {
    let Some(init) = HMAC_INIT_EX.find() else { return false };
    // SAFETY: a live context for this call, by the caller's promise; the key has as many bytes as it says and is copied; the
    // digest lives as long as the process (HMAC_Init_ex(3)).
    unsafe { init(hctx, key.as_ptr().cast(), key.len() as c_int, mechanism::sha256(), std::ptr::null_mut()) == 1 }
}

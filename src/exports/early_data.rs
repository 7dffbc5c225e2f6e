//! The two functions that set who decides on early data: interposed, as those in `interposed.rs`.

use std::ffi::c_void;

use openssl_sys::{SSL, SSL_CTX};

use super::{call, context_of, is_null, pass, version_libssl_tickets};
use crate::libssl::ffi::AllowEarlyDataFn;
use crate::libssl::guard::guard;
use crate::libssl::handle::Ssl;
use crate::libssl::{early_data_callback, real, role};

version_libssl_tickets!("SSL_CTX_set_allow_early_data_cb");
/// SSL_CTX_set_allow_early_data_cb(3): ours stands in front of the application's callback, and stays when it takes that
/// back.
///
/// # Safety
/// As SSL_CTX_set_allow_early_data_cb(3); a NULL context is left alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_set_allow_early_data_cb(
    ctx: *mut SSL_CTX,
    callback: Option<AllowEarlyDataFn>,
    arg: *mut c_void,
) {
    pass!(real::CTX_SET_ALLOW_EARLY_DATA_CB, of ctx; ctx, callback, arg);
    guard((), || {
        // SAFETY: the caller's promise: NULL, or a live SSL_CTX until this returns (SSL_CTX_set_allow_early_data_cb(3)).
        let Some(context) = (unsafe { context_of(ctx, "SSL_CTX_set_allow_early_data_cb") }) else { return };
        let Some(real) = real::CTX_SET_ALLOW_EARLY_DATA_CB.get() else { return };
        if callback.is_some() {
            role::shows(context);
        }
        early_data_callback::set_for_context(context, callback, arg, |fp, arg| call!(real(ctx, fp, arg)));
    });
}

version_libssl_tickets!("SSL_set_allow_early_data_cb");
/// SSL_set_allow_early_data_cb(3): as above.
///
/// # Safety
/// As SSL_set_allow_early_data_cb(3); a NULL SSL is left alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_set_allow_early_data_cb(
    ssl: *mut SSL,
    callback: Option<AllowEarlyDataFn>,
    arg: *mut c_void,
) {
    pass!(real::SET_ALLOW_EARLY_DATA_CB, ssl, callback, arg);
    guard((), || {
        if is_null(ssl, "SSL_set_allow_early_data_cb", "ssl") {
            return;
        }
        let Some(real) = real::SET_ALLOW_EARLY_DATA_CB.get() else { return };
        // SAFETY: the caller's promise: a live SSL, which no other thread uses (SSL_set_allow_early_data_cb(3),
        // openssl-threads(7)).
        let handle = unsafe { Ssl::new(ssl) };
        early_data_callback::set_for_connection(handle, callback, arg, |fp, arg| call!(real(ssl, fp, arg)));
    });
}

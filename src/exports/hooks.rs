//! The functions by which an application takes part in whether a client gets in, or sets what of its verification libssl
//! lets nobody read (`app_hooks.rs`). Each passes through as it is, whatever libssl makes of its arguments.

use std::ffi::{c_char, c_int, c_uint, c_void};

use openssl_sys::{SSL, SSL_CTX, X509_STORE, X509_VERIFY_PARAM};

use super::{version_libssl, version_libssl_tickets};
use crate::libssl::ffi::AnyFn;
use crate::libssl::real::{NODE, NODE_TICKETS};

/// What a function returns where there is none to call: in a libssl that was built without it.
pub(super) trait NoFunction {
    const NO_FUNCTION: Self;
}

impl NoFunction for () {
    const NO_FUNCTION: Self = ();
}

impl NoFunction for c_int {
    const NO_FUNCTION: Self = 0;
}

impl NoFunction for *mut X509_VERIFY_PARAM {
    const NO_FUNCTION: Self = std::ptr::null_mut();
}

/// An interposed function of a context, or of an SSL: which hook it is, and when it sets it rather than takes it back.
macro_rules! hook {
    ($name:ident($first:ident: $object:ty $(, $argument:ident: $type:ty)*) -> $result:ty,
     $hook:ident if $present:expr) => {
        $crate::exports::hooks::hook!(NODE: $name($first: $object $(, $argument: $type)*) -> $result, $hook if $present);
    };
    ($node:ident: $name:ident(ctx: $object:ty $(, $argument:ident: $type:ty)*) -> $result:ty,
     $hook:ident if $present:expr) => {
        $crate::exports::hooks::hook!(@ $node: $name(ctx: $object $(, $argument: $type)*) -> $result, $present,
            (of ctx;), |object: *mut SSL_CTX, present| {
                // SAFETY: the caller's promise: NULL, or a live SSL_CTX until this returns (the function's manual page).
                let Some(ctx) = (unsafe { $crate::libssl::handle::Ctx::new(object) }) else { return };
                app_hooks::set_for_context(ctx, AppHooks::$hook, present);
            });
    };
    ($node:ident: $name:ident(ssl: $object:ty $(, $argument:ident: $type:ty)*) -> $result:ty,
     $hook:ident if $present:expr) => {
        $crate::exports::hooks::hook!(@ $node: $name(ssl: $object $(, $argument: $type)*) -> $result, $present,
            (), |object: *mut SSL, present| {
                if object.is_null() {
                    return;
                }
                // SAFETY: the caller's promise: a live SSL, which no other thread uses (openssl-threads(7)).
                let ssl = unsafe { $crate::libssl::handle::Ssl::new(object) };
                app_hooks::set_for_connection(ssl, AppHooks::$hook, present);
            });
    };
    (@ $node:ident: $name:ident($first:ident: $object:ty $(, $argument:ident: $type:ty)*) -> $result:ty,
     $present:expr, ($($whose:tt)*), $set:expr) => {
        #[doc = concat!(stringify!($name), "(3).\n\n# Safety\nAs ", stringify!($name), "(3).")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($first: $object $(, $argument: $type)*) -> $result {
            use $crate::exports::hooks::NoFunction;
            use $crate::exports::{call, pass};
            use $crate::libssl::app_hooks::{self, AppHooks};
            use $crate::libssl::guard::guard;
            use $crate::libssl::real::Real;

            static REAL: Real<unsafe extern "C" fn($object $(, $type)*) -> $result> =
                Real::new(concat!(stringify!($name), "\0"), $node);
            pass!(REAL, $($whose)* $first $(, $argument)*);
            let present: bool = $present;
            let set = |present| guard((), || ($set)($first, present));
            // It counts for as long as it may be called.
            if present {
                set(true);
            }
            let Some(real) = guard(None, || REAL.get()) else { return NoFunction::NO_FUNCTION };
            let result = call!(real($first $(, $argument)*));
            if !present {
                set(false);
            }
            result
        }
    };
}
pub(super) use hook;

version_libssl!("SSL_CTX_set_psk_server_callback");
hook!(SSL_CTX_set_psk_server_callback(ctx: *mut SSL_CTX, callback: AnyFn) -> (), PSK if callback.is_some());

version_libssl!("SSL_set_psk_server_callback");
hook!(SSL_set_psk_server_callback(ssl: *mut SSL, callback: AnyFn) -> (), PSK if callback.is_some());

version_libssl_tickets!("SSL_CTX_set_psk_find_session_callback");
hook!(NODE_TICKETS: SSL_CTX_set_psk_find_session_callback(ctx: *mut SSL_CTX, callback: AnyFn) -> (),
    PSK if callback.is_some());

version_libssl_tickets!("SSL_set_psk_find_session_callback");
hook!(NODE_TICKETS: SSL_set_psk_find_session_callback(ssl: *mut SSL, callback: AnyFn) -> (),
    PSK if callback.is_some());

version_libssl!("SSL_CTX_set_srp_username_callback");
hook!(SSL_CTX_set_srp_username_callback(ctx: *mut SSL_CTX, callback: AnyFn) -> c_int,
    SRP if callback.is_some());

version_libssl!("SSL_CTX_set_srp_verify_param_callback");
hook!(SSL_CTX_set_srp_verify_param_callback(ctx: *mut SSL_CTX, callback: AnyFn) -> c_int,
    SRP if callback.is_some());

version_libssl!("SSL_CTX_set_cert_cb");
hook!(SSL_CTX_set_cert_cb(ctx: *mut SSL_CTX, callback: AnyFn, argument: *mut c_void) -> (),
    CERT_CALLBACK if callback.is_some());

version_libssl!("SSL_set_cert_cb");
hook!(SSL_set_cert_cb(ssl: *mut SSL, callback: AnyFn, argument: *mut c_void) -> (),
    CERT_CALLBACK if callback.is_some());

version_libssl!("SSL_CTX_set_cert_verify_callback");
hook!(SSL_CTX_set_cert_verify_callback(ctx: *mut SSL_CTX, callback: AnyFn, argument: *mut c_void) -> (),
    CERT_VERIFY_CALLBACK if callback.is_some());

version_libssl!("SSL_CTX_set_purpose");
hook!(SSL_CTX_set_purpose(ctx: *mut SSL_CTX, purpose: c_int) -> c_int, PARAMS if true);

version_libssl!("SSL_set_purpose");
hook!(SSL_set_purpose(ssl: *mut SSL, purpose: c_int) -> c_int, PARAMS if true);

version_libssl!("SSL_CTX_set_trust");
hook!(SSL_CTX_set_trust(ctx: *mut SSL_CTX, trust: c_int) -> c_int, PARAMS if true);

version_libssl!("SSL_set_trust");
hook!(SSL_set_trust(ssl: *mut SSL, trust: c_int) -> c_int, PARAMS if true);

version_libssl!("SSL_CTX_set1_param");
hook!(SSL_CTX_set1_param(ctx: *mut SSL_CTX, param: *mut X509_VERIFY_PARAM) -> c_int, PARAMS if true);

version_libssl!("SSL_set1_param");
hook!(SSL_set1_param(ssl: *mut SSL, param: *mut X509_VERIFY_PARAM) -> c_int, PARAMS if true);

version_libssl!("SSL_CTX_get0_param");
// Whoever asks for them gets them to change.
hook!(SSL_CTX_get0_param(ctx: *mut SSL_CTX) -> *mut X509_VERIFY_PARAM, PARAMS if true);

version_libssl!("SSL_get0_param");
hook!(SSL_get0_param(ssl: *mut SSL) -> *mut X509_VERIFY_PARAM, PARAMS if true);

version_libssl!("SSL_set1_host");
hook!(SSL_set1_host(ssl: *mut SSL, name: *const c_char) -> c_int, PARAMS if true);

version_libssl!("SSL_add1_host");
hook!(SSL_add1_host(ssl: *mut SSL, name: *const c_char) -> c_int, PARAMS if true);

version_libssl!("SSL_set_hostflags");
hook!(SSL_set_hostflags(ssl: *mut SSL, flags: c_uint) -> (), PARAMS if true);

version_libssl!("SSL_dane_enable");
// Without it none of the other functions for DANE do anything.
hook!(SSL_dane_enable(ssl: *mut SSL, base_domain: *const c_char) -> c_int, PARAMS if true);

/// The same of a store, of libcrypto: for all of them, whose ever they are.
macro_rules! store_hook {
    ($name:ident($store:ident: $object:ty $(, $argument:ident: $type:ty)*) -> $result:ty) => {
        #[doc = concat!(stringify!($name), "(3).\n\n# Safety\nAs ", stringify!($name), "(3).")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($store: $object $(, $argument: $type)*) -> $result {
            use $crate::exports::call;
            use $crate::libssl::app_hooks;
            use $crate::libssl::guard::guard;
            use $crate::libssl::real::Real;

            static REAL: Real<unsafe extern "C" fn($object $(, $type)*) -> $result> =
                Real::new(concat!(stringify!($name), "\0"), NODE);
            app_hooks::set_for_stores();
            let Some(real) = guard(None, || REAL.of_libcrypto()) else { return NoFunction::NO_FUNCTION };
            call!(real($store $(, $argument)*))
        }
    };
}

version_libssl!("X509_STORE_set_purpose");
store_hook!(X509_STORE_set_purpose(store: *mut X509_STORE, purpose: c_int) -> c_int);

version_libssl!("X509_STORE_set_trust");
store_hook!(X509_STORE_set_trust(store: *mut X509_STORE, trust: c_int) -> c_int);

version_libssl!("X509_STORE_set1_param");
store_hook!(X509_STORE_set1_param(store: *mut X509_STORE, param: *const X509_VERIFY_PARAM) -> c_int);

version_libssl!("X509_STORE_get0_param");
store_hook!(X509_STORE_get0_param(store: *const X509_STORE) -> *mut X509_VERIFY_PARAM);

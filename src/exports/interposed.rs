//! The functions of libssl that are interposed: where contexts are made, the application's ways to their ticket keys,
//! and the one fact of a context that libssl lets nobody read.
//!
//! No prototype of these is in our header: they are OpenSSL's, and programs call them as they always did.
//!
//! Where the real function may call code of the application's, it is called outside of the panic guard, and with nothing
//! at hand that would have to be undone: that code may jump or throw over us.

use std::ffi::{c_int, c_long, c_uchar, c_uint, c_void};
use std::{ptr, slice};

use openssl_sys::{SSL, SSL_CTX, SSL_METHOD};

use super::{call, context_of, is_null, pass, version_libssl};
use crate::libssl::app_hooks::{self, AppHooks};
use crate::libssl::context::{self, KeySource};
use crate::libssl::ffi::{self, AnyFn};
use crate::libssl::guard::{Api, guard};
use crate::libssl::handle::{Ctx, Ssl};
use crate::libssl::{alpn_callback, connection, id_context, prediction, real, role, servername_callback};

version_libssl!("SSL_CTX_new");
/// SSL_CTX_new(3): the context gets the core.
///
/// # Safety
/// As SSL_CTX_new(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn SSL_CTX_new(method: *const SSL_METHOD) -> *mut SSL_CTX {
    pass!(real::SSL_CTX_NEW, by method; method);
    let Some((real, watched)) = guard(None, || {
        let real = real::SSL_CTX_NEW.get()?;
        Some((real, connection::watch(method)))
    }) else {
        return ptr::null_mut();
    };
    let ctx = call!(real(method));
    // Whatever goes wrong with that, the program gets its context.
    if watched {
        // SAFETY: null, or a context that libssl has just made and that the program gets when this returns.
        let new = unsafe { Ctx::new(ctx) };
        guard((), || context::attach_new(new, false));
    }
    ctx
}

version_libssl!("SSL_CTX_callback_ctrl");
/// SSL_CTX_callback_ctrl(3): passes through; one of its commands is how `SSL_CTX_set_tlsext_ticket_key_cb` (a macro)
/// brings the application's own keys, another how `SSL_CTX_set_tlsext_servername_callback` (a macro) sets the callback
/// that ours stands in front of.
///
/// # Safety
/// As SSL_CTX_callback_ctrl(3); NULL is answered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_callback_ctrl(ctx: *mut SSL_CTX, cmd: c_int, fp: AnyFn) -> c_long {
    pass!(real::SSL_CTX_CALLBACK_CTRL, of ctx; ctx, cmd, fp);
    guard(0, || {
        // SAFETY: the caller's promise: NULL, or a live SSL_CTX until this returns (SSL_CTX_callback_ctrl(3)).
        let Some(context) = (unsafe { context_of(ctx, "SSL_CTX_callback_ctrl") }) else { return 0 };
        let Some(real) = real::SSL_CTX_CALLBACK_CTRL.get() else { return 0 };
        let real = |fp| call!(real(ctx, cmd, fp));
        match cmd {
            ffi::SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB => {
                context::set_key_callback(context, KeySource::HmacCallback, fp.is_some(), 1, || real(fp))
            }
            ffi::SSL_CTRL_SET_TLSEXT_SERVERNAME_CB => {
                if fp.is_some() {
                    role::shows(context);
                }
                servername_callback::set(context, fp, real)
            }
            ffi::SSL_CTRL_SET_TLS_EXT_SRP_USERNAME_CB | ffi::SSL_CTRL_SET_SRP_VERIFY_PARAM_CB => {
                app_hooks::set_for_context(context, AppHooks::SRP, fp.is_some());
                real(fp)
            }
            _ => real(fp),
        }
    })
}

version_libssl!("SSL_CTX_ctrl");
/// SSL_CTX_ctrl(3): passes through; two of its commands read or write libssl's raw ticket keys.
///
/// # Safety
/// As SSL_CTX_ctrl(3); a NULL context is answered, except for the commands that libssl takes it with.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn SSL_CTX_ctrl(ctx: *mut SSL_CTX, cmd: c_int, larg: c_long, parg: *mut c_void) -> c_long {
    pass!(real::SSL_CTX_CTRL, of ctx; ctx, cmd, larg, parg);
    let real = guard(None, || {
        // These check a list against the library, not against a context.
        let without_ctx = matches!(
            cmd,
            ffi::SSL_CTRL_SET_GROUPS_LIST | ffi::SSL_CTRL_SET_SIGALGS_LIST | ffi::SSL_CTRL_SET_CLIENT_SIGALGS_LIST
        );
        let context = match without_ctx {
            true => None,
            // SAFETY: the caller's promise: NULL, or a live SSL_CTX until this returns (SSL_CTX_ctrl(3)).
            false => Some(unsafe { context_of(ctx, "SSL_CTX_ctrl") }?),
        };
        Some((real::SSL_CTX_CTRL.get()?, context))
    });
    let Some((real, context)) = real else { return 0 };
    let real = || call!(real(ctx, cmd, larg, parg));
    match cmd {
        // Without a buffer it only asks how long the keys are. (No code of the application's is called for these.)
        ffi::SSL_CTRL_GET_TLSEXT_TICKET_KEYS | ffi::SSL_CTRL_SET_TLSEXT_TICKET_KEYS if !parg.is_null() => {
            guard(0, || context.map_or(0, |context| context::use_raw_keys(context, real)))
        }
        ffi::SSL_CTRL_SET_SESS_CACHE_MODE => {
            if let Some(context) = context
                && larg & ffi::SSL_SESS_CACHE_BOTH == ffi::SSL_SESS_CACHE_SERVER
            {
                guard((), || role::shows(context));
            }
            real()
        }
        _ => real(),
    }
}

version_libssl!("SSL_CTX_set_session_id_context");
/// SSL_CTX_set_session_id_context(3): passes through; the id context takes part in the binding of tickets.
///
/// # Safety
/// As SSL_CTX_set_session_id_context(3); NULL is answered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_set_session_id_context(
    ctx: *mut SSL_CTX,
    sid_ctx: *const c_uchar,
    sid_ctx_len: c_uint,
) -> c_int {
    pass!(real::SET_SESSION_ID_CONTEXT, of ctx; ctx, sid_ctx, sid_ctx_len);
    guard(Api::Failed.into(), || {
        const FUNCTION: &str = "SSL_CTX_set_session_id_context";
        // SAFETY: the caller's promise: NULL, or a live SSL_CTX until this returns (SSL_CTX_set_session_id_context(3)).
        let Some(context) = (unsafe { context_of(ctx, FUNCTION) }) else { return Api::Failed.into() };
        if sid_ctx_len > 0 && is_null(sid_ctx, FUNCTION, "sid_ctx") {
            return Api::Failed.into();
        }
        let Some(real) = real::SET_SESSION_ID_CONTEXT.get() else { return Api::Failed.into() };
        let result = call!(real(ctx, sid_ctx, sid_ctx_len));
        if result == 1 {
            let bytes = match sid_ctx_len {
                0 => &[],
                // SAFETY: the caller's promise: that many bytes; libssl has checked the length (at most 32).
                _ => unsafe { slice::from_raw_parts(sid_ctx, sid_ctx_len as usize) },
            };
            context::set_id_context(context, bytes);
            role::shows_by_id_context(context, bytes);
        }
        result
    })
}

version_libssl!("SSL_CTX_set_alpn_select_cb");
/// SSL_CTX_set_alpn_select_cb(3): ours stands in front of the application's; only servers have such a callback.
///
/// # Safety
/// As SSL_CTX_set_alpn_select_cb(3); NULL is left alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_set_alpn_select_cb(ctx: *mut SSL_CTX, callback: AnyFn, arg: *mut c_void) {
    pass!(real::SET_ALPN_SELECT_CB, of ctx; ctx, callback, arg);
    guard((), || {
        // SAFETY: the caller's promise: NULL, or a live SSL_CTX until this returns (SSL_CTX_set_alpn_select_cb(3)).
        let Some(context) = (unsafe { context_of(ctx, "SSL_CTX_set_alpn_select_cb") }) else { return };
        let Some(real) = real::SET_ALPN_SELECT_CB.get() else { return };
        if callback.is_some() {
            role::shows(context);
        }
        alpn_callback::set(context, callback, |callback| call!(real(ctx, callback, arg)));
    });
}

version_libssl!("SSL_set_SSL_CTX");
/// SSL_set_SSL_CTX(3): passes through, once we know the context that the connection started on.
///
/// # Safety
/// As SSL_set_SSL_CTX(3); a NULL SSL is answered.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn SSL_set_SSL_CTX(ssl: *mut SSL, ctx: *mut SSL_CTX) -> *mut SSL_CTX {
    // Servers switch amid a handshake, where nothing may wait for the dynamic linker, as the look at who calls does.
    if !real::is_global() && !context::is_ours(ctx) {
        pass!(real::SET_SSL_CTX, ssl, ctx);
    }
    let real = guard(None, || {
        if is_null(ssl, "SSL_set_SSL_CTX", "ssl") {
            return None;
        }
        let real = real::SET_SSL_CTX.get()?;
        // SAFETY: the caller's promise: a live SSL, which no other thread uses (SSL_set_SSL_CTX(3), openssl-threads(7)).
        let live = unsafe { Ssl::new(ssl) };
        live.connection();
        prediction::policy_changes(live);
        Some((real, id_context::before_switch(live)))
    });
    let Some((real, was_ours)) = real else { return ptr::null_mut() };
    // It may be the end of a context.
    let now = call!(real(ssl, ctx));
    guard((), || {
        // SAFETY: as before the call: a live SSL, which no other thread uses (SSL_set_SSL_CTX(3), openssl-threads(7)).
        id_context::after_switch(unsafe { Ssl::new(ssl) }, was_ours);
    });
    now
}

version_libssl!("SSL_CTX_set_verify");
/// SSL_CTX_set_verify(3): passes through, once it is known that some certificates are asked for.
///
/// # Safety
/// As SSL_CTX_set_verify(3); NULL is left alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_CTX_set_verify(ctx: *mut SSL_CTX, mode: c_int, callback: AnyFn) {
    pass!(real::SSL_CTX_SET_VERIFY, of ctx; ctx, mode, callback);
    guard((), || {
        // SAFETY: the caller's promise: NULL, or a live SSL_CTX until this returns (SSL_CTX_set_verify(3)).
        let Some(context) = (unsafe { context_of(ctx, "SSL_CTX_set_verify") }) else { return };
        let Some(real) = real::SSL_CTX_SET_VERIFY.get() else { return };
        context::set_verify_mode(context, mode);
        call!(real(ctx, mode, callback));
    });
}

version_libssl!("SSL_set_verify");
/// SSL_set_verify(3): as above.
///
/// # Safety
/// As SSL_set_verify(3); NULL is left alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_set_verify(ssl: *mut SSL, mode: c_int, callback: AnyFn) {
    pass!(real::SSL_SET_VERIFY, ssl, mode, callback);
    guard((), || {
        if is_null(ssl, "SSL_set_verify", "ssl") {
            return;
        }
        let Some(real) = real::SSL_SET_VERIFY.get() else { return };
        // SAFETY: the caller's promise: a live SSL, which no other thread uses (SSL_set_verify(3), openssl-threads(7)).
        let live = unsafe { Ssl::new(ssl) };
        if let Some(ctx) = live.ctx() {
            context::set_verify_mode(ctx, mode);
        }
        prediction::policy_changes(live);
        call!(real(ssl, mode, callback));
        id_context::verify_mode_changed(live);
    });
}

version_libssl!("SSL_set_session_id_context");
/// SSL_set_session_id_context(3): passes through; one of ours is not set any more.
///
/// # Safety
/// As SSL_set_session_id_context(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_set_session_id_context(
    ssl: *mut SSL,
    sid_ctx: *const c_uchar,
    sid_ctx_len: c_uint,
) -> c_int {
    pass!(real::SSL_SET_SESSION_ID_CONTEXT, ssl, sid_ctx, sid_ctx_len);
    let Some(real) = guard(None, || real::SSL_SET_SESSION_ID_CONTEXT.get()) else { return Api::Failed.into() };
    let result = call!(real(ssl, sid_ctx, sid_ctx_len));
    if result == 1 {
        let bytes = match sid_ctx_len {
            0 => &[],
            // SAFETY: the caller's promise: that many bytes; libssl has checked the length (at most 32), and read them.
            _ => unsafe { slice::from_raw_parts(sid_ctx, sid_ctx_len as usize) },
        };
        // SAFETY: the caller's promise: a live SSL, which no other thread uses (SSL_set_session_id_context(3)).
        guard((), || id_context::was_set(unsafe { Ssl::new(ssl) }, bytes));
    }
    result
}

version_libssl!("SSL_set_accept_state");
/// SSL_set_accept_state(3): passes through; from here on it is known that the SSL is a server.
///
/// # Safety
/// As SSL_set_accept_state(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_set_accept_state(ssl: *mut SSL) {
    if !real::is_global() && !connection::is_ours(ssl) {
        pass!(real::SET_ACCEPT_STATE, ssl);
    }
    let Some(real) = guard(None, || real::SET_ACCEPT_STATE.get()) else { return };
    call!(real(ssl));
    if !ssl.is_null() {
        // SAFETY: the caller's promise: a live SSL, which no other thread uses (SSL_set_accept_state(3)).
        guard((), || id_context::accepts(unsafe { Ssl::new(ssl) }));
    }
}

version_libssl!("SSL_set_connect_state");
/// SSL_set_connect_state(3): passes through; the SSL is a client, also if it was a server before.
///
/// # Safety
/// As SSL_set_connect_state(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SSL_set_connect_state(ssl: *mut SSL) {
    if !real::is_global() && !connection::is_ours(ssl) {
        pass!(real::SET_CONNECT_STATE, ssl);
    }
    let Some(real) = guard(None, || real::SET_CONNECT_STATE.get()) else { return };
    if !ssl.is_null() {
        // SAFETY: the caller's promise: a live SSL, which no other thread uses (SSL_set_connect_state(3)).
        guard((), || id_context::connects(unsafe { Ssl::new(ssl) }));
    }
    call!(real(ssl));
}

version_libssl!("SSL_accept");
/// SSL_accept(3): as SSL_set_accept_state(3), which libssl does not call where we see it in each build.
///
/// # Safety
/// As SSL_accept(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn SSL_accept(ssl: *mut SSL) -> c_int {
    if !real::is_global() && !connection::is_ours(ssl) {
        pass!(real::SSL_ACCEPT, ssl);
    }
    let Some(real) = guard(None, || real::SSL_ACCEPT.get()) else { return -1 };
    if !ssl.is_null() {
        // SAFETY: the caller's promise: a live SSL, which no other thread uses (SSL_accept(3)).
        guard((), || id_context::accepts(unsafe { Ssl::new(ssl) }));
    }
    // It calls the application's callbacks.
    call!(real(ssl))
}

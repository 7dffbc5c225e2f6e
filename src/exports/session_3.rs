//! The same, of OpenSSL 3: libssl has a copy made by this one from 3.2 on.

use std::ffi::{c_char, c_long, c_uchar, c_void};
use std::ptr;

use openssl_sys::SSL_SESSION;

use super::session::{Entry, enter, shared};
use super::{call, pass, version_libssl_3_2};
use crate::libssl::guard::guard;
use crate::libssl::{real, serialise_once};

version_libssl_3_2!("d2i_SSL_SESSION_ex");
/// d2i_SSL_SESSION_ex(3): as d2i_SSL_SESSION. (On libssl before 3.2, which has none: the same as d2i_SSL_SESSION.)
///
/// # Safety
/// As d2i_SSL_SESSION_ex(3).
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C-unwind" fn d2i_SSL_SESSION_ex(
    a: *mut *mut SSL_SESSION,
    pp: *mut *const c_uchar,
    length: c_long,
    libctx: *mut c_void,
    propq: *const c_char,
) -> *mut SSL_SESSION {
    enter!(d2i_ex, x86_64: "r9", aarch64: "x5", "x6");
}

unsafe extern "C-unwind" fn d2i_ex(
    a: *mut *mut SSL_SESSION,
    pp: *mut *const c_uchar,
    length: c_long,
    libctx: *mut c_void,
    propq: *const c_char,
    entry: Entry,
) -> *mut SSL_SESSION {
    let from = entry.call();
    if !from.is_of_libssl() {
        serialise_once::stop();
        pass!(real::D2I_SSL_SESSION_EX, a, pp, length, libctx, propq);
    }
    // SAFETY: the caller's promise (d2i_SSL_SESSION_ex(3)).
    if let Some(session) = unsafe { shared(from, a, pp, length) } {
        return session;
    }
    if let Some(real) = guard(None, || real::D2I_SSL_SESSION_EX.find()) {
        return call!(real(a, pp, length, libctx, propq));
    }
    let Some(real) = guard(None, || real::D2I_SSL_SESSION.get()) else { return ptr::null_mut() };
    call!(real(a, pp, length))
}

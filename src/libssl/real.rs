//! The real functions behind the interposed names.
//!
//! Inside this library a call by plain name would come back to itself, so each interposed name is looked up once and
//! called through the pointer. Only the symbol version that we were built for is taken, and only of one libssl: another one
//! in the same process has other structures behind the same names ([`Real::of_another`]).

use std::ffi::{CStr, c_char, c_int, c_long, c_uchar, c_uint, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use openssl_sys::{SSL, SSL_CTX, SSL_METHOD, SSL_SESSION};

use super::errors::raise;
use super::ffi::{AllowEarlyDataFn, AnyFn};
use super::link;
use super::mechanism::Reason;
use crate::exports::types::{SSL_CTX_decrypt_session_ticket_fn, SSL_CTX_generate_session_ticket_fn};

/// A function of libssl, interposed, or of the libcrypto that it uses: its name, its version, and where it really is once
/// that was asked.
pub(crate) struct Real<F> {
    name: &'static CStr,
    node: &'static CStr,
    found: AtomicPtr<c_void>,
    kind: std::marker::PhantomData<F>,
}

/// The libssl that this build is for (`build.rs`), and the version of its symbols: of those that it always had, and of
/// those that came with session ticket callbacks.
pub(super) const SONAME: &CStr = constant(concat!(env!("TICKETSHIM_LIBSSL"), "\0"));
pub(super) const LIBCRYPTO: &CStr = constant(concat!(env!("TICKETSHIM_LIBCRYPTO"), "\0"));
pub(crate) const NODE: &CStr = constant(concat!(env!("TICKETSHIM_NODE"), "\0"));
pub(crate) const NODE_TICKETS: &CStr = constant(concat!(env!("TICKETSHIM_TICKETS_NODE"), "\0"));
/// Of what came with OpenSSL 3.2.
const NODE_3_2: &CStr = constant(concat!(env!("TICKETSHIM_3_2_NODE"), "\0"));

/// Each line gives the function's type as the OpenSSL header of its version has it: what [`Real::get`] relies on. Those that
/// may call the application's own code (in ex_data callbacks, in a security callback) are "C-unwind": that may throw.
macro_rules! real {
    ($($name:ident = $symbol:literal in $node:expr, $type:ty;)*) => {$(
        pub(crate) static $name: $crate::libssl::real::Real<$type> =
            $crate::libssl::real::Real::new(concat!($symbol, "\0"), $node);
    )*};
}

real! {
    SSL_CTX_NEW = "SSL_CTX_new" in NODE, unsafe extern "C-unwind" fn(*const SSL_METHOD) -> *mut SSL_CTX;
    SSL_CTX_CTRL = "SSL_CTX_ctrl" in NODE,
        unsafe extern "C-unwind" fn(*mut SSL_CTX, c_int, c_long, *mut c_void) -> c_long;
    SSL_CTX_CALLBACK_CTRL = "SSL_CTX_callback_ctrl" in NODE, unsafe extern "C" fn(*mut SSL_CTX, c_int, AnyFn) -> c_long;
    SET_SESSION_ID_CONTEXT = "SSL_CTX_set_session_id_context" in NODE,
        unsafe extern "C" fn(*mut SSL_CTX, *const c_uchar, c_uint) -> c_int;
    SSL_CTX_SET_VERIFY = "SSL_CTX_set_verify" in NODE, unsafe extern "C" fn(*mut SSL_CTX, c_int, AnyFn);
    SSL_SET_VERIFY = "SSL_set_verify" in NODE, unsafe extern "C" fn(*mut SSL, c_int, AnyFn);
    SET_SSL_CTX = "SSL_set_SSL_CTX" in NODE, unsafe extern "C-unwind" fn(*mut SSL, *mut SSL_CTX) -> *mut SSL_CTX;
    SSL_SET_SESSION_ID_CONTEXT = "SSL_set_session_id_context" in NODE,
        unsafe extern "C" fn(*mut SSL, *const c_uchar, c_uint) -> c_int;
    SET_ACCEPT_STATE = "SSL_set_accept_state" in NODE, unsafe extern "C" fn(*mut SSL);
    SET_CONNECT_STATE = "SSL_set_connect_state" in NODE, unsafe extern "C" fn(*mut SSL);
    SSL_ACCEPT = "SSL_accept" in NODE, unsafe extern "C-unwind" fn(*mut SSL) -> c_int;
    SET_ALPN_SELECT_CB = "SSL_CTX_set_alpn_select_cb" in NODE, unsafe extern "C" fn(*mut SSL_CTX, AnyFn, *mut c_void);
    CTX_SET_ALLOW_EARLY_DATA_CB = "SSL_CTX_set_allow_early_data_cb" in NODE_TICKETS,
        unsafe extern "C" fn(*mut SSL_CTX, Option<AllowEarlyDataFn>, *mut c_void);
    SET_ALLOW_EARLY_DATA_CB = "SSL_set_allow_early_data_cb" in NODE_TICKETS,
        unsafe extern "C" fn(*mut SSL, Option<AllowEarlyDataFn>, *mut c_void);
    SET_SESSION_TICKET_CB = "SSL_CTX_set_session_ticket_cb" in NODE_TICKETS,
        unsafe extern "C" fn(
            *mut SSL_CTX,
            SSL_CTX_generate_session_ticket_fn,
            SSL_CTX_decrypt_session_ticket_fn,
            *mut c_void,
        ) -> c_int;
    SET1_TICKET_APPDATA = "SSL_SESSION_set1_ticket_appdata" in NODE_TICKETS,
        unsafe extern "C" fn(*mut SSL_SESSION, *const c_void, usize) -> c_int;
    GET0_TICKET_APPDATA = "SSL_SESSION_get0_ticket_appdata" in NODE_TICKETS,
        unsafe extern "C" fn(*mut SSL_SESSION, *mut *mut c_void, *mut usize) -> c_int;
    I2D_SSL_SESSION = "i2d_SSL_SESSION" in NODE,
        unsafe extern "C-unwind" fn(*const SSL_SESSION, *mut *mut c_uchar) -> c_int;
    D2I_SSL_SESSION = "d2i_SSL_SESSION" in NODE,
        unsafe extern "C-unwind" fn(*mut *mut SSL_SESSION, *mut *const c_uchar, c_long) -> *mut SSL_SESSION;
    // The fourth is an OSSL_LIB_CTX, which 1.1.1 does not have.
    D2I_SSL_SESSION_EX = "d2i_SSL_SESSION_ex" in NODE_3_2,
        unsafe extern "C-unwind" fn(
            *mut *mut SSL_SESSION,
            *mut *const c_uchar,
            c_long,
            *mut c_void,
            *const c_char,
        ) -> *mut SSL_SESSION;
}

#[cfg(feature = "fault-injection")]
real! {
    SSL_SESSION_FREE = "SSL_SESSION_free" in NODE, unsafe extern "C-unwind" fn(*mut SSL_SESSION);
}

impl<F: Copy> Real<F> {
    /// `name` ends with NUL.
    pub(crate) const fn new(name: &'static str, node: &'static CStr) -> Self {
        Self { name: constant(name), node, found: AtomicPtr::new(ptr::null_mut()), kind: std::marker::PhantomData }
    }

    /// The real function; `None`, with an entry on the error queue, if there is no libssl of our version behind us.
    pub(crate) fn get(&self) -> Option<F> {
        self.find().or_else(|| {
            raise(
                Reason::Internal,
                format_args!(
                    "{} of {} is not loaded behind this library: preload the build for the libssl that the program uses",
                    self.name.to_string_lossy(),
                    SONAME.to_string_lossy()
                ),
            );
            None
        })
    }

    /// The same of a function that need not be there, and without a word.
    pub(crate) fn find(&self) -> Option<F> {
        let mut found = self.found.load(Ordering::Relaxed);
        if found.is_null() {
            let home = link::home(ptr::null())?;
            if home.is_global {
                // Not the libssl's own at once: other libraries may stand between us and it.
                // SAFETY: dlvsym takes two C strings; both are constants.
                found = unsafe { libc::dlvsym(libc::RTLD_NEXT, self.name.as_ptr(), self.node.as_ptr()) };
            }
            if found.is_null() {
                found = home.find(self.name);
            }
            // Two threads may both look: they find the same.
            self.found.store(found, Ordering::Relaxed);
        }
        Self::function(found)
    }

    /// Where it is. Null if it is not there.
    pub(super) fn address(&self) -> *mut c_void {
        self.find();
        self.found.load(Ordering::Relaxed)
    }

    /// If the caller's libssl is not the one that this library works for: that one's function, to be called instead of
    /// all that ours does. Asked first by each interposed function.
    pub(crate) fn of_another(&self) -> Option<F> {
        self.of_another_than(ptr::null())
    }

    /// The same, where the caller gives a method: its libssl is the one that the method is of.
    pub(crate) fn of_another_than(&self, method: *const SSL_METHOD) -> Option<F> {
        // Found, and for everyone: there is no other.
        if !self.found.load(Ordering::Relaxed).is_null() && link::is_global() {
            return None;
        }
        link::of_another(self.name, method.cast()).and_then(Self::function)
    }

    /// One of libcrypto's, for a caller of whom no more is known than that it has that libcrypto: the process may have no
    /// libssl.
    pub(crate) fn of_libcrypto(&self) -> Option<F> {
        let mut found = self.found.load(Ordering::Relaxed);
        if found.is_null() {
            // SAFETY: dlvsym takes two C strings; both are constants.
            found = unsafe { libc::dlvsym(libc::RTLD_NEXT, self.name.as_ptr(), self.node.as_ptr()) };
            if found.is_null() {
                // It came with a plugin; the next caller may have another.
                return link::callers_libcrypto(self.name, self.node).and_then(Self::function);
            }
            self.found.store(found, Ordering::Relaxed);
        }
        Self::function(found)
    }

    fn function(found: *mut c_void) -> Option<F> {
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) }
        if found.is_null() {
            return None;
        }
        // SAFETY: a pointer-sized function pointer type (checked above), non-null, and `real!` gives the type that
        // OpenSSL's header has for this name and version.
        Some(unsafe { std::mem::transmute_copy::<*mut c_void, F>(&found) })
    }
}

/// Whether every call in this process is one of the libssl that this library works for.
pub(crate) fn is_global() -> bool {
    link::is_global()
}

/// A constant that ends with NUL, as C wants it.
pub(super) const fn constant(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("one NUL, at the end"),
    }
}

//! Handles whose type says at which point of a handshake they were made.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;
use std::slice;

use openssl_sys::{SSL, SSL_client_hello_get0_ext, SSL_get_servername, TLSEXT_NAMETYPE_host_name};

use super::super::ffi;
use super::Ssl;

/// An `SSL` whose ticket came in: its ClientHello is at hand, and not yet evaluated.
#[derive(Clone, Copy)]
pub(in super::super) struct Hello<'h>(Ssl<'h>);

impl<'h> Hello<'h> {
    /// # Safety
    /// As [`Ssl::new`]; and libssl has called the ticket key callback with this SSL to open a ticket, and waits for it for
    /// as long as `'h`.
    pub(in super::super) unsafe fn new(ssl: *mut SSL) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { Ssl::new(ssl) })
    }

    /// The server_name extension; `None` if there is none.
    #[inline]
    pub(in super::super) fn server_name_extension(self) -> Option<&'h [u8]> {
        let mut data = ptr::null();
        let mut len = 0;
        // SAFETY: a live SSL (`new`), whose ClientHello libssl keeps until its extensions have been evaluated, the ticket's
        // among them (tls_early_post_process_client_hello in ssl/statem/statem_srvr.c).
        let is = unsafe { SSL_client_hello_get0_ext(self.0.0, ffi::TLSEXT_TYPE_SERVER_NAME, &mut data, &mut len) } == 1;
        if !is || data.is_null() {
            return is.then_some(&[]);
        }
        // SAFETY: `len` bytes of the ClientHello (SSL_client_hello_get0_ext(3)), which is kept for 'h (see above).
        Some(unsafe { slice::from_raw_parts(data, len) })
    }
}

impl<'h> Deref for Hello<'h> {
    type Target = Ssl<'h>;

    fn deref(&self) -> &Ssl<'h> {
        &self.0
    }
}

/// An `SSL` in its handshake whose ClientHello has been evaluated: its servername callback is called, or a ticket is made.
#[derive(Clone, Copy)]
pub(in super::super) struct Evaluated<'h>(Ssl<'h>);

impl<'h> Evaluated<'h> {
    /// # Safety
    /// As [`Ssl::new`]; and libssl has called the servername callback with this SSL, or the ticket key callback to make a
    /// ticket, and waits for it for as long as `'h`.
    pub(in super::super) unsafe fn new(ssl: *mut SSL) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { Ssl::new(ssl) })
    }

    /// SSL_get_servername(3).
    #[inline]
    pub(in super::super) fn server_name(self) -> Option<&'h [u8]> {
        // SAFETY: a live SSL for 'h (`new`).
        let name = unsafe { SSL_get_servername(self.0.0, TLSEXT_NAMETYPE_host_name) };
        if name.is_null() {
            return None;
        }
        // SAFETY: a C string of the SSL's or its session's (SSL_get_servername(3)), which both live for 'h.
        Some(unsafe { CStr::from_ptr(name) }.to_bytes())
    }
}

impl<'h> Deref for Evaluated<'h> {
    type Target = Ssl<'h>;

    fn deref(&self) -> &Ssl<'h> {
        &self.0
    }
}

/// The `SSL` whose ticket key callback set libssl's cipher up, for the calls of that cipher.
#[derive(Clone, Copy)]
pub(in super::super) struct CipherSsl(*mut SSL);

impl From<Ssl<'_>> for CipherSsl {
    fn from(ssl: Ssl<'_>) -> Self {
        Self(ssl.0)
    }
}

impl CipherSsl {
    pub(in super::super) fn get<'h>(self, _: &CipherCall<'h>) -> Ssl<'h> {
        // SAFETY: the key callback had this SSL, and the call that ran it is still running (`CipherCall::new`).
        unsafe { Ssl::new(self.0) }
    }
}

/// The same, of a callback that was called to open a ticket.
#[derive(Clone, Copy)]
pub(in super::super) struct CipherHello(CipherSsl);

impl From<Hello<'_>> for CipherHello {
    fn from(hello: Hello<'_>) -> Self {
        Self(CipherSsl::from(*hello))
    }
}

impl CipherHello {
    pub(in super::super) fn get<'h>(self, call: &CipherCall<'h>) -> Hello<'h> {
        // The callback had a ClientHello at hand (`From`), and the call of libssl that ran it is still running.
        Hello(self.0.get(call))
    }
}

/// libssl is running the cipher that a ticket key callback has set up.
pub(in super::super) struct CipherCall<'h>(PhantomData<&'h SSL>);

impl CipherCall<'_> {
    /// # Safety
    /// For as long as `'h` the cipher runs inside the call of libssl that also ran the ticket key callback which set up
    /// this cipher: so the SSL is alive, and this thread's.
    pub(in super::super) unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

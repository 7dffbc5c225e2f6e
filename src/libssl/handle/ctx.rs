//! A handle on an `SSL_CTX`.

use std::ffi::{c_int, c_uchar, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::slice;

use openssl_sys::{
    SSL_CTX, SSL_CTX_get_cert_store, SSL_CTX_get_ex_data, SSL_CTX_get0_certificate, SSL_CTX_set_ex_data, X509,
    X509_STORE, stack_st_X509_NAME,
};

use super::super::context::Context;
use super::super::ex_data::{Object, Part, Writable};
use super::super::ffi;
use super::Store;

/// An `SSL_CTX`, inside a call that is made with it or with an `SSL` of its.
#[derive(Clone, Copy)]
pub(crate) struct Ctx<'h>(*mut SSL_CTX, PhantomData<&'h SSL_CTX>);

impl<'h> Ctx<'h> {
    /// `None` for null.
    ///
    /// # Safety
    /// `ctx` is null, or alive for as long as `'h`.
    #[inline]
    pub(crate) unsafe fn new(ctx: *mut SSL_CTX) -> Option<Self> {
        (!ctx.is_null()).then_some(Self(ctx, PhantomData))
    }

    /// For calls of the real functions: alive for as long as `'h`.
    pub(in super::super) fn as_ptr(self) -> *mut SSL_CTX {
        self.0
    }

    /// Our part of it; `None` for one that we never saw made.
    #[inline]
    pub(in super::super) fn part(self) -> Option<&'h Context> {
        let context = Context::class().get(&self)?;
        // SAFETY: what `Class::give` stored: alive until the context's end, which is after 'h (`new`), and only ever
        // shared.
        Some(unsafe { context.as_ref() })
    }

    /// The bits of the public key in its current certificate. `None` if it has none.
    pub(in super::super) fn certificate_key(self) -> Option<&'h [u8]> {
        let certificate = self.certificate_ptr();
        if certificate.is_null() {
            return None;
        }
        // SAFETY: a certificate that the context holds (SSL_CTX_get0_certificate(3)).
        let key = unsafe { ffi::X509_get_X509_PUBKEY(certificate) };
        let mut bits: *const c_uchar = ptr::null();
        let mut len: c_int = 0;
        if key.is_null() {
            return None;
        }
        // SAFETY: the public key of that certificate; the other outputs may be NULL (X509_PUBKEY_get0_param(3)).
        let found = unsafe { ffi::X509_PUBKEY_get0_param(ptr::null_mut(), &mut bits, &mut len, ptr::null_mut(), key) };
        if found != 1 || bits.is_null() {
            return None;
        }
        // SAFETY: `len` bytes that belong to the certificate (X509_PUBKEY_get0_param(3)), which a context that serves keeps
        // for 'h.
        Some(unsafe { slice::from_raw_parts(bits, usize::try_from(len).ok()?) })
    }

    /// Whether this is its own store (SSL_CTX_get_cert_store(3)).
    pub(in super::super) fn has_store(self, store: Store<'_>) -> bool {
        ptr::eq(self.cert_store_ptr().cast(), store.address())
    }

    /// SSL_CTX_get_cert_store(3).
    pub(super) fn cert_store(self) -> Option<Store<'h>> {
        // SAFETY: the context holds a reference on its store (SSL_CTX_get_cert_store(3)).
        unsafe { Store::new(self.cert_store_ptr()) }
    }
}

asks! { Ctx:
    fn cert_store_ptr = SSL_CTX_get_cert_store => *mut X509_STORE;
    pub(super) fn client_ca_list = ffi::SSL_CTX_get_client_CA_list => *mut stack_st_X509_NAME;
    pub(super) fn ca_list = ffi::SSL_CTX_get0_CA_list => *const stack_st_X509_NAME;
    fn certificate_ptr = SSL_CTX_get0_certificate => *mut X509;
}

impl Object for Ctx<'_> {
    fn address(&self) -> *mut c_void {
        self.0.cast()
    }

    #[inline]
    fn read(&self, index: c_int) -> *mut c_void {
        // SAFETY: a live SSL_CTX for 'h (`Ctx::new`); any index may be asked for.
        unsafe { SSL_CTX_get_ex_data(self.0, index) }
    }
}

impl Writable for Ctx<'_> {
    fn write(&self, index: c_int, value: *mut c_void) -> c_int {
        // SAFETY: a live SSL_CTX for 'h (`Ctx::new`), and an index of ours.
        unsafe { SSL_CTX_set_ex_data(self.0, index, value) }
    }
}

//! Safe handles on what libssl hands us.
//!
//! Each handle has one unsafe constructor. Whoever makes one promises that the object is alive, and used by this thread
//! as libssl allows it, for as long as `'h`: usually the length of one call from libssl or from the program. Everything
//! after that is safe, so that the modules that decide have no `unsafe` of their own.
//!
//! The promises that the calls below rest on:
//!
//! - libssl keeps an `SSL`, its contexts, its session and its `X509_STORE` alive while it calls us with that `SSL`
//!   (SSL_free(3), SSL_CTX_free(3): each holds a reference).
//! - One thread at a time uses an `SSL`, and nobody changes a context while it serves (openssl-threads(7)).
//! - What a `get0` function gives belongs to the object that it was asked of (crypto(7), "Library Conventions").

use std::ffi::{c_int, c_uchar, c_ulong, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::slice;

use openssl_sys::{
    EVP_sha1, OPENSSL_STACK, OPENSSL_sk_num, OPENSSL_sk_value, SSL, SSL_CTX, SSL_CTX_get_cert_store,
    SSL_CTX_get_ex_data, SSL_CTX_set_ex_data, SSL_ctrl, SSL_get_SSL_CTX, SSL_get_ex_data, SSL_get_verify_mode,
    SSL_get0_param, X509_NAME, X509_OBJECT, X509_STORE, X509_VERIFY_PARAM_get_flags, stack_st_X509_NAME,
};

use super::context::Context;
use super::errors::quietly;
use super::ex_data::{Object, Part, Writable};
use super::ffi;
use super::trust::Trust;

/// An `SSL`, inside a call that libssl or the program makes with it.
#[derive(Clone, Copy)]
pub(crate) struct Ssl<'h>(*mut SSL, PhantomData<&'h SSL>);

impl<'h> Ssl<'h> {
    /// # Safety
    /// `ssl` is alive, and no other thread uses it, for as long as `'h`.
    pub(crate) unsafe fn new(ssl: *mut SSL) -> Self {
        Self(ssl, PhantomData)
    }

    /// The context that it has now. `None` while libssl is still making it (from 3.2 on).
    #[inline]
    pub(crate) fn ctx(self) -> Option<Ctx<'h>> {
        // SAFETY: a live SSL for 'h (`new`).
        let ctx = unsafe { SSL_get_SSL_CTX(self.0) };
        // SAFETY: the SSL holds a reference on its context, which it gives up in SSL_set_SSL_CTX(3) only: callbacks that
        // do that are called when no handle of a context is in use.
        unsafe { Ctx::new(ctx) }
    }

    /// SSL_get_verify_mode(3).
    #[inline]
    pub(super) fn verify_mode(self) -> c_int {
        // SAFETY: a live SSL for 'h (`new`).
        unsafe { SSL_get_verify_mode(self.0) }
    }

    /// SSL_get_verify_depth(3).
    pub(super) fn verify_depth(self) -> c_int {
        // SAFETY: a live SSL for 'h (`new`).
        unsafe { ffi::SSL_get_verify_depth(self.0) }
    }

    /// The flags of its X509_VERIFY_PARAM (SSL_get0_param(3)).
    pub(super) fn verify_flags(self) -> c_ulong {
        // SAFETY: a live SSL for 'h (`new`).
        let param = unsafe { SSL_get0_param(self.0) };
        // SAFETY: every SSL has parameters, from SSL_new to SSL_free (SSL_get0_param(3)).
        unsafe { X509_VERIFY_PARAM_get_flags(param) }
    }

    /// SSL_get_security_level(3).
    pub(super) fn security_level(self) -> c_int {
        // SAFETY: a live SSL for 'h (`new`).
        unsafe { ffi::SSL_get_security_level(self.0) }
    }

    /// The DER of every name that SSL_get_client_CA_list(3) gives. `None` if memory has run out.
    pub(super) fn client_ca_names(self) -> Option<Vec<&'h [u8]>> {
        // SAFETY: a live SSL for 'h (`new`).
        let list = unsafe { ffi::SSL_get_client_CA_list(self.0) };
        // SAFETY: null, or a list that belongs to the SSL or its context (SSL_get_client_CA_list(3)).
        unsafe { names(list) }
    }

    /// The DER of every name that SSL_get0_CA_list(3) gives. `None` if memory has run out.
    pub(super) fn ca_names(self) -> Option<Vec<&'h [u8]>> {
        // SAFETY: a live SSL for 'h (`new`).
        let list = unsafe { ffi::SSL_get0_CA_list(self.0) };
        // SAFETY: null, or a list that belongs to the SSL or its context (SSL_get0_CA_list(3)).
        unsafe { names(list) }
    }

    /// The store that its peer's certificate is verified with: its own, or that of its context. (1.1.1 does not say whether
    /// there is one of its own, and has no such command.)
    pub(super) fn verify_store(self) -> Option<Store<'h>> {
        let mut store: *mut X509_STORE = ptr::null_mut();
        // SAFETY: a live SSL for 'h (`new`); the command stores a pointer where it is told (SSL_set1_verify_cert_store(3)).
        quietly(|| unsafe { SSL_ctrl(self.0, ffi::SSL_CTRL_GET_VERIFY_CERT_STORE, 0, (&raw mut store).cast()) } == 1);
        if store.is_null() {
            return self.ctx()?.cert_store();
        }
        Some(Store(store, PhantomData))
    }
}

impl Object for Ssl<'_> {
    fn address(&self) -> *mut c_void {
        self.0.cast()
    }

    #[inline]
    fn read(&self, index: c_int) -> *mut c_void {
        // SAFETY: a live SSL for 'h (`Ssl::new`); any index may be asked for.
        unsafe { SSL_get_ex_data(self.0, index) }
    }
}

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
    pub(super) fn as_ptr(self) -> *mut SSL_CTX {
        self.0
    }

    /// Our part of it; `None` for one that we never saw made.
    #[inline]
    pub(super) fn part(self) -> Option<&'h Context> {
        let context = Context::class().get(&self)?;
        // SAFETY: what `Class::give` stored: alive until the context's end, which is after 'h (`new`), and only ever
        // shared.
        Some(unsafe { context.as_ref() })
    }

    /// SSL_CTX_get_cert_store(3).
    fn cert_store(self) -> Option<Store<'h>> {
        // SAFETY: a live SSL_CTX for 'h (`new`).
        let store = unsafe { SSL_CTX_get_cert_store(self.0) };
        (!store.is_null()).then_some(Store(store, PhantomData))
    }
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

/// An `X509_STORE`, of an `SSL` or an `SSL_CTX`, which hold a reference on it.
#[derive(Clone, Copy)]
pub(super) struct Store<'h>(*mut X509_STORE, PhantomData<&'h X509_STORE>);

impl<'h> Store<'h> {
    /// The flags of its X509_VERIFY_PARAM.
    pub(super) fn verify_flags(self) -> c_ulong {
        // SAFETY: a live store for 'h (`Ssl::verify_store`).
        let param = unsafe { ffi::X509_STORE_get0_param(self.0) };
        // SAFETY: every store has parameters for as long as it lives (X509_STORE_get0_param(3)).
        unsafe { X509_VERIFY_PARAM_get_flags(param) }
    }

    /// The depth of its X509_VERIFY_PARAM.
    pub(super) fn verify_depth(self) -> c_int {
        // SAFETY: a live store for 'h (`Ssl::verify_store`).
        let param = unsafe { ffi::X509_STORE_get0_param(self.0) };
        // SAFETY: every store has parameters for as long as it lives (X509_STORE_get0_param(3)).
        unsafe { ffi::X509_VERIFY_PARAM_get_depth(param) }
    }

    /// Takes its lock, which libcrypto holds while it adds to the store or looks something up in it. `None` if that fails
    /// or memory has run out.
    pub(super) fn lock(self) -> Option<LockedStore<'h>> {
        // SAFETY: a live store for 'h (`Ssl::verify_store`), whose lock this thread does not hold: nothing of ours that runs
        // under it takes another.
        let objects = unsafe { objects(self.0) }?;
        let mut locked = LockedStore { store: self, objects, is_locked: false };
        // SAFETY: a live store for 'h; unlocked by `drop`.
        locked.is_locked = unsafe { ffi::X509_STORE_lock(self.0) } == 1;
        locked.is_locked.then_some(locked)
    }
}

/// A store whose lock this thread holds until this is dropped.
pub(super) struct LockedStore<'h> {
    store: Store<'h>,
    objects: *mut OPENSSL_STACK,
    is_locked: bool,
}

/// # Safety
/// `store` is alive, and this thread does not hold its lock.
#[cfg(store_objects = "get1")]
unsafe fn objects(store: *mut X509_STORE) -> Option<*mut OPENSSL_STACK> {
    // SAFETY: the caller's promise. A copy, because this OpenSSL keeps its objects in another form
    // (X509_STORE_get1_objects(3)); `LockedStore::drop` frees it.
    let objects = unsafe { ffi::X509_STORE_get1_objects(store) };
    (!objects.is_null()).then_some(objects)
}

/// # Safety
/// `store` is alive. What is given may be read under its lock only.
#[cfg(store_objects = "get0")]
unsafe fn objects(store: *mut X509_STORE) -> Option<*mut OPENSSL_STACK> {
    // SAFETY: the caller's promise.
    Some(unsafe { ffi::X509_STORE_get0_objects(store) })
}

impl LockedStore<'_> {
    /// How many objects it has.
    pub(super) fn count(&self) -> c_int {
        // SAFETY: a copy of ours, or the store's own list, which nobody changes while we hold its lock
        // (X509_STORE_get0_objects(3)).
        unsafe { OPENSSL_sk_num(self.objects) }
    }

    pub(super) fn certificates(&self) -> impl Iterator<Item = StoreObject<'_>> {
        self.of_kind(ffi::X509_LU_X509)
    }

    pub(super) fn revocation_lists(&self) -> impl Iterator<Item = StoreObject<'_>> {
        self.of_kind(ffi::X509_LU_CRL)
    }

    fn of_kind(&self, kind: c_int) -> impl Iterator<Item = StoreObject<'_>> {
        (0..self.count()).filter_map(move |i| {
            // SAFETY: the list as in `count`, and a number below its length.
            let object = unsafe { OPENSSL_sk_value(self.objects, i) }.cast::<X509_OBJECT>();
            // SAFETY: an object of the list, alive as long as that: under the lock.
            let is = !object.is_null() && unsafe { ffi::X509_OBJECT_get_type(object) } == kind;
            is.then_some(StoreObject { object, kind, of: PhantomData })
        })
    }

    /// What we keep with the store. The lock guards it.
    pub(super) fn part(&mut self) -> Option<&mut Trust> {
        let mut part = Trust::class().get(&self.store)?;
        // SAFETY: what `Class::give` stored: alive until the store's end, which is after 'h; and everything of ours that
        // reads or writes it holds the store's lock, as we do here until `self` is dropped.
        Some(unsafe { part.as_mut() })
    }

    /// Keeps that with the store, if nothing is there, also not of others.
    pub(super) fn give(&mut self, part: Trust) {
        let class = Trust::class();
        if class.is_free(&self.store) {
            class.give(&self.store, part);
        }
    }
}

impl Drop for LockedStore<'_> {
    fn drop(&mut self) {
        if self.is_locked {
            // SAFETY: a live store for 'h, locked by `Store::lock` in this thread.
            unsafe { ffi::X509_STORE_unlock(self.store.0) };
        }
        #[cfg(store_objects = "get1")]
        // SAFETY: the copy that `objects` made for us, with a reference on each object; nothing borrows from it any more.
        unsafe {
            ffi::OPENSSL_sk_pop_free(self.objects, Some(ffi::X509_OBJECT_free))
        };
    }
}

impl Object for Store<'_> {
    fn address(&self) -> *mut c_void {
        self.0.cast()
    }

    fn read(&self, index: c_int) -> *mut c_void {
        // SAFETY: a live store for 'h (`Ssl::verify_store`); any index may be asked for.
        unsafe { ffi::X509_STORE_get_ex_data(self.0, index) }
    }
}

impl Writable for Store<'_> {
    fn write(&self, index: c_int, value: *mut c_void) -> c_int {
        // SAFETY: a live store for 'h (`Ssl::verify_store`), and an index of ours.
        unsafe { ffi::X509_STORE_set_ex_data(self.0, index, value) }
    }
}

/// A certificate or a revocation list of a store, whose lock is held.
pub(super) struct StoreObject<'l> {
    object: *const X509_OBJECT,
    kind: c_int,
    of: PhantomData<&'l X509_OBJECT>,
}

impl StoreObject<'_> {
    /// Its DER, in place of what was in `der`. `None` if memory has run out.
    pub(super) fn encode(&self, der: &mut Vec<u8>) -> Option<()> {
        let len = usize::try_from(self.i2d(ptr::null_mut())).ok()?;
        der.clear();
        der.try_reserve(len).ok()?;
        let mut out = der.as_mut_ptr();
        if usize::try_from(self.i2d(&mut out)).ok()? != len {
            return None;
        }
        // SAFETY: so many bytes were reserved, and i2d_X509(3) says that it has written them.
        unsafe { der.set_len(len) };
        Some(())
    }

    /// `out` is null, or points to where there is room for the encoding.
    fn i2d(&self, out: *mut *mut c_uchar) -> c_int {
        if self.kind == ffi::X509_LU_CRL {
            // SAFETY: an object of a locked store, of that kind (`LockedStore::of_kind`).
            let list = unsafe { ffi::X509_OBJECT_get0_X509_CRL(self.object) };
            // SAFETY: the object's own list, and `out` as i2d_X509_CRL(3) wants it: by `encode`.
            unsafe { ffi::i2d_X509_CRL(list, out) }
        } else {
            // SAFETY: an object of a locked store, of that kind (`LockedStore::of_kind`).
            let certificate = unsafe { ffi::X509_OBJECT_get0_X509(self.object) };
            // SAFETY: the object's own certificate, and `out` as i2d_X509(3) wants it: by `encode`.
            unsafe { ffi::i2d_X509(certificate, out) }
        }
    }

    /// libcrypto's SHA-1 of a revocation list, which it keeps. `None` if it has none.
    pub(super) fn list_digest(&self) -> Option<[u8; 20]> {
        if self.kind != ffi::X509_LU_CRL {
            return None;
        }
        let (mut digest, mut len) = ([0; 20], 0);
        // SAFETY: always allowed: a constant of libcrypto's (EVP_sha1(3)).
        let sha1 = unsafe { EVP_sha1() };
        // SAFETY: an object of a locked store, of that kind (`LockedStore::of_kind`).
        let list = unsafe { ffi::X509_OBJECT_get0_X509_CRL(self.object) };
        // SAFETY: the object's own list, and room for a SHA-1 (X509_CRL_digest(3)).
        let done = quietly(|| unsafe { ffi::X509_CRL_digest(list, sha1, digest.as_mut_ptr(), &mut len) });
        (done == 1 && len as usize == digest.len()).then_some(digest)
    }
}

/// The DER of every name in a list of them. `None` if memory has run out.
///
/// # Safety
/// `list` is null, or alive and unchanged for as long as `'a`.
unsafe fn names<'a>(list: *const stack_st_X509_NAME) -> Option<Vec<&'a [u8]>> {
    let list = list.cast::<OPENSSL_STACK>();
    let mut names = Vec::new();
    if list.is_null() {
        return Some(names);
    }
    // SAFETY: a live list, by the caller's promise.
    let count = unsafe { OPENSSL_sk_num(list) };
    names.try_reserve(usize::try_from(count).unwrap_or(0)).ok()?;
    for i in 0..count {
        // SAFETY: a live list, by the caller's promise, and a number below its length.
        let name = unsafe { OPENSSL_sk_value(list, i) }.cast::<X509_NAME>();
        let mut der: *const c_uchar = ptr::null();
        let mut len = 0;
        // SAFETY: a name of the list; gives a pointer to its own encoding, which it keeps (X509_NAME_get0_der(3)).
        if name.is_null() || unsafe { ffi::X509_NAME_get0_der(name, &mut der, &mut len) } != 1 {
            return None;
        }
        // SAFETY: `len` bytes, alive as long as the name (X509_NAME_get0_der(3)), which the list holds for 'a.
        names.push(unsafe { slice::from_raw_parts(der, len) });
    }
    Some(names)
}

//! Handles on an `X509_STORE` and what is in it.

use std::ffi::{c_int, c_uchar, c_void};
use std::marker::PhantomData;
use std::ptr;

use openssl_sys::{
    OPENSSL_STACK, OPENSSL_sk_num, OPENSSL_sk_value, X509, X509_CRL, X509_OBJECT, X509_STORE, X509_VERIFY_PARAM,
};

use super::super::errors::quietly;
use super::super::ex_data::{Object, Part, Writable};
use super::super::ffi;
use super::super::trust_store::Trust;
use super::Param;

/// An `X509_STORE`, of an `SSL` or an `SSL_CTX`, which hold a reference on it.
#[derive(Clone, Copy)]
pub(in super::super) struct Store<'h>(*mut X509_STORE, PhantomData<&'h X509_STORE>);

impl<'h> Store<'h> {
    /// `None` for null.
    ///
    /// # Safety
    /// `store` is null, or alive for as long as `'h`.
    pub(super) unsafe fn new(store: *mut X509_STORE) -> Option<Self> {
        (!store.is_null()).then_some(Self(store, PhantomData))
    }

    /// How certificates are verified with it (X509_STORE_get0_param(3)): every store has that.
    pub(in super::super) fn param(self) -> Param<'h> {
        Param(self.param_ptr(), PhantomData)
    }

    /// Whether anything of it is done by code of the application's (X509_STORE_set_verify_cb_func(3)).
    pub(in super::super) fn has_callbacks(self) -> bool {
        [
            self.verify(),
            self.verify_cb(),
            self.get_issuer(),
            self.check_issued(),
            self.check_revocation(),
            self.get_crl(),
            self.check_crl(),
            self.cert_crl(),
            self.check_policy(),
            self.lookup_certs(),
            self.lookup_crls(),
        ]
        .iter()
        .any(Option::is_some)
    }

    /// How many objects it has just now, without its lock. `None` where libcrypto does not say that (4.0).
    #[cfg(store_objects = "get0")]
    pub(in super::super) fn count_now(self) -> Option<c_int> {
        // SAFETY: a live store for 'h (`Store::new`): its list is there as long as it is (X509_STORE_get0_objects(3)).
        let objects = unsafe { ffi::X509_STORE_get0_objects(self.0) };
        // SAFETY: that list. One number is read of it, which another thread may be changing under the lock: it is the one
        // before or the one after.
        Some(unsafe { OPENSSL_sk_num(objects) })
    }

    #[cfg(store_objects = "get1")]
    pub(in super::super) fn count_now(self) -> Option<c_int> {
        None
    }

    /// Takes its lock, which libcrypto holds while it adds to the store or looks something up in it. `None` if that fails
    /// or memory has run out.
    pub(in super::super) fn lock(self) -> Option<LockedStore<'h>> {
        // SAFETY: a live store for 'h (`Store::new`), whose lock this thread does not hold: nothing of ours that runs
        // under it takes another.
        let objects = unsafe { objects(self.0) }?;
        let mut locked = LockedStore { store: self, objects, is_locked: false };
        // SAFETY: a live store for 'h; unlocked by `drop`.
        locked.is_locked = unsafe { ffi::X509_STORE_lock(self.0) } == 1;
        locked.is_locked.then_some(locked)
    }
}

asks! { Store:
    fn param_ptr = ffi::X509_STORE_get0_param => *mut X509_VERIFY_PARAM;
    fn verify = ffi::X509_STORE_get_verify => ffi::AnyFn;
    fn verify_cb = ffi::X509_STORE_get_verify_cb => ffi::AnyFn;
    fn get_issuer = ffi::X509_STORE_get_get_issuer => ffi::AnyFn;
    fn check_issued = ffi::X509_STORE_get_check_issued => ffi::AnyFn;
    fn check_revocation = ffi::X509_STORE_get_check_revocation => ffi::AnyFn;
    fn get_crl = ffi::X509_STORE_get_get_crl => ffi::AnyFn;
    fn check_crl = ffi::X509_STORE_get_check_crl => ffi::AnyFn;
    fn cert_crl = ffi::X509_STORE_get_cert_crl => ffi::AnyFn;
    fn check_policy = ffi::X509_STORE_get_check_policy => ffi::AnyFn;
    fn lookup_certs = ffi::X509_STORE_get_lookup_certs => ffi::AnyFn;
    fn lookup_crls = ffi::X509_STORE_get_lookup_crls => ffi::AnyFn;
}

/// A store whose lock this thread holds until this is dropped.
pub(in super::super) struct LockedStore<'h> {
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
    pub(in super::super) fn count(&self) -> c_int {
        // SAFETY: a copy of ours, or the store's own list, which nobody changes while we hold its lock
        // (X509_STORE_get0_objects(3)).
        unsafe { OPENSSL_sk_num(self.objects) }
    }

    pub(in super::super) fn certificates(&self) -> impl Iterator<Item = StoreObject<'_>> {
        self.of_kind(ffi::X509_LU_X509)
    }

    pub(in super::super) fn revocation_lists(&self) -> impl Iterator<Item = StoreObject<'_>> {
        self.of_kind(ffi::X509_LU_CRL)
    }

    fn of_kind(&self, kind: c_int) -> impl Iterator<Item = StoreObject<'_>> {
        (0..self.count()).filter_map(move |i| {
            // SAFETY: the list as in `count`, and a number below its length.
            let object = unsafe { OPENSSL_sk_value(self.objects, i) }.cast::<X509_OBJECT>();
            // An object of the list lives as long as that: under the lock.
            (!object.is_null()).then_some(StoreObject(object, PhantomData)).filter(|object| object.kind() == kind)
        })
    }

    /// What we keep with the store. The lock guards it.
    pub(in super::super) fn part(&mut self) -> Option<&mut Trust> {
        let mut part = Trust::class().get(&self.store)?;
        // SAFETY: what `Class::give` stored: alive until the store's end, which is after 'h; and everything of ours that
        // reads or writes it holds the store's lock, as we do here until `self` is dropped.
        Some(unsafe { part.as_mut() })
    }

    /// Keeps that with the store, if nothing is there, also not of others.
    pub(in super::super) fn give(&mut self, part: Trust) {
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
        // SAFETY: a live store for 'h (`Store::new`); any index may be asked for.
        unsafe { ffi::X509_STORE_get_ex_data(self.0, index) }
    }
}

impl Writable for Store<'_> {
    fn write(&self, index: c_int, value: *mut c_void) -> c_int {
        // SAFETY: a live store for 'h (`Store::new`), and an index of ours.
        unsafe { ffi::X509_STORE_set_ex_data(self.0, index, value) }
    }
}

/// A certificate or a revocation list of a store, whose lock is held for `'l`.
#[derive(Clone, Copy)]
pub(in super::super) struct StoreObject<'l>(*const X509_OBJECT, PhantomData<&'l X509_OBJECT>);

asks! { StoreObject:
    fn kind = ffi::X509_OBJECT_get_type => c_int;
    /// NULL for an object of another kind.
    fn list = ffi::X509_OBJECT_get0_X509_CRL => *const X509_CRL;
    fn certificate = ffi::X509_OBJECT_get0_X509 => *const X509;
}

impl StoreObject<'_> {
    /// Its DER, in place of what was in `der`: of a certificate with what it is trusted and rejected for, where that is set.
    /// `None` if memory has run out.
    pub(in super::super) fn encode(&self, der: &mut Vec<u8>) -> Option<()> {
        let len = usize::try_from(self.i2d(ptr::null_mut())).ok()?;
        der.clear();
        der.try_reserve(len).ok()?;
        let mut out = der.as_mut_ptr();
        if usize::try_from(self.i2d(&mut out)).ok()? != len {
            return None;
        }
        // SAFETY: so many bytes were reserved, and i2d_X509_AUX(3) says that it has written them.
        unsafe { der.set_len(len) };
        Some(())
    }

    /// `out` is null, or points to where there is room for the encoding.
    fn i2d(&self, out: *mut *mut c_uchar) -> c_int {
        if self.kind() == ffi::X509_LU_CRL {
            // SAFETY: the object's own list, and `out` as i2d_X509_CRL(3) wants it: by `encode`.
            unsafe { ffi::i2d_X509_CRL(self.list(), out) }
        } else {
            // SAFETY: the object's own certificate, and `out` as i2d_X509_AUX(3) wants it: by `encode`.
            unsafe { ffi::i2d_X509_AUX(self.certificate(), out) }
        }
    }

    /// libcrypto's SHA-1 of a revocation list, which it keeps. `None` if it has none.
    pub(in super::super) fn list_digest(&self) -> Option<[u8; 20]> {
        if self.kind() != ffi::X509_LU_CRL {
            return None;
        }
        let (mut digest, mut len) = ([0; 20], 0);
        // SAFETY: the object's own list, and room for a SHA-1 (X509_CRL_digest(3)).
        let digested = || unsafe { ffi::X509_CRL_digest(self.list(), ffi::EVP_sha1(), digest.as_mut_ptr(), &mut len) };
        let done = quietly(digested);
        (done == 1 && len as usize == digest.len()).then_some(digest)
    }
}

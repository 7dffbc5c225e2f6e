//! Whom client certificates are verified by: the certificates and revocation lists of an `X509_STORE`, as a digest.
//!
//! The digest is kept in the store's own ex_data, and dies with it. It serves as long as the store has as many objects
//! and the same revocation lists: certificates are only ever added (libcrypto has no way to take one out), lists are
//! replaced in place by some programs.
//!
//! Stores change while a server runs: a directory is read file by file as clients need it, lists are loaded by a timer,
//! each process at its own time. Then what one process has seen does not hold for another: [`changes`].

use std::ffi::{c_int, c_long, c_uchar, c_ulong, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use openssl_sys::{
    CRYPTO_EX_DATA, EVP_sha1, OPENSSL_STACK, OPENSSL_sk_num, OPENSSL_sk_value, SSL, SSL_CTX_get_cert_store, SSL_ctrl,
    SSL_get_SSL_CTX, X509_OBJECT, X509_STORE, X509_VERIFY_PARAM_get_flags,
};
use ticketshim_core::binding::{digest_of, trust_digest};

use super::errors::quietly;
use super::ex_data::Class;
use super::ffi;
use super::memory::try_box;

/// What a store says of whom it trusts.
pub(super) struct Store {
    pub(super) trust: [u8; 32],
    pub(super) flags: c_ulong,
    pub(super) depth: c_int,
}

/// What is kept with a store. Read and written under the store's lock.
struct Trust {
    /// How many objects the store had when `digest` was made.
    objects: c_int,
    /// And libcrypto's own digest of each revocation list, which it has at hand.
    lists: Vec<[u8; 20]>,
    digest: [u8; 32],
}

/// See [`changes`].
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Another number after each change of a store that was looked at before: 0 as long as there was none, and then one that
/// no other process has.
pub(super) fn changes() -> u64 {
    CHANGES.load(Ordering::Relaxed)
}

fn note_change() {
    let mut bytes = [0; 8];
    let number = match ticketshim_keys::random::fill(&mut bytes) {
        true => u64::from_ne_bytes(bytes),
        false => u64::from(std::process::id()) << 32 | (changes() + 1) & u64::from(u32::MAX),
    };
    CHANGES.store(number.max(1), Ordering::Relaxed);
}

/// The store that the client of `ssl` is verified with. `None` if memory has run out.
///
/// # Safety
/// `ssl` is alive and no other thread uses it.
pub(super) unsafe fn of(ssl: *mut SSL) -> Option<Store> {
    let mut store: *mut X509_STORE = ptr::null_mut();
    // The connection's own; 1.1.1 does not say, and has no such command.
    // SAFETY: the caller's promise; the command stores a pointer at the one it is given.
    quietly(|| unsafe { SSL_ctrl(ssl, ffi::SSL_CTRL_GET_VERIFY_CERT_STORE, 0, (&raw mut store).cast()) } == 1);
    if store.is_null() {
        // SAFETY: the caller's promise.
        let ctx = unsafe { SSL_get_SSL_CTX(ssl) };
        // SAFETY: the context of that SSL.
        store = unsafe { SSL_CTX_get_cert_store(ctx) };
    }
    // SAFETY: the store of a connection that lives.
    unsafe { look(store) }
}

/// # Safety
/// `store` is null or alive.
unsafe fn look(store: *mut X509_STORE) -> Option<Store> {
    if store.is_null() {
        return Some(Store { trust: trust_digest(&mut [], &mut []), flags: 0, depth: -1 });
    }
    // SAFETY: the caller's promise.
    let param = unsafe { ffi::X509_STORE_get0_param(store) };
    // SAFETY: every store has parameters.
    let flags = unsafe { X509_VERIFY_PARAM_get_flags(param) };
    // SAFETY: as above.
    let depth = unsafe { ffi::X509_VERIFY_PARAM_get_depth(param) };
    // SAFETY: the caller's promise.
    let objects = unsafe { Objects::of(store) }?;
    // SAFETY: as above. libcrypto holds this lock while it adds to the store or looks something up in it.
    if unsafe { ffi::X509_STORE_lock(store) } != 1 {
        return None;
    }
    // SAFETY: the lock is held.
    let digest = unsafe { digest_locked(store, &objects) };
    // SAFETY: taken above.
    unsafe { ffi::X509_STORE_unlock(store) };
    Some(Store { trust: digest?, flags, depth })
}

/// # Safety
/// `store` is alive, and its lock is held.
unsafe fn digest_locked(store: *mut X509_STORE, objects: &Objects) -> Option<[u8; 32]> {
    PARTS.reserve(ffi::EX_INDEX_X509_STORE, None, None, free_trust);
    // SAFETY: the caller's promise.
    let read = |index| unsafe { ffi::X509_STORE_get_ex_data(store, index) };
    let kept = PARTS.get::<Trust>(store.cast(), read);
    let objects_now = objects.count();
    let lists_now = objects.list_digests();
    // SAFETY: what is stored below, which the lock guards.
    let kept = kept.map(|mut kept| unsafe { kept.as_mut() });
    if let (Some(kept), Some(lists_now)) = (&kept, &lists_now)
        && kept.objects == objects_now
        && kept.lists == *lists_now
    {
        return Some(kept.digest);
    }
    let digest = trust_digest(&mut objects.digests(ffi::X509_LU_X509)?, &mut objects.digests(ffi::X509_LU_CRL)?);
    // Without the lists' own digests there is nothing to know them again by.
    let Some(lists) = lists_now else { return Some(digest) };
    if let Some(kept) = kept {
        if kept.digest != digest {
            note_change();
        }
        *kept = Trust { objects: objects_now, lists, digest };
    } else if PARTS.is_free(read)
        && let Some(new) = try_box(Trust { objects: objects_now, lists, digest })
    {
        let new = Box::into_raw(new);
        // SAFETY: as above.
        if !PARTS.set(store.cast(), new, |index, value| unsafe { ffi::X509_STORE_set_ex_data(store, index, value) }) {
            // SAFETY: made by into_raw above and not taken.
            drop(unsafe { Box::from_raw(new) });
        }
    }
    Some(digest)
}

/// The objects of a store.
struct Objects(*mut OPENSSL_STACK);

impl Objects {
    /// # Safety
    /// `store` is alive, and its lock is not held by this thread.
    #[cfg(store_objects = "get1")]
    unsafe fn of(store: *mut X509_STORE) -> Option<Self> {
        // SAFETY: the caller's promise. A copy, because this OpenSSL keeps its objects in another form.
        let objects = unsafe { ffi::X509_STORE_get1_objects(store) };
        (!objects.is_null()).then_some(Self(objects))
    }

    /// # Safety
    /// `store` is alive. What is given may be used under its lock only.
    #[cfg(store_objects = "get0")]
    unsafe fn of(store: *mut X509_STORE) -> Option<Self> {
        // SAFETY: the caller's promise.
        Some(Self(unsafe { ffi::X509_STORE_get0_objects(store) }))
    }

    fn count(&self) -> c_int {
        // SAFETY: a stack that is ours, or the store's, under its lock (see `of`).
        unsafe { OPENSSL_sk_num(self.0) }
    }

    /// libcrypto's SHA-1 of each revocation list, which it keeps: to know them again by, in this process. `None` if it has
    /// none.
    fn list_digests(&self) -> Option<Vec<[u8; 20]>> {
        // SAFETY: always allowed: a constant of libcrypto.
        let sha1 = unsafe { EVP_sha1() };
        let mut digests = Vec::new();
        for object in self.of_kind(ffi::X509_LU_CRL) {
            let mut digest = [0; 20];
            let mut len = 0;
            // SAFETY: a list, by its kind.
            let list = unsafe { ffi::X509_OBJECT_get0_X509_CRL(object) };
            // SAFETY: the object's list, and room for a SHA-1.
            let done = quietly(|| unsafe { ffi::X509_CRL_digest(list, sha1, digest.as_mut_ptr(), &mut len) });
            if done != 1 || len as usize != digest.len() || digests.try_reserve(1).is_err() {
                return None;
            }
            digests.push(digest);
        }
        Some(digests)
    }

    /// The SHA-256 of each object of this kind.
    fn digests(&self, kind: c_int) -> Option<Vec<[u8; 32]>> {
        let (mut digests, mut der) = (Vec::new(), Vec::new());
        for object in self.of_kind(kind) {
            // SAFETY: alive, and of that kind.
            unsafe { encode(object, kind, &mut der) }?;
            digests.try_reserve(1).ok()?;
            digests.push(digest_of(&der));
        }
        Some(digests)
    }

    fn of_kind(&self, kind: c_int) -> impl Iterator<Item = *mut X509_OBJECT> {
        (0..self.count()).filter_map(move |i| {
            // SAFETY: as in `count`, within its length.
            let object = unsafe { OPENSSL_sk_value(self.0, i) }.cast::<X509_OBJECT>();
            // SAFETY: an object of the stack.
            (!object.is_null() && unsafe { ffi::X509_OBJECT_get_type(object) } == kind).then_some(object)
        })
    }
}

#[cfg(store_objects = "get1")]
impl Drop for Objects {
    fn drop(&mut self) {
        // SAFETY: ours, with a reference on each object.
        unsafe { ffi::OPENSSL_sk_pop_free(self.0, Some(ffi::X509_OBJECT_free)) };
    }
}

/// The DER of a certificate or a revocation list, in place of what was in `der`.
///
/// # Safety
/// `object` is alive and of that `kind`.
unsafe fn encode(object: *mut X509_OBJECT, kind: c_int, der: &mut Vec<u8>) -> Option<()> {
    let i2d = |out: *mut *mut c_uchar| {
        if kind == ffi::X509_LU_CRL {
            // SAFETY: the caller's promise.
            let list = unsafe { ffi::X509_OBJECT_get0_X509_CRL(object) };
            // SAFETY: the object's; `out` is null or points to room for the encoding.
            unsafe { ffi::i2d_X509_CRL(list, out) }
        } else {
            // SAFETY: the caller's promise.
            let certificate = unsafe { ffi::X509_OBJECT_get0_X509(object) };
            // SAFETY: as above.
            unsafe { ffi::i2d_X509(certificate, out) }
        }
    };
    let len = usize::try_from(i2d(ptr::null_mut())).ok()?;
    der.clear();
    der.try_reserve(len).ok()?;
    let mut out = der.as_mut_ptr();
    if usize::try_from(i2d(&mut out)).ok()? != len {
        return None;
    }
    // SAFETY: so many bytes were reserved and are written now.
    unsafe { der.set_len(len) };
    Some(())
}

/// Each store's [`Trust`]. A store that was made under another default library context than the first that was looked at
/// does not tell us of its end.
static PARTS: Class = Class::new(false);

/// Called by libcrypto when the store dies.
unsafe extern "C" fn free_trust(
    parent: *mut c_void,
    _trust: *mut c_void,
    ad: *mut CRYPTO_EX_DATA,
    _index: c_int,
    _argl: c_long,
    _argp: *mut c_void,
) {
    super::guard::guard((), || {
        // SAFETY: libcrypto's promise: `ad` is that of the store, still whole.
        let read = |index| unsafe { ffi::CRYPTO_get_ex_data(ad, index) };
        // SAFETY: as above.
        let write = |index, value| unsafe { ffi::CRYPTO_set_ex_data(ad, index, value) };
        if let Some(trust) = PARTS.take::<Trust>(parent, read, write) {
            // SAFETY: what digest_locked stored (made by Box), and nobody finds any more.
            drop(unsafe { Box::from_raw(trust.as_ptr()) });
        }
    });
}

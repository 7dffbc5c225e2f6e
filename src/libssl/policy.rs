//! Whom a connection lets in: the [`Policy`] that its client was, or would be, asked under.
//!
//! It is read from the `SSL`, at the moment: the application may have switched its context or changed it, and nothing
//! tells us. What is kept is the hash over the facts, which serves for as long as they are byte for byte the same.

use std::ffi::c_uchar;
use std::ptr;
use std::slice;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use openssl_sys::{
    OPENSSL_STACK, OPENSSL_sk_num, OPENSSL_sk_value, SSL, SSL_VERIFY_PEER, SSL_get_SSL_CTX, SSL_get_verify_mode,
    SSL_get0_param, X509_NAME, X509_VERIFY_PARAM_get_flags, stack_st_X509_NAME,
};
use ticketshim_core::binding::{Clients, Policy, PolicyDigest};

use super::memory::{Archive, Kept, keep};
use super::{context, ffi, trust};

/// Hashes of policies, kept with the context that they were met at.
pub(crate) type Policies = Archive<Kept<PolicyDigest>>;

/// The flags of a verification (<openssl/x509_vfy.h>) that only choose among good chains, and whose defaults differ between
/// versions: `X509_V_FLAG_TRUSTED_FIRST`, `…_NO_ALT_CHAINS`, `…_NOTIFY_POLICY`. Any other may decide.
const INDECISIVE_FLAGS: u32 = 0x8000 | 0x10_0000 | 0x800;

/// Whether some server in this process asks its clients for certificates, or did.
static SOMEBODY_ASKS: AtomicBool = AtomicBool::new(false);

/// Nothing is asked: nearly every connection there is.
static OPEN: LazyLock<PolicyDigest> = LazyLock::new(|| Policy { verify_mode: 0, clients: None }.digest());

/// A server asks its clients for certificates. From now on policies are looked at and remembered.
pub(super) fn somebody_asks_now() {
    // Only stored once, so that servers that ask on each connection do not share a dirty line.
    if !somebody_asks() {
        SOMEBODY_ASKS.store(true, Ordering::Relaxed);
    }
}

/// Whether there may be policies in this process that differ in whom they let in.
pub(super) fn somebody_asks() -> bool {
    SOMEBODY_ASKS.load(Ordering::Relaxed)
}

/// The policy of `ssl` as it is now. `None` if memory has run out.
///
/// # Safety
/// `ssl` is alive and a server's, and no other thread uses it; nobody changes its context meanwhile (libssl's own rule
/// for a context that serves).
pub(super) unsafe fn of(ssl: *mut SSL) -> Option<PolicyDigest> {
    // SAFETY: the caller's promise.
    let mode = unsafe { SSL_get_verify_mode(ssl) };
    if mode == 0 {
        return Some(*OPEN);
    }
    let verify_mode = mode as u32;
    if mode & SSL_VERIFY_PEER == 0 {
        return Some(Policy { verify_mode, clients: None }.digest());
    }
    somebody_asks_now();
    // SAFETY: the caller's promise.
    let depth = unsafe { ffi::SSL_get_verify_depth(ssl) };
    // SAFETY: the caller's promise.
    let store = unsafe { trust::of(ssl) }?;
    // SAFETY: the caller's promise.
    let param = unsafe { SSL_get0_param(ssl) };
    // SAFETY: every SSL has parameters.
    let flags = unsafe { X509_VERIFY_PARAM_get_flags(param) } | store.flags;
    let flags = flags as u32 & !INDECISIVE_FLAGS;
    // SAFETY: the caller's promise.
    let security_level = unsafe { ffi::SSL_get_security_level(ssl) };
    let (trust, store_depth) = (store.trust, store.depth);
    // SAFETY: the caller's promise.
    let client_cas = unsafe { ffi::SSL_get_client_CA_list(ssl) };
    // SAFETY: the caller's promise.
    let cas = unsafe { ffi::SSL_get0_CA_list(ssl) };
    // SAFETY: a list of the SSL or its context, or null.
    let client_ca_names = unsafe { names(client_cas) }?;
    // SAFETY: as above.
    let ca_names = unsafe { names(cas) }?;
    let (client_ca_names, ca_names) = (client_ca_names.as_slice(), ca_names.as_slice());
    let hash = || {
        let clients = Clients { depth, store_depth, security_level, flags, client_ca_names, ca_names, trust };
        Policy { verify_mode, clients: Some(clients) }.digest()
    };
    // Compared in this order only with one another, and so that no two policies look the same (DER names say how long
    // they are); the encoding that is hashed is the core's.
    let numbers = [verify_mode, depth as u32, store_depth as u32, security_level as u32, flags].map(u32::to_be_bytes);
    let count = client_ca_names.len().to_be_bytes();
    let facts = [numbers.as_flattened(), &trust[..], &count[..]].into_iter();
    let facts = facts.chain(client_ca_names.iter().copied()).chain(ca_names.iter().copied());
    // SAFETY: the caller's promise: the context lives as long as the SSL has it.
    match context::of(unsafe { SSL_get_SSL_CTX(ssl) }) {
        Some(context) => keep(&context.place.policies, facts, hash),
        None => Some(hash()),
    }
}

/// The DER of every name in a list of them.
///
/// # Safety
/// `list` is null, or a list of a connection that lives, and nobody changes it during the handshake (libssl's own rule).
unsafe fn names<'a>(list: *const stack_st_X509_NAME) -> Option<Vec<&'a [u8]>> {
    let list = list.cast::<OPENSSL_STACK>();
    let mut names = Vec::new();
    if list.is_null() {
        return Some(names);
    }
    // SAFETY: the caller's promise.
    let count = unsafe { OPENSSL_sk_num(list) };
    names.try_reserve(usize::try_from(count).unwrap_or(0)).ok()?;
    for i in 0..count {
        // SAFETY: as above, within its length.
        let name = unsafe { OPENSSL_sk_value(list, i) }.cast::<X509_NAME>();
        let mut der: *const c_uchar = ptr::null();
        let mut len = 0;
        // SAFETY: a name of the list; gives a pointer to its own encoding, which it keeps.
        if name.is_null() || unsafe { ffi::X509_NAME_get0_der(name, &mut der, &mut len) } != 1 {
            return None;
        }
        // SAFETY: libcrypto's promise: `len` bytes, alive as long as the name.
        names.push(unsafe { slice::from_raw_parts(der, len) });
    }
    Some(names)
}

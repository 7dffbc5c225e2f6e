//! Where a connection is: reads the facts of the [`Binding`] out of libssl.
//!
//! The facts are read afresh for every ticket, because nothing tells us when an application changes them; what is kept
//! is the hash over them, which serves for as long as they are byte for byte the same.

use std::ffi::{c_int, c_uchar};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicPtr, Ordering};

use openssl_sys::{
    OPENSSL_STACK, OPENSSL_sk_num, OPENSSL_sk_value, SSL, SSL_CTX, SSL_CTX_get_verify_mode, SSL_CTX_get0_certificate,
    SSL_client_hello_get0_ext, SSL_get_servername, SSL_version, TLS1_3_VERSION, TLSEXT_NAMETYPE_host_name, X509_NAME,
    stack_st_X509_NAME,
};
use ticketshim_core::binding::{Binding, Context, ContextDigest, Family, Protocol, Server, public_key_digest};
use ticketshim_keys::settings::Bind;

use super::ffi;
use super::memory::{Archive, try_copy};

/// Most states of one context whose hashes are kept. One is usual; a program that changes a context under way has two.
const KEPT: usize = 16;

/// What of the binding belongs to one `SSL_CTX`.
pub(crate) struct Place {
    /// Of this very context, for `TICKETSHIM_BIND=context`; zeros otherwise.
    id: [u8; 16],
    id_contexts: Archive<IdContext>,
    /// The one of `id_contexts` that is in force, or null.
    id_context: AtomicPtr<IdContext>,
    contexts: Archive<Kept<ContextDigest>>,
    public_keys: Archive<Kept<[u8; 32]>>,
}

/// A session id context (SSL_CTX_set_session_id_context(3): at most 32 bytes).
#[derive(Clone, Copy, PartialEq, Eq)]
struct IdContext {
    bytes: [u8; 32],
    len: usize,
}

/// A hash and the facts that it was made from.
struct Kept<T> {
    facts: Vec<u8>,
    hash: T,
}

/// At which point of the handshake the facts are read: it decides how the server name can be had.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A ticket came in: the ClientHello is at hand, and not yet evaluated.
    Opening,
    /// A ticket is made: the ClientHello is evaluated, and gone.
    Sealing,
}

impl Place {
    /// `None` if a random id is needed and cannot be had.
    pub(crate) fn new(bind: Bind) -> Option<Self> {
        let mut id = [0; 16];
        // Only then: a server that starts while the kernel has no randomness yet is attached all the same, and has
        // tickets as soon as there is some.
        if bind == Bind::Context && !ticketshim_keys::random::fill(&mut id) {
            return None;
        }
        Some(Self {
            id,
            id_contexts: Archive::new(),
            id_context: AtomicPtr::new(ptr::null_mut()),
            contexts: Archive::new(),
            public_keys: Archive::new(),
        })
    }

    /// The application has set the context's session id context, which libssl lets nobody read.
    pub(crate) fn set_id_context(&self, bytes: &[u8]) -> bool {
        let mut new = IdContext { bytes: [0; 32], len: bytes.len() };
        let Some(place) = new.bytes.get_mut(..bytes.len()) else { return false };
        place.copy_from_slice(bytes);
        let kept = self.id_contexts.iter().find(|old| **old == new).or_else(|| self.id_contexts.add(new));
        let Some(kept) = kept else { return false };
        self.id_context.store(ptr::from_ref(kept).cast_mut(), Ordering::Release);
        true
    }

    /// The binding of `ssl`, which started on `first`, whose part of ours this is. `None` if memory has run out or the
    /// ClientHello's server name is not one.
    ///
    /// # Safety
    /// Both are alive; called inside a ticket key callback for `ssl`, at that `moment`.
    pub(crate) unsafe fn binding(
        &self,
        ssl: *mut SSL,
        first: *mut SSL_CTX,
        bind: Bind,
        moment: Moment,
    ) -> Option<Binding> {
        // SAFETY: the caller's promise.
        let protocol = unsafe { protocol(ssl) };
        if bind == Bind::None {
            return Some(Binding::new(protocol, Server::Unnamed, None));
        }
        let context = match bind {
            // SAFETY: the caller's promise.
            Bind::Context => Some(unsafe { self.context(first, &self.id) }?),
            // SAFETY: the caller's promise.
            Bind::Strict => Some(unsafe { self.context(first, &[]) }?),
            Bind::Sni | Bind::None => None,
        };
        // SAFETY: the caller's promise.
        let server = match unsafe { server_name(ssl, moment) }? {
            Some(name) => Server::Name(name),
            // SAFETY: the caller's promise.
            None => unsafe { self.public_key(first) }?,
        };
        Some(Binding::new(protocol, server, context.as_ref()))
    }

    /// # Safety
    /// `ctx` is alive.
    unsafe fn context(&self, ctx: *mut SSL_CTX, id: &[u8]) -> Option<ContextDigest> {
        // SAFETY: the caller's promise.
        let verify_mode = unsafe { SSL_CTX_get_verify_mode(ctx) } as u32;
        // SAFETY: the caller's promise.
        let client_cas = unsafe { ffi::SSL_CTX_get_client_CA_list(ctx) };
        // SAFETY: the caller's promise.
        let cas = unsafe { ffi::SSL_CTX_get0_CA_list(ctx) };
        // SAFETY: the context's own list, or null.
        let client_ca_names = unsafe { names(client_cas) }?;
        // SAFETY: the context's own list, or null.
        let ca_names = unsafe { names(cas) }?;
        // SAFETY: null or an entry of our archive, which lives as long as `self`.
        let id_context = unsafe { self.id_context.load(Ordering::Acquire).as_ref() };
        let id_context = id_context.and_then(|c| c.bytes.get(..c.len)).unwrap_or_default();
        // Compared in this order only with one another, and so that no two contexts look the same (DER names say how
        // long they are); the encoding that is hashed is the core's.
        let number = verify_mode.to_be_bytes();
        let lengths = [id_context.len(), client_ca_names.len()].map(usize::to_be_bytes);
        let facts = [&number[..], lengths.as_flattened(), id_context].into_iter();
        let facts = facts.chain(client_ca_names.iter().copied()).chain(ca_names.iter().copied());
        let (client_ca_names, ca_names) = (&client_ca_names, &ca_names);
        keep(&self.contexts, facts, || {
            Context { session_id_context: id_context, verify_mode, client_ca_names, ca_names, id }.digest()
        })
    }

    /// # Safety
    /// `ctx` is alive.
    unsafe fn public_key(&self, ctx: *mut SSL_CTX) -> Option<Server<'static>> {
        // SAFETY: the caller's promise.
        match unsafe { certificate_key(ctx) } {
            Some(key) => keep(&self.public_keys, [key].into_iter(), || public_key_digest(key)).map(Server::PublicKey),
            None => Some(Server::Unnamed),
        }
    }
}

/// What `ssl` speaks. In QUIC callbacks get the QUIC connection rather than the TLS inside it, and its version is
/// QUIC's; a libssl without QUIC has no such version.
///
/// # Safety
/// `ssl` is alive.
pub(super) unsafe fn protocol(ssl: *mut SSL) -> Protocol {
    // SAFETY: the caller's promise.
    let version = unsafe { SSL_version(ssl) };
    if version == ffi::OSSL_QUIC1_VERSION {
        // RFC 9001 section 4.2: TLS 1.3 or newer, of which there is none yet.
        return Protocol { family: Family::Quic, version: TLS1_3_VERSION as u16 };
    }
    // SAFETY: the caller's promise.
    let family = if unsafe { ffi::SSL_is_dtls(ssl) } == 1 { Family::Dtls } else { Family::Tls };
    // A version is 16 bits wide on the wire.
    Protocol { family, version: version as u16 }
}

/// The kept hash over these facts, or a new one, which is kept as long as there is room.
fn keep<'a, T: Copy>(
    archive: &Archive<Kept<T>>,
    facts: impl Iterator<Item = &'a [u8]> + Clone,
    hash: impl FnOnce() -> T,
) -> Option<T> {
    let same = |kept: &&Kept<T>| {
        let mut rest = kept.facts.as_slice();
        facts.clone().all(|fact| rest.strip_prefix(fact).map(|r| rest = r).is_some()) && rest.is_empty()
    };
    if let Some(kept) = archive.iter().find(same) {
        return Some(kept.hash);
    }
    let hash = hash();
    if archive.iter().count() < KEPT {
        archive.add(Kept { facts: try_copy(facts)?, hash })?;
    }
    Some(hash)
}

/// The server name that the client asked for; `Some(None)` if it asked for none.
///
/// # Safety
/// `ssl` is alive and inside a ticket key callback, at that `moment`.
unsafe fn server_name<'a>(ssl: *mut SSL, moment: Moment) -> Option<Option<&'a [u8]>> {
    match moment {
        Moment::Opening => {
            let mut data = ptr::null();
            let mut len = 0;
            // SAFETY: the caller's promise; libssl keeps the ClientHello until the ticket has been looked at.
            if unsafe { SSL_client_hello_get0_ext(ssl, ffi::TLSEXT_TYPE_SERVER_NAME, &mut data, &mut len) } != 1 {
                return Some(None);
            }
            if data.is_null() {
                return None;
            }
            // SAFETY: libssl's promise: `len` bytes of the ClientHello, which outlives the callback.
            parse_server_name(unsafe { slice::from_raw_parts(data, len) }).map(Some)
        }
        Moment::Sealing => {
            // SAFETY: the caller's promise.
            let name = unsafe { SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) };
            if name.is_null() {
                return Some(None);
            }
            // SAFETY: libssl's promise: a C string that lives at least as long as the handshake.
            Some(Some(unsafe { std::ffi::CStr::from_ptr(name) }.to_bytes()))
        }
    }
}

/// The first host name of a server_name extension (RFC 6066 section 3): a list of `type[1] ‖ length[2] ‖ name`. libssl
/// reads it the same way: exactly one name, of type 0 (host_name).
fn parse_server_name(extension: &[u8]) -> Option<&[u8]> {
    let (len, list) = extension.split_first_chunk::<2>()?;
    let (kind, entry) = list.split_first()?;
    let (name_len, name) = entry.split_first_chunk::<2>()?;
    let exact =
        usize::from(u16::from_be_bytes(*len)) == list.len() && usize::from(u16::from_be_bytes(*name_len)) == name.len();
    (*kind == 0 && exact).then_some(name)
}

/// The DER of every name in a list of them.
///
/// # Safety
/// `list` is null, or a list of a context that lives, and nobody changes it during the handshake (libssl's own rule).
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

/// The bits of the public key in the context's current certificate.
///
/// # Safety
/// `ctx` is alive, and nobody changes its certificate during the handshake (libssl's own rule).
unsafe fn certificate_key<'a>(ctx: *mut SSL_CTX) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    let certificate = unsafe { SSL_CTX_get0_certificate(ctx) };
    if certificate.is_null() {
        return None;
    }
    // SAFETY: a certificate that the context holds.
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
    // SAFETY: libcrypto's promise: `len` bytes that belong to the certificate.
    Some(unsafe { slice::from_raw_parts(bits, usize::try_from(len).ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_names_are_read_as_libssl_reads_them() {
        assert_eq!(parse_server_name(b"\x00\x06\x00\x00\x03a.b"), Some(&b"a.b"[..]));
        let wrong: [&[u8]; 7] = [
            b"",
            b"\x00",
            b"\x00\x06",
            b"\x00\x06\x00\x00\x03a.",
            b"\x00\x06\x01\x00\x03a.b",
            b"\x00\x07\x00\x00\x03a.b",
            b"\x00\x06\x00\x00\x02a.b",
        ];
        for extension in wrong {
            assert_eq!(parse_server_name(extension), None, "{extension:x?}");
        }
    }

    #[test]
    fn hashes_are_kept_by_their_facts() {
        let archive = Archive::new();
        let parts: [&[u8]; 2] = [b"a", b"bc"];
        assert_eq!(keep(&archive, parts.into_iter(), || 1), Some(1));
        assert_eq!(keep(&archive, parts.into_iter(), || 2), Some(1));
        assert_eq!(keep(&archive, [&b"abcd"[..]].into_iter(), || 3), Some(3));
        for n in 0..100u8 {
            assert_eq!(keep(&archive, [&[n][..]].into_iter(), || i32::from(n)), Some(i32::from(n)));
        }
        assert_eq!(archive.iter().count(), KEPT);
    }
}

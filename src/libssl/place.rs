//! Where a connection is: reads the facts of the [`Binding`] out of libssl.
//!
//! The facts are read afresh for every ticket, because nothing tells us when an application changes them; what is kept
//! is the hash over them, which serves for as long as they are byte for byte the same.

use std::ffi::{c_int, c_uchar};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

use openssl_sys::{
    SSL, SSL_CTX, SSL_CTX_get0_certificate, SSL_client_hello_get0_ext, SSL_get_servername, SSL_version, TLS1_3_VERSION,
    TLSEXT_NAMETYPE_host_name,
};
use ticketshim_core::binding::{
    Binding, Context, ContextDigest, Family, PolicyDigest, Protocol, Server, public_key_digest,
};
use ticketshim_keys::memo;
use ticketshim_keys::settings::Bind;

use super::ffi;
use super::memory::{Archive, Kept, keep};
use super::policy::Policies;

/// What of the binding belongs to one `SSL_CTX`.
pub(crate) struct Place {
    /// Names this very context, in this process and those forked from it.
    pub(super) id: [u8; 16],
    /// Of the session id context in force, with the id if the mode binds to that: the words of a [`ContextDigest`]. Whoever
    /// sets another while a handshake reads it gives that one, as in libssl, a mixture: a place that never was.
    context: [AtomicU64; 4],
    public_keys: Archive<Kept<[u8; 32]>>,
    pub(super) policies: Policies,
}

/// At which point of the handshake the facts are read: it decides how the server name can be had.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A ticket came in: the ClientHello is at hand, and not yet evaluated.
    Opening,
    /// A ticket is made, or the servername callback is called: the ClientHello has been evaluated.
    Sealing,
}

impl Place {
    /// `None` if a random id is needed and cannot be had, or memory has run out.
    pub(crate) fn new(bind: Bind) -> Option<Self> {
        let place = Self {
            id: new_id(bind)?,
            context: Default::default(),
            public_keys: Archive::new(),
            policies: Archive::new(),
        };
        place.set_id_context(&[], bind);
        Some(place)
    }

    /// The application has set the context's session id context, which libssl lets nobody read.
    pub(crate) fn set_id_context(&self, session_id_context: &[u8], bind: Bind) {
        let id = if bind == Bind::Context { &self.id[..] } else { &[] };
        let new = Context { session_id_context, id }.digest();
        for (word, bytes) in self.context.iter().zip(new.0.as_chunks().0) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
    }

    fn context(&self) -> ContextDigest {
        let mut context = ContextDigest([0; 32]);
        for (bytes, word) in context.0.as_chunks_mut().0.iter_mut().zip(&self.context) {
            *bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        context
    }

    /// The binding of `ssl`, which started on `first`, whose part of ours this is, and ends under `policy` (`None`
    /// where the mode leaves that out). `None` if memory has run out or the ClientHello's server name is not one.
    ///
    /// # Safety
    /// Both are alive; called inside a ticket key callback for `ssl`, at that `moment`.
    pub(crate) unsafe fn binding(
        &self,
        ssl: *mut SSL,
        first: *mut SSL_CTX,
        policy: Option<&PolicyDigest>,
        bind: Bind,
        moment: Moment,
    ) -> Option<Binding> {
        // SAFETY: the caller's promise.
        let protocol = unsafe { protocol(ssl) };
        if bind == Bind::None {
            return Some(Binding::new(protocol, Server::Unnamed, None));
        }
        // SAFETY: the caller's promise.
        let server = match unsafe { server_name(ssl, moment) }? {
            Some(name) => Server::Name(name),
            // SAFETY: the caller's promise.
            None => unsafe { self.public_key(first) }?,
        };
        let context = self.context();
        let place = policy.map(|policy| (&context, policy));
        let hash = || Binding::new(protocol, server, place);
        Some(match facts(protocol, &server, place) {
            Some(facts) => memo::binding(&facts, hash),
            None => hash(),
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

/// Names a context. Where tickets are bound to it, no other may ever have that name; else it only has to be another's
/// nowhere in this line of forks, and a server that starts while the kernel has no randomness yet can have one too.
fn new_id(bind: Bind) -> Option<[u8; 16]> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut id = [0; 16];
    if ticketshim_keys::random::fill(&mut id) {
        return Some(id);
    }
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let words = [u64::from(std::process::id()), count].map(u64::to_ne_bytes);
    id.copy_from_slice(words.as_flattened());
    (bind != Bind::Context).then_some(id)
}

/// All that a [`Binding`] depends on, for the memo of those that were hashed: of a fixed length, each field in its place,
/// the name with its length. `None` for a name that is too long for that.
fn facts(
    protocol: Protocol,
    server: &Server<'_>,
    place: Option<(&ContextDigest, &PolicyDigest)>,
) -> Option<[u8; memo::FACTS]> {
    let (kind, name): (u8, &[u8]) = match server {
        Server::Name(name) => (1, name),
        Server::PublicKey(digest) => (2, digest),
        Server::Unnamed => (3, &[]),
    };
    let [high, low] = protocol.version.to_be_bytes();
    let mut facts = [0; memo::FACTS];
    let (head, rest) = facts.split_first_chunk_mut()?;
    *head = [kind, protocol.family as u8, high, low, u8::from(place.is_some()), u8::try_from(name.len()).ok()?];
    let (digests, rest) = rest.split_first_chunk_mut::<64>()?;
    if let Some((context, policy)) = place {
        *digests.first_chunk_mut()? = context.0;
        *digests.last_chunk_mut()? = policy.0;
    }
    rest.get_mut(..name.len())?.copy_from_slice(name);
    Some(facts)
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

/// The server name that the client asked for; `Some(None)` if it asked for none.
///
/// # Safety
/// `ssl` is alive and inside a callback of its handshake, at that `moment`.
pub(super) unsafe fn server_name<'a>(ssl: *mut SSL, moment: Moment) -> Option<Option<&'a [u8]>> {
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
    fn facts_differ_where_bindings_do() {
        let tls13 = Protocol { family: Family::Tls, version: 0x0304 };
        let (context, policy) = (&ContextDigest([0; 32]), &PolicyDigest([0; 32]));
        let all = [
            facts(tls13, &Server::Unnamed, None),
            facts(tls13, &Server::Unnamed, Some((context, policy))),
            facts(tls13, &Server::Unnamed, Some((&ContextDigest([1; 32]), policy))),
            facts(tls13, &Server::Unnamed, Some((context, &PolicyDigest([1; 32])))),
            facts(tls13, &Server::Name(b""), None),
            facts(tls13, &Server::Name(b"\0"), None),
            facts(tls13, &Server::Name(b"a.example"), None),
            facts(tls13, &Server::Name(&[1; 32]), None),
            facts(tls13, &Server::PublicKey([1; 32]), None),
            facts(Protocol { family: Family::Quic, ..tls13 }, &Server::Unnamed, None),
            facts(Protocol { version: 0x0303, ..tls13 }, &Server::Unnamed, None),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(a.is_some() && all[..i].iter().all(|b| a != b), "{i}");
        }
        let longest = memo::FACTS - 70;
        assert!(facts(tls13, &Server::Name(&vec![b'a'; longest]), Some((context, policy))).is_some());
        assert!(facts(tls13, &Server::Name(&vec![b'a'; longest + 1]), Some((context, policy))).is_none());
    }
}

//! What a ticket is bound to: reads the facts of the [`Binding`] out of libssl.
//!
//! The facts are read afresh for every ticket, because nothing tells us when an application changes them; what is kept
//! is the hash over them, which serves for as long as they are byte for byte the same.
#![forbid(unsafe_code)]

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use openssl_sys::TLS1_3_VERSION;
use ticketshim_core::binding::{
    Binding, Context, ContextDigest, Family, PolicyDigest, Protocol, Server, public_key_digest,
};
use ticketshim_core::format::Origin;
use ticketshim_keys::binding_cache;
use ticketshim_keys::recent::Recent;
use ticketshim_keys::settings::Bind;

use super::client_auth_policy::Policies;
use super::ffi;
use super::handle::{Ctx, Evaluated, Hello, Ssl};
use super::memory::{AppendList, Cached, cached};

/// What of the binding belongs to one `SSL_CTX`.
pub(crate) struct BindingFacts {
    /// Names this very context, in this process and those forked from it.
    pub(super) id: [u8; 16],
    /// Whether no other context can ever have that id.
    is_unique: bool,
    /// Of the session id context in force.
    context: SharedDigest,
    /// The same with the id: what a ticket is bound to that opens in this very context only.
    own_context: SharedDigest,
    public_keys: AppendList<Cached<[u8; 32]>>,
    pub(super) policies: Policies,
    /// What was read lately of whom the context trusts, and of its policy.
    pub(super) recent_trust: Recent,
    pub(super) recent_policy: Recent,
}

/// Where a ticket opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// Wherever the facts are the same.
    Anywhere,
    /// In the `SSL_CTX` that sealed it, and what was forked from it.
    Own,
}

/// A connection at a point of the handshake at which the server name can be had.
pub(super) trait Named<'h>: Deref<Target = Ssl<'h>> + Copy {
    /// The server name that the client asked for; `Some(None)` if it asked for none. `None` if it is not one.
    fn server_name(self) -> Option<Option<&'h [u8]>>;
}

impl<'h> Named<'h> for Hello<'h> {
    #[inline]
    fn server_name(self) -> Option<Option<&'h [u8]>> {
        match self.server_name_extension() {
            Some(extension) => parse_server_name(extension).map(Some),
            None => Some(None),
        }
    }
}

impl<'h> Named<'h> for Evaluated<'h> {
    #[inline]
    fn server_name(self) -> Option<Option<&'h [u8]>> {
        // The method of the type, not of the trait.
        Some(Evaluated::server_name(self))
    }
}

impl BindingFacts {
    pub(crate) fn new() -> Self {
        let (id, is_unique) = new_id();
        let facts = Self {
            id,
            is_unique,
            context: SharedDigest::default(),
            own_context: SharedDigest::default(),
            public_keys: AppendList::new(),
            policies: AppendList::new(),
            recent_trust: Recent::new(),
            recent_policy: Recent::new(),
        };
        facts.set_id_context(&[]);
        facts
    }

    /// The application has set the context's session id context, which libssl lets nobody read.
    pub(crate) fn set_id_context(&self, session_id_context: &[u8]) {
        self.context.set(Context { session_id_context, id: &[] }.digest());
        self.own_context.set(Context { session_id_context, id: &self.id }.digest());
    }

    /// Whether a ticket that says so was sealed by this very context. Never where another may have the same id.
    pub(super) fn is_origin(&self, origin: Origin) -> bool {
        self.is_unique && origin == Origin::of(&self.id)
    }

    /// The binding of `ssl`, which started on `first`, whose part of ours this is, and whose client is asked under `policy`
    /// (`None` where the mode leaves that out). `None` if memory has run out, the ClientHello's server name is not one, or
    /// the context has no id that tells it from all others.
    pub(super) fn binding<'h>(
        &self,
        ssl: impl Named<'h>,
        first: Ctx<'h>,
        policy: Option<&PolicyDigest>,
        reach: Reach,
        bind: Bind,
    ) -> Option<Binding> {
        if reach == Reach::Own && !self.is_unique {
            return None;
        }
        if bind == Bind::Stock {
            return Some(Binding::of_context(&Context { session_id_context: &[], id: &self.id }.digest()));
        }
        let context = match (reach, bind) {
            (Reach::Own, _) => Some(self.own_context.get()),
            (Reach::Anywhere, Bind::Strict) => Some(self.context.get()),
            (Reach::Anywhere, _) => None,
        };
        let protocol = protocol(*ssl);
        let server = match bind {
            Bind::None => Server::Unnamed,
            _ => match ssl.server_name()? {
                Some(name) => Server::Name(name),
                None => self.public_key(first)?,
            },
        };
        let hash = || Binding::new(protocol, server, context.as_ref(), policy);
        Some(match facts(protocol, &server, context.as_ref(), policy) {
            Some(facts) => binding_cache::get_or_hash(&facts, hash),
            None => hash(),
        })
    }

    fn public_key(&self, ctx: Ctx<'_>) -> Option<Server<'static>> {
        match ctx.certificate_key() {
            Some(key) => cached(&self.public_keys, [key].into_iter(), || public_key_digest(key)).map(Server::PublicKey),
            None => Some(Server::Unnamed),
        }
    }
}

/// The words of a [`ContextDigest`]. Whoever sets another while a handshake reads it gives that one, as in libssl, a mixture:
/// facts of no context that there was.
#[derive(Default)]
struct SharedDigest([AtomicU64; 4]);

impl SharedDigest {
    fn set(&self, new: ContextDigest) {
        for (word, bytes) in self.0.iter().zip(new.0.as_chunks().0) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
    }

    fn get(&self) -> ContextDigest {
        let mut context = ContextDigest([0; 32]);
        for (bytes, word) in context.0.as_chunks_mut().0.iter_mut().zip(&self.0) {
            *bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        context
    }
}

/// Names a context, and says whether no other can have that name. A server that starts while the kernel has no randomness yet
/// has one that is another's nowhere in its fork group.
fn new_id() -> ([u8; 16], bool) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut id = [0; 16];
    if ticketshim_keys::random::fill(&mut id) {
        return (id, true);
    }
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let words = [u64::from(std::process::id()), count].map(u64::to_ne_bytes);
    id.copy_from_slice(words.as_flattened());
    (id, false)
}

/// All that a [`Binding`] depends on, for the cache of those that were hashed: of a fixed length, each field in its place,
/// the name with its length. `None` for a name that is too long for that.
fn facts(
    protocol: Protocol,
    server: &Server<'_>,
    context: Option<&ContextDigest>,
    policy: Option<&PolicyDigest>,
) -> Option<[u8; binding_cache::FACTS]> {
    let (kind, name): (u8, &[u8]) = match server {
        Server::Name(name) => (1, name),
        Server::PublicKey(digest) => (2, digest),
        Server::Unnamed => (3, &[]),
    };
    let [high, low] = protocol.version.to_be_bytes();
    let mut facts = [0; binding_cache::FACTS];
    let (head, rest) = facts.split_first_chunk_mut()?;
    let has = u8::from(context.is_some()) | u8::from(policy.is_some()) << 1;
    *head = [kind, protocol.family as u8, high, low, has, u8::try_from(name.len()).ok()?];
    let (digests, rest) = rest.split_first_chunk_mut::<64>()?;
    if let Some(context) = context {
        *digests.first_chunk_mut()? = context.0;
    }
    if let Some(policy) = policy {
        *digests.last_chunk_mut()? = policy.0;
    }
    rest.get_mut(..name.len())?.copy_from_slice(name);
    Some(facts)
}

/// What `ssl` speaks. In QUIC callbacks get the QUIC connection rather than the TLS inside it, and its version is
/// QUIC's; a libssl without QUIC has no such version.
#[inline]
pub(super) fn protocol(ssl: Ssl<'_>) -> Protocol {
    let version = ssl.version();
    if version == ffi::OSSL_QUIC1_VERSION {
        // RFC 9001 section 4.2: TLS 1.3 or newer, of which there is none yet.
        return Protocol { family: Family::Quic, version: TLS1_3_VERSION as u16 };
    }
    let family = if ssl.is_dtls() { Family::Dtls } else { Family::Tls };
    // A version is 16 bits wide on the wire.
    Protocol { family, version: version as u16 }
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
            facts(tls13, &Server::Unnamed, None, None),
            facts(tls13, &Server::Unnamed, Some(context), Some(policy)),
            facts(tls13, &Server::Unnamed, Some(&ContextDigest([1; 32])), Some(policy)),
            facts(tls13, &Server::Unnamed, Some(context), Some(&PolicyDigest([1; 32]))),
            facts(tls13, &Server::Unnamed, Some(context), None),
            facts(tls13, &Server::Unnamed, None, Some(policy)),
            facts(tls13, &Server::Name(b""), None, None),
            facts(tls13, &Server::Name(b"\0"), None, None),
            facts(tls13, &Server::Name(b"a.example"), None, None),
            facts(tls13, &Server::Name(&[1; 32]), None, None),
            facts(tls13, &Server::PublicKey([1; 32]), None, None),
            facts(Protocol { family: Family::Quic, ..tls13 }, &Server::Unnamed, None, None),
            facts(Protocol { version: 0x0303, ..tls13 }, &Server::Unnamed, None, None),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(a.is_some() && all[..i].iter().all(|b| a != b), "{i}");
        }
        let longest = binding_cache::FACTS - 70;
        assert!(facts(tls13, &Server::Name(&vec![b'a'; longest]), Some(context), Some(policy)).is_some());
        assert!(facts(tls13, &Server::Name(&vec![b'a'; longest + 1]), Some(context), Some(policy)).is_none());
    }
}

//! Where a ticket may be used: the binding that goes into the derivation of its AES key.
//!
//! libssl isolates contexts by giving each a random ticket key. Keys that are shared on purpose need something else
//! to do that, or a ticket from a virtual host without client certificates opens the one next door that demands them
//! (CVE-2025-23419, CVE-2025-23048). So a ticket opens only where everything below is the same as where it was sealed.
//!
//! The encoding is injective: fixed label, then every field as `tag[1] ‖ length[4, big-endian] ‖ bytes`, hashed with
//! SHA-256. What does not change between connections is hashed once ([`Context::digest`], [`Policy::digest`],
//! [`trust_digest`]) and the result takes part in the hash of each connection ([`Binding::new`]).

use sha2::{Digest, Sha256};

/// SHA-256 of the bits of a certificate's subjectPublicKey (RFC 5280 section 4.1.2.7).
pub fn public_key_digest(bits: &[u8]) -> [u8; 32] {
    Sha256::digest(bits).into()
}

/// The digest that is bound into a ticket's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding(pub [u8; 32]);

/// Protocol that a connection speaks. Versions never mix: a TLS 1.2 ticket offered as a TLS 1.3 identity is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protocol {
    /// The family.
    pub family: Family,
    /// The version as on the wire (`0x0303` is TLS 1.2, `0xfefd` is DTLS 1.2).
    pub version: u16,
}

/// What carries the records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// TLS over a stream.
    Tls = 1,
    /// DTLS over datagrams.
    Dtls = 2,
    /// TLS 1.3 inside QUIC.
    Quic = 3,
}

/// Which server the peer asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Server<'a> {
    /// The host name of the server_name extension (RFC 6066 section 3), byte for byte as the client sent it.
    ///
    /// RFC 6066 forbids to resume under a *different* name. Two spellings of one name (`A.example`, `a.example.`) may
    /// be one to DNS and two to a server that compares strings, and then one of them leads to its default host; so they
    /// are two here. A client spells a name the same way each time; if not, it costs a full handshake.
    Name(&'a [u8]),
    /// Without a name: [`public_key_digest`] of the certificate of the context that the connection started on.
    PublicKey([u8; 32]),
    /// Neither (no certificate either, as with raw PSK; or the mode leaves it out).
    Unnamed,
}

/// What of the `SSL_CTX` that a connection started on is bound.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// `SSL_CTX_set_session_id_context`.
    pub session_id_context: &'a [u8],
    /// The random id of this very context for what is [isolated](crate::format::Client::Isolated) to it, empty otherwise.
    pub id: &'a [u8],
}

/// [`Context`], hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContextDigest(pub [u8; 32]);

impl Context<'_> {
    /// The context's part of the binding.
    pub fn digest(&self) -> ContextDigest {
        let mut h = Hasher::new(b"ticketshim v2 context");
        h.field(1, self.session_id_context);
        h.field(4, self.id);
        ContextDigest(h.finish())
    }
}

/// Whom a connection lets in: what it asks of the client's certificate once all callbacks have been called.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// `SSL_get_verify_mode`.
    pub verify_mode: u32,
    /// What a certificate is held to; `None` where none is asked for (no `SSL_VERIFY_PEER` in the mode).
    pub clients: Option<Clients<'a>>,
}

/// Which client certificates are good.
#[derive(Clone, Copy, Debug)]
pub struct Clients<'a> {
    /// `SSL_get_verify_depth`.
    pub depth: i32,
    /// The depth that the store asks for (`X509_VERIFY_PARAM_get_depth` of its parameters).
    pub store_depth: i32,
    /// `SSL_get_security_level`: which keys and signatures are good enough.
    pub security_level: i32,
    /// The flags of the verification that decide which certificates are good (`X509_V_FLAG_…`).
    pub flags: u32,
    /// Which code of the application's takes part in the verdict, as a set of bits (`docs/binding.md`).
    pub app_hooks: u32,
    /// Each DER name of `SSL_get_client_CA_list`, in its order.
    pub client_ca_names: &'a [&'a [u8]],
    /// Each DER name of `SSL_get0_CA_list` (which libssl sends where the list above is empty), in its order.
    pub ca_names: &'a [&'a [u8]],
    /// [`trust_digest`] of the store that certificates are verified with.
    pub trust: [u8; 32],
}

/// [`Policy`], hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PolicyDigest(pub [u8; 32]);

impl Policy<'_> {
    /// The policy's part of the binding.
    pub fn digest(&self) -> PolicyDigest {
        let mut h = Hasher::new(b"ticketshim v2 policy");
        h.field(1, &self.verify_mode.to_be_bytes());
        if let Some(clients) = &self.clients {
            h.field(2, &clients.depth.to_be_bytes());
            h.field(8, &clients.store_depth.to_be_bytes());
            h.field(9, &clients.security_level.to_be_bytes());
            h.field(6, &clients.flags.to_be_bytes());
            h.field(10, &clients.app_hooks.to_be_bytes());
            for name in clients.client_ca_names {
                h.field(3, name);
            }
            for name in clients.ca_names {
                h.field(5, name);
            }
            h.field(7, &clients.trust);
        }
        PolicyDigest(h.finish())
    }
}

impl PolicyDigest {
    /// Of a connection whose client was asked under one policy, and whose ticket is made under another. It is that of
    /// no policy, so a ticket that is sealed for it opens nowhere.
    pub fn between(asked: &Self, now: &Self) -> Self {
        let mut h = Hasher::new(b"ticketshim v2 policies");
        h.field(1, &asked.0);
        h.field(2, &now.0);
        Self(h.finish())
    }
}

/// The digest of a set of certificates and revocation lists, each given by the SHA-256 of its DER. Sorts both.
pub fn trust_digest(certificates: &mut [[u8; 32]], revocation_lists: &mut [[u8; 32]]) -> [u8; 32] {
    let mut h = Hasher::new(b"ticketshim v2 trust");
    for (tag, set) in [(1, certificates), (2, revocation_lists)] {
        set.sort_unstable();
        for digest in set {
            h.field(tag, digest);
        }
    }
    h.finish()
}

/// SHA-256, as [`trust_digest`] wants it of each certificate and list.
pub fn digest_of(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}

/// Where a handshake is before it is known where it leads: see [`Crossing::digest`].
#[derive(Clone, Copy, Debug)]
pub struct Crossing<'a> {
    /// The random id of the context that the connection started on.
    pub context_id: &'a [u8; 16],
    /// Tells apart the times before and after a change of whom this process trusts; 0 while there was none.
    pub trust_changes: u64,
    /// The policy before the application's servername callback.
    pub policy: &'a PolicyDigest,
    /// The server name that the client asked for.
    pub name: Option<&'a [u8]>,
    /// Address and port that the client came to, if there is such a thing.
    pub address: Option<&'a [u8]>,
}

impl Crossing<'_> {
    /// Names the crossing. Never leaves the machine, and is not part of a ticket.
    pub fn digest(&self) -> [u8; 32] {
        let mut h = Hasher::new(b"ticketshim v2 crossing");
        h.field(1, self.context_id);
        h.field(2, &self.policy.0);
        h.field(4, &self.trust_changes.to_be_bytes());
        if let Some(name) = self.name {
            h.field(3, name);
        }
        if let Some(address) = self.address {
            h.field(5, address);
        }
        h.finish()
    }
}

impl Binding {
    /// The binding of a connection: protocol, server, and where the mode does not leave them out, the context that the
    /// connection started on and the policy that its client is asked under.
    pub fn new(
        protocol: Protocol,
        server: Server<'_>,
        context: Option<&ContextDigest>,
        policy: Option<&PolicyDigest>,
    ) -> Self {
        let mut h = Hasher::new(b"ticketshim v2 binding");
        let version = protocol.version.to_be_bytes();
        h.field(1, &[protocol.family as u8, version[0], version[1]]);
        match server {
            Server::Name(name) => h.field(2, name),
            Server::PublicKey(digest) => h.field(3, &digest),
            Server::Unnamed => {}
        }
        if let Some(context) = context {
            h.field(4, &context.0);
        }
        if let Some(policy) = policy {
            h.field(5, &policy.0);
        }
        Self(h.finish())
    }

    /// The binding to one context and nothing else: libssl's own isolation.
    pub fn of_context(context: &ContextDigest) -> Self {
        let mut h = Hasher::new(b"ticketshim v2 context only");
        h.field(4, &context.0);
        Self(h.finish())
    }
}

struct Hasher(Sha256);

impl Hasher {
    fn new(label: &[u8]) -> Self {
        let mut h = Self(Sha256::new());
        h.field(0, label);
        h
    }

    fn field(&mut self, tag: u8, bytes: &[u8]) {
        // No field comes near 4 GiB (the longest are names of at most 65,535 bytes); saturating keeps that a fact.
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let len = len.to_be_bytes();
        self.0.update([tag, len[0], len[1], len[2], len[3]]);
        self.0.update(bytes);
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TLS13: Protocol = Protocol { family: Family::Tls, version: 0x0304 };
    const TLS12: Protocol = Protocol { family: Family::Tls, version: 0x0303 };

    const OPEN: Policy<'_> = Policy { verify_mode: 0, clients: None };
    const CLIENTS: Clients<'_> = Clients {
        depth: 1,
        store_depth: 1,
        security_level: 1,
        flags: 0,
        app_hooks: 0,
        client_ca_names: &[],
        ca_names: &[],
        trust: [0; 32],
    };

    fn context(session_id_context: &[u8]) -> ContextDigest {
        Context { session_id_context, id: b"" }.digest()
    }

    fn demanding(clients: Clients<'_>) -> PolicyDigest {
        Policy { verify_mode: 3, clients: Some(clients) }.digest()
    }

    fn assert_all_differ<T: PartialEq + core::fmt::Debug>(all: &[T]) {
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all[..i].iter().enumerate() {
                assert_ne!(a, b, "{i} and {j}");
            }
        }
    }

    #[test]
    fn every_field_counts() {
        let base = context(b"s");
        let open = OPEN.digest();
        let at = |context, policy| Binding::new(TLS13, Server::Name(b"a.example"), Some(context), Some(policy));
        assert_all_differ(&[
            at(&base, &open),
            Binding::new(TLS13, Server::Name(b"b.example"), Some(&base), Some(&open)),
            Binding::new(TLS12, Server::Name(b"a.example"), Some(&base), Some(&open)),
            Binding::new(
                Protocol { family: Family::Quic, ..TLS13 },
                Server::Name(b"a.example"),
                Some(&base),
                Some(&open),
            ),
            Binding::new(TLS13, Server::Unnamed, Some(&base), Some(&open)),
            Binding::new(TLS13, Server::Name(b""), Some(&base), Some(&open)),
            Binding::new(TLS13, Server::PublicKey([1; 32]), Some(&base), Some(&open)),
            Binding::new(TLS13, Server::Name(&[1; 32]), Some(&base), Some(&open)),
            Binding::new(TLS13, Server::Name(b"a.example"), None, None),
            Binding::new(TLS13, Server::Name(b"a.example"), Some(&base), None),
            Binding::new(TLS13, Server::Name(b"a.example"), None, Some(&open)),
            Binding::of_context(&base),
            Binding::of_context(&context(b"t")),
            at(&context(b"t"), &open),
            at(&Context { session_id_context: b"s", id: b"i" }.digest(), &open),
            at(&base, &demanding(CLIENTS)),
            at(&base, &PolicyDigest::between(&open, &open)),
            at(&base, &PolicyDigest(base.0)),
        ]);
    }

    #[test]
    fn every_fact_of_a_policy_counts() {
        let name: &[&[u8]] = &[b"name"];
        assert_all_differ(&[
            OPEN.digest(),
            Policy { verify_mode: 4, ..OPEN }.digest(),
            demanding(CLIENTS),
            Policy { verify_mode: 1, clients: Some(CLIENTS) }.digest(),
            demanding(Clients { depth: -1, ..CLIENTS }),
            demanding(Clients { store_depth: -1, ..CLIENTS }),
            demanding(Clients { security_level: 2, ..CLIENTS }),
            demanding(Clients { flags: 1, ..CLIENTS }),
            demanding(Clients { app_hooks: 1, ..CLIENTS }),
            demanding(Clients { client_ca_names: name, ..CLIENTS }),
            demanding(Clients { ca_names: name, ..CLIENTS }),
            demanding(Clients { client_ca_names: name, ca_names: name, ..CLIENTS }),
            demanding(Clients { client_ca_names: &[b"ab", b"c"], ..CLIENTS }),
            demanding(Clients { client_ca_names: &[b"a", b"bc"], ..CLIENTS }),
            demanding(Clients { client_ca_names: &[b"abc"], ..CLIENTS }),
            demanding(Clients { client_ca_names: &[b"abc", b""], ..CLIENTS }),
            demanding(Clients { trust: [1; 32], ..CLIENTS }),
            PolicyDigest::between(&OPEN.digest(), &demanding(CLIENTS)),
            PolicyDigest::between(&demanding(CLIENTS), &OPEN.digest()),
        ]);
    }

    #[test]
    fn trust_is_two_sets() {
        let (one, two) = (digest_of(b"one"), digest_of(b"two"));
        assert_eq!(trust_digest(&mut [one, two], &mut []), trust_digest(&mut [two, one], &mut []));
        assert_all_differ(&[
            trust_digest(&mut [], &mut []),
            trust_digest(&mut [one], &mut []),
            trust_digest(&mut [two], &mut []),
            trust_digest(&mut [one, two], &mut []),
            trust_digest(&mut [one], &mut [two]),
            trust_digest(&mut [], &mut [one, two]),
        ]);
    }

    #[test]
    fn every_crossing_has_its_name() {
        let (open, demanding) = (OPEN.digest(), demanding(CLIENTS));
        let at = Crossing { context_id: &[1; 16], trust_changes: 0, policy: &open, name: None, address: None };
        assert_all_differ(&[
            at.digest(),
            Crossing { context_id: &[2; 16], ..at }.digest(),
            Crossing { policy: &demanding, ..at }.digest(),
            Crossing { trust_changes: 1, ..at }.digest(),
            Crossing { name: Some(b""), ..at }.digest(),
            Crossing { name: Some(b"a"), ..at }.digest(),
            Crossing { address: Some(b"a"), ..at }.digest(),
            Crossing { address: Some(b""), ..at }.digest(),
            Crossing { name: Some(b"a"), address: Some(b"a"), ..at }.digest(),
        ]);
    }

    #[test]
    fn spellings_are_different_names() {
        let bind = |name| Binding::new(TLS13, Server::Name(name), None, None);
        let spellings: [&[u8]; 5] = [b"example.org", b"Example.org", b"example.org.", b"example.org..", b""];
        for (i, a) in spellings.iter().enumerate() {
            assert!(spellings[..i].iter().all(|b| bind(a) != bind(b)));
        }
        assert_ne!(bind(&[b'x'; 255]), bind(&[b'x'; 254]));
    }
}

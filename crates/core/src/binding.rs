//! Where a ticket may be used: the binding that goes into the derivation of its AES key.
//!
//! libssl isolates contexts by giving each a random ticket key. Keys that are shared on purpose need something else
//! to do that, or a ticket from a virtual host without client certificates opens the one next door that demands them
//! (CVE-2025-23419, CVE-2025-23048). So a ticket opens only where everything below is the same as where it was sealed.
//!
//! The encoding is injective: fixed label, then every field as `tag[1] ‖ length[4, big-endian] ‖ bytes`, hashed with
//! SHA-256. What belongs to the context does not change between connections, so it is hashed once ([`Context::digest`])
//! and the result takes part in the hash of each connection ([`Binding::new`]).

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

/// What of an `SSL_CTX` decides who may come in.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// `SSL_CTX_set_session_id_context`.
    pub session_id_context: &'a [u8],
    /// `SSL_CTX_get_verify_mode`.
    pub verify_mode: u32,
    /// Each DER name of `SSL_CTX_get_client_CA_list`, in its order.
    pub client_ca_names: &'a [&'a [u8]],
    /// Each DER name of `SSL_CTX_get0_CA_list` (which libssl sends where the list above is empty), in its order.
    pub ca_names: &'a [&'a [u8]],
    /// A random id of this very context in mode `context`, empty otherwise.
    pub id: &'a [u8],
}

/// [`Context`], hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContextDigest(pub [u8; 32]);

impl Context<'_> {
    /// The context's part of the binding.
    pub fn digest(&self) -> ContextDigest {
        let mut h = Hasher::new(b"ticketshim v1 context");
        h.field(1, self.session_id_context);
        h.field(2, &self.verify_mode.to_be_bytes());
        for name in self.client_ca_names {
            h.field(3, name);
        }
        for name in self.ca_names {
            h.field(5, name);
        }
        h.field(4, self.id);
        ContextDigest(h.finish())
    }
}

impl Binding {
    /// The binding of a connection: protocol, server, and the context that the connection started on (`None` where the
    /// mode leaves the context out).
    pub fn new(protocol: Protocol, server: Server<'_>, context: Option<&ContextDigest>) -> Self {
        let mut h = Hasher::new(b"ticketshim v1 binding");
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
        self.0.update([tag]);
        self.0.update(len.to_be_bytes());
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

    fn context<'a>(sid: &'a [u8], verify_mode: u32, cas: &'a [&'a [u8]]) -> ContextDigest {
        Context { session_id_context: sid, verify_mode, client_ca_names: cas, ca_names: &[], id: b"" }.digest()
    }

    #[test]
    fn every_field_counts() {
        let base = context(b"s", 0, &[]);
        let all = [
            Binding::new(TLS13, Server::Name(b"a.example"), Some(&base)),
            Binding::new(TLS13, Server::Name(b"b.example"), Some(&base)),
            Binding::new(TLS12, Server::Name(b"a.example"), Some(&base)),
            Binding::new(Protocol { family: Family::Quic, ..TLS13 }, Server::Name(b"a.example"), Some(&base)),
            Binding::new(TLS13, Server::Unnamed, Some(&base)),
            Binding::new(TLS13, Server::Name(b""), Some(&base)),
            Binding::new(TLS13, Server::PublicKey([1; 32]), Some(&base)),
            Binding::new(TLS13, Server::Name(&[1; 32]), Some(&base)),
            Binding::new(TLS13, Server::Name(b"a.example"), None),
            Binding::new(TLS13, Server::Name(b"a.example"), Some(&context(b"s", 1, &[]))),
            Binding::new(TLS13, Server::Name(b"a.example"), Some(&context(b"t", 0, &[]))),
            Binding::new(TLS13, Server::Name(b"a.example"), Some(&context(b"s", 0, &[b"ab", b"c"]))),
            Binding::new(TLS13, Server::Name(b"a.example"), Some(&context(b"s", 0, &[b"a", b"bc"]))),
            Binding::new(TLS13, Server::Name(b"a.example"), Some(&context(b"s", 0, &[b"abc"]))),
            Binding::new(TLS13, Server::Name(b"a.example"), Some(&context(b"s", 0, &[b"abc", b""]))),
        ];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all[..i].iter().enumerate() {
                assert_ne!(a, b, "{i} and {j}");
            }
        }
    }

    #[test]
    fn lists_of_names_are_not_one_another() {
        let digest = |client_ca_names, ca_names| {
            Context { session_id_context: b"", verify_mode: 1, client_ca_names, ca_names, id: b"" }.digest()
        };
        let name: &[&[u8]] = &[b"name"];
        assert_ne!(digest(name, &[]), digest(&[], name));
        assert_ne!(digest(name, name), digest(name, &[]));
    }

    #[test]
    fn spellings_are_different_names() {
        let bind = |name| Binding::new(TLS13, Server::Name(name), None);
        let spellings: [&[u8]; 5] = [b"example.org", b"Example.org", b"example.org.", b"example.org..", b""];
        for (i, a) in spellings.iter().enumerate() {
            assert!(spellings[..i].iter().all(|b| bind(a) != bind(b)));
        }
        assert_ne!(bind(&[b'x'; 255]), bind(&[b'x'; 254]));
    }
}

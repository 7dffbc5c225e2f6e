//! The places that a ticket may have been sealed for, as far as they are known: each combination of what was given, and
//! of what was not given all that is usual.

use std::fmt;
use std::path::PathBuf;

use ticketshim_core::Binding;
use ticketshim_core::binding::{
    Clients, Context, ContextDigest, Family, Policy, PolicyDigest, Protocol, Server, digest_of, public_key_digest,
    trust_digest,
};
use ticketshim_core::session::tag;

use super::certificate::{self, Certificate};
use super::input::{Given, hostname};
use super::known::{self, Known};
use super::{bytes_of, hex_and_text};
use crate::args;

/// A place that may be the one, in words and as a binding.
pub struct Candidate {
    pub binding: Binding,
    pub protocol: Protocol,
    pub server: String,
    pub context: Option<String>,
    pub bind: &'static str,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", protocol_name(self.protocol), self.server)?;
        self.context.iter().try_for_each(|context| write!(f, ", {context}"))?;
        write!(f, " (bind {})", self.bind)
    }
}

/// All that are worth a try.
pub fn candidates(args: &args::Inspect, given: &Given) -> Result<Vec<Candidate>, String> {
    let certificates = certificates(args, given)?;
    let names = names(args, given, &certificates);
    let keys: Vec<_> = certificates.iter().map(|certificate| public_key_digest(&certificate.key)).collect();
    let mut servers: Vec<(Server<'_>, String)> = Vec::new();
    servers.extend(
        names.iter().map(|name| (Server::Name(name), format!("server name {}", String::from_utf8_lossy(name)))),
    );
    servers
        .extend(keys.iter().map(|key| (Server::PublicKey(*key), "no server name, that certificate's key".to_owned())));
    servers.push((Server::Unnamed, "no server name and no certificate".to_owned()));
    let ca_names = client_ca_names(args)?;
    let ca_names: Vec<&[u8]> = ca_names.iter().map(Vec::as_slice).collect();
    let contexts = contexts(args, &certificates, &ca_names)?;
    let policies = policies(args, &ca_names)?;
    let mut strict = Vec::new();
    for (context, id) in &contexts {
        strict.extend(policies.iter().map(|(policy, words)| (context, policy, format!("{id}, {words}"))));
    }
    let mut candidates = Vec::new();
    for protocol in protocols(given) {
        for (server, words) in &servers {
            for (context, policy, in_words) in &strict {
                let binding = Binding::new(protocol, *server, Some(context), Some(policy));
                let context = Some(in_words.clone());
                candidates.push(Candidate { binding, protocol, server: words.clone(), context, bind: "strict" });
            }
            let binding = Binding::new(protocol, *server, None, None);
            candidates.push(Candidate { binding, protocol, server: words.clone(), context: None, bind: "sni" });
        }
        let binding = Binding::new(protocol, Server::Unnamed, None, None);
        candidates.push(Candidate { binding, protocol, server: "any server".to_owned(), context: None, bind: "none" });
    }
    Ok(candidates)
}

/// The servers' own: those that were named, else the one that the client was shown.
fn certificates(args: &args::Inspect, given: &Given) -> Result<Vec<Certificate>, String> {
    let mut all = Vec::new();
    for file in &args.cert {
        // The others of a file are its issuers.
        all.extend(certificate::read(file)?.into_iter().next());
    }
    all.extend(peer(given).filter(|_| args.cert.is_empty()));
    Ok(all)
}

/// The server's certificate in a client's session.
pub fn peer(given: &Given) -> Option<Certificate> {
    certificate::parse(given.session()?.field(tag::PEER)?)
}

/// As it was asked for, byte for byte: the option's, else the session's (which has it in TLS 1.2 only) and those of the
/// certificates.
fn names(args: &args::Inspect, given: &Given, certificates: &[Certificate]) -> Vec<Vec<u8>> {
    if let Some(name) = &args.sni {
        return vec![name.clone().into_bytes()];
    }
    let session = given.session();
    let asked = session.as_ref().and_then(hostname).map(<[u8]>::to_vec);
    let mut all: Vec<Vec<u8>> =
        asked.into_iter().chain(certificates.iter().flat_map(|certificate| certificate.names.clone())).collect();
    all.dedup();
    all
}

fn protocols(given: &Given) -> Vec<Protocol> {
    let versions = match given.session() {
        Some(session) => vec![session.protocol],
        None => vec![0x0304, 0x0303, 0xfefd, 0x0302, 0x0301, 0xfeff],
    };
    let family = |version: u16| if version >> 8 == 0xfe { Family::Dtls } else { Family::Tls };
    versions.into_iter().map(|version| Protocol { family: family(version), version }).collect()
}

/// Names in DER.
type Names<'a> = &'a [&'a [u8]];

fn contexts(
    args: &args::Inspect,
    certificates: &[Certificate],
    names: Names<'_>,
) -> Result<Vec<(ContextDigest, String)>, String> {
    let ids = match args.sid_ctx.as_deref() {
        Some(argument) => vec![Known { id: bytes_of(argument)?, server: "" }],
        None => known::all(certificates, names),
    };
    Ok(ids.iter().map(|id| (Context { session_id_context: &id.id, id: &[] }.digest(), in_words(id))).collect())
}

fn in_words(known: &Known) -> String {
    let whose = if known.server.is_empty() { String::new() } else { format!(" ({}'s)", known.server) };
    match known.id.as_slice() {
        [] => "no session id context".to_owned(),
        id => format!("session id context {}{whose}", hex_and_text(id)),
    }
}

/// Verify modes without `SSL_VERIFY_PEER` ask for nothing, whatever else is set.
const SSL_VERIFY_PEER: u32 = 1;
/// `X509_V_FLAG_CRL_CHECK`, and with `…_CRL_CHECK_ALL`.
const CRL_FLAGS: [u32; 2] = [0x4, 0xc];

/// Which code of the application's takes part in the verdict (`docs/binding.md`): none, a verify callback as most servers
/// have, one for the whole chain, a certificate callback.
const APP_HOOKS: [u32; 5] = [0, 1, 2, 4, 5];

/// Whom the server may let in.
fn policies(args: &args::Inspect, names: Names<'_>) -> Result<Vec<(PolicyDigest, String)>, String> {
    let modes: Vec<u32> = args.verify_mode.map_or_else(|| (0..8).collect(), |mode| vec![mode]);
    // Which of libssl's two lists a server fills is its own affair.
    let lists: &[(Names<'_>, Names<'_>)] =
        if names.is_empty() { &[(&[], &[])] } else { &[(names, &[]), (&[], names), (names, names)] };
    let mut certificates = digests(args.client_ca.iter().chain(&args.trusted_ca), "CERTIFICATE")?;
    let mut revocation_lists = digests(args.crl.iter(), "X509 CRL")?;
    let trust = trust_digest(&mut certificates, &mut revocation_lists);
    let flags: &[u32] = if revocation_lists.is_empty() { &[0] } else { &CRL_FLAGS };
    // What servers set, and what libssl has if they set none.
    let depths: Vec<i32> = args.verify_depth.map_or_else(|| vec![-1, 1, 100], |depth| vec![depth]);
    let levels: Vec<i32> = args.security_level.map_or_else(|| vec![1, 2], |level| vec![level]);
    let mut all = Vec::new();
    for verify_mode in modes {
        if verify_mode & SSL_VERIFY_PEER == 0 {
            all.push((Policy { verify_mode, clients: None }.digest(), format!("verify mode {verify_mode}")));
            continue;
        }
        for (client_ca_names, ca_names) in lists {
            for (&depth, &flags) in depths.iter().flat_map(|depth| flags.iter().map(move |flags| (depth, flags))) {
                for (&security_level, app_hooks) in
                    levels.iter().flat_map(|level| APP_HOOKS.map(|hooks| (level, hooks)))
                {
                    let store_depth = -1;
                    let clients = Clients {
                        depth,
                        store_depth,
                        security_level,
                        flags,
                        app_hooks,
                        client_ca_names,
                        ca_names,
                        trust,
                    };
                    let in_words = format!(
                        "verify mode {verify_mode}, depth {depth}, {} client CAs, {} certificates and {} revocation lists trusted",
                        names.len(),
                        certificates.len(),
                        revocation_lists.len()
                    );
                    all.push((Policy { verify_mode, clients: Some(clients) }.digest(), in_words));
                }
            }
        }
    }
    Ok(all)
}

/// Each PEM block of that kind in the files, each once, as an X509_STORE has them.
fn digests<'a>(files: impl Iterator<Item = &'a PathBuf>, kind: &str) -> Result<Vec<[u8; 32]>, String> {
    let mut digests = Vec::new();
    for file in files {
        for der in certificate::blocks(file, kind)? {
            let digest = digest_of(&der);
            if !digests.contains(&digest) {
                digests.push(digest);
            }
        }
    }
    Ok(digests)
}

/// In the order of the files, each once, as SSL_load_client_CA_file(3) does it.
fn client_ca_names(args: &args::Inspect) -> Result<Vec<Vec<u8>>, String> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for file in &args.client_ca {
        for certificate in certificate::read(file)? {
            if !names.contains(&certificate.subject) {
                names.push(certificate.subject);
            }
        }
    }
    Ok(names)
}

/// A protocol's version in words.
pub fn protocol_name(protocol: Protocol) -> String {
    match protocol.version {
        0x0304 => "TLS 1.3".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0xfefd => "DTLS 1.2".to_owned(),
        0xfeff => "DTLS 1.0".to_owned(),
        other => format!("protocol version {other:04x}"),
    }
}

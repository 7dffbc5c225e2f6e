//! The ticket format, byte by byte: `docs/vectors/ticket-v2.txt` holds inputs, every intermediate and the output. This
//! test computes each from the ones before it; `c-tests/format` does the same with OpenSSL's functions and nothing of
//! ours. `docs/ticket-format.md` says it in words.
//!
//! The file is written by `TICKETSHIM_WRITE_VECTORS=1 cargo test -p ticketshim-core --test vectors`, for a new format
//! version only: the vectors of a version never change.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use ticketshim_core::binding::{
    Binding, Clients, Context, Family, Policy, Protocol, Server, digest_of, public_key_digest, trust_digest,
};
use ticketshim_core::derive::{EpochKeys, Secret, ticket_key};
use ticketshim_core::format::{Client, FullHandshake, Header, Origin, Refusal, Ticket};
use ticketshim_core::salt::Instance;
use ticketshim_core::seal::{open, seal};
use ticketshim_core::{Chain, Salt};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut s, b| {
        write!(s, "{b:02x}").unwrap();
        s
    })
}

fn counting<const N: usize>(from: u8) -> [u8; N] {
    core::array::from_fn(|i| from.wrapping_add((i as u8).wrapping_mul(7)))
}

/// Every line of the file, in its order.
fn lines() -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    let mut say = |name, bytes: &[u8]| out.push((name, hex(bytes)));

    let seed = Secret::new(counting(1));
    say("seed", seed.expose());
    // 1 800 000 000 s (2027-01-15) with epochs of one hour.
    let epoch = 1_800_000_000_u64 / 3600;
    say("epoch", &epoch.to_be_bytes());
    let mut chain = Chain::from_seed(&seed, epoch);
    say("link", chain.link().expose());
    say("next_era", chain.next_era().expose());
    let keys = EpochKeys::from_link(chain.link());
    say("key_name", &keys.name.0);
    say("mac_key", keys.mac.expose());
    say("root", keys.root.expose());
    chain.advance_to(epoch + 1);
    say("next_link", chain.link().expose());
    // The first epoch of the next era: by way of the era chain.
    chain.advance_to((epoch / 4096 + 1) * 4096);
    say("next_era_first_link", chain.link().expose());

    let context = Context { session_id_context: b"nginx", id: b"" }.digest();
    say("context_digest", &context.0);
    let trust = trust_digest(&mut [digest_of(b"a CA"), digest_of(b"another CA")], &mut [digest_of(b"a CRL")]);
    say("trust_digest", &trust);
    let clients = Clients {
        depth: 1,
        store_depth: -1,
        security_level: 2,
        flags: 4,
        app_hooks: 1,
        client_ca_names: &[b"\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x0c\x02CA", b"\x30\x00"],
        ca_names: &[b"\x30\x00"],
        trust,
    };
    let open = Policy { verify_mode: 0, clients: None }.digest();
    say("policy_digest_open", &open.0);
    let policy = Policy { verify_mode: 1, clients: Some(clients) }.digest();
    say("policy_digest", &policy.0);
    say("public_key_digest", &public_key_digest(b"\x04public key bits"));
    let tls13 = Protocol { family: Family::Tls, version: 0x0304 };
    let unnamed =
        Binding::new(tls13, Server::PublicKey(public_key_digest(b"\x04public key bits")), Some(&context), Some(&open));
    say("binding_public_key", &unnamed.0);
    let binding = Binding::new(tls13, Server::Name(b"www.example.org"), Some(&context), Some(&policy));
    say("binding", &binding.0);
    // The same connection's, isolated to its context; and libssl's own isolation.
    let id = counting(0x50);
    let isolated = Context { session_id_context: b"nginx", id: &id }.digest();
    say("context_digest_isolated", &isolated.0);
    let binding_isolated = Binding::new(tls13, Server::Name(b"www.example.org"), Some(&isolated), Some(&policy));
    say("binding_isolated", &binding_isolated.0);
    say("binding_stock", &Binding::of_context(&Context { session_id_context: b"", id: &id }.digest()).0);

    let instance = Instance(counting(0xa0));
    let salt = Salt::first(instance).plus(0x0001_0203);
    say("salt", &salt.0);
    say("nonce", &salt.nonce());
    say("ticket_aes_key", ticket_key(&keys.root, instance, &binding).expose());
    let der: [u8; 100] = counting(0x30);
    say("der", &der);
    let portable = Header { client: Client::Portable, valid_for: Some(86_400), ..anonymous() };
    let early = Header { origin: Some(Origin::of(&id)), ..portable };
    let of_isolated = Header { client: Client::Isolated, valid_for: None, ..portable };
    for (header, ticket, of, binding, n) in [
        ("header", "ticket", anonymous(), &binding, 0),
        ("header_portable", "ticket_portable", portable, &binding, 1),
        ("header_portable_early", "ticket_portable_early", early, &binding, 2),
        ("header_isolated", "ticket_isolated", of_isolated, &binding_isolated, 3),
    ] {
        let mut bytes = vec![0; of.size()];
        of.write(&mut bytes).unwrap();
        say(header, &bytes);
        say(ticket, &seal(&keys, &salt.plus(n), binding, &of, &der).unwrap());
    }
    out
}

fn anonymous() -> Header {
    Header::anonymous(FullHandshake::at(1_800_000_123))
}

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors/ticket-v2.txt")
}

#[test]
fn vectors_hold() {
    let lines = lines();
    if std::env::var_os("TICKETSHIM_WRITE_VECTORS").is_some() {
        let mut text = String::from("# Ticket format version 2: see docs/ticket-format.md. Hexadecimal.\n");
        for (name, value) in &lines {
            writeln!(text, "{name} = {value}").unwrap();
        }
        std::fs::write(path(), text).unwrap();
    }
    let text = std::fs::read_to_string(path()).unwrap();
    let file: BTreeMap<&str, &str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = ")).collect();
    assert_eq!(file.len(), lines.len());
    for (name, value) in &lines {
        assert_eq!(file.get(name).copied(), Some(value.as_str()), "{name}");
    }
}

#[test]
fn the_vector_opens_and_nothing_like_it_does() {
    let value = |wanted: &str| {
        let (_, value) = lines().into_iter().find(|(name, _)| *name == wanted).unwrap();
        value.as_bytes().chunks(2).map(|h| u8::from_str_radix(core::str::from_utf8(h).unwrap(), 16).unwrap()).collect()
    };
    let bytes: Vec<u8> = value("ticket");
    let der: Vec<u8> = value("der");
    let keys = EpochKeys::from_link(&Secret::new(value("link").try_into().unwrap()));
    let binding = Binding(value("binding").try_into().unwrap());

    let opened = open(&keys, &binding, &Ticket::parse(&bytes).unwrap()).ok().unwrap();
    assert_eq!((opened.der, opened.header), (der, anonymous()));

    let elsewhere = Binding(value("binding_public_key").try_into().unwrap());
    assert_eq!(open(&keys, &elsewhere, &Ticket::parse(&bytes).unwrap()).err(), Some(Refusal::Binding));
    let other = EpochKeys::from_link(&Secret::new(value("next_link").try_into().unwrap()));
    assert_eq!(open(&other, &binding, &Ticket::parse(&bytes).unwrap()).err(), Some(Refusal::BadMac));
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&keys, &binding, &Ticket::parse(&bad).unwrap()).err(), Some(Refusal::BadMac), "bit {bit}");
    }
    for len in 0..bytes.len() {
        let refused = Ticket::parse(&bytes[..len]).and_then(|ticket| open(&keys, &binding, &ticket));
        assert!(refused.is_err(), "cut to {len}");
    }
}

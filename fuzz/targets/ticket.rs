//! Tickets, changed in every way there is, and opened by the core.
//!
//! What must hold: what was sealed opens, to the same bytes, in its own place only; nothing else opens, whatever it
//! looks like; a ticket is longer than its session by a constant; what is in an authentic one is read without leaving it.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ticketshim_core::binding::{Binding, Context, Family, Policy, Protocol, Server};
use ticketshim_core::derive::Secret;
use ticketshim_core::format::{FullHandshake, Header, MIN_OVERHEAD, Refusal, Ticket};
use ticketshim_core::ring::Schedule;
use ticketshim_core::seal::{open, seal, verify_mac};
use ticketshim_core::session::Session;
use ticketshim_core::{Chain, ChainId, EpochLength, Found, Keyring, Ring, Salt};
use ticketshim_fuzz::{Edit, edit};

const NOW: u64 = 1_800_000_000;
const HOUR: u64 = 3600;

#[derive(Arbitrary, Debug)]
struct Case {
    /// When it is sealed, in seconds before or after now.
    sealed: i16,
    /// When it is offered.
    offered: i16,
    salt: [u8; 16],
    /// One byte is changed in every run, whatever else is.
    flip: (u16, u8),
    edits: Vec<Edit>,
    name: Option<Vec<u8>>,
    id_context: Vec<u8>,
    /// Offered to another name.
    elsewhere: Option<Vec<u8>>,
    der: Vec<u8>,
    /// Bytes that were never a ticket.
    raw: Vec<u8>,
}

static CHAIN: LazyLock<Chain> = LazyLock::new(|| Chain::from_seed(&Secret::new([7; 32]), NOW / HOUR - 3));

fn ring(now: u64) -> Box<Ring> {
    let schedule = Schedule::new(EpochLength::new(HOUR as u32).unwrap(), 3 * HOUR);
    let mut ring = Box::new(Ring::empty());
    ring.start(&Keyring::from_chain(&CHAIN, ChainId([7; 16]), schedule), now);
    ring
}

fn binding(name: Option<&[u8]>, id_context: &[u8]) -> Binding {
    let context = Context { session_id_context: id_context, id: b"" }.digest();
    let policy = Policy { verify_mode: 1, clients: None }.digest();
    let server = name.map_or(Server::Unnamed, Server::Name);
    Binding::new(Protocol { family: Family::Tls, version: 0x0304 }, server, Some(&context), Some(&policy))
}

/// As the server does it: by name, by MAC, by place.
fn offer(ring: &Ring, now: u64, place: &Binding, bytes: &[u8]) -> Result<(Vec<u8>, Header), Refusal> {
    let ticket = Ticket::parse(bytes)?;
    let keys = match ring.find(&ticket.key_name, now) {
        Found::Keys { keys, .. } => keys,
        Found::Expired => return Err(Refusal::Expired),
        Found::Unknown => return Err(Refusal::UnknownKey),
    };
    let opened = open(keys, place, &ticket);
    assert_eq!(opened.is_err() && verify_mac(keys, &ticket).is_ok(), opened.as_ref().err() == Some(&Refusal::Binding));
    opened.map(|opened| (opened.der, opened.header))
}

fuzz_target!(|case: Case| {
    let sealed_at = NOW.saturating_add_signed(case.sealed.into());
    let offered_at = NOW.saturating_add_signed(case.offered.into());
    let (there, here) = (ring(sealed_at), ring(offered_at));
    let place = binding(case.name.as_deref(), &case.id_context);
    let header = Header::anonymous(FullHandshake::at(sealed_at));
    let make = |salt: [u8; 16]| seal(there.sealing(sealed_at).unwrap(), &Salt(salt), &place, &header, &case.der).unwrap();
    let ticket = make(case.salt);
    assert_eq!(ticket.len(), case.der.len() + MIN_OVERHEAD);

    // Opens, unless its time has come.
    let same = offer(&here, offered_at, &place, &ticket);
    let epochs = (offered_at / HOUR).abs_diff(sealed_at / HOUR);
    match &same {
        Ok((der, opened)) => assert_eq!((der, opened), (&case.der, &header)),
        Err(why) => assert!(matches!(why, Refusal::Expired | Refusal::UnknownKey) && epochs > 1, "{why:?}"),
    }

    // Nowhere else.
    let other = binding(case.elsewhere.as_deref(), &case.id_context);
    if other != place && same.is_ok() {
        assert_eq!(offer(&here, offered_at, &other, &ticket), Err(Refusal::Binding));
    }

    // Not with a single byte changed, wherever it is.
    let mut flipped = ticket.clone();
    flipped[usize::from(case.flip.0) % ticket.len()] ^= case.flip.1.max(1);
    assert!(offer(&here, offered_at, &place, &flipped).is_err(), "byte {} is not checked", case.flip.0);

    // Changed, it is another ticket or none.
    let another = make([!case.salt[0]; 16]);
    let mut changed = ticket.clone();
    edit(&mut changed, &case.edits, std::slice::from_ref(&another));
    let found = offer(&here, offered_at, &place, &changed);
    assert!(found.is_err() || changed == ticket || changed == another, "a changed ticket opens: {changed:02x?}");
    assert!(offer(&here, offered_at, &place, &case.raw).is_err());

    // What is in it may be anything.
    if let Some(session) = Session::parse(&case.der) {
        for tag in 0..=255 {
            assert!(session.octets(tag).is_none_or(|octets| octets.len() < case.der.len()));
            let _ = session.number(tag);
        }
    }
});

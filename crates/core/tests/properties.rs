//! What must hold for whatever comes in.

use proptest::prelude::*;
use ticketshim_core::binding::Binding;
use ticketshim_core::derive::{EpochKeys, Secret};
use ticketshim_core::format::{Client, FullHandshake, Header, Origin, Ticket};
use ticketshim_core::ring::Schedule;
use ticketshim_core::seal::{open, seal};
use ticketshim_core::session::Session;
use ticketshim_core::{Chain, ChainId, EpochLength, Found, Keyring, Ring, Salt};

fn keys(seed: [u8; 32]) -> EpochKeys {
    EpochKeys::from_link(&Secret::new(seed))
}

fn anonymous() -> Header {
    Header::anonymous(FullHandshake::at(0))
}

fn header() -> impl Strategy<Value = Header> {
    let client = prop_oneof![Just(Client::Anonymous), Just(Client::Portable), Just(Client::Isolated)];
    (any::<u32>(), client, any::<Option<u32>>(), any::<Option<[u8; 16]>>()).prop_map(|(time, client, valid_for, id)| {
        Header { time: FullHandshake::at(time.into()), client, valid_for, origin: id.map(|id| Origin::of(&id)) }
    })
}

fn ring(chain: &Chain, epoch: u32, accept: u64, now: u64) -> Box<Ring> {
    let schedule = Schedule::new(EpochLength::new(epoch).unwrap(), accept);
    let mut ring = Box::new(Ring::empty());
    ring.start(&Keyring::from_chain(chain, ChainId([7; 16]), schedule), now);
    ring
}

proptest! {
    #[test]
    fn what_was_sealed_opens(
        seed: [u8; 32], salt: [u8; 16], binding: [u8; 32], header in header(),
        der in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let (keys, binding) = (keys(seed), Binding(binding));
        let ticket = seal(&keys, &Salt(salt), &binding, &header, &der).unwrap();
        prop_assert_eq!(ticket.len(), der.len() + 80 + header.size());
        let opened = open(&keys, &binding, &Ticket::parse(&ticket).unwrap()).ok().unwrap();
        prop_assert_eq!((opened.der, opened.header), (der, header));
    }

    #[test]
    fn what_was_not_sealed_does_not(seed: [u8; 32], binding: [u8; 32], bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(ticket) = Ticket::parse(&bytes) {
            prop_assert!(open(&keys(seed), &Binding(binding), &ticket).is_err());
        }
    }

    #[test]
    fn one_changed_byte_is_enough(
        seed: [u8; 32], salt: [u8; 16], binding: [u8; 32], der in proptest::collection::vec(any::<u8>(), 1..300),
        at: prop::sample::Index, change in 1..=255u8,
    ) {
        let (keys, binding) = (keys(seed), Binding(binding));
        let mut ticket = seal(&keys, &Salt(salt), &binding, &anonymous(), &der).unwrap();
        let at = at.index(ticket.len());
        ticket[at] ^= change;
        prop_assert!(open(&keys, &binding, &Ticket::parse(&ticket).unwrap()).is_err());
    }

    #[test]
    fn another_place_or_key_does_not_open(seed: [u8; 32], salt: [u8; 16], a: [u8; 32], b: [u8; 32], other: [u8; 32]) {
        prop_assume!(a != b && seed != other);
        let ticket = seal(&keys(seed), &Salt(salt), &Binding(a), &anonymous(), b"session").unwrap();
        let ticket = Ticket::parse(&ticket).unwrap();
        prop_assert!(open(&keys(seed), &Binding(b), &ticket).is_err());
        prop_assert!(open(&keys(other), &Binding(a), &ticket).is_err());
    }

    /// Two hosts that were given the same chain at different times, and advanced it in different steps, agree.
    #[test]
    fn rings_of_one_chain_agree(
        seed: [u8; 32], epoch in 1..100_000u32, accept in 0..700_000u64, given in 0..2_000_000_000u64,
        days_later in 0..4000u64, steps in proptest::collection::vec(0..500_000u64, 0..6), skew in 0..2u64,
    ) {
        let length = EpochLength::new(epoch).unwrap();
        let chain = Chain::from_seed(&Secret::new(seed), length.epoch_at(given));
        let mut now = given;
        let mut walked = ring(&chain, epoch, accept, now);
        for step in steps {
            now += step;
            let mut next = Box::new(Ring::empty());
            next.succeed(&walked, now);
            walked = next;
        }
        let mut later = chain.clone();
        later.advance_to(length.epoch_at(now.saturating_sub(days_later * 86_400)));
        let jumped = ring(&later, epoch, accept, now);
        // What one seals now the other opens, also when its clock is an epoch behind.
        let name = jumped.sealing(now).unwrap().name;
        prop_assert_eq!(walked.sealing(now).unwrap().name, name);
        let behind = now.saturating_sub(skew * u64::from(epoch)).max(given);
        let early = ring(&chain, epoch, accept, behind);
        let found_early = matches!(early.find(&name, behind), Found::Keys { .. });
        prop_assert!(found_early);
        // And nothing opens that has left the window.
        let ended = now + (u64::from(epoch) * 2 + accept).max(walked.schedule().accept() + 2 * u64::from(epoch));
        let found_ended = matches!(walked.find(&name, ended), Found::Keys { .. });
        prop_assert!(!found_ended);
    }

    #[test]
    fn session_reader_stays_inside(der in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Some(session) = Session::parse(&der) {
            for t in 0..64 {
                prop_assert!(session.octets(t).is_none_or(|o| o.len() < der.len()));
                let _ = session.number(t);
            }
        }
    }
}

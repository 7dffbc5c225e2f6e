//! What the core costs: sealing and opening, beside what others need for it, looking keys up, making the next ones.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ticketshim_benches::{evp, peers};
use ticketshim_core::binding::{Binding, ContextDigest, Family, PolicyDigest, Protocol, Server};
use ticketshim_core::derive::{EpochKeys, Secret};
use ticketshim_core::format::{FullHandshake, Header, KeyName, MIN_HEADER_LEN, Salt, Ticket};
use ticketshim_core::ring::Schedule;
use ticketshim_core::salt::Instance;
use ticketshim_core::seal::{Cipher, open, seal, verify_mac};
use ticketshim_core::{Chain, ChainId, EpochLength, Found, Keyring, Ring};

/// Bytes of a session: without a client certificate 100 to 200, with one, or with application data, up to some thousand.
const SIZES: [usize; 5] = [128, 256, 512, 1024, 4096];
const HOUR: u64 = 3600;
const NOW: u64 = 1_800_000_000;

fn keys() -> EpochKeys {
    EpochKeys::from_link(&Secret::new([7; 32]))
}

fn binding() -> Binding {
    let protocol = Protocol { family: Family::Tls, version: 0x0304 };
    Binding::new(protocol, Server::Name(b"server.example"), None, None)
}

fn first_salt() -> Salt {
    Salt::first(Instance([5; 12]))
}

/// A run of salts.
fn salts() -> impl FnMut() -> Salt {
    let mut count = 0;
    move || {
        count += 1;
        first_salt().plus(count)
    }
}

/// What the shim does inside libssl's framing: header and session under AES-256-GCM. With the cipher at hand, as for all
/// tickets of an epoch, run of salts and name but the first, and with the key derived and expanded for it.
fn bodies(c: &mut Criterion) {
    let (keys, binding) = (keys(), binding());
    for (name, sealing) in [("seal body", true), ("open body", false)] {
        let mut group = c.benchmark_group(name);
        for size in SIZES {
            group.throughput(Throughput::Bytes(size as u64));
            for (which, kept) in [("ticketshim", true), ("ticketshim, first", false)] {
                let mut next_salt = salts();
                let mut body = vec![1; size + MIN_HEADER_LEN];
                let salt = next_salt();
                let at_hand = Cipher::new(&keys.root, salt.instance(), &binding);
                group.bench_function(BenchmarkId::new(which, size), |b| match (sealing, kept) {
                    (true, true) => b.iter(|| at_hand.seal(&next_salt(), black_box(&mut body))),
                    (true, false) => b.iter(|| {
                        let cipher = Cipher::new(black_box(&keys.root), salt.instance(), &binding);
                        cipher.seal(&next_salt(), black_box(&mut body))
                    }),
                    (false, _) => {
                        let tag = at_hand.seal(&salt, &mut body).unwrap();
                        let copy = || body.clone();
                        if kept {
                            let open = |body: &mut Vec<u8>| at_hand.open(&salt, body, &tag).unwrap();
                            b.iter_batched_ref(copy, open, BatchSize::SmallInput);
                        } else {
                            let open = |body: &mut Vec<u8>| {
                                let cipher = Cipher::new(black_box(&keys.root), salt.instance(), &binding);
                                cipher.open(&salt, body, &tag).unwrap();
                            };
                            b.iter_batched_ref(copy, open, BatchSize::SmallInput);
                        }
                    }
                });
            }
            let mut gcm = peers::RingGcm::new();
            let mut body = vec![1; size + MIN_HEADER_LEN];
            group.bench_function(BenchmarkId::new("ring, AES-256-GCM alone", size), |b| {
                if sealing {
                    b.iter(|| gcm.seal(black_box(&mut body)));
                    return;
                }
                let tag = gcm.seal(&mut body);
                body.extend_from_slice(&tag);
                b.iter_batched_ref(|| body.clone(), |body| assert!(gcm.open(body)), BatchSize::SmallInput);
            });
        }
        group.finish();
    }
}

/// Whole tickets, with the MAC that libssl computes itself.
fn tickets(c: &mut Criterion) {
    let (keys, binding, header) = (keys(), binding(), Header::anonymous(FullHandshake::at(NOW)));
    let stock = evp::Keys { name: [1; 16], mac: [2; 32], aes: [3; 32] };
    let rustls = peers::rustls_ticketer();
    for (name, sealing) in [("seal ticket", true), ("open ticket", false)] {
        let mut group = c.benchmark_group(name);
        for size in SIZES {
            group.throughput(Throughput::Bytes(size as u64));
            let session = vec![1; size];
            let mut next_salt = salts();
            group.bench_function(BenchmarkId::new("ticketshim", size), |b| {
                if sealing {
                    b.iter(|| seal(&keys, &next_salt(), &binding, &header, black_box(&session)).unwrap());
                    return;
                }
                let ticket = seal(&keys, &next_salt(), &binding, &header, &session).unwrap();
                let opened = || open(&keys, &binding, &Ticket::parse(black_box(&ticket)).unwrap()).unwrap().der;
                assert_eq!(opened(), session);
                b.iter(opened);
            });
            group.bench_function(BenchmarkId::new("OpenSSL, as libssl", size), |b| {
                if sealing {
                    b.iter(|| evp::seal(&stock, black_box(&session)));
                    return;
                }
                let ticket = evp::seal(&stock, &session);
                assert_eq!(evp::open(&stock, &ticket).unwrap(), session);
                b.iter(|| evp::open(&stock, black_box(&ticket)).unwrap());
            });
            group.bench_function(BenchmarkId::new("rustls", size), |b| {
                if sealing {
                    b.iter(|| rustls.encrypt(black_box(&session)).unwrap());
                    return;
                }
                let ticket = rustls.encrypt(&session).unwrap();
                assert_eq!(rustls.decrypt(&ticket).unwrap(), session);
                b.iter(|| rustls.decrypt(black_box(&ticket)).unwrap());
            });
        }
        group.finish();
    }
}

/// Tickets that are not opened: what a peer can make the server do.
fn misses(c: &mut Criterion) {
    let (keys, binding) = (keys(), binding());
    let mut ticket = seal(&keys, &first_salt(), &binding, &Header::anonymous(FullHandshake::at(NOW)), &[1; 256]).unwrap();
    let last = ticket.len() - 1;
    ticket[last] ^= 1;
    let mut group = c.benchmark_group("miss");
    group.bench_function("bad MAC, 256 B", |b| {
        b.iter(|| assert!(verify_mac(&keys, &Ticket::parse(black_box(&ticket)).unwrap()).is_err()));
    });
    for behind in [1, 12, 168] {
        let (ring, now) = ring(behind);
        group.bench_function(BenchmarkId::new("unknown name, epochs", behind), |b| {
            b.iter(|| assert!(matches!(ring.find(black_box(&KeyName([9; 16])), now), Found::Unknown)));
        });
    }
    group.finish();
}

/// A ring with so many epochs behind the current one (168: the last one less, because no key opens for over 7 days).
fn ring(behind: u64) -> (Box<Ring>, u64) {
    let schedule = Schedule::new(EpochLength::new(HOUR as u32).unwrap(), behind * HOUR);
    let mut ring = Box::new(Ring::empty());
    ring.start(&Keyring::from_seed(&Secret::new([3; 32]), ChainId([3; 16]), schedule, NOW / HOUR - 200), NOW);
    (ring, NOW)
}

fn rings(c: &mut Criterion) {
    let mut group = c.benchmark_group("key ring");
    for behind in [1, 12, 168] {
        let (ring, now) = ring(behind);
        let names: Vec<KeyName> = ring.epochs().map(|epoch| epoch.name).collect();
        group.bench_function(BenchmarkId::new("sealing key, epochs", behind), |b| {
            b.iter(|| black_box(&ring).sealing(black_box(now)).unwrap().name);
        });
        for (which, name) in [("oldest", names[0]), ("newest", *names.last().unwrap())] {
            group.bench_function(BenchmarkId::new(format!("find {which}, epochs"), behind), |b| {
                b.iter(|| assert!(matches!(ring.find(black_box(&name), now), Found::Keys { .. })));
            });
        }
        group.bench_function(BenchmarkId::new("next ring, epochs", behind), |b| {
            b.iter_batched_ref(
                || Box::new(Ring::empty()),
                |next| next.succeed(&ring, now + HOUR),
                BatchSize::LargeInput,
            );
        });
    }
    group.bench_function("ratchet step", |b| {
        let mut chain = Chain::from_seed(&Secret::new([3; 32]), 1);
        b.iter(|| {
            let next = chain.epoch() + 1;
            chain.advance_to(next);
        });
    });
    group.finish();
}

/// The binding of one connection, which is hashed for each ticket.
fn bindings(c: &mut Criterion) {
    let (context, policy) = (ContextDigest([4; 32]), PolicyDigest([5; 32]));
    let protocol = Protocol { family: Family::Tls, version: 0x0304 };
    c.bench_function("binding", |b| {
        b.iter(|| {
            Binding::new(black_box(protocol), Server::Name(black_box(b"server.example")), Some(&context), Some(&policy))
        });
    });
}

criterion_group!(benches, bodies, tickets, misses, rings, bindings);
criterion_main!(benches);

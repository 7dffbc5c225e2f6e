//! A fleet for a year: clocks that are ten minutes off, hosts that are off for days, restarts, a chain that is announced each
//! week and comes to each host at another time, a theft. What a client was given opens wherever it goes, for the window.

use ticketshim_core::derive::Secret;
use ticketshim_core::keyring::{Member, Relation};
use ticketshim_core::ratchet::Chain;
use ticketshim_core::ring::{Leaving, Schedule};
use ticketshim_core::{ChainId, EpochLength, Found, KeyName, Keyring, Ring};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const START: u64 = 1_800_000_000;
const STEP: u64 = 10 * MINUTE;
const WINDOW: u64 = 12 * HOUR;
const HOSTS: usize = 16;
const CLIENTS: usize = 400;

/// xorshift64*: the same year each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % most
    }
}

fn schedule() -> Schedule {
    Schedule::new(EpochLength::new(HOUR as u32).unwrap(), WINDOW)
}

fn fill(number: u64, now: u64) -> impl FnOnce(&mut Member) {
    move |member| {
        let mut seed = [number as u8; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        member.id = ChainId(*seed.first_chunk().unwrap());
        member.schedule = schedule();
        member.chain = Chain::from_seed(&Secret::new(seed), now / HOUR);
    }
}

/// A host: its disk, what its server has in memory while it is on, how far off its clock is.
struct Host {
    disk: Keyring,
    server: Option<Box<Ring>>,
    off: i64,
    /// A file that is on its way, and when it comes.
    mail: Option<(u64, Keyring)>,
}

fn copy(of: &Keyring) -> Keyring {
    let mut copy = Keyring::empty();
    copy.copy_from(of);
    copy
}

impl Host {
    fn clock(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.off)
    }

    /// What `ticketshim state put` does, and what the server then makes of the file.
    fn put(&mut self, given: &Keyring, now: u64) {
        let clock = self.clock(now);
        match self.disk.relation(given) {
            Relation::Newer => self.disk.copy_from(given),
            Relation::Same => drop(self.disk.merge(given)),
            Relation::Older => return,
            Relation::Conflict => panic!("nobody announces twice"),
        }
        let Some(server) = &self.server else { return };
        if server.keyring().relation(&self.disk) == Relation::Newer {
            let stays = self.disk.members().iter().any(|member| server.keyring().position(member.id).is_some());
            let leaving = if stays { Leaving::Open } else { Leaving::Erased };
            let mut next = Box::new(Ring::empty());
            next.change(server, &self.disk, leaving, clock);
            self.server = Some(next);
        }
    }

    fn start(&mut self, now: u64) {
        let clock = self.clock(now);
        let mut ring = Box::new(Ring::empty());
        ring.start(&self.disk, clock);
        self.server = Some(ring);
    }

    /// What a timer does.
    fn advance(&mut self, now: u64) {
        let clock = self.clock(now);
        self.disk.drop_ended(clock);
        for member in self.disk.members_mut() {
            let oldest = member.oldest_at(clock);
            member.chain.advance_to(oldest);
        }
    }

    fn ring(&mut self, now: u64) -> Option<&Ring> {
        let clock = self.clock(now);
        let server = self.server.as_mut()?;
        if server.is_due(clock) {
            let mut next = Box::new(Ring::empty());
            next.succeed(server, clock);
            *server = next;
        }
        Some(server)
    }
}

#[test]
fn a_year_of_a_fleet_with_announced_chains_loses_nothing_and_a_theft_ends_at_once() {
    let mut dice = Dice(0x5eed);
    let mut newest = Keyring::empty();
    newest.clear(1);
    fill(1, START)(newest.add().unwrap());
    let mut hosts: Vec<Host> = (0..HOSTS)
        .map(|_| {
            let off = dice.below(20 * MINUTE) as i64 - 10 * MINUTE as i64;
            let mut host = Host { disk: copy(&newest), server: None, off, mail: None };
            host.start(START);
            host
        })
        .collect();
    // Of each client when it comes next, its ticket and when that was made.
    let mut clients: Vec<(u64, Option<(KeyName, u64)>)> =
        (0..CLIENTS).map(|_| (START + dice.below(DAY), None)).collect();
    let theft = START + 200 * DAY;
    let mut stolen: Vec<KeyName> = Vec::new();
    let (mut opened, mut lost, mut after_theft, mut announced) = (0u64, 0u64, 0u64, 0u64);
    for now in (START..START + 365 * DAY).step_by(STEP as usize) {
        let day = (now - START) / DAY;
        let is_theft = now == theft;
        if is_theft {
            stolen =
                hosts.iter_mut().filter_map(|host| host.ring(now)).flat_map(|r| r.epochs().map(|e| e.name)).collect();
            let generation = newest.generation() + 1;
            newest.clear(generation);
            fill(1000, now)(newest.add().unwrap());
        } else if now % (7 * DAY) < STEP {
            // On one host, two hours before it is used; the others have it within an hour and a half.
            newest.announce(now + 2 * HOUR, now, fill(day + 2, now)).expect("a week is enough");
            announced += 1;
        }
        for host in &mut hosts {
            if is_theft || now % (7 * DAY) < STEP {
                let comes = if is_theft { now } else { now + dice.below(90 * MINUTE) };
                host.mail = Some((comes, copy(&newest)));
            }
            if host.server.is_none() && dice.below(300) == 0 {
                // It was off, and asks for the newest file before it serves.
                let mail = copy(&newest);
                host.put(&mail, now);
                host.mail = None;
                host.start(now);
            } else if host.server.is_some() {
                if let Some((_, mail)) = host.mail.take_if(|(comes, _)| *comes <= now) {
                    host.put(&mail, now);
                }
                match dice.below(2000) {
                    0 => host.server = None,
                    1..20 => host.start(now),
                    _ => {}
                }
            }
            if now % (6 * HOUR) < STEP {
                host.advance(now);
            }
        }
        for (comes, ticket) in &mut clients {
            if *comes > now {
                continue;
            }
            let at = dice.below(HOSTS as u64) as usize;
            let clock = hosts[at].clock(now);
            let Some(ring) = hosts[at].ring(now) else { continue };
            match ticket {
                Some((name, _)) if matches!(ring.find(name, clock), Found::Keys { .. }) => opened += 1,
                Some((_, made)) if *made < theft && now >= theft => after_theft += 1,
                // Ten minutes on both sides.
                Some((_, made)) if now - *made < WINDOW - 20 * MINUTE => lost += 1,
                _ => {}
            }
            *ticket = Some((ring.sealing(clock).unwrap().name, now));
            *comes = now + dice.below(14 * HOUR);
            if now >= theft {
                assert!(
                    stolen.iter().all(|name| !matches!(ring.find(name, clock), Found::Keys { .. })),
                    "a stolen key opens"
                );
            }
        }
    }
    println!("{opened} opened, {lost} lost, {after_theft} by the theft, {announced} chains announced");
    assert_eq!(lost, 0);
    assert!(opened > 300_000 && announced >= 50);
    assert!((1..=CLIENTS as u64).contains(&after_theft), "{after_theft}: each client once");
    assert!(hosts.iter().all(|host| host.disk.generation() <= newest.generation() && host.disk.members().len() <= 2));
}

//! A process that never exits, while the clock goes on for a year, and then does what clocks do. Time is a parameter:
//! nothing waits. A program of its own, so that what it takes of the system is its alone.

mod common;

use std::collections::VecDeque;
use std::fs;
use std::path::Path;

use common::{HOUR, make_state, settings};
use ticketshim_core::format::{KeyName, Salt};
use ticketshim_core::{Binding, Found};
use ticketshim_keys::counters::{self, Counter};
use ticketshim_keys::state;
use ticketshim_keys::store::{Lookup, Store};

/// The first of January 2027.
const START: u64 = 1_798_761_600;
const YEAR: u64 = 365 * 24 * HOUR;
const WHERE: Binding = Binding([7; 32]);

struct Ticket {
    name: KeyName,
    salt: Salt,
    body: Vec<u8>,
    tag: [u8; 16],
    made: u64,
}

fn seal(store: &Store, now: u64) -> Ticket {
    let epoch = store.read(now).expect("keys").into_sealing(now).expect("a key to seal under");
    let (salt, mut body) = (store.salt().expect("a salt"), b"a session".to_vec());
    let tag = epoch.seal(&salt, &WHERE, &mut body).expect("sealed");
    counters::add(Counter::Sealed);
    Ticket { name: epoch.name().expect("a name"), salt, body, tag, made: now }
}

fn opens(store: &Store, ticket: &Ticket, now: u64) -> bool {
    let Lookup::Epoch(epoch, _) = store.read(now).expect("keys").into_found(&ticket.name, now) else { return false };
    let mut body = ticket.body.clone();
    epoch.open(&ticket.salt, &WHERE, &mut body, &ticket.tag).expect("sealed here");
    assert_eq!(body, b"a session");
    true
}

/// What the process has of the system: descriptors, mappings, locked and resident KiB.
fn held() -> [u64; 4] {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
    };
    // The heap's own mapping and others' may be joined or split; how many there are of ours is what counts.
    let maps = fs::read_to_string("/proc/self/maps").unwrap().lines().count() as u64;
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    [descriptors, maps, number("VmLck:"), number("VmRSS:")]
}

fn is_flat(before: [u64; 4], what: &str) {
    let now = held();
    assert_eq!((now[0], now[2]), (before[0], before[2]), "{what}: descriptors, locked KiB");
    assert!(
        now[1] <= before[1] + 2 && now[3] <= before[3] + 512,
        "{what}: mappings and resident KiB {before:?} {now:?}"
    );
}

/// An hour of a server: tickets that were made within the window open, older ones do not.
fn hour(store: &Store, kept: &mut VecDeque<Ticket>, now: u64, file: &Path) {
    for second in [0, 3599] {
        let now = now + second;
        let ticket = seal(store, now);
        assert!(opens(store, &ticket, now));
        kept.push_back(ticket);
    }
    let end = now + 3599;
    // The window is three hours after the end of a key's epoch.
    for ticket in kept.iter() {
        let age = end / HOUR - ticket.made / HOUR;
        assert_eq!(opens(store, ticket, end), age <= 3, "made at {}, offered at {end}", ticket.made);
    }
    while kept.len() > 12 {
        kept.pop_front();
    }
    // What a timer does.
    if (now / HOUR).is_multiple_of(6) {
        state::advance(file, end, false).expect("the file is advanced");
    }
}

#[test]
fn a_year_and_what_clocks_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state");
    make_state(&file, START);
    let mut settings = settings(Some(&file));
    settings.stats = Some(dir.path().join("stats"));
    let store = Store::open(&settings);
    store.ensure_state();
    let mut kept = VecDeque::new();

    // Until allocators and caches have what they want.
    let settled = START + 200 * HOUR;
    (START..settled).step_by(HOUR as usize).for_each(|now| hour(&store, &mut kept, now, &file));
    let before = held();
    (settled..START + YEAR).step_by(HOUR as usize).for_each(|now| hour(&store, &mut kept, now, &file));
    is_flat(before, "a year");
    let of_file = state::read(&file).unwrap().in_use(START + YEAR).epoch;
    assert!(of_file + 3 + 6 > (START + YEAR - 1) / HOUR, "the file went along: {of_file}");
    let epochs = counters::snapshot()[Counter::Epochs as usize];
    assert!(epochs >= YEAR / HOUR - 1, "{epochs} rotations");

    // It stands still.
    let mut now = START + YEAR;
    let ticket = seal(&store, now);
    assert!((0..20_000).all(|_| opens(&store, &ticket, now) && store.salt().is_some()));
    is_flat(before, "standing still");

    // It goes back: what is made goes on to open, nothing fails, and what is over stays so.
    let over = kept.pop_front().unwrap();
    now += 5 * HOUR;
    let newest = seal(&store, now);
    for back in [1, 59, HOUR, 2 * HOUR] {
        assert!(opens(&store, &newest, now - back), "{back} s back");
        let there = seal(&store, now - back);
        assert!(opens(&store, &there, now - back) && opens(&store, &there, now), "{back} s back");
        assert!(!opens(&store, &over, now - back));
    }
    for back in [24 * HOUR, 30 * 24 * HOUR, YEAR / 2] {
        let there = seal(&store, now - back);
        assert!(opens(&store, &there, now - back), "{back} s back");
        assert!(!opens(&store, &over, now - back));
    }
    is_flat(before, "back");
    // The file is as good for who starts now.
    let other = Store::open(&settings);
    assert!(opens(&other, &seal(&store, now), now) && opens(&store, &seal(&other, now), now));
    drop(other);

    // It jumps ahead, over the ends of 31 and 32 bits of seconds, hour by hour around them.
    for end in [1_u64 << 31, 1 << 32] {
        let around = (end / HOUR - 8) * HOUR;
        kept.clear();
        for now in (around..around + 16 * HOUR).step_by(HOUR as usize) {
            // Decades: whoever writes the file says so.
            state::advance(&file, now, true).expect("the file is advanced");
            hour(&store, &mut kept, now, &file);
        }
        let other = Store::open(&settings);
        let now = around + 16 * HOUR;
        assert!(opens(&other, &seal(&store, now), now), "beyond {end} who starts now has the same keys");
        assert!(matches!(store.read(now).unwrap().find(&over.name, now), Found::Expired | Found::Unknown));
    }
    is_flat(before, "2106");
}

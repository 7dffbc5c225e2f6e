//! A table of tickets that were seen lately: fixed in size, without a lock, in memory that processes share. `models` tries
//! all orders in which it can be used.

use crate::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, SeqCst},
    fence,
};

/// For how long libssl accepts early data of one ClientHello, in seconds: ticket ages from one second more than the true
/// one to nine less (TICKET_AGE_ALLOWANCE, tls_parse_ctos_psk in ssl/statem/extensions_srvr.c), in whole seconds.
const WINDOW: u64 = 11;
/// How long a handshake may take from opening a ticket to the decision on its early data, in seconds. One that takes
/// longer (a worker that was stopped) has its early data declined: others may have forgotten by then what they saw.
pub(crate) const DELAY: u64 = 4;
/// How long a ticket is remembered, in seconds; one more for clocks that are read in whole seconds, one for those that
/// different processors read.
pub(crate) const KEPT: u64 = WINDOW + DELAY + 2;

/// Zeroed memory is an empty one.
#[repr(C)]
pub(crate) struct Table<const WAYS: usize, const BUCKETS: usize> {
    buckets: [Bucket<WAYS>; BUCKETS],
    /// The latest time that any process has seen.
    latest: AtomicU64,
}

/// In lines of the cache of its own.
#[repr(C, align(128))]
struct Bucket<const WAYS: usize>([AtomicU64; WAYS]);

/// How a ticket is known in the table: two independent parts of a hash.
#[derive(Clone, Copy)]
pub(crate) struct Ticket {
    pub(crate) place: u64,
    pub(crate) tag: u64,
}

/// An entry is `tag ‖ seconds`: 40 bits, one of which is always set, and 24 bits. 0 is none.
const SECONDS: u32 = 24;
const SECONDS_MASK: u64 = (1 << SECONDS) - 1;
/// How often another process may take the place that this one was about to.
const TRIES: usize = 16;

fn entry(tag: u64, now: u64) -> u64 {
    (tag | 1 << 63) & !SECONDS_MASK | now & SECONDS_MASK
}

fn has_tag(seen: u64, tag: u64) -> bool {
    seen & !SECONDS_MASK == entry(tag, 0)
}

/// Whether an entry still counts. One from ahead of us does: of a processor whose clock is, or of before the clock was set
/// back.
fn counts(seen: u64, now: u64) -> bool {
    let age = now.wrapping_sub(seen) & SECONDS_MASK;
    seen != 0 && (age <= KEPT || age > SECONDS_MASK - KEPT)
}

impl<const WAYS: usize, const BUCKETS: usize> Table<WAYS, BUCKETS> {
    /// Whether this ticket was not seen lately, and enters it; false also if that cannot be known. `opened`: when it was
    /// opened, by the same `clock`.
    pub(crate) fn is_first(&self, ticket: Ticket, opened: u64, clock: impl Fn() -> u64) -> bool {
        let now = clock();
        if self.is_behind(now) || now.abs_diff(opened) > DELAY {
            return false;
        }
        let Some(Bucket(bucket)) = self.buckets.get((ticket.place % BUCKETS as u64) as usize) else { return false };
        if !enter(bucket, ticket.tag, now) {
            return false;
        }
        // Another process may have entered it elsewhere in the bucket at the same time. Both look again after they have
        // written, and the fences order that: at least one of the two sees the other's entry.
        fence(SeqCst);
        let copies = bucket.iter().map(|slot| slot.load(Acquire));
        let copies = copies.filter(|seen| has_tag(*seen, ticket.tag) && counts(*seen, now)).count();
        // Not if this process was stopped meanwhile: an entry of another's that counted may be gone.
        copies == 1 && clock().abs_diff(opened) <= DELAY
    }

    /// Whether the clock was set back: what was forgotten since may come again.
    fn is_behind(&self, now: u64) -> bool {
        let latest = self.latest.load(Relaxed);
        if latest < now {
            self.latest.fetch_max(now, AcqRel);
        }
        latest > now + 1
    }
}

/// Puts a ticket into a bucket; false if it is there, or there is no room for it.
fn enter(bucket: &[AtomicU64], tag: u64, now: u64) -> bool {
    for _ in 0..TRIES {
        let mut free = None;
        for slot in bucket {
            let seen = slot.load(Acquire);
            match counts(seen, now) {
                true if has_tag(seen, tag) => return false,
                true => {}
                false => free = free.or(Some((slot, seen))),
            }
        }
        let Some((slot, seen)) = free else { return false };
        if slot.compare_exchange(seen, entry(tag, now), AcqRel, Acquire).is_ok() {
            return true;
        }
    }
    false
}

#[cfg(any(test, loom))]
impl<const WAYS: usize, const BUCKETS: usize> Table<WAYS, BUCKETS> {
    pub(crate) fn empty() -> Self {
        let bucket = || Bucket(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { buckets: std::array::from_fn(|_| bucket()), latest: AtomicU64::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    /// All in one bucket.
    fn ticket(number: u64) -> Ticket {
        Ticket { place: number, tag: number << SECONDS }
    }

    fn at(table: &Table<4, 1>, number: u64, now: u64) -> bool {
        table.is_first(ticket(number), now, || now)
    }

    #[test]
    fn a_ticket_is_forgotten_when_libssl_refuses_it_by_its_age() {
        let table = Table::empty();
        assert!(at(&table, 1, NOW) && !at(&table, 1, NOW) && !at(&table, 1, NOW + KEPT));
        assert!(at(&table, 1, NOW + KEPT + 1) && !at(&table, 1, NOW + KEPT + 1));
    }

    #[test]
    fn a_full_table_declines_and_has_room_again_later() {
        let table = Table::empty();
        assert!((1..=4).all(|number| at(&table, number, NOW)));
        assert!(!at(&table, 5, NOW) && !at(&table, 5, NOW + KEPT));
        assert!((5..=8).all(|number| at(&table, number, NOW + KEPT + 1)));
    }

    #[test]
    fn a_clock_that_is_set_back_declines_until_it_has_caught_up() {
        let table = Table::empty();
        assert!(at(&table, 1, NOW) && at(&table, 2, NOW + 3600));
        // One second is what the processors' clocks may differ by.
        assert!(at(&table, 3, NOW + 3599));
        assert!(!at(&table, 1, NOW) && !at(&table, 4, NOW + 3598));
        assert!(at(&table, 4, NOW + 3599));
    }

    #[test]
    fn who_comes_late_is_declined() {
        let table = Table::<4, 1>::empty();
        assert!(!table.is_first(ticket(1), NOW, || NOW + DELAY + 1));
        assert!(!table.is_first(ticket(2), NOW + DELAY + 1, || NOW));
        // Stopped between two looks at the clock.
        let calls = std::cell::Cell::new(0);
        let clock = || NOW + 100 * calls.replace(calls.get() + 1);
        assert!(!table.is_first(ticket(3), NOW, clock));
    }

    #[test]
    fn garbage_declines_at_most() {
        let table = Table::<4, 1>::empty();
        table.buckets[0].0.iter().for_each(|slot| slot.store(u64::MAX << SECONDS | NOW & SECONDS_MASK, Relaxed));
        assert!(!at(&table, 1, NOW));
        table.buckets[0]
            .0
            .iter()
            .for_each(|slot| slot.store(u64::MAX << SECONDS | (NOW + 1000) & SECONDS_MASK, Relaxed));
        assert!(at(&table, 1, NOW));
        table.latest.store(u64::MAX, Relaxed);
        assert!(!at(&table, 2, NOW));
    }

    #[test]
    fn seconds_go_round() {
        let table = Table::empty();
        let end = (NOW | SECONDS_MASK) - 1;
        assert!(at(&table, 1, end) && !at(&table, 1, end + 4) && at(&table, 1, end + KEPT + 1));
    }

    #[test]
    fn of_many_at_once_one_is_first() {
        for _ in 0..200 {
            let table = Table::<4, 1>::empty();
            let firsts = std::thread::scope(|scope| {
                let all: [_; 4] = std::array::from_fn(|_| scope.spawn(|| at(&table, 1, NOW)));
                all.into_iter().map(|one| one.join().unwrap()).filter(|first| *first).count()
            });
            assert!(firsts <= 1, "{firsts}");
            assert!(!at(&table, 1, NOW));
        }
    }
}

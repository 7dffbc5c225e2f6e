//! Tickets that were seen lately: of two that bring the same one at once, one is the first at most.

use loom::sync::Arc;
use loom::thread;

use crate::Model;
use crate::replay::table::{KEPT, Table, Ticket};

pub(crate) fn all() -> [Model; 3] {
    let holds = |holds, program| Model { holds, fails: false, switches: Some(4), program };
    [
        holds("replay: of two that bring a ticket at once, one is first at most", empty),
        holds("… also where it takes the place of one that was forgotten", forgotten),
        holds("… also where their clocks differ about which place is free", clocks_differ),
    ]
}

const NOW: u64 = 1_000_000;

fn empty() {
    at_once(Table::empty(), [NOW; 2]);
}

fn forgotten() {
    let table = Table::empty();
    assert!(enter(&table, 1, NOW) && enter(&table, 2, NOW));
    at_once(table, [NOW + 1000; 2]);
}

fn clocks_differ() {
    let table = Table::empty();
    assert!(enter(&table, 1, NOW));
    at_once(table, [NOW + KEPT, NOW + KEPT + 1]);
}

fn enter(table: &Table<2, 1>, ticket: u64, now: u64) -> bool {
    table.is_first(Ticket { place: 0, tag: ticket << 24 }, now, || now)
}

fn at_once(table: Table<2, 1>, [ours, theirs]: [u64; 2]) {
    let table = Arc::new(table);
    let other = {
        let table = table.clone();
        thread::spawn(move || enter(&table, 7, theirs))
    };
    let firsts = [enter(&table, 7, ours), other.join().unwrap()];
    assert_ne!(firsts, [true, true]);
    assert!(!enter(&table, 7, ours));
}

//! Counters that processes share, and the file that each copies them to.

use loom::sync::Arc;
use loom::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use loom::thread;

use super::newest::write_newest;
use super::tagged::{add_one, count_of};
use crate::Model;

pub(crate) fn all() -> [Model; 4] {
    [
        Model {
            holds: "counters: the file has the newest in the end",
            fails: false,
            switches: None,
            program: || two(published),
        },
        Model {
            holds: "… (control: who writes does not look again)",
            fails: true,
            switches: None,
            program: || two(published_once),
        },
        Model {
            holds: "counters: none is lost when an epoch begins",
            fails: false,
            switches: None,
            program: || begun(|_, word| add_one(word, NOW), |word| count_of(word, NOW)),
        },
        Model {
            holds: "… (control: whoever is first empties the place)",
            fails: true,
            switches: None,
            program: || begun(emptied, |word| word),
        },
    ]
}

#[derive(Default)]
struct Shared {
    numbers: [AtomicU64; 2],
    changes: AtomicU64,
    file: AtomicU64,
}

impl Shared {
    fn newest(&self) -> u64 {
        self.numbers[0].load(Relaxed) | self.numbers[1].load(Relaxed) << 8
    }
}

/// Two that each change a number of their own, and write both.
fn two(write: fn(&Shared)) {
    let shared = Arc::new(Shared::default());
    let go = move |shared: &Shared, mine: usize| {
        shared.numbers[mine].fetch_add(1, SeqCst);
        shared.changes.fetch_add(1, SeqCst);
        write(shared);
    };
    let other = {
        let shared = shared.clone();
        thread::spawn(move || go(&shared, 0))
    };
    go(&shared, 1);
    other.join().unwrap();
    assert_eq!(shared.file.load(Relaxed), shared.newest());
}

fn published(shared: &Shared) {
    let write = || {
        shared.file.store(shared.newest(), Relaxed);
        Ok(())
    };
    assert!(write_newest(&shared.changes, write, || false).is_ok());
}

fn published_once(shared: &Shared) {
    shared.file.store(shared.newest(), Relaxed);
}

const NOW: u64 = 20;

/// Two that count in an epoch whose place has counts of an earlier one.
fn begun(count: fn(&AtomicU64, &AtomicU64), read: fn(u64) -> u64) {
    let shared = Arc::new([AtomicU64::new(4), AtomicU64::new(4 << 40 | 7)]);
    let other = {
        let shared = shared.clone();
        thread::spawn(move || count(&shared[0], &shared[1]))
    };
    count(&shared[0], &shared[1]);
    other.join().unwrap();
    assert_eq!(read(shared[1].load(Relaxed)), 2);
}

/// As counts were once kept.
fn emptied(epoch: &AtomicU64, word: &AtomicU64) {
    let known = epoch.load(Relaxed);
    if known != NOW && epoch.compare_exchange(known, NOW, SeqCst, Relaxed).is_ok() {
        word.store(0, Relaxed);
    }
    word.fetch_add(1, Relaxed);
}

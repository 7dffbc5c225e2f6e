//! Counters that processes share, and the file that each copies them to.

use loom::sync::Arc;
use loom::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use loom::thread;

use super::newest::write_newest;
use crate::Model;

pub(crate) fn all() -> [Model; 2] {
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

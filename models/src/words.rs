//! Words that are read whole or not at all; salts.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::thread;

use crate::Model;
use crate::record::Record;
use crate::salt::Run;
use crate::seqlock::Seqlock;

pub(crate) fn all() -> [Model; 6] {
    let holds = |holds, switches, program| Model { holds, fails: false, switches, program };
    let fails = |holds, program| Model { holds, fails: true, switches: None, program };
    [
        holds("seqlock: what is read was written by one", Some(4), seqlock),
        holds("record: what is read was written by one, whoever else writes", Some(4), record),
        fails("… (control: name first, and no check: another's words are found under it)", relaxed),
        holds("salts: none comes twice from a run that threads share", None, salts),
        fails("… (control: a count that is read and written)", counted),
        holds("salts: who comes while a run is drawn has one of its own", None, drawn),
    ]
}

fn seqlock() {
    let words = Arc::new(Seqlock::<2>::new());
    words.write(1, &[1, 1]);
    let writer = |number| {
        let words = words.clone();
        thread::spawn(move || words.write(1, &[number; 2]))
    };
    let writers = [writer(2), writer(3)];
    let read = words.read(1);
    assert!(read.is_none_or(|[a, b]| a == b && a != 0), "{read:?}");
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert!(words.read(1).is_some_and(|[a, b]| a == b && a != 1));
}

fn record() {
    let words = Arc::new(Record::<2>::new());
    let writer = |number| {
        let words = words.clone();
        thread::spawn(move || words.write(&[number; 2]))
    };
    let writers = [writer(2), writer(3)];
    let read = words.read();
    assert!(read.is_none_or(|[a, b]| a == b && a != 0), "{read:?}");
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let read = words.read();
    assert!(read.is_none_or(|[a, b]| a == b && a != 0), "{read:?}");
    // And it is as good as ever.
    words.write(&[4; 2]);
    assert_eq!(words.read(), Some([4; 2]));
}

/// As the table of policies was once kept.
fn relaxed() {
    let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let writer = {
        let words = words.clone();
        thread::spawn(move || {
            words[1].store(2, Relaxed);
            words[0].store(1, Relaxed);
        })
    };
    if words[0].load(Relaxed) == 1 {
        assert_eq!(words[1].load(Relaxed), 2);
    }
    writer.join().unwrap();
}

/// A salt, of a run that was drawn.
fn next_of(run: &Run) -> [u8; 16] {
    let salt = run.next(1).unwrap();
    assert!(salt.instance().0[..8].iter().any(|byte| *byte != 0));
    salt.0
}

fn salts() {
    let run = Arc::new(Run::new());
    let go = |run: &Run| [next_of(run), next_of(run)];
    let other = {
        let run = run.clone();
        thread::spawn(move || go(&run))
    };
    let here = go(&run);
    let there = other.join().unwrap();
    assert!(here[0] != here[1] && there[0] != there[1] && here.iter().all(|salt| !there.contains(salt)));
}

fn counted() {
    let count = Arc::new(AtomicU64::new(0));
    let next = |count: &AtomicU64| {
        let number = count.load(Relaxed);
        count.store(number + 1, Relaxed);
        number
    };
    let other = {
        let count = count.clone();
        thread::spawn(move || next(&count))
    };
    let here = next(&count);
    assert_ne!(here, other.join().unwrap());
}

fn drawn() {
    let run = Arc::new(Run::new());
    let one = || {
        let run = run.clone();
        thread::spawn(move || next_of(&run))
    };
    let others = [one(), one()];
    let here = next_of(&run);
    let [a, b] = others.map(|other| other.join().unwrap());
    assert!(here != a && here != b && a != b);
}

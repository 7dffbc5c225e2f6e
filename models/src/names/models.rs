//! What names led to, in a table that is full with one entry.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::thread;

use super::table::{Bucket, Key, Table, Value};
use crate::Model;

pub(crate) fn all() -> [Model; 4] {
    let holds = |holds, program| Model { holds, fails: false, switches: Some(3), program };
    [
        holds("names: two learn the same name, and it is known for what it led to", same),
        holds("names: what is found under a name was written for it, whoever takes its place", others),
        holds("names: a name that led to two is known for neither, at the latest when it leads there again", unsteady),
        Model {
            holds: "… (control: the tag before the entry, and no check: taken for unsteady)",
            fails: true,
            switches: None,
            program: unchecked,
        },
    ]
}

const A: Key = [1 << 30, 2, 3, 4];
const B: Key = [2 << 30, 5, 6, 7];

fn of(key: &Key) -> Value {
    [key[1] * 1000]
}

fn one() -> Arc<[Bucket; 1]> {
    Arc::new([Bucket::new()])
}

fn put(buckets: &Arc<[Bucket; 1]>, key: Key, value: Value) -> thread::JoinHandle<()> {
    let buckets = buckets.clone();
    thread::spawn(move || Table::new(&*buckets, 1).put(&key, &value, 0))
}

fn get(buckets: &Arc<[Bucket; 1]>, key: &Key) -> Option<Value> {
    Table::new(&**buckets, 1).get(key)
}

fn same() {
    let buckets = one();
    let other = put(&buckets, A, of(&A));
    Table::new(&*buckets, 1).put(&A, &of(&A), 0);
    other.join().unwrap();
    assert_eq!(get(&buckets, &A), Some(of(&A)));
}

fn others() {
    let buckets = one();
    let writers = [put(&buckets, A, of(&A)), put(&buckets, B, of(&B))];
    for key in [A, B] {
        let found = get(&buckets, &key);
        assert!(found.is_none_or(|found| found == of(&key)), "{found:?}");
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    for key in [A, B] {
        let found = get(&buckets, &key);
        assert!(found.is_none_or(|found| found == of(&key)), "{found:?}");
    }
    // And it is as good as ever.
    Table::new(&*buckets, 1).put(&A, &of(&A), 0);
    assert_eq!(get(&buckets, &A), Some(of(&A)));
}

fn unsteady() {
    let buckets = one();
    let writers = [put(&buckets, A, of(&A)), put(&buckets, A, [9])];
    let is_one = |found: Option<Value>| found.is_none_or(|found| found == of(&A) || found == [9]);
    assert!(is_one(get(&buckets, &A)));
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    // One of them may have seen what the other was just writing, and written over it.
    assert!(is_one(get(&buckets, &A)));
    Table::new(&*buckets, 1).put(&A, &of(&A), 0);
    Table::new(&*buckets, 1).put(&A, &[9], 0);
    Table::new(&*buckets, 1).put(&A, &of(&A), 0);
    assert_eq!(get(&buckets, &A), None);
}

/// As it must not be kept.
fn unchecked() {
    let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let learn = |words: &[AtomicU64; 2]| {
        if words[0].swap(1, Relaxed) == 0 {
            words[1].store(7, Relaxed);
        } else if words[1].load(Relaxed) != 7 {
            words[1].store(u64::MAX, Relaxed);
        }
    };
    let other = {
        let words = words.clone();
        thread::spawn(move || learn(&words))
    };
    learn(&words);
    other.join().unwrap();
    assert_eq!(words[1].load(Relaxed), 7);
}

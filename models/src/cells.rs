//! Values that are replaced while they are read, and what guards their replacement.

use std::ptr::NonNull;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::Model;
use crate::barrier::ForkBarrier;
use crate::cell::{Blank, Cell};
use crate::lock::Lock;
use crate::memory::Region;
use crate::once::OncePtr;

pub(crate) fn all() -> [Model; 6] {
    let holds = |holds, switches, program| Model { holds, fails: false, switches, program };
    [
        holds("cell: readers see whole values, never an older one after a newer", Some(4), replaced_and_read),
        holds("cell: a value is erased when its last reader goes, and not before", Some(4), two_readers),
        holds("cell: taken away while it is read, it is erased", None, cleared_and_read),
        holds("barrier: nothing is changed while a thread forks that saw nobody at it", None, changed_and_forked),
        holds("lock: one thread at a time", None, locked),
        holds("once: what was made is seen whole, and is the same for all", None, made),
    ]
}

const HERE: u32 = 1;

struct Value([u64; 2]);

impl Blank for Value {
    fn blank() -> &'static Self {
        &Value([0; 2])
    }
}

fn set(cell: &Cell<Value>, number: u64) -> bool {
    cell.replace(HERE, |value| {
        Region::of(NonNull::from(&mut *value)).writes();
        value.0 = [number; 2];
        true
    })
}

fn get(cell: &Cell<Value>) -> Option<u64> {
    let value = cell.read(HERE)?;
    Region::of(NonNull::from(&*value)).reads();
    assert_eq!(value.0[0], value.0[1]);
    assert_ne!(value.0[0], 0);
    Some(value.0[0])
}

fn replaced_and_read() {
    let cell = Arc::new(Cell::new());
    assert!(set(&cell, 1));
    let reader = {
        let cell = cell.clone();
        thread::spawn(move || {
            let (first, second) = (get(&cell), get(&cell));
            assert!(first.is_some() && first <= second);
        })
    };
    let last = if set(&cell, 2) { 2 } else { 1 };
    let last = if set(&cell, 3) { 3 } else { last };
    reader.join().unwrap();
    assert_eq!(get(&cell), Some(last));
}

fn two_readers() {
    let cell = Arc::new(Cell::new());
    assert!(set(&cell, 1));
    let reader = || {
        let cell = cell.clone();
        thread::spawn(move || assert!(get(&cell).is_some()))
    };
    let readers = [reader(), reader()];
    assert!(set(&cell, 2));
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert_eq!(get(&cell), Some(2));
    // Its place is free again, with nothing left to do for it.
    assert!(set(&cell, 3) && set(&cell, 4));
}

fn cleared_and_read() {
    let cell = Arc::new(Cell::new());
    assert!(set(&cell, 1));
    let reader = {
        let cell = cell.clone();
        thread::spawn(move || get(&cell))
    };
    cell.clear(HERE);
    assert!(matches!(reader.join().unwrap(), None | Some(1)));
    assert_eq!(get(&cell), None);
}

fn changed_and_forked() {
    let shared = Arc::new((ForkBarrier::new(), UnsafeCell::new(0)));
    let changer = {
        let shared = shared.clone();
        thread::spawn(move || {
            if let Some(_changing) = shared.0.enter(HERE) {
                // SAFETY: what is tried here.
                shared.1.with_mut(|value| unsafe { *value += 1 });
            }
        })
    };
    shared.0.begin_fork(HERE);
    if !shared.0.is_being_changed(HERE) {
        // What the kernel copies.
        shared.1.with(|_| ());
    }
    shared.0.end_fork(HERE);
    changer.join().unwrap();
    assert!(!shared.0.is_being_changed(HERE) && shared.0.enter(HERE).is_some());
}

fn locked() {
    let shared = Arc::new((Lock::new(), UnsafeCell::new(0)));
    let go = |shared: &(Lock, UnsafeCell<u32>)| {
        let held = shared.0.try_lock(HERE);
        if held.is_some() {
            // SAFETY: what is tried here.
            shared.1.with_mut(|value| unsafe { *value += 1 });
        }
        held.is_some()
    };
    let other = {
        let shared = shared.clone();
        thread::spawn(move || go(&shared))
    };
    let (here, there) = (go(&shared), other.join().unwrap());
    assert!(here || there);
    assert!(shared.0.try_lock(HERE).is_some());
}

fn made() {
    let once = Arc::new(OncePtr::new());
    let go = |once: &OncePtr<UnsafeCell<u32>>| {
        let made = once.get(|| Box::into_raw(Box::new(UnsafeCell::new(7))));
        // SAFETY: what was made stays.
        assert_eq!(unsafe { &*made }.with(|value| unsafe { *value }), 7);
        made.addr()
    };
    let other = {
        let once = once.clone();
        thread::spawn(move || go(&once))
    };
    let here = go(&once);
    assert_eq!(other.join().unwrap(), here);
}

//! Objects and our parts of them.

use std::ffi::c_void;
use std::ptr;

use loom::sync::Arc;
use loom::thread;

use crate::Model;
use crate::anchors::Anchors;

pub(crate) fn all() -> [Model; 3] {
    let holds = |holds, switches, program| Model { holds, fails: false, switches, program };
    [
        holds(
            "anchors: the first two pairs, at once: one chunk is made, and each has a place of its own",
            Some(4),
            first,
        ),
        holds("anchors: a list that has become what it was is not taken for the one that was read", Some(4), changed),
        holds("anchors: a pair is found while others come and go", Some(4), found),
    ]
}

fn address(number: usize) -> *mut c_void {
    ptr::without_provenance_mut(number)
}

/// Keeps a pair of this object.
fn put(anchors: &Anchors, object: usize) -> usize {
    anchors.put(address(object), address(object * 10)).unwrap().expose_provenance()
}

fn get(anchors: &Anchors, at: usize, object: usize) -> Option<usize> {
    anchors.get(ptr::with_exposed_provenance_mut(at), address(object)).map(|part| part.addr())
}

fn take(anchors: &Anchors, at: usize, object: usize) -> Option<usize> {
    anchors.take(ptr::with_exposed_provenance_mut(at), address(object)).map(|part| part.addr())
}

fn first() {
    let anchors = Arc::new(Anchors::new());
    let other = {
        let anchors = anchors.clone();
        thread::spawn(move || put(&anchors, 1))
    };
    let (here, there) = (put(&anchors, 2), other.join().unwrap());
    assert_ne!(here, there);
    assert_eq!((get(&anchors, there, 1), get(&anchors, here, 2)), (Some(10), Some(20)));
    assert_eq!((get(&anchors, there, 2), get(&anchors, here, 1)), (None, None));
}

fn changed() {
    let anchors = Arc::new(Anchors::new());
    // There is a chunk, and two places in it are free.
    let at = put(&anchors, 9);
    assert_eq!(take(&anchors, at, 9), Some(90));
    let other = {
        let anchors = anchors.clone();
        // The first place is free again, and the second is not.
        thread::spawn(move || {
            let (one, two) = (put(&anchors, 1), put(&anchors, 2));
            assert_eq!(take(&anchors, one, 1), Some(10));
            two
        })
    };
    let here = put(&anchors, 3);
    let there = other.join().unwrap();
    let last = put(&anchors, 4);
    assert!(here != there && last != here && last != there);
    assert_eq!([(here, 3), (there, 2), (last, 4)].map(|(at, n)| get(&anchors, at, n)), [Some(30), Some(20), Some(40)]);
}

fn found() {
    let anchors = Arc::new(Anchors::new());
    let at = put(&anchors, 1);
    let other = {
        let anchors = anchors.clone();
        thread::spawn(move || {
            let at = put(&anchors, 2);
            assert_eq!((get(&anchors, at, 2), take(&anchors, at, 2)), (Some(20), Some(20)));
            assert_eq!(get(&anchors, at, 2), None);
        })
    };
    assert!(anchors.find(address(3)).is_none());
    assert_eq!(anchors.find(address(1)).map(|found| found.addr()), Some(at));
    assert_eq!((get(&anchors, at, 1), get(&anchors, at, 2)), (Some(10), None));
    other.join().unwrap();
    assert_eq!(take(&anchors, at, 1), Some(10));
    assert_eq!(get(&anchors, at, 1), None);
}

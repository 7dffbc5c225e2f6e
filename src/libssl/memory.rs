//! Heap values made so that an empty heap is an answer and not the end of the host.

use std::alloc::{Layout, alloc};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

/// `Box::new`, except that it answers `None` where `Box::new` would abort the process.
pub(crate) fn try_box<T>(value: T) -> Option<Box<T>> {
    const { assert!(size_of::<T>() > 0) }
    // SAFETY: the layout is not of size zero (checked above at compile time).
    let place = unsafe { alloc(Layout::new::<T>()) }.cast::<T>();
    let place = NonNull::new(place)?;
    // SAFETY: `place` is fresh memory of T's own layout.
    unsafe { place.write(value) };
    // SAFETY: allocated by the global allocator with T's layout and initialised: what Box::from_raw asks for.
    Some(unsafe { Box::from_raw(place.as_ptr()) })
}

/// A copy of `bytes`, or `None` where `to_vec` would abort the process.
pub(crate) fn try_copy<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut copy = Vec::new();
    for part in parts {
        copy.try_reserve(part.len()).ok()?;
        copy.extend_from_slice(part);
    }
    Some(copy)
}

/// Values that are added now and then and read all the time, by many threads and without a lock: a list that only
/// grows, freed with its owner.
pub(crate) struct AppendList<T> {
    newest: AtomicPtr<Entry<T>>,
}

struct Entry<T> {
    value: T,
    older: *mut Entry<T>,
}

impl<T> AppendList<T> {
    pub(crate) const fn new() -> Self {
        Self { newest: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Adds a value. Gives it back where it will stay, or `None` if memory has run out.
    pub(crate) fn add(&self, value: T) -> Option<&T> {
        let entry = Box::into_raw(try_box(Entry { value, older: self.newest.load(Ordering::Acquire) })?);
        loop {
            // SAFETY: made above and not yet seen by anyone else.
            let older = unsafe { (*entry).older };
            match self.newest.compare_exchange(older, entry, Ordering::AcqRel, Ordering::Acquire) {
                // SAFETY: lives until `self` is dropped, and is never changed again.
                Ok(_) => return Some(unsafe { &(*entry).value }),
                // SAFETY: still ours alone: the exchange failed.
                Err(newer) => unsafe { (*entry).older = newer },
            }
        }
    }

    /// All values, the newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let mut next = self.newest.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: null or an entry, which lives until `self` is dropped and is not changed once it is in the list.
            let entry = unsafe { next.as_ref() }?;
            next = entry.older;
            Some(&entry.value)
        })
    }
}

impl<T> Drop for AppendList<T> {
    fn drop(&mut self) {
        let mut next = *self.newest.get_mut();
        while !next.is_null() {
            // SAFETY: made by Box in `add`, in the list once, and nobody borrows from a list being dropped.
            let entry = unsafe { Box::from_raw(next) };
            next = entry.older;
        }
    }
}

// SAFETY: an AppendList hands out shared references only, and owns its entries: as a Vec<T> behind a shared reference.
unsafe impl<T: Send + Sync> Sync for AppendList<T> {}
// SAFETY: an AppendList owns its entries, as a Vec<T>: it may be dropped in another thread if they may.
unsafe impl<T: Send> Send for AppendList<T> {}

/// Most states of one context whose hashes are kept. One is usual; a program that changes a context under way has two.
const CACHED: usize = 16;

/// A hash and the facts that it was made from.
pub(crate) struct Cached<T> {
    facts: Vec<u8>,
    hash: T,
}

/// The kept hash over these facts, or a new one, which is kept as long as there is room.
pub(crate) fn cached<'a, T: Copy>(
    list: &AppendList<Cached<T>>,
    facts: impl Iterator<Item = &'a [u8]> + Clone,
    hash: impl FnOnce() -> T,
) -> Option<T> {
    let same = |kept: &&Cached<T>| {
        let mut rest = kept.facts.as_slice();
        facts.clone().all(|fact| rest.strip_prefix(fact).map(|r| rest = r).is_some()) && rest.is_empty()
    };
    if let Some(kept) = list.iter().find(same) {
        return Some(kept.hash);
    }
    let hash = hash();
    if list.iter().count() < CACHED {
        list.add(Cached { facts: try_copy(facts)?, hash })?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_kept_by_their_facts() {
        let list = AppendList::new();
        let parts: [&[u8]; 2] = [b"a", b"bc"];
        assert_eq!(cached(&list, parts.into_iter(), || 1), Some(1));
        assert_eq!(cached(&list, parts.into_iter(), || 2), Some(1));
        assert_eq!(cached(&list, [&b"abcd"[..]].into_iter(), || 3), Some(3));
        for n in 0..100u8 {
            assert_eq!(cached(&list, [&[n][..]].into_iter(), || i32::from(n)), Some(i32::from(n)));
        }
        assert_eq!(list.iter().count(), CACHED);
    }
}

//! Pairs of an object and our part of it, in memory that is never given back: so that any address can be looked up,
//! and be read if it is one of these, whatever became of the pair.
//!
//! It takes no lock: a thread that is cancelled, or that a child of fork does not have, leaves nothing behind that
//! others wait for. Memory is that of the most pairs that there ever were at a time, 16 bytes each.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::c_void;
use std::ptr;
use std::slice;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicPtr, AtomicU64};

// `models` compiles this file as it is.
#[cfg(loom)]
use loom::sync::atomic::{AtomicPtr, AtomicU64};

/// Pairs of the first chunk; each further one has twice as many.
const FIRST: usize = if cfg!(loom) { 2 } else { 64 };
const CHUNKS: usize = if cfg!(loom) { 3 } else { 24 };

/// All pairs of a class of objects.
pub(super) struct Anchors {
    /// In this order, each null or made once.
    chunks: [AtomicPtr<Anchor>; CHUNKS],
    /// The list of free anchors: one more than the number of its first (low half; 0 for none), and a count of all
    /// changes, so that no thread takes a list for the one that it has read.
    free: AtomicU64,
}

/// One pair.
struct Anchor {
    /// Null if it is free.
    object: AtomicPtr<c_void>,
    /// While it is free: one more than the number of the next, as an address.
    part: AtomicPtr<c_void>,
}

impl Anchors {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self { chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS], free: AtomicU64::new(0) }
    }

    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self { chunks: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())), free: AtomicU64::new(0) }
    }

    /// Keeps a pair. Gives an address that stands for it, or `None` if memory has run out.
    pub(super) fn put(&self, object: *mut c_void, part: *mut c_void) -> Option<*mut c_void> {
        let anchor = loop {
            match self.pop() {
                Some(anchor) => break anchor,
                None => self.grow()?,
            }
        };
        anchor.part.store(part, Relaxed);
        anchor.object.store(object, Release);
        Some(ptr::from_ref(anchor).cast_mut().cast())
    }

    /// The part of this object, if that is what the address stands for.
    pub(super) fn get(&self, at: *mut c_void, object: *mut c_void) -> Option<*mut c_void> {
        let (_, anchor) = self.locate(at)?;
        anchor.is_of(object).then(|| anchor.part.load(Relaxed))
    }

    /// The address of this object's pair, looked for among all.
    pub(super) fn find(&self, object: *mut c_void) -> Option<*mut c_void> {
        let mut all = (0..CHUNKS).map_while(|k| self.chunk(k)).flatten();
        all.find(|anchor| anchor.is_of(object)).map(|anchor| ptr::from_ref(anchor).cast_mut().cast())
    }

    /// Ends the pair, and gives the part back.
    pub(super) fn take(&self, at: *mut c_void, object: *mut c_void) -> Option<*mut c_void> {
        let (number, anchor) = self.locate(at)?;
        let part = anchor.part.load(Relaxed);
        anchor.object.compare_exchange(object, ptr::null_mut(), AcqRel, Relaxed).ok()?;
        self.push(number, anchor);
        Some(part)
    }

    fn chunk(&self, k: usize) -> Option<&[Anchor]> {
        let chunk = self.chunks.get(k)?.load(Acquire);
        // SAFETY: null, or made by `grow`: so many anchors, zeroed or written since, which are never given back.
        (!chunk.is_null()).then(|| unsafe { slice::from_raw_parts(chunk, FIRST << k) })
    }

    /// The anchor at this address, and its number.
    fn locate(&self, at: *mut c_void) -> Option<(usize, &Anchor)> {
        for k in 0..CHUNKS {
            let chunk = self.chunk(k)?;
            let offset = at.addr().wrapping_sub(chunk.as_ptr().addr());
            if offset < size_of_val(chunk) {
                let i = offset / size_of::<Anchor>();
                let exact = offset.is_multiple_of(size_of::<Anchor>());
                return chunk.get(i).filter(|_| exact).map(|anchor| (first_of(k) + i, anchor));
            }
        }
        None
    }

    fn numbered(&self, number: usize) -> Option<&Anchor> {
        let place = number + FIRST;
        let k = (place / FIRST).ilog2() as usize;
        self.chunk(k)?.get(place - (FIRST << k))
    }

    fn pop(&self) -> Option<&Anchor> {
        let mut seen = self.free.load(Acquire);
        loop {
            let number = (seen as u32 as usize).checked_sub(1)?;
            let anchor = self.numbered(number)?;
            // Another thread may have taken it meanwhile, and this be no number: then the list has changed.
            let next = anchor.part.load(Relaxed).addr();
            match self.free.compare_exchange_weak(seen, changed(seen, next), AcqRel, Acquire) {
                Ok(_) => return Some(anchor),
                Err(now) => seen = now,
            }
        }
    }

    fn push(&self, first: usize, last: &Anchor) {
        let mut seen = self.free.load(Relaxed);
        loop {
            last.part.store(ptr::without_provenance_mut(seen as u32 as usize), Relaxed);
            match self.free.compare_exchange_weak(seen, changed(seen, first + 1), Release, Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Another chunk, unless another thread has made one meanwhile.
    fn grow(&self) -> Option<()> {
        let k = self.chunks.iter().position(|chunk| chunk.load(Acquire).is_null())?;
        let layout = Layout::array::<Anchor>(FIRST << k).ok()?;
        // SAFETY: the layout is not of size zero.
        let new = unsafe { alloc_zeroed(layout) }.cast::<Anchor>();
        if new.is_null() {
            return None;
        }
        #[cfg(loom)]
        for i in 0..FIRST << k {
            let [object, part] = [const { ptr::null_mut() }; 2].map(AtomicPtr::new);
            // SAFETY: room for so many, which nobody else knows of yet. Loom's atomics are not made of zeros.
            unsafe { new.add(i).write(Anchor { object, part }) };
        }
        // SAFETY: just made; zeros are null pointers, which is what an anchor is made of.
        let anchors = unsafe { slice::from_raw_parts(new, FIRST << k) };
        for (i, anchor) in anchors.iter().enumerate() {
            anchor.part.store(ptr::without_provenance_mut(first_of(k) + i + 2), Relaxed);
        }
        if self.chunks.get(k)?.compare_exchange(ptr::null_mut(), new, AcqRel, Relaxed).is_err() {
            // SAFETY: made above with this layout, and nobody has seen it.
            unsafe { dealloc(new.cast(), layout) };
        } else if let Some(last) = anchors.last() {
            self.push(first_of(k), last);
        }
        Some(())
    }
}

impl Anchor {
    fn is_of(&self, object: *mut c_void) -> bool {
        !object.is_null() && self.object.load(Acquire) == object
    }
}

/// The number of a chunk's first anchor.
const fn first_of(k: usize) -> usize {
    (FIRST << k) - FIRST
}

/// The list of free anchors when it begins with another.
fn changed(seen: u64, first: usize) -> u64 {
    (seen >> 32).wrapping_add(1) << 32 | first as u64 & u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: usize) -> *mut c_void {
        ptr::without_provenance_mut(n)
    }

    #[test]
    fn pairs_are_found_by_both_and_their_places_used_again() {
        let anchors = Anchors::new();
        assert!(anchors.find(address(1)).is_none() && anchors.get(address(1), address(1)).is_none());
        let many = 1000;
        let at: Vec<_> = (1..=many).map(|n| anchors.put(address(n), address(n * 10)).unwrap()).collect();
        for (n, at) in (1..=many).zip(&at) {
            assert_eq!(anchors.get(*at, address(n)), Some(address(n * 10)));
            assert_eq!(anchors.find(address(n)), Some(*at));
            assert!(anchors.get(*at, address(n + 1)).is_none() && anchors.take(*at, address(n + 1)).is_none());
            // Beside it, and inside of it.
            assert!(anchors.get(at.wrapping_byte_add(8), address(n)).is_none());
        }
        let grown = anchors.chunks.iter().filter(|chunk| !chunk.load(Acquire).is_null()).count();
        for _ in 0..50 {
            for (n, at) in (1..=many).zip(&at) {
                assert_eq!(anchors.take(*at, address(n)), Some(address(n * 10)));
                assert!(anchors.take(*at, address(n)).is_none() && anchors.get(*at, address(n)).is_none());
                assert_eq!(anchors.put(address(n), address(n * 10)), Some(*at), "the last one that became free");
            }
        }
        assert_eq!(anchors.chunks.iter().filter(|chunk| !chunk.load(Acquire).is_null()).count(), grown);
        assert!(anchors.find(ptr::null_mut()).is_none());
    }

    #[test]
    fn each_thread_has_anchors_of_its_own() {
        let anchors = Anchors::new();
        std::thread::scope(|scope| {
            let worker = |thread: usize| {
                let anchors = &anchors;
                scope.spawn(move || {
                    for round in 0..300 {
                        let object = |i| address(1 + thread * 1000 + i);
                        let at: Vec<_> =
                            (0..100).map(|i| anchors.put(object(i), address(round * 64 + i)).unwrap()).collect();
                        for (i, at) in at.iter().enumerate() {
                            assert_eq!(anchors.get(*at, object(i)), Some(address(round * 64 + i)));
                            assert_eq!(anchors.take(*at, object(i)), Some(address(round * 64 + i)));
                        }
                    }
                })
            };
            let workers: Vec<_> = (0..4).map(worker).collect();
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        });
        let grown = anchors.chunks.iter().filter(|chunk| !chunk.load(Acquire).is_null()).count();
        assert!(grown <= 5, "{grown} chunks for 400 pairs");
    }
}

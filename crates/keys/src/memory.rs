//! Where secrets live: pages of their own that are not swapped out and not in core dumps, erased before they go.
//!
//! Locking is best effort (`RLIMIT_MEMLOCK` is small in some containers) and is not inherited by a child of fork, so a
//! child locks again ([`lock_again`]): right after the fork, because later it may be in a sandbox that ends it for such
//! a call. Being left out of core dumps is inherited.
//!
//! mlock(2) is never called: a filter may end the process for it, and nothing tells that before. A mapping that is
//! made with `MAP_LOCKED` takes no other call than a mapping does.

use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use zeroize::Zeroize;

use crate::sys;

static UNLOCKED: AtomicBool = AtomicBool::new(false);

/// All regions, as address and length; 0 where there is none. What does not fit in is not locked again in a child.
static REGIONS: [(AtomicUsize, AtomicUsize); 32] = [const { (AtomicUsize::new(0), AtomicUsize::new(0)) }; 32];
/// The generation that has locked them.
static LOCKED_IN: AtomicU32 = AtomicU32::new(0);

/// In a child of fork(2), which has one thread: locks what its parent had locked. Async-signal-safe.
pub(crate) fn lock_again(generation: u32) {
    if LOCKED_IN.swap(generation, Ordering::Relaxed) != generation {
        for (start, len) in &REGIONS {
            let (start, len) = (start.load(Ordering::Acquire), len.load(Ordering::Acquire));
            if start != 0 && !replace_by_locked(start, len) {
                UNLOCKED.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// In any child, later: one that a bare clone(2) made may have threads, so it is left as it is until the next keys.
pub(crate) fn may_have_lost_its_lock(generation: u32) {
    if LOCKED_IN.swap(generation, Ordering::Relaxed) != generation && REGIONS[0].0.load(Ordering::Relaxed) != 0 {
        UNLOCKED.store(true, Ordering::Relaxed);
    }
}

/// Puts locked pages with the same contents in the place of those at `start`. False if the system does not let us.
fn replace_by_locked(start: usize, len: usize) -> bool {
    let Ok(fresh) = map(len, libc::MAP_LOCKED) else { return false };
    let there = ptr::without_provenance_mut::<libc::c_void>(start);
    // SAFETY: both are mapped, `len` bytes long, and not the same; nobody else runs in this process.
    unsafe { ptr::copy_nonoverlapping(ptr::with_exposed_provenance::<u8>(start), fresh.cast().as_ptr(), len) };
    // SAFETY: the mapping is ours, and takes the place of one of ours with the same bytes, rights and length.
    let moved = unsafe { libc::mremap(fresh.as_ptr(), len, len, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, there) };
    if moved == libc::MAP_FAILED {
        let copy = Region { start: fresh.cast(), len };
        // SAFETY: the copy is ours, and nothing refers to it.
        unsafe { copy.erase() };
        // SAFETY: as above.
        unsafe { libc::munmap(fresh.as_ptr(), len) };
    }
    moved != libc::MAP_FAILED
}

/// New pages, zeroed, that are in no core dump.
fn map(len: usize, more: libc::c_int) -> Result<NonNull<libc::c_void>, ()> {
    // Miri knows plain mappings, and no advice.
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | if cfg!(miri) { 0 } else { more };
    // SAFETY: a new anonymous mapping at an address of the kernel's choice.
    let start = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(());
    }
    #[cfg(not(miri))]
    // SAFETY: the mapping is ours; the advice changes nothing but core dumps.
    unsafe {
        libc::madvise(start, len, libc::MADV_DONTDUMP)
    };
    // For `replace_by_locked`.
    start.expose_provenance();
    NonNull::new(start).ok_or(())
}

/// Whether some secrets may be swapped out because the system did not let us lock them.
pub fn may_be_swapped() -> bool {
    UNLOCKED.load(Ordering::Relaxed)
}

/// Pages of our own: zeroed, locked, kept out of core dumps. Unmapped by [`Region::release`] only, so that a pointer
/// into it stays valid however its owner moves.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a region is an address and a length; what may be done through them is up to `erase` and `release`, which are
// unsafe, and to whoever makes a reference out of `start`.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Room for a `T`. None if the system has no memory for us.
    pub(crate) fn for_a<T>() -> Option<Self> {
        let len = Self::len_for_a::<T>();
        let start = map(len, libc::MAP_LOCKED).or_else(|()| {
            // The limit is reached, or there is no memory at all.
            let start = map(len, 0);
            UNLOCKED.fetch_or(start.is_ok(), Ordering::Relaxed);
            start
        });
        let region = Self { start: start.ok()?.cast(), len };
        region.register();
        Some(region)
    }

    fn register(&self) {
        for (start, len) in &REGIONS {
            let ours = self.start.as_ptr().addr();
            if start.compare_exchange(0, ours, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                len.store(self.len, Ordering::Release);
                return;
            }
        }
    }

    fn unregister(&self) {
        for (start, _) in &REGIONS {
            let ours = self.start.as_ptr().addr();
            if start.compare_exchange(ours, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// The region that was made for this `T`.
    pub(crate) fn of<T>(start: NonNull<T>) -> Self {
        Self { start: start.cast(), len: Self::len_for_a::<T>() }
    }

    fn len_for_a<T>() -> usize {
        const { assert!(align_of::<T>() <= 4096 && size_of::<T>() > 0) }
        size_of::<T>().next_multiple_of(sys::page_size())
    }

    /// The start, aligned to a page, with room for what the region was made for.
    pub(crate) fn start<T>(&self) -> NonNull<T> {
        self.start.cast()
    }

    /// Overwrites all of it with zeros.
    ///
    /// # Safety
    /// Nothing else reads or writes it meanwhile, and what was in it is not used any more.
    pub(crate) unsafe fn erase(&self) {
        // SAFETY: mapped, a multiple of eight bytes long, aligned to a page; ours alone by the caller's promise.
        let words = unsafe { std::slice::from_raw_parts_mut(self.start.cast::<u64>().as_ptr(), self.len / 8) };
        words.zeroize();
    }

    /// Erases it and gives it back.
    ///
    /// # Safety
    /// As for [`Region::erase`], and nothing uses it afterwards.
    pub(crate) unsafe fn release(self) {
        self.unregister();
        // SAFETY: by the caller's promise.
        unsafe { self.erase() };
        // SAFETY: a mapping of ours that nothing uses any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A value in a [`Region`]. For plain data: its bytes are erased in place of dropping it.
pub(crate) struct Locked<T> {
    region: Region,
    value: NonNull<T>,
}

// SAFETY: it owns its T as a Box does.
unsafe impl<T: Send> Send for Locked<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Locked<T> {}

impl<T> Locked<T> {
    /// Puts `blank` there, which holds no secret yet: those are written in place.
    pub(crate) fn new(blank: T) -> Option<Self> {
        let region = Region::for_a::<T>()?;
        let value = region.start::<T>();
        // SAFETY: the region has room for a T, aligned, and nothing is in it.
        unsafe { value.write(blank) };
        Some(Self { region, value })
    }
}

impl<T> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: written by `new`, owned by us.
        unsafe { self.value.as_ref() }
    }
}

impl<T> DerefMut for Locked<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; `&mut self` makes it the only reference.
        unsafe { self.value.as_mut() }
    }
}

impl<T> Drop for Locked<T> {
    fn drop(&mut self) {
        // SAFETY: ours alone, and this is its end.
        unsafe { self.region.release() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_and_erases() {
        let mut locked = Locked::new([0u8; 5000]).unwrap();
        locked.fill(7);
        assert!(locked.iter().all(|b| *b == 7));
        // SAFETY: the value is not used again but to see that it is gone.
        unsafe { locked.region.erase() };
        assert!(locked.iter().all(|b| *b == 0));
    }

    #[test]
    fn stays_out_of_core_dumps() {
        let locked = Locked::new([1u8; 64]).unwrap();
        let address = locked.value.as_ptr() as usize;
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        // A mapping's first line is "start-end perms ..."; neighbours with equal flags are one.
        let mut here = false;
        let flags = maps.lines().find(|line| {
            if let Some((start, end)) = line.split(' ').next().and_then(|range| range.split_once('-')) {
                let hex = |text| usize::from_str_radix(text, 16).unwrap();
                here = (hex(start)..hex(end)).contains(&address);
            }
            here && line.starts_with("VmFlags:")
        });
        let flags = flags.unwrap();
        assert!(flags.split(' ').any(|f| f == "dd"), "{flags}");
        assert!(flags.split(' ').any(|f| f == "lo") || may_be_swapped(), "{flags}");
    }
}

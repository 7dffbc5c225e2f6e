//! Test builds only: an allocator that has no memory when it is told so.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_long;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

struct Failing;

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// How many calls from now one fails; 0 and less: none.
static FAILS_AT: AtomicI64 = AtomicI64::new(0);
/// Calls since that was set.
static CALLS: AtomicI64 = AtomicI64::new(0);

/// The `nth` of the library's allocations from now fails, once (0: none). Gives how many were made since the last call.
#[unsafe(no_mangle)]
pub extern "C" fn ticketshim_fault_alloc(nth: c_long) -> c_long {
    FAILS_AT.store(nth, SeqCst);
    CALLS.swap(0, SeqCst)
}

fn fails() -> bool {
    CALLS.fetch_add(1, SeqCst);
    FAILS_AT.load(SeqCst) > 0 && FAILS_AT.fetch_sub(1, SeqCst) == 1
}

// SAFETY: the system's allocator, or the answer that there is no memory, which every caller has to take.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise, which is the same for every GlobalAlloc.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise (GlobalAlloc::dealloc); all that `alloc` gave is the system's.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise (GlobalAlloc::realloc); all that `alloc` gave is the system's.
        unsafe { System.realloc(place, layout, size) }
    }
}

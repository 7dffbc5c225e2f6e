//! How a child is told from its parent, on every way there is to make one.
//!
//! Each process of a fork group (a process and all that are forked from it) has a **generation**: a number that differs
//! from those of all its ancestors. It sits in a page that the kernel hands to children zeroed (`MADV_WIPEONFORK`, Linux 4.14), so
//! fork(2), clone(2) and the system calls themselves are seen alike, where a handler of `pthread_atfork` would see the first only. A child of
//! vfork(2) shares its parent's memory, and rightly counts as the same.
//!
//! Where the kernel cannot do that, the process id tells. It costs a system call each time.
//!
//! And one thing must not happen while the memory is copied: fork copies page after page while other threads go on, so
//! what spans pages (a ring) may come to the child half old and half new. So a thread that changes such a thing is
//! [`changing`], and fork(2) waits for it, a moment; nobody waits for fork (`barrier`).

use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::barrier::{Changing, ForkBarrier};
use crate::{memory, sys};

/// The word in the wiped page; null until the first call; [`NO_PAGE`] where the kernel has no such pages.
static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
/// Stands for "no such page": its address is compared, its value is not used.
static NO_PAGE: AtomicU32 = AtomicU32::new(0);
/// The highest number given out on the way here. In ordinary memory: children inherit it.
static LAST: AtomicU32 = AtomicU32::new(0);
/// Without the page: process id (high half) and its generation.
static BY_PID: AtomicU64 = AtomicU64::new(0);

/// This process's generation, never 0.
#[inline]
pub(crate) fn generation() -> u32 {
    let page = PAGE.load(Ordering::Acquire);
    if !page.is_null() && !ptr::eq(page, &NO_PAGE) {
        // SAFETY: neither null nor the mark, so it is the word that `set_up` published; it is never unmapped.
        let current = unsafe { &*page }.load(Ordering::Relaxed);
        if current != 0 {
            return current;
        }
    }
    generation_slowly()
}

/// How long fork(2) waits for a thread that is [`changing`] something, which takes a few milliseconds.
const FORK_WAITS: Duration = Duration::from_millis(100);
static BARRIER: ForkBarrier = ForkBarrier::new();

/// The right to change what a child must see whole, until it is dropped. None while another thread forks: leave it as it is
/// for now.
pub(crate) fn changing(generation: u32) -> Option<Changing<'static>> {
    BARRIER.enter(generation)
}

/// What a child does of its own before it goes on.
static IN_CHILD: OnceLock<fn()> = OnceLock::new();

/// Makes fork(2) wait for threads that are [`changing`] something, and children lock their memory and then do `in_child`, which must be able to run after
/// any fork: no locks that another thread may hold, no allocation. Only the fork(2) of the C library: a bare clone(2) beside
/// threads that are changing keys is not worth more than being noticed afterwards (`Store` does). The first call counts.
pub(crate) fn attend_to_forks(in_child: fn()) {
    if IN_CHILD.set(in_child).is_ok() {
        // If there is no memory for it, forks do not wait.
        // SAFETY: functions that may run before and after any fork: they use atomics and the clock. The C library
        // forgets them when it unloads the library that they are in (`__dso_handle`).
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(in_the_child)) };
    }
}

extern "C" fn before_fork() {
    let generation = generation();
    BARRIER.begin_fork(generation);
    let started = Instant::now();
    while BARRIER.is_being_changed(generation) && started.elapsed() < FORK_WAITS {
        std::thread::yield_now();
    }
}

extern "C" fn after_fork() {
    BARRIER.end_fork(generation());
}

extern "C" fn in_the_child() {
    memory::lock_again(generation());
    if let Some(in_child) = IN_CHILD.get() {
        in_child();
    }
}

#[cold]
fn generation_slowly() -> u32 {
    let page = match NonNull::new(PAGE.load(Ordering::Acquire)) {
        Some(page) => page.as_ptr(),
        None => set_up(),
    };
    if ptr::eq(page, &NO_PAGE) {
        return by_pid();
    }
    // SAFETY: as in `generation`.
    let word = unsafe { &*page };
    let new = next();
    match word.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => new,
        Err(current) => current,
    }
}

fn by_pid() -> u32 {
    // SAFETY: no preconditions.
    let pid = unsafe { libc::getpid() }.unsigned_abs();
    let mut known = BY_PID.load(Ordering::Acquire);
    loop {
        if (known >> 32) as u32 == pid {
            return known as u32;
        }
        let new = u64::from(pid) << 32 | u64::from(next());
        match BY_PID.compare_exchange(known, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return new as u32,
            Err(current) => known = current,
        }
    }
}

/// Wraps after 4 billion generations in one fork group; 0 means "none" and is passed over.
fn next() -> u32 {
    LAST.fetch_add(1, Ordering::AcqRel).wrapping_add(1).max(1)
}

#[cold]
fn set_up() -> *mut AtomicU32 {
    let made = wiped_page().map_or(ptr::from_ref(&NO_PAGE).cast_mut(), |p| p.as_ptr());
    match PAGE.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => made,
        // Another thread was first. The page that was made for nothing stays: it happens once.
        Err(published) => published,
    }
}

fn wiped_page() -> Option<NonNull<AtomicU32>> {
    let len = sys::page_size();
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice.
    let page = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // Emulators (qemu-user among them) have answered "done" to advice they do not know. One that does so to advice that
    // does not exist is not believed.
    // SAFETY: the mapping is ours; advice that does not exist changes nothing.
    let honest = unsafe { libc::madvise(page, len, -1) } != 0;
    // SAFETY: the mapping is ours and holds nothing yet.
    if honest && unsafe { libc::madvise(page, len, libc::MADV_WIPEONFORK) } == 0 {
        // A page is aligned for any atomic, zeroed, and from here on only used as one.
        return NonNull::new(page.cast());
    }
    // SAFETY: ours, and nothing refers to it.
    unsafe { libc::munmap(page, len) };
    None
}

#[cfg(test)]
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "a child after fork does nothing but system calls")]
mod tests {
    use super::*;

    /// Forks by `call` and gives what the child's `generation` says to a pipe.
    fn in_child(call: impl Fn() -> libc::pid_t) -> u32 {
        let mut ends = [0; 2];
        let mut bytes = [0u8; 4];
        // SAFETY: the child only makes system calls and ends; descriptors and buffers are this function's.
        unsafe {
            assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
            let pid = call();
            if pid == 0 {
                let generation = generation().to_ne_bytes();
                libc::write(ends[1], generation.as_ptr().cast(), 4);
                libc::_exit(0);
            }
            assert!(pid > 0);
            libc::close(ends[1]);
            assert_eq!(libc::read(ends[0], bytes.as_mut_ptr().cast(), 4), 4);
            libc::close(ends[0]);
            libc::waitpid(pid, ptr::null_mut(), 0);
        }
        u32::from_ne_bytes(bytes)
    }

    #[test]
    fn children_differ_however_they_are_made() {
        let here = generation();
        assert_eq!(generation(), here);
        // SAFETY: the child does what `in_child` says.
        let forked = in_child(|| unsafe { libc::fork() });
        // SAFETY: as above; clone without flags but the signal is fork, past the C library.
        let cloned = in_child(|| unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } as libc::pid_t);
        assert!(forked != here && cloned != here && forked != 0 && cloned != 0);
        assert_eq!(generation(), here);
    }

    #[test]
    fn the_process_id_tells_too() {
        let here = by_pid();
        assert_eq!(by_pid(), here);
        assert_ne!(here, 0);
    }
}

//! A small number for each thread, so that threads find what is for few of them and do not get in each other's way.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Which of `count` things this thread uses. Threads are spread evenly over them, in the order in which they first ask.
pub(crate) fn share(count: usize) -> usize {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    thread_local! {
        // Constant and without a destructor: nothing to set up, and nothing that would pin the library when it is
        // unloaded. 0 for a thread that has not asked yet.
        static MINE: Cell<u32> = const { Cell::new(0) };
    }
    let mine = MINE.with(|mine| {
        if mine.get() == 0 {
            mine.set(NEXT.fetch_add(1, Relaxed));
        }
        mine.get()
    });
    mine as usize % count
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn threads_are_spread_and_stay_where_they_are() {
        assert_eq!(share(1 << 20), share(1 << 20));
        assert!(share(3) < 3);
        let others: Vec<usize> = (0..8).map(|_| std::thread::spawn(|| share(1 << 20)).join().unwrap()).collect();
        assert!(others.iter().enumerate().all(|(i, other)| !others[..i].contains(other)));
        assert!(!others.contains(&share(1 << 20)));
    }
}

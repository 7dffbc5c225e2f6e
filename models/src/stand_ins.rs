//! What the files of `crates/keys/src` find beside them.

pub(crate) mod fork {
    pub(crate) fn generation() -> u32 {
        1
    }
}

/// No two calls give the same.
pub(crate) mod random {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    pub(crate) fn fill(bytes: &mut [u8]) -> bool {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        bytes.fill(0);
        bytes[..8].copy_from_slice(&NEXT.fetch_add(1, Relaxed).to_be_bytes());
        true
    }
}

pub(crate) mod sys {
    pub(crate) fn as_a_guest<T>(call: impl FnOnce() -> T) -> T {
        call()
    }
}

/// Room for one small value, and what tells loom who reads and writes it.
pub(crate) mod memory {
    use std::ptr::NonNull;

    use loom::cell::UnsafeCell;

    #[repr(C)]
    struct Room {
        value: [u64; 2],
        access: UnsafeCell<()>,
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Region(NonNull<Room>);

    impl Region {
        pub(crate) fn for_a<T>() -> Option<Self> {
            assert!(size_of::<T>() <= size_of::<[u64; 2]>());
            let room = Box::new(Room { value: [0; 2], access: UnsafeCell::new(()) });
            NonNull::new(Box::into_raw(room)).map(Self)
        }

        pub(crate) fn of<T>(start: NonNull<T>) -> Self {
            Self(start.cast())
        }

        pub(crate) fn start<T>(&self) -> NonNull<T> {
            self.0.cast()
        }

        /// # Safety
        /// As of the one that it stands for; loom says if it is not so.
        pub(crate) unsafe fn erase(&self) {
            self.writes();
            // SAFETY: the caller's promise.
            unsafe { self.0.cast::<[u64; 2]>().write([0; 2]) };
        }

        /// # Safety
        /// As above.
        pub(crate) unsafe fn release(self) {
            // SAFETY: made by `for_a`; the caller's promise.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }

        /// This thread writes what is in it now.
        pub(crate) fn writes(&self) {
            // SAFETY: a room lives until it is released.
            unsafe { self.0.as_ref() }.access.with_mut(|_| ());
        }

        /// This thread reads it.
        pub(crate) fn reads(&self) {
            // SAFETY: as above.
            unsafe { self.0.as_ref() }.access.with(|_| ());
        }
    }
}

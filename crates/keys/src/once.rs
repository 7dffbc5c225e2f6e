//! A pointer to what is made once in a process and stays.

use std::ptr;

use crate::sync::{AtomicPtr, Ordering, constant};

/// See the module.
pub struct OncePtr<T>(AtomicPtr<T>);

impl<T> OncePtr<T> {
    constant! {
        /// Nothing yet.
        #[allow(clippy::new_without_default, reason = "a Default is not const")]
        pub fn new() -> Self {
            Self(AtomicPtr::new(ptr::null_mut()))
        }
    }

    /// What `make` gave the first time that it was not null; who asks after a failure tries again.
    pub fn get(&self, make: impl FnOnce() -> *mut T) -> *const T {
        let known = self.0.load(Ordering::Acquire);
        if !known.is_null() {
            return known;
        }
        let made = make();
        match self.0.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            // Another thread was faster: its own is as good, and ours stays unused.
            Err(other) => other,
        }
    }
}

//! What lock-free code is made of: the atomics of the standard library. `models` compiles that code as it is with loom's
//! (`cfg(loom)`), which tries the orders in which threads may see one another's writes, on arm64 too.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::thread::yield_now;
#[cfg(not(loom))]
pub(crate) use std::thread::yield_now;

/// A constructor, which is `const` but for loom's.
macro_rules! constant {
    ($(#[$attribute:meta])* $visibility:vis fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$attribute])* $visibility const fn $($rest)*
        #[cfg(loom)]
        $(#[$attribute])* $visibility fn $($rest)*
    };
}
/// An array of so many new ones.
macro_rules! each {
    ($count:expr, $new:expr) => {{
        #[cfg(not(loom))]
        let all = [const { $new }; $count];
        #[cfg(loom)]
        let all: [_; $count] = std::array::from_fn(|_| $new);
        all
    }};
}
pub(crate) use {constant, each};

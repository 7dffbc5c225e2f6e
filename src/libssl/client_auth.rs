//! Whether any server in this process asks its clients for certificates: only then do policies have to be looked at.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// A server asks its clients for certificates. From now on policies are looked at and remembered.
pub(super) fn note_request() {
    // Only stored once, so that servers that ask on each connection do not share a dirty line.
    if !is_requested() {
        REQUESTED.store(true, Ordering::Relaxed);
    }
}

/// Whether there may be policies in this process that differ in whom they let in.
#[inline]
pub(super) fn is_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

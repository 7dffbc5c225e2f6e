//! What happened, in numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Counter {
    /// Contexts that the core is attached to (a gauge).
    Attached,
    /// Contexts that bring their own ticket keys (a gauge).
    Detached,
    /// Tickets sealed.
    Sealed,
    /// Tickets opened.
    Opened,
    /// Tickets opened for which a new one was due.
    Renewed,
    /// Tickets under a key that was never known here.
    RefusedUnknownKey,
    /// Tickets under a key that has left the accept window.
    RefusedExpired,
    /// Tickets that were altered, or made up.
    RefusedBadMac,
    /// Tickets that were sealed for another place.
    RefusedBinding,
    /// Tickets whose last full handshake is too long ago.
    RefusedTooOld,
    /// Tickets too short to be one.
    RefusedMalformed,
    /// Tickets offered where libssl would end the handshake: client certificates without a session id context.
    RefusedNoSidCtx,
    /// Troubles of our own that became a full handshake.
    Failures,
    /// Times that keys were rotated.
    Epochs,
    /// Times that a replaced state file was taken up.
    Reloads,
    /// Times that a state file was refused.
    StateRefusals,
}

/// How many there are.
pub const COUNT: usize = Counter::StateRefusals as usize + 1;

/// One word each, in the order of [`Counter`].
#[repr(C)]
struct Counters([AtomicU64; COUNT]);

static HERE: Counters = Counters([const { AtomicU64::new(0) }; COUNT]);

/// Adds one.
pub fn add(counter: Counter) {
    HERE.0[counter as usize].fetch_add(1, Relaxed);
}

/// Takes one away from a gauge.
pub fn sub(counter: Counter) {
    HERE.0[counter as usize].fetch_sub(1, Relaxed);
}

/// All of them, in the order of [`Counter`].
pub fn snapshot() -> [u64; COUNT] {
    std::array::from_fn(|i| HERE.0[i].load(Relaxed))
}

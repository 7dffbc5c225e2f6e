//! What happened, in numbers: of this process, and, if the operator names a file (`TICKETSHIM_STATS`), of all processes
//! that were forked from the same start, published there (`file` has the format, `family` the way there).

mod family;
pub mod file;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub(crate) use family::{Report, report};

use crate::thread::share;

/// What is counted. New ones come at the end: the order is that of the stats file, which processes of several releases may
/// share.
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
    /// Of the detached contexts, those with a callback from `SSL_CTX_set_tlsext_ticket_key_evp_cb` (a gauge, as the
    /// two below; a context can be in several).
    DetachedEvpCallback,
    /// Those with a callback from `SSL_CTX_callback_ctrl` (`SSL_CTX_set_tlsext_ticket_key_cb`).
    DetachedCallbackCtrl,
    /// Those whose raw keys were read or written by `SSL_CTX_ctrl`.
    DetachedRawKeys,
    /// Tickets for a server name whose client certificate policy is not known yet: the first connections after a start.
    RefusedPolicy,
    /// Handshakes that were ended, because a ticket had opened that turned out to be for another policy.
    Ended,
}

/// How many there are.
pub const COUNT: usize = Counter::Ended as usize + 1;
/// Those that can go down: what is just now, in a process.
pub const GAUGES: [Counter; 5] = [
    Counter::Attached,
    Counter::Detached,
    Counter::DetachedEvpCallback,
    Counter::DetachedCallbackCtrl,
    Counter::DetachedRawKeys,
];
/// Those that count tickets that were not accepted, each for its reason.
pub const REFUSALS: [Counter; 8] = [
    Counter::RefusedUnknownKey,
    Counter::RefusedExpired,
    Counter::RefusedBadMac,
    Counter::RefusedBinding,
    Counter::RefusedTooOld,
    Counter::RefusedMalformed,
    Counter::RefusedNoSidCtx,
    Counter::RefusedPolicy,
];

impl Counter {
    /// Whether it can go down.
    pub fn is_gauge(self) -> bool {
        GAUGES.contains(&self)
    }

    fn is_refusal(self) -> bool {
        REFUSALS.contains(&self)
    }
}

/// One word each, in the order of [`Counter`]. Alone in their lines of the cache.
#[repr(C, align(128))]
struct Counters([AtomicU64; COUNT]);

/// Threads are spread over them, so that they do not wait for one another. Only the sum means something: of a gauge, one
/// may have been added to here and taken away from there. In one page, which fork copies at once.
#[repr(align(4096))]
struct Spread([Counters; 8]);

static HERE: Spread = Spread([const { Counters([const { AtomicU64::new(0) }; COUNT]) }; 8]);

fn mine(counter: Counter) -> &'static AtomicU64 {
    &HERE.0[share(HERE.0.len())].0[counter as usize]
}

/// Adds one.
pub fn add(counter: Counter) {
    if counter.is_gauge() {
        mine(counter).fetch_add(1, Relaxed);
        family::gauge_changed();
    } else {
        add_all(&[counter]);
    }
}

/// Adds one to each, none of them a gauge. What belongs together costs one publication.
pub fn add_all(counters: &[Counter]) {
    debug_assert!(!counters.iter().any(|counter| counter.is_gauge()));
    for counter in counters {
        mine(*counter).fetch_add(1, Relaxed);
    }
    family::add_all(counters);
}

/// Takes one away from a gauge.
pub fn sub(counter: Counter) {
    mine(counter).fetch_sub(1, Relaxed);
    family::gauge_changed();
}

/// All of this process, in the order of [`Counter`].
pub fn snapshot() -> [u64; COUNT] {
    std::array::from_fn(value)
}

fn value(counter: usize) -> u64 {
    let sum = HERE.0.iter().fold(0u64, |sum, here| sum.wrapping_add(here.0[counter].load(Relaxed)));
    // A gauge that changes under way may have been read where it was taken away and not where it was added.
    sum.cast_signed().max(0).cast_unsigned()
}

/// Called when the library is loaded: publishes in the file at `path`, if it is there. Silent.
pub(crate) fn publish_if_there(path: &Path) {
    family::publish_in(path, false);
}

/// Called in a child of fork(2): it is one of those who publish, whether it ever counts something or not.
/// Async-signal-safe.
pub(crate) fn attend_in_child() {
    family::join();
}

/// Called when a context is made: publishes in the file at `path`, which is made if it is missing.
pub(crate) fn publish(path: &Path) {
    family::publish_in(path, true);
}

#[cfg(test)]
mod tests;

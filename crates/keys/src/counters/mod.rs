//! What happened, in numbers: of this process, and, if the operator names a file (`TICKETSHIM_STATS`), of all processes
//! that were forked from the same start, published there (`table` has the list, `file` the format, `fork_group` the way there).

pub mod file;
mod fork_group;
mod newest;
mod table;
mod tagged;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub(crate) use fork_group::{Report, note_keys, report};
pub use table::{ALL, COUNT, Counter, GAUGES, INFO, Info, Kind, REFUSALS};

use crate::thread::share;

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
        fork_group::gauge_changed();
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
    fork_group::add_all(counters);
}

/// Takes one away from a gauge.
pub fn sub(counter: Counter) {
    mine(counter).fetch_sub(1, Relaxed);
    fork_group::gauge_changed();
}

/// All of this process, in the order of [`Counter`].
pub fn snapshot() -> [u64; COUNT] {
    ALL.map(value)
}

fn value(counter: Counter) -> u64 {
    let sum = HERE.0.iter().fold(0u64, |sum, here| sum.wrapping_add(here.0[counter as usize].load(Relaxed)));
    // A gauge that changes under way may have been read where it was taken away and not where it was added.
    sum.cast_signed().max(0).cast_unsigned()
}

/// Called when the library is loaded: publishes in the file at `path`, if it is there. Silent.
pub(crate) fn publish_if_there(path: &Path) {
    fork_group::publish_in(path, false);
}

/// Called in a child of fork(2): it is one of those who publish, whether it ever counts something or not.
/// Async-signal-safe.
pub(crate) fn attend_in_child() {
    fork_group::join();
}

/// Called when a context is made: publishes in the file at `path`, which is made if it is missing.
pub(crate) fn publish(path: &Path) {
    fork_group::publish_in(path, true);
}

#[cfg(test)]
mod tests;

//! What is not OpenSSL's: `ticketshim_*`.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use ticketshim_keys::counters::{self, INFO};

use super::{is_null, version};
use crate::libssl::errors::raise;
use crate::libssl::guard::{Api, guard};
use crate::libssl::mechanism::Reason;

/// What C programs have as `struct ticketshim_stats`: a row of these counters. The header's text of it comes from the table
/// of counters (`tests/header.rs`).
///
/// cbindgen:ignore
#[repr(C)]
pub struct ticketshim_stats([u64; MEMBERS]);

/// How many counters C programs get.
const MEMBERS: usize = {
    let (mut count, mut at) = (0, 0);
    while at < INFO.len() {
        count += INFO[at].in_c as usize;
        at += 1;
    }
    count
};

version!("ticketshim_version", "TICKETSHIM_0");
/// The library's version, as "0.1.0". Belongs to the library. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn ticketshim_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

version!("ticketshim_get_stats", "TICKETSHIM_0");
/// Writes this process's counters to *stats. size is sizeof(struct ticketshim_stats) as the caller knows it: a caller
/// of an older header gets the members it has; members that this library does not have are 0.
///
/// Returns 1, or 0 with an entry on the error queue if stats is NULL or size is not a multiple of 8.
///
/// # Safety
/// stats is NULL or has size writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ticketshim_get_stats(stats: *mut ticketshim_stats, size: usize) -> c_int {
    guard(Api::Failed, || {
        const FUNCTION: &str = "ticketshim_get_stats";
        if is_null(stats, FUNCTION, "stats") {
            return Api::Failed;
        }
        if !size.is_multiple_of(size_of::<u64>()) {
            raise(Reason::PassedInvalid, format_args!("{FUNCTION}: size is not sizeof(struct ticketshim_stats)"));
            return Api::Failed;
        }
        let mut known = [0; MEMBERS];
        let now = counters::snapshot();
        // By reference: the table is not copied to the stack.
        let members = now.iter().zip(&INFO).filter(|(_, info)| info.in_c);
        for (place, (value, _)) in known.iter_mut().zip(members) {
            *place = *value;
        }
        // SAFETY: the caller's promise: `size` writable bytes.
        unsafe { ptr::write_bytes(stats.cast::<c_void>().cast::<u8>(), 0, size) };
        let count = known.len().min(size / size_of::<u64>());
        // SAFETY: no more than the `size` writable bytes that the caller promises; the structure is a row of u64.
        unsafe { ptr::copy_nonoverlapping(known.as_ptr(), stats.cast::<u64>(), count) };
        Api::Done
    })
    .into()
}

//! What is not OpenSSL's: `ticketshim_*`.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use ticketshim_keys::counters::{self, Counter};

use super::{is_null, version};
use crate::libssl::errors::raise;
use crate::libssl::guard::{Api, guard};
use crate::libssl::mechanism::Reason;

/// Counters of this process, since it was started (a forked child goes on from its parent's). The first two are
/// gauges: how many SSL_CTX are so just now. Later versions may add members at the end: ticketshim_get_stats() fills
/// what the caller's structure has.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ticketshim_stats {
    /// SSL_CTX whose tickets the core seals.
    pub attached: u64,
    /// SSL_CTX whose application brings ticket keys of its own.
    pub detached: u64,
    /// Tickets sealed.
    pub sealed: u64,
    /// Tickets opened.
    pub opened: u64,
    /// Of those: with a new ticket due (TLS 1.3: all; TLS 1.2: those under an older key).
    pub renewed: u64,
    /// Refused: the key was never known here (another server's ticket, or libssl's own).
    pub refused_unknown_key: u64,
    /// Refused: the key has left the accept window.
    pub refused_expired: u64,
    /// Refused: the key is known and the MAC is wrong, or the ticket too short for one.
    pub refused_bad_mac: u64,
    /// Refused: sealed here, for another server name, context or protocol version.
    pub refused_binding: u64,
    /// Refused: the last full handshake is too long ago.
    pub refused_too_old: u64,
    /// Refused: authentic and yet no ticket.
    pub refused_malformed: u64,
    /// Refused: libssl would end the handshake, because the server asks for client certificates and has no session id
    /// context (SSL_CTX_set_session_id_context).
    pub refused_no_sid_ctx: u64,
    /// Troubles of the library's own (no memory, no randomness, a bug), each of which became a full handshake or a
    /// connection without a ticket.
    pub failures: u64,
    /// Refused: which client certificates this server name demands is not known yet (the first connection to a name, if
    /// the server has several SSL_CTX and asks for client certificates somewhere).
    pub refused_policy: u64,
    /// Handshakes that were ended: a ticket had opened, and then the server's callbacks demanded other client
    /// certificates of that name than before.
    pub ended: u64,
}

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
        let all = counters::snapshot();
        let known = MEMBERS.map(|counter| all[counter as usize]);
        // SAFETY: the caller's promise: `size` writable bytes.
        unsafe { ptr::write_bytes(stats.cast::<c_void>().cast::<u8>(), 0, size) };
        let count = known.len().min(size / size_of::<u64>());
        // SAFETY: as above, and no more than `size` bytes; the structure is a row of u64 in the order of MEMBERS, which
        // `members_are_named_after_their_counters` holds it to.
        unsafe { ptr::copy_nonoverlapping(known.as_ptr(), stats.cast::<u64>(), count) };
        Api::Done
    })
    .into()
}

/// What the members of [`ticketshim_stats`] count, in their order.
const MEMBERS: [Counter; size_of::<ticketshim_stats>() / size_of::<u64>()] = [
    Counter::Attached,
    Counter::Detached,
    Counter::Sealed,
    Counter::Opened,
    Counter::Renewed,
    Counter::RefusedUnknownKey,
    Counter::RefusedExpired,
    Counter::RefusedBadMac,
    Counter::RefusedBinding,
    Counter::RefusedTooOld,
    Counter::RefusedMalformed,
    Counter::RefusedNoSidCtx,
    Counter::Failures,
    Counter::RefusedPolicy,
    Counter::Ended,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn members_are_named_after_their_counters() {
        macro_rules! offsets {
            ($($member:ident)*) => { [$((stringify!($member), offset_of!(ticketshim_stats, $member))),*] };
        }
        let members = offsets![attached detached sealed opened renewed refused_unknown_key refused_expired
            refused_bad_mac refused_binding refused_too_old refused_malformed refused_no_sid_ctx failures
            refused_policy ended];
        assert_eq!(members.len(), MEMBERS.len(), "a member is missing in this test");
        for (i, ((name, offset), counter)) in members.into_iter().zip(MEMBERS).enumerate() {
            assert_eq!(offset, i * size_of::<u64>(), "{name} is not where MEMBERS has {counter:?}");
            assert_eq!(name.replace('_', ""), format!("{counter:?}").to_lowercase());
        }
    }
}

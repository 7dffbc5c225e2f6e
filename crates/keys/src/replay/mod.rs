//! Which tickets' early data was accepted lately, so that none is accepted twice (RFC 8446 section 8: what is recorded can
//! be replayed).
//!
//! libssl accepts early data of a recorded ClientHello for about 11 seconds: its ticket age is in it. So it is
//! enough to remember a ticket that long. The processes of a fork group share what they remember: a table in shared
//! memory, reserved before the first of them is forked. It has room for a fixed number of tickets and answers "seen" when
//! that is not enough. A ticket is known in it by some bits of a hash under a secret of this fork group: no client can
//! choose tickets that fall together.
//!
//! A process that was taken over can write anything there. What it adds makes others decline early data; by what it
//! erases they accept a replay that it could have accepted itself.

mod table;

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use sha2::{Digest, Sha256};
use ticketshim_core::format::Salt;

use crate::once::OncePtr;
use crate::{clock, random, sys};
use table::{Table, Ticket};

/// Tickets that share a place, and places: room for half a million tickets in 4 MiB.
const WAYS: usize = 16;
const BUCKETS: usize = 32_768;

struct Reserved {
    table: &'static Table<WAYS, BUCKETS>,
    secret: [u8; 16],
}

static RESERVED: OncePtr<Reserved> = OncePtr::new();
/// It could not be reserved. Not tried again: what a worker then reserved would be its own, and another's the others'.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Reserves the memory, once; those that are forked later share it. False if there is none, or no randomness.
pub fn reserve() -> bool {
    reserved(|| {
        let made = if FAILED.load(Relaxed) { None } else { sys::as_a_guest(make) };
        made.map_or_else(
            || {
                FAILED.store(true, Relaxed);
                ptr::null_mut()
            },
            NonNull::as_ptr,
        )
    })
    .is_some()
}

fn reserved(make: impl FnOnce() -> *mut Reserved) -> Option<&'static Reserved> {
    let reserved = RESERVED.get(make);
    // SAFETY: null, or a page that `make` filled, which is never unmapped or changed.
    unsafe { reserved.as_ref() }
}

fn make() -> Option<NonNull<Reserved>> {
    let mut secret = [0; 16];
    if !random::fill(&mut secret) {
        return None;
    }
    let own = sys::private_page::<Reserved>()?;
    let [table] = sys::shared_pages(1)? else { return None };
    // SAFETY: a page of ours with room for it, which nobody else knows of yet.
    unsafe { own.write(Reserved { table, secret }) };
    Some(own)
}

/// Whether early data with the ticket of this salt may be accepted: it has not been lately, in this fork group. From now
/// on it has. `opened`: when the ticket was opened, as [`clock::now`] said.
///
/// False also if that cannot be known: the table is full, the clock was set back, or the handshake took long.
pub fn is_first_use(salt: &Salt, opened: u64) -> bool {
    let Some(reserved) = reserved(ptr::null_mut) else { return false };
    let hash: [u8; 32] = Sha256::new().chain_update(reserved.secret).chain_update(salt.0).finalize().into();
    let ([place, tag, ..], _) = hash.as_chunks::<8>() else { return false };
    let ticket = Ticket { place: u64::from_ne_bytes(*place), tag: u64::from_ne_bytes(*tag) };
    reserved.table.is_first(ticket, opened, clock::now)
}

#[cfg(test)]
mod tests {
    use super::table::DELAY;
    use super::*;

    #[test]
    fn each_ticket_once() {
        let (first, second) = (Salt([1; 16]), Salt([2; 16]));
        let now = clock::now();
        assert!(reserve());
        assert!(is_first_use(&first, now) && !is_first_use(&first, now));
        assert!(is_first_use(&second, now) && !is_first_use(&second, now) && !is_first_use(&first, now));
        // Opened too long ago, or tomorrow.
        assert!(!is_first_use(&Salt([3; 16]), now - DELAY - 2) && !is_first_use(&Salt([4; 16]), now + 86_400));
    }

    #[test]
    fn children_see_what_their_parent_saw_and_the_other_way_round() {
        let [ours, theirs, new] = [5, 6, 7].map(|byte| Salt([byte; 16]));
        let now = clock::now();
        assert!(reserve() && is_first_use(&ours, now));
        // SAFETY: the child reads a clock, uses the table, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let right = !is_first_use(&ours, now) && is_first_use(&theirs, now);
            // SAFETY: ends this process, and nothing of it is run any more.
            unsafe { libc::_exit(i32::from(!right)) };
        }
        let mut status = 0;
        // SAFETY: a child of this function's, and room for its status.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
        assert!(!is_first_use(&theirs, now) && is_first_use(&new, now));
    }
}

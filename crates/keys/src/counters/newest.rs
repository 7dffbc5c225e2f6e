//! Numbers that several processes raise and each copies to where all see them: the last copy is of the newest.

use std::io;

use crate::sync::{AtomicU64, Ordering, fence};

/// Has `write` copy the newest, after a change that was counted in `changes`. `changed_beside`: a change that was not.
///
/// Another process may do the same at the same time, with older numbers, and be the last to write. So whoever writes
/// looks again whether those were the newest; 16 times, then others are at it anyway. The fences are for that: of two
/// that change, write and look, one sees the other's change, or the other writes later. (The kernel is what writes, and
/// no promise of an order is known of it.)
pub(super) fn write_newest(
    changes: &AtomicU64,
    mut write: impl FnMut() -> io::Result<()>,
    changed_beside: impl Fn() -> bool,
) -> io::Result<()> {
    for _ in 0..16 {
        fence(Ordering::SeqCst);
        let seen = changes.load(Ordering::SeqCst);
        write()?;
        fence(Ordering::SeqCst);
        if changes.load(Ordering::SeqCst) == seen && !changed_beside() {
            break;
        }
    }
    Ok(())
}

//! Our part of an object of libssl's or libcrypto's: a pointer in the object's ex_data.
//!
//! An index into ex_data belongs to a library context, and each library context counts from the same number. So in a program
//! whose threads have different default library contexts (OSSL_LIB_CTX_set0_default(3)) there may be data of the
//! program's own where ours would be. What is there cannot be looked at to find out; so we have two places, and what
//! is in the second vouches for the first.

use std::ffi::{c_int, c_void};
use std::ptr;

use super::ffi::{self, ExDup, ExFree, ExNew};

/// Our two places in the ex_data of a class of objects.
#[derive(Clone, Copy)]
pub(super) struct Places {
    part: c_int,
    voucher: c_int,
}

impl Places {
    /// `new` is called for each object that is made from now on under the default library context of now, `dup` for each
    /// that is duplicated, once for each place; `free` for each that dies. None if there is no memory.
    pub(super) fn reserve(class: c_int, new: Option<ExNew>, dup: Option<ExDup>, free: ExFree) -> Option<Self> {
        let index = |new, free| {
            // SAFETY: functions of the right types.
            let index = unsafe { ffi::CRYPTO_get_ex_new_index(class, 0, ptr::null_mut(), new, dup, free) };
            (index >= 0).then_some(index)
        };
        // The second is there before anybody is told of an object.
        let voucher = index(None, None)?;
        Some(Self { part: index(new, Some(free))?, voucher })
    }

    /// What [`Places::set`] put there; `None` if it never did, or others have put something there since. `read` gives
    /// what the object has at an index.
    pub(super) fn get<T>(self, read: impl Fn(c_int) -> *mut c_void) -> Option<*mut T> {
        let part = read(self.part);
        (read(self.voucher) == voucher(part)).then_some(part.cast())
    }

    /// False if there is no memory: then nothing is there. `write` puts something at an index of the object, and gives 1
    /// if that was done.
    pub(super) fn set<T>(self, part: *mut T, write: impl Fn(c_int, *mut c_void) -> c_int) -> bool {
        let part = part.cast();
        // If only the first is done, the old voucher does not fit.
        write(self.part, part) == 1 && write(self.voucher, voucher(part)) == 1
    }

    /// Whether nobody has put anything there.
    pub(super) fn are_free(self, read: impl Fn(c_int) -> *mut c_void) -> bool {
        read(self.part).is_null() && read(self.voucher).is_null()
    }
}

/// What no other program would have in the place beside `part`, also if that is null.
fn voucher(part: *mut c_void) -> *mut c_void {
    static OURS: u8 = 0;
    ptr::without_provenance_mut(part.addr() ^ ptr::from_ref(&OURS).addr())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_is_not_ours_is_not_taken_for_it() {
        let places = Places { part: 1, voucher: 2 };
        let data = RefCell::new([ptr::null_mut::<c_void>(); 3]);
        let read = |index: c_int| data.borrow()[index as usize];
        let write = |index: c_int, value| {
            data.borrow_mut()[index as usize] = value;
            1
        };
        let mut ours = 7u8;
        let mut theirs = 8u8;
        assert!(places.get::<u8>(read).is_none() && places.are_free(read));
        assert!(places.set(ptr::null_mut::<u8>(), write));
        assert!(places.get::<u8>(read) == Some(ptr::null_mut()) && !places.are_free(read));
        assert!(places.set(&raw mut ours, write));
        assert!(places.get(read) == Some(&raw mut ours));
        // Others write to one of the places, or to both.
        write(1, (&raw mut theirs).cast());
        assert!(places.get::<u8>(read).is_none());
        write(2, (&raw mut theirs).cast());
        assert!(places.get::<u8>(read).is_none() && !places.are_free(read));
        assert!(places.set(&raw mut ours, write) && !places.set(&raw mut ours, |_, _| 0));
        // No memory for the second.
        assert!(!places.set(&raw mut theirs, |index, value| if index == 1 { write(index, value) } else { 0 }));
        assert!(places.get::<u8>(read).is_none());
    }
}

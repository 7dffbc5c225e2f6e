//! Our part of an object of libssl's or libcrypto's: found by one index into the object's ex_data.
//!
//! One, because each index that we reserve makes the numbers of the program's own higher; and what is there is not
//! relied on. An index belongs to a library context, and each library context counts from the same number: so in a
//! program whose threads have different default library contexts (OSSL_LIB_CTX_set0_default(3)) there may be data of the
//! program's own where ours would be. And there are programs that use low indexes without having reserved them. So our parts are
//! in a table of ours ([`Anchors`]) together with the object that each belongs to. What is in the ex_data only says where
//! in the table, and it is the index's callbacks that tell us of an object's end.

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use super::anchors::Anchors;
use super::ffi::{self, ExDup, ExFree, ExNew};

/// A class of objects that have parts of ours.
pub(super) struct Class {
    index: OnceLock<Option<c_int>>,
    parts: Anchors,
    /// Whether all objects that have parts of ours are known to tell us of their end.
    all_end: bool,
}

// What is in the ex_data of an object instead of an address in the table: addresses of these.
static MARKS: [u8; 2] = [0; 2];

#[derive(Clone, Copy)]
enum Mark {
    /// There is no part yet, and its end will be told.
    Told,
    /// There is no part any more.
    Gone,
}

fn mark(mark: Mark) -> *mut c_void {
    ptr::from_ref(&MARKS[mark as usize]).cast_mut().cast()
}

impl Class {
    /// `all_end`: parts are given only to objects that [`Class::will_end`] says so of.
    pub(super) const fn new(all_end: bool) -> Self {
        Self { index: OnceLock::new(), parts: Anchors::new(), all_end }
    }

    /// Reserves the index, once. `new` is called for each object that is made from now on under the default library
    /// context of now, `dup` for each that is duplicated, `free` for each that dies. False if there is no memory.
    pub(super) fn reserve(&self, class: c_int, new: Option<ExNew>, dup: Option<ExDup>, free: ExFree) -> bool {
        let reserve = || {
            // SAFETY: functions of the right types.
            let index = unsafe { ffi::CRYPTO_get_ex_new_index(class, 0, ptr::null_mut(), new, dup, Some(free)) };
            (index >= 0).then_some(index)
        };
        self.index.get_or_init(reserve).is_some()
    }

    pub(super) fn is_reserved(&self) -> bool {
        self.index().is_some()
    }

    fn index(&self) -> Option<c_int> {
        *self.index.get()?
    }

    /// The part of an object; `read` gives what the object has at an index.
    pub(super) fn get<T>(&self, object: *const c_void, read: impl Fn(c_int) -> *mut c_void) -> Option<NonNull<T>> {
        let object = object.cast_mut();
        let at = read(self.index()?);
        let part = match self.parts.get(at, object) {
            Some(part) => part,
            None => self.parts.get(self.overwritten(at, object)?, object)?,
        };
        NonNull::new(part.cast())
    }

    /// Where the part of an object is that has something else of others' where we said so.
    fn overwritten(&self, at: *mut c_void, object: *mut c_void) -> Option<*mut c_void> {
        (self.all_end && at != mark(Mark::Told) && at != mark(Mark::Gone)).then(|| self.parts.find(object))?
    }

    /// Gives an object its part. False if there is no memory: then it has none. `write` puts something at an index of the
    /// object, and gives 1 if that was done.
    pub(super) fn set<T>(
        &self,
        object: *mut c_void,
        part: *mut T,
        write: impl Fn(c_int, *mut c_void) -> c_int,
    ) -> bool {
        let Some(index) = self.index() else { return false };
        let Some(at) = self.parts.put(object, part.cast()) else { return false };
        let done = write(index, at) == 1;
        if !done {
            self.parts.take(at, object);
        }
        done
    }

    /// Takes an object's part away from it, for good: whoever asks for it from now on finds none, and none is given to
    /// it again.
    pub(super) fn take<T>(
        &self,
        object: *mut c_void,
        read: impl Fn(c_int) -> *mut c_void,
        write: impl Fn(c_int, *mut c_void) -> c_int,
    ) -> Option<NonNull<T>> {
        let index = self.index()?;
        let at = read(index);
        let taken = self.parts.take(at, object);
        if taken.is_some() || at == mark(Mark::Told) {
            // There is something, so there is room.
            write(index, mark(Mark::Gone));
        }
        let taken = match taken {
            Some(part) => part,
            // What others have put there stays theirs.
            None => self.parts.take(self.overwritten(at, object)?, object)?,
        };
        NonNull::new(taken.cast())
    }

    /// Notes on a new object that its end will be told.
    pub(super) fn tell(&self, write: impl Fn(c_int, *mut c_void) -> c_int) {
        if let Some(index) = self.index() {
            write(index, mark(Mark::Told));
        }
    }

    /// Whether that was noted.
    pub(super) fn will_end(&self, read: impl Fn(c_int) -> *mut c_void) -> bool {
        self.index().is_some_and(|index| read(index) == mark(Mark::Told))
    }

    /// Whether nobody, also not we, has put anything there.
    pub(super) fn is_free(&self, read: impl Fn(c_int) -> *mut c_void) -> bool {
        self.index().is_some_and(|index| read(index).is_null())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn class(all_end: bool) -> Class {
        Class { index: OnceLock::from(Some(1)), ..Class::new(all_end) }
    }

    #[test]
    fn what_is_not_ours_is_not_taken_for_it() {
        let class = class(true);
        let data = Cell::new(ptr::null_mut::<c_void>());
        let read = |_: c_int| data.get();
        let write = |_: c_int, value| {
            data.set(value);
            1
        };
        let (mut object, mut ours, mut theirs) = (1u8, 7u8, 8u8);
        let object = (&raw mut object).cast::<c_void>();
        assert!(class.get::<u8>(object, read).is_none() && class.is_free(read) && !class.will_end(read));
        class.tell(write);
        assert!(class.get::<u8>(object, read).is_none() && !class.is_free(read) && class.will_end(read));
        assert!(class.set(object, &raw mut ours, write));
        assert_eq!(class.get(object, read), NonNull::new(&raw mut ours));
        // The same address in another object's ex_data.
        assert!(class.get::<u8>((&raw mut theirs).cast(), read).is_none());
        // Others write there, or take away what we have written: the part is found, and what is theirs stays.
        for other in [(&raw mut theirs).cast(), ptr::null_mut(), ptr::without_provenance_mut(3)] {
            write(1, other);
            assert_eq!(class.get(object, read), NonNull::new(&raw mut ours));
        }
        write(1, (&raw mut theirs).cast());
        assert_eq!(class.take(object, read, write), NonNull::new(&raw mut ours));
        assert_eq!(data.get(), (&raw mut theirs).cast());
        assert!(class.get::<u8>(object, read).is_none() && class.take::<u8>(object, read, write).is_none());
    }

    #[test]
    fn a_part_that_was_taken_is_gone_for_good() {
        for all_end in [true, false] {
            let class = class(all_end);
            let data = Cell::new(ptr::null_mut::<c_void>());
            let read = |_: c_int| data.get();
            let write = |_: c_int, value| {
                data.set(value);
                1
            };
            let (mut object, mut ours) = (1u8, 7u8);
            let object = (&raw mut object).cast::<c_void>();
            assert!(class.set(object, &raw mut ours, write));
            assert_eq!(class.take(object, read, write), NonNull::new(&raw mut ours));
            assert!(class.get::<u8>(object, read).is_none() && class.take::<u8>(object, read, write).is_none());
            assert!(!class.is_free(read) && !class.will_end(read));
        }
    }

    #[test]
    fn without_memory_there_is_no_part() {
        let class = class(true);
        let (mut object, mut ours) = (1u8, 7u8);
        let object = (&raw mut object).cast::<c_void>();
        assert!(!class.set(object, &raw mut ours, |_, _| 0));
        assert!(class.get::<u8>(object, |_| ptr::null_mut()).is_none());
    }

    #[test]
    fn where_not_all_end_only_what_is_there_counts() {
        let class = class(false);
        let data = Cell::new(ptr::null_mut::<c_void>());
        let read = |_: c_int| data.get();
        let write = |_: c_int, value| {
            data.set(value);
            1
        };
        let (mut object, mut ours) = (1u8, 7u8);
        let object = (&raw mut object).cast::<c_void>();
        assert!(class.set(object, &raw mut ours, write));
        assert_eq!(class.get(object, read), NonNull::new(&raw mut ours));
        // Another object where one was whose end nobody told.
        data.set(ptr::null_mut());
        assert!(class.get::<u8>(object, read).is_none());
    }
}

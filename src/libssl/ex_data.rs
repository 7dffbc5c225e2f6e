//! Our part of an object of libssl's or libcrypto's: found by one index into the object's ex_data.
//!
//! One, because each index that we reserve makes the numbers of the program's own higher; and what is there is not
//! relied on. An index belongs to a library context, and each library context counts from the same number: so in a
//! program whose threads have different default library contexts (OSSL_LIB_CTX_set0_default(3)) there may be data of the
//! program's own where ours would be. And there are programs that use low indexes without having reserved them. So our parts are
//! in a table of ours ([`Anchors`]) together with the object that each belongs to. What is in the ex_data only says where
//! in the table, and it is the index's callbacks that tell us of an object's end.

use std::ffi::{c_int, c_long, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use openssl_sys::CRYPTO_EX_DATA;

use super::anchors::Anchors;
use super::ffi::{self, ExDup, ExNew};
use super::guard::guard;
use super::memory::try_box;

/// What we keep with each object of a class.
pub(super) trait Part: Sized + 'static {
    /// `CRYPTO_EX_INDEX_…`: what objects have it.
    const KIND: c_int;
    /// Whether parts are given only to objects that are known to tell us of their end ([`Class::will_end`]).
    const ALL_END: bool;

    fn class() -> &'static Class<Self>;

    /// The part that an object has from the start, if any. Asked when libssl makes the object: not all of it is there.
    ///
    /// # Safety
    /// `object` is being made, of this kind, and alive for the length of the call.
    unsafe fn of_new(object: *mut c_void) -> Option<Self> {
        let _ = object;
        None
    }

    /// The object is gone for all but the destructors of others (CRYPTO_free_ex_data(3)), and nobody finds its part.
    fn end(self: Box<Self>) {}
}

/// An object that may have a part of ours.
pub(super) trait Object {
    fn address(&self) -> *mut c_void;

    /// What it has at an index of its ex_data.
    fn read(&self, index: c_int) -> *mut c_void;
}

/// One whose ex_data may be changed.
pub(super) trait Writable: Object {
    /// 1 if that was done.
    fn write(&self, index: c_int, value: *mut c_void) -> c_int;
}

/// The objects of one kind that have parts of ours.
pub(super) struct Class<T> {
    index: OnceLock<Option<c_int>>,
    parts: Anchors,
    of: PhantomData<fn() -> T>,
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

impl<T: Part> Class<T> {
    pub(super) const fn new() -> Self {
        Self { index: OnceLock::new(), parts: Anchors::new(), of: PhantomData }
    }

    /// Reserves the index, once: we are told of each object that is made from now on under the default library context of
    /// now (where parts are given only to those), and of each one's end. False if there is no memory.
    pub(super) fn reserve(&self) -> bool {
        let reserve = || {
            let (new, dup) = match T::ALL_END {
                true => (Some(new_object::<T> as ExNew), Some(dup_object as ExDup)),
                false => (None, None),
            };
            let free = Some(free_object::<T> as ExNew);
            // SAFETY: functions of the types that CRYPTO_get_ex_new_index(3) gives, which live as long as the process: this
            // library is never unloaded (-z nodelete).
            let index = unsafe { ffi::CRYPTO_get_ex_new_index(T::KIND, 0, ptr::null_mut(), new, dup, free) };
            (index >= 0).then_some(index)
        };
        self.index.get_or_init(reserve).is_some()
    }

    pub(super) fn is_reserved(&self) -> bool {
        self.index().is_some()
    }

    #[inline]
    fn index(&self) -> Option<c_int> {
        *self.index.get()?
    }

    /// Whether the object at this address has a part. Nothing is read there: it may be another library's.
    pub(super) fn has(&self, object: *const c_void) -> bool {
        self.parts.find(object.cast_mut()).is_some()
    }

    /// The part of an object.
    #[inline]
    pub(super) fn get(&self, object: &impl Object) -> Option<NonNull<T>> {
        let at = object.read(self.index()?);
        let part = match self.parts.get(at, object.address()) {
            Some(part) => part,
            None => self.parts.get(self.overwritten(at, object)?, object.address())?,
        };
        NonNull::new(part.cast())
    }

    /// Where the part of an object is that has something else of others' where we said so.
    fn overwritten(&self, at: *mut c_void, object: &impl Object) -> Option<*mut c_void> {
        (T::ALL_END && at != mark(Mark::Told) && at != mark(Mark::Gone)).then(|| self.parts.find(object.address()))?
    }

    /// Gives an object its part. `None` if there is no memory: then it has none.
    pub(super) fn give(&self, object: &impl Writable, part: T) -> Option<NonNull<T>> {
        let part = NonNull::from(Box::leak(try_box(part)?));
        if self.set(object, part) {
            return Some(part);
        }
        // SAFETY: made by Box above, and the table has not taken it.
        drop(unsafe { Box::from_raw(part.as_ptr()) });
        None
    }

    fn set(&self, object: &impl Writable, part: NonNull<T>) -> bool {
        let Some(index) = self.index() else { return false };
        let Some(at) = self.parts.put(object.address(), part.as_ptr().cast()) else { return false };
        let done = object.write(index, at) == 1;
        if !done {
            self.parts.take(at, object.address());
        }
        done
    }

    /// Takes an object's part away from it, for good: whoever asks for it from now on finds none, and none is given to
    /// it again.
    fn take(&self, object: &impl Writable) -> Option<NonNull<T>> {
        let index = self.index()?;
        let at = object.read(index);
        let taken = self.parts.take(at, object.address());
        if taken.is_some() || at == mark(Mark::Told) {
            // There is something, so there is room.
            object.write(index, mark(Mark::Gone));
        }
        let taken = match taken {
            Some(part) => part,
            // What others have put there stays theirs.
            None => self.parts.take(self.overwritten(at, object)?, object.address())?,
        };
        NonNull::new(taken.cast())
    }

    /// Notes on a new object that its end will be told.
    fn tell(&self, object: &impl Writable) {
        if let Some(index) = self.index() {
            object.write(index, mark(Mark::Told));
        }
    }

    /// Whether that was noted.
    pub(super) fn will_end(&self, object: &impl Object) -> bool {
        self.index().is_some_and(|index| object.read(index) == mark(Mark::Told))
    }

    /// Whether nobody, also not we, has put anything there.
    pub(super) fn is_free(&self, object: &impl Object) -> bool {
        self.index().is_some_and(|index| object.read(index).is_null())
    }
}

/// An object as its ex_data callbacks get it.
struct InCallback {
    object: *mut c_void,
    ex_data: *mut CRYPTO_EX_DATA,
}

impl Object for InCallback {
    fn address(&self) -> *mut c_void {
        self.object
    }

    fn read(&self, index: c_int) -> *mut c_void {
        // SAFETY: libcrypto gives a callback the object's ex_data, whole until the callback returns
        // (CRYPTO_get_ex_new_index(3)).
        unsafe { ffi::CRYPTO_get_ex_data(self.ex_data, index) }
    }
}

impl Writable for InCallback {
    fn write(&self, index: c_int, value: *mut c_void) -> c_int {
        // SAFETY: libcrypto gives a callback the object's ex_data, whole until the callback returns
        // (CRYPTO_get_ex_new_index(3)), and the index is ours.
        unsafe { ffi::CRYPTO_set_ex_data(self.ex_data, index, value) }
    }
}

/// Called by libcrypto when an object is made: unless the thread has another default library context than when the index
/// was made. An index is known in one library context only, so nobody would tell us of such an object's end. Without
/// memory the object gets no part.
unsafe extern "C" fn new_object<T: Part>(
    object: *mut c_void,
    _ptr: *mut c_void,
    ex_data: *mut CRYPTO_EX_DATA,
    _index: c_int,
    _argl: c_long,
    _argp: *mut c_void,
) {
    guard((), || {
        let new = InCallback { object, ex_data };
        T::class().tell(&new);
        // SAFETY: libcrypto calls this with the object that is being made, of the kind that the index was reserved for
        // (CRYPTO_get_ex_new_index(3)).
        if let Some(part) = unsafe { T::of_new(object) } {
            T::class().give(&new, part);
        }
    });
}

/// Called by libcrypto when an object is duplicated (SSL_dup), after the new one had its own `new_object`: what that put
/// there stays.
unsafe extern "C" fn dup_object(
    to: *mut CRYPTO_EX_DATA,
    _from: *const CRYPTO_EX_DATA,
    from_d: *mut *mut c_void,
    index: c_int,
    _argl: c_long,
    _argp: *mut c_void,
) -> c_int {
    // SAFETY: libcrypto gives the ex_data of the new object, for the length of the call (CRYPTO_get_ex_new_index(3)).
    let own = unsafe { ffi::CRYPTO_get_ex_data(to, index) };
    // SAFETY: libcrypto gives the address of the value that it will store in the new object (CRYPTO_get_ex_new_index(3)).
    unsafe { *from_d = own };
    1
}

/// Called by libcrypto when an object dies; destructors of others may still come, and use it.
unsafe extern "C" fn free_object<T: Part>(
    object: *mut c_void,
    _part: *mut c_void,
    ex_data: *mut CRYPTO_EX_DATA,
    _index: c_int,
    _argl: c_long,
    _argp: *mut c_void,
) {
    guard((), || {
        if let Some(part) = T::class().take(&InCallback { object, ex_data }) {
            // SAFETY: what `give` stored (made by Box): out of the table, so nobody finds it any more, and nobody has it,
            // because libcrypto calls this when the last reference on the object is gone.
            T::end(unsafe { Box::from_raw(part.as_ptr()) });
        }
    });
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A part: whether its objects are all known to tell of their end is in its type.
    struct Thing<const ALL_END: bool>(#[expect(dead_code, reason = "a part has a size")] u8);

    impl<const ALL_END: bool> Part for Thing<ALL_END> {
        const KIND: c_int = 0;
        const ALL_END: bool = ALL_END;

        fn class() -> &'static Class<Self> {
            unreachable!("tests have a class each")
        }
    }

    fn class<const ALL_END: bool>() -> Class<Thing<ALL_END>> {
        Class { index: OnceLock::from(Some(1)), ..Class::new() }
    }

    /// An object with one place for data, into which nothing can be put if it is full.
    struct Fake<'d> {
        address: *mut c_void,
        data: &'d Cell<*mut c_void>,
        is_full: bool,
    }

    impl Object for Fake<'_> {
        fn address(&self) -> *mut c_void {
            self.address
        }

        fn read(&self, _index: c_int) -> *mut c_void {
            self.data.get()
        }
    }

    impl Writable for Fake<'_> {
        fn write(&self, _index: c_int, value: *mut c_void) -> c_int {
            if !self.is_full {
                self.data.set(value);
            }
            c_int::from(!self.is_full)
        }
    }

    fn fake<'d>(address: &mut u8, data: &'d Cell<*mut c_void>) -> Fake<'d> {
        Fake { address: ptr::from_mut(address).cast(), data, is_full: false }
    }

    /// Frees a part that was taken.
    fn free<T>(part: Option<NonNull<T>>) {
        // SAFETY: of a `give` in these tests, which nobody else has.
        drop(unsafe { Box::from_raw(part.expect("a part").as_ptr()) });
    }

    #[test]
    fn what_is_not_ours_is_not_taken_for_it() {
        let class = class::<true>();
        let data = Cell::new(ptr::null_mut());
        let (mut address, mut other) = (1, 8);
        let object = fake(&mut address, &data);
        let another = fake(&mut other, &data);
        assert!(class.get(&object).is_none() && class.is_free(&object) && !class.will_end(&object));
        class.tell(&object);
        assert!(class.get(&object).is_none() && !class.is_free(&object) && class.will_end(&object));
        let ours = class.give(&object, Thing(0));
        assert!(ours.is_some());
        assert_eq!(class.get(&object), ours);
        // The same address in another object's ex_data.
        assert!(class.get(&another).is_none());
        // Others write there, or take away what we have written: the part is found, and what is theirs stays.
        let theirs = another.address();
        for value in [theirs, ptr::null_mut(), ptr::without_provenance_mut(3)] {
            data.set(value);
            assert_eq!(class.get(&object), ours);
        }
        data.set(theirs);
        let taken = class.take(&object);
        assert_eq!(taken, ours);
        assert_eq!(data.get(), theirs);
        assert!(class.get(&object).is_none() && class.take(&object).is_none());
        free(taken);
    }

    fn is_gone_once_taken<const ALL_END: bool>() {
        let class = class::<ALL_END>();
        let data = Cell::new(ptr::null_mut());
        let mut address = 1;
        let object = fake(&mut address, &data);
        let ours = class.give(&object, Thing(0));
        let taken = class.take(&object);
        assert!(ours.is_some() && taken == ours);
        assert!(class.get(&object).is_none() && class.take(&object).is_none());
        assert!(!class.is_free(&object) && !class.will_end(&object));
        free(taken);
    }

    #[test]
    fn a_part_that_was_taken_is_gone_for_good() {
        is_gone_once_taken::<true>();
        is_gone_once_taken::<false>();
    }

    #[test]
    fn without_memory_there_is_no_part() {
        let class = class::<true>();
        let data = Cell::new(ptr::null_mut());
        let mut address = 1;
        let object = Fake { is_full: true, ..fake(&mut address, &data) };
        assert!(class.give(&object, Thing(0)).is_none());
        assert!(class.get(&object).is_none());
    }

    #[test]
    fn where_not_all_end_only_what_is_there_counts() {
        let class = class::<false>();
        let data = Cell::new(ptr::null_mut());
        let mut address = 1;
        let object = fake(&mut address, &data);
        let ours = class.give(&object, Thing(0));
        assert!(ours.is_some());
        assert_eq!(class.get(&object), ours);
        // Another object where one was whose end nobody told.
        data.set(ptr::null_mut());
        assert!(class.get(&object).is_none());
        free(ours);
    }
}

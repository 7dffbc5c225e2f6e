//! A value that is read by any number of threads while it is replaced, and that is erased once nobody reads it.
//!
//! This is what `ArcSwap` does, and two things that it cannot. It runs in processes that fork while another of their
//! threads is reading: that thread does not exist in the child, so its reference is never given back, and with
//! reference counts of any kind the old keys would stay in the child's memory for ever. Here each count carries the
//! **generation** ([`crate::fork`]) of the process that counted, and a count of an ancestor is void. And it needs no
//! thread-local destructors, which would pin a library that its host unloads.
//!
//! Reading is an increment and a decrement of one word; nothing waits for anything. Slots are never unmapped while
//! the cell lives, only erased and used again.

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::{self, NonNull};

use crate::memory::Region;
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::SeqCst, constant, each};

/// A value to begin with, without secrets. It is copied byte by byte to where it will be filled, so it is plain data,
/// and never passes over a stack, which may be small where a ring is large.
pub(crate) trait Blank: Send + Sync + Sized + 'static {
    /// The value.
    fn blank() -> &'static Self;
}

/// Slots in a cell: the current value, the one being made, and some that slow readers still hold.
const SLOTS: usize = if cfg!(loom) { 3 } else { 6 };
/// How often the current slot may be found without a value, or not to be current any more: each time another value
/// must have become current in between, so more than once or twice says that our memory is a bad copy of another process's (see [`crate::fork`]).
const MISSES: u32 = 1000;
/// In [`Cell::current`]: there is no value.
const NOWHERE: usize = usize::MAX;

/// See the module.
pub(crate) struct Cell<T> {
    slots: [Slot<T>; SLOTS],
    current: AtomicUsize,
    holds: PhantomData<T>,
}

/// A slot and what it is in: a [`State`] packed in a word. Alone in its lines of the cache, because readers write there.
#[repr(align(128))]
struct Slot<T> {
    state: AtomicU64,
    value: AtomicPtr<T>,
}

/// What a slot is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Erased, if it ever was used.
    Empty,
    /// Holds a value that so many threads of that generation are reading.
    Live {
        generation: u32,
        readers: u32,
        /// Another value is current: who finds no reader any more erases this one. Part of this word, because a slot
        /// that was looked up as "not current" may have become so again by the time it is erased.
        old: bool,
    },
    /// A thread of that generation is filling or erasing it.
    Taken { generation: u32 },
}

impl State {
    const TAKEN: u32 = u32::MAX;
    const OLD: u32 = 1 << 31;

    fn pack(self) -> u64 {
        let (generation, low) = match self {
            // No generation is 0.
            Self::Empty => (0, 0),
            Self::Live { generation, readers, old } => (generation, readers | if old { Self::OLD } else { 0 }),
            Self::Taken { generation } => (generation, Self::TAKEN),
        };
        u64::from(generation) << 32 | u64::from(low)
    }

    fn unpack(word: u64) -> Self {
        match ((word >> 32) as u32, word as u32) {
            (0, _) => Self::Empty,
            (generation, Self::TAKEN) => Self::Taken { generation },
            (generation, low) => Self::Live { generation, readers: low & !Self::OLD, old: low & Self::OLD != 0 },
        }
    }
}

impl<T> Slot<T> {
    fn state(&self) -> State {
        State::unpack(self.state.load(SeqCst))
    }

    fn change(&self, from: State, to: State) -> bool {
        self.state.compare_exchange(from.pack(), to.pack(), SeqCst, SeqCst).is_ok()
    }

    fn region(&self) -> Option<Region> {
        NonNull::new(self.value.load(SeqCst)).map(Region::of)
    }

    /// Says that its value is not current any more. Only for who sets what is current.
    fn set_old(&self) {
        while let State::Live { generation, readers, old: false } = self.state() {
            let live = |old| State::Live { generation, readers, old };
            if self.change(live(false), live(true)) {
                return;
            }
        }
    }

    /// Erases what is in it, if nobody reads it: an old value, or what a thread that is no more left behind.
    fn retire(&self, generation: u32) {
        let seen = self.state();
        let unused = match seen {
            State::Empty => false,
            State::Live { generation: theirs, readers, old } => old && (readers == 0 || theirs != generation),
            State::Taken { generation: theirs } => theirs != generation,
        };
        if unused && self.change(seen, State::Taken { generation }) {
            self.erase();
        }
    }

    /// The end of having taken it, with nothing in it.
    fn erase(&self) {
        if let Some(region) = self.region() {
            // SAFETY: whoever has taken a slot has it alone.
            unsafe { region.erase() };
        }
        self.state.store(State::Empty.pack(), SeqCst);
    }
}

impl<T: Blank> Cell<T> {
    constant! {
        /// No value yet.
        pub(crate) fn new() -> Self {
            Self {
                slots: each!(SLOTS, Slot { state: AtomicU64::new(0), value: AtomicPtr::new(ptr::null_mut()) }),
                current: AtomicUsize::new(NOWHERE),
                holds: PhantomData,
            }
        }
    }

    /// The current value, for as long as the guard lives. A process must not fork and go on to use, in the child, a
    /// guard from before.
    pub(crate) fn read(&self, generation: u32) -> Option<Guard<'_, T>> {
        let mut missed = 0;
        while missed < MISSES {
            let at = self.current.load(SeqCst);
            let slot = self.slots.get(at)?;
            let seen = slot.state();
            let State::Live { generation: theirs, readers, old } = seen else {
                missed += 1;
                continue;
            };
            let readers = if theirs == generation { readers } else { 0 };
            if readers < State::OLD - 2 && slot.change(seen, State::Live { generation, readers: readers + 1, old }) {
                let value = NonNull::new(slot.value.load(SeqCst))?;
                let guard = Guard { cell: self, at, generation, value };
                // Else the slot may have come to hold another value since, which is not in force yet: whoever read that
                // would be given an older one next time.
                if self.current.load(SeqCst) == at {
                    return Some(guard);
                }
                missed += 1;
            }
        }
        None
    }

    /// Makes a new value out of a blank one, in place, and puts it in force; the one before is erased as soon as nobody
    /// reads it. False, and nothing changes, if `make` says so or there is no room.
    ///
    /// For one thread at a time; others may read.
    pub(crate) fn replace(&self, generation: u32, make: impl FnOnce(&mut T) -> bool) -> bool {
        self.sweep(generation);
        let Some(mut taken) = self.take(generation) else { return false };
        // SAFETY: the slot is taken, and has room for a T; what was in it is erased. A blank is plain data: the copy
        // shares nothing with it.
        unsafe { taken.value.copy_from_nonoverlapping(NonNull::from(T::blank()), 1) };
        // SAFETY: just written, and nobody else's.
        if !make(unsafe { taken.value.as_mut() }) {
            return false;
        }
        let at = taken.keep();
        self.current.store(at, SeqCst);
        self.sweep(generation);
        true
    }

    /// Takes the value away: as soon as nobody reads it, it is erased.
    pub(crate) fn clear(&self, generation: u32) {
        self.current.store(NOWHERE, SeqCst);
        self.sweep(generation);
    }

    /// Erases all that is not current and that nobody reads, and what threads left behind that are no more. For one
    /// thread at a time, as [`Cell::replace`].
    pub(crate) fn sweep(&self, generation: u32) {
        let current = self.current.load(SeqCst);
        for (_, slot) in self.slots.iter().enumerate().filter(|(at, _)| *at != current) {
            slot.set_old();
            slot.retire(generation);
        }
    }

    /// Gets memory for the current value and the next one, so that replacing it needs no system call.
    pub(crate) fn prepare(&self, generation: u32) {
        // Held until both are there; then they are free again.
        let _places = [self.take(generation), self.take(generation)];
    }

    fn take(&self, generation: u32) -> Option<Taken<'_, T>> {
        let free = |slot: &&Slot<T>| slot.change(State::Empty, State::Taken { generation });
        let (at, slot) = self.slots.iter().enumerate().find(|(_, slot)| free(slot))?;
        let mut taken = Taken { slot, at, generation, value: NonNull::dangling() };
        taken.value = match NonNull::new(slot.value.load(SeqCst)) {
            Some(value) => value,
            None => Region::for_a::<T>()?.start(),
        };
        slot.value.store(taken.value.as_ptr(), SeqCst);
        Some(taken)
    }
}

impl<T> Drop for Cell<T> {
    fn drop(&mut self) {
        for region in self.slots.iter().filter_map(Slot::region) {
            // SAFETY: `&mut self`: nobody reads or fills it.
            unsafe { region.release() };
        }
    }
}

/// A slot being filled. Dropped, it is erased and free again.
struct Taken<'a, T> {
    slot: &'a Slot<T>,
    at: usize,
    generation: u32,
    value: NonNull<T>,
}

impl<T> Taken<'_, T> {
    /// It holds a value now.
    fn keep(self) -> usize {
        let at = self.at;
        let live = State::Live { generation: self.generation, readers: 0, old: false };
        self.slot.state.store(live.pack(), SeqCst);
        std::mem::forget(self);
        at
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        self.slot.erase();
    }
}

/// A value being read.
pub(crate) struct Guard<'a, T> {
    cell: &'a Cell<T>,
    at: usize,
    generation: u32,
    value: NonNull<T>,
}

impl<T> Guard<'_, T> {
    /// In which generation it was read.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: a slot holds the value it was given, unchanged, while it is live and has a reader, which we are.
        unsafe { self.value.as_ref() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        let slot = &self.cell.slots[self.at];
        while let State::Live { generation, readers, old } = slot.state() {
            if generation != self.generation {
                // We are in a child of the process that began to read: that count is void.
                return;
            }
            let live = |readers| State::Live { generation, readers, old };
            if slot.change(live(readers), live(readers.saturating_sub(1))) {
                break;
            }
        }
        slot.retire(self.generation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    impl Blank for [u64; 512] {
        fn blank() -> &'static Self {
            &[0; 512]
        }
    }

    const HERE: u32 = 1;
    const CHILD: u32 = 2;

    fn set(cell: &Cell<[u64; 512]>, generation: u32, value: u64) -> bool {
        cell.replace(generation, |slot| {
            slot.fill(value);
            true
        })
    }

    fn get(cell: &Cell<[u64; 512]>, generation: u32) -> Option<u64> {
        cell.read(generation).map(|v| v[511])
    }

    /// What the slots hold, in force or not.
    fn bytes_left(cell: &Cell<[u64; 512]>) -> Vec<u64> {
        let slots = cell.slots.iter().filter_map(|p| NonNull::new(p.value.load(SeqCst)));
        // SAFETY: mapped as long as the cell; no other thread uses it in these tests.
        let mut words: Vec<u64> = slots.flat_map(|p| unsafe { p.as_ref() }.iter().copied()).collect();
        words.retain(|w| *w != 0);
        words.dedup();
        words
    }

    #[test]
    fn what_was_replaced_is_erased_when_its_last_reader_goes() {
        let cell = Cell::new();
        assert!(get(&cell, HERE).is_none());
        assert!(set(&cell, HERE, 1));
        let (a, b) = (cell.read(HERE).unwrap(), cell.read(HERE).unwrap());
        assert!(set(&cell, HERE, 2));
        assert_eq!((a[0], get(&cell, HERE)), (1, Some(2)));
        drop(a);
        assert_eq!(bytes_left(&cell), [1, 2]);
        drop(b);
        assert_eq!(bytes_left(&cell), [2]);
        cell.clear(HERE);
        assert!(get(&cell, HERE).is_none() && bytes_left(&cell).is_empty());
    }

    #[test]
    fn readers_that_do_not_exist_in_a_child_hold_nothing() {
        let cell = Cell::new();
        assert!(set(&cell, HERE, 1));
        std::mem::forget(cell.read(HERE));
        assert!(set(&cell, HERE, 2));
        std::mem::forget(cell.read(HERE));
        assert_eq!(bytes_left(&cell), [1, 2]);
        assert_eq!(get(&cell, CHILD), Some(2));
        cell.sweep(CHILD);
        assert_eq!(bytes_left(&cell), [2]);
        assert!(set(&cell, CHILD, 3));
        assert_eq!(bytes_left(&cell), [3]);
    }

    #[test]
    fn a_value_that_was_being_made_is_erased_in_a_child() {
        let cell = Cell::new();
        assert!(set(&cell, HERE, 1));
        let mut taken = cell.take(HERE).unwrap();
        // SAFETY: the slot is taken.
        unsafe { taken.value.as_mut() }.fill(9);
        std::mem::forget(taken);
        cell.sweep(HERE);
        assert_eq!(bytes_left(&cell), [1, 9], "in the process itself its maker is still at it");
        cell.sweep(CHILD);
        assert_eq!(bytes_left(&cell), [1]);
    }

    #[test]
    fn a_maker_that_fails_or_panics_changes_nothing() {
        let cell = Cell::new();
        assert!(set(&cell, HERE, 1));
        let failed = cell.replace(HERE, |v| {
            v.fill(8);
            false
        });
        assert!(!failed);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            cell.replace(HERE, |v| {
                v.fill(8);
                panic!("as a bug would")
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(bytes_left(&cell), [1]);
        assert!(set(&cell, HERE, 2));
    }

    #[test]
    fn without_room_the_value_at_hand_stays() {
        let cell = Cell::new();
        let mut held = Vec::new();
        for value in 1..=SLOTS as u64 {
            assert!(set(&cell, HERE, value));
            held.push(cell.read(HERE).unwrap());
        }
        assert!(!set(&cell, HERE, 99));
        assert_eq!(get(&cell, HERE), Some(SLOTS as u64));
        held.remove(0);
        assert!(set(&cell, HERE, 99));
    }

    #[test]
    fn a_bad_copy_of_a_cell_is_no_hang() {
        let cell = Cell::new();
        assert!(set(&cell, HERE, 1));
        cell.slots[cell.current.load(SeqCst)].state.store(0, SeqCst);
        assert!(get(&cell, CHILD).is_none());
        cell.sweep(CHILD);
        assert!(set(&cell, CHILD, 2) && get(&cell, CHILD) == Some(2));
    }

    #[test]
    fn a_place_that_became_current_again_is_not_erased() {
        let cell = Cell::new();
        assert!(set(&cell, HERE, 1));
        let reader = cell.read(HERE).unwrap();
        let at = reader.at;
        assert!(set(&cell, HERE, 2));
        drop(reader);
        // The same slot again; whoever meant to erase the value from before finds another one.
        assert!(set(&cell, HERE, 3));
        assert_eq!(cell.current.load(SeqCst), at);
        cell.slots[at].retire(HERE);
        assert_eq!(get(&cell, HERE), Some(3));
    }

    #[test]
    fn readers_see_whole_values_only() {
        let last = if cfg!(miri) { 20 } else { 4999 };
        let cell = Cell::new();
        assert!(set(&cell, HERE, 1));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = || {
                scope.spawn(|| {
                    let mut last = 0;
                    while !stop.load(SeqCst) {
                        let value = cell.read(HERE).unwrap();
                        assert!(value.iter().all(|w| *w == value[0]) && value[0] >= last);
                        last = value[0];
                    }
                })
            };
            let readers = [reader(), reader(), reader(), reader()];
            for value in 2..=last {
                while !set(&cell, HERE, value) {
                    std::thread::yield_now();
                }
            }
            stop.store(true, SeqCst);
            // Not left to the scope: ThreadSanitizer sees a join, and not the scope's own count.
            readers.into_iter().for_each(|reader| reader.join().unwrap());
        });
        assert_eq!(bytes_left(&cell), [last]);
    }
}

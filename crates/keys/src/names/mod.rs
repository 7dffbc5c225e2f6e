//! What names led to: a table that a process shares with all that are forked from it after it was set up, for as many names
//! as come. How it is kept is in `table`; here is the memory that it is in.
//!
//! Address space for a million names is reserved at once and never touched before it is needed: a page is taken when the
//! first name comes to it. Where a limit is set on address space, or all memory of the process is locked as it comes
//! (mlockall(2) with `MCL_FUTURE`), the table is a small one; where there is no memory, nothing is ever known.

mod table;

use std::sync::atomic::{AtomicU32, Ordering};

use table::{Bucket, Key, LEVELS, Table, Value};

use crate::once::OncePtr;
use crate::{clock, sys};

/// Buckets of the first level.
const FIRST: usize = 128;
/// Levels where the table should be small: 7,168 names, 392 KiB.
const FEW_LEVELS: usize = 3;
/// So much of a limit on address space may the table have, at most.
const SHARE_OF_LIMIT: u64 = 16;

/// Most bytes of address space that the table takes.
pub const MOST: usize = bytes(LEVELS);
const _: () = assert!(MOST <= 64 << 20);

static MARK: OncePtr<AtomicU32> = OncePtr::new();
static TABLE: OncePtr<Table<'static>> = OncePtr::new();

/// Reserves the memory: whatever forks later shares it.
pub fn set_up() {
    TABLE.get(|| {
        let mut place = Vec::new();
        let (Ok(()), Some(table)) = (place.try_reserve_exact(1), reserve()) else { return std::ptr::null_mut() };
        place.push(table);
        place.leak().as_mut_ptr()
    });
    MARK.get(|| sys::shared_pages::<AtomicU32>(1).map_or(std::ptr::null_mut(), |mark| mark.as_ptr().cast_mut()));
}

/// Whether a process that shares the table has called [`set_mark`]: one load, for what need not be looked up before that.
#[inline]
pub fn is_marked() -> bool {
    mark().is_some_and(|mark| mark.load(Ordering::Relaxed) != 0)
}

/// See [`is_marked`]. False if there is no memory for it.
pub fn set_mark() -> bool {
    mark().is_some_and(|mark| {
        mark.store(1, Ordering::Relaxed);
        true
    })
}

fn mark() -> Option<&'static AtomicU32> {
    let mark = MARK.get(std::ptr::null_mut);
    // SAFETY: null, or what `set_up` reserved, which is never unmapped, and only ever shared.
    unsafe { mark.as_ref() }
}

/// What `name` led to; `None` if it was not seen, or not lately, or led to more than one.
pub fn get(name: &[u8; 32]) -> Option<[u8; 32]> {
    table()?.get(&words(name)).map(bytes_of)
}

/// Remembers what `name` led to. Once it has led to two, it is not relied on again.
pub fn put(name: &[u8; 32], led_to: &[u8; 32]) {
    if let Some(table) = table() {
        table.put(&words(name), &words(led_to), now());
    }
}

/// A ticket that was sealed for that name has opened: when there are too many names, this one stays, and those go that
/// anyone can make up.
pub fn prove(name: &[u8; 32]) {
    if let Some(table) = table() {
        table.prove(&words(name), now());
    }
}

fn table() -> Option<&'static Table<'static>> {
    let table = TABLE.get(std::ptr::null_mut);
    // SAFETY: null, or what `set_up` left in its place, which is never freed and only ever shared.
    unsafe { table.as_ref() }
}

fn reserve() -> Option<Table<'static>> {
    let most = if sys::locks_new_memory() { FEW_LEVELS } else { LEVELS };
    let room = sys::address_space_limit() / SHARE_OF_LIMIT;
    let fits = |levels: &usize| *levels == 1 || u64::try_from(bytes(*levels)).is_ok_and(|bytes| bytes <= room);
    let mut sizes = (1..=most).rev().filter(fits);
    sizes.find_map(|levels| sys::shared_pages::<Bucket>(buckets(levels))).map(|buckets| Table::new(buckets, FIRST))
}

const fn buckets(levels: usize) -> usize {
    ((1 << levels) - 1) * FIRST
}

const fn bytes(levels: usize) -> usize {
    buckets(levels) * size_of::<Bucket>()
}

/// Only for what was used last to be told from what was used first.
fn now() -> u32 {
    clock::now() as u32
}

fn words(bytes: &[u8; 32]) -> Key {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    words
}

fn bytes_of(words: Value) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_ne_bytes();
    }
    bytes
}

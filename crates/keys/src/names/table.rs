//! The table itself: buckets in memory that processes share, any of which may write them at any time and end in the
//! middle of it. No lock, no pointer, no index is in there: what a process finds is compared, and nothing of it is followed.
//!
//! **Levels.** Each is twice as large as the one before. A name goes to the first level in which its bucket has room,
//! so a level is touched once those before it have filled up, and memory is taken as names come. Nothing is ever taken out,
//! so a bucket with room ends a search: what is looked for is in no level behind it.
//!
//! **A way of a bucket** is a tag and an entry. Whoever changes the tag from what it was (one compare-and-exchange) has the
//! way, and writes the entry then; until that is there, and after two have written at once, the entry is of another key
//! or its check does not fit, and the name is not known. The next to come with that name writes it again.
//!
//! **Full.** A new name takes the place of the one of its ways that was used longest ago, and of a proved one only if all are
//! proved. New names are not proved: so made-up ones, however many, push out one another.

use crate::record::Record;
use crate::sync::{AtomicU64, Ordering};

/// What is looked for: a hash, of which nobody outside knows what it hashes.
pub(crate) type Key = [u64; 4];
/// What is kept under it: a hash.
pub(crate) type Value = [u64; WORDS];

/// Ways of a bucket, whose tags are one line of the cache.
pub(crate) const WAYS: usize = if cfg!(loom) { 1 } else { 8 };
const WORDS: usize = if cfg!(loom) { 1 } else { 4 };
/// Most levels of a table.
pub(crate) const LEVELS: usize = 10;

/// Stands for more than one value. (No hash is known that gives it.)
const UNSTEADY: Value = [u64::MAX; WORDS];

/// How often a name looks for another way, when others were faster.
const TRIES: usize = 8;

/// Part of the table. All zeros is an empty one.
#[repr(C, align(64))]
pub(crate) struct Bucket {
    tags: [AtomicU64; WAYS],
    /// The second word of the key, and the value, masked with the rest of the key: so that no entry makes sense under
    /// another's name.
    entries: [Record<{ WORDS + 1 }>; WAYS],
}

/// See the module.
pub(crate) struct Table<'t> {
    levels: [&'t [Bucket]; LEVELS],
    count: usize,
}

/// A way, and the tag that was seen there.
struct Way<'t> {
    tag: &'t AtomicU64,
    entry: &'t Record<{ WORDS + 1 }>,
    seen: Tag,
}

enum Found<'t> {
    There(Way<'t>),
    /// Nowhere; a way that is free.
    Room(Way<'t>),
    /// Nowhere, and all ways are taken.
    Full,
}

impl<'t> Table<'t> {
    /// One of so many levels, the first of which has `first` buckets, as far as there are buckets.
    pub(crate) fn new(mut buckets: &'t [Bucket], first: usize) -> Self {
        let mut table = Self { levels: [&[]; LEVELS], count: 0 };
        for (level, place) in table.levels.iter_mut().enumerate() {
            let Some((these, rest)) = buckets.split_at_checked(first << level).filter(|(these, _)| !these.is_empty())
            else {
                break;
            };
            (*place, buckets) = (these, rest);
            table.count += 1;
        }
        table
    }

    /// What the name led to; `None` if it is not known, or led to more than one.
    pub(crate) fn get(&self, key: &Key) -> Option<Value> {
        let Found::There(way) = self.find(key) else { return None };
        way.value(key).filter(|value| *value != UNSTEADY)
    }

    /// Remembers what a name led to. Once it has led to two values, it is not relied on again.
    pub(crate) fn put(&self, key: &Key, value: &Value, now: u32) {
        for _ in 0..TRIES {
            match self.find(key) {
                Found::There(way) => return way.renew(key, value, now),
                Found::Room(way) => {
                    if way.take(key, value, now) {
                        return;
                    }
                }
                Found::Full => {
                    if let Some(way) = self.least_useful(key, now) {
                        way.take(key, value, now);
                    }
                    return;
                }
            }
        }
    }

    /// A ticket of that name has opened: it is a name that is there.
    pub(crate) fn prove(&self, key: &Key, now: u32) {
        if let Found::There(way) = self.find(key) {
            way.change_tag(way.seen.at(now).proved());
        }
    }

    fn find(&self, key: &Key) -> Found<'t> {
        for level in 0..self.count {
            let Some(bucket) = self.bucket(level, key) else { break };
            let mut room = None;
            for way in bucket.ways() {
                if way.seen.is_of(key) {
                    return Found::There(way);
                }
                if way.seen.is_none() {
                    room = room.or(Some(way));
                }
            }
            if let Some(way) = room {
                return Found::Room(way);
            }
        }
        Found::Full
    }

    /// Where a new name goes when all its ways are taken. Between equals, levels are chosen by their size, and ways by
    /// the key, which nobody outside can choose.
    fn least_useful(&self, key: &Key, now: u32) -> Option<Way<'t>> {
        let last = self.count.checked_sub(1)?;
        let (by_size, by_key) = ((key[2].trailing_zeros() as usize).min(last), key[3] as usize);
        let levels = (0..self.count).map(|i| (last - by_size + i) % self.count);
        let ways = levels.filter_map(|level| self.bucket(level, key)).flat_map(Bucket::ways).enumerate();
        let rank =
            |(i, way): &(usize, Way<'_>)| (way.seen.is_proved(), u32::MAX - way.seen.age(now), (i ^ by_key) % WAYS);
        ways.min_by_key(rank).map(|(_, way)| way)
    }

    fn bucket(&self, level: usize, key: &Key) -> Option<&'t Bucket> {
        let buckets = self.levels.get(level)?;
        let hash = key[1].rotate_left(level as u32 * 6) as usize;
        buckets.get(hash.checked_rem(buckets.len())?)
    }
}

impl Bucket {
    #[cfg(any(test, loom))]
    pub(crate) fn new() -> Self {
        Self { tags: std::array::from_fn(|_| AtomicU64::new(0)), entries: std::array::from_fn(|_| Record::new()) }
    }

    fn ways(&self) -> impl Iterator<Item = Way<'_>> {
        // Acquire: whoever sees a tag sees the entries that were there before it.
        let way = |(tag, entry)| Way { tag, entry, seen: Tag(AtomicU64::load(tag, Ordering::Acquire)) };
        self.tags.iter().zip(&self.entries).map(way)
    }
}

impl Way<'_> {
    fn value(&self, key: &Key) -> Option<Value> {
        let words = self.entry.read()?;
        let (second, masked) = words.split_first()?;
        (*second == key[1]).then(|| std::array::from_fn(|i| masked.get(i).copied().unwrap_or(0) ^ key[2 + i % 2]))
    }

    fn write(&self, key: &Key, value: &Value) {
        let masked = |i: usize| value.get(i).copied().unwrap_or(0) ^ key[2 + i % 2];
        self.entry.write(&std::array::from_fn(|i| i.checked_sub(1).map_or(key[1], masked)));
    }

    /// The name is here.
    fn renew(&self, key: &Key, value: &Value, now: u32) {
        match self.value(key) {
            Some(known) if known == *value || known == UNSTEADY => {}
            Some(_) => self.write(key, &UNSTEADY),
            // Just being written, torn, or of one that was here before.
            None => self.write(key, value),
        }
        if self.seen != self.seen.at(now) {
            self.change_tag(self.seen.at(now));
        }
    }

    /// Puts a name here, if nobody else was faster.
    fn take(&self, key: &Key, value: &Value, now: u32) -> bool {
        let is_ours = self.change_tag(Tag::of(key).at(now));
        if is_ours {
            self.write(key, value);
        }
        is_ours
    }

    fn change_tag(&self, new: Tag) -> bool {
        self.tag.compare_exchange(self.seen.0, new.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// Part of the key, when it was used last, and two marks; 0 for a way that is free.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tag(u64);

impl Tag {
    const TAKEN: u64 = 1;
    const PROVED: u64 = 2;
    const TIME_AT: u32 = 2;
    /// Times go round after so many, which is 194 days.
    const TIMES: u64 = 1 << 18;
    const KEY_AT: u32 = 20;
    /// Seconds that count as one time, so that a name which is asked for all the time is written now and then.
    const SECONDS: u32 = 64;

    fn of(key: &Key) -> Self {
        Self(key[0] >> Self::KEY_AT << Self::KEY_AT | Self::TAKEN)
    }

    fn is_none(self) -> bool {
        self.0 == 0
    }

    fn is_of(self, key: &Key) -> bool {
        self.0 & Self::TAKEN != 0 && self.0 >> Self::KEY_AT == key[0] >> Self::KEY_AT
    }

    fn is_proved(self) -> bool {
        self.0 & Self::PROVED != 0
    }

    fn proved(self) -> Self {
        Self(self.0 | Self::PROVED)
    }

    fn at(self, now: u32) -> Self {
        let time = u64::from(now / Self::SECONDS) % Self::TIMES;
        Self(self.0 & !((Self::TIMES - 1) << Self::TIME_AT) | time << Self::TIME_AT)
    }

    /// How long ago it was used. What seems to be ahead is of a clock that was set, and new.
    fn age(self, now: u32) -> u32 {
        let age = (u64::from(now / Self::SECONDS).wrapping_sub(self.0 >> Self::TIME_AT)) % Self::TIMES;
        if age > Self::TIMES / 2 { 0 } else { age as u32 }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;

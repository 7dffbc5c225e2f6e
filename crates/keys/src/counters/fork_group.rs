//! How counters come from many processes into one file.
//!
//! A process that was told of a stats file when it loaded the library, and all that are forked from it, are a *fork group*:
//! they count in one page of memory that they share (anonymous: nobody can take it away), with atomic additions. Each
//! change is then copied to the fork group's row in the file, which was mapped while that was possible: workers that have
//! dropped their rights, moved into a chroot or closed all descriptors still have the mapping.
//!
//! Gauges are a process's own: a child has copies of its parent's contexts, and frees or keeps them as it likes. So
//! each process has a place in the fork group where its gauges are, and those of whoever is not there any more do not count.
//!
//! The mapping of the file is never read or written by this program's own instructions. Anybody may truncate a file,
//! and touching what is no longer there would raise SIGBUS and end the server. So the kernel is asked to copy
//! (`process_vm_writev` to ourselves): where there is nothing, it says EFAULT. That costs a few microseconds for each
//! count, in servers that publish at all.

use std::io;
use std::mem::offset_of;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use super::file::{
    self, COUNTER_PLACES, GAUGE_PLACES, GIVEN_UP, HEADER_LEN, HISTORY, KEY_PLACES, MAGIC, PROCESS_HEAD, PROCESS_LEN,
    PROCESSES, ROW_LEN, ROWS, at,
};
use super::newest::write_newest;
use super::tagged::add_one;
use super::{ALL, Counter, GAUGES, value};
use crate::fork::generation;
use crate::state::ChainId;
use crate::sys::{self, Mapping};
use crate::{clock, log, random};

/// Where this process counts; null until there is a file to publish in.
static MEMBER: AtomicPtr<Member> = AtomicPtr::new(ptr::null_mut());
/// This process's place in its fork group (low half), and the generation of the process that it is the place of.
static PLACE: AtomicU64 = AtomicU64::new(0);

/// The keys that this process has, as they are in its place: generation, then chain. Zeros for none.
static KEYS: [AtomicU32; KEY_PLACES] = [const { AtomicU32::new(0) }; KEY_PLACES];

/// This process, or one before it, has shown that it serves.
static SERVES: AtomicBool = AtomicBool::new(false);

/// What a process knows of its fork group by itself: in memory of its own, because its processes may have other
/// rights, and must not say where another one writes. A child has a copy.
struct Member {
    group: &'static ForkGroup,
    mapping: Mapping,
    /// Device and inode of the file that is mapped.
    file: [u64; 2],
    /// The system does not let us publish.
    is_mute: AtomicBool,
}

/// All zeros in the beginning. Shared with processes that may have other rights: what is read from here is not trusted
/// to be in any range.
#[repr(C)]
struct ForkGroup {
    row: Row,
    /// Raised after each change of `row`.
    changes: AtomicU64,
    /// Our row in the file, 0 for none yet.
    index: AtomicU64,
    /// When the row was last written.
    written: AtomicU64,
}

/// The row as it is in the file: the kernel copies it from here to there.
#[repr(C)]
struct Row {
    /// Ours in the file; not 0.
    token: AtomicU64,
    began: AtomicU64,
    written: AtomicU64,
    epoch: AtomicU64,
    refusal: AtomicU64,
    chain: [AtomicU64; 2],
    boot: AtomicU64,
    /// In the order of [`Counter`]; without what is in row 0 by now.
    counters: [AtomicU64; COUNTER_PLACES],
    processes: [Process; PROCESSES],
    history: [[AtomicU64; 4]; HISTORY],
    reserved: [AtomicU64; (ROW_LEN - at::RESERVED) / 8],
}

/// One of the fork group.
#[repr(C)]
struct Process {
    /// Its process id (low half), and when it took this place, in seconds since the system was started; 0 for nobody.
    who: AtomicU64,
    gauges: [AtomicU32; GAUGE_PLACES],
    keys: [AtomicU32; KEY_PLACES],
}

const _: () = assert!(
    size_of::<Row>() == ROW_LEN
        && offset_of!(Row, token) == at::TOKEN
        && offset_of!(Row, began) == at::BEGAN
        && offset_of!(Row, written) == at::WRITTEN
        && offset_of!(Row, epoch) == at::EPOCH
        && offset_of!(Row, refusal) == at::REFUSAL
        && offset_of!(Row, chain) == at::CHAIN
        && offset_of!(Row, boot) == at::BOOT
        && offset_of!(Row, counters) == at::COUNTERS
        && offset_of!(Row, processes) == at::PROCESSES
        && offset_of!(Row, history) == at::HISTORY
        && offset_of!(Row, reserved) == at::RESERVED
        && size_of::<Process>() == PROCESS_LEN
        && offset_of!(Process, gauges) == PROCESS_HEAD
        && offset_of!(Process, keys) == PROCESS_HEAD + GAUGE_PLACES * 4
);

/// What is published beside the counters.
pub(crate) enum Report {
    /// The keys in force.
    Keys(ChainId, u64),
    /// A [`crate::state::Refusal`], as a word; 0 for none.
    Refusal(u64),
}

/// One more of each; none is a gauge, which are no part of the row's counters.
pub(super) fn add_all(counters: &[Counter]) {
    let Some(member) = member() else { return };
    for counter in counters {
        member.group.row.counters[*counter as usize].fetch_add(1, SeqCst);
        member.group.row.count_in_epoch(*counter);
    }
    member.publish(counters);
}

/// One of this process's gauges has changed. A client that inherited the library has contexts, too, and no part in the file.
pub(super) fn gauge_changed() {
    if SERVES.load(Relaxed)
        && let Some(member) = member()
    {
        member.publish(&[]);
    }
}

/// In a child of fork(2): takes a place in the fork group, and writes that to the file if the fork group has a row there.
/// Async-signal-safe: system calls and atomics.
pub(super) fn join() {
    let Some(Member { group, mapping, .. }) = member().filter(|member| !member.is_mute.load(Relaxed)) else { return };
    sys::as_a_guest(|| {
        let Some(place) = group.place() else { return };
        let Some(index) = group.index() else { return };
        if owner(*mapping, index).is_ok_and(|owner| owner == group.row.token.load(Relaxed)) {
            let at = HEADER_LEN + index * ROW_LEN + at::PROCESSES + place * PROCESS_LEN;
            // If it does not get there, the next count has it with it.
            let _ = mapping.write_from(at, &group.row.processes[place]);
        }
    });
}

/// Which keys this process has: for its place, when something is published next.
pub(crate) fn note_keys(id: ChainId, generation: u64) {
    let halves = [(generation >> 32) as u32, generation as u32];
    let words = id.0.as_chunks().0.iter().copied().map(u32::from_ne_bytes);
    for (place, word) in KEYS.iter().zip(halves.into_iter().chain(words)) {
        place.store(word, Relaxed);
    }
}

/// Publishes what is new beside the counters.
pub(crate) fn report(report: Report) {
    let Some(member) = member() else { return };
    let row = &member.group.row;
    match report {
        Report::Keys(id, epoch) => {
            for (place, half) in row.chain.iter().zip(id.0.as_chunks().0) {
                place.store(u64::from_ne_bytes(*half), Relaxed);
            }
            row.epoch.store(epoch, Relaxed);
        }
        Report::Refusal(word) => row.refusal.store(word, Relaxed),
    }
    member.publish(&[]);
}

pub(super) fn publish_in(path: &Path, create: bool) {
    publish_there(path, create);
    if create && !SERVES.swap(true, Relaxed) {
        // The contexts that there are.
        gauge_changed();
    }
}

fn publish_there(path: &Path, create: bool) {
    static SAID: log::Once = log::Once::new();
    static TRIED: AtomicU64 = AtomicU64::new(0);
    let now = clock::now();
    // Some servers make a context for each connection: one attempt a second is enough.
    if create && TRIED.swap(now, Relaxed) == now {
        return;
    }
    let member = member();
    let known = member.map(|member| member.file);
    if known.is_some() && sys::as_a_guest(|| file::is_whole(path)) == known {
        return;
    }
    match sys::as_a_guest(|| file::open(path, create, now)) {
        // The file was cut off, and is whole again: who has it mapped goes on.
        Ok(opened) if known == Some(opened.id) => {}
        Ok(opened) => sys::as_a_guest(|| found(&opened, member.is_none(), now)),
        // When the library is loaded there is nobody to say it to, and a worker may be in a place from where it cannot see
        // the file that it writes. Else it is worth a line, once.
        Err(trouble) if create && member.is_none() => {
            log::warn_once(&SAID, format_args!("no counters in {}: {trouble}", path.display()));
        }
        Err(_) => {}
    }
}

/// Founds a fork group that publishes in that file. `first`: what this process has counted is not published yet.
fn found(file: &file::Opened, first: bool, now: u64) {
    let mut token = [0; 8];
    let Ok(mapping) = file.map() else { return };
    let Some(page) = sys::shared_page::<ForkGroup>().filter(|_| random::fill(&mut token)) else { return };
    let Some(own) = sys::private_page::<Member>() else { return };
    // SAFETY: a page of ours, zeroed, which is what a fork group begins as; it is never unmapped.
    let group = unsafe { page.as_ref() };
    let row = &group.row;
    row.token.store(u64::from_ne_bytes(token).max(1), Relaxed);
    row.began.store(now, Relaxed);
    row.boot.store(sys::boot_id(), Relaxed);
    // What was counted before there was a file.
    for counter in ALL.into_iter().filter(|counter| first && !counter.is_gauge()) {
        row.counters[counter as usize].store(value(counter), Relaxed);
    }
    let before = MEMBER.load(SeqCst);
    if let Some(Member { group: before, .. }) = member() {
        // A file that was removed, and another in its place: it begins at zero, but not without a chain.
        let both = row.chain.iter().zip(&before.row.chain);
        let both = both.chain([(&row.epoch, &before.row.epoch), (&row.refusal, &before.row.refusal)]);
        both.for_each(|(new, old)| new.store(old.load(Relaxed), Relaxed));
    }
    // SAFETY: a page of ours with room for it, which nobody else knows of yet.
    unsafe { own.write(Member { group, mapping, file: file.id, is_mute: AtomicBool::new(false) }) };
    // If another thread was faster, two pages are wasted.
    let _ = MEMBER.compare_exchange(before, own.as_ptr(), SeqCst, SeqCst);
}

fn member() -> Option<&'static Member> {
    // SAFETY: null, or the page that `found` published, which is never unmapped.
    NonNull::new(MEMBER.load(SeqCst)).map(|page| unsafe { page.as_ref() })
}

impl Member {
    /// Copies all to our row in the file. `counters` are those that were just raised.
    fn publish(&self, counters: &[Counter]) {
        self.group.changes.fetch_add(1, SeqCst);
        if self.is_mute.load(Relaxed) {
            return;
        }
        let (group, mapping) = (self.group, self.mapping);
        let now = clock::now();
        let published = sys::as_a_guest(|| {
            let place = group.place().map(|place| &group.row.processes[place]);
            group.row.written.store(now, Relaxed);
            let start = HEADER_LEN + group.find_row(mapping, counters, now)? * ROW_LEN;
            let write = || {
                place.map(Process::set_gauges);
                mapping.write_from(start, &group.row)
            };
            write_newest(&group.changes, write, || place.is_some_and(Process::set_gauges))?;
            group.written.store(now, Relaxed);
            Ok::<(), io::Error>(())
        });
        // Anything else is a file that is not whole just now, or full of rows: the next count tries again.
        if let Err(error) = published
            && matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS | libc::EACCES))
        {
            self.is_mute.store(true, Relaxed);
            log::warn(format_args!("no more counters: the system forbids process_vm_writev ({error})"));
        }
    }
}

impl ForkGroup {
    /// Where our row in the file is; `None` if we have none yet.
    fn index(&self) -> Option<usize> {
        usize::try_from(self.index.load(SeqCst)).ok().filter(|index| (1..ROWS).contains(index))
    }

    /// This process's place, taken now if it has none; `None` if so many others have one and live.
    fn place(&self) -> Option<usize> {
        // Not for each count: when it was last looked for in vain.
        static FULL: AtomicU32 = AtomicU32::new(u32::MAX);
        let (generation, us) = (generation(), sys::process_id());
        let known = PLACE.load(Relaxed);
        let place = known as u32 as usize;
        // It may be the place in another page: of the file that was there before this one.
        let is_ours = |process: &Process| process.who.load(Relaxed) as u32 == us;
        if (known >> 32) as u32 == generation && self.row.processes.get(place).is_some_and(is_ours) {
            return Some(place);
        }
        let now = clock::since_boot();
        if FULL.load(Relaxed) == now {
            return None;
        }
        let me = u64::from(now) << 32 | u64::from(us);
        let take = |is_free: &dyn Fn(u32) -> bool| {
            self.row.processes.iter().position(|process| {
                let other = process.who.load(SeqCst);
                is_free(other as u32) && process.who.compare_exchange(other, me, SeqCst, Relaxed).is_ok()
            })
        };
        // Ours: of another thread that was faster, or of one before us that had our number.
        let Some(place) = take(&|pid| pid == 0 || pid == us).or_else(|| take(&|pid| !sys::process_exists(pid))) else {
            FULL.store(now, Relaxed);
            return None;
        };
        self.row.processes[place].set_gauges();
        PLACE.store(u64::from(generation) << 32 | place as u64, Relaxed);
        Some(place)
    }

    /// Our row in the file, taken now if we have none or have lost it.
    fn find_row(&self, mapping: Mapping, counters: &[Counter], now: u64) -> io::Result<usize> {
        let token = self.row.token.load(Relaxed);
        if let Some(index) = self.index() {
            if owner(mapping, index)? == token {
                return Ok(index);
            }
            // The file was emptied, or our row was taken for one that is free: what we have counted is written again.
            let is_first = self.index.compare_exchange(index as u64, 0, SeqCst, SeqCst).is_ok();
            // Not if it is likely to have been added to row 0.
            if is_first && self.written.load(Relaxed).saturating_add(GIVEN_UP / 2) < now {
                for (number, counter) in self.row.counters.iter().zip(ALL) {
                    let these = counters.iter().filter(|raised| **raised == counter).count() as u64;
                    number.fetch_sub(number.load(SeqCst).wrapping_sub(these), SeqCst);
                }
            }
        }
        self.take_row(mapping, token)
    }

    /// Takes a free row. There is no way to do that atomically without touching the mapping; two fork groups that take the
    /// same row within the same microsecond are not impossible, and one of them finds out with its next count.
    fn take_row(&self, mapping: Mapping, token: u64) -> io::Result<usize> {
        for offset in 0..ROWS as u64 - 1 {
            // Tokens are random, so fork groups begin to look in different places.
            let index = 1 + (token.wrapping_add(offset) % (ROWS as u64 - 1)) as usize;
            let start = HEADER_LEN + index * ROW_LEN;
            match owner(mapping, index)? {
                0 => mapping.write_from(start, &self.row)?,
                // Another of ours is at it, or one that had not heard of a loss wrote there: a second row would count twice.
                other if other == token => {}
                _ => continue,
            }
            if owner(mapping, index)? != token {
                continue;
            }
            match self.index.compare_exchange(0, index as u64, SeqCst, SeqCst) {
                Ok(_) => return Ok(index),
                // Another of ours was faster, and has taken this row.
                Err(taken) if taken == index as u64 => return Ok(index),
                Err(_) => {
                    mapping.write(start, &[0; ROW_LEN])?;
                    return self.index().ok_or(io::ErrorKind::Other.into());
                }
            }
        }
        Err(io::ErrorKind::StorageFull.into())
    }
}

impl Row {
    fn count_in_epoch(&self, counter: Counter) {
        let column = match counter {
            Counter::Sealed => 1,
            Counter::Opened => 2,
            refused if refused.is_refusal() => 3,
            _ => return,
        };
        let epoch = self.epoch.load(Relaxed);
        let bucket = &self.history[(epoch % HISTORY as u64) as usize];
        // The counts of 16 epochs ago are there until each is raised: what they are of is in themselves.
        if bucket[0].load(Relaxed) != epoch {
            bucket[0].store(epoch, Relaxed);
        }
        add_one(&bucket[column], epoch);
    }
}

impl Process {
    /// Gauges and keys as they are in this process, whose place this is. Whether one of them was another before.
    fn set_gauges(&self) -> bool {
        let gauges = GAUGES.map(|gauge| u32::try_from(value(gauge)).unwrap_or(u32::MAX));
        let gauges = self.gauges.iter().zip(gauges);
        let keys = self.keys.iter().zip(KEYS.each_ref().map(|word| word.load(Relaxed)));
        gauges.chain(keys).fold(false, |changed, (place, now)| (place.swap(now, Relaxed) != now) | changed)
    }
}

/// Whose row it is; fails if the file is not (or no more) what it was.
fn owner(mapping: Mapping, index: usize) -> io::Result<u64> {
    let (mut magic, mut token) = ([0; MAGIC.len()], [0; 8]);
    mapping.read([(0, &mut magic), (HEADER_LEN + index * ROW_LEN + at::TOKEN, &mut token)])?;
    if magic != *MAGIC {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(u64::from_ne_bytes(token))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Barrier;

    use super::*;

    /// The file was emptied under a server, and is whole again: all its threads and processes find that out at once, and
    /// some of them still write to the row of before.
    #[test]
    fn a_fork_group_has_one_row_whoever_takes_it() {
        const TAKE: usize = 3;
        const NOW: u64 = 1_800_000_000;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stats");
        let mapping = file::open(&path, true, NOW).unwrap().map().unwrap();
        let page = sys::shared_page::<ForkGroup>().unwrap();
        // SAFETY: a page of ours, zeroed, which is what a fork group begins as; it is never unmapped.
        let group = unsafe { page.as_ref() };
        group.row.token.store(1000, SeqCst);
        group.written.store(NOW, SeqCst);
        for round in 0..500 {
            let begin = Barrier::new(TAKE + 1);
            // Of before: some rows are of others, and some rounds begin with a row of our own that nobody knows of.
            let first = 1 + 1000 % (ROWS - 1);
            for index in 0..ROWS {
                mapping.write(HEADER_LEN + index * ROW_LEN, &[0; 8]).unwrap();
            }
            if round % 2 == 1 {
                mapping.write(HEADER_LEN + first * ROW_LEN, &7u64.to_ne_bytes()).unwrap();
            }
            group.index.store(0, SeqCst);
            let late = HEADER_LEN + first * ROW_LEN;
            std::thread::scope(|scope| {
                for _ in 0..TAKE {
                    scope.spawn(|| {
                        begin.wait();
                        group.find_row(mapping, &[], NOW).unwrap();
                    });
                }
                begin.wait();
                if round % 2 == 0 {
                    mapping.write_from(late, &group.row).unwrap();
                }
            });
            let bytes = fs::read(&path).unwrap();
            let token = |index: usize| {
                let at = HEADER_LEN + index * ROW_LEN;
                u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
            };
            let ours: Vec<usize> = (1..ROWS).filter(|index| token(*index) == 1000).collect();
            assert_eq!((ours.len(), group.index()), (1, ours.first().copied()), "round {round}: {ours:?}");
        }
    }
}

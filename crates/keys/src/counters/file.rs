//! The file that counters are published in, version 2. `docs/stats-file.md` has the same in prose.
//!
//! ```text
//! header, 64 bytes:  0  16  "ticketshim-stats"
//!                   16   4  version, 2
//!                   20   4  length of a row, 2560
//!                   24   4  number of rows, 256
//!                   28   4  counters in a row that are in use
//! each row:          0   8  token: 0 if the row is free
//!                    8   8  when the row was taken     Unix seconds
//!                   16   8  when it was last written   Unix seconds
//!                   24   8  epoch of the keys
//!                   32   8  why the state file is refused, 0 if it is not
//!                   40  16  id of the chain
//!                   56   8  id of the system's start, 0 if unknown
//!                   64   8  each counter, in the order of `Counter`; room for 48; 0 for gauges
//!                  448  64  processes, 24 times: process id (low half) and when it came (high half, seconds since the
//!                           system's start), 8 bytes; each gauge, in the order of `GAUGES`, 4 bytes, room for 8;
//!                           the generation of its keys, two halves of 4 bytes, the high one first; their chain, 16 bytes
//!                 1984  32  history, 16 times: epoch, sealed, opened, refused in it (each: low 24 bits of the epoch in
//!                           the high 24 bits, count in the low 40)
//!                 2496  64  not used, 0
//! ```
//!
//! Numbers are unsigned, in the byte order of the machine. A row belongs to a *fork group*: a process that loaded the
//! library, and all that were forked from it. What a file says is the sum of its rows. Row 0 has no fork group: it is the
//! sum of rows that were given up.
//!
//! A gauge of a fork group is the most that one of its living processes has: contexts are copied when a process forks.
//!
//! There is no checksum: rows are written all the time, and what is in them is only shown.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::tagged::count_of;
use super::{COUNT, GAUGES};
use crate::state::{ChainId, Refusal, directory};
use crate::sys::{self, CName, File, Mapping, NotLocked, OwnerLock};

/// What a stats file begins with.
pub const MAGIC: &[u8; 16] = b"ticketshim-stats";
/// The version that is written and read.
pub const VERSION: u32 = 2;

pub(super) const HEADER_LEN: usize = 64;
pub(super) const ROW_LEN: usize = 2560;
pub(super) const ROWS: usize = 256;
/// Length of a stats file in bytes.
pub const LEN: usize = HEADER_LEN + ROWS * ROW_LEN;

/// Where things are in a row.
pub(super) mod at {
    pub(in super::super) const TOKEN: usize = 0;
    pub(in super::super) const BEGAN: usize = 8;
    pub(in super::super) const WRITTEN: usize = 16;
    pub(in super::super) const EPOCH: usize = 24;
    pub(in super::super) const REFUSAL: usize = 32;
    pub(in super::super) const CHAIN: usize = 40;
    pub(in super::super) const BOOT: usize = 56;
    pub(in super::super) const COUNTERS: usize = 64;
    pub(in super::super) const PROCESSES: usize = 448;
    pub(in super::super) const HISTORY: usize = 1984;
    pub(in super::super) const RESERVED: usize = 2496;
}

/// Processes that a fork group remembers. More of them count as well; the fork group lives as long as one of these does.
pub const PROCESSES: usize = 24;
pub(super) const PROCESS_LEN: usize = 64;
/// What precedes a process's gauges.
pub(super) const PROCESS_HEAD: usize = 8;
/// Places for counters in a row, and for gauges of a process: later releases have more of them.
pub(super) const COUNTER_PLACES: usize = 48;
pub(super) const GAUGE_PLACES: usize = 8;
/// What follows a process's gauges, in words of 4 bytes: the generation of its keys (high half, low half), their chain.
pub(super) const KEY_PLACES: usize = 6;

/// Epochs that a row remembers.
pub const HISTORY: usize = 16;
pub(super) const HISTORY_LEN: usize = 32;
/// Rows that nobody wrote for so many seconds are added up in row 0 when there are few free ones. Their fork groups may
/// yet live: they notice.
pub(super) const GIVEN_UP: u64 = 86_400;
/// Fewer free rows than this are few.
const FEW: usize = ROWS / 4;
const _: () = assert!(
    COUNT <= COUNTER_PLACES
        && GAUGES.len() <= GAUGE_PLACES
        && at::COUNTERS + COUNTER_PLACES * 8 == at::PROCESSES
        && PROCESS_HEAD + (GAUGE_PLACES + KEY_PLACES) * 4 == PROCESS_LEN
        && at::PROCESSES + PROCESSES * PROCESS_LEN == at::HISTORY
        && at::HISTORY + HISTORY * HISTORY_LEN == at::RESERVED
        && at::RESERVED < ROW_LEN
);

/// What a stats file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    /// The sums, in the order of [`Counter`](super::Counter).
    pub counters: [u64; COUNT],
    /// Each row in use but the sum of the old ones.
    pub fork_groups: Vec<ForkGroup>,
    /// What happened in the latest epochs, the latest first.
    pub history: Vec<InEpoch>,
}

/// A process that loaded the library, and all that were forked from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForkGroup {
    /// Its processes that are there, as this process sees process ids; at most [`PROCESSES`].
    pub processes: Vec<u32>,
    /// The keys that these have, as far as they have any.
    pub keys: Vec<ProcessKeys>,
    /// When it counted first, in Unix seconds.
    pub began: u64,
    /// When it counted last, in Unix seconds.
    pub written: u64,
    /// The epoch of its keys.
    pub epoch: u64,
    /// Its chain; `None` if it has sealed and opened nothing.
    pub chain: Option<ChainId>,
    /// Why it does not use the state file, or does not write it.
    pub refusal: Option<Refusal>,
    /// Its counters, in the order of [`Counter`](super::Counter). Of a gauge, the most that one of `processes` has.
    pub counters: [u64; COUNT],
}

/// The keys that a process has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProcessKeys {
    /// The process.
    pub process: u32,
    /// The chain that it seals under.
    pub chain: ChainId,
    /// Of its state file as it last saw it; 0 if its keys are its own.
    pub generation: u64,
}

impl ForkGroup {
    /// Whether one of its processes is there.
    pub fn lives(&self) -> bool {
        !self.processes.is_empty()
    }
}

/// What happened while an epoch's keys were in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InEpoch {
    /// The epoch.
    pub epoch: u64,
    /// Tickets sealed.
    pub sealed: u64,
    /// Tickets opened.
    pub opened: u64,
    /// Tickets refused, for whatever reason.
    pub refused: u64,
}

/// Why a stats file is not read or used. `Display` says it in words that follow the file's name.
#[derive(Debug)]
pub enum Trouble {
    /// It cannot be opened, read or written.
    Io(std::io::Error),
    /// It is not a regular file with one name.
    NotAFile,
    /// It belongs to that user, who is neither root nor us.
    Owner(u32),
    /// It is empty or cut off: the next server that is started or reloaded makes it whole.
    CutOff,
    /// It does not begin as a stats file does.
    NotStats,
    /// It has that version, or other lengths.
    Version(u32),
}

impl std::error::Error for Trouble {}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NotAFile => f.write_str("not a regular file with one name"),
            Self::Owner(uid) => write!(f, "belongs to uid {uid}: chown it, or name another path"),
            Self::CutOff => f.write_str("empty or cut off: the next server that is started or reloaded makes it whole"),
            Self::NotStats => f.write_str("not a stats file of ticketshim: name another path"),
            Self::Version(version) => {
                write!(f, "has version {version}, which this ticketshim does not know: remove it when no server runs")
            }
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a stats file.
///
/// # Errors
/// Why it cannot be read, or is none.
pub fn read(path: &Path) -> Result<Published, Trouble> {
    read_rows(path, None)
}

/// The same of those fork groups only that `wanted` says yes to: several servers may publish in one file.
///
/// # Errors
/// As [`read`].
pub fn read_of(path: &Path, wanted: impl Fn(&ForkGroup) -> bool) -> Result<Published, Trouble> {
    read_rows(path, Some(&wanted))
}

fn read_rows(path: &Path, wanted: Option<&dyn Fn(&ForkGroup) -> bool>) -> Result<Published, Trouble> {
    let mut bytes = vec![0; LEN + 1];
    let len = sys::as_a_guest(|| File::open(path)?.read(&mut bytes))?;
    bytes.truncate(len);
    check(&bytes)?;
    let rows = bytes[HEADER_LEN..].as_chunks::<ROW_LEN>().0;
    // What rows counted that were given up is nobody's any more.
    let sums = if wanted.is_none() { counters(&rows[0]) } else { [0; COUNT] };
    let mut found = Published { counters: sums, fork_groups: Vec::new(), history: Vec::new() };
    let boot = sys::as_a_guest(sys::boot_id);
    for row in rows[1..].iter().filter(|row| number(*row, at::TOKEN) != 0) {
        let group = group(row, boot);
        if !wanted.is_none_or(|wanted| wanted(&group)) {
            continue;
        }
        add_all(&mut found.counters, &group.counters);
        for index in 0..HISTORY {
            add_up(&mut found.history, in_epoch(row, index));
        }
        found.fork_groups.push(group);
    }
    found.history.sort_unstable_by_key(|one| std::cmp::Reverse(one.epoch));
    found.history.truncate(HISTORY);
    Ok(found)
}

/// A file to publish in.
pub(super) struct Opened {
    file: File,
    /// Device and inode.
    pub(super) id: [u64; 2],
}

impl Opened {
    pub(super) fn map(&self) -> std::io::Result<Mapping> {
        self.file.map_shared(LEN)
    }
}

/// Device and inode of the file at `path` if it is long enough for what is in it.
pub(super) fn is_whole(path: &Path) -> Option<[u64; 2]> {
    let stat = sys::lstat(path).ok()?;
    (stat.st_size >= LEN as libc::off_t).then_some([stat.st_dev, stat.st_ino])
}

/// Opens the file to publish in, makes it if `create` says so, and brings it in order.
pub(super) fn open(path: &Path, create: bool, now: u64) -> Result<Opened, Trouble> {
    let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_NOFOLLOW | if create { libc::O_CREAT } else { 0 };
    let file = File::open_with(path, flags, 0o644)?;
    let stat = file.stat().ok_or(Trouble::NotAFile)?;
    let us = sys::effective_user();
    // A second name may be in a place that its owner never meant to be written to.
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG || stat.st_nlink != 1 {
        return Err(Trouble::NotAFile);
    }
    if stat.st_uid != 0 && stat.st_uid != us {
        return Err(Trouble::Owner(stat.st_uid));
    }
    put_in_order(&file, path, stat.st_uid, now)?;
    Ok(Opened { file, id: [stat.st_dev, stat.st_ino] })
}

/// Without waiting for anybody: who begins a file that is empty writes what others would write.
fn put_in_order(file: &File, path: &Path, owner: libc::uid_t, now: u64) -> Result<(), Trouble> {
    let bytes = whole(file)?;
    match check(&bytes) {
        Ok(()) if is_full(&bytes) => one_at_a_time(file, path, owner, || add_up_old_rows(file, now)),
        Ok(()) => Ok(()),
        // A file that was truncated is begun anew.
        Err(Trouble::CutOff) => {
            // Disk space now, where it can be said, rather than later, where it cannot.
            file.reserve(LEN)?;
            file.write_at(&header(), 0)?;
            Ok(())
        }
        Err(trouble) => Err(trouble),
    }
}

fn whole(file: &File) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    // In somebody else's process "no memory" is an answer.
    bytes.try_reserve_exact(LEN + 1).map_err(|_| std::io::Error::from(std::io::ErrorKind::OutOfMemory))?;
    bytes.resize(LEN + 1, 0);
    let len = file.read_at(&mut bytes, 0)?;
    bytes.truncate(len);
    Ok(bytes)
}

fn is_full(bytes: &[u8]) -> bool {
    let rows = bytes[HEADER_LEN..].as_chunks::<ROW_LEN>().0;
    rows[1..].iter().filter(|row| number(*row, at::TOKEN) == 0).count() < FEW
}

/// Does what only one process may do at a time; not now, if another is at it.
fn one_at_a_time(
    file: &File,
    path: &Path,
    owner: libc::uid_t,
    work: impl FnOnce() -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let name = path.file_name().map_or(&b""[..], |name| name.as_bytes());
    let dir = File::open_with(directory(path), libc::O_RDONLY | libc::O_DIRECTORY, 0);
    if let (Ok(dir), Ok(lock_name)) = (dir, CName::<272>::new(&[b".", name, b".lock"]))
        && [owner, 0].contains(&sys::effective_user())
    {
        match OwnerLock::try_take(&dir, &lock_name, owner) {
            Ok(lock) => {
                let done = work();
                lock.give_back(&dir, &lock_name);
                return done;
            }
            Err(NotLocked::Busy) => return Ok(()),
            Err(_) => {}
        }
    }
    // A directory that we may not write to. Whoever can read the file could hold this lock: then old rows stay.
    if file.try_lock().is_err() {
        return Ok(());
    }
    let done = work();
    file.unlock();
    done
}

fn add_up_old_rows(file: &File, now: u64) -> Result<(), Trouble> {
    let bytes = whole(file)?;
    check(&bytes)?;
    let rows = bytes[HEADER_LEN..].as_chunks::<ROW_LEN>().0;
    let mut sums = counters(&rows[0]);
    for (index, row) in rows.iter().enumerate().skip(1) {
        if number(row, at::TOKEN) != 0 && number(row, at::WRITTEN).saturating_add(GIVEN_UP) < now {
            add_all(&mut sums, &counters(row));
            file.write_at(&[0; ROW_LEN], HEADER_LEN + index * ROW_LEN)?;
        }
    }
    let sums = sums.map(u64::to_ne_bytes);
    file.write_at(sums.as_flattened(), HEADER_LEN + at::COUNTERS)?;
    Ok(())
}

fn header() -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..16].copy_from_slice(MAGIC);
    let numbers = [VERSION, ROW_LEN as u32, ROWS as u32, COUNT as u32];
    for (place, number) in bytes[16..].as_chunks_mut().0.iter_mut().zip(numbers) {
        *place = number.to_ne_bytes();
    }
    bytes
}

fn check(bytes: &[u8]) -> Result<(), Trouble> {
    let start = &bytes[..bytes.len().min(HEADER_LEN)];
    if start.iter().all(|b| *b == 0) || bytes.len() < LEN && MAGIC.starts_with(&start[..start.len().min(16)]) {
        return Err(Trouble::CutOff);
    }
    if !start.starts_with(MAGIC) {
        return Err(Trouble::NotStats);
    }
    if bytes.len() < LEN {
        return Err(Trouble::CutOff);
    }
    let ours = header();
    // How many counters are in use may differ from one build to the next: what is missing is zero.
    if start[16..28] != ours[16..28] {
        let version = start[16..].first_chunk().copied().map_or(0, u32::from_ne_bytes);
        return Err(Trouble::Version(version));
    }
    Ok(())
}

fn number(row: &[u8], at: usize) -> u64 {
    row[at..].first_chunk().copied().map_or(0, u64::from_ne_bytes)
}

fn counters(row: &[u8]) -> [u64; COUNT] {
    std::array::from_fn(|i| number(row, at::COUNTERS + i * 8))
}

fn add_all(sums: &mut [u64; COUNT], values: &[u64; COUNT]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum = sum.wrapping_add(*value);
    }
}

fn in_epoch(row: &[u8], index: usize) -> InEpoch {
    let [epoch, sealed, opened, refused] =
        std::array::from_fn(|i| number(row, at::HISTORY + index * HISTORY_LEN + i * 8));
    let [sealed, opened, refused] = [sealed, opened, refused].map(|word| count_of(word, epoch));
    InEpoch { epoch, sealed, opened, refused }
}

fn add_up(history: &mut Vec<InEpoch>, one: InEpoch) {
    if one == InEpoch::default() {
        return;
    }
    match history.iter_mut().find(|known| known.epoch == one.epoch) {
        None => history.push(one),
        Some(known) => {
            known.sealed += one.sealed;
            known.opened += one.opened;
            known.refused += one.refused;
        }
    }
}

fn group(row: &[u8; ROW_LEN], boot: u64) -> ForkGroup {
    let chain = ChainId(row[at::CHAIN..].first_chunk().copied().unwrap_or_default());
    let mut group = ForkGroup {
        processes: Vec::new(),
        keys: Vec::new(),
        began: number(row, at::BEGAN),
        written: number(row, at::WRITTEN),
        epoch: number(row, at::EPOCH),
        chain: (chain.0 != [0; 16]).then_some(chain),
        refusal: Refusal::from_word(number(row, at::REFUSAL)),
        counters: counters(row),
    };
    let theirs = number(row, at::BOOT);
    if boot != 0 && theirs != 0 && boot != theirs {
        // Process ids of another start of the system.
        return group;
    }
    for process in row[at::PROCESSES..at::HISTORY].as_chunks::<PROCESS_LEN>().0 {
        let who = number(process, 0);
        let (pid, came) = (who as u32, (who >> 32) as u32);
        let gauges = process[PROCESS_HEAD..].as_chunks().0.iter().copied().map(u32::from_ne_bytes);
        if !is_there(pid, came) {
            continue;
        }
        group.processes.push(pid);
        for (gauge, value) in GAUGES.into_iter().zip(gauges) {
            let most = &mut group.counters[gauge as usize];
            *most = u64::from(value).max(*most);
        }
        group.keys.extend(keys_of(pid, process));
    }
    group
}

fn keys_of(pid: u32, process: &[u8; PROCESS_LEN]) -> Option<ProcessKeys> {
    let (generation, chain) = process[PROCESS_HEAD + GAUGE_PLACES * 4..].split_first_chunk::<8>()?;
    let [high, low] = [0, 4].map(|at| generation[at..].first_chunk().copied().map_or(0, u32::from_ne_bytes));
    let chain = ChainId(*chain.first_chunk()?);
    let generation = u64::from(high) << 32 | u64::from(low);
    (chain.0 != [0; 16]).then_some(ProcessKeys { process: pid, chain, generation })
}

/// Whether the process is there that came at that time, and no later one of its number.
fn is_there(pid: u32, came: u32) -> bool {
    // Both times are rounded down, and the kernel's clock may be a tick late.
    let is_that = |(state, started)| state != 'Z' && started <= u64::from(came) + 1;
    sys::process_exists(pid) && sys::process_stat(pid).is_none_or(is_that)
}

//! What a dump of a running process shows: no chain value and no ticket key; and nothing at all of what has left the
//! accept window, not even in the memory that a dump leaves out.

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Finder, HOUR, Process, given, make_state, say, schedule, settings, wait};
use ticketshim_core::ratchet::Chain;
use ticketshim_keys::clock;
use ticketshim_keys::state::{self, State};
use ticketshim_keys::store::Store;

/// A piece of another process's memory.
struct Region {
    name: String,
    bytes: Vec<u8>,
    in_dumps: bool,
}

/// All of a process's memory that it could have written to.
fn memory_of(pid: u32) -> Vec<Region> {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut regions: Vec<Region> = Vec::new();
    for line in maps.lines() {
        let first = line.split(' ').next().unwrap_or_default();
        if let Some((start, end)) = first.split_once('-') {
            let hex = |text| u64::from_str_radix(text, 16).unwrap();
            let writable = line.split(' ').nth(1).is_some_and(|permissions| permissions.contains('w'));
            let mut bytes = vec![0; if writable { (hex(end) - hex(start)) as usize } else { 0 }];
            // What cannot be read (the kernel's own pages) cannot be dumped either.
            if memory.read_exact_at(&mut bytes, hex(start)).is_err() {
                bytes.clear();
            }
            regions.push(Region { name: line.to_owned(), bytes, in_dumps: true });
        } else if let (Some(flags), Some(region)) = (line.strip_prefix("VmFlags:"), regions.last_mut()) {
            region.in_dumps = !flags.split(' ').any(|flag| flag == "dd");
        }
    }
    assert!(regions.iter().any(|r| !r.in_dumps && !r.bytes.is_empty()), "the memory of the keys was looked at");
    regions
}

const ALL: [&str; 4] = ["link", "era", "mac", "root"];
/// The secret of the next era stays the same for a whole era, so it is there as long as the ring is.
const GONE_WITH_THE_EPOCH: [&str; 3] = ["link", "mac", "root"];

/// What is found in memory that is in dumps, and where.
fn dumped(regions: &[Region], finder: &Finder) -> Vec<String> {
    let dumped = regions.iter().filter(|region| region.in_dumps);
    let found = dumped.map(|region| (finder.find(&region.bytes), &region.name)).filter(|(found, _)| !found.is_empty());
    found.map(|(found, name)| format!("{found:?} in {name}")).collect()
}

/// What is found anywhere.
fn anywhere(regions: &[Region], finder: &Finder) -> BTreeSet<(&'static str, u64)> {
    regions.iter().flat_map(|region| finder.find(&region.bytes)).collect()
}

#[test]
fn process_with_keys() {
    let (Some(file), Some(start)) = (given("FILE"), given("START")) else { return };
    let start: u64 = start.parse().unwrap();
    let store = Store::open(&settings(Some(Path::new(&file))));
    store.ensure_state();
    for hours in 0..=10 {
        let now = start + hours * HOUR;
        let ring = store.read(now).unwrap();
        assert!(ring.sealing(now).is_some() && store.salt().is_some());
    }
    // From another thread, which has another stack.
    std::thread::scope(|scope| {
        scope.spawn(|| drop(store.read(start + 11 * HOUR).unwrap())).join().unwrap();
    });
    say("has rotated");
    wait();
    drop(store.read(start + 11 * HOUR + 1).unwrap());
    say("has reloaded");
    wait();
}

struct Server {
    process: Process,
    _dir: tempfile::TempDir,
    file: PathBuf,
    chain: Chain,
    start: u64,
}

fn server() -> Server {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state");
    let start = clock::now();
    let chain = make_state(&file, start);
    let mut process =
        Process::start("process_with_keys", &[("FILE", file.to_str().unwrap()), ("START", &start.to_string())]);
    assert_eq!(process.hear(), "has rotated");
    Server { process, _dir: dir, file, chain, start }
}

#[test]
fn no_secret_is_outside_of_the_memory_made_for_it_and_none_outlives_its_window() {
    let mut server = server();
    let (first, current) = (server.start / HOUR, server.start / HOUR + 11);
    let everything = Finder::new(&server.chain, first..current + 3, &ALL);
    let erased = Finder::new(&server.chain, first..current - 3, &GONE_WITH_THE_EPOCH);
    let regions = memory_of(server.process.child.id());
    assert_eq!(dumped(&regions, &everything), [""; 0]);
    assert_eq!(anywhere(&regions, &erased), BTreeSet::new());
    let live = anywhere(&regions, &everything);
    assert!(live.contains(&("root", current)) && live.contains(&("link", current + 2)), "the search works: {live:?}");

    // Another chain: read from the file again, and the ring made anew.
    let new = State::random(schedule(), server.start + 11 * HOUR).unwrap();
    state::reseed_now(&server.file, &new, server.start + 11 * HOUR).unwrap();
    let new = common::chain_of(&server.file);
    server.process.go_on();
    assert_eq!(server.process.hear(), "has reloaded");
    let regions = memory_of(server.process.child.id());
    let everything_new = Finder::new(&new, current..current + 3, &ALL);
    assert_eq!(dumped(&regions, &everything), [""; 0]);
    assert_eq!(dumped(&regions, &everything_new), [""; 0]);
    assert!(anywhere(&regions, &everything_new).contains(&("root", current)));
    assert!(server.process.end().success());
}

#[test]
fn a_core_dump_has_no_secret() {
    let server = server();
    let dir = tempfile::tempdir().unwrap();
    let core = dir.path().join("core");
    let pid = server.process.child.id().to_string();
    // gdb is the system's, and so is its OpenSSL, also where OPENSSL_DIR has the tests run with another.
    match Command::new("gcore").arg("-o").arg(&core).arg(&pid).env_remove("LD_LIBRARY_PATH").output() {
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped: gcore (gdb): {error}");
            eprintln!("skipped: gcore (gdb): {error}");
        }
        Ok(output) => {
            let bytes = fs::read(dir.path().join(format!("core.{pid}")));
            let bytes = bytes.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
            let first = server.start / HOUR;
            let everything = Finder::new(&server.chain, first..first + 14, &ALL);
            assert_eq!(everything.find(&bytes), BTreeSet::new());
        }
    }
    assert!(server.process.end().success());
}

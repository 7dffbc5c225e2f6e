//! Counters of many processes in one file, and what may be done to that file meanwhile.

mod common;

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use common::{Process, ended_well, fork, given, is_root, say, settings, wait};
use ticketshim_keys::clock;
use ticketshim_keys::counters::file::{self, Published};
use ticketshim_keys::counters::{COUNT, Counter, add, sub};
use ticketshim_keys::settings::Settings;
use ticketshim_keys::store::Store;

const EACH: u64 = 500;

fn store(file: &str) -> Store {
    let store = Store::open(&Settings { stats: Some(PathBuf::from(file)), ..settings(None) });
    store.ensure_state();
    store
}

fn count(found: &Published, counter: Counter) -> u64 {
    found.counters[counter as usize]
}

/// Counts as a server with four workers does: before the first ticket, in the workers, and in the master.
#[test]
fn process_with_workers() {
    let Some(file) = given("FILE") else { return };
    let store = store(&file);
    add(Counter::Attached);
    let workers: Vec<_> = (0..4)
        .map(|_| {
            fork(|| {
                assert!(store.read(clock::now()).is_some());
                for _ in 0..EACH {
                    add(Counter::Sealed);
                    add(Counter::RefusedBinding);
                }
                // It frees what its master made.
                sub(Counter::Attached);
            })
        })
        .collect();
    assert!(workers.into_iter().all(ended_well));
    add(Counter::Opened);
    say("has counted");
    wait();
}

/// A worker that was taken over fills what it shares with its master with an address in that one's own memory, where
/// something lies that looks like a stats file.
#[test]
fn process_with_a_hostile_worker() {
    let Some(file) = given("FILE") else { return };
    let _store = store(&file);
    add(Counter::Sealed);
    // A header of 64 bytes and 256 rows, all free by their tokens (docs/stats-file.md).
    let mut like_a_file = vec![0xaau8; file::LEN];
    like_a_file[..file::MAGIC.len()].copy_from_slice(file::MAGIC);
    for row in like_a_file[64..].chunks_exact_mut((file::LEN - 64) / 256) {
        row[..8].fill(0);
    }
    let before = like_a_file.clone();
    let address = like_a_file.as_ptr().expose_provenance() as u64;
    let worker = fork(|| {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut scribbled = 0;
        for line in maps.lines().filter(|line| line.contains(" rw-s ") && line.contains("/dev/zero")) {
            let (from, to) = line.split(' ').next().and_then(|range| range.split_once('-')).unwrap();
            let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).unwrap());
            let words = address.to_ne_bytes().repeat((to - from) as usize / 8);
            let memory = OpenOptions::new().write(true).open("/proc/self/mem").unwrap();
            std::os::unix::fs::FileExt::write_all_at(&memory, &words, from).unwrap();
            scribbled += 1;
        }
        assert!(scribbled > 0, "{maps}");
    });
    assert!(ended_well(worker));
    for _ in 0..3 {
        add(Counter::Sealed);
    }
    assert!(like_a_file == before, "the master wrote where its worker said");
    say("lives");
    wait();
}

#[test]
fn a_worker_does_not_say_where_its_master_writes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stats");
    let mut process = Process::start("process_with_a_hostile_worker", &[("FILE", file.to_str().unwrap())]);
    assert!(process.hear().contains("lives"));
    assert!(process.end().success());
    assert_eq!(fs::metadata(&file).unwrap().len(), file::LEN as u64);
}

#[test]
fn workers_counts_are_all_there_and_a_restart_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stats");
    for start in 1..=3 {
        let mut process = Process::start("process_with_workers", &[("FILE", file.to_str().unwrap())]);
        process.hear();
        let found = file::read(&file).unwrap();
        let sealed = start * 4 * EACH;
        assert_eq!(count(&found, Counter::Sealed), sealed);
        assert_eq!(count(&found, Counter::RefusedBinding), sealed);
        assert_eq!(count(&found, Counter::Opened), start);
        assert_eq!(count(&found, Counter::Attached), 1, "those of servers that ended do not count");
        assert_eq!(found.fork_groups.len() as u64, start);
        let group = found.fork_groups.iter().find(|group| group.lives()).unwrap();
        assert!(group.processes == [process.child.id()] && group.chain.is_some() && group.epoch > 0);
        assert_eq!(found.history.iter().map(|epoch| epoch.sealed).sum::<u64>(), sealed);
        assert_eq!(found.history.iter().map(|epoch| epoch.refused).sum::<u64>(), sealed);
        assert!(process.end().success());
    }
}

/// As a daemon: the process that made the contexts forks one that stays, and ends; nobody counts a thing from there on.
#[test]
fn process_that_moves_to_the_background() {
    let Some(file) = given("FILE") else { return };
    let _store = store(&file);
    for counter in [Counter::Attached, Counter::Attached, Counter::Detached, Counter::DetachedRawKeys] {
        add(counter);
    }
    fork(|| {
        say(&std::process::id().to_string());
        wait();
        // A reload: it frees one that its parent made.
        sub(Counter::Attached);
        say("has freed one");
        wait();
    });
}

#[test]
fn a_daemon_is_there_before_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stats");
    let mut process = Process::start("process_that_moves_to_the_background", &[("FILE", file.to_str().unwrap())]);
    let daemon: u32 = process.hear().parse().unwrap();
    process.child.wait().unwrap();
    let gauges = || {
        let found = file::read(&file).unwrap();
        assert_eq!(found.fork_groups[0].processes, [daemon]);
        [Counter::Attached, Counter::Detached, Counter::DetachedRawKeys].map(|counter| count(&found, counter))
    };
    assert_eq!(gauges(), [2, 1, 1]);
    process.go_on();
    assert_eq!(process.hear(), "has freed one");
    assert_eq!(gauges(), [1, 1, 1]);
    assert!(process.end().success());
    let gone = Instant::now() + Duration::from_secs(10);
    while file::read(&file).unwrap().fork_groups[0].lives() {
        assert!(Instant::now() < gone, "who has ended is not there");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(count(&file::read(&file).unwrap(), Counter::Attached), 0);
}

/// More processes than there are places, one after the other and at once.
#[test]
fn process_with_a_crowd() {
    let Some(file) = given("FILE") else { return };
    let _store = store(&file);
    add(Counter::Attached);
    let crowd = |work: fn()| -> Vec<_> { (0..40).map(|_| fork(work)).collect() };
    for _ in 0..2 {
        assert!(crowd(|| add(Counter::Opened)).into_iter().all(ended_well));
    }
    let waiting = crowd(|| {
        add(Counter::Opened);
        wait();
    });
    // All that count have counted when the sum is there.
    while count(&file::read(Path::new(&file)).unwrap(), Counter::Opened) < 120 {
        std::thread::sleep(Duration::from_millis(5));
    }
    say("all are there");
    assert!(waiting.into_iter().all(ended_well));
    say("all have gone");
    wait();
}

#[test]
fn places_are_taken_by_who_lives() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stats");
    let mut process = Process::start("process_with_a_crowd", &[("FILE", file.to_str().unwrap())]);
    process.hear();
    let found = file::read(&file).unwrap();
    assert_eq!((count(&found, Counter::Opened), count(&found, Counter::Attached)), (120, 1));
    assert_eq!(found.fork_groups[0].processes.len(), file::PROCESSES);
    assert!(found.fork_groups[0].processes.contains(&process.child.id()));
    for _ in 0..40 {
        process.go_on();
    }
    process.hear();
    let found = file::read(&file).unwrap();
    assert_eq!(found.fork_groups[0].processes, [process.child.id()]);
    assert_eq!(count(&found, Counter::Attached), 1);
    assert!(process.end().success());
}

#[test]
fn process_that_counts_without_pause() {
    let Some(file) = given("FILE") else { return };
    let _store = store(&file);
    let stop = AtomicBool::new(false);
    say("counts");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    add(Counter::Opened);
                }
            });
        }
        wait();
        stop.store(true, SeqCst);
    });
    add(Counter::Sealed);
    say("has counted");
    wait();
}

#[test]
fn whatever_is_done_to_the_file_the_server_lives_and_other_files_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stats");
    let precious = vec![b'x'; file::LEN + 100];
    let mut process = Process::start("process_that_counts_without_pause", &[("FILE", file.to_str().unwrap())]);
    process.hear();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        let open = OpenOptions::new().write(true).open(&file).unwrap();
        for len in [0, 64, 5000, 0, file::LEN as u64 * 2] {
            open.set_len(len).unwrap();
        }
    }
    // In place, as `cp` does. Who has just seen that the file is ours may write to it once more.
    fs::write(&file, &precious).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    fs::write(&file, &precious).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(fs::read(&file).unwrap(), precious);
    // Emptied, and made whole by somebody who starts: the one that was there all the time is in it again.
    OpenOptions::new().write(true).open(&file).unwrap().set_len(0).unwrap();
    let mut other = Process::start("process_with_workers", &[("FILE", file.to_str().unwrap())]);
    other.hear();
    process.go_on();
    assert_eq!(process.hear(), "has counted");
    let found = file::read(&file).unwrap();
    assert_eq!(found.fork_groups.len(), 2);
    assert_eq!(count(&found, Counter::Sealed), 4 * EACH + 1);
    assert!(count(&found, Counter::Opened) > 100);
    fs::remove_file(&file).unwrap();
    assert!(process.end().success() && other.end().success());
}

#[test]
fn process_that_gives_up_its_rights_and_counts() {
    let Some(file) = given("FILE") else { return };
    let store = store(&file);
    // SAFETY: a C string that lives for ever; this process only.
    assert_eq!(unsafe { libc::chroot(c"/var/empty".as_ptr()) }, 0);
    // SAFETY: as a daemon does; what is open here is used by nobody any more.
    assert_eq!(unsafe { libc::close_range(3, u32::MAX, 0) }, 0);
    // SAFETY: no preconditions.
    assert_eq!(unsafe { libc::setuid(54321) }, 0);
    assert!(store.read(clock::now()).is_some());
    let worker = fork(|| add(Counter::Sealed));
    assert!(ended_well(worker));
    add(Counter::Sealed);
}

#[test]
fn without_rights_root_and_descriptors_counts_still_arrive() {
    if !is_root() {
        return;
    }
    fs::create_dir_all("/var/empty").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stats");
    let process = Process::start("process_that_gives_up_its_rights_and_counts", &[("FILE", file.to_str().unwrap())]);
    assert!(process.end().success());
    assert_eq!(count(&file::read(&file).unwrap(), Counter::Sealed), 2);
}

/// A server that is reloaded, by which it makes a context, each time it is told to, and counts.
#[test]
fn process_that_is_reloaded() {
    let Some(file) = given("FILE") else { return };
    let store = store(&file);
    loop {
        add(Counter::Sealed);
        assert!(ended_well(fork(|| add(Counter::Opened))));
        say("has counted");
        wait();
        // It looks for the file once a second.
        std::thread::sleep(Duration::from_millis(1100));
        store.ensure_state();
    }
}

#[test]
fn a_file_that_was_emptied_or_removed_is_made_again_by_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stats");
    let mut process = Process::start("process_that_is_reloaded", &[("FILE", file.to_str().unwrap())]);
    let mut counted = || {
        process.hear();
        let found = file::read(&file).unwrap();
        assert_eq!(found.fork_groups.len(), 1);
        process.go_on();
        (count(&found, Counter::Sealed), count(&found, Counter::Opened))
    };
    assert_eq!(counted(), (1, 1));
    assert_eq!(counted(), (2, 2), "nothing happened to it");
    OpenOptions::new().write(true).open(&file).unwrap().set_len(0).unwrap();
    assert_eq!(counted(), (3, 3), "its fork group goes on");
    fs::remove_file(&file).unwrap();
    assert_eq!(counted(), (1, 1), "another file, from zero");
    assert_eq!(counted(), (2, 2));
    process.child.kill().unwrap();
    process.child.wait().unwrap();
}

#[test]
fn without_a_file_nothing_is_published() {
    let before = ticketshim_keys::counters::snapshot();
    add(Counter::Failures);
    let after = ticketshim_keys::counters::snapshot();
    assert_eq!(after[Counter::Failures as usize], before[Counter::Failures as usize] + 1);
    assert_eq!(after.len(), COUNT);
    assert!(file::read(Path::new("/nonexistent/stats")).is_err());
}

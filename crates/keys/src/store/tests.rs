//! A store over time, and over a state file that changes under it. Time is a parameter; what needs processes is in
//! `tests/`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;
use ticketshim_core::{EpochLength, Found, KeyName};

use super::*;
use crate::state::{KeyTimes, State};

const HOUR: u64 = 3600;
const NOW: u64 = 1_800_000_000;

fn schedule() -> Schedule {
    Schedule::new(EpochLength::new(HOUR as u32).unwrap(), 3 * HOUR)
}

/// A directory for a state file, and the settings that name it.
struct Host {
    _dir: TempDir,
    file: PathBuf,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { file: dir.path().join("state"), _dir: dir }
    }

    fn with_file(now: u64) -> Self {
        let host = Self::new();
        state::create(&host.file, &State::random(schedule(), now).unwrap()).unwrap();
        host
    }

    /// A process that starts and makes its first context at `now`.
    fn start(&self, now: u64) -> Store {
        let store = Store::open(&self.settings());
        store.ensure_state_at(now);
        store
    }

    fn settings(&self) -> Settings {
        Settings { state: Some(self.file.clone()), accept: 3 * HOUR, ..Settings::default() }
    }

    fn mode(&self, mode: u32) {
        fs::set_permissions(&self.file, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn keys(&self, now: u64) -> Vec<KeyTimes> {
        state::read(&self.file).unwrap().keys(now).unwrap()
    }
}

fn name(store: &Store, now: u64) -> KeyName {
    store.read(now).unwrap().sealing(now).unwrap().name
}

fn opens(store: &Store, name: &KeyName, now: u64) -> bool {
    matches!(store.read(now).unwrap().find(name, now), Found::Keys { .. })
}

fn names(store: &Store, now: u64) -> Vec<KeyName> {
    store.read(now).unwrap().epochs().map(|epoch| epoch.name).collect()
}

#[test]
fn without_a_file_keys_rotate_and_are_this_stores_own() {
    let settings = Settings { accept: 3 * HOUR, ..Settings::default() };
    let (a, b) = (Store::open(&settings), Store::open(&settings));
    let now = clock::now();
    let first = name(&a, now);
    assert!(!opens(&b, &first, now));
    for hours in 1..10 {
        let later = now + hours * HOUR;
        assert_ne!(name(&a, later), first);
        assert_eq!(opens(&a, &first, later), hours <= 3, "{hours} hours later");
    }
    let status = a.status();
    assert_eq!((status.from_file, status.refusal, status.epoch), (false, None, Some((now + 9 * HOUR) / HOUR)));
    assert_ne!(status.chain, b.status().chain);
    assert!(a.seed.read(generation()).is_none(), "the seed is erased once there is a ring");
}

#[test]
fn loading_creates_nothing_and_the_first_context_creates_the_file() {
    let host = Host::new();
    let now = clock::now();
    let store = Store::open(&host.settings());
    assert!(!host.file.exists());
    let before = store.status();
    store.ensure_state_at(now);
    let file = state::read(&host.file).unwrap();
    assert_eq!((Some(file.in_use(now).id), store.status().chain), (before.chain, before.chain));
    assert!(store.status().from_file);
    // A restart, and another server on the same file.
    let again = host.start(now);
    assert_eq!(names(&again, now), names(&store, now));
    assert_eq!(again.status().chain, store.status().chain);
}

#[test]
fn of_two_that_start_without_a_file_the_second_takes_the_firsts() {
    let host = Host::new();
    let now = clock::now();
    let (a, b) = (Store::open(&host.settings()), Store::open(&host.settings()));
    assert_ne!(a.status().chain, b.status().chain);
    a.ensure_state_at(now);
    b.ensure_state_at(now);
    assert_eq!(a.status().chain, b.status().chain);
    assert_eq!(names(&a, now), names(&b, now));
    assert_eq!(counters_of_reloads(|| assert!(b.read(now + 1).is_some())), 0);
}

fn counters_of_reloads(work: impl FnOnce()) -> u64 {
    let before = counters::snapshot()[Counter::Reloads as usize];
    work();
    counters::snapshot()[Counter::Reloads as usize] - before
}

#[test]
fn a_restart_opens_the_window_and_nothing_older() {
    let host = Host::with_file(NOW);
    let store = host.start(NOW);
    let sealed: Vec<KeyName> = (0..8).map(|hours| name(&store, NOW + hours * HOUR)).collect();
    let again = host.start(NOW + 7 * HOUR);
    for (hours, name) in sealed.iter().enumerate() {
        assert_eq!(opens(&again, name, NOW + 7 * HOUR), hours >= 4, "sealed {hours} hours after the start");
    }
    assert_eq!(state::read(&host.file).unwrap().in_use(NOW).epoch, NOW / HOUR + 4, "the start advanced the file");
}

#[test]
fn copies_made_days_apart_agree() {
    let (a, b) = (Host::with_file(NOW), Host::new());
    let store = a.start(NOW + 2 * HOUR);
    fs::copy(&a.file, &b.file).unwrap();
    b.mode(0o600);
    let later = NOW + 100 * HOUR;
    let first = names(&store, later);
    assert_eq!(first, names(&b.start(later), later));
    // Ten minutes ahead or behind is nothing, whichever side seals.
    for skewed in [later - 600, later + 600] {
        let other = b.start(skewed);
        assert!(opens(&store, &name(&other, skewed), later));
        assert!(opens(&other, &name(&store, later), skewed));
    }
}

#[test]
fn a_file_that_was_reseeded_now_is_in_force_within_a_second_and_opens_nothing_old() {
    let host = Host::with_file(NOW);
    let store = host.start(NOW);
    let old = name(&store, NOW);
    let new = State::random(schedule(), NOW).unwrap();
    state::announce(&host.file, &State::random(schedule(), NOW).unwrap(), NOW + 2 * HOUR, NOW).unwrap();
    state::reseed_now(&host.file, &new, NOW).unwrap();
    assert_eq!(name(&store, NOW), old, "at most one look a second");
    assert_eq!(counters_of_reloads(|| assert_ne!(name(&store, NOW + 1), old)), 1);
    assert_eq!((store.status().chain, store.status().generation), (Some(new.in_use(NOW).id), 3));
    assert!(!opens(&store, &old, NOW + 1));
    assert_eq!(names(&host.start(NOW + 2), NOW + 2), names(&store, NOW + 2));
}

#[test]
fn an_announced_chain_loses_nothing_over_restarts_and_late_readers() {
    let host = Host::with_file(NOW);
    let mut stores = [host.start(NOW), host.start(NOW)];
    let use_at = NOW + HOUR + HOUR / 2;
    let new = State::random(schedule(), NOW).unwrap();
    state::announce(&host.file, &new, use_at, NOW).unwrap();
    let mut sealed: Vec<(u64, KeyName)> = Vec::new();
    for now in (NOW + 1..use_at + 9 * HOUR).step_by(900) {
        // One of them starts again each time, and the file is advanced as a timer would.
        stores[now as usize / 900 % 2] = host.start(now);
        state::advance(&host.file, now, false).unwrap();
        let [a, b] = [0, 1].map(|at| name(&stores[at], now));
        assert_eq!(a, b);
        assert_eq!(stores[0].status().chain == Some(new.in_use(now).id), now >= use_at, "{}", now - NOW);
        sealed.push((now, a));
        for (then, name) in &sealed {
            let age = now - then;
            let both = [0, 1].map(|at| opens(&stores[at], name, now));
            assert!(age > 3 * HOUR || both == [true; 2], "sealed {age} s before, {} s after the start", now - NOW);
            assert!(age < 4 * HOUR || both == [false; 2], "sealed {age} s before, {} s after the start", now - NOW);
        }
    }
    assert_eq!(state::read(&host.file).unwrap().chains(use_at + 9 * HOUR).len(), 1, "the old chain is erased on disk");
}

#[test]
fn a_running_server_never_goes_back() {
    let host = Host::with_file(NOW);
    let before = fs::read(&host.file).unwrap();
    let store = host.start(NOW);
    state::reseed_now(&host.file, &State::random(schedule(), NOW).unwrap(), NOW).unwrap();
    let current = name(&store, NOW + 1);
    fs::write(&host.file, &before).unwrap();
    assert_eq!(name(&store, NOW + 2), current);
    assert_eq!((store.status().refusal, store.status().generation), (Some(Refusal::Older(1)), 2));
    // A master that has sealed nothing neither.
    let master = Host::with_file(NOW);
    let store = master.start(NOW);
    let before = fs::read(&master.file).unwrap();
    state::reseed_now(&master.file, &State::random(schedule(), NOW).unwrap(), NOW).unwrap();
    store.ensure_state_at(NOW + 1);
    let chain = store.status().chain;
    fs::write(&master.file, &before).unwrap();
    store.ensure_state_at(NOW + 2);
    assert_eq!((store.status().refusal, store.status().chain), (Some(Refusal::Older(1)), chain));
}

#[test]
fn a_file_that_a_wrong_clock_made_does_not_replace_a_right_one() {
    let host = Host::with_file(NOW);
    let store = host.start(NOW);
    let current = name(&store, NOW);
    let ahead = NOW + 5 * HOUR;
    state::reseed_now(&host.file, &State::random(schedule(), ahead).unwrap(), ahead).unwrap();
    assert_eq!(name(&store, NOW + 1), current);
    assert!(matches!(store.status().refusal, Some(Refusal::AheadOfClock(_))));
    // A clock that is a little off is none of its business.
    let near = NOW + 2 * HOUR;
    state::reseed_now(&host.file, &State::random(schedule(), near).unwrap(), near).unwrap();
    assert_ne!(name(&store, NOW + 2), current);
    assert_eq!(store.status().refusal, None);
}

#[test]
fn an_advance_by_somebody_else_changes_nothing() {
    let host = Host::with_file(NOW);
    let store = host.start(NOW);
    let before = names(&store, NOW + HOUR);
    state::advance(&host.file, NOW + 3 * HOUR, false).unwrap();
    assert_eq!(counters_of_reloads(|| assert_eq!(names(&store, NOW + HOUR + 1), before)), 0);
}

#[test]
fn a_bad_replacement_is_refused_and_the_keys_stay() {
    let host = Host::with_file(NOW);
    let store = host.start(NOW);
    let good = fs::read(&host.file).unwrap();
    let old = name(&store, NOW);
    let mut bad = good.clone();
    bad[100] ^= 1;
    type Change<'a> = (&'a dyn Fn(), Refusal);
    let changes: [Change<'_>; 4] = [
        (&|| fs::write(&host.file, &good[..151]).unwrap(), Refusal::Truncated(151)),
        (&|| fs::write(&host.file, &bad).unwrap(), Refusal::Checksum),
        (&|| host.mode(0o644), Refusal::Mode(0o644)),
        (&|| host.mode(0o604), Refusal::Mode(0o604)),
    ];
    for (second, (change, refusal)) in (1..).zip(&changes) {
        change();
        assert_eq!(name(&store, NOW + second), old);
        assert_eq!(store.status().refusal, Some(*refusal));
        assert!(store.status().from_file);
    }
    fs::remove_file(&host.file).unwrap();
    assert_eq!(name(&store, NOW + 20), old);
    // Made again, with another chain: which of the two is the newer cannot be told.
    state::create(&host.file, &State::random(schedule(), NOW).unwrap()).unwrap();
    assert_eq!(name(&store, NOW + 21), old);
    assert_eq!(store.status().refusal, Some(Refusal::Conflict(1)));
    // Mended, by what makes it the newer.
    let new = State::random(schedule(), NOW).unwrap();
    state::reseed_now(&host.file, &new, NOW).unwrap();
    assert_ne!(name(&store, NOW + 22), old);
    assert_eq!((store.status().refusal, store.status().chain), (None, Some(new.in_use(NOW).id)));
}

#[test]
fn a_refused_file_at_the_start_is_mended_later() {
    let host = Host::with_file(NOW);
    host.mode(0o644);
    let store = host.start(NOW);
    let status = store.status();
    assert_eq!((status.from_file, status.refusal), (false, Some(Refusal::Mode(0o644))));
    let meanwhile = name(&store, NOW);
    host.mode(0o600);
    assert_ne!(name(&store, NOW + 1), meanwhile);
    assert!(opens(&store, &meanwhile, NOW + 1), "tickets of the time in between still open");
    assert_eq!((store.status().from_file, store.status().refusal), (true, None));
    assert_eq!(
        host.keys(NOW + 1).iter().map(|k| k.name).find(|n| *n == name(&store, NOW + 1)),
        Some(name(&store, NOW + 1))
    );
}

#[test]
fn a_file_that_cannot_be_created_is_said_and_there_are_keys() {
    let host = Host { file: "/nonexistent/state".into(), ..Host::new() };
    let store = host.start(NOW);
    assert_eq!((store.status().from_file, store.status().refusal), (false, Some(Refusal::NoDirectory)));
    assert!(store.read(NOW).is_some());
}

#[test]
fn a_file_that_can_be_created_only_later_is() {
    let host = Host::new();
    let host = Host { file: host.file.with_file_name("later").join("state"), ..host };
    let store = host.start(NOW);
    let meanwhile = name(&store, NOW);
    fs::create_dir(host.file.parent().unwrap()).unwrap();
    // Another context, a while later.
    store.ensure_state_at(NOW + 120);
    assert_eq!(store.status().chain, Some(state::read(&host.file).unwrap().in_use(NOW).id));
    assert!(store.status().from_file && store.status().refusal.is_none());
    assert!(opens(&store, &meanwhile, NOW + 121));
    assert_ne!(name(&store, NOW + 121), meanwhile);
}

#[test]
fn the_files_times_count() {
    let host = Host::new();
    let times = Schedule::new(EpochLength::new(60).unwrap(), 600);
    state::create(&host.file, &State::random(times, NOW).unwrap()).unwrap();
    let store = host.start(NOW);
    assert_eq!(store.read(NOW).unwrap().schedule(), times);
    assert_eq!(store.status().schedule, times);
}

#[test]
fn a_master_that_seals_nothing_gives_its_children_both_chains() {
    both_chains(NOW + 5);
}

/// Its children may never be able to read the file, so a master cannot put the look off.
#[test]
fn a_reload_in_the_second_of_the_last_look_looks_again() {
    both_chains(NOW);
}

fn both_chains(reloaded: u64) {
    let host = Host::with_file(NOW);
    // Its first context, and a worker that is forked then (here: another store from the same file).
    let (master, worker) = (host.start(NOW), host.start(NOW));
    let old = name(&worker, NOW);
    state::announce(&host.file, &State::random(schedule(), NOW).unwrap(), NOW + 6, NOW).unwrap();
    // Another context, as when a configuration is loaded again; children that are forked from here on cannot read.
    master.ensure_state_at(reloaded);
    fs::remove_file(&host.file).unwrap();
    assert!(opens(&master, &old, NOW + 6));
    assert_ne!(name(&master, NOW + 6), old);
}

#[test]
fn a_master_that_seals_nothing_forgets_in_time() {
    let host = Host::with_file(NOW);
    let store = host.start(NOW);
    let later = NOW + 50 * HOUR;
    store.ensure_state_at(later);
    let seed = store.seed.read(generation()).unwrap();
    assert_eq!(seed.members()[0].chain.epoch(), later / HOUR - 3);
}

#[test]
fn a_clock_of_1970_is_survived_with_the_keys_of_the_file() {
    let host = Host::with_file(NOW);
    let store = host.start(0);
    let right = host.start(NOW);
    assert!(opens(&right, &name(&store, 5), NOW));
    // And set right.
    assert_eq!(name(&store, NOW), name(&right, NOW));
}

#[test]
fn a_clock_that_went_far_ahead_and_back_leaves_the_files_keys() {
    let host = Host::with_file(NOW);
    let store = host.start(NOW);
    let right = name(&store, NOW);
    let far = NOW + 70 * 365 * 86_400;
    assert_ne!(name(&store, far), right);
    store.ensure_state_at(far);
    assert!(matches!(store.status().refusal, Some(Refusal::FarAhead(_))));
    assert_eq!(state::read(&host.file).unwrap().in_use(NOW).epoch, NOW / HOUR, "the file is not spoilt");
    assert_eq!(name(&store, NOW + 70), right);
    store.ensure_state_at(NOW + 140);
    assert_eq!(store.status().refusal, None);
    assert!(!opens(&store, &name(&host.start(far), far), NOW + 71));
}

#[test]
fn small_steps_back_erase_nothing_and_bring_nothing_back() {
    let host = Host::with_file(NOW);
    let store = host.start(NOW);
    let erased = name(&store, NOW);
    let later = NOW + 5 * HOUR;
    let current = name(&store, later);
    for back in [1, 600, 2 * HOUR, 4 * HOUR, 5 * HOUR] {
        assert!(opens(&store, &current, later - back), "{back}");
        assert!(!opens(&store, &erased, later - back), "{back}");
    }
}

#[test]
fn without_a_file_a_clock_that_went_back_keeps_the_keys() {
    let store = Store::open(&Settings::default());
    let far = clock::now() + 1000 * HOUR;
    let current = name(&store, far);
    for back in [clock::now(), 0] {
        assert!(opens(&store, &current, back));
        assert!(store.read(back).unwrap().sealing(back).is_some());
    }
}

#[test]
fn threads_agree_while_keys_rotate() {
    let store = Store::open(&Settings::default());
    let start = clock::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for second in 0..3000 {
                    // Two steps back now and then, as when threads are not quite at the same second.
                    let now = start + second * 600 - second % 3;
                    let ring = store.read(now).unwrap();
                    assert!(ring.sealing(now).is_some());
                }
            });
        }
    });
    let end = start + 2999 * 600;
    drop(store.read(end).unwrap());
    assert_eq!(store.status().epoch, Some(end / HOUR));
}

//! State files on a disk: who makes, advances and replaces them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use ticketshim_core::ratchet::EpochLength;

use super::*;
use crate::memory::Locked;

mod processes;
mod put;
mod refused;

const HOUR: u64 = 3600;
const NOW: u64 = 1_800_000_000;

fn schedule() -> Schedule {
    Schedule::new(EpochLength::new(HOUR as u32).unwrap(), 3 * HOUR)
}

fn state(seed: u8, now: u64) -> State {
    let seed: [u8; 32] = Sha256::digest([seed]).into();
    State::from_seed(&Secret::new(seed), schedule(), now).unwrap()
}

fn id(state: &State) -> ChainId {
    state.in_use(NOW).id
}

fn epoch(state: &State) -> u64 {
    state.in_use(NOW).epoch
}

/// A directory with a state file, made three hours before [`NOW`], which is its window.
struct Dir {
    dir: TempDir,
    file: PathBuf,
}

impl Dir {
    fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { file: dir.path().join("state"), dir }
    }

    fn new() -> Self {
        let dir = Self::empty();
        create(&dir.file, &state(1, NOW)).unwrap();
        dir
    }

    fn mode(&self, mode: u32) {
        fs::set_permissions(&self.file, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn refusal(&self) -> Refusal {
        read(&self.file).err().expect("refused")
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn is_root() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn made_once_private_and_read_back() {
    let dir = Dir::new();
    assert_eq!(readers(&dir.file).unwrap().mode, 0o600);
    let (written, found) = (state(1, NOW), read(&dir.file).unwrap());
    assert_eq!((id(&found), epoch(&found), found.in_use(NOW).schedule), (id(&written), NOW / HOUR - 3, schedule()));
    assert_eq!(found.keys(NOW).unwrap(), written.keys(NOW).unwrap());
    assert_eq!(create(&dir.file, &state(2, NOW)), Err(Refusal::Exists));
    assert_eq!(id(&read(&dir.file).unwrap()), id(&written));
    assert_eq!(dir.names(), ["state"]);
}

#[test]
fn the_same_seed_is_the_same_chain_under_the_same_id() {
    let (a, b) = (state(1, NOW), state(1, NOW + 2 * HOUR));
    assert_eq!(id(&a), id(&b));
    assert_eq!(a.keys(NOW + 5 * HOUR).unwrap(), b.keys(NOW + 5 * HOUR).unwrap());
    assert_ne!(id(&a), id(&state(2, NOW)));
    let other = Schedule::new(schedule().epoch, HOUR);
    assert_ne!(id(&a), id(&State::from_seed(&Secret::new(Sha256::digest([1]).into()), other, NOW).unwrap()));
    assert!(matches!(State::from_seed(&Secret::new([0; 32]), schedule(), NOW), Err(Refusal::Weak)));
    let (c, d) = (State::random(schedule(), NOW).unwrap(), State::random(schedule(), NOW).unwrap());
    assert!(id(&c) != id(&d) && epoch(&c) == NOW / HOUR && !c.0.is_weak());
}

#[test]
fn keys_have_names_and_times() {
    let keys = state(1, NOW).keys(NOW).unwrap();
    assert_eq!(keys.len(), 5, "three behind, the current one, one ahead");
    let current = keys[3];
    assert_eq!((current.begins, current.ends), (NOW / HOUR * HOUR, (NOW / HOUR + 4) * HOUR));
}

#[test]
fn an_advance_erases_what_left_the_window_and_keeps_mode_and_keys() {
    let dir = Dir::new();
    let mode = if is_root() { 0o640 } else { 0o400 };
    dir.mode(mode);
    let before = fs::read(&dir.file).unwrap();
    let epoch = NOW / HOUR - 3;
    assert_eq!(advance(&dir.file, NOW, false), Ok(Advanced::Current));
    assert_eq!(advance(&dir.file, NOW - 5 * HOUR, false), Ok(Advanced::Current), "never back");
    assert_eq!(advance(&dir.file, NOW - 9 * HOUR, false), Err(Refusal::AheadOfClock(6 * HOUR as u32)));
    assert_eq!(fs::read(&dir.file).unwrap(), before);
    assert_eq!(advance(&dir.file, NOW + 9 * HOUR, false), Ok(Advanced::From(epoch, epoch + 9)));
    let after = fs::read(&dir.file).unwrap();
    assert_eq!(readers(&dir.file).unwrap().mode, mode);
    for secret in [80..112, 112..144] {
        let kept = after.windows(32).any(|w| w == &before[secret.clone()]);
        assert_eq!(kept, secret.start == 112, "the link is gone; the next era's secret stays until that era");
    }
    assert_eq!(read(&dir.file).unwrap().keys(NOW + 9 * HOUR).unwrap(), state(1, NOW).keys(NOW + 9 * HOUR).unwrap());
    assert_eq!(dir.names(), ["state"]);
}

#[test]
fn an_old_file_is_erased_when_it_has_lost_its_name() {
    let dir = Dir::new();
    let held = fs::File::open(&dir.file).unwrap();
    advance(&dir.file, NOW + HOUR, false).unwrap();
    let mut left = Vec::new();
    std::io::Read::read_to_end(&mut &held, &mut left).unwrap();
    assert_eq!(left, [0; LEN]);
    let backup = dir.dir.path().join("backup");
    fs::hard_link(&dir.file, &backup).unwrap();
    advance(&dir.file, NOW + 2 * HOUR, false).unwrap();
    assert!(read(&backup).is_ok(), "a second name is somebody's intention");
}

#[test]
fn a_clock_far_ahead_does_not_spoil_the_file() {
    let dir = Dir::new();
    let century = NOW + 100 * 365 * 86_400;
    let Err(Refusal::FarAhead(days)) = advance(&dir.file, century, false) else { panic!("refused") };
    assert_eq!(days, 36_500);
    assert_eq!(epoch(&read(&dir.file).unwrap()), NOW / HOUR - 3);
    assert!(matches!(advance(&dir.file, NOW + 365 * 86_400, false), Ok(Advanced::From(..))));
    assert!(matches!(advance(&dir.file, century, true), Ok(Advanced::From(..))), "if the operator insists");
}

#[test]
fn a_file_made_by_a_clock_of_1970_may_catch_up() {
    let dir = Dir::empty();
    create(&dir.file, &state(1, 5 * HOUR)).unwrap();
    assert_eq!(advance(&dir.file, NOW, false), Ok(Advanced::From(2, NOW / HOUR - 3)));
}

#[test]
fn reseeding_replaces_a_chain_or_a_ruin_and_keeps_the_mode() {
    let dir = Dir::new();
    dir.mode(0o400);
    let ruin = fs::read(&dir.file).unwrap()[..199].to_vec();
    reseed_now(&dir.file, &state(2, NOW), NOW).unwrap();
    assert_eq!(id(&read(&dir.file).unwrap()), id(&state(2, NOW)));
    assert_eq!(readers(&dir.file).unwrap().mode, 0o400);
    dir.mode(0o600);
    fs::write(&dir.file, ruin).unwrap();
    assert_eq!(dir.refusal(), Refusal::Truncated(199));
    reseed_now(&dir.file, &state(3, NOW), NOW).unwrap();
    assert_eq!(id(&read(&dir.file).unwrap()), id(&state(3, NOW)));
    dir.mode(0o644);
    assert_eq!(reseed_now(&dir.file, &state(4, NOW), NOW), Err(Refusal::Mode(0o644)));
    fs::remove_file(&dir.file).unwrap();
    assert_eq!(reseed_now(&dir.file, &state(4, NOW), NOW), Err(Refusal::Missing));
}

#[test]
fn writers_wait_for_each_other_and_give_up() {
    let dir = Dir::new();
    let writer = Writer::begin(&dir.file).unwrap();
    assert_eq!(Writer::try_begin(&dir.file).err(), Some(Refusal::Busy));
    let other = std::thread::spawn({
        let file = dir.file.clone();
        move || advance(&file, NOW + HOUR, false)
    });
    std::thread::sleep(std::time::Duration::from_millis(50));
    drop(writer);
    assert!(matches!(other.join().unwrap(), Ok(Advanced::From(..))));
    // Somebody who has nothing to do with us and never lets go.
    let _rude = Writer::begin(&dir.file).unwrap();
    assert_eq!(advance(&dir.file, NOW + 2 * HOUR, false), Err(Refusal::Busy));
}

#[test]
fn of_many_who_create_one_wins_and_all_agree() {
    let dir = Dir::empty();
    let states: Vec<State> = (0..8).map(|seed| state(seed, NOW)).collect();
    std::thread::scope(|scope| {
        let made: Vec<_> = states.iter().map(|s| scope.spawn(|| create(&dir.file, s))).collect();
        let made: Vec<_> = made.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(made.iter().filter(|m| m.is_ok()).count(), 1, "{made:?}");
        assert!(made.iter().all(|m| matches!(m, Ok(()) | Err(Refusal::Exists))), "{made:?}");
        let winner = states.iter().zip(&made).find(|(_, made)| made.is_ok()).unwrap().0;
        assert_eq!(id(&read(&dir.file).unwrap()), id(winner));
    });
    assert_eq!(dir.names(), ["state"]);
}

#[test]
fn readers_never_see_a_file_that_is_being_erased() {
    let dir = Dir::new();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for epoch in 1..300 {
                advance(&dir.file, NOW + epoch * HOUR, false).unwrap();
            }
        });
        while !writer.is_finished() {
            if let Err(refusal) = read(&dir.file) {
                panic!("{refusal:?}");
            }
        }
    });
}

fn copy_of(dir: &Dir) -> Locked<Keyring> {
    read(&dir.file).unwrap().0
}

fn group_readable() -> Access {
    Access { group: Some(4322), mode: Some(0o640) }
}

/// What only root can set up is tested where the tests run as root (in CI they do).
fn only_root() -> bool {
    is_root() || skip("not root")
}

/// Says why a test is not run. A failure in CI.
fn skip(reason: &str) -> bool {
    eprintln!("{reason}: not tested");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped in CI: {reason}");
    false
}

#[test]
fn a_name_is_in_a_directory() {
    for (file, dir) in [("/a/b", "/a"), ("/b", "/"), ("b", "."), ("a/b", "a")] {
        assert_eq!(directory(Path::new(file)), Path::new(dir));
    }
}

//! State files on a disk: who may have them, who writes them, and what a kill leaves.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use ticketshim_core::ratchet::EpochLength;

use super::*;
use crate::memory::Locked;

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
fn modes_that_are_refused() {
    let dir = Dir::new();
    for (mode, expected) in [
        (0o600, None),
        (0o400, None),
        (0o604, Some(Refusal::Mode(0o604))),
        (0o602, Some(Refusal::Mode(0o602))),
        (0o601, Some(Refusal::Mode(0o601))),
        (0o644, Some(Refusal::Mode(0o644))),
        (0o666, Some(Refusal::Mode(0o666))),
        (0o620, Some(Refusal::GroupMode(0o620))),
        (0o660, Some(Refusal::GroupMode(0o660))),
        (0o640, (!is_root()).then_some(Refusal::GroupMode(0o640))),
    ] {
        dir.mode(mode);
        assert_eq!(read(&dir.file).err(), expected, "{mode:04o}");
    }
}

#[test]
fn a_directory_that_anybody_can_write_is_refused_unless_sticky() {
    let dir = Dir::new();
    for (mode, expected) in [(0o777, Some(Refusal::Directory(0o777))), (0o1777, None), (0o770, None)] {
        fs::set_permissions(dir.dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(read(&dir.file).err(), expected, "{mode:04o}");
    }
}

#[test]
fn what_is_not_a_file_is_refused_without_waiting() {
    let dir = Dir::new();
    let other = dir.dir.path().join("other");
    symlink(&dir.file, &other).unwrap();
    // Root's all the way is a test of its own.
    assert_eq!(read(&other).err(), (!is_root()).then_some(Refusal::Symlink));
    assert_eq!(advance(&other, NOW + HOUR, false).err(), Some(Refusal::Symlink));
    assert_eq!(create(&other, &state(1, NOW)).err(), Some(Refusal::Exists));
    assert_eq!(read(dir.dir.path()).err(), Some(Refusal::IsDirectory));
    assert_eq!(read(Path::new("/dev/zero")).err(), Some(Refusal::NotAFile));
    assert_eq!(read(Path::new("/")).err(), Some(Refusal::IsDirectory));
    assert_eq!(read(&dir.file.join("below")).err(), Some(Refusal::Missing));
    fs::remove_file(&other).unwrap();
    let name = std::ffi::CString::new(other.to_str().unwrap()).unwrap();
    // SAFETY: a C string of ours.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    assert_eq!(read(&other).err(), Some(Refusal::NotAFile));
    assert_eq!(create(&other, &state(1, NOW)), Err(Refusal::Exists));
}

#[test]
fn a_huge_file_is_not_read() {
    let dir = Dir::new();
    let file = fs::OpenOptions::new().append(true).open(&dir.file).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(dir.refusal(), Refusal::TooLong);
    fs::write(&dir.file, [0x55; 48]).unwrap();
    assert_eq!(dir.refusal(), Refusal::ForeignKeys(48));
    assert_eq!(reseed_now(&dir.file, &state(2, NOW), NOW), Err(Refusal::ForeignKeys(48)), "somebody needs that one");
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

/// Runs the test `name` of this file in a process of its own; `setting` tells it that it is meant.
fn in_process(name: &str, setting: &[(&str, &str)], file: &Path) -> std::process::ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("state::tests::{name}"), "--nocapture"]).env("TICKETSHIM_TEST_FILE", file);
    command.envs(setting.iter().copied()).stdout(std::process::Stdio::null()).status().unwrap()
}

fn file_of_parent() -> Option<PathBuf> {
    std::env::var_os("TICKETSHIM_TEST_FILE").map(PathBuf::from)
}

#[test]
fn child_that_writes() {
    let Some(file) = file_of_parent() else { return };
    let what = std::env::var("TICKETSHIM_TEST_WRITE").unwrap_or_default();
    let how = |announced: &State| match &*what {
        "announce" => announce(&file, announced, NOW + 2 * HOUR, NOW).map(drop),
        "reseed" => reseed_now(&file, announced, NOW),
        "put" => {
            let mut keyring = read(&file)?.0;
            let fill = |member: &mut Member| member.copy_from(&announced.0.members()[0]);
            keyring.announce(NOW + 2 * HOUR, NOW, fill).map_err(|_| Refusal::Busy)?;
            put(&file, &State(keyring), Access::default(), NOW, false).map(drop)
        }
        _ => advance(&file, NOW + HOUR, false).map(drop),
    };
    if file.exists() {
        let new = State::random(schedule(), NOW).unwrap();
        how(&new).unwrap();
    } else {
        create(&file, &state(1, NOW)).unwrap();
    }
}

#[test]
fn a_kill_at_any_step_leaves_the_old_file_or_the_new_one() {
    use write::Step::{Drafted, Durable, HalfWritten, Locked, Made, Opened, Renamed, Written};
    let old = NOW / HOUR - 3;
    for (exists, named) in [(false, false), (false, true), (true, true)] {
        for step in [Opened, Locked, Made, HalfWritten, Written, Drafted, Renamed, Durable] {
            if step == Locked && !named {
                continue;
            }
            let dir = if exists { Dir::new() } else { Dir::empty() };
            let names = if named { "TICKETSHIM_FAULT_NAMES" } else { "TICKETSHIM_UNUSED" };
            let kill = [("TICKETSHIM_FAULT_KILL", &*format!("{step:?}")), (names, "1")];
            let status = in_process("child_that_writes", &kill, &dir.file);
            assert_eq!(status.signal(), Some(libc::SIGKILL), "{step:?}");
            let renamed = matches!(step, Renamed | Durable);
            let expected = match (exists, renamed) {
                (false, false) => Err(Refusal::Missing),
                (false, true) | (true, false) => Ok(old),
                (true, true) => Ok(old + 1),
            };
            assert_eq!(read(&dir.file).map(|s| epoch(&s)), expected, "{step:?}, exists: {exists}");
            // Who comes next is not hindered by what is left, and leaves nothing.
            assert!(in_process("child_that_writes", &[kill[1]], &dir.file).success(), "{step:?}, exists: {exists}");
            assert_eq!(dir.names(), ["state"], "{step:?}, exists: {exists}");
        }
    }
}

#[test]
fn a_kill_at_any_step_of_a_new_generation_leaves_one_of_the_two() {
    use write::Step::{Drafted, Durable, HalfWritten, Locked, Made, Opened, Renamed, Written};
    for what in ["announce", "reseed", "put"] {
        for step in [Opened, Locked, Made, HalfWritten, Written, Drafted, Renamed, Durable] {
            let dir = Dir::new();
            let kill = [("TICKETSHIM_FAULT_KILL", &*format!("{step:?}")), ("TICKETSHIM_TEST_WRITE", what)];
            let status = in_process("child_that_writes", &kill, &dir.file);
            assert_eq!(status.signal(), Some(libc::SIGKILL), "{what} {step:?}");
            let expected = if matches!(step, Renamed | Durable) { 2 } else { 1 };
            assert_eq!(read(&dir.file).map(|s| s.generation()), Ok(expected), "{what} {step:?}");
            assert!(in_process("child_that_writes", &[kill[1]], &dir.file).success(), "{what} {step:?}");
            assert_eq!(read(&dir.file).map(|s| s.generation()), Ok(expected + 1), "{what} {step:?}");
            assert_eq!(dir.names(), ["state"], "{what} {step:?}");
        }
    }
}

#[test]
fn child_with_a_file_size_limit() {
    let Some(file) = file_of_parent() else { return };
    let limit = libc::rlimit { rlim_cur: 250, rlim_max: 250 };
    // SAFETY: a limit of ours, for this process only.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
    assert_eq!(advance(&file, NOW + HOUR, false), Err(Refusal::NoSpace));
}

#[test]
fn without_space_the_old_file_stays_and_no_signal_is_raised() {
    let dir = Dir::new();
    assert!(in_process("child_with_a_file_size_limit", &[], &dir.file).success());
    assert_eq!(epoch(&read(&dir.file).unwrap()), NOW / HOUR - 3);
    assert_eq!(dir.names(), ["state"]);
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
fn a_file_of_somebody_else_is_kept_up_by_root_and_used_by_no_server_of_root() {
    if !only_root() {
        return;
    }
    use std::os::unix::fs::chown;
    let dir = Dir::new();
    let parent = dir.dir.path();
    chown(&dir.file, Some(4321), Some(4322)).unwrap();
    assert_eq!(read_as_server(&dir.file).err(), Some(Refusal::Owner(4321)));
    assert!(!Refusal::Owner(4321).text(&dir.file).to_string().contains("chown"), "that would lock its server out");
    // Root's directory, the user's own, and those that others can write to.
    for (owner, mode, expected) in [
        (0, 0o700, None),
        (4321, 0o700, None),
        (4321, 0o755, None),
        (4321, 0o770, Some(Refusal::Owner(4321))),
        (4321, 0o707, Some(Refusal::Owner(4321))),
        (4323, 0o700, Some(Refusal::Owner(4321))),
    ] {
        chown(parent, Some(owner), None).unwrap();
        fs::set_permissions(parent, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(read(&dir.file).err(), expected, "{owner} {mode:o}");
    }
    chown(parent, Some(4321), None).unwrap();
    for done in [
        advance(&dir.file, NOW + HOUR, false).err(),
        announce(&dir.file, &state(2, NOW), NOW + 2 * HOUR, NOW).err(),
        reseed_now(&dir.file, &state(3, NOW), NOW).err(),
    ] {
        assert_eq!(done, None);
        let meta = fs::metadata(&dir.file).unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (4321, 4322, 0o600));
        assert_eq!(dir.names(), ["state"]);
    }
    assert_eq!(put(&dir.file, &State(copy_of(&dir)), group_readable(), NOW, false), Err(Refusal::GroupMode(0o640)));
}

fn copy_of(dir: &Dir) -> Locked<Keyring> {
    read(&dir.file).unwrap().0
}

fn group_readable() -> Access {
    Access { group: Some(4322), mode: Some(0o640) }
}

/// As the kubelet mounts a Secret: the file is a link through `..data` to a directory that is replaced as a whole.
fn mounted_secret(dir: &Dir) -> PathBuf {
    let mount = dir.dir.path().join("mount");
    fs::create_dir(&mount).unwrap();
    fs::set_permissions(&mount, fs::Permissions::from_mode(0o3777)).unwrap();
    fs::create_dir(mount.join("..2026_1")).unwrap();
    fs::rename(&dir.file, mount.join("..2026_1/state")).unwrap();
    symlink("..2026_1", mount.join("..data")).unwrap();
    symlink("..data/state", mount.join("state")).unwrap();
    mount
}

#[test]
fn links_are_followed_where_all_is_roots() {
    if !only_root() {
        return;
    }
    use std::os::unix::fs::{chown, lchown};
    let dir = Dir::new();
    let mount = mounted_secret(&dir);
    let file = mount.join("state");
    let absolute = dir.dir.path().join("absolute");
    symlink(&file, &absolute).unwrap();
    for way in [&file, &absolute, &mount.join("..data/state")] {
        assert_eq!(id(&read_as_server(way).unwrap()), id(&state(1, NOW)));
    }
    let foreign: [(&dyn Fn(u32), &str); 4] = [
        (&|uid| lchown(mount.join("..data"), Some(uid), None).unwrap(), "a link"),
        (&|uid| lchown(&file, Some(uid), None).unwrap(), "the first link"),
        (&|uid| chown(mount.join("..2026_1"), Some(uid), None).unwrap(), "a directory"),
        (&|uid| chown(&mount, Some(uid), None).unwrap(), "the first directory"),
    ];
    for (change, what) in foreign {
        change(4321);
        assert_eq!(read_as_server(&file).err(), Some(Refusal::Symlink), "{what} of another user");
        change(0);
        assert!(read_as_server(&file).is_ok());
    }
    fs::set_permissions(&mount, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(read_as_server(&file).err(), Some(Refusal::Symlink), "others can replace the links");
    fs::set_permissions(&mount, fs::Permissions::from_mode(0o1777)).unwrap();
    chown(mount.join("..2026_1/state"), Some(4321), None).unwrap();
    assert!(read_as_server(&file).is_err(), "and the file is root's");
    chown(mount.join("..2026_1/state"), Some(0), None).unwrap();
    // What is read so is never written, and nothing is left.
    assert_eq!(advance(&file, NOW + HOUR, false), Err(Refusal::Symlink));
    assert_eq!(fs::read_dir(&mount).unwrap().count(), 3);
    // In circles, and to nowhere.
    symlink("circle", mount.join("circle")).unwrap();
    symlink("nothing", mount.join("nowhere")).unwrap();
    assert_eq!(read(&mount.join("circle")).err(), Some(Refusal::Symlink));
    assert_eq!(read(&mount.join("nowhere")).err(), Some(Refusal::Missing));
}

#[test]
fn what_is_put_is_there_once_and_never_goes_back() {
    let dir = Dir::empty();
    let at = |seed| State::from_seed(&Secret::new(Sha256::digest([seed]).into()), schedule(), NOW).unwrap();
    let put_now = |given: &State| put(&dir.file, given, Access::default(), NOW, false);
    let first = at(1);
    assert_eq!(put_now(&first), Ok(Put::Made));
    let bytes = || fs::read(&dir.file).unwrap();
    let made = bytes();
    use std::os::unix::fs::MetadataExt;
    let inode = fs::metadata(&dir.file).unwrap().ino();
    assert_eq!(put_now(&first), Ok(Put::Unchanged));
    assert_eq!((bytes(), fs::metadata(&dir.file).unwrap().ino()), (made.clone(), inode), "nothing was written");
    // Another host's copy, which was advanced, and then the first one again.
    let mut advanced = at(1);
    let epoch = advanced.0.members()[0].chain.epoch();
    advanced.0.members_mut()[0].chain.advance_to(epoch + 1);
    assert_eq!((put_now(&advanced), put_now(&first)), (Ok(Put::Advanced), Ok(Put::Unchanged)));
    let further = bytes();
    // A higher generation is taken, and then nothing lower.
    announce(&dir.file, &at(2), NOW + 2 * HOUR, NOW).unwrap();
    let second = State(copy_of(&dir));
    fs::write(&dir.file, &further).unwrap();
    assert_eq!((put_now(&second), put_now(&second)), (Ok(Put::Taken(1)), Ok(Put::Unchanged)));
    let taken = bytes();
    assert_eq!(put_now(&first), Err(Refusal::Older(1)));
    // Announced by another operator, who did not know.
    fs::write(&dir.file, &further).unwrap();
    announce(&dir.file, &at(3), NOW + 2 * HOUR, NOW).unwrap();
    let theirs = bytes();
    assert_eq!(put_now(&second), Err(Refusal::Conflict(2)));
    assert_eq!(bytes(), theirs);
    fs::write(&dir.file, &taken).unwrap();
    // One epoch of the future too many.
    let mut ahead = State(copy_of(&dir));
    let current = schedule().epoch.epoch_at(NOW);
    ahead.0.members_mut()[0].chain.advance_to(current + 3);
    assert!(matches!(put_now(&ahead), Err(Refusal::AheadOfClock(_))));
    assert_eq!(bytes(), taken);
    assert_eq!(put(&dir.file, &ahead, Access::default(), NOW, true), Ok(Put::Advanced), "if the operator insists");
    // A ruin is no reason to stay without keys; a file of somebody else is none to overwrite it.
    fs::write(&dir.file, &taken[..77]).unwrap();
    assert_eq!(put_now(&second), Ok(Put::Made));
    fs::write(&dir.file, [7; 48]).unwrap();
    assert_eq!(put_now(&second), Err(Refusal::ForeignKeys(48)));
    assert_eq!(bytes(), [7; 48]);
    assert_eq!(dir.names(), ["state"]);
}

#[test]
fn group_and_mode_are_put_too() {
    let dir = Dir::empty();
    let one = state(1, NOW);
    if !is_root() {
        assert_eq!(put(&dir.file, &one, group_readable(), NOW, false), Err(Refusal::GroupMode(0o640)));
        assert!(dir.names().is_empty());
        skip("not root");
        return;
    }
    let file = || readers(&dir.file).map(|r| (r.mode, r.group)).unwrap();
    assert_eq!(put(&dir.file, &one, group_readable(), NOW, false), Ok(Put::Made));
    assert_eq!(file(), (0o640, Some(4322)));
    let closed = Access { group: None, mode: Some(0o600) };
    assert_eq!(put(&dir.file, &one, closed, NOW, false), Ok(Put::Unchanged));
    assert_eq!(file(), (0o600, None));
    assert_eq!(put(&dir.file, &one, Access { mode: Some(0o644), ..closed }, NOW, false), Err(Refusal::Mode(0o644)));
    assert_eq!(put(&dir.file, &one, group_readable(), NOW, false), Ok(Put::Unchanged));
    assert_eq!(file(), (0o640, Some(4322)));
}

#[test]
fn announcements_that_cannot_be_made_say_when_and_leave_the_file() {
    let dir = Dir::new();
    let use_at = NOW + 5 * HOUR;
    announce(&dir.file, &state(2, NOW), use_at, NOW).unwrap();
    assert_eq!(announce(&dir.file, &state(2, NOW), use_at, NOW), Err(Refusal::Known));
    let bytes = fs::read(&dir.file).unwrap();
    let late = announce(&dir.file, &state(3, NOW), use_at + HOUR, use_at - HOUR);
    assert_eq!(late, Err(Refusal::NotYet(use_at as u32)));
    assert_eq!(fs::read(&dir.file).unwrap(), bytes);
    let instead = announce(&dir.file, &state(3, NOW), use_at + HOUR, use_at - HOUR - 1).unwrap();
    assert_eq!(instead.instead_of, Some(id(&state(2, NOW))));
    let file = read(&dir.file).unwrap();
    assert_eq!((file.generation(), file.chains(NOW).len(), id(&file)), (3, 2, id(&state(1, NOW))));
    fs::write(&dir.file, &bytes[..99]).unwrap();
    assert_eq!(announce(&dir.file, &state(4, NOW), use_at, NOW), Err(Refusal::Truncated(99)));
    reseed_now(&dir.file, &state(4, NOW), NOW).unwrap();
    assert_eq!(read(&dir.file).unwrap().generation(), NOW, "higher than any that was lost");
}

#[test]
fn a_version_that_is_not_known_is_refused_in_words() {
    let dir = Dir::new();
    let mut bytes = fs::read(&dir.file).unwrap();
    bytes[19] = 3;
    fs::write(&dir.file, &bytes).unwrap();
    assert_eq!(dir.refusal(), Refusal::Version(3));
    let text = Refusal::Version(3).text(&dir.file).to_string();
    assert!(text.contains("version 3") && text.contains("knows version 2"), "{text}");
    assert_eq!(advance(&dir.file, NOW, false), Err(Refusal::Version(3)));
    assert_eq!(fs::read(&dir.file).unwrap(), bytes);
}

#[test]
fn child_without_rights() {
    let Some(file) = file_of_parent() else { return };
    // SAFETY: no preconditions; this process only.
    assert_eq!(unsafe { libc::setgid(54321) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setuid(54321) }, 0);
    let expected = std::env::var("TICKETSHIM_TEST_EXPECT").unwrap();
    assert_eq!(format!("{:?} {:?}", read(&file).err(), advance(&file, NOW + HOUR, false).err()), expected);
}

#[test]
fn without_rights_a_file_is_read_by_group_only_and_never_written() {
    if !only_root() {
        return;
    }
    let dir = Dir::new();
    fs::set_permissions(dir.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (mode, group, expected) in [
        (0o600, 0, "Some(Denied) Some(Denied)"),
        (0o640, 0, "Some(Denied) Some(Denied)"),
        (0o640, 54321, "None Some(NotOurs(0))"),
    ] {
        std::os::unix::fs::chown(&dir.file, None, Some(group)).unwrap();
        dir.mode(mode);
        let child = in_process("child_without_rights", &[("TICKETSHIM_TEST_EXPECT", expected)], &dir.file);
        assert!(child.success(), "{mode:o} {group}");
    }
    advance(&dir.file, NOW + HOUR, false).unwrap();
    let now = readers(&dir.file).unwrap();
    assert_eq!((now.mode, now.group), (0o640, Some(54321)), "an advance keeps the group");
}

/// Runs a test of this file in a namespace of its own, in which `mount` (a command line, `$DIR` being the directory) has
/// changed what the directory of `file` is.
fn in_namespace(mount: &str, child: &str, file: &Path) -> std::process::ExitStatus {
    let exe = std::env::current_exe().unwrap();
    Command::new("unshare")
        .args(["--mount", "sh", "-ec", &format!("{mount}; exec \"$0\" --exact state::tests::{child} --nocapture")])
        .arg(exe)
        .env("DIR", file.parent().unwrap())
        .env("TICKETSHIM_TEST_FILE", file)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap()
}

#[test]
fn child_on_a_read_only_file_system() {
    let Some(file) = file_of_parent() else { return };
    assert_eq!(epoch(&read(&file).unwrap()), NOW / HOUR - 3);
    assert_eq!(advance(&file, NOW + HOUR, false), Err(Refusal::ReadOnly));
    assert_eq!(create(&file.with_file_name("other"), &state(1, NOW)), Err(Refusal::ReadOnly));
}

#[test]
fn child_on_a_full_disk() {
    let Some(file) = file_of_parent() else { return };
    create(&file, &state(1, NOW)).unwrap();
    // Fills the disk to the last byte.
    let filler = fs::File::create(file.with_file_name("filler")).unwrap();
    while std::io::Write::write(&mut &filler, &[1; 4096]).is_ok_and(|n| n > 0) {}
    assert_eq!(advance(&file, NOW + HOUR, false), Err(Refusal::NoSpace));
    assert_eq!(create(&file.with_file_name("other"), &state(1, NOW)), Err(Refusal::NoSpace));
    assert_eq!(epoch(&read(&file).unwrap()), NOW / HOUR - 3);
    drop(filler);
    fs::remove_file(file.with_file_name("filler")).unwrap();
    assert!(matches!(advance(&file, NOW + HOUR, false), Ok(Advanced::From(..))));
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no draft is left");
}

#[test]
fn full_and_read_only_file_systems_are_said() {
    let may_mount = || Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    if !only_root() || !may_mount() && !skip("no namespaces") {
        return;
    }
    let dir = Dir::new();
    let read_only = "mount --bind \"$DIR\" \"$DIR\"; mount -o remount,ro,bind \"$DIR\"";
    assert!(in_namespace(read_only, "child_on_a_read_only_file_system", &dir.file).success());
    let small = "mount -t tmpfs -o size=64k,mode=700 tmpfs \"$DIR\"";
    assert!(in_namespace(small, "child_on_a_full_disk", &dir.file).success());
}

#[test]
fn a_name_is_in_a_directory() {
    for (file, dir) in [("/a/b", "/a"), ("/b", "/"), ("b", "."), ("a/b", "a")] {
        assert_eq!(directory(Path::new(file)), Path::new(dir));
    }
}

//! What takes a process of its own: one that is killed while it writes, one without rights, one on a full disk.

use super::*;

/// Runs the test `name` of this file in a process of its own; `setting` tells it that it is meant.
fn in_process(name: &str, setting: &[(&str, &str)], file: &Path) -> std::process::ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", &format!("state::tests::processes::{name}"), "--nocapture"])
        .env("TICKETSHIM_TEST_FILE", file);
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
        .args([
            "--mount",
            "sh",
            "-ec",
            &format!("{mount}; exec \"$0\" --exact state::tests::processes::{child} --nocapture"),
        ])
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

//! Keys among real processes: forked, started anew, without rights, in a chroot, killed.

mod common;

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use common::{HOUR, Process, ended_well, fork, given, is_root, make_state, say, schedule, settings, wait};
use ticketshim_core::Found;
use ticketshim_keys::clock;
use ticketshim_keys::state::{self, State};
use ticketshim_keys::store::Store;

/// The name of the key in force, as text.
fn name(store: &Store, now: u64) -> String {
    // A rotation is left to the next ticket while another thread (here: of another test) forks.
    let started = std::time::Instant::now();
    while store.read(now).unwrap().current_epoch() < now / HOUR {
        assert!(started.elapsed().as_secs() < 10);
    }
    let ring = store.read(now).unwrap();
    format!("{:02x?}", ring.sealing(now).unwrap().name.0)
}

/// Runs `work` in a forked child and gives what it returns.
fn ask_child(work: impl FnOnce() -> String) -> String {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    let pid = fork(|| {
        let answer = work();
        // SAFETY: a descriptor of ours, and bytes of ours.
        unsafe { libc::write(ends[1], answer.as_ptr().cast(), answer.len()) };
    });
    // SAFETY: ours, and closed here only.
    unsafe { libc::close(ends[1]) };
    let mut answer = String::new();
    // SAFETY: ours, and from here on the file's.
    unsafe { fs::File::from_raw_fd(ends[0]) }.read_to_string(&mut answer).unwrap();
    assert!(ended_well(pid));
    answer
}

#[test]
fn a_million_salts_of_eight_children_and_their_parent_never_repeat() {
    const EACH: usize = 125_000;
    let store = Store::open(&settings(None));
    let mut seen = HashSet::with_capacity(9 * EACH);
    // The parent has begun its run: a child that went on with it would repeat what the parent does next.
    seen.insert(store.salt().unwrap().0);
    for child in 0..8 {
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors.
        assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
        let work = || {
            let salts: Vec<u8> = (0..EACH).flat_map(|_| store.salt().unwrap().0).collect();
            let mut rest = &salts[..];
            while !rest.is_empty() {
                // SAFETY: a descriptor of ours, and bytes of ours.
                let written = unsafe { libc::write(ends[1], rest.as_ptr().cast(), rest.len()) };
                rest = &rest[usize::try_from(written).unwrap()..];
            }
        };
        let pid = if child % 2 == 0 {
            fork(work)
        } else {
            // Past the C library, whose fork handlers see nothing of it.
            // SAFETY: as fork, and the child ends without returning.
            let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } as libc::pid_t;
            if pid == 0 {
                work();
                // SAFETY: ends the child.
                unsafe { libc::_exit(0) };
            }
            pid
        };
        // SAFETY: ours, and closed here only.
        unsafe { libc::close(ends[1]) };
        let mut bytes = Vec::new();
        // SAFETY: ours, and from here on the file's.
        unsafe { fs::File::from_raw_fd(ends[0]) }.read_to_end(&mut bytes).unwrap();
        assert!(ended_well(pid));
        assert_eq!(bytes.len(), EACH * 16);
        for salt in bytes.chunks_exact(16) {
            assert!(seen.insert(salt.try_into().unwrap()), "a salt of child {child} was there before");
        }
    }
    for _ in 0..EACH {
        assert!(seen.insert(store.salt().unwrap().0));
    }
}

#[test]
fn workers_agree_whenever_they_are_forked() {
    let store = Store::open(&settings(None));
    let now = clock::now();
    let before_the_first_ticket = ask_child(|| name(&store, now));
    assert_eq!(name(&store, now), before_the_first_ticket);
    assert_eq!(ask_child(|| name(&store, now)), before_the_first_ticket);
    let later = now + 2 * HOUR;
    let rotated = name(&store, later);
    assert_ne!(rotated, before_the_first_ticket);
    let after_a_rotation = ask_child(|| name(&store, later));
    let grandchild = ask_child(|| ask_child(|| name(&store, later)));
    assert_eq!([&after_a_rotation, &grandchild], [&rotated, &rotated]);
    // What a child does on its own, its siblings do as well.
    let much_later = now + 9 * HOUR;
    assert_eq!(ask_child(|| name(&store, much_later)), ask_child(|| name(&store, much_later)));
}

#[test]
fn forking_at_any_moment_leaves_a_child_that_works() {
    // Beyond what the threads come to: each hour is a rotation.
    const FAR: u64 = 10_000_000 * HOUR;
    let store = Store::open(&settings(None));
    let start = clock::now();
    let stop = AtomicBool::new(false);
    let mut answers = HashSet::new();
    std::thread::scope(|scope| {
        // Rotate without pause, so that forks find these threads in the middle of everything.
        let rotate = || {
            let mut now = start;
            while !stop.load(SeqCst) {
                drop(store.read(now).unwrap());
                // Only when it is done: a thread that finds the other one at it goes on with the keys at hand.
                if store.status().epoch.is_some_and(|epoch| epoch >= now / HOUR) {
                    now += HOUR;
                }
            }
            assert!(now < start + FAR);
        };
        scope.spawn(rotate);
        scope.spawn(rotate);
        for _ in 0..200 {
            answers.insert(ask_child(|| name(&store, start + FAR)));
        }
        stop.store(true, SeqCst);
    });
    answers.insert(name(&store, start + FAR));
    assert_eq!(answers.len(), 1, "everybody has the same keys");
}

#[test]
fn a_child_has_its_keys_locked_in_memory() {
    let store = Store::open(&settings(None));
    let now = clock::now();
    name(&store, now);
    let flags = ask_child(|| {
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        // The kernel's own pages ("io") are not dumped either.
        let ours = |line: &&str| line.starts_with("VmFlags:") && line.contains(" dd") && !line.contains(" io");
        maps.lines().filter(ours).filter(|line| !line.contains(" lo")).collect::<Vec<_>>().join(";")
    });
    assert!(flags.is_empty() || store.status().may_be_swapped, "{flags}");
}

/// Ends the process if it makes a system call that a small server has no use for, as vsftpd's sandbox does.
fn enter_sandbox() {
    let allowed = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_close,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_brk,
        libc::SYS_getrandom,
        libc::SYS_exit_group,
    ];
    let instruction = |code, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = vec![instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    for number in allowed {
        program.push(instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number as u32));
        program.push(instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    }
    program.push(instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_KILL_PROCESS));
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: this process only, which ends soon.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: as above; the program outlives the call.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) }, 0);
}

#[test]
fn a_worker_in_a_sandbox_that_kills_lives_and_rotates() {
    let store = Store::open(&settings(None));
    store.ensure_state();
    let now = clock::now();
    let outside = ask_child(|| name(&store, now + 5 * HOUR));
    let inside = ask_child(|| {
        enter_sandbox();
        for hours in 0..5 {
            assert!(store.read(now + hours * HOUR).is_some() && store.salt().is_some());
        }
        name(&store, now + 5 * HOUR)
    });
    assert_eq!(inside, outside);
}

#[test]
fn process_that_starts() {
    let Some(file) = given("FILE") else { return };
    let store = Store::open(&settings(Some(Path::new(&file))));
    wait();
    store.ensure_state();
    say(&name(&store, clock::now()));
}

#[test]
fn processes_that_start_at_once_make_one_file() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state");
        let start = || Process::start("process_that_starts", &[("FILE", file.to_str().unwrap())]);
        let mut processes: Vec<Process> = (0..6).map(|_| start()).collect();
        processes.iter_mut().for_each(Process::go_on);
        let names: HashSet<String> = processes.iter_mut().map(Process::hear).collect();
        assert_eq!(names.len(), 1);
        assert!(processes.into_iter().all(|process| process.end().success()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

/// Opens the store as a server does, makes itself small as `GIVEN_HOW` says, and goes on.
#[test]
fn process_that_gives_up_its_rights() {
    let (Some(file), Some(how)) = (given("FILE"), given("HOW")) else { return };
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let store = Store::open(&settings(Some(Path::new(&file))));
    store.ensure_state();
    let now = clock::now();
    let first = name(&store, now);
    assert_eq!(descriptors(), before, "no descriptor is held");
    // These change this process only, which has no other thread that matters.
    let done = match how.as_str() {
        // SAFETY: no preconditions.
        "setuid" => unsafe { libc::setuid(54321) },
        // SAFETY: a C string that lives for ever.
        "chroot" => unsafe { libc::chroot(c"/var/empty".as_ptr()) },
        // SAFETY: as a daemon does; what is open here is used by nobody any more.
        "close" => unsafe { libc::close_range(3, u32::MAX, 0) },
        other => panic!("{other}"),
    };
    assert_eq!(done, 0);
    for hours in 1..=5 {
        assert_ne!(name(&store, now + hours * HOUR), first);
    }
    assert!(store.status().from_file && store.status().refusal.is_none());
    let worker = ask_child(|| name(&store, now + 6 * HOUR));
    assert_eq!(worker, name(&store, now + 6 * HOUR));
    say(&worker);
}

#[test]
fn whoever_gives_up_rights_root_or_descriptors_keeps_the_keys() {
    if !is_root() {
        return;
    }
    fs::create_dir_all("/var/empty").unwrap();
    for how in ["setuid", "chroot", "close"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state");
        let now = clock::now();
        make_state(&file, now);
        let mut process =
            Process::start("process_that_gives_up_its_rights", &[("FILE", file.to_str().unwrap()), ("HOW", how)]);
        let said = process.hear();
        assert!(process.end().success(), "{how}");
        let keys = state::read(&file).unwrap().keys(now + 6 * HOUR).unwrap();
        assert!(keys.iter().any(|key| format!("{:02x?}", key.name.0) == said), "{how}");
    }
}

#[test]
fn process_that_serves() {
    let Some(file) = given("FILE") else { return };
    let store = Store::open(&settings(Some(Path::new(&file))));
    store.ensure_state();
    loop {
        let now = clock::now();
        say(&name(&store, now));
        wait();
    }
}

#[test]
fn a_running_server_takes_a_reseeded_file_up_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state");
    make_state(&file, clock::now());
    let mut server = Process::start("process_that_serves", &[("FILE", file.to_str().unwrap())]);
    let old = server.hear();
    state::reseed_now(&file, &State::random(schedule(), clock::now()).unwrap(), clock::now()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    server.go_on();
    let new = server.hear();
    assert_ne!(new, old);
    // And a restarted one has the same.
    server.child.kill().unwrap();
    let mut again = Process::start("process_that_serves", &[("FILE", file.to_str().unwrap())]);
    assert_eq!(again.hear(), new);
    again.child.kill().unwrap();
}

#[test]
fn what_one_process_seals_another_opens() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state");
    let now = clock::now();
    make_state(&file, now);
    let (a, b) = (Store::open(&settings(Some(&file))), Store::open(&settings(Some(&file))));
    let sealing = a.read(now).unwrap().sealing(now).unwrap().name;
    assert!(matches!(b.read(now).unwrap().find(&sealing, now), Found::Keys { newest: true, .. }));
}

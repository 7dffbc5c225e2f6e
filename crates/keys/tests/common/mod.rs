//! Real processes: a test that wants one runs itself again, by name, with settings in the environment.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ticketshim_core::derive::{EpochKeys, Secret};
use ticketshim_core::ratchet::{Chain, EpochLength};
use ticketshim_core::ring::Schedule;
use ticketshim_keys::settings::Settings;
use ticketshim_keys::state::{self, State};

pub const HOUR: u64 = 3600;

pub fn schedule() -> Schedule {
    Schedule::new(EpochLength::new(HOUR as u32).unwrap(), 3 * HOUR)
}

/// Makes a state file and gives the chain in it, which the test program then knows and the processes under test do not
/// have in their memory but from the file.
pub fn make_state(file: &Path, now: u64) -> Chain {
    state::create(file, &State::random(schedule(), now).unwrap()).unwrap();
    chain_of(file)
}

/// Reads the chain as `docs/state-file.md` says.
pub fn chain_of(file: &Path) -> Chain {
    let bytes = std::fs::read(file).unwrap();
    let secret = |at: usize| Secret::new(*bytes[at..].first_chunk().unwrap());
    Chain::from_parts(u64::from_be_bytes(*bytes[72..].first_chunk().unwrap()), secret(80), secret(112))
}

pub fn settings(file: Option<&Path>) -> Settings {
    Settings { state: file.map(Path::to_path_buf), accept: 3 * HOUR, ..Settings::default() }
}

/// What must not be found: every secret of an epoch.
pub fn secrets_of(chain: &Chain, epoch: u64) -> Vec<(&'static str, [u8; 32])> {
    let mut chain = chain.clone();
    chain.advance_to(epoch);
    let keys = EpochKeys::from_link(chain.link());
    vec![
        ("link", *chain.link().expose()),
        ("era", *chain.next_era().expose()),
        ("mac", *keys.mac.expose()),
        ("root", *keys.root.expose()),
    ]
}

/// Finds many secrets in one pass. Half a secret is enough to be found.
pub struct Finder {
    /// Which first two bytes there are, to be fast where memory is mostly something else.
    pairs: Vec<bool>,
    halves: HashMap<[u8; 16], (&'static str, u64)>,
}

impl Finder {
    /// For the secrets of these epochs, of the kinds given.
    pub fn new(chain: &Chain, epochs: Range<u64>, kinds: &[&str]) -> Self {
        let mut finder = Self { pairs: vec![false; 1 << 16], halves: HashMap::new() };
        for epoch in epochs {
            for (kind, secret) in secrets_of(chain, epoch) {
                for half in secret.as_chunks().0.iter().filter(|_| kinds.contains(&kind)) {
                    finder.pairs[Self::pair(half)] = true;
                    finder.halves.insert(*half, (kind, epoch));
                }
            }
        }
        finder
    }

    /// What is in `bytes`: kind and epoch, each once.
    pub fn find(&self, bytes: &[u8]) -> BTreeSet<(&'static str, u64)> {
        let windows = bytes.windows(16).filter(|window| self.pairs[Self::pair(window)]);
        windows.filter_map(|window| self.halves.get(window).copied()).collect()
    }

    fn pair(bytes: &[u8]) -> usize {
        usize::from(bytes[0]) << 8 | usize::from(bytes[1])
    }
}

pub fn is_root() -> bool {
    // SAFETY: no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        eprintln!("not root: not tested");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped in CI: not root");
    }
    root
}

/// The setting that this process was given by [`Process::start`], if it is one.
pub fn given(name: &str) -> Option<String> {
    std::env::var(format!("TICKETSHIM_TEST_{name}")).ok()
}

/// A process that runs one test of this program.
pub struct Process {
    pub child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    pub fn start(test: &str, given: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture", "--test-threads=1", "--quiet"]);
        command.envs(given.iter().map(|(name, value)| (format!("TICKETSHIM_TEST_{name}"), value)));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, stdout }
    }

    /// The next line that it says by [`say`].
    pub fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "the process has ended");
            if let Some(said) = line.trim_end().strip_prefix("test process: ") {
                return said.to_owned();
            }
        }
    }

    /// Lets it go on from [`wait`].
    pub fn go_on(&mut self) {
        self.stdin.write_all(b"\n").unwrap();
    }

    pub fn end(mut self) -> ExitStatus {
        drop(self.stdin);
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if started.elapsed() > Duration::from_secs(60) {
                self.child.kill().unwrap();
                panic!("the process hangs");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Tells the process that started this one. Not by std's stdout: the thread that has its lock is not in a child.
pub fn say(text: &str) {
    let line = format!("\ntest process: {text}\n");
    // SAFETY: so many bytes of a string that lives.
    let written = unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
    assert_eq!(written, line.len() as isize);
}

/// Waits for [`Process::go_on`] or the end of the process that started this one.
pub fn wait() {
    let mut byte = [0u8];
    // SAFETY: room for one byte. Not std's stdin, which buffers.
    unsafe { libc::read(0, byte.as_mut_ptr().cast(), 1) };
}

/// Forks; the child runs `work` and ends.
pub fn fork(work: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child uses what this thread owns, and ends without returning.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // A child that hangs is ended by its alarm, and one that panics is seen by its status.
        // SAFETY: no preconditions.
        unsafe { libc::alarm(60) };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok();
        // SAFETY: ends the child without running what belongs to its parent.
        unsafe { libc::_exit(i32::from(!done)) };
    }
    assert!(pid > 0);
    pid
}

pub fn ended_well(pid: libc::pid_t) -> bool {
    let mut status = 0;
    // SAFETY: a child of ours, and room for its status.
    let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
    waited == pid && status == 0
}

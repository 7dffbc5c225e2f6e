//! A whole handshake of OpenSSL's with the library in front of it, in which a client offers a ticket that was changed,
//! made up, or sealed under the right key around nonsense.
//!
//! What must hold: a ticket that was issued resumes; no other does, and each of those handshakes is completed in full,
//! counted once as refused and never as a failure; memory does not grow from one to the next.
#![no_main]

use std::ffi::c_int;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, process, slice};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ticketshim_core::binding::{Binding, Context, Family, Policy, Protocol, Server};
use ticketshim_core::format::{FullHandshake, Header, Ticket};
use ticketshim_core::ring::Schedule;
use ticketshim_core::seal::{open, seal};
use ticketshim_core::{EpochLength, Found, Salt};
use ticketshim_fuzz::{Edit, LONGEST, edit};
use ticketshim_keys::clock;
use ticketshim_keys::state::{self, State};

const DAY: u32 = 86_400;
const ISSUED: u8 = 3;

#[derive(Arbitrary, Debug)]
struct Case {
    tls13: bool,
    session: u8,
    start: Start,
    edits: Vec<Edit>,
}

#[derive(Arbitrary, Debug)]
enum Start {
    /// A ticket of the server's.
    Issued,
    /// The same, in the other version of the protocol.
    OtherVersion,
    /// Any bytes.
    Raw(Vec<u8>),
    /// Sealed under the server's keys for the server's place: what libssl and the library read after all checks.
    Authentic { salt: [u8; 16], age: u32, der: Vec<Edit>, nonsense: Option<Vec<u8>> },
}

/// `enum` in handshake.c.
#[derive(PartialEq, Eq, Debug)]
enum Outcome {
    Full,
    Resumed,
    Failed,
    Unsent,
}

/// What `fuzz_stats` fills in.
#[repr(C)]
#[derive(Default, Clone, Copy, Debug)]
struct Stats {
    sealed: u64,
    opened: u64,
    refused: u64,
    failures: u64,
}

unsafe extern "C" {
    fn fuzz_start();
    fn fuzz_ticket(proto: c_int, which: c_int, ticket: *mut *const u8) -> usize;
    fn fuzz_offer(proto: c_int, which: c_int, ticket: *const u8, len: usize, came: *mut c_int) -> c_int;
    fn fuzz_stats(stats: *mut Stats) -> c_int;
    fn fuzz_blocks() -> std::ffi::c_long;
}

/// The tickets that were issued, by version.
static TICKETS: LazyLock<[Vec<Vec<u8>>; 2]> = LazyLock::new(|| {
    // SAFETY: once, before anything else of OpenSSL's.
    unsafe { fuzz_start() };
    [0, 1].map(|proto| {
        let ticket = |which| {
            let mut start = std::ptr::null();
            // SAFETY: a place for the pointer; the session lives as long as the process.
            let len = unsafe { fuzz_ticket(proto, which, &mut start) };
            // SAFETY: libssl's promise: the ticket of that session.
            unsafe { slice::from_raw_parts(start, len) }.to_vec()
        };
        (0..i32::from(ISSUED)).map(ticket).collect()
    })
});

static FILE: LazyLock<PathBuf> = LazyLock::new(|| env::var_os("TICKETSHIM_STATE").expect("set by start()").into());

/// The library reads its settings when it is loaded, so the process begins again with settings of its own: a state file,
/// whose keys this target then has too.
fn start() {
    const STARTED: &str = "TICKETSHIM_FUZZ_STARTED";
    if env::var_os(STARTED).is_none() {
        let dir = env::temp_dir().join(format!("ticketshim-fuzz.{}", process::id()));
        std::fs::create_dir(&dir).expect("a directory");
        let schedule = Schedule::new(EpochLength::new(DAY).expect("a day"), 3 * u64::from(DAY));
        let state = State::random(schedule, clock::now() - u64::from(DAY)).expect("a chain");
        let file = dir.join("state");
        state::create(&file, &state).expect("a state file");
        let mut arguments = env::args_os();
        let again = process::Command::new("/proc/self/exe")
            // libFuzzer starts itself by that name.
            .arg0(arguments.next().expect("a name"))
            .args(arguments)
            .env("TICKETSHIM_STATE", &file)
            .env(STARTED, &dir)
            .exec();
        panic!("{again}");
    }
    LazyLock::force(&TICKETS);
    LazyLock::force(&FILE);
    // Both have been read; the library looks once a second and would say that it is gone, so the file stays.
    stats();
}

fn stats() -> Stats {
    let mut stats = Stats::default();
    // SAFETY: four numbers in a row, as the function wants them.
    let loaded = unsafe { fuzz_stats(&mut stats) };
    assert_eq!(loaded, 1, "the library is not loaded");
    stats
}

fn offer(tls13: bool, which: u8, ticket: &[u8]) -> (Outcome, u64) {
    let mut came = 0;
    // SAFETY: the ticket's bytes, and a place for a number.
    let outcome =
        unsafe { fuzz_offer(tls13.into(), (which % ISSUED).into(), ticket.as_ptr(), ticket.len(), &mut came) };
    let outcome = [Outcome::Full, Outcome::Resumed, Outcome::Failed, Outcome::Unsent].into_iter().nth(outcome as usize);
    (outcome.expect("an outcome"), came as u64)
}

/// What takes part in the AES key of the server's tickets: c-tests/harness/ctx.c makes its contexts so.
fn place(tls13: bool) -> Binding {
    let protocol = Protocol { family: Family::Tls, version: if tls13 { 0x0304 } else { 0x0303 } };
    let context = Context { session_id_context: b"ts", id: b"" }.digest();
    let policy = Policy { verify_mode: 0, clients: None }.digest();
    Binding::new(protocol, Server::Name(b"server.test"), Some(&context), Some(&policy))
}

/// A ticket under the server's keys.
fn authentic(tls13: bool, issued: &[u8], salt: [u8; 16], age: u32, changes: &[Edit], other: Option<&[u8]>) -> Vec<u8> {
    let now = clock::now();
    let ring = state::read(&FILE).and_then(|state| state.ring(now)).expect("the keys");
    let ticket = Ticket::parse(issued).expect("a ticket");
    let Found::Keys { keys, .. } = ring.find(&ticket.key_name, now) else { panic!("the server's key is not known") };
    let opened = open(keys, &place(tls13), &ticket).expect("the server's ticket opens for its place");
    let mut der = other.map_or(opened.der, <[u8]>::to_vec);
    edit(&mut der, changes, &[]);
    let header = Header::anonymous(FullHandshake::at(now.saturating_sub(age.into())));
    let mut sealed = seal(keys, &Salt(salt), &place(tls13), &header, &der).expect("sealed");
    sealed.truncate(LONGEST);
    sealed
}

fuzz_target!(init: start(), |case: Case| {
    let Case { tls13, session, start, edits } = case;
    let issued = &TICKETS[usize::from(tls13)];
    let mine = &issued[usize::from(session % ISSUED)];
    let mut nonsense = false;
    let mut ticket = match start {
        Start::Issued => mine.clone(),
        Start::OtherVersion => TICKETS[usize::from(!tls13)][0].clone(),
        Start::Raw(bytes) => bytes,
        Start::Authentic { salt, age, der, nonsense: other } => {
            nonsense = true;
            authentic(tls13, mine, salt, age, &der, other.as_deref())
        }
    };
    edit(&mut ticket, &edits, issued);

    // SAFETY: reads a number.
    let blocks = || unsafe { fuzz_blocks() };
    let first = blocks();
    let before = stats();
    let (outcome, came) = offer(tls13, session, &ticket);
    let after = stats();
    // What a handshake leaves behind may be a table that libssl made, or an error's text that it keeps to write over. If
    // it is lost memory, the same again loses the same again.
    if blocks() > first {
        const AGAIN: i64 = 20;
        let second = blocks();
        for _ in 0..AGAIN {
            offer(tls13, session, &ticket);
        }
        assert!(blocks() - second < AGAIN, "memory grows: {} blocks in {AGAIN} handshakes", blocks() - second);
    }

    assert_eq!(after.failures, before.failures);
    assert_eq!(after.sealed - before.sealed, came);
    let opened = after.opened - before.opened;
    let refused = after.refused - before.refused;
    match outcome {
        // What libssl makes of an authentic session that it never wrote is its own affair.
        _ if nonsense => assert!(opened + refused <= 1),
        Outcome::Resumed => {
            assert!(ticket == *mine, "a ticket resumes that was not issued for it: {:02x?}", &ticket[..ticket.len().min(64)]);
            assert_eq!((opened, refused), (1, 0));
        }
        Outcome::Full => {
            assert!(ticket != *mine, "its own ticket does not resume");
            // Another ticket of the same server opens, and then does not fit the client's secret: only in TLS 1.3 is
            // that seen to by libssl itself, with an alert.
            assert_eq!(opened, 0, "opened and not resumed");
            // libssl passes on nothing that is too short for a key name, an IV and a MAC.
            assert!(refused == 1 || ticket.len() < 64 && refused == 0, "{refused} refusals of {} bytes", ticket.len());
        }
        Outcome::Failed => {
            let swapped = issued.contains(&ticket) && ticket != *mine;
            assert!(swapped, "a ticket of {} bytes has ended the handshake: {:02x?}", ticket.len(), &ticket[..ticket.len().min(64)]);
        }
        // A ClientHello cannot hold it.
        Outcome::Unsent => assert!(ticket.len() > 60_000),
    }
});

//! State files: any bytes, and bytes that are nearly one.
//!
//! What must hold: what is taken is exactly one encoding of what it says, so that writing it again gives the same bytes;
//! reading bytes and reading a file come to the same; advancing goes forward only, keeps the chain and loses nothing
//! that still opens; no time and no schedule brings anything to a halt.
#![no_main]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use ticketshim_core::ring::MAX_ACCEPT;
use ticketshim_keys::state::{self, LEN, MAGIC, State};

#[derive(Arbitrary, Debug)]
enum Case {
    /// As it comes.
    Bytes(Vec<u8>),
    /// With the fixed fields and the checksum of a state file.
    Sealed { version: bool, epoch_length: u32, epochs_behind: u16, rest: [u8; 88], epochs_later: u8 },
    /// The same, and then changed.
    Spoilt { epoch_length: u32, rest: [u8; 88], at: u8, mask: u8, len: u8 },
}

/// In memory, where there is such a place: it is written each time.
static DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let shm = PathBuf::from("/dev/shm");
    tempfile::tempdir_in(if shm.is_dir() { shm } else { std::env::temp_dir() }).expect("a directory")
});

fn sealed(version: u32, epoch_length: u32, accept: u32, rest: &[u8; 88]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for number in [version, epoch_length, accept, 0] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(rest);
    let sum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&sum);
    assert_eq!(bytes.len(), LEN);
    bytes
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = DIR.path().join(name);
    fs::write(&path, bytes).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    path
}

fuzz_target!(|case: Case| {
    let (bytes, later) = match case {
        Case::Bytes(bytes) => (bytes, 0),
        Case::Sealed { version, epoch_length, epochs_behind, rest, epochs_later } => {
            let accept = epoch_length.saturating_mul(epochs_behind.into());
            (sealed(u32::from(version) + 1, epoch_length, accept, &rest), epochs_later)
        }
        Case::Spoilt { epoch_length, rest, at, mask, len } => {
            let mut bytes = sealed(1, epoch_length, 0, &rest);
            bytes[usize::from(at) % LEN] ^= mask;
            bytes.truncate(usize::from(len).max(1));
            (bytes, 0)
        }
    };
    let path = file("state", &bytes);
    let (from_bytes, from_file) = (State::from_bytes(&bytes), state::read(&path));
    let read = match (from_bytes, from_file) {
        (Ok(one), Ok(other)) => {
            assert_eq!((one.id(), one.epoch(), one.schedule()), (other.id(), other.epoch(), other.schedule()));
            one
        }
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            assert!(!one.text(&path).to_string().is_empty());
            return;
        }
        (one, other) => panic!("{:?} and {:?}", one.err(), other.err()),
    };
    // There is one way to write it.
    let copy = DIR.path().join("copy");
    let _ = fs::remove_file(&copy);
    state::create(&copy, &read).expect("written");
    assert_eq!(fs::read(&copy).expect("read"), bytes);
    let schedule = read.schedule();
    assert!(schedule.accept() + schedule.epoch.seconds() <= MAX_ACCEPT.max(schedule.epoch.seconds()));

    // A few epochs on: catching up with a chain of long ago takes its time, which is measured elsewhere (`make bench`).
    let length = schedule.epoch.seconds();
    let now = read.epoch().saturating_add(later.into()).saturating_mul(length);
    let ring = read.ring(now).expect("a ring");
    let sealing = ring.sealing(now).expect("a key").name;
    if let Ok(state::Advanced::From(from, to)) = state::advance(&copy, now, true) {
        assert!(from == read.epoch() && to > from);
    }
    let advanced = state::read(&copy).expect("still a state file");
    assert_eq!((advanced.id(), advanced.schedule()), (read.id(), schedule));
    assert!(advanced.epoch() >= read.epoch());
    assert_eq!(advanced.ring(now).expect("a ring").sealing(now).expect("a key").name, sealing);
    assert!(advanced.keys(now).expect("keys").iter().all(|key| key.begins <= key.ends));
});

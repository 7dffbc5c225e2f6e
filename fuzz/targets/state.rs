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
    Sealed { known: bool, generation: u64, chains: Vec<One>, epochs_later: u8 },
    /// The same, and then changed.
    Spoilt { chains: Vec<One>, at: u16, mask: u8, len: u16 },
}

/// A chain, as far as it is not fixed.
#[derive(Arbitrary, Debug)]
struct One {
    id: [u8; 16],
    epoch_length: u32,
    epochs_behind: u16,
    sealing_from: u32,
    opening_until: Option<u32>,
    epoch: u64,
    secrets: [[u8; 32]; 2],
}

/// In memory, where there is such a place: it is written each time.
static DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let shm = PathBuf::from("/dev/shm");
    tempfile::tempdir_in(if shm.is_dir() { shm } else { std::env::temp_dir() }).expect("a directory")
});

fn sealed(version: u32, generation: u64, chains: &[One]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(&(chains.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&generation.to_be_bytes());
    for one in chains.iter().take(3) {
        bytes.extend_from_slice(&one.id);
        bytes.extend_from_slice(&one.epoch_length.to_be_bytes());
        bytes.extend_from_slice(&one.epoch_length.saturating_mul(one.epochs_behind.into()).to_be_bytes());
        let until = one.opening_until.map_or(u64::MAX, u64::from);
        for number in [u64::from(one.sealing_from), until, one.epoch] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(one.secrets.as_flattened());
    }
    bytes.resize(LEN - 32, 0);
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
        Case::Sealed { known, generation, chains, epochs_later } => {
            (sealed(state::VERSION + u32::from(!known), generation, &chains), epochs_later)
        }
        Case::Spoilt { chains, at, mask, len } => {
            let mut bytes = sealed(state::VERSION, 1, &chains);
            bytes[usize::from(at) % LEN] ^= mask;
            bytes.truncate(usize::from(len).max(1));
            (bytes, 0)
        }
    };
    let path = file("state", &bytes);
    let (from_bytes, from_file) = (State::from_bytes(&bytes), state::read(&path));
    let read = match (from_bytes, from_file) {
        (Ok(one), Ok(other)) => {
            assert_eq!((one.generation(), one.chains(0)), (other.generation(), other.chains(0)));
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
    for chain in read.chains(0) {
        let schedule = chain.schedule;
        assert!(schedule.accept() + schedule.epoch.seconds() <= MAX_ACCEPT.max(schedule.epoch.seconds()));
    }

    // A few epochs on: catching up with a chain of long ago takes its time, which is measured elsewhere (`make bench`).
    let newest = *read.chains(0).last().expect("a chain");
    let length = newest.schedule.epoch.seconds();
    let now = newest.epoch.saturating_add(later.into()).saturating_mul(length);
    let far = |chain: &state::ChainTimes| chain.schedule.epoch.epoch_at(now).saturating_sub(chain.epoch) > 1 << 24;
    if read.chains(0).iter().any(far) {
        return;
    }
    let ring = read.ring(now).expect("a ring");
    let sealing = ring.sealing(now).expect("a key").name;
    let before = read.in_use(now);
    // It says so if it is ahead of `now`, and is advanced all the same.
    let _ = state::advance(&copy, now, true);
    let advanced = state::read(&copy).expect("still a state file");
    let after = advanced.in_use(now);
    assert_eq!((after.id, after.schedule, advanced.generation()), (before.id, before.schedule, read.generation()));
    assert!(after.epoch >= before.epoch);
    assert_eq!(advanced.ring(now).expect("a ring").sealing(now).expect("a key").name, sealing);
    // What is there may be put there any number of times.
    let put = |given: &State| state::put(&copy, given, state::Access::default(), now, true);
    assert_eq!(put(&advanced), Ok(state::Put::Unchanged));
    assert_eq!(put(&read), Ok(state::Put::Unchanged));
});

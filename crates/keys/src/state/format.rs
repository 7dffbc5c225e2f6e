//! The bytes of a state file, version 1. `docs/state-file.md` has the same in prose.
//!
//! ```text
//!   0  16  "ticketshim-state"
//!  16   4  version, 1
//!  20   4  length of an epoch in seconds
//!  24   4  accept window in seconds, a multiple of the epoch's length
//!  28   4  zero
//!  32  16  chain id: random, public
//!  48   8  epoch
//!  56  32  link of that epoch        secret
//!  88  32  secret of the next era    secret
//! 120  32  SHA-256 of all before
//! ```
//!
//! Numbers are unsigned and big-endian.

use std::fmt;

use sha2::{Digest, Sha256};
use ticketshim_core::erase::erasing;
use ticketshim_core::ratchet::{Chain, EpochLength};
use ticketshim_core::ring::Schedule;

use super::Refusal;
use crate::memory::Locked;

/// Length of a state file in bytes.
pub const LEN: usize = 152;
/// What a state file begins with.
pub const MAGIC: &[u8; 16] = b"ticketshim-state";
/// The version that is written and read.
pub const VERSION: u32 = 1;
/// What base64 makes of [`MAGIC`]'s first 15 bytes.
const MAGIC_IN_BASE64: &[u8; 20] = b"dGlja2V0c2hpbS1zdGF0";

/// Tells one chain from another, in files, logs and on other hosts. Public.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ChainId(pub [u8; 16]);

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a state file holds.
pub(crate) struct Contents {
    pub(crate) chain: Chain,
    pub(crate) schedule: Schedule,
    pub(crate) id: ChainId,
}

impl Contents {
    /// Nothing yet: the place for it.
    pub(crate) const fn blank(schedule: Schedule) -> Self {
        Self { chain: Chain::ZERO, schedule, id: ChainId([0; 16]) }
    }

    /// Takes over what `other` holds.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.chain.clone_from(&other.chain);
        self.schedule = other.schedule;
        self.id = other.id;
    }
}

/// A state file's bytes, and one more to see that a file is too long.
pub(crate) type Buffer = [u8; LEN + 1];

/// Writes the file's bytes for `contents` to the first [`LEN`] of `out`.
pub(crate) fn encode(contents: &Contents, out: &mut Buffer) {
    // A window is at most 7 days and an epoch has 32 bits (`Schedule`), so neither is cut off.
    let seconds = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
    out[..16].copy_from_slice(MAGIC);
    out[16..20].copy_from_slice(&VERSION.to_be_bytes());
    out[20..24].copy_from_slice(&seconds(contents.schedule.epoch.seconds()));
    out[24..28].copy_from_slice(&seconds(contents.schedule.accept()));
    out[28..32].fill(0);
    out[32..48].copy_from_slice(&contents.id.0);
    out[48..56].copy_from_slice(&contents.chain.epoch().to_be_bytes());
    out[56..88].copy_from_slice(contents.chain.link().expose());
    out[88..120].copy_from_slice(contents.chain.next_era().expose());
    let sum = checksum(&out[..120]);
    out[120..LEN].copy_from_slice(&sum);
}

fn checksum(bytes: &[u8]) -> [u8; 32] {
    erasing(|| Sha256::digest(bytes).into())
}

/// Reads a file's bytes.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn decode(bytes: &[u8]) -> Result<Locked<Contents>, Refusal> {
    if !bytes.starts_with(MAGIC) {
        return Err(guess(bytes));
    }
    let version = number(bytes, 16).ok_or(Refusal::Truncated(bytes.len() as u32))?;
    if version != VERSION {
        return Err(Refusal::Version(version));
    }
    match bytes.len() {
        LEN => {}
        len if len < LEN => return Err(Refusal::Truncated(len as u32)),
        _ => return Err(Refusal::TooLong),
    }
    if checksum(&bytes[..120])[..] != bytes[120..] || number(bytes, 28) != Some(0) {
        return Err(Refusal::Checksum);
    }
    let epoch = number(bytes, 20).and_then(EpochLength::new).ok_or(Refusal::Schedule)?;
    let accept = u64::from(number(bytes, 24).unwrap_or_default());
    let schedule = Schedule::new(epoch, accept);
    if schedule.accept() != accept {
        return Err(Refusal::Schedule);
    }
    let mut contents = Locked::new(Contents::blank(schedule)).ok_or(Refusal::NoMemory)?;
    contents.id.0.copy_from_slice(&bytes[32..48]);
    let mut at = [0; 8];
    at.copy_from_slice(&bytes[48..56]);
    contents.chain.fill(u64::from_be_bytes(at), |link, next_era| {
        link.copy_from_slice(&bytes[56..88]);
        next_era.copy_from_slice(&bytes[88..120]);
    });
    if contents.chain.is_weak() { Err(Refusal::Weak) } else { Ok(contents) }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// What a file without our magic may be.
fn guess(bytes: &[u8]) -> Refusal {
    let text = bytes.trim_ascii_start();
    match bytes.len() {
        0 => Refusal::Empty,
        len if MAGIC.starts_with(bytes) => Refusal::Truncated(len as u32),
        _ if text.starts_with(MAGIC_IN_BASE64) => Refusal::Base64,
        _ if text.starts_with(b"-----BEGIN") => Refusal::Pem,
        len @ (48 | 80) => Refusal::ForeignKeys(len as u32),
        // HAProxy's are lines of base64: 64 characters for 48 bytes, 108 for 80.
        _ => match text.iter().take_while(|c| c.is_ascii_alphanumeric() || b"+/=".contains(c)).count() {
            64 => Refusal::ForeignKeys(48),
            108 => Refusal::ForeignKeys(80),
            _ => Refusal::NotState,
        },
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ticketshim_core::derive::Secret;

    use super::*;

    pub(crate) fn contents(seed: u8, epoch: u64, hours: u64) -> Locked<Contents> {
        let schedule = Schedule::new(EpochLength::new(3600).unwrap(), hours * 3600);
        let mut contents = Locked::new(Contents::blank(schedule)).unwrap();
        contents.chain = Chain::from_seed(&Secret::new([seed; 32]), epoch);
        contents.id = ChainId([seed; 16]);
        contents
    }

    fn bytes() -> Buffer {
        let mut bytes = [0; LEN + 1];
        encode(&contents(7, 500_000, 12), &mut bytes);
        bytes
    }

    fn refusal(bytes: &[u8]) -> Refusal {
        decode(bytes).err().expect("refused")
    }

    /// The same bytes with a checksum that fits.
    fn resealed(mut bytes: Buffer) -> Buffer {
        let sum = Sha256::digest(&bytes[..120]);
        bytes[120..LEN].copy_from_slice(&sum);
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let read = decode(&bytes()[..LEN]).unwrap();
        let written = contents(7, 500_000, 12);
        assert_eq!((read.chain.epoch(), read.id, read.schedule), (500_000, written.id, written.schedule));
        assert_eq!(read.chain.link().expose(), written.chain.link().expose());
        assert_eq!(read.chain.next_era().expose(), written.chain.next_era().expose());
        assert_eq!(read.id.to_string(), "07".repeat(16));
    }

    /// The format is a promise to files that exist: the example must be read for as long as version 1 is.
    #[test]
    fn the_example_in_the_document_is_these_bytes() {
        let document = include_str!("../../../../docs/state-file.md");
        let example = document.split("```text\n").nth(2).and_then(|rest| rest.split("```").next()).unwrap();
        let hex: String = bytes()[..LEN].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(example.replace('\n', ""), hex);
    }

    #[test]
    fn truncated_at_every_length() {
        let bytes = bytes();
        assert_eq!(refusal(b""), Refusal::Empty);
        for len in 1..LEN {
            assert_eq!(refusal(&bytes[..len]), Refusal::Truncated(len as u32), "{len} bytes");
        }
        assert_eq!(refusal(&bytes), Refusal::TooLong);
    }

    #[test]
    fn flipped_at_every_byte() {
        for at in 0..LEN {
            for bit in 0..8 {
                let mut bytes = bytes();
                bytes[at] ^= 1 << bit;
                let refusal = refusal(&bytes[..LEN]);
                match at {
                    0..16 => assert_eq!(refusal, Refusal::NotState),
                    16..20 => assert!(matches!(refusal, Refusal::Version(v) if v != VERSION)),
                    _ => assert_eq!(refusal, Refusal::Checksum, "byte {at}"),
                }
            }
        }
    }

    #[test]
    fn what_a_checksum_does_not_excuse() {
        type Change = fn(&mut Buffer);
        let changes: [(Change, Refusal); 8] = [
            (|b| b[16..20].copy_from_slice(&2u32.to_be_bytes()), Refusal::Version(2)),
            (|b| b[20..24].fill(0), Refusal::Schedule),
            (|b| b[24..28].copy_from_slice(&3601u32.to_be_bytes()), Refusal::Schedule),
            (|b| b[24..28].fill(0xff), Refusal::Schedule),
            (|b| b[28] = 1, Refusal::Checksum),
            (|b| b[56..88].fill(0), Refusal::Weak),
            (|b| b[88..120].fill(0xa5), Refusal::Weak),
            (|b| b[56..88].copy_from_slice(b"correct horse battery staple, no"), Refusal::Weak),
        ];
        for (change, expected) in changes {
            let mut bytes = bytes();
            change(&mut bytes);
            assert_eq!(refusal(&resealed(bytes)[..LEN]), expected);
        }
    }

    #[test]
    fn other_peoples_files_are_recognized() {
        assert_eq!(refusal(&[0x37; 48]), Refusal::ForeignKeys(48));
        assert_eq!(refusal(&[0; 80]), Refusal::ForeignKeys(80));
        let haproxy = "QUJD".repeat(16) + "\n" + &"QUJD".repeat(16) + "\n" + &"QUJD".repeat(16);
        assert_eq!(refusal(&haproxy.as_bytes()[..LEN + 1]), Refusal::ForeignKeys(48));
        assert_eq!(refusal(("QUJD".repeat(26) + "QUI=\n").as_bytes()), Refusal::ForeignKeys(80));
        assert_eq!(refusal(b"-----BEGIN PRIVATE KEY-----\n"), Refusal::Pem);
        assert_eq!(refusal(b"dGlja2V0c2hpbS1zdGF0ZQAAAAEAAA4Q"), Refusal::Base64);
        assert_eq!(refusal(&[0; LEN]), Refusal::NotState);
        assert_eq!(refusal(b"mode = 'enforce'\n"), Refusal::NotState);
    }
}

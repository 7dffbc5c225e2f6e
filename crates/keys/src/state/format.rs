//! The bytes of a state file, version 2. `docs/state-file.md` has the same in prose.
//!
//! ```text
//!   0  16  "ticketshim-state"
//!  16   4  version, 2
//!  20   4  how many chains, 1 to 3
//!  24   8  generation
//!  32 112  the oldest chain
//! 144 112  the next, or zeros
//! 256 112  the next, or zeros
//! 368  32  SHA-256 of all before
//! ```
//!
//! and of each chain
//!
//! ```text
//!   0  16  id: random, public
//!  16   4  length of an epoch in seconds
//!  20   4  accept window in seconds, a multiple of the epoch's length
//!  24   8  sealing from, in Unix seconds
//!  32   8  opening until, in Unix seconds; all ones for no end
//!  40   8  epoch
//!  48  32  link of that epoch        secret
//!  80  32  secret of the next era    secret
//! ```
//!
//! Numbers are unsigned and big-endian.

use sha2::{Digest, Sha256};
use ticketshim_core::erase::erasing;
use ticketshim_core::keyring::{Keyring, MAX_CHAINS, Member};
use ticketshim_core::ratchet::EpochLength;
use ticketshim_core::ring::Schedule;

use super::Refusal;
use crate::memory::Locked;

/// Length of a state file in bytes.
pub const LEN: usize = SUM + 32;
/// What a state file begins with.
pub const MAGIC: &[u8; 16] = b"ticketshim-state";
/// The version that is written and read.
pub const VERSION: u32 = 2;
/// Where chains begin, and how long each is.
const CHAINS: usize = 32;
const CHAIN_LEN: usize = 112;
/// Where the checksum is.
const SUM: usize = CHAINS + MAX_CHAINS * CHAIN_LEN;
/// A generation counts what people do. The upper half of all numbers is no generation, so that there is always a next one.
const MOST_GENERATIONS: u64 = u64::MAX / 2;
/// What base64 makes of [`MAGIC`]'s first 15 bytes.
const MAGIC_IN_BASE64: &[u8; 20] = b"dGlja2V0c2hpbS1zdGF0";

/// A state file's bytes, and one more to see that a file is too long.
pub(crate) type Buffer = [u8; LEN + 1];

/// Writes the file's bytes for `keyring` to the first [`LEN`] of `out`.
pub(crate) fn encode(keyring: &Keyring, out: &mut Buffer) {
    out.fill(0);
    out[..16].copy_from_slice(MAGIC);
    out[16..20].copy_from_slice(&VERSION.to_be_bytes());
    out[20..24].copy_from_slice(&(keyring.members().len() as u32).to_be_bytes());
    out[24..32].copy_from_slice(&keyring.generation().to_be_bytes());
    for (member, place) in keyring.members().iter().zip(out[CHAINS..SUM].as_chunks_mut::<CHAIN_LEN>().0) {
        encode_chain(member, place);
    }
    let sum = checksum(&out[..SUM]);
    out[SUM..LEN].copy_from_slice(&sum);
}

fn encode_chain(member: &Member, out: &mut [u8; CHAIN_LEN]) {
    // A window is at most 7 days and an epoch has 32 bits (`Schedule`), so neither is cut off.
    let seconds = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
    out[..16].copy_from_slice(&member.id.0);
    out[16..20].copy_from_slice(&seconds(member.schedule.epoch.seconds()));
    out[20..24].copy_from_slice(&seconds(member.schedule.accept()));
    out[24..32].copy_from_slice(&member.sealing_from.to_be_bytes());
    out[32..40].copy_from_slice(&member.opening_until.to_be_bytes());
    out[40..48].copy_from_slice(&member.chain.epoch().to_be_bytes());
    out[48..80].copy_from_slice(member.chain.link().expose());
    out[80..].copy_from_slice(member.chain.next_era().expose());
}

fn checksum(bytes: &[u8]) -> [u8; 32] {
    erasing(|| Sha256::digest(bytes).into())
}

/// Reads a file's bytes.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn decode(bytes: &[u8]) -> Result<Locked<Keyring>, Refusal> {
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
    let count = number(bytes, 20).map_or(0, |count| count as usize);
    let generation = long(bytes, 24);
    let (chains, none) = bytes[CHAINS..SUM].split_at(count.min(MAX_CHAINS) * CHAIN_LEN);
    if checksum(&bytes[..SUM])[..] != bytes[SUM..] || none.iter().any(|byte| *byte != 0) {
        return Err(Refusal::Checksum);
    }
    if !(1..=MAX_CHAINS).contains(&count) || generation > MOST_GENERATIONS {
        return Err(Refusal::Schedule);
    }
    let mut keyring = Locked::new(Keyring::empty()).ok_or(Refusal::NoMemory)?;
    keyring.clear(generation);
    for bytes in chains.as_chunks().0 {
        let member = keyring.add().ok_or(Refusal::Schedule)?;
        decode_chain(bytes, member)?;
    }
    match (keyring.is_in_order(), keyring.is_weak()) {
        (_, true) => Err(Refusal::Weak),
        (false, _) => Err(Refusal::Schedule),
        _ => Ok(keyring),
    }
}

fn decode_chain(bytes: &[u8; CHAIN_LEN], member: &mut Member) -> Result<(), Refusal> {
    let epoch = number(bytes, 16).and_then(EpochLength::new).ok_or(Refusal::Schedule)?;
    let accept = u64::from(number(bytes, 20).unwrap_or_default());
    member.schedule = Schedule::new(epoch, accept);
    if member.schedule.accept() != accept {
        return Err(Refusal::Schedule);
    }
    member.id.0.copy_from_slice(&bytes[..16]);
    member.sealing_from = long(bytes, 24);
    member.opening_until = long(bytes, 32);
    member.chain.fill(long(bytes, 40), |link, next_era| {
        link.copy_from_slice(&bytes[48..80]);
        next_era.copy_from_slice(&bytes[80..]);
    });
    Ok(())
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_be_bytes(*bytes))
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
    use ticketshim_core::keyring::ChainId;
    use ticketshim_core::ratchet::Chain;

    use super::*;

    fn seed(n: u8) -> Secret {
        Secret::new([n; 32])
    }

    /// As the example in the document: the chain of the seed 07 × 32, and that of 08 × 32, announced for epoch 500002.
    pub(crate) fn example() -> Locked<Keyring> {
        let schedule = Schedule::new(EpochLength::new(3600).unwrap(), 12 * 3600);
        let mut keyring = Locked::new(Keyring::empty()).unwrap();
        keyring.copy_from(&Keyring::from_seed(&seed(7), ChainId([7; 16]), schedule, 500_000));
        let announced = keyring.announce(500_002 * 3600, 500_000 * 3600, |member| {
            member.id = ChainId([8; 16]);
            member.schedule = schedule;
            member.chain = Chain::from_seed(&seed(8), 500_000);
        });
        announced.unwrap();
        keyring
    }

    fn bytes() -> Buffer {
        let mut bytes = [0; LEN + 1];
        encode(&example(), &mut bytes);
        bytes
    }

    fn refusal(bytes: &[u8]) -> Refusal {
        decode(bytes).err().expect("refused")
    }

    /// The same bytes with a checksum that fits.
    fn resealed(mut bytes: Buffer) -> Buffer {
        let sum = Sha256::digest(&bytes[..SUM]);
        bytes[SUM..LEN].copy_from_slice(&sum);
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let (read, written) = (decode(&bytes()[..LEN]).unwrap(), example());
        assert_eq!((read.generation(), read.members().len()), (2, 2));
        for (read, written) in read.members().iter().zip(written.members()) {
            assert_eq!((read.chain.epoch(), read.id, read.schedule), (500_000, written.id, written.schedule));
            assert_eq!(read.chain.link().expose(), written.chain.link().expose());
            assert_eq!(read.chain.next_era().expose(), written.chain.next_era().expose());
            let times = |member: &Member| (member.sealing_from, member.opening_until);
            assert_eq!(times(read), times(written));
        }
        assert_eq!(read.members()[0].id.to_string(), "07".repeat(16));
    }

    /// The format is a promise to files that exist: the example must be read for as long as version 2 is.
    #[test]
    fn the_example_in_the_document_is_these_bytes() {
        let document = include_str!("../../../../docs/state-file.md");
        let example = document.split("```text\n").nth(3).and_then(|rest| rest.split("```").next()).unwrap();
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
        let changes: [(Change, Refusal); 16] = [
            (|b| b[16..20].copy_from_slice(&1u32.to_be_bytes()), Refusal::Version(1)),
            (|b| b[16..20].copy_from_slice(&3u32.to_be_bytes()), Refusal::Version(3)),
            (|b| b[23] = 0, Refusal::Checksum),
            (|b| b[23] = 4, Refusal::Schedule),
            (|b| b[24..32].fill(0), Refusal::Schedule),
            (|b| b[24] = 0x80, Refusal::Schedule),
            (|b| b[300] = 1, Refusal::Checksum),
            (|b| b[48..52].fill(0), Refusal::Schedule),
            (|b| b[52..56].copy_from_slice(&3601u32.to_be_bytes()), Refusal::Schedule),
            (|b| b[52..56].fill(0xff), Refusal::Schedule),
            (|b| b[64..72].fill(0xff), Refusal::Schedule),
            (|b| b[176..184].fill(0), Refusal::Schedule),
            (|b| b[144..160].fill(7), Refusal::Schedule),
            (|b| b[80..112].fill(0), Refusal::Weak),
            (|b| b[224..256].fill(0xa5), Refusal::Weak),
            (|b| b[80..112].copy_from_slice(b"correct horse battery staple, no"), Refusal::Weak),
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
        assert_eq!(refusal(haproxy.as_bytes()), Refusal::ForeignKeys(48));
        assert_eq!(refusal(("QUJD".repeat(26) + "QUI=\n").as_bytes()), Refusal::ForeignKeys(80));
        assert_eq!(refusal(b"-----BEGIN PRIVATE KEY-----\n"), Refusal::Pem);
        assert_eq!(refusal(b"dGlja2V0c2hpbS1zdGF0ZQAAAAEAAA4Q"), Refusal::Base64);
        assert_eq!(refusal(&[0; LEN]), Refusal::NotState);
        assert_eq!(refusal(b"mode = 'enforce'\n"), Refusal::NotState);
    }
}

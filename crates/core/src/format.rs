//! The bytes of a ticket, version 1.
//!
//! ```text
//! key_name[16] ‖ salt[16] ‖ AES-256-GCM( header[4] ‖ session DER ) ‖ tag[16] ‖ HMAC-SHA-256[32]
//! ```
//!
//! libssl fixes the outer frame (RFC 5077 section 4: key name, IV, ciphertext, MAC over all before it); the salt
//! travels in the IV's place. The version is not a byte in the ticket: it is part of every derivation label, so a
//! ticket of another version has a key name that is simply not known here.

/// Length of a key name in bytes (libssl's `TLSEXT_KEYNAME_LENGTH`).
pub const KEY_NAME_LEN: usize = 16;
/// Length of the salt in bytes: what libssl carries as the IV (`EVP_MAX_IV_LENGTH` allows no more).
pub const SALT_LEN: usize = 16;
/// Length of the sealed header in bytes.
pub const HEADER_LEN: usize = 4;
/// Length of the AES-GCM tag in bytes.
pub const TAG_LEN: usize = 16;
/// Length of the HMAC-SHA-256 at the end, in bytes.
pub const MAC_LEN: usize = 32;
/// What a ticket is longer than the session's DER, in bytes.
pub const OVERHEAD: usize = KEY_NAME_LEN + SALT_LEN + HEADER_LEN + TAG_LEN + MAC_LEN;

/// How far ahead of our clock a sealed time may be and still count as "now" instead of as 136 years ago, in seconds.
/// One hour is well above the clock skew that one epoch of tolerance admits by default.
const SKEW: u32 = 3600;

/// Names the key that sealed a ticket. Public: it travels in clear.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct KeyName(pub [u8; KEY_NAME_LEN]);

/// The part of a ticket that makes its AES-GCM key and nonce unique. Public; see [`crate::salt`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Salt(pub [u8; SALT_LEN]);

/// Why a ticket was not accepted. Each is an ordinary full handshake for the peer and a counter for the operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No key of that name is, or lately was, in the ring.
    UnknownKey,
    /// The key of that name has left the accept window and is erased.
    Expired,
    /// The key is known and the HMAC does not fit: altered on the way, or made up.
    BadMac,
    /// Sealed by us, under that key, for another place: see [`crate::binding`].
    Binding,
    /// The last full handshake is longer ago than the cap allows.
    TooOld,
    /// Shorter than a ticket can be.
    Malformed,
}

/// The time of the last **full** handshake, as sealed into the ticket: Unix seconds modulo 2³².
///
/// A renewed ticket carries the time on, which is what ends a chain of renewals. Ages are compared modulo 2³² (as
/// RFC 1982 does for serial numbers), so 2106 is a day like any other; the cap is at most 7 days, far below the half
/// of the circle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FullHandshake(u32);

impl FullHandshake {
    /// The header for a full handshake at `unix_seconds`.
    pub fn at(unix_seconds: u64) -> Self {
        // Modulo 2³² by intention: see the type.
        Self((unix_seconds & u64::from(u32::MAX)) as u32)
    }

    /// Seconds from then to `now` (Unix seconds); 0 if it lies ahead by no more than a clock skew.
    pub fn age(self, now: u64) -> u32 {
        let age = Self::at(now).0.wrapping_sub(self.0);
        if age > u32::MAX - SKEW { 0 } else { age }
    }

    /// The sealed form.
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        self.0.to_be_bytes()
    }

    /// Reads the sealed form.
    pub fn from_bytes(bytes: [u8; HEADER_LEN]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }
}

/// A ticket taken apart, nothing verified.
#[derive(Clone, Copy, Debug)]
pub struct Ticket<'a> {
    /// Which key.
    pub key_name: KeyName,
    /// Which derived key and nonce.
    pub salt: Salt,
    /// Header and DER under AES-256-GCM, and the tag.
    pub sealed: &'a [u8],
    /// All that the MAC covers.
    pub authenticated: &'a [u8],
    /// The MAC.
    pub mac: &'a [u8; MAC_LEN],
}

impl<'a> Ticket<'a> {
    /// Cuts `bytes` into the parts of a ticket.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] if too short to hold an empty session.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let (authenticated, mac) = bytes.split_last_chunk().ok_or(Refusal::Malformed)?;
        let (key_name, rest) = authenticated.split_first_chunk().ok_or(Refusal::Malformed)?;
        let (salt, sealed) = rest.split_first_chunk().ok_or(Refusal::Malformed)?;
        if sealed.len() < HEADER_LEN + TAG_LEN {
            return Err(Refusal::Malformed);
        }
        Ok(Self { key_name: KeyName(*key_name), salt: Salt(*salt), sealed, authenticated, mac })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overhead_is_within_the_designs_bound() {
        assert_eq!(OVERHEAD, 84);
        // What libssl lets a cipher add (construct_stateless_ticket: at most EVP_MAX_BLOCK_LENGTH).
        const { assert!(HEADER_LEN + TAG_LEN <= 32) }
    }

    #[test]
    fn age_survives_2106_and_skew() {
        let before = u64::from(u32::MAX) - 10;
        assert_eq!(FullHandshake::at(before).age(before + 100), 100);
        assert_eq!(FullHandshake::at(before).age(before), 0);
        assert_eq!(FullHandshake::at(before + 60).age(before), 0, "a minute ahead is skew");
        let skew = u64::from(SKEW);
        assert_eq!(FullHandshake::at(before + skew).age(before), 0, "the most that is skew");
        assert!(FullHandshake::at(before + skew + 1).age(before) > 604_800, "a second more is not");
        assert!(FullHandshake::at(before + 86_400).age(before) > 604_800, "a day ahead is not");
        let t = FullHandshake::at(1_800_000_000);
        assert_eq!(FullHandshake::from_bytes(t.to_bytes()), t);
    }

    #[test]
    fn parse_wants_every_part() {
        let bytes = [7u8; OVERHEAD + 3];
        for n in 0..OVERHEAD {
            assert_eq!(Ticket::parse(&bytes[..n]).err(), Some(Refusal::Malformed), "{n} bytes");
        }
        for n in OVERHEAD..=bytes.len() {
            let t = Ticket::parse(&bytes[..n]).unwrap();
            assert_eq!(t.sealed.len() + KEY_NAME_LEN + SALT_LEN, t.authenticated.len());
            assert_eq!(t.authenticated.len() + MAC_LEN, n);
        }
    }
}

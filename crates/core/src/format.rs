//! The bytes of a ticket, version 2.
//!
//! ```text
//! key_name[16] ‖ salt[16] ‖ AES-256-GCM( header[5…16] ‖ session DER ) ‖ tag[16] ‖ HMAC-SHA-256[32]
//! header = kind[1] ‖ time[4] ‖ valid_for[4]? ‖ origin[7]?
//! ```
//!
//! libssl fixes the outer frame (RFC 5077 section 4: key name, IV, ciphertext, MAC over all before it); the salt
//! travels in the IV's place. The version is not a byte in the ticket: it is part of every derivation label, so a
//! ticket of another version has a key name that is simply not known here.

/// Length of a key name in bytes (libssl's `TLSEXT_KEYNAME_LENGTH`).
pub const KEY_NAME_LEN: usize = 16;
/// Length of the salt in bytes: what libssl carries as the IV (`EVP_MAX_IV_LENGTH` allows no more).
pub const SALT_LEN: usize = 16;
/// The shortest sealed header, in bytes: that of an anonymous session.
pub const MIN_HEADER_LEN: usize = 5;
/// The longest sealed header, in bytes. With the tag these are the 32 bytes that libssl lets a cipher add
/// (construct_stateless_ticket: EVP_MAX_BLOCK_LENGTH).
pub const MAX_HEADER_LEN: usize = 16;
/// Length of the AES-GCM tag in bytes.
pub const TAG_LEN: usize = 16;
/// Length of the HMAC-SHA-256 at the end, in bytes.
pub const MAC_LEN: usize = 32;
/// What a ticket is at least longer than the session's DER, in bytes: an anonymous session's is by just that.
pub const MIN_OVERHEAD: usize = KEY_NAME_LEN + SALT_LEN + MIN_HEADER_LEN + TAG_LEN + MAC_LEN;

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
    /// A certificate that the client was let in with was valid then, and has expired since.
    ClientExpired,
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
    /// A full handshake at `unix_seconds`.
    pub fn at(unix_seconds: u64) -> Self {
        // Modulo 2³² by intention: see the type.
        Self((unix_seconds & u64::from(u32::MAX)) as u32)
    }

    /// Seconds from then to `now` (Unix seconds); 0 if it lies ahead by no more than a clock skew.
    pub fn age(self, now: u64) -> u32 {
        let age = Self::at(now).0.wrapping_sub(self.0);
        if age > u32::MAX - SKEW { 0 } else { age }
    }
}

/// Who the client of a sealed session is, as far as the ticket's way depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Client {
    /// Nobody knows: the session has no client certificate and comes from no pre-shared key.
    Anonymous,
    /// Known by a certificate that libssl alone has verified. Opens wherever the binding is the same.
    Portable,
    /// Known in another way, or the application's code had a part in the verdict. The binding has the id of the context in
    /// it, so that it opens there only.
    Isolated,
}

/// The start of the random id of the `SSL_CTX` that sealed a ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin([u8; Origin::LEN]);

impl Origin {
    const LEN: usize = 7;

    /// That of a context with this id.
    pub fn of(context_id: &[u8; 16]) -> Self {
        let mut start = [0; Self::LEN];
        start.iter_mut().zip(context_id).for_each(|(to, from)| *to = *from);
        Self(start)
    }
}

/// What is sealed in front of the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// When the client last made a full handshake.
    pub time: FullHandshake,
    /// Who the client is.
    pub client: Client,
    /// For how many seconds after `time` the certificates that the client was let in with are valid; `None` for an
    /// anonymous client, and where that is not limited.
    pub valid_for: Option<u32>,
    /// Which context sealed it, where the session allows early data; else `None`.
    pub origin: Option<Origin>,
}

/// Of `kind`: the class, and what follows the time.
const CLASS: u8 = 0b0011;
const HAS_VALID_FOR: u8 = 0b0100;
const HAS_ORIGIN: u8 = 0b1000;

impl Header {
    /// That of an anonymous client's session.
    pub fn anonymous(time: FullHandshake) -> Self {
        Self { time, client: Client::Anonymous, valid_for: None, origin: None }
    }

    /// Its length in bytes.
    #[inline]
    pub fn size(&self) -> usize {
        MIN_HEADER_LEN
            + if self.valid_for.is_some() { size_of::<u32>() } else { 0 }
            + if self.origin.is_some() { Origin::LEN } else { 0 }
    }

    /// Writes it to the start of `body`. `None` if it does not fit.
    #[inline]
    pub fn write(&self, body: &mut [u8]) -> Option<()> {
        let class = match self.client {
            Client::Anonymous => 0,
            Client::Portable => 1,
            Client::Isolated => 2,
        };
        let valid_for = self.valid_for.map_or(0, |_| HAS_VALID_FOR);
        let origin = self.origin.map_or(0, |_| HAS_ORIGIN);
        let (head, mut rest) = body.split_first_chunk_mut::<MIN_HEADER_LEN>()?;
        let [t0, t1, t2, t3] = self.time.0.to_be_bytes();
        *head = [class | valid_for | origin, t0, t1, t2, t3];
        if let Some(seconds) = self.valid_for {
            let (place, after) = rest.split_first_chunk_mut()?;
            *place = seconds.to_be_bytes();
            rest = after;
        }
        if let Some(origin) = self.origin {
            *rest.first_chunk_mut()? = origin.0;
        }
        Some(())
    }

    /// Reads it from the start of `body`, and gives what follows it: the session. `None` if it is none of this version.
    #[inline]
    pub fn read(body: &[u8]) -> Option<(Self, &[u8])> {
        let ([kind, time @ ..], mut rest) = body.split_first_chunk::<MIN_HEADER_LEN>()?;
        let client = match kind & CLASS {
            0 => Client::Anonymous,
            1 => Client::Portable,
            2 => Client::Isolated,
            _ => return None,
        };
        if kind & !(CLASS | HAS_VALID_FOR | HAS_ORIGIN) != 0 {
            return None;
        }
        let mut header = Self { time: FullHandshake(u32::from_be_bytes(*time)), client, valid_for: None, origin: None };
        if kind & HAS_VALID_FOR != 0 {
            let (seconds, after) = rest.split_first_chunk()?;
            header.valid_for = Some(u32::from_be_bytes(*seconds));
            rest = after;
        }
        if kind & HAS_ORIGIN != 0 {
            let (origin, after) = rest.split_first_chunk()?;
            header.origin = Some(Origin(*origin));
            rest = after;
        }
        Some((header, rest))
    }

    /// Whether the ticket may still be used at `now` (Unix seconds), if it may be for `max_age` seconds after the full
    /// handshake.
    ///
    /// # Errors
    /// [`Refusal::TooOld`], [`Refusal::ClientExpired`].
    pub fn check_age(&self, now: u64, max_age: u64) -> Result<(), Refusal> {
        let age = self.time.age(now);
        if u64::from(age) > max_age {
            return Err(Refusal::TooOld);
        }
        match self.valid_for {
            Some(seconds) if age > seconds => Err(Refusal::ClientExpired),
            _ => Ok(()),
        }
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
        if sealed.len() < MIN_HEADER_LEN + TAG_LEN {
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
        assert_eq!(MIN_OVERHEAD, 85);
        const { assert!(MAX_HEADER_LEN + TAG_LEN <= 32) }
    }

    #[test]
    fn headers_are_read_as_they_were_written() {
        let time = FullHandshake::at(1_800_000_000);
        let origins = [None, Some(Origin::of(&[7; 16]))];
        let mut seen = Vec::new();
        for client in [Client::Anonymous, Client::Portable, Client::Isolated] {
            for valid_for in [None, Some(0), Some(u32::MAX)] {
                for origin in origins {
                    let header = Header { time, client, valid_for, origin };
                    let mut body = [0xaa; MAX_HEADER_LEN + 2];
                    header.write(&mut body).unwrap();
                    let (read, session) = Header::read(&body).unwrap();
                    assert_eq!((read, session), (header, &body[header.size()..]));
                    assert!(session.iter().all(|byte| *byte == 0xaa), "no more than its length is written");
                    let exact = body[..header.size()].to_vec();
                    assert!((0..exact.len()).all(|len| Header::read(&exact[..len]).is_none()), "cut");
                    assert!((0..exact.len()).all(|len| header.write(&mut body[..len]).is_none()), "no room");
                    assert!(!seen.contains(&exact));
                    seen.push(exact);
                }
            }
        }
        assert_eq!(Header { origin: origins[1], valid_for: Some(1), ..Header::anonymous(time) }.size(), MAX_HEADER_LEN);
        assert_eq!(Header::anonymous(time).size(), MIN_HEADER_LEN);
    }

    #[test]
    fn an_unknown_kind_is_no_header() {
        for kind in 0..=u8::MAX {
            let body = [kind; MAX_HEADER_LEN];
            assert_eq!(Header::read(&body).is_some(), kind < 16 && kind & 3 != 3, "{kind}");
        }
    }

    #[test]
    fn a_client_does_not_outlive_its_certificate() {
        let at = 1_800_000_000;
        let header =
            |valid_for| Header { client: Client::Portable, valid_for, ..Header::anonymous(FullHandshake::at(at)) };
        assert_eq!(header(Some(60)).check_age(at + 60, 100), Ok(()), "the last second of its validity");
        assert_eq!(header(Some(60)).check_age(at + 61, 100), Err(Refusal::ClientExpired));
        assert_eq!(header(Some(60)).check_age(at + 101, 100), Err(Refusal::TooOld));
        assert_eq!(header(Some(0)).check_age(at - 60, 100), Ok(()), "a clock that is behind");
        assert_eq!(header(None).check_age(at + 100, 100), Ok(()));
        assert_eq!(header(None).check_age(at + 101, 100), Err(Refusal::TooOld));
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
    }

    #[test]
    fn parse_wants_every_part() {
        let bytes = [7u8; MIN_OVERHEAD + 3];
        for n in 0..MIN_OVERHEAD {
            assert_eq!(Ticket::parse(&bytes[..n]).err(), Some(Refusal::Malformed), "{n} bytes");
        }
        for n in MIN_OVERHEAD..=bytes.len() {
            let t = Ticket::parse(&bytes[..n]).unwrap();
            assert_eq!(t.sealed.len() + KEY_NAME_LEN + SALT_LEN, t.authenticated.len());
            assert_eq!(t.authenticated.len() + MAC_LEN, n);
        }
    }
}

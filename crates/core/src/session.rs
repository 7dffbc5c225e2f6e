//! Reads what OpenSSL writes into a ticket: the DER of an `SSL_SESSION` (`i2d_SSL_SESSION`, ssl/ssl_asn1.c).
//!
//! ```text
//! SEQUENCE { version INTEGER, ssl_version INTEGER, cipher OCTET STRING, session_id OCTET STRING,
//!            master_key OCTET STRING, [n] EXPLICIT … OPTIONAL }
//! ```
//!
//! Only reads, only borrows, and takes nothing for granted: whatever does not parse is `None`.

/// Context tags of the optional fields.
pub mod tag {
    /// `time`: when the session was made, Unix seconds.
    pub const TIME: u8 = 1;
    /// `timeout`, in seconds.
    pub const TIMEOUT: u8 = 2;
    /// `peer`: the client's certificate.
    pub const PEER: u8 = 3;
    /// `session_id_context`.
    pub const SESSION_ID_CONTEXT: u8 = 4;
    /// `tlsext_hostname`.
    pub const HOSTNAME: u8 = 6;
    /// `alpn_selected`.
    pub const ALPN: u8 = 16;
    /// `ticket_appdata`.
    pub const TICKET_APPDATA: u8 = 18;
    /// `peer_rpk`: the client's raw public key (RFC 7250; OpenSSL 3.2 and newer).
    pub const PEER_RPK: u8 = 20;
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const EXPLICIT: u8 = 0xa0;

/// A session's DER, taken apart.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    /// The protocol version as on the wire.
    pub protocol: u16,
    /// The cipher suite's two bytes.
    pub cipher: &'a [u8],
    /// The master secret (TLS 1.2) or the resumption secret (TLS 1.3). Secret.
    pub master_key: &'a [u8],
    optional: &'a [u8],
}

impl<'a> Session<'a> {
    /// Takes a session apart.
    pub fn parse(der: &'a [u8]) -> Option<Self> {
        let (body, b"") = element(der, SEQUENCE)? else { return None };
        let (_version, rest) = element(body, INTEGER)?;
        let (protocol, rest) = element(rest, INTEGER)?;
        let (cipher, rest) = element(rest, OCTET_STRING)?;
        let (_id, rest) = element(rest, OCTET_STRING)?;
        let (master_key, optional) = element(rest, OCTET_STRING)?;
        Some(Self { protocol: u16::try_from(unsigned(protocol)?).ok()?, cipher, master_key, optional })
    }

    /// An optional field whose content is an OCTET STRING.
    pub fn octets(&self, tag: u8) -> Option<&'a [u8]> {
        element(self.field(tag)?, OCTET_STRING).map(|(content, _)| content)
    }

    /// An optional field whose content is a number.
    pub fn number(&self, tag: u8) -> Option<u64> {
        element(self.field(tag)?, INTEGER).and_then(|(content, _)| unsigned(content))
    }

    /// An optional field, whatever it holds: the content of its explicit tag.
    pub fn field(&self, tag: u8) -> Option<&'a [u8]> {
        let mut rest = self.optional;
        while let Some((&first, _)) = rest.split_first() {
            let (content, after) = element(rest, first)?;
            if first == EXPLICIT | tag {
                return Some(content);
            }
            rest = after;
        }
        None
    }
}

/// Names a session by its master secret, within a process: 128 bits of the sum (exclusive or) of its parts, which are
/// uniformly random. It shows less of the secret than libssl's own copy beside it, and costs no hash.
pub fn fingerprint(master_key: &[u8]) -> [u8; 16] {
    let mut sum = [0; 16];
    for part in master_key.chunks(16) {
        sum.iter_mut().zip(part).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

/// One DER element with this tag byte: its content, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (&len, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    let (len, rest) = match len {
        0..=0x7f => (usize::from(len), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(len & 0x7f))?;
            (usize::try_from(unsigned(bytes)?).ok()?, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(len)
}

fn unsigned(bytes: &[u8]) -> Option<u64> {
    let significant = bytes.strip_prefix(&[0]).unwrap_or(bytes);
    (significant.len() <= 8).then(|| significant.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As OpenSSL writes it: TLS 1.3, a session id context `ctx`, application data of 200 bytes.
    fn sample() -> Vec<u8> {
        let mut appdata = vec![0xb2, 0x81, 0xcb, 0x04, 0x81, 0xc8];
        appdata.extend([7; 200]);
        let mut body =
            b"\x02\x01\x01\x02\x02\x03\x04\x04\x02\x13\x02\x04\x01\xaa\x04\x03key\xa1\x06\x02\x04\x6b\x00\x00\x00\
                         \xa2\x04\x02\x02\x1c\x20\xa4\x05\x04\x03ctx"
                .to_vec();
        body.extend(appdata);
        let mut der = vec![0x30, 0x82, (body.len() >> 8) as u8, body.len() as u8];
        der.extend(body);
        der
    }

    #[test]
    fn fields_are_found() {
        let der = sample();
        let session = Session::parse(&der).unwrap();
        assert_eq!((session.protocol, session.cipher, session.master_key), (0x0304, &b"\x13\x02"[..], &b"key"[..]));
        assert_eq!(session.number(tag::TIME), Some(0x6b00_0000));
        assert_eq!(session.number(tag::TIMEOUT), Some(7200));
        assert_eq!(session.octets(tag::TICKET_APPDATA), Some(&[7; 200][..]));
        assert_eq!(session.octets(tag::HOSTNAME), None);
        assert_eq!(session.octets(tag::SESSION_ID_CONTEXT), Some(&b"ctx"[..]));
    }

    #[test]
    fn fingerprints_differ() {
        let key: [u8; 48] = core::array::from_fn(|i| i as u8 * 5);
        for i in 0..key.len() {
            let mut other = key;
            other[i] ^= 0x10;
            assert_ne!(fingerprint(&key), fingerprint(&other));
        }
    }

    #[test]
    fn nothing_is_taken_for_granted() {
        let der = sample();
        for n in 0..der.len() {
            assert!(Session::parse(&der[..n]).is_none(), "cut to {n}");
        }
        for i in 0..der.len() {
            for bit in 0..8 {
                let mut bad = der.clone();
                bad[i] ^= 1 << bit;
                // Whatever it says, it ends and stays inside.
                if let Some(session) = Session::parse(&bad) {
                    assert!((0..32).all(|tag| session.octets(tag).is_none_or(|octets| octets.len() < bad.len())));
                }
            }
        }
        assert!(Session::parse(b"\x30\x84\xff\xff\xff\xff").is_none());
        assert!(Session::parse(b"\x30\x80\x00\x00").is_none());
    }
}

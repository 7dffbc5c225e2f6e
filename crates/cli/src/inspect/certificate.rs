//! What of a certificate takes part in a binding: the bits of its public key, and its subject's name. Reads just as
//! much DER as it takes to come by them (RFC 5280 section 4.1).

use std::fs;
use std::path::Path;

use data_encoding::BASE64;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const VERSION: u8 = 0xa0;

/// What is bound.
#[derive(Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The bits of subjectPublicKey.
    pub key: Vec<u8>,
    /// The subject, in DER.
    pub subject: Vec<u8>,
}

/// All certificates of a file, in PEM or DER.
pub fn read(file: &Path) -> Result<Vec<Certificate>, String> {
    let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let all = if bytes.first() == Some(&SEQUENCE) { parse(&bytes).map(|one| vec![one]) } else { from_pem(&bytes) };
    all.filter(|all| !all.is_empty()).ok_or_else(|| format!("{}: not a certificate", file.display()))
}

fn from_pem(bytes: &[u8]) -> Option<Vec<Certificate>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let parts = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    let certificates = parts.map(|part| {
        let body: String = part.split("-----END").next()?.split_whitespace().collect();
        parse(&BASE64.decode(body.as_bytes()).ok()?)
    });
    certificates.collect()
}

fn parse(der: &[u8]) -> Option<Certificate> {
    let (certificate, _) = content(der, SEQUENCE)?;
    let (mut fields, _) = content(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.1;
    }
    // serialNumber, signature, issuer, validity
    for _ in 0..4 {
        fields = element(fields)?.1;
    }
    let (subject, fields) = element(fields)?;
    let (key, _) = content(fields, SEQUENCE)?;
    // algorithm
    let (_, key) = element(key)?;
    let (bits, _) = content(key, BIT_STRING)?;
    // The first byte says how many bits of the last are none.
    Some(Certificate { key: bits.get(1..)?.to_vec(), subject: subject.to_vec() })
}

/// The content of the element with that tag, and what follows.
fn content(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (header, length) = header(der)?;
    let (whole, rest) = element(der)?;
    (*der.first()? == tag).then(|| (&whole[header..header + length], rest))
}

/// The whole element, and what follows.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, length) = header(der)?;
    der.split_at_checked(header.checked_add(length)?)
}

/// The lengths of an element's header and content.
fn header(der: &[u8]) -> Option<(usize, usize)> {
    match *der.get(1)? {
        short @ 0..=0x7f => Some((2, usize::from(short))),
        long @ 0x81..=0x83 => {
            let bytes = der.get(2..2 + usize::from(long & 0x7f))?;
            Some((2 + bytes.len(), bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b))))
        }
        _ => None,
    }
}

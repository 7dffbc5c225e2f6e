//! What of a certificate takes part in a binding: the bits of its public key, its subject's name, and names that clients
//! may have asked for. Reads just as much DER as it takes to come by them (RFC 5280 section 4.1).

use std::fs;
use std::path::Path;

use data_encoding::BASE64;
use sha1::{Digest, Sha1};

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// The OBJECT IDENTIFIER 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];
/// dNSName in a GeneralName.
const DNS_NAME: u8 = 0x82;

/// What is bound.
#[derive(Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The bits of subjectPublicKey.
    pub key: Vec<u8>,
    /// The subject, in DER.
    pub subject: Vec<u8>,
    /// SHA-1 of it all.
    pub fingerprint: [u8; 20],
    /// The DNS names that it is for, without those with an asterisk.
    pub names: Vec<Vec<u8>>,
}

/// All certificates of a file, in PEM or DER.
pub fn read(file: &Path) -> Result<Vec<Certificate>, String> {
    let all = blocks(file, "CERTIFICATE")?;
    let all: Option<Vec<Certificate>> = all.iter().map(|der| parse(der)).collect();
    all.ok_or_else(|| format!("{}: not a certificate", file.display()))
}

/// The DER of all that a file holds of a kind: PEM blocks (`CERTIFICATE`, `X509 CRL`), or one thing in DER.
pub fn blocks(file: &Path, kind: &str) -> Result<Vec<Vec<u8>>, String> {
    let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let all = if bytes.first() == Some(&SEQUENCE) { Some(vec![bytes]) } else { from_pem(&bytes, kind) };
    all.filter(|all| !all.is_empty()).ok_or_else(|| format!("{}: no {kind} in it", file.display()))
}

fn from_pem(bytes: &[u8], kind: &str) -> Option<Vec<Vec<u8>>> {
    let begin = format!("-----BEGIN {kind}-----");
    let text = std::str::from_utf8(bytes).ok()?;
    let blocks = text.split(&begin).skip(1).map(|block| {
        let body: String = block.split("-----END").next()?.split_whitespace().collect();
        BASE64.decode(body.as_bytes()).ok()
    });
    blocks.collect()
}

/// One in DER.
pub fn parse(der: &[u8]) -> Option<Certificate> {
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
    let (key, rest) = content(fields, SEQUENCE)?;
    // algorithm
    let (_, key) = element(key)?;
    let (bits, _) = content(key, BIT_STRING)?;
    // The first byte says how many bits of the last are none.
    let fingerprint = Sha1::digest(element(der)?.0).into();
    let names = dns_names(rest).unwrap_or_default();
    Some(Certificate { key: bits.get(1..)?.to_vec(), subject: subject.to_vec(), fingerprint, names })
}

/// The DNS names of the extension subjectAltName, in what follows the key; `None` if there are none.
fn dns_names(mut fields: &[u8]) -> Option<Vec<Vec<u8>>> {
    while *fields.first()? != EXTENSIONS {
        fields = element(fields)?.1;
    }
    let (list, _) = content(fields, EXTENSIONS)?;
    let (mut extensions, _) = content(list, SEQUENCE)?;
    let mut names: &[u8] = loop {
        let (extension, rest) = content(extensions, SEQUENCE)?;
        if let Some(mut fields) = extension.strip_prefix(SUBJECT_ALT_NAME) {
            if fields.first() == Some(&BOOLEAN) {
                fields = element(fields)?.1;
            }
            break content(content(fields, OCTET_STRING)?.0, SEQUENCE)?.0;
        }
        extensions = rest;
    };
    let mut found = Vec::new();
    while let Some(&tag) = names.first() {
        let (name, rest) = content(names, tag)?;
        if tag == DNS_NAME && !name.contains(&b'*') {
            found.push(name.to_vec());
        }
        names = rest;
    }
    Some(found)
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

//! What of a certificate takes part in a binding: the bits of its public key, its subject's name, and names that clients
//! may have asked for (RFC 5280 section 4.1). What is not bound is passed over, valid or not, and what is bound is taken byte
//! for byte, as libssl has it: a certificate that libssl takes must be found here too.

use std::fs;
use std::path::Path;

use data_encoding::BASE64;
use sha1::{Digest, Sha1};
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{self, Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// A SEQUENCE, as anything in DER that is read here begins.
const SEQUENCE: u8 = 0x30;
/// subjectAltName (RFC 5280 section 4.2.1.6).
const SUBJECT_ALT_NAME: ObjectIdentifier = SubjectAltName::OID;
/// `[3]` of TBSCertificate, and `[2]`, dNSName, of GeneralName.
const EXTENSIONS: TagNumber = TagNumber(3);
const DNS_NAME: TagNumber = TagNumber(2);

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

/// One in DER; what follows it is not looked at.
pub fn parse(der: &[u8]) -> Option<Certificate> {
    bound(der).ok()
}

fn bound(der: &[u8]) -> der::Result<Certificate> {
    let whole = SliceReader::new(der)?.tlv_bytes()?;
    let mut certificate = inside(&mut SliceReader::new(whole)?, Tag::Sequence)?;
    let mut fields = inside(&mut certificate, Tag::Sequence)?;
    if Tag::peek(&fields)?.is_context_specific() {
        fields.tlv_bytes()?; // version
    }
    for _passed_over in ["serialNumber", "signature", "issuer", "validity"] {
        fields.tlv_bytes()?;
    }
    let subject = fields.tlv_bytes()?.to_vec();
    let key = SubjectPublicKeyInfoRef::decode(&mut fields)?.subject_public_key.raw_bytes().to_vec();
    let names = dns_names(&mut fields).unwrap_or_default();
    Ok(Certificate { key, subject, fingerprint: Sha1::digest(whole).into(), names })
}

/// The DNS names of the extension subjectAltName, in what follows the key.
fn dns_names(fields: &mut SliceReader<'_>) -> der::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    while !fields.is_finished() {
        let field = AnyRef::decode(fields)?;
        if !is_tagged(&field, EXTENSIONS) {
            continue;
        }
        let mut extensions = inside(&mut SliceReader::new(field.value())?, Tag::Sequence)?;
        while !extensions.is_finished() {
            let extension = Extension::decode(&mut extensions)?;
            if extension.extn_id != SUBJECT_ALT_NAME {
                continue;
            }
            let mut list = inside(&mut SliceReader::new(extension.extn_value.as_bytes())?, Tag::Sequence)?;
            while !list.is_finished() {
                let name = AnyRef::decode(&mut list)?;
                if is_tagged(&name, DNS_NAME) && !name.value().contains(&b'*') {
                    names.push(name.value().to_vec());
                }
            }
        }
    }
    Ok(names)
}

fn is_tagged(element: &AnyRef<'_>, wanted: TagNumber) -> bool {
    matches!(element.tag(), Tag::ContextSpecific { number, .. } if number == wanted)
}

/// What is in the next element, which has that tag.
fn inside<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> der::Result<SliceReader<'a>> {
    let element = AnyRef::decode(reader)?;
    element.tag().assert_eq(tag)?;
    SliceReader::new(element.value())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl req -x509`: a critical subjectAltName with an address and a name with an asterisk among others.
    const PEM: &str = "-----BEGIN CERTIFICATE-----
MIIB8jCCAZigAwIBAgIUE/4U2j8QyLYM/7nWeKnu989IFx8wCgYIKoZIzj0EAwIw
MTEbMAsGA1UECgwEWmV0YTAMBgNVBAsMBUFscGhhMRIwEAYDVQQDDAlhLmV4YW1w
bGUwIBcNMjYxMTI4MDAxNTM4WhgPMjEyNjExMDQwMDE1MzhaMDExGzALBgNVBAoM
BFpldGEwDAYDVQQLDAVBbHBoYTESMBAGA1UEAwwJYS5leGFtcGxlMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAENoEZb0v5TkaDwQ/R/Rxv7bkiCrXlPAAOOytWm/ln
XgNPiWEESmdYQq9v3rs3XDiyT+M+XnAlUvXt1rx19hEiBKOBizCBiDAdBgNVHQ4E
FgQUUU/4dN+o/xJVC7V5XKOedjNbEoMwHwYDVR0jBBgwFoAUUU/4dN+o/xJVC7V5
XKOedjNbEoMwDwYDVR0TAQH/BAUwAwEB/zA1BgNVHREBAf8EKzApgglhLmV4YW1w
bGWHBMAAAgGCCyouYS5leGFtcGxlggliLmV4YW1wbGUwCgYIKoZIzj0EAwIDSAAw
RQIhALnZZRzXf1JVlPEZt2iJGnDij2Ktm0E/Sf0cfyteYK/MAiBe6uZUoqpQJOEp
rqtIPa9pYpyaLJtp+Cd1uGpVSNvxYw==
-----END CERTIFICATE-----
";
    /// Of the subject, which has two names of one rank, as `openssl asn1parse` shows them.
    const SUBJECT: &[u8] =
        b"\x30\x31\x31\x1b\x30\x0b\x06\x03\x55\x04\x0a\x0c\x04Zeta\x30\x0c\x06\x03\x55\x04\x0b\x0c\x05Alpha\
        \x31\x12\x30\x10\x06\x03\x55\x04\x03\x0c\x09a.example";

    fn der() -> Vec<u8> {
        from_pem(PEM.as_bytes(), "CERTIFICATE").expect("PEM").remove(0)
    }

    #[test]
    fn what_is_bound_is_read() {
        let read = parse(&der()).expect("a certificate");
        assert_eq!(read.subject, SUBJECT);
        assert_eq!((read.key.len(), &read.key[..4]), (65, &[0x04, 0x36, 0x81, 0x19][..]));
        assert_eq!(read.names, [b"a.example".to_vec(), b"b.example".to_vec()]);
        // openssl x509 -fingerprint -sha1
        assert_eq!(read.fingerprint[..5], [0x1f, 0x0f, 0x26, 0xeb, 0x5c]);
    }

    #[test]
    fn a_subject_that_der_would_have_in_another_order_is_taken_as_it_is() {
        let (mut der, at) = (der(), 0x84);
        assert_eq!(&der[at..at + SUBJECT.len()], SUBJECT);
        // The two names of one rank, the other way round: libssl binds the bytes that it was given.
        der[at + 4..at + 31].rotate_left(13);
        let swapped = der[at..at + SUBJECT.len()].to_vec();
        assert_eq!(parse(&der).expect("a certificate").subject, swapped);
    }

    #[test]
    fn what_is_not_bound_may_be_anything() {
        let mut der = der();
        der[0x66] = b'x'; // in a time
        assert!(parse(&der).is_some());
        der.extend_from_slice(b"more");
        assert_eq!(parse(&der).map(|read| read.names.len()), Some(2));
    }

    #[test]
    fn what_is_cut_short_is_no_certificate() {
        let der = der();
        for length in 0..der.len() {
            assert_eq!(parse(&der[..length]), None, "{length}");
        }
    }

    #[test]
    fn any_byte_may_be_another() {
        let whole = der();
        for at in 0..whole.len() {
            for byte in [0x00, 0x7f, 0x80, 0x84, 0xff] {
                let mut der = whole.clone();
                der[at] = byte;
                // A certificate or none, never a panic.
                let _ = parse(&der);
            }
        }
    }
}

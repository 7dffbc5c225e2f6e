//! Finds the ticket in what was given: a session in PEM or DER, a ticket in hex, base64, or as it is.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use ticketshim_core::session::{Session, tag};
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN SSL SESSION PARAMETERS-----";
const END: &str = "-----END SSL SESSION PARAMETERS-----";
/// `tlsext_tick` of a client's session (ssl/ssl_asn1.c).
const TICKET: u8 = 10;
/// Sessions and tickets are kilobytes.
const MAX: u64 = 1 << 20;

/// What was given. A client's session holds a master secret.
pub enum Given {
    /// A client's session, in DER.
    Session(Zeroizing<Vec<u8>>),
    /// A ticket by itself.
    Ticket(Vec<u8>),
}

impl Given {
    pub fn session(&self) -> Option<Session<'_>> {
        match self {
            Self::Session(der) => Session::parse(der),
            Self::Ticket(_) => None,
        }
    }

    pub fn ticket(&self) -> Option<&[u8]> {
        match self {
            Self::Session(_) => self.session()?.octets(TICKET),
            Self::Ticket(bytes) => Some(bytes),
        }
    }
}

/// The server name in a client's session.
pub fn hostname<'a>(session: &Session<'a>) -> Option<&'a [u8]> {
    session.octets(tag::HOSTNAME).filter(|name| !name.is_empty())
}

/// Reads stdin (`-`), a file, or the text itself.
pub fn read(what: &OsStr) -> Result<Given, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    if what == "-" {
        io::stdin().lock().take(MAX).read_to_end(&mut bytes).map_err(|error| format!("stdin: {error}"))?;
    } else {
        match fs::File::open(Path::new(what)) {
            Ok(file) => drop(file.take(MAX).read_to_end(&mut bytes).map_err(|e| format!("{}: {e}", what.display()))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound || what.as_bytes().len() > 255 => {
                bytes.extend_from_slice(what.as_bytes());
            }
            Err(error) => return Err(format!("{}: {error}", what.display())),
        }
    }
    let unknown = || {
        format!(
            "{}: neither a file with an SSL session (openssl s_client -sess_out), nor a ticket in hex or base64",
            what.display()
        )
    };
    parse(&bytes).ok_or_else(unknown)
}

/// What the bytes hold.
pub fn parse(bytes: &[u8]) -> Option<Given> {
    let whole = |der: Vec<u8>| {
        let der = Zeroizing::new(der);
        Session::parse(&der).is_some().then_some(Given::Session(der))
    };
    let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii()) else {
        return whole(bytes.to_vec()).or_else(|| Some(Given::Ticket(bytes.to_vec())));
    };
    if let Some((_, rest)) = text.split_once(BEGIN) {
        let body = compact(rest.split_once(END)?.0);
        return whole(BASE64.decode(body.as_bytes()).ok()?);
    }
    let text = Zeroizing::new(compact(text));
    if let Ok(ticket) = HEXLOWER_PERMISSIVE.decode(text.as_bytes()) {
        return (!ticket.is_empty()).then_some(Given::Ticket(ticket));
    }
    let decoded =
        [&BASE64, &BASE64_NOPAD, &BASE64URL, &BASE64URL_NOPAD].iter().find_map(|e| e.decode(text.as_bytes()).ok())?;
    whole(decoded.clone()).or(Some(Given::Ticket(decoded)))
}

/// Without what people and programs put between digits.
fn compact(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_whitespace() && *c != ':').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_come_in_many_forms() {
        let ticket = vec![0xab; 90];
        let hex = HEXLOWER_PERMISSIVE.encode(&ticket);
        let with_colons: String =
            hex.as_bytes().chunks(2).map(|pair| format!("{}:", String::from_utf8_lossy(pair))).collect();
        for text in
            [hex.clone(), hex.to_uppercase(), with_colons, BASE64.encode(&ticket), BASE64URL_NOPAD.encode(&ticket)]
        {
            assert_eq!(parse(text.as_bytes()).unwrap().ticket(), Some(&ticket[..]), "{text}");
        }
        assert!(matches!(parse(&ticket), Some(Given::Ticket(_))));
        assert!(parse(b"").is_none() && parse(b"no ticket!").is_none());
    }
}

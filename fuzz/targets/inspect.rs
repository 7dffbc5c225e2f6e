//! What `ticketshim inspect` is given: a session in PEM or DER, a ticket in hex or base64, or as it is.
//!
//! What must hold: a ticket is found whole, however it is written; nothing read from a session lies outside of it.
#![no_main]

use arbitrary::Arbitrary;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use libfuzzer_sys::fuzz_target;
use ticketshim_core::format::{MIN_OVERHEAD, Ticket};

// The command's own, not a copy. What of it is not called here is none of this target's business.
#[allow(dead_code, reason = "reads files too, which is not fuzzed")]
#[path = "../../crates/cli/src/inspect/input.rs"]
mod input;

#[derive(Arbitrary, Debug)]
enum Case {
    /// As it comes.
    Any(Vec<u8>),
    /// These bytes, in a form that people use.
    Written(Vec<u8>, Form),
}

#[derive(Arbitrary, Debug)]
enum Form {
    Hex,
    UpperHex,
    Colons,
    Base64,
    Lines,
    Url,
    Pem,
}

impl Form {
    fn write(&self, bytes: &[u8]) -> String {
        let broken = |text: String, at: usize, with: &str| {
            text.as_bytes().chunks(at).map(|part| String::from_utf8_lossy(part)).collect::<Vec<_>>().join(with)
        };
        match self {
            Self::Hex => HEXLOWER.encode(bytes),
            Self::UpperHex => HEXUPPER.encode(bytes),
            Self::Colons => broken(HEXLOWER.encode(bytes), 2, ":"),
            Self::Base64 => BASE64.encode(bytes),
            Self::Lines => broken(BASE64.encode(bytes), 64, "\n"),
            Self::Url => BASE64URL_NOPAD.encode(bytes),
            Self::Pem => format!(
                "-----BEGIN SSL SESSION PARAMETERS-----\n{}\n-----END SSL SESSION PARAMETERS-----\n",
                broken(BASE64.encode(bytes), 64, "\n")
            ),
        }
    }
}

fn look(text: &[u8]) -> Option<input::Given> {
    let given = input::parse(text)?;
    if let Some(session) = given.session() {
        let inside = |part: &[u8]| assert!(part.len() < text.len());
        inside(session.cipher);
        inside(session.master_key);
        input::hostname(&session).map(inside);
        (0..=255).filter_map(|tag| session.octets(tag)).for_each(inside);
        (0..=255).filter_map(|tag| session.number(tag)).for_each(|_| ());
    }
    if let Some(ticket) = given.ticket() {
        assert!(ticket.len() <= text.len());
        assert_eq!(Ticket::parse(ticket).is_ok(), ticket.len() >= MIN_OVERHEAD);
    }
    Some(given)
}

fuzz_target!(|case: Case| {
    let (bytes, form) = match case {
        Case::Any(bytes) => return drop(look(&bytes)),
        Case::Written(bytes, form) => (bytes, form),
    };
    let found = look(form.write(&bytes).as_bytes());
    let Some(found) = found else {
        // An empty one is none; and PEM holds sessions only.
        assert!(bytes.is_empty() || matches!(form, Form::Pem));
        return;
    };
    // Digits that could be hex are hex, and a session is one.
    let ambiguous = matches!(form, Form::Base64 | Form::Lines | Form::Url);
    if let input::Given::Ticket(ticket) = &found
        && !ambiguous
    {
        assert_eq!(*ticket, bytes);
    }
});

//! A ticket on a page.

use serde_json::{Map, Value};
use ticketshim_core::binding::{Family, Protocol};
use ticketshim_core::format::{Client, Header, Ticket};
use ticketshim_core::session::{Session, tag};
use ticketshim_keys::settings::Duration;
use ticketshim_keys::state::{KeyTimes, State};

use super::candidates::{Candidate, protocol_name};
use super::hex_and_text;
use crate::exit::Exit;
use crate::text::{Hex, Utc, say, say_json};

/// Further context tags of a session's optional fields (ssl/ssl_asn1.c).
mod tags {
    pub const VERIFY_RESULT: u8 = 5;
    pub const LIFETIME_HINT: u8 = 9;
    pub const MAX_EARLY_DATA: u8 = 15;
}

/// Facts in order.
#[derive(Default)]
pub struct Page {
    facts: Vec<(&'static str, String)>,
}

impl Page {
    pub fn fact(&mut self, name: &'static str, value: impl std::fmt::Display) {
        self.facts.push((name, value.to_string()));
    }

    /// What the client wrote down beside the ticket.
    pub fn client_session(&mut self, session: &Session<'_>) {
        self.fact("client's session", version_name(session.protocol));
        if let Some(name) = super::input::hostname(session) {
            self.fact("client asked for", String::from_utf8_lossy(name));
        }
        if let Some(hint) = session.number(tags::LIFETIME_HINT) {
            self.fact("lifetime hint", Duration(hint));
        }
    }

    /// What a ticket shows in clear.
    pub fn layout(&mut self, ticket: &Ticket<'_>, len: usize) {
        let sealed = ticket.sealed.len();
        self.fact("ticket", format_args!("{len} bytes: key name 16, salt 16, sealed {sealed} (tag included), HMAC 32"));
        self.fact("key name", Hex(&ticket.key_name.0));
        self.fact("salt", Hex(&ticket.salt.0));
    }

    pub fn chain(&mut self, state: &State, now: u64) {
        self.fact("chain", state.in_use(now).id);
    }

    pub fn key(&mut self, key: &KeyTimes, now: u64) {
        let age = Duration(now.saturating_sub(key.begins));
        self.fact("sealed under", format_args!("chain {}", key.chain));
        self.fact("sealed in", format_args!("epoch {}, which began {age} ago, {}", key.epoch, Utc(key.begins)));
        self.fact("key opens until", Utc(key.ends));
    }

    pub fn place(&mut self, place: &Candidate) {
        self.fact("sealed for", place);
    }

    /// What is sealed in front of the session.
    pub fn header(&mut self, header: &Header, now: u64) {
        match header.client {
            Client::Anonymous => self.fact("client", "anonymous"),
            Client::Portable => self.fact("client", "known by a certificate that libssl alone has verified"),
            Client::Isolated => self.fact("client", "known to one context only"),
        }
        if let Some(seconds) = header.valid_for {
            let left = u64::from(seconds).saturating_sub(header.time.age(now).into());
            self.fact("client's certificates valid for", Duration(left));
        }
    }

    /// What is in it.
    pub fn opened(&mut self, der: &[u8], age: u32, now: u64, reveal: bool) {
        let since = now.saturating_sub(u64::from(age));
        self.fact("full handshake", format_args!("{} ({} ago)", Utc(since), Duration(u64::from(age))));
        let Some(session) = Session::parse(der) else {
            self.fact("session", format_args!("{} bytes that are no session of OpenSSL", der.len()));
            return;
        };
        self.fact(
            "session",
            format_args!("{}, cipher {}", version_name(session.protocol), cipher_name(session.cipher)),
        );
        if let Some(time) = session.number(tag::TIME) {
            self.fact("session made", Utc(time));
        }
        if let Some(timeout) = session.number(tag::TIMEOUT) {
            self.fact("session timeout", Duration(timeout));
        }
        let octets = [
            ("session id context", tag::SESSION_ID_CONTEXT),
            ("server name", tag::HOSTNAME),
            ("ALPN", tag::ALPN),
            ("appdata", tag::TICKET_APPDATA),
        ];
        for (name, tag) in octets {
            if let Some(bytes) = session.octets(tag) {
                self.fact(name, hex_and_text(bytes));
            }
        }
        if let Some(result) = session.number(tags::VERIFY_RESULT) {
            self.fact("verify result", result);
        }
        if let Some(max) = session.number(tags::MAX_EARLY_DATA) {
            self.fact("early data", format_args!("{max} bytes at most"));
        }
        match session.field(tag::PEER) {
            Some(certificate) => self.fact("client certificate", format_args!("{} bytes", certificate.len())),
            None => self.fact("client certificate", "none"),
        }
        if reveal {
            self.fact("master secret", Hex(session.master_key));
        } else {
            self.fact("master secret", "not shown (--reveal-master-secret)");
        }
    }

    /// Writes it all, the verdict last.
    pub fn finish(&self, json: bool, exit: Exit, verdict: &str) -> Exit {
        if json {
            let facts =
                self.facts.iter().map(|(name, value)| (name.replace([' ', '\''], "_"), Value::from(value.as_str())));
            let mut object: Map<String, Value> = facts.collect();
            object.insert("opened".to_owned(), (exit == Exit::OK).into());
            object.insert("verdict".to_owned(), verdict.into());
            say_json(&object);
        } else {
            let width = self.facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default() + 1;
            for (name, value) in &self.facts {
                say(format_args!("{:width$} {value}", format!("{name}:")));
            }
            say(format_args!("{:width$} {verdict}", "verdict:"));
        }
        exit
    }
}

fn version_name(version: u16) -> String {
    protocol_name(Protocol { family: Family::Tls, version })
}

/// The names of what is in use; others by their number.
fn cipher_name(id: &[u8]) -> String {
    let name = match id {
        [0x13, 0x01] => "TLS_AES_128_GCM_SHA256",
        [0x13, 0x02] => "TLS_AES_256_GCM_SHA384",
        [0x13, 0x03] => "TLS_CHACHA20_POLY1305_SHA256",
        [0xc0, 0x2b] => "ECDHE-ECDSA-AES128-GCM-SHA256",
        [0xc0, 0x2c] => "ECDHE-ECDSA-AES256-GCM-SHA384",
        [0xc0, 0x2f] => "ECDHE-RSA-AES128-GCM-SHA256",
        [0xc0, 0x30] => "ECDHE-RSA-AES256-GCM-SHA384",
        [0xcc, 0xa8] => "ECDHE-RSA-CHACHA20-POLY1305",
        [0xcc, 0xa9] => "ECDHE-ECDSA-CHACHA20-POLY1305",
        _ => return Hex(id).to_string(),
    };
    name.to_owned()
}

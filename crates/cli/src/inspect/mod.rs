//! `ticketshim inspect`: what a ticket shows in clear, which key sealed it, whether it opens in a place, and then what
//! is in it.
//!
//! - [`input`]: finds the ticket in what was given. [`candidates`]: the bindings that are tried. [`certificate`]: what of a
//!   certificate is bound. [`known`]: session id contexts of known servers. [`show`]: how it is shown.
//!
//! The HMAC of a ticket proves that it was sealed under one of our keys. Its content is under another key, which the
//! binding takes part in: without the facts of the place where it was issued nobody opens it, also with the state file.

mod candidates;
mod certificate;
mod input;
mod known;
mod show;

use std::path::Path;

use ticketshim_core::format::{Refusal, Ticket};
use ticketshim_core::ring::Found;
use ticketshim_core::seal;
use ticketshim_keys::clock;
use ticketshim_keys::state;
use zeroize::Zeroizing;

use crate::args;
use crate::exit::Exit;
use crate::text::{Hex, complain};
use candidates::Candidate;
use input::Given;
use show::Page;

pub fn inspect(args: &args::Inspect) -> Exit {
    match try_inspect(args) {
        Ok(exit) => exit,
        Err(why) => {
            complain(why);
            Exit::TROUBLE
        }
    }
}

fn try_inspect(args: &args::Inspect) -> Result<Exit, String> {
    let given = input::read(&args.what)?;
    let mut page = Page::default();
    if let Some(session) = given.session() {
        page.client_session(&session);
    }
    let Some(bytes) = given.ticket() else {
        return Ok(page.finish(args.json, Exit::NO, "the session has no ticket in it"));
    };
    let ticket = match Ticket::parse(bytes) {
        Ok(ticket) => ticket,
        Err(_) => {
            let verdict = format!("not a ticket of ticketshim: {} bytes are too few", bytes.len());
            return Ok(page.finish(args.json, Exit::NO, &verdict));
        }
    };
    page.layout(&ticket, bytes.len());
    let Some(file) = &args.state else {
        return Ok(page.finish(args.json, Exit::TROUBLE, "which key it is under can be told with --state FILE only"));
    };
    let (exit, verdict) = with_state(args, &given, &ticket, file, &mut page)?;
    Ok(page.finish(args.json, exit, &verdict))
}

fn with_state(
    args: &args::Inspect,
    given: &Given,
    ticket: &Ticket<'_>,
    file: &Path,
    page: &mut Page,
) -> Result<(Exit, String), String> {
    let refused = |why: state::Refusal| why.text(file).to_string();
    let now = clock::now();
    let state = state::read(file).map_err(refused)?;
    page.chain(&state, now);
    if state.ahead(now) > 0 {
        let ahead = u32::try_from(state.ahead(now)).unwrap_or(u32::MAX);
        complain(refused(state::Refusal::AheadOfClock(ahead)));
    }
    let ring = state.ring(now).map_err(refused)?;
    let keys = match ring.find(&ticket.key_name, now) {
        Found::Keys { keys, .. } => keys,
        Found::Expired => return Ok((Exit::NO, "sealed under a key whose time is over".to_owned())),
        Found::Unknown => {
            let verdict = "no key of that name: the ticket is of another chain, or older than this one's keys open, or not \
                           of ticketshim";
            return Ok((Exit::NO, verdict.to_owned()));
        }
    };
    if let Some(times) = state.keys(now).map_err(refused)?.into_iter().find(|key| key.name == ticket.key_name) {
        page.key(&times, now);
    }
    if seal::verify_mac(keys, ticket).is_err() {
        return Ok((
            Exit::NO,
            "under a key of this chain, but altered on the way or made up: the HMAC is wrong".to_owned(),
        ));
    }
    page.fact("authentic", "yes: sealed under that key");
    let tried = candidates::candidates(args, given)?;
    let found = tried.iter().find_map(|place| match seal::open(keys, &place.binding, ticket) {
        Ok(opened) => Some((place, Zeroizing::new(opened.der), opened.header)),
        Err(Refusal::Binding | Refusal::BadMac | _) => None,
    });
    let Some((place, der, header)) = found else { return Ok((Exit::NO, closed(args, given, tried.len()))) };
    page.place(place);
    page.header(&header, now);
    page.opened(&der, header.time.age(now), now, args.reveal_master_secret);
    Ok((Exit::OK, opened_where(place)))
}

fn opened_where(place: &Candidate) -> String {
    format!("sealed under this state file's keys, and opens there: {place}")
}

/// What could be missing.
fn closed(args: &args::Inspect, given: &Given, tried: usize) -> String {
    let mut wanting = Vec::new();
    let has_certificate = !args.cert.is_empty() || candidates::peer(given).is_some();
    if args.sni.is_none() && given.session().and_then(|s| input::hostname(&s)).is_none() {
        wanting.push("--sni NAME (if the client asked for one)");
    }
    if !has_certificate {
        wanting.push("--cert FILE (for nginx, and for clients that ask for no name)");
    }
    if args.sid_ctx.is_none() {
        wanting.push(
            "--sid-ctx, as the server calls SSL_CTX_set_session_id_context (known ones were tried; Mosquitto's is \
             text:mosquitto-PORT, stunnel's text: and the service's name)",
        );
    }
    if args.client_ca.is_empty() {
        wanting.push("--client-ca FILE, if the server asks for client certificates");
    }
    let wanting = if wanting.is_empty() { "other facts".to_owned() } else { wanting.join(", ") };
    format!(
        "sealed under this state file's keys, for a place that is none of the {tried} tried, so its content stays closed: the \
         binding takes part in the key. Name the place that issued it: {wanting}. (The ticket of a client that is known by a \
         certificate which the server's own code judged, by a pre-shared key or by SRP opens in the process alone that \
         made it.)"
    )
}

/// What `--sid-ctx` says: hex digits, or a text.
fn bytes_of(argument: &str) -> Result<Vec<u8>, String> {
    if let Some(text) = argument.strip_prefix("text:") {
        return Ok(text.as_bytes().to_vec());
    }
    let plain: String = argument.chars().filter(|c| !c.is_ascii_whitespace() && *c != ':').collect();
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(plain.as_bytes())
        .map_err(|_| format!("--sid-ctx takes hex digits or text:…, not {argument}"))
}

/// Printable as text too, where it is text.
fn hex_and_text(bytes: &[u8]) -> String {
    let printable = !bytes.is_empty() && bytes.iter().all(|b| (0x20..0x7f).contains(b));
    let text = if printable { format!(" \"{}\"", String::from_utf8_lossy(bytes)) } else { String::new() };
    format!("{}{text}", Hex(bytes))
}

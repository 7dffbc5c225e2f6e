//! Whether a server accepts early data (0-RTT) that comes with a ticket.
//!
//! Early data can be replayed (RFC 8446 section 8). Stock's tickets confine that to the `SSL_CTX` that sealed them; with
//! keys that are shared it would reach every host, and last over restarts. So a ticket says which context sealed it, and
//! early data is accepted there only (`TICKETSHIM_EARLY_DATA`). From elsewhere the session resumes; libssl drops the early
//! data, and the client sends it again.
//!
//! libssl asks a callback (`early_data_callback.rs`) after it has checked all else: that the session is resumed by the
//! first ticket, and that the ticket is as old as the client says.
#![forbid(unsafe_code)]

use ticketshim_core::format::Salt;
use ticketshim_core::session;
use ticketshim_keys::counters::{Counter, add};
use ticketshim_keys::replay;
use ticketshim_keys::settings::EarlyData;

use super::handle::{Ssl, SslSession};
use crate::shim::shim;

/// A ticket that opened, and whose session may allow early data.
#[derive(Clone, Copy)]
pub(super) struct EarlyTicket {
    /// Which session it is (`ticketshim_core::session::fingerprint`): an SSL may be used again for another one.
    pub(super) session: [u8; 16],
    /// The context that opened it sealed it.
    pub(super) is_own: bool,
    pub(super) salt: Salt,
    /// When it was opened, Unix seconds.
    pub(super) opened: u64,
}

/// Whether a callback of ours stands in front of the application's.
pub(super) fn is_watched() -> bool {
    shim().settings.early_data != EarlyData::Any
}

/// Gets ready for contexts that will accept early data, in this process and those forked from it.
pub(super) fn reserve() {
    if shim().settings.early_data == EarlyData::Once && !replay::reserve() {
        // Early data is declined, then.
        add(Counter::Failures);
    }
}

/// Whether it may be accepted, before the application is asked. Counts what is declined.
pub(super) fn may_be_accepted(ssl: Ssl<'_>) -> bool {
    accepted(match shim().settings.early_data {
        EarlyData::Any => true,
        EarlyData::Never => false,
        // Without a ticket of ours it is libssl's own: the application's keys or pre-shared key, or sessions that libssl
        // keeps.
        EarlyData::Own | EarlyData::Once => ticket_of(ssl).is_none_or(|ticket| ticket.is_own),
    })
}

/// The same after everybody has said yes: from then on the ticket's early data has been accepted.
pub(super) fn is_accepted(ssl: Ssl<'_>) -> bool {
    let once = shim().settings.early_data == EarlyData::Once;
    accepted(!once || ticket_of(ssl).is_none_or(|ticket| replay::is_first_use(&ticket.salt, ticket.opened)))
}

fn accepted(is: bool) -> bool {
    if !is {
        add(Counter::EarlyDataDeclined);
    }
    is
}

/// The ticket that the session of this connection came out of.
fn ticket_of(ssl: Ssl<'_>) -> Option<EarlyTicket> {
    let ticket = ssl.connection()?.early.get()?;
    let session = ssl.session().and_then(|session| SslSession::master_key(session, session::fingerprint));
    Some(ticket).filter(|ticket| session == Some(ticket.session))
}

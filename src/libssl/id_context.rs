//! A session id context for servers that verify their clients and have none.
//!
//! libssl ends a handshake whose client offers a session to such a server ("session id context uninitialized",
//! SSL_CTX_set_session_id_context(3)), so that it never resumes. It gets one of ours, another for each `SSL_CTX`. It is set
//! on the SSL, and only where that is sure to be a server: an SSL_CTX may serve clients, too, which refuse a session of
//! another session id context. One that the application sets wins.
//!
//! Where code of the application's takes part in the verification there is none. That program has never seen a resumed
//! client, and may know its clients only by what its callback has seen, which libssl does not call on a resumption
//! (Dovecot: "Client didn't present valid SSL certificate"). Its clients make full handshakes.
#![forbid(unsafe_code)]

use openssl_sys::SSL_VERIFY_PEER;
use ticketshim_keys::settings::Clients;

use super::context::Context;
use super::handle::{Ctx, Parts, Ssl};
use super::{app_hooks, client_auth};
use crate::shim::shim;

/// As long as libssl lets one be (`SSL_MAX_SID_CTX_LENGTH`).
const LEN: usize = 32;

/// Whose session id context an SSL has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum IdContext {
    /// That of its SSL_CTX, if that has one.
    #[default]
    Inherited,
    Application,
    Ours,
}

/// The SSL is a server from now on.
pub(crate) fn accepts(ssl: Ssl<'_>) {
    let Some(parts) = ssl.parts() else { return };
    if parts.connection.accepts.replace(true) {
        return;
    }
    // How the context came to ask may have been told to nobody (SSL_CONF_cmd(3) writes past all functions).
    if asks(ssl) {
        client_auth::note_request();
        settle(ssl, &parts);
    }
}

/// The SSL is a client from now on.
pub(crate) fn connects(ssl: Ssl<'_>) {
    if let Some(parts) = ssl.parts()
        && parts.connection.accepts.replace(false)
    {
        settle(ssl, &parts);
    }
}

/// The application has set the verify mode.
pub(crate) fn verify_mode_changed(ssl: Ssl<'_>) {
    let Some(parts) = ssl.parts() else { return };
    if parts.connection.accepts.get() {
        if asks(ssl) {
            client_auth::note_request();
        }
        settle(ssl, &parts);
    }
}

/// The application, or libssl where it copies an SSL, has set the session id context.
pub(crate) fn was_set(ssl: Ssl<'_>, bytes: &[u8]) {
    let Some(parts) = ssl.parts() else { return };
    let whose = match bytes {
        [] if !inherits_one(ssl) => IdContext::Inherited,
        _ if bytes == ours(parts.context) => IdContext::Ours,
        _ => IdContext::Application,
    };
    parts.connection.id_context.set(whose);
}

/// The application is about to switch the context: libssl takes over the new one's session id context if it finds the
/// old one's. Gives whether ours was there.
pub(crate) fn before_switch(ssl: Ssl<'_>) -> bool {
    ssl.parts().is_some_and(|parts| take_off(ssl, &parts))
}

/// It has been switched.
pub(crate) fn after_switch(ssl: Ssl<'_>, was_ours: bool) {
    let Some(parts) = ssl.parts() else { return };
    if !parts.connection.accepts.get() {
        return;
    }
    // In the middle of a handshake that is resumed or begun with it: as the next one will have it, too.
    if was_ours && wants(ssl, &parts) {
        put_on(ssl, &parts);
    } else {
        settle(ssl, &parts);
    }
}

/// Puts ours on or takes it off, as the connection wants it: before libssl has put it into a session, as otherwise
/// sessions would be of another than the connections that they are offered to.
fn settle(ssl: Ssl<'_>, parts: &Parts<'_>) {
    if !ssl.is_before_handshake() && ssl.session().is_some() {
        return;
    }
    if wants(ssl, parts) {
        put_on(ssl, parts);
    } else {
        take_off(ssl, parts);
    }
}

fn wants(ssl: Ssl<'_>, parts: &Parts<'_>) -> bool {
    parts.connection.accepts.get()
        && asks(ssl)
        && !inherits_one(ssl)
        // With keys of its own it is all as without us.
        && parts.context.is_attached()
        && !counts_on_calls(ssl)
}

/// Whether the application may know a client by having been called, in each handshake.
fn counts_on_calls(ssl: Ssl<'_>) -> bool {
    shim().settings.clients == Clients::Isolated && app_hooks::of(ssl).has_code()
}

/// Whether the connection may not resume, whatever the session: it has one of ours, and got such code afterwards.
pub(super) fn is_void(ssl: Ssl<'_>) -> bool {
    ssl.connection().is_some_and(|connection| connection.id_context.get() == IdContext::Ours) && counts_on_calls(ssl)
}

fn asks(ssl: Ssl<'_>) -> bool {
    ssl.verify_mode() & SSL_VERIFY_PEER != 0
}

/// Whether its context has one, as far as we can know that.
fn inherits_one(ssl: Ssl<'_>) -> bool {
    ssl.ctx().and_then(Ctx::part).is_none_or(Context::has_id_context)
}

fn put_on(ssl: Ssl<'_>, parts: &Parts<'_>) {
    if parts.connection.id_context.get() == IdContext::Inherited && ssl.set_id_context(&ours(parts.context)) {
        parts.connection.id_context.set(IdContext::Ours);
    }
}

fn take_off(ssl: Ssl<'_>, parts: &Parts<'_>) -> bool {
    let is_ours = parts.connection.id_context.get() == IdContext::Ours;
    if is_ours && ssl.set_id_context(&[]) {
        parts.connection.id_context.set(IdContext::Inherited);
    }
    is_ours
}

fn ours(context: &Context) -> [u8; LEN] {
    let mut ours = *b"ticketshim: id..0123456789abcdef";
    if let Some(id) = ours.last_chunk_mut() {
        *id = context.facts.id;
    }
    ours
}

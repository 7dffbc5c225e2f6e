//! Demands that come too late: a certificate is asked of a client that was resumed without one.
//!
//! An ALPN callback is called when a session has been resumed, and may then set a verify mode (SSL_set_verify(3)) or
//! switch the context. In the context that sealed the ticket libssl lets that client in, and so do we. A ticket from
//! elsewhere is held to what a full handshake would come to here: the connection is ended, which nothing can make a full
//! handshake any more, and what the ticket was bound to is remembered. So that happens once: from then on such tickets are
//! not opened here, the client makes a full handshake, and is asked.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};

use openssl_sys::SSL_VERIFY_PEER;
use ticketshim_core::Binding;
use ticketshim_core::binding::{PolicyDigest, digest_of};
use ticketshim_keys::counters::{Counter, add};
use ticketshim_keys::{log, names};

use super::app_hooks::AppHooks;
use super::connection::OpenedTicket;
use super::context::Context;
use super::handle::{Evaluated, Hello, Parts, Ssl};
use super::prediction::Key;
use super::{app_hooks, cert_callback, client_auth_policy, prediction, servername, sni_policy_cache};

/// Whether a ticket of this binding, which is that of tickets from elsewhere, led to a late demand in this context. Asked
/// when one comes in.
#[inline]
pub(super) fn is_known(hello: Hello<'_>, binding: &Binding) -> bool {
    (names::is_marked() || FORGETFUL.load(Ordering::Relaxed)) && is_remembered(hello, binding)
}

#[cold]
fn is_remembered(hello: Hello<'_>, binding: &Binding) -> bool {
    let is_there = |parts: Parts<'_>| sni_policy_cache::get(&key(parts.context, binding)).is_some();
    FORGETFUL.load(Ordering::Relaxed) || hello.parts().is_none_or(is_there)
}

/// There was a late demand, and no memory to say for what: it may be any.
static FORGETFUL: AtomicBool = AtomicBool::new(false);

/// Remembers what the ticket was bound to that `ssl` was resumed by.
fn remember(ssl: Ssl<'_>) {
    let remembered = ssl.parts().zip(plain_ticket(ssl)).is_some_and(|(parts, opened)| {
        let key = key(parts.context, &opened.binding);
        sni_policy_cache::put(&key, &PolicyDigest([1; 32]));
        sni_policy_cache::get(&key).is_some() && names::set_mark()
    });
    if !remembered {
        FORGETFUL.store(true, Ordering::Relaxed);
    }
}

/// A resumption is ended: counts that, and says so once.
pub(super) fn note_ended() {
    add(Counter::Ended);
    static SAID: log::Once = log::Once::new();
    log::warn_once(
        &SAID,
        format_args!(
            "a callback demanded another client certificate after a session was resumed; the resumption was ended (the \
             client can connect again)"
        ),
    );
}

/// The ticket that `ssl` was resumed from, if it is one that may be from elsewhere.
pub(super) fn plain_ticket(ssl: Ssl<'_>) -> Option<OpenedTicket> {
    ssl.connection()?.opened.get().filter(|opened| !opened.own && ssl.is_resumed())
}

/// What a resumed connection asked of its client before a callback (`None` for nothing), and who had a say.
pub(super) struct Before(Option<PolicyDigest>, AppHooks);

/// A callback is about to be called. `None` if the connection was not resumed, or may demand what it likes.
pub(super) fn before(ssl: Evaluated<'_>) -> Option<Before> {
    if !ssl.is_resumed() {
        // What it demands now is not known when the next ticket comes in.
        prediction::late_callback(*ssl);
        return None;
    }
    plain_ticket(*ssl)?;
    servername::policy_is_bound().then(|| Before(asked(*ssl).flatten(), app_hooks::set_of(*ssl)))
}

/// The callback has been called. False if there is a demand now that there was not, and the connection has to end.
pub(super) fn after(ssl: Evaluated<'_>, before: &Before) -> bool {
    let demands = match (asked(*ssl), &before.0) {
        (None, _) => false,
        // Without memory to tell what it is, it is another.
        (Some(now), before) => now.is_none() || now != *before,
    };
    if demands {
        remember(*ssl);
    }
    let stays = !demands && !cert_callback::appeared(ssl, Some(before.1));
    if !stays {
        note_ended();
    }
    stays
}

/// `None` if no certificate is asked for; `Some(None)` if memory has run out.
fn asked(ssl: Ssl<'_>) -> Option<Option<PolicyDigest>> {
    (ssl.verify_mode() & SSL_VERIFY_PEER != 0).then(|| client_auth_policy::of(ssl))
}

/// An entry of its own in the table of what names led to: a binding holds the name.
fn key(context: &Context, binding: &Binding) -> Key {
    const LABEL: &[u8; 16] = b"late demand\0\0\0\0\0";
    let mut facts = [0; 64];
    let (label, rest) = facts.split_at_mut(16);
    let (id, of) = rest.split_at_mut(16);
    label.copy_from_slice(LABEL);
    id.copy_from_slice(&context.facts.id);
    of.copy_from_slice(&binding.0);
    digest_of(&facts)
}

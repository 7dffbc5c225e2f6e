//! What certificate callbacks have asked of clients.
//!
//! Such a callback (SSL_CTX_set_cert_cb(3)) may ask for a client certificate, and libssl does not call it when a session is
//! resumed. So a ticket that may be from elsewhere is opened only under a server name for which a full handshake has been
//! seen since the context was made, and that asked for nothing new.
#![forbid(unsafe_code)]

use ticketshim_core::binding::PolicyDigest;

use super::app_hooks::{self, AppHooks};
use super::binding_facts::Named;
use super::handle::{Evaluated, Hello, Parts, Ssl};
use super::late_demand;
use super::prediction::Key;
use super::servername_callback;
use super::sni_policy_cache;

/// Whether the client might be asked for something by such a callback, were this a full handshake. `policy` is what is
/// predicted without it.
pub(super) fn may_ask(hello: Hello<'_>, parts: &Parts<'_>, policy: &PolicyDigest) -> bool {
    let has_one = app_hooks::set_of(*hello).has_any(AppHooks::CERT_CALLBACK);
    // Or another callback may switch the connection to a context that has one, or give it one.
    let may_get_one = || {
        app_hooks::any_cert_callback()
            && (servername_callback::of(*hello, Some(parts.context)).is_some() || parts.context.alpn.is_set())
    };
    if !has_one && !may_get_one() {
        return false;
    }
    let Some(name) = Named::server_name(hello) else { return true };
    let is_known = is_quiet(*hello, parts, policy, name);
    parts.connection.cert_callback_is_known.set(is_known);
    !is_known
}

/// Whether a callback has given the connection a certificate callback that may ask for something, after a ticket was opened
/// that may be from elsewhere. `before`: who had a say before that callback.
pub(super) fn appeared(ssl: Evaluated<'_>, before: Option<AppHooks>) -> bool {
    let is_new = || {
        let had_one = before.is_some_and(|before| before.has_any(AppHooks::CERT_CALLBACK));
        !had_one && app_hooks::set_of(*ssl).has_any(AppHooks::CERT_CALLBACK)
    };
    // Nearly every process has none.
    if !app_hooks::any_cert_callback() || !is_new() {
        return false;
    }
    let (Some(opened), Some(parts)) = (late_demand::plain_ticket(*ssl), ssl.parts()) else { return false };
    let is_known = || opened.policy.is_none_or(|policy| is_quiet(*ssl, &parts, &policy, ssl.server_name()));
    !parts.connection.cert_callback_is_known.get() && !is_known()
}

/// Whether a full handshake has been seen under that name, and its certificate callback asked for nothing new.
fn is_quiet(ssl: Ssl<'_>, parts: &Parts<'_>, policy: &PolicyDigest, name: Option<&[u8]>) -> bool {
    sni_policy_cache::get(&key(ssl, parts, policy, name)).as_ref() == Some(policy)
}

/// A full handshake is done: the policy that was predicted, and the one that it is.
pub(super) fn note<'h>(ssl: impl Named<'h>, parts: &Parts<'_>, asked: &PolicyDigest, now: &PolicyDigest) {
    let has_one = || app_hooks::set_of(*ssl).has_any(AppHooks::CERT_CALLBACK);
    if (app_hooks::any_cert_callback() || has_one())
        && let Some(name) = ssl.server_name()
    {
        sni_policy_cache::put(&key(*ssl, parts, asked, name), now);
    }
}

/// An entry of its own: that of the servername callback's outcome has the policy itself.
fn key(ssl: Ssl<'_>, parts: &Parts<'_>, policy: &PolicyDigest, name: Option<&[u8]>) -> Key {
    super::servername::key(ssl, parts.context, &PolicyDigest::between(policy, policy), name)
}

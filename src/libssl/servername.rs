//! What the application's servername callback makes of a connection.
//!
//! libssl has opened the client's ticket by the time it calls that callback, and it is there that most servers switch to a
//! virtual host. So ours stands in front of it (`servername_callback.rs`): afterwards it is known under which policy the
//! client is let in. The ticket was opened for the policy that was predicted (`sni_policy_cache`). If it turns out to be another,
//! nothing can make a full handshake of this one any more, and it is ended: that takes a server that leads one name from one
//! context to another policy than before. From then on that entry is not relied on, so it happens once.
#![forbid(unsafe_code)]

use std::ffi::c_int;

use openssl_sys::{SSL_TLSEXT_ERR_OK, TLS1_3_VERSION};
use ticketshim_core::binding::{Crossing, PolicyDigest};
use ticketshim_keys::counters::{Counter, add};
use ticketshim_keys::log;
use ticketshim_keys::settings::Bind;
use ticketshim_keys::socket::LocalAddress;

use super::app_hooks::{self, AppHooks};
use super::binding_facts::{Named, protocol};
use super::context::{self, Context};
use super::handle::{Evaluated, Hello, Parts, Ssl};
use super::prediction::{Key, Outcome, Prediction};
use super::{
    cert_callback, client_auth, client_auth_policy, late_demand, servername_callback, sni_policy_cache, trust_store,
};
use crate::shim::shim;

/// What is predicted when a ticket comes in.
pub(super) enum Predicted {
    Policy(PolicyDigest),
    /// Not known yet, and it may be any.
    Unknown,
}

/// The policy that the connection will have when all callbacks have been called. `None` if memory has run out.
pub(super) fn predict(hello: Hello<'_>, parts: &Parts<'_>) -> Option<Predicted> {
    let now = client_auth_policy::of(*hello)?;
    let may_change = servername_callback::of(*hello, Some(parts.context)).is_some();
    if !may_change {
        return Some(Predicted::Policy(now));
    }
    // The callback may be the first in this process to demand something: that is seen afterwards.
    parts.connection.predicted_for.set(hello.client_random());
    if !client_auth::is_requested() {
        return Some(Predicted::Policy(now));
    }
    let key = key(*hello, parts.context, &now, hello.server_name()?);
    parts.connection.prediction(|prediction| *prediction = Prediction::LookedUp(key));
    Some(match sni_policy_cache::get(&key) {
        Some(policy) => Predicted::Policy(policy),
        // There is no other context to switch to. (It may still set another verify mode: that shows afterwards.)
        None if context::count() == 1 => Predicted::Policy(now),
        None => Predicted::Unknown,
    })
}

pub(super) fn key(ssl: Ssl<'_>, first: &Context, policy: &PolicyDigest, name: Option<&[u8]>) -> Key {
    let address = ssl.local_address();
    let address = address.as_ref().map(LocalAddress::as_bytes);
    Crossing { context_id: &first.facts.id, trust_changes: trust_store::changes(), policy, name, address }.digest()
}

/// What is known of a connection before the application's callback.
pub(super) struct Before {
    hooks: AppHooks,
    cache_key: Option<Key>,
    policy: PolicyDigest,
}

/// The callback is about to be called.
pub(super) fn before(ssl: Ssl<'_>) -> Option<Before> {
    if !policy_is_bound() {
        return None;
    }
    let connection = ssl.connection()?;
    // An SSL that was cleared (SSL_clear(3)) has what was predicted for a client before, under another name.
    if connection.prediction(|prediction| *prediction != Prediction::None)
        && connection.predicted_for.get() != ssl.client_random()
    {
        connection.prediction(|prediction| *prediction = Prediction::None);
    }
    let cache_key = connection.prediction(Prediction::take_cache_key);
    Some(Before { hooks: app_hooks::set_of(ssl), cache_key, policy: client_auth_policy::of(ssl)? })
}

/// Notes what the callback made of it. False if the session was resumed for another policy.
pub(super) fn after(ssl: Evaluated<'_>, resumed: bool, answer: c_int, before: Option<Before>) -> bool {
    let Some(connection) = ssl.connection() else { return true };
    if !policy_is_bound() {
        return true;
    }
    let after = client_auth_policy::of(*ssl);
    let mut key_known = before.as_ref().and_then(|before| before.cache_key);
    if cert_callback::appeared(ssl, before.as_ref().map(|before| before.hooks)) {
        late_demand::note_ended();
        return false;
    }
    let proved = key_known.filter(|_| resumed);
    // Without a ticket no entry was looked up yet. (In TLS 1.2 the name of a resumed connection is that of
    // its session, which only a ticket binds.)
    if key_known.is_none()
        && !resumed
        && client_auth::is_requested()
        && let (Some(before), Some(parts)) = (&before, ssl.parts())
    {
        let key = key(*ssl, parts.context, &before.policy, ssl.server_name());
        // What leads nowhere else, because there is nowhere else, needs no entry: that is predicted without one.
        let is_plain = after == Some(before.policy) && context::count() == 1 && sni_policy_cache::get(&key).is_none();
        key_known = Some(key).filter(|_| !is_plain);
    }
    // Up to TLS 1.2 libssl shows a resumed connection the name of its session, which is kept only if it was
    // acknowledged. A callback that goes by the name without acknowledging it will decide otherwise then.
    let shows_name = answer == SSL_TLSEXT_ERR_OK || protocol(*ssl).version == TLS1_3_VERSION as u16;
    let before = before.map(|before| before.policy);
    let outcome = Outcome { resumed, shows_name, before, after, key: key_known };
    if connection.prediction(|prediction| prediction.servername_done(outcome)) {
        if let Some(key) = proved {
            sni_policy_cache::prove(&key);
        }
        return true;
    }
    connection.remember();
    add(Counter::Ended);
    static SAID: log::Once = log::Once::new();
    log::warn_once(
        &SAID,
        format_args!(
            "a server name led to another client certificate policy than before; a resumption under the old one was \
             ended (the client can connect again)"
        ),
    );
    false
}

/// Whether tickets are bound to who is let in.
pub(super) fn policy_is_bound() -> bool {
    shim().settings.bind == Bind::Strict
}

//! What we keep per `SSL`: the context it started on, and what the ticket it was resumed from said.
//!
//! One thread at a time uses an `SSL`, so everything is in cells.
#![forbid(unsafe_code)]

use std::cell::Cell;

use openssl_sys::{SSL, SSL_CTX, SSL_METHOD};
use ticketshim_core::Binding;
use ticketshim_core::binding::PolicyDigest;
use ticketshim_core::format::{Client, FullHandshake};
use ticketshim_keys::settings::Mode;

use super::app_hooks::AppHooks;
use super::early_data::EarlyTicket;
use super::early_data_callback::Allow;
use super::ex_data::Part;
use super::handle::{Ctx, Ssl};
use super::id_context::IdContext;
use super::prediction::Prediction;
use super::{context, ffi, sni_policy_cache};
use crate::shim::shim;

/// Our part of an `SSL`. Lives in its ex_data and dies with it.
pub(crate) struct Connection {
    /// The context that the connection started on: whose ticket callbacks and keys libssl uses, whatever the
    /// servername callback switches to later ([`Ssl::parts`]). Null until our part was first asked for, if libssl did not
    /// know it yet when it made the SSL.
    pub(super) first: Cell<*mut SSL_CTX>,
    /// The last ticket of this connection that opened.
    pub(super) opened: Cell<Option<OpenedTicket>>,
    /// The last ticket of this connection that opened and allows early data.
    pub(super) early: Cell<Option<EarlyTicket>>,
    /// The application's callback that was set for the connection itself.
    pub(super) allow_early_data: Cell<Option<Allow>>,
    prediction: Cell<Prediction>,
    /// The ticket that came in last was opened because what certificate callbacks ask under its name is known.
    pub(super) cert_callback_is_known: Cell<bool>,
    /// What its full handshake led to has been noted.
    pub(super) noted: Cell<bool>,
    /// Which of the application's code has a say here, beside its context's.
    pub(super) hooks: Cell<AppHooks>,
    /// Which ClientHello the prediction is of: the start of its random.
    pub(super) predicted_for: Cell<[u8; 8]>,
    /// It was told to be a server.
    pub(super) accepts: Cell<bool>,
    pub(super) id_context: Cell<IdContext>,
}

/// What a ticket that opened says about the tickets that will follow it.
#[derive(Clone, Copy)]
pub(super) struct OpenedTicket {
    pub(super) time: FullHandshake,
    pub(super) client: Client,
    /// For how many seconds after that time the client's certificates are valid.
    pub(super) valid_for: Option<u32>,
    pub(super) binding: Binding,
    /// It opened because this very context has sealed it, and would nowhere else.
    pub(super) own: bool,
    /// Which session it is (`ticketshim_core::session::fingerprint`); TLS 1.2 and below only, where it stays the same.
    pub(super) session: Option<[u8; 16]>,
    /// Whom the connection lets in, as it was predicted when the ticket was opened; `None` where that is not bound.
    pub(super) policy: Option<PolicyDigest>,
}

impl Connection {
    /// That of an SSL that is being made. `None` if its context has no part of ours.
    pub(super) fn of_new(ssl: Ssl<'_>) -> Option<Self> {
        // From 3.2 on the SSL gets its context just after this.
        let first = ssl.ctx();
        if first.is_some_and(|first| first.part().is_none()) {
            return None;
        }
        let new = Self {
            first: Cell::default(),
            opened: Cell::default(),
            early: Cell::default(),
            allow_early_data: Cell::default(),
            prediction: Cell::default(),
            predicted_for: Cell::default(),
            hooks: Cell::default(),
            cert_callback_is_known: Cell::default(),
            noted: Cell::default(),
            accepts: Cell::default(),
            id_context: Cell::default(),
        };
        new.starts_on(first);
        Some(new)
    }

    /// The SSL has its first context, and takes over what is set there: it keeps that, whatever becomes of the context.
    pub(super) fn starts_on(&self, first: Option<Ctx<'_>>) {
        let Some(first) = first else { return };
        self.first.set(first.as_ptr());
        if let Some(context) = first.part() {
            self.hooks.set(self.hooks.get() | context.hooks.get());
        }
    }

    /// Looks at what is predicted of it, and may change it.
    #[inline]
    pub(super) fn prediction<T>(&self, look: impl FnOnce(&mut Prediction) -> T) -> T {
        let mut prediction = self.prediction.get();
        let seen = look(&mut prediction);
        self.prediction.set(prediction);
        seen
    }

    /// Remembers which policy the server name led to.
    pub(super) fn remember(&self) {
        if let Some((key, policy)) = self.prediction(Prediction::take_learned) {
            sni_policy_cache::put(&key, &policy);
        }
    }
}

/// Has libssl tell us of every `SSL_CTX` and `SSL` that is made from now on. Called before a context of this method is made.
/// False if nothing is to be kept of that: it is a client's, and there was none of another kind before. So a program that
/// is a client only has its ex_data indexes for itself.
pub(crate) fn watch(method: *const SSL_METHOD) -> bool {
    if shim().settings.mode == Mode::Off {
        return true;
    }
    if !context::is_watched() && is_clients(method) {
        return false;
    }
    context::watch();
    Connection::class().reserve();
    true
}

/// Whether the core was given a part of this SSL. It may be another libssl's: nothing is read there.
pub(crate) fn is_ours(ssl: *const SSL) -> bool {
    Connection::class().has(ssl.cast())
}

/// Whether it is a method that only clients have.
fn is_clients(method: *const SSL_METHOD) -> bool {
    method == ffi::TLS_client_method() || method == ffi::DTLS_client_method()
}

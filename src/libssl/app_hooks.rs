//! Which code of the application's takes part in whether a client gets in, beside libssl's own verification of a
//! certificate; and which settings of that verification libssl lets nobody read.
//!
//! A verdict that such a hook has a part in holds in the `SSL_CTX` where it was reached and nowhere else: another process
//! cannot know what the application would say there.
#![forbid(unsafe_code)]

use std::ops::BitOr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::handle::{Ctx, Ssl, Store};

/// A set of hooks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct AppHooks(u32);

impl AppHooks {
    pub(crate) const NONE: Self = Self(0);
    /// SSL_CTX_set_verify(3), SSL_set_verify(3), with a callback.
    pub(crate) const VERIFY_CALLBACK: Self = Self(1);
    /// SSL_CTX_set_cert_verify_callback(3).
    pub(crate) const CERT_VERIFY_CALLBACK: Self = Self(2);
    /// SSL_CTX_set_cert_cb(3), SSL_set_cert_cb(3): it may ask for a certificate, and is not called on a resumption.
    pub(crate) const CERT_CALLBACK: Self = Self(4);
    /// Parameters of the verification that not every libssl lets one read: purpose, trust, host names, policies
    /// (X509_VERIFY_PARAM_set_flags(3)).
    pub(crate) const PARAMS: Self = Self(8);
    /// SSL_CTX_set_psk_server_callback(3), SSL_CTX_set_psk_find_session_callback(3) and those of an SSL.
    pub(crate) const PSK: Self = Self(16);
    /// SSL_CTX_set_srp_username_callback(3), SSL_CTX_set_srp_verify_param_callback(3).
    pub(crate) const SRP: Self = Self(32);
    /// Callbacks of the X509_STORE that clients are verified with (X509_STORE_set_verify_cb_func(3)).
    pub(crate) const STORE: Self = Self(64);

    /// Clients are known by something else than a certificate.
    pub(crate) const NO_CERTIFICATE: Self = Self(Self::PSK.0 | Self::SRP.0);

    /// What is set, and calls nothing of the application's.
    const SETTINGS: Self = Self::PARAMS;

    /// Whether code of the application's is among them.
    pub(super) fn has_code(self) -> bool {
        !self.with(Self::SETTINGS, false).is_none()
    }

    pub(crate) fn has_any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// As it goes into the digest of a policy. `docs/binding.md` has the numbers.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    fn with_also(self, hook: Self, present: bool) -> Self {
        if present { self | hook } else { self }
    }

    /// This set, with or without those of `hook`.
    pub(crate) fn with(self, hook: Self, present: bool) -> Self {
        Self(if present { self.0 | hook.0 } else { self.0 & !hook.0 })
    }
}

impl BitOr for AppHooks {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The hooks of an `SSL_CTX`, as the application has set them.
#[derive(Default)]
pub(super) struct ContextHooks(AtomicU32);

impl ContextHooks {
    #[inline]
    pub(super) fn get(&self) -> AppHooks {
        AppHooks(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, hook: AppHooks, present: bool) {
        match present {
            true => self.0.fetch_or(hook.0, Ordering::Relaxed),
            false => self.0.fetch_and(!hook.0, Ordering::Relaxed),
        };
    }
}

/// A context of this process has a certificate callback, or had one; or a server's connection was given one in its handshake.
static CERT_CALLBACKS: AtomicBool = AtomicBool::new(false);

/// The application has set a hook of a context, or taken it back.
pub(crate) fn set_for_context(ctx: Ctx<'_>, hook: AppHooks, present: bool) {
    if let Some(context) = ctx.part() {
        note(hook, present);
        context.hooks.set(hook, present);
    }
}

/// The application has set a hook of a connection, or taken it back.
pub(crate) fn set_for_connection(ssl: Ssl<'_>, hook: AppHooks, present: bool) {
    if let Some(connection) = ssl.connection() {
        // One that is set before the handshake shows on the connection, when it matters. (And clients have such callbacks
        // too.)
        if ssl.is_server() && !ssl.is_before_handshake() {
            note(hook, present);
        }
        connection.hooks.set(connection.hooks.get().with(hook, present));
    }
}

fn note(hook: AppHooks, present: bool) {
    if present && hook.has_any(AppHooks::CERT_CALLBACK) && !any_cert_callback() {
        CERT_CALLBACKS.store(true, Ordering::Relaxed);
    }
}

/// Whether a certificate callback may be called in this process.
#[inline]
pub(super) fn any_cert_callback() -> bool {
    CERT_CALLBACKS.load(Ordering::Relaxed)
}

/// Parameters of some X509_STORE were set that not every libcrypto lets one read (X509_STORE_set_purpose(3)). Stores are
/// given to contexts before or after that, and shared: so it counts for all.
static STORE_PARAMS: AtomicBool = AtomicBool::new(false);

/// The application sets such a parameter, or gets all of them to change.
pub(crate) fn set_for_stores() {
    if !STORE_PARAMS.load(Ordering::Relaxed) {
        STORE_PARAMS.store(true, Ordering::Relaxed);
    }
}

/// The hooks that may have a say in whether the client of `ssl` gets in, as it asks for a certificate.
pub(super) fn of(ssl: Ssl<'_>) -> AppHooks {
    set_of(ssl)
        .with_also(AppHooks::VERIFY_CALLBACK, ssl.has_verify_callback())
        .with_also(AppHooks::STORE, ssl.verify_store().is_some_and(Store::has_callbacks))
        .with_also(AppHooks::PARAMS, STORE_PARAMS.load(Ordering::Relaxed))
}

/// The hooks of a connection that were set: those of the context that it started on, of the one that it has, and its own.
/// (A connection takes over its context's when it is made, and libssl does not say which of them it still has.)
pub(super) fn set_of(ssl: Ssl<'_>) -> AppHooks {
    let Some(parts) = ssl.parts() else { return AppHooks::NONE };
    let now = ssl.ctx().filter(|ctx| ctx.as_ptr() != parts.first.as_ptr()).and_then(Ctx::part);
    parts.context.hooks.get() | now.map_or(AppHooks::NONE, |now| now.hooks.get()) | parts.connection.hooks.get()
}

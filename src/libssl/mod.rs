//! What stands behind the exports: everything that talks to libssl and libcrypto.
//!
//! The way of a ticket: libssl calls the key callback ([`hmac_callback`] or the [`mechanism`]'s own; what they have in
//! common is [`callback`]), which asks [`ticket`] for a job: keys from the store; where it may be used from [`binding_facts`]
//! and [`client_auth_policy`], and before the application has decided that, from what [`servername`] and [`sni_policy_cache`] predict. The job
//! goes to the cipher that libssl will run; the cipher ([`mechanism`] again) lets [`ticket`] seal or open the bytes.

pub(crate) mod alpn_callback;
mod anchors;
pub(crate) mod app_hooks;
mod binding_facts;
mod callback;
mod cert_callback;
mod client_auth;
mod client_auth_policy;
mod client_identity;
pub(crate) mod connection;
pub(crate) mod context;
mod early_data;
pub(crate) mod early_data_callback;
pub(crate) mod errors;
mod ex_data;
pub(crate) mod ffi;
#[macro_use]
pub(crate) mod guard;
pub(crate) mod handle;
#[macro_use]
pub(crate) mod real;
mod hmac_callback;
pub(crate) mod id_context;
mod late_demand;
mod link;
mod memory;
pub(crate) mod prediction;
pub(crate) mod role;
pub(crate) mod serialise_once;
mod servername;
pub(crate) mod servername_callback;
mod sni_policy_cache;
mod ticket;
mod trust_store;

/// How tickets get from libssl to [`ticket`]: the one thing in which OpenSSL 1.1.1 and 3 differ (`build.rs` chooses).
#[cfg_attr(mechanism = "provider", path = "provider.rs")]
#[cfg_attr(mechanism = "legacy", path = "openssl_1_1_1.rs")]
pub(crate) mod mechanism;

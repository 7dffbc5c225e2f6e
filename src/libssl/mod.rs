//! What stands behind the exports: everything that talks to libssl and libcrypto.
//!
//! The way of a ticket: libssl calls the key callback ([`mechanism`]), which asks [`ticket`] for a job (keys from the
//! store, place from [`place`]) and hands the job to the cipher that libssl will run; the cipher ([`mechanism`] again)
//! lets [`ticket`] seal or open the bytes.

pub(crate) mod connection;
pub(crate) mod context;
pub(crate) mod errors;
pub(crate) mod ffi;
pub(crate) mod guard;
mod memory;
mod place;
pub(crate) mod real;
mod ticket;

#[cfg(any(ossl = "3", ossl = "4"))]
#[path = "provider.rs"]
pub(crate) mod mechanism;
#[cfg(ossl = "1.1.1")]
#[path = "legacy.rs"]
pub(crate) mod mechanism;

//! The ticket core: what a ticket is, how it is sealed and opened, how its keys come and go, and where it may be used.
//!
//! Nothing in here knows OpenSSL, a clock, a file or a source of randomness: time, salts and key material are
//! parameters. So all of it can be tested, fuzzed and read by itself. `docs/ticket-format.md` has the same facts in
//! prose for whoever writes a second implementation; `tests/vectors.rs` holds both to the same bytes.
//!
//! Read in this order: [`mod@format`] (the bytes), [`mod@derive`] (every key, in one place), [`seal`] (sealing and opening),
//! [`ratchet`], [`keyring`] and [`ring`] (keys over time), [`binding`] (where a ticket may be used), [`salt`] (why none repeats).
#![forbid(unsafe_code)]

pub mod binding;
pub mod derive;
pub mod erase;
pub mod format;
pub mod keyring;
pub mod ratchet;
pub mod ring;
pub mod salt;
pub mod seal;
pub mod session;

pub use binding::Binding;
pub use format::{KeyName, Refusal, Salt};
pub use keyring::{ChainId, Keyring};
pub use ratchet::{Chain, EpochLength};
pub use ring::{Found, Ring};

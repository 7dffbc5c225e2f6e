//! `libticketshim.so`: session tickets done right, in front of a program's own OpenSSL.
//!
//! This crate is the border: everything C and OpenSSL, and nearly all `unsafe`, is here. What a ticket is and how it
//! is sealed is `ticketshim-core`; where keys and settings come from is `ticketshim-keys`.
//!
//! - `exports`: the C ABI, thin. The manual page's three functions, the interposed ones, and `ticketshim_*`.
//! - `libssl`: what stands behind it. The real functions, state of contexts and connections, the ticket key
//!   callback, the cipher that libssl seals with, error queue, panic guard.
//! - `shim`: what the whole process shares: settings and keys, set up when the library is loaded.
//!
//! `ARCHITECTURE.md` has the map.

mod exports;
#[cfg(feature = "fault-injection")]
mod fault;
mod libssl;
mod shim;

//! Where ticketshim's keys, settings and counters come from, and how they are kept.
//!
//! The core ([`ticketshim_core`]) knows how keys follow from one another; this crate knows the world: files, clock,
//! randomness, processes that fork, drop their rights, move into a chroot. It is loaded into other people's servers,
//! so it starts no thread, keeps no descriptor open, takes no lock on the way to a key, writes nothing to stdout, and
//! answers every trouble with "no keys just now" (a full handshake) rather than with a failure.
//!
//! Read in this order: [`settings`] (what the operator asked for), [`state`] (the file that keys are shared by),
//! [`store`] (the keys in force), [`counters`] (what happened). Below them: `cell` (a value that is replaced while it is
//! read), `fork` (how a child is told from its parent) with `barrier`, `memory` (where secrets live), `salt`, `watch`
//! (when the file is looked at), [`binding_cache`] (bindings hashed lately), `thread` (a number for each), [`lock`], [`random`],
//! [`names`] (what server names led to), [`replay`] (tickets whose early data was accepted lately), [`clock`], [`log`], and
//! `sys` (system calls in somebody else's process). What takes no lock is made of `sync`, `seqlock`, `record` and [`once`],
//! and `models` tries all orders in which it can be seen.

mod barrier;
pub mod binding_cache;
mod cell;
pub mod clock;
pub mod counters;
mod fork;
pub mod lock;
pub mod log;
mod memory;
pub mod names;
pub mod once;
pub mod random;
pub mod recent;
mod record;
pub mod replay;
mod salt;
mod seqlock;
pub mod settings;
pub mod socket;
pub mod state;
pub mod store;
mod sync;
mod sys;
mod thread;
mod watch;

//! What became of earlier connections: which policy a server name led to, from which context, address and policy.
//!
//! libssl opens a ticket *before* it calls the servername callback, and it is that callback which tells most servers
//! which virtual host, and so which policy, a connection gets. So the policy is predicted by what was seen. Entries name
//! the very `SSL_CTX` that the connection started on: they are of no use to the contexts of another start or reload,
//! whose virtual hosts may be others.
//!
//! The table is shared by all processes that are forked after the first context was made, takes no lock, and holds a
//! million names (`ticketshim_keys::names`).
#![forbid(unsafe_code)]

use ticketshim_core::binding::PolicyDigest;
use ticketshim_keys::names;

use super::prediction::Key;

/// Makes the table. Called before the first context is given out: whatever forks later shares it.
pub(super) fn set_up() {
    names::set_up();
}

/// The policy that the name led to; `None` if it was not seen, or not lately, or led to more than one.
pub(super) fn get(key: &Key) -> Option<PolicyDigest> {
    names::get(key).map(PolicyDigest)
}

/// Remembers what a name led to. Once it has led to two policies, it is not relied on again: what decides is then
/// something else than the name, and a ticket that opened for the wrong one costs a handshake.
pub(super) fn put(key: &Key, policy: &PolicyDigest) {
    names::put(key, &policy.0);
}

/// A ticket of that name has opened under it: when the table is full, it stays, and names go that anyone can make up.
pub(super) fn prove(key: &Key) {
    names::prove(key);
}

//! Whom a connection lets in: the [`Policy`] that its client was, or would be, asked under.
//!
//! It is read from the `SSL`, at the moment: the application may have switched its context or changed it, and nothing
//! tells us. What is kept is the hash over the facts, which serves for as long as they are byte for byte the same.
#![forbid(unsafe_code)]

use std::sync::LazyLock;

use openssl_sys::SSL_VERIFY_PEER;
use ticketshim_core::binding::{Clients, Policy, PolicyDigest};

use super::handle::{Ctx, Ssl};
use super::memory::{AppendList, Cached, cached};
use super::{client_auth, trust_store};

/// Hashes of policies, kept with the context that they were met at.
pub(crate) type Policies = AppendList<Cached<PolicyDigest>>;

/// The flags of a verification (<openssl/x509_vfy.h>) that only choose among good chains, and whose defaults differ between
/// versions: `X509_V_FLAG_TRUSTED_FIRST`, `…_NO_ALT_CHAINS`, `…_NOTIFY_POLICY`. Any other may decide.
const INDECISIVE_FLAGS: u32 = 0x8000 | 0x10_0000 | 0x800;

/// Nothing is asked: nearly every connection there is.
static OPEN: LazyLock<PolicyDigest> = LazyLock::new(|| Policy { verify_mode: 0, clients: None }.digest());

/// The policy of `ssl` as it is now. `None` if memory has run out.
pub(super) fn of(ssl: Ssl<'_>) -> Option<PolicyDigest> {
    let mode = ssl.verify_mode();
    if mode == 0 {
        return Some(*OPEN);
    }
    let verify_mode = mode as u32;
    if mode & SSL_VERIFY_PEER == 0 {
        return Some(Policy { verify_mode, clients: None }.digest());
    }
    client_auth::note_request();
    let depth = ssl.verify_depth();
    let store = trust_store::of(ssl)?;
    let flags = (ssl.param().flags() | store.flags) as u32 & !INDECISIVE_FLAGS;
    let security_level = ssl.security_level();
    let (trust, store_depth) = (store.trust, store.depth);
    let (client_ca_names, ca_names) = (ssl.client_ca_names()?, ssl.ca_names()?);
    let (client_ca_names, ca_names) = (client_ca_names.as_slice(), ca_names.as_slice());
    let hash = || {
        let clients = Clients { depth, store_depth, security_level, flags, client_ca_names, ca_names, trust };
        Policy { verify_mode, clients: Some(clients) }.digest()
    };
    // Compared in this order only with one another, and so that no two policies look the same (DER names say how long
    // they are); the encoding that is hashed is the core's.
    let numbers = [verify_mode, depth as u32, store_depth as u32, security_level as u32, flags].map(u32::to_be_bytes);
    let count = client_ca_names.len().to_be_bytes();
    let facts = [numbers.as_flattened(), &trust[..], &count[..]].into_iter();
    let facts = facts.chain(client_ca_names.iter().copied()).chain(ca_names.iter().copied());
    match ssl.ctx().and_then(Ctx::part) {
        Some(context) => cached(&context.facts.policies, facts, hash),
        None => Some(hash()),
    }
}

//! Whom a connection lets in: the [`Policy`] that its client was, or would be, asked under.
//!
//! It is read from the `SSL`, at the moment: the application may have switched its context or changed it, and nothing
//! tells us. What is kept is the hash over the facts, which serves for as long as they are byte for byte the same.
#![forbid(unsafe_code)]

use std::sync::LazyLock;

use openssl_sys::SSL_VERIFY_PEER;
use ticketshim_core::binding::{Clients, Policy, PolicyDigest};
use ticketshim_keys::recent::FACTS;

use super::handle::{Ctx, Ssl};
use super::memory::{AppendList, Cached, cached};
use super::{app_hooks, client_auth, trust_store};

/// Hashes of policies, kept with the context that they were met at.
pub(crate) type Policies = AppendList<Cached<PolicyDigest>>;

/// The flags of a verification (<openssl/x509_vfy.h>) that only choose among good chains, and whose defaults differ between
/// versions: `X509_V_FLAG_TRUSTED_FIRST`, `…_NO_ALT_CHAINS`, `…_NOTIFY_POLICY`. Any other may decide.
const INDECISIVE_FLAGS: u32 = 0x8000 | 0x10_0000 | 0x800;

/// How many numbers a policy has.
const NUMBERS: usize = 6;
const _: () = assert!(NUMBERS + 7 <= FACTS);

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
    let app_hooks = app_hooks::of(ssl).bits();
    let (trust, store_depth) = (store.trust, store.depth);
    let numbers = [verify_mode, depth as u32, store_depth as u32, security_level as u32, flags, app_hooks];
    // Names are not compared for each connection.
    let recent = ssl.ctx().and_then(Ctx::part).map(|context| &context.facts.recent_policy);
    let glance =
        recent.zip(ssl.ca_names_at_a_glance()).map(|(recent, lists)| (recent, known_by(&numbers, &trust, lists)));
    if let Some(policy) = glance.as_ref().and_then(|(recent, facts)| recent.get(facts)) {
        return Some(PolicyDigest(policy));
    }
    let (client_ca_names, ca_names) = (ssl.client_ca_names()?, ssl.ca_names()?);
    let (client_ca_names, ca_names) = (client_ca_names.as_slice(), ca_names.as_slice());
    let hash = || {
        let clients =
            Clients { depth, store_depth, security_level, flags, app_hooks, client_ca_names, ca_names, trust };
        Policy { verify_mode, clients: Some(clients) }.digest()
    };
    // Compared in this order only with one another, and so that no two policies look the same (DER names say how long
    // they are); the encoding that is hashed is the core's.
    let numbers = numbers.map(u32::to_be_bytes);
    let count = client_ca_names.len().to_be_bytes();
    let facts = [numbers.as_flattened(), &trust[..], &count[..]].into_iter();
    let facts = facts.chain(client_ca_names.iter().copied()).chain(ca_names.iter().copied());
    let policy = match ssl.ctx().and_then(Ctx::part) {
        Some(context) => cached(&context.facts.policies, facts, hash)?,
        None => hash(),
    };
    if let Some((recent, facts)) = glance {
        recent.put(&facts, &policy.0);
    }
    Some(policy)
}

/// What a policy is known again by within a second: each number, and whom it trusts, and at a glance the names.
fn known_by(numbers: &[u32; NUMBERS], trust: &[u8; 32], lists: [u64; 3]) -> [u64; NUMBERS + 7] {
    let mut facts = [0; NUMBERS + 7];
    let trust = trust.as_chunks().0.iter().map(|bytes| u64::from_ne_bytes(*bytes));
    for (place, word) in facts.iter_mut().zip(numbers.iter().map(|number| u64::from(*number)).chain(trust).chain(lists))
    {
        *place = word;
    }
    facts
}

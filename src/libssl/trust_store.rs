//! Whom client certificates are verified by: the certificates and revocation lists of an `X509_STORE`, as a digest.
//!
//! The digest is kept in the store's own ex_data, and dies with it. It serves as long as the store has as many objects
//! and the same revocation lists: certificates are only ever added (libcrypto has no way to take one out), lists are
//! replaced in place by some programs. That takes a walk through the store under its lock, so within a second the digest serves
//! for as long as the store has as many objects.
//!
//! Stores change while a server runs: a directory is read file by file as clients need it, lists are loaded by a timer,
//! each process at its own time. Then what one process has seen does not hold for another: [`changes`].
#![forbid(unsafe_code)]

use std::ffi::{c_int, c_ulong};
use std::sync::atomic::{AtomicU64, Ordering};

use ticketshim_core::binding::{digest_of, trust_digest};

use super::context::Context;
use super::ex_data::{Class, Object, Part};
use super::ffi;
use super::handle::{LockedStore, Ssl, StoreObject};

/// What a store says of whom it trusts.
pub(super) struct Store {
    pub(super) trust: [u8; 32],
    pub(super) flags: c_ulong,
    pub(super) depth: c_int,
}

/// What is kept with a store. Read and written under the store's lock.
pub(super) struct Trust {
    /// How many objects the store had when `digest` was made.
    objects: c_int,
    /// And libcrypto's own digest of each revocation list, which it has at hand.
    lists: Vec<[u8; 20]>,
    digest: [u8; 32],
}

impl Part for Trust {
    const KIND: c_int = ffi::EX_INDEX_X509_STORE;
    /// A store that was made under another default library context than the first that was looked at does not tell us of
    /// its end.
    const ALL_END: bool = false;

    fn class() -> &'static Class<Self> {
        static CLASS: Class<Trust> = Class::new();
        &CLASS
    }
}

/// See [`changes`].
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Another number after each change of a store that was looked at before: 0 as long as there was none, and then one that
/// no other process has.
pub(super) fn changes() -> u64 {
    CHANGES.load(Ordering::Relaxed)
}

fn note_change() {
    let mut bytes = [0; 8];
    let number = match ticketshim_keys::random::fill(&mut bytes) {
        true => u64::from_ne_bytes(bytes),
        false => u64::from(std::process::id()) << 32 | (changes() + 1) & u64::from(u32::MAX),
    };
    CHANGES.store(number.max(1), Ordering::Relaxed);
}

/// The store that the client of `ssl` is verified with. `None` if memory has run out.
pub(super) fn of(ssl: Ssl<'_>) -> Option<Store> {
    let Some(store) = ssl.verify_store() else {
        return Some(Store { trust: trust_digest(&mut [], &mut []), flags: 0, depth: -1 });
    };
    let (flags, depth) = (store.param().flags(), store.param().depth());
    // Without its lock, where many threads would meet, and without a walk through it.
    let glance = glance(ssl, store);
    if let Some(trust) = glance.as_ref().and_then(|(context, facts)| context.facts.recent_trust.get(facts)) {
        return Some(Store { trust, flags, depth });
    }
    let trust = digest(&mut store.lock()?)?;
    if let Some((context, facts)) = glance {
        context.facts.recent_trust.put(&facts, &trust);
    }
    Some(Store { trust, flags, depth })
}

/// What shows at a glance that the store of a context is what it was: that it is the same one, and has as many objects. A
/// revocation list that takes the place of another is not seen so: that is looked for once a second. `None` for the store
/// of a connection, whose address the next connection's may have.
fn glance<'h>(ssl: Ssl<'h>, store: super::handle::Store<'h>) -> Option<(&'h Context, [u64; 2])> {
    let ctx = ssl.ctx()?;
    let objects = store.count_now()?;
    ctx.has_store(store).then_some((ctx.part()?, [store.address().addr() as u64, objects as u64]))
}

fn digest(store: &mut LockedStore<'_>) -> Option<[u8; 32]> {
    Trust::class().reserve();
    let objects = store.count();
    let lists = list_digests(store);
    if let (Some(kept), Some(lists)) = (store.part(), &lists)
        && kept.objects == objects
        && kept.lists == *lists
    {
        return Some(kept.digest);
    }
    let digest = trust_digest(&mut digests(store.certificates())?, &mut digests(store.revocation_lists())?);
    // Without the lists' own digests there is nothing to know them again by.
    let Some(lists) = lists else { return Some(digest) };
    let new = Trust { objects, lists, digest };
    match store.part() {
        Some(kept) => {
            if kept.digest != digest {
                note_change();
            }
            *kept = new;
        }
        None => store.give(new),
    }
    Some(digest)
}

/// libcrypto's SHA-1 of each revocation list, which it keeps: to know them again by, in this process. `None` if it has
/// none.
fn list_digests(store: &LockedStore<'_>) -> Option<Vec<[u8; 20]>> {
    let mut digests = Vec::new();
    for list in store.revocation_lists() {
        let digest = list.list_digest()?;
        digests.try_reserve(1).ok()?;
        digests.push(digest);
    }
    Some(digests)
}

/// The SHA-256 of each object.
fn digests<'l>(objects: impl Iterator<Item = StoreObject<'l>>) -> Option<Vec<[u8; 32]>> {
    let (mut digests, mut der) = (Vec::new(), Vec::new());
    for object in objects {
        object.encode(&mut der)?;
        digests.try_reserve(1).ok()?;
        digests.push(digest_of(&der));
    }
    Some(digests)
}

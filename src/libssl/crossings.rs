//! What became of earlier connections: which policy a server name led to, from which context and policy.
//!
//! libssl opens a ticket *before* it calls the servername callback, and it is that callback which tells most servers
//! which virtual host, and so which policy, a connection gets. So the policy is foretold by what was seen. Entries name
//! the very `SSL_CTX` that the connection started on: they are of no use to the contexts of another start or reload,
//! whose virtual hosts may be others.
//!
//! The table is shared by all processes that are forked after the first context was made, and takes no lock. An entry
//! that was torn by two writers gives a policy that never was, under which no ticket opens.

use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ticketshim_core::binding::PolicyDigest;

/// Entries: crossings beyond that take one another's place. 192 KiB, of which only what is used takes memory.
const ENTRIES: usize = 4096;
/// Where an entry may be: so many places in a row.
const WAYS: usize = 4;
/// The first half of the crossing's digest, and the policy, masked with the second half: so that no entry makes sense
/// under another's name.
type Entry = [AtomicU64; 6];

/// Stands for more than one policy. (No hash is known that gives it.)
const UNSTEADY: PolicyDigest = PolicyDigest([0xff; 32]);

/// Makes the table. Called before the first context is given out: whatever forks later shares it.
pub(super) fn set_up() {
    table();
}

/// The policy that this crossing led to; `None` if it was not seen, or not lately, or led to more than one.
pub(super) fn get(crossing: &[u8; 32]) -> Option<PolicyDigest> {
    entry(crossing).filter(|policy| *policy != UNSTEADY)
}

fn entry(crossing: &[u8; 32]) -> Option<PolicyDigest> {
    let ([a, b], mask) = split(crossing);
    let entry = ways(a)?.iter().find(|entry| entry[0].load(Relaxed) == a && entry[1].load(Relaxed) == b)?;
    let mut policy = [0; 32];
    for (i, (bytes, word)) in policy.chunks_exact_mut(8).zip(&entry[2..]).enumerate() {
        bytes.copy_from_slice(&(word.load(Relaxed) ^ mask[i % 2]).to_ne_bytes());
    }
    Some(PolicyDigest(policy))
}

/// Remembers what a crossing led to. Once it has led to two policies, it is not relied on again: what decides is then
/// something else than the name, and a ticket that opened for the wrong one costs a handshake.
pub(super) fn put(crossing: &[u8; 32], policy: &PolicyDigest) {
    let policy = match entry(crossing) {
        Some(known) if known == *policy || known == UNSTEADY => return,
        Some(_) => &UNSTEADY,
        None => policy,
    };
    let ([a, b], mask) = split(crossing);
    let Some(ways) = ways(a) else { return };
    let same_or_free = |entry: &&Entry| {
        let (first, second) = (entry[0].load(Relaxed), entry[1].load(Relaxed));
        first == a && second == b || first == 0 && second == 0
    };
    let Some(entry) = ways.iter().find(same_or_free).or_else(|| ways.get(b as usize % WAYS)) else { return };
    for (i, (bytes, word)) in policy.0.chunks_exact(8).zip(&entry[2..]).enumerate() {
        let bytes = bytes.try_into().unwrap_or_default();
        word.store(u64::from_ne_bytes(bytes) ^ mask[i % 2], Relaxed);
    }
    entry[0].store(a, Relaxed);
    entry[1].store(b, Relaxed);
}

/// Name and mask.
fn split(crossing: &[u8; 32]) -> ([u64; 2], [u64; 2]) {
    let word = |i: usize| {
        let bytes = crossing.as_chunks::<8>().0.get(i).copied().unwrap_or_default();
        u64::from_ne_bytes(bytes)
    };
    ([word(0), word(1)], [word(2), word(3)])
}

fn ways(name: u64) -> Option<&'static [Entry]> {
    table()?.chunks_exact(WAYS).nth(name as usize % (ENTRIES / WAYS))
}

/// `None` if the system gave no memory: then nothing is ever foretold.
fn table() -> Option<&'static [Entry]> {
    static TABLE: OnceLock<Option<&[Entry]>> = OnceLock::new();
    *TABLE.get_or_init(|| {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(ptr::null_mut(), ENTRIES * size_of::<Entry>(), protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        let start = NonNull::new(start.cast::<Entry>())?;
        // SAFETY: so long, aligned to a page, zeroed, never unmapped; processes that share it use atomics alone.
        Some(unsafe { std::slice::from_raw_parts(start.as_ptr(), ENTRIES) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossing(n: u32) -> [u8; 32] {
        ticketshim_core::binding::digest_of(&n.to_be_bytes())
    }

    fn policy(n: u32) -> PolicyDigest {
        PolicyDigest(crossing(!n))
    }

    // One test, because there is one table.
    #[test]
    fn what_was_put_is_found_and_nothing_else() {
        assert_eq!(get(&crossing(1)), None);
        put(&crossing(1), &policy(1));
        assert_eq!(get(&crossing(1)), Some(policy(1)));
        put(&crossing(1), &policy(1));
        assert_eq!(get(&crossing(1)), Some(policy(1)));
        put(&crossing(1), &policy(2));
        assert_eq!(get(&crossing(1)), None, "it led to two");
        put(&crossing(1), &policy(1));
        assert_eq!(get(&crossing(1)), None, "and stays unknown");
        // Many times over what it holds: what is there is right, and the newest is there.
        for n in 2..20_000 {
            put(&crossing(n), &policy(n));
            assert_eq!(get(&crossing(n)), Some(policy(n)), "{n}");
        }
        let found: Vec<(u32, PolicyDigest)> = (2..20_000).filter_map(|n| Some((n, get(&crossing(n))?))).collect();
        assert!(found.len() > ENTRIES / 2 && found.len() <= ENTRIES, "{}", found.len());
        assert!(found.iter().all(|(n, found)| *found == policy(*n)));

        // Torn: another's value under this name is no policy that ever was.
        put(&crossing(100_000), &policy(1));
        let ([a, b], _) = split(&crossing(100_000));
        let (_, mask) = split(&crossing(100_001));
        let entry = ways(a).unwrap().iter().find(|entry| entry[1].load(Relaxed) == b).unwrap();
        for (i, word) in entry[2..].iter().enumerate() {
            word.store(u64::from_ne_bytes([2; 8]) ^ mask[i % 2], Relaxed);
        }
        let torn = get(&crossing(100_000)).unwrap();
        assert!(torn != policy(1) && torn != PolicyDigest([2; 32]));
    }
}

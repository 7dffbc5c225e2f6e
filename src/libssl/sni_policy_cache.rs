//! What became of earlier connections: which policy a server name led to, from which context and policy.
//!
//! libssl opens a ticket *before* it calls the servername callback, and it is that callback which tells most servers
//! which virtual host, and so which policy, a connection gets. So the policy is predicted by what was seen. Entries name
//! the very `SSL_CTX` that the connection started on: they are of no use to the contexts of another start or reload,
//! whose virtual hosts may be others.
//!
//! The table is shared by all processes that are forked after the first context was made, and takes no lock. An entry is a
//! `Record`: one that is just being written, or that was torn by two writers, is as good as none.

use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use ticketshim_core::binding::PolicyDigest;
use ticketshim_keys::record::Record;

use super::prediction::Key;

/// Entries: names beyond that take one another's place. 256 KiB, of which only what is used takes memory.
const ENTRIES: usize = 4096;
/// Where an entry may be: so many places in a row.
const WAYS: usize = 4;
/// The first half of the key, and the policy, masked with the second half: so that no entry makes sense
/// under another's name.
#[repr(align(64))]
struct Entry(Record<6>);

/// Stands for more than one policy. (No hash is known that gives it.)
const UNSTEADY: PolicyDigest = PolicyDigest([0xff; 32]);

/// Makes the table. Called before the first context is given out: whatever forks later shares it.
pub(super) fn set_up() {
    table();
}

/// The policy that the name led to; `None` if it was not seen, or not lately, or led to more than one.
pub(super) fn get(key: &Key) -> Option<PolicyDigest> {
    entry(key).filter(|policy| *policy != UNSTEADY)
}

fn entry(key: &Key) -> Option<PolicyDigest> {
    let ([a, b], mask) = split(key);
    let known = |entry: &Entry| {
        let words = (entry.0.first() == a).then(|| entry.0.read())??;
        (words[..2] == [a, b]).then_some(words)
    };
    let words = ways(a)?.iter().find_map(known)?;
    let mut policy = [0; 32];
    for (i, (bytes, word)) in policy.as_chunks_mut().0.iter_mut().zip(&words[2..]).enumerate() {
        *bytes = (word ^ mask[i % 2]).to_ne_bytes();
    }
    Some(PolicyDigest(policy))
}

/// Remembers what a name led to. Once it has led to two policies, it is not relied on again: what decides is then
/// something else than the name, and a ticket that opened for the wrong one costs a handshake.
pub(super) fn put(key: &Key, policy: &PolicyDigest) {
    let policy = match entry(key) {
        Some(known) if known == *policy || known == UNSTEADY => return,
        Some(_) => &UNSTEADY,
        None => policy,
    };
    let ([a, b], mask) = split(key);
    let Some(ways) = ways(a) else { return };
    let same_or_free = |entry: &&Entry| [a, 0].contains(&entry.0.first());
    let Some(entry) = ways.iter().find(same_or_free).or_else(|| ways.get(b as usize % WAYS)) else { return };
    let mut words = [a, b, 0, 0, 0, 0];
    for (i, (word, bytes)) in words[2..].iter_mut().zip(policy.0.as_chunks().0).enumerate() {
        *word = u64::from_ne_bytes(*bytes) ^ mask[i % 2];
    }
    entry.0.write(&words);
}

/// Name and mask.
fn split(key: &Key) -> ([u64; 2], [u64; 2]) {
    let word = |i: usize| {
        let bytes = key.as_chunks::<8>().0.get(i).copied().unwrap_or_default();
        u64::from_ne_bytes(bytes)
    };
    ([word(0), word(1)], [word(2), word(3)])
}

fn ways(name: u64) -> Option<&'static [Entry]> {
    table()?.chunks_exact(WAYS).nth(name as usize % (ENTRIES / WAYS))
}

/// `None` if the system gave no memory: then nothing is ever predicted.
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

    fn key(n: u32) -> [u8; 32] {
        ticketshim_core::binding::digest_of(&n.to_be_bytes())
    }

    fn policy(n: u32) -> PolicyDigest {
        PolicyDigest(key(!n))
    }

    // One test, because there is one table.
    #[test]
    fn what_was_put_is_found_and_nothing_else() {
        assert_eq!(get(&key(1)), None);
        put(&key(1), &policy(1));
        assert_eq!(get(&key(1)), Some(policy(1)));
        put(&key(1), &policy(1));
        assert_eq!(get(&key(1)), Some(policy(1)));
        put(&key(1), &policy(2));
        assert_eq!(get(&key(1)), None, "it led to two");
        put(&key(1), &policy(1));
        assert_eq!(get(&key(1)), None, "and stays unknown");
        // Many times over what it holds: what is there is right, and the newest is there.
        for n in 2..20_000 {
            put(&key(n), &policy(n));
            assert_eq!(get(&key(n)), Some(policy(n)), "{n}");
        }
        let found: Vec<(u32, PolicyDigest)> = (2..20_000).filter_map(|n| Some((n, get(&key(n))?))).collect();
        assert!(found.len() > ENTRIES / 2 && found.len() <= ENTRIES, "{}", found.len());
        assert!(found.iter().all(|(n, found)| *found == policy(*n)));

        // Torn by another writer, or just being written: nothing is known, and what comes next is taken.
        for words in 1..6 {
            put(&key(100_000), &policy(1));
            let ([a, _], _) = split(&key(100_000));
            let entry = ways(a).unwrap().iter().find(|entry| entry.0.first() == a).unwrap();
            let whole = entry.0.read().unwrap();
            let torn: [u64; 6] = std::array::from_fn(|i| if i < words { whole[i] } else { 7 });
            entry.0.tear(&torn);
            assert_eq!(get(&key(100_000)), None, "{words}");
            put(&key(100_000), &policy(1));
            assert_eq!(get(&key(100_000)), Some(policy(1)), "{words}: not taken for unsteady");
        }
    }
}

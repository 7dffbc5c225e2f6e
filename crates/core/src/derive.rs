//! Every key derivation, in one place: HKDF-Expand (RFC 5869 section 2.3) with SHA-256, one label each.
//!
//! All inputs are either uniform 32-byte secrets (so HKDF's extract step is not needed: RFC 5869 section 3.3) or
//! public values in the info string. Labels are fixed and none is a prefix of another; whatever follows a label has a
//! fixed length. So no two derivations can be given the same info.
//!
//! ```text
//! link[e] ─┬─ "ticketshim v2 key name" ─→ key name[e]   16 bytes, public
//!          ├─ "ticketshim v2 mac"      ─→ MAC key[e]    32 bytes
//!          ├─ "ticketshim v2 root"     ─→ root[e]       32 bytes ── "ticketshim v2 ticket" ‖ instance ‖ binding ─→ AES key
//!          └─ "ticketshim v1 next"     ─→ link[e+1]
//! era[k] ──┬─ "ticketshim v1 era"      ─→ era[k+1]
//!          └─ "ticketshim v1 first"    ─→ link[first epoch of era k]
//! ```

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::binding::Binding;
use crate::erase::erasing;
use crate::format::{KEY_NAME_LEN, KeyName};
use crate::salt::Instance;

/// A 32-byte secret that is erased when dropped and never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Clone for Secret {
    fn clone(&self) -> Self {
        Self(self.0)
    }

    /// In place: the other way would go over the stack.
    fn clone_from(&mut self, from: &Self) {
        self.0.copy_from_slice(&from.0);
    }
}

impl Secret {
    /// Not a secret yet: the place for one.
    pub const ZERO: Self = Self([0; 32]);

    /// Takes the bytes over; the caller erases its own copy.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The place for the bytes, to be filled there.
    pub fn place(&mut self) -> &mut [u8; 32] {
        &mut self.0
    }

    /// The bytes, to be written where they are kept or handed to the MAC.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// True for values that no honest source of randomness gives: all bytes equal, or counting up or down, or a short
    /// pattern repeated. They are what a forgotten `memset`, a test file or `dd if=/dev/zero` leaves behind.
    pub fn is_weak(&self) -> bool {
        let b = &self.0;
        let repeats = |period: usize| b.iter().zip(&b[period..]).all(|(x, y)| x == y);
        let steps = |step: u8| b.windows(2).all(|w| w[1] == w[0].wrapping_add(step));
        // 128 bits in two equal halves have a chance of 2^-128 to be honest; text has no byte above 0x7e.
        [1, 2, 4, 8, 16].into_iter().any(repeats)
            || steps(1)
            || steps(0xff)
            || b.iter().all(|c| matches!(c, 0x20..=0x7e))
    }

    /// HKDF-Expand into `out`: in place, so that no copy of a secret is left in a frame that returned.
    fn expand(&self, info: &[&[u8]], out: &mut [u8]) {
        // `from_prk` fails for keys under 32 bytes and `expand` for outputs over 255 blocks: this module asks for
        // neither. Were it to, a panic (caught at the border: a full handshake) is better than a key of zeros.
        let done = erasing(|| Hkdf::<Sha256>::from_prk(&self.0).ok().and_then(|h| h.expand_multi_info(info, out).ok()));
        assert!(done.is_some(), "HKDF-Expand of a 32-byte key to at most 32 bytes cannot fail");
    }

    fn derive_from(&mut self, from: &Self, info: &[&[u8]]) {
        from.expand(info, &mut self.0);
    }

    /// `link[e]` becomes `link[e+1]`; what it was is overwritten.
    pub(crate) fn step_link(&mut self) {
        self.step(b"ticketshim v1 next");
    }

    /// `era[k]` becomes `era[k+1]`.
    pub(crate) fn step_era(&mut self) {
        self.step(b"ticketshim v1 era");
    }

    /// Makes `self` the first link of the era whose secret is `era`.
    pub(crate) fn set_first_link(&mut self, era: &Self) {
        self.derive_from(era, &[b"ticketshim v1 first"]);
    }

    fn step(&mut self, label: &[u8]) {
        let mut next = Self::ZERO;
        next.derive_from(self, &[label]);
        self.0.copy_from_slice(&next.0);
    }
}

/// What one epoch's link gives: the keys that tickets of that epoch are sealed under. Cannot lead back to the link.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct EpochKeys {
    /// Public, travels in clear.
    #[zeroize(skip)]
    pub name: KeyName,
    /// Key of the HMAC over the whole ticket.
    pub mac: Secret,
    /// What each ticket's AES key derives from.
    pub root: Secret,
}

impl Clone for EpochKeys {
    fn clone(&self) -> Self {
        Self { name: self.name, mac: self.mac.clone(), root: self.root.clone() }
    }

    /// In place: the other way would go over the stack.
    fn clone_from(&mut self, from: &Self) {
        self.name = from.name;
        self.mac.clone_from(&from.mac);
        self.root.clone_from(&from.root);
    }
}

impl EpochKeys {
    /// No keys yet: the place for them.
    pub const ZERO: Self = Self { name: KeyName([0; KEY_NAME_LEN]), mac: Secret::ZERO, root: Secret::ZERO };

    /// The keys of the epoch whose link this is.
    pub fn from_link(link: &Secret) -> Self {
        let mut keys = Self::ZERO;
        keys.set_from_link(link);
        keys
    }

    /// The same, in place.
    pub fn set_from_link(&mut self, link: &Secret) {
        link.expand(&[b"ticketshim v2 key name"], &mut self.name.0);
        self.mac.derive_from(link, &[b"ticketshim v2 mac"]);
        self.root.derive_from(link, &[b"ticketshim v2 root"]);
    }
}

/// The AES-256-GCM key of one epoch, one instance (the salt's first 12 bytes) and one binding.
pub fn ticket_key(root: &Secret, instance: Instance, binding: &Binding) -> Secret {
    let mut key = Secret::ZERO;
    key.derive_from(root, &[b"ticketshim v2 ticket", &instance.0, &binding.0]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_secrets_are_known() {
        let counting: [u8; 32] = core::array::from_fn(|i| i as u8);
        let down: [u8; 32] = core::array::from_fn(|i| 200 - i as u8);
        let halves: [u8; 32] = core::array::from_fn(|i| (i as u8 % 16).wrapping_mul(37));
        for weak in [[0; 32], [0xff; 32], [0x5a; 32], counting, down, halves, *b"0123456789abcdef0123456789abcdeX"] {
            assert!(Secret(weak).is_weak(), "{weak:02x?}");
        }
        let mut s = Secret([1; 32]);
        for _ in 0..1000 {
            s.step_link();
            assert!(!s.is_weak());
        }
    }

    #[test]
    fn derived_values_all_differ() {
        let s = Secret([9; 32]);
        let k = EpochKeys::from_link(&s);
        let (mut next, mut era, mut first) = (s.clone(), s.clone(), Secret::ZERO);
        next.step_link();
        era.step_era();
        first.set_first_link(&s);
        let all = [&s.0, &next.0, &era.0, &first.0, &k.mac.0, &k.root.0];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b));
            assert_ne!(a[..16], k.name.0, "a key name must not show the start of a key");
        }
    }
}

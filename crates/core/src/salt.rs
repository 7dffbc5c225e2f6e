//! Why no AES-GCM key and nonce are ever used twice.
//!
//! A salt is `instance[12] ‖ counter[4]`. The instance is random, drawn once per thread (and again after a fork, and
//! when the counter has run through); it goes into the derivation of the AES key. The counter is the nonce. So a key
//! and nonce can only repeat if two instances of the same epoch and binding are equal: with n instances in one epoch,
//! over all threads, processes and hosts that share the keys, that has a chance below n²/2⁹⁷ (n = 2³²: 2⁻³³), and
//! salts need to be unique only, not secret. A ticket costs no random bytes.
//!
//! A virtual machine that is snapshotted and resumed twice has two identical threads: SECURITY.md says what that
//! means and what to do.

use crate::format::{SALT_LEN, Salt};

/// Length of an instance in bytes.
pub const INSTANCE_LEN: usize = 12;

/// The random part of a salt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instance(pub [u8; INSTANCE_LEN]);

impl Salt {
    /// The salt of an instance's `counter`-th ticket.
    pub fn new(instance: Instance, counter: u32) -> Self {
        let mut bytes = [0; SALT_LEN];
        bytes[..INSTANCE_LEN].copy_from_slice(&instance.0);
        bytes[INSTANCE_LEN..].copy_from_slice(&counter.to_be_bytes());
        Self(bytes)
    }

    /// The part that the AES key derives from.
    pub fn instance(&self) -> Instance {
        let mut bytes = [0; INSTANCE_LEN];
        bytes.copy_from_slice(&self.0[..INSTANCE_LEN]);
        Instance(bytes)
    }

    /// The AES-GCM nonce: eight zero bytes and the counter. Unique under the key that the instance derives.
    pub fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[8..].copy_from_slice(&self.0[INSTANCE_LEN..]);
        nonce
    }
}

/// Hands out the salts of one instance, each once.
#[derive(Debug)]
pub struct Salts {
    instance: Instance,
    next: Option<u32>,
}

impl Salts {
    /// Starts an instance. The bytes must be random and used for this only.
    pub fn new(random: [u8; INSTANCE_LEN]) -> Self {
        Self { instance: Instance(random), next: Some(0) }
    }

    /// The next salt; `None` when all 2³² are used and a new instance must be drawn.
    pub fn next_salt(&mut self) -> Option<Salt> {
        let counter = self.next?;
        self.next = counter.checked_add(1);
        Some(Salt::new(self.instance, counter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_differ_and_end() {
        let mut s = Salts::new([3; INSTANCE_LEN]);
        let a = s.next_salt().unwrap();
        let b = s.next_salt().unwrap();
        assert_eq!((a.instance(), a.nonce()), (Instance([3; 12]), [0; 12]));
        assert_eq!(b.nonce(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        s.next = Some(u32::MAX);
        assert!(s.next_salt().is_some());
        assert!(s.next_salt().is_none() && s.next_salt().is_none());
    }
}

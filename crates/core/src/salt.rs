//! Why no AES-GCM key and nonce are ever used twice.
//!
//! A salt is `instance[12] ‖ counter[4]`: the instance goes into the derivation of the AES key, the counter is the nonce.
//! Salts come in **runs**: a run begins at a random instance (and a counter that need not be), and each further salt is
//! the one before plus one, as a number of 128 bits. So after 2³² salts a run goes on with the next instance. A run
//! belongs to one process (which may have several, so that its threads do not get in each other's way), and a forked
//! child begins its own.
//!
//! A key and nonce can only repeat if two runs overlap. With n runs of at most r·2³² salts in one epoch, over all
//! processes and hosts that share the keys, that has a chance below r·n²/2⁹⁶ (n = 2³² and r = 1: 2⁻³²), and salts need to
//! be unique only, not secret. A ticket costs no random bytes.
//!
//! A virtual machine that is snapshotted and resumed twice has two identical processes: SECURITY.md says what that
//! means and what to do.

use crate::format::{SALT_LEN, Salt};

/// Length of an instance in bytes.
pub const INSTANCE_LEN: usize = 12;

/// The random part of a salt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instance(pub [u8; INSTANCE_LEN]);

impl Salt {
    /// The salt of an instance whose counter is 0. To begin a run with, the instance must be random, and drawn for this only.
    pub fn first(instance: Instance) -> Self {
        let mut bytes = [0; SALT_LEN];
        bytes[..INSTANCE_LEN].copy_from_slice(&instance.0);
        Self(bytes)
    }

    /// The salt that comes so many after this one in its run.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(u128::from_be_bytes(self.0).wrapping_add(count.into()).to_be_bytes())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_counts_through_its_instances() {
        let first = Salt::first(Instance([3; 12]));
        assert_eq!((first.instance(), first.nonce()), (Instance([3; 12]), [0; 12]));
        assert_eq!(first.plus(0), first);
        let second = first.plus(1);
        assert_eq!((second.instance(), second.nonce()), (Instance([3; 12]), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
        let last = first.plus(u32::MAX.into());
        assert_eq!((last.instance(), &last.nonce()[8..]), (first.instance(), &[0xff; 4][..]));
        let next = last.plus(1);
        assert_eq!((next.instance(), next.nonce()), (Instance([3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4]), [0; 12]));
        // The last instance of all is followed by the first.
        assert_eq!(Salt::first(Instance([0xff; 12])).plus(1 << 32), Salt([0; 16]));
    }
}

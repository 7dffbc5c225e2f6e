//! The chain that keys come from: one link an epoch, each from the one before, never back.
//!
//! A chain is walked epoch by epoch only inside an **era** of [`ERA`] epochs; from era to era there is a second chain,
//! so that a machine that was off for years, or whose clock jumps by a century, catches up in a moment and lands on
//! the same keys as one that walked all the way. A chain at epoch *e* holds `link[e]` and the secret of the *next*
//! era: nothing that leads to `link[e-1]`.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::derive::Secret;

/// Epochs in an era. The price of catching up is at most this many steps, and one for each era skipped.
pub const ERA: u64 = 4096;

/// The length of an epoch in seconds, 1 or more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochLength(u32);

impl EpochLength {
    /// At least one second; `None` for 0.
    pub const fn new(seconds: u32) -> Option<Self> {
        if seconds == 0 { None } else { Some(Self(seconds)) }
    }

    /// In seconds.
    pub const fn seconds(self) -> u64 {
        self.0 as u64
    }

    /// The epoch that `now` (Unix seconds) lies in.
    pub const fn epoch_at(self, now: u64) -> u64 {
        now / self.seconds()
    }

    /// When an epoch starts, in Unix seconds.
    pub const fn start_of(self, epoch: u64) -> u64 {
        epoch.saturating_mul(self.seconds())
    }
}

/// The chain at one epoch.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Chain {
    #[zeroize(skip)]
    epoch: u64,
    link: Secret,
    next_era: Secret,
}

impl Clone for Chain {
    fn clone(&self) -> Self {
        Self { epoch: self.epoch, link: self.link.clone(), next_era: self.next_era.clone() }
    }

    /// In place: the other way would go over the stack.
    fn clone_from(&mut self, from: &Self) {
        self.epoch = from.epoch;
        self.link.clone_from(&from.link);
        self.next_era.clone_from(&from.next_era);
    }
}

impl Chain {
    /// No chain yet: the place for one.
    pub const ZERO: Self = Self { epoch: 0, link: Secret::ZERO, next_era: Secret::ZERO };

    /// The chain that a 32-byte seed stands for, at `epoch`. Counted from epoch 0, so that everyone who is given the
    /// seed, whenever that is, has the same chain. The seed leads to every epoch: whoever keeps it has no forward
    /// secrecy, so it is for handing a chain over ([`Chain::from_parts`] of 64 random bytes is a chain without one).
    pub fn from_seed(seed: &Secret, epoch: u64) -> Self {
        let mut chain = Self::ZERO;
        chain.next_era.clone_from(seed);
        chain.enter_era();
        chain.advance_to(epoch);
        chain
    }

    /// The chain as it was kept, the link of `epoch` and the secret of the era after it; or a new one from random bytes.
    pub fn from_parts(epoch: u64, link: Secret, next_era: Secret) -> Self {
        Self { epoch, link, next_era }
    }

    /// Makes it the chain whose link of `epoch` and secret of the era after it `fill` puts in place, as for
    /// [`Chain::from_parts`].
    pub fn fill<R>(&mut self, epoch: u64, fill: impl FnOnce(&mut [u8; 32], &mut [u8; 32]) -> R) -> R {
        self.epoch = epoch;
        fill(self.link.place(), self.next_era.place())
    }

    /// The epoch it stands at: nothing before it can be derived.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The link of [`Chain::epoch`].
    pub fn link(&self) -> &Secret {
        &self.link
    }

    /// The secret of the era after the one of [`Chain::epoch`].
    pub fn next_era(&self) -> &Secret {
        &self.next_era
    }

    /// Whether a part of it is a value that no honest source gives ([`Secret::is_weak`]).
    pub fn is_weak(&self) -> bool {
        self.link.is_weak() || self.next_era.is_weak()
    }

    /// Walks on to `epoch`, overwriting what it passes. Does nothing if it already stands there or beyond.
    pub fn advance_to(&mut self, epoch: u64) {
        if epoch <= self.epoch {
            return;
        }
        if epoch / ERA > self.epoch / ERA {
            for _ in self.epoch / ERA + 1..epoch / ERA {
                self.next_era.step_era();
            }
            self.epoch = epoch - epoch % ERA;
            self.enter_era();
        }
        for _ in self.epoch..epoch {
            self.link.step_link();
        }
        self.epoch = epoch;
    }

    /// `next_era` holds the secret of the era being entered: take its first link, and pass on to the one after.
    fn enter_era(&mut self) {
        self.link.set_first_link(&self.next_era);
        self.next_era.step_era();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &Chain, b: &Chain) -> bool {
        a.epoch == b.epoch && a.link.expose() == b.link.expose() && a.next_era.expose() == b.next_era.expose()
    }

    #[test]
    fn the_way_does_not_matter() {
        let start = Chain::from_seed(&Secret::new([7; 32]), 10);
        for end in [11, ERA - 1, ERA, ERA + 1, 3 * ERA - 1, 3 * ERA, 9 * ERA + 5] {
            let mut jump = start.clone();
            jump.advance_to(end);
            let mut walk = start.clone();
            for e in 10..=end {
                walk.advance_to(e);
            }
            assert!(same(&jump, &walk), "to {end}");
            assert_eq!(jump.epoch(), end);
        }
    }

    #[test]
    fn never_back() {
        let mut chain = Chain::from_seed(&Secret::new([7; 32]), 5000);
        let kept = chain.clone();
        chain.advance_to(4999);
        chain.advance_to(0);
        assert!(same(&chain, &kept));
    }

    #[test]
    fn a_chain_with_one_weak_part_is_weak() {
        let good: [u8; 32] = core::array::from_fn(|i| (i * i) as u8 | 0x80);
        let weak = [0; 32];
        assert!(Secret::new(weak).is_weak() && !Secret::new(good).is_weak());
        let filled = |bytes: [u8; 32]| {
            let mut secret = Secret::ZERO;
            *secret.place() = bytes;
            secret
        };
        for (link, era) in [(weak, weak), (weak, good), (good, weak), (good, good)] {
            let chain = Chain::from_parts(1, filled(link), filled(era));
            assert_eq!(chain.is_weak(), link == weak || era == weak);
        }
    }

    #[test]
    fn a_century_of_one_second_epochs_is_no_hang() {
        // 136 years of seconds: 1,048,575 eras and at most 4,096 links, not 4,294,967,295 steps.
        let mut chain = Chain::from_seed(&Secret::new([7; 32]), 0);
        chain.advance_to(u64::from(u32::MAX));
        assert_eq!(chain.epoch(), u64::from(u32::MAX));
    }
}

//! The keys in force, as a ticket uses them.

use std::ops::Deref;

use ticketshim_core::format::{KeyName, Refusal, Salt, TAG_LEN};
use ticketshim_core::ring::{Position, Ring, Schedule};
use ticketshim_core::seal::Cipher;
use ticketshim_core::{Binding, Found};

use super::Keys;
use super::ciphers::Name;
use crate::cell::Guard;
use crate::state::ChainId;

/// The keys in force, for as long as this lives: one ticket. Not to be kept over a fork.
pub struct Reading<'a>(pub(super) Guard<'a, Keys>);

/// One epoch's keys, for as long as this lives: one ticket. Not to be kept over a fork.
pub struct Epoch<'a> {
    keys: Guard<'a, Keys>,
    at: Position,
}

/// What a key name leads to.
pub enum Lookup<'a> {
    /// Keys to open with, and whether a ticket sealed now would be under an older or the same key.
    Epoch(Epoch<'a>, bool),
    /// None.
    Refused(Refusal),
}

impl<'a> Reading<'a> {
    /// Which chain they come from.
    pub fn chain(&self) -> ChainId {
        self.0.ring.chain()
    }

    /// The keys to seal under at `now` (Unix seconds).
    pub fn into_sealing(self, now: u64) -> Option<Epoch<'a>> {
        let at = self.sealing_at(now)?;
        Some(Epoch { keys: self.0, at })
    }

    /// The keys that a ticket's key name leads to at `now` (Unix seconds).
    pub fn into_found(self, name: &KeyName, now: u64) -> Lookup<'a> {
        let (at, newest) = match self.find(name, now) {
            Found::Keys { at, newest, .. } => (at, newest),
            Found::Expired => return Lookup::Refused(Refusal::Expired),
            Found::Unknown => return Lookup::Refused(Refusal::UnknownKey),
        };
        Lookup::Epoch(Epoch { keys: self.0, at }, newest)
    }
}

impl Deref for Reading<'_> {
    type Target = Ring;

    fn deref(&self) -> &Ring {
        &self.0.ring
    }
}

impl Epoch<'_> {
    /// What travels in clear.
    pub fn name(&self) -> Option<KeyName> {
        self.keys.ring.keys(self.at).map(|keys| keys.name)
    }

    /// The key of the HMAC over the whole ticket, where it is: to be handed on, not to be kept.
    pub fn mac(&self) -> Option<&[u8; 32]> {
        self.keys.ring.keys(self.at).map(|keys| keys.mac.expose())
    }

    /// When keys change and how long they open.
    pub fn schedule(&self) -> Schedule {
        self.keys.ring.schedule()
    }

    /// Seals `body` (header and session) in place and gives the tag. None only for a bug.
    pub fn seal(&self, salt: &Salt, binding: &Binding, body: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let keys = self.keys.ring.keys(self.at)?;
        let name = Name { key: keys.name, instance: salt.instance(), binding: *binding };
        let (ciphers, generation) = (&self.keys.ciphers, self.keys.generation());
        let make = |place: &mut _| Cipher::make(place, &keys.root, name.instance, binding);
        match ciphers.get(generation, &name).or_else(|| ciphers.keep(generation, &name, make)) {
            Some(cipher) => cipher.seal(salt, body),
            None => once(make, |cipher| cipher.seal(salt, body)),
        }
    }

    /// Opens `body` (header and session), whose HMAC has been checked, in place.
    ///
    /// # Errors
    /// [`Refusal::Binding`]: it was sealed for another place.
    pub fn open(&self, salt: &Salt, binding: &Binding, body: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<(), Refusal> {
        let keys = self.keys.ring.keys(self.at).ok_or(Refusal::Expired)?;
        let name = Name { key: keys.name, instance: salt.instance(), binding: *binding };
        let (ciphers, generation) = (&self.keys.ciphers, self.keys.generation());
        if let Some(cipher) = ciphers.get(generation, &name) {
            return cipher.open(salt, body, tag);
        }
        let make = |place: &mut _| Cipher::make(place, &keys.root, name.instance, binding);
        let opened = once(make, |cipher| {
            cipher.open(salt, body, tag).ok()?;
            // Not before: a ticket that is offered under made-up names must not fill the room for others.
            ciphers.keep(generation, &name, |place| cipher.copy_to(place));
            Some(())
        });
        opened.ok_or(Refusal::Binding)
    }
}

/// Uses a cipher that is not kept. In a frame of its own, which only such a ticket has; erased when it is dropped.
#[cold]
#[inline(never)]
fn once<R>(make: impl FnOnce(&mut Option<Cipher>), work: impl FnOnce(&Cipher) -> Option<R>) -> Option<R> {
    let mut place = None;
    make(&mut place);
    work(place.as_ref()?)
}

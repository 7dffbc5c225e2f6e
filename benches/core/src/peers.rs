//! Peers: a bare AES-256-GCM of the fastest kind, and another library's whole ticket.

use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::server::ProducesTickets;

/// `ring`'s AES-256-GCM under one key, the nonce a counter: what a sealed body costs at the least.
pub struct RingGcm {
    key: LessSafeKey,
    counter: u32,
}

impl RingGcm {
    pub fn new() -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("a key of 32 bytes");
        Self { key: LessSafeKey::new(key), counter: 0 }
    }

    fn nonce(&self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[8..].copy_from_slice(&self.counter.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    /// Seals in place, and gives the tag.
    pub fn seal(&mut self, body: &mut [u8]) -> [u8; 16] {
        self.counter += 1;
        let tag = self.key.seal_in_place_separate_tag(self.nonce(), Aad::empty(), body).expect("sealed");
        tag.as_ref().try_into().expect("16 bytes")
    }

    /// Opens what was sealed last: body and tag.
    pub fn open(&self, sealed: &mut [u8]) -> bool {
        self.key.open_in_place(self.nonce(), Aad::empty(), sealed).is_ok()
    }
}

impl Default for RingGcm {
    fn default() -> Self {
        Self::new()
    }
}

/// The ticketer of rustls, with `ring` behind it.
pub fn rustls_ticketer() -> Arc<dyn ProducesTickets> {
    rustls::crypto::ring::Ticketer::new().expect("the system has randomness")
}

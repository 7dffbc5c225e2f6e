//! Sealing and opening.
//!
//! In a live server libssl frames the ticket and computes the HMAC itself, so only the inner half is ours there: a
//! [`Cipher`], made for one epoch, instance and binding, seals and opens bodies. [`seal`] and [`open`] do the whole
//! ticket by themselves: for `ticketshim inspect`, for tests, and as the reference that the live path is held to.
//!
//! Order on opening: key name, HMAC, and only then the AES key is derived. Junk costs one HMAC and derives nothing.
//! The HMAC says *we sealed it*, the AES-GCM tag says *for this place*: the binding goes into the AES key alone, so a
//! ticket whose HMAC fits and whose tag does not was sealed by us for somewhere else, and can be counted as that.

use aes_gcm::aead::consts::{U1, U12, U16, U32};
use aes_gcm::aead::{AeadInOut, Key, KeyInit, KeySizeUser};
use aes_gcm::aes::Aes256Enc;
use aes_gcm::aes::cipher::inout::InOut;
use aes_gcm::aes::cipher::{
    Block, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, ParBlocksSizeUser,
};
use aes_gcm::{AesGcm, Tag};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

use crate::binding::Binding;
use crate::derive::{EpochKeys, Secret, ticket_key};
use crate::erase::erasing;
use crate::format::{Header, MAC_LEN, MAX_HEADER_LEN, MIN_OVERHEAD, Refusal, Salt, TAG_LEN, Ticket};
use crate::salt::Instance;

/// AES-256-GCM under the key of one epoch, instance and binding, ready to use. Erased when dropped.
///
/// Making one takes longer than using it, and it depends on nothing but its three parameters, so whoever seals much may
/// keep it, for no longer than the epoch's root and as well guarded. It has no state: what must never repeat is the
/// salt ([`crate::salt`]), and a cipher that is kept hands out none.
// GCM never uses the block cipher backwards, so the half of AES that encrypts is enough.
#[derive(Clone)]
pub struct Cipher(AesGcm<BlockByBlock, U12>);

impl Cipher {
    /// The cipher for the tickets of `root`'s epoch whose salts are of `instance` and that belong to `binding`.
    pub fn new(root: &Secret, instance: Instance, binding: &Binding) -> Self {
        Self(AesGcm::new(ticket_key(root, instance, binding).expose().into()))
    }

    /// The same, made in its place.
    pub fn make(place: &mut Option<Self>, root: &Secret, instance: Instance, binding: &Binding) {
        erasing(|| *place = Some(Self::new(root, instance, binding)));
    }

    /// Copies it to its place.
    pub fn copy_to(&self, place: &mut Option<Self>) {
        erasing(|| *place = Some(self.clone()));
    }

    /// Seals `body` (header and session DER) in place and gives the tag.
    ///
    /// `salt` is of the cipher's instance, and must never have been used with the epoch's root before.
    pub fn seal(&self, salt: &Salt, body: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let tag = self.0.encrypt_inout_detached(&salt.nonce().into(), b"", body.into()).ok()?;
        Some(tag.into())
    }

    /// Opens `body` (header and session DER) in place. On failure `body` is left undecrypted.
    ///
    /// # Errors
    /// [`Refusal::Binding`]: its HMAC has been checked, so a wrong tag means another place.
    pub fn open(&self, salt: &Salt, body: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<(), Refusal> {
        let opened = self.0.decrypt_inout_detached(&salt.nonce().into(), b"", body.into(), &Tag::from(*tag));
        opened.map_err(|_| Refusal::Binding)
    }
}

/// AES-256, a block at a time.
///
/// By itself the cipher works on as many blocks at a time as the processor's registers could hold (64, with AVX-512), in
/// frames of up to 4 KiB and with copies of the round keys in them. A ticket has some 16 blocks, and a processor that
/// computes several instructions at a time does not need to be told that blocks are independent.
#[derive(Clone)]
struct BlockByBlock(Aes256Enc);

impl KeySizeUser for BlockByBlock {
    type KeySize = U32;
}

impl KeyInit for BlockByBlock {
    fn new(key: &Key<Self>) -> Self {
        Self(Aes256Enc::new(key))
    }
}

impl BlockSizeUser for BlockByBlock {
    type BlockSize = U16;
}

impl BlockCipherEncrypt for BlockByBlock {
    #[inline(always)]
    fn encrypt_with_backend(&self, work: impl BlockCipherEncClosure<BlockSize = U16>) {
        self.0.encrypt_with_backend(OneByOne(work));
    }
}

/// Work that is given the cipher's own backend, as one that takes single blocks only.
struct OneByOne<T>(T);

impl<T> BlockSizeUser for OneByOne<T> {
    type BlockSize = U16;
}

impl<T> ParBlocksSizeUser for OneByOne<&T> {
    type ParBlocksSize = U1;
}

impl<T: BlockCipherEncClosure<BlockSize = U16>> BlockCipherEncClosure for OneByOne<T> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        self.0.call(&OneByOne(backend));
    }
}

impl<B: BlockCipherEncBackend<BlockSize = U16>> BlockCipherEncBackend for OneByOne<&B> {
    #[inline(always)]
    fn encrypt_block(&self, block: InOut<'_, '_, Block<Self>>) {
        self.0.encrypt_block(block);
    }
}

/// A whole ticket from a session's DER.
pub fn seal(keys: &EpochKeys, salt: &Salt, binding: &Binding, header: &Header, der: &[u8]) -> Option<Vec<u8>> {
    let mut ticket = Vec::with_capacity(der.len() + MIN_OVERHEAD + MAX_HEADER_LEN);
    ticket.extend_from_slice(&keys.name.0);
    ticket.extend_from_slice(&salt.0);
    let body = ticket.len();
    ticket.resize(body + header.size(), 0);
    header.write(&mut ticket[body..])?;
    ticket.extend_from_slice(der);
    let tag = Cipher::new(&keys.root, salt.instance(), binding).seal(salt, &mut ticket[body..])?;
    ticket.extend_from_slice(&tag);
    let mac = mac(&keys.mac, &ticket)?.finalize().into_bytes();
    ticket.extend_from_slice(&mac);
    Some(ticket)
}

/// What an opened ticket holds.
pub struct Opened {
    /// What was sealed in front of the session.
    pub header: Header,
    /// The session as libssl writes it (`i2d_SSL_SESSION`). Holds the master secret: the caller erases it.
    pub der: Vec<u8>,
}

/// Verifies and opens a whole ticket with the keys that its name leads to.
///
/// # Errors
/// [`Refusal::BadMac`], [`Refusal::Binding`] or [`Refusal::Malformed`].
pub fn open(keys: &EpochKeys, binding: &Binding, ticket: &Ticket<'_>) -> Result<Opened, Refusal> {
    verify_mac(keys, ticket)?;
    let (body, tag) = ticket.sealed.split_last_chunk::<TAG_LEN>().ok_or(Refusal::Malformed)?;
    let mut der = body.to_vec();
    Cipher::new(&keys.root, ticket.salt.instance(), binding).open(&ticket.salt, &mut der, tag)?;
    let Some((header, session)) = Header::read(&der) else {
        der.zeroize();
        return Err(Refusal::Malformed);
    };
    let start = der.len() - session.len();
    der.copy_within(start.., 0);
    der.truncate(der.len() - start);
    Ok(Opened { header, der })
}

/// Whether the ticket was sealed under these keys, wherever it may be used.
///
/// # Errors
/// [`Refusal::BadMac`].
pub fn verify_mac(keys: &EpochKeys, ticket: &Ticket<'_>) -> Result<(), Refusal> {
    let mac = mac(&keys.mac, ticket.authenticated).ok_or(Refusal::BadMac)?;
    mac.verify_slice(ticket.mac).map_err(|_| Refusal::BadMac)
}

fn mac(key: &Secret, message: &[u8]) -> Option<Hmac<Sha256>> {
    const { assert!(MAC_LEN == 32) }
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key.expose()).ok()?;
    mac.update(message);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cipher_that_is_made_or_copied_in_its_place_is_the_same_one() {
        let root = Secret::new([7; 32]);
        let binding = Binding([3; 32]);
        let salt = Salt([1; 16]);
        let sealed = |cipher: &Cipher| {
            let mut body = *b"header and session";
            let tag = cipher.seal(&salt, &mut body).unwrap();
            (body, tag)
        };
        let (mut made, mut copied) = (None, None);
        Cipher::make(&mut made, &root, salt.instance(), &binding);
        let made = made.unwrap();
        made.copy_to(&mut copied);
        let expected = sealed(&Cipher::new(&root, salt.instance(), &binding));
        assert!(sealed(&made) == expected && sealed(&copied.unwrap()) == expected);
    }
}

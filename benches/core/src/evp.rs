//! A ticket as libssl 3 makes it by itself (`construct_stateless_ticket`, `tls_decrypt_ticket`): the same calls in the
//! same order, without the session's ASN.1.

use std::ffi::{c_int, c_void};
use std::ptr;

use openssl_sys::{
    EVP_CIPHER_CTX_free, EVP_CIPHER_CTX_new, EVP_CIPHER_fetch, EVP_CIPHER_free, EVP_CipherInit_ex, EVP_CipherUpdate,
    EVP_DecryptFinal_ex, EVP_EncryptFinal_ex, EVP_MAC_CTX_free, EVP_MAC_CTX_new, EVP_MAC_fetch, EVP_MAC_final,
    EVP_MAC_free, EVP_MAC_init, EVP_MAC_update, OSSL_PARAM, OSSL_PARAM_construct_end, RAND_bytes,
};

/// libssl's raw keys.
pub struct Keys {
    pub name: [u8; 16],
    pub mac: [u8; 32],
    pub aes: [u8; 32],
}

/// key_name ‖ IV ‖ AES-256-CBC(session) ‖ HMAC-SHA-256.
pub fn seal(keys: &Keys, session: &[u8]) -> Vec<u8> {
    let mut ticket = vec![0; 32 + session.len() + 16 + 32];
    ticket[..16].copy_from_slice(&keys.name);
    let (iv, body) = (ticket[16..].as_mut_ptr(), ticket[32..].as_mut_ptr());
    let (mut len, mut last) = (0, 0);
    // SAFETY: room for the IV, for the session and a block of padding, and for the MAC; the objects live until they are
    // freed at the end.
    unsafe {
        assert_eq!(RAND_bytes(iv, 16), 1);
        let cipher = cipher(keys, iv, 1);
        assert_eq!(EVP_CipherUpdate(cipher, body, &mut len, session.as_ptr(), session.len() as c_int), 1);
        assert_eq!(EVP_EncryptFinal_ex(cipher, body.add(len as usize), &mut last), 1);
        EVP_CIPHER_CTX_free(cipher);
        let end = 32 + (len + last) as usize;
        mac(keys, ticket.as_ptr(), end, ticket.as_mut_ptr().add(end));
        ticket.truncate(end + 32);
    }
    ticket
}

/// The session, if the MAC is right.
pub fn open(keys: &Keys, ticket: &[u8]) -> Option<Vec<u8>> {
    let end = ticket.len().checked_sub(32)?;
    let mut mac_here = [0; 32];
    let mut session = vec![0; end];
    let (mut len, mut last) = (0, 0);
    // SAFETY: as above.
    unsafe {
        mac(keys, ticket.as_ptr(), end, mac_here.as_mut_ptr());
        if !openssl::memcmp::eq(&mac_here, &ticket[end..]) {
            return None;
        }
        let cipher = cipher(keys, ticket[16..].as_ptr(), 0);
        let body = &ticket[32..end];
        assert_eq!(EVP_CipherUpdate(cipher, session.as_mut_ptr(), &mut len, body.as_ptr(), body.len() as c_int), 1);
        let good = EVP_DecryptFinal_ex(cipher, session.as_mut_ptr().add(len as usize), &mut last) == 1;
        EVP_CIPHER_CTX_free(cipher);
        session.truncate((len + last) as usize);
        good.then_some(session)
    }
}

unsafe fn cipher(keys: &Keys, iv: *const u8, enc: c_int) -> *mut openssl_sys::EVP_CIPHER_CTX {
    // SAFETY: constants, and 32 and 16 bytes as AES-256-CBC wants them.
    unsafe {
        let cipher = EVP_CIPHER_fetch(ptr::null_mut(), c"AES-256-CBC".as_ptr(), ptr::null());
        let ctx = EVP_CIPHER_CTX_new();
        assert_eq!(EVP_CipherInit_ex(ctx, cipher, ptr::null_mut(), keys.aes.as_ptr(), iv, enc), 1);
        EVP_CIPHER_free(cipher);
        ctx
    }
}

unsafe fn mac(keys: &Keys, data: *const u8, len: usize, out: *mut u8) {
    let mut written = 32;
    // SAFETY: constants, `len` bytes to read, 32 to write by the caller's promise.
    unsafe {
        let mac = EVP_MAC_fetch(ptr::null_mut(), c"HMAC".as_ptr(), ptr::null());
        let ctx = EVP_MAC_CTX_new(mac);
        let digest = OSSL_PARAM {
            key: c"digest".as_ptr(),
            data_type: 4, // OSSL_PARAM_UTF8_STRING
            data: c"SHA256".as_ptr().cast_mut().cast::<c_void>(),
            data_size: 6,
            return_size: usize::MAX,
        };
        let params = [digest, OSSL_PARAM_construct_end()];
        assert_eq!(EVP_MAC_init(ctx, keys.mac.as_ptr(), keys.mac.len(), params.as_ptr()), 1);
        assert_eq!(EVP_MAC_update(ctx, data, len), 1);
        assert_eq!(EVP_MAC_final(ctx, out, &mut written, 32), 1);
        EVP_MAC_CTX_free(ctx);
        EVP_MAC_free(mac);
    }
}

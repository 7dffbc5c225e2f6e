//! A handle on an `SSL_SESSION`.

use std::ffi::c_long;
use std::marker::PhantomData;

use openssl_sys::{
    SSL_SESSION, SSL_SESSION_get_master_key, SSL_SESSION_get_max_early_data, SSL_SESSION_get_time,
    SSL_SESSION_get_timeout, X509,
};
use zeroize::Zeroize;

use super::super::ffi;

/// The session of an `SSL`, which holds a reference on it.
#[derive(Clone, Copy)]
pub(in super::super) struct SslSession<'h>(pub(super) *mut SSL_SESSION, pub(super) PhantomData<&'h SSL_SESSION>);

impl SslSession<'_> {
    /// It has the certificate of its peer.
    #[inline]
    pub(in super::super) fn has_peer(self) -> bool {
        !self.peer().is_null()
    }

    /// It allows early data.
    #[inline]
    pub(in super::super) fn allows_early_data(self) -> bool {
        self.max_early_data() > 0
    }

    /// When it was made, in Unix seconds.
    pub(in super::super) fn time(self) -> Option<u64> {
        u64::try_from(self.time_t()).ok()
    }

    /// Gives its master secret to `look`, and erases our copy of it.
    #[inline]
    pub(in super::super) fn master_key<T>(self, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        // SSL_MAX_MASTER_KEY_LENGTH is 48; TLS 1.3 has up to 64.
        let mut key = [0; 64];
        // SAFETY: the session that a live SSL holds a reference on (`SslSession`), and room for as many bytes as is said.
        let len = unsafe { SSL_SESSION_get_master_key(self.0, key.as_mut_ptr(), key.len()) };
        let seen = key.get(..len).map(look);
        key.zeroize();
        seen
    }
}

asks! { SslSession:
    /// SSL_SESSION_get_timeout(3), in seconds.
    pub(in super::super) fn timeout = SSL_SESSION_get_timeout => c_long;
    fn time_t = SSL_SESSION_get_time => c_long;
    pub(super) fn peer = ffi::SSL_SESSION_get0_peer => *mut X509;
    fn max_early_data = SSL_SESSION_get_max_early_data => u32;
}

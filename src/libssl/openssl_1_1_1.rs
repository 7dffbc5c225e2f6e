//! OpenSSL 1.1.1: the core as a custom EVP_CIPHER. The ticket key callback is that of `hmac_callback.rs`.
//!
//! The cipher is made once by EVP_CIPHER_meth_new(3). It is no general cipher: it does what the `TicketCipherJob` says that its
//! context carries, and nothing without one.

use std::ffi::{CStr, c_int, c_uchar, c_ulong, c_void};
use std::ptr;

use openssl_sys::{ERR_put_error, EVP_CIPHER, EVP_CIPHER_CTX, EVP_CIPHER_CTX_free, EVP_CipherInit_ex, EVP_MD};
use ticketshim_core::format::{MAX_HEADER_LEN, SALT_LEN, TAG_LEN};

use super::callback::{self, LibcryptoOnce};
use super::context::KeySource;
use super::ffi::{ERR_LIB_SSL, chars};
use super::guard::{guard, maybe_fail};
use super::handle::Ctx;
use super::hmac_callback;
use super::memory::try_box;
use super::ticket::TicketCipherJob;

/// OpenSSL's common reasons (<openssl/err.h>: `ERR_R_…`).
#[derive(Clone, Copy)]
#[repr(i32)]
pub(crate) enum Reason {
    PassedNull = 3 | FATAL,
    Internal = 4 | FATAL,
    PassedInvalid = 7,
}
const FATAL: c_int = 64;

/// Raises an entry on the error queue.
pub(crate) fn raise(reason: Reason, text: &CStr) {
    // SAFETY: the queue keeps the pointer, which is to a constant (ERR_put_error(3)).
    unsafe { ERR_put_error(ERR_LIB_SSL, 0, reason as c_int, chars(c"ticketshim"), 0) };
    // SAFETY: one C string, as the count says; it is copied (ERR_add_error_data(3)).
    unsafe { ERR_add_error_data(1, text.as_ptr()) };
}

/// Puts our callback into a context. `None` if that cannot be done.
pub(super) fn attach(ctx: Ctx<'_>, _fetches_its_own: bool) -> Option<KeySource> {
    (!cipher().is_null() && hmac_callback::put(ctx)).then_some(KeySource::HmacCallback)
}

/// Takes it out.
pub(super) fn detach(ctx: Ctx<'_>, _source: KeySource) {
    hmac_callback::take(ctx);
}

/// Whether "no ticket" breaks TLS 1.3: in all of 1.1.1.
pub(super) fn breaks_without_ticket() -> bool {
    true
}

/// The digest of the HMAC.
pub(super) fn sha256() -> *const EVP_MD {
    EVP_sha256()
}

/// Initialises libssl's cipher context with our cipher and a job, which the context then owns.
///
/// # Safety
/// `ctx` is the EVP_CIPHER_CTX that libssl handed to the callback.
pub(super) unsafe fn set_job(ctx: *mut EVP_CIPHER_CTX, job: TicketCipherJob, enc: c_int) -> bool {
    let Some(job) = try_box(job) else { return false };
    // SAFETY: a live context for this call, by the caller's promise; our own cipher, which has no init, so that neither key nor
    // IV is looked at (EVP_CipherInit_ex(3)).
    if unsafe { EVP_CipherInit_ex(ctx, cipher(), ptr::null_mut(), ptr::null(), ptr::null(), enc) } != 1 {
        return false;
    }
    // SAFETY: a live context for this call, by the caller's promise, with our cipher in it: its `clean_up` takes the job back
    // when the context ends (EVP_CIPHER_meth_set_cleanup(3)).
    unsafe { EVP_CIPHER_CTX_set_app_data(ctx, Box::into_raw(job).cast()) };
    true
}

/// Our cipher. Null if it could not be made, or if this libcrypto takes no cipher of others (FIPS mode in some
/// distributions).
fn cipher() -> *const EVP_CIPHER {
    static CIPHER: LibcryptoOnce<EVP_CIPHER> = LibcryptoOnce::new();
    CIPHER.get(make)
}

/// EVP_CIPHER_meth_new(3): block size 16 makes libcrypto ask for no check of overlaps, and IV length 16 is the salt.
fn make() -> *mut EVP_CIPHER {
    // Lives as long as the process: contexts may be freed after any destructor of ours.
    let made = EVP_CIPHER_meth_new(NID_UNDEF, TAG_LEN as c_int, 32);
    if made.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: a new method of ours (EVP_CIPHER_meth_new(3)).
    let flags = unsafe { EVP_CIPHER_meth_set_flags(made, EVP_CIPH_FLAG_CUSTOM_CIPHER) };
    // SAFETY: a new method of ours (EVP_CIPHER_meth_new(3)).
    let iv_length = unsafe { EVP_CIPHER_meth_set_iv_length(made, SALT_LEN as c_int) };
    // SAFETY: a new method of ours, and a function of the type that EVP_CIPHER_meth_set_do_cipher(3) asks for.
    let cipher = unsafe { EVP_CIPHER_meth_set_do_cipher(made, Some(do_cipher)) };
    // SAFETY: a new method of ours, and a function of the type that EVP_CIPHER_meth_set_cleanup(3) asks for.
    let cleanup = unsafe { EVP_CIPHER_meth_set_cleanup(made, Some(clean_up)) };
    let complete = [flags, iv_length, cipher, cleanup] == [1; 4];
    let probe = EVP_CIPHER_CTX_new();
    // SAFETY: a new context (checked) and our own method, which has no init, so that neither key nor IV is looked at
    // (EVP_CipherInit_ex(3)).
    let usable = !probe.is_null()
        && unsafe { EVP_CipherInit_ex(probe, made, ptr::null_mut(), ptr::null(), ptr::null(), 1) } == 1
        && !maybe_fail("provider");
    // SAFETY: null, or made above and used by nobody else (EVP_CIPHER_CTX_free(3)).
    unsafe { EVP_CIPHER_CTX_free(probe) };
    if complete && usable {
        return made;
    }
    // Each new context tries again, so what is of no use must not stay.
    // SAFETY: made above, and the only context that it was in has ended (EVP_CIPHER_meth_free(3)).
    unsafe { EVP_CIPHER_meth_free(made) };
    ptr::null_mut()
}

/// What a custom cipher's do_cipher returns: how many bytes it wrote, or -1.
struct Written(Option<usize>);

impl From<Written> for c_int {
    fn from(written: Written) -> Self {
        written.0.and_then(|n| Self::try_from(n).ok()).unwrap_or(-1)
    }
}

/// EVP_CIPHER_meth_set_do_cipher(3), for a cipher with EVP_CIPH_FLAG_CUSTOM_CIPHER: one call is libssl's update, with
/// all the bytes; one with `input` NULL is its final.
unsafe extern "C" fn do_cipher(
    ctx: *mut EVP_CIPHER_CTX,
    out: *mut c_uchar,
    input: *const c_uchar,
    inl: usize,
) -> c_int {
    guard(Written(None), || {
        // SAFETY: the context that libcrypto runs, alive for this call (EVP_CIPHER_meth_set_do_cipher(3)).
        let job = unsafe { EVP_CIPHER_CTX_get_app_data(ctx) }.cast::<TicketCipherJob>();
        // SAFETY: the context that libcrypto runs, alive for this call (EVP_CIPHER_meth_set_do_cipher(3)).
        let sealing = unsafe { EVP_CIPHER_CTX_encrypting(ctx) } == 1;
        // libssl's buffer is as long as the input, and longer by EVP_MAX_BLOCK_LENGTH, 32, when it seals.
        let room = if sealing { inl + MAX_HEADER_LEN } else { inl };
        // SAFETY: null, or the job that set_job gave this context, whose it is until `clean_up`. libssl runs the context in the
        // one call that made it (construct_stateless_ticket in ssl/statem/statem_srvr.c, tls_decrypt_ticket in ssl/t1_lib.c).
        let Some(job) = (unsafe { job.as_mut() }) else { return Written(None) };
        if input.is_null() {
            // SAFETY: what the update has left of libssl's 32 bytes (construct_stateless_ticket in ssl/statem/statem_srvr.c).
            // libssl runs what its callback has set up.
            Written(unsafe { callback::finish(job, out, if sealing { TAG_LEN } else { 0 }) })
        } else {
            // SAFETY: libcrypto gives `inl` bytes to read (EVP_CIPHER_meth_set_do_cipher(3)); libssl as many to write, and 32 more
            // when it seals (construct_stateless_ticket in ssl/statem/statem_srvr.c). It runs what its callback has set up.
            Written(unsafe { callback::update(job, out, room, input, inl) })
        }
    })
    .into()
}

/// EVP_CIPHER_meth_set_cleanup(3): the context ends, and with it the job.
unsafe extern "C" fn clean_up(ctx: *mut EVP_CIPHER_CTX) -> c_int {
    guard((), || {
        // SAFETY: the context that libcrypto ends, alive for this call (EVP_CIPHER_meth_set_cleanup(3)).
        let job = unsafe { EVP_CIPHER_CTX_get_app_data(ctx) }.cast::<TicketCipherJob>();
        if !job.is_null() {
            // SAFETY: the context that libcrypto ends (EVP_CIPHER_meth_set_cleanup(3)). What set_job put there is not looked at
            // again, also if this were called twice.
            unsafe { EVP_CIPHER_CTX_set_app_data(ctx, ptr::null_mut()) };
            // SAFETY: made by into_raw in set_job, and taken out of the context just now: nobody else has it.
            unsafe { Box::from_raw(job) }.end();
        }
    });
    1
}

/// `NID_undef` (<openssl/obj_mac.h>), `EVP_CIPH_FLAG_CUSTOM_CIPHER` (<openssl/evp.h>).
const NID_UNDEF: c_int = 0;
const EVP_CIPH_FLAG_CUSTOM_CIPHER: c_ulong = 0x10_0000;

// <openssl/evp.h>, <openssl/err.h> of 1.1.1.
unsafe extern "C" {
    fn ERR_add_error_data(num: c_int, ...);
    // `safe`: nothing has to be true for these, in any thread, at any time.
    safe fn EVP_sha256() -> *const EVP_MD;
    safe fn EVP_CIPHER_CTX_new() -> *mut EVP_CIPHER_CTX;
    safe fn EVP_CIPHER_meth_new(cipher_type: c_int, block_size: c_int, key_len: c_int) -> *mut EVP_CIPHER;
    fn EVP_CIPHER_meth_free(cipher: *mut EVP_CIPHER);
    fn EVP_CIPHER_meth_set_flags(cipher: *mut EVP_CIPHER, flags: c_ulong) -> c_int;
    fn EVP_CIPHER_meth_set_iv_length(cipher: *mut EVP_CIPHER, iv_len: c_int) -> c_int;
    fn EVP_CIPHER_meth_set_do_cipher(
        cipher: *mut EVP_CIPHER,
        do_cipher: Option<unsafe extern "C" fn(*mut EVP_CIPHER_CTX, *mut c_uchar, *const c_uchar, usize) -> c_int>,
    ) -> c_int;
    fn EVP_CIPHER_meth_set_cleanup(
        cipher: *mut EVP_CIPHER,
        cleanup: Option<unsafe extern "C" fn(*mut EVP_CIPHER_CTX) -> c_int>,
    ) -> c_int;
    fn EVP_CIPHER_CTX_encrypting(ctx: *const EVP_CIPHER_CTX) -> c_int;
    fn EVP_CIPHER_CTX_get_app_data(ctx: *const EVP_CIPHER_CTX) -> *mut c_void;
    fn EVP_CIPHER_CTX_set_app_data(ctx: *mut EVP_CIPHER_CTX, data: *mut c_void);
}

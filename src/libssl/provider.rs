//! OpenSSL 3 and 4: the core as a cipher of a provider, and the ticket key callback with EVP_MAC where `hmac_callback.rs`
//! is not the better one.
//!
//! The provider is built in and lives in a library context of its own: the application's contexts never see it, and
//! what the application does to its own (null provider, FIPS) does not touch it. The cipher is fetched once. It is no
//! general cipher: it does what the `TicketCipherJob` says that it is initialised with, and nothing without one.

use std::ffi::{CStr, c_char, c_int, c_uchar, c_ulong, c_void};
use std::ptr;

use openssl_sys::{
    ERR_set_error, EVP_CIPHER, EVP_CIPHER_CTX, EVP_CIPHER_fetch, EVP_MAC_CTX, EVP_MAC_CTX_set_params, EVP_MD,
    EVP_MD_fetch, EVP_MD_free, OSSL_LIB_CTX, OSSL_LIB_CTX_free, OSSL_PARAM, OSSL_PROVIDER, OSSL_PROVIDER_load,
    OSSL_PROVIDER_unload, SSL, SSL_CTX, SSL_METHOD,
};

use super::callback::{self, LibcryptoOnce};
use super::context::KeySource;
use super::ffi::{ERR_LIB_SSL, chars};
use super::guard::maybe_fail;
use super::handle::Ctx;
use super::hmac_callback;
use super::real::NODE;
use super::ticket::TicketCipherJob;
use cipher::{
    CIPHER_NAME, Dispatch, END, JOB, OSSL_PARAM_OCTET_PTR, OSSL_PARAM_OCTET_STRING, OSSL_PARAM_UTF8_STRING, PROVIDER,
    Room, init_provider, param,
};

#[path = "provider/cipher.rs"]
mod cipher;

/// The callback's type (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)).
pub(crate) type KeyFn = Option<
    unsafe extern "C" fn(
        s: *mut SSL,
        key_name: *mut c_uchar,
        iv: *mut c_uchar,
        ctx: *mut EVP_CIPHER_CTX,
        hctx: *mut EVP_MAC_CTX,
        enc: c_int,
    ) -> c_int,
>;

real! {
    SSL_CTX_NEW_EX = "SSL_CTX_new_ex" in NODE,
        unsafe extern "C-unwind" fn(*mut OSSL_LIB_CTX, *const c_char, *const SSL_METHOD) -> *mut SSL_CTX;
    SET_TICKET_KEY_EVP_CB = "SSL_CTX_set_tlsext_ticket_key_evp_cb" in NODE,
        unsafe extern "C" fn(*mut SSL_CTX, KeyFn) -> c_int;
}

/// OpenSSL's common reasons (<openssl/err.h>: `ERR_R_…`).
#[derive(Clone, Copy)]
#[repr(i32)]
pub(crate) enum Reason {
    PassedNull = 258 | FATAL,
    Internal = 259 | FATAL,
    PassedInvalid = 262 | COMMON,
}
const COMMON: c_int = 0x2 << 18;
const FATAL: c_int = (0x1 << 18) | COMMON;

/// Raises an entry on the error queue.
pub(crate) fn raise(reason: Reason, text: &CStr) {
    ERR_new();
    // SAFETY: a constant format that takes one C string, which is one (ERR_set_error(3)).
    unsafe { ERR_set_error(ERR_LIB_SSL, reason as c_int, chars(c"%s"), text.as_ptr()) };
}

/// Puts our callback into a context, and gives which of the two. `None` if that cannot be done.
///
/// The one with HMAC_CTX, unless libssl is to fetch the MAC itself, from where all else of the connection is: for a context
/// that has a library context or properties of its own (`fetches_its_own`, or the thread's default is another than the
/// process's), where the default properties say FIPS, or where SHA-256 is not OpenSSL's own (see [`sha256`]).
pub(super) fn attach(ctx: Ctx<'_>, fetches_its_own: bool) -> Option<KeySource> {
    if cipher().is_null() {
        return None;
    }
    if !fetches_its_own && is_plain_default() && hmac_callback::put(ctx) {
        return Some(KeySource::HmacCallback);
    }
    set_callback(ctx, Some(key_callback)).then_some(KeySource::EvpCallback)
}

/// Takes our callback out, where it is in.
pub(super) fn detach(ctx: Ctx<'_>, source: KeySource) {
    if source == KeySource::HmacCallback {
        hmac_callback::take(ctx);
    } else {
        set_callback(ctx, None);
    }
}

/// Whether "no ticket" breaks TLS 1.3: up to 3.0.5 (CHANGES of 3.0.6). It is the libssl that runs that counts, not the
/// one that we were built with.
pub(super) fn breaks_without_ticket() -> bool {
    OpenSSL_version_num() < 0x3000_0060
}

/// Whether what is made now by default is of the process's own library context, and that is not to be FIPS.
fn is_plain_default() -> bool {
    // SAFETY: null only asks (OSSL_LIB_CTX_set0_default(3)).
    let threads = unsafe { OSSL_LIB_CTX_set0_default(ptr::null_mut()) };
    let processes = OSSL_LIB_CTX_get0_global_default();
    // SAFETY: the global default library context, which lives as long as the process (OSSL_LIB_CTX_get0_global_default(3)).
    threads == processes && unsafe { EVP_default_properties_is_fips_enabled(processes) } == 0
}

/// The digest of the HMAC: that of the process's own library context, if it comes from OpenSSL's default provider. Another
/// (FIPS, a vendor's) is not kept hold of: its provider may have to be torn down. Null if there is none.
pub(super) fn sha256() -> *const EVP_MD {
    static SHA256: LibcryptoOnce<EVP_MD> = LibcryptoOnce::new();
    SHA256.get(|| {
        let global = OSSL_LIB_CTX_get0_global_default();
        // SAFETY: the global default library context, which lives as long as the process, and constants (EVP_MD_fetch(3)).
        let digest = unsafe { EVP_MD_fetch(global, chars(c"SHA256"), ptr::null()) };
        if digest.is_null() || comes_from_default_provider(digest) {
            return digest;
        }
        // SAFETY: fetched above, and used by nobody: the reference is ours to give back (EVP_MD_free(3)).
        unsafe { EVP_MD_free(digest) };
        ptr::null_mut()
    })
}

fn comes_from_default_provider(digest: *const EVP_MD) -> bool {
    // SAFETY: a live digest, by the only caller; it was fetched, so it has a provider (EVP_MD_get0_provider(3)).
    let provider = unsafe { EVP_MD_get0_provider(digest) };
    // SAFETY: the provider of a digest that lives, which keeps it alive (EVP_MD_get0_provider(3)).
    let name = unsafe { OSSL_PROVIDER_get0_name(provider) };
    // SAFETY: null was excluded, so it is a C string of the provider's (OSSL_PROVIDER_get0_name(3)).
    !name.is_null() && unsafe { CStr::from_ptr(name) } == c"default"
}

fn set_callback(ctx: Ctx<'_>, callback: KeyFn) -> bool {
    let Some(real) = SET_TICKET_KEY_EVP_CB.get() else { return false };
    // SAFETY: a live SSL_CTX (`Ctx`), and a callback of the type that SSL_CTX_set_tlsext_ticket_key_evp_cb(3) asks for, which
    // lives as long as the process.
    unsafe { real(ctx.as_ptr(), callback) == 1 }
}

/// The ticket key callback with EVP_MAC_CTX.
unsafe extern "C" fn key_callback(
    ssl: *mut SSL,
    key_name: *mut c_uchar,
    iv: *mut c_uchar,
    ctx: *mut EVP_CIPHER_CTX,
    hctx: *mut EVP_MAC_CTX,
    enc: c_int,
) -> c_int {
    // SAFETY: the MAC context that libssl has made for this ticket, alive for this call (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)).
    let set_mac = |key: &[u8; 32]| unsafe { set_mac(hctx, key) };
    // SAFETY: the cipher context that libssl has made for this ticket, alive for this call (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)).
    let set_job = |job| unsafe { set_job(ctx, job, enc) };
    if enc == 1 {
        // SAFETY: libssl's own arguments, as SSL_CTX_set_tlsext_ticket_key_evp_cb(3) says for enc = 1.
        unsafe { callback::seal(ssl, key_name, iv, set_mac, set_job) }.into()
    } else {
        // SAFETY: libssl's own arguments, as SSL_CTX_set_tlsext_ticket_key_evp_cb(3) says for enc = 0.
        unsafe { callback::open(ssl, key_name, iv, set_mac, set_job) }.into()
    }
}

/// Gives libssl's HMAC its key and digest.
///
/// # Safety
/// `hctx` is the EVP_MAC_CTX that libssl handed to the callback.
unsafe fn set_mac(hctx: *mut EVP_MAC_CTX, key: &[u8; 32]) -> bool {
    let params = [
        param(c"key", OSSL_PARAM_OCTET_STRING, key.as_ptr().cast_mut().cast(), key.len()),
        param(c"digest", OSSL_PARAM_UTF8_STRING, chars(c"SHA256").cast_mut().cast(), 6),
        END,
    ];
    // SAFETY: a live context for this call, by the caller's promise; the parameters end with END, and are only read, and not
    // after the call (EVP_MAC_CTX_set_params(3)).
    unsafe { EVP_MAC_CTX_set_params(hctx, params.as_ptr()) == 1 }
}

/// Initialises libssl's cipher context with our cipher and a job.
///
/// # Safety
/// `ctx` is the EVP_CIPHER_CTX that libssl handed to the callback.
pub(super) unsafe fn set_job(ctx: *mut EVP_CIPHER_CTX, job: TicketCipherJob, enc: c_int) -> bool {
    let mut job = Some(job);
    let params = [param(JOB, OSSL_PARAM_OCTET_PTR, ptr::from_mut(&mut job).cast(), size_of_val(&job)), END];
    // SAFETY: a live context for this call, by the caller's promise; our own cipher, whose `init` below takes the job out of the
    // option during the call (EVP_CipherInit_ex2(3)).
    unsafe { EVP_CipherInit_ex2(ctx, cipher(), ptr::null(), ptr::null(), enc, params.as_ptr()) == 1 }
}

/// Our cipher. Null if it could not be fetched.
fn cipher() -> *const EVP_CIPHER {
    static CIPHER: LibcryptoOnce<EVP_CIPHER> = LibcryptoOnce::new();
    CIPHER.get(fetch)
}

/// Our cipher, from a provider that is added to a library context of our own.
fn fetch() -> *mut EVP_CIPHER {
    // Lives as long as the process: contexts may be freed after any destructor of ours.
    let own: *mut OSSL_LIB_CTX = OSSL_LIB_CTX_new();
    if own.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: a new library context, a constant name, and a function of the type that OSSL_PROVIDER_add_builtin(3) asks for.
    let known = unsafe { OSSL_PROVIDER_add_builtin(own, chars(PROVIDER), Some(init_provider)) } == 1;
    // SAFETY: a new library context of ours, and a constant name (OSSL_PROVIDER_load(3)).
    let provider = if known { unsafe { OSSL_PROVIDER_load(own, chars(PROVIDER)) } } else { ptr::null_mut() };
    if !provider.is_null() {
        let name = if maybe_fail("provider") { c"not-there" } else { CIPHER_NAME };
        // SAFETY: a new library context of ours, and constants (EVP_CIPHER_fetch(3)).
        let cipher = unsafe { EVP_CIPHER_fetch(own, chars(name), ptr::null()) };
        if !cipher.is_null() {
            return cipher;
        }
        // Each new context tries again, so what is of no use must not stay.
        // SAFETY: loaded above, and nothing was fetched from it (OSSL_PROVIDER_unload(3)).
        unsafe { OSSL_PROVIDER_unload(provider) };
    }
    // SAFETY: made above, and nothing of it is left (OSSL_LIB_CTX_free(3)).
    unsafe { OSSL_LIB_CTX_free(own) };
    ptr::null_mut()
}

unsafe extern "C" {
    fn EVP_default_properties_is_fips_enabled(libctx: *mut OSSL_LIB_CTX) -> c_int;
    fn EVP_MD_get0_provider(md: *const EVP_MD) -> *const OSSL_PROVIDER;
    // `safe`: nothing has to be true for these, in any thread, at any time.
    safe fn ERR_new();
    safe fn OpenSSL_version_num() -> c_ulong;
    safe fn OSSL_LIB_CTX_new() -> *mut OSSL_LIB_CTX;
    safe fn OSSL_LIB_CTX_get0_global_default() -> *mut OSSL_LIB_CTX;
    fn OSSL_LIB_CTX_set0_default(libctx: *mut OSSL_LIB_CTX) -> *mut OSSL_LIB_CTX;
    fn OSSL_PROVIDER_get0_name(provider: *const OSSL_PROVIDER) -> *const c_char;
    fn OSSL_PROVIDER_add_builtin(
        libctx: *mut OSSL_LIB_CTX,
        name: *const c_char,
        init: Option<
            unsafe extern "C" fn(
                *const c_void,
                *const Dispatch,
                Room<'_, *const Dispatch>,
                Room<'_, *mut c_void>,
            ) -> c_int,
        >,
    ) -> c_int;
    fn EVP_CipherInit_ex2(
        ctx: *mut EVP_CIPHER_CTX,
        cipher: *const EVP_CIPHER,
        key: *const c_uchar,
        iv: *const c_uchar,
        enc: c_int,
        params: *const OSSL_PARAM,
    ) -> c_int;
}

//! Declarations that `openssl-sys` does not have. From the manual pages and headers named beside them.

use std::ffi::{c_char, c_int, c_long, c_uchar, c_uint, c_void};

use openssl_sys::{
    ASN1_OBJECT, ASN1_TIME, CRYPTO_EX_DATA, EVP_MD, EVP_PKEY, OPENSSL_STACK, SSL, SSL_CTX, SSL_METHOD, SSL_SESSION,
    X509, X509_ALGOR, X509_CRL, X509_NAME, X509_OBJECT, X509_STORE, X509_VERIFY_PARAM, stack_st_X509_NAME,
};

/// The function pointer of `SSL_CTX_callback_ctrl` (<openssl/ssl.h>): its real type depends on the command.
pub(crate) type AnyFn = Option<unsafe extern "C" fn()>;

/// `SSL_allow_early_data_cb_fn` (SSL_CTX_set_allow_early_data_cb(3)). C++ programs may throw through it.
pub(crate) type AllowEarlyDataFn = unsafe extern "C-unwind" fn(*mut SSL, *mut c_void) -> c_int;

/// `CRYPTO_EX_new` and `CRYPTO_EX_free`, `CRYPTO_EX_dup` (CRYPTO_get_ex_new_index(3)).
pub(crate) type ExNew = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut CRYPTO_EX_DATA, c_int, c_long, *mut c_void);
pub(crate) type ExDup = unsafe extern "C" fn(
    *mut CRYPTO_EX_DATA,
    *const CRYPTO_EX_DATA,
    *mut *mut c_void,
    c_int,
    c_long,
    *mut c_void,
) -> c_int;

/// The public key inside a certificate.
#[expect(non_camel_case_types, reason = "the name in <openssl/x509.h>")]
pub(crate) enum X509_PUBKEY {}

/// `ERR_LIB_SSL` (<openssl/err.h>).
pub(crate) const ERR_LIB_SSL: c_int = 20;

/// `CRYPTO_EX_INDEX_SSL`, `CRYPTO_EX_INDEX_SSL_CTX`, `CRYPTO_EX_INDEX_X509_STORE` (<openssl/crypto.h>).
pub(crate) const EX_INDEX_SSL: c_int = 0;
pub(crate) const EX_INDEX_SSL_CTX: c_int = 1;
pub(crate) const EX_INDEX_X509_STORE: c_int = 4;

/// `SSL_CTRL_…` (<openssl/ssl.h>): a context's ticket keys.
pub(crate) const SSL_CTRL_GET_TLSEXT_TICKET_KEYS: c_int = 58;
pub(crate) const SSL_CTRL_SET_TLSEXT_TICKET_KEYS: c_int = 59;
pub(crate) const SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB: c_int = 72;
/// `SSL_CTRL_…`: the servername callback.
pub(crate) const SSL_CTRL_SET_TLSEXT_SERVERNAME_CB: c_int = 53;
/// `SSL_CTRL_…`: SRP.
pub(crate) const SSL_CTRL_SET_TLS_EXT_SRP_USERNAME_CB: c_int = 75;
pub(crate) const SSL_CTRL_SET_SRP_VERIFY_PARAM_CB: c_int = 76;
/// `SSL_CTRL_…`: who keeps sessions, and two of its answers (SSL_CTX_set_session_cache_mode(3)).
pub(crate) const SSL_CTRL_SET_SESS_CACHE_MODE: c_int = 44;
pub(crate) const SSL_SESS_CACHE_SERVER: c_long = 0x2;
pub(crate) const SSL_SESS_CACHE_BOTH: c_long = 0x3;
/// `SSL_CTRL_…`: the store that certificates are verified with, if it is not the context's (from 3.0 on).
pub(crate) const SSL_CTRL_GET_VERIFY_CERT_STORE: c_int = 137;
/// `SSL_CTRL_…` that libssl accepts with a NULL context.
pub(crate) const SSL_CTRL_SET_GROUPS_LIST: c_int = 92;
pub(crate) const SSL_CTRL_SET_SIGALGS_LIST: c_int = 98;
pub(crate) const SSL_CTRL_SET_CLIENT_SIGALGS_LIST: c_int = 102;

/// `X509_LU_X509`, `X509_LU_CRL` (<openssl/x509_vfy.h>): what an object of a store is.
pub(crate) const X509_LU_X509: c_int = 1;
pub(crate) const X509_LU_CRL: c_int = 2;

/// `SSL_VERIFY_POST_HANDSHAKE` (SSL_CTX_set_verify(3)).
pub(crate) const SSL_VERIFY_POST_HANDSHAKE: c_int = 0x08;

/// `OSSL_QUIC1_VERSION` (<openssl/quic.h>, from 3.2 on).
pub(crate) const OSSL_QUIC1_VERSION: c_int = 1;

/// `TLSEXT_TYPE_server_name` (RFC 6066).
pub(crate) const TLSEXT_TYPE_SERVER_NAME: u32 = 0;

unsafe extern "C" {
    // `safe`: nothing has to be true for these, in any thread, at any time; what they give is libcrypto's or libssl's own.
    pub(crate) safe fn ERR_set_mark() -> c_int;
    pub(crate) safe fn ERR_pop_to_mark() -> c_int;
    pub(crate) safe fn EVP_sha1() -> *const EVP_MD;
    pub(crate) safe fn TLS_client_method() -> *const SSL_METHOD;
    pub(crate) safe fn DTLS_client_method() -> *const SSL_METHOD;

    // The pointer types of openssl-sys's own declaration depend on the OpenSSL it finds.
    pub(crate) fn CRYPTO_get_ex_new_index(
        class_index: c_int,
        argl: c_long,
        argp: *mut c_void,
        new_func: Option<ExNew>,
        dup_func: Option<ExDup>,
        free_func: Option<ExNew>,
    ) -> c_int;
    pub(crate) fn CRYPTO_set_ex_data(ad: *mut CRYPTO_EX_DATA, idx: c_int, val: *mut c_void) -> c_int;
    pub(crate) fn CRYPTO_get_ex_data(ad: *const CRYPTO_EX_DATA, idx: c_int) -> *mut c_void;

    // The pointer types of openssl-sys's own declarations differ, or it has none.
    pub(crate) fn SSL_SESSION_get0_peer(s: *mut SSL_SESSION) -> *mut X509;
    #[cfg(not(test))]
    pub(crate) fn SSL_get0_peer_rpk(s: *const SSL) -> *mut EVP_PKEY;
    pub(crate) fn SSL_get_srp_username(s: *mut SSL) -> *mut c_char;
    pub(crate) fn SSL_get_ciphers(s: *const SSL) -> *mut OPENSSL_STACK;
    pub(crate) fn SSL_get0_verified_chain(s: *const SSL) -> *mut OPENSSL_STACK;
    pub(crate) fn SSL_client_hello_get0_random(s: *mut SSL, out: *mut *const c_uchar) -> usize;
    pub(crate) fn X509_get0_notAfter(x: *const X509) -> *const ASN1_TIME;
    pub(crate) fn ASN1_TIME_diff(
        days: *mut c_int,
        seconds: *mut c_int,
        from: *const ASN1_TIME,
        to: *const ASN1_TIME,
    ) -> c_int;
    pub(crate) fn SSL_is_server(s: *const SSL) -> c_int;
    pub(crate) fn SSL_in_before(s: *const SSL) -> c_int;
    pub(crate) fn SSL_is_dtls(s: *const SSL) -> c_int;
    pub(crate) fn SSL_get0_CA_list(s: *const SSL) -> *const stack_st_X509_NAME;
    pub(crate) fn SSL_get_client_CA_list(s: *const SSL) -> *mut stack_st_X509_NAME;
    pub(crate) fn SSL_CTX_get_client_CA_list(ctx: *const SSL_CTX) -> *mut stack_st_X509_NAME;
    pub(crate) fn SSL_CTX_get0_CA_list(ctx: *const SSL_CTX) -> *const stack_st_X509_NAME;
    pub(crate) fn SSL_get_fd(s: *const SSL) -> c_int;
    pub(crate) fn SSL_get_security_level(s: *const SSL) -> c_int;
    pub(crate) fn SSL_get_verify_depth(s: *const SSL) -> c_int;

    // The stack's own type differs from stack to stack in openssl-sys; all are OPENSSL_STACK.
    #[cfg(store_objects = "get0")]
    pub(crate) fn X509_STORE_get0_objects(xs: *const X509_STORE) -> *mut OPENSSL_STACK;
    #[cfg(store_objects = "get1")]
    pub(crate) fn X509_STORE_get1_objects(xs: *mut X509_STORE) -> *mut OPENSSL_STACK;
    #[cfg(store_objects = "get1")]
    pub(crate) fn OPENSSL_sk_pop_free(st: *mut OPENSSL_STACK, free: Option<unsafe extern "C" fn(*mut c_void)>);
    #[cfg(store_objects = "get1")]
    pub(crate) fn X509_OBJECT_free(object: *mut c_void);
    pub(crate) fn X509_VERIFY_PARAM_get_depth(param: *const X509_VERIFY_PARAM) -> c_int;
    pub(crate) fn X509_CRL_digest(
        data: *const X509_CRL,
        kind: *const EVP_MD,
        md: *mut c_uchar,
        len: *mut c_uint,
    ) -> c_int;
    // Past our own exports (`link.rs`; unit tests are linked with OpenSSL, and have them in front).
    #[cfg_attr(not(test), link_name = "real_SSL_get0_param")]
    pub(crate) fn SSL_get0_param(s: *mut SSL) -> *mut X509_VERIFY_PARAM;
    #[cfg_attr(not(test), link_name = "real_X509_STORE_get0_param")]
    pub(crate) fn X509_STORE_get0_param(xs: *const X509_STORE) -> *mut X509_VERIFY_PARAM;
    // What they give is compared with NULL only.
    pub(crate) fn SSL_get_verify_callback(s: *const SSL) -> AnyFn;
    pub(crate) fn X509_STORE_get_verify(xs: *const X509_STORE) -> AnyFn;
    pub(crate) fn X509_STORE_get_verify_cb(xs: *const X509_STORE) -> AnyFn;
    pub(crate) fn X509_STORE_get_get_issuer(xs: *const X509_STORE) -> AnyFn;
    pub(crate) fn X509_STORE_get_check_issued(xs: *const X509_STORE) -> AnyFn;
    pub(crate) fn X509_STORE_get_check_revocation(xs: *const X509_STORE) -> AnyFn;
    pub(crate) fn X509_STORE_get_get_crl(xs: *const X509_STORE) -> AnyFn;
    pub(crate) fn X509_STORE_get_check_crl(xs: *const X509_STORE) -> AnyFn;
    pub(crate) fn X509_STORE_get_cert_crl(xs: *const X509_STORE) -> AnyFn;
    pub(crate) fn X509_STORE_get_check_policy(xs: *const X509_STORE) -> AnyFn;
    pub(crate) fn X509_STORE_get_lookup_certs(xs: *const X509_STORE) -> AnyFn;
    pub(crate) fn X509_STORE_get_lookup_crls(xs: *const X509_STORE) -> AnyFn;
    pub(crate) fn X509_STORE_lock(xs: *mut X509_STORE) -> c_int;
    pub(crate) fn X509_STORE_unlock(xs: *mut X509_STORE) -> c_int;
    pub(crate) fn X509_STORE_get_ex_data(xs: *const X509_STORE, idx: c_int) -> *mut c_void;
    pub(crate) fn X509_STORE_set_ex_data(xs: *mut X509_STORE, idx: c_int, data: *mut c_void) -> c_int;
    pub(crate) fn X509_OBJECT_get_type(object: *const X509_OBJECT) -> c_int;
    pub(crate) fn X509_OBJECT_get0_X509(object: *const X509_OBJECT) -> *mut X509;
    pub(crate) fn X509_OBJECT_get0_X509_CRL(object: *const X509_OBJECT) -> *mut X509_CRL;
    pub(crate) fn i2d_X509_AUX(x: *const X509, out: *mut *mut c_uchar) -> c_int;
    pub(crate) fn i2d_X509_CRL(x: *const X509_CRL, out: *mut *mut c_uchar) -> c_int;

    pub(crate) fn X509_get_X509_PUBKEY(x: *const X509) -> *mut X509_PUBKEY;
    pub(crate) fn X509_PUBKEY_get0_param(
        ppkalg: *mut *mut ASN1_OBJECT,
        pk: *mut *const c_uchar,
        ppklen: *mut c_int,
        pa: *mut *mut X509_ALGOR,
        publickey: *const X509_PUBKEY,
    ) -> c_int;
    pub(crate) fn X509_NAME_get0_der(name: *const X509_NAME, pder: *mut *const c_uchar, pderlen: *mut usize) -> c_int;
}

/// Unit tests are linked with OpenSSL as usual, which has this from 3.2 on.
///
/// # Safety
/// None is needed.
#[cfg(test)]
#[expect(non_snake_case, reason = "the name in <openssl/ssl.h>")]
pub(crate) unsafe fn SSL_get0_peer_rpk(_: *const SSL) -> *mut EVP_PKEY {
    std::ptr::null_mut()
}

/// A NUL-terminated constant as C wants it.
pub(crate) const fn chars(text: &'static std::ffi::CStr) -> *const c_char {
    text.as_ptr()
}

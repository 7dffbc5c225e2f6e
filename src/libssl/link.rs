//! The OpenSSL functions that this library calls, without needing a libssl.
//!
//! A library that names libssl as needed brings it into every program that it is preloaded into, stops those that have
//! none, and takes the place of one that a program would have loaded later from elsewhere. So this file has a function of
//! each name that is called (as `openssl-sys` and `ffi.rs` declare it), hidden, which jumps to wherever the real one is:
//! an address that [`fill`] writes once, before anything of ours calls it. `c-tests/elf/check` fails if one is missing.
//!
//! The one libssl that we work for is found when a program first calls a function of ours ([`home`]).

use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::ffi::chars;
#[cfg(not(test))]
use super::real::constant;
use super::real::{LIBCRYPTO, NODE, SONAME};
use super::serialise_once;

/// What all functions are before they are known: "no", NULL, nothing.
#[cfg(not(test))]
extern "C" fn unknown() -> usize {
    0
}

/// One function for each name, and the table of them. (Unit tests are programs that are linked with OpenSSL as usual.)
/// (`symbol = name`: the name is one that this library exports itself, so ours has another.)
macro_rules! functions {
    ($($(#[$only:meta])? $name:ident $(= $real:ident)?)*) => {
        $(
            $(#[$only])?
            #[cfg(not(test))]
            #[expect(non_snake_case, reason = "the name in OpenSSL")]
            mod $name {
                use std::ffi::c_void;
                use std::sync::atomic::AtomicPtr;

                pub(super) static REAL: AtomicPtr<c_void> = AtomicPtr::new(super::unknown as *mut c_void);

                #[cfg(target_arch = "x86_64")]
                std::arch::global_asm!(
                    concat!(".pushsection .text.", stringify!($name), ",\"ax\",@progbits"),
                    concat!(".globl ", stringify!($name)),
                    concat!(".hidden ", stringify!($name)),
                    concat!(".type ", stringify!($name), ",@function"),
                    concat!(stringify!($name), ":"),
                    "jmp qword ptr [rip + {real}]",
                    concat!(".size ", stringify!($name), ", . - ", stringify!($name)),
                    ".popsection",
                    real = sym REAL,
                );
                #[cfg(target_arch = "aarch64")]
                std::arch::global_asm!(
                    concat!(".pushsection .text.", stringify!($name), ",\"ax\",@progbits"),
                    ".p2align 2",
                    concat!(".globl ", stringify!($name)),
                    concat!(".hidden ", stringify!($name)),
                    concat!(".type ", stringify!($name), ",@function"),
                    concat!(stringify!($name), ":"),
                    "hint #34", // bti c
                    "adrp x16, {real}",
                    "ldr x16, [x16, :lo12:{real}]",
                    "br x16",
                    concat!(".size ", stringify!($name), ", . - ", stringify!($name)),
                    ".popsection",
                    real = sym REAL,
                );
            }
        )*
        #[cfg(not(test))]
        static FUNCTIONS: &[(&CStr, &AtomicPtr<c_void>)] =
            &[$($(#[$only])? (constant(real_name!($name $($real)?)), &$name::REAL)),*];
    };
}

#[cfg(not(test))]
macro_rules! real_name {
    ($name:ident) => {
        concat!(stringify!($name), "\0")
    };
    ($name:ident $real:ident) => {
        concat!(stringify!($real), "\0")
    };
}

functions! {
    ASN1_TIME_diff
    CRYPTO_get_ex_data
    CRYPTO_get_ex_new_index
    CRYPTO_set_ex_data
    DTLS_client_method
    ERR_pop_to_mark
    ERR_set_mark
    EVP_sha1
    OPENSSL_sk_num
    OPENSSL_sk_value
    OpenSSL_version_num
    SSL_CTX_get0_CA_list
    SSL_CIPHER_get_protocol_id
    SSL_CTX_get0_certificate
    SSL_CTX_get_cert_store
    SSL_CTX_get_client_CA_list
    SSL_CTX_get_ex_data
    SSL_CTX_set_ex_data
    SSL_SESSION_get0_peer
    SSL_SESSION_get_master_key
    SSL_SESSION_get_max_early_data
    SSL_SESSION_get_time
    SSL_SESSION_get_timeout
    SSL_SESSION_up_ref
    SSL_client_hello_get0_ext
    SSL_client_hello_get0_random
    SSL_ctrl
    SSL_get0_CA_list
    real_SSL_get0_param = SSL_get0_param
    SSL_get0_peer_rpk
    SSL_get0_verified_chain
    SSL_get_SSL_CTX
    SSL_get_ciphers
    SSL_get_client_CA_list
    SSL_get_ex_data
    SSL_get_client_random
    SSL_get_fd
    SSL_get_psk_identity
    SSL_get_security_level
    SSL_get_servername
    SSL_get_session
    SSL_get_verify_callback
    SSL_get_srp_username
    SSL_get_verify_depth
    SSL_get_verify_mode
    SSL_get_verify_result
    SSL_in_before
    SSL_is_dtls
    SSL_is_server
    SSL_session_reused
    SSL_version
    TLS_client_method
    X509_CRL_digest
    X509_NAME_get0_der
    X509_OBJECT_get0_X509
    X509_OBJECT_get0_X509_CRL
    X509_OBJECT_get_type
    X509_PUBKEY_get0_param
    real_X509_STORE_get0_param = X509_STORE_get0_param
    X509_STORE_get_cert_crl
    X509_STORE_get_check_crl
    X509_STORE_get_check_issued
    X509_STORE_get_check_policy
    X509_STORE_get_check_revocation
    X509_STORE_get_ex_data
    X509_STORE_get_get_crl
    X509_STORE_get_get_issuer
    X509_STORE_get_lookup_certs
    X509_STORE_get_lookup_crls
    X509_STORE_get_verify
    X509_STORE_get_verify_cb
    X509_STORE_lock
    X509_STORE_set_ex_data
    X509_STORE_unlock
    X509_VERIFY_PARAM_get_depth
    X509_VERIFY_PARAM_get_flags
    X509_get0_notAfter
    X509_get_X509_PUBKEY
    i2d_X509_AUX
    i2d_X509_CRL
    #[cfg(store_objects = "get0")] X509_STORE_get0_objects
    #[cfg(store_objects = "get1")] X509_STORE_get1_objects
    #[cfg(store_objects = "get1")] OPENSSL_sk_pop_free
    #[cfg(store_objects = "get1")] X509_OBJECT_free
    #[cfg(mechanism = "provider")] ERR_new
    #[cfg(mechanism = "provider")] ERR_set_error
    #[cfg(mechanism = "provider")] EVP_CIPHER_fetch
    #[cfg(mechanism = "provider")] EVP_CipherInit_ex2
    #[cfg(mechanism = "provider")] EVP_MAC_CTX_set_params
    #[cfg(mechanism = "provider")] EVP_MD_fetch
    #[cfg(mechanism = "provider")] EVP_MD_free
    #[cfg(mechanism = "provider")] EVP_MD_get0_provider
    #[cfg(mechanism = "provider")] EVP_default_properties_is_fips_enabled
    #[cfg(mechanism = "provider")] OSSL_LIB_CTX_free
    #[cfg(mechanism = "provider")] OSSL_LIB_CTX_get0_global_default
    #[cfg(mechanism = "provider")] OSSL_LIB_CTX_new
    #[cfg(mechanism = "provider")] OSSL_LIB_CTX_set0_default
    #[cfg(mechanism = "provider")] OSSL_PROVIDER_add_builtin
    #[cfg(mechanism = "provider")] OSSL_PROVIDER_get0_name
    #[cfg(mechanism = "provider")] OSSL_PROVIDER_load
    #[cfg(mechanism = "provider")] OSSL_PROVIDER_unload
    #[cfg(mechanism = "legacy")] ERR_add_error_data
    #[cfg(mechanism = "legacy")] ERR_put_error
    #[cfg(mechanism = "legacy")] EVP_CIPHER_CTX_encrypting
    #[cfg(mechanism = "legacy")] EVP_CIPHER_CTX_free
    #[cfg(mechanism = "legacy")] EVP_CIPHER_CTX_get_app_data
    #[cfg(mechanism = "legacy")] EVP_CIPHER_CTX_new
    #[cfg(mechanism = "legacy")] EVP_CIPHER_CTX_set_app_data
    #[cfg(mechanism = "legacy")] EVP_CIPHER_meth_free
    #[cfg(mechanism = "legacy")] EVP_CIPHER_meth_new
    #[cfg(mechanism = "legacy")] EVP_CIPHER_meth_set_cleanup
    #[cfg(mechanism = "legacy")] EVP_CIPHER_meth_set_do_cipher
    #[cfg(mechanism = "legacy")] EVP_CIPHER_meth_set_flags
    #[cfg(mechanism = "legacy")] EVP_CIPHER_meth_set_iv_length
    #[cfg(mechanism = "legacy")] EVP_CipherInit_ex
    #[cfg(mechanism = "legacy")] EVP_sha256
}

/// Those that a libssl need not have: older ones, or ones built without raw public keys, pre-shared keys or SRP. What they
/// would ask for is not there then, which is what [`unknown`] says.
#[cfg(not(test))]
const OPTIONAL: [&CStr; 3] = [c"SSL_get0_peer_rpk", c"SSL_get_psk_identity", c"SSL_get_srp_username"];

/// The libssl whose contexts get the core.
#[derive(Clone, Copy)]
pub(super) struct Home {
    handle: *mut c_void,
    base: *mut c_void,
    /// Everything in the process finds it, so every call of ours is one of its.
    pub(super) is_global: bool,
}

static HANDLE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
/// Where it is mapped: set once, and the first says who it is.
static BASE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
/// One of the two below, once all of it is known.
static KIND: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
const GLOBAL: *mut c_void = ptr::without_provenance_mut(1);
const LOCAL: *mut c_void = ptr::without_provenance_mut(2);

/// A function that every libssl has and that no library puts itself in front of: what it is in, is the libssl.
const MARK: &CStr = c"SSL_CTX_get_ex_data";

/// A symbol version that no library has: one that still answers has no versions at all, as no libssl of OpenSSL's.
const NO_NODE: &CStr = c"TICKETSHIM_NONE";

/// The libssl that we work for. The first call decides: the one that all of the process finds after us, or, if there is
/// none (it came with a plugin, as Python's), the one that `method` is of, or that the caller finds. `None` if that is no
/// libssl of our version.
pub(super) fn home(method: *const c_void) -> Option<Home> {
    let kind = KIND.load(Ordering::Acquire);
    if !kind.is_null() {
        let (handle, base) = (HANDLE.load(Ordering::Relaxed), BASE.load(Ordering::Relaxed));
        return Some(Home { handle, base, is_global: kind == GLOBAL });
    }
    let next = next_mark();
    let is_global = next.is_some();
    let (base, handle) = next
        .or_else(|| mark_beside(method))
        .or_else(|| callers_mark(None))
        .and_then(object)
        .and_then(|(base, handle)| works(base, handle).then_some((base, handle)))?;
    // Two threads may both look. If they find the same libssl they write the same; if not, the first has decided.
    if let Err(first) = BASE.compare_exchange(ptr::null_mut(), base, Ordering::Relaxed, Ordering::Relaxed)
        && first != base
    {
        return None;
    }
    fill(handle);
    HANDLE.store(handle, Ordering::Relaxed);
    KIND.store(if is_global { GLOBAL } else { LOCAL }, Ordering::Release);
    serialise_once::learn(find(handle, MARK));
    Some(Home { handle, base, is_global })
}

/// Whether [`home`] is known and everyone's.
pub(super) fn is_global() -> bool {
    KIND.load(Ordering::Acquire) == GLOBAL
}

impl Home {
    /// A function of its, or of the libcrypto that it uses.
    pub(super) fn find(self, name: &CStr) -> *mut c_void {
        // SAFETY: a handle that dlopen gave and that is never closed, and a C string.
        unsafe { libc::dlsym(self.handle, name.as_ptr()) }
    }
}

/// If the caller uses another libssl than the one that we work for: its function of that name. The libssl is the one that
/// `method` is of, if that is known: that holds also where a call does not show who made it (a tail call).
pub(super) fn of_another(name: &CStr, method: *const c_void) -> Option<*mut c_void> {
    let home = home(method);
    if home.is_some_and(|home| home.is_global) {
        return None;
    }
    let mark = mark_beside(method).or_else(|| callers_mark(home));
    if let (Some(home), Some(mark)) = (home, mark)
        && base(mark) == home.base
    {
        return None;
    }
    match mark {
        Some(mark) if find(libc::RTLD_NEXT, MARK) != Some(mark) => inside(mark, |handle| find(handle, name)),
        // All of the process finds it, and other libraries may stand between us and it.
        _ => find(libc::RTLD_NEXT, name),
    }
}

/// Writes the addresses of all functions.
fn fill(handle: *mut c_void) {
    #[cfg(test)]
    let _ = handle;
    #[cfg(not(test))]
    for (name, real) in FUNCTIONS {
        if let Some(found) = find(handle, name) {
            real.store(found, Ordering::Relaxed);
        }
    }
}

/// Whether the library at `base` is a libssl of our version: with symbol versions, ours among them, and all functions.
fn works(base_address: *mut c_void, handle: *mut c_void) -> bool {
    #[cfg(not(test))]
    if FUNCTIONS.iter().any(|(name, _)| !OPTIONAL.contains(name) && find(handle, name).is_none()) {
        return false;
    }
    let is_there = |node| find_version(handle, MARK, node).is_some_and(|mark| base(mark) == base_address);
    is_there(NODE) && !is_there(NO_NODE)
}

/// The mark that all of the process finds after us: of our version, or of no version.
fn next_mark() -> Option<*mut c_void> {
    find_version(libc::RTLD_NEXT, MARK, NODE)
}

/// The mark in the libssl that a method is of: methods are constants of the libssl that gave them out.
fn mark_beside(method: *const c_void) -> Option<*mut c_void> {
    if method.is_null() { None } else { inside(method.cast_mut(), |handle| find(handle, MARK)) }
}

/// The mark in the libssl that the caller of this library uses.
fn callers_mark(home: Option<Home>) -> Option<*mut c_void> {
    next_mark()
        .or_else(|| inside(caller()?, |handle| find_version(handle, MARK, NODE).or_else(|| find(handle, MARK))))
        .or_else(|| find(libc::RTLD_NEXT, MARK))
        .or_else(|| {
            // A caller without a libssl of its own (it has an address from somewhere), or one that does not show.
            if let Some(home) = home {
                return find(home.handle, MARK);
            }
            loaded(SONAME).and_then(|handle| find_version(handle, MARK, NODE))
        })
}

/// A function of the libcrypto that the caller of this library uses, where not all of the process has the same.
pub(super) fn callers_libcrypto(name: &CStr, node: &CStr) -> Option<*mut c_void> {
    let find = |handle| find_version(handle, name, node);
    caller().and_then(|caller| inside(caller, find)).or_else(|| find(loaded(LIBCRYPTO)?))
}

/// A handle of a library that is there.
fn loaded(soname: &'static CStr) -> Option<*mut c_void> {
    // RTLD_NOLOAD takes a reference on what is there, never loads: it is kept, because pointers into it are.
    // SAFETY: a constant C string.
    let handle = unsafe { libc::dlopen(chars(soname), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    (!handle.is_null()).then_some(handle)
}

/// `look` with a handle of the file that an address is in. Whoever called us holds that file meanwhile.
fn inside(address: *mut c_void, look: impl FnOnce(*mut c_void) -> Option<*mut c_void>) -> Option<*mut c_void> {
    let (_, handle) = object(address)?;
    let found = look(handle);
    // SAFETY: opened by `object`.
    unsafe { libc::dlclose(handle) };
    found
}

fn find(handle: *mut c_void, name: &CStr) -> Option<*mut c_void> {
    // SAFETY: RTLD_NEXT, or a handle that dlopen gave, and a C string.
    foreign(unsafe { libc::dlsym(handle, name.as_ptr()) })
}

fn find_version(handle: *mut c_void, name: &CStr, node: &CStr) -> Option<*mut c_void> {
    // SAFETY: RTLD_NEXT, or a handle that dlopen gave, and two C strings.
    foreign(unsafe { libc::dlvsym(handle, name.as_ptr(), node.as_ptr()) })
}

/// What was found, unless that is nothing or of ours.
fn foreign(found: *mut c_void) -> Option<*mut c_void> {
    (!found.is_null() && base(found) != own_base()).then_some(found)
}

fn information(address: *const c_void) -> Option<libc::Dl_info> {
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: any address may be asked for.
    if unsafe { libc::dladdr(address, info.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: dladdr has filled it (dladdr(3)).
    Some(unsafe { info.assume_init() })
}

/// Where the file is mapped that an address is in. Null for none.
fn base(address: *const c_void) -> *mut c_void {
    information(address).map_or(ptr::null_mut(), |info| info.dli_fbase)
}

fn own_base() -> *mut c_void {
    base(own_base as *const c_void)
}

/// The same, and a handle of it, which takes a reference.
fn object(address: *mut c_void) -> Option<(*mut c_void, *mut c_void)> {
    let info = information(address)?;
    // SAFETY: the name that dladdr gave of a file that is loaded; it is found by that name, and nothing is loaded.
    let handle = unsafe { libc::dlopen(info.dli_fname, libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    (!handle.is_null()).then_some((info.dli_fbase, handle))
}

#[repr(C)]
struct Walk {
    own: *mut c_void,
    found: *mut c_void,
}

// The unwinder that the standard library brings along. <unwind.h>
unsafe extern "C" {
    fn _Unwind_Backtrace(step: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int, data: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

/// An address in the code that called into this library. Takes microseconds: only where a process has no libssl for all.
fn caller() -> Option<*mut c_void> {
    const GO_ON: c_int = 0;
    const STOP: c_int = 4;
    unsafe extern "C" fn step(context: *mut c_void, walk: *mut c_void) -> c_int {
        // SAFETY: the unwinder's promise: its context, for this call.
        let address = ptr::without_provenance_mut::<c_void>(unsafe { _Unwind_GetIP(context) }.saturating_sub(1));
        // SAFETY: the pointer that `caller` passed, used by nobody else meanwhile.
        let Some(walk) = (unsafe { walk.cast::<Walk>().as_mut() }) else { return STOP };
        if base(address) == walk.own {
            return GO_ON;
        }
        walk.found = address;
        STOP
    }
    let mut walk = Walk { own: own_base(), found: ptr::null_mut() };
    // SAFETY: a function of the type that <unwind.h> asks for, and what it is to be called with.
    unsafe { _Unwind_Backtrace(step, (&raw mut walk).cast()) };
    (!walk.found.is_null()).then_some(walk.found)
}

//! The cipher as libcrypto sees it: a provider's dispatch tables, and the functions in them.

use std::ffi::{CStr, c_char, c_int, c_uchar, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use openssl_sys::OSSL_PARAM;
use ticketshim_core::format::{SALT_LEN, TAG_LEN};

use super::super::callback;
use super::super::guard::guard;
use super::super::memory::try_box;
use super::super::ticket::TicketCipherJob;

/// What a provider's function returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cipher {
    Done = 1,
    Failed = 0,
}
to_int!(Cipher);

pub(super) const PROVIDER: &CStr = c"ticketshim";
pub(super) const CIPHER_NAME: &CStr = c"TICKETSHIM";
/// The parameter that carries a job: an `OCTET_PTR` to an `Option<TicketCipherJob>`, which is taken.
pub(super) const JOB: &CStr = c"ticketshim-job";

// From <openssl/core_dispatch.h> and <openssl/core.h>.

/// `OSSL_DISPATCH`.
#[repr(C)]
pub(super) struct Dispatch {
    id: c_int,
    function: Option<unsafe extern "C" fn()>,
}

/// `OSSL_ALGORITHM`.
#[repr(C)]
struct Algorithm {
    names: *const c_char,
    properties: *const c_char,
    functions: *const Dispatch,
    description: *const c_char,
}

// SAFETY: points to constants only.
unsafe impl Sync for Algorithm {}

const OP_CIPHER: c_int = 2;
const PROVIDER_QUERY_OPERATION: c_int = 1027;
const CIPHER_NEWCTX: c_int = 1;
const CIPHER_ENCRYPT_INIT: c_int = 2;
const CIPHER_DECRYPT_INIT: c_int = 3;
const CIPHER_UPDATE: c_int = 4;
const CIPHER_FINAL: c_int = 5;
const CIPHER_FREECTX: c_int = 7;
const CIPHER_GET_PARAMS: c_int = 9;
const CIPHER_GET_CTX_PARAMS: c_int = 10;
const OSSL_PARAM_UNSIGNED_INTEGER: u32 = 2;
pub(super) const OSSL_PARAM_UTF8_STRING: u32 = 4;
pub(super) const OSSL_PARAM_OCTET_STRING: u32 = 5;
pub(super) const OSSL_PARAM_OCTET_PTR: u32 = 7;

pub(super) const END: OSSL_PARAM =
    OSSL_PARAM { key: ptr::null(), data_type: 0, data: ptr::null_mut(), data_size: 0, return_size: 0 };

pub(super) fn param(key: &'static CStr, data_type: u32, data: *mut c_void, data_size: usize) -> OSSL_PARAM {
    OSSL_PARAM { key: key.as_ptr(), data_type, data, data_size, return_size: usize::MAX }
}

/// A provider's or cipher's function as the dispatch tables want it.
macro_rules! entry {
    ($id:expr, $function:ident as $type:ty) => {
        Dispatch {
            id: $id,
            // SAFETY: libcrypto calls it back with the type that <openssl/core_dispatch.h> gives for this id.
            function: Some(unsafe { std::mem::transmute::<$type, unsafe extern "C" fn()>($function as $type) }),
        }
    };
}

static PROVIDER_FUNCTIONS: [Dispatch; 2] =
    [entry!(PROVIDER_QUERY_OPERATION, query as Query), Dispatch { id: 0, function: None }];

static ALGORITHMS: [Algorithm; 2] = [
    Algorithm {
        names: CIPHER_NAME.as_ptr(),
        properties: c"provider=ticketshim".as_ptr(),
        functions: CIPHER_FUNCTIONS.as_ptr(),
        description: ptr::null(),
    },
    Algorithm { names: ptr::null(), properties: ptr::null(), functions: ptr::null(), description: ptr::null() },
];

/// A pointer of libcrypto's that is NULL, or of an object that nobody else uses during the call: a context of ours.
type Mut<'c, T> = Option<&'c mut T>;
/// Where libcrypto wants a result: NULL, or room for it.
pub(super) type Room<'c, T> = Option<&'c mut MaybeUninit<T>>;

// The functions' types, with what provider-base(7) and provider-cipher(7) promise of the pointers.
type Query = unsafe extern "C" fn(*mut c_void, c_int, Room<'_, c_int>) -> *const Algorithm;
type Free = unsafe extern "C" fn(Option<Box<TicketCipherJob>>);
type Init = unsafe extern "C" fn(
    Mut<'_, TicketCipherJob>,
    *const c_uchar,
    usize,
    *const c_uchar,
    usize,
    Option<&OSSL_PARAM>,
) -> c_int;
type Update = unsafe extern "C" fn(
    Mut<'_, TicketCipherJob>,
    *mut c_uchar,
    Room<'_, usize>,
    usize,
    *const c_uchar,
    usize,
) -> c_int;
type Final = unsafe extern "C" fn(Mut<'_, TicketCipherJob>, *mut c_uchar, Room<'_, usize>, usize) -> c_int;

static CIPHER_FUNCTIONS: [Dispatch; 9] = [
    entry!(CIPHER_NEWCTX, new_ctx as unsafe extern "C" fn(*mut c_void) -> *mut c_void),
    entry!(CIPHER_FREECTX, free_ctx as Free),
    entry!(CIPHER_ENCRYPT_INIT, init as Init),
    entry!(CIPHER_DECRYPT_INIT, init as Init),
    entry!(CIPHER_UPDATE, update as Update),
    entry!(CIPHER_FINAL, finish as Final),
    entry!(CIPHER_GET_PARAMS, get_params as unsafe extern "C" fn(*mut OSSL_PARAM) -> c_int),
    entry!(CIPHER_GET_CTX_PARAMS, get_ctx_params as unsafe extern "C" fn(*mut c_void, *mut OSSL_PARAM) -> c_int),
    Dispatch { id: 0, function: None },
];

/// provider-base(7): `OSSL_provider_init_fn`.
pub(super) unsafe extern "C" fn init_provider(
    handle: *const c_void,
    _core: *const Dispatch,
    functions: Room<'_, *const Dispatch>,
    context: Room<'_, *mut c_void>,
) -> c_int {
    let (Some(functions), Some(context)) = (functions, context) else { return Cipher::Failed.into() };
    functions.write(PROVIDER_FUNCTIONS.as_ptr());
    // We have no state; libcrypto wants something that is not NULL.
    context.write(handle.cast_mut());
    Cipher::Done.into()
}

/// provider-base(7): `OSSL_FUNC_provider_query_operation`.
unsafe extern "C" fn query(_context: *mut c_void, operation: c_int, no_cache: Room<'_, c_int>) -> *const Algorithm {
    if let Some(no_cache) = no_cache {
        no_cache.write(0);
    }
    if operation == OP_CIPHER { ALGORITHMS.as_ptr() } else { ptr::null() }
}

/// provider-cipher(7): block size 16 makes libcrypto leave room for the header and the tag.
unsafe extern "C" fn get_params(params: *mut OSSL_PARAM) -> c_int {
    let mut next = params;
    // SAFETY: libcrypto gives an array of parameters that ends with a NULL key, for this call (OSSL_PARAM(3)).
    while let Some(param) = unsafe { next.as_mut() }.filter(|p| !p.key.is_null()) {
        // SAFETY: a key that is not NULL is a C string (OSSL_PARAM(3)).
        let key = unsafe { CStr::from_ptr(param.key) };
        let value: usize = match key.to_bytes() {
            b"blocksize" => TAG_LEN,
            b"ivlen" => SALT_LEN,
            b"keylen" => 32,
            _ => 0,
        };
        // The three above are asked for as size_t. The others are numbers whose default, 0, is right.
        if value != 0 && param.data_type == OSSL_PARAM_UNSIGNED_INTEGER && param.data_size == size_of::<usize>() {
            // SAFETY: room for a number of the size that the parameter says (OSSL_PARAM(3)).
            unsafe { param.data.cast::<usize>().write_unaligned(value) };
            param.return_size = size_of::<usize>();
        }
        // SAFETY: this one was not the last of the array, which ends with a NULL key (OSSL_PARAM(3)).
        next = unsafe { next.add(1) };
    }
    Cipher::Done.into()
}

/// provider-cipher(7): the same of a context. Optional, and yet the first releases of OpenSSL 3.0 (3.0.2 is one) have
/// no other way to ask for the IV's length.
unsafe extern "C" fn get_ctx_params(_ctx: *mut c_void, params: *mut OSSL_PARAM) -> c_int {
    // SAFETY: libcrypto gives an array of parameters as for get_params (provider-cipher(7)).
    unsafe { get_params(params) }
}

/// provider-cipher(7): `OSSL_FUNC_cipher_newctx`.
unsafe extern "C" fn new_ctx(_provider: *mut c_void) -> *mut c_void {
    guard(ptr::null_mut(), || try_box(TicketCipherJob::Done).map_or(ptr::null_mut(), |job| Box::into_raw(job).cast()))
}

/// provider-cipher(7): `OSSL_FUNC_cipher_freectx`: what new_ctx gave, once.
unsafe extern "C" fn free_ctx(job: Option<Box<TicketCipherJob>>) {
    guard((), || {
        if let Some(job) = job {
            job.end();
        }
    });
}

/// provider-cipher(7): `OSSL_FUNC_cipher_encrypt_init` and `_decrypt_init`. Key and IV are in the job. The parameters are the
/// caller's: none, or an array of at least one.
unsafe extern "C" fn init(
    state: Mut<'_, TicketCipherJob>,
    _key: *const c_uchar,
    _keylen: usize,
    _iv: *const c_uchar,
    _ivlen: usize,
    param: Option<&OSSL_PARAM>,
) -> c_int {
    guard(Cipher::Failed, || {
        let (Some(state), Some(param)) = (state, param) else { return Cipher::Failed };
        // The address, not the text: only set_job has it.
        if param.key != JOB.as_ptr() || param.data_size != size_of::<Option<TicketCipherJob>>() {
            return Cipher::Failed;
        }
        // SAFETY: a parameter of set_job's, whose key nobody else has: an Option<TicketCipherJob> that lives through this call.
        match unsafe { param.data.cast::<Option<TicketCipherJob>>().as_mut() }.and_then(Option::take) {
            Some(job) => {
                *state = job;
                Cipher::Done
            }
            None => Cipher::Failed,
        }
    })
    .into()
}

/// provider-cipher(7): `OSSL_FUNC_cipher_update`. libssl's one call, with all the bytes.
unsafe extern "C" fn update(
    job: Mut<'_, TicketCipherJob>,
    out: *mut c_uchar,
    outl: Room<'_, usize>,
    outsize: usize,
    input: *const c_uchar,
    inl: usize,
) -> c_int {
    guard(Cipher::Failed, || {
        let (Some(job), Some(outl)) = (job, outl) else { return Cipher::Failed };
        // `outsize` is libcrypto's guess (input and one block); libssl's buffer for opening is as long as the input.
        // SAFETY: libcrypto gives `inl` bytes to read (provider-cipher(7)); libssl as many to write, and a block more when it
        // seals (construct_stateless_ticket in ssl/statem/statem_srvr.c). It runs the cipher that its callback has set up.
        let Some(written) = (unsafe { callback::update(job, out, outsize, input, inl) }) else { return Cipher::Failed };
        outl.write(written);
        Cipher::Done
    })
    .into()
}

/// provider-cipher(7): `OSSL_FUNC_cipher_final`.
unsafe extern "C" fn finish(
    job: Mut<'_, TicketCipherJob>,
    out: *mut c_uchar,
    outl: Room<'_, usize>,
    outsize: usize,
) -> c_int {
    guard(Cipher::Failed, || {
        let (Some(job), Some(outl)) = (job, outl) else { return Cipher::Failed };
        // SAFETY: libcrypto gives `outsize` bytes to write (provider-cipher(7)). libssl runs the cipher that its callback has
        // set up.
        let Some(written) = (unsafe { callback::finish(job, out, outsize) }) else { return Cipher::Failed };
        outl.write(written);
        Cipher::Done
    })
    .into()
}

//! What every mechanism has in common: the two ways of the ticket key callback, and the cipher's two calls, on the
//! pointers that libssl and libcrypto hand us; and what is made once. How a MAC and a cipher context are set up is the
//! mechanism's own.

use std::ffi::c_uchar;
use std::{ptr, slice};

use openssl_sys::{SSL, TLS1_3_VERSION};
use ticketshim_core::format::{KEY_NAME_LEN, KeyName, SALT_LEN, Salt, TAG_LEN};
use ticketshim_keys::counters::{Counter, add};
use ticketshim_keys::once::OncePtr;

use super::binding_facts::protocol;
use super::errors::quietly;
use super::guard::{Opening, Sealing, guard};
use super::handle::{CipherCall, Evaluated, Hello, Ssl};
use super::mechanism::breaks_without_ticket;
use super::ticket::{TicketCipherJob, begin_open, begin_seal};

/// The key callback with enc = 1. `set_mac` gives libssl's MAC its key, `set_job` initialises libssl's cipher context.
///
/// "No ticket" has no good answer in TLS 1.3 where `breaks_without_ticket` says so: such a libssl then writes an empty ticket as
/// TLS 1.2 has it, which a TLS 1.3 client takes for a broken message. So that client gets a ticket of zeros under no
/// key, which costs it a full handshake next time.
///
/// # Safety
/// As SSL_CTX_set_tlsext_ticket_key_cb(3) says for enc = 1: `ssl` is the connection, `key_name` has room for 16 bytes,
/// `iv` for 16.
pub(super) unsafe fn seal(
    ssl: *mut SSL,
    key_name: *mut c_uchar,
    iv: *mut c_uchar,
    set_mac: impl Fn(&[u8; 32]) -> bool,
    set_job: impl Fn(TicketCipherJob) -> bool,
) -> Sealing {
    // SAFETY: libssl calls this to make a ticket for this SSL, and waits (SSL_CTX_set_tlsext_ticket_key_cb(3)).
    let ssl = unsafe { Evaluated::new(ssl) };
    let prepare = || {
        let job = begin_seal(ssl, &set_mac)?;
        let head = (job.key_name, job.salt);
        set_job(TicketCipherJob::Seal(job)).then_some(head)
    };
    let blank = || {
        let wanted = is_tls13(*ssl) && breaks_without_ticket();
        (wanted && set_mac(&[0; 32]) && set_job(TicketCipherJob::Blank))
            .then_some((KeyName([0; KEY_NAME_LEN]), Salt([0; SALT_LEN])))
    };
    // One mark for all: each costs as much as looking up the keys.
    let prepared = quietly(|| guard(None, || prepare().or_else(|| fail(None))).or_else(|| guard(None, blank)));
    let Some((name, salt)) = prepared else { return Sealing::NoTicket };
    // SAFETY: libssl has room for 16 bytes there, for the length of this call (SSL_CTX_set_tlsext_ticket_key_cb(3)).
    unsafe { ptr::copy_nonoverlapping(name.0.as_ptr(), key_name, KEY_NAME_LEN) };
    // SAFETY: libssl has room for EVP_MAX_IV_LENGTH bytes there, which is 16 (SSL_CTX_set_tlsext_ticket_key_cb(3)).
    unsafe { ptr::copy_nonoverlapping(salt.0.as_ptr(), iv, SALT_LEN) };
    Sealing::Ready
}

/// The key callback with enc = 0.
///
/// # Safety
/// As SSL_CTX_set_tlsext_ticket_key_cb(3) says for enc = 0; libssl has checked that the ticket holds the 16 bytes of
/// `key_name` and 16 more at `iv`.
pub(super) unsafe fn open(
    ssl: *mut SSL,
    key_name: *const c_uchar,
    iv: *const c_uchar,
    set_mac: impl Fn(&[u8; 32]) -> bool,
    set_job: impl Fn(TicketCipherJob) -> bool,
) -> Opening {
    // SAFETY: libssl calls this to open a ticket for this SSL, whose ClientHello it is looking at, and waits
    // (SSL_CTX_set_tlsext_ticket_key_cb(3)).
    let hello = unsafe { Hello::new(ssl) };
    let answer = || {
        // SAFETY: the first 16 bytes of the ticket, which libssl has (SSL_CTX_set_tlsext_ticket_key_cb(3)).
        let name = KeyName(unsafe { *key_name.cast::<[u8; KEY_NAME_LEN]>() });
        // SAFETY: the next 16 bytes of the ticket: libssl has checked that it is longer than that (tls_decrypt_ticket in
        // ssl/t1_lib.c).
        let salt = Salt(unsafe { *iv.cast::<[u8; SALT_LEN]>() });
        let Some(job) = begin_open(hello, name, salt, is_tls13(*hello), &set_mac) else { return Opening::Unknown };
        let renew = job.renew;
        match (set_job(TicketCipherJob::Open(job)), renew) {
            (true, true) => Opening::ReadyRenew,
            (true, false) => Opening::Ready,
            (false, _) => fail(Opening::Unknown),
        }
    };
    quietly(|| guard(Opening::Unknown, answer))
}

/// Counts a failure, which becomes `answer`.
fn fail<T>(answer: T) -> T {
    add(Counter::Failures);
    answer
}

/// Whether `ssl` speaks TLS 1.3, over whatever.
fn is_tls13(ssl: Ssl<'_>) -> bool {
    protocol(ssl).version == TLS1_3_VERSION as u16
}

/// A thing of libcrypto's that is made once in the process.
pub(super) struct LibcryptoOnce<T>(OncePtr<T>);

impl<T> LibcryptoOnce<T> {
    pub(super) const fn new() -> Self {
        Self(OncePtr::new())
    }

    /// What `make` gave the first time that it was not null. A failure leaves nothing on the error queue, because the
    /// program's own call succeeds all the same; who asks next tries again.
    pub(super) fn get(&self, make: impl FnOnce() -> *mut T) -> *const T {
        self.0.get(|| quietly(make))
    }
}

/// The cipher's update: libssl's one call with all the bytes. Gives how many bytes were written, or `None`, which is
/// fatal to the handshake.
///
/// # Safety
/// `input` is null or has `inl` bytes to read, `out` is null or has `outsize` to write. The two may overlap. Called by
/// libcrypto for the cipher that the key callback was given to initialise with this job.
pub(super) unsafe fn update(
    job: &mut TicketCipherJob,
    out: *mut c_uchar,
    outsize: usize,
    input: *const c_uchar,
    inl: usize,
) -> Option<usize> {
    let room = job.room(inl).filter(|room| *room <= outsize)?;
    if out.is_null() || input.is_null() {
        return None;
    }
    // Moved rather than copied, because the two may overlap.
    // SAFETY: `inl` bytes to read, by the caller's promise, and as many to write: a job never wants less room than that.
    unsafe { ptr::copy(input, out, inl) };
    // SAFETY: inside the `room` bytes of `out`, which are no more than `outsize`, the caller's promise.
    let beyond = unsafe { out.add(inl) };
    // SAFETY: the rest of the `room` bytes of `out`, which are no more than `outsize`, the caller's promise.
    unsafe { ptr::write_bytes(beyond, 0, room - inl) };
    // SAFETY: `room` bytes, no more than `outsize`, the caller's promise, and all of them written above; libcrypto looks at
    // them when this call returns.
    let out = unsafe { slice::from_raw_parts_mut(out, room) };
    // SAFETY: libssl runs the cipher in the same function as the key callback, for one ticket (construct_stateless_ticket in
    // ssl/statem/statem_srvr.c, tls_decrypt_ticket in ssl/t1_lib.c).
    let call = unsafe { CipherCall::new() };
    job.update(out, inl, &call)
}

/// The cipher's final. Gives how many bytes were written, or `None`: the ticket is not to be used.
///
/// # Safety
/// `out` is null or has `outsize` bytes to write. Called by libcrypto for the cipher that the key callback was given to
/// initialise with this job.
pub(super) unsafe fn finish(job: &mut TicketCipherJob, out: *mut c_uchar, outsize: usize) -> Option<usize> {
    // SAFETY: libssl runs the cipher in the same function as the key callback, for one ticket (construct_stateless_ticket in
    // ssl/statem/statem_srvr.c, tls_decrypt_ticket in ssl/t1_lib.c).
    let call = unsafe { CipherCall::new() };
    match job.finish(&call)? {
        None => Some(0),
        Some(tag) if !out.is_null() && outsize >= TAG_LEN => {
            // SAFETY: `outsize` bytes to write, by the caller's promise, which are enough.
            unsafe { ptr::copy_nonoverlapping(tag.as_ptr(), out, TAG_LEN) };
            Some(TAG_LEN)
        }
        Some(_) => None,
    }
}

//! What every mechanism has in common: the two ways of the ticket key callback, and the cipher's two calls, on the
//! pointers that libssl and libcrypto hand us; and what is made once. How a MAC and a cipher context are set up is the
//! mechanism's own.

use std::ffi::c_uchar;
use std::{ptr, slice};

use openssl_sys::{SSL, TLS1_3_VERSION};
use ticketshim_core::format::{KEY_NAME_LEN, KeyName, SALT_LEN, Salt, TAG_LEN};
use ticketshim_keys::counters::{Counter, add};
use ticketshim_keys::once::OncePtr;

use super::errors::quietly;
use super::guard::{Opening, Sealing, guard};
use super::mechanism::breaks_without_ticket;
use super::place::protocol;
use super::ticket::{Job, begin_open, begin_seal};

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
    set_job: impl Fn(Job) -> bool,
) -> Sealing {
    let prepare = || {
        // SAFETY: the caller's promise.
        let job = unsafe { begin_seal(ssl, &set_mac) }?;
        let head = (job.key_name, job.salt);
        set_job(Job::Seal(job)).then_some(head)
    };
    let blank = || {
        // SAFETY: the caller's promise.
        let wanted = unsafe { is_tls13(ssl) } && breaks_without_ticket();
        (wanted && set_mac(&[0; 32]) && set_job(Job::Blank))
            .then_some((KeyName([0; KEY_NAME_LEN]), Salt([0; SALT_LEN])))
    };
    // One mark for all: each costs as much as looking up the keys.
    let prepared = quietly(|| guard(None, || prepare().or_else(|| fail(None))).or_else(|| guard(None, blank)));
    let Some((name, salt)) = prepared else { return Sealing::NoTicket };
    // SAFETY: the caller's promise; the lengths are libssl's.
    unsafe { ptr::copy_nonoverlapping(name.0.as_ptr(), key_name, KEY_NAME_LEN) };
    // SAFETY: as above (EVP_MAX_IV_LENGTH is 16).
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
    set_job: impl Fn(Job) -> bool,
) -> Opening {
    let answer = || {
        // SAFETY: the caller's promise.
        let name = KeyName(unsafe { *key_name.cast::<[u8; KEY_NAME_LEN]>() });
        // SAFETY: the caller's promise.
        let salt = Salt(unsafe { *iv.cast::<[u8; SALT_LEN]>() });
        // SAFETY: the caller's promise.
        let tls13 = unsafe { is_tls13(ssl) };
        // SAFETY: the caller's promise.
        let job = unsafe { begin_open(ssl, name, salt, tls13, &set_mac) };
        let Some(job) = job else { return Opening::Unknown };
        let renew = job.renew;
        match (set_job(Job::Open(job)), renew) {
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
///
/// # Safety
/// `ssl` is alive.
unsafe fn is_tls13(ssl: *mut SSL) -> bool {
    // SAFETY: the caller's promise.
    unsafe { protocol(ssl) }.version == TLS1_3_VERSION as u16
}

/// A thing of libcrypto's that is made once in the process.
pub(super) struct Made<T>(OncePtr<T>);

impl<T> Made<T> {
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
/// `input` is null or has `inl` bytes to read, `out` is null or has `outsize` to write. The two may overlap.
pub(super) unsafe fn update(
    job: &mut Job,
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
    // SAFETY: the caller's promise; a job never wants less room than the input has.
    unsafe { ptr::copy(input, out, inl) };
    // SAFETY: as above: inside the room.
    let beyond = unsafe { out.add(inl) };
    // SAFETY: as above; what is beyond the input is not initialised yet.
    unsafe { ptr::write_bytes(beyond, 0, room - inl) };
    // SAFETY: as above, all of it written; nothing else refers to it during the call.
    job.update(unsafe { slice::from_raw_parts_mut(out, room) }, inl)
}

/// The cipher's final. Gives how many bytes were written, or `None`: the ticket is not to be used.
///
/// # Safety
/// `out` is null or has `outsize` bytes to write.
pub(super) unsafe fn finish(job: &mut Job, out: *mut c_uchar, outsize: usize) -> Option<usize> {
    match job.finish()? {
        None => Some(0),
        Some(tag) if !out.is_null() && outsize >= TAG_LEN => {
            // SAFETY: the caller's promise, checked to be enough.
            unsafe { ptr::copy_nonoverlapping(tag.as_ptr(), out, TAG_LEN) };
            Some(TAG_LEN)
        }
        Some(_) => None,
    }
}

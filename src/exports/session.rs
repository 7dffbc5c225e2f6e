//! Serialising sessions: libssl does it five times for each ticket, and by way of these functions
//! (`src/libssl/serialise_once`).
//!
//! Who calls is read at entry, before there is a frame of ours: an entry passes the return address and the stack pointer on
//! to a function, and jumps there. Nothing is pushed, so that an unwinder finds its way as at any function's first
//! instruction. (What the compiler has for a return address, `_ReturnAddress` and the like, is not there in Rust.)

use std::ffi::{c_int, c_long, c_uchar};
use std::ptr;

use openssl_sys::SSL_SESSION;

use super::{call, pass, version_libssl};
use crate::libssl::guard::guard;
use crate::libssl::real;
use crate::libssl::serialise_once::session::{is_plain, share};
use crate::libssl::serialise_once::{self, Call, Written};

/// What an entry knows of who calls: one argument more than the function has, in registers.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// The stack pointer at entry; on x86-64 the return address lies there.
    stack: *const usize,
    #[cfg(target_arch = "aarch64")]
    link: usize,
}

impl Entry {
    #[inline]
    pub(super) fn call(self) -> Call {
        #[cfg(target_arch = "aarch64")]
        let caller = self.link;
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the entry's promise: where its return address lies, which the caller's call has put there and which
        // stays until we return (System V ABI, x86-64 supplement, 3.2.2).
        let caller = unsafe { *self.stack };
        Call { frame: self.stack.addr(), caller }
    }
}

/// An entry: passes an [`Entry`] in the registers after the function's own arguments, and goes on there.
macro_rules! enter {
    ($to:ident, x86_64: $stack:literal, aarch64: $x_stack:literal, $x_link:literal) => {
        #[cfg(target_arch = "x86_64")]
        std::arch::naked_asm!(
            ".cfi_startproc",
            "endbr64",
            concat!("mov ", $stack, ", rsp"),
            "jmp {to}",
            ".cfi_endproc",
            to = sym $to,
        );
        #[cfg(target_arch = "aarch64")]
        std::arch::naked_asm!(
            ".cfi_startproc",
            "hint #34", // bti c
            concat!("mov ", $x_stack, ", sp"),
            concat!("mov ", $x_link, ", x30"),
            "b {to}",
            ".cfi_endproc",
            to = sym $to,
        );
    };
}
#[cfg(mechanism = "provider")]
pub(super) use enter;

version_libssl!("i2d_SSL_SESSION");
/// i2d_SSL_SESSION(3): passes through, but for two of the four calls that libssl makes for a ticket.
///
/// # Safety
/// As i2d_SSL_SESSION(3).
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C-unwind" fn i2d_SSL_SESSION(session: *const SSL_SESSION, pp: *mut *mut c_uchar) -> c_int {
    enter!(i2d, x86_64: "rdx", aarch64: "x2", "x3");
}

version_libssl!("d2i_SSL_SESSION");
/// d2i_SSL_SESSION(3): passes through, but for the call that libssl makes for a ticket.
///
/// # Safety
/// As d2i_SSL_SESSION(3).
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C-unwind" fn d2i_SSL_SESSION(
    a: *mut *mut SSL_SESSION,
    pp: *mut *const c_uchar,
    length: c_long,
) -> *mut SSL_SESSION {
    enter!(d2i, x86_64: "rcx", aarch64: "x3", "x4");
}

unsafe extern "C-unwind" fn i2d(session: *const SSL_SESSION, pp: *mut *mut c_uchar, entry: Entry) -> c_int {
    let from = entry.call();
    if !from.is_of_libssl() {
        serialise_once::stop();
        pass!(real::I2D_SSL_SESSION, session, pp);
    }
    let Some(real) = guard(None, || real::I2D_SSL_SESSION.get()) else { return 0 };
    if pp.is_null() {
        // SAFETY: libssl's own argument: the session that it makes a ticket of. (The real function has found a length, so it
        // is one.)
        let is_plain = || unsafe { is_plain(session) };
        return serialise_once::length(from, session.addr(), || call!(real(session, pp)), is_plain);
    }
    // SAFETY: the caller's promise: not null, so where a pointer is (i2d_SSL_SESSION(3)).
    let place = unsafe { *pp };
    let written = serialise_once::write(from, session.addr(), place.addr(), || {
        let len = call!(real(session, pp));
        // SAFETY: the caller's promise: not null, so where a pointer is (i2d_SSL_SESSION(3)).
        (len, unsafe { *pp }.addr())
    });
    match written {
        Written::Now(len) => len,
        Written::Before(len) => {
            // SAFETY: the caller's promise: not null, so where a pointer is, which is moved by what was written
            // (i2d_SSL_SESSION(3)).
            unsafe { *pp = place.wrapping_add(len as usize) };
            len
        }
    }
}

unsafe extern "C-unwind" fn d2i(
    a: *mut *mut SSL_SESSION,
    pp: *mut *const c_uchar,
    length: c_long,
    entry: Entry,
) -> *mut SSL_SESSION {
    let from = entry.call();
    if !from.is_of_libssl() {
        serialise_once::stop();
        pass!(real::D2I_SSL_SESSION, a, pp, length);
    }
    // SAFETY: the caller's promise (d2i_SSL_SESSION(3)).
    if let Some(session) = unsafe { shared(from, a, pp, length) } {
        return session;
    }
    let Some(real) = guard(None, || real::D2I_SSL_SESSION.get()) else { return ptr::null_mut() };
    call!(real(a, pp, length))
}

/// The session that a ticket's copy is to be made of, with a reference more, if this is that call; else nothing was done.
///
/// # Safety
/// The arguments are those of d2i_SSL_SESSION(3).
pub(super) unsafe fn shared(
    from: Call,
    a: *mut *mut SSL_SESSION,
    pp: *mut *const c_uchar,
    length: c_long,
) -> Option<*mut SSL_SESSION> {
    if !a.is_null() || pp.is_null() {
        serialise_once::stop();
        return None;
    }
    // SAFETY: the caller's promise: not null, so where a pointer is (d2i_SSL_SESSION(3)).
    let place = unsafe { *pp };
    let mut session = ptr::null_mut();
    serialise_once::copy(from, place.addr(), length, |address| {
        session = ptr::with_exposed_provenance_mut(address);
        // SAFETY: the session whose bytes libssl has just had written there, from the same stack frame: it goes on with it
        // after this ticket.
        unsafe { share(session, place, length as c_int) }
    })?;
    // SAFETY: the caller's promise: not null, so where a pointer is, which is moved by what was read (d2i_SSL_SESSION(3)).
    unsafe { *pp = place.wrapping_add(length as usize) };
    Some(session)
}

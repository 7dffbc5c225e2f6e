//! Where libssl's code is, and whether its calls are to be answered at all.

use std::ffi::{c_int, c_ulong, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use openssl_sys::OpenSSL_version_num;
use ticketshim_keys::settings::Mode;

use crate::libssl::real;
use crate::shim::shim;

/// Its first byte, and the one after its last. Equal: nobody's calls are answered.
static START: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

/// Whether an address is in it.
#[inline]
pub(super) fn has(address: usize) -> bool {
    // Two loads: START is written last, and once.
    let start = START.load(Ordering::Acquire);
    start != 0 && address >= start && address < END.load(Ordering::Relaxed)
}

/// The first release whose construct_stateless_ticket was not read. It has been the same from 1.1.1 on; 1.1.0's changed the
/// copy.
const UNREAD: c_ulong = 0x4010_0000;

/// Once the libssl is known that this library works for; `mark` is a function of its. Not again in a handshake: nothing there
/// may wait for the dynamic linker.
pub(crate) fn learn(mark: Option<*mut c_void>) {
    // What is looked up now is not looked up in a handshake.
    let i2d = real::I2D_SSL_SESSION.address();
    let d2i = real::D2I_SSL_SESSION.address();
    let d2i_ex = real::D2I_SSL_SESSION_EX.address();
    if shim().settings.mode == Mode::Off {
        return;
    }
    // SAFETY: nothing has to be true for it (OpenSSL_version(3)); it is libcrypto's from here on (`link::fill`).
    if unsafe { OpenSSL_version_num() } >= UNREAD {
        return;
    }
    let Some(text) = mark.and_then(find) else { return };
    let inside = |address: *mut c_void| text.start <= address.addr() && address.addr() < text.end;
    // Whatever stands between us and libssl is to see all calls. (libssl 3.0 has no d2i_SSL_SESSION_ex.)
    if inside(i2d) && inside(d2i) && (d2i_ex.is_null() || inside(d2i_ex)) {
        END.store(text.end, Ordering::Relaxed);
        START.store(text.start, Ordering::Release);
    }
}

#[repr(C)]
struct Text {
    mark: usize,
    start: usize,
    end: usize,
}

/// The executable segment that an address is in.
fn find(mark: *mut c_void) -> Option<Text> {
    const GO_ON: c_int = 0;
    const STOP: c_int = 1;
    unsafe extern "C" fn step(info: *mut libc::dl_phdr_info, _size: libc::size_t, text: *mut c_void) -> c_int {
        // SAFETY: the loader's promise: one library's headers, for this call (dl_iterate_phdr(3)).
        let Some(info) = (unsafe { info.as_ref() }) else { return GO_ON };
        // SAFETY: the pointer that `find` passed, used by nobody else meanwhile.
        let Some(text) = (unsafe { text.cast::<Text>().as_mut() }) else { return STOP };
        for n in 0..info.dlpi_phnum.into() {
            // SAFETY: dlpi_phnum headers, for this call (dl_iterate_phdr(3)).
            let Some(header) = (unsafe { info.dlpi_phdr.wrapping_add(n).as_ref() }) else { return GO_ON };
            let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
            let end = start.wrapping_add(header.p_memsz as usize);
            if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0 && (start..end).contains(&text.mark) {
                (text.start, text.end) = (start, end);
                return STOP;
            }
        }
        GO_ON
    }
    let mut text = Text { mark: mark.addr(), start: 0, end: 0 };
    // SAFETY: a function of the type that dl_iterate_phdr(3) asks for, and what it is to be called with.
    unsafe { libc::dl_iterate_phdr(Some(step), (&raw mut text).cast()) };
    (text.start != 0).then_some(text)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const INSIDE: usize = 0x7f00_0000;

    /// Some addresses that are libssl's.
    pub(in super::super) fn put() {
        END.store(INSIDE + 0x1000, Ordering::Relaxed);
        START.store(INSIDE, Ordering::Release);
    }

    #[test]
    fn the_segment_of_a_function_is_found() {
        let mark = find as *mut c_void;
        let text = find(mark).expect("this program's own");
        assert!((text.start..text.end).contains(&mark.addr()));
        assert!(!(text.start..text.end).contains(&START.as_ptr().addr()), "data is not code");
    }
}

//! Randomness from the kernel.
//!
//! Not from the host's OpenSSL: its default library context may hold the null provider, and salts and chains are drawn
//! where nothing of OpenSSL may be touched (a constructor, a child of fork).

use crate::sys;

/// Fills `out`; false if the kernel gives none.
///
/// Never waits: early at boot the kernel's pool is not ready, and a library that is loaded into every program of the
/// system must not hold the boot up. "Not yet" is the same as "none": a full handshake.
pub fn fill(out: &mut [u8]) -> bool {
    let mut done = 0;
    while done < out.len() {
        let rest = &mut out[done..];
        // SAFETY: `rest` is valid for writes of its length.
        match sys::retry(|| unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), libc::GRND_NONBLOCK) }) {
            Ok(n) if n > 0 => done += n,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    #[test]
    fn fills_all_of_it() {
        let mut bytes = [0u8; 4096];
        assert!(super::fill(&mut bytes));
        assert!(bytes.chunks(16).all(|c| c.iter().any(|b| *b != 0)));
    }
}

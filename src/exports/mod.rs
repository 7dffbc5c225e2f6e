//! The C ABI: every function that this library exports, thin. Each checks its pointers, and hands over.
//!
//! Each export carries the symbol version that the same function has in libssl, so that only programs of *that* libssl
//! bind to it. The version is given by `.symver` beside the function; `build.rs` makes the nodes; `make check-elf`
//! holds the built library to the list in `c-tests/elf/exports.txt`.

mod interposed;
mod manual_page;
mod own;
pub(crate) mod types;

/// Puts an exported function into a symbol version node.
macro_rules! version {
    ($name:literal, $node:literal) => {
        std::arch::global_asm!(concat!(".symver ", $name, ", ", $name, "@@@", $node));
    };
}
use version;

/// A function of libssl's first node (on 1.1.1: those that came with 1.1.0).
macro_rules! version_libssl {
    ($name:literal) => {
        #[cfg(ossl = "1.1.1")]
        $crate::exports::version!($name, "OPENSSL_1_1_0");
        #[cfg(ossl = "3")]
        $crate::exports::version!($name, "OPENSSL_3.0.0");
        #[cfg(ossl = "4")]
        $crate::exports::version!($name, "OPENSSL_4.0.0");
    };
}
use version_libssl;

/// A function that came with 1.1.1.
macro_rules! version_libssl_tickets {
    ($name:literal) => {
        #[cfg(ossl = "1.1.1")]
        $crate::exports::version!($name, "OPENSSL_1_1_1");
        #[cfg(not(ossl = "1.1.1"))]
        $crate::exports::version_libssl!($name);
    };
}
use version_libssl_tickets;

use crate::libssl::errors::raise;
use crate::libssl::mechanism::Reason;

/// Whether `pointer` is NULL; if so, that is on the error queue.
fn is_null<T>(pointer: *const T, function: &str, argument: &str) -> bool {
    if pointer.is_null() {
        raise(Reason::PassedNull, format_args!("{function}: {argument} is NULL"));
    }
    pointer.is_null()
}

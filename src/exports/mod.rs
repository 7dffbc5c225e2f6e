//! The C ABI: every function that this library exports, thin. Each checks its pointers, and hands over.
//!
//! Each export carries the symbol version that the same function has in libssl, so that only programs of *that* libssl
//! bind to it. The version is given by `.symver` beside the function: those lines are the list of
//! exports, which `build.rs` makes the linker's script of and `make header` `c-tests/elf/exports.txt`, to which
//! `c-tests/elf/check` holds the built library.

mod early_data;
mod hooks;
#[cfg(openssl_4)]
mod hooks_4;
mod interposed;
#[cfg(mechanism = "provider")]
mod interposed_3;
mod manual_page;
mod own;
// Elsewhere these are libssl's own.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod session;
#[cfg(all(mechanism = "provider", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod session_3;
pub(crate) mod types;

/// Puts an exported function into a symbol version node.
macro_rules! version {
    ($name:literal, $node:expr) => {
        std::arch::global_asm!(concat!(".symver ", $name, ", ", $name, "@@@", $node));
    };
}
use version;

/// A function that this libssl always had.
macro_rules! version_libssl {
    ($name:literal) => {
        $crate::exports::version!($name, env!("TICKETSHIM_NODE"));
    };
}
use version_libssl;

/// A function that came with session ticket callbacks.
macro_rules! version_libssl_tickets {
    ($name:literal) => {
        $crate::exports::version!($name, env!("TICKETSHIM_TICKETS_NODE"));
    };
}
use version_libssl_tickets;

/// A function that came with OpenSSL 3.2.
#[cfg(mechanism = "provider")]
macro_rules! version_libssl_3_2 {
    ($name:literal) => {
        $crate::exports::version!($name, env!("TICKETSHIM_3_2_NODE"));
    };
}
#[cfg(mechanism = "provider")]
use version_libssl_3_2;

use openssl_sys::SSL_CTX;

use crate::libssl::errors::raise;
use crate::libssl::handle::Ctx;
use crate::libssl::mechanism::Reason;

/// Calls the real function that one of ours stands in front of.
macro_rules! call {
    ($real:ident($($argument:expr),*)) => {
        // SAFETY: the type is that of the function's header (`real!`), and what its manual page asks for is what our own
        // function asks its caller for, and these are that caller's arguments: good for as long as the caller's call.
        unsafe { $real($($argument),*) }
    };
}
use call;

/// What an interposed function does first: if the caller uses another libssl than the one that this library works for, all
/// that there is to do is to call that one's.
/// (A context of ours, and a method, say more than who calls.)
macro_rules! pass {
    ($real:expr, of $ctx:ident; $($argument:ident),*) => {
        // A context that the core has a part of is none of another libssl's, whoever calls.
        if !$crate::libssl::real::is_global()
            && !$crate::libssl::context::is_ours($ctx)
            && let Some(real) = $real.of_another()
        {
            return $crate::exports::call!(real($($argument),*));
        }
    };
    ($real:expr, by $method:ident; $($argument:ident),*) => {
        if let Some(real) = $real.of_another_than($method) {
            return $crate::exports::call!(real($($argument),*));
        }
    };
    ($real:expr, $($argument:ident),*) => {
        if let Some(real) = $real.of_another() {
            return $crate::exports::call!(real($($argument),*));
        }
    };
}
use pass;

/// Whether `pointer` is NULL; if so, that is on the error queue.
fn is_null<T>(pointer: *const T, function: &str, argument: &str) -> bool {
    if pointer.is_null() {
        raise(Reason::PassedNull, format_args!("{function}: {argument} is NULL"));
    }
    pointer.is_null()
}

/// The context that the caller gave. `None`, with an entry on the error queue, for NULL.
///
/// # Safety
/// `ctx` is NULL, or a live SSL_CTX for as long as `'h`.
unsafe fn context_of<'h>(ctx: *mut SSL_CTX, function: &str) -> Option<Ctx<'h>> {
    is_null(ctx, function, "ctx");
    // SAFETY: the caller's promise.
    unsafe { Ctx::new(ctx) }
}

//! Erasing what a computation with secrets leaves on the stack: values pass through moves, spills and frames of callees
//! that no destructor knows of.
//!
//! Each computation does it for itself, right after it and as deep as it went. What is above (the caller's own frame)
//! holds no secret, because secrets are made and copied in place. The stack may be small (a coroutine's, that of an
//! OpenSSL async job), so the depth is what the computations need and no more. `c-tests/contrast/small_stacks.c` looks for
//! what is left.

use std::hint::black_box;

/// How deep a computation may go, in bytes; `c-tests/elf/stack` holds them to it. Less than 2 KiB, the limit of every frame
/// that is in a callback.
const DEPTH: usize = 1536;

/// Runs `work`, and then overwrites the part of the stack that it has used. What it returns must be no secret: secrets
/// are written to where they are kept.
#[inline(never)]
pub fn erasing<R>(work: impl FnOnce() -> R) -> R {
    let result = below(work);
    overwrite();
    result
}

/// A frame of its own, so that what is overwritten begins where the frame of `work` does.
#[inline(never)]
fn below<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[inline(never)]
fn overwrite() {
    let mut used = [0u64; DEPTH / size_of::<u64>()];
    // Whoever looks at it (nobody) must find zeros.
    black_box(&mut used);
}

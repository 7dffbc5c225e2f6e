//! The C side of the target `handshake`: the C suite's harness, and the library in front of libssl.

use std::env;
use std::path::PathBuf;

fn main() {
    let harness = PathBuf::from("../c-tests/harness");
    let sources = std::fs::read_dir(&harness).expect("the harness").map(|entry| entry.expect("a file").path());
    let sources = sources.filter(|path| path.extension().is_some_and(|extension| extension == "c"));
    cc::Build::new()
        .files(sources)
        .file("handshake.c")
        .include(&harness)
        .include("../include")
        .flag("-std=c11")
        .warnings(true)
        .cargo_metadata(false)
        .compile("handshake");
    println!("cargo::rerun-if-changed=handshake.c");
    println!("cargo::rerun-if-changed={}", harness.display());
    println!("cargo::rerun-if-env-changed=TICKETSHIM_FUZZ_SHIM");
    let out = env::var("OUT_DIR").expect("cargo's directory");
    // `make fuzz` builds it with the same sanitizer and coverage as the targets.
    let shim = env::var("TICKETSHIM_FUZZ_SHIM").expect("the directory of libticketshim.so: use `make fuzz`");
    for argument in [
        &format!("-L{out}"),
        "-lhandshake",
        &format!("-L{shim}"),
        &format!("-Wl,-rpath,{shim}"),
        // In front of libssl, as a program of anybody's would have it.
        "-Wl,--no-as-needed",
        "-lticketshim",
        "-lssl",
        "-lcrypto",
    ] {
        println!("cargo::rustc-link-arg-bin=handshake={argument}");
    }
}

//! Links the cdylib so that it can stand in front of libssl, and refuses a build that could not.
//!
//! - Decides once which OpenSSL this build is for and tells the code by `cfg(ossl = "…")`.
//! - Writes the linker's version script: one empty node for each symbol version that `src/exports` puts its functions
//!   into (the assignment itself is made there, by `.symver`).
//! - Sets the soname.
//!
//! The linker must be LLD (GNU ld refuses `.symver` on a symbol that a version script hides); rustc's own default is,
//! on x86-64 Linux. `make check-elf` looks at what came out, because a wrong linker can fail silently.

use std::path::PathBuf;
use std::{env, fs};

/// Kept in step with the soname by `make check-elf`; changes only when an exported function changes incompatibly.
const SONAME: &str = "libticketshim.so.0";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(ossl, values(\"1.1.1\", \"3\", \"4\"))");
    // Never set when compiling: cbindgen turns it into "unless <openssl/ssl.h> has said so already".
    println!("cargo::rustc-check-cfg=cfg(ticketshim_openssl_header)");
    let (ossl, nodes) = openssl();
    println!("cargo::rustc-cfg=ossl=\"{ossl}\"");

    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        refuse("it needs ELF symbol versions and Linux system calls, so it is built for Linux only");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_else(|| refuse("cargo gave no OUT_DIR")));
    let script = out.join("symbol-versions.map");
    let text: String = nodes.iter().chain(&["TICKETSHIM_0"]).map(|node| format!("{node} {{ }};\n")).collect();
    if let Err(error) = fs::write(&script, text) {
        refuse(&format!("{} could not be written: {error}", script.display()));
    }
    for argument in [
        format!("-Wl,-soname,{SONAME}"),
        format!("-Wl,--version-script={}", script.display()),
        // rustc's own script names our functions without their versions, which by then are no symbols any more.
        "-Wl,--undefined-version".to_owned(),
        // Callbacks of this library stay in libssl's hands for as long as the process lives.
        "-Wl,-z,nodelete".to_owned(),
        "-Wl,-z,relro,-z,now".to_owned(),
    ] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
}

/// Which OpenSSL the build is for, and the version nodes of its libssl that we export from.
fn openssl() -> (&'static str, &'static [&'static str]) {
    // Both variables come from the build script of openssl-sys, which has looked at the headers.
    if let Ok(version) = env::var("DEP_OPENSSL_LIBRESSL_VERSION_NUMBER") {
        refuse(&format!(
            "it found LibreSSL ({version}), which has no SSL_CTX_set_session_ticket_cb and no session ticket \
             application data; it needs OpenSSL 1.1.1 or newer"
        ));
    }
    if env::var_os("DEP_OPENSSL_BORINGSSL").is_some() || env::var_os("DEP_OPENSSL_AWSLC").is_some() {
        refuse(
            "it found BoringSSL or AWS-LC, which have neither providers (OSSL_PROVIDER_add_builtin) nor the session \
             ticket callbacks; it needs OpenSSL 1.1.1 or newer",
        );
    }
    let number = env::var("DEP_OPENSSL_VERSION_NUMBER").unwrap_or_default();
    match u64::from_str_radix(&number, 16) {
        Ok(0x4000_0000..) => ("4", &["OPENSSL_4.0.0"]),
        Ok(0x3000_0000..) => ("3", &["OPENSSL_3.0.0"]),
        Ok(0x1010_1000..) => ("1.1.1", &["OPENSSL_1_1_0", "OPENSSL_1_1_1"]),
        Ok(_) => refuse(&format!(
            "it found OpenSSL 0x{number}, and SSL_CTX_set_session_ticket_cb came with 1.1.1 (0x10101000)"
        )),
        Err(_) => refuse("openssl-sys did not say which OpenSSL it found"),
    }
}

fn refuse(why: &str) -> ! {
    println!("cargo::error=ticketshim cannot be built here: {why}. OPENSSL_DIR selects another OpenSSL.");
    std::process::exit(1)
}

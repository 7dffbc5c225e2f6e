//! Links the cdylib so that it can stand in front of libssl, and refuses a build that could not.
//!
//! - Decides once which OpenSSL this build is for ([`Libssl`]) and tells the code: `cfg(mechanism = "…")` for what can
//!   be called, and as environment the soname and the symbol versions.
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

/// A libssl as programs are linked to it, and what it lets us do. The one list of versions in this library.
struct Libssl {
    /// How the core comes in as a cipher. `legacy`: EVP_CIPHER_meth_new. `provider`: a provider's.
    mechanism: &'static str,
    soname: &'static str,
    /// The version of the symbols that it always had, and of those that came with session ticket callbacks.
    node: &'static str,
    tickets_node: &'static str,
    /// How the objects of an `X509_STORE` are had: `get0` gives its own list; `get1` a copy, where there is no such list.
    store_objects: &'static str,
}

const OPENSSL_1_1_1: Libssl = Libssl {
    mechanism: "legacy",
    soname: "libssl.so.1.1",
    node: "OPENSSL_1_1_0",
    tickets_node: "OPENSSL_1_1_1",
    store_objects: "get0",
};
const OPENSSL_3: Libssl = Libssl {
    mechanism: "provider",
    soname: "libssl.so.3",
    node: "OPENSSL_3.0.0",
    tickets_node: "OPENSSL_3.0.0",
    store_objects: "get0",
};
const OPENSSL_4: Libssl = Libssl {
    mechanism: "provider",
    soname: "libssl.so.4",
    node: "OPENSSL_4.0.0",
    tickets_node: "OPENSSL_4.0.0",
    store_objects: "get1",
};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(mechanism, values(\"legacy\", \"provider\"))");
    println!("cargo::rustc-check-cfg=cfg(store_objects, values(\"get0\", \"get1\"))");
    // Never set when compiling: cbindgen turns it into "unless <openssl/ssl.h> has said so already".
    println!("cargo::rustc-check-cfg=cfg(ticketshim_openssl_header)");
    let libssl = openssl();
    println!("cargo::rustc-cfg=mechanism=\"{}\"", libssl.mechanism);
    println!("cargo::rustc-cfg=store_objects=\"{}\"", libssl.store_objects);
    println!("cargo::rustc-env=TICKETSHIM_LIBSSL={}", libssl.soname);
    println!("cargo::rustc-env=TICKETSHIM_NODE={}", libssl.node);
    println!("cargo::rustc-env=TICKETSHIM_TICKETS_NODE={}", libssl.tickets_node);

    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        refuse("it needs ELF symbol versions and Linux system calls, so it is built for Linux only");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_else(|| refuse("cargo gave no OUT_DIR")));
    let script = out.join("symbol-versions.map");
    let mut nodes = vec!["TICKETSHIM_0", libssl.node, libssl.tickets_node];
    nodes.dedup();
    let text: String = nodes.iter().map(|node| format!("{node} {{ }};\n")).collect();
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

/// Which OpenSSL the build is for.
fn openssl() -> Libssl {
    // These variables come from the build script of openssl-sys, which has looked at the headers.
    let other = |name: &str| {
        refuse(&format!(
            "it found {name}, which has neither SSL_CTX_set_session_ticket_cb nor SSL_SESSION_set1_ticket_appdata and \
             SSL_SESSION_get0_ticket_appdata; it needs OpenSSL 1.1.1 or newer"
        ))
    };
    if let Ok(version) = env::var("DEP_OPENSSL_LIBRESSL_VERSION_NUMBER") {
        other(&format!("LibreSSL (0x{version})"))
    }
    if env::var_os("DEP_OPENSSL_BORINGSSL").is_some() {
        other("BoringSSL")
    }
    if env::var_os("DEP_OPENSSL_AWSLC").is_some() {
        other("AWS-LC")
    }
    let number = env::var("DEP_OPENSSL_VERSION_NUMBER").unwrap_or_default();
    match u64::from_str_radix(&number, 16) {
        Ok(0x5000_0000..) => refuse(&format!(
            "it found OpenSSL 0x{number}, whose symbol versions this release of ticketshim does not know; it needs \
             OpenSSL 1.1.1, 3 or 4"
        )),
        Ok(0x4000_0000..) => OPENSSL_4,
        Ok(0x3000_0000..) => OPENSSL_3,
        Ok(0x1010_1000..) => OPENSSL_1_1_1,
        Ok(_) => refuse(&format!(
            "it found OpenSSL 0x{number}, which has no SSL_CTX_set_session_ticket_cb; that came with 1.1.1 (0x10101000)"
        )),
        Err(_) => refuse("openssl-sys did not say which OpenSSL it found"),
    }
}

fn refuse(why: &str) -> ! {
    println!("cargo::error=ticketshim cannot be built here: {why}. OPENSSL_DIR selects another OpenSSL.");
    std::process::exit(1)
}

//! Links the cdylib so that it can stand in front of libssl, and refuses a build that could not.
//!
//! - Decides once which OpenSSL this build is for ([`Libssl`]) and tells the code: `cfg(mechanism = "…")` for what can
//!   be called, and as environment the soname and the symbol versions.
//! - Writes the linker's version script: a node for each symbol version that `src/exports` puts its functions into, and
//!   all else hidden. Any linker takes it: what stands in its way is taken out by a step of ours ([`linker`]), and a
//!   library of a few functions is linked and looked at before ours is compiled.
//! - Sets the soname.

#[path = "build/elf.rs"]
mod elf;
#[path = "build/exports.rs"]
mod exports;
#[path = "build/linker.rs"]
mod linker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use exports::{Export, Node};

/// Kept in step with the soname by `make check-elf`; changes only when an exported function changes incompatibly.
const SONAME: &str = "libticketshim.so.0";

/// The version of what is ours alone.
const OWN_NODE: &str = "TICKETSHIM_0";

/// A libssl as programs are linked to it, and what it lets us do. The one list of versions in this library.
struct Libssl {
    /// How the core comes in as a cipher. `legacy`: EVP_CIPHER_meth_new. `provider`: a provider's.
    mechanism: &'static str,
    soname: &'static str,
    /// Its first number.
    major: u8,
    /// The version of the symbols that it always had, and of those that came with session ticket callbacks.
    node: &'static str,
    tickets_node: &'static str,
    /// And of what came with OpenSSL 3.2: nothing before 3 can be in it.
    node_3_2: &'static str,
    /// How the objects of an `X509_STORE` are had: `get0` gives its own list; `get1` a copy, where there is no such list.
    store_objects: &'static str,
}

const OPENSSL_1_1_1: Libssl = Libssl {
    mechanism: "legacy",
    soname: "libssl.so.1.1",
    major: 1,
    node: "OPENSSL_1_1_0",
    tickets_node: "OPENSSL_1_1_1",
    node_3_2: "OPENSSL_3.2.0",
    store_objects: "get0",
};
const OPENSSL_3: Libssl = Libssl {
    mechanism: "provider",
    soname: "libssl.so.3",
    major: 3,
    node: "OPENSSL_3.0.0",
    tickets_node: "OPENSSL_3.0.0",
    node_3_2: "OPENSSL_3.2.0",
    store_objects: "get0",
};
const OPENSSL_4: Libssl = Libssl {
    mechanism: "provider",
    soname: "libssl.so.4",
    major: 4,
    node: "OPENSSL_4.0.0",
    tickets_node: "OPENSSL_4.0.0",
    node_3_2: "OPENSSL_4.0.0",
    store_objects: "get1",
};

impl Libssl {
    /// The nodes, with what belongs into them. The names matter to GNU ld only: it hides what is hidden by any node, even
    /// if `.symver` says where it belongs.
    fn version_script(&self, exports: &[Export]) -> String {
        let names = |nodes: &[Node]| -> String {
            let those = exports.iter().filter(|export| nodes.contains(&export.node));
            those.filter(|export| export.since <= self.major).map(|one| format!("{}; ", one.name)).collect()
        };
        let mut script = format!("{OWN_NODE} {{ global: {}local: *; }};\n", names(&[Node::Own]));
        let mut always = vec![Node::Libssl];
        for (node, kind) in [(self.tickets_node, Node::Tickets), (self.node_3_2, Node::Since32)] {
            match names(&[kind]) {
                _ if node == self.node => always.push(kind),
                none if none.is_empty() => {}
                those => script += &format!("{node} {{ global: {those}}};\n"),
            }
        }
        script + &format!("{} {{ global: {}}};\n", self.node, names(&always))
    }
}

fn main() -> ExitCode {
    linker::step().unwrap_or_else(|| {
        build_script();
        ExitCode::SUCCESS
    })
}

fn build_script() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src/exports");
    println!("cargo::rustc-check-cfg=cfg(mechanism, values(\"legacy\", \"provider\"))");
    println!("cargo::rustc-check-cfg=cfg(store_objects, values(\"get0\", \"get1\"))");
    // Never set when compiling: cbindgen turns it into "unless <openssl/ssl.h> has said so already".
    println!("cargo::rustc-check-cfg=cfg(ticketshim_openssl_header)");
    let libssl = openssl();
    println!("cargo::rustc-check-cfg=cfg(openssl_4)");
    if libssl.major >= 4 {
        println!("cargo::rustc-cfg=openssl_4");
    }
    println!("cargo::rustc-cfg=mechanism=\"{}\"", libssl.mechanism);
    println!("cargo::rustc-cfg=store_objects=\"{}\"", libssl.store_objects);
    println!("cargo::rustc-env=TICKETSHIM_LIBSSL={}", libssl.soname);
    println!("cargo::rustc-env=TICKETSHIM_LIBCRYPTO={}", libssl.soname.replace("ssl", "crypto"));
    println!("cargo::rustc-env=TICKETSHIM_NODE={}", libssl.node);
    println!("cargo::rustc-env=TICKETSHIM_TICKETS_NODE={}", libssl.tickets_node);
    println!("cargo::rustc-env=TICKETSHIM_3_2_NODE={}", libssl.node_3_2);

    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        refuse("it needs ELF symbol versions and Linux system calls, so it is built for Linux only");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_else(|| refuse("cargo gave no OUT_DIR")));
    let script = out.join("symbol-versions.map");
    // Cargo runs build scripts in the package's directory.
    let exports = exports::list(Path::new(".")).unwrap_or_else(|why| refuse(&why));
    if let Err(error) = fs::write(&script, libssl.version_script(&exports)) {
        refuse(&format!("{} could not be written: {error}", script.display()));
    }
    let target = env::var("TARGET").unwrap_or_default();
    let step = out.join("linker");
    if let Err(error) = linker::place(&step, &target) {
        refuse(&format!("{} could not be made: {error}", step.display()));
    }
    let arguments = [
        format!("-B{}", step.display()),
        format!("-Wl,-soname,{SONAME}"),
        format!("-Wl,--version-script={}", script.display()),
        // Where rustc's own script is still there (see `linker`): it names our functions without their versions, which by
        // then are no symbols any more.
        "-Wl,--undefined-version".to_owned(),
        // Callbacks of this library stay in libssl's hands for as long as the process lives.
        "-Wl,-z,nodelete".to_owned(),
        "-Wl,-z,relro,-z,now".to_owned(),
    ];
    for argument in &arguments {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
    let upper = target.to_uppercase().replace('-', "_");
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    for variable in ["LINKER", "RUSTFLAGS"] {
        println!("cargo::rerun-if-env-changed=CARGO_TARGET_{upper}_{variable}");
    }
    let versions = [
        ("ticketshim_version", OWN_NODE),
        ("SSL_CTX_new", libssl.node),
        ("SSL_CTX_set_session_ticket_cb", libssl.tickets_node),
    ];
    if let Err(why) = linker::probe(&out, &versions, &arguments) {
        refuse(&why);
    }
}

/// Which OpenSSL the build is for.
fn openssl() -> Libssl {
    // These variables come from the build script of openssl-sys, which has looked at the headers.
    let other = |name: &str| {
        refuse_openssl(&format!(
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
        Ok(0x5000_0000..) => refuse_openssl(&format!(
            "it found OpenSSL 0x{number}, whose symbol versions this release of ticketshim does not know; it needs \
             OpenSSL 1.1.1, 3 or 4"
        )),
        Ok(0x4000_0000..) => OPENSSL_4,
        Ok(0x3000_0000..) => OPENSSL_3,
        Ok(0x1010_1000..) => OPENSSL_1_1_1,
        Ok(_) => refuse_openssl(&format!(
            "it found OpenSSL 0x{number}, which has no SSL_CTX_set_session_ticket_cb; that came with 1.1.1 (0x10101000)"
        )),
        Err(_) => refuse_openssl("openssl-sys did not say which OpenSSL it found"),
    }
}

fn refuse_openssl(why: &str) -> ! {
    refuse(&format!("{why}. OPENSSL_DIR selects another OpenSSL."))
}

fn refuse(why: &str) -> ! {
    println!("cargo::error=ticketshim cannot be built here: {why}");
    std::process::exit(1)
}

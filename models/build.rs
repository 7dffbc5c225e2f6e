//! What is compiled here is compiled for loom, and nothing else is.

fn main() {
    println!("cargo:rustc-cfg=loom");
    println!("cargo:rerun-if-changed=build.rs");
}

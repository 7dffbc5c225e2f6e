//! Holds the committed header to the source. `make header` (or `TICKETSHIM_WRITE_HEADER=1`) writes it anew.

use std::path::Path;

#[test]
fn header_is_what_the_source_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in ["types.rs", "manual_page.rs", "own.rs"] {
        builder = builder.with_src(root.join("src/exports").join(file));
    }
    let mut header = Vec::new();
    builder.generate().expect("cbindgen").write(&mut header);
    let header = String::from_utf8(header).expect("UTF-8");

    let committed = root.join("include/ticketshim.h");
    if std::env::var_os("TICKETSHIM_WRITE_HEADER").is_some() {
        std::fs::write(&committed, &header).expect("include/ticketshim.h");
    }
    let found = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(found == header, "include/ticketshim.h is not what src/exports says. Repair: make header");
}

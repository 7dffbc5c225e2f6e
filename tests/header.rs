//! Holds committed headers and lists to the source. `make header` (or `TICKETSHIM_WRITE_HEADER=1`) writes it anew.

use std::fmt::Write;
use std::path::Path;

use exports::Node;
use ticketshim_keys::counters::{INFO, Kind};

#[path = "../build/exports.rs"]
mod exports;

#[test]
fn header_is_what_the_source_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(config);
    let dir = tempfile::tempdir().expect("a directory for one file");
    let stats = dir.path().join("stats.rs");
    std::fs::write(&stats, stats_in_rust()).expect("written");
    let sources = ["types.rs", "manual_page.rs", "own.rs"].map(|file| root.join("src/exports").join(file));
    for source in [stats].into_iter().chain(sources) {
        builder = builder.with_src(source);
    }
    let mut header = Vec::new();
    builder.generate().expect("cbindgen").write(&mut header);
    let header = String::from_utf8(header).expect("UTF-8");

    is_written(&root.join("include/ticketshim.h"), &header);
}

#[test]
fn c_tests_know_all_reasons() {
    let reasons = INFO.iter().filter(|info| info.kind == Kind::Refusal);
    let members: String = reasons.map(|info| format!(" \\\n    X({})", info.name)).collect();
    let text = format!(
        "/* refusals.h: the reasons to refuse a ticket. `make header` writes it. */\n#define TS_REFUSALS(X){members}\n"
    );
    is_written(&Path::new(env!("CARGO_MANIFEST_DIR")).join("c-tests/harness/refusals.h"), &text);
}

#[test]
fn the_check_of_the_built_file_knows_all_exports() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = "# Everything that libticketshim.so exports: name, which symbol version (of what libssl always had, of what came with
# ticket callbacks, with OpenSSL 3.2, our own), and the first OpenSSL that has such a function if that is not 1.1.1. `make header` writes it.
"
    .to_owned();
    for export in exports::list(root).expect("exports") {
        let node = match export.node {
            Node::Libssl => "libssl",
            Node::Tickets => "tickets",
            Node::Since32 => "3.2",
            Node::Own => "own",
        };
        let since = if export.since > 1 { format!(" {}", export.since) } else { String::new() };
        writeln!(text, "{} {node}{since}", export.name).expect("a String grows");
    }
    is_written(&root.join("c-tests/elf/exports.txt"), &text);
}

/// Holds a committed file to what it should be, or writes it.
fn is_written(path: &Path, text: &str) {
    if std::env::var_os("TICKETSHIM_WRITE_HEADER").is_some() {
        std::fs::write(path, text).expect("written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == text, "{} is not what the source says. Repair: make header", path.display());
}

/// The structure of counters as cbindgen reads it.
fn stats_in_rust() -> String {
    let mut text = "/// Counters of this process, since it was started (a forked child goes on from its parent's). Later versions may
/// add members at the end: ticketshim_get_stats() fills what the caller's structure has.
#[repr(C)]
pub struct ticketshim_stats {
"
    .to_owned();
    for info in INFO.iter().filter(|info| info.in_c) {
        writeln!(text, "{}\n    pub {}: u64,", comment(info.text), info.name).expect("a String grows");
    }
    text + "}\n"
}

/// Lines of at most 110 characters.
fn comment(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        if lines.last().is_some_and(|line| line.len() + word.len() > 110) {
            lines.push(String::new());
        }
        let line = lines.last_mut().expect("one at least");
        line.extend([" ", word]);
    }
    lines.iter().map(|line| format!("    ///{line}\n")).collect::<String>().trim_end().to_owned()
}

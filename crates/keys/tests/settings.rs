//! What is not made of `settings::ALL` while it is compiled or built, and must follow: README's table, which
//! `make readme-tables` writes, the names in documents, and the test with real servers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ticketshim_keys::settings::{ALL, Setting};

const BEGIN: &str = "<!-- settings: written by make readme-tables -->\n";
const END: &str = "<!-- end of settings -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn table() -> String {
    let mut table = "| environment | in the file | values | default |\n|---|---|---|---|\n".to_owned();
    for setting in &ALL {
        let (variable, name) = (setting.variable(), setting.name);
        table += &format!("| `{variable}` | `{name}` | {} | {} |\n", setting.values.markdown(), setting.default());
    }
    table
}

#[test]
fn settings_of_the_readme_are_those_of_the_table() {
    let file = root().join("README.md");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("README.md has a line that begins the table of settings");
    let (found, after) = rest.split_once(END).expect("README.md has a line that ends the table of settings");
    if std::env::var_os("TICKETSHIM_WRITE_README").is_some() {
        fs::write(&file, [before, BEGIN, &table(), END, after].concat()).unwrap();
    } else {
        assert_eq!(found, table(), "README.md's settings are not those of the table. Repair: make readme-tables");
    }
}

#[test]
fn settings_are_tried_with_a_real_server() {
    const TEST: &str = "c-tests/sharing/settings.t";
    let text = fs::read_to_string(root().join(TEST)).unwrap();
    for variable in ALL.iter().map(Setting::variable) {
        let call = format!("bad {variable} ");
        let tried = text.lines().any(|line| line.trim_start().starts_with(&call));
        assert!(tried, "{TEST} does not try {variable}. Repair: a line \"{call}VALUE\", and what good values do");
    }
}

/// A setting that was renamed or dropped is still in a document.
#[test]
fn documents_name_no_variable_but_of_settings() {
    // Where the settings are read from, of the command, of tests of other OpenSSLs, a macro of the header, a manual page.
    const OTHERS: [&str; 5] = [
        "TICKETSHIM_CONFIG",
        "TICKETSHIM_LIB",
        "TICKETSHIM_OPENSSL_CACHE",
        "TICKETSHIM_STANDALONE",
        "TICKETSHIM_GET_STATS",
    ];
    let known: BTreeSet<String> = ALL.iter().map(Setting::variable).collect();
    let mut open = vec![root().join("README.md"), root().join("docs"), root().join("packaging")];
    let mut seen = BTreeSet::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (at, _) in text.match_indices("TICKETSHIM_") {
            let rest = &text[at..];
            let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(rest.len());
            let name = &rest[..end];
            assert!(
                known.contains(name) || name == "TICKETSHIM_" || OTHERS.contains(&name),
                "{}: {name} is no setting",
                path.display()
            );
            seen.insert(name.to_owned());
        }
    }
    assert!(seen.len() > 4, "{seen:?}");
}

//! The list of exports: the `version…!("NAME")` line above each exported function in `src/exports`. The linker's version
//! script and `c-tests/elf/exports.txt` come from it.

use std::fs;
use std::path::Path;

/// The symbol version node that a function is in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// Of what libssl always had.
    Libssl,
    /// Of what came with session ticket callbacks.
    Tickets,
    /// Of what came with OpenSSL 3.2.
    Since32,
    /// Of what is ours alone.
    Own,
}

/// An exported function.
pub struct Export {
    pub name: String,
    pub node: Node,
    /// The first OpenSSL that has it, of 1.1.1, 3 and 4: its first number.
    pub since: u8,
}

/// All exports, by name. An error says which function is not in the list.
pub fn list(root: &Path) -> Result<Vec<Export>, String> {
    let mut exports = Vec::new();
    let dir = root.join("src/exports");
    let files = fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    for path in files.flatten().map(|file| file.path()) {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let since = match path.file_name().and_then(|name| name.to_str()) {
            Some(name) if name.ends_with("_3.rs") => 3,
            Some(name) if name.ends_with("_4.rs") => 4,
            _ => 1,
        };
        let mut exported = false;
        for line in text.lines() {
            if let Some((name, node)) = version(line) {
                exports.push(Export { name: name.to_owned(), node, since });
            }
            exported |= line == "#[unsafe(no_mangle)]";
            if let Some(name) = exported.then(|| function(line)).flatten() {
                exported = false;
                if exports.last().is_none_or(|last| last.name != name) {
                    let path = path.display();
                    return Err(format!(
                        "{path}: {name} has no symbol version. Repair: version_libssl!(\"{name}\"); above it"
                    ));
                }
            }
        }
    }
    exports.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(exports)
}

fn version(line: &str) -> Option<(&str, Node)> {
    let (which, rest) = line.strip_prefix("version")?.split_once("!(\"")?;
    let node = match which {
        "_libssl" => Node::Libssl,
        "_libssl_tickets" => Node::Tickets,
        "_libssl_3_2" => Node::Since32,
        _ => Node::Own,
    };
    Some((rest.split_once('"')?.0, node))
}

fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once(" fn ")?;
    before.starts_with("pub ").then(|| after.split('(').next())?
}

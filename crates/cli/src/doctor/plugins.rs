//! What a program may load later: modules of its own that use libssl, in the directories that carry its name.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use crate::elf::Elf;
use crate::program::is_libssl;

/// Where distributions and local builds put modules.
const LIBS: [&str; 3] = ["/usr/lib", "/usr/local/lib", "/usr/lib64"];
/// Most files that are looked at: a directory may hold a whole language's library.
const MOST: usize = 4000;
const DEPTH: usize = 4;

/// A module that needs libssl, and which.
#[derive(Debug)]
pub struct Plugin {
    pub path: PathBuf,
    pub libssl: String,
}

/// The first module of a program that uses libssl.
pub fn find(program: &Path) -> Option<Plugin> {
    // `python3` is a link to `python3.11`.
    let program = fs::canonicalize(program).unwrap_or_else(|_| program.to_path_buf());
    let name = program.file_name()?.to_str()?;
    let plain = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let names = if plain == name || plain.is_empty() { vec![name] } else { vec![name, plain] };
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let places = LIBS.iter().flat_map(|lib| [PathBuf::from(lib), Path::new(lib).join(&triplet)]);
    let dirs = places.flat_map(|place| names.iter().map(move |name| place.join(name)).collect::<Vec<_>>());
    let mut left = MOST;
    let mut dirs = dirs.filter(|dir| dir.is_dir());
    dirs.find_map(|dir| search(&dir, &mut left))
}

fn search(dir: &Path, left: &mut usize) -> Option<Plugin> {
    let mut open = VecDeque::from([(dir.to_path_buf(), 0)]);
    while let Some((dir, depth)) = open.pop_front() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            *left = left.checked_sub(1)?;
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < DEPTH => open.push_back((path, depth + 1)),
                Ok(kind) if kind.is_file() && may_be_module(&path) => {
                    if let Some(libssl) = libssl_of(&path) {
                        return Some(Plugin { path, libssl });
                    }
                }
                _ => {}
            }
        }
    }
    None
}

/// A module (`mod_ssl.so`), or a program that the server starts (Postfix's `smtpd`): no suffix.
fn may_be_module(path: &Path) -> bool {
    path.extension().is_none_or(|suffix| suffix == "so")
}

fn libssl_of(path: &Path) -> Option<String> {
    let elf = Elf::read(path).ok()??;
    elf.needed.into_iter().find(|name| is_libssl(name))
}

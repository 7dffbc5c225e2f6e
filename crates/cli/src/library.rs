//! Where libticketshim.so is, and what it was built for.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::elf::Elf;

/// Names the library in the environment, above all else.
pub const VARIABLE: &str = "TICKETSHIM_LIB";
/// What its file is called, with or without a version behind.
pub const NAME: &str = "libticketshim.so";
/// Where the package puts it, if its build says so.
const INSTALLED: Option<&str> = option_env!("LIBDIR");
const NAMES: [&str; 2] = ["libticketshim.so.0", "libticketshim.so"];

/// The library, found.
#[derive(Debug)]
pub struct Library {
    pub elf: Elf,
    /// The libssl that it stands in front of, such as `libssl.so.3`.
    pub libssl: String,
}

/// Why there is none.
#[derive(Error, Debug)]
pub enum NoLibrary {
    #[error("libticketshim.so was not found (looked in {0}): install it, or name it in {VARIABLE}")]
    Missing(String),
    #[error("{path}: {error} ({VARIABLE} names it)", path = .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{path} is not libticketshim.so (it is {what}): install it again", path = .path.display())]
    Wrong { path: PathBuf, what: &'static str },
    #[error("the path {path} cannot be preloaded, because it has a space or colon in it: move the library", path = .0.display())]
    Path(PathBuf),
}

/// Finds the library: what [`VARIABLE`] names; beside this command, as in a build tree; in `../lib` and its kin, as
/// installed under any prefix; where the package was told to put it.
pub fn find() -> Result<Library, NoLibrary> {
    if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return check(std::path::absolute(&path).unwrap_or_else(|_| path.into()));
    }
    let dirs = directories();
    let candidates = dirs.iter().flat_map(|dir| NAMES.iter().map(move |name| dir.join(name)));
    for path in candidates {
        if path.is_file() {
            return check(path);
        }
    }
    let looked: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    Err(NoLibrary::Missing(looked.join(", ")))
}

fn directories() -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    if let Some(here) = env::current_exe().ok().as_deref().and_then(Path::parent) {
        dirs.push(here.to_path_buf());
        if let Some(prefix) = here.parent() {
            let triplet = format!("lib/{}-linux-gnu", env::consts::ARCH);
            // The last: a debug build of this command beside a release build of the library.
            dirs.extend(["lib", &triplet, "lib64", "release"].map(|dir| prefix.join(dir)));
        }
    }
    dirs.extend(INSTALLED.map(PathBuf::from));
    let mut seen = Vec::new();
    dirs.retain(|dir| {
        !seen.contains(dir) && {
            seen.push(dir.clone());
            true
        }
    });
    dirs
}

fn check(path: PathBuf) -> Result<Library, NoLibrary> {
    if path.to_string_lossy().contains([' ', ':']) {
        return Err(NoLibrary::Path(path));
    }
    let wrong = |what| NoLibrary::Wrong { path: path.clone(), what };
    let elf = match Elf::read(&path) {
        Ok(elf) => elf.ok_or_else(|| wrong("no ELF file"))?,
        Err(error) => return Err(NoLibrary::Unreadable { path, error }),
    };
    if !is_ours(&elf) {
        return Err(wrong("another library"));
    }
    // Whether or not it asks for that libssl to be loaded.
    let libssl = elf.libssl_versions.clone().ok_or_else(|| wrong("without the symbols of a libssl"))?;
    Ok(Library { elf, libssl })
}

/// Whether a file is this library.
pub fn is_ours(elf: &Elf) -> bool {
    elf.soname.as_deref().is_some_and(|name| name.starts_with("libticketshim.so"))
}

/// Where the example files of this installation are, as messages name them.
pub fn examples() -> String {
    let command = std::env::current_exe().unwrap_or_default();
    let prefix = command.parent().and_then(Path::parent);
    let dir = prefix.map(|prefix| prefix.join("share/doc/ticketshim/examples")).filter(|dir| dir.is_dir());
    dir.map_or_else(|| "docs/operators/ of the source".to_owned(), |dir| dir.display().to_string())
}

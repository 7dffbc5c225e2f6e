//! Which libraries a program will be given, as ld.so(8) finds them, without running anything of it.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::elf::{Elf, Machine};

/// A library that a program needs.
#[derive(Debug)]
pub struct Library {
    /// As it is asked for.
    pub name: String,
    /// Found there; `None`: not found, so the program will not start.
    pub elf: Option<Elf>,
    /// Who asked first.
    pub needed_by: PathBuf,
}

/// All libraries of a program, in the order that the loader comes to them.
pub fn libraries(program: &Elf) -> Vec<Library> {
    let search = Search::new(program);
    let mut found: Vec<Library> = Vec::new();
    // An object and the RPATHs of those that asked for it, nearest first.
    let mut open = vec![(program.clone(), Vec::new())];
    while !open.is_empty() {
        let mut next = Vec::new();
        for (object, inherited) in open {
            let mut rpaths = own_dirs(&object, &object.rpath);
            rpaths.extend(inherited);
            for name in &object.needed {
                if found.iter().any(|library| library.is(name)) {
                    continue;
                }
                let elf = search.find(name, &object, &rpaths);
                next.extend(elf.clone().map(|elf| (elf, rpaths.clone())));
                found.push(Library { name: name.clone(), elf, needed_by: object.path.clone() });
            }
        }
        open = next;
    }
    found
}

impl Library {
    fn is(&self, name: &str) -> bool {
        self.name == name || self.elf.as_ref().is_some_and(|elf| elf.soname.as_deref() == Some(name))
    }
}

/// The order of ld.so(8).
struct Search {
    machine: Machine,
    environment: Vec<PathBuf>,
    cache: HashMap<String, Vec<PathBuf>>,
    defaults: Vec<PathBuf>,
}

impl Search {
    fn new(program: &Elf) -> Self {
        let environment = env::var_os("LD_LIBRARY_PATH").map(|dirs| env::split_paths(&dirs).collect());
        let triplet = format!("{}-linux-gnu", env::consts::ARCH);
        let defaults = [format!("/lib/{triplet}"), format!("/usr/lib/{triplet}")].map(PathBuf::from).into_iter();
        let defaults = defaults.chain(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(PathBuf::from)).collect();
        let cache = fs::read("/etc/ld.so.cache").ok().and_then(|bytes| parse_cache(&bytes)).unwrap_or_default();
        Self { machine: program.machine, environment: environment.unwrap_or_default(), cache, defaults }
    }

    fn find(&self, name: &str, by: &Elf, rpaths: &[PathBuf]) -> Option<Elf> {
        if name.contains('/') {
            return self.usable(Path::new(name));
        }
        // RUNPATH makes RPATH void, also the ones of those that asked for this object.
        let rpaths = if by.runpath.is_empty() { rpaths } else { &[] };
        let runpaths = own_dirs(by, &by.runpath);
        let dirs = rpaths.iter().chain(&self.environment).chain(&runpaths).map(|dir| dir.join(name));
        let cached = self.cache.get(name).into_iter().flatten().cloned();
        let defaults = self.defaults.iter().map(|dir| dir.join(name));
        dirs.chain(cached).chain(defaults).find_map(|path| self.usable(&path))
    }

    /// The loader passes over files for another machine.
    fn usable(&self, path: &Path) -> Option<Elf> {
        Elf::read(path).ok()?.filter(|elf| elf.machine == self.machine)
    }
}

/// RPATH or RUNPATH with `$ORIGIN` put in.
fn own_dirs(object: &Elf, dirs: &[String]) -> Vec<PathBuf> {
    let path = fs::canonicalize(&object.path).unwrap_or_else(|_| object.path.clone());
    let origin = path.parent().unwrap_or(Path::new("/")).display().to_string();
    let expand = |dir: &String| PathBuf::from(dir.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin));
    dirs.iter().map(expand).collect()
}

/// glibc's `struct cache_file_new` (elf/dl-cache.h): a header of 48 bytes, entries of 24 bytes (flags, key, value, …),
/// strings, which key and value are offsets of from the header's start.
fn parse_cache(bytes: &[u8]) -> Option<HashMap<String, Vec<PathBuf>>> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    const HEADER: usize = 48;
    const ENTRY: usize = 24;
    // Old files have the table of libc5's time before it.
    let start = bytes.windows(MAGIC.len()).position(|window| window == MAGIC)?;
    let bytes = &bytes[start..];
    let number = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?) as usize);
    let text = |at: usize| {
        let rest = bytes.get(at..)?;
        std::str::from_utf8(&rest[..rest.iter().position(|b| *b == 0)?]).ok()
    };
    let mut cache: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for entry in 0..number(MAGIC.len())? {
        let at = HEADER + entry * ENTRY;
        let (name, path) = (text(number(at + 4)?)?, text(number(at + 8)?)?);
        cache.entry(name.to_owned()).or_default().push(path.into());
    }
    Some(cache)
}

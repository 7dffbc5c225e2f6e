//! What runs already, as /proc shows it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::access::{self, Blocked, Who};
use crate::library;

/// A running process.
#[derive(Debug)]
pub struct Process {
    pub pid: u32,
    pub uid: u32,
    pub parent: u32,
    /// Its program, as it is called where the process is.
    pub program: PathBuf,
    /// The files that are mapped into it, each once.
    pub mapped: Vec<Mapped>,
    /// Its environment as it was at the start; empty if it has been overwritten, as servers do to show a title.
    pub environment: HashMap<OsString, OsString>,
    /// The kernel told the loader not to trust the environment.
    pub is_secure: bool,
    /// Who it was when it was started.
    started_as: Who,
    /// It has the same file systems as we have, if perhaps another root directory.
    pub shares_mounts: bool,
    /// The root directory that its settings were meant in.
    root: PathBuf,
}

/// A file that is mapped into a process.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// As the process sees it.
    pub path: PathBuf,
    /// It was replaced or removed since.
    pub is_deleted: bool,
    /// Where it is in memory, as `/proc/PID/map_files` calls it.
    pub range: String,
    /// What is written there is written to the file.
    pub is_shared: bool,
    inode: u64,
}

impl Process {
    /// Looks at a process. It needs the rights of the process's user.
    pub fn read(pid: u32) -> io::Result<Self> {
        let dir = PathBuf::from(format!("/proc/{pid}"));
        let status = fs::read_to_string(dir.join("status"))?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().next()?.parse().ok()
        };
        let program = without_mark(fs::read_link(dir.join("exe"))?).0;
        let who = Who::of_status(&status);
        let auxv = fs::read(dir.join("auxv"))?;
        let started_as = match auxiliary(&auxv, AT_EUID) {
            Some(0) if who.uid != 0 => Who::root(),
            Some(uid) => who.clone().with_uid(u32::try_from(uid).unwrap_or(who.uid)),
            None => who.clone(),
        };
        let shares_mounts = mounts(&dir).is_some_and(|theirs| mounts(Path::new("/proc/self")) == Some(theirs));
        Ok(Self {
            pid,
            uid: number("Uid:").unwrap_or_default(),
            parent: number("PPid:").unwrap_or_default(),
            mapped: parse_maps(&fs::read(dir.join("maps"))?),
            environment: parse_environment(&fs::read(dir.join("environ"))?),
            is_secure: auxiliary(&auxv, AT_SECURE).is_some_and(|value| value != 0),
            started_as,
            root: root_for_settings(&dir, shares_mounts, &program),
            program,
            shares_mounts,
        })
    }

    /// Where a file is for us that its settings name. In a container names lead elsewhere than ours.
    pub fn outside(&self, path: &Path) -> PathBuf {
        access::resolve(&self.root, path, true, None)
            .unwrap_or_else(|_| self.root.join(path.strip_prefix("/").unwrap_or(path)))
    }

    /// The same, if that user may go that way; a link in the last place is not followed.
    pub fn way_to(&self, path: &Path, who: Option<&Who>) -> Result<PathBuf, Blocked> {
        access::resolve(&self.root, path, false, who)
    }

    /// Who has read the settings and the state file: the user of the first process in the line that it came from which runs
    /// the same program with the library. `None` if that cannot be told.
    pub fn founder(&self) -> Option<Who> {
        let mut founder = self.started_as.clone();
        let mut next = self.parent;
        while next > 1 && name_of(next) == name_of(self.pid) {
            let parent = Self::read(next).ok()?;
            if parent.program != self.program || parent.libraries(library::NAME).next().is_none() {
                break;
            }
            next = parent.parent;
            founder = parent.started_as;
        }
        Some(founder)
    }

    /// The content of its program.
    pub fn executable(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/exe", self.pid))
    }

    /// The content of a mapped file. As root it is what is mapped, whatever its name leads to now; else what the name leads
    /// to, if that is the same file.
    pub fn content(&self, file: &Mapped) -> PathBuf {
        let mapped = PathBuf::from(format!("/proc/{}/map_files/{}", self.pid, file.range));
        if file.is_deleted || fs::File::open(&mapped).is_ok() {
            return mapped;
        }
        let named = if self.shares_mounts { file.path.clone() } else { self.outside(&file.path) };
        if fs::metadata(&named).is_ok_and(|meta| meta.ino() == file.inode) { named } else { mapped }
    }

    /// The mapped libraries whose file name begins so.
    pub fn libraries<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Mapped> {
        self.mapped.iter().filter(move |file| file.name().starts_with(prefix))
    }

    /// The process, those that it came from, and those that came of it: one of them loaded the library.
    pub fn kin(&self) -> Vec<u32> {
        let mut all = descendants(self.pid);
        all.push(self.pid);
        let mut next = self.parent;
        while next > 1 && !all.contains(&next) {
            all.push(next);
            next = parent(next).unwrap_or_default();
        }
        all
    }

    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.get(OsStr::new(name)).map(OsString::as_os_str)
    }
}

impl Mapped {
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// How much of it is mapped, in bytes.
    pub fn len(&self) -> Option<u64> {
        let (start, end) = self.range.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        number(end)?.checked_sub(number(start)?)
    }
}

/// The processes that have come of a process, itself not among them.
pub fn descendants(of: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![of];
    while let Some(pid) = open.pop() {
        let these = children.remove(&pid).unwrap_or_default();
        open.extend(&these);
        found.extend(these);
    }
    found.sort_unstable();
    found
}

/// The root directory that a process's settings were meant in: with the same file systems ours, unless it was started in
/// another. A server that moves into a chroot has its files from before.
fn root_for_settings(dir: &Path, shares_mounts: bool, program: &Path) -> PathBuf {
    let theirs = dir.join("root");
    let jail = fs::read_link(&theirs).ok();
    if shares_mounts && !jail.is_some_and(|jail| jail != Path::new("/") && program.starts_with(jail)) {
        return PathBuf::from("/");
    }
    theirs
}

/// The first process that runs a program, of those that did not come of one that does.
pub fn running(program: &Path) -> Option<u32> {
    let program = fs::canonicalize(program).ok()?;
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let runs = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program);
    firsts(pids.filter(runs).collect())
}

/// The first of these that is no child of another of these.
pub fn firsts(pids: Vec<u32>) -> Option<u32> {
    pids.iter().copied().filter(|pid| parent(*pid).is_none_or(|parent| !pids.contains(&parent))).min()
}

/// The mount namespace of the process with that directory.
fn mounts(dir: &Path) -> Option<PathBuf> {
    fs::read_link(dir.join("ns/mnt")).ok()
}

/// What /proc calls a process, for anybody who asks.
fn name_of(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok()
}

fn parent(pid: u32) -> Option<u32> {
    field(pid, 4)?.try_into().ok()
}

/// A field of /proc/PID/stat by its number in proc_pid_stat(5), 3 or above.
fn field(pid: u32, number: usize) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

fn parse_maps(maps: &[u8]) -> Vec<Mapped> {
    let mut found: Vec<Mapped> = Vec::new();
    for line in maps.split(|b| *b == b'\n') {
        // address perms offset device inode path
        let Some(at) = line.iter().position(|b| *b == b'/') else { continue };
        let (path, is_deleted) = without_mark(PathBuf::from(OsStr::from_bytes(&line[at..])));
        if !found.iter().any(|other| other.path == path && other.is_deleted == is_deleted) {
            let mut words = line.split(|b| *b == b' ').map(String::from_utf8_lossy);
            let range = words.next().unwrap_or_default().into_owned();
            let is_shared = words.next().is_some_and(|flags| flags.ends_with('s'));
            let inode = words.nth(2).and_then(|word| word.parse().ok()).unwrap_or_default();
            found.push(Mapped { path, is_deleted, range, is_shared, inode });
        }
    }
    found
}

/// The kernel marks the names of files that are not there any more.
fn without_mark(path: PathBuf) -> (PathBuf, bool) {
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(name) => (PathBuf::from(OsStr::from_bytes(name)), true),
        None => (path, false),
    }
}

fn parse_environment(bytes: &[u8]) -> HashMap<OsString, OsString> {
    let pairs = bytes.split(|b| *b == 0).filter_map(|entry| {
        let at = entry.iter().position(|b| *b == b'=').filter(|at| *at > 0)?;
        Some((OsString::from_vec(entry[..at].to_vec()), OsString::from_vec(entry[at + 1..].to_vec())))
    });
    pairs.collect()
}

/// What the kernel told the program when it was started (getauxval(3)): that it has more rights than its caller.
const AT_SECURE: usize = 23;
/// As which user it runs.
const AT_EUID: usize = 12;

/// An entry of the auxiliary vector.
fn auxiliary(auxv: &[u8], wanted: usize) -> Option<usize> {
    let words = auxv.as_chunks::<{ size_of::<usize>() }>().0.iter().map(|word| usize::from_ne_bytes(*word));
    let words: Vec<usize> = words.collect();
    words.as_chunks().0.iter().find_map(|[kind, value]| (*kind == wanted).then_some(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_files_each_once() {
        let maps =
            b"55e0-55e1 r--p 00000000 fe:00 1  /usr/sbin/nginx\n55e1-55e2 r-xp 00001000 fe:00 1  /usr/sbin/nginx\n\
            7f00-7f01 r--p 00000000 fe:00 2  /usr/lib/libssl.so.3 (deleted)\n7ff0-7ff1 rw-p 0 00:00 0  [stack]\n";
        let files = parse_maps(maps);
        assert_eq!(files.len(), 2);
        assert_eq!((files[1].name().as_str(), files[1].is_deleted), ("libssl.so.3", true));
        assert_eq!((files[1].range.as_str(), files[1].len(), files[1].is_shared), ("7f00-7f01", Some(1), false));
        assert_eq!((files[0].inode, files[1].inode), (1, 2));
    }

    #[test]
    fn an_overwritten_environment_is_empty() {
        assert!(parse_environment(&[0; 100]).is_empty());
        assert_eq!(parse_environment(b"A=1\0B=x=y\0").get(OsStr::new("B")), Some(&OsString::from("x=y")));
    }
}

//! What a user may do with a file, and where a path leads in another root directory. From owners and modes, without
//! becoming that user: access lists and security modules may forbid more.

use std::collections::{HashSet, VecDeque};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::text::user_name;

/// As many symbolic links as the kernel follows.
const MOST_LINKS: usize = 40;

/// A user, for the kernel.
#[derive(Clone, Debug, Default)]
pub struct Who {
    pub uid: u32,
    groups: HashSet<u32>,
    /// CAP_DAC_READ_SEARCH or CAP_DAC_OVERRIDE.
    reads_all: bool,
    /// CAP_DAC_OVERRIDE.
    writes_all: bool,
}

/// The rights of a class in a mode.
#[derive(Clone, Copy)]
pub enum Right {
    Read = 4,
    Write = 2,
    Search = 1,
}

/// Why a path leads nowhere.
#[derive(Debug)]
pub enum Blocked {
    /// That directory may not be searched.
    Search(PathBuf),
    /// There is no such directory.
    NoDirectory(PathBuf),
    /// It could not be looked at.
    Unknown(PathBuf, io::Error),
}

impl Who {
    /// The user that /proc/PID/status describes (proc_pid_status(5)).
    pub fn of_status(status: &str) -> Self {
        let words = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        // Real, effective, saved, of the file system.
        let fourth = |name| words(name).get(3).and_then(|word| word.parse().ok());
        let mut groups: HashSet<u32> = words("Groups:").iter().filter_map(|word| word.parse().ok()).collect();
        groups.extend(fourth("Gid:"));
        let capabilities = words("CapEff:").first().and_then(|word| u64::from_str_radix(word, 16).ok());
        let has = |bit: u32| capabilities.is_some_and(|all| all >> bit & 1 == 1);
        // CAP_DAC_OVERRIDE is 1, CAP_DAC_READ_SEARCH 2 (linux/capability.h).
        Self { uid: fourth("Uid:").unwrap_or_default(), groups, reads_all: has(1) || has(2), writes_all: has(1) }
    }

    /// This process.
    pub fn ourselves() -> Self {
        Self::of_status(&fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    /// Root, as services begin.
    pub fn root() -> Self {
        Self { reads_all: true, writes_all: true, ..Self::default() }
    }

    /// The same with another user id.
    pub fn with_uid(self, uid: u32) -> Self {
        Self { uid, ..self }
    }

    pub fn may(&self, what: &Metadata, right: Right) -> bool {
        let all = match right {
            Right::Write => self.writes_all,
            Right::Search => self.reads_all,
            Right::Read => self.reads_all,
        };
        let class = match (what.uid() == self.uid, self.groups.contains(&what.gid())) {
            (true, _) => 6,
            (_, true) => 3,
            _ => 0,
        };
        all || what.mode() >> class & right as u32 != 0
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&user_name(self.uid))
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Search(dir) => write!(f, "{} may not be searched", dir.display()),
            Self::NoDirectory(dir) => write!(f, "there is no directory {}", dir.display()),
            Self::Unknown(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

/// Where a path leads for who has that root directory: links are followed there, and not in ours. The last part need not
/// exist, and is followed if `follow` says so. `who`: who must be able to go that way.
pub fn resolve(root: &Path, path: &Path, follow: bool, who: Option<&Who>) -> Result<PathBuf, Blocked> {
    let mut ahead: VecDeque<OsString> = parts(path).collect();
    let mut at: Vec<OsString> = Vec::new();
    let inside = |at: &[OsString]| Path::new("/").join(at.iter().collect::<PathBuf>());
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let dir = root.join(at.iter().collect::<PathBuf>());
        let unknown = |error| Blocked::Unknown(inside(&at).join(&part), error);
        let meta = fs::metadata(&dir).map_err(unknown)?;
        if who.is_some_and(|who| !who.may(&meta, Right::Search)) {
            return Err(Blocked::Search(inside(&at)));
        }
        let full = dir.join(&part);
        let meta = match fs::symlink_metadata(&full) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound && ahead.is_empty() => return Ok(full),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Blocked::NoDirectory(inside(&at).join(&part)));
            }
            Err(error) => return Err(unknown(error)),
        };
        if meta.is_symlink() && (follow || !ahead.is_empty()) {
            links += 1;
            if links > MOST_LINKS {
                return Err(unknown(io::Error::from_raw_os_error(rustix::io::Errno::LOOP.raw_os_error())));
            }
            let target = fs::read_link(&full).map_err(unknown)?;
            if target.is_absolute() {
                at.clear();
            }
            parts(&target).collect::<Vec<_>>().into_iter().rev().for_each(|part| ahead.push_front(part));
        } else if meta.is_dir() || ahead.is_empty() {
            at.push(part);
        } else {
            return Err(Blocked::NoDirectory(inside(&at).join(&part)));
        }
    }
    Ok(root.join(at.iter().collect::<PathBuf>()))
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn links_are_followed_in_the_other_root() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("run/ts")).unwrap();
        fs::create_dir_all(path("var")).unwrap();
        symlink("/run", path("var/run")).unwrap();
        symlink("../run/ts/keys", path("var/keys")).unwrap();
        symlink("loop", path("loop")).unwrap();
        let go = |name: &str, follow| resolve(root.path(), Path::new(name), follow, None);
        assert_eq!(go("/var/run/ts/state", true).unwrap(), path("run/ts/state"));
        assert_eq!(go("/var/../../../run/./ts", true).unwrap(), path("run/ts"));
        assert_eq!(go("/var/keys", true).unwrap(), path("run/ts/keys"));
        assert_eq!(go("/var/keys", false).unwrap(), path("var/keys"));
        assert!(matches!(go("/none/state", true), Err(Blocked::NoDirectory(dir)) if dir == Path::new("/none")));
        assert!(matches!(go("/loop/x", true), Err(Blocked::Unknown(..))));
    }

    #[test]
    fn rights_are_those_of_the_first_class_that_fits() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("d");
        fs::create_dir(&dir).unwrap();
        let (uid, gid) = (fs::metadata(&dir).unwrap().uid(), fs::metadata(&dir).unwrap().gid());
        let who = |uid, groups: &[u32]| Who { uid, groups: groups.iter().copied().collect(), ..Who::default() };
        let mode = |mode| {
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            fs::metadata(&dir).unwrap()
        };
        let private = mode(0o700);
        assert!(who(uid, &[]).may(&private, Right::Write) && !who(uid + 1, &[]).may(&private, Right::Search));
        let shared = mode(0o750);
        assert!(who(uid + 1, &[gid]).may(&shared, Right::Search) && !who(uid + 1, &[gid]).may(&shared, Right::Write));
        // The owner does not get what others do.
        let odd = mode(0o077);
        assert!(!who(uid, &[gid]).may(&odd, Right::Read) && who(uid + 1, &[]).may(&odd, Right::Read));
        assert!(Who::root().may(&odd, Right::Write));
        mode(0o700);
        let blocked = resolve(root.path(), Path::new("/d/state"), false, Some(&who(uid + 1, &[])));
        // The directory of the test is its owner's as well.
        assert!(matches!(blocked, Err(Blocked::Search(_))), "{blocked:?}");
    }

    #[test]
    fn a_status_is_read() {
        let who = Who::of_status("Uid:\t0\t33\t0\t34\nGid:\t5\t5\t5\t6\nGroups:\t7 8 \nCapEff:\t0000000000000004\n");
        assert_eq!((who.uid, who.reads_all, who.writes_all), (34, true, false));
        assert_eq!(who.groups, HashSet::from([6, 7, 8]));
    }
}

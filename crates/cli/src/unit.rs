//! Services of systemd: what their files say, without asking systemd, which need not run here.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use ticketshim_keys::settings::{self, Settings};

use crate::access::Who;
use crate::process::{self, Process};

/// Where unit files are, the first wins (systemd.unit(5)).
const DIRS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// A service.
#[derive(Debug, Default)]
pub struct Unit {
    pub name: String,
    /// What it starts: the program and its arguments.
    pub command: Vec<String>,
    /// What it puts into the environment.
    pub environment: HashMap<String, String>,
    /// What it does that hides from here what its program finds: `KEY=VALUE`.
    pub hides: Vec<String>,
    /// What it takes out of the environment.
    pub unset: Vec<String>,
    /// Its directories in /var/lib, which are made before it starts.
    pub directories: Vec<String>,
}

impl Unit {
    /// Reads a service's files; `None` if there are none.
    pub fn load(name: &str) -> Option<Self> {
        Self::load_from(&DIRS.map(PathBuf::from), name)
    }

    fn load_from(dirs: &[PathBuf], name: &str) -> Option<Self> {
        // NAME@INSTANCE.service is made of NAME@.service.
        let template = name.split_once('@').and_then(|(base, rest)| {
            let suffix = rest.rsplit_once('.').map_or("service", |(_, suffix)| suffix);
            Some(format!("{base}@.{suffix}")).filter(|template| template != name)
        });
        let names: Vec<&str> = [Some(name), template.as_deref()].into_iter().flatten().collect();
        let main = names.iter().find_map(|name| dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file()))?;
        let mut unit = Self { name: name.to_owned(), ..Self::default() };
        unit.take(&fs::read_to_string(main).ok()?);
        // By the names of the files, whichever directory they are in.
        let mut drop_ins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for dir in dirs.iter().flat_map(|dir| names.iter().map(move |name| dir.join(format!("{name}.d")))) {
            let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
            for file in files.filter(|file| file.extension().is_some_and(|suffix| suffix == "conf")) {
                drop_ins.entry(file.file_name().unwrap_or_default().to_owned()).or_insert(file);
            }
        }
        drop_ins.values().filter_map(|file| fs::read_to_string(file).ok()).for_each(|text| unit.take(&text));
        Some(unit)
    }

    /// The settings that it makes, with this machine's file.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::with_file(|name| self.variable(name).map(Into::into));
        settings.complaints.extend(self.environment.keys().filter_map(|name| settings::misspelt(name.as_bytes())));
        settings
    }

    /// What it sets a variable to.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|_| !self.unsets(name))
    }

    /// Whether it takes a variable out: by its name, or only with a value that it has.
    pub fn unsets(&self, name: &str) -> bool {
        let with_value = self.environment.get(name).map(|value| format!("{name}={value}"));
        self.unset.iter().any(|unset| unset == name || Some(unset) == with_value.as_ref())
    }

    /// Takes over what a file says.
    fn take(&mut self, text: &str) {
        let text = text.replace("\\\n", " ");
        let mut section = "";
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if line.starts_with('[') {
                section = line;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| section == "[Service]") else { continue };
            match (key.trim(), value.trim()) {
                ("Environment", "") => self.environment.clear(),
                ("Environment", value) => self.assign(words(value)),
                ("EnvironmentFile", file) => {
                    let file = fs::read_to_string(file.trim_start_matches('-')).unwrap_or_default();
                    let lines = file.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
                    self.assign(lines.map(|line| words(line).concat()));
                }
                ("ExecStart", "") => self.command.clear(),
                ("ExecStart", command) => self.command = words(command.trim_start_matches(['-', '@', ':', '+', '!'])),
                ("UnsetEnvironment", "") => self.unset.clear(),
                ("UnsetEnvironment", names) => self.unset.extend(words(names)),
                ("StateDirectory", "") => self.directories.clear(),
                ("StateDirectory", names) => self.directories.extend(words(names)),
                (key @ ("RootDirectory" | "RootImage" | "User" | "Group" | "DynamicUser"), value) => {
                    self.hides.retain(|hides| hides.split('=').next() != Some(key));
                    if !matches!((key, value), (_, "" | "/" | "root" | "0") | ("DynamicUser", "no" | "false" | "off")) {
                        self.hides.push(format!("{key}={value}"));
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether the directory of a file is one that is made before the service starts.
    pub fn makes_directory_of(&self, file: &Path) -> bool {
        let mut made =
            self.directories.iter().map(|name| Path::new("/var/lib").join(name.split(':').next().unwrap_or("")));
        made.any(|dir| file.starts_with(dir))
    }

    /// Who its processes are; `None` if that cannot be told.
    pub fn user(&self) -> Option<Who> {
        let of = |key| self.hidden(key).and_then(|hides| hides.split_once('=')).map(|(_, value)| value);
        let (user, group) = match (of("DynamicUser"), of("User"), of("Group")) {
            (None, None, None) => return Some(Who::root()),
            (None, Some(user), group) => (user, group),
            _ => return None,
        };
        // NAME:x:UID:GID:…
        let lines = fs::read_to_string("/etc/passwd").ok()?;
        let fields = lines.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let entry = fields.into_iter().find(|entry| entry.len() > 3 && (entry[0] == user || entry[2] == user))?;
        // NAME:x:GID:MEMBER,…
        let lines = fs::read_to_string("/etc/group").unwrap_or_default();
        let groups = lines
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .filter(|of| of.len() > 3 && (of[3].split(',').any(|member| member == entry[0]) || group == Some(of[0])));
        let groups: Vec<&str> = groups.map(|of| of[2]).collect();
        let (uid, gid) = (entry[2], entry[3]);
        Some(Who::of_status(&format!("Uid: 0 0 0 {uid}\nGid: 0 0 0 {gid}\nGroups: {}\n", groups.join(" "))))
    }

    /// Such a line, by its key.
    pub fn hidden(&self, key: &str) -> Option<&str> {
        self.hides.iter().find(|hides| hides.split('=').next() == Some(key)).map(String::as_str)
    }

    fn assign(&mut self, pairs: impl IntoIterator<Item = String>) {
        let pairs = pairs.into_iter().filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        self.environment.extend(pairs);
    }
}

/// Words, some in quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_ascii_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The service whose server a process is, or is of. What was started by hand below another service is not that one's.
pub fn of_process(process: &Process) -> Option<Unit> {
    let name = named(process.pid)?;
    let main = main_process(&name)?;
    let same = main == process.pid
        || fs::read_link(format!("/proc/{main}/exe")).is_ok_and(|program| program == process.program);
    if same { Unit::load(&name) } else { None }
}

/// The service that a process's control group is called by.
fn named(pid: u32) -> Option<String> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let paths = groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    // A user's own services lie below one of the system's: the last is the process's.
    paths.filter_map(|path| path.rsplit('/').find(|part| part.ends_with(".service"))).map(str::to_owned).next()
}

/// The main process of a service that runs.
pub fn main_process(name: &str) -> Option<u32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    process::firsts(pids.filter(|pid| named(*pid).as_deref() == Some(name)).collect())
}

/// Whether a path is a service's name rather than a program's.
pub fn is_name(text: &str) -> bool {
    text.ends_with(".service") && !Path::new(text).exists() && !text.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_its_file_and_its_drop_ins() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("etc/s@.service.d")).unwrap();
        fs::create_dir_all(path("lib/s@1.service.d")).unwrap();
        fs::write(
            path("lib/s@.service"),
            "[Unit]\nEnvironment=NO=1\n[Service]\nExecStart=-/bin/s -g \\\n 'a b'\nEnvironment=A=1\n",
        )
        .unwrap();
        fs::write(path("lib/s@1.service.d/b.conf"), "[Service]\nEnvironment=\"B=x y\" 'A=2'\n").unwrap();
        fs::write(path("file"), "# text\nC=\"3\"\n").unwrap();
        let file = format!("[Service]\n# Environment=NO=1\nEnvironmentFile=-{}\n", path("file").display());
        fs::write(path("etc/s@.service.d/a.conf"), file).unwrap();
        let dirs = [path("etc"), path("lib")];
        let unit = Unit::load_from(&dirs, "s@1.service").unwrap();
        assert_eq!(unit.command, ["/bin/s", "-g", "a b"]);
        let of = |name| unit.variable(name);
        assert_eq!((of("A"), of("B"), of("C"), of("NO")), (Some("2"), Some("x y"), Some("3"), None));
        assert!(Unit::load_from(&dirs, "t.service").is_none());
    }
}

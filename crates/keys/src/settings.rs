//! What the operator asked for: the environment first, then `/etc/ticketshim.toml`, then the defaults.
//!
//! Read once, when the library is loaded: servers clear the environment, drop their rights and move into a chroot
//! before their first TLS context. A value that makes no sense is one line on stderr, and the default is used.
//!
//! `table.rs` has the list.
//!
//! An empty variable stands for the default, whatever the file says. `TICKETSHIM_CONFIG` names another file than
//! `/etc/ticketshim.toml`; `/dev/null` is none.

mod file;
mod names;
mod table;
mod value;

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ticketshim_core::ring::Schedule;

use crate::log;
pub use crate::log::Level;
pub use names::misspelt;
pub use table::{ALL, COUNT, MAX_AGE_CAP, Setting, Settings};
pub use value::{Bind, Clients, Duration, EarlyData, Mode, Values, Word};

/// Where settings are looked for that the environment does not have; [`file_of`] has the exception.
pub const FILE: &str = "/etc/ticketshim.toml";
/// The variable that names another file.
const CONFIG: &str = "TICKETSHIM_CONFIG";
/// What the library does instead of what was asked for.
const DEFAULT: &str = "the default is used";
const FILE_NOT_USED: &str = "it is not used";

/// Something that was asked for and made no sense.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complaint {
    /// What is wrong with it.
    pub problem: String,
    /// What the library does about it. A command that stops instead does not say so.
    pub instead: &'static str,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)?;
        if self.instead.is_empty() { Ok(()) } else { write!(f, "; {}", self.instead) }
    }
}

impl Settings {
    /// The settings of this process, and the log set up as they say. Silent: see [`Settings::report`].
    ///
    /// A program that runs with more rights than its caller (set-user-ID, file capabilities) is not told by its
    /// caller's environment which keys to use: there, only the file counts, as with `secure_getenv`.
    pub fn load() -> Self {
        let mut settings = Self::with_file(environment);
        names::each(|name| settings.complaints.extend(misspelt(name)));
        log::set_up(settings.log);
        settings
    }

    /// The settings of a process with that environment, on this machine.
    pub fn with_file(environment: impl Fn(&str) -> Option<OsString>) -> Self {
        match file::read(&file_of(&environment)) {
            Ok(text) => Self::read(environment, text.as_deref()),
            Err(problem) => {
                let mut settings = Self::read(environment, None);
                settings.complaints.insert(0, Complaint { problem, instead: FILE_NOT_USED });
                settings
            }
        }
    }

    /// What follows from an environment and the text of the file that [`file_of`] says.
    pub fn read(environment: impl Fn(&str) -> Option<OsString>, file: Option<&str>) -> Self {
        let mut settings = Self::default();
        if let Some(value) = environment(CONFIG).filter(|value| !value.is_empty() && !Path::new(value).is_absolute()) {
            let problem = format!("{CONFIG}={} is not an absolute path", value.display());
            settings.complaints.push(Complaint { problem, instead: DEFAULT });
        }
        let path = file_of(&environment);
        let path = path.display();
        let file = file.map(|text| file::parse(text, &path, &mut settings.complaints)).unwrap_or_default();
        let mut wants_accept = false;
        for setting in &ALL {
            let variable = setting.variable();
            let (value, from) = match environment(&variable) {
                Some(value) => (value, variable),
                None => match file.iter().find(|(name, _)| name == setting.name) {
                    Some((name, value)) => (value.into(), format!("{path}: {name}")),
                    None => continue,
                },
            };
            if value.is_empty() {
                continue;
            }
            wants_accept |= setting.name == "accept";
            settings.asks_for_times |= matches!(setting.name, "accept" | "rotate");
            if (setting.set)(setting, &mut settings, &value).is_none() {
                let problem = format!("{from}={} is not {}", value.display(), setting.values.in_words());
                settings.complaints.push(Complaint { problem, instead: DEFAULT });
            }
        }
        settings.clip(wants_accept);
        settings
    }

    /// Writes the complaints to the log. Not done when the library is loaded: it is loaded into every shell and helper
    /// of a server too, and is to be silent there. Once per process and its children.
    pub fn report(&self) {
        static SAID: log::Once = log::Once::new();
        if SAID.first() {
            for line in &self.complaints {
                log::warn(format_args!("{line}"));
            }
        }
    }

    /// When keys change and how long they open, where no state file says otherwise.
    pub fn schedule(&self) -> Schedule {
        Schedule::new(self.rotate, self.accept)
    }

    fn clip(&mut self, wants_accept: bool) {
        let possible = self.schedule().accept();
        if possible < self.accept {
            let asked = std::mem::replace(&mut self.accept, possible);
            // Who never spoke of it has asked for nothing; `ticketshim doctor` shows what came of it.
            if wants_accept {
                let rotate = Duration(self.rotate.seconds());
                let (asked, possible) = (Duration(asked), Duration(possible));
                let problem = format!("with keys that change every {rotate}, tickets open for {possible}, not {asked}");
                self.complaints.push(Complaint { problem, instead: "" });
            }
        }
    }
}

/// The file of settings of a process with that environment.
pub fn file_of(environment: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    environment(CONFIG).map(PathBuf::from).filter(|path| path.is_absolute()).unwrap_or_else(|| FILE.into())
}

unsafe extern "C" {
    // In glibc and musl; the libc crate does not have it.
    fn secure_getenv(name: *const libc::c_char) -> *const libc::c_char;
}

fn environment(name: &str) -> Option<OsString> {
    let name = CString::new(name).ok()?;
    // SAFETY: a C string of ours.
    let value = unsafe { secure_getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: a C string of the environment. Nobody else changes it now: the library is being loaded.
    let value = unsafe { CStr::from_ptr(value) };
    Some(OsStr::from_bytes(value.to_bytes()).to_os_string())
}

#[cfg(test)]
mod tests {
    use ticketshim_core::ratchet::EpochLength;

    use super::*;

    /// The settings, and the complaints apart from them.
    fn read(environment: &[(&str, &str)], file: Option<&str>) -> (Settings, Vec<String>) {
        let lookup = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        let mut settings = Settings::read(lookup, file);
        let complaints = std::mem::take(&mut settings.complaints);
        (settings, complaints.iter().map(Complaint::to_string).collect())
    }

    #[test]
    fn nothing_set_is_the_default_in_silence() {
        assert_eq!(read(&[], None), (Settings::default(), vec![]));
        assert_eq!(read(&[("TICKETSHIM_MODE", "")], Some("")), (Settings::default(), vec![]));
    }

    #[test]
    fn every_setting_from_either_source() {
        let environment = [
            ("TICKETSHIM_MODE", "enforce"),
            ("TICKETSHIM_BIND", "SNI"),
            ("TICKETSHIM_CLIENTS", "shared"),
            ("TICKETSHIM_STATE", "/s"),
            ("TICKETSHIM_STATS", "/t"),
            ("TICKETSHIM_ROTATE", "90m"),
            ("TICKETSHIM_ACCEPT", "1d"),
            ("TICKETSHIM_MAX_AGE", "86400"),
            ("TICKETSHIM_EARLY_DATA", "once"),
            ("TICKETSHIM_LOG", "info"),
        ];
        let expected = Settings {
            mode: Mode::Enforce,
            bind: Bind::Sni,
            clients: Clients::Shared,
            state: Some("/s".into()),
            stats: Some("/t".into()),
            rotate: EpochLength::new(5400).unwrap(),
            accept: 86_400,
            max_age: 86_400,
            early_data: EarlyData::Once,
            log: Level::Info,
            asks_for_times: true,
            complaints: vec![],
        };
        assert_eq!(environment.len(), COUNT, "a setting is not tried here");
        assert_eq!(read(&environment, None), (expected.clone(), vec![]));
        let file = "mode = 'enforce'\nbind = \"sni\"\nclients = 'shared'\nstate='/s'\nstats='/t'\nrotate='90m'\naccept='1d'\n\
                    max_age = 86400 # a day\nearly_data='once'\nlog = 'info'\n";
        assert_eq!(read(&[], Some(file)), (expected, vec![]));
    }

    #[test]
    fn the_environment_wins_and_empty_means_default() {
        let file = "state = '/from/file'\nmode = 'off'";
        let (settings, lines) = read(&[("TICKETSHIM_STATE", "/from/env"), ("TICKETSHIM_MODE", "")], Some(file));
        assert_eq!((settings.state, settings.mode, lines.len()), (Some("/from/env".into()), Mode::Default, 0));
    }

    #[test]
    fn another_file_is_named_by_the_environment() {
        let of = |value: &'static str| file_of(move |name| (name == CONFIG).then(|| value.into()));
        assert_eq!(["/a/b", "", "a/b", "/dev/null"].map(of), ["/a/b", FILE, FILE, "/dev/null"].map(PathBuf::from));
        let (_, lines) = read(&[(CONFIG, "a/b")], None);
        assert_eq!(lines, ["TICKETSHIM_CONFIG=a/b is not an absolute path; the default is used"]);
        let (_, lines) = read(&[(CONFIG, "/a/b")], Some("mode = 'on'"));
        assert!(lines.len() == 1 && lines[0].starts_with("/a/b: mode=on is not "), "{lines:?}");

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.toml");
        let load = || Settings::with_file(|name| (name == CONFIG).then(|| path.clone().into()));
        let lines: Vec<_> = load().complaints.iter().map(Complaint::to_string).collect();
        let missing =
            format!("{} cannot be read: No such file or directory (os error 2); it is not used", path.display());
        assert_eq!(lines, [missing]);
        std::fs::write(&path, "state = '/s'").unwrap();
        assert_eq!((load().state, load().complaints), (Some("/s".into()), vec![]));
        let none = Settings::with_file(|name| (name == CONFIG).then(|| "/dev/null".into()));
        assert_eq!(none, Settings::default());
    }

    #[test]
    fn bad_values_are_one_line_each_and_the_default() {
        let bad = [
            ("TICKETSHIM_MODE", "on"),
            ("TICKETSHIM_BIND", "loose"),
            ("TICKETSHIM_CLIENTS", "everywhere"),
            ("TICKETSHIM_STATE", "relative/path"),
            ("TICKETSHIM_STATS", "~/stats"),
            ("TICKETSHIM_ROTATE", "0"),
            ("TICKETSHIM_ACCEPT", "8d"),
            ("TICKETSHIM_MAX_AGE", "8d"),
            ("TICKETSHIM_EARLY_DATA", "twice"),
            ("TICKETSHIM_LOG", "debug"),
        ];
        assert_eq!(bad.len(), COUNT, "a setting is not tried here");
        let (settings, lines) = read(&bad, None);
        assert_eq!(settings, Settings { asks_for_times: true, ..Settings::default() });
        assert_eq!(lines.len(), bad.len());
        for ((name, value), line) in bad.iter().zip(&lines) {
            assert!(
                line.starts_with(&format!("{name}={value} is not ")) && line.ends_with("default is used"),
                "{line}"
            );
        }
        for file in ["mode = ", "mode = 'on'", "nonsense = 1", "state = ['/a']", "[mode]\na = 1"] {
            let (settings, lines) = read(&[], Some(file));
            assert_eq!((settings, lines.len()), (Settings::default(), 1), "{file}: {lines:?}");
            assert!(lines[0].starts_with(FILE), "{lines:?}");
        }
    }

    #[test]
    fn a_window_that_cannot_be_is_clipped_and_said_once() {
        let (settings, lines) = read(&[("TICKETSHIM_ROTATE", "1s")], None);
        assert_eq!((settings.accept, lines.len()), (253, 0));
        let (settings, lines) = read(&[("TICKETSHIM_ROTATE", "1m"), ("TICKETSHIM_ACCEPT", "7d")], None);
        assert_eq!(settings.accept, settings.schedule().accept());
        assert_eq!(lines, ["with keys that change every 1m, tickets open for 4h13m, not 7d"]);
    }
}

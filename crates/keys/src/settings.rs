//! What the operator asked for: the environment first, then `/etc/ticketshim.toml`, then the defaults.
//!
//! Read once, when the library is loaded: servers clear the environment, drop their rights and move into a chroot
//! before their first TLS context. A value that makes no sense is one line on stderr, and the default is used.
//!
//! | environment | in the file | values | default |
//! |---|---|---|---|
//! | `TICKETSHIM_MODE` | `mode` | `default`, `enforce`, `off` | `default` |
//! | `TICKETSHIM_BIND` | `bind` | `context`, `strict`, `sni`, `none` | `strict` |
//! | `TICKETSHIM_STATE` | `state` | an absolute path | none: keys die with the process |
//! | `TICKETSHIM_STATS` | `stats` | an absolute path | none |
//! | `TICKETSHIM_ROTATE` | `rotate` | `1s` to `7d` | `1h` |
//! | `TICKETSHIM_ACCEPT` | `accept` | `0` to `7d` | `12h` |
//! | `TICKETSHIM_MAX_AGE` | `max_age` | `1s` to `7d` | `7d` |
//! | `TICKETSHIM_LOG` | `log` | `off`, `warn`, `info` | `warn` |
//!
//! An empty variable stands for the default, whatever the file says.

mod file;
mod names;

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ticketshim_core::ratchet::EpochLength;
use ticketshim_core::ring::{MAX_ACCEPT, Schedule};

use crate::log;
pub use crate::log::Level;
pub use names::misspelt;

/// Where settings are looked for that the environment does not have.
pub const FILE: &str = "/etc/ticketshim.toml";
/// The longest that a renewed ticket may lead back to one full handshake, in seconds: RFC 8446 section 4.6.1.
pub const MAX_AGE_CAP: u64 = 7 * 86_400;
/// What the library does instead of what was asked for.
const DEFAULT: &str = "the default is used";
const FILE_NOT_USED: &str = "it is not used";

/// Whether contexts are taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// All but those for which the application brings its own ticket keys.
    #[default]
    Default,
    /// All, whatever the application sets.
    Enforce,
    /// None: stock tickets. The three ticket appdata functions work nevertheless.
    Off,
}

/// What tickets are bound to: see [`ticketshim_core::binding`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Bind {
    /// To all of `strict`, and to the very `SSL_CTX` object: stock's isolation, and nothing survives a restart.
    Context,
    /// To the protocol, the server that was asked for, and what in the context decides who may come in.
    #[default]
    Strict,
    /// To the protocol and the server that was asked for.
    Sni,
    /// To the protocol only.
    None,
}

/// All settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Whether contexts are taken over.
    pub mode: Mode,
    /// What tickets are bound to.
    pub bind: Bind,
    /// The file that keys are shared by.
    pub state: Option<PathBuf>,
    /// The file that counters are published in.
    pub stats: Option<PathBuf>,
    /// How long tickets are sealed under one key.
    pub rotate: EpochLength,
    /// For how many seconds tickets open after they were sealed.
    pub accept: u64,
    /// For how many seconds renewed tickets lead back to one full handshake.
    pub max_age: u64,
    /// How much is written to stderr.
    pub log: Level,
    /// Whether anybody asked for `rotate` or `accept`: a state file that says otherwise is then worth a line.
    pub asks_for_times: bool,
    /// A line for each thing that made no sense: see [`Settings::report`].
    pub complaints: Vec<Complaint>,
}

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

impl Default for Settings {
    fn default() -> Self {
        const HOUR: EpochLength = EpochLength::new(3600).expect("an hour is not 0 seconds");
        Self {
            mode: Mode::Default,
            bind: Bind::Strict,
            state: None,
            stats: None,
            rotate: HOUR,
            accept: 12 * 3600,
            max_age: MAX_AGE_CAP,
            log: Level::Warn,
            asks_for_times: false,
            complaints: Vec::new(),
        }
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
        match file::read(Path::new(FILE)) {
            Ok(text) => Self::read(environment, text.as_deref()),
            Err(problem) => {
                let mut settings = Self::read(environment, None);
                settings.complaints.insert(0, Complaint { problem, instead: FILE_NOT_USED });
                settings
            }
        }
    }

    /// What follows from an environment and the text of a file.
    pub fn read(environment: impl Fn(&str) -> Option<OsString>, file: Option<&str>) -> Self {
        let mut settings = Self::default();
        let file = file.map(|text| file::parse(text, &mut settings.complaints)).unwrap_or_default();
        let mut wants_accept = false;
        for key in KEYS {
            let variable = format!("TICKETSHIM_{}", key.name.to_uppercase());
            let (value, from) = match environment(&variable) {
                Some(value) => (value, variable),
                None => match file.iter().find(|(name, _)| name == key.name) {
                    Some((name, value)) => (value.into(), format!("{FILE}: {name}")),
                    None => continue,
                },
            };
            if value.is_empty() {
                continue;
            }
            wants_accept |= key.name == "accept";
            settings.asks_for_times |= matches!(key.name, "accept" | "rotate");
            if (key.set)(&mut settings, &value).is_none() {
                let problem = format!("{from}={} is not {}", value.display(), key.takes);
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

/// A length of time as people write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Duration(
    /// In seconds.
    pub u64,
);

const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

impl Duration {
    /// Reads `90m`, `1h30m`, `7d`, or plain seconds.
    pub fn parse(text: &str) -> Option<Self> {
        let mut seconds = 0u64;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let number: u64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let unit = match rest.chars().next() {
                Some(unit) => UNITS.iter().find(|(name, _)| *name == unit)?.1,
                None if digits == text.len() => 1,
                None => return None,
            };
            rest = rest.get(1..).unwrap_or_default();
            seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        }
        (!text.is_empty()).then_some(Self(seconds))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        // Nobody says "1w" for seven days of keys.
        for (name, length) in &UNITS[1..] {
            if rest >= *length {
                write!(f, "{}{name}", rest / length)?;
                rest %= length;
            }
        }
        if self.0 == 0 { f.write_str("0s") } else { Ok(()) }
    }
}

/// One setting.
struct Key {
    name: &'static str,
    takes: &'static str,
    set: fn(&mut Settings, &OsStr) -> Option<()>,
}

const KEYS: [Key; 8] = [
    Key {
        name: "mode",
        takes: "default, enforce or off",
        set: |s, v| word(&mut s.mode, v, &[("default", Mode::Default), ("enforce", Mode::Enforce), ("off", Mode::Off)]),
    },
    Key {
        name: "bind",
        takes: "context, strict, sni or none",
        set: |s, v| {
            let words =
                [("context", Bind::Context), ("strict", Bind::Strict), ("sni", Bind::Sni), ("none", Bind::None)];
            word(&mut s.bind, v, &words)
        },
    },
    Key { name: "state", takes: "an absolute path", set: |s, v| path(&mut s.state, v) },
    Key { name: "stats", takes: "an absolute path", set: |s, v| path(&mut s.stats, v) },
    Key {
        name: "rotate",
        takes: "a time from 1s to 7d (such as 90m, 1h)",
        set: |s, v| {
            let seconds = duration(v).filter(|d| *d <= MAX_ACCEPT)?;
            s.rotate = EpochLength::new(u32::try_from(seconds).ok()?)?;
            Some(())
        },
    },
    Key {
        name: "accept",
        takes: "a time of at most 7d (such as 90m, 12h)",
        set: |s, v| {
            s.accept = duration(v).filter(|d| *d <= MAX_ACCEPT)?;
            Some(())
        },
    },
    Key {
        name: "max_age",
        takes: "a time from 1s to 7d (such as 12h, 3d)",
        set: |s, v| {
            s.max_age = duration(v).filter(|d| (1..=MAX_AGE_CAP).contains(d))?;
            Some(())
        },
    },
    Key {
        name: "log",
        takes: "off, warn or info",
        set: |s, v| word(&mut s.log, v, &[("off", Level::Off), ("warn", Level::Warn), ("info", Level::Info)]),
    },
];

fn word<T: Copy>(place: &mut T, value: &OsStr, words: &[(&str, T)]) -> Option<()> {
    *place = words.iter().find(|(name, _)| value.eq_ignore_ascii_case(name))?.1;
    Some(())
}

/// Absolute only: programs that inherit the setting run in other directories, and would each have keys of their own.
fn path(place: &mut Option<PathBuf>, value: &OsStr) -> Option<()> {
    let path = Path::new(value);
    *place = Some(path.is_absolute().then(|| path.to_path_buf())?);
    Some(())
}

fn duration(value: &OsStr) -> Option<u64> {
    Some(Duration::parse(value.to_str()?)?.0)
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
            ("TICKETSHIM_STATE", "/s"),
            ("TICKETSHIM_STATS", "/t"),
            ("TICKETSHIM_ROTATE", "90m"),
            ("TICKETSHIM_ACCEPT", "1d"),
            ("TICKETSHIM_MAX_AGE", "86400"),
            ("TICKETSHIM_LOG", "info"),
        ];
        let expected = Settings {
            mode: Mode::Enforce,
            bind: Bind::Sni,
            state: Some("/s".into()),
            stats: Some("/t".into()),
            rotate: EpochLength::new(5400).unwrap(),
            accept: 86_400,
            max_age: 86_400,
            log: Level::Info,
            asks_for_times: true,
            complaints: vec![],
        };
        assert_eq!(read(&environment, None), (expected.clone(), vec![]));
        let file = "mode = 'enforce'\nbind = \"sni\"\nstate='/s'\nstats='/t'\nrotate='90m'\naccept='1d'\n\
                    max_age = 86400 # a day\nlog = 'info'\n";
        assert_eq!(read(&[], Some(file)), (expected, vec![]));
    }

    #[test]
    fn the_environment_wins_and_empty_means_default() {
        let file = "state = '/from/file'\nmode = 'off'";
        let (settings, lines) = read(&[("TICKETSHIM_STATE", "/from/env"), ("TICKETSHIM_MODE", "")], Some(file));
        assert_eq!((settings.state, settings.mode, lines.len()), (Some("/from/env".into()), Mode::Default, 0));
    }

    #[test]
    fn bad_values_are_one_line_each_and_the_default() {
        let bad = [
            ("TICKETSHIM_MODE", "on"),
            ("TICKETSHIM_BIND", "loose"),
            ("TICKETSHIM_STATE", "relative/path"),
            ("TICKETSHIM_STATS", "~/stats"),
            ("TICKETSHIM_ROTATE", "0"),
            ("TICKETSHIM_ACCEPT", "8d"),
            ("TICKETSHIM_MAX_AGE", "8d"),
            ("TICKETSHIM_LOG", "debug"),
        ];
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

    #[test]
    fn times_as_people_write_them() {
        let good = [("0", 0), ("1", 1), ("90m", 5400), ("1h", 3600), ("1h30m", 5400), ("7d", 604_800), ("1w", 604_800)];
        for (text, seconds) in good {
            assert_eq!(Duration::parse(text), Some(Duration(seconds)), "{text}");
        }
        for bad in ["", "h", "1x", "1h30", "-1", "1.5h", " 1h", "1H", "99999999999999999999", "9999999999999999w", "1ħ"]
        {
            assert_eq!(Duration::parse(bad), None, "{bad}");
        }
        for (seconds, text) in [(0, "0s"), (5400, "1h30m"), (604_800, "7d"), (90_061, "1d1h1m1s")] {
            assert_eq!(Duration(seconds).to_string(), text);
            assert_eq!(Duration::parse(text), Some(Duration(seconds)));
        }
    }
}

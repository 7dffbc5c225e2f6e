//! What a setting can be: one of some words, a path, or a time.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use ticketshim_core::ratchet::EpochLength;

use crate::log::Level;

/// The values that a setting takes.
#[derive(Debug)]
pub enum Values {
    /// One of these, in any case of letters.
    Words(&'static [Word]),
    /// An absolute path.
    Path {
        /// What it means to have none, which is the default.
        none: &'static str,
    },
    /// A time, in seconds.
    Time {
        /// The shortest.
        least: u64,
        /// The longest.
        most: u64,
        /// Some that are usual.
        such_as: &'static str,
    },
}

/// One of the values of a setting that takes words.
#[derive(Debug)]
pub struct Word {
    /// As it is written.
    pub name: &'static str,
    /// What it means, for help and manual page: no sentence, and no stop at its end.
    pub help: &'static str,
}

impl Values {
    /// In words, as a complaint has them: "is not a time from 1s to 7d (such as 90m, 1h)".
    pub fn in_words(&self) -> String {
        match self {
            Self::Words([words @ .., last]) => {
                let words: Vec<&str> = words.iter().map(|word| word.name).collect();
                format!("{} or {}", words.join(", "), last.name)
            }
            Self::Words([]) => "anything".to_owned(),
            Self::Path { .. } => "an absolute path".to_owned(),
            Self::Time { least: 0, most, such_as } => {
                format!("a time of at most {} (such as {such_as})", Duration(*most))
            }
            Self::Time { least, most, such_as } => {
                format!("a time from {} to {} (such as {such_as})", Duration(*least), Duration(*most))
            }
        }
    }

    /// In Markdown, as documents have them.
    pub fn markdown(&self) -> String {
        match self {
            Self::Words(words) => words.iter().map(|word| format!("`{}`", word.name)).collect::<Vec<_>>().join(", "),
            Self::Path { .. } => "an absolute path".to_owned(),
            Self::Time { least: 0, most, .. } => format!("`0` to `{}`", Duration(*most)),
            Self::Time { least, most, .. } => format!("`{}` to `{}`", Duration(*least), Duration(*most)),
        }
    }
}

/// A type of settings.
pub(super) trait Value: Sized {
    /// What was meant, if that is one of the setting's values.
    fn read(text: &OsStr, values: &Values) -> Option<Self>;
    /// As somebody would write it, if there is something to be written.
    fn show(&self) -> Option<String>;
}

/// Gives a type its words: `Variant "word" "help";`. The compiler names a variant that is left out.
macro_rules! words {
    ($type:ident: $($variant:ident $name:literal $help:literal;)+) => {
        impl $type {
            pub(super) const VALUES: Values = Values::Words(&[$(Word { name: $name, help: $help }),+]);
        }

        impl Value for $type {
            fn read(text: &OsStr, _: &Values) -> Option<Self> {
                let mut all = [$(($name, Self::$variant)),+].into_iter();
                all.find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            }

            fn show(&self) -> Option<String> {
                Some(match self { $(Self::$variant => $name),+ }.to_owned())
            }
        }
    };
}

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

words! { Mode:
    Default "default" "All but those whose program brings its own ticket keys";
    Enforce "enforce" "All, those too";
    Off     "off"     "None; tickets are libssl's own";
}

/// What tickets are bound to: see [`ticketshim_core::binding`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Bind {
    /// To the very `SSL_CTX` object and nothing else: stock's isolation exactly, and nothing survives a restart.
    Stock,
    /// To the protocol, the server that was asked for, and what in the context decides who may come in.
    #[default]
    Strict,
    /// To the protocol and the server that was asked for.
    Sni,
    /// To the protocol only.
    None,
}

words! { Bind:
    Stock   "stock"   "This very context object and nothing else, as without the library";
    Strict  "strict"  "Server name, session id context, verify mode, client CAs";
    Sni     "sni"     "Server name";
    None    "none"    "The protocol only";
}

/// Where tickets of clients open whose certificate the application's code has judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Clients {
    /// In the `SSL_CTX` that sealed them.
    #[default]
    Isolated,
    /// Wherever the binding is the same.
    Shared,
}

words! { Clients:
    Isolated "isolated" "Only where it was made";
    Shared   "shared"   "Wherever the policy is the same, for servers that check the client again on each connection";
}

/// From whom early data (0-RTT) is accepted, where the application allows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EarlyData {
    /// With tickets that the same `SSL_CTX` sealed, or one that it was forked from or with.
    #[default]
    Own,
    /// With every ticket that opens.
    Any,
    /// Never.
    Never,
    /// As `Own`, and with each ticket once.
    Once,
}

words! { EarlyData:
    Own   "own"   "With tickets that the same context sealed, as in stock";
    Any   "any"   "With every ticket that opens: also those of other hosts, and of before a restart";
    Never "never" "Never; the session resumes without it";
    Once  "once"  "As own, and with each ticket once";
}

words! { Level:
    Off  "off"  "Nothing";
    Warn "warn" "What needs attention";
    Info "info" "Also what is loaded and what changes";
}

/// Absolute only: programs that inherit the setting run in other directories, and would each have keys of their own.
impl Value for Option<PathBuf> {
    fn read(text: &OsStr, _: &Values) -> Option<Self> {
        let path = Path::new(text);
        path.is_absolute().then(|| Some(path.to_path_buf()))
    }

    fn show(&self) -> Option<String> {
        Some(self.as_ref()?.display().to_string())
    }
}

impl Value for u64 {
    fn read(text: &OsStr, values: &Values) -> Option<Self> {
        let Values::Time { least, most, .. } = values else { return None };
        let Duration(seconds) = Duration::parse(text.to_str()?)?;
        (*least..=*most).contains(&seconds).then_some(seconds)
    }

    fn show(&self) -> Option<String> {
        Some(Duration(*self).to_string())
    }
}

impl Value for EpochLength {
    fn read(text: &OsStr, values: &Values) -> Option<Self> {
        Self::new(u32::try_from(u64::read(text, values)?).ok()?)
    }

    fn show(&self) -> Option<String> {
        self.seconds().show()
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

#[cfg(test)]
mod tests {
    use super::*;

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

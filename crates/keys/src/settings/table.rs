//! The one list of settings. What each is called everywhere else comes from here: the field of [`Settings`] and its
//! default, its variable, its name in the file, what it takes and what is said of anything else, the option of
//! `ticketshim run` with its help and completion, `doctor`'s line, its row in README's table and its paragraph in
//! ticketshim(7).
//!
//! To add one, add an entry. Its comment is the paragraph of the manual page: one sentence a line, code between
//! backquotes. `cargo test -p ticketshim-keys settings` says what is still missing.

use std::ffi::OsStr;
use std::path::PathBuf;

use ticketshim_core::ratchet::EpochLength;
use ticketshim_core::ring::MAX_ACCEPT;

use super::Complaint;
use super::value::{Bind, Clients, EarlyData, Mode, Value, Values};
use crate::log::Level;

/// The longest that a renewed ticket may lead back to one full handshake, in seconds: RFC 8446 section 4.6.1.
pub const MAX_AGE_CAP: u64 = 7 * 86_400;
const HOUR: EpochLength = EpochLength::new(3600).expect("an hour is not 0 seconds");

/// What there is to say about a setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name in the file.
    pub name: &'static str,
    /// What it takes.
    pub values: Values,
    /// What stands for a value of its option in help.
    pub value_name: &'static str,
    /// The help of its option: a line without a stop at its end.
    pub help: &'static str,
    /// What `doctor` writes before its value; `None` if its line has it not.
    pub doctor: Option<&'static str>,
    /// The paragraph of the manual page, a sentence a line.
    pub text: &'static str,
    /// Sets it; `None` if that is no value of it.
    pub(super) set: fn(&Self, &mut Settings, &OsStr) -> Option<()>,
    get: fn(&Settings) -> Option<String>,
}

impl Setting {
    /// Its variable in the environment.
    pub fn variable(&self) -> String {
        format!("TICKETSHIM_{}", self.name.to_uppercase())
    }

    /// Its option, without the two hyphens.
    pub fn option(&self) -> String {
        self.name.replace('_', "-")
    }

    /// What these settings have for it, as somebody would write it; `None` if that is nothing.
    pub fn of(&self, settings: &Settings) -> Option<String> {
        (self.get)(settings)
    }

    /// What it is by default, in Markdown.
    pub fn default(&self) -> String {
        match (self.of(&Settings::default()), &self.values) {
            (Some(value), _) => format!("`{value}`"),
            (None, Values::Path { none }) => (*none).to_owned(),
            (None, _) => "none".to_owned(),
        }
    }
}

macro_rules! settings {
    ($($(#[doc = $text:literal])+ $name:ident: $type:ty = $default:expr, { $($field:ident: $value:expr),+ $(,)? })+) => {
        /// All settings.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct Settings {
            $($(#[doc = $text])+ pub $name: $type,)+
            /// Whether anybody asked for `rotate` or `accept`: a state file that says otherwise is then worth a line.
            pub asks_for_times: bool,
            /// A line for each thing that made no sense: see [`Settings::report`].
            pub complaints: Vec<Complaint>,
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($name: $default,)+ asks_for_times: false, complaints: Vec::new() }
            }
        }

        /// How many there are.
        pub const COUNT: usize = [$(stringify!($name)),+].len();

        /// All settings, in the order of the documents.
        pub static ALL: [Setting; COUNT] = [$(Setting {
            name: stringify!($name),
            text: concat!($($text, "\n"),+),
            set: |setting, settings, text| {
                settings.$name = Value::read(text, &setting.values)?;
                Some(())
            },
            get: |settings| settings.$name.show(),
            $($field: $value),+
        }),+];
    };
}

settings! {
    /// Which contexts (`SSL_CTX`) are taken over.
    mode: Mode = Mode::Default, {
        values: Mode::VALUES,
        value_name: "MODE",
        help: "Which contexts are taken over",
        doctor: Some("mode"),
    }

    /// What a ticket is bound to, besides the protocol version: see BINDING.
    bind: Bind = Bind::Strict, {
        values: Bind::VALUES,
        value_name: "WHAT",
        help: "What a ticket is bound to",
        doctor: Some("bind"),
    }

    /// Where the ticket of a client opens that is known by a certificate which the application's code has judged: see BINDING.
    /// Clients that are known by a pre-shared key or by SRP are always isolated.
    clients: Clients = Clients::Isolated, {
        values: Clients::VALUES,
        value_name: "WHERE",
        help: "Where tickets of clients with certificates open if the server's own code judged them",
        doctor: None,
    }

    /// The file that keys are shared by, over restarts and with other hosts.
    /// It is made if it is missing.
    state: Option<PathBuf> = None, {
        values: Values::Path { none: "none: keys die with the process" },
        value_name: "FILE",
        help: "Share keys by this file: over restarts, and with all who have a copy. Made if it is missing",
        // It has a line of its own.
        doctor: None,
    }

    /// Where counters are published; for `ticketshim-stats`(1).
    stats: Option<PathBuf> = None, {
        values: Values::Path { none: "none" },
        value_name: "FILE",
        help: "Publish counters in this file (see `ticketshim stats`)",
        doctor: None,
    }

    /// For how long tickets are sealed under one key.
    /// What a state file says counts more.
    rotate: EpochLength = HOUR, {
        values: Values::Time { least: 1, most: MAX_ACCEPT, such_as: "90m, 1h" },
        value_name: "TIME",
        help: "How often keys change, such as 90m or 1h",
        doctor: Some("keys change every"),
    }

    /// For how long they open after that.
    /// What a state file says counts more.
    accept: u64 = 12 * 3600, {
        values: Values::Time { least: 0, most: MAX_ACCEPT, such_as: "90m, 12h" },
        value_name: "TIME",
        help: "For how long tickets open, such as 12h or 7d",
        doctor: Some("open for"),
    }

    /// For how long tickets that are renewed from tickets lead back to one full handshake.
    max_age: u64 = MAX_AGE_CAP, {
        values: Values::Time { least: 1, most: MAX_AGE_CAP, such_as: "12h, 3d" },
        value_name: "TIME",
        help: "For how long renewed tickets may lead back to one full handshake, such as 1d",
        doctor: None,
    }

    /// With which tickets early data (0-RTT) is accepted, if the server allows it: see EARLY DATA.
    /// With any other ticket the session resumes, and the client sends the data again.
    early_data: EarlyData = EarlyData::Own, {
        values: EarlyData::VALUES,
        value_name: "WHEN",
        help: "With which tickets early data (0-RTT) is accepted",
        doctor: None,
    }

    /// What is written to stderr, in lines that begin with `ticketshim:`.
    /// Nothing is ever written to stdout.
    log: Level = Level::Warn, {
        values: Level::VALUES,
        value_name: "LEVEL",
        help: "How much the library writes to stderr",
        doctor: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_takes_its_default_and_says_what_it_is() {
        for setting in &ALL {
            let mut settings = Settings::default();
            let value = setting.of(&settings).unwrap_or("/a/path".to_owned());
            assert_eq!((setting.set)(setting, &mut settings, OsStr::new(&value)), Some(()), "{}", setting.name);
            assert_eq!(setting.of(&settings), Some(value), "{}", setting.name);
            assert_eq!((setting.set)(setting, &mut settings, OsStr::new("no such value")), None, "{}", setting.name);
            assert!(setting.text.trim().ends_with('.') && !setting.help.ends_with('.'), "{}", setting.name);
        }
    }

    #[test]
    fn every_word_is_a_value() {
        let mut seen = 0;
        for setting in &ALL {
            let Values::Words(words) = setting.values else { continue };
            for word in words {
                let mut settings = Settings::default();
                assert_eq!((setting.set)(setting, &mut settings, OsStr::new(word.name)), Some(()), "{}", word.name);
                assert_eq!(setting.of(&settings).as_deref(), Some(word.name), "{}", setting.name);
                seen += 1;
            }
        }
        assert!(seen >= 10);
    }
}

//! What the doctor found, for people and for programs.

use std::fmt::Display;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::exit::Exit;
use crate::text::{say, say_json};

/// Whether the library helps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It runs with it.
    Helped,
    /// It will be.
    WillHelp,
    /// It is not, and will not be as it is.
    WillNot,
    /// There was no way to find out.
    Unknown,
}

/// Collects facts in the order that they are shown in.
#[derive(Default)]
pub struct Report {
    facts: Vec<(&'static str, String, Value)>,
    notes: Vec<String>,
}

impl Report {
    /// Adds a fact: its name, and its value.
    pub fn fact(&mut self, name: &'static str, value: impl Display) {
        let text = value.to_string();
        self.facts.push((name, text.clone(), Value::String(text)));
    }

    /// Adds a fact that programs get in another form than people.
    pub fn fact_as(&mut self, name: &'static str, text: impl Display, value: &impl Serialize) {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.facts.push((name, text.to_string(), value));
    }

    /// Adds something to know or to do that does not decide.
    pub fn note(&mut self, text: impl Display) {
        let text = text.to_string();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// Writes it all, the verdict last.
    pub fn finish(self, json: bool, outcome: Outcome, verdict: impl Display) -> Exit {
        let verdict = verdict.to_string();
        if json {
            let mut object: Map<String, Value> =
                self.facts.into_iter().map(|(name, _, value)| (name.replace(' ', "_"), value)).collect();
            object.insert("notes".to_owned(), self.notes.into());
            object.insert("outcome".to_owned(), outcome.word().into());
            object.insert("verdict".to_owned(), verdict.into());
            say_json(&object);
        } else {
            let width = self.facts.iter().map(|(name, ..)| name.len()).max().unwrap_or_default() + 1;
            for (name, text, _) in &self.facts {
                say(format_args!("{:width$} {text}", format!("{name}:")));
            }
            for note in &self.notes {
                say(format_args!("{:width$} {note}", "note:"));
            }
            say(format_args!("{:width$} {verdict}", "verdict:"));
        }
        outcome.exit()
    }
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Helped => "helped",
            Self::WillHelp => "will-help",
            Self::WillNot => "will-not",
            Self::Unknown => "unknown",
        }
    }

    fn exit(self) -> Exit {
        match self {
            Self::Helped | Self::WillHelp => Exit::OK,
            Self::WillNot => Exit::NO,
            Self::Unknown => Exit::TROUBLE,
        }
    }
}

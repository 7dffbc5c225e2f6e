//! What the settings say, and what the state file is.

use std::fs;
use std::path::Path;

use serde::Serialize;
use ticketshim_keys::clock;
use ticketshim_keys::settings::{Bind, Duration, Mode, Settings};
use ticketshim_keys::state::{self, Refusal, State};

use super::report::Report;
use crate::state::about;
use crate::text::Utc;

/// Shows the settings in force. False if they switch the library off.
pub fn settings(report: &mut Report, settings: &Settings) -> bool {
    let mode = match settings.mode {
        Mode::Default => "default",
        Mode::Enforce => "enforce",
        Mode::Off => "off",
    };
    let bind = match settings.bind {
        Bind::Context => "context",
        Bind::Strict => "strict",
        Bind::Sni => "sni",
        Bind::None => "none",
    };
    let (rotate, accept) = (Duration(settings.rotate.seconds()), Duration(settings.accept));
    report.fact("settings", format_args!("mode {mode}, bind {bind}, keys change every {rotate}, open for {accept}"));
    for complaint in &settings.complaints {
        report.note(complaint);
    }
    if settings.bind == Bind::None {
        report.note(
            "bind none: a ticket of one virtual host opens at every other; where any of them asks for client \
                     certificates, that is a way around them",
        );
    }
    settings.mode != Mode::Off
}

/// What programs get of a state file.
#[derive(Serialize, Default)]
struct StateFact {
    file: String,
    refused: Option<String>,
    chain: Option<String>,
    epoch: Option<u64>,
    rotate_seconds: Option<u64>,
    accept_seconds: Option<u64>,
    behind_seconds: Option<u64>,
    owner: Option<u32>,
    mode: Option<String>,
}

/// Shows the state file. `at` is where it is for us, `name` what the settings call it, `uid` who is to read it.
/// False if it will not be used.
pub fn state_file(report: &mut Report, name: &Path, at: &Path, uid: u32) -> bool {
    let mut fact = StateFact { file: name.display().to_string(), ..StateFact::default() };
    let readers = state::readers(at).ok();
    fact.owner = readers.map(|r| r.owner);
    fact.mode = readers.map(|r| format!("{:04o}", r.mode));
    let found = match state::read(at) {
        // The server's own file, and we are root, who is somebody else.
        Err(Refusal::Owner(owner)) if owner == uid => {
            fs::read(at).map_err(|_| Refusal::Denied).and_then(|bytes| State::from_bytes(&bytes))
        }
        other => other.map_err(|refusal| about(at, refusal)),
    };
    let text = match &found {
        Ok(state) => {
            describe(&mut fact, state);
            in_words(&fact, state, readers.map(|r| (r.owner, r.group)))
        }
        Err(refusal) => {
            let why = refusal.text(name).to_string();
            fact.refused = Some(why.clone());
            if *refusal == Refusal::Missing {
                format!("{} (missing: it will be made where the server may)", name.display())
            } else {
                format!("REFUSED: {why}")
            }
        }
    };
    if fact.behind_seconds.is_some_and(|behind| behind > 86_400) {
        report.note(format_args!(
            "nobody advances the state file: whoever steals it opens tickets that are {} too old; run `ticketshim state \
             advance {}` from a timer",
            Duration(fact.behind_seconds.unwrap_or_default()),
            name.display()
        ));
    }
    report.fact_as("state file", text, &fact);
    found.is_ok() || matches!(found, Err(Refusal::Missing))
}

fn describe(fact: &mut StateFact, state: &State) {
    let (schedule, now) = (state.schedule(), clock::now());
    let oldest = schedule.epoch.start_of(schedule.oldest(schedule.epoch.epoch_at(now)));
    fact.chain = Some(state.id().to_string());
    fact.epoch = Some(state.epoch());
    fact.rotate_seconds = Some(schedule.epoch.seconds());
    fact.accept_seconds = Some(schedule.accept());
    fact.behind_seconds = Some(oldest.saturating_sub(schedule.epoch.start_of(state.epoch())));
}

fn in_words(fact: &StateFact, state: &State, readers: Option<(u32, Option<u32>)>) -> String {
    let schedule = state.schedule();
    let who = match readers {
        Some((owner, Some(group))) => format!("uid {owner} and gid {group}"),
        Some((owner, None)) => format!("uid {owner} only"),
        None => "nobody knows whom".to_owned(),
    };
    format!(
        "{}: chain {}, epoch {} (from {}), keys change every {}, open for {}, readable by {who}",
        fact.file,
        state.id(),
        state.epoch(),
        Utc(schedule.epoch.start_of(state.epoch())),
        Duration(schedule.epoch.seconds()),
        Duration(schedule.accept()),
    )
}

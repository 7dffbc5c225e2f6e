//! What the settings say, and what the state file is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use serde::Serialize;
use ticketshim_keys::clock;
use ticketshim_keys::settings::{ALL, Bind, Duration, Mode, Settings};
use ticketshim_keys::state::{self, Refusal, State};

use super::report::Report;
use crate::access::{Blocked, Right, Who};
use crate::process::Process;
use crate::state::about;
use crate::text::{Utc, user_name};

/// Shows the settings in force. False if they switch the library off.
pub fn settings(report: &mut Report, settings: &Settings) -> bool {
    let facts = ALL.iter().filter_map(|setting| Some(format!("{} {}", setting.doctor?, setting.of(settings)?)));
    report.fact("settings", facts.collect::<Vec<_>>().join(", "));
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
    generation: Option<u64>,
    chain: Option<String>,
    announced: Option<String>,
    ahead_seconds: Option<u64>,
    epoch: Option<u64>,
    rotate_seconds: Option<u64>,
    accept_seconds: Option<u64>,
    behind_seconds: Option<u64>,
    owner: Option<u32>,
    mode: Option<String>,
}

/// What comes of a state file.
pub enum Use {
    /// It is used, or will be made; with the generation that it has now.
    Used(Option<u64>),
    /// There was no way to find out.
    Unknown,
    /// It is not: why, and what to do.
    Refused(String),
}

impl Use {
    const fn used() -> Self {
        Self::Used(None)
    }
}

/// Shows the state file. `way` is where it is for us, if its user may go there, `name` what the settings call it; `who` has
/// to read it, or to make it if it is missing, and is `None` if that is not known.
pub fn state_file(report: &mut Report, name: &Path, way: &Result<PathBuf, Blocked>, who: Option<&Who>) -> Use {
    let mut fact = StateFact { file: name.display().to_string(), ..StateFact::default() };
    let at = match way {
        Ok(at) => at,
        Err(blocked) => {
            let (used, text) = blocked_way(name, blocked, who);
            fact.refused = matches!(used, Use::Refused(_)).then(|| text.clone());
            report.fact_as("state file", text, &fact);
            return used;
        }
    };
    let readers = state::readers(at).ok();
    fact.owner = readers.map(|r| r.owner);
    fact.mode = readers.map(|r| format!("{:04o}", r.mode));
    let (used, found) = match state::read(at) {
        // The server's own file, and we are root, who is somebody else; its way leads through another root directory, which
        // `state` does not take for safe.
        Err(Refusal::Owner(owner)) if who.is_none_or(|who| who.uid == owner) => {
            (Use::used(), fs::read(at).map_err(|_| Refusal::Denied).and_then(|bytes| State::from_bytes(&bytes)))
        }
        Err(Refusal::Denied) if who.is_none_or(|who| who.uid != Who::ourselves().uid) => {
            report.fact_as("state file", format_args!("{}: only its user may look into it", name.display()), &fact);
            return Use::Unknown;
        }
        Err(refusal) => {
            let why = about(at, refusal).text(name).to_string();
            (Use::Refused(format!("the state file is refused, so keys are the process's own: {why}")), Err(refusal))
        }
        Ok(state) => (Use::used(), Ok(state)),
    };
    let cannot = who.and_then(|who| cannot(who, name, at));
    let (used, text) = match (found, cannot) {
        (Err(Refusal::Missing), Some(why)) => (Use::Refused(why.clone()), format!("MISSING: {why}")),
        (Err(Refusal::Missing), None) if who.is_none() => {
            (Use::Unknown, format!("{} (missing, and who should make it cannot be told)", name.display()))
        }
        (Err(Refusal::Missing), None) => {
            let who = who.map(ToString::to_string).unwrap_or_default();
            (Use::used(), format!("{} (missing: {who} may make it, with the next TLS context)", name.display()))
        }
        (Ok(_), Some(why)) => (Use::Refused(why.clone()), format!("REFUSED: {why}")),
        (Ok(state), None) => {
            describe(&mut fact, &state);
            let used = match (used, state.ahead(clock::now())) {
                (_, 1..) => {
                    let ahead = u32::try_from(state.ahead(clock::now())).unwrap_or(u32::MAX);
                    Use::Refused(Refusal::AheadOfClock(ahead).text(name).to_string())
                }
                (Use::Used(_), _) => Use::Used(Some(state.generation())),
                (other, _) => other,
            };
            (used, in_words(&fact, &state, readers.map(|r| (r.owner, r.group))))
        }
        (Err(refusal), _) => (used, format!("REFUSED: {}", about(at, refusal).text(name))),
    };
    if let Use::Refused(why) = &used {
        fact.refused = Some(why.clone());
    }
    if fact.behind_seconds.is_some_and(|behind| behind > 86_400) {
        report.note(format_args!(
            "nobody advances the state file: whoever steals it opens tickets that are {} too old; run `ticketshim state \
             advance {}` from a timer",
            Duration(fact.behind_seconds.unwrap_or_default()),
            name.display()
        ));
    }
    report.fact_as("state file", text, &fact);
    used
}

/// A path that ends before the file.
fn blocked_way(name: &Path, blocked: &Blocked, who: Option<&Who>) -> (Use, String) {
    let file = name.display();
    let dir = name.parent().unwrap_or(Path::new("/")).display();
    let owner = who.filter(|who| who.uid != 0).map(|who| format!(" -o {}", who.uid)).unwrap_or_default();
    let why = match (blocked, who) {
        (Blocked::Unknown(..), _) | (_, None) => return (Use::Unknown, format!("{file}: {blocked}")),
        (Blocked::NoDirectory(_), _) => {
            format!("{file} cannot be made, as {blocked}: install -d -m 700{owner} {dir}, and start the server again")
        }
        (Blocked::Search(_), Some(who)) => format!(
            "{file} is out of reach for {who}, because {blocked} by it: name a file in a directory of its own (install -d \
             -m 700{owner} DIR)"
        ),
    };
    (Use::Refused(why.clone()), why)
}

/// Why that process cannot come to see that the file has changed; `None` if it can, at its next ticket.
pub fn cannot_see(process: &Process, name: &Path) -> Option<String> {
    let who = Who::of_status(&fs::read_to_string(format!("/proc/{}/status", process.pid)).ok()?);
    match process.way_to(name, Some(&who)) {
        Err(blocked) => Some(blocked.to_string()),
        Ok(at) => cannot(&who, name, &at),
    }
}

/// Why that user can neither read the file nor, if it is missing, make it; `None` if it can.
fn cannot(who: &Who, name: &Path, at: &Path) -> Option<String> {
    let (file, uid) = (name.display(), who.uid);
    let dir = name.parent().unwrap_or(Path::new("/")).display();
    match fs::symlink_metadata(at) {
        Ok(meta) if meta.uid() != 0 && meta.uid() != uid => Some(format!(
            "{file} belongs to {}, and the server, which is {who}, takes root's and its own only: chown {uid} {file}",
            user_name(meta.uid())
        )),
        Ok(meta) if !who.may(&meta, Right::Read) => Some(format!(
            "{who} cannot read {file} (mode {:04o}, of {}): chown {uid} {file}, or a group (docs/operators.md, \"Servers \
             that never were root\")",
            meta.mode() & 0o7777,
            user_name(meta.uid())
        )),
        Ok(_) => None,
        Err(_) => {
            let place = at.parent()?;
            if statvfs(place).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY)) {
                return Some(format!(
                    "{file} is missing, and {dir} is read-only there: let the service write it (StateDirectory= or \
                     ReadWritePaths= of systemd), or make it with `ticketshim state init {file}`"
                ));
            }
            let writes = fs::metadata(place).is_ok_and(|meta| who.may(&meta, Right::Write));
            (!writes).then(|| {
                format!(
                    "{file} is missing, and {who} may not write to {dir}: make it with `ticketshim state init {file}`, chown \
                     {uid} {file}, and start the server again"
                )
            })
        }
    }
}

fn describe(fact: &mut StateFact, state: &State) {
    let now = clock::now();
    let chain = state.in_use(now);
    let schedule = chain.schedule;
    let oldest = schedule.epoch.start_of(schedule.oldest(schedule.epoch.epoch_at(now)));
    let newest = state.chains(now).last().copied().filter(|newest| newest.sealing_from > now && newest.id != chain.id);
    fact.generation = Some(state.generation());
    fact.chain = Some(chain.id.to_string());
    fact.announced = newest.map(|newest| newest.id.to_string());
    fact.ahead_seconds = Some(state.ahead(now));
    fact.epoch = Some(chain.epoch);
    fact.rotate_seconds = Some(schedule.epoch.seconds());
    fact.accept_seconds = Some(schedule.accept());
    fact.behind_seconds = Some(oldest.saturating_sub(schedule.epoch.start_of(chain.epoch)));
}

fn in_words(fact: &StateFact, state: &State, readers: Option<(u32, Option<u32>)>) -> String {
    let now = clock::now();
    let chain = state.in_use(now);
    let who = match readers {
        Some((owner, Some(group))) => format!("uid {owner} and gid {group}"),
        Some((owner, None)) => format!("uid {owner} only"),
        None => "nobody knows whom".to_owned(),
    };
    let newest = state.chains(now).last().copied().filter(|newest| newest.sealing_from > now && newest.id != chain.id);
    let announced = newest.map(|newest| format!(", chain {} from {} on", newest.id, Utc(newest.sealing_from)));
    format!(
        "{}: generation {}, chain {}, epoch {} (from {}), keys change every {}, open for {}, readable by {who}{}",
        fact.file,
        state.generation(),
        chain.id,
        chain.epoch,
        Utc(chain.schedule.epoch.start_of(chain.epoch)),
        Duration(chain.schedule.epoch.seconds()),
        Duration(chain.schedule.accept()),
        announced.unwrap_or_default(),
    )
}

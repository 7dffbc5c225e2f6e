//! `ticketshim state`: makes, shows, announces, advances and replaces state files. What a state file is, is
//! `ticketshim-keys`'.

mod show;
mod source;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ticketshim_core::ring::Schedule;
use ticketshim_keys::clock;
use ticketshim_keys::settings::Duration;
use ticketshim_keys::state::{self, Access, Advanced, Put, Refusal, State};
use zeroize::Zeroizing;

use crate::args;
use crate::exit::Exit;
use crate::text::{Utc, complain, group_of_name, parse_utc, say, say_json};
use show::Shown;
use source::{New, new_state, whole_from_stdin};

/// Why a command was not carried out.
enum Trouble {
    /// Of the file.
    Refused(Refusal),
    /// Of what was asked.
    Asked(String),
    /// Of the keys that were given.
    Given(String),
}

type Outcome = Result<Exit, Trouble>;

pub fn state(command: args::State) -> Exit {
    let (file, outcome) = match &command {
        args::State::Init(args) => (&args.file, init(args)),
        args::State::Show(args) => (&args.file, show(args)),
        args::State::Advance(args) => (&args.file, advance(args)),
        args::State::Announce(args) => (&args.file, announce(args)),
        args::State::Reseed(args) => (&args.file, reseed(args)),
        args::State::Put(args) => (&args.file, put(args)),
    };
    match outcome {
        Ok(exit) => exit,
        Err(Trouble::Asked(why)) => {
            complain(why);
            Exit::TROUBLE
        }
        Err(Trouble::Given(why)) => {
            complain(why);
            Exit::NO
        }
        Err(Trouble::Refused(refusal)) => {
            let refusal = about(file, refusal);
            complain(refusal.text(file));
            match refusal {
                Refusal::Missing => Exit::MISSING,
                Refusal::Exists => Exit::EXISTS,
                Refusal::Older(_) => Exit::OLDER,
                Refusal::Conflict(_) => Exit::CONFLICT,
                Refusal::AheadOfClock(_) => Exit::AHEAD,
                Refusal::NotYet(_) => Exit::NOT_YET,
                _ => Exit::NO,
            }
        }
    }
}

/// Why a file is refused, what it is before who can reach it: nobody shall change the mode of a file of something else.
pub fn about(file: &Path, refusal: Refusal) -> Refusal {
    let of_rights =
        matches!(refusal, Refusal::Mode(_) | Refusal::GroupMode(_) | Refusal::Owner(_) | Refusal::Directory(_));
    let mut start = Zeroizing::new(Vec::with_capacity(1024));
    let mut read = || File::open(file).and_then(|opened| opened.take(1024).read_to_end(&mut start));
    // Those are said of regular files only: opening it does nothing.
    if !of_rights || read().is_err() {
        return refusal;
    }
    match State::from_bytes(&start) {
        Err(what @ (Refusal::NotState | Refusal::Pem | Refusal::Base64 | Refusal::ForeignKeys(_))) => what,
        _ => refusal,
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn init(args: &args::StateInit) -> Outcome {
    let new = match new_state(None, &args.times, &args.source)? {
        New::Chain(new) => new,
        New::Whole(whole) => {
            explained(&whole)?;
            whole
        }
    };
    makeable(&args.file)?;
    state::create(&args.file, &new)?;
    say(format_args!("{}: made, {}", args.file.display(), in_words(&new)));
    Ok(Exit::OK)
}

/// Refuses what a wrong clock has made.
fn explained(state: &State) -> Result<(), Refusal> {
    match state.ahead(clock::now()) {
        0 => Ok(()),
        ahead => Err(Refusal::AheadOfClock(u32::try_from(ahead).unwrap_or(u32::MAX))),
    }
}

/// Refuses what would be refused as soon as it is made, and what is there and no file.
fn makeable(file: &Path) -> Result<(), Refusal> {
    match fs::symlink_metadata(file).map(|meta| meta.file_type()) {
        Ok(there) if there.is_dir() => return Err(Refusal::IsDirectory),
        Ok(there) if !there.is_file() && !there.is_symlink() => return Err(Refusal::NotAFile),
        // It exists: that is said first.
        Ok(_) => return Ok(()),
        Err(_) => {}
    }
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match fs::metadata(dir).map(|meta| meta.mode() & 0o7777) {
        Ok(mode) if mode & 0o1002 == 0o0002 => Err(Refusal::Directory(mode)),
        _ => Ok(()),
    }
}

fn announce(args: &args::StateAnnounce) -> Outcome {
    let now = clock::now();
    let use_at = moment(&args.use_at, now)?;
    let old = state::read(&args.file)?.in_use(now).schedule;
    announce_at(&args.file, use_at, &new_chain(Some(old), &args.times, &args.source)?)
}

fn announce_at(file: &Path, use_at: u64, new: &State) -> Outcome {
    let done = state::announce(file, new, use_at, clock::now())?;
    let instead = done.instead_of.map(|id| format!(", instead of chain {id}")).unwrap_or_default();
    say(format_args!("{}: announced{instead}, {}", file.display(), in_words(new)));
    say(format_args!(
        "it is sealed under from {} on; the chain before opens until {}",
        Utc(use_at),
        Utc(done.old_opens_until)
    ));
    say(
        "a server whose workers cannot read the file needs a reload before that; hosts that have a copy need this one \
         (`ticketshim state put`)",
    );
    Ok(Exit::OK)
}

/// `+2h`, `@1800000000`, or `2026-12-31T23:59Z`.
fn moment(text: &str, now: u64) -> Result<u64, Trouble> {
    let moment = match (text.strip_prefix('+'), text.strip_prefix('@')) {
        (Some(after), _) => Duration::parse(after).map(|after| now.saturating_add(after.0)),
        (_, Some(seconds)) => seconds.parse().ok(),
        _ => parse_utc(text),
    };
    let Some(moment) = moment else {
        return Err(Trouble::Asked(format!(
            "--use-at {text}: give +2h, 2026-12-31T23:59Z or @1800000000 (Unix seconds)"
        )));
    };
    if moment <= now {
        return Err(Trouble::Asked(format!(
            "--use-at {text} is over: hosts that do not know the chain yet would lose all"
        )));
    }
    if moment - now > FURTHEST {
        return Err(Trouble::Asked(format!("--use-at {text} is more than {} away", Duration(FURTHEST))));
    }
    Ok(moment)
}

/// An announcement for a later day is a slip of the pen.
const FURTHEST: u64 = 90 * 86_400;

fn reseed(args: &args::StateReseed) -> Outcome {
    let now = clock::now();
    // What is not asked for stays as it is.
    let old = state::read(&args.file).ok().map(|old| old.in_use(now).schedule);
    let new = new_chain(old, &args.times, &args.source)?;
    if !args.now {
        return announce_at(&args.file, now + until_use(old), &new);
    }
    state::reseed_now(&args.file, &new, now)?;
    say(format_args!("{}: new keys, {}", args.file.display(), in_words(&new)));
    say(
        "all keys before are gone: everyone makes one full handshake. Servers that read the file have them within a second; \
         those whose workers cannot read it seal under the old ones until they are reloaded (`ticketshim doctor PID` tells)",
    );
    Ok(Exit::OK)
}

/// When a chain is used that was announced without a moment: after two epochs, which is what clocks may be apart and a
/// timer that copies the file needs.
fn until_use(schedule: Option<Schedule>) -> u64 {
    schedule.map_or(3600, |schedule| schedule.epoch.seconds()).saturating_mul(2).clamp(60, 86_400)
}

fn new_chain(old: Option<Schedule>, times: &args::Times, source: &args::Source) -> Result<State, Trouble> {
    match new_state(old, times, source)? {
        New::Chain(new) => Ok(new),
        New::Whole(_) => Err(Trouble::Asked("stdin holds a state file: `ticketshim state put` takes those".to_owned())),
    }
}

fn put(args: &args::StatePut) -> Outcome {
    let given = whole_from_stdin()?;
    let group = args
        .group
        .as_deref()
        .map(|name| group_of_name(name).ok_or_else(|| Trouble::Asked(format!("there is no group {name}"))));
    let mode = args.mode.as_deref().map(|text| {
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777 && mode & 0o400 != 0);
        mode.ok_or_else(|| Trouble::Asked(format!("--mode {text}: give an octal mode such as 640")))
    });
    let access = Access { group: group.transpose()?, mode: mode.transpose()? };
    let now = clock::now();
    let file = args.file.display();
    let ahead = given.ahead(now);
    let generation = given.generation();
    let done = state::put(&args.file, &given, access, now, args.force)?;
    if args.force && ahead > 0 {
        complain(format_args!(
            "{file} is {} ahead of this clock: until the clock is there no key changes, and a stolen one opens all that was \
             sealed since",
            Duration(ahead)
        ));
    }
    match done {
        Put::Unchanged if args.quiet => {}
        Put::Unchanged => say(format_args!("{file}: generation {generation} is there")),
        Put::Advanced => say(format_args!("{file}: generation {generation} is there, and was advanced")),
        Put::Made => say(format_args!("{file}: made, of generation {generation}")),
        Put::Taken(before) => say(format_args!("{file}: generation {generation} instead of {before}")),
    }
    Ok(Exit::OK)
}

fn advance(args: &args::StateAdvance) -> Outcome {
    let text = match state::advance(&args.file, clock::now(), args.force)? {
        Advanced::From(from, to) if from < to => format!("advanced from epoch {from} to {to}"),
        Advanced::From(..) => "an old chain was erased".to_owned(),
        Advanced::Current if args.quiet => return Ok(Exit::OK),
        Advanced::Current => "nothing to erase".to_owned(),
    };
    say(format_args!("{}: {text}", args.file.display()));
    if args.force {
        say(
            "should this clock be wrong, the file is ahead of all others now, and only `ticketshim state reseed` helps",
        );
    }
    Ok(Exit::OK)
}

fn show(args: &args::StateShow) -> Outcome {
    let state = state::read(&args.file)?;
    let readers = state::readers(&args.file)?;
    let now = clock::now();
    let shown = Shown::of(&args.file, &state, readers, now)?;
    if args.json {
        say_json(&shown);
    } else {
        shown.print();
    }
    explained(&state)?;
    Ok(Exit::OK)
}

/// Of a state that was just made: its newest chain.
fn in_words(state: &State) -> String {
    let chain = state.in_use(clock::now());
    let (rotate, accept) = (Duration(chain.schedule.epoch.seconds()), Duration(chain.schedule.accept()));
    format!("chain {}, keys change every {rotate} and open for {accept}", chain.id)
}

//! `ticketshim state`: makes, shows, advances and replaces state files. What a state file is, is `ticketshim-keys`'.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use data_encoding::{BASE64_MIME_PERMISSIVE, HEXLOWER_PERMISSIVE};
use serde::Serialize;
use ticketshim_core::derive::Secret;
use ticketshim_core::ratchet::EpochLength;
use ticketshim_core::ring::Schedule;
use ticketshim_keys::clock;
use ticketshim_keys::settings::{Duration, Settings};
use ticketshim_keys::state::{self, Advanced, Readers, Refusal, State};
use zeroize::{Zeroize, Zeroizing};

use crate::args::{self, Source, Times};
use crate::exit::Exit;
use crate::text::{Hex, Utc, complain, group_name, say, say_json, user_name};

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
        args::State::Reseed(args) => (&args.file, reseed(args)),
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
    let new = new_state(&args.times, &args.source)?;
    makeable(&args.file)?;
    state::create(&args.file, &new)?;
    say(format_args!("{}: made, {}", args.file.display(), in_words(&new)));
    Ok(Exit::OK)
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

fn reseed(args: &args::StateReseed) -> Outcome {
    // What is not asked for stays as it is.
    let old = state::read(&args.file).ok().map(|old| old.schedule());
    let new = new_state_like(old, &args.times, &args.source)?;
    state::reseed(&args.file, &new)?;
    say(format_args!("{}: new keys, {}", args.file.display(), in_words(&new)));
    Ok(Exit::OK)
}

fn advance(args: &args::StateAdvance) -> Outcome {
    let text = match state::advance(&args.file, clock::now(), args.force)? {
        Advanced::From(from, to) => format!("advanced from epoch {from} to {to}"),
        Advanced::Current if args.quiet => return Ok(Exit::OK),
        Advanced::Current => "nothing to erase".to_owned(),
    };
    say(format_args!("{}: {text}", args.file.display()));
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
    Ok(Exit::OK)
}

fn in_words(state: &State) -> String {
    let schedule = state.schedule();
    let (rotate, accept) = (Duration(schedule.epoch.seconds()), Duration(schedule.accept()));
    format!("chain {}, keys change every {rotate} and open for {accept}", state.id())
}

/// What `show` shows: nothing of it is secret.
#[derive(Serialize)]
struct Shown {
    file: String,
    chain: String,
    epoch: u64,
    epoch_begins: u64,
    rotate_seconds: u64,
    accept_seconds: u64,
    owner: u32,
    group: Option<u32>,
    mode: String,
    keys: Vec<ShownKey>,
}

#[derive(Serialize)]
struct ShownKey {
    name: String,
    epoch: u64,
    begins: u64,
    ends: u64,
    seals: bool,
}

impl Shown {
    fn of(file: &Path, state: &State, readers: Readers, now: u64) -> Result<Self, Refusal> {
        let schedule = state.schedule();
        let current = schedule.epoch.epoch_at(now);
        let keys = state.keys(now)?.into_iter().map(|key| ShownKey {
            name: Hex(&key.name.0).to_string(),
            epoch: key.epoch,
            begins: key.begins,
            ends: key.ends,
            seals: key.epoch == current,
        });
        Ok(Self {
            file: file.display().to_string(),
            chain: state.id().to_string(),
            epoch: state.epoch(),
            epoch_begins: schedule.epoch.start_of(state.epoch()),
            rotate_seconds: schedule.epoch.seconds(),
            accept_seconds: schedule.accept(),
            owner: readers.owner,
            group: readers.group,
            mode: format!("{:04o}", readers.mode),
            keys: keys.collect(),
        })
    }

    fn print(&self) {
        say(format_args!("file:        {}", self.file));
        say(format_args!("chain:       {}", self.chain));
        say(format_args!("stands at:   epoch {}, from {}", self.epoch, Utc(self.epoch_begins)));
        say(format_args!("keys change: every {}", Duration(self.rotate_seconds)));
        say(format_args!("keys open:   for {}", Duration(self.accept_seconds)));
        let group = self.group.map(|gid| format!(" and members of {}", group_name(gid))).unwrap_or_default();
        say(format_args!("readable by: {}{group} (mode {})", user_name(self.owner), self.mode));
        say("keys:");
        for key in &self.keys {
            let seals = if key.seals { "  in use" } else { "" };
            say(format_args!("  {}  from {}  until {}{seals}", key.name, Utc(key.begins), Utc(key.ends)));
        }
    }
}

fn new_state(times: &Times, source: &Source) -> Result<State, Trouble> {
    new_state_like(None, times, source)
}

fn new_state_like(old: Option<Schedule>, times: &Times, source: &Source) -> Result<State, Trouble> {
    let schedule = schedule(old, times)?;
    let now = clock::now();
    match seed(source)? {
        None => Ok(State::random(schedule, now)?),
        Some(Given::Seed(seed)) => State::from_seed(&seed, schedule, now).map_err(|refusal| match refusal {
            Refusal::Weak => Trouble::Given(WEAK.to_owned()),
            other => other.into(),
        }),
        Some(Given::Whole(state)) if times.rotate.is_none() && times.accept.is_none() => Ok(*state),
        Some(Given::Whole(_)) => {
            Err(Trouble::Asked("a state file has its times in it: leave --rotate and --accept out".to_owned()))
        }
    }
}

/// As asked for; else as the file had it; else as the settings of this machine say.
fn schedule(old: Option<Schedule>, times: &Times) -> Result<Schedule, Trouble> {
    let settings = Settings::load();
    let default = old.unwrap_or_else(|| settings.schedule());
    let read = |text: &Option<String>, default: u64| match text {
        None => Ok(default),
        Some(text) => match Duration::parse(text) {
            Some(duration) => Ok(duration.0),
            None => Err(Trouble::Asked(format!("{text} is not a time such as 90m or 12h"))),
        },
    };
    let rotate = read(&times.rotate, default.epoch.seconds())?;
    let accept = read(&times.accept, default.accept())?;
    let length = u32::try_from(rotate).ok().and_then(EpochLength::new);
    let length =
        length.filter(|_| rotate <= MOST).ok_or_else(|| Trouble::Asked("--rotate takes 1s to 7d".to_owned()))?;
    let schedule = Schedule::new(length, accept);
    // More than is possible is worth a word; less than a whole epoch is rounded up, which nobody minds.
    if times.accept.is_some() && schedule.accept() < accept {
        let (rotate, most) = (Duration(rotate), Duration(schedule.accept()));
        return Err(Trouble::Asked(format!(
            "with keys that change every {rotate}, tickets can open for {most} at most"
        )));
    }
    Ok(schedule)
}

/// 7 days.
const MOST: u64 = 7 * 86_400;

/// Of a seed, before there is a file.
const WEAK: &str = "the seed that was given is a constant or a pattern, and nothing was written: give a random one (openssl \
                    rand -hex 32)";

enum Given {
    Seed(Secret),
    Whole(Box<State>),
}

fn seed(source: &Source) -> Result<Option<Given>, Trouble> {
    if let Some(name) = &source.hex_env {
        let text = env::var(name).map_err(|_| Trouble::Asked(format!("the environment has no variable {name}")))?;
        let text = Zeroizing::new(text);
        let wrong = || Trouble::Asked(format!("{name} does not hold 64 hex digits (openssl rand -hex 32)"));
        return from_hex(text.trim().as_bytes()).map(|seed| Some(Given::Seed(seed))).ok_or_else(wrong);
    }
    if !source.from_stdin {
        return Ok(None);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
    let read = io::stdin().lock().take(1024).read_to_end(&mut bytes);
    read.map_err(|error| Trouble::Asked(format!("stdin: {error}")))?;
    given(&bytes).map(Some)
}

fn given(bytes: &[u8]) -> Result<Given, Trouble> {
    let whole = |bytes: &[u8]| Ok(Given::Whole(Box::new(State::from_bytes(bytes)?)));
    if bytes.starts_with(state::MAGIC) {
        return whole(bytes);
    }
    if let Ok(seed) = <[u8; 32]>::try_from(bytes) {
        return Ok(Given::Seed(Secret::new(seed)));
    }
    let text = bytes.trim_ascii();
    if let Some(seed) = from_hex(text) {
        return Ok(Given::Seed(seed));
    }
    let decoded = BASE64_MIME_PERMISSIVE.decode(text).map(Zeroizing::new);
    if let Ok(decoded) = decoded
        && decoded.starts_with(state::MAGIC)
    {
        return whole(&decoded);
    }
    Err(Trouble::Asked(
        "stdin holds neither 32 bytes, nor 64 hex digits, nor a state file (openssl rand -hex 32)".to_owned(),
    ))
}

fn from_hex(text: &[u8]) -> Option<Secret> {
    let mut seed = [0; 32];
    if text.len() != 64 || HEXLOWER_PERMISSIVE.decode_mut(text, &mut seed).is_err() {
        return None;
    }
    let secret = Secret::new(seed);
    seed.zeroize();
    Some(secret)
}

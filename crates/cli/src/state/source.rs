//! Where the chain of a new or announced generation comes from, and when its keys change.

use std::env;
use std::io::{self, Read};

use data_encoding::{BASE64_MIME_PERMISSIVE, HEXLOWER_PERMISSIVE};
use ticketshim_core::derive::Secret;
use ticketshim_core::ratchet::EpochLength;
use ticketshim_core::ring::Schedule;
use ticketshim_keys::clock;
use ticketshim_keys::settings::{Duration, Settings};
use ticketshim_keys::state::{self, Refusal, State};
use zeroize::{Zeroize, Zeroizing};

use super::Trouble;
use crate::args::{Source, Times};

/// A state with one new chain.
pub(super) enum New {
    /// Of this machine's randomness, or of a seed.
    Chain(State),
    /// A whole state file, as somebody else has it.
    Whole(State),
}

/// What was asked for. What is not said of its times is as in `old`, else as the settings say.
pub(super) fn new_state(old: Option<Schedule>, times: &Times, source: &Source) -> Result<New, Trouble> {
    let schedule = schedule(old, times)?;
    let now = clock::now();
    match seed(source)? {
        None => Ok(New::Chain(State::random(schedule, now)?)),
        Some(Given::Seed(seed)) => {
            State::from_seed(&seed, schedule, now).map(New::Chain).map_err(|refusal| match refusal {
                Refusal::Weak => Trouble::Given(WEAK.to_owned()),
                other => other.into(),
            })
        }
        Some(Given::Whole(state)) if times.rotate.is_none() && times.accept.is_none() => Ok(New::Whole(*state)),
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
    given(&stdin()?).map(Some)
}

/// The state file on stdin, as it is or in base64.
pub(super) fn whole_from_stdin() -> Result<State, Trouble> {
    match given(&stdin()?)? {
        Given::Whole(state) => Ok(*state),
        Given::Seed(_) => {
            Err(Trouble::Asked("stdin holds a seed: put takes a state file, init and announce a seed".into()))
        }
    }
}

fn stdin() -> Result<Zeroizing<Vec<u8>>, Trouble> {
    // Its memory never grows, so no copy is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST_INPUT));
    let read = io::stdin().lock().take(MOST_INPUT as u64).read_to_end(&mut bytes);
    read.map_err(|error| Trouble::Asked(format!("stdin: {error}")))?;
    Ok(bytes)
}

/// More than a state file in base64, with line ends.
const MOST_INPUT: usize = 2048;

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

//! `ticketshim stats`: shows the counters that a server's processes share in a file.
//!
//! - [`source`]: reads the file. [`show`]: table, JSON, Prometheus. What counters are called is in `ticketshim_keys`.

mod show;
mod source;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::args;
use crate::exit::Exit;
use crate::text::{complain, is_lost, say};
use source::Located;

pub use source::{is_of, of_process, read};

pub fn stats(args: &args::Stats) -> Exit {
    let (source, every) = match asked(args) {
        Ok(asked) => asked,
        Err(why) => return fail(why),
    };
    let located = source::locate(&source);
    let mut last = match located.as_ref().map_err(String::clone).and_then(Located::read) {
        Ok(snapshot) => snapshot,
        Err(why) => return fail(&why),
    };
    if args.json {
        show::json(&last);
    } else if args.prometheus {
        say(show::prometheus(&last).trim_end());
    } else {
        say(show::table(&last, None).trim_end());
    }
    let (Some(every), Ok(located)) = (every, located) else { return Exit::OK };
    while !is_lost() {
        thread::sleep(every);
        let now = match located.read() {
            Ok(snapshot) => snapshot,
            Err(why) => return fail(&why),
        };
        // Clears a terminal; anything else gets one table after the other.
        let clear = if rustix::termios::isatty(std::io::stdout()) { "\x1b[H\x1b[2J" } else { "\n" };
        say(format_args!("{clear}{}", show::table(&now, Some(&last)).trim_end()));
        last = now;
    }
    Exit::OK
}

/// What to show, and how often if more than once. `--watch FILE` is the file, each second.
fn asked(args: &args::Stats) -> Result<(PathBuf, Option<Duration>), &'static str> {
    let Some(watch) = &args.watch else {
        return args.source.clone().map(|source| (source, None)).ok_or("name a file of counters, or a process");
    };
    let seconds = watch.to_str().and_then(|text| text.parse::<u64>().ok());
    let every = |seconds: u64| Some(Duration::from_secs(seconds.max(1)));
    match (&args.source, seconds) {
        (Some(source), Some(seconds)) => Ok((source.clone(), every(seconds))),
        (None, None) => Ok((watch.into(), every(1))),
        (Some(_), None) => Err("--watch takes a number of seconds"),
        (None, Some(_)) => {
            Err("name a file of counters, or a process, after the seconds: ticketshim stats --watch 1 FILE")
        }
    }
}

fn fail(why: &str) -> Exit {
    complain(why);
    Exit::TROUBLE
}

//! `ticketshim stats`: shows the counters that a server's processes share in a file.
//!
//! - [`source`]: reads the file. [`show`]: table, JSON, Prometheus. What counters are called is in `ticketshim_keys`.

mod show;
mod source;

use std::thread;
use std::time::Duration;

use crate::args;
use crate::exit::Exit;
use crate::text::{complain, say};

pub use source::{of_process, read};

pub fn stats(args: &args::Stats) -> Exit {
    let file = match source::locate(&args.source) {
        Ok(file) => file,
        Err(why) => return fail(&why),
    };
    let mut last = match read(&file) {
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
    let Some(seconds) = args.watch else { return Exit::OK };
    loop {
        thread::sleep(Duration::from_secs(u64::from(seconds.max(1))));
        let now = match read(&file) {
            Ok(snapshot) => snapshot,
            Err(why) => return fail(&why),
        };
        // Clears a terminal; anything else gets one table after the other.
        let clear = if rustix::termios::isatty(std::io::stdout()) { "\x1b[H\x1b[2J" } else { "\n" };
        say(format_args!("{clear}{}", show::table(&now, Some(&last)).trim_end()));
        last = now;
    }
}

fn fail(why: &str) -> Exit {
    complain(why);
    Exit::TROUBLE
}

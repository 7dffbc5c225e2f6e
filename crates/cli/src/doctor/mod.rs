//! `ticketshim doctor`: says whether a program can be helped, or a running one is, and if not, why.
//!
//! - [`command`]: a program that does not run: what its files say.
//! - [`service`]: a service of systemd. [`linkage`]: what comes before libssl.
//! - [`live`]: a process: what is mapped into it.
//! - [`plugins`]: what a program may load later. [`version`]: which OpenSSL a file is.
//! - [`keys`]: the settings, the state file. [`counted`]: the counters. [`known`]: what is known of particular servers.
//! - [`report`]: how it is shown.

mod command;
mod counted;
mod keys;
mod known;
mod linkage;
mod live;
mod plugins;
mod report;
mod service;
mod version;

use crate::args;
use crate::exit::Exit;
use crate::unit;

pub fn doctor(args: &args::Doctor) -> Exit {
    match (&args.target, args.command.as_slice()) {
        (Some(target), _) => match target.to_str().and_then(|text| text.parse().ok()) {
            Some(pid) => live::examine(pid, args.json),
            None => match target.to_str().filter(|text| unit::is_name(text)) {
                Some(name) => service::examine(name, args.json),
                None => command::examine(target, &[], args.json),
            },
        },
        (None, [name, arguments @ ..]) => command::examine(name, arguments, args.json),
        // clap asks for one of them.
        (None, []) => Exit::USAGE,
    }
}

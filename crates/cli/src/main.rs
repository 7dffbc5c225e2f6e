//! The command `ticketshim`: puts `libticketshim.so` under a server and says what comes of it.
//!
//! Read in this order: [`args`] (what can be asked for), [`run`], [`doctor`], [`state`], [`stats`], [`inspect`]. Below
//! them: [`program`] (what a command name leads to), [`handover`] (who else starts it), [`unit`] (services), [`access`] (who
//! may), [`manual`] (examples and exit codes), [`elf`] and [`loader`] (which libraries a program will have),
//! [`library`] (where libticketshim.so is), [`process`] (what runs already), [`text`] (how things are written).
//!
//! The command uses the crates that the library is made of, never the library's C functions: it does not load OpenSSL.

#![cfg_attr(not(test), no_main)]
#![deny(unsafe_code)]

mod access;
mod args;
mod doctor;
mod elf;
mod exit;
mod generate;
mod handover;
mod inspect;
mod launcher;
mod library;
mod loader;
mod manual;
mod process;
mod program;
mod run;
mod state;
mod stats;
mod text;
mod unit;

use std::ffi::c_int;

use clap::Parser;

use args::{Cli, Command};
use exit::Exit;

/// Where the program starts, in place of Rust's own start-up code: that one has SIGPIPE ignored, and `run` is to hand
/// signals over to the server as they were when it was called (systemd has SIGPIPE ignored, a shell has not).
#[cfg_attr(not(test), unsafe(export_name = "main"))]
#[cfg_attr(not(test), expect(unsafe_code, reason = "without Rust's start-up code there is no other way to start"))]
#[cfg_attr(test, expect(dead_code, reason = "a test has the harness's start-up code"))]
extern "C" fn start(_argc: c_int, _argv: *const *const u8) -> c_int {
    let exit = match Cli::try_parse() {
        Ok(cli) => dispatch(cli.command),
        Err(refusal) => {
            let told = refusal.print();
            if refusal.use_stderr() {
                // Nobody can be told that telling failed.
                Exit::USAGE
            } else {
                text::said(told);
                Exit::OK
            }
        }
    };
    text::finish(exit).code()
}

fn dispatch(command: Command) -> Exit {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::State(command) => state::state(command),
        Command::Stats(args) => stats::stats(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Generate(what) => generate::generate(&what),
    }
}

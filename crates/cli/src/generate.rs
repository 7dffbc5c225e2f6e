//! Man pages and completions, made of the same definitions as the help. For packagers.

use std::io;
use std::path::Path;

use clap::CommandFactory;

use crate::args::{Cli, Generate};
use crate::exit::Exit;
use crate::text::complain;

pub fn generate(what: &Generate) -> Exit {
    match what {
        Generate::Man { dir } => match man(dir) {
            Ok(()) => Exit::OK,
            Err(error) => {
                complain(format_args!("{}: {error}", dir.display()));
                Exit::TROUBLE
            }
        },
        Generate::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "ticketshim", &mut io::stdout());
            Exit::OK
        }
    }
}

/// One page for the command, one for each of its commands (`ticketshim-run.1`).
fn man(dir: &Path) -> io::Result<()> {
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), dir)
}

//! Man pages and completions, made of the same definitions as the help. For packagers.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::{Cli, Generate};
use crate::exit::Exit;
use crate::text::complain;

/// What the help of no command says.
const ENVIRONMENT: &str = ".SH ENVIRONMENT
.TP
.B TICKETSHIM_LIB
Path of the library, if it is to be another than the one beside this command, or in
.I ../lib
of it.
.P
The settings of the library are in
.BR ticketshim (7).
";

pub fn generate(what: &Generate) -> Exit {
    match what {
        Generate::Man { dir, date } => {
            let mut command = Cli::command().disable_help_subcommand(true);
            command.build();
            match man(&command, dir, date) {
                Ok(()) => Exit::OK,
                Err(error) => {
                    complain(format_args!("{}: {error}", dir.display()));
                    Exit::TROUBLE
                }
            }
        }
        Generate::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "ticketshim", &mut io::stdout());
            Exit::OK
        }
    }
}

/// One page for the command, one for each of its commands (`ticketshim-run.1`).
fn man(command: &clap::Command, dir: &Path, date: &str) -> io::Result<()> {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        man(command, dir, date)?;
    }
    let name = command.get_display_name().unwrap_or(command.get_name());
    let page = Man::new(command.clone())
        .title(name.to_uppercase())
        .date(date)
        .source(concat!("ticketshim ", env!("CARGO_PKG_VERSION")))
        .manual("ticketshim");
    let mut file = File::create(dir.join(page.get_filename()))?;
    page.render(&mut file)?;
    let others = if name == "ticketshim" {
        file.write_all(ENVIRONMENT.as_bytes())?;
        ""
    } else {
        ".BR ticketshim (1),\n"
    };
    writeln!(file, ".SH SEE ALSO\n{others}.BR ticketshim (7)")
}

//! Man pages and completions, made of the same definitions as the help. For packagers.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap::builder::Resettable;
use clap_complete::Shell;
use clap_mangen::Man;
use ticketshim_keys::settings::ALL;

use crate::args::{Cli, Generate};
use crate::exit::Exit;
use crate::manual;
use crate::text::{complain, say_text};

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

/// What follows `--` is a command with its own arguments. bash-completion knows how to complete those, and calls the
/// function differently from release to release.
const BASH_COMMAND: &str = r#"
_ticketshim_and_command() {
    local at
    for ((at = 2; at < COMP_CWORD; at++)); do
        [[ ${COMP_WORDS[at]} == -- && ${COMP_WORDS[1]} == @(run|doctor) ]] || continue
        if declare -F _comp_command_offset > /dev/null; then
            _comp_command_offset $((at + 1))
        elif declare -F _command_offset > /dev/null; then
            _command_offset $((at + 1))
        elif ((COMP_CWORD == at + 1)); then
            mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
        fi
        return
    done
    _ticketshim "$@"
}
complete -F _ticketshim_and_command -o bashdefault -o default ticketshim
"#;

/// The same for fish, which completes any line that it is given.
const FISH_COMMAND: &str = r#"
function __ticketshim_command
    set -l words (commandline -opc)
    set -l at (contains -i -- -- $words)
    set -l line (string escape -- $words[(math $at + 1)..-1]) (commandline -ct)
    complete -C (string join ' ' -- $line)
end
complete -c ticketshim -n '__fish_seen_subcommand_from run doctor; and contains -- -- (commandline -opc)' -f -a '(__ticketshim_command)'
"#;

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
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "ticketshim", &mut text);
            say_text(String::from_utf8_lossy(&text));
            match shell {
                Shell::Bash => say_text(BASH_COMMAND),
                Shell::Fish => say_text(FISH_COMMAND),
                // zsh's is told by the definitions what follows `--`.
                _ => {}
            }
            Exit::OK
        }
        Generate::Settings => {
            ALL.iter().for_each(|setting| say_text(manual::paragraph(setting)));
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
    let called = command.get_bin_name().unwrap_or(command.get_name());
    // What the help ends with are sections here.
    let page = Man::new(command.clone().after_help(Resettable::Reset))
        .title(name.to_uppercase())
        .date(date)
        .source(concat!("ticketshim ", env!("CARGO_PKG_VERSION")))
        .manual("ticketshim");
    let mut file = File::create(dir.join(page.get_filename()))?;
    page.render(&mut file)?;
    file.write_all(manual::sections(called).as_bytes())?;
    let others = if name == "ticketshim" {
        file.write_all(ENVIRONMENT.as_bytes())?;
        ""
    } else {
        ".BR ticketshim (1),\n"
    };
    writeln!(file, ".SH SEE ALSO\n{others}.BR ticketshim (7)")
}

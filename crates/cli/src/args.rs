//! What can be asked for. The help, the man pages and the completions are made of this.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueHint, value_parser};
use ticketshim_keys::settings::{ALL, Setting, Values};

use crate::manual::after_help;

/// Session tickets done right, in front of any program's own OpenSSL.
#[derive(Parser, Debug)]
#[command(name = "ticketshim", version, max_term_width = 100, propagate_version = false)]
#[command(after_help = after_help("ticketshim"))]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    Run(Run),
    Doctor(Doctor),
    #[command(subcommand)]
    State(State),
    Stats(Stats),
    Inspect(Inspect),
    #[command(subcommand, hide = true)]
    Generate(Generate),
}

/// Run a server with its session tickets taken over.
///
/// Sets the environment and executes CMD in place: process id, signals, files and exit code are CMD's own.
#[derive(Args, Debug)]
#[command(after_help = after_help("ticketshim run"))]
pub struct Run {
    #[command(flatten)]
    pub settings: Settings,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// The settings of the library that were given as options, in the words that the library reads.
#[derive(Debug)]
pub struct Settings(pub Vec<(&'static Setting, OsString)>);

impl Args for Settings {
    fn augment_args(command: clap::Command) -> clap::Command {
        // What most servers need comes first: the files.
        let (files, others): (Vec<_>, Vec<_>) = ALL.iter().partition(|one| matches!(one.values, Values::Path { .. }));
        command.args(files.into_iter().chain(others).map(option))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: &Setting| Some(matches.get_raw(setting.name)?.next()?.to_owned());
        Ok(Self(ALL.iter().filter_map(|setting| Some((setting, given(setting)?))).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The option of a setting.
fn option(setting: &Setting) -> Arg {
    let option = Arg::new(setting.name).long(setting.option()).value_name(setting.value_name).help(setting.help);
    match setting.values {
        Values::Words(words) => {
            let words = words.iter().map(|word| PossibleValue::new(word.name).help(word.help));
            option.value_parser(PossibleValuesParser::new(words))
        }
        Values::Path { .. } => option.value_parser(value_parser!(PathBuf)),
        Values::Time { .. } => option.value_parser(value_parser!(String)),
    }
}

/// The help of an option that stands for a setting here and now.
fn like_the_setting(name: &str) -> String {
    let setting = ALL.iter().find(|setting| setting.name == name);
    let said = setting.and_then(|setting| Some((setting.help, setting.of(&Default::default())?)));
    let (help, default) = said.unwrap_or_default();
    format!("{help} [default: as the settings say, else {default}]")
}

/// Say whether a program can be helped, or a running one is, and if not, why.
///
/// The last line is the verdict and what to do. Of a process: whether the library comes before libssl, whether its user can
/// read the state file or make it, and what it has counted. As root, all of that can be seen.
#[derive(Args, Debug)]
#[command(after_help = after_help("ticketshim doctor"))]
pub struct Doctor {
    /// A running process (its number), a service of systemd (nginx.service), or a program
    #[arg(value_name = "PID|SERVICE|PROGRAM", required_unless_present = "command", conflicts_with = "command")]
    #[arg(value_hint = ValueHint::CommandName)]
    pub target: Option<OsString>,
    /// A program and its arguments. It is looked at, not run
    #[arg(last = true, value_name = "CMD", value_hint = ValueHint::CommandName)]
    pub command: Vec<OsString>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// Make, show, advance or replace a state file, or announce other keys in one.
#[derive(Subcommand, Debug)]
#[command(after_help = after_help("ticketshim state"))]
pub enum State {
    Init(StateInit),
    Show(StateShow),
    Advance(StateAdvance),
    Announce(StateAnnounce),
    Reseed(StateReseed),
    Put(StatePut),
}

/// Make a state file where there is none, mode 0600.
#[derive(Args, Debug)]
#[command(after_help = after_help("ticketshim state init"))]
pub struct StateInit {
    /// The file
    pub file: PathBuf,
    #[command(flatten)]
    pub times: Times,
    #[command(flatten)]
    pub source: Source,
}

/// Show what a state file holds. Never shows a key.
#[derive(Args, Debug)]
#[command(after_help = after_help("ticketshim state show"))]
pub struct StateShow {
    /// The file
    pub file: PathBuf,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// Erase from a state file what no ticket needs any more. For a timer; running servers do it too where they may.
#[derive(Args, Debug)]
#[command(after_help = after_help("ticketshim state advance"))]
pub struct StateAdvance {
    /// The file
    pub file: PathBuf,
    /// Also if the clock is far beyond the file. Should the clock be wrong, only a re-seed brings the file back
    #[arg(long)]
    pub force: bool,
    /// Say nothing if there was nothing to do
    #[arg(long, short)]
    pub quiet: bool,
}

/// Announce other keys. Whoever reads the file opens tickets under them at once, and seals under them from a moment on that
/// is the same for all. Keys before that open until no ticket of theirs can be left, so nothing is lost.
#[derive(Args, Debug)]
#[command(after_help = after_help("ticketshim state announce"))]
pub struct StateAnnounce {
    /// The file
    pub file: PathBuf,
    /// When they are sealed under: after a time (+2h), or a moment (2026-12-31T23:59Z, or @ and Unix seconds)
    #[arg(long, value_name = "TIME")]
    pub use_at: String,
    #[command(flatten)]
    pub times: Times,
    #[command(flatten)]
    pub source: Source,
}

/// Replace the keys of a state file: announces others, to be used after two of their changes (at least a minute, at most a
/// day), so that nothing is lost. With --now at once: for a theft.
#[derive(Args, Debug)]
#[command(after_help = after_help("ticketshim state reseed"))]
pub struct StateReseed {
    /// The file
    pub file: PathBuf,
    /// All keys before are gone at once, announced ones too; everyone makes one full handshake
    #[arg(long)]
    pub now: bool,
    #[command(flatten)]
    pub times: Times,
    #[command(flatten)]
    pub source: Source,
}

/// Bring a state file to what another one holds, or make it. The same result however often it is done; never back. For
/// scripts and engines.
#[derive(Args, Debug)]
#[command(after_help = after_help("ticketshim state put"))]
pub struct StatePut {
    /// The file
    pub file: PathBuf,
    /// Read the other one from stdin, as it is or in base64
    #[arg(long, required = true)]
    pub from_stdin: bool,
    /// The group that it shall belong to
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// The mode that it shall have, octal; 600 for a new file
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// Also one that is ahead of this clock. No key changes then until the clock gets there
    #[arg(long)]
    pub force: bool,
    /// Say nothing if there was nothing to do
    #[arg(long, short)]
    pub quiet: bool,
}

/// When keys change and how long they open.
#[derive(Args, Debug)]
pub struct Times {
    #[arg(long, value_name = "TIME", help = like_the_setting("rotate"))]
    pub rotate: Option<String>,
    #[arg(long, value_name = "TIME", help = like_the_setting("accept"))]
    pub accept: Option<String>,
}

/// Where the keys come from, if not from this machine's randomness. Who keeps a seed can derive all keys, old and new.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub struct Source {
    /// Read a seed (32 bytes, or 64 hex digits) or a whole state file (as it is, or in base64) from stdin
    #[arg(long)]
    pub from_stdin: bool,
    /// Take the seed from this variable of the environment, 64 hex digits
    #[arg(long, value_name = "NAME")]
    pub hex_env: Option<String>,
}

/// Show a server's counters.
#[derive(Args, Debug)]
#[command(after_help = after_help("ticketshim stats"))]
pub struct Stats {
    /// The file of counters, or the process id of a server that has one
    #[arg(value_name = "FILE|PID", required_unless_present = "watch", value_hint = ValueHint::FilePath)]
    pub source: Option<PathBuf>,
    /// Show again every so many seconds (1, if none is given), with what has changed
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", conflicts_with_all = ["json", "prometheus"])]
    pub watch: Option<OsString>,
    /// Write JSON
    #[arg(long, conflicts_with = "prometheus")]
    pub json: bool,
    /// Write the text format of Prometheus, as parsers of OpenMetrics take it too
    #[arg(long)]
    pub prometheus: bool,
}

/// Look into a ticket.
///
/// A ticket shows in clear which key sealed it. The state file says whether that is one of ours and when it was
/// sealed. Its content opens only with the binding that it was sealed to: the facts of the server that issued it.
#[derive(Args, Debug)]
#[command(after_help = after_help("ticketshim inspect"))]
pub struct Inspect {
    /// The session (PEM, as `openssl s_client -sess_out` writes it) or ticket (hex or base64): a file, the text
    /// itself, or `-` for stdin
    #[arg(value_name = "X")]
    pub what: OsString,
    /// The state file of the server that issued it
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// The server name that the client asked for [default: what the session says, and each name of its certificate]
    #[arg(long, value_name = "NAME")]
    pub sni: Option<String>,
    /// The server's certificate, for nginx and for clients that ask for no name; once for each that the server has
    /// [default: the one in the session]
    #[arg(long, value_name = "FILE")]
    pub cert: Vec<PathBuf>,
    /// The context's session id context (SSL_CTX_set_session_id_context), in hex, or as text:… [default: those of nginx,
    /// Apache httpd, HAProxy, hitch, lighttpd, Redis, Python, Postfix and openssl s_server]
    #[arg(long, value_name = "HEX")]
    pub sid_ctx: Option<String>,
    /// The context's verify mode (SSL_CTX_set_verify): 0 none, 1 peer, 3 peer or fail … [default: each]
    #[arg(long, value_name = "N")]
    pub verify_mode: Option<u32>,
    /// The CA certificates whose names the server sends to clients; may be given more than once, in its order
    #[arg(long, value_name = "FILE")]
    pub client_ca: Vec<PathBuf>,
    /// CA certificates that the server trusts for clients, and whose names it does not send
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub trusted_ca: Vec<PathBuf>,
    /// Revocation lists that the server has loaded
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub crl: Vec<PathBuf>,
    /// How long a client's chain may be (SSL_CTX_set_verify_depth) [default: -1 (not set), 1 and 100]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub verify_depth: Option<i32>,
    /// The server's security level (SSL_CTX_set_security_level) [default: 1 and 2]
    #[arg(long, value_name = "N")]
    pub security_level: Option<i32>,
    /// Also show the session's master secret, which decrypts its connections
    #[arg(long)]
    pub reveal_master_secret: bool,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// Make man pages or completions.
#[derive(Subcommand, Debug)]
pub enum Generate {
    /// Man pages
    Man {
        /// The directory to write them to
        dir: PathBuf,
        /// The day that they bear
        #[arg(long, value_name = "YYYY-MM-DD")]
        date: String,
    },
    /// Completions, to stdout
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// What ticketshim(7) says of each setting, to stdout
    Settings,
}

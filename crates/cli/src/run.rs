//! `ticketshim run`: everything is looked at first, so that what cannot work says so; then the command is executed in
//! place.

use std::convert::Infallible;
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use ticketshim_keys::clock;
use ticketshim_keys::counters::file::{self as counters, Trouble};
use ticketshim_keys::settings::{self, Setting, Values};
use ticketshim_keys::state::{self, Refusal, State};

use crate::args;
use crate::exit::Exit;
use crate::library;
use crate::program;
use crate::state::about;
use crate::text::complain;

/// Runs the command; comes back only if that cannot be.
pub fn run(args: &args::Run) -> Exit {
    match try_run(args) {
        Ok(never) => match never {},
        Err((exit, why)) => {
            complain(why);
            exit
        }
    }
}

fn try_run(args: &args::Run) -> Result<Infallible, (Exit, String)> {
    let with = |exit: Exit| move |why: String| (exit, why);
    let [name, arguments @ ..] = args.command.as_slice() else {
        return Err((Exit::USAGE, "no command given".to_owned()));
    };
    let library = library::find().map_err(|why| (Exit::OURSELVES, why.to_string()))?;
    let command = program::resolve(name, arguments).map_err(|why| (why.exit(), why.to_string()))?;
    command.check(&library).map_err(|why| (why.exit(), why.to_string()))?;
    let wanted = variables(&args.settings).map_err(with(Exit::OURSELVES))?;
    let settings = settings::Settings::read(|name| lookup(&wanted, name), None);
    if let Some(complaint) = settings.complaints.first() {
        return Err((Exit::OURSELVES, in_options(&complaint.problem, &args.settings)));
    }
    // What this one call asks for makes sense. The file is for all servers: what is wrong in there stops none of them.
    let (asked, settings) = (settings, settings::Settings::with_file(|name| lookup(&wanted, name)));
    let names = env::vars_os().filter_map(|(name, _)| settings::misspelt(name.as_bytes()));
    settings.complaints.iter().chain(&names.collect::<Vec<_>>()).for_each(complain);
    // Says of a path that it was not named in this call.
    let file = settings::file_of(|name| lookup(&wanted, name));
    let named_by_file = format!(" ({} names it)", file.display());
    let from = |asked: &Option<PathBuf>| if asked.is_some() { "" } else { &named_by_file };
    if let Some(file) = &settings.state {
        let say = |why: String| (Exit::STATE, format!("{why}{}", from(&asked.state)));
        prepare_state(file, &settings).map_err(say)?;
    }
    if let Some(file) = &settings.stats {
        let say = |why: String| (Exit::OURSELVES, format!("{why}{}", from(&asked.stats)));
        prepare_stats(file).map_err(say)?;
    }
    let preload = preload(library.elf.path.as_os_str(), env::var_os("LD_PRELOAD"));
    let environment =
        env::vars_os().filter(|(name, _)| name != "LD_PRELOAD" && !wanted.iter().any(|(n, _)| **n == **name));
    let environment = environment.chain(wanted.iter().map(|(n, v)| (n.into(), v.clone())));
    let environment = environment.chain([("LD_PRELOAD".into(), preload)]);
    let why = execute(&command.path, &args.command, environment.collect());
    Err((if why.1 { Exit::NOT_FOUND } else { Exit::NOT_EXECUTABLE }, why.0))
}

/// A complaint about a variable that came of an option, in words of that option.
fn in_options(problem: &str, given: &args::Settings) -> String {
    let option = given.0.iter().find_map(|(setting, _)| {
        let rest = problem.strip_prefix(&setting.variable())?.strip_prefix('=')?;
        Some(format!("--{} {rest}", setting.option()))
    });
    option.unwrap_or_else(|| problem.to_owned())
}

/// What was asked for, as the variables that the library reads.
fn variables(given: &args::Settings) -> Result<Vec<(String, OsString)>, String> {
    let variable = |(setting, value): &(&Setting, OsString)| {
        let value = match setting.values {
            // The server may change its directory before the library looks.
            Values::Path { .. } => match std::path::absolute(value) {
                Ok(file) => file.into_os_string(),
                Err(error) => return Err(format!("{}: {error}", value.display())),
            },
            Values::Words(_) | Values::Time { .. } => value.clone(),
        };
        Ok((setting.variable(), value))
    };
    given.0.iter().map(variable).collect()
}

fn lookup(wanted: &[(String, OsString)], name: &str) -> Option<OsString> {
    wanted.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()).or_else(|| env::var_os(name))
}

/// Makes the state file if it is missing, and refuses what the library would refuse: here somebody is watching.
fn prepare_state(file: &Path, settings: &settings::Settings) -> Result<(), String> {
    let say = |refusal: Refusal| format!("state file refused: {}", about(file, refusal).text(file));
    match state::read_as_server(file) {
        Ok(_) => return Ok(()),
        Err(Refusal::Missing) => {}
        Err(refusal) => return Err(say(refusal)),
    }
    if let Some(dir) = file.parent().filter(|dir| !dir.exists()) {
        let (file, dir) = (file.display(), dir.display());
        return Err(format!("state file refused: {file}: there is no directory {dir}: install -d -m 700 {dir}"));
    }
    let new = State::random(settings.schedule(), clock::now()).map_err(say)?;
    match state::create(file, &new) {
        // Another one starting at the same time was faster.
        Ok(()) | Err(Refusal::Exists) => state::read_as_server(file).map(drop).map_err(say),
        Err(refusal) => Err(say(refusal)),
    }
}

/// Makes the file of counters if it is missing: a server that drops its rights early could not. An empty one will do. One
/// that the library would not use is refused: here somebody is watching.
fn prepare_stats(file: &Path) -> Result<(), String> {
    let say = |why: &dyn Display| format!("stats file refused: {}: {why}", file.display());
    let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(file);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match counters::read(file) {
            Ok(_) | Err(Trouble::CutOff) => Ok(()),
            Err(trouble) => Err(say(&trouble)),
        },
        Err(error) => Err(say(&error)),
    }
}

/// Ours first, then whatever was there.
fn preload(ours: &OsStr, before: Option<OsString>) -> OsString {
    let before = before.unwrap_or_default();
    let others = before.as_bytes().split(|b| matches!(b, b' ' | b':')).filter(|entry| !entry.is_empty());
    let others = others.filter(|entry| *entry != ours.as_bytes());
    let all: Vec<&[u8]> = [ours.as_bytes()].into_iter().chain(others).collect();
    OsString::from_vec(all.join(&b':'))
}

/// Executes the program; if that fails says why, and whether it was not found.
fn execute(path: &Path, command: &[OsString], environment: Vec<(OsString, OsString)>) -> (String, bool) {
    let failed = |why: &dyn Display| format!("{} cannot be executed: {why}", path.display());
    let variables = environment.into_iter().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    let strings = (
        CString::new(path.as_os_str().as_bytes()),
        command.iter().map(|argument| CString::new(argument.as_bytes())).collect::<Result<Vec<_>, _>>(),
        variables.map(CString::new).collect::<Result<Vec<_>, _>>(),
    );
    let (Ok(file), Ok(arguments), Ok(environment)) = strings else {
        return (failed(&"a NUL byte in an argument"), false);
    };
    let Err(error) = nix::unistd::execve(&file, &arguments, &environment);
    if error != Errno::ENOEXEC {
        return (failed(&error.desc()), error == Errno::ENOENT);
    }
    // A script without a first line that says for whom: execvp(3) gives it to a shell.
    let rest = arguments.into_iter().skip(1);
    let arguments: Vec<CString> = [c"sh".to_owned(), file].into_iter().chain(rest).collect();
    let Err(error) = nix::unistd::execve(c"/bin/sh", &arguments, &environment);
    (failed(&error.desc()), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preload_keeps_what_is_there() {
        let cases = [
            (None, "/l/t.so"),
            (Some(""), "/l/t.so"),
            (Some("/a.so"), "/l/t.so:/a.so"),
            (Some("/a.so /l/t.so:/b.so"), "/l/t.so:/a.so:/b.so"),
        ];
        for (before, after) in cases {
            assert_eq!(preload(OsStr::new("/l/t.so"), before.map(OsString::from)), after);
        }
    }
}

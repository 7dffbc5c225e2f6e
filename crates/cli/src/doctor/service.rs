//! A service of systemd: its main process if it runs, else what its unit would start.

use std::ffi::OsString;
use std::path::Path;

use super::report::{Outcome, Report};
use super::{command, live};
use crate::exit::Exit;
use crate::library;
use crate::program;
use crate::unit::{self, Unit};

pub fn examine(name: &str, json: bool) -> Exit {
    if let Some(pid) = unit::main_process(name) {
        return live::examine(pid, json);
    }
    let mut report = Report::default();
    report.fact("service", format_args!("{name}, which does not run here"));
    let (outcome, verdict) = look(&mut report, name);
    report.finish(json, outcome, verdict)
}

fn look(report: &mut Report, name: &str) -> (Outcome, String) {
    let Some(unit) = Unit::load(name) else {
        let verdict = format!("there is no unit {name} here: ask with its program, or the process id of its server");
        return (Outcome::Unknown, verdict);
    };
    let [program, arguments @ ..] = unit.command.as_slice() else {
        return (
            Outcome::Unknown,
            format!("{name} names no program (ExecStart=): ask with the process id of its server"),
        );
    };
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    let (outcome, verdict) = command::look(report, program.as_ref(), &arguments, Some(&unit));
    if let Some(root) = unit.hidden("RootDirectory").or_else(|| unit.hidden("RootImage")) {
        let verdict = format!(
            "{name} has {root}: which files it finds there cannot be seen from here: start it, and ask again as root"
        );
        return (Outcome::Unknown, verdict);
    }
    if outcome != Outcome::WillHelp {
        return (outcome, verdict);
    }
    if program::resolve(program.as_ref(), &arguments).is_ok_and(|found| found.is_run()) {
        let verdict = format!("{name} starts it with `ticketshim run`: `systemctl restart {name}`, and ask again");
        return (Outcome::WillHelp, verdict);
    }
    if unit.unsets("LD_PRELOAD") {
        let verdict = format!(
            "{name} has UnsetEnvironment=LD_PRELOAD, so the library is not put in front: `systemctl edit {name}`, take that \
             out, and ask again"
        );
        return (Outcome::WillNot, verdict);
    }
    let preload = unit.variable("LD_PRELOAD").unwrap_or_default();
    let named = preload.split([' ', ':']).find(|path| path.contains("libticketshim"));
    match named {
        Some(path) if path.starts_with('/') && !Path::new(path).exists() => (
            Outcome::WillNot,
            format!(
                "{name} has LD_PRELOAD={path}, which is not there, so the loader goes on without: `systemctl edit {name}`, \
                 and name the library that is installed"
            ),
        ),
        Some(_) => (
            Outcome::WillHelp,
            format!("{name} starts {program} with the library in front: `systemctl restart {name}`, and ask again"),
        ),
        // It is linked to it.
        None if verdict.contains("as it is") => (outcome, verdict),
        None => (
            Outcome::WillNot,
            format!(
                "{name} starts {program} without the library: `systemctl edit {name}`, put LD_PRELOAD and TICKETSHIM_STATE \
                 there (examples: {}), restart it, and ask again",
                library::examples()
            ),
        ),
    }
}

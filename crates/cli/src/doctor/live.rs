//! A running process: what is mapped into it, and into those that have come of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ticketshim_keys::settings::{self, Mode, Settings};

use super::counted::{self, Counted};
use super::report::{Outcome, Report};
use super::{keys, known, version};
use crate::elf::Elf;
use crate::exit::Exit;
use crate::process::{self, Mapped, Process};
use crate::program::is_libssl;
use crate::text::file_name;

const LIBRARY: &str = "libticketshim.so";

pub fn examine(pid: u32, json: bool) -> Exit {
    let mut report = Report::default();
    report.fact_as("process", pid, &pid);
    let (outcome, verdict) = match Process::read(pid) {
        Ok(process) => look(&mut report, &process),
        Err(error) => (Outcome::Unknown, cannot_look(pid, &error)),
    };
    report.finish(json, outcome, verdict)
}

fn cannot_look(pid: u32, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("there is no process {pid}"),
        io::ErrorKind::PermissionDenied => {
            format!("process {pid} belongs to somebody else: run `ticketshim doctor` as root or as that user")
        }
        _ => format!("process {pid}: {error}"),
    }
}

fn look(report: &mut Report, process: &Process) -> (Outcome, String) {
    report.fact("program", process.program.display());
    report.fact_as("uid", process.uid, &process.uid);
    known::advice(&file_name(&process.program)).iter().for_each(|line| report.note(line));
    let users = users_of_libssl(process);
    show_libssl(report, process, &users);
    let Some(library) = process.libraries(LIBRARY).next() else {
        return without_library(report, process, &users);
    };
    report.fact(
        "library",
        format_args!("{}{}", library.path.display(), if library.is_deleted { " (replaced since)" } else { "" }),
    );
    if library.is_deleted {
        report.note("libticketshim.so was replaced since the process started: restart it to use the new one");
    }
    show_descendants(report, process);
    let settings = settings_of(report, process);
    let on = settings.as_ref().is_none_or(|settings| keys::settings(report, settings));
    let state = settings.as_ref().and_then(|settings| settings.state.clone());
    let state_is_good = state.is_none_or(|file| keys::state_file(report, &file, &process.outside(&file), process.uid));
    let counted = counted::show(report, process);
    let enforced = settings.is_some_and(|settings| settings.mode == Mode::Enforce);
    match verdict(process, library, &users, on, state_is_good) {
        (Outcome::Helped, verdict) => by_counters(process, counted.as_ref(), enforced, verdict),
        other => other,
    }
}

/// What has happened counts for more than what can be expected.
fn by_counters(process: &Process, counted: Option<&Counted>, enforced: bool, verdict: String) -> (Outcome, String) {
    let (attached, sealed) = counted.map_or((0, 0), |counted| (counted.attached, counted.sealed));
    if attached > 0 && sealed > 0 {
        return (Outcome::Helped, format!("{verdict}, which seals and opens its tickets"));
    }
    // What is attached may be contexts of a client, or ones that were made and left alone (HAProxy has both).
    if let Some(Counted { detached: 1.., doors, .. }) = counted {
        let doors = doors.join(" and ");
        let verdict = format!(
            "its program brings ticket keys of its own, by {doors}, and they win: configure them away, or --mode enforce \
             overrules them"
        );
        return (Outcome::WillNot, verdict);
    }
    match known::obstacle(&file_name(&process.program), enforced) {
        Some(obstacle) => (Outcome::WillNot, obstacle.to_owned()),
        None if attached > 0 => {
            (Outcome::Helped, format!("{verdict}, which is to seal its tickets; so far it gave none"))
        }
        None => (Outcome::Helped, verdict),
    }
}

/// With the library in it.
fn verdict(process: &Process, library: &Mapped, users: &[User], on: bool, state_is_good: bool) -> (Outcome, String) {
    let name = file_name(&process.program);
    let ours = Elf::read(&process.outside(&library.path)).ok().flatten();
    let ours = ours.and_then(|elf| elf.needed.into_iter().find(|name| is_libssl(name)));
    let Some(user) = users.first() else {
        let verdict = format!(
            "the library is loaded, and nothing in {name} uses OpenSSL so far: if it loads libssl later (a plugin, a \
             worker), ask again"
        );
        return (Outcome::WillNot, verdict);
    };
    if !users.iter().any(|user| ours.as_deref() == Some(&user.libssl)) {
        let (theirs, by) = (&user.libssl, user.path.display());
        return (
            Outcome::WillNot,
            format!("{by} uses {theirs}, and the library is for another one: use the build for {theirs}"),
        );
    }
    if !on {
        return (Outcome::WillNot, "TICKETSHIM_MODE=off switches it off: remove that and restart".to_owned());
    }
    if !state_is_good {
        return (Outcome::WillNot, "the state file is refused, so keys are the process's own: see above".to_owned());
    }
    (Outcome::Helped, format!("{name} runs with the library in front of its OpenSSL"))
}

/// Why it is not there.
fn without_library(report: &mut Report, process: &Process, users: &[User]) -> (Outcome, String) {
    let name = file_name(&process.program);
    let path = process.executable();
    let elf = Elf::read(&path).ok().flatten();
    if elf.as_ref().is_some_and(Elf::is_static) {
        return (Outcome::WillNot, format!("{name} is linked statically: use a build that links libssl dynamically"));
    }
    if users.is_empty() {
        let inside = fs::read(&path).ok().and_then(|data| version::find(&data));
        let verdict = match inside {
            Some(version) => format!("{name} carries {version} inside: use a build that links libssl dynamically"),
            None => format!("{name} does not use OpenSSL: there is nothing to help with"),
        };
        return (Outcome::WillNot, verdict);
    }
    let preload = process.variable("LD_PRELOAD").map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
    let asked = preload.contains("libticketshim");
    if process.is_secure {
        let verdict = format!(
            "{name} was given more rights than its caller (set-user-ID or capabilities), and the loader ignores \
             LD_PRELOAD there: start it as its user, or name the library in /etc/ld.so.preload"
        );
        return (Outcome::WillNot, verdict);
    }
    if asked {
        report.fact("LD_PRELOAD", &preload);
        let verdict = format!(
            "LD_PRELOAD names the library and the loader did not take it: it is not there in {name}'s root directory, or \
             for another machine (the loader said so on stderr when it started)"
        );
        return (Outcome::WillNot, verdict);
    }
    if Process::read(process.parent).is_ok_and(|parent| parent.libraries(LIBRARY).next().is_some()) {
        let verdict = format!(
            "{name} was started by process {}, which has the library, with the environment cleared: see the notes, or let \
             it start `ticketshim run -- {name}`",
            process.parent
        );
        return (Outcome::WillNot, verdict);
    }
    (Outcome::WillNot, format!("{name} was started without the library: start it with `ticketshim run -- {name} …`"))
}

/// A mapped file that uses a libssl.
struct User {
    path: PathBuf,
    libssl: String,
}

/// The library itself needs libssl, so that libssl is mapped says nothing.
fn users_of_libssl(process: &Process) -> Vec<User> {
    let files = process.mapped.iter().filter(|file| !file.name().starts_with(LIBRARY));
    let users = files.filter_map(|file| {
        let elf = Elf::read(&process.outside(&file.path)).ok()??;
        let libssl = elf.needed.into_iter().find(|name| is_libssl(name))?;
        Some(User { path: file.path.clone(), libssl })
    });
    users.collect()
}

fn show_libssl(report: &mut Report, process: &Process, users: &[User]) {
    for file in process.libraries("libssl.so") {
        let beside = process.libraries("libcrypto.so").find(|c| c.path.parent() == file.path.parent());
        let version = beside.and_then(|c| version::openssl(&process.outside(&c.path)));
        let version = version.unwrap_or_else(|| "unknown version".to_owned());
        let by: Vec<String> = users.iter().map(|user| user.path.display().to_string()).collect();
        let by = if by.is_empty() { "nothing".to_owned() } else { by.join(", ") };
        report.fact("libssl", format_args!("{}, {version}, used by {by}", file.path.display()));
        if file.is_deleted {
            report.note("libssl was updated since the process started: restart it");
        }
    }
    if process.libraries("libssl.so").count() > 1 {
        report.note("more than one libssl is loaded: the library helps only those that use the one it was built for");
    }
}

/// Pre-fork servers, and what they start.
fn show_descendants(report: &mut Report, process: &Process) {
    let all = process::descendants(process.pid);
    if all.is_empty() {
        return;
    }
    let seen: Vec<Process> = all.iter().filter_map(|pid| Process::read(*pid).ok()).collect();
    let with = |p: &&Process| p.libraries(LIBRARY).next().is_some();
    let without: Vec<String> = seen.iter().filter(|p| !with(p)).map(|p| p.pid.to_string()).collect();
    let count = seen.iter().filter(with).count();
    report.fact_as("descendants", format_args!("{}, {count} of them with the library", all.len()), &all);
    if !without.is_empty() {
        report.note(format_args!("without the library: process {}", without.join(", ")));
    }
}

/// What the process was told, as far as that can be seen.
fn settings_of(report: &mut Report, process: &Process) -> Option<Settings> {
    let file = fs::read_to_string(process.outside(Path::new(settings::FILE))).ok();
    if process.environment.is_empty() {
        report.note(
            "the process has overwritten its environment (with a title, as nginx does), so its settings cannot be seen",
        );
        file.as_ref()?;
    }
    Some(Settings::read(|name| process.variable(name).map(Into::into), file.as_deref()))
}

//! A running process: what is mapped into it, and into those that have come of it.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ticketshim_keys::counters::file::ProcessKeys;
use ticketshim_keys::settings::{self, Mode, Settings};

use super::counted::{self, Counted};
use super::linkage::Linkage;
use super::report::{Outcome, Report};
use super::{keys, known, version};
use crate::elf::Elf;
use crate::exit::Exit;
use crate::library;
use crate::process::{self, Process};
use crate::program::is_libssl;
use crate::text::file_name;
use crate::unit::{self, Unit};

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
    if !process.shares_mounts {
        report.fact("file systems", "its own (a container, or a sandbox of systemd): paths are as it sees them");
    }
    known::advice(&file_name(&process.program)).iter().for_each(|line| report.note(line));
    let files = Files::of(process);
    let users = files.users_of_libssl();
    show_libssl(report, process, &users);
    let unit = unit::of_process(process);
    if let Some(unit) = &unit {
        report.fact("service", &unit.name);
    }
    let Some(library) = process.libraries(library::NAME).next() else {
        return without_library(report, process, &files, &users, unit.as_ref());
    };
    report.fact(
        "library",
        format_args!("{}{}", library.path.display(), if library.is_deleted { " (replaced since)" } else { "" }),
    );
    if library.is_deleted {
        report.note("libticketshim.so was replaced since the process started: restart it to use the new one");
    }
    files.libraries.iter().for_each(|elf| version::note_unseen_calls(report, elf));
    show_descendants(report, process);
    let settings = settings_of(report, process, unit.as_ref());
    let on = settings.as_ref().is_none_or(|settings| keys::settings(report, settings));
    let state = match settings.as_ref().and_then(|settings| settings.state.as_deref()) {
        Some(file) => {
            let founder = process.founder();
            let way = process.way_to(file, founder.as_ref());
            keys::state_file(report, file, &way, founder.as_ref())
        }
        None => keys::Use::Used(None),
    };
    let linkage = Linkage::of_process(&files.program, &files.libraries, preloaded(process));
    report.fact("linkage", linkage.as_ref().map_or("cannot be seen".to_owned(), ToString::to_string));
    let counted = counted::show(report, process);
    let seen = Seen { process, files: &files, users: &users, linkage, counted, settings, on, state };
    seen.verdict()
}

/// All that a verdict on a process with the library takes.
struct Seen<'a> {
    process: &'a Process,
    files: &'a Files,
    users: &'a [User],
    linkage: Option<Linkage>,
    counted: Option<Counted>,
    settings: Option<Settings>,
    on: bool,
    state: keys::Use,
}

impl Seen<'_> {
    fn verdict(&self) -> (Outcome, String) {
        let name = file_name(&self.process.program);
        // What has happened counts for more than what can be expected.
        let (attached, sealed) = self.counted.as_ref().map_or((0, 0), |counted| (counted.attached, counted.sealed));
        let works = attached > 0 && sealed > 0;
        if !works && let Some(why) = self.obstacle(&name, attached) {
            return why;
        }
        if let keys::Use::Refused(why) = &self.state {
            return (Outcome::WillNot, why.clone());
        }
        if let Some(refusal) = self.counted.as_ref().and_then(|counted| counted.refusal) {
            let file = self.settings.as_ref().and_then(|settings| settings.state.clone());
            let file = file.unwrap_or_else(|| PathBuf::from("the state file"));
            return (Outcome::WillNot, format!("it does not use or write its state file: {}", refusal.text(&file)));
        }
        if let Some(verdict) = self.lags_behind(&name) {
            return verdict;
        }
        let place = match &self.linkage {
            Some(Linkage::InFront) => "is linked to the library, in front of its OpenSSL",
            _ => "runs with the library in front of its OpenSSL",
        };
        let verdict = format!("{name} {place}");
        if works {
            return (Outcome::Helped, format!("{verdict}, which seals and opens its tickets"));
        }
        // What is attached may be contexts of a client, or ones that were made and left alone (HAProxy has both).
        if let Some(Counted { detached: 1.., doors, .. }) = &self.counted {
            let doors = doors.join(" and ");
            let verdict = format!(
                "its program brings ticket keys of its own, by {doors}, and they win: configure them away, or --mode enforce \
                 overrules them"
            );
            return (Outcome::WillNot, verdict);
        }
        let enforced = self.settings.as_ref().is_some_and(|settings| settings.mode == Mode::Enforce);
        if let Some(obstacle) = known::obstacle(&name, enforced) {
            return (Outcome::WillNot, obstacle.to_owned());
        }
        if attached > 0 {
            return (Outcome::Helped, format!("{verdict}, which is to seal its tickets; so far it gave none"));
        }
        if let keys::Use::Unknown = self.state {
            let verdict =
                format!("{verdict}; whether it uses its state file cannot be seen: run `ticketshim doctor` as root");
            return (Outcome::Unknown, verdict);
        }
        if self.settings.is_none() && self.counted.is_none() {
            let verdict = format!(
                "{verdict}, and whether that helps cannot be seen: it has overwritten its environment, and publishes no \
                 counters. Start it with TICKETSHIM_STATS=FILE (`ticketshim run --stats FILE`) and ask again"
            );
            return (Outcome::Unknown, verdict);
        }
        (Outcome::Helped, verdict)
    }

    /// A process that has other keys than the file, and will not get them by itself.
    fn lags_behind(&self, name: &str) -> Option<(Outcome, String)> {
        let (keys::Use::Used(Some(of_file)), Some(counted)) = (&self.state, &self.counted) else { return None };
        let file = self.settings.as_ref()?.state.as_ref()?;
        let others = counted.keys.iter().filter(|keys| keys.generation != *of_file);
        let lags = |keys: &&ProcessKeys| {
            Some((**keys, Process::read(keys.process).map_or(None, |process| keys::cannot_see(&process, file))?))
        };
        if let Some(ahead) = others.clone().find(|keys| keys.generation > *of_file) {
            let verdict = format!(
                "process {} has keys of generation {}, and {} is of generation {of_file}: it went back (a restored backup?), \
                 and a restart would seal under keys that others have left. Put the newest in its place (`ticketshim state \
                 put`)",
                ahead.process,
                ahead.generation,
                file.display()
            );
            return Some((Outcome::WillNot, verdict));
        }
        let all: Vec<(ProcessKeys, String)> = others.filter_map(|keys| lags(&keys)).collect();
        let (first, why) = all.first()?;
        let more = if all.len() > 1 { format!(" (and {} more)", all.len() - 1) } else { String::new() };
        let of = match first.generation {
            0 => "keys of its own".to_owned(),
            number => format!("keys of generation {number}, chain {}", first.chain),
        };
        let verdict = format!(
            "process {}{more} has {of}, {} is of generation {of_file}, and it cannot look there ({why}): reload {name}",
            first.process,
            file.display()
        );
        Some((Outcome::WillNot, verdict))
    }

    /// Why the library does nothing where it is.
    fn obstacle(&self, name: &str, attached: u64) -> Option<(Outcome, String)> {
        let no = |why: String| Some((Outcome::WillNot, why));
        let beside = self.users.iter().find(|user| user.path != self.process.program);
        if attached == 0
            && let Some(carried) = self.files.carried(self.process, self.users)
        {
            let beside =
                beside.map(|user| format!("; what {} does with {} is no more", user.path.display(), user.libssl));
            return no(format!(
                "{name} carries {carried} inside, and the library is not in front of that{}: use a build that links libssl \
                 dynamically",
                beside.unwrap_or_default()
            ));
        }
        let Some(user) = self.users.first() else {
            if let Some(unread) = self.files.unread.first() {
                return Some((Outcome::Unknown, cannot_read(self.process, unread)));
            }
            return no(format!(
                "the library is loaded, and nothing in {name} uses OpenSSL so far: if it loads libssl later (a plugin, a \
                 worker), ask again"
            ));
        };
        let ours = self.files.libraries.iter().find(|elf| is_library(elf)).and_then(|elf| elf.libssl_versions.as_ref());
        if ours.is_some() && !self.users.iter().any(|user| ours == Some(&user.libssl)) {
            let (theirs, by) = (&user.libssl, user.path.display());
            return no(format!("{by} uses {theirs}, and the library is for another one: use the build for {theirs}"));
        }
        if !self.on {
            return no("TICKETSHIM_MODE=off switches it off: remove that and restart".to_owned());
        }
        match &self.linkage {
            Some(Linkage::Behind { by }) if attached == 0 => no(format!(
                "{by} is linked, behind {}: no effect. Name the library before libssl when linking (`pkg-config --libs \
                 ticketshim`, then -lssl), or start {name} with `ticketshim run -- {name} …`",
                user.libssl
            )),
            Some(Linkage::Not) if attached == 0 => no(format!(
                "the library was loaded by {name} itself, after {}: no effect. Start it with `ticketshim run -- {name} …`",
                user.libssl
            )),
            None if attached == 0 => Some((
                Outcome::Unknown,
                format!(
                    "{name} is linked to the library behind {}, which has no effect unless it was preloaded too, and its \
                     environment, which would tell, is overwritten: name the library before libssl when linking",
                    user.libssl
                ),
            )),
            _ => None,
        }
    }
}

fn is_library(elf: &Elf) -> bool {
    elf.soname.as_deref().is_some_and(|name| name.starts_with(library::NAME))
}

fn cannot_read(process: &Process, file: &Path) -> String {
    let pid = process.pid;
    format!("{} of process {pid} cannot be read from here: run `ticketshim doctor {pid}` as root", file.display())
}

/// Whether the loader was told to load the library first; `None` if that cannot be seen any more.
fn preloaded(process: &Process) -> Option<bool> {
    let names_it = |text: &str| text.contains("libticketshim");
    let by_file =
        fs::read_to_string(process.outside(Path::new("/etc/ld.so.preload"))).is_ok_and(|text| names_it(&text));
    if by_file {
        return Some(true);
    }
    if process.environment.is_empty() {
        return None;
    }
    Some(process.variable("LD_PRELOAD").is_some_and(|value| names_it(&value.to_string_lossy())))
}

/// Why it is not there.
fn without_library(
    report: &mut Report,
    process: &Process,
    files: &Files,
    users: &[User],
    unit: Option<&Unit>,
) -> (Outcome, String) {
    let name = file_name(&process.program);
    let path = process.executable();
    let elf = Elf::read(&path).ok().flatten();
    if elf.as_ref().is_some_and(Elf::is_static) {
        return (Outcome::WillNot, format!("{name} is linked statically: use a build that links libssl dynamically"));
    }
    if users.is_empty() {
        if let Some(unread) = files.unread.first() {
            return (Outcome::Unknown, cannot_read(process, unread));
        }
        let inside = version::inside(&path).or_else(|| version::openssl(&path));
        let verdict = match inside {
            Some(version) => format!("{name} carries {version} inside: use a build that links libssl dynamically"),
            None => format!("{name} does not use OpenSSL: there is nothing to help with"),
        };
        return (Outcome::WillNot, verdict);
    }
    if let Some(carried) = files.carried(process, users) {
        let verdict = format!("{name} carries {carried} inside: use a build that links libssl dynamically");
        return (Outcome::WillNot, verdict);
    }
    // The unit says what the environment was where that is overwritten; it may have been written since.
    let by_unit = unit.filter(|_| process.environment.is_empty()).and_then(|unit| unit.variable("LD_PRELOAD"));
    let preload = process.variable("LD_PRELOAD").map(|v| v.to_string_lossy().into_owned());
    let preload = preload.or(by_unit.map(str::to_owned)).unwrap_or_default();
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
        let missing = preload.split([' ', ':']).find(|path| path.starts_with('/') && path.contains("libticketshim"));
        let missing = missing.filter(|path| !process.outside(Path::new(path)).exists());
        if let Some(path) = missing {
            let verdict = format!(
                "LD_PRELOAD names {path}, which is not there for {name}, so the loader goes on without: name the library \
                 that is installed ({}), and restart",
                library::find().map_or("it is not found".to_owned(), |library| library.elf.path.display().to_string())
            );
            return (Outcome::WillNot, verdict);
        }
        if by_unit.is_some() {
            let verdict = format!(
                "its unit names the library, and it runs without: it was started before that was so. Restart it \
                 (`systemctl restart {}`), and ask again",
                unit.map(|unit| unit.name.as_str()).unwrap_or_default()
            );
            return (Outcome::WillNot, verdict);
        }
        let verdict = format!(
            "LD_PRELOAD names the library and the loader did not take it: it is not there in {name}'s root directory, or \
             for another machine (the loader said so on stderr when it started)"
        );
        return (Outcome::WillNot, verdict);
    }
    if Process::read(process.parent).is_ok_and(|parent| parent.libraries(library::NAME).next().is_some()) {
        let verdict = format!(
            "{name} was started by process {}, which has the library, with the environment cleared: see the notes, or let \
             it start `ticketshim run -- {name}`",
            process.parent
        );
        return (Outcome::WillNot, verdict);
    }
    if let Some(unit) = unit {
        let verdict = format!(
            "{name} was started without the library: `systemctl edit {}`, put LD_PRELOAD and TICKETSHIM_STATE there \
             (examples: {}), restart it, and ask again",
            unit.name,
            library::examples()
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

/// What is mapped, read.
struct Files {
    program: Elf,
    libraries: Vec<Elf>,
    /// What could not be read: from another user's or another file system's it would be somebody else's.
    unread: Vec<PathBuf>,
}

impl Files {
    fn of(process: &Process) -> Self {
        let mut files = Self { program: Elf::default(), libraries: Vec::new(), unread: Vec::new() };
        for file in &process.mapped {
            let content = process.content(file);
            match Elf::read(&content) {
                Ok(Some(mut elf)) => {
                    // As it is called there.
                    elf.path.clone_from(&file.path);
                    if file.path == process.program { files.program = elf } else { files.libraries.push(elf) }
                }
                // A removed one may be the library or libssl as they were before an update: their names still tell.
                Err(_) if !file.is_deleted && file.name().contains(".so") => files.unread.push(file.path.clone()),
                _ => {}
            }
        }
        if files.program == Elf::default() {
            // The kernel always has that one.
            match Elf::read(&process.executable()) {
                Ok(Some(elf)) => files.program = Elf { path: process.program.clone(), ..elf },
                _ => files.unread.push(process.program.clone()),
            }
        }
        files
    }

    /// The library itself needs libssl, so that libssl is mapped says nothing.
    fn users_of_libssl(&self) -> Vec<User> {
        let all = [&self.program].into_iter().chain(self.libraries.iter().filter(|elf| !is_library(elf)));
        let users = all.filter_map(|elf| {
            let libssl = elf.needed.iter().find(|name| is_libssl(name))?.clone();
            Some(User { path: elf.path.clone(), libssl })
        });
        users.collect()
    }

    /// The OpenSSL that the program has inside, if it uses no other itself.
    fn carried(&self, process: &Process, users: &[User]) -> Option<String> {
        if users.iter().any(|user| user.path == process.program) {
            return None;
        }
        let named = version::inside(&process.executable());
        named.or_else(|| self.program.defines_libssl.then(|| "an OpenSSL".to_owned()))
    }
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
    let with = |p: &&Process| p.libraries(library::NAME).next().is_some();
    let without: Vec<String> = seen.iter().filter(|p| !with(p)).map(|p| p.pid.to_string()).collect();
    let count = seen.iter().filter(with).count();
    report.fact_as("descendants", format_args!("{}, {count} of them with the library", all.len()), &all);
    if !without.is_empty() {
        report.note(format_args!("without the library: process {}", without.join(", ")));
    }
}

/// What the process was told, as far as that can be seen.
fn settings_of(report: &mut Report, process: &Process, unit: Option<&Unit>) -> Option<Settings> {
    let file = |path: &Path| fs::read_to_string(process.outside(path)).ok();
    if !process.environment.is_empty() {
        let variable = |name: &str| process.variable(name).map(Into::into);
        let mut settings = Settings::read(variable, file(&settings::file_of(variable)).as_deref());
        let names = process.environment.keys();
        settings.complaints.extend(names.filter_map(|name| settings::misspelt(name.as_bytes())));
        return Some(settings);
    }
    // A title, as nginx does.
    if let Some(unit) = unit {
        report.note(format_args!(
            "the process has overwritten its environment with a title, so its settings are those that {} says now",
            unit.name
        ));
        let variable = |name: &str| unit.variable(name).map(Into::into);
        let mut settings = Settings::read(variable, file(&settings::file_of(variable)).as_deref());
        settings.complaints.extend(unit.environment.keys().filter_map(|name| settings::misspelt(name.as_bytes())));
        return Some(settings);
    }
    report.note("the process has overwritten its environment with a title, so its settings cannot be seen");
    None
}

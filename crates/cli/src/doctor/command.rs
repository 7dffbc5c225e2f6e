//! A program that does not run: what its files say.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use ticketshim_keys::settings::{Mode, Settings};

use super::linkage::Linkage;
use super::plugins;
use super::report::{Outcome, Report};
use super::{keys, known, version};
use crate::access::{self, Who};
use crate::exit::Exit;
use crate::launcher;
use crate::library::{self, Library};
use crate::loader;
use crate::process;
use crate::program::{self, Program, is_libssl};
use crate::text::file_name;
use crate::unit::Unit;

/// Libraries that speak TLS too, and that nothing here helps.
const OTHERS: [(&str, &str); 7] = [
    ("libgnutls.so", "GnuTLS"),
    ("libnss3.so", "NSS"),
    ("libwolfssl.so", "wolfSSL"),
    ("libmbedtls.so", "Mbed TLS"),
    ("libs2n.so", "s2n-tls"),
    ("libtls.so", "LibreSSL"),
    ("libbotan", "Botan"),
];

pub fn examine(name: &OsStr, arguments: &[OsString], json: bool) -> Exit {
    let mut report = Report::default();
    report.fact("command", name.display());
    let (outcome, verdict) = look(&mut report, name, arguments, None);
    report.finish(json, outcome, verdict)
}

/// Looks at a program. `unit`: what starts it, with an environment and a user of its own.
pub fn look(report: &mut Report, name: &OsStr, arguments: &[OsString], unit: Option<&Unit>) -> (Outcome, String) {
    let found = match program::resolve(name, arguments) {
        Ok(found) => found,
        Err(why) => return (Outcome::Unknown, why.to_string()),
    };
    report.fact("program", found.elf.path.display());
    if unit.is_none()
        && let Some(pid) = process::running(&found.elf.path)
    {
        report.note(format_args!("it runs already: `ticketshim doctor {pid}` looks at that"));
    }
    for script in &found.scripts {
        report.fact("by way of", script.display());
    }
    let all = loader::libraries(&found.elf);
    let linkage = Linkage::of_order(all.iter().map(|l| l.name.as_str()), &found.elf.path.display().to_string());
    let library = match library_for(&all) {
        Ok(library) => library,
        Err(why) => return why,
    };
    report.fact("library", format_args!("{}, for {}", library.elf.path.display(), library.libssl));
    for script in &found.scripts {
        advise(report, script);
    }
    advise(report, &found.elf.path);
    if let Err(why) = found.check(&library) {
        return (Outcome::WillNot, why.to_string());
    }
    let settings = unit.map_or_else(Settings::load, Unit::settings);
    let on = keys::settings(report, &settings);
    let who = unit.map_or_else(|| Some(Who::ourselves()), Unit::user);
    let mut unknown = None;
    // A unit may have its directory made before it starts.
    let made = |file: &Path| unit.is_some_and(|unit| !file.exists() && unit.makes_directory_of(file));
    if let Some(file) = settings.state.as_ref().filter(|file| !made(file)) {
        let way = access::resolve(Path::new("/"), file, false, who.as_ref());
        match keys::state_file(report, file, &way, who.as_ref()) {
            keys::Use::Used(_) => {}
            keys::Use::Refused(why) => return (Outcome::WillNot, why),
            keys::Use::Unknown => unknown = Some("whether the state file is used cannot be seen from here: see above"),
        }
    }
    if settings.state.is_some() && found.changes_user() {
        unknown = Some("whether the user that it changes to can use the state file cannot be seen from here");
    }
    report.fact("linkage", linkage.as_ref().unwrap_or(&Linkage::Not));
    let name = file_name(&found.elf.path);
    let (last, words) = found.last();
    if (known::is_shell(&name) && !words.is_empty()) || launcher::is_opaque(last, words) {
        let verdict = "a shell, a script or a launcher: which program it ends in cannot be seen from here. What it starts inherits the \
                       setting, unless it clears the environment: ask again with that program, or its process id";
        return (Outcome::Unknown, verdict.to_owned());
    }
    let (outcome, verdict) = use_of_libssl(report, &found, &library, &all, linkage.as_ref());
    if outcome != Outcome::WillHelp {
        return (outcome, verdict);
    }
    if !on {
        return (Outcome::WillNot, "TICKETSHIM_MODE=off switches it off: remove that".to_owned());
    }
    match known::obstacle(&name, settings.mode == Mode::Enforce) {
        Some(obstacle) => (Outcome::WillNot, obstacle.to_owned()),
        None => unknown.map_or((outcome, verdict), |why| (Outcome::Unknown, why.to_owned())),
    }
}

/// The library that a program is linked to, or else the one that `ticketshim run` would put in front.
fn library_for(all: &[loader::Library]) -> Result<Library, (Outcome, String)> {
    let Some(linked) = all.iter().find(|l| l.name.starts_with(library::NAME)) else {
        return library::find().map_err(|why| (Outcome::Unknown, why.to_string()));
    };
    let Some(elf) = linked.elf.clone() else {
        let verdict = format!(
            "{} is linked to {}, which is not found, so it will not start: install it, and run ldconfig",
            linked.needed_by.display(),
            linked.name
        );
        return Err((Outcome::WillNot, verdict));
    };
    match elf.libssl_versions.clone() {
        Some(libssl) => Ok(Library { elf, libssl }),
        None => {
            Err((Outcome::WillNot, format!("{} is not ticketshim's library: install it again", elf.path.display())))
        }
    }
}

fn advise(report: &mut Report, path: &Path) {
    known::advice(&file_name(path)).iter().for_each(|line| report.note(line));
}

/// How the program comes by libssl, and what follows from that.
fn use_of_libssl(
    report: &mut Report,
    program: &Program,
    library: &Library,
    all: &[loader::Library],
    linkage: Option<&Linkage>,
) -> (Outcome, String) {
    for missing in all.iter().filter(|l| l.elf.is_none()) {
        let by = missing.needed_by.display();
        report.note(format_args!("{} is not found, which {by} needs: the program will not start", missing.name));
    }
    let name = program.elf.path.display();
    let own = all.iter().filter(|l| !l.needed_by.ends_with(&library.elf.path)).find(|l| is_libssl(&l.name));
    if program.elf.defines_libssl {
        return (
            Outcome::WillNot,
            format!("{name} carries an OpenSSL inside: use a build that links libssl dynamically"),
        );
    }
    if let Some(libssl) = own {
        let path = libssl.elf.as_ref().map(|elf| elf.path.display().to_string()).unwrap_or_default();
        let crypto = all.iter().find(|l| l.name.starts_with("libcrypto.so")).and_then(|l| l.elf.as_ref());
        let version =
            crypto.and_then(|elf| version::openssl(&elf.path)).unwrap_or_else(|| "unknown version".to_owned());
        report.fact("libssl", format_args!("{path}, {version}, needed by {}", libssl.needed_by.display()));
        if let Some(elf) = libssl.elf.as_ref() {
            version::note_unseen_calls(report, elf);
        }
        if libssl.needed_by != program.elf.path
            && let Some(carried) = version::inside(&program.elf.path)
        {
            let by = libssl.needed_by.display();
            return (
                Outcome::WillNot,
                format!(
                    "{name} carries {carried} inside, which nothing can be put in front of; only what {by} does with {} \
                     would be helped: use a build that links libssl dynamically",
                    libssl.name
                ),
            );
        }
        return match linkage {
            Some(Linkage::Behind { .. }) => (
                Outcome::WillNot,
                format!(
                    "{name} is linked, behind {}: no effect. Name the library before libssl when linking (`pkg-config --libs \
                     ticketshim`, then -lssl), or start it with `ticketshim run -- {name}`",
                    libssl.name
                ),
            ),
            Some(_) => (Outcome::WillHelp, format!("{name} is linked, in front of {}: start it as it is", libssl.name)),
            None => (Outcome::WillHelp, format!("{name} uses {}: start it with `ticketshim run`", libssl.name)),
        };
    }
    if let Some(plugin) = plugins::find(&program.elf.path) {
        let (path, theirs) = (plugin.path.display(), &plugin.libssl);
        report.fact("libssl", format_args!("{theirs}, not by the program itself but by {path}"));
        if *theirs != library.libssl {
            let ours = &library.libssl;
            return (
                Outcome::WillNot,
                format!("{path} uses {theirs}, and the library is for {ours}: use the one for {theirs}"),
            );
        }
        let verdict = format!("{name} loads libssl with a module: start it with `ticketshim run`");
        return (Outcome::WillHelp, verdict);
    }
    report.fact("libssl", "none");
    let other = OTHERS.iter().find(|(prefix, _)| all.iter().any(|l| l.name.starts_with(prefix)));
    let embedded = version::inside(&program.elf.path).or_else(|| version::openssl(&program.elf.path));
    let verdict = match (other, embedded) {
        (_, Some(version)) => format!("{name} carries {version} inside: use a build that links libssl dynamically"),
        (Some((_, product)), None) => format!("{name} uses {product}, not OpenSSL"),
        (None, None) => format!(
            "{name} does not use OpenSSL as far as its files show; if it loads {} later, or starts what uses it, that is \
             helped: start it with `ticketshim run` and ask again with its process id",
            library.libssl
        ),
    };
    (Outcome::WillNot, verdict)
}

//! A program that does not run: what its files say.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use ticketshim_keys::settings::{Mode, Settings};

use super::plugins;
use super::report::{Outcome, Report};
use super::{keys, known, version};
use crate::exit::Exit;
use crate::library::{self, Library};
use crate::loader;
use crate::program::{self, Program, is_libssl};
use crate::text::file_name;

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
    let (outcome, verdict) = look(&mut report, name, arguments);
    report.finish(json, outcome, verdict)
}

fn look(report: &mut Report, name: &OsStr, arguments: &[OsString]) -> (Outcome, String) {
    let found = match program::resolve(name, arguments) {
        Ok(found) => found,
        Err(why) => return (Outcome::Unknown, why.to_string()),
    };
    report.fact("program", found.elf.path.display());
    for script in &found.scripts {
        report.fact("by way of", script.display());
    }
    let library = match library::find() {
        Ok(library) => library,
        Err(why) => return (Outcome::Unknown, why.to_string()),
    };
    report.fact("library", format_args!("{}, for {}", library.elf.path.display(), library.libssl));
    for script in &found.scripts {
        advise(report, script);
    }
    advise(report, &found.elf.path);
    if let Err(why) = found.check(&library) {
        return (Outcome::WillNot, why.to_string());
    }
    let settings = Settings::load();
    let on = keys::settings(report, &settings);
    let uid = rustix::process::geteuid().as_raw();
    if let Some(file) = &settings.state
        && !keys::state_file(report, file, file, uid)
    {
        return (
            Outcome::WillNot,
            "the state file is refused, so keys would be the process's own: see above".to_owned(),
        );
    }
    let name = file_name(&found.elf.path);
    if !found.scripts.is_empty() && known::is_shell(&name) {
        let verdict = "a shell script: which program it ends in cannot be seen from its file. What it starts inherits the \
                       setting, unless it clears the environment: ask again with that program, or its process id";
        return (Outcome::Unknown, verdict.to_owned());
    }
    let (outcome, verdict) = linkage(report, &found, &library);
    if outcome != Outcome::WillHelp {
        return (outcome, verdict);
    }
    if !on {
        return (Outcome::WillNot, "TICKETSHIM_MODE=off switches it off: remove that".to_owned());
    }
    match known::obstacle(&name, settings.mode == Mode::Enforce) {
        Some(obstacle) => (Outcome::WillNot, obstacle.to_owned()),
        None => (outcome, verdict),
    }
}

fn advise(report: &mut Report, path: &Path) {
    known::advice(&file_name(path)).iter().for_each(|line| report.note(line));
}

/// How the program comes by libssl.
fn linkage(report: &mut Report, program: &Program, library: &Library) -> (Outcome, String) {
    let all = loader::libraries(&program.elf);
    for missing in all.iter().filter(|l| l.elf.is_none()) {
        let by = missing.needed_by.display();
        report.note(format_args!("{} is not found, which {by} needs: the program will not start", missing.name));
    }
    let name = program.elf.path.display();
    if let Some(libssl) = all.iter().find(|l| is_libssl(&l.name)) {
        let path = libssl.elf.as_ref().map(|elf| elf.path.display().to_string()).unwrap_or_default();
        let crypto = all.iter().find(|l| l.name.starts_with("libcrypto.so")).and_then(|l| l.elf.as_ref());
        let version =
            crypto.and_then(|elf| version::openssl(&elf.path)).unwrap_or_else(|| "unknown version".to_owned());
        report.fact("libssl", format_args!("{path}, {version}, needed by {}", libssl.needed_by.display()));
        return (Outcome::WillHelp, format!("{name} uses {}: start it with `ticketshim run`", libssl.name));
    }
    if program.elf.defines_libssl {
        return (
            Outcome::WillNot,
            format!("{name} carries an OpenSSL inside: use a build that links libssl dynamically"),
        );
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
    let embedded = version::openssl(&program.elf.path);
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

//! The linker step: hands the linker our version script alone.
//!
//! rustc writes a version script of its own for a cdylib, one without a name: `{ global: …; local: *; };`. GNU ld, gold
//! and mold take either one such script or scripts with named nodes, not both. So the build script has the compiler
//! driver look for its linker in a directory of ours first (`-B`, which gcc and clang have). What lies there, under each
//! name that a linker can have, is the build script itself: it leaves rustc's script out, runs the linker that the driver
//! would have found, and looks at what came out.
//!
//! Where rustc brings a linker of its own (LLD, on x86-64), the driver finds that one first. LLD takes both scripts, and
//! the versions then come from `.symver` (`src/exports/mod.rs`).
//!
//! [`probe`] tries all of it on a library of two functions, before anything else is compiled.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

use crate::elf;

/// What drivers call their linkers (`-fuse-ld=`).
const NAMES: [&str; 6] = ["ld", "ld.bfd", "ld.gold", "ld.lld", "ld.mold", "ld.wild"];
/// Beside the links: the target's name as a prefix of its tools.
const TARGET: &str = "target";

/// Puts the step into `directory`, as a link to this program under each name.
pub fn place(directory: &Path, target: &str) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join(TARGET), target.replace("-unknown-", "-"))?;
    let program = env::current_exe()?;
    for name in NAMES {
        let link = directory.join(name);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link)?;
        }
        symlink(&program, link)?;
    }
    Ok(())
}

/// If this program was called as a linker: does that. `None` if it is the build script.
pub fn step() -> Option<ExitCode> {
    let called = PathBuf::from(env::args_os().next()?);
    let name = called.file_name()?.to_str().filter(|name| NAMES.contains(name))?;
    let here = called.parent()?;
    let arguments: Vec<OsString> = ours_alone(env::args_os().skip(1));
    let Some(linker) = find(name, here) else {
        eprintln!("ticketshim's linker step: there is no {name} in COMPILER_PATH or PATH; install binutils, or lld");
        return Some(ExitCode::FAILURE);
    };
    match Command::new(&linker).args(&arguments).status() {
        Ok(status) if status.success() => {}
        Ok(_) => return Some(ExitCode::FAILURE),
        Err(error) => {
            eprintln!("ticketshim's linker step: {}: {error}", linker.display());
            return Some(ExitCode::FAILURE);
        }
    }
    let output = arguments.iter().skip_while(|a| *a != "-o").nth(1);
    if let Some(Err(why)) = output.map(|output| elf::check(Path::new(output))) {
        eprintln!("ticketshim's linker step: {} has linked a library that could not work: {why}", linker.display());
        let _ = output.map(fs::remove_file);
        return Some(ExitCode::FAILURE);
    }
    Some(ExitCode::SUCCESS)
}

/// The arguments without scripts that have no name, and without what only speaks about those. (Older GNU ld does not
/// know the option that allows names in a script which are no symbols.)
fn ours_alone(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    const SCRIPT: &[u8] = b"--version-script";
    let mut kept = Vec::new();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let bytes = argument.as_bytes();
        let dashes = bytes.iter().take_while(|byte| **byte == b'-').count();
        match bytes.get(dashes..).filter(|_| (1..=2).contains(&dashes)) {
            Some(b"undefined-version" | b"no-undefined-version") => {}
            Some(option) if option == &SCRIPT[2..] => {
                if let Some(file) = arguments.next().filter(|file| !is_anonymous(Path::new(file))) {
                    kept.extend([argument, file]);
                }
            }
            Some(option) if option.starts_with(b"version-script=") => {
                let file = OsString::from_vec(option[b"version-script=".len()..].to_vec());
                if !is_anonymous(Path::new(&file)) {
                    kept.push(argument);
                }
            }
            _ => kept.push(argument),
        }
    }
    kept
}

fn is_anonymous(script: &Path) -> bool {
    fs::read(script).is_ok_and(|text| text.trim_ascii_start().starts_with(b"{"))
}

/// The linker that the driver would have found: gcc says where it looks; clang looks for the target's own, then along PATH.
fn find(name: &str, here: &Path) -> Option<PathBuf> {
    let target = fs::read_to_string(here.join(TARGET)).unwrap_or_default();
    let own = here.canonicalize().ok();
    let directories = |variable| {
        let value = env::var_os(variable).unwrap_or_default();
        env::split_paths(&value).filter(|d| !d.as_os_str().is_empty()).collect::<Vec<_>>()
    };
    let gcc = directories("COMPILER_PATH").into_iter().map(|d| d.join(name));
    let path = directories("PATH");
    let prefixed = path.iter().map(|d| d.join(format!("{target}-{name}")));
    let plain = path.iter().map(|d| d.join(name));
    gcc.chain(prefixed).chain(plain).find(|candidate| {
        candidate.is_file() && candidate.parent().and_then(|parent| parent.canonicalize().ok()) != own
    })
}

/// Links a library of one function for each of the version nodes in `versions` (a function, its node), as rustc will
/// link ours, and looks at it. What it cannot try (a rustc that compiles its own standard library) it takes for good.
pub fn probe(out: &Path, versions: &[(&str, &str)], arguments: &[String]) -> Result<(), String> {
    let variable = |name| env::var(name).unwrap_or_default();
    let (source, library) = (out.join("probe.rs"), out.join("libprobe.so"));
    let text: String = versions
        .iter()
        .map(|(name, node)| {
            format!(
                "std::arch::global_asm!(\".symver {name}, {name}@@@{node}\");\n\
                 #[unsafe(no_mangle)]\npub extern \"C\" fn {name}() {{}}\n"
            )
        })
        .collect();
    fs::write(&source, text).map_err(|error| format!("{} could not be written: {error}", source.display()))?;
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "--crate-name=probe", "--crate-type=cdylib", "-Copt-level=1"]);
    rustc.args(["--target", &variable("TARGET"), "-o"]).arg(&library).arg(&source);
    rustc.args(env::var("RUSTC_LINKER").map(|linker| format!("-Clinker={linker}")));
    rustc.args(variable("CARGO_ENCODED_RUSTFLAGS").split('\x1f').filter(|flag| !flag.is_empty()));
    rustc.args(arguments.iter().map(|argument| format!("-Clink-arg={argument}")));
    let Ok(done) = rustc.output() else { return Ok(()) };
    let said = String::from_utf8_lossy(&done.stderr);
    match done.status.success() {
        true => elf::check(&library),
        false if said.contains("linking with") || said.contains("linker `") => Err(format!(
            "the linker does not link it (README.md: \"What it needs\"); it said: {}",
            said.trim().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
        )),
        false => Ok(()),
    }
}

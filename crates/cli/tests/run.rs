//! `ticketshim run`: what it sets, and every way it refuses.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Gave, compile, gave, library, libssl_of, openssl_of, run, skip, ticketshim, write_script};
use tempfile::tempdir;
use ticketshim_keys::settings::{ALL, Values};

const PROGRAM: &str = "int main(void) { return 0; }";

fn refused(arguments: &[&str], code: i32, text: &str) {
    let gave = run(arguments);
    assert_eq!(gave.code, code, "{arguments:?}: {}", gave.err);
    assert!(gave.err.starts_with("ticketshim: ") && gave.err.contains(text), "{arguments:?}: {}", gave.err);
    assert_eq!(gave.out, "");
}

#[test]
fn sets_the_environment_and_executes_in_place() {
    let Some(library) = library() else { return };
    let dir = tempdir().unwrap();
    let state = dir.path().join("state");
    let mut command = ticketshim();
    command.args(["run", "--state", state.to_str().unwrap(), "--bind", "sni", "--rotate", "90m", "--", "sh", "-c"]);
    command.arg("echo $$ \"$LD_PRELOAD\" $TICKETSHIM_STATE $TICKETSHIM_BIND $TICKETSHIM_ROTATE $KEPT; exit 7");
    command.env("LD_PRELOAD", "/nonexistent/other.so").env("KEPT", "kept").stdout(Stdio::piped());
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let gave = gave(child.wait_with_output().unwrap());
    let expected = format!(
        "{pid} {}:/nonexistent/other.so {} sni 90m kept\n",
        library.display(),
        state.canonicalize().unwrap().display()
    );
    assert_eq!((gave.out, gave.code), (expected, 7), "{}", gave.err);
    assert_eq!(fs::metadata(&state).unwrap().mode() & 0o7777, 0o600);
}

/// All that the list has, and nothing is known of any of them here.
#[test]
fn every_setting_is_an_option_and_arrives_as_its_variable() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    let help = run(&["run", "--help"]).out;
    for setting in &ALL {
        let value = match setting.values {
            Values::Words(words) => words[0].name.to_owned(),
            Values::Path { .. } => dir.path().join(setting.name).display().to_string(),
            Values::Time { least, .. } => format!("{}s", least + 1),
        };
        let (option, variable) = (format!("--{}", setting.option()), setting.variable());
        let gave = run(&["run", &option, &value, "--", "printenv", &variable]);
        assert_eq!((gave.out, gave.code), (format!("{value}\n"), 0), "{option}: {}", gave.err);
        assert!(help.contains(&format!("{option} <{}>", setting.value_name)), "{option}: {help}");
    }
}

#[test]
fn signals_are_handed_over_as_they_were() {
    if library().is_none() {
        return;
    }
    // Ignored signals are inherited over exec: bit 13 is SIGPIPE.
    for (trap, ignored) in [("trap '' PIPE;", true), ("", false)] {
        let mut command = Command::new("sh");
        let run = format!("{trap} exec {} run -- grep SigIgn /proc/self/status", env!("CARGO_BIN_EXE_ticketshim"));
        // Rust's own start-up has it ignored, and std gives children the default.
        command.args(["-c", &run]).env("TICKETSHIM_LIB", library().unwrap());
        let gave = gave(command.output().unwrap());
        let mask = u64::from_str_radix(gave.out.trim().rsplit('\t').next().unwrap(), 16).unwrap();
        assert_eq!(mask >> 12 & 1 == 1, ignored, "{trap}: {}{}", gave.out, gave.err);
    }
}

#[test]
fn commands_that_cannot_be_run() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    refused(&["run", "--", "no-such-command-anywhere"], 127, "command not found");
    refused(&["run", "--", "/no/such/file"], 127, "command not found");
    refused(&["run", "--", "/"], 126, "directory");
    refused(&["run", "--", &write_script(&dir, "plain", "x", 0o644)], 126, "permission denied");
    refused(
        &["run", "--", &write_script(&dir, "lost", "#!/no/such/interpreter\n", 0o755)],
        127,
        "/no/such/interpreter",
    );
    let ring = dir.path().join("ring").to_str().unwrap().to_owned();
    write_script(&dir, "ring", &format!("#!{ring}\n"), 0o755);
    refused(&["run", "--", &ring], 126, "too many scripts");
}

#[test]
fn scripts_are_followed() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    for text in ["#!/bin/sh\necho \"$1\"\n", "#!/usr/bin/env -S sh\necho \"$1\"\n", "echo \"$1\"\n"] {
        let script = write_script(&dir, "script", text, 0o755);
        let gave = run(&["run", "--", &script, "an argument"]);
        assert_eq!((gave.out.as_str(), gave.code), ("an argument\n", 0), "{text}: {}", gave.err);
    }
    let Some(still) = compile(&dir, "still", PROGRAM, &["-static"]) else { return };
    let script = write_script(&dir, "to-static", &format!("#!{}\n", still.display()), 0o755);
    refused(&["run", "--", &script], 123, "linked statically");
}

#[test]
fn programs_that_cannot_be_helped() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    if let Some(program) = compile(&dir, "static", PROGRAM, &["-static"]) {
        refused(&["run", "--", program.to_str().unwrap()], 123, "linked statically");
    }
    if let Some(program) = compile(&dir, "musl", PROGRAM, &["-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"]) {
        refused(&["run", "--", program.to_str().unwrap()], 120, "another machine or C library");
    }
    let (here, at) = (format!("-L{}", dir.path().display()), format!("-Wl,-rpath,{}", dir.path().display()));
    // OpenSSL 1.0.2's, as Red Hat named it: no build of the library is for that.
    let fake = compile(
        &dir,
        "libssl.so.10",
        "int SSL_new(void) { return 0; }",
        &["-shared", "-fPIC", "-Wl,-soname,libssl.so.10"],
    );
    // Not asked for by the program itself, but by a library that it needs.
    let between =
        ["-shared", "-fPIC", "-Wl,-soname,libbetween.so", &here, "-l:libssl.so.10", &at, "-Wl,--no-as-needed"];
    let between = fake
        .and_then(|_| compile(&dir, "libbetween.so", "int SSL_new(void); int f(void) { return SSL_new(); }", &between));
    let program = "int f(void); int main(void) { return f(); }";
    let program = between.and_then(|_| compile(&dir, "old", program, &[&here, "-lbetween", &at]));
    if let Some(program) = program {
        let path = program.to_str().unwrap();
        refused(&["run", "--", path], 121, "uses libssl.so.10");
        let gave = run(&["run", "--", path]);
        let ours = format!("built for {}", libssl_of(&openssl_of(Command::new("openssl").arg("version"))));
        assert!(gave.err.contains("libbetween.so asks for it") && gave.err.contains(&ours), "{}", gave.err);
    }
}

#[test]
fn commands_that_have_somebody_else_start_the_server() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    for (name, arguments, next) in [
        ("systemctl", "start nginx", "`ticketshim doctor nginx.service`"),
        ("service", "nginx start", "`ticketshim doctor nginx.service`"),
        ("docker", "run nginx", "container"),
        ("sudo", "nginx", "`sudo ticketshim run -- nginx`"),
    ] {
        // Whether or not this machine has it; `env` on the way.
        let command = write_script(&dir, name, "#!/bin/sh\n", 0o755);
        let words = ["env", "A=1", &command].into_iter().chain(arguments.split(' '));
        let words: Vec<&str> = ["run", "--"].into_iter().chain(words).collect();
        refused(&words, 119, next);
        let gave = run(&[&["doctor"], &words[1..]].concat());
        let verdict = gave.out.lines().last().unwrap_or_default();
        assert!(gave.code == 1 && verdict.contains(next), "{name}: {}", gave.out);
    }
}

#[test]
fn without_the_two_dashes() {
    if library().is_none() {
        return;
    }
    let gave = run(&["run", "--bind", "sni", "sh", "-c", "echo $TICKETSHIM_BIND -- \"$@\"", "sh", "--bind", "none"]);
    assert_eq!((gave.out.as_str(), gave.code), ("sni -- --bind none\n", 0), "{}", gave.err);
}

/// The command where `/etc/ticketshim.toml` says that, and nothing else is in `/etc`; `None` where that cannot be had.
fn with_toml(text: &str, script: &str) -> Option<Gave> {
    let user = if fs::metadata("/proc/self").unwrap().uid() == 0 { "-m" } else { "-rm" };
    let script = format!("mount -t tmpfs t /etc && printf '%s' \"$1\" > /etc/ticketshim.toml || exit 99; {script}");
    let mut command = Command::new("unshare");
    command.args([user, "sh", "-c", &script, env!("CARGO_BIN_EXE_ticketshim"), text]);
    let output =
        command.env("TICKETSHIM_LIB", library()?).env_remove("TICKETSHIM_CONFIG").stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.code() != Some(99) => Some(gave(output)),
        _ => {
            skip("no right to mount: /etc/ticketshim.toml");
            None
        }
    }
}

#[test]
fn the_file_of_settings() {
    let dir = tempdir().unwrap();
    let state = dir.path().join("state").display().to_string();
    // A broken line of it stops no server, and takes no other line with it.
    let toml = format!("bind = \"sni\"\nmode = \"off\nstate = \"{state}\"\n");
    let Some(gave) = with_toml(&toml, "\"$0\" run -- true") else { return };
    assert!(gave.code == 0 && gave.err.contains("/etc/ticketshim.toml, line 2"), "{} {}", gave.code, gave.err);
    assert_eq!(gave.err.lines().count(), 1, "{}", gave.err);
    assert_eq!(fs::metadata(&state).unwrap().mode() & 0o7777, 0o600, "run makes the state file that it names");

    fs::write(&state, "x").unwrap();
    let gave = with_toml(&toml, "\"$0\" run -- true").unwrap();
    assert!(gave.code == 124 && gave.err.contains("(/etc/ticketshim.toml names it)"), "{}", gave.err);
    // What this call says counts more.
    let gave = with_toml(&toml, "\"$0\" run --state /etc/own -- test -f /etc/own").unwrap();
    assert_eq!(gave.code, 0, "{}", gave.err);
}

#[test]
fn settings_that_make_no_sense() {
    if library().is_none() {
        return;
    }
    // It says what it does: nothing is run, and no default is used.
    for (option, value) in [("--rotate", "5x"), ("--accept", "8d"), ("--max-age", "0")] {
        let gave = run(&["run", option, value, "--", "echo", "ran"]);
        assert!(gave.code == 125 && gave.out.is_empty(), "{}", gave.out);
        let says = format!("ticketshim: {option} {value} is not a time ");
        assert!(gave.err.starts_with(&says) && !gave.err.contains("default is used"), "{}", gave.err);
    }
    let gave = gave(ticketshim().env("TICKETSHIM_STATES", "/s").args(["run", "--", "true"]).output().unwrap());
    assert!(gave.code == 0 && gave.err.contains("TICKETSHIM_STATES is no setting"), "{}", gave.err);
}

#[test]
fn programs_with_more_rights_than_their_caller() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    let copy = dir.path().join("set-id");
    fs::copy("/bin/true", &copy).unwrap();
    // As root, a file of somebody else; as anybody else, one of root's that every system has.
    let path = if chown(&copy, Some(1), Some(1)).is_ok() { copy.as_path() } else { Path::new("/bin/su") };
    if path == copy {
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).unwrap();
    }
    refused(&["run", "--", path.to_str().unwrap()], 122, "set-user-ID");
}

#[test]
fn settings_and_state_files_that_make_no_sense() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    refused(&["run", "--rotate", "soon", "--", "true"], 125, "--rotate soon is not");
    refused(&["run", "--state", "/no/such/dir/state", "--", "true"], 124, "install -d");
    let open = write_script(&dir, "open", "x", 0o644);
    refused(&["run", "--state", &open, "--", "true"], 124, "state file refused");
    assert_eq!(run(&["run", "--bind", "wrong", "--", "true"]).code, 2);
    let gave =
        gave(ticketshim().env("TICKETSHIM_LIB", "/no/such/lib.so").args(["run", "--", "true"]).output().unwrap());
    assert_eq!(gave.code, 125, "{}", gave.err);
    let gave =
        common::gave(ticketshim().env("TICKETSHIM_LIB", "/bin/true").args(["run", "--", "true"]).output().unwrap());
    assert!(gave.code == 125 && gave.err.contains("not libticketshim.so"), "{}", gave.err);
}

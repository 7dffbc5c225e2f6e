//! `ticketshim doctor` on real programs and processes.

mod common;

use std::process::{Command, Stdio};

use common::{Gave, Running, compile, library, run, s_server, skip, ticketshim};
use tempfile::tempdir;

fn verdict(gave: &Gave) -> &str {
    gave.out.lines().last().unwrap_or_default()
}

#[test]
fn commands() {
    let Some(library) = library() else { return };
    let gave = run(&["doctor", "--", "openssl", "s_server"]);
    assert_eq!(gave.code, 0, "{}", gave.out);
    assert!(gave.out.contains(library.to_str().unwrap()) && gave.out.contains("OpenSSL 3"), "{}", gave.out);
    assert!(verdict(&gave).contains("start it with `ticketshim run`"), "{}", gave.out);

    let gave = run(&["doctor", "--", "no-such-command-anywhere"]);
    assert_eq!(gave.code, 2);
    assert!(verdict(&gave).contains("not found"), "{}", gave.out);

    let gave = run(&["doctor", "--", "ls"]);
    assert_eq!(gave.code, 1);
    assert!(verdict(&gave).contains("does not use OpenSSL"), "{}", gave.out);

    let gave = run(&["doctor", "--", "/usr/bin/python3"]);
    assert_eq!(gave.code, 0, "{}", gave.out);
    assert!(verdict(&gave).contains("module"), "{}", gave.out);

    let gave = run(&["doctor"]);
    assert_eq!(gave.code, 2);
}

#[test]
fn a_static_program() {
    let dir = tempdir().unwrap();
    let Some(program) = compile(&dir, "static", "int main(void) { return 0; }", &["-static"]) else { return };
    let gave = run(&["doctor", "--", program.to_str().unwrap()]);
    assert_eq!(gave.code, 1);
    assert!(verdict(&gave).contains("linked statically"), "{}", gave.out);
}

#[test]
fn settings_count() {
    if library().is_none() {
        return;
    }
    let doctor = |name: &str, value: &str| {
        common::gave(ticketshim().env(name, value).args(["doctor", "--", "openssl"]).output().unwrap())
    };
    let gave = doctor("TICKETSHIM_MODE", "off");
    assert!(gave.code == 1 && verdict(&gave).contains("TICKETSHIM_MODE=off"), "{}", gave.out);
    let gave = doctor("TICKETSHIM_STATE", "/etc/passwd");
    assert!(gave.code == 1 && gave.out.contains("REFUSED") && gave.out.contains("chmod"), "{}", gave.out);
    let gave = doctor("TICKETSHIM_BIND", "banana");
    assert!(gave.code == 0 && gave.out.contains("TICKETSHIM_BIND=banana is not"), "{}", gave.out);
}

#[test]
fn a_server_with_the_library_and_one_without() {
    let Some(library) = library() else { return };
    let dir = tempdir().unwrap();
    let state = dir.path().join("state");
    let Some((with, _)) = s_server(&dir, &["run", "--state", state.to_str().unwrap(), "--"]) else { return };
    let gave = run(&["doctor", &with.pid()]);
    assert_eq!(gave.code, 0, "{}{}", gave.out, gave.err);
    for text in [library.to_str().unwrap(), state.to_str().unwrap(), "chain", "used by"] {
        assert!(gave.out.contains(text), "{text}: {}", gave.out);
    }
    let gave = run(&["doctor", "--json", &with.pid()]);
    assert!(gave.out.contains("\"outcome\": \"helped\""), "{}", gave.out);

    let Some((without, _)) = s_server(&dir, &[]) else { return };
    let gave = run(&["doctor", &without.pid()]);
    assert_eq!(gave.code, 1);
    assert!(verdict(&gave).contains("started without the library"), "{}", gave.out);
}

#[test]
fn processes_that_are_not_helped() {
    if library().is_none() {
        return;
    }
    let spawn = |command: &mut Command| Running(command.stdout(Stdio::null()).spawn().unwrap());
    let sleeping = spawn(Command::new("sleep").arg("60"));
    let gave = run(&["doctor", &sleeping.pid()]);
    assert!(gave.code == 1 && verdict(&gave).contains("does not use OpenSSL"), "{}", gave.out);

    // The library is in there, and nobody uses it.
    let loaded = spawn(ticketshim().args(["run", "--", "sleep", "60"]));
    std::thread::sleep(std::time::Duration::from_millis(300));
    let gave = run(&["doctor", &loaded.pid()]);
    assert!(gave.code == 1 && verdict(&gave).contains("nothing in"), "{}", gave.out);

    // A number that no process has.
    let gave = run(&["doctor", "4194305"]);
    assert!(gave.code == 2 && verdict(&gave).contains("no process"), "{}", gave.out);
}

#[test]
fn an_environment_that_was_cleared() {
    let Some(library) = library() else { return };
    let python = "import os, subprocess, sys\n\
        child = subprocess.Popen([sys.executable, '-c', 'import ssl, time; time.sleep(60)'], env={})\n\
        print(child.pid, flush=True)\nchild.wait()\n";
    let mut command = ticketshim();
    command.args(["run", "--", "/usr/bin/python3", "-c", python]).env("TICKETSHIM_LIB", library);
    let mut parent = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    let out = parent.0.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
    if line.is_empty() {
        return skip("/usr/bin/python3 is not there");
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    let gave = run(&["doctor", line.trim()]);
    // The child outlives its parent otherwise.
    let _ = Command::new("kill").arg(line.trim()).status();
    assert!(gave.code == 1 && verdict(&gave).contains("with the environment cleared"), "{}", gave.out);
}

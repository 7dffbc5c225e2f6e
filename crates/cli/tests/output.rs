//! Output that does not get where it should is said, and is no success; a reader who has enough is one.

mod common;

use std::fs::{self, OpenOptions};
use std::process::{Command, Stdio};

use common::{Gave, gave, library, run, s_server, ticketshim};
use tempfile::tempdir;

fn lost(gave: &Gave, what: &str) {
    assert!(gave.code != 0 && gave.err.contains("the output is lost"), "{what}: {} {}", gave.code, gave.err);
}

#[test]
fn a_full_disk_a_closed_output_and_a_closed_pipe() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (state, stats) = (path("state"), path("stats"));
    let Some((server, _)) = s_server(&dir, &["run", "--state", &state, "--stats", &stats, "--"]) else { return };
    let pid = server.pid();
    let commands: [&[&str]; 15] = [
        &["--version"],
        &["--help"],
        &["help", "run"],
        &["state", "init", "--help"],
        &["state", "show", &state],
        &["state", "show", "--json", &state],
        &["state", "advance", &state],
        &["stats", &stats],
        &["stats", "--json", &stats],
        &["stats", "--prometheus", &stats],
        &["doctor", &pid],
        &["doctor", "--json", "--", "openssl"],
        &["generate", "completions", "bash"],
        &["generate", "completions", "fish"],
        &["generate", "completions", "zsh"],
    ];
    for command in commands {
        let what = command.join(" ");
        // The same with nothing in the way: else a failure below could be of something else.
        let whole = run(command);
        assert!(whole.code == 0 && !whole.out.is_empty(), "{what}: {}", whole.err);

        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        lost(&gave(ticketshim().args(command).stdout(full).output().unwrap()), &what);

        let in_shell = |script: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script, env!("CARGO_BIN_EXE_ticketshim")]).args(command);
            gave(shell.env("TICKETSHIM_LIB", library().unwrap()).stdin(Stdio::null()).output().unwrap())
        };
        lost(&in_shell("exec \"$0\" \"$@\" >&-"), &what);

        // With SIGPIPE ignored, as under systemd, writing fails; nobody is told, because nobody asked.
        let closed = in_shell("trap '' PIPE; { \"$0\" \"$@\"; echo $? >&2; } | true");
        // It may have been faster than its reader.
        assert_eq!(closed.err, "0\n", "{what}");
    }
}

#[test]
fn watching_ends_when_nobody_watches() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    let stats = dir.path().join("stats").to_str().unwrap().to_owned();
    let Some(_server) = s_server(&dir, &["run", "--stats", &stats, "--"]) else { return };
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    lost(&gave(ticketshim().args(["stats", "--watch", &stats]).stdout(full).output().unwrap()), "stats --watch");
}

#[test]
fn the_recipe_keeps_the_old_file() {
    // What docs/servers.md has for node_exporter, with a disk that is full.
    let dir = tempdir().unwrap();
    let (good, new) = (dir.path().join("good"), dir.path().join("new"));
    fs::write(&good, "old").unwrap();
    std::os::unix::fs::symlink("/dev/full", &new).unwrap();
    let script = "\"$0\" --version > \"$1\" && mv \"$1\" \"$2\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_ticketshim")]).args([&new, &good]);
    let ended = gave(shell.output().unwrap());
    assert!(ended.code != 0 && fs::read(&good).unwrap() == b"old", "{}", ended.err);
}

//! `ticketshim state`.

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use common::{Gave, gave, run, ticketshim};
use tempfile::tempdir;

const SEED: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn with_stdin(arguments: &[&str], input: &[u8]) -> Gave {
    let mut child = ticketshim()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    gave(child.wait_with_output().unwrap())
}

fn chain(file: &str) -> String {
    let gave = run(&["state", "show", file]);
    let line = gave.out.lines().find(|line| line.starts_with("chain:")).map(str::to_owned);
    line.unwrap_or_else(|| panic!("{}", gave.err))
}

#[test]
fn init_show_advance_reseed() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("state").to_str().unwrap().to_owned();
    assert_eq!(run(&["state", "show", &file]).code, 3);
    let made = run(&["state", "init", &file, "--rotate", "30m", "--accept", "6h"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(run(&["state", "init", &file]).code, 4);

    let shown = run(&["state", "show", &file]);
    for text in ["every 30m", "for 6h", "mode 0600", "in use"] {
        assert!(shown.out.contains(text), "{text}: {}", shown.out);
    }
    let json = run(&["state", "show", "--json", &file]).out;
    assert!(json.contains("\"rotate_seconds\": 1800") && json.contains("\"seals\": true"), "{json}");
    // No secret of the file is shown, in hex or base64.
    let bytes = fs::read(&file).unwrap();
    for part in [&bytes[80..112], &bytes[112..144]] {
        let hex: String = part.iter().map(|b| format!("{b:02x}")).collect();
        assert!(!shown.out.contains(&hex[..16]) && !json.contains(&hex[..16]));
    }

    assert!(run(&["state", "advance", &file]).out.contains("nothing to erase"));
    assert_eq!(run(&["state", "advance", "--quiet", &file]).out, "");
    let before = chain(&file);
    assert_eq!(run(&["state", "reseed", &file, "--now"]).code, 0);
    assert_ne!(chain(&file), before);
    // What was not asked for stays.
    assert!(run(&["state", "show", &file]).out.contains("every 30m"));

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = run(&["state", "show", &file]);
    assert!(refused.code == 1 && refused.err.contains("chmod 600"), "{}", refused.err);
}

fn json(file: &str) -> serde_json::Value {
    serde_json::from_str(&run(&["state", "show", "--json", file]).out).unwrap()
}

#[test]
fn announced_chains_are_shown_and_used_when_their_time_has_come() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("state").to_str().unwrap().to_owned();
    assert_eq!(run(&["state", "init", &file]).code, 0);
    let first = chain(&file);
    for (wrong, says) in [
        ("@1000", "is over"),
        ("+0s", "is over"),
        ("2024-01-01T00:00Z", "is over"),
        ("+91d", "away"),
        ("soon", "give +2h"),
        ("2026-02-30T10:00Z", "give +2h"),
    ] {
        let gave = run(&["state", "announce", &file, "--use-at", wrong]);
        assert!(gave.code == 2 && gave.err.contains(says), "{wrong}: {}", gave.err);
    }
    let announced = run(&["state", "announce", &file, "--use-at", "+3h"]);
    assert!(announced.code == 0 && announced.out.contains("announced"), "{}{}", announced.out, announced.err);
    assert_eq!(chain(&file), first, "not yet");
    let shown = run(&["state", "show", &file]).out;
    assert!(shown.contains("generation:  2") && shown.contains("announced:   chain"), "{shown}");
    let all = json(&file);
    let states: Vec<&str> = all["chains"].as_array().unwrap().iter().map(|c| c["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["in use", "announced"]);
    // More than an epoch before its use another one takes its place; closer to it the command says when.
    let other = run(&["state", "reseed", &file]);
    assert!(other.code == 0 && other.out.contains("instead of chain"), "{}{}", other.out, other.err);
    let near =
        ticketshim().env("TICKETSHIM_MODE", "off").args(["state", "announce", &file, "--use-at", "+3h"]).output();
    assert_eq!(gave(near.unwrap()).code, 0, "two hours are more than an epoch");
    assert_eq!(run(&["state", "announce", &file, "--use-at", "+30m"]).code, 0);
    let late = run(&["state", "announce", &file, "--use-at", "+3h"]);
    assert!(late.code == 8 && late.err.contains("it will do from 20"), "{} {}", late.code, late.err);
    assert_eq!(run(&["state", "reseed", &file]).code, 8);
    let before = json(&file)["generation"].as_u64().unwrap();
    assert_eq!(run(&["state", "reseed", &file, "--now"]).code, 0);
    let now = json(&file);
    assert_eq!((now["generation"].as_u64(), now["chains"].as_array().unwrap().len()), (Some(before + 1), 1));
}

#[test]
fn put_is_one_verb_and_each_refusal_has_its_exit_status() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (here, there) = (path("here"), path("there"));
    assert_eq!(run(&["state", "init", &here]).code, 0);
    let put = |file: &str, bytes: &[u8]| with_stdin(&["state", "put", file, "--from-stdin"], bytes);
    let first = fs::read(&here).unwrap();
    let made = put(&there, &first);
    assert!(made.code == 0 && made.out.contains("made"), "{}{}", made.out, made.err);
    assert_eq!(fs::metadata(&there).unwrap().mode() & 0o7777, 0o600);
    let base64 = data_encoding::BASE64_MIME.encode(&first);
    let again = put(&there, base64.as_bytes());
    assert!(again.code == 0 && again.out.contains("is there"), "{}{}", again.out, again.err);
    assert_eq!(fs::read(&there).unwrap(), first);
    // Two operators who do not know of each other.
    assert_eq!(run(&["state", "announce", &here, "--use-at", "+2h"]).code, 0);
    assert_eq!(run(&["state", "announce", &there, "--use-at", "+2h"]).code, 0);
    let (ours, theirs) = (fs::read(&here).unwrap(), fs::read(&there).unwrap());
    let conflict = put(&there, &ours);
    assert!(conflict.code == 6 && conflict.err.contains("announce"), "{} {}", conflict.code, conflict.err);
    // One of them decides, with what the text says.
    assert_eq!(run(&["state", "announce", &here, "--use-at", "+3h"]).code, 0);
    assert_eq!(put(&there, &fs::read(&here).unwrap()).code, 0);
    let newest = fs::read(&there).unwrap();
    for old in [&first, &ours, &theirs] {
        let older = put(&there, old);
        assert!(older.code == 5 && older.err.contains("nothing goes back"), "{} {}", older.code, older.err);
        assert_eq!(fs::read(&there).unwrap(), newest);
    }
    for (nothing, code) in [(&b""[..], 2), (b"ticketshim-state", 1), (&newest[..77], 1), (SEED.as_bytes(), 2)] {
        assert_eq!(put(&there, nothing).code, code);
        assert_eq!(fs::read(&there).unwrap(), newest);
    }
    let whole = with_stdin(&["state", "reseed", &there, "--from-stdin"], &newest);
    assert!(whole.code == 2 && whole.err.contains("state put"), "{}", whole.err);
    assert_eq!(with_stdin(&["state", "put", &there, "--from-stdin", "--mode", "0644"], &newest).code, 1);
    assert_eq!(with_stdin(&["state", "put", &there, "--from-stdin", "--mode", "8"], &newest).code, 2);
    assert_eq!(with_stdin(&["state", "put", &there, "--from-stdin", "--group", "no such group"], &newest).code, 2);
    assert_eq!(fs::metadata(&there).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_file_that_is_ahead_of_the_clock_is_said_by_every_tool() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (file, right) = (path("state"), path("right"));
    assert_eq!(run(&["state", "init", &right]).code, 0);
    // As a host whose clock is two years ahead makes it.
    let hours = ticketshim_core::ring::Schedule::new(ticketshim_core::EpochLength::new(3600).unwrap(), 12 * 3600);
    let ahead = ticketshim_keys::state::State::random(hours, ticketshim_keys::clock::now() + 2 * 365 * 86_400).unwrap();
    ticketshim_keys::state::create(std::path::Path::new(&file), &ahead).unwrap();
    let bytes = fs::read(&file).unwrap();
    for command in [&["state", "show", &file][..], &["state", "show", "--json", &file], &["state", "advance", &file]] {
        let gave = run(command);
        assert!(
            gave.code == 7 && gave.err.contains("ticketshim state reseed"),
            "{command:?}: {} {}",
            gave.code,
            gave.err
        );
    }
    for verb in ["init", "put"] {
        let new = path(verb);
        let gave = with_stdin(&["state", verb, &new, "--from-stdin"], &bytes);
        assert!(gave.code == 7 && fs::metadata(&new).is_err(), "{verb}: {} {}", gave.code, gave.err);
    }
    let before = fs::read(&right).unwrap();
    assert_eq!(with_stdin(&["state", "put", &right, "--from-stdin"], &bytes).code, 7);
    assert_eq!(fs::read(&right).unwrap(), before);
    fs::remove_file(&right).unwrap();
    let forced = with_stdin(&["state", "put", &right, "--from-stdin", "--force"], &bytes);
    assert!(forced.code == 0 && forced.err.contains("no key changes"), "{} {}", forced.code, forced.err);
    // The cure, which loses nothing: the chain that is ahead opens until no ticket of it can be left.
    assert_eq!(run(&["state", "reseed", &file]).code, 0);
    assert_eq!(json(&file)["chains"].as_array().unwrap().len(), 2);
    assert_eq!(run(&["state", "reseed", "--now", &right]).code, 0);
    assert_eq!(run(&["state", "show", &right]).code, 0);
}

#[test]
fn a_file_of_something_else_is_told_what_it_is_not() {
    // Whoever can read it is its own affair: nobody shall be told to change that.
    let dir = tempdir().unwrap();
    let file = dir.path().join("nginx.conf").to_str().unwrap().to_owned();
    for (content, mode, text) in [
        (&b"worker_processes auto;\nevents { }\n"[..], 0o644, "is not a state file"),
        (b"-----BEGIN CERTIFICATE-----\n", 0o644, "is a PEM file"),
        (&[7; 48], 0o660, "ticket key file of nginx"),
    ] {
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        for command in [&["state", "show", &file][..], &["state", "advance", &file], &["state", "reseed", &file]] {
            let gave = run(command);
            assert!(gave.code == 1 && gave.err.contains(text), "{command:?}: {}", gave.err);
            assert!(!gave.err.contains("chmod"), "{}", gave.err);
        }
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}

#[test]
fn seeds_give_everybody_the_same_chain() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (hex, env, raw, copy) = (path("hex"), path("env"), path("raw"), path("copy"));
    let bytes: Vec<u8> = (0..64).step_by(2).map(|i| u8::from_str_radix(&SEED[i..i + 2], 16).unwrap()).collect();
    assert_eq!(with_stdin(&["state", "init", &hex, "--from-stdin"], format!("{SEED}\n").as_bytes()).code, 0);
    assert_eq!(with_stdin(&["state", "init", &raw, "--from-stdin"], &bytes).code, 0);
    let from_env =
        gave(ticketshim().env("SEED", SEED).args(["state", "init", &env, "--hex-env", "SEED"]).output().unwrap());
    assert_eq!(from_env.code, 0, "{}", from_env.err);
    assert_eq!(with_stdin(&["state", "init", &copy, "--from-stdin"], &fs::read(&hex).unwrap()).code, 0);
    assert_eq!(chain(&hex), chain(&env));
    assert_eq!(chain(&hex), chain(&raw));
    assert_eq!(fs::read(&hex).unwrap(), fs::read(&copy).unwrap());
}

#[test]
fn what_is_no_seed() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("state").to_str().unwrap().to_owned();
    for wrong in [&b""[..], b"secret", &[7; 31], &SEED.as_bytes()[1..], b"ticketshim-state cut off"] {
        let gave = with_stdin(&["state", "init", &file, "--from-stdin"], wrong);
        assert!(gave.code != 0 && gave.err.starts_with("ticketshim: "), "{wrong:?}: {}", gave.err);
    }
    let zeros = "00".repeat(32);
    let gave = with_stdin(&["state", "init", &file, "--from-stdin"], zeros.as_bytes());
    assert!(gave.code == 1 && gave.err.contains("pattern"), "{}", gave.err);
    assert_eq!(run(&["state", "init", &file, "--hex-env", "NO_SUCH_VARIABLE"]).code, 2);
    assert_eq!(run(&["state", "init", &file, "--rotate", "8d"]).code, 2);
    assert_eq!(run(&["state", "init", &file, "--rotate", "1s", "--accept", "7d"]).code, 2);
    assert!(!dir.path().join("state").exists());
}

#[test]
fn what_would_be_refused_is_not_made() {
    let dir = tempdir().unwrap();
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let file = open.join("state").to_str().unwrap().to_owned();
    let gave = run(&["state", "init", &file]);
    assert!(gave.code == 1 && gave.err.contains("0777: chmod o-w"), "{}", gave.err);
    assert!(fs::read_dir(&open).unwrap().next().is_none());
    for (there, says) in [("/tmp", "is a directory"), ("/dev/null", "is not a regular file")] {
        let gave = run(&["state", "init", there]);
        assert!(gave.code == 1 && gave.err.contains(says), "{there}: {}", gave.err);
    }
    let file = dir.path().join("state").to_str().unwrap().to_owned();
    let gave = with_stdin(&["state", "init", "--from-stdin", &file], &[0; 32]);
    assert!(gave.code == 1 && gave.err.contains("the seed that was given"), "{}", gave.err);
    assert!(!gave.err.contains("reseed") && fs::symlink_metadata(&file).is_err());
}

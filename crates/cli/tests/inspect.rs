//! `ticketshim inspect` on tickets of a real server.

mod common;

use std::fs;

use common::{library, run, s_server, session};
use tempfile::tempdir;

/// What `openssl s_server` sets as its session id context: an int that is 1.
const SID_CTX: &str = "01000000";

#[test]
fn tickets_of_a_real_server() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let state = path("state");
    let Some((_server, port)) = s_server(&dir, &["run", "--state", &state, "--"]) else { return };
    for version in ["-tls1_3", "-tls1_2"] {
        let file = session(&dir, port, &[version, "-servername", "cli.test"]);
        let file = file.to_str().unwrap();
        let inspect = |more: &[&str]| run(&[&["inspect", "--state", &state, file][..], more].concat());

        let gave = inspect(&["--sni", "cli.test", "--sid-ctx", SID_CTX]);
        assert_eq!(gave.code, 0, "{}{}", gave.out, gave.err);
        for text in ["key name", "full handshake", "session id context: 01000000", "not shown", "opens there"] {
            assert!(gave.out.contains(text), "{text}: {}", gave.out);
        }
        let secret = master_secret(file);
        assert!(!gave.out.contains(&secret), "{}", gave.out);
        let gave = inspect(&["--sni", "cli.test", "--sid-ctx", SID_CTX, "--reveal-master-secret"]);
        // In TLS 1.3 the ticket holds another secret than the client's session.
        assert!(gave.out.contains("master secret:") && !gave.out.contains("not shown"), "{}", gave.out);

        // Sealed by us, and yet closed to whoever does not know for where.
        for wrong in [&["--sni", "other.test", "--sid-ctx", SID_CTX][..], &["--sni", "cli.test", "--sid-ctx", "02"]] {
            let gave = inspect(wrong);
            assert!(gave.code == 1 && gave.out.contains("authentic"), "{}", gave.out);
            assert!(gave.out.contains("content stays closed"), "{}", gave.out);
        }
    }
    let file = session(&dir, port, &["-noservername"]);
    let cert = path("cert.pem");
    let gave = run(&["inspect", "--state", &state, "--cert", &cert, "--sid-ctx", SID_CTX, file.to_str().unwrap()]);
    assert_eq!(gave.code, 0, "{}{}", gave.out, gave.err);

    let other = path("other");
    assert_eq!(run(&["state", "init", &other]).code, 0);
    let gave = run(&["inspect", "--state", &other, file.to_str().unwrap()]);
    assert!(gave.code == 1 && gave.out.contains("no key of that name"), "{}", gave.out);
}

fn master_secret(file: &str) -> String {
    let text =
        std::process::Command::new("openssl").args(["sess_id", "-noout", "-text", "-in", file]).output().unwrap();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    let line = text.lines().find(|l| l.contains("Master-Key") || l.contains("Resumption PSK")).unwrap().to_owned();
    line.rsplit(' ').next().unwrap().to_lowercase()
}

#[test]
fn what_is_no_ticket() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("x");
    fs::write(&file, "no ticket at all!").unwrap();
    let gave = run(&["inspect", file.to_str().unwrap()]);
    assert!(gave.code == 2 && gave.err.contains("neither a file with an SSL session"), "{}", gave.err);
    let gave = run(&["inspect", "00ff00ff"]);
    assert!(gave.code == 1 && gave.out.contains("too few"), "{}", gave.out);
    let gave = run(&["inspect", &"ab".repeat(200)]);
    assert!(gave.code == 2 && gave.out.contains("--state FILE"), "{}", gave.out);
}

//! `ticketshim inspect` on tickets of a real server.

mod common;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use common::{gave, library, run, s_server, session, ticketshim};
use data_encoding::{BASE64, HEXUPPER};
use tempfile::tempdir;
use ticketshim_core::session::Session;

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

        // As little as can be said: the session or its certificate has the name, and what s_server sets is known.
        let gave = inspect(&[]);
        assert!(gave.code == 0 && gave.out.contains("openssl s_server's"), "{}{}", gave.out, gave.err);

        // Sealed by us, and yet closed to whoever does not know for where.
        for wrong in [&["--sni", "other.test", "--sid-ctx", SID_CTX][..], &["--sni", "cli.test", "--sid-ctx", "02"]] {
            let gave = inspect(wrong);
            assert!(gave.code == 1 && gave.out.contains("authentic"), "{}", gave.out);
            assert!(gave.out.contains("content stays closed"), "{}", gave.out);
        }
    }
    let file = session(&dir, port, &["-noservername"]);
    let cert = path("cert.pem");
    for more in [&["--cert", &cert, "--sid-ctx", SID_CTX][..], &[]] {
        let gave = run(&[&["inspect", "--state", &state, file.to_str().unwrap()], more].concat());
        assert_eq!(gave.code, 0, "{}{}", gave.out, gave.err);
        assert!(gave.out.contains("no server name, that certificate's key"), "{}", gave.out);
    }

    let other = path("other");
    assert_eq!(run(&["state", "init", &other]).code, 0);
    let gave = run(&["inspect", "--state", &other, file.to_str().unwrap()]);
    assert!(gave.code == 1 && gave.out.contains("no key of that name"), "{}", gave.out);
}

#[test]
fn a_ticket_comes_in_hex_in_base64_and_on_stdin() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    let state = dir.path().join("state").to_str().unwrap().to_owned();
    let Some((_server, port)) = s_server(&dir, &["run", "--state", &state, "--"]) else { return };
    let pem = fs::read(session(&dir, port, &["-tls1_2", "-servername", "cli.test"])).unwrap();
    let body: String = String::from_utf8_lossy(&pem).lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64.decode(body.as_bytes()).unwrap();
    // tlsext_tick, ssl/ssl_asn1.c
    let ticket = Session::parse(&der).unwrap().octets(10).unwrap().to_vec();
    let inspect = |what: &str, stdin: &[u8]| {
        let mut command = ticketshim();
        command.args(["inspect", "--json", "--state", &state, "--sni", "cli.test", what]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Nobody reads it where the argument is the ticket.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        gave(child.wait_with_output().unwrap())
    };
    let (hex, base64) = (HEXUPPER.encode(&ticket), BASE64.encode(&ticket));
    for (what, stdin) in
        [(hex.as_str(), &b""[..]), (&base64, b""), ("-", base64.as_bytes()), ("-", &ticket), ("-", &pem)]
    {
        let gave = inspect(what, stdin);
        assert_eq!(gave.code, 0, "{what}: {}{}", gave.out, gave.err);
        assert!(gave.out.contains("\"opened\": true") && gave.out.contains("TLS 1.2"), "{what}: {}", gave.out);
    }
    // The last byte is of the HMAC.
    let mut altered = ticket;
    *altered.last_mut().unwrap() ^= 1;
    let gave = inspect(&HEXUPPER.encode(&altered), b"");
    assert!(gave.code == 1 && gave.out.contains("the HMAC is wrong"), "{}", gave.out);
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

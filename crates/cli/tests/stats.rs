//! `ticketshim stats` of a real server.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;

use common::{library, run, s_server, session};
use tempfile::tempdir;

#[test]
fn counters_of_a_real_server() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (state, stats) = (path("state"), path("stats"));
    let Some((server, port)) = s_server(&dir, &["run", "--state", &state, "--stats", &stats, "--"]) else { return };
    assert_eq!(fs::metadata(&stats).unwrap().mode() & 0o7777, 0o644);
    let first = session(&dir, port, &["-tls1_3"]);
    fs::rename(&first, path("kept.pem")).unwrap();
    session(&dir, port, &["-tls1_3", "-sess_in", &path("kept.pem")]);

    let json = run(&["stats", "--json", &stats]);
    assert_eq!(json.code, 0, "{}", json.err);
    // Two tickets for the full handshake, one for the resumed one.
    for line in ["\"attached\": 1", "\"sealed\": 3", "\"opened\": 1", "\"failures\": 0", "\"lives\": true"] {
        assert!(json.out.contains(line), "{line}: {}", json.out);
    }
    let by_pid = run(&["stats", &server.pid()]);
    let opened = by_pid.out.lines().find(|line| line.starts_with("opened"));
    assert!(opened.is_some_and(|line| line.ends_with(" 1")), "{}{}", by_pid.out, by_pid.err);
    let prometheus = run(&["stats", "--prometheus", &stats]).out;
    assert!(prometheus.contains("\nticketshim_opened_total 1\n"), "{prometheus}");

    let doctor = run(&["doctor", &server.pid()]);
    assert_eq!(doctor.code, 0, "{}", doctor.out);
    for text in ["1 with the library's keys", "3 sealed, 1 opened, 0 refused", "seals and opens its tickets"] {
        assert!(doctor.out.contains(text), "{text}: {}", doctor.out);
    }
}

#[test]
fn what_is_no_file_of_counters() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("x");
    fs::write(&file, "something else that is long enough to be told from an empty file").unwrap();
    for (source, text) in
        [(file.to_str().unwrap(), "not a stats file"), ("/no/such/file", "No such file"), ("1", "process 1")]
    {
        let gave = run(&["stats", source]);
        assert!(gave.code == 2 && gave.err.contains(text), "{source}: {}", gave.err);
    }
    assert_eq!(run(&["stats", "--json", "--prometheus", "x"]).code, 2);
}

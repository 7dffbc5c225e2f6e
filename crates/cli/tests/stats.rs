//! `ticketshim stats` of a real server.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use common::{Running, gave, library, of_the_system, run, s_server, session, skip, ticketshim};
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

    parses_as_prometheus(&prometheus);

    let doctor = run(&["doctor", &server.pid()]);
    assert_eq!(doctor.code, 0, "{}", doctor.out);
    for text in ["1 with the library's keys", "3 sealed, 1 opened, 0 refused", "seals and opens its tickets"] {
        assert!(doctor.out.contains(text), "{text}: {}", doctor.out);
    }
}

/// By the parser of Prometheus' own client library.
fn parses_as_prometheus(text: &str) {
    const CODE: &str = "import sys\nfrom prometheus_client.parser import text_string_to_metric_families as parse\n\
        found = {f.name: (f.type, len(f.samples)) for f in parse(sys.stdin.read())}\n\
        print(found['ticketshim_opened'], found['ticketshim_contexts_detached'], found['ticketshim_refused'])\n";
    let mut python = of_the_system("/usr/bin/python3");
    let child = python.args(["-c", CODE]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return skip("/usr/bin/python3 is not there") };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let found = gave(child.wait_with_output().unwrap());
    if found.err.contains("No module named 'prometheus_client'") {
        return skip("no parser: python3-prometheus-client is not installed");
    }
    assert_eq!(found.out, "('counter', 1) ('gauge', 3) ('counter', 8)\n", "{}{text}", found.err);
}

#[test]
fn a_file_that_was_taken_away_from_a_server() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    let stats = dir.path().join("stats");
    let Some((server, port)) = s_server(&dir, &["run", "--stats", stats.to_str().unwrap(), "--"]) else { return };
    fs::remove_file(&stats).unwrap();
    session(&dir, port, &["-tls1_3"]);
    let gave = run(&["stats", &server.pid()]);
    // Only root may look into files that have no name.
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let sealed = gave.out.lines().find(|line| line.starts_with("sealed"));
        assert!(sealed.is_some_and(|line| line.ends_with(" 2")), "{}{}", gave.out, gave.err);
        let doctor = run(&["doctor", &server.pid()]);
        assert!(doctor.code == 0 && doctor.out.contains("its stats file was removed"), "{}", doctor.out);
    } else {
        assert_eq!(gave.code, 2, "{}", gave.out);
    }

    let Some((server, port)) = s_server(&dir, &["run", "--stats", stats.to_str().unwrap(), "--"]) else { return };
    fs::OpenOptions::new().write(true).open(&stats).unwrap().set_len(100).unwrap();
    session(&dir, port, &["-tls1_3"]);
    for source in [stats.to_str().unwrap(), &server.pid()] {
        let gave = run(&["stats", source]);
        assert!(gave.code == 2 && gave.err.contains("cut off"), "{}{}", gave.out, gave.err);
    }
    let doctor = run(&["doctor", &server.pid()]);
    assert!(doctor.code == 0 && doctor.out.contains("cut off"), "{}", doctor.out);
}

#[test]
fn watching_shows_what_has_changed() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    let stats = dir.path().join("stats").to_str().unwrap().to_owned();
    let Some((_server, port)) = s_server(&dir, &["run", "--stats", &stats, "--"]) else { return };
    let mut watching = ticketshim();
    watching.args(["stats", "--watch", "1", &stats]).stdout(Stdio::piped());
    let mut watching = Running(watching.spawn().unwrap());
    let mut lines = BufReader::new(watching.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("sealed") && line.ends_with(" 0")));
    session(&dir, port, &["-tls1_3"]);
    assert!(lines.any(|line| line.starts_with("sealed") && line.ends_with(" 2  +2")));
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
    if library().is_some() {
        let gave = run(&["run", "--stats", file.to_str().unwrap(), "--", "true"]);
        assert!(gave.code == 125 && gave.err.contains("stats file refused"), "{}", gave.err);
    }
    assert_eq!(run(&["stats", "--json", "--prometheus", "x"]).code, 2);
}

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
    // What it says of the libssl is what it says of it without a server.
    let five_times = |out: &str| out.contains("serialised five times");
    let command = run(&["doctor", "--", "openssl"]);
    assert_eq!(five_times(&doctor.out), five_times(&command.out), "{}\n{}", doctor.out, command.out);
}

/// By the parsers of Prometheus' own client library: the one of OpenMetrics, which is strict, and the older format's,
/// which does not know the type of what it calls by another name.
fn parses_as_prometheus(text: &str) {
    const CODE: &str = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict\n\
        from prometheus_client.parser import text_string_to_metric_families as old\n\
        text = sys.stdin.read()\n\
        found = {f.name: (f.type, len(f.samples)) for f in strict(text)}\n\
        print(found['ticketshim_opened'], found['ticketshim_contexts_detached'], found['ticketshim_refused'])\n\
        samples = lambda families: sorted((s.name, sorted(s.labels.items()), s.value) for f in families for s in f.samples)\n\
        print(samples(strict(text)) == samples(old(text)))\n";
    let mut python = of_the_system("/usr/bin/python3");
    let child = python.args(["-c", CODE]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return skip("/usr/bin/python3 is not there") };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let found = gave(child.wait_with_output().unwrap());
    if found.err.contains("No module named 'prometheus_client'") {
        return skip("no parser: python3-prometheus-client is not installed");
    }
    let reasons = ticketshim_keys::counters::REFUSALS.len();
    let expected = format!("('counter', 1) ('gauge', 3) ('counter', {reasons})\nTrue\n");
    assert_eq!(found.out, expected, "{}{text}", found.err);
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
    for (round, arguments) in
        [&["--watch", "1", &stats][..], &["--watch", &stats], &[&stats, "--watch"]].iter().enumerate()
    {
        let mut watching = ticketshim();
        watching.arg("stats").args(*arguments).stdout(Stdio::piped());
        let mut watching = Running(watching.spawn().unwrap());
        let mut lines = BufReader::new(watching.0.stdout.take().unwrap()).lines().map_while(Result::ok);
        let before = format!(" {}", round * 2);
        assert!(lines.any(|line| line.starts_with("sealed") && line.ends_with(&before)), "{arguments:?}");
        session(&dir, port, &["-tls1_3"]);
        let after = format!(" {}  +2", round * 2 + 2);
        assert!(lines.any(|line| line.starts_with("sealed") && line.ends_with(&after)), "{arguments:?}");
    }
    for wrong in [&["--watch"][..], &["--watch", "5"], &["--watch", "x", &stats], &[]] {
        assert_eq!(run(&[&["stats"], wrong].concat()).code, 2, "{wrong:?}");
    }
}

#[test]
fn counters_of_one_process_of_several() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    let stats = dir.path().join("stats").to_str().unwrap().to_owned();
    let Some((one, port)) = s_server(&dir, &["run", "--stats", &stats, "--"]) else { return };
    let Some((other, _)) = s_server(&dir, &["run", "--stats", &stats, "--"]) else { return };
    session(&dir, port, &["-tls1_3"]);
    let sealed = |source: &str| {
        let json = run(&["stats", "--json", source]);
        let line = json.out.lines().find(|line| line.contains("\"sealed\"")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{source}: {}", json.err)).trim().to_owned()
    };
    assert_eq!(sealed(&stats), "\"sealed\": 2,");
    assert_eq!(sealed(&one.pid()), "\"sealed\": 2,");
    assert_eq!(sealed(&other.pid()), "\"sealed\": 0,");
    assert!(run(&["stats", &other.pid()]).out.contains("attached                        1"));

    // A process that has the file mapped and makes no context.
    let mut idle = ticketshim();
    idle.args(["run", "--stats", &stats, "--", "sleep", "60"]);
    let idle = Running(idle.spawn().unwrap());
    let says = || run(&["stats", &idle.pid()]);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while says().err.contains("publishes no counters") && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let gave = says();
    assert!(gave.code == 2 && gave.err.contains("has made no TLS context so far"), "{}{}", gave.out, gave.err);
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

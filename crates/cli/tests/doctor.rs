//! `ticketshim doctor` on real programs and processes.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use common::{
    Gave, Running, compile, library, libssl_of, of_the_system, openssl_of, openssl_places, run, s_server, skip,
    ticketshim,
};
use tempfile::tempdir;

fn verdict(gave: &Gave) -> &str {
    gave.out.lines().last().unwrap_or_default()
}

#[test]
fn commands() {
    let Some(library) = library() else { return };
    let gave = run(&["doctor", "--", "openssl", "s_server"]);
    assert_eq!(gave.code, 0, "{}", gave.out);
    let version = openssl_of(Command::new("openssl").arg("version"));
    assert!(gave.out.contains(library.to_str().unwrap()) && gave.out.contains(&version), "{version}: {}", gave.out);
    assert!(verdict(&gave).contains("start it with `ticketshim run`"), "{}", gave.out);

    let gave = run(&["doctor", "--", "no-such-command-anywhere"]);
    assert_eq!(gave.code, 2);
    assert!(verdict(&gave).contains("not found"), "{}", gave.out);

    let gave = run(&["doctor", "--", "ls"]);
    assert_eq!(gave.code, 1);
    assert!(verdict(&gave).contains("does not use OpenSSL"), "{}", gave.out);

    let gave = run(&["doctor", "--", "/usr/bin/python3"]);
    // Another one than the library is for, if that was built with OPENSSL_DIR.
    let python = openssl_of(of_the_system("/usr/bin/python3").args(["-c", "import ssl; print(ssl.OPENSSL_VERSION)"]));
    let theirs = libssl_of(&python);
    let (code, says) = if theirs == libssl_of(&version) {
        (0, "with a module".to_owned())
    } else {
        (1, format!("use the one for {theirs}"))
    };
    assert_eq!(gave.code, code, "{python}: {}", gave.out);
    assert!(verdict(&gave).contains(&says), "{python}: {}", gave.out);

    let gave = run(&["doctor"]);
    assert_eq!(gave.code, 2);
}

/// Two libssl that do nothing, but for the calls that they make of themselves.
#[test]
fn a_libssl_whose_own_calls_are_not_seen() {
    // The stand-ins below have the name of the system's libssl, so the library has to be for that one.
    if library().is_none() || std::env::var_os("OPENSSL_DIR").is_some() {
        return;
    }
    let soname = libssl_of(&openssl_of(Command::new("openssl").arg("version")));
    let source = "int i2d_SSL_SESSION(void *s, void *p) { return s == p; }\n\
                  int SSL_CTX_new(void *m) { return i2d_SSL_SESSION(m, m) + i2d_SSL_SESSION(m, 0); }\n";
    for (flag, seen) in [("-Wl,-Bsymbolic", false), ("-O0", true)] {
        let dir = tempdir().unwrap();
        let at = dir.path().to_str().unwrap();
        let name = format!("-Wl,-soname,{soname}");
        let Some(libssl) = compile(&dir, soname, source, &["-shared", "-fPIC", &name, flag]) else { return };
        let flags = ["-Wl,--no-as-needed", libssl.to_str().unwrap(), &format!("-Wl,-rpath,{at}")];
        let Some(program) = compile(&dir, "program", "int main(void) { return 0; }", &flags) else { return };
        let gave = run(&["doctor", "--", program.to_str().unwrap()]);
        assert!(gave.out.contains(soname), "{flag}: {}", gave.out);
        assert_eq!(!gave.out.contains("serialised five times"), seen, "{flag}: {}", gave.out);
        assert_eq!(!gave.out.contains("readelf -rW"), seen, "{flag}: {}", gave.out);
    }
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
    assert!(gave.code == 1 && gave.out.contains("REFUSED") && gave.out.contains("is not a state file"), "{}", gave.out);
    let gave = doctor("TICKETSHIM_ROTATE", "90m");
    assert!(gave.out.contains("mode default, bind strict, keys change every 1h30m, open for 12h\n"), "{}", gave.out);
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

/// Makes a context, does with it what the argument says, and then nothing more.
const OWN_KEYS: &str = r#"
#include <openssl/ssl.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
static int evp(SSL *s, unsigned char *n, unsigned char *i, EVP_CIPHER_CTX *c, EVP_MAC_CTX *m, int e) { return 0; }
#endif
static int old(SSL *s, unsigned char *n, unsigned char *i, EVP_CIPHER_CTX *c, HMAC_CTX *m, int e) { return 0; }
int main(int argc, char **argv)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    unsigned char keys[80];
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    if (strchr(argv[1], 'e'))
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, evp);
#endif
    if (strchr(argv[1], 'o'))
        SSL_CTX_set_tlsext_ticket_key_cb(ctx, old);
    if (strchr(argv[1], 'r'))
        SSL_CTX_get_tlsext_ticket_keys(ctx, keys, sizeof(keys));
    if (strchr(argv[1], 'c') && (chroot(argv[2]) != 0 || chdir("/") != 0))
        return 1;
    if (strchr(argv[1], 'd') && daemon(1, 1) != 0)
        return 1;
    printf("%d\n", (int)getpid());
    fflush(stdout);
    alarm(60);
    getchar();
    return 0;
}
"#;

#[test]
fn by_which_door_a_program_brings_its_own_keys() {
    if library().is_none() {
        return;
    }
    let dir = tempdir().unwrap();
    let places = openssl_places();
    let mut flags: Vec<&str> = places.iter().map(String::as_str).collect();
    flags.extend(["-Wno-deprecated-declarations", "-lssl", "-lcrypto"]);
    let Some(program) = compile(&dir, "own-keys", OWN_KEYS, &flags) else { return };
    let openssl = openssl_of(Command::new("openssl").arg("version"));
    // The first door came with 3.0.
    let all = if libssl_of(&openssl) == "libssl.so.1.1" { "or" } else { "eor" };
    let names = ["SSL_CTX_set_tlsext_ticket_key_evp_cb", "SSL_CTX_callback_ctrl", "SSL_CTX_ctrl (raw keys"];
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    // Also as a daemon (d), whose first process has ended.
    for doors in ["e", "o", "r", all, "rd", "-", "d", "c"] {
        // As root a server may move into another root directory: of what doctor looks at nothing is there.
        if doors == "c" && fs::metadata("/proc/self").unwrap().uid() != 0 {
            continue;
        }
        if doors == "e" && !all.contains('e') {
            continue;
        }
        let stats = dir.path().join(format!("stats-{doors}"));
        let mut command = ticketshim();
        command.args([
            "run",
            "--stats",
            stats.to_str().unwrap(),
            "--",
            program.to_str().unwrap(),
            doors,
            empty.to_str().unwrap(),
        ]);
        let mut running = Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        // It ends when this does; `wait` would close it.
        let stdin = running.0.stdin.take();
        let out = running.0.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
        if doors.contains('d') {
            running.0.wait().unwrap();
        }
        let gave = run(&["doctor", line.trim()]);
        let json = run(&["doctor", "--json", line.trim()]).out;
        let mut detached = 0;
        for (door, name) in ['e', 'o', 'r'].into_iter().zip(names) {
            let open = doors.contains(door);
            detached = detached.max(u8::from(open));
            assert_eq!(gave.out.contains(&format!("1 by {name}")), open, "{doors}: {}", gave.out);
            assert_eq!(verdict(&gave).contains(name), open, "{doors}: {}", gave.out);
            assert_eq!(json.contains(&format!("\"{name}")), open, "{doors}: {json}");
        }
        let contexts = format!("{} with the library's keys, {detached} with the program's own", 1 - detached);
        assert!(gave.out.contains(&contexts), "{doors}: {}", gave.out);
        assert!(json.contains(&format!("\"attached\": {}", 1 - detached)), "{doors}: {json}");
        assert_eq!(gave.code, i32::from(detached), "{doors}: {}", gave.out);
        drop(stdin);
    }
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
    let mapped = || std::fs::read_to_string(format!("/proc/{}/maps", loaded.pid())).unwrap();
    // It runs the command until that has made way for the program.
    for _ in 0..100 {
        if mapped().contains("libticketshim") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
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

//! Runs the command, makes programs to run it on, and starts servers that end with the test.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What the command gave.
pub struct Gave {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The library of the release build; `None`, said why, where there is none.
pub fn library() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path =
        std::env::var_os("TICKETSHIM_LIB").map_or_else(|| root.join("target/release/libticketshim.so"), PathBuf::from);
    if path.is_file() {
        return Some(path.canonicalize().unwrap());
    }
    skip(&format!("no library at {}: make build", path.display()));
    None
}

/// The release of OpenSSL that a command says it uses: "OpenSSL 3.0.19". Of the `openssl` that is first in the path it
/// is what the library was built for (`OPENSSL_DIR`).
pub fn openssl_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = said.split_whitespace().take(2).collect();
    assert!(words.len() == 2 && words[0] == "OpenSSL", "{said}{}", String::from_utf8_lossy(&output.stderr));
    words.join(" ")
}

/// What programs of that release are linked to.
pub fn libssl_of(openssl: &str) -> &'static str {
    match openssl.split('.').next() {
        Some("OpenSSL 1") => "libssl.so.1.1",
        Some("OpenSSL 3") => "libssl.so.3",
        Some("OpenSSL 4") => "libssl.so.4",
        _ => panic!("{openssl}: what is its libssl called?"),
    }
}

/// Where a C compiler finds that OpenSSL, if it is not the system's.
pub fn openssl_places() -> Vec<String> {
    let Some(dir) = std::env::var("OPENSSL_DIR").ok().filter(|dir| !dir.is_empty()) else { return Vec::new() };
    vec![format!("-I{dir}/include"), format!("-L{dir}/lib64"), format!("-L{dir}/lib")]
}

/// The libraries of the OpenSSL in `OPENSSL_DIR`, if the tests run with one, by their sonames.
pub fn openssl_libraries() -> Vec<PathBuf> {
    let dir = std::env::var("OPENSSL_DIR").unwrap_or_default();
    let places = ["lib64", "lib"].map(|lib| Path::new(&dir).join(lib)).into_iter().filter(|_| !dir.is_empty());
    let files = places.filter_map(|place| place.read_dir().ok()).flatten().flatten().map(|file| file.path());
    files.filter(|file| file.to_str().is_some_and(|path| path.contains("/lib") && path.contains(".so."))).collect()
}

/// A program of the system that uses OpenSSL: with its own, also where `OPENSSL_DIR` has the tests run with another,
/// which may lack what it needs.
pub fn of_the_system(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_remove("LD_LIBRARY_PATH");
    command
}

/// Says why a test does nothing, which is a failure where everything must be tested.
pub fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped: {why}");
    eprintln!("skipped: {why}");
}

/// The command, without settings of whoever runs the test.
pub fn ticketshim() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ticketshim"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TICKETSHIM_") || name == "LD_PRELOAD") {
        command.env_remove(name);
    }
    // Nor those of the machine that it runs on.
    command.env("TICKETSHIM_CONFIG", "/dev/null");
    if let Some(library) = library() {
        command.env("TICKETSHIM_LIB", library);
    }
    command.stdin(Stdio::null());
    command
}

pub fn run(arguments: &[&str]) -> Gave {
    gave(ticketshim().args(arguments).output().unwrap())
}

pub fn gave(output: Output) -> Gave {
    Gave {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Compiles a C program; `None`, said why, where there is no compiler (or no static libc).
pub fn compile(dir: &TempDir, name: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    let path = dir.path().join(name);
    let code = dir.path().join(format!("{name}.c"));
    fs::write(&code, source).unwrap();
    let done = Command::new("cc").arg("-o").arg(&path).arg(&code).args(flags).output();
    match done {
        Ok(output) if output.status.success() => Some(path),
        Ok(output) => {
            skip(&format!("cc {flags:?}: {}", String::from_utf8_lossy(&output.stderr)));
            None
        }
        Err(error) => {
            skip(&format!("cc: {error}"));
            None
        }
    }
}

pub fn write_script(dir: &TempDir, name: &str, text: &str, mode: u32) -> String {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A process that ends with the test.
pub struct Running(pub Child);

impl Running {
    pub fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `openssl s_server` with a certificate made for it; gives it and its port. `before` is what runs it.
pub fn s_server(dir: &TempDir, before: &[&str]) -> Option<(Running, u16)> {
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (key, cert) = (path("key.pem"), path("cert.pem"));
    if !Path::new(&cert).exists() {
        // An OpenSSL that is not installed has no configuration of its own.
        let config = write_script(dir, "req.cnf", "[req]\ndistinguished_name = dn\n[dn]\n", 0o644);
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=cli.test", "-addext", "subjectAltName=DNS:*.cli.test,DNS:cli.test,IP:127.0.0.1"])
            .args(["-config", &config, "-keyout", &key, "-out", &cert])
            .output();
        match made {
            Ok(output) if output.status.success() => {}
            Ok(output) => panic!("no certificate: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => {
                skip(&format!("openssl: {error}"));
                return None;
            }
        }
    }
    let server = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-key", &key, "-cert", &cert, "-www"];
    let mut command = if before.is_empty() { Command::new(server[0]) } else { ticketshim() };
    command.args(before).args(if before.is_empty() { &server[1..] } else { &server[..] });
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    // "ACCEPT 127.0.0.1:40123"
    let lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let port =
        lines.map_while(Result::ok).find_map(|line| line.strip_prefix("ACCEPT ")?.rsplit_once(':')?.1.parse().ok());
    Some((running, port.expect("s_server says where it listens")))
}

/// A session of a client of that server, in PEM.
pub fn session(dir: &TempDir, port: u16, options: &[&str]) -> PathBuf {
    let file = dir.path().join("session.pem");
    // What is not there cannot be in the way.
    let _ = fs::remove_file(&file);
    let mut client = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-sess_out", file.to_str().unwrap()])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    let complete = || fs::read_to_string(&file).is_ok_and(|text| text.contains("-----END"));
    while !complete() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(client.stdin.take());
    client.wait().unwrap();
    assert!(complete(), "no session from s_client");
    file
}

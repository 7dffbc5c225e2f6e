//! `ticketshim doctor` on what only looks as if it were helped: linked behind libssl, another user's state file, a hidden
//! environment, other file systems.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{
    Gave, Running, compile, gave, library, of_the_system, openssl_libraries, openssl_places, run, skip, ticketshim,
};
use tempfile::{TempDir, tempdir};

/// Makes a context and waits. Then, by letter: e erases its environment, u becomes another user, n makes no context.
const SERVER: &str = r#"
#define _GNU_SOURCE
#include <openssl/ssl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
extern char **environ;
int main(int argc, char **argv)
{
    const char *does = argc > 1 ? argv[1] : "";
    if (!strchr(does, 'n') && !SSL_CTX_new(TLS_server_method()))
        return 1;
    if (strchr(does, 'e'))
        for (char **entry = environ; *entry; entry++)
            memset(*entry, 0, strlen(*entry));
    if (strchr(does, 'u') && (setgroups(0, NULL) || setgid(65534) || setuid(65534)))
        return 1;
    printf("%d\n", (int)getpid());
    fflush(stdout);
    alarm(120);
    getchar();
    return 0;
}
"#;

fn verdict(gave: &Gave) -> &str {
    gave.out.lines().last().unwrap_or_default()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A directory that other users can reach, with the library and the server in it. `order`: how that is linked.
struct World {
    dir: TempDir,
    library: PathBuf,
    server: PathBuf,
}

impl World {
    fn new(order: &[&str]) -> Option<Self> {
        let original = library()?;
        let dir = tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let library = dir.path().join("libticketshim.so.0");
        fs::copy(original, &library).unwrap();
        let path = library.to_str().unwrap().to_owned();
        // Another OpenSSL than the system's may be where other users cannot go.
        for file in openssl_libraries() {
            fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
        }
        let places = openssl_places();
        let rpath = format!("-Wl,--no-as-needed,-rpath,{}", dir.path().display());
        let mut flags: Vec<&str> = places.iter().map(String::as_str).chain([rpath.as_str()]).collect();
        flags.extend(order.iter().map(|word| if *word == "OURS" { path.as_str() } else { word }));
        let server = compile(&dir, "server", SERVER, &flags)?;
        Some(Self { dir, library, server })
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// A directory for a state file.
    fn make(&self, name: &str, mode: u32, owner: u32) -> String {
        let path = self.dir.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        if is_root() {
            chown(&path, Some(owner), Some(owner)).unwrap();
        }
        path.to_str().unwrap().to_owned()
    }

    /// A command that has the library in front by hand: what `run` would refuse shall be seen too.
    fn preloading(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TICKETSHIM_")) {
            command.env_remove(name);
        }
        command.env("LD_PRELOAD", &self.library).env("TICKETSHIM_CONFIG", "/dev/null");
        command
    }
}

/// Starts a server, which says its process id when it is ready.
fn start(command: &mut Command) -> (Running, String) {
    let mut running = Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    let out = running.0.stdout.as_mut().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "the server did not start: {command:?}");
    (running, line.trim().to_owned())
}

#[test]
fn linked_in_front_linked_behind_and_not() {
    for (order, code, linkage, says) in [
        (&["OURS", "-lssl", "-lcrypto"][..], 0, "linked, in front", "in front of"),
        (&["-lssl", "-lcrypto", "OURS"], 1, "linked, behind libssl: no effect", "no effect"),
        (&["-lssl", "-lcrypto"], 0, "not linked", "start it with `ticketshim run`"),
    ] {
        let Some(world) = World::new(order) else { return };
        let program = world.server.to_str().unwrap();
        let gave = run(&["doctor", "--", program]);
        assert!(gave.code == code && verdict(&gave).contains(says), "{order:?}: {}", gave.out);
        assert!(
            gave.out.contains(&format!("linkage: {linkage}")) || gave.out.contains(linkage),
            "{order:?}: {}",
            gave.out
        );
        let linked = order.contains(&"OURS");
        assert!(code == 1 || verdict(&gave).contains("as it is") == linked, "{order:?}: {}", gave.out);

        let stats = world.path("stats");
        let (_running, pid) =
            start(Command::new(&world.server).env("TICKETSHIM_STATS", &stats).env_remove("LD_PRELOAD"));
        let live = run(&["doctor", &pid]);
        assert_eq!(live.code, if linked { code } else { 1 }, "{order:?}: {}", live.out);
        // What has come of it: the core has the context, or has not.
        let attached = run(&["stats", "--json", &pid]).out.contains("\"attached\": 1");
        assert_eq!(attached, linked && code == 0, "{order:?}: {}", live.out);
        if linked {
            assert!(live.out.contains(linkage) && verdict(&live).contains(says), "{order:?}: {}", live.out);
        }
        // Put in front, the order of the linker does not matter.
        let (_running, pid) = start(world.preloading(&world.server).env("TICKETSHIM_STATS", world.path("second")));
        let live = run(&["doctor", &pid]);
        assert!(live.code == 0 && live.out.contains("1 with the library's keys"), "{order:?}: {}", live.out);
    }
}

#[test]
fn a_static_libssl_beside_a_shared_one() {
    let places = openssl_places();
    let archive = places.iter().filter_map(|place| place.strip_prefix("-L")).map(|dir| Path::new(dir).join("libssl.a"));
    let has_archive = if places.is_empty() {
        let said = Command::new("cc").arg("-print-file-name=libssl.a").output().unwrap().stdout;
        Path::new(String::from_utf8_lossy(&said).trim()).is_absolute()
    } else {
        archive.into_iter().any(|path| path.is_file())
    };
    if !has_archive {
        return skip("no libssl.a");
    }
    // The server's own is inside; the module uses the shared one.
    let Some(helper) = World::new(&["-lssl", "-lcrypto"]) else { return };
    let flags: Vec<&str> = places.iter().map(String::as_str).collect();
    let module = [&flags[..], &["-shared", "-fPIC", "-Wl,-soname,libuser.so", "-lssl", "-lcrypto"]].concat();
    let code = "#include <openssl/ssl.h>\nconst char *used(SSL *ssl) { return SSL_get_version(ssl); }\n";
    let Some(module) = compile(&helper.dir, "libuser.so", code, &module) else { return };
    let at = format!("-Wl,-rpath,{}", helper.dir.path().display());
    let module = module.to_str().unwrap();
    // What is inside is seen from outside by whatever the program loads, or is hidden.
    for hide in ["-Wl,--exclude-libs,ALL", "-Wl,--export-dynamic"] {
        let order = ["-l:libssl.a", "-l:libcrypto.a", hide, "-Wl,--no-as-needed", module, "-ldl", "-lpthread", &at];
        let Some(world) = World::new(&order) else { return };
        let gave = run(&["doctor", "--", world.server.to_str().unwrap()]);
        assert!(gave.code == 1 && verdict(&gave).contains("inside"), "{hide}: {}", gave.out);
        let hidden = hide.contains("exclude");
        assert_eq!(verdict(&gave).contains("libuser.so"), hidden, "what uses the shared one: {}", gave.out);
        let (_running, pid) = start(world.preloading(&world.server).env("TICKETSHIM_STATS", world.path("stats")));
        let gave = run(&["doctor", &pid]);
        // What is seen from outside stands before the library as well: the program comes first.
        assert!(gave.code == 1 && verdict(&gave).contains("inside"), "{hide}: {}", gave.out);
    }
}

#[test]
fn a_state_file_that_the_server_cannot_use() {
    if !is_root() {
        return skip("only root starts servers of other users");
    }
    let Some(world) = World::new(&["-lssl", "-lcrypto"]) else { return };
    let other = |state: &str| {
        let mut command = world.preloading(Path::new("setpriv"));
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&world.server);
        start(command.env("TICKETSHIM_STATE", state))
    };
    let private = world.make("private", 0o700, 0);
    let readable = world.make("readable", 0o755, 0);
    let theirs = world.make("theirs", 0o700, 65534);
    assert_eq!(run(&["state", "init", &format!("{readable}/root")]).code, 0);
    for (state, code, says) in [
        (format!("{private}/state"), 1, "may not be searched"),
        (format!("{readable}/state"), 1, "may not write"),
        (format!("{readable}/root"), 1, "cannot read"),
        (format!("{readable}/none/state"), 1, "there is no directory"),
        (format!("{theirs}/state"), 0, "in front of its OpenSSL"),
    ] {
        let (_running, pid) = other(&state);
        let gave = run(&["doctor", &pid]);
        assert!(gave.code == code && verdict(&gave).contains(says), "{state}: {}", gave.out);
        assert_eq!(Path::new(&state).exists(), code == 0 || says == "cannot read", "{state}: what the server did");
    }
    // One that was root when it read the file.
    let state = format!("{private}/own");
    let (_running, pid) = start(world.preloading(&world.server).arg("u").env("TICKETSHIM_STATE", &state));
    let gave = run(&["doctor", &pid]);
    assert!(gave.code == 0 && gave.out.contains("chain"), "{}", gave.out);
    assert!(Path::new(&state).exists());

    // Before it is started: the same, as whoever asks.
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        env!("CARGO_BIN_EXE_ticketshim"),
        "doctor",
        "--",
    ]);
    command
        .arg(&world.server)
        .env("TICKETSHIM_STATE", format!("{readable}/state"))
        .env("TICKETSHIM_LIB", &world.library);
    match command.output() {
        // The build may be where nobody else can go.
        Ok(output) if output.status.code().is_some_and(|code| code < 3) => {
            let gave = common::gave(output);
            assert!(gave.code == 1 && verdict(&gave).contains("may not write"), "{}{}", gave.out, gave.err);
        }
        _ => {}
    }
}

#[test]
fn an_environment_that_was_overwritten() {
    let Some(world) = World::new(&["-lssl", "-lcrypto"]) else { return };
    // Nothing is known but that the library is there.
    let (_running, pid) = start(world.preloading(&world.server).arg("e"));
    let gave = run(&["doctor", &pid]);
    assert!(gave.code == 2 && verdict(&gave).contains("TICKETSHIM_STATS"), "{}", gave.out);
    // Its counters tell, by the mapping of their file.
    let stats = world.path("stats");
    let (_running, pid) = start(world.preloading(&world.server).arg("e").env("TICKETSHIM_STATS", &stats));
    let gave = run(&["doctor", &pid]);
    assert!(gave.code == 0 && gave.out.contains("1 with the library's keys"), "{}", gave.out);
    // Also that the state file, whose name is gone, is not used.
    let bad = world.path("bad");
    fs::write(&bad, "x").unwrap();
    let mut command = world.preloading(&world.server);
    let (_running, pid) = start(command.arg("e").env("TICKETSHIM_STATS", &stats).env("TICKETSHIM_STATE", &bad));
    let gave = run(&["doctor", &pid]);
    assert!(gave.code == 1 && verdict(&gave).contains("does not use or write its state file"), "{}", gave.out);
    // And where the library is switched off, no context is its own.
    let mut command = world.preloading(&world.server);
    let (_running, pid) = start(command.arg("e").env("TICKETSHIM_STATS", &stats).env("TICKETSHIM_MODE", "off"));
    let gave = run(&["doctor", &pid]);
    assert_eq!(gave.code, 2, "{}", gave.out);
}

#[test]
fn a_name_that_is_nearly_a_setting() {
    let Some(world) = World::new(&["-lssl", "-lcrypto"]) else { return };
    let mut command = world.preloading(&world.server);
    let (_running, pid) = start(command.stderr(Stdio::null()).env("TICKETSHIM_STATE_FILE", "/s"));
    let gave = run(&["doctor", &pid]);
    assert!(gave.out.contains("TICKETSHIM_STATE_FILE is no setting"), "{}", gave.out);
    let before =
        common::gave(ticketshim().env("TICKETSHIM_STATES", "/s").args(["doctor", "openssl"]).output().unwrap());
    assert!(before.out.contains("TICKETSHIM_STATES is no setting"), "{}", before.out);
}

/// Runs a script where some directories are others; `None` where that may not be.
fn elsewhere(script: &str, arguments: &[&str]) -> Option<Command> {
    let user = if is_root() { "-m" } else { "-rm" };
    let may = Command::new("unshare").args([user, "mount", "-t", "tmpfs", "t", "/mnt"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        skip("no right to mount");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args([user, "sh", "-ec", script]).args(arguments);
    Some(command)
}

#[test]
fn other_file_systems() {
    let Some(world) = World::new(&["-lssl", "-lcrypto"]) else { return };
    let keys = world.make("keys", 0o700, 0);
    let state = format!("{keys}/state");
    // Outside there is another file of that name, which nobody may use.
    fs::write(&state, "x").unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o666)).unwrap();
    let script = "mount -t tmpfs -o mode=700 t \"$0\"; LD_PRELOAD=$1 TICKETSHIM_STATE=$0/state exec \"$2\"";
    let (library, server) = (world.library.to_str().unwrap(), world.server.to_str().unwrap());
    let Some(mut command) = elsewhere(script, &[&keys, library, server]) else { return };
    let (_running, pid) = start(&mut command);
    let gave = run(&["doctor", &pid]);
    assert!(gave.code == 0 && gave.out.contains("chain"), "{}", gave.out);
    assert!(gave.out.contains("file systems:"), "{}", gave.out);

    // And where the file is good outside, and cannot be made inside.
    fs::remove_file(&state).unwrap();
    assert_eq!(run(&["state", "init", &state]).code, 0);
    let script = "mount -t tmpfs -o ro,mode=700 t \"$0\"; LD_PRELOAD=$1 TICKETSHIM_STATE=$0/state exec \"$2\"";
    let mut command = elsewhere(script, &[&keys, library, server]).unwrap();
    let (_running, pid) = start(command.stderr(Stdio::null()));
    let gave = run(&["doctor", &pid]);
    assert!(gave.code == 1 && verdict(&gave).contains("read-only"), "{}", gave.out);
}

#[test]
fn a_root_directory_of_its_own() {
    if !is_root() {
        return skip("only root changes the root directory");
    }
    let Some(world) = World::new(&["-lssl", "-lcrypto"]) else { return };
    let jail = PathBuf::from(world.make("jail", 0o755, 0));
    let libraries = of_the_system("ldd").arg(&world.server).arg(&world.library).output().unwrap();
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    let words = libraries.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':'));
    for file in words.chain([world.server.to_str().unwrap(), world.library.to_str().unwrap()]) {
        let inside = jail.join(file.trim_start_matches('/'));
        fs::create_dir_all(inside.parent().unwrap()).unwrap();
        fs::copy(file, &inside).unwrap();
    }
    // A link that is absolute in there, and leads to another file out here.
    fs::create_dir_all(jail.join("keys")).unwrap();
    fs::set_permissions(jail.join("keys"), fs::Permissions::from_mode(0o700)).unwrap();
    let real = world.make("keys", 0o700, 0);
    fs::create_dir_all(jail.join(real.trim_start_matches('/')).parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/keys", jail.join(real.trim_start_matches('/'))).unwrap();
    fs::write(format!("{real}/state"), "x").unwrap();
    let (library, state) = (world.library.to_str().unwrap(), format!("{real}/state"));
    let mut command = Command::new("chroot");
    let variables = [format!("LD_PRELOAD={library}"), format!("TICKETSHIM_STATE={state}")];
    command.arg(&jail).arg(&world.server);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    // The loader of chroot(8) itself has the library too, which does it no harm.
    for variable in &variables {
        let (name, value) = variable.split_once('=').unwrap();
        command.env(name, value);
    }
    let (_running, pid) = start(&mut command);
    assert!(jail.join("keys/state").exists(), "the server made its file inside");
    let gave = run(&["doctor", &pid]);
    assert!(gave.code == 0 && gave.out.contains("chain"), "{}", gave.out);
}

#[test]
fn services_of_systemd() {
    let Some(world) = World::new(&["-lssl", "-lcrypto"]) else { return };
    let script = "mount -t tmpfs t /etc; mkdir -p /etc/systemd/system/x.service.d; \
                  printf '[Service]\\nExecStart=%b\\n' \"$1\" > /etc/systemd/system/x.service; \
                  printf '[Service]\\nEnvironment=\"LD_PRELOAD=%s\"\\n' \"$2\" > /etc/systemd/system/x.service.d/t.conf; \
                  exec \"$0\" doctor \"${3:-x.service}\"";
    let (command, server) = (env!("CARGO_BIN_EXE_ticketshim"), world.server.to_str().unwrap());
    for (preload, name, code, says) in [
        ("", "x.service", 1, "`systemctl edit x.service`"),
        ("/usr/lib/nowhere/libticketshim.so", "x.service", 1, "which is not there"),
        (world.library.to_str().unwrap(), "x.service", 0, "with the library in front"),
        ("", "none.service", 2, "there is no unit none.service"),
        ("", server, 0, "start it with `ticketshim run`"),
    ] {
        let Some(mut asks) = elsewhere(script, &[command, server, preload, name]) else { return };
        let gave = gave(asks.env("TICKETSHIM_LIB", &world.library).stdin(Stdio::null()).output().unwrap());
        assert!(gave.code == code && verdict(&gave).contains(says), "{preload} {name}: {}{}", gave.out, gave.err);
    }
}

/// What a unit says beside its program and its variable decides too.
#[test]
fn services_whose_library_or_state_file_does_not_get_there() {
    let Some(world) = World::new(&["-lssl", "-lcrypto"]) else { return };
    let script = "mount -t tmpfs t /etc; mkdir -p /etc/systemd/system; \
                  printf 'root:x:0:0::/:/bin/sh\\nwww:x:65534:65534::/:/bin/sh\\n' > /etc/passwd; \
                  printf '[Service]\\nExecStart=%b\\n' \"$1\" > /etc/systemd/system/x.service; exec \"$0\" doctor x.service";
    let server = world.server.display();
    let preload = format!("Environment=LD_PRELOAD={}", world.library.display());
    let keys = world.make("root-only", 0o700, 0);
    let command = env!("CARGO_BIN_EXE_ticketshim");
    for (unit, code, says) in [
        (format!("{server}\\n{preload}"), 0, "with the library in front"),
        (format!("/usr/bin/env -i {server}\\n{preload}"), 1, "takes LD_PRELOAD away"),
        (format!("/usr/bin/nice {server}\\n{preload}"), 0, "with the library in front"),
        (format!("{server}\\n{preload}\\nUnsetEnvironment=LD_PRELOAD"), 1, "UnsetEnvironment"),
        (format!("{server}\\n{preload}\\nUnsetEnvironment=LD_PRELOAD=/x.so"), 0, "with the library in front"),
        (format!("{server}\\n{preload}\\nRootDirectory=/srv"), 2, "RootDirectory=/srv"),
        (format!("{server}\\n{preload}\\nEnvironment=TICKETSHIM_STATE={keys}/state"), 0, "with the library in front"),
        (format!("{server}\\n{preload}\\nEnvironment=TICKETSHIM_STATE={keys}/state\\nUser=www"), 1, "out of reach"),
        (
            format!("{server}\\n{preload}\\nEnvironment=TICKETSHIM_STATE={keys}/state\\nDynamicUser=yes"),
            2,
            "state file",
        ),
        (format!("{server}\\n{preload}\\nEnvironment=TICKETSHIM_STATE=/var/lib/no-t/s"), 1, "install -d"),
        (
            format!("{server}\\n{preload}\\nEnvironment=TICKETSHIM_STATE=/var/lib/no-t/s\\nStateDirectory=no-t"),
            0,
            "with the library in front",
        ),
        (format!("{command} run --bind sni -- {server}"), 0, "with `ticketshim run`"),
    ] {
        let Some(mut asks) = elsewhere(script, &[command, &unit]) else { return };
        let gave = gave(asks.env("TICKETSHIM_LIB", &world.library).stdin(Stdio::null()).output().unwrap());
        assert!(gave.code == code && verdict(&gave).contains(says), "{unit}: {}{}", gave.out, gave.err);
    }
}

#[test]
fn launchers_are_looked_through() {
    if library().is_none() {
        return;
    }
    for (code, line) in [
        (1, "env -i openssl"),
        (1, "env -u LD_PRELOAD openssl"),
        (1, "env LD_PRELOAD= openssl"),
        (1, "setpriv --reset-env openssl"),
        (0, "env A=1 openssl"),
        (0, "nice -n 5 openssl"),
        (0, "nohup openssl"),
        (0, "setpriv --no-new-privs openssl"),
        (0, "timeout -k 1 5 openssl"),
        (0, "setsid openssl"),
        (2, "sh -c openssl"),
        (2, "chroot / openssl"),
    ] {
        let words: Vec<&str> = ["doctor", "--"].into_iter().chain(line.split(' ')).collect();
        let gave = run(&words);
        assert_eq!(gave.code, code, "{line}: {}{}", gave.out, gave.err);
        if code == 1 {
            assert!(verdict(&gave).contains("ticketshim run -- CMD"), "{line}: {}", gave.out);
            let words: Vec<&str> = ["run", "--"].into_iter().chain(line.split(' ')).collect();
            assert_eq!(run(&words).code, 119, "{line}");
        }
    }
    let dir = tempdir().unwrap();
    let mut command = ticketshim();
    command.env("TICKETSHIM_STATE", dir.path().join("state"));
    let gave = gave(command.args(["doctor", "--", "setpriv", "--reuid=65534", "openssl"]).output().unwrap());
    assert!(gave.code == 2 && verdict(&gave).contains("the user that it changes to"), "{}", gave.out);
}

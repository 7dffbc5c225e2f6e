//! Commands that execute another command in place, with the environment that they have: `env`, `nice`, `timeout`, ….

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::text::file_name;

/// What runs others: its name, its options whose value is a word of its own, and how many words come before the command.
const LAUNCHERS: [(&str, &[&str], usize); 8] = [
    ("nice", &["-n", "--adjustment"], 0),
    ("nohup", &[], 0),
    (
        "setpriv",
        &[
            "--ambient-caps",
            "--inh-caps",
            "--bounding-set",
            "--ruid",
            "--euid",
            "--rgid",
            "--egid",
            "--reuid",
            "--regid",
            "--groups",
            "--securebits",
            "--pdeathsig",
            "--ptracer",
            "--selinux-label",
            "--apparmor-profile",
            "--landlock-access",
            "--landlock-rule",
            "--seccomp-filter",
        ],
        0,
    ),
    ("timeout", &["-k", "-s", "--kill-after", "--signal"], 1),
    ("setsid", &[], 0),
    ("stdbuf", &["-i", "-o", "-e", "--input", "--output", "--error"], 0),
    ("ionice", &["-c", "-n", "--class", "--classdata"], 0),
    ("taskset", &[], 1),
];

/// The command that a launcher runs, and its arguments; `None` if the program is none, or runs nothing.
pub fn command(path: &Path, arguments: &[OsString]) -> Option<(OsString, Vec<OsString>)> {
    let name = file_name(path);
    if name == "env" {
        let env = Env::read(arguments);
        return env.command;
    }
    if is_run(path, arguments) {
        // Each of its options has a value.
        let mut rest = arguments.iter().skip(1);
        while let Some(word) = rest.next() {
            match word.as_bytes() {
                b"--" => break,
                [b'-', ..] if word.as_bytes().contains(&b'=') => {}
                [b'-', ..] => {
                    rest.next();
                }
                _ => return Some((word.clone(), rest.cloned().collect())),
            }
        }
        return rest.next().map(|word| (word.clone(), rest.cloned().collect()));
    }
    let (_, valued, before) = LAUNCHERS.iter().find(|(launcher, ..)| *launcher == name)?;
    let mut rest = arguments.iter();
    let mut before = *before;
    let mut options = true;
    while let Some(word) = rest.next() {
        if options && word == "--" {
            options = false;
        } else if options && word.as_bytes().starts_with(b"-") {
            // They are about a process that runs.
            if matches!(name.as_str(), "taskset" | "ionice") && (word == "-p" || word == "--pid") {
                return None;
            }
            if valued.iter().any(|option| word == *option) {
                rest.next();
            }
        } else if before > 0 {
            before -= 1;
            options = false;
        } else {
            return Some((word.clone(), rest.cloned().collect()));
        }
    }
    None
}

/// Which words take LD_PRELOAD away from what the launcher runs.
pub fn clears(path: &Path, arguments: &[OsString]) -> Option<String> {
    let runs = || command(path, arguments);
    match file_name(path).as_str() {
        "env" => Env::read(arguments).clears.filter(|_| runs().is_some()),
        "setpriv" => {
            let own = arguments.len() - runs()?.1.len() - 1;
            let reset = arguments[..own].iter().any(|word| word == "--reset-env");
            reset.then(|| "--reset-env".to_owned())
        }
        _ => None,
    }
}

/// Whether it makes another user of what it runs.
pub fn changes_user(path: &Path, arguments: &[OsString]) -> bool {
    let Some((_, rest)) = command(path, arguments).filter(|_| file_name(path) == "setpriv") else { return false };
    let own = &arguments[..arguments.len() - rest.len() - 1];
    own.iter().any(|word| [&b"--reuid"[..], b"--euid"].iter().any(|option| word.as_bytes().starts_with(option)))
}

/// Whether it is this command, which puts the library in front.
pub fn is_run(path: &Path, arguments: &[OsString]) -> bool {
    file_name(path) == "ticketshim" && arguments.first().is_some_and(|word| word == "run")
}

/// Whether what runs in the end cannot be seen: a shell's text, another root directory.
pub fn is_opaque(path: &Path, arguments: &[OsString]) -> bool {
    let name = file_name(path);
    !arguments.is_empty() && (name == "chroot" || LAUNCHERS.iter().any(|(launcher, ..)| *launcher == name))
}

/// What env(1) was told.
#[derive(Default)]
struct Env {
    command: Option<(OsString, Vec<OsString>)>,
    clears: Option<String>,
}

impl Env {
    fn read(arguments: &[OsString]) -> Self {
        let mut env = Self::default();
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            let bytes = word.as_bytes();
            if let Some(text) = bytes.strip_prefix(b"-S").or_else(|| bytes.strip_prefix(b"--split-string=")) {
                let words = text.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
                let words = words.map(|w| OsStr::from_bytes(w).to_owned());
                let all: Vec<OsString> = words.chain(rest.cloned()).collect();
                let inner = Self::read(&all);
                return Self { command: inner.command, clears: inner.clears.or(env.clears) };
            }
            let said = || Some(word.to_string_lossy().into_owned());
            match bytes {
                b"-u" | b"--unset" => {
                    if rest.next().is_some_and(|name| name == "LD_PRELOAD") {
                        env.clears = Some("-u LD_PRELOAD".to_owned());
                    }
                }
                b"-C" | b"--chdir" => {
                    rest.next();
                }
                b"-" | b"--ignore-environment" | b"-uLD_PRELOAD" | b"--unset=LD_PRELOAD" => env.clears = said(),
                // Of several letters the first may take the rest as its value.
                [b'-', letters @ ..]
                    if !letters.starts_with(b"-")
                        && letters.iter().take_while(|c| !b"uC".contains(c)).any(|c| *c == b'i') =>
                {
                    env.clears = said();
                }
                [b'-', ..] => {}
                _ if bytes.contains(&b'=') => {
                    if let Some(value) = bytes.strip_prefix(b"LD_PRELOAD=") {
                        let ours = String::from_utf8_lossy(value).contains("libticketshim");
                        env.clears = if ours { None } else { said() };
                    }
                }
                _ => {
                    env.command = Some((word.clone(), rest.cloned().collect()));
                    return env;
                }
            }
        }
        env
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launcher_is_followed_to_its_command() {
        let cases: [(&str, Option<&str>, Option<&str>); 20] = [
            ("ticketshim run --state /s --mode=enforce -- nginx -g x", Some("nginx"), None),
            ("env -u A B=1 nginx -g x", Some("nginx"), None),
            ("env -i nginx", Some("nginx"), Some("-i")),
            ("env - nginx", Some("nginx"), Some("-")),
            ("env -vi nginx", Some("nginx"), Some("-vi")),
            ("env -uinit nginx", Some("nginx"), None),
            ("env -u LD_PRELOAD nginx", Some("nginx"), Some("-u LD_PRELOAD")),
            ("env LD_PRELOAD= nginx", Some("nginx"), Some("LD_PRELOAD=")),
            ("env -i LD_PRELOAD=/l/libticketshim.so nginx", Some("nginx"), None),
            ("env -i", None, None),
            ("nice -n 5 nginx -n", Some("nginx"), None),
            ("nice -5 nginx", Some("nginx"), None),
            ("nohup nginx", Some("nginx"), None),
            ("setpriv --reuid www --clear-groups -- nginx", Some("nginx"), None),
            ("setpriv --reset-env nginx", Some("nginx"), Some("--reset-env")),
            ("timeout -k 5 -sTERM 10 nginx -s stop", Some("nginx"), None),
            ("taskset -c 0,1 nginx", Some("nginx"), None),
            ("taskset -p 1 2", None, None),
            ("stdbuf -o L nginx", Some("nginx"), None),
            ("nginx nginx", None, None),
        ];
        for (line, runs, cleared) in cases {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let path = Path::new(&words[0]);
            let found = command(path, &words[1..]).map(|(command, _)| command);
            assert_eq!(found.as_deref(), runs.map(OsStr::new), "{line}");
            assert_eq!(clears(path, &words[1..]).as_deref(), cleared, "{line}");
        }
    }
}

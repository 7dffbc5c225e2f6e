//! Commands that have somebody else start a program: what is set for them does not reach it.

use std::ffi::OsString;
use std::path::Path;

use crate::launcher;
use crate::library;
use crate::text::file_name;

/// Why what the command starts gets no settings of ours, and what to do instead; `None` if it gets them.
pub fn by(path: &Path, arguments: &[OsString]) -> Option<String> {
    let name = file_name(path);
    let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let plain = || words.iter().filter(|word| !word.starts_with('-'));
    let rest = words.join(" ");
    if let Some(word) = launcher::clears(path, arguments) {
        return Some(format!(
            "{name} takes LD_PRELOAD away from what it starts ({word}): `{name} … ticketshim run -- CMD` instead"
        ));
    }
    match name.as_str() {
        "systemctl" => Some(by_systemd(&name, plain().nth(1))),
        "service" | "invoke-rc.d" => Some(by_systemd(&name, plain().next())),
        "systemd-run" => Some(format!("{name} has systemd start it: `{name} … ticketshim run -- CMD` instead")),
        "docker" | "podman" | "nerdctl" | "kubectl" | "docker-compose" => Some(format!(
            "a container has an environment and files of its own, and gets nothing that is set for {name}: put the library \
             into the image or a volume, and LD_PRELOAD and TICKETSHIM_STATE into its environment (docs/operators.md, \
             \"Kubernetes\"); then `ticketshim doctor PID`, as root, with the process id that its server has here"
        )),
        "sudo" | "doas" | "pkexec" => Some(format!(
            "{name} clears LD_PRELOAD for what it starts: `{name} ticketshim run -- {}` instead",
            if rest.is_empty() { "CMD" } else { &rest }
        )),
        "su" | "runuser" if words.iter().any(|word| matches!(word.as_str(), "-" | "-l" | "--login")) => Some(format!(
            "{name} clears the environment for a login: let the command that it is given be `ticketshim run -- CMD`"
        )),
        "ssh" => Some("ssh sends no environment: `ssh HOST ticketshim run -- CMD` instead".to_owned()),
        _ => None,
    }
}

fn by_systemd(name: &str, unit: Option<&String>) -> String {
    let unit = unit.map_or("NAME.service".to_owned(), |unit| {
        if unit.contains('.') { unit.clone() } else { format!("{unit}.service") }
    });
    format!(
        "{name} has the service manager start {unit}, with the environment of its unit and nothing of this one: `systemctl \
         edit {unit}`, put LD_PRELOAD and TICKETSHIM_STATE there (examples: {}), restart it, \
         and ask `ticketshim doctor {unit}`",
        library::examples()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_names_the_next_command() {
        let cases: [(&str, &[&str], Option<&str>); 10] = [
            ("/usr/bin/systemctl", &["--no-block", "restart", "nginx"], Some("`ticketshim doctor nginx.service`")),
            ("/usr/bin/systemctl", &["start", "a@b.service"], Some("`ticketshim doctor a@b.service`")),
            ("/usr/sbin/service", &["nginx", "start"], Some("`ticketshim doctor nginx.service`")),
            ("/usr/bin/docker", &["run", "nginx"], Some("container")),
            ("/usr/bin/kubectl", &[], Some("container")),
            ("/usr/bin/sudo", &["nginx", "-g", "x"], Some("`sudo ticketshim run -- nginx -g x`")),
            ("/bin/su", &["-", "www"], Some("login")),
            ("/bin/su", &["www", "-c", "nginx"], None),
            ("/usr/sbin/nginx", &["-l"], None),
            ("systemctl.old", &[], None),
        ];
        for (path, arguments, text) in cases {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            let why = by(Path::new(path), &arguments);
            assert!(why.as_deref().is_some_and(|why| text.is_some_and(|text| why.contains(text))) == text.is_some());
        }
    }
}

//! Manual pages and completions, as they are installed.

mod common;

use std::fs;
use std::process::Command;

use common::{gave, run};
use tempfile::tempdir;
use ticketshim_keys::settings::ALL;

#[test]
fn manual_pages_have_exit_status_and_examples() {
    let dir = tempdir().unwrap();
    let made = run(&["generate", "man", "--date", "2026-01-31", dir.path().to_str().unwrap()]);
    assert_eq!(made.code, 0, "{}", made.err);
    let mut seen = 0;
    for entry in fs::read_dir(dir.path()).unwrap() {
        let page = fs::read_to_string(entry.as_ref().unwrap().path()).unwrap();
        let name = entry.unwrap().file_name();
        for section in [".SH \"EXIT STATUS\"\n", ".SH EXAMPLES\n", ".SH SYNOPSIS\n", ".SH SEE ALSO\n"] {
            assert_eq!(page.matches(section).count(), 1, "{name:?}: {section}");
        }
        // The help's own form of the same.
        assert!(!page.contains("EXTRA") && !page.contains("Exit status:"), "{name:?}");
        seen += 1;
    }
    assert_eq!(seen, 12);
    let page = fs::read_to_string(dir.path().join("ticketshim-run.1")).unwrap();
    assert!(page.contains(".B 124\nthe state file is refused\n"), "{page}");
}

#[test]
fn ticketshim_7_has_every_setting() {
    let made = run(&["generate", "settings"]);
    assert_eq!(made.code, 0, "{}", made.err);
    for setting in &ALL {
        let begin = format!(".TP\n.BR {} \", \" {}\nValues: ", setting.variable(), setting.name);
        assert!(made.out.contains(&begin), "{begin}{}", made.out);
    }
    assert_eq!(made.out.matches(".RS\n").count(), made.out.matches(".RE\n").count());
    assert!(made.out.contains("\n.B enforce\nAll, those too.\n"), "{}", made.out);
    assert!(made.out.contains("for \\fBticketshim\\-stats\\fR(1).\n"), "{}", made.out);
    // scripts/man-pages puts it there.
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/man/ticketshim.7.in")).unwrap();
    assert!(page.contains("\n.\\\" settings\n") && !page.contains("\nValues: "), "{page}");

    let help = run(&["state", "init", "--help"]).out.split_whitespace().collect::<Vec<_>>().join(" ");
    for default in ["as the settings say, else 1h]", "as the settings say, else 12h]"] {
        assert!(help.contains(default), "{help}");
    }
}

#[test]
fn bash_completes_the_command_that_is_to_be_run() {
    let dir = tempdir().unwrap();
    let (file, tool) = (dir.path().join("completions"), dir.path().join("tool-of-the-test"));
    fs::write(&file, run(&["generate", "completions", "bash"]).out).unwrap();
    fs::write(&tool, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let complete = |words: &str, at: usize| {
        let script = format!(
            "PATH={}:$PATH; . {}; COMP_WORDS=({words}); COMP_CWORD={at}; words=({words}); \
             \"$(complete -p ticketshim | sed 's/.*-F \\([^ ]*\\).*/\\1/')\" ticketshim \"${{words[at]}}\" \"${{words[at-1]}}\"; \
             echo \"${{COMPREPLY[*]}}\"",
            dir.path().display(),
            file.display()
        )
        .replace("[at]", &format!("[{at}]"))
        .replace("[at-1]", &format!("[{}]", at - 1));
        let said = gave(Command::new("bash").args(["--norc", "-c", &script]).output().unwrap());
        format!("{}{}", said.out.trim(), said.err)
    };
    assert_eq!(complete("ticketshim run --state /s -- tool-of", 5), "tool-of-the-test");
    assert_eq!(complete("ticketshim doctor -- tool-of", 3), "tool-of-the-test");
    // What comes before is as it was.
    assert_eq!(complete("ticketshim run --sta", 2), "--state --stats");
}

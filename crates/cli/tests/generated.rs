//! Manual pages and completions, as they are installed.

mod common;

use std::fs;
use std::process::Command;

use common::{gave, run};
use tempfile::tempdir;

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
    assert_eq!(seen, 10);
    let page = fs::read_to_string(dir.path().join("ticketshim-run.1")).unwrap();
    assert!(page.contains(".B 124\nthe state file is refused\n"), "{page}");
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

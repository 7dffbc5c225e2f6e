//! The file of settings.

use std::fmt::Display;
use std::path::Path;

use super::{ALL, Complaint, DEFAULT, FILE, FILE_NOT_USED};
use crate::sys;

/// A file of settings longer than this is not one.
const MAX_FILE: usize = 64 * 1024;
/// Lines of the file that are no settings, each with a line of its own. More than these are counted.
const MAX_LINES: usize = 4;
const LINE_NOT_USED: &str = "that line is not used";

/// The text of the file of settings, `None` if there is none (or none that we may read), or why it is not used. One that
/// somebody has named must be there.
pub(super) fn read(path: &Path) -> Result<Option<String>, String> {
    if path == Path::new("/dev/null") {
        return Ok(None);
    }
    let name = path.display();
    let file = match sys::as_a_guest(|| sys::File::open(path)) {
        Ok(file) => file,
        Err(_) if path == Path::new(FILE) => return Ok(None),
        Err(error) => return Err(format!("{name} cannot be read: {error}")),
    };
    let Some(stat) = file.stat() else { return Ok(None) };
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(format!("{name} is not a file"));
    }
    if stat.st_mode & libc::S_IWOTH != 0 {
        return Err(format!("{name} can be written by anybody (chmod o-w {name})"));
    }
    let mut bytes = vec![0; MAX_FILE + 1];
    let len = sys::as_a_guest(|| file.read(&mut bytes)).map_err(|error| format!("{name}: {error}"))?;
    if len > MAX_FILE {
        return Err(format!("{name} is longer than {MAX_FILE} bytes"));
    }
    bytes.truncate(len);
    let text = String::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8 text"))?;
    Ok(Some(text))
}

pub(super) fn parse(text: &str, name: &dyn Display, complaints: &mut Vec<Complaint>) -> Vec<(String, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    match toml_span::parse(text) {
        Ok(parsed) => take(&parsed, name, &mut found, complaints),
        // A line that is broken takes the others with it in TOML. Here each of them is a setting by itself, and without
        // the file's `bind` or `state` the server would do what nobody asked for.
        Err(_) => parse_lines(text, name, &mut found, complaints),
    }
    found
}

/// Reads a file that is no TOML as a whole: each line that is, by itself.
fn parse_lines(text: &str, path: &dyn Display, found: &mut Vec<(String, String)>, complaints: &mut Vec<Complaint>) {
    let mut broken = 0;
    let mut complain = |complaints: &mut Vec<Complaint>, problem: String, instead| {
        broken += 1;
        if broken <= MAX_LINES {
            complaints.push(Complaint { problem, instead });
        }
    };
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        // What follows belongs to a table or to a text of several lines: it only looks like settings.
        if line.trim_start().starts_with('[') || line.contains("\"\"\"") || line.contains("'''") {
            let problem = format!("{path}, line {number}: settings are lines such as rotate = \"1h\"");
            complain(complaints, problem, "this line and those after it are not used");
            break;
        }
        match toml_span::parse(line) {
            Ok(parsed) => {
                let name = parsed.as_table().and_then(|table| table.keys().next()).map(|key| key.name.as_ref());
                if let Some(twice) = name.filter(|name| found.iter().any(|(known, _)| known == name)) {
                    let problem = format!("{path}, line {number}: {twice} is there already");
                    complain(complaints, problem, LINE_NOT_USED);
                } else {
                    take(&parsed, path, found, complaints);
                }
            }
            Err(error) => complain(complaints, format!("{path}, line {number}: {error}"), LINE_NOT_USED),
        }
    }
    if broken > MAX_LINES {
        let problem = format!("{path}: {} more lines are no settings", broken - MAX_LINES);
        complaints.push(Complaint { problem, instead: "they are not used" });
    }
}

/// Takes the settings out of what was parsed.
fn take(
    parsed: &toml_span::Value<'_>,
    path: &dyn Display,
    found: &mut Vec<(String, String)>,
    complaints: &mut Vec<Complaint>,
) {
    for (key, value) in parsed.as_table().into_iter().flatten() {
        let name = key.name.as_ref();
        if !ALL.iter().any(|known| known.name == name) {
            let problem = format!("{path}: there is no setting {name}");
            complaints.push(Complaint { problem, instead: FILE_NOT_USED });
        } else if let Some(value) = value.as_str() {
            found.push((name.to_owned(), value.to_owned()));
        } else if let Some(seconds) = value.as_integer() {
            found.push((name.to_owned(), seconds.to_string()));
        } else {
            let problem = format!("{path}: {name} must be a string or a number");
            complaints.push(Complaint { problem, instead: DEFAULT });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Bind, Mode, Settings};
    use super::*;

    /// The settings that a file makes, and the complaints apart from them.
    fn settings(file: &str) -> (Settings, Vec<String>) {
        let mut settings = Settings::read(|_| None, Some(file));
        let complaints = std::mem::take(&mut settings.complaints);
        (settings, complaints.iter().map(Complaint::to_string).collect())
    }

    #[test]
    fn a_broken_line_leaves_the_others() {
        let file = "\u{feff}# keys\nbind = 'stock'\nmode = \"off\nrotate = '90m'\r\nrotate = '2h'\nstate = '/s'\n";
        let (settings, lines) = self::settings(file);
        assert_eq!((settings.bind, settings.mode, settings.rotate.seconds()), (Bind::Stock, Mode::Default, 5400));
        assert_eq!(settings.state, Some("/s".into()));
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("/etc/ticketshim.toml, line 3: ") && lines[0].ends_with("that line is not used"));
        assert!(lines[1].contains("line 5: rotate is there already"), "{lines:?}");

        // What follows these is not what it looks like.
        for start in ["[table]", "text = \"\"\""] {
            let (settings, lines) = self::settings(&format!("bind = 'sni'\nx\n{start}\nmode = 'off'\n"));
            assert_eq!((settings.bind, settings.mode, lines.len()), (Bind::Sni, Mode::Default, 2), "{lines:?}");
        }
        // A file of something else does not fill the log.
        let (settings, lines) = self::settings(&"server { listen 443; }\n".repeat(1000));
        assert_eq!((settings, lines.len()), (Settings::default(), MAX_LINES + 1));
        assert!(lines[MAX_LINES].contains("996 more lines"), "{lines:?}");
    }

    #[test]
    fn a_file_that_is_not_one_is_said() {
        assert!(read(Path::new("/nonexistent/ticketshim.toml")).unwrap_err().contains(" cannot be read: "));
        assert_eq!(read(Path::new("/dev/null")), Ok(None));
        assert!(read(Path::new("/")).unwrap_err().contains("not a file"));
        assert!(read(Path::new("/dev/zero")).unwrap_err().contains("not a file"));
    }
}

//! The names in the environment: settings that were meant, and are none.

use std::ffi::CStr;

use super::{ALL, CONFIG, Complaint, Setting};

unsafe extern "C" {
    // POSIX: environ(7).
    static environ: *const *const libc::c_char;
}

/// The name of each variable of this process's environment; of none where the environment does not count.
pub(super) fn each(mut each: impl FnMut(&[u8])) {
    // SAFETY: no preconditions.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return;
    }
    // SAFETY: the C library's pointer to the environment; nobody changes it while the library is loaded.
    let mut at = unsafe { environ };
    while !at.is_null() {
        // SAFETY: an array of pointers that a null pointer ends (environ(7)).
        let entry = unsafe { *at };
        if entry.is_null() {
            return;
        }
        // SAFETY: a C string of the environment.
        let entry = unsafe { CStr::from_ptr(entry) }.to_bytes();
        each(entry.split(|byte| *byte == b'=').next().unwrap_or_default());
        // SAFETY: the entry was not the last, which is null.
        at = unsafe { at.add(1) };
    }
}

/// A complaint about a variable that is no setting and looks as if one was meant: `TICKETSHIM_STATES`, `TICKETSHM_STATE`,
/// `TICKETSHIM_STATE_FILE`. Other names that begin so may be anybody's, such as Kubernetes' for a service of that name.
pub fn misspelt(name: &[u8]) -> Option<Complaint> {
    const PREFIX: &str = "TICKETSHIM_";
    if !name.first_chunk::<6>()?.eq_ignore_ascii_case(b"TICKET") || name.len() > 40 {
        return None;
    }
    let given = name.to_ascii_uppercase();
    let variables = ALL.iter().map(Setting::variable).chain([CONFIG.to_owned()]);
    let resembles = |known: &str| {
        let (given, short) = (given.as_slice(), &known[PREFIX.len()..]);
        let rest = given.strip_prefix(PREFIX.as_bytes()).unwrap_or_default();
        // A log level, a state file; max age in one word is one letter away.
        rest.starts_with(short.as_bytes()) || distance(given, known.as_bytes()) <= if short.len() > 4 { 2 } else { 1 }
    };
    if variables.clone().any(|known| known.as_bytes() == name) {
        return None;
    }
    // The nearest: STATES is one letter from STATE, and two from STATS.
    let meant = variables.filter(|known| resembles(known)).min_by_key(|known| distance(&given, known.as_bytes()))?;
    let problem = format!("{} is no setting and has no effect", String::from_utf8_lossy(name));
    let problem = format!("{problem}: is {meant} meant?");
    Some(Complaint { problem, instead: "" })
}

/// How many letters must be put in, taken out, changed or swapped with their neighbour to make one name of the other.
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut least = (row[j] + usize::from(a != b)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_nearly_one_is_said() {
        let meant = [
            ("TICKETSHIM_STATES", "STATE"),
            ("TICKETSHIM_STATE_FILE", "STATE"),
            ("TICKETSHIM_STAT", "STATE"),
            ("TICKETSHM_STATE", "STATE"),
            ("ticketshim_state", "STATE"),
            ("TICKETSHIM_STATTS", "STATS"),
            ("TICKETSHIM_MAXAGE", "MAX_AGE"),
            ("TICKETSHIM_LOGLEVEL", "LOG"),
            ("TICKETSHIM_BINDING", "BIND"),
            ("TICKETSHIM_MOD", "MODE"),
            ("TICKETSHIM_MDOE", "MODE"),
            ("TICKETSHIM_ROTAT", "ROTATE"),
            ("TICKETSHIM_ACCEPTS", "ACCEPT"),
            ("TICKETSHIM_CONF", "CONFIG"),
            ("TICKETSHIM_CONFIG_FILE", "CONFIG"),
        ];
        for (name, known) in meant {
            let line = misspelt(name.as_bytes()).map(|complaint| complaint.to_string()).unwrap_or_default();
            assert_eq!(line, format!("{name} is no setting and has no effect: is TICKETSHIM_{known} meant?"));
        }
        // Settings; the command's; Kubernetes' for a service; somebody else's.
        let others = [
            "TICKETSHIM_STATE",
            "TICKETSHIM_MAX_AGE",
            "TICKETSHIM_CONFIG",
            "TICKETSHIM_LIB",
            "TICKETSHIM_PORT",
            "TICKET_SEED",
        ];
        let others =
            others.into_iter().chain(["TICKETSHIM_SERVICE_HOST", "TICKETSHIM_PORT_443_TCP", "TICKET", "", "A"]);
        for other in others {
            assert_eq!(misspelt(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn names_of_the_environment() {
        let mut found = false;
        each(|name| found |= name == b"PATH");
        assert!(found);
    }
}

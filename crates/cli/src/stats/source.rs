//! Where counters are read from.

use std::path::{Path, PathBuf};

use ticketshim_keys::counters::COUNT;

use crate::process::Process;

/// All counters at one moment.
pub struct Snapshot {
    pub counters: [u64; COUNT],
}

/// The file that was named, or the one that the process was told to use.
pub fn locate(source: &Path) -> Result<PathBuf, String> {
    let pid = source.to_str().and_then(|text| text.parse().ok()).filter(|_| !source.exists());
    let Some(pid) = pid else { return Ok(source.to_path_buf()) };
    let process = Process::read(pid).map_err(|error| format!("process {pid}: {error}"))?;
    match process.variable("TICKETSHIM_STATS") {
        Some(file) => Ok(process.outside(Path::new(file))),
        None => Err(format!("process {pid} publishes no counters: start it with `ticketshim run --stats FILE`")),
    }
}

/// Reads a file of counters.
pub fn read(file: &Path) -> Result<Snapshot, String> {
    Err(format!("{}: this version of ticketshim publishes no counters yet", file.display()))
}

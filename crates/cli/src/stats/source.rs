//! Where counters are read from.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ticketshim_keys::counters::file::{self, MAGIC, Published};

use crate::process::Process;

/// The file that was named, or the one that the process uses.
pub fn locate(source: &Path) -> Result<PathBuf, String> {
    let pid = source.to_str().and_then(|text| text.parse().ok()).filter(|_| !source.exists());
    let Some(pid) = pid else { return Ok(source.to_path_buf()) };
    let process = Process::read(pid).map_err(|error| format!("process {pid}: {error}"))?;
    of_process(&process)
        .ok_or_else(|| format!("process {pid} publishes no counters: start it with `ticketshim run --stats FILE`"))
}

/// The file that a process publishes in: it is mapped. Else the one that it was told to, and may use yet.
pub fn of_process(process: &Process) -> Option<PathBuf> {
    let mapped = process.mapped.iter().map(|file| process.outside(&file.path)).find(|path| is_stats(path));
    let told = || process.variable("TICKETSHIM_STATS").map(|file| process.outside(Path::new(file)));
    mapped.or_else(told)
}

/// Reads a file of counters.
pub fn read(path: &Path) -> Result<Published, String> {
    file::read(path).map_err(|trouble| format!("{}: {trouble}", path.display()))
}

fn is_stats(path: &Path) -> bool {
    let mut head = [0; MAGIC.len()];
    let is_file = path.metadata().is_ok_and(|meta| meta.is_file());
    is_file && File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == *MAGIC
}

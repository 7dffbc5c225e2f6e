//! Where counters are read from.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ticketshim_keys::counters::file::{self, ForkGroup, MAGIC, Published};

use crate::process::{Mapped, Process};

/// The largest page of any machine.
const MAX_PAGE: u64 = 1 << 16;

/// Counters that were asked for.
pub enum Located {
    /// All in a file.
    File(PathBuf),
    /// Those of a process and its kin: others may publish in the same file.
    Process(Box<Process>, PathBuf),
}

/// The file that was named, or the process.
pub fn locate(source: &Path) -> Result<Located, String> {
    let pid = source.to_str().and_then(|text| text.parse().ok()).filter(|_| !source.exists());
    let Some(pid) = pid else { return Ok(Located::File(source.to_path_buf())) };
    let process = Process::read(pid).map_err(|error| format!("process {pid}: {error}"))?;
    let file = of_process(&process)
        .ok_or_else(|| format!("process {pid} publishes no counters: start it with `ticketshim run --stats FILE`"))?;
    Ok(Located::Process(Box::new(process), file.path))
}

impl Located {
    pub fn read(&self) -> Result<Published, String> {
        let (process, path) = match self {
            Self::File(path) => return read(path),
            Self::Process(process, path) => (process, path),
        };
        let kin = process.kin();
        let published = file::read_of(path, |group| is_of(group, &kin))
            .map_err(|trouble| format!("{}: {trouble}", path.display()))?;
        if published.fork_groups.is_empty() {
            return Err(format!(
                "process {} is not in its stats file {}: it has made no TLS context so far",
                process.pid,
                path.display()
            ));
        }
        Ok(published)
    }
}

/// Whether one of these processes is of the fork group.
pub fn is_of(group: &ForkGroup, kin: &[u32]) -> bool {
    group.processes.iter().any(|pid| kin.contains(pid))
}

/// The file of counters of a process.
pub struct Used {
    /// Where it can be read.
    pub path: PathBuf,
    /// It has no name any more.
    pub is_removed: bool,
}

/// The file that a process publishes in: it is mapped. Else the one that it was told to, and may use yet.
pub fn of_process(process: &Process) -> Option<Used> {
    // A mapping is as many whole pages as it takes. One that is of that size and no stats file may have been emptied.
    let is_long_enough = |len: u64| len >= file::LEN as u64 && len - (file::LEN as u64) < MAX_PAGE;
    let shared = || process.mapped.iter().filter(|file| file.is_shared && file.len().is_some_and(is_long_enough));
    let whole =
        |is_deleted: bool| shared().find(|file| file.is_deleted == is_deleted && is_stats(&process.content(file)));
    let emptied = || shared().find(|file| !file.is_deleted);
    let found = whole(false).or_else(|| whole(true)).or_else(emptied);
    let used = |file: &Mapped| Used { path: process.content(file), is_removed: file.is_deleted };
    let told = || process.variable("TICKETSHIM_STATS").map(|file| process.outside(Path::new(file)));
    found.map(used).or_else(|| told().map(|path| Used { path, is_removed: false }))
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

//! The file itself. Families are processes, and are tested as such in `tests/counters.rs`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::file::{self, HEADER_LEN, LEN, ROW_LEN, ROWS, Trouble, at};
use super::*;

const NOW: u64 = 1_800_000_000;

fn new_file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stats");
    file::open(&path, true, NOW).unwrap();
    (dir, path)
}

fn set(bytes: &mut [u8], row: usize, at: usize, value: u64) {
    let at = HEADER_LEN + row * ROW_LEN + at;
    bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
}

#[test]
fn a_new_file_says_nothing_and_is_whole() {
    let (_dir, path) = new_file();
    assert_eq!(fs::metadata(&path).unwrap().len(), LEN as u64);
    let found = file::read(&path).unwrap();
    assert_eq!((found.counters, found.fork_groups.len(), found.history.len()), ([0; COUNT], 0, 0));
}

#[test]
fn loading_makes_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stats");
    assert!(matches!(file::open(&path, false, NOW), Err(Trouble::Io(_))));
    assert!(!path.exists());
}

#[test]
fn rows_are_added_up_and_gauges_are_those_of_processes_that_are_there() {
    let (_dir, path) = new_file();
    let mut bytes = fs::read(&path).unwrap();
    let us = u64::from(std::process::id());
    let now = u64::from(crate::clock::since_boot()) << 32;
    let boot = crate::sys::boot_id();
    assert_ne!(boot, 0);
    // Us; nobody; who had our number before; who had it before the system was started again.
    for (row, who, boot) in
        [(3, now | us, boot), (200, now | 0x7fff_fff0, boot), (90, us, boot), (91, now | us, boot ^ 1)]
    {
        set(&mut bytes, row, at::TOKEN, 7);
        set(&mut bytes, row, at::BOOT, boot);
        // Two attached, one detached; in another of its processes, three attached.
        set(&mut bytes, row, at::PROCESSES, who);
        set(&mut bytes, row, at::PROCESSES + 8, 1 << 32 | 2);
        set(&mut bytes, row, at::PROCESSES + file::PROCESS_LEN, who);
        set(&mut bytes, row, at::PROCESSES + file::PROCESS_LEN + 8, 3);
        for counter in 2..16 {
            set(&mut bytes, row, at::COUNTERS + counter * 8, row as u64);
        }
        // Epoch 5; the last of its three is of the epoch that had the place before.
        for (number, value) in [5, 5 << 40 | row as u64, 5 << 40 | 2, 9 << 40 | 1].into_iter().enumerate() {
            set(&mut bytes, row, at::HISTORY + number * 8, value);
        }
    }
    set(&mut bytes, 0, at::COUNTERS + Counter::Sealed as usize * 8, 1000);
    fs::write(&path, bytes).unwrap();
    let found = file::read(&path).unwrap();
    assert_eq!(found.counters[Counter::Sealed as usize], 1000 + 3 + 200 + 90 + 91);
    assert_eq!((found.counters[Counter::Attached as usize], found.counters[Counter::Detached as usize]), (3, 1));
    assert_eq!(found.fork_groups.iter().map(file::ForkGroup::lives).collect::<Vec<_>>(), [true, false, false, false]);
    assert_eq!(found.history, [file::InEpoch { epoch: 5, sealed: 384, opened: 8, refused: 0 }]);
}

#[test]
fn rows_that_were_given_up_are_added_to_the_first_when_there_are_few_free_ones() {
    let (_dir, path) = new_file();
    let mut bytes = fs::read(&path).unwrap();
    for row in 1..ROWS {
        set(&mut bytes, row, at::TOKEN, row as u64);
        // Every other one was written lately.
        set(&mut bytes, row, at::WRITTEN, NOW - (row as u64 % 2) * 2 * file::GIVEN_UP);
        set(&mut bytes, row, at::COUNTERS + Counter::Opened as usize * 8, 1);
    }
    fs::write(&path, bytes).unwrap();
    file::open(&path, false, NOW).unwrap();
    let found = file::read(&path).unwrap();
    assert_eq!(found.counters[Counter::Opened as usize], ROWS as u64 - 1);
    assert_eq!(found.fork_groups.len(), ROWS / 2 - 1);
    let again = fs::read(&path).unwrap();
    file::open(&path, false, NOW).unwrap();
    assert_eq!(fs::read(&path).unwrap(), again, "once is enough");
}

#[test]
fn a_file_that_was_cut_off_is_begun_anew() {
    let (_dir, path) = new_file();
    for len in [0, 1, 40, HEADER_LEN, LEN - 1] {
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len as u64).unwrap();
        assert!(matches!(file::read(&path), Err(Trouble::CutOff)), "{len}");
        file::open(&path, false, NOW).unwrap();
        assert!(file::read(&path).is_ok(), "{len}");
    }
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let (dir, path) = new_file();
    let trouble = |path: &Path| file::open(path, true, NOW).err().expect("refused");
    let other = dir.path().join("other");
    for (text, is_version) in
        [("precious\n".into(), false), ([&b"ticketshim-stats\x07\0\0\0"[..], &[7; LEN]].concat(), true)]
    {
        fs::write(&other, &text as &Vec<u8>).unwrap();
        assert_eq!(matches!(trouble(&other), Trouble::Version(7)), is_version);
        assert_eq!(matches!(file::read(&other).unwrap_err(), Trouble::NotStats), !is_version);
        assert_eq!(fs::read(&other).unwrap(), text);
    }
    let link = dir.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(matches!(trouble(&link), Trouble::Io(_)));
    fs::remove_file(&link).unwrap();
    fs::hard_link(&path, &link).unwrap();
    assert!(matches!(trouble(&path), Trouble::NotAFile));
    assert!(matches!(trouble(Path::new("/dev/null")), Trouble::NotAFile));
    assert!(matches!(trouble(dir.path()), Trouble::Io(_)));
}

//! What is put into a state file, and announced in it.

use super::*;

#[test]
fn what_is_put_is_there_once_and_never_goes_back() {
    let dir = Dir::empty();
    let at = |seed| State::from_seed(&Secret::new(Sha256::digest([seed]).into()), schedule(), NOW).unwrap();
    let put_now = |given: &State| put(&dir.file, given, Access::default(), NOW, false);
    let first = at(1);
    assert_eq!(put_now(&first), Ok(Put::Made));
    let bytes = || fs::read(&dir.file).unwrap();
    let made = bytes();
    use std::os::unix::fs::MetadataExt;
    let inode = fs::metadata(&dir.file).unwrap().ino();
    assert_eq!(put_now(&first), Ok(Put::Unchanged));
    assert_eq!((bytes(), fs::metadata(&dir.file).unwrap().ino()), (made.clone(), inode), "nothing was written");
    // Another host's copy, which was advanced, and then the first one again.
    let mut advanced = at(1);
    let epoch = advanced.0.members()[0].chain.epoch();
    advanced.0.members_mut()[0].chain.advance_to(epoch + 1);
    assert_eq!((put_now(&advanced), put_now(&first)), (Ok(Put::Advanced), Ok(Put::Unchanged)));
    let further = bytes();
    // A higher generation is taken, and then nothing lower.
    announce(&dir.file, &at(2), NOW + 2 * HOUR, NOW).unwrap();
    let second = State(copy_of(&dir));
    fs::write(&dir.file, &further).unwrap();
    assert_eq!((put_now(&second), put_now(&second)), (Ok(Put::Taken(1)), Ok(Put::Unchanged)));
    let taken = bytes();
    assert_eq!(put_now(&first), Err(Refusal::Older(1)));
    // Announced by another operator, who did not know.
    fs::write(&dir.file, &further).unwrap();
    announce(&dir.file, &at(3), NOW + 2 * HOUR, NOW).unwrap();
    let theirs = bytes();
    assert_eq!(put_now(&second), Err(Refusal::Conflict(2)));
    assert_eq!(bytes(), theirs);
    fs::write(&dir.file, &taken).unwrap();
    // One epoch of the future too many.
    let mut ahead = State(copy_of(&dir));
    let current = schedule().epoch.epoch_at(NOW);
    ahead.0.members_mut()[0].chain.advance_to(current + 3);
    assert!(matches!(put_now(&ahead), Err(Refusal::AheadOfClock(_))));
    assert_eq!(bytes(), taken);
    assert_eq!(put(&dir.file, &ahead, Access::default(), NOW, true), Ok(Put::Advanced), "if the operator insists");
    // A ruin is no reason to stay without keys; a file of somebody else is none to overwrite it.
    fs::write(&dir.file, &taken[..77]).unwrap();
    assert_eq!(put_now(&second), Ok(Put::Made));
    fs::write(&dir.file, [7; 48]).unwrap();
    assert_eq!(put_now(&second), Err(Refusal::ForeignKeys(48)));
    assert_eq!(bytes(), [7; 48]);
    assert_eq!(dir.names(), ["state"]);
}

#[test]
fn group_and_mode_are_put_too() {
    let dir = Dir::empty();
    let one = state(1, NOW);
    if !is_root() {
        assert_eq!(put(&dir.file, &one, group_readable(), NOW, false), Err(Refusal::GroupMode(0o640)));
        assert!(dir.names().is_empty());
        skip("not root");
        return;
    }
    let file = || readers(&dir.file).map(|r| (r.mode, r.group)).unwrap();
    assert_eq!(put(&dir.file, &one, group_readable(), NOW, false), Ok(Put::Made));
    assert_eq!(file(), (0o640, Some(4322)));
    let closed = Access { group: None, mode: Some(0o600) };
    assert_eq!(put(&dir.file, &one, closed, NOW, false), Ok(Put::Unchanged));
    assert_eq!(file(), (0o600, None));
    assert_eq!(put(&dir.file, &one, Access { mode: Some(0o644), ..closed }, NOW, false), Err(Refusal::Mode(0o644)));
    assert_eq!(put(&dir.file, &one, group_readable(), NOW, false), Ok(Put::Unchanged));
    assert_eq!(file(), (0o640, Some(4322)));
}

#[test]
fn announcements_that_cannot_be_made_say_when_and_leave_the_file() {
    let dir = Dir::new();
    let use_at = NOW + 5 * HOUR;
    announce(&dir.file, &state(2, NOW), use_at, NOW).unwrap();
    assert_eq!(announce(&dir.file, &state(2, NOW), use_at, NOW), Err(Refusal::Known));
    let bytes = fs::read(&dir.file).unwrap();
    let late = announce(&dir.file, &state(3, NOW), use_at + HOUR, use_at - HOUR);
    assert_eq!(late, Err(Refusal::NotYet(use_at as u32)));
    assert_eq!(fs::read(&dir.file).unwrap(), bytes);
    let instead = announce(&dir.file, &state(3, NOW), use_at + HOUR, use_at - HOUR - 1).unwrap();
    assert_eq!(instead.instead_of, Some(id(&state(2, NOW))));
    let file = read(&dir.file).unwrap();
    assert_eq!((file.generation(), file.chains(NOW).len(), id(&file)), (3, 2, id(&state(1, NOW))));
    fs::write(&dir.file, &bytes[..99]).unwrap();
    assert_eq!(announce(&dir.file, &state(4, NOW), use_at, NOW), Err(Refusal::Truncated(99)));
    reseed_now(&dir.file, &state(4, NOW), NOW).unwrap();
    assert_eq!(read(&dir.file).unwrap().generation(), NOW, "higher than any that was lost");
}

//! State files that are refused, and those that are refused to a server only.

use super::*;

#[test]
fn modes_that_are_refused() {
    let dir = Dir::new();
    for (mode, expected) in [
        (0o600, None),
        (0o400, None),
        (0o604, Some(Refusal::Mode(0o604))),
        (0o602, Some(Refusal::Mode(0o602))),
        (0o601, Some(Refusal::Mode(0o601))),
        (0o644, Some(Refusal::Mode(0o644))),
        (0o666, Some(Refusal::Mode(0o666))),
        (0o620, Some(Refusal::GroupMode(0o620))),
        (0o660, Some(Refusal::GroupMode(0o660))),
        (0o640, (!is_root()).then_some(Refusal::GroupMode(0o640))),
    ] {
        dir.mode(mode);
        assert_eq!(read(&dir.file).err(), expected, "{mode:04o}");
    }
}

#[test]
fn a_directory_that_anybody_can_write_is_refused_unless_sticky() {
    let dir = Dir::new();
    for (mode, expected) in [(0o777, Some(Refusal::Directory(0o777))), (0o1777, None), (0o770, None)] {
        fs::set_permissions(dir.dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(read(&dir.file).err(), expected, "{mode:04o}");
    }
}

#[test]
fn what_is_not_a_file_is_refused_without_waiting() {
    let dir = Dir::new();
    let other = dir.dir.path().join("other");
    symlink(&dir.file, &other).unwrap();
    // Root's all the way is a test of its own.
    assert_eq!(read(&other).err(), (!is_root()).then_some(Refusal::Symlink));
    assert_eq!(advance(&other, NOW + HOUR, false).err(), Some(Refusal::Symlink));
    assert_eq!(create(&other, &state(1, NOW)).err(), Some(Refusal::Exists));
    assert_eq!(read(dir.dir.path()).err(), Some(Refusal::IsDirectory));
    assert_eq!(read(Path::new("/dev/zero")).err(), Some(Refusal::NotAFile));
    assert_eq!(read(Path::new("/")).err(), Some(Refusal::IsDirectory));
    assert_eq!(read(&dir.file.join("below")).err(), Some(Refusal::Missing));
    fs::remove_file(&other).unwrap();
    let name = std::ffi::CString::new(other.to_str().unwrap()).unwrap();
    // SAFETY: a C string of ours.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    assert_eq!(read(&other).err(), Some(Refusal::NotAFile));
    assert_eq!(create(&other, &state(1, NOW)), Err(Refusal::Exists));
}

#[test]
fn a_huge_file_is_not_read() {
    let dir = Dir::new();
    let file = fs::OpenOptions::new().append(true).open(&dir.file).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(dir.refusal(), Refusal::TooLong);
    fs::write(&dir.file, [0x55; 48]).unwrap();
    assert_eq!(dir.refusal(), Refusal::ForeignKeys(48));
    assert_eq!(reseed_now(&dir.file, &state(2, NOW), NOW), Err(Refusal::ForeignKeys(48)), "somebody needs that one");
}

#[test]
fn a_file_of_somebody_else_is_kept_up_by_root_and_used_by_no_server_of_root() {
    if !only_root() {
        return;
    }
    use std::os::unix::fs::chown;
    let dir = Dir::new();
    let parent = dir.dir.path();
    chown(&dir.file, Some(4321), Some(4322)).unwrap();
    assert_eq!(read_as_server(&dir.file).err(), Some(Refusal::Owner(4321)));
    assert!(!Refusal::Owner(4321).text(&dir.file).to_string().contains("chown"), "that would lock its server out");
    // Root's directory, the user's own, and those that others can write to.
    for (owner, mode, expected) in [
        (0, 0o700, None),
        (4321, 0o700, None),
        (4321, 0o755, None),
        (4321, 0o770, Some(Refusal::Owner(4321))),
        (4321, 0o707, Some(Refusal::Owner(4321))),
        (4323, 0o700, Some(Refusal::Owner(4321))),
    ] {
        chown(parent, Some(owner), None).unwrap();
        fs::set_permissions(parent, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(read(&dir.file).err(), expected, "{owner} {mode:o}");
    }
    chown(parent, Some(4321), None).unwrap();
    for done in [
        advance(&dir.file, NOW + HOUR, false).err(),
        announce(&dir.file, &state(2, NOW), NOW + 2 * HOUR, NOW).err(),
        reseed_now(&dir.file, &state(3, NOW), NOW).err(),
    ] {
        assert_eq!(done, None);
        let meta = fs::metadata(&dir.file).unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (4321, 4322, 0o600));
        assert_eq!(dir.names(), ["state"]);
    }
    assert_eq!(put(&dir.file, &State(copy_of(&dir)), group_readable(), NOW, false), Err(Refusal::GroupMode(0o640)));
}

/// As the kubelet mounts a Secret: the file is a link through `..data` to a directory that is replaced as a whole.
fn mounted_secret(dir: &Dir) -> PathBuf {
    let mount = dir.dir.path().join("mount");
    fs::create_dir(&mount).unwrap();
    fs::set_permissions(&mount, fs::Permissions::from_mode(0o3777)).unwrap();
    fs::create_dir(mount.join("..2026_1")).unwrap();
    fs::rename(&dir.file, mount.join("..2026_1/state")).unwrap();
    symlink("..2026_1", mount.join("..data")).unwrap();
    symlink("..data/state", mount.join("state")).unwrap();
    mount
}

#[test]
fn links_are_followed_where_all_is_roots() {
    if !only_root() {
        return;
    }
    use std::os::unix::fs::{chown, lchown};
    let dir = Dir::new();
    let mount = mounted_secret(&dir);
    let file = mount.join("state");
    let absolute = dir.dir.path().join("absolute");
    symlink(&file, &absolute).unwrap();
    for way in [&file, &absolute, &mount.join("..data/state")] {
        assert_eq!(id(&read_as_server(way).unwrap()), id(&state(1, NOW)));
    }
    let foreign: [(&dyn Fn(u32), &str); 4] = [
        (&|uid| lchown(mount.join("..data"), Some(uid), None).unwrap(), "a link"),
        (&|uid| lchown(&file, Some(uid), None).unwrap(), "the first link"),
        (&|uid| chown(mount.join("..2026_1"), Some(uid), None).unwrap(), "a directory"),
        (&|uid| chown(&mount, Some(uid), None).unwrap(), "the first directory"),
    ];
    for (change, what) in foreign {
        change(4321);
        assert_eq!(read_as_server(&file).err(), Some(Refusal::Symlink), "{what} of another user");
        change(0);
        assert!(read_as_server(&file).is_ok());
    }
    fs::set_permissions(&mount, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(read_as_server(&file).err(), Some(Refusal::Symlink), "others can replace the links");
    fs::set_permissions(&mount, fs::Permissions::from_mode(0o1777)).unwrap();
    chown(mount.join("..2026_1/state"), Some(4321), None).unwrap();
    assert!(read_as_server(&file).is_err(), "and the file is root's");
    chown(mount.join("..2026_1/state"), Some(0), None).unwrap();
    // What is read so is never written, and nothing is left.
    assert_eq!(advance(&file, NOW + HOUR, false), Err(Refusal::Symlink));
    assert_eq!(fs::read_dir(&mount).unwrap().count(), 3);
    // In circles, and to nowhere.
    symlink("circle", mount.join("circle")).unwrap();
    symlink("nothing", mount.join("nowhere")).unwrap();
    assert_eq!(read(&mount.join("circle")).err(), Some(Refusal::Symlink));
    assert_eq!(read(&mount.join("nowhere")).err(), Some(Refusal::Missing));
}

#[test]
fn a_version_that_is_not_known_is_refused_in_words() {
    let dir = Dir::new();
    let mut bytes = fs::read(&dir.file).unwrap();
    bytes[19] = 3;
    fs::write(&dir.file, &bytes).unwrap();
    assert_eq!(dir.refusal(), Refusal::Version(3));
    let text = Refusal::Version(3).text(&dir.file).to_string();
    assert!(text.contains("version 3") && text.contains("knows version 2"), "{text}");
    assert_eq!(advance(&dir.file, NOW, false), Err(Refusal::Version(3)));
    assert_eq!(fs::read(&dir.file).unwrap(), bytes);
}

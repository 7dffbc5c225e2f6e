//! The way to a file: who could lead it elsewhere.
//!
//! Whoever may write to a directory can put another file under a name in it, and whoever owns a symbolic link can point it
//! elsewhere. In a sticky directory others can do that to their own names only.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Refusal;
use crate::sys::{CName, File};

/// As many links as it takes to a mounted Kubernetes Secret (the file, `..data`), and some of the system's own on the way.
const MOST_LINKS: u32 = 8;
/// What is left of the way, on the stack: there may be no memory.
type Rest = [u8; 1024];

/// Whether nobody but root and `owner` can change what `path` leads to, from the root directory to the file itself. Links on
/// the way are followed; each must be theirs too.
#[inline(never)]
pub(super) fn is_safe(path: &Path, owner: u32) -> Result<bool, Refusal> {
    let io = |error: std::io::Error| Refusal::of(&error);
    let path = path.as_os_str().as_bytes();
    let mut rest: Rest = [0; 1024];
    let Some(place) = rest.get_mut(..path.len()).filter(|_| path.starts_with(b"/")) else { return Ok(false) };
    place.copy_from_slice(path);
    let mut len = path.len();
    let open = || File::open_with(Path::new("/"), libc::O_PATH | libc::O_DIRECTORY, 0).map_err(io);
    let (mut dir, mut links) = (open()?, 0);
    loop {
        let Some(start) = rest[..len].iter().position(|byte| *byte != b'/') else { return Ok(false) };
        let end = rest[start..len].iter().position(|byte| *byte == b'/').map_or(len, |end| start + end);
        let theirs = |uid: u32| uid == 0 || uid == owner;
        let of_dir = dir.stat().ok_or(Refusal::System(0))?;
        let open_to_others = of_dir.st_mode & 0o022 != 0 && of_dir.st_mode & libc::S_ISVTX == 0;
        if !theirs(of_dir.st_uid) || open_to_others {
            return Ok(false);
        }
        let name = CName::<272>::new(&[&rest[start..end]]).map_err(io)?;
        let stat = dir.stat_at(&name).map_err(io)?;
        if !theirs(stat.st_uid) {
            return Ok(false);
        }
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFLNK => {
                links += 1;
                let Some(new) = follow(&dir, &name, &mut rest, end, len).filter(|_| links <= MOST_LINKS) else {
                    return Ok(false);
                };
                len = new;
                if rest[0] == b'/' {
                    dir = open()?;
                }
            }
            libc::S_IFDIR => {
                dir = dir.open_at(&name, libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW, 0).map_err(io)?;
                rest.copy_within(end..len, 0);
                len -= end;
            }
            libc::S_IFREG => return Ok(end == len),
            _ => return Ok(false),
        }
    }
}

/// Puts where a link leads before what comes after it. `None` if that is too long.
#[inline(never)]
fn follow(dir: &File, name: &std::ffi::CStr, rest: &mut Rest, end: usize, len: usize) -> Option<usize> {
    let mut target: [u8; 512] = [0; 512];
    let target_len = dir.link_at_leads_to(name, &mut target).ok().filter(|target_len| *target_len < target.len())?;
    let after = len - end;
    let new = target_len + after;
    if new > rest.len() {
        return None;
    }
    rest.copy_within(end..len, target_len);
    rest[..target_len].copy_from_slice(&target[..target_len]);
    Some(new)
}

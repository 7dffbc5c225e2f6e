//! Looks at a linked library: that each function which it exports has the symbol version of its kind.

use std::fs;
use std::path::Path;

/// `Err` says what is wrong. What is no 64-bit little-endian ELF file is not judged.
pub fn check(library: &Path) -> Result<(), String> {
    let data = fs::read(library).map_err(|error| format!("{}: {error}", library.display()))?;
    if !data.starts_with(b"\x7fELF\x02\x01") {
        return Ok(());
    }
    let exports = exports(&data).ok_or("it has no table of symbols that could be read")?;
    let mut seen = 0;
    for (name, version) in &exports {
        let right = match name {
            _ if ["SSL_", "X509_STORE_", "i2d_SSL_", "d2i_SSL_"].iter().any(|prefix| name.starts_with(prefix)) => {
                version.starts_with("OPENSSL_")
            }
            _ if name.starts_with("ticketshim_") => version == "TICKETSHIM_0",
            _ => return Err(format!("{name} is visible")),
        };
        if !right {
            let version = if version.is_empty() { "no version" } else { version };
            return Err(format!("{name} has {version}"));
        }
        seen += 1;
    }
    if seen == 0 { Err("it exports nothing".to_owned()) } else { Ok(()) }
}

/// Name and version of what is defined and global. Versions themselves are absolute symbols.
fn exports(data: &[u8]) -> Option<Vec<(String, String)>> {
    const DYNSYM: u64 = 11;
    const VERDEF: u64 = 0x6fff_fffd;
    const VERSYM: u64 = 0x6fff_ffff;
    let table = number(data, 0x28, 8)?;
    let (size, count) = (number(data, 0x3a, 2)?, number(data, 0x3c, 2)?);
    let header = |index: usize| table + index * size;
    // The first section of a type: its offset, its length, and the offset of the section that it links to.
    let section = |kind: u64| {
        let at = (0..count).map(header).find(|at| number(data, at + 4, 4) == usize::try_from(kind).ok())?;
        let linked = header(number(data, at + 0x28, 4)?);
        Some((number(data, at + 0x18, 8)?, number(data, at + 0x20, 8)?, number(data, linked + 0x18, 8)?))
    };
    let (symbols, length, names) = section(DYNSYM)?;
    let versions = section(VERSYM);
    let mut nodes = vec![String::new(); 2];
    if let Some((mut at, _, strings)) = section(VERDEF) {
        loop {
            let (index, auxiliary, next) =
                (number(data, at + 4, 2)?, number(data, at + 12, 4)?, number(data, at + 16, 4)?);
            nodes.resize(nodes.len().max(index + 1), String::new());
            if index > 1 {
                nodes[index] = text(data, strings + number(data, at + auxiliary, 4)?)?;
            }
            if next == 0 {
                break;
            }
            at += next;
        }
    }
    let mut found = Vec::new();
    for index in 0..length / 24 {
        let at = symbols + index * 24;
        let (binding, section) = (data.get(at + 4)? >> 4, number(data, at + 6, 2)?);
        if binding == 0 || section == 0 || section >= 0xff00 {
            continue;
        }
        let version = match versions {
            Some((at, ..)) => nodes.get(number(data, at + index * 2, 2)? & 0x7fff).cloned().unwrap_or_default(),
            None => String::new(),
        };
        found.push((text(data, names + number(data, at, 4)?)?, version));
    }
    Some(found)
}

fn number(data: &[u8], at: usize, size: usize) -> Option<usize> {
    let bytes = data.get(at..at.checked_add(size)?)?;
    usize::try_from(bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte))).ok()
}

fn text(data: &[u8], at: usize) -> Option<String> {
    let bytes = data.get(at..)?.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

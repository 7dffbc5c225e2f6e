//! Which OpenSSL a file is: the text that `OpenSSL_version()` gives stands in libcrypto.

use std::fs;
use std::path::Path;

use super::report::Report;
use crate::elf::Elf;
use crate::library;

/// `OpenSSL 3.0.19 27 Jan 2026`, or another library's like text; `None` if there is none.
pub fn openssl(path: &Path) -> Option<String> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    find(&fs::read(path).ok()?)
}

/// The OpenSSL whose libssl a program carries inside, linked statically. A text alone says little: programs name the one
/// that they were built with.
pub fn inside(path: &Path) -> Option<String> {
    // In the error texts of its own source file.
    const MARK: &[u8] = b"ssl/ssl_lib.c";
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let data = fs::read(path).ok()?;
    let has_it = data.iter().enumerate().any(|(at, byte)| *byte == MARK[0] && data[at..].starts_with(MARK));
    // With what it takes to make a context and no more, the text of its version is not there.
    has_it.then(|| find(&data).unwrap_or_else(|| "an OpenSSL".to_owned()))
}

/// Says of a libssl that tickets cost with it what they cost in stock: the library works as well, and saves no time.
pub fn note_unseen_calls(report: &mut Report, libssl: &Elf) {
    // The library defines some of a libssl's functions, and is none.
    if libssl.defines_libssl && !library::is_ours(libssl) && !libssl.calls_are_seen {
        let path = libssl.path.display();
        report.note(format_args!(
            "this libssl calls its own functions directly (it was linked with -Bsymbolic or the like), so the session of a \
             ticket is serialised five times, as without the library, and not once. That is time, nothing else. \
             `readelf -rW {path} | grep i2d_SSL_SESSION` shows a line where the calls can be seen"
        ));
    }
}

/// The same in bytes that are at hand.
pub fn find(data: &[u8]) -> Option<String> {
    const MARKS: [&[u8]; 2] = [b"OpenSSL ", b"LibreSSL "];
    let texts = data.iter().enumerate().filter(|(_, byte)| matches!(byte, b'O' | b'L')).filter_map(|(at, _)| {
        let rest = &data[at..];
        let mark = MARKS.iter().find(|mark| rest.starts_with(mark))?;
        let len = rest.iter().position(|b| !(0x20..0x7f).contains(b))?;
        let text = &rest[..len];
        // With the date: 1.1.1w  11 Sep 2023. Other texts speak of OpenSSL too.
        let dated = text.len() > mark.len() + 12 && text[text.len() - 4..].iter().all(u8::is_ascii_digit);
        let number = rest.get(mark.len())?.is_ascii_digit();
        (number && dated && len < 60).then(|| String::from_utf8_lossy(text).into_owned())
    });
    texts.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_dated_text() {
        let data = b"\0OpenSSL default\0xOpenSSL 3.0\0OpenSSL 3.0.19 27 Jan 2026\0";
        assert_eq!(find(data).as_deref(), Some("OpenSSL 3.0.19 27 Jan 2026"));
        assert_eq!(find(b"OpenSSL 3 is needed\0"), None);
    }
}

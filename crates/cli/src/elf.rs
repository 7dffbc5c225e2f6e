//! What an ELF file says about itself: which machine, which loader, which libraries, whose functions it exports.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use object::elf::{
    self, DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB, FileHeader32, FileHeader64, PT_LOAD,
};
use object::read::elf::{Dyn, ElfFile, FileHeader, ProgramHeader};
use object::{Endianness, FileKind, Object, ObjectSymbol, ObjectSymbolTable, RelocationTarget};

/// An ELF file, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elf {
    pub path: PathBuf,
    /// Class, byte order and machine: what must be equal for files to be loaded together.
    pub machine: Machine,
    /// The loader that it names.
    pub interpreter: Option<PathBuf>,
    pub soname: Option<String>,
    pub needed: Vec<String>,
    pub rpath: Vec<String>,
    pub runpath: Vec<String>,
    /// It has a `SSL_CTX_new` of its own: it *is* a libssl, or carries one.
    pub defines_libssl: bool,
    /// The libssl whose symbol versions it defines: `libssl.so.3` for `OPENSSL_3.0.0`. Of the library, which stands in front
    /// of it; and of that libssl itself.
    pub libssl_versions: Option<String>,
    /// Of a libssl: it calls its own `i2d_SSL_SESSION` so that the call can come to the library (without `-Bsymbolic`), and so
    /// serialises the session of a ticket once.
    pub calls_are_seen: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Machine {
    is_64: bool,
    is_little: bool,
    number: Option<elf::Machine>,
}

/// The most that is read of a file. Programs with debug information in them can be large; what a loader looks at is
/// mapped from anywhere in the file.
const MAX: u64 = 1 << 30;

impl Elf {
    /// Reads a file. `Ok(None)`: not an ELF file.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let meta = fs::metadata(path)?;
        // Reading a device may never end (/dev/zero, which shared memory is shown as) or be an act in itself.
        if !meta.is_file() || meta.len() > MAX {
            return Ok(None);
        }
        let data = fs::read(path)?;
        Ok(Self::parse(path, &data))
    }

    /// The same of bytes that are at hand.
    pub fn parse(path: &Path, data: &[u8]) -> Option<Self> {
        let mut elf = match FileKind::parse(data).ok()? {
            FileKind::Elf64 => parse::<FileHeader64<Endianness>>(data),
            FileKind::Elf32 => parse::<FileHeader32<Endianness>>(data),
            _ => None,
        }?;
        elf.path = path.to_path_buf();
        Some(elf)
    }

    /// No loader and no libraries: nothing can be put in front of anything in it.
    pub fn is_static(&self) -> bool {
        self.interpreter.is_none() && self.needed.is_empty()
    }
}

fn parse<H: FileHeader<Endian = Endianness>>(data: &[u8]) -> Option<Elf> {
    let header = H::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, data).ok()?;
    let mut elf = Elf {
        machine: Machine {
            is_64: header.is_class_64(),
            is_little: header.is_little_endian(),
            number: Some(header.e_machine(endian)),
        },
        ..Elf::default()
    };
    for segment in segments {
        if let Ok(Some(name)) = segment.interpreter(endian, data) {
            elf.interpreter = std::str::from_utf8(name).ok().map(PathBuf::from);
        }
        if let Ok(Some(entries)) = segment.dynamic(endian, data) {
            read_dynamic::<H>(&mut elf, endian, data, segments, entries);
        }
    }
    if let Ok(file) = ElfFile::<H>::parse(data) {
        let mut own = file.dynamic_symbols().filter(|symbol| symbol.is_definition());
        elf.defines_libssl = own.any(|symbol| symbol.name() == Ok("SSL_CTX_new"));
        elf.libssl_versions = libssl_versions(&file, endian, data);
        if elf.defines_libssl {
            elf.calls_are_seen = calls_are_seen(&file);
        }
    }
    Some(elf)
}

/// Whether an address of `i2d_SSL_SESSION` is filled in by the loader.
fn calls_are_seen<H: FileHeader<Endian = Endianness>>(file: &ElfFile<'_, H>) -> bool {
    let symbols = file.dynamic_symbol_table();
    let name = |index| symbols.as_ref()?.symbol_by_index(index).ok()?.name().ok();
    file.dynamic_relocations().into_iter().flatten().any(|(_, relocation)| match relocation.target() {
        RelocationTarget::Symbol(index) => name(index) == Some("i2d_SSL_SESSION"),
        _ => false,
    })
}

/// The libssl that has symbol versions as the file defines them.
fn libssl_versions<H: FileHeader<Endian = Endianness>>(
    file: &ElfFile<'_, H>,
    endian: Endianness,
    data: &[u8],
) -> Option<String> {
    let sections = file.elf_section_table();
    let (mut definitions, strings) = sections.gnu_verdef(endian, data).ok()??;
    let strings = sections.strings(endian, data, strings).ok()?;
    while let Ok(Some((_, mut names))) = definitions.next() {
        let Ok(Some(name)) = names.next() else { continue };
        match name.name(endian, strings).ok()?.strip_prefix(b"OPENSSL_") {
            Some([b'1', b'_', b'1', ..]) => return Some("libssl.so.1.1".to_owned()),
            Some([major @ b'3'..=b'9', b'.', ..]) => return Some(format!("libssl.so.{}", char::from(*major))),
            _ => {}
        }
    }
    None
}

fn read_dynamic<H: FileHeader<Endian = Endianness>>(
    elf: &mut Elf,
    endian: Endianness,
    data: &[u8],
    segments: &[H::ProgramHeader],
    entries: &[H::Dyn],
) {
    let value = |tag| entries.iter().find(|e| e.tag(endian) == tag).map(|e| e.val(endian));
    let (Some(address), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else { return };
    let Some(strings) = at_address::<H>(endian, data, segments, address, size) else { return };
    let text = |offset: u64| {
        let bytes = strings.get(usize::try_from(offset).ok()?..)?;
        let end = bytes.iter().position(|b| *b == 0)?;
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    };
    for entry in entries {
        let Some(name) = text(entry.val(endian)) else { continue };
        let dirs = || name.split(':').filter(|dir| !dir.is_empty()).map(str::to_owned).collect();
        match entry.tag(endian) {
            DT_NEEDED => elf.needed.push(name),
            DT_SONAME => elf.soname = Some(name),
            DT_RPATH => elf.rpath = dirs(),
            DT_RUNPATH => elf.runpath = dirs(),
            _ => {}
        }
    }
}

/// The file's bytes that will be at an address.
fn at_address<'a, H: FileHeader<Endian = Endianness>>(
    endian: Endianness,
    data: &'a [u8],
    segments: &[H::ProgramHeader],
    address: u64,
    size: u64,
) -> Option<&'a [u8]> {
    segments.iter().filter(|s| s.p_type(endian) == PT_LOAD).find_map(|segment| {
        let start: u64 = segment.p_vaddr(endian).into();
        let inside: u64 = segment.p_filesz(endian).into();
        let offset: u64 = segment.p_offset(endian).into();
        let skip = address.checked_sub(start).filter(|skip| *skip < inside)?;
        let from = usize::try_from(offset.checked_add(skip)?).ok()?;
        data.get(from..from.checked_add(usize::try_from(size).ok()?)?)
    })
}

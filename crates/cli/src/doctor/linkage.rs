//! How the library stands to the libssl that a program uses: only what comes before it in the loader's order is in front.

use std::fmt;

use crate::elf::Elf;
use crate::library;
use crate::program::is_libssl;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Linkage {
    /// The program is linked to it, before libssl.
    InFront,
    /// The program, or a module of it, is linked to it, and to libssl before it.
    Behind {
        /// What is linked so.
        by: String,
    },
    /// The loader was told to put it first.
    Preloaded,
    /// It is not there, or nothing is linked to it.
    Not,
}

impl fmt::Display for Linkage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFront => f.write_str("linked, in front"),
            Self::Behind { by } => write!(f, "linked, behind libssl: no effect (by {by})"),
            Self::Preloaded => f.write_str("not linked: preloaded"),
            Self::Not => f.write_str("not linked"),
        }
    }
}

impl Linkage {
    /// Of names in the order that the loader comes to them; `None` if the library is not among them.
    pub fn of_order<'a>(names: impl IntoIterator<Item = &'a str>, by: &str) -> Option<Self> {
        let mut libssl_came = false;
        for name in names {
            if name.starts_with(library::NAME) {
                return Some(if libssl_came { Self::Behind { by: by.to_owned() } } else { Self::InFront });
            }
            libssl_came |= is_libssl(name);
        }
        None
    }

    /// Of the files that are mapped into a process. `preloaded`: whether the loader was told to; `None` if that cannot be
    /// seen any more.
    pub fn of_process(program: &Elf, mapped: &[Elf], preloaded: Option<bool>) -> Option<Self> {
        if preloaded == Some(true) {
            return Some(Self::Preloaded);
        }
        let of = |start: &Elf| {
            let order = order(start, mapped);
            let names = order.iter().map(|elf| elf.soname.as_deref().unwrap_or_default());
            Self::of_order(names, &start.path.display().to_string())
        };
        match (of(program), preloaded) {
            // It may have been preloaded all the same.
            (Some(Self::Behind { .. }), None) => return None,
            (Some(linkage), _) => return Some(linkage),
            (None, _) => {}
        }
        let is_ours = |elf: &&Elf| elf.needed.iter().any(|name| name.starts_with(library::NAME));
        let Some(module) = mapped.iter().find(is_ours) else {
            // Nothing asks for it. Whoever loads it by hand has seldom its own environment hidden.
            return Some(if preloaded.is_none() { Self::Preloaded } else { Self::Not });
        };
        // What the program has loaded at its start comes before what a module brings.
        if order(program, mapped).iter().any(|elf| elf.soname.as_deref().is_some_and(is_libssl)) {
            return Some(Self::Behind { by: module.path.display().to_string() });
        }
        of(module)
    }
}

/// What the loader comes to from a file, in its order: breadth first, each once (elf/dl-deps.c of glibc).
fn order<'a>(start: &'a Elf, mapped: &'a [Elf]) -> Vec<&'a Elf> {
    let mut found: Vec<&Elf> = vec![start];
    let mut at = 0;
    while let Some(elf) = found.get(at) {
        for name in &elf.needed {
            let is_that = |elf: &&Elf| elf.soname.as_ref() == Some(name) || elf.path.ends_with(name);
            if let Some(next) = mapped.iter().find(is_that)
                && !found.iter().any(|known| known.path == next.path)
            {
                found.push(next);
            }
        }
        at += 1;
    }
    found.remove(0);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(name: &str, needed: &[&str]) -> Elf {
        let needed = needed.iter().map(|name| (*name).to_owned()).collect();
        Elf { path: format!("/lib/{name}").into(), soname: Some(name.to_owned()), needed, ..Elf::default() }
    }

    #[test]
    fn the_order_is_the_loaders() {
        let ours = || elf("libticketshim.so.0", &["libcrypto.so.3"]);
        let mapped = [ours(), elf("libssl.so.3", &["libcrypto.so.3"]), elf("libcurl.so.4", &["libssl.so.3"])];
        let of = |program: &Elf, mapped: &[Elf], preloaded| Linkage::of_process(program, mapped, preloaded);
        let behind = |by: &str| Some(Linkage::Behind { by: format!("/lib/{by}") });
        let front = elf("front", &["libticketshim.so.0", "libssl.so.3"]);
        let back = elf("back", &["libssl.so.3", "libticketshim.so.0"]);
        assert_eq!(of(&front, &mapped, Some(false)), Some(Linkage::InFront));
        assert_eq!(of(&back, &mapped, Some(false)), behind("back"));
        assert_eq!(of(&back, &mapped, Some(true)), Some(Linkage::Preloaded));
        assert_eq!(of(&back, &mapped, None), None);
        // Breadth first: what a library needs comes after all that the program needs.
        assert_eq!(
            of(&elf("curl", &["libcurl.so.4", "libticketshim.so.0"]), &mapped, Some(false)),
            Some(Linkage::InFront)
        );
        // By a module, beside a libssl that was there before it, or with none.
        let module = elf("module.so", &["libticketshim.so.0", "libssl.so.3"]);
        let with = [&mapped[..], std::slice::from_ref(&module)].concat();
        assert_eq!(of(&elf("nginx", &["libssl.so.3"]), &with, Some(false)), behind("module.so"));
        assert_eq!(of(&elf("python", &[]), &with, Some(false)), Some(Linkage::InFront));
        assert_eq!(of(&elf("nginx", &["libssl.so.3"]), &mapped, None), Some(Linkage::Preloaded));
        assert_eq!(of(&elf("nginx", &["libssl.so.3"]), &mapped, Some(false)), Some(Linkage::Not));
    }
}

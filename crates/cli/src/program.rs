//! What a command leads to: the file that is executed in the end, and whether a library can be put in front of it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, getxattr};
use thiserror::Error;

use crate::elf::Elf;
use crate::exit::Exit;
use crate::handover;
use crate::launcher;
use crate::library::Library;
use crate::loader;

/// A script may name a script; the kernel follows so many.
const MAX_SCRIPTS: usize = 5;

/// A command, followed to its program.
#[derive(Debug)]
pub struct Program {
    /// The file that the command names.
    pub path: PathBuf,
    /// Scripts on the way, the command's own file first.
    pub scripts: Vec<PathBuf>,
    /// The program that runs in the end.
    pub elf: Elf,
    /// Each file on the way, the program last, with its arguments.
    steps: Vec<(PathBuf, Vec<OsString>)>,
}

/// Why a command cannot be run, or not with the library in front.
#[derive(Error, Debug)]
pub enum Cannot {
    #[error("{}: command not found", .0.display())]
    NotFound(PathBuf),
    #[error("{path} cannot be executed: {why}", path = .path.display())]
    NotExecutable { path: PathBuf, why: String },
    #[error(
        "{} is linked statically, so nothing can be put in front of the OpenSSL in it, if it has one: use a build that \
         links libssl dynamically",
        .0.display()
    )]
    Static(PathBuf),
    #[error(
        "{path} {what}, and the loader ignores LD_PRELOAD there: start it as the user that it changes to, or name the \
         library in /etc/ld.so.preload",
        path = .path.display()
    )]
    SetId { path: PathBuf, what: String },
    #[error(
        "{path} uses {theirs} ({by} asks for it), and this library was built for {ours}: use the build for {theirs} \
         ({variable} names it)",
        path = .path.display(), variable = crate::library::VARIABLE
    )]
    OtherLibssl { path: PathBuf, theirs: String, by: String, ours: String },
    #[error(
        "{path} is for another machine or C library than {library} (its loader is {loader}): use a build for that",
        path = .path.display(), library = .library.display(), loader = .loader.display()
    )]
    OtherMachine { path: PathBuf, library: PathBuf, loader: PathBuf },
    #[error("{0}")]
    HandsOver(String),
}

impl Cannot {
    /// What `run` ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NotFound(_) => Exit::NOT_FOUND,
            Self::NotExecutable { .. } => Exit::NOT_EXECUTABLE,
            Self::Static(_) => Exit::STATIC,
            Self::SetId { .. } => Exit::SET_ID,
            Self::OtherLibssl { .. } => Exit::OTHER_LIBSSL,
            Self::OtherMachine { .. } => Exit::OTHER_MACHINE,
            Self::HandsOver(_) => Exit::HANDS_OVER,
        }
    }
}

/// Follows a command to its program.
pub fn resolve(command: &OsStr, arguments: &[OsString]) -> Result<Program, Cannot> {
    let path = search(command)?;
    let mut scripts = Vec::new();
    let mut at = path.clone();
    let mut arguments = arguments.to_vec();
    let mut steps = Vec::new();
    loop {
        steps.push((at.clone(), arguments.clone()));
        match look(&at)? {
            Kind::Program(elf) => match launcher::command(&at, &arguments) {
                Some((command, rest)) if scripts.len() < MAX_SCRIPTS => {
                    let next = match search(&command) {
                        Ok(next) => next,
                        Err(why) if at.file_name().is_some_and(|name| name == "env") => return Err(why),
                        // Its options may be others than the ones that are known: it is run as it is.
                        Err(_) => return Ok(Program { path, scripts, elf: *elf, steps }),
                    };
                    scripts.push(at);
                    at = next;
                    arguments = rest;
                }
                _ => return Ok(Program { path, scripts, elf: *elf, steps }),
            },
            Kind::Script { interpreter, argument } => {
                if scripts.len() >= MAX_SCRIPTS {
                    let why = "too many scripts run one another".to_owned();
                    return Err(Cannot::NotExecutable { path: at, why });
                }
                arguments = argument.into_iter().chain([at.clone().into_os_string()]).chain(arguments).collect();
                scripts.push(std::mem::replace(&mut at, interpreter));
            }
        }
    }
}

impl Program {
    /// The program and its arguments.
    pub fn last(&self) -> (&Path, &[OsString]) {
        self.steps.last().map_or((&self.elf.path, &[]), |(path, arguments)| (path, arguments))
    }

    /// Whether it runs as another user than whoever starts the command.
    pub fn changes_user(&self) -> bool {
        self.steps.iter().any(|(path, arguments)| launcher::changes_user(path, arguments))
    }

    /// Whether `ticketshim run` is on the way.
    pub fn is_run(&self) -> bool {
        self.steps.iter().any(|(path, arguments)| launcher::is_run(path, arguments))
    }

    /// Whether the library can be put in front of the program.
    pub fn check(&self, library: &Library) -> Result<(), Cannot> {
        // `ticketshim run` sets anew what was cleared before it.
        let runs = self.steps.iter().rposition(|(path, arguments)| launcher::is_run(path, arguments)).unwrap_or(0);
        if let Some(why) = self.steps[runs..].iter().find_map(|(path, arguments)| handover::by(path, arguments)) {
            return Err(Cannot::HandsOver(why));
        }
        let path = self.elf.path.clone();
        if self.elf.is_static() {
            return Err(Cannot::Static(path));
        }
        let loader = self.elf.interpreter.clone().unwrap_or_default();
        let musl = loader.to_string_lossy().contains("ld-musl");
        if self.elf.machine != library.elf.machine || musl != library.elf.needed.iter().any(|n| n.contains("musl")) {
            return Err(Cannot::OtherMachine { path, library: library.elf.path.clone(), loader });
        }
        if let Some(what) = gains_rights(&path) {
            return Err(Cannot::SetId { path, what });
        }
        self.check_libssl(library)
    }

    fn check_libssl(&self, library: &Library) -> Result<(), Cannot> {
        let all = loader::libraries(&self.elf);
        let mut libssl = all.iter().filter(|l| is_libssl(&l.name)).peekable();
        // Nothing yet: it may be loaded later, by a plugin.
        if libssl.peek().is_none() || libssl.clone().any(|l| l.name == library.libssl) {
            return Ok(());
        }
        let other = libssl.next().map(|l| (l.name.clone(), l.needed_by.display().to_string()));
        let (theirs, by) = other.unwrap_or_default();
        Err(Cannot::OtherLibssl { path: self.elf.path.clone(), theirs, by, ours: library.libssl.clone() })
    }
}

/// Whether a library's name is one of OpenSSL's libssl.
pub fn is_libssl(name: &str) -> bool {
    name.starts_with("libssl.so")
}

/// Why the kernel tells the loader not to trust the environment when the file is executed by us; `None` if it does not.
pub fn gains_rights(path: &Path) -> Option<String> {
    let meta = fs::metadata(path).ok()?;
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    if meta.mode() & 0o4000 != 0 && meta.uid() != uid {
        return Some(format!("is set-user-ID (to uid {})", meta.uid()));
    }
    // Without the group's execute bit it means something else (mandatory locking).
    if meta.mode() & 0o2010 == 0o2010 && meta.gid() != gid {
        return Some(format!("is set-group-ID (to gid {})", meta.gid()));
    }
    let mut capabilities = [0; 64];
    let has = getxattr(path, "security.capability", &mut capabilities[..]).is_ok_and(|len| len > 0);
    (has && uid != 0).then(|| "has capabilities of its own (getcap)".to_owned())
}

/// What a file is to the kernel.
enum Kind {
    Program(Box<Elf>),
    Script { interpreter: PathBuf, argument: Option<OsString> },
}

fn look(path: &Path) -> Result<Kind, Cannot> {
    let refuse = |why: String| Cannot::NotExecutable { path: path.to_path_buf(), why };
    let meta = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Cannot::NotFound(path.to_path_buf()),
        _ => refuse(error.to_string()),
    })?;
    if meta.is_dir() {
        return Err(refuse("it is a directory".to_owned()));
    }
    if !meta.is_file() {
        return Err(refuse("it is not a regular file".to_owned()));
    }
    if meta.permissions().mode() & 0o111 == 0 || access(path, Access::EXEC_OK).is_err() {
        return Err(refuse("permission denied (chmod +x?)".to_owned()));
    }
    // What may be executed and not read, the kernel can run, and we cannot look at.
    let unreadable = |error: io::Error| refuse(format!("it cannot be read to see what it is: {error}"));
    if let Some(script) = script(path).map_err(unreadable)? {
        return Ok(script);
    }
    let elf = Elf::read(path).map_err(unreadable)?;
    // What the kernel does not know is given to a shell, as execvp(3) does.
    let shell = || Kind::Script { interpreter: PathBuf::from("/bin/sh"), argument: None };
    Ok(elf.map_or_else(shell, |elf| Kind::Program(Box::new(elf))))
}

/// The interpreter that a file's first line names (execve(2), "Interpreter scripts").
fn script(path: &Path) -> io::Result<Option<Kind>> {
    let mut head = [0; 256];
    let len = File::open(path)?.read(&mut head)?;
    let Some(line) = head[..len].strip_prefix(b"#!") else { return Ok(None) };
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii();
    let end = line.iter().position(|b| b.is_ascii_whitespace()).unwrap_or(line.len());
    let (interpreter, argument) = (OsStr::from_bytes(&line[..end]), line[end..].trim_ascii());
    let argument = (!argument.is_empty()).then(|| OsStr::from_bytes(argument).to_owned());
    Ok((!interpreter.is_empty()).then(|| Kind::Script { interpreter: interpreter.into(), argument }))
}

/// Finds a command as execvp(3) does.
fn search(command: &OsStr) -> Result<PathBuf, Cannot> {
    let name = Path::new(command);
    if command.as_bytes().contains(&b'/') {
        // Whatever else is wrong with it, `look` says.
        return match fs::metadata(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Cannot::NotFound(name.to_path_buf())),
            _ => Ok(name.to_path_buf()),
        };
    }
    let dirs = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut candidates = env::split_paths(&dirs).filter(|_| !command.is_empty()).map(|dir| dir.join(name));
    let mut unusable = None;
    let found = candidates.find(|path| {
        let usable = path.is_file() && access(path, Access::EXEC_OK).is_ok();
        if !usable && path.is_file() {
            unusable.get_or_insert(path.clone());
        }
        usable
    });
    // With one that may not be executed, that is what is wrong; `look` says so.
    found.or(unusable).ok_or_else(|| Cannot::NotFound(name.to_path_buf()))
}

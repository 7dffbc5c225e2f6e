//! Exit codes. They are part of the interface: scripts and service managers read them. Each has its line in the help.

use std::ffi::c_int;

/// What the command ends with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit(u8);

impl Exit {
    /// Done. `doctor`: it helps, or will.
    pub const OK: Self = Self(0);
    /// `doctor`: it will not help. `inspect`: not a ticket of this chain. `state`: refused.
    pub const NO: Self = Self(1);
    /// Used wrongly, or trouble on the way to an answer.
    pub const TROUBLE: Self = Self(2);
    /// Used wrongly: clap's own.
    pub const USAGE: Self = Self(2);

    /// `state`: there is no such file.
    pub const MISSING: Self = Self(3);
    /// `state init`: there is one already.
    pub const EXISTS: Self = Self(4);
    /// `state put`: what was given is of a lower generation than the file.
    pub const OLDER: Self = Self(5);
    /// `state put`: it has the file's generation, and other chains.
    pub const CONFLICT: Self = Self(6);
    /// `state`: a keyring is ahead of all that the clock can explain.
    pub const AHEAD: Self = Self(7);
    /// `state announce`: another chain has to be used, or to end, before.
    pub const NOT_YET: Self = Self(8);

    // `run` ends with the server's exit code, so what it says itself lies where `env`, `nohup` and shells say such
    // things: 127 and 126 mean the same everywhere, and what is ours comes below.

    /// `run`: the command has somebody else start the program, who gets no settings of ours.
    pub const HANDS_OVER: Self = Self(119);
    /// `run`: the library is for another machine or C library than the program.
    pub const OTHER_MACHINE: Self = Self(120);
    /// `run`: the program uses another version of libssl than the library.
    pub const OTHER_LIBSSL: Self = Self(121);
    /// `run`: the program gets more rights than its caller, so the loader ignores LD_PRELOAD.
    pub const SET_ID: Self = Self(122);
    /// `run`: the program is linked statically, there is no loader that could put anything in front.
    pub const STATIC: Self = Self(123);
    /// `run`: the state file is refused.
    pub const STATE: Self = Self(124);
    /// `run`: the library was not found, or a setting makes no sense.
    pub const OURSELVES: Self = Self(125);
    /// `run`: the program was found and cannot be executed.
    pub const NOT_EXECUTABLE: Self = Self(126);
    /// `run`: the program was not found.
    pub const NOT_FOUND: Self = Self(127);

    /// For the system.
    pub const fn code(self) -> c_int {
        self.0 as c_int
    }
}

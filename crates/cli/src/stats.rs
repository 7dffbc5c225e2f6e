use crate::args;
use crate::exit::Exit;
pub fn stats(_args: &args::Stats) -> Exit { Exit::TROUBLE }

use crate::args;
use crate::exit::Exit;
pub fn inspect(_args: &args::Inspect) -> Exit { Exit::TROUBLE }

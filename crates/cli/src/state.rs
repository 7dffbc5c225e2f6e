use crate::args;
use crate::exit::Exit;
pub fn state(_args: args::State) -> Exit { Exit::TROUBLE }

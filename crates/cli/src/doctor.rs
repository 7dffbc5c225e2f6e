use crate::args;
use crate::exit::Exit;
pub fn doctor(_args: &args::Doctor) -> Exit { Exit::TROUBLE }

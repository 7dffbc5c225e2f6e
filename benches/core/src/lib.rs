//! What the benches compare the core with.

pub mod evp;
pub mod peers;

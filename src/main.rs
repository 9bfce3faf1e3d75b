//! The addrgate gateway process.

#[allow(dead_code)]
mod store;

fn main() {}

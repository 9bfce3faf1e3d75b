//! The addrgate gateway process.

fn main() {}

//! The address service behind addrgate.

fn main() {}

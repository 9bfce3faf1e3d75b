//! Request filters of addrgate: one file each, all of one shape.

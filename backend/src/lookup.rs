//! From readings to the addresses that may be meant: streets first, then the addresses on them, in few bounded statements.

mod record;

pub(crate) use self::record::{Place, Record};

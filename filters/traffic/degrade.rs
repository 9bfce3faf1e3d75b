//! Degradation: which of four levels holds, by signals of trouble, and what a level does.

mod config;
mod controller;
mod effects;

pub use config::{Config, Enter, Step};
pub use controller::{Change, Level, Signals, Snapshot};
pub use effects::{Effect, Effects};

pub(crate) use controller::{Controller, MEMORY};
pub(crate) use effects::compile;

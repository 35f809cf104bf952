//! The engine: one shard's keyspace, the command table and the handlers that run on a shard.
//!
//! It is deterministic: no I/O, no clock, no global state. Time and randomness come in as values, what a command
//! changed goes out as an [`Effect`], and its reply is written into the caller's buffer.
#![deny(unsafe_code)]

pub mod command;
mod cx;
mod effect;
mod error;
pub mod keyspace;
pub mod record;
pub mod transaction;

pub use cx::Cx;
pub use effect::Effect;
pub use error::{CommandError, until_nul};

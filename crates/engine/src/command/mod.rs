//! The command table: one const row per command, the handlers that run on a shard, and what is computed from the rows.
//!
//! `row` is the shape of a row. Each group of commands is a folder; its `mod.rs` lists its rows as `COMMANDS`.
//! `registry` flattens all of them and finds a row by the name a client sent; `keys_of` finds the keys among a command's
//! arguments.

pub mod bitmap;
pub mod blocking;
pub mod cluster;
pub mod connection;
#[cfg(test)]
mod events_tests;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod key;
pub mod keys_of;
pub mod list;
pub mod long;
mod lookup;
pub mod pubsub;
pub mod registry;
pub mod row;
pub mod server;
pub mod set;
pub mod stream;
pub mod string;
mod transactions;
#[cfg(test)]
pub(crate) mod trial;
pub mod zset;

pub use registry::{CommandId, Registry, registry};
pub use row::{
    Arg, ArgFlags, ArgKind, BeginSearch, Categories, Command, FindKeys, Flags, Group, Handler, KeyFlags, KeyHandler,
    KeySpec, ServerCommand, Spread,
};

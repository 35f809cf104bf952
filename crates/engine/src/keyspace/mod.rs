//! The keyspace of one shard: its databases, their values and deadlines.
//!
//! A [`Shard`] is owned by one core and touched by no other thread: no locks, no atomics. [`Keyspace`] is the view that a
//! command gets of it: one database at one moment. Time comes in through [`Shard::begin_turn`] and stands still within a
//! turn; randomness comes from the seed in [`ShardConfig`].
//!
//! From the outside in: `shard` and `keyspace` know time, policies and the wheel; `table` keeps one database's entries by
//! key, with `scan` walking it; `directory` and `segment` are its two levels; `entry` is one key with its value, in a `block`
//! from a `slab`, which has its memory from `region`. What changed is in the `journal` until a log takes it. What is freed
//! later goes through `graveyard`, and `housekeeping` does that and other deferred work in slices.

pub mod access;
mod ahead;
mod block;
mod collections;
mod directory;
mod entry;
pub mod evict;
pub mod expiry;
mod foreign;
mod graveyard;
mod housekeeping;
mod journal;
#[allow(clippy::module_inception)]
mod keyspace;
mod load;
mod notices;
mod payload;
mod region;
mod scan;
mod segment;
mod shard;
mod slab;
mod snapshot;
mod stats;
mod table;
#[cfg(test)]
mod tests;
mod value;

pub use access::Rng;
pub use ahead::Ahead;
pub use block::INLINE_VALUE_MAX;
pub use collections::{Limits, Typed};
pub use evict::EvictionPolicy;
pub use foreign::{ForeignEntry, write_entry};
pub use journal::Journal;
pub use keyspace::Keyspace;
pub use load::Loader;
pub(crate) use load::decode_collection;
pub use notices::Events;
pub use payload::{Loaded, payload_of};
pub use shard::{Evicted, Shard, ShardConfig};
pub use snapshot::{Batch, Piece};
pub use stats::{ShardStats, TableStats};
pub use value::{KeyType, NewValue, OwnedValue, Ttl, ValueRef};

/// A key with the hash that its shard gives it ([`Shard::hash`]), so that it is hashed once per command.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    pub bytes: &'k [u8],
    pub hash: u64,
}

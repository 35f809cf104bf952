//! The keyspace of one shard: its databases, their values and deadlines.
//!
//! A [`Shard`] is owned by one core and touched by no other thread: no locks, no atomics. [`Keyspace`] is the view that a
//! command gets of it: one database at one moment. Time comes in through [`Shard::begin_turn`] and stands still within a
//! turn; randomness comes from the seed in [`ShardConfig`].

pub mod access;
mod db;
pub mod evict;
pub mod expiry;
#[allow(clippy::module_inception)]
mod keyspace;
mod shard;
mod stats;
mod value;

pub use evict::EvictionPolicy;
pub use keyspace::Keyspace;
pub use shard::{Evicted, Shard, ShardConfig};
pub use stats::{ShardStats, TableStats};
pub use value::{KeyType, NewValue, OwnedValue, Ttl, ValueRef};

/// A key with the hash that its shard gives it ([`Shard::hash`]), so that it is hashed once per command.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    pub bytes: &'k [u8],
    pub hash: u64,
}

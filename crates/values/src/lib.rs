//! The values of keys other than plain strings: the data structures, one each, and their one codec.
//!
//! Nothing here knows a key, a command, a clock or a file: times and seeds come in as values.
#![forbid(unsafe_code)]

pub mod bits;
pub mod codec;
pub mod collection;
mod directory;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod item;
pub mod list;
pub mod memory;
pub mod packed;
pub mod rdb;
pub mod set;
mod slab;
pub mod stream;
pub mod table;
mod tree;
pub mod zset;

pub use collection::{Collection, CollectionMut, CollectionRef};
pub use item::Item;

//! The leaf crate: what every other crate may name, and nothing that does I/O or knows a clock.
//!
//! Slots and their CRC16, numbers as Redis parses and prints them, globs, the quoting of command lines, and the newtypes
//! of the domain.
#![forbid(unsafe_code)]

mod binary;
pub mod blob;
pub mod extended;
pub mod glob;
pub mod number;
pub mod sha1;
pub mod slot;
pub mod text;
pub mod time;

pub use blob::Blob;
pub use extended::Extended;
pub use glob::glob_match;
pub use number::{format_f64, parse_f64, parse_i64, parse_u64, skip_spaces, strtod, write_i64};
pub use sha1::{SHA1_BYTES, sha1};
pub use slot::{DbIndex, SLOT_COUNT, ShardId, Slot, shard_of, slot_of, slots_of};
pub use text::{split_args, write_quoted};
pub use time::Millis;

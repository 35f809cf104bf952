//! Changes as records: what a log keeps, and a replica is sent, of one command or of several that belong together.
//!
//! ```text
//!  record   any number of operations, applied in order: those of one command, of an EXEC, of what expired in a turn
//!  op       head │ [database, varint] │ fields
//!  head     bits 0-3 what it is │ bits 4-7 the database, 15: it follows
//!
//!  0 delete     key
//!  1 text       key │ deadline │ text           a string, over whatever is there
//!  2 deadline   key │ deadline
//!  3 value      key │ deadline │ length, varint │ type of the encoding, u8 │ the value as RDB encodes it
//!  4 command    count, varint │ as many arguments, the name first
//!  5 flush                                      this database
//!  6 flush all                                  all databases
//!  7 swap       the other database, varint
//!
//!  key, text, argument   length, varint │ bytes
//!  deadline              varint: 0 none, else Unix milliseconds + 1
//!  varint                as in the log: seven bits to a byte, lowest first, at most ten bytes
//! ```
//!
//! Every operation replays to the same state, whenever it is applied: deadlines are absolute, nothing depends on the clock
//! or on chance, and what expires or is evicted is an operation itself, so nothing expires while records are applied. All
//! keys of an operation are in one slot, so a log can be read by any number of shards, each taking what is its own; the
//! flushes and the swap mean the keys of the shard that wrote them.
//!
//! Not here: where records lie ([`crate::keyspace::Shard::journal`] collects them, the log frames them), and when.

mod apply;
mod describe;
mod encode;
pub(crate) mod read;
#[cfg(test)]
mod tests;
pub(crate) mod write;

pub use apply::{Replayer, Slots};
pub use describe::describe;
pub use read::Damaged;

/// The log's kind of such records.
pub const KIND: u8 = 1;

//! What a shard keeps so that commands over several shards are one moment in time: who may touch which keys now
//! ([`Queue`]), and who wants to know of changes ([`Watches`]).
//!
//! ```text
//! coordinator             shard                                    the steps of one transaction
//!   number, intents ────▶ Queue::acquire ── in the way of nobody ▶ granted
//!   … of all its shards       │ else it waits, by its number
//!   all granted: its moment ─▶ its commands run ─▶ Queue::release ─▶ the next are granted
//! ```
//!
//! It is strict two-phase locking with locks taken in the order of one global number: everything is locked before anything
//! is done, so there is one moment at which the transaction holds all it touches, and that is when it happens. The oldest
//! transaction waits for nobody that has not begun, so there is no deadlock; nobody's number grows, so nobody starves.
//! Nothing here sends a message or reads a clock: what is to be told to coordinators comes out as [`Event`]s.

mod intents;
mod queue;
#[cfg(test)]
mod queue_model;
mod waits;
mod watch;

pub use intents::{Access, Intent, Intents, each_intent};
pub use queue::{Event, Queue};
pub use waits::Waits;
pub use watch::{WatcherId, Watches};

/// One transaction, as its coordinator and its shards call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionId {
    /// Its place in the order of all transactions.
    pub number: u64,
    /// The core that coordinates it.
    pub core: u16,
    /// Where that core keeps it.
    pub slot: u32,
}

//! Snapshots of the running server: BGSAVE, SAVE, BGREWRITEAOF, save points and what else asks for one.
//!
//! ```text
//! first core                              every core
//!   the cut: a transaction over all ─────▶ seals the epoch, rotates its log, begins to walk its shard (shard)
//!                                          batches ─▶ storage executor: blocks, compressed, written, synced
//!   all files are there ◀──────────────── the file's size and checksum, and where the log goes on
//!   the manifest that names them
//!   what it no longer names is removed
//! ```
//!
//! There is one kind of snapshot: it is what Redis calls an RDB file and what it calls a rewritten log. The first core makes
//! them, one after the other (`control`), in a store that the first one makes if there is none (`store`); `status` is what INFO
//! tells, and `points` when one is due.

mod control;
mod draft;
mod points;
mod shard;
mod status;
mod store;

pub(crate) use control::{Refused, Saves, Wish};
pub(crate) use points::{SavePoint, Told};
pub(crate) use shard::Saving;
pub(crate) use status::SaveStatus;

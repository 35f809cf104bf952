//! The log in the running server: what commands change becomes records, records become durable, and a start reads them back.
//!
//! ```text
//! exec.changed ─▶ the shard's journal ─▶ record ─▶ Log ── end of turn: commit ──▶ operations of the ring
//!                                         (shard_log)            (commit)              │
//! replies that wait, WAITAOF, epochs ◀── Durable ◀── progress, own and of other cores ◀┘
//! ```
//!
//! * `shard_log`: one core's log with what belongs to it; changes that make one record.
//! * `commit`: the turn's writes, their ends, segments, progress; what a failure does.
//! * `until`: what replies wait for under `appendfsync always`.
//! * `epochs`, `waits`: the cuts over all shards, and who asks for one.
//! * `report`: what INFO tells of it.
//! * `claim`, `start`, `import`, `load`, `replay`: opening the store and loading it.
//! * `switch`: starting and stopping the logs at run time.
//! * `again`: DEBUG LOADAOF, what is on the disk in the place of what is in memory.
//!
//! What it is not: the bytes, the order of operations and the cut of recovery are the crate `durability`'s; how a change is
//! written and applied is the engine's. With `appendonly no` a core has none of this but the loading.

mod again;
mod claim;
mod commit;
mod epochs;
mod import;
mod load;
pub(crate) mod progress;
mod replay;
mod report;
mod shard_log;
mod start;
mod switch;
mod until;
mod waits;

use std::sync::Arc;

use pinyon_base::ShardId;
use pinyon_durability::Lsn;
use pinyon_durability::stability::Progress;

pub(crate) use again::LoadedAgain;
pub(crate) use claim::{Claim, ClaimError, claim, claim_empty, folder_of, has_store};
pub(crate) use commit::Troubles;
pub(crate) use epochs::Epochs;
pub(crate) use replay::Loading;
pub(crate) use report::LogPart;
pub(crate) use shard_log::ShardLog;
pub(crate) use start::new_id;
pub(crate) use switch::{Stopping, Switched};
pub(crate) use until::{Logged, Placings, Until, is_over};
pub(crate) use waits::{AofWait, AofWaits, NO_LOG};

use crate::core::{Core, Io};

/// Shards that log a part of a transaction, ascending. None: nothing is logged.
pub(crate) type Writers = Option<Arc<[ShardId]>>;

/// Something to be done on the core that gets it.
pub type Errand = Box<dyn FnOnce(&mut Core, &mut Io) + Send>;

/// What the cores' logs tell each other.
pub enum LogMail {
    /// To the first core: something was logged since the last cut.
    Wrote,
    /// How far the sender's log is.
    Progress(Progress),
    /// The sender's log cannot be written, and why; or it can again.
    Trouble(Option<Trouble>),
    /// Where all parts of a transaction lie of which the receiver has one.
    Placed { transaction: u64, parts: Arc<[(ShardId, Lsn)]> },
}

/// Why a log is not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// In the system's words.
    pub words: String,
    /// It goes away by itself when there is room.
    pub passes: bool,
}

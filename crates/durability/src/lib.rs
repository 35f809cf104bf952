//! What keeps acknowledged writes: logs in segments, snapshots, the manifest that names them, and their recovery.
//!
//! What it is not: it knows no command, no key and no value; effects and snapshot entries are bytes with a count. It draws no
//! random numbers, reads no clock, starts no thread, and does I/O only through [`Disk`], or, for the log's own writes, by
//! handing operations to its caller ([`Log::next_op`]) and being told how they ended. So the simulator runs all of it.
//!
//! FORMAT.md beside this crate draws every byte. Reading order: [`disk`], [`log`], [`durable`], [`manifest`], [`recovery`].
#![forbid(unsafe_code)]

pub mod aligned;
pub mod bytes;
pub mod cut;
pub mod disk;
pub mod durable;
pub mod error;
pub mod flight;
pub mod frame;
pub mod history;
pub mod ids;
pub mod log;
pub mod manifest;
pub mod names;
pub mod pace;
pub mod payload;
pub mod record;
pub mod recovery;
pub mod replay;
pub mod scan;
pub mod segment;
pub mod snapshot;
pub mod stability;
pub mod std_disk;

pub use aligned::AlignedBuffer;
pub use cut::{Cut, Rule};
pub use disk::{Disk, DiskError, Trouble};
pub use durable::{Durable, Waiting};
pub use error::RecoveryError;
pub use ids::{Epoch, LogId, Lsn, RunId, ServerId, SnapshotId};
pub use log::{Log, LogConfig, LogStart, LogState, Op, OpKind};
pub use manifest::Manifest;
pub use record::{Part, Record};
pub use recovery::{Found, Options, Plan, Store};
pub use replay::Replay;
pub use std_disk::StdDisk;

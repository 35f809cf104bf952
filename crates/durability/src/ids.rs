//! Numbers that name things: servers, runs, positions in a log, epochs. Not how any of them is written: that is FORMAT.md.

use std::fmt;

use pinyon_base::ShardId;

/// A shard's log position: records of one run are numbered from 1, without gaps. 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    pub fn next(self) -> Lsn {
        Lsn(self.0 + 1)
    }
}

/// A stretch of history that all shards end at the same cut. They count on from run to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

/// The id of a store, drawn once when its folder is first used. Not shown to clients: what lies on the disk is told from
/// what clients may have written by it, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerId(pub u64);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The life of one process over the store, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u32);

/// A snapshot, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId(pub u64);

/// Which log: one shard's in one run of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId {
    pub server: ServerId,
    pub run: RunId,
    pub shard: ShardId,
}

//! Why a store is not opened: each says what is wrong, where, and what can be done. A store is never opened empty instead.

use pinyon_base::ShardId;
use thiserror::Error;

use crate::disk::DiskError;
use crate::ids::{Lsn, ServerId};

#[derive(Debug, Error)]
pub enum RecoveryError {
    #[error("{0}: nothing was changed; mend it and start again")]
    Disk(#[from] DiskError),

    #[error(
        "there is no manifest, but {found}: this is part of a store, and cannot be opened without its manifest; bring it \
         back from a backup, or move these files away to begin anew"
    )]
    ManifestMissing { found: String },

    #[error(
        "the manifest is damaged at byte {offset} ({why}): bring it back from a backup; it is not rewritten, and nothing \
         else was touched"
    )]
    ManifestDamaged { offset: usize, why: &'static str },

    #[error(
        "{file} holds records of a run that the manifest does not know: the manifest is older than the logs; bring back the \
         one that belongs to them, or move the newer files away to go back to its state"
    )]
    ManifestOlder { file: String },

    #[error(
        "{file} is in format version {version}, this program reads up to version {newest}: use the program that wrote it, or \
         a newer one"
    )]
    FromTheFuture { file: String, version: u32, newest: u32 },

    #[error(
        "{file} belongs to the store {found}, this one is {expected}: files of two stores were mixed; put back the file that \
         belongs here"
    )]
    OfAnotherServer { file: String, found: ServerId, expected: ServerId },

    #[error("{file} is missing: bring it back from a backup{}", repair(*.repairable))]
    Missing { file: String, repairable: bool },

    #[error(
        "{file} has {bytes} bytes instead of {expected}: it was cut off or added to after it was written; bring it back from a \
         backup{}", repair(*.repairable)
    )]
    Truncated { file: String, bytes: u64, expected: u64, repairable: bool },

    #[error("{file} holds {says}: files were swapped or renamed; give it the name that it had")]
    Swapped { file: String, says: String },

    #[error("the header of {file} is damaged: bring it back from a backup{}", repair(*.repairable))]
    HeaderDamaged { file: String, repairable: bool },

    #[error(
        "{file} is damaged at byte {offset} ({why}): the log of shard {} is lost from lsn {} on, which had been durable: \
         {evidence}; bring the file back from a backup{}", .shard.0, .lsn.0, repair(true)
    )]
    LogDamaged { file: String, offset: u64, why: &'static str, shard: ShardId, lsn: Lsn, evidence: String },

    #[error(
        "{file} holds at byte {offset} records that this program cannot read ({why}), though their CRC is right: use the \
         program that wrote them"
    )]
    Malformed { file: String, offset: u64, why: &'static str },

    #[error("{file} is damaged at byte {offset} ({why}): the snapshot cannot be loaded; bring it back from a backup")]
    SnapshotDamaged { file: String, offset: u64, why: &'static str },
}

fn repair(possible: bool) -> &'static str {
    if possible { ", or start with `log-repair yes` to go on without what is lost" } else { "" }
}

impl RecoveryError {
    /// `log-repair yes` would open the store in spite of it.
    pub fn is_repairable(&self) -> bool {
        match self {
            RecoveryError::LogDamaged { .. } => true,
            RecoveryError::Missing { repairable, .. }
            | RecoveryError::Truncated { repairable, .. }
            | RecoveryError::HeaderDamaged { repairable, .. } => *repairable,
            _ => false,
        }
    }
}

//! The names of files and folders, both ways. FORMAT.md lists them.

use pinyon_base::ShardId;

use crate::ids::{RunId, SnapshotId};

pub const MANIFEST: &str = "manifest";
pub const MANIFEST_NEW: &str = "manifest.new";
pub const LOCK: &str = "lock";

/// What a name in the store's folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    Manifest,
    ManifestNew,
    Lock,
    Segment(SegmentName),
    Spare(u64),
    Snapshot(SnapshotId),
}

/// Which segment of which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    pub run: RunId,
    pub shard: ShardId,
    pub segment: u64,
}

impl SegmentName {
    pub fn path(self) -> String {
        format!("log-{}-{}-{}", self.run.0, self.shard.0, self.segment)
    }
}

pub fn spare(number: u64) -> String {
    format!("spare-{number}")
}

pub fn snapshot_folder(id: SnapshotId) -> String {
    format!("snapshot-{}", id.0)
}

pub fn snapshot_file(id: SnapshotId, shard: ShardId) -> String {
    format!("snapshot-{}/shard-{}.snap", id.0, shard.0)
}

/// `None` for a file that is not ours.
pub fn read(name: &str) -> Option<Named> {
    let named = match name {
        MANIFEST => Named::Manifest,
        MANIFEST_NEW => Named::ManifestNew,
        LOCK => Named::Lock,
        _ => {
            let (word, rest) = name.split_once('-')?;
            match word {
                "spare" => Named::Spare(number(rest)?),
                "snapshot" => Named::Snapshot(SnapshotId(number(rest)?)),
                "log" => {
                    let (run, rest) = rest.split_once('-')?;
                    let (shard, segment) = rest.split_once('-')?;
                    Named::Segment(SegmentName {
                        run: RunId(number(run)?),
                        shard: ShardId(number(shard)?),
                        segment: number(segment)?,
                    })
                }
                _ => return None,
            }
        }
    };
    Some(named)
}

/// A decimal number as this file writes it: no sign, no zeros before it.
pub fn number<N: std::str::FromStr + ToString>(text: &str) -> Option<N> {
    let value: N = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let segment = SegmentName { run: RunId(3), shard: ShardId(12), segment: 400 };
        assert_eq!(segment.path(), "log-3-12-400");
        assert_eq!(read("log-3-12-400"), Some(Named::Segment(segment)));
        assert_eq!(read(&spare(7)), Some(Named::Spare(7)));
        assert_eq!(read(&snapshot_folder(SnapshotId(9))), Some(Named::Snapshot(SnapshotId(9))));
        assert_eq!(snapshot_file(SnapshotId(9), ShardId(1)), "snapshot-9/shard-1.snap");
        for strange in ["log-3-12", "log-03-1-1", "log-3-1-1x", "spare-", "spare-+1", "dump.rdb", "log-3-99999-1", ""] {
            assert_eq!(read(strange), None, "{strange}");
        }
    }
}

//! Snapshot files: written a piece at a time, read a block at a time. Entries are the caller's bytes.
//!
//! FORMAT.md draws them. A file is complete when its footer is, and belongs to the store when a manifest names it with the
//! footer's CRC, which covers those of all blocks.

mod reader;
mod writer;

pub use reader::{SnapshotFile, Unit};
pub use writer::SnapshotWriter;

use pinyon_base::ShardId;

use crate::bytes::{crc64, put, u16_at, u32_at, u64_at};
use crate::ids::{Epoch, ServerId, SnapshotId};

pub const VERSION: u32 = 1;
const FILE_MAGIC: &[u8; 8] = b"PINYONSN";
const FILE_HEADER_BYTES: usize = 48;
const BLOCK_MAGIC: &[u8; 4] = b"PyBl";
const BLOCK_HEADER_BYTES: usize = 24;
const INDEX_ENTRY_BYTES: usize = 32;
const END_MAGIC: &[u8; 8] = b"PINYONSE";
const FOOTER_BYTES: usize = 48;
const CRC_BYTES: usize = 8;

/// Bits of a block's flags.
const LZ4: u32 = 1;
/// The block ends inside an entry.
const CONTINUES: u32 = 2;
/// The block has no checksum: 0 is in its place.
const UNCHECKED: u32 = 4;

/// Which file of which snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    pub server: ServerId,
    pub id: SnapshotId,
    pub epoch: Epoch,
    pub shard: ShardId,
    pub shards: u16,
}

impl SnapshotHeader {
    fn write(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        put(&mut bytes, 0, FILE_MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 12, &self.shard.0.to_le_bytes());
        put(&mut bytes, 14, &self.shards.to_le_bytes());
        put(&mut bytes, 16, &self.server.0.to_le_bytes());
        put(&mut bytes, 24, &self.id.0.to_le_bytes());
        put(&mut bytes, 32, &self.epoch.0.to_le_bytes());
        let crc = crc64(&bytes[..40]);
        put(&mut bytes, 40, &crc.to_le_bytes());
        bytes
    }

    /// `None` if the bytes are no header whose CRC is right.
    fn read(bytes: &[u8]) -> Option<SnapshotHeader> {
        (bytes.starts_with(FILE_MAGIC) && u64_at(bytes, 40)? == crc64(&bytes[..40])).then_some(SnapshotHeader {
            shard: ShardId(u16_at(bytes, 12)?),
            shards: u16_at(bytes, 14)?,
            server: ServerId(u64_at(bytes, 16)?),
            id: SnapshotId(u64_at(bytes, 24)?),
            epoch: Epoch(u64_at(bytes, 32)?),
        })
    }
}

/// A block's line in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockRef {
    offset: u64,
    stored: u32,
    raw: u32,
    entries: u32,
    flags: u32,
    crc: u64,
}

impl BlockRef {
    fn write(&self) -> [u8; INDEX_ENTRY_BYTES] {
        let mut bytes = [0; INDEX_ENTRY_BYTES];
        put(&mut bytes, 0, &self.offset.to_le_bytes());
        put(&mut bytes, 8, &self.stored.to_le_bytes());
        put(&mut bytes, 12, &self.raw.to_le_bytes());
        put(&mut bytes, 16, &self.entries.to_le_bytes());
        put(&mut bytes, 20, &self.flags.to_le_bytes());
        put(&mut bytes, 24, &self.crc.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<BlockRef> {
        Some(BlockRef {
            offset: u64_at(bytes, 0)?,
            stored: u32_at(bytes, 8)?,
            raw: u32_at(bytes, 12)?,
            entries: u32_at(bytes, 16)?,
            flags: u32_at(bytes, 20)?,
            crc: u64_at(bytes, 24)?,
        })
    }

    /// Bytes in the file, header and CRC included.
    fn length(&self) -> u64 {
        (BLOCK_HEADER_BYTES + CRC_BYTES) as u64 + u64::from(self.stored)
    }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;

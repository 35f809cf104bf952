//! Reading a snapshot file: the index first, then its units in any order, each checked before a byte of it is given out.

use std::ops::Range;

use crc64fast::Digest;
use pinyon_base::ShardId;

use super::{
    BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockRef, CONTINUES, END_MAGIC, FILE_HEADER_BYTES, FILE_MAGIC, FOOTER_BYTES,
    INDEX_ENTRY_BYTES, LZ4, SnapshotHeader, UNCHECKED, VERSION,
};
use crate::bytes::{crc64, u32_at, u64_at};
use crate::disk::Disk;
use crate::error::RecoveryError;
use crate::ids::{ServerId, SnapshotId};
use crate::manifest::SnapshotFileRef;
use crate::names;

/// More than any block holds before compression: a guard for memory.
const RAW_BYTES_MAX: u32 = 64 << 20;

/// A file whose header, index and footer are in order.
pub struct SnapshotFile {
    path: String,
    header: SnapshotHeader,
    blocks: Vec<BlockRef>,
    units: Vec<Range<usize>>,
    entries: u64,
    raw_bytes: u64,
}

/// Entries that can be loaded without any other: one block, or those over which an entry goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    pub entries: u64,
    /// The entries, one after the other.
    pub bytes: Vec<u8>,
}

impl SnapshotFile {
    /// Opens the file of `shard` as the manifest names it: of this store, this snapshot, with this length and CRC.
    pub fn open(
        disk: &dyn Disk,
        server: ServerId,
        id: SnapshotId,
        shard: ShardId,
        expected: &SnapshotFileRef,
    ) -> Result<SnapshotFile, RecoveryError> {
        let path = names::snapshot_file(id, shard);
        let bytes =
            disk.length(&path)?.ok_or_else(|| RecoveryError::Missing { file: path.clone(), repairable: false })?;
        let mut head = vec![0; FILE_HEADER_BYTES.min(bytes as usize)];
        disk.read(&path, 0, &mut head)?;
        let header = check_header(&head, &path)?;
        if header.server != server {
            return Err(RecoveryError::OfAnotherServer { file: path, found: header.server, expected: server });
        }
        if (header.id, header.shard) != (id, shard) {
            return Err(RecoveryError::Swapped { file: path, says: names::snapshot_file(header.id, header.shard) });
        }
        if bytes != expected.bytes {
            return Err(RecoveryError::Truncated { file: path, bytes, expected: expected.bytes, repairable: false });
        }
        let end = End { disk, path: &path, head: &head, bytes };
        let (blocks, entries, raw_bytes, crc) = end.read()?;
        if crc != expected.crc || entries != expected.entries {
            let why = "its footer is not the one that the manifest names";
            return Err(RecoveryError::SnapshotDamaged { file: path, offset: bytes - FOOTER_BYTES as u64, why });
        }
        let units = units(&blocks);
        Ok(SnapshotFile { path, header, blocks, units, entries, raw_bytes })
    }

    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes of all entries, before compression.
    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    pub fn units(&self) -> usize {
        self.units.len()
    }

    pub fn read_unit(&self, disk: &dyn Disk, unit: usize) -> Result<Unit, RecoveryError> {
        let mut read = Unit { entries: 0, bytes: Vec::new() };
        for number in self.units[unit].clone() {
            let block = &self.blocks[number];
            let mut bytes = vec![0; block.length() as usize];
            disk.read(&self.path, block.offset, &mut bytes)?;
            let damaged = |why| RecoveryError::SnapshotDamaged { file: self.path.clone(), offset: block.offset, why };
            let crc_at = BLOCK_HEADER_BYTES + block.stored as usize;
            let crc = if block.flags & UNCHECKED == 0 { crc64(&bytes[..crc_at]) } else { 0 };
            if u64_at(&bytes, crc_at) != Some(crc) || crc != block.crc {
                return Err(damaged("the CRC of a block does not match"));
            }
            let fields = [block.flags, number as u32, block.entries, block.raw, block.stored];
            let same = fields.iter().enumerate().all(|(i, field)| u32_at(&bytes, 4 + 4 * i) == Some(*field));
            if !bytes.starts_with(BLOCK_MAGIC) || !same {
                return Err(damaged("a block is not what the index says"));
            }
            let stored = &bytes[BLOCK_HEADER_BYTES..crc_at];
            if block.flags & LZ4 == 0 {
                read.bytes.extend_from_slice(stored);
            } else {
                let raw = lz4_flex::block::decompress(stored, block.raw as usize);
                read.bytes.extend(raw.map_err(|_| damaged("a block cannot be unpacked"))?);
            }
            read.entries += u64::from(block.entries);
        }
        Ok(read)
    }
}

fn check_header(head: &[u8], path: &str) -> Result<SnapshotHeader, RecoveryError> {
    if let Some(header) = SnapshotHeader::read(head)
        && u32_at(head, 8) == Some(VERSION)
    {
        return Ok(header);
    }
    match u32_at(head, 8) {
        Some(version) if head.starts_with(FILE_MAGIC) && version > VERSION => {
            Err(RecoveryError::FromTheFuture { file: path.to_owned(), version, newest: VERSION })
        }
        _ => Err(RecoveryError::HeaderDamaged { file: path.to_owned(), repairable: false }),
    }
}

/// The end of a file while it is read.
struct End<'a> {
    disk: &'a dyn Disk,
    path: &'a str,
    head: &'a [u8],
    bytes: u64,
}

impl End<'_> {
    fn damaged(&self, offset: u64, why: &'static str) -> RecoveryError {
        RecoveryError::SnapshotDamaged { file: self.path.to_owned(), offset, why }
    }

    /// The blocks, the number of entries, their bytes, and the footer's CRC.
    fn read(&self) -> Result<(Vec<BlockRef>, u64, u64, u64), RecoveryError> {
        let at = self.bytes.saturating_sub(FOOTER_BYTES as u64);
        if at < FILE_HEADER_BYTES as u64 {
            return Err(self.damaged(0, "it is too short"));
        }
        let mut footer = [0; FOOTER_BYTES];
        self.disk.read(self.path, at, &mut footer)?;
        let field = |offset| u64_at(&footer, offset).unwrap_or_default();
        let (index_at, crc) = (field(16), field(40));
        let blocks = u64::from(u32_at(&footer, 12).unwrap_or_default());
        let index_bytes = blocks * INDEX_ENTRY_BYTES as u64;
        if !footer.starts_with(END_MAGIC) || index_at.checked_add(index_bytes) != Some(at) {
            return Err(self.damaged(at, "its footer is damaged"));
        }
        let mut index = vec![0; index_bytes as usize];
        self.disk.read(self.path, index_at, &mut index)?;
        let mut digest = Digest::new();
        digest.write(self.head);
        digest.write(&index);
        digest.write(&footer[..40]);
        if digest.sum64() != crc {
            return Err(self.damaged(index_at, "the CRC of its index does not match"));
        }
        let (lines, _) = index.as_chunks::<INDEX_ENTRY_BYTES>();
        let blocks: Vec<BlockRef> = lines.iter().filter_map(|line| BlockRef::read(line)).collect();
        let mut offset = FILE_HEADER_BYTES as u64;
        for block in &blocks {
            if block.offset != offset || block.raw > RAW_BYTES_MAX || block.stored > block.raw {
                return Err(self.damaged(index_at, "its index makes no sense"));
            }
            offset += block.length();
        }
        if offset != index_at {
            return Err(self.damaged(index_at, "its index makes no sense"));
        }
        Ok((blocks, field(24), field(32), crc))
    }
}

/// Runs of blocks, of which each but the last continues.
fn units(blocks: &[BlockRef]) -> Vec<Range<usize>> {
    let mut units = Vec::new();
    let mut begin = 0;
    for (i, block) in blocks.iter().enumerate() {
        if block.flags & CONTINUES == 0 || i + 1 == blocks.len() {
            units.push(begin..i + 1);
            begin = i + 1;
        }
    }
    units
}

//! Writing a snapshot file: entries in, bytes of the file out, in order. Memory is bounded by what the caller leaves untaken.

use std::collections::VecDeque;
use std::mem;

use crc64fast::Digest;
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::{
    BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockRef, CONTINUES, CRC_BYTES, END_MAGIC, FILE_HEADER_BYTES, FOOTER_BYTES, LZ4,
    SnapshotHeader, UNCHECKED, VERSION,
};
use crate::bytes::{crc64, put};
use crate::manifest::SnapshotFileRef;

/// The most blocks waiting to be taken before [`SnapshotWriter::is_behind`] says so.
const UNTAKEN_MAX: usize = 4;

pub struct SnapshotWriter {
    file_header: [u8; FILE_HEADER_BYTES],
    raw_max: usize,
    compress: bool,
    checked: bool,
    raw: Vec<u8>,
    entries: u32,
    blocks: Vec<BlockRef>,
    offset: u64,
    out: VecDeque<Vec<u8>>,
    entries_all: u64,
    raw_all: u64,
    table: CompressTable,
}

impl SnapshotWriter {
    /// Blocks hold `raw_max` bytes of entries before compression.
    pub fn new(header: SnapshotHeader, raw_max: usize, compress: bool) -> SnapshotWriter {
        let file_header = header.write();
        SnapshotWriter {
            file_header,
            raw_max,
            compress,
            checked: true,
            raw: Vec::with_capacity(raw_max),
            entries: 0,
            blocks: Vec::new(),
            offset: FILE_HEADER_BYTES as u64,
            out: VecDeque::from([file_header.to_vec()]),
            entries_all: 0,
            raw_all: 0,
            table: CompressTable::large(),
        }
    }

    /// Whether blocks are to have checksums; they have unless this says otherwise. The index has one in any case.
    pub fn with_checksums(self, checked: bool) -> SnapshotWriter {
        SnapshotWriter { checked, ..self }
    }

    /// The bytes that follow are of another entry.
    pub fn entry(&mut self) {
        if self.raw.len() >= self.raw_max {
            self.close_block(false);
        }
        self.entries += 1;
        self.entries_all += 1;
    }

    /// A piece of the entry.
    pub fn piece(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.raw.len() >= self.raw_max {
                self.close_block(true);
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.raw_max - self.raw.len()));
            self.raw.extend_from_slice(now);
            bytes = later;
        }
    }

    /// The next bytes of the file, which go behind those taken before.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// Enough is waiting to be taken: no more entries for now.
    pub fn is_behind(&self) -> bool {
        self.out.len() >= UNTAKEN_MAX
    }

    /// Bytes of entries so far.
    pub fn raw_bytes(&self) -> u64 {
        self.raw_all + self.raw.len() as u64
    }

    fn close_block(&mut self, continues: bool) {
        let raw = &self.raw;
        let entries = mem::take(&mut self.entries);
        let mut block = vec![0; BLOCK_HEADER_BYTES + get_maximum_output_size(raw.len()).max(raw.len()) + CRC_BYTES];
        let packed = if self.compress {
            compress_into_with_table(raw, &mut block[BLOCK_HEADER_BYTES..], &mut self.table).ok()
        } else {
            None
        };
        let packed = packed.filter(|stored| *stored < raw.len());
        let stored = packed.unwrap_or_else(|| {
            put(&mut block, BLOCK_HEADER_BYTES, raw);
            raw.len()
        });
        let set = |flag: u32, on: bool| if on { flag } else { 0 };
        let flags = set(LZ4, packed.is_some()) | set(CONTINUES, continues) | set(UNCHECKED, !self.checked);
        put(&mut block, 0, BLOCK_MAGIC);
        put(&mut block, 4, &flags.to_le_bytes());
        put(&mut block, 8, &(self.blocks.len() as u32).to_le_bytes());
        put(&mut block, 12, &entries.to_le_bytes());
        put(&mut block, 16, &(raw.len() as u32).to_le_bytes());
        put(&mut block, 20, &(stored as u32).to_le_bytes());
        let crc_at = BLOCK_HEADER_BYTES + stored;
        let crc = if self.checked { crc64(&block[..crc_at]) } else { 0 };
        put(&mut block, crc_at, &crc.to_le_bytes());
        block.truncate(crc_at + CRC_BYTES);
        let offset = self.offset;
        self.blocks.push(BlockRef { offset, stored: stored as u32, raw: raw.len() as u32, entries, flags, crc });
        self.offset += block.len() as u64;
        self.raw_all += raw.len() as u64;
        self.raw.clear();
        self.out.push_back(block);
    }

    /// No more entries: what is left of the file, and what the manifest says of it.
    pub fn finish(mut self) -> (Vec<Vec<u8>>, SnapshotFileRef) {
        if self.entries > 0 || !self.raw.is_empty() {
            self.close_block(false);
        }
        let mut end: Vec<u8> = self.blocks.iter().flat_map(|block| block.write()).collect();
        let footer = end.len();
        end.resize(footer + FOOTER_BYTES, 0);
        put(&mut end, footer, END_MAGIC);
        put(&mut end, footer + 8, &VERSION.to_le_bytes());
        put(&mut end, footer + 12, &(self.blocks.len() as u32).to_le_bytes());
        put(&mut end, footer + 16, &self.offset.to_le_bytes());
        put(&mut end, footer + 24, &self.entries_all.to_le_bytes());
        put(&mut end, footer + 32, &self.raw_all.to_le_bytes());
        let mut digest = Digest::new();
        digest.write(&self.file_header);
        digest.write(&end[..footer + 40]);
        let crc = digest.sum64();
        put(&mut end, footer + 40, &crc.to_le_bytes());
        let bytes = self.offset + end.len() as u64;
        self.out.push_back(end);
        (self.out.into(), SnapshotFileRef { bytes, entries: self.entries_all, crc })
    }
}

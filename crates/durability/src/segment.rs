//! Segment files: their header, and how one is made or recycled.
//!
//! A segment gets its name only when its header is durable and its bytes are written, so that no crash leaves one without
//! either. Filled with zeros once and written over ever after, it costs no change of the file's extents when frames are synced;
//! where nobody waits for that, its maker may only reserve them.

use pinyon_base::ShardId;

use crate::bytes::{crc64, put, u16_at, u32_at, u64_at};
use crate::disk::{Disk, DiskError};
use crate::error::RecoveryError;
use crate::ids::{LogId, RunId, ServerId};
use crate::names::{self, SegmentName};

pub const HEADER_BYTES: usize = 64;
pub const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"PINYONSG";
const CRC_AT: usize = 56;
/// Zeros written at once.
const ZEROS: &[u8] = &[0; 256 << 10];

/// The header of a segment that was found in order, or one to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub log: LogId,
    /// Shards of the run.
    pub shards: u16,
    pub segment: u64,
    pub align: u32,
    /// Length of the file.
    pub bytes: u64,
}

impl SegmentHeader {
    pub fn name(&self) -> SegmentName {
        SegmentName { run: self.log.run, shard: self.log.shard, segment: self.segment }
    }

    pub fn write(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        put(&mut header, 0, MAGIC);
        put(&mut header, 8, &VERSION.to_le_bytes());
        put(&mut header, 12, &self.align.to_le_bytes());
        put(&mut header, 16, &self.log.server.0.to_le_bytes());
        put(&mut header, 24, &self.log.run.0.to_le_bytes());
        put(&mut header, 28, &self.log.shard.0.to_le_bytes());
        put(&mut header, 30, &self.shards.to_le_bytes());
        put(&mut header, 32, &self.segment.to_le_bytes());
        put(&mut header, 40, &self.bytes.to_le_bytes());
        let crc = crc64(&header[..CRC_AT]);
        put(&mut header, CRC_AT, &crc.to_le_bytes());
        header
    }

    /// The header in the first bytes of `file`, which has the name `name`, as it must be in the store `server`.
    pub fn check(bytes: &[u8], name: SegmentName, server: ServerId) -> Result<SegmentHeader, RecoveryError> {
        let file = name.path();
        let header = Self::read(bytes, &file)?;
        if header.log.server != server {
            return Err(RecoveryError::OfAnotherServer { file, found: header.log.server, expected: server });
        }
        if header.name() != name {
            return Err(RecoveryError::Swapped { file, says: header.name().path() });
        }
        if bytes.len() as u64 != header.bytes {
            let length = bytes.len() as u64;
            return Err(RecoveryError::Truncated { file, bytes: length, expected: header.bytes, repairable: true });
        }
        Ok(header)
    }

    fn read(bytes: &[u8], file: &str) -> Result<SegmentHeader, RecoveryError> {
        let damaged = || RecoveryError::HeaderDamaged { file: file.to_owned(), repairable: true };
        if !bytes.starts_with(MAGIC) {
            return Err(damaged());
        }
        let version = u32_at(bytes, 8).ok_or_else(damaged)?;
        let crc = u64_at(bytes, CRC_AT).ok_or_else(damaged)?;
        if crc64(&bytes[..CRC_AT]) != crc {
            // A version that moved the CRC says so with a magic and a version that are in order.
            return Err(if version > VERSION {
                RecoveryError::FromTheFuture { file: file.to_owned(), version, newest: VERSION }
            } else {
                damaged()
            });
        }
        if version != VERSION {
            return Err(RecoveryError::FromTheFuture { file: file.to_owned(), version, newest: VERSION });
        }
        let header = || {
            Some(SegmentHeader {
                log: LogId {
                    server: ServerId(u64_at(bytes, 16)?),
                    run: RunId(u32_at(bytes, 24)?),
                    shard: ShardId(u16_at(bytes, 28)?),
                },
                shards: u16_at(bytes, 30)?,
                segment: u64_at(bytes, 32)?,
                align: u32_at(bytes, 12)?,
                bytes: u64_at(bytes, 40)?,
            })
        };
        header().filter(|header| header.align.is_power_of_two() && header.align >= 512).ok_or_else(damaged)
    }
}

/// Makes the segments of one shard, out of those that were freed where it can.
pub struct SegmentMaker {
    /// Spare files and their lengths.
    spares: Vec<(u64, u64)>,
    next_spare: u64,
    step: u64,
}

impl SegmentMaker {
    /// Of `shards` makers that work in one folder, the one of `shard`.
    pub fn new(shard: ShardId, shards: u16) -> SegmentMaker {
        SegmentMaker { spares: Vec::new(), next_spare: u64::from(shard.0), step: u64::from(shards) }
    }

    /// Makes the segment that `header` says. When this returns, frames may be written to it. After an error it may be tried
    /// again; what was half made is thrown away.
    pub fn prepare(&mut self, disk: &dyn Disk, header: &SegmentHeader) -> Result<(), DiskError> {
        self.prepare_with(disk, header, |spare| fill(disk, spare, header.bytes))
    }

    /// As [`SegmentMaker::prepare`]; `fill` makes the file that it is given the path of, as long as the segment, all zeros.
    pub fn prepare_with(
        &mut self,
        disk: &dyn Disk,
        header: &SegmentHeader,
        fill: impl FnOnce(&str) -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        let spare = match self.spares.iter().position(|(_, bytes)| *bytes == header.bytes) {
            Some(at) => names::spare(self.spares.swap_remove(at).0),
            None => {
                let spare = names::spare(self.number());
                self.or_remove(disk, &spare, fill(&spare))?;
                spare
            }
        };
        let made = disk.write(&spare, 0, &header.write()).and_then(|()| disk.sync(&spare));
        self.or_remove(disk, &spare, made)?;
        disk.rename(&spare, &header.name().path())?;
        if cfg!(feature = "planted-no-folder-sync") {
            return Ok(());
        }
        disk.sync_folder("")
    }

    /// Takes segments that no manifest names any more: keeps as many as spares as make `keep`, and removes the others.
    pub fn recycle(
        &mut self,
        disk: &dyn Disk,
        freed: impl IntoIterator<Item = SegmentName>,
        keep: usize,
    ) -> Result<(), DiskError> {
        for name in freed {
            let path = name.path();
            match disk.length(&path)? {
                Some(bytes) if self.spares.len() < keep => {
                    let number = self.number();
                    disk.rename(&path, &names::spare(number))?;
                    self.spares.push((number, bytes));
                }
                Some(_) => disk.remove(&path)?,
                None => {}
            }
        }
        Ok(())
    }

    fn number(&mut self) -> u64 {
        let number = self.next_spare;
        self.next_spare += self.step;
        number
    }

    /// A half made file takes room, perhaps the last there is.
    fn or_remove(&self, disk: &dyn Disk, spare: &str, made: Result<(), DiskError>) -> Result<(), DiskError> {
        made.inspect_err(|_| drop(disk.remove(spare)))
    }
}

fn fill(disk: &dyn Disk, path: &str, bytes: u64) -> Result<(), DiskError> {
    disk.create(path)?;
    let mut at = 0;
    while at < bytes {
        let length = (bytes - at).min(ZEROS.len() as u64);
        disk.write(path, at, &ZEROS[..length as usize])?;
        at += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            log: LogId { server: ServerId(9), run: RunId(2), shard: ShardId(1) },
            shards: 4,
            segment: 17,
            align: 512,
            bytes: 4096,
        }
    }

    fn file() -> Vec<u8> {
        let mut file = vec![0; 4096];
        put(&mut file, 0, &header().write());
        file
    }

    fn checked(file: &[u8]) -> Result<SegmentHeader, RecoveryError> {
        SegmentHeader::check(file, header().name(), ServerId(9))
    }

    #[test]
    fn a_header_comes_back() {
        assert_eq!(checked(&file()).expect("in order"), header());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let mut future = file();
        future[8] = 2;
        assert!(matches!(checked(&future), Err(RecoveryError::FromTheFuture { version: 2, newest: 1, .. })));
        let other = SegmentHeader::check(&file(), header().name(), ServerId(10));
        assert!(matches!(other, Err(RecoveryError::OfAnotherServer { found: ServerId(9), .. })));
        let name = SegmentName { segment: 18, ..header().name() };
        let swapped = SegmentHeader::check(&file(), name, ServerId(9));
        assert!(matches!(swapped, Err(RecoveryError::Swapped { says, .. }) if says == "log-2-1-17"));
        let short = checked(&file()[..1024]);
        assert!(matches!(short, Err(RecoveryError::Truncated { bytes: 1024, expected: 4096, .. })));
        for length in [0, 7, 63] {
            assert!(matches!(checked(&file()[..length]), Err(RecoveryError::HeaderDamaged { .. })));
        }
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = file();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(checked(&flipped).is_err(), "bit {bit}");
        }
    }
}

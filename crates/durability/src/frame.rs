//! One frame: its header, both ways, and what a place in a segment holds.
//!
//! FORMAT.md draws the bytes. Nothing here trusts them: [`look`] says whether a place holds a frame of this segment, one that
//! was broken, or nothing of this segment's life.

use std::borrow::Cow;

use pinyon_base::ShardId;

use crate::bytes::{crc64, put, round_up, u16_at, u32_at, u64_at};
use crate::ids::{Epoch, LogId, Lsn, RunId, ServerId};

pub const HEADER_BYTES: usize = 96;
pub const CRC_BYTES: usize = 8;
/// More than any frame's payload before compression. Guards memory against a broken length that a CRC did not catch.
pub const RAW_BYTES_MAX: u32 = 16 << 20;

const MAGIC: u32 = u32::from_le_bytes(*b"PyFr");
pub const VERSION: u16 = 1;

/// Bits of the header's flags.
pub mod flag {
    pub const LZ4: u16 = 1;
    /// The frame ends inside a record.
    pub const CONTINUES: u16 = 2;
    /// Replies waited for it (`appendfsync always`).
    pub const ALWAYS: u16 = 4;
    /// Its last record seals its epoch.
    pub const SEAL: u16 = 8;
}

/// A header whose frame's CRC was right, or one to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    pub flags: u16,
    pub log: LogId,
    pub segment: u64,
    pub number: u64,
    /// Frames up to this one were durable when this one was made.
    pub durable: u64,
    /// Epochs up to this one were durable on every shard when this one was made.
    pub durable_epoch: Epoch,
    pub epoch: Epoch,
    pub first_lsn: Lsn,
    /// Records that begin in this frame.
    pub records: u32,
    pub raw: u32,
    pub stored: u32,
    /// Unix milliseconds.
    pub time: u64,
}

impl FrameHeader {
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Bytes that the frame takes in its segment.
    pub fn extent(&self, align: u32) -> u64 {
        extent(self.stored as usize, align)
    }

    /// The lsn that the next frame begins with.
    pub fn next_lsn(&self) -> Lsn {
        Lsn(self.first_lsn.0 + u64::from(self.records))
    }

    /// The last lsn that is complete when this frame is the last one.
    pub fn last_complete(&self) -> Lsn {
        Lsn(self.next_lsn().0 - 1 - u64::from(self.has(flag::CONTINUES)))
    }

    /// Writes header, zeros behind the payload and CRC into the frame's whole extent, which holds the payload already.
    pub fn write(&self, frame: &mut [u8]) {
        put(frame, 0, &MAGIC.to_le_bytes());
        put(frame, 4, &VERSION.to_le_bytes());
        put(frame, 6, &self.flags.to_le_bytes());
        put(frame, 8, &self.log.server.0.to_le_bytes());
        put(frame, 16, &self.log.run.0.to_le_bytes());
        put(frame, 20, &self.log.shard.0.to_le_bytes());
        put(frame, 22, &[0; 2]);
        put(frame, 24, &self.segment.to_le_bytes());
        put(frame, 32, &self.number.to_le_bytes());
        put(frame, 40, &self.durable.to_le_bytes());
        put(frame, 48, &self.durable_epoch.0.to_le_bytes());
        put(frame, 56, &self.epoch.0.to_le_bytes());
        put(frame, 64, &self.first_lsn.0.to_le_bytes());
        put(frame, 72, &self.records.to_le_bytes());
        put(frame, 76, &self.raw.to_le_bytes());
        put(frame, 80, &self.stored.to_le_bytes());
        put(frame, 84, &[0; 4]);
        put(frame, 88, &self.time.to_le_bytes());
        let crc_at = frame.len() - CRC_BYTES;
        frame[HEADER_BYTES + self.stored as usize..crc_at].fill(0);
        let crc = crc64(&frame[..crc_at]);
        put(frame, crc_at, &crc.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Option<FrameHeader> {
        Some(FrameHeader {
            flags: u16_at(bytes, 6)?,
            log: LogId {
                server: ServerId(u64_at(bytes, 8)?),
                run: RunId(u32_at(bytes, 16)?),
                shard: ShardId(u16_at(bytes, 20)?),
            },
            segment: u64_at(bytes, 24)?,
            number: u64_at(bytes, 32)?,
            durable: u64_at(bytes, 40)?,
            durable_epoch: Epoch(u64_at(bytes, 48)?),
            epoch: Epoch(u64_at(bytes, 56)?),
            first_lsn: Lsn(u64_at(bytes, 64)?),
            records: u32_at(bytes, 72)?,
            raw: u32_at(bytes, 76)?,
            stored: u32_at(bytes, 80)?,
            time: u64_at(bytes, 88)?,
        })
    }

    /// The payload as records, out of the frame's bytes; `None` if it cannot be unpacked.
    pub fn payload<'a>(&self, frame: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let stored = frame.get(HEADER_BYTES..)?.get(..self.stored as usize)?;
        if !self.has(flag::LZ4) {
            return (self.raw == self.stored).then_some(Cow::Borrowed(stored));
        }
        let raw = lz4_flex::block::decompress(stored, self.raw as usize).ok()?;
        (raw.len() == self.raw as usize).then_some(Cow::Owned(raw))
    }
}

/// Bytes that a frame with so much stored payload takes in its segment.
pub fn extent(stored: usize, align: u32) -> u64 {
    round_up((HEADER_BYTES + stored + CRC_BYTES) as u64, align)
}

/// What a place in a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Frame(FrameHeader),
    /// Bytes that were a frame of this segment once, or became one only in part.
    Broken(&'static str),
    /// Zeros, or what the file held in an earlier life.
    Nothing,
}

/// What `rest`, a segment's bytes from some multiple of `align` on, begins with.
pub fn look(rest: &[u8], log: &LogId, segment: u64, align: u32) -> Look {
    if let Some(header) = whole(rest, align) {
        return match header {
            Ok(header) if header.log == *log && header.segment == segment => Look::Frame(header),
            // A frame of the file's earlier life.
            Ok(_) => Look::Nothing,
            Err(why) if resembles(rest, log, segment) => Look::Broken(why),
            Err(_) => Look::Nothing,
        };
    }
    if resembles(rest, log, segment) { Look::Broken("its header is damaged") } else { Look::Nothing }
}

/// The frame that begins here if it is one of this segment and its CRC is right. Quick where there is none.
pub fn find(rest: &[u8], log: &LogId, segment: u64, align: u32) -> Option<FrameHeader> {
    let may_be = u32_at(rest, 0) == Some(MAGIC) && u64_at(rest, 24) == Some(segment);
    let header = may_be.then(|| whole(rest, align))??.ok()?;
    (header.log == *log && header.segment == segment).then_some(header)
}

/// `None` if it does not begin like a frame; why it is broken if it does.
fn whole(rest: &[u8], align: u32) -> Option<Result<FrameHeader, &'static str>> {
    if u32_at(rest, 0)? != MAGIC || u16_at(rest, 4)? != VERSION {
        return None;
    }
    let header = FrameHeader::read(rest)?;
    if header.raw > RAW_BYTES_MAX || header.stored > header.raw {
        return Some(Err("its length is damaged"));
    }
    let Some(frame) = rest.get(..header.extent(align) as usize) else {
        return Some(Err("its length is damaged"));
    };
    let crc_at = frame.len() - CRC_BYTES;
    let checked = cfg!(feature = "planted-unchecked-crc") || u64_at(frame, crc_at) == Some(crc64(&frame[..crc_at]));
    Some(if checked { Ok(header) } else { Err("its CRC does not match") })
}

/// Whether a frame of this segment may once have begun here: its fixed bytes are nearly those that it would have. Zeros and
/// other bytes differ from them in a hundred bits, give or take ten; a damaged header in a few. The header of a
/// frame of the file's earlier life resembles it, too, if it is broken: that is worth a report.
fn resembles(rest: &[u8], log: &LogId, segment: u64) -> bool {
    const DIFFERENT_BITS_MAX: u32 = 40;
    let mut ours = [0; 32];
    put(&mut ours, 0, &MAGIC.to_le_bytes());
    put(&mut ours, 4, &VERSION.to_le_bytes());
    put(&mut ours, 8, &log.server.0.to_le_bytes());
    put(&mut ours, 16, &log.run.0.to_le_bytes());
    put(&mut ours, 20, &log.shard.0.to_le_bytes());
    put(&mut ours, 24, &segment.to_le_bytes());
    let Some(theirs) = rest.first_chunk::<32>() else { return false };
    if theirs.iter().all(|byte| *byte == 0) {
        return false;
    }
    let flags = 6..8;
    let pairs = ours.iter().zip(theirs).enumerate().filter(|(at, _)| !flags.contains(at));
    pairs.map(|(_, (a, b))| (a ^ b).count_ones()).sum::<u32>() <= DIFFERENT_BITS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALIGN: u32 = 512;

    fn header(payload: &[u8]) -> FrameHeader {
        FrameHeader {
            flags: flag::ALWAYS,
            log: LogId { server: ServerId(0x1234_5678_9abc_def0), run: RunId(3), shard: ShardId(2) },
            segment: 7,
            number: 40,
            durable: 38,
            durable_epoch: Epoch(11),
            epoch: Epoch(13),
            first_lsn: Lsn(100),
            records: 5,
            raw: payload.len() as u32,
            stored: payload.len() as u32,
            time: 1_700_000_000_000,
        }
    }

    fn frame(payload: &[u8]) -> (FrameHeader, Vec<u8>) {
        let header = header(payload);
        let mut bytes = vec![0xaa; header.extent(ALIGN) as usize];
        put(&mut bytes, HEADER_BYTES, payload);
        header.write(&mut bytes);
        (header, bytes)
    }

    #[test]
    fn a_frame_comes_back_with_what_lies_behind_it() {
        let (header, mut bytes) = frame(b"payload");
        bytes.extend([0x55; 600]);
        assert_eq!(look(&bytes, &header.log, 7, ALIGN), Look::Frame(header));
        assert_eq!(find(&bytes, &header.log, 7, ALIGN), Some(header));
        assert_eq!(header.payload(&bytes).as_deref(), Some(&b"payload"[..]));
        assert_eq!((header.next_lsn(), header.last_complete()), (Lsn(105), Lsn(104)));
    }

    #[test]
    fn frames_of_another_life_are_nothing() {
        let (header, bytes) = frame(b"payload");
        assert_eq!(look(&bytes, &header.log, 8, ALIGN), Look::Nothing);
        assert_eq!(look(&bytes, &LogId { run: RunId(4), ..header.log }, 7, ALIGN), Look::Nothing);
        assert_eq!(look(&[0; 512], &header.log, 7, ALIGN), Look::Nothing);
        assert_eq!(look(&[0x5a; 512], &header.log, 7, ALIGN), Look::Nothing);
        assert_eq!(look(&[], &header.log, 7, ALIGN), Look::Nothing);
    }

    proptest! {
        /// No flipped bit goes unnoticed, wherever it is: also those in the padding and in what tells frames from garbage.
        #[test]
        fn every_flipped_bit_is_noticed(payload in prop::collection::vec(any::<u8>(), 0..700), at: prop::sample::Index) {
            let (header, mut bytes) = frame(&payload);
            let bit = at.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(matches!(look(&bytes, &header.log, 7, ALIGN), Look::Broken(_)), "bit {bit}");
        }

        #[test]
        fn any_bytes_are_looked_at_without_panic(bytes: Vec<u8>) {
            let header = header(b"");
            let mut begun = b"PyFr\x01\x00".to_vec();
            begun.extend(&bytes);
            let _ = (look(&bytes, &header.log, 7, ALIGN), look(&begun, &header.log, 7, ALIGN));
        }
    }
}

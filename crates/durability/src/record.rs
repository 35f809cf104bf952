//! Records: one thing that must be replayed whole or not at all on its shard, as bytes in the payloads of frames.
//!
//! FORMAT.md draws them. A record may lie across frames; [`Assembler`] puts it together again.

use pinyon_base::ShardId;

use crate::bytes::{ReadVarint, VARINT_BYTES_MAX, Varint, put, read_varint};
use crate::frame::{FrameHeader, flag};
use crate::ids::{Epoch, Lsn};

const TAG_PART: u8 = 0x40;
const TAG_SEAL: u8 = 0x80;
/// Kinds that a caller may give to its records.
pub const KIND_MAX: u8 = 0x1f;

/// The share of one shard in a transaction over several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Number of the transaction, unlike any other of this run.
    pub transaction: u64,
    /// All shards that log a part of it, this one among them, ascending.
    pub shards: Vec<ShardId>,
}

/// A record out of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub lsn: Lsn,
    pub epoch: Epoch,
    /// Unix milliseconds of its frame.
    pub time: u64,
    /// The caller's; 0 for a seal.
    pub kind: u8,
    pub part: Option<Part>,
    /// The record seals its epoch; it has no bytes.
    pub seal: bool,
    pub bytes: &'a [u8],
}

/// What stands before the effects of a record that is no part of a transaction, and its length.
#[inline]
pub fn short_head(kind: u8, bytes: usize) -> ([u8; VARINT_BYTES_MAX + 1], usize) {
    assert!(kind <= KIND_MAX);
    let mut head = [0; VARINT_BYTES_MAX + 1];
    let length = Varint::new(1 + bytes as u64);
    let length = length.as_bytes();
    put(&mut head, 0, length);
    head[length.len()] = kind;
    (head, length.len() + 1)
}

/// The same for one that is a part of `transaction`, which these shards log parts of, ascending.
pub fn part_head(kind: u8, transaction: u64, shards: &[ShardId], bytes: usize) -> Vec<u8> {
    assert!(kind <= KIND_MAX);
    assert!(shards.is_sorted_by(|a, b| a < b), "the shards of a transaction, ascending");
    let mut head = Vec::with_capacity(16 + shards.len() * 3);
    head.push(kind | TAG_PART);
    head.extend(Varint::new(transaction).as_bytes());
    head.extend(Varint::new(shards.len() as u64).as_bytes());
    for shard in shards {
        head.extend(Varint::new(u64::from(shard.0)).as_bytes());
    }
    let length = Varint::new((head.len() + bytes) as u64);
    [length.as_bytes(), &head].concat()
}

/// A whole seal.
pub fn seal(epoch: Epoch) -> Vec<u8> {
    let epoch = Varint::new(epoch.0);
    let epoch = epoch.as_bytes();
    [&[1 + epoch.len() as u8, TAG_SEAL], epoch].concat()
}

/// Bytes with a right CRC that are no records: written by a program that is not this one, or not right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub lsn: Lsn,
    pub why: &'static str,
}

/// Turns the payloads of successive frames into records.
pub struct Assembler {
    buffer: Vec<u8>,
    /// How far `buffer` has been given out.
    at: usize,
    next: Lsn,
    epoch: Epoch,
    time: u64,
    seals: bool,
}

impl Assembler {
    /// For frames of which the first begins with the record `first`.
    pub fn new(first: Lsn) -> Assembler {
        Assembler { buffer: Vec::new(), at: 0, next: first, epoch: Epoch(0), time: 0, seals: false }
    }

    /// The next frame's payload. All records of the one before have been taken.
    pub fn push(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), Malformed> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let begun = Lsn(self.next.0 + u64::from(!self.buffer.is_empty()));
        if header.first_lsn != begun {
            return Err(self.malformed("a frame begins with another lsn than its number says"));
        }
        self.buffer.extend_from_slice(payload);
        (self.epoch, self.time, self.seals) = (header.epoch, header.time, header.has(flag::SEAL));
        Ok(())
    }

    /// Bytes of a record whose rest is still to come.
    pub fn unfinished(&self) -> bool {
        self.at < self.buffer.len()
    }

    /// The lsn of the next record.
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// Whether [`Assembler::next_record`] has a record.
    pub fn is_ready(&self) -> Result<bool, Malformed> {
        let rest = &self.buffer[self.at..];
        match read_varint(rest) {
            ReadVarint::Value(length, prefix) => Ok(length <= (rest.len() - prefix) as u64),
            ReadVarint::Short => Ok(false),
            ReadVarint::Bad => Err(self.malformed("the length of a record")),
        }
    }

    /// The next record that is there whole.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, Malformed> {
        if !self.is_ready()? {
            return Ok(None);
        }
        let ReadVarint::Value(length, prefix) = read_varint(&self.buffer[self.at..]) else { return Ok(None) };
        let body = prefix + length as usize;
        let lsn = self.next;
        let (start, end) = (self.at + prefix, self.at + body);
        let Some(record) = parse(&self.buffer[start..end], lsn, self.epoch, self.time) else {
            return Err(self.malformed("the head of a record"));
        };
        self.at = end;
        self.next = lsn.next();
        Ok(Some(record))
    }

    fn malformed(&self, why: &'static str) -> Malformed {
        Malformed { lsn: self.next, why }
    }
}

fn parse(body: &[u8], lsn: Lsn, epoch: Epoch, time: u64) -> Option<Record<'_>> {
    let (tag, mut rest) = body.split_first().map(|(tag, rest)| (*tag, rest))?;
    let number = |rest: &mut &[u8]| match read_varint(rest) {
        ReadVarint::Value(value, length) => {
            *rest = &rest[length..];
            Some(value)
        }
        ReadVarint::Short | ReadVarint::Bad => None,
    };
    let kind = tag & KIND_MAX;
    match tag & !KIND_MAX {
        0 => Some(Record { lsn, epoch, time, kind, part: None, seal: false, bytes: rest }),
        TAG_PART => {
            let transaction = number(&mut rest)?;
            let count = number(&mut rest)?;
            let mut shards = Vec::new();
            for _ in 0..count {
                shards.push(ShardId(u16::try_from(number(&mut rest)?).ok()?));
            }
            let part = Part { transaction, shards };
            Some(Record { lsn, epoch, time, kind, part: Some(part), seal: false, bytes: rest })
        }
        TAG_SEAL => {
            let sealed = number(&mut rest)?;
            (rest.is_empty() && sealed == epoch.0 && kind == 0).then_some(Record {
                lsn,
                epoch,
                time,
                kind,
                part: None,
                seal: true,
                bytes: rest,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{LogId, RunId, ServerId};
    use proptest::prelude::*;

    fn header(first_lsn: u64, epoch: u64) -> FrameHeader {
        FrameHeader {
            flags: 0,
            log: LogId { server: ServerId(1), run: RunId(1), shard: ShardId(0) },
            segment: 1,
            number: 1,
            durable: 0,
            durable_epoch: Epoch(0),
            epoch: Epoch(epoch),
            first_lsn: Lsn(first_lsn),
            records: 0,
            raw: 0,
            stored: 0,
            time: 9,
        }
    }

    fn record(kind: u8, effects: &[u8]) -> Vec<u8> {
        let (head, length) = short_head(kind, effects.len());
        [&head[..length], effects].concat()
    }

    #[test]
    fn records_of_all_shapes_come_back() {
        let mut payload = record(3, b"hello");
        let shards = [ShardId(0), ShardId(300)];
        payload.extend(part_head(31, 1 << 40, &shards, 2));
        payload.extend(b"ok");
        payload.extend(seal(Epoch(77)));
        let mut records = Assembler::new(Lsn(10));
        records.push(&header(10, 77), &payload).expect("begins with 10");
        let first = records.next_record().expect("well formed").expect("whole");
        assert_eq!(
            (first.lsn, first.kind, first.part, first.seal, first.bytes),
            (Lsn(10), 3, None, false, &b"hello"[..])
        );
        let second = records.next_record().expect("well formed").expect("whole");
        let part = Part { transaction: 1 << 40, shards: shards.to_vec() };
        assert_eq!((second.lsn, second.kind, second.part, second.bytes), (Lsn(11), 31, Some(part), &b"ok"[..]));
        let third = records.next_record().expect("well formed").expect("whole");
        assert!(third.seal && third.epoch == Epoch(77));
        assert_eq!(records.next_record(), Ok(None));
        assert!(!records.unfinished());
    }

    proptest! {
        /// However the stream is cut into frames, the same records come out.
        #[test]
        fn cuts_between_frames_do_not_matter(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20), piece in 1usize..200,
        ) {
            let mut stream = Vec::new();
            let mut begins = Vec::new();
            for value in &values {
                begins.push(stream.len());
                stream.extend(record(1, value));
            }
            let mut records = Assembler::new(Lsn(1));
            let mut found = Vec::new();
            for (i, bytes) in stream.chunks(piece).enumerate() {
                let before = begins.iter().filter(|begin| **begin < i * piece).count() as u64;
                records.push(&header(1 + before, 1), bytes).expect("the right lsn");
                while let Some(record) = records.next_record().expect("well formed") {
                    found.push(record.bytes.to_vec());
                }
            }
            prop_assert_eq!(found, values);
            prop_assert!(!records.unfinished());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let mut records = Assembler::new(Lsn(1));
            records.push(&header(1, 1), &bytes).expect("the right lsn");
            while let Ok(Some(_)) = records.next_record() {}
        }
    }
}

//! One shard's log while it is written: records go in, operations on segments come out, and come back done.
//!
//! It does no I/O itself. In each turn the owner appends what was changed and calls [`Log::commit`]; then it takes operations
//! from [`Log::next_op`] until there is none, carries them out in any order and hands each back to [`Log::complete`]. Several
//! may be under way. Segments are prepared elsewhere ([`crate::segment`]): [`Log::wants_segment`] asks for the next.
//!
//! Invariants: frames are numbered without gaps in the order of their records. What [`Log::durable`] says only grows, and
//! survives a power cut. After an operation failed for another reason than a full disk nothing is written any more, and
//! nothing more becomes durable.

use std::collections::VecDeque;
use std::mem;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use pinyon_base::ShardId;

use crate::aligned::AlignedBuffer;
use crate::disk::Trouble;
use crate::flight::{DurablePoint, Flight};
use crate::frame::{self, FrameHeader, HEADER_BYTES, flag};
use crate::ids::{Epoch, LogId, Lsn};
use crate::payload::Payload;
use crate::record;

/// Fewer bytes than this are not written before a seal or a sync asks for it, except under `always`. With 64 KiB pipelined
/// SETs were a tenth slower, measured: each write costs the core the disk's queue and its interrupt.
const WRITE_AT_BYTES: usize = 256 << 10;
/// Payloads below this are not worth compressing.
const COMPRESS_FROM_BYTES: usize = 1024;
/// Frames that are not tried after one that compressing made no shorter.
const SHY_FRAMES: u32 = 32;

/// How a log is written. All shards of a run have the same but for `id`.
#[derive(Clone, Debug)]
pub struct LogConfig {
    pub id: LogId,
    /// A power of two; what the segments' headers say.
    pub align: u32,
    /// Length of a segment file.
    pub segment_bytes: u64,
    /// Payload bytes of one frame before compression, at most. A frame must fit into a segment.
    pub frame_raw_max: usize,
    /// Writes under way at once.
    pub writes_max: usize,
    /// Whether frames that had to wait for the disk are compressed. Where the disk keeps up, compressing costs the core more
    /// than it saves: a fifth of the throughput of pipelined SETs, measured.
    pub compress: bool,
}

/// Where a log begins, or goes on after a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStart {
    pub segment: u64,
    pub frame: u64,
    pub lsn: Lsn,
}

impl LogStart {
    /// The start of a run.
    pub const FRESH: LogStart = LogStart { segment: 1, frame: 1, lsn: Lsn(1) };
}

/// Whether writes may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogState {
    Writing,
    /// No room for what comes; goes away when there is.
    Full,
    /// A write or a sync failed. Until the next start nothing is written.
    Poisoned,
}

/// An operation on a segment, to be carried out and given back.
pub struct Op {
    pub segment: u64,
    pub kind: OpKind,
}

pub enum OpKind {
    /// Write `buffer` at `offset`, both aligned. `sync`: as with O_DSYNC, ended only when durable.
    Write { frame: u64, offset: u64, sync: bool, buffer: AlignedBuffer },
    /// As fdatasync does.
    Sync,
}

/// Records that become one frame.
#[derive(Default)]
struct Chunk {
    payload: Payload,
    first_lsn: Lsn,
    records: u32,
    epoch: Epoch,
    always: bool,
    continues: bool,
    seals: bool,
    /// The next frame begins a segment.
    rotates: bool,
}

pub struct Log {
    config: LogConfig,
    state: LogState,
    epoch: Epoch,
    always: bool,
    next_lsn: Lsn,
    open: Chunk,
    closed: VecDeque<Chunk>,
    /// The turn has ended: what is open may be written.
    due: bool,
    /// Where the next frame goes.
    segment: u64,
    offset: u64,
    rotate: bool,
    next_frame: u64,
    /// Segments that are prepared, in order, and the last that was asked for.
    ready: VecDeque<u64>,
    asked: u64,
    no_room: bool,
    /// The last rotation that was asked for: the epoch before it, and where the log went on.
    rotation: Option<(Epoch, LogStart)>,
    /// Bytes written before it.
    rotated_bytes: u64,
    flight: Flight,
    /// Writes that found no room, and how many of them are to be tried again now.
    refused: VecDeque<Op>,
    retries: usize,
    durable_epoch: Epoch,
    time: u64,
    /// What is to be written has waited for earlier writes.
    behind: bool,
    table: CompressTable,
    shy: u32,
    /// Memory of frames that were written.
    buffers: Vec<AlignedBuffer>,
    bytes_written: u64,
    /// The last seal.
    sealed: Lsn,
}

impl Log {
    /// A log that goes on at `start`, whose segment is prepared; its records belong to `epoch`.
    pub fn new(config: LogConfig, start: LogStart, epoch: Epoch, always: bool) -> Log {
        let frame_max = frame::extent(config.frame_raw_max, config.align);
        assert!(frame_max + u64::from(config.align) <= config.segment_bytes, "a frame fits into a segment");
        assert!(config.frame_raw_max <= frame::RAW_BYTES_MAX as usize && config.writes_max > 0);
        let before = DurablePoint { frame: start.frame - 1, lsn: Lsn(start.lsn.0 - 1), sealed: Epoch(epoch.0 - 1) };
        let mut log = Log {
            state: LogState::Writing,
            epoch,
            always,
            next_lsn: start.lsn,
            open: Chunk::default(),
            closed: VecDeque::new(),
            due: false,
            segment: start.segment,
            offset: u64::from(config.align),
            rotate: false,
            next_frame: start.frame,
            ready: VecDeque::new(),
            asked: start.segment,
            no_room: false,
            rotation: None,
            rotated_bytes: 0,
            flight: Flight::new(before),
            refused: VecDeque::new(),
            retries: 0,
            durable_epoch: before.sealed,
            time: 0,
            behind: false,
            table: CompressTable::large(),
            shy: 0,
            buffers: Vec::new(),
            bytes_written: 0,
            sealed: Lsn(start.lsn.0 - 1),
            config,
        };
        log.open = log.empty_chunk();
        log
    }

    // ------------------------------------------------------------------------------------------------------- appending

    /// Appends a record of `kind` (at most [`record::KIND_MAX`]) with these effects. `part` says of which transaction,
    /// and which shards log a part of it, ascending.
    #[inline]
    pub fn append(&mut self, kind: u8, part: Option<(u64, &[ShardId])>, effects: &[u8]) -> Lsn {
        let lsn = self.begin_record();
        match part {
            None => {
                let (head, length) = record::short_head(kind, effects.len());
                self.put(&head[..length]);
            }
            Some((transaction, shards)) => self.put(&record::part_head(kind, transaction, shards, effects.len())),
        }
        self.put(effects);
        lsn
    }

    /// Ends the epoch that the log is in: all later records belong to the next. `always` says how that one is written.
    /// `rotate`: it begins in a segment of its own, and [`Log::take_rotation`] will say where.
    pub fn seal(&mut self, always: bool, rotate: bool) -> Lsn {
        let lsn = self.begin_record();
        self.sealed = lsn;
        self.put(&record::seal(self.epoch));
        self.open.seals = true;
        self.open.rotates = rotate;
        self.epoch = self.epoch.next();
        self.always = always;
        self.close_open();
        lsn
    }

    /// The turn has ended at `time` (unix milliseconds): what was appended may be written. `durable_epoch`: all shards have
    /// this one's seal on the disk.
    pub fn commit(&mut self, time: u64, durable_epoch: Epoch) {
        self.time = time;
        self.durable_epoch = self.durable_epoch.max(durable_epoch);
        self.due |= !self.open.payload.is_empty() && (self.open.always || self.open.payload.len() >= WRITE_AT_BYTES);
    }

    /// What was appended so far is to become durable now, whatever the policy.
    pub fn want_sync(&mut self) {
        self.close_open();
        let last = self.next_frame + self.closed.len() as u64 - 1;
        self.flight.want_sync(last);
    }

    fn begin_record(&mut self) -> Lsn {
        if self.open.payload.len() >= self.config.frame_raw_max {
            self.close_open();
        }
        let lsn = self.next_lsn;
        self.next_lsn = lsn.next();
        self.open.records += 1;
        lsn
    }

    /// Bytes of the record that was begun, over as many chunks as they need.
    #[inline]
    fn put(&mut self, mut piece: &[u8]) {
        loop {
            let room = self.config.frame_raw_max - self.open.payload.len();
            let (now, later) = piece.split_at(piece.len().min(room));
            self.open.payload.extend(now, self.config.align, self.config.frame_raw_max);
            if later.is_empty() {
                return;
            }
            // The open chunk is full within a record.
            self.open.continues = true;
            self.close_open();
            piece = later;
        }
    }

    fn close_open(&mut self) {
        if self.open.payload.is_empty() {
            return;
        }
        let mut next = self.empty_chunk();
        next.payload = self.buffers.pop().map(|buffer| Payload::reuse(buffer, self.config.align)).unwrap_or_default();
        self.closed.push_back(mem::replace(&mut self.open, next));
        self.due = false;
    }

    fn empty_chunk(&self) -> Chunk {
        Chunk { first_lsn: self.next_lsn, epoch: self.epoch, always: self.always, ..Chunk::default() }
    }

    // ------------------------------------------------------------------------------------------------------ operations

    /// The next operation to carry out, if there is one now.
    pub fn next_op(&mut self) -> Option<Op> {
        if self.state == LogState::Poisoned {
            return None;
        }
        if self.retries > 0 {
            self.retries -= 1;
            return self.refused.pop_front();
        }
        if !self.refused.is_empty() {
            return None;
        }
        if let Some(op) = self.next_write() {
            return Some(op);
        }
        self.flight.begin_sync().map(|segment| Op { segment, kind: OpKind::Sync })
    }

    fn next_write(&mut self) -> Option<Op> {
        if self.flight.writes() >= self.config.writes_max {
            self.behind |= self.due || !self.closed.is_empty();
            return None;
        }
        if self.closed.is_empty() && self.due {
            self.close_open();
        }
        let raw = self.closed.front()?.payload.len();
        if !self.make_room(frame::extent(raw, self.config.align)) {
            self.update_state();
            return None;
        }
        let chunk = self.closed.pop_front()?;
        let op = self.build(chunk);
        self.behind &= !self.closed.is_empty();
        Some(op)
    }

    /// Goes on to the next segment if the one in use has no room for `extent` bytes more. `false`: it is not prepared.
    fn make_room(&mut self, extent: u64) -> bool {
        if !self.rotate && self.offset + extent <= self.config.segment_bytes {
            return true;
        }
        let Some(next) = self.ready.pop_front() else { return false };
        self.segment = next;
        self.offset = u64::from(self.config.align);
        if mem::take(&mut self.rotate)
            && let Some((_, start)) = &mut self.rotation
        {
            start.segment = next;
        }
        true
    }

    fn build(&mut self, mut chunk: Chunk) -> Op {
        let raw = chunk.payload.len();
        let (mut buffer, stored, lz4) = self.pack(mem::take(&mut chunk.payload));
        let set = |flag: u16, on: bool| if on { flag } else { 0 };
        let header = FrameHeader {
            flags: set(flag::LZ4, lz4)
                | set(flag::CONTINUES, chunk.continues)
                | set(flag::ALWAYS, chunk.always)
                | set(flag::SEAL, chunk.seals),
            log: self.config.id,
            segment: self.segment,
            number: self.next_frame,
            durable: self.flight.durable().frame,
            durable_epoch: self.durable_epoch,
            epoch: chunk.epoch,
            first_lsn: chunk.first_lsn,
            records: chunk.records,
            raw: raw as u32,
            stored: stored as u32,
            time: self.time,
        };
        header.write(&mut buffer);
        let (frame, offset, extent) = (self.next_frame, self.offset, buffer.len() as u64);
        self.next_frame += 1;
        self.offset += extent;
        self.bytes_written += extent;
        if chunk.rotates {
            self.rotate = true;
            let start = LogStart { segment: 0, frame: self.next_frame, lsn: header.next_lsn() };
            self.rotation = Some((chunk.epoch, start));
            self.rotated_bytes = self.bytes_written;
            // Known at once where it goes on; otherwise when the segment is prepared.
            self.make_room(0);
        }
        self.flight.sent(header.segment, header.last_complete(), chunk.seals.then_some(chunk.epoch));
        Op { segment: header.segment, kind: OpKind::Write { frame, offset, sync: chunk.always, buffer } }
    }

    /// A buffer of a frame's extent with the payload in its place; its stored length, and whether that is compressed.
    fn pack(&mut self, payload: Payload) -> (AlignedBuffer, usize, bool) {
        let (align, raw) = (self.config.align, payload.len());
        if self.config.compress && self.behind && raw >= COMPRESS_FROM_BYTES && self.shy == 0 {
            let room = frame::extent(get_maximum_output_size(raw), align) as usize;
            let mut buffer = self.buffer(room);
            let packed = compress_into_with_table(payload.bytes(), &mut buffer[HEADER_BYTES..], &mut self.table);
            if let Ok(stored) = packed
                && frame::extent(stored, align) < frame::extent(raw, align)
            {
                self.keep(payload.into_buffer());
                return (buffer.shortened(frame::extent(stored, align) as usize), stored, true);
            }
            self.keep(buffer);
            self.shy = SHY_FRAMES;
        }
        self.shy = self.shy.saturating_sub(1);
        (payload.into_frame(align), raw, false)
    }

    fn buffer(&mut self, length: usize) -> AlignedBuffer {
        let kept = self.buffers.pop().and_then(|buffer| buffer.reuse(length));
        kept.unwrap_or_else(|| AlignedBuffer::new(length, self.config.align))
    }

    /// Memory for later frames: those that are under way at once, and as many that are filled meanwhile. The longest are kept.
    fn keep(&mut self, buffer: AlignedBuffer) {
        let buffer = buffer.whole();
        if self.buffers.len() < 2 * self.config.writes_max {
            self.buffers.push(buffer);
        } else if let Some(least) = self.buffers.iter_mut().min_by_key(|kept| kept.len())
            && least.len() < buffer.len()
        {
            *least = buffer;
        }
    }

    /// How an operation ended.
    pub fn complete(&mut self, op: Op, result: Result<(), Trouble>) {
        match (op.kind, result) {
            (OpKind::Write { frame, sync, buffer, .. }, Ok(())) => {
                self.flight.written(frame, sync);
                self.keep(buffer);
            }
            (OpKind::Sync, Ok(())) => self.flight.synced(op.segment),
            // Nothing was promised of a write that found no room: it is made again, when there may be some.
            (kind @ OpKind::Write { .. }, Err(Trouble::Full)) => {
                self.refused.push_back(Op { segment: op.segment, kind });
            }
            (_, Err(_)) => self.state = LogState::Poisoned,
        }
        self.update_state();
    }

    fn update_state(&mut self) {
        if self.state != LogState::Poisoned {
            let low = self.ready.is_empty() && self.config.segment_bytes - self.offset < self.config.segment_bytes / 4;
            let stuck = !self.refused.is_empty() || self.no_room && (low || !self.closed.is_empty());
            self.state = if stuck { LogState::Full } else { LogState::Writing };
        }
    }

    // -------------------------------------------------------------------------------------------------------- segments

    /// The segment to prepare next, once; then [`Log::segment_ready`] or [`Log::segment_failed`] is called for it. One is
    /// always kept ready.
    pub fn wants_segment(&mut self) -> Option<u64> {
        let last = self.ready.back().copied().unwrap_or(self.segment);
        if self.state == LogState::Poisoned || !self.ready.is_empty() || self.asked > last {
            return None;
        }
        self.asked = last + 1;
        Some(self.asked)
    }

    /// Segment `number`, the one asked for, is prepared: written, named, and its name durable.
    pub fn segment_ready(&mut self, number: u64) {
        assert_eq!(number, self.asked, "segments are prepared in order");
        self.ready.push_back(number);
        self.no_room = false;
        if self.rotate {
            self.make_room(0);
        }
        self.update_state();
    }

    /// It could not be prepared; it will be asked for again. `full`: for lack of room.
    pub fn segment_failed(&mut self, full: bool) {
        self.asked -= 1;
        self.no_room |= full;
        self.update_state();
    }

    /// The writes that found no room are tried again.
    pub fn try_again(&mut self) {
        self.retries = self.refused.len();
    }

    // -------------------------------------------------------------------------------------------------- what it came to

    pub fn state(&self) -> LogState {
        self.state
    }

    pub fn durable(&self) -> DurablePoint {
        self.flight.durable()
    }

    /// The last record appended.
    pub fn last_lsn(&self) -> Lsn {
        Lsn(self.next_lsn.0 - 1)
    }

    /// The epoch that records are appended to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// There are records behind the last seal.
    pub fn has_unsealed(&self) -> bool {
        self.last_lsn() > self.sealed
    }

    /// Replies to records appended now have to wait (`appendfsync always`).
    pub fn is_always(&self) -> bool {
        self.always
    }

    /// Bytes of records that no operation has been made for yet.
    pub fn backlog_bytes(&self) -> usize {
        self.open.payload.len() + self.closed.iter().map(|chunk| chunk.payload.len()).sum::<usize>()
    }

    /// Bytes that operations were made for, frames with all that is around their records.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// As [`Log::bytes_written`], when the log was rotated last.
    pub fn bytes_rotated(&self) -> u64 {
        self.rotated_bytes
    }

    /// The segment that the last frame went to.
    pub fn segment(&self) -> u64 {
        self.segment
    }

    /// The first segment that operations may still name: files before it may be closed, and recycled if no manifest names
    /// them.
    pub fn oldest_segment(&self) -> u64 {
        let refused = self.refused.iter().map(|op| op.segment);
        let oldest = self.flight.oldest_segment().into_iter().chain(refused).min();
        oldest.unwrap_or(self.segment)
    }

    /// Where the log went on after the last seal that was to rotate it, and the epoch that seal ended; once.
    pub fn take_rotation(&mut self) -> Option<(Epoch, LogStart)> {
        self.rotation.take_if(|(_, start)| start.segment != 0)
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;

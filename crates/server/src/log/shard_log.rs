//! One core's log with what belongs to it, and how changes become records.
//!
//! The shard's journal collects what commands change. Between commands it goes into the log as one record; what belongs
//! together (an EXEC, all steps of a transaction on this shard) is kept back until it is whole. So the order of records is
//! the order of changes, and a record is what is replayed whole or not at all.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use pinyon_base::ShardId;
use pinyon_durability::segment::{SegmentHeader, SegmentMaker};
use pinyon_durability::{Durable, Epoch, Log, LogConfig, LogStart, Lsn, OpKind, RunId, StdDisk};
use pinyon_engine::command::keys_of::KeyPlan;
use pinyon_engine::command::registry::{CommandId, registry};

use super::{Logged, Trouble, Writers};
use crate::exec::{Change, Exec};
use crate::slab::Slab;

/// The kind of records that hold operations of the engine.
pub(super) const OPERATIONS: u8 = 1;
/// Of segments: what O_DIRECT needs on any disk.
pub(super) const ALIGN: u32 = 4096;
/// Bytes of records in one frame, at most.
const FRAME_RAW_MAX: usize = 256 << 10;
/// Writes under way at once.
const WRITES_MAX: usize = 4;
/// Places for the last writes by key, which reads look at under `appendfsync always`.
const RECENT_PLACES: usize = 1 << 14;

/// What a shard's log of a new run begins with.
pub(super) struct Seat {
    pub header: SegmentHeader,
    pub maker: SegmentMaker,
    /// The first segment.
    pub file: OwnedFd,
}

/// An operation that the ring has.
pub(super) struct UnderWay {
    pub segment: u64,
    pub what: What,
}

pub(super) enum What {
    Write { frame: u64, offset: u64, sync: bool },
    Sync,
}

/// A transaction's changes on this shard, until its last step here has run.
struct OpenPart {
    transaction: u64,
    writers: Writers,
    operations: Vec<u8>,
}

/// See the file's head.
pub(crate) struct ShardLog {
    pub log: Log,
    pub durable: Durable,
    /// Of the segments, but for their number.
    header: SegmentHeader,
    pub(super) disk: &'static StdDisk,
    /// Away while it makes a segment.
    pub(super) maker: Option<SegmentMaker>,
    pub(super) files: VecDeque<(u64, Rc<OwnedFd>)>,
    pub(super) under_way: Slab<UnderWay>,
    parts: Vec<OpenPart>,
    /// Changes are kept back: they belong together.
    grouped: bool,
    /// The first core knows that something was logged since the last cut.
    pub(crate) told_write: bool,
    /// The server ends when this is durable: the seal of the last cut. What expires later is not waited for.
    pub(super) ends_at: Option<Lsn>,
    /// Nothing is appended behind this seal any more, and when all of it is on the disk the log is over (`appendonly no`).
    pub(super) stopped_at: Option<Lsn>,
    /// A start finds what is in it: the snapshot on which it builds is on the disk.
    pub(super) counts: bool,
    /// The first core knows that it has stopped.
    pub(super) told_stopped: bool,
    /// When what failed for lack of room is tried again, in monotonic µs; 0 = nothing did.
    pub(super) retry_at_us: u64,
    /// What the other cores were told last.
    pub(super) trouble: Option<Trouble>,
    /// What failed last, in the system's words, and what there was no room for last.
    pub(super) words: String,
    pub(super) full_words: String,
    /// Syncs under way.
    pub(super) syncs: u64,
    /// Bytes that had been written at the cut of the last snapshot.
    pub(crate) saved_bytes: u64,
    /// Syncs that were due while another one was under way.
    pub(super) delayed_syncs: u64,
    /// The number of the error that writes fail with, and new segments, for tests.
    pub(crate) fault: Option<i32>,
    pub(crate) segment_fault: Option<i32>,
}

impl ShardLog {
    /// For a run that begins after the epoch `base`, with its first segment.
    pub(super) fn new(seat: Seat, disk: &'static StdDisk, base: Epoch, always: bool) -> ShardLog {
        let Seat { header, maker, file } = seat;
        let config = LogConfig {
            id: header.log,
            align: header.align,
            segment_bytes: header.bytes,
            frame_raw_max: FRAME_RAW_MAX.min(header.bytes as usize / 4),
            writes_max: WRITES_MAX,
            compress: true,
        };
        let before = vec![Lsn(0); usize::from(header.shards)];
        ShardLog {
            log: Log::new(config, LogStart::FRESH, base.next(), always),
            durable: Durable::new(header.log.shard, &before, base, RECENT_PLACES),
            header,
            disk,
            maker: Some(maker),
            files: VecDeque::from([(LogStart::FRESH.segment, Rc::new(file))]),
            under_way: Slab::default(),
            parts: Vec::new(),
            grouped: false,
            told_write: false,
            ends_at: None,
            stopped_at: None,
            counts: true,
            told_stopped: false,
            retry_at_us: 0,
            trouble: None,
            words: String::new(),
            full_words: String::new(),
            syncs: 0,
            saved_bytes: 0,
            delayed_syncs: 0,
            fault: None,
            segment_fault: None,
        }
    }

    pub(super) fn shard(&self) -> ShardId {
        self.header.log.shard
    }

    pub(crate) fn run(&self) -> RunId {
        self.header.log.run
    }

    /// Whether a transaction has changed something that is written down with its last step.
    pub(crate) fn has_open_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// Bytes since the last snapshot.
    pub(crate) fn grown_bytes(&self) -> u64 {
        self.log.bytes_written().saturating_sub(self.saved_bytes)
    }

    /// Nobody else works on its files now.
    pub(super) fn is_quiet(&self) -> bool {
        self.under_way.is_empty() && self.maker.is_some()
    }

    /// The header of segment `number`.
    pub(super) fn header(&self, number: u64) -> SegmentHeader {
        SegmentHeader { segment: number, ..self.header }
    }

    /// The descriptor of a segment that operations name.
    pub(super) fn file(&self, segment: u64) -> Option<&Rc<OwnedFd>> {
        self.files.iter().find(|(number, _)| *number == segment).map(|(_, file)| file)
    }

    /// The operation kept as `under_way`, whole again.
    pub(super) fn operation(
        &mut self,
        token: u64,
        buffer: Option<pinyon_durability::AlignedBuffer>,
    ) -> Option<pinyon_durability::Op> {
        let UnderWay { segment, what } = self.under_way.remove(token as u32);
        let kind = match what {
            What::Write { frame, offset, sync } => OpKind::Write { frame, offset, sync, buffer: buffer? },
            What::Sync => OpKind::Sync,
        };
        Some(pinyon_durability::Op { segment, kind })
    }

    /// Appends a record of these operations. `key`: the hash of the one key that they change; none: any may be.
    fn append(&mut self, part: Option<(u64, &[ShardId])>, operations: &[u8], key: Option<u64>) -> Lsn {
        let lsn = self.log.append(OPERATIONS, part, operations);
        if self.log.is_always() {
            match key {
                Some(hash) => self.durable.wrote(hash, lsn),
                None => self.durable.wrote_all(lsn),
            }
        }
        lsn
    }

    fn part(&mut self, transaction: u64) -> &mut OpenPart {
        let at = self.parts.iter().position(|part| part.transaction == transaction).unwrap_or_else(|| {
            self.parts.push(OpenPart { transaction, writers: None, operations: Vec::new() });
            self.parts.len() - 1
        });
        &mut self.parts[at]
    }

    /// Appends what a transaction has done on this shard: its last step here has run. With other shards it is a part.
    fn finish_part(&mut self, transaction: u64) -> Logged {
        let Some(at) = self.parts.iter().position(|part| part.transaction == transaction) else {
            let lsn = if self.log.is_always() { self.durable.unstable_any() } else { None };
            return Logged { lsn: lsn.unwrap_or_default(), wrote: false };
        };
        let OpenPart { writers, operations, .. } = self.parts.swap_remove(at);
        let writers = writers.unwrap_or_default();
        let several = writers.len() > 1;
        if operations.is_empty() && !several {
            return Logged::default();
        }
        let lsn = self.append(several.then_some((transaction, &*writers)), &operations, None);
        if several {
            self.durable.part(lsn, transaction);
        }
        Logged { lsn, wrote: true }
    }
}

impl Exec {
    /// Whether changes are logged.
    #[inline]
    pub(crate) fn logs(&self) -> bool {
        self.log.as_ref().is_some_and(|log| !log.is_stopped())
    }

    /// The hash of a command's first key, if it never has another.
    pub(crate) fn only_key(&self, command: CommandId, hash: u64) -> Option<u64> {
        (hash != 0 && matches!(registry().entry(command).keys, KeyPlan::One(_))).then_some(hash)
    }

    pub(crate) fn log_change(&mut self, change: &Change<'_>) {
        self.shard.record(change.db, change.command, change.args, change.effect);
        // Only `appendfsync always` wants to know of keys.
        let key = if self.holds { self.only_key(change.command, change.key) } else { None };
        self.log_changes(key);
    }

    /// Puts what the journal holds into the log, as one record, unless more belongs to it.
    #[inline]
    pub(crate) fn log_changes(&mut self, key: Option<u64>) {
        let Some(log) = &mut self.log else { return };
        let journal = self.shard.journal_mut();
        if journal.is_empty() || log.grouped {
            return;
        }
        log.append(None, journal.operations(), key);
        journal.clear();
    }

    /// What is changed from here on is one record, until [`Exec::end_group`].
    #[inline]
    pub(crate) fn begin_group(&mut self) {
        // What the keyspace has removed by itself comes before it.
        self.log_changes(None);
        if let Some(log) = &mut self.log {
            log.grouped = true;
        }
    }

    #[inline]
    pub(crate) fn end_group(&mut self) {
        if let Some(log) = &mut self.log {
            log.grouped = false;
        }
        self.log_changes(None);
    }

    /// A step of a transaction has run within a group: its changes wait for those of the other steps.
    pub(crate) fn end_step(&mut self, transaction: u64) {
        let Some(log) = &mut self.log else { return };
        log.grouped = false;
        let journal = self.shard.journal_mut();
        if !journal.is_empty() {
            log.part(transaction).operations.extend_from_slice(journal.operations());
            journal.clear();
        }
    }

    /// These shards log a part of a transaction of which this one is asked for its last step.
    pub(crate) fn note_writers(&mut self, transaction: u64, writers: Writers) {
        if let Some(log) = &mut self.log
            && writers.as_ref().is_some_and(|writers| writers.contains(&log.shard()))
        {
            log.part(transaction).writers = writers;
        }
    }

    /// A transaction's last step on this shard has run.
    pub(crate) fn finish_part(&mut self, transaction: u64) -> Option<Logged> {
        Some(self.log.as_mut()?.finish_part(transaction))
    }
}

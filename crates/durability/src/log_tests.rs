//! The log against segments in memory: what goes in comes out of the frames again, however the operations end.

use std::collections::BTreeMap;

use pinyon_base::ShardId;
use proptest::prelude::*;

use super::*;
use crate::frame::{Look, look};
use crate::ids::{RunId, ServerId};
use crate::record::Assembler;

const ALIGN: u32 = 512;
const SEGMENT_BYTES: u64 = 8 << 10;

fn config() -> LogConfig {
    LogConfig {
        id: LogId { server: ServerId(77), run: RunId(1), shard: ShardId(0) },
        align: ALIGN,
        segment_bytes: SEGMENT_BYTES,
        frame_raw_max: 2000,
        writes_max: 3,
        compress: true,
    }
}

fn log(always: bool) -> Log {
    Log::new(config(), LogStart::FRESH, Epoch(1), always)
}

/// Segments in memory, to which writes go at once.
#[derive(Default)]
struct Segments(BTreeMap<u64, Vec<u8>>);

impl Segments {
    fn carry_out(&mut self, op: &Op) {
        let file = self.0.entry(op.segment).or_insert_with(|| vec![0; SEGMENT_BYTES as usize]);
        if let OpKind::Write { offset, buffer, .. } = &op.kind {
            crate::bytes::put(file, *offset as usize, buffer);
        }
    }

    /// Carries out all there is to do, and prepares segments as they are wanted.
    fn run(&mut self, log: &mut Log) {
        loop {
            if let Some(number) = log.wants_segment() {
                log.segment_ready(number);
            }
            let Some(op) = log.next_op() else { return };
            self.carry_out(&op);
            log.complete(op, Ok(()));
        }
    }

    /// All records with their lsns, epochs and bytes; seals as `None`.
    fn records(&self) -> Vec<(u64, u64, Option<Vec<u8>>)> {
        let mut records = Assembler::new(Lsn(1));
        let (mut found, mut number) = (Vec::new(), 1);
        for (segment, bytes) in &self.0 {
            let mut at = ALIGN as usize;
            while let Look::Frame(header) = look(&bytes[at..], &config().id, *segment, ALIGN) {
                assert_eq!(header.number, number);
                let payload = header.payload(&bytes[at..]).expect("unpacks");
                records.push(&header, &payload).expect("in order");
                while let Some(record) = records.next_record().expect("well formed") {
                    found.push((record.lsn.0, record.epoch.0, (!record.seal).then(|| record.bytes.to_vec())));
                }
                number += 1;
                at += header.extent(ALIGN) as usize;
            }
        }
        found
    }
}

#[test]
fn under_always_a_turn_is_a_frame_and_durable_when_written() {
    let (mut log, mut disk) = (log(true), Segments::default());
    log.append(1, None, b"SET a 1");
    log.append(1, None, b"SET b 2");
    log.commit(5, Epoch(0));
    let op = log.next_op().expect("a write");
    assert!(matches!(op.kind, OpKind::Write { sync: true, offset: 512, .. }));
    disk.carry_out(&op);
    assert_eq!(log.durable().lsn, Lsn(0));
    log.complete(op, Ok(()));
    assert_eq!(log.durable().lsn, Lsn(2));
    assert_eq!(disk.records(), [(1, 1, Some(b"SET a 1".to_vec())), (2, 1, Some(b"SET b 2".to_vec()))]);
}

#[test]
fn commits_beyond_the_limit_wait_and_go_together() {
    let mut log = log(true);
    let mut ops = Vec::new();
    for _ in 0..6 {
        log.append(1, None, b"x");
        log.commit(5, Epoch(0));
        ops.extend(log.next_op());
    }
    assert_eq!(ops.len(), 3);
    let last = ops.pop().expect("the third");
    log.complete(last, Ok(()));
    assert_eq!(log.durable().lsn, Lsn(0), "two before it are not done");
    ops.into_iter().for_each(|op| log.complete(op, Ok(())));
    assert_eq!(log.durable().lsn, Lsn(3));
    let op = log.next_op().expect("the other three");
    assert!(log.next_op().is_none());
    log.complete(op, Ok(()));
    assert_eq!(log.durable().lsn, Lsn(6));
}

#[test]
fn without_always_only_a_sync_makes_durable() {
    let (mut log, mut disk) = (log(false), Segments::default());
    log.append(1, None, b"x");
    log.commit(5, Epoch(0));
    assert!(log.next_op().is_none(), "a few bytes wait for the seal");
    log.seal(false, false);
    disk.run(&mut log);
    assert_eq!((log.durable().lsn, disk.records().len()), (Lsn(0), 2));
    log.want_sync();
    disk.run(&mut log);
    assert_eq!((log.durable().lsn, log.durable().sealed), (Lsn(2), Epoch(1)));
}

#[test]
fn a_rotation_says_where_the_log_goes_on() {
    let (mut log, mut disk) = (log(false), Segments::default());
    log.append(1, None, b"before");
    log.seal(false, true);
    log.append(1, None, b"after");
    log.want_sync();
    disk.run(&mut log);
    assert_eq!(log.take_rotation(), Some((Epoch(1), LogStart { segment: 2, frame: 2, lsn: Lsn(3) })));
    assert_eq!(log.take_rotation(), None);
    assert_eq!(disk.0.len(), 2);
    assert_eq!(disk.records().len(), 3);
}

#[test]
fn a_failed_operation_poisons() {
    let mut log = log(true);
    log.append(1, None, b"x");
    log.commit(5, Epoch(0));
    let op = log.next_op().expect("a write");
    log.complete(op, Err(Trouble::Io(std::io::Error::other("broken"))));
    log.append(1, None, b"y");
    log.commit(6, Epoch(0));
    assert!(log.next_op().is_none());
    assert_eq!((log.state(), log.durable().lsn), (LogState::Poisoned, Lsn(0)));
}

#[test]
fn a_full_disk_is_waited_for() {
    let (mut log, mut disk) = (log(true), Segments::default());
    log.append(1, None, b"x");
    log.commit(5, Epoch(0));
    let op = log.next_op().expect("a write");
    log.complete(op, Err(Trouble::Full));
    assert_eq!(log.state(), LogState::Full);
    assert!(log.next_op().is_none());
    log.try_again();
    disk.run(&mut log);
    assert_eq!((log.state(), log.durable().lsn, disk.records().len()), (LogState::Writing, Lsn(1), 1));
    // No segment to go on in.
    while log.state() == LogState::Writing {
        if log.wants_segment().is_some() {
            log.segment_failed(true);
        }
        log.append(1, None, &[7; 900]);
        log.commit(5, Epoch(0));
        while let Some(op) = log.next_op() {
            disk.carry_out(&op);
            log.complete(op, Ok(()));
        }
    }
    assert_eq!(log.state(), LogState::Full);
    disk.run(&mut log);
    assert_eq!((log.state(), log.durable().lsn), (LogState::Writing, log.last_lsn()));
}

/// With several writes under way all of them may find the disk full: the log was given up for good at the second one.
#[test]
fn any_number_of_writes_may_find_a_full_disk() {
    let (mut log, mut disk) = (log(true), Segments::default());
    let mut ops = Vec::new();
    for _ in 0..2 {
        log.append(1, None, b"x");
        log.commit(5, Epoch(0));
        ops.push(log.next_op().expect("a write"));
    }
    for op in ops {
        log.complete(op, Err(Trouble::Full));
    }
    assert_eq!(log.state(), LogState::Full);
    // Still no room for either, while more is appended.
    log.append(1, None, b"y");
    log.commit(5, Epoch(0));
    log.try_again();
    let (first, second) = (log.next_op().expect("again"), log.next_op().expect("again"));
    log.complete(first, Err(Trouble::Full));
    assert!(log.next_op().is_none());
    log.complete(second, Err(Trouble::Full));
    assert_eq!(log.state(), LogState::Full);
    log.try_again();
    disk.run(&mut log);
    assert_eq!((log.state(), log.durable().lsn, disk.records().len()), (LogState::Writing, Lsn(3), 3));
}

proptest! {
    /// Records of any length, turns, seals and rotations: all of it is there again, in order, after a sync.
    #[test]
    fn what_goes_in_comes_out(steps in prop::collection::vec((0usize..12, 0usize..6000, any::<u8>()), 1..60), always: bool) {
        let (mut log, mut disk) = (log(always), Segments::default());
        let mut expected = Vec::new();
        for (what, length, byte) in steps {
            let epoch = log.epoch().0;
            match what {
                0..8 => {
                    let value: Vec<u8> = (0..length).map(|i| byte ^ (i / 97) as u8).collect();
                    let lsn = log.append(byte & 31, None, &value);
                    expected.push((lsn.0, epoch, Some(value)));
                }
                8 | 9 => expected.push((log.seal(always, what == 9).0, epoch, None)),
                _ => log.commit(1, Epoch(0)),
            }
            if what % 3 == 0 {
                disk.run(&mut log);
            }
        }
        log.want_sync();
        disk.run(&mut log);
        prop_assert_eq!(log.durable().lsn, log.last_lsn());
        prop_assert_eq!(disk.records(), expected);
    }
}

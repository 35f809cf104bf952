//! Streams against a plain map, groups against plain sets, and that blocks end where Redis's nodes do.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Entry = Vec<(Vec<u8>, Vec<u8>)>;
type Model = BTreeMap<StreamId, Entry>;

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId { ms, seq }
}

fn owned(fields: Fields<'_>) -> Entry {
    assert_eq!(fields.iter().count(), fields.len());
    fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

fn add(stream: &mut Stream, id: StreamId, entry: &Entry, limits: &BlockLimits) {
    let fields: Vec<(&[u8], &[u8])> = entry.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    stream.add(id, &fields, limits);
}

fn range(stream: &Stream, from: StreamId, to: StreamId, reverse: bool) -> Vec<(StreamId, Entry)> {
    let mut found = Vec::new();
    stream.walk(from, to, reverse, &mut |id, fields| {
        found.push((id, owned(fields)));
        true
    });
    found
}

fn check(stream: &Stream, model: &Model) {
    assert_eq!(stream.len(), model.len() as u64);
    let expected: Vec<_> = model.iter().map(|(id, entry)| (*id, entry.clone())).collect();
    assert_eq!(range(stream, StreamId::MIN, StreamId::MAX, false), expected);
    let ends = model.first_key_value().zip(model.last_key_value()).map(|((first, _), (last, _))| (*first, *last));
    assert_eq!(stream.first_entry().zip(stream.last_entry()), ends);
    assert_eq!(stream.block_bytes, stream.tree.bodies().map(Block::memory).sum::<usize>());
}

#[derive(Clone, Debug)]
enum Step {
    Add(u64, u64, Entry),
    Delete(usize),
    TrimLength(u64, bool, u64),
    TrimFrom(usize, bool),
    Range(usize, usize, bool),
}

fn entry() -> impl Strategy<Value = Entry> {
    let value = prop_oneof![
        (0i64..1000).prop_map(|value| value.to_string().into_bytes()),
        "[a-z]{0,12}".prop_map(String::into_bytes),
        (0usize..300).prop_map(|len| vec![b'v'; len]),
    ];
    let name = prop_oneof![4 => Just("temperature"), 1 => Just("humidity"), 1 => Just("7")];
    proptest::collection::vec((name.prop_map(|name| name.as_bytes().to_vec()), value), 1..4)
}

fn step() -> impl Strategy<Value = Step> {
    let gap = prop_oneof![Just(0u64), 0u64..40, 0u64..100_000, Just(1u64 << 62)];
    let seq = prop_oneof![Just(0u64), 0u64..5, Just(u64::MAX >> 3)];
    prop_oneof![
        12 => (gap, seq, entry()).prop_map(|(ms, seq, entry)| Step::Add(ms, seq, entry)),
        3 => any::<usize>().prop_map(Step::Delete),
        1 => (0u64..60, any::<bool>(), 0u64..30).prop_map(|(length, near, limit)| Step::TrimLength(length, near, limit)),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(at, near)| Step::TrimFrom(at, near)),
        1 => (any::<usize>(), any::<usize>(), any::<bool>()).prop_map(|(a, b, r)| Step::Range(a, b, r)),
    ]
}

fn id_at(model: &Model, at: usize) -> StreamId {
    let ids: Vec<StreamId> = model.keys().copied().collect();
    match at % (2 * ids.len() + 1) {
        at if at / 2 >= ids.len() => id(at as u64, 3),
        at if at % 2 == 0 => ids[at / 2],
        at => ids[at / 2].previous().unwrap_or_default(),
    }
}

proptest! {
    #[test]
    fn like_a_map(
        steps in proptest::collection::vec(step(), 0..120),
        entries in prop_oneof![Just(100usize), 0usize..9],
        bytes in prop_oneof![Just(4096usize), Just(0), Just(200)],
    ) {
        let limits = BlockLimits { entries, bytes };
        let (mut stream, mut model) = (Stream::new(), Model::new());
        let mut added = 0;
        for step in steps {
            match step {
                Step::Add(gap, seq, entry) => {
                    let last = stream.last_id();
                    let Some(ms) = last.ms.checked_add(gap) else { continue };
                    let seq = if gap == 0 { last.seq.checked_add(seq + 1) } else { Some(seq) };
                    let Some(seq) = seq else { continue };
                    add(&mut stream, id(ms, seq), &entry, &limits);
                    model.insert(id(ms, seq), entry);
                    added += 1;
                }
                Step::Delete(at) => {
                    let id = id_at(&model, at);
                    prop_assert_eq!(stream.delete(id), model.remove(&id).is_some());
                }
                Step::TrimLength(length, approximate, limit) => {
                    let taken = stream.trim(TrimTo::Length(length), approximate, limit);
                    if approximate {
                        prop_assert!(limit == 0 || taken <= limit);
                        prop_assert!(taken <= (model.len() as u64).saturating_sub(length));
                    } else {
                        prop_assert_eq!(taken, (model.len() as u64).saturating_sub(length));
                    }
                    (0..taken).for_each(|_| drop(model.pop_first()));
                }
                Step::TrimFrom(at, approximate) => {
                    let from = id_at(&model, at);
                    let below = model.range(..from).count() as u64;
                    let taken = stream.trim(TrimTo::From(from), approximate, 0);
                    prop_assert!(taken == below || (approximate && taken < below));
                    (0..taken).for_each(|_| drop(model.pop_first()));
                }
                Step::Range(a, b, reverse) => {
                    let (from, to) = (id_at(&model, a), id_at(&model, b));
                    let mut expected: Vec<_> = if from <= to {
                        model.range(from..=to).map(|(id, entry)| (*id, entry.clone())).collect()
                    } else {
                        Vec::new()
                    };
                    if reverse {
                        expected.reverse();
                    }
                    prop_assert_eq!(range(&stream, from, to, reverse), expected);
                    let between = if from <= to { model.range(from..=to).count() } else { 0 };
                    let around = stream.len_around(from, to);
                    prop_assert!((between as u64..=stream.len()).contains(&around), "{} and {}", between, around);
                    let mut found = None;
                    let is_there = stream.get(from, &mut |fields| found = Some(owned(fields)));
                    prop_assert_eq!(is_there, model.contains_key(&from));
                    prop_assert_eq!(found.as_ref(), model.get(&from));
                }
            }
            check(&stream, &model);
            prop_assert_eq!(stream.entries_added, added);
        }
        let mut copy = stream.clone();
        prop_assert_eq!(range(&copy, StreamId::MIN, StreamId::MAX, true).len(), model.len());
        while copy.free_some(7) {}
    }

    #[test]
    fn pending_entries_by_id_and_by_consumer(
        steps in proptest::collection::vec((0u32..6, 0u64..30, 0usize..4), 0..200),
    ) {
        let names = ["alice", "bob", "carol", "dave"];
        let mut group = Group::new(StreamId::MIN, Some(0));
        let mut model: BTreeMap<u64, usize> = BTreeMap::new();
        let mut there: BTreeSet<usize> = BTreeSet::new();
        for (time, (kind, number, who)) in steps.into_iter().enumerate() {
            let name = names[who].as_bytes();
            match kind {
                0 => prop_assert_eq!(group.acknowledge(id(number, 0)), model.remove(&number).is_some()),
                1 => {
                    let had = model.values().filter(|one| **one == who).count();
                    model.retain(|_, one| *one != who);
                    prop_assert_eq!(group.remove_consumer(name), there.remove(&who).then_some(had));
                }
                _ => {
                    let consumer = match group.consumer_named(name) {
                        Some(consumer) => consumer,
                        None => group.add_consumer(name, time as i64),
                    };
                    there.insert(who);
                    group.assign(id(number, 0), Pending { consumer, deliveries: 1, delivered_at: time as i64 });
                    model.insert(number, who);
                }
            }
            prop_assert!(group.pending().keys().map(|id| id.ms).eq(model.keys().copied()));
            prop_assert_eq!(group.consumer_count(), there.len());
            for who in &there {
                let number = group.consumer_named(names[*who].as_bytes()).expect("a consumer");
                let expected = model.iter().filter(|(_, one)| *one == who).map(|(ms, _)| *ms);
                prop_assert!(group.consumer(number).pending().iter().map(|id| id.ms).eq(expected));
            }
        }
        while group.free_some(3) {}
    }
}

#[test]
fn ids_made_by_themselves() {
    let mut stream = Stream::new();
    assert_eq!(stream.next_id(0), Some(id(0, 1)));
    assert_eq!(stream.next_id(5), Some(id(5, 0)));
    stream.add(id(5, u64::MAX), &[(b"f", b"v")], &BlockLimits::default());
    assert_eq!((stream.next_id(4), stream.next_seq(5), stream.next_seq(6)), (Some(id(6, 0)), None, Some(0)));
    assert_eq!(stream.next_seq(4), None);
    stream.set_last_id(StreamId::MAX);
    assert_eq!(stream.next_id(7), None);
}

#[test]
fn what_a_group_has_read() {
    let mut stream = Stream::new();
    assert_eq!(stream.entries_up_to(id(9, 9)), Some(0));
    for ms in 1..=5 {
        stream.add(id(ms, 0), &[(b"f", b"v")], &BlockLimits::default());
    }
    assert_eq!(stream.entries_up_to(id(5, 0)), Some(5));
    assert_eq!(stream.entries_up_to(id(0, 0)), Some(0));
    assert_eq!(stream.entries_up_to(id(1, 0)), Some(1));
    assert_eq!(stream.entries_up_to(id(3, 0)), None);
    assert_eq!(stream.entries_up_to(id(6, 0)), None);
    stream.trim(TrimTo::Length(3), false, 0);
    assert_eq!(stream.entries_up_to(id(3, 0)), Some(3));
    stream.delete(id(4, 0));
    assert_eq!((stream.entries_up_to(id(3, 0)), stream.gap_end()), (None, Some(id(4, 0))));
}

/// The numbers are redis-server 7.0.15's for the same commands: radix-tree-keys of XINFO STREAM every hundred entries, then what
/// approximate trims take.
#[test]
fn blocks_end_where_nodes_of_redis_do() {
    let mut stream = Stream::new();
    let mut counts = Vec::new();
    let id = |i: u64| id(1000 + i * i, i % 3 + 1);
    for i in 0..2000u64 {
        let other: &[u8] = if i.is_multiple_of(11) { b"other" } else { b"value" };
        let (long, number) = (vec![b'v'; (i * 37 % 150) as usize], (i as i64 * 7919 % 100_003 - 50).to_string());
        stream.add(id(i), &[(b"f", &long), (other, number.as_bytes())], &BlockLimits::default());
        if i % 100 == 99 {
            counts.push(stream.block_count());
        }
    }
    assert_eq!(counts, [3, 5, 7, 10, 12, 15, 17, 19, 22, 24, 26, 29, 31, 33, 36, 38, 41, 43, 45, 48]);
    for i in (0..2000).step_by(3) {
        assert!(stream.delete(id(i)));
    }
    assert_eq!((stream.len(), stream.block_count()), (1333, 48));
    assert_eq!(stream.trim(TrimTo::Length(700), true, 0), 626);
    assert_eq!(stream.trim(TrimTo::From(StreamId { ms: 1000 + 1500 * 1500, seq: 0 }), true, 0), 366);
    assert_eq!((stream.len(), stream.block_count()), (341, 13));
    assert_eq!((stream.max_deleted_id, stream.entries_added), (id(1998), 2000));
    assert_eq!(stream.first_entry().map(|first| first.to_string()), Some("2218121-2".to_owned()));
}

#[test]
fn entries_around_ids_are_counted_by_blocks() {
    let mut stream = Stream::new();
    assert_eq!(stream.len_around(StreamId::MIN, StreamId::MAX), 0);
    for ms in 1..=250u64 {
        stream.add(id(ms, 0), &[(b"f", b"v")], &BlockLimits::default());
    }
    let around = |from, to| stream.len_around(id(from, 0), id(to, 0));
    assert_eq!((around(0, 999), around(7, 7), around(100, 101)), (250, 100, 200));
    assert_eq!((around(201, 300), around(7, 6), around(150, 250)), (50, 0, 150));
}

#[test]
fn blocks_end_where_nodes_do() {
    let mut stream = Stream::new();
    for ms in 1..=250u64 {
        stream.add(id(ms, 0), &[(b"f", b"v")], &BlockLimits::default());
    }
    assert_eq!((stream.block_count(), stream.trim(TrimTo::Length(130), true, 0)), (3, 100));
    assert_eq!(stream.trim(TrimTo::Length(0), true, 120), 100);
}

#[test]
fn an_entry_costs_few_bytes() {
    let mut stream = Stream::new();
    for i in 0..100_000u64 {
        let (sensor, value) = (format!("s{}", i % 1000), ((i * 7919) % 10_000).to_string());
        let fields: [(&[u8], &[u8]); 2] = [(b"sensor", sensor.as_bytes()), (b"value", value.as_bytes())];
        stream.add(id(1_700_000_000_000 + 3 * i, 0), &fields, &BlockLimits::default());
    }
    let each = stream.memory() as f64 / 100_000.0;
    assert!(each < 12.0, "{each} bytes");
}

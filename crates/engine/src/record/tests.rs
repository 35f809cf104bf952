//! Whatever random commands do on some shards, their records make the same keys, values and deadlines on any other number of
//! shards; and records of any bytes are refused without a panic.

mod collections;

use std::collections::BTreeMap;

use pinyon_base::{DbIndex, Millis, ShardId, shard_of, slot_of};
use pinyon_resp::{Args, Output, Proto, Span, Writer};
use proptest::prelude::*;

use super::{Damaged, Replayer, Slots, write};
use crate::command::keys_of;
use crate::command::registry::{CommandId, registry};
use crate::command::row::Handler;
use crate::keyspace::{EvictionPolicy, Shard, ShardConfig};
use crate::{Cx, Effect};

const START: i64 = 1_700_000_000_000;
const DBS: u16 = 20;

fn config() -> ShardConfig {
    ShardConfig { databases: DBS, policy: EvictionPolicy::AllkeysRandom, ..ShardConfig::default() }
}

/// What happens to a shard in turn.
#[derive(Clone, Debug)]
enum Happening {
    Command(u16, String),
    /// So many ms pass.
    Wait(i64),
    Expire,
    Evict,
    Flush(Option<u16>),
    Swap(u16, u16),
}

fn happening() -> impl Strategy<Value = Happening> {
    let key = || prop::sample::select(vec!["a", "b", "{t}c", "{t}d", "{t}e", "f", "g"]);
    let value = || prop::sample::select(vec!["v", "10", "-3", "2.5", "hello", "9223372036854775807", "007"]);
    let number = prop_oneof![Just("-5"), Just("0"), Just("1"), Just("7"), Just("100")];
    let ttl = || prop::sample::select(vec!["EX 1", "PX 3", "PX 50", "EXAT 1", "EXAT 1800000000", "PXAT 1700000000020"]);
    let db = || prop::sample::select(vec![0u16, 1, 14, 15, 19]);
    let command = (0..30u8, key(), key(), value(), value(), number, ttl(), db()).prop_map(
        |(which, k, l, v, w, n, ttl, other)| match which {
            0..4 => format!("SET {k} {v}"),
            4 => format!("SET {k} {v} {ttl}"),
            5 => format!("SET {k} {v} KEEPTTL"),
            6 => format!("SETNX {k} {v}"),
            7 => format!("PSETEX {k} 5 {v}"),
            8 => format!("GETSET {k} {v}"),
            9 => format!("GETDEL {k}"),
            10 => format!("GETEX {k} {ttl}"),
            11 => format!("INCRBY {k} {n}"),
            12 => format!("INCRBYFLOAT {k} {v}"),
            13 => format!("APPEND {k} {v}"),
            14 => format!("SETRANGE {k} 3 {v}"),
            15 => format!("MSET {k} {v} {l} {w}"),
            16 => format!("MSETNX {k} {v} {l} {w}"),
            17 => format!("MSETEX 2 {k} {v} {l} {w} {ttl}"),
            18 => format!("MSETEX 2 {k} {v} {l} {w} KEEPTTL"),
            19 => format!("DEL {k} {l}"),
            20 => format!("RENAME {k} {l}"),
            21 => format!("RENAMENX {k} {l}"),
            22 => format!("COPY {k} {l} REPLACE"),
            23 => format!("COPY {k} {l} DB {other}"),
            24 => format!("MOVE {k} {other}"),
            25 => format!("PEXPIRE {k} {n}"),
            26 => format!("EXPIREAT {k} 1700000001"),
            27 => format!("PERSIST {k}"),
            28 => format!("GET {k}"),
            _ => format!("UNLINK {k}"),
        },
    );
    prop_oneof![
        20 => (db(), command).prop_map(|(db, line)| Happening::Command(db, line)),
        3 => (0..60i64).prop_map(Happening::Wait),
        1 => Just(Happening::Wait(100_000)),
        2 => Just(Happening::Expire),
        1 => Just(Happening::Evict),
        1 => prop::option::of(db()).prop_map(Happening::Flush),
        1 => (db(), db()).prop_map(|(a, b)| Happening::Swap(a, b)),
    ]
}

struct Live {
    shard: Shard,
    now: i64,
    /// With the time of each.
    records: Vec<(Millis, Vec<u8>)>,
}

impl Live {
    fn new() -> Live {
        let mut shard = Shard::new(config());
        shard.set_journal(true);
        shard.begin_turn(Millis(START));
        Live { shard, now: START, records: Vec::new() }
    }

    fn command(&mut self, db: DbIndex, line: &str) {
        with_args(line, |args| {
            let effect = run(&mut self.shard, db, args);
            self.shard.record(db, id_of(args), args, effect);
        });
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Command(db, line) => self.command(DbIndex(*db), line),
            Happening::Wait(ms) => {
                self.now += ms;
                self.shard.begin_turn(Millis(self.now));
            }
            Happening::Expire => {
                self.shard.expire_slice(Millis(self.now), 100, &mut |_, _| {});
            }
            Happening::Evict => {
                self.shard.evict_one(&mut |_, _| {});
            }
            Happening::Flush(which) => {
                let line = if which.is_some() { "FLUSHDB" } else { "FLUSHALL" };
                match which {
                    Some(db) => self.shard.flush_db(DbIndex(*db), true),
                    None => self.shard.flush_all(true),
                }
                let db = DbIndex(which.unwrap_or(3));
                with_args(line, |args| self.shard.record(db, id_of(args), args, Effect::AsSent { changes: 1 }));
            }
            Happening::Swap(a, b) => {
                self.shard.swap_db(DbIndex(*a), DbIndex(*b));
                let line = format!("SWAPDB {a} {b}");
                with_args(&line, |args| {
                    self.shard.record(DbIndex(0), id_of(args), args, Effect::AsSent { changes: 1 })
                });
            }
        }
        if !self.shard.journal().is_empty() {
            self.records.push((Millis(self.now), self.shard.journal().operations().to_vec()));
            self.shard.journal_mut().clear();
        }
    }
}

fn with_args<R>(line: &str, then: impl FnOnce(Args<'_>) -> R) -> R {
    let mut spans = Vec::new();
    for word in line.split_whitespace() {
        let start = word.as_ptr().addr() - line.as_ptr().addr();
        spans.push(Span { start: start as u32, len: word.len() as u32 });
    }
    then(Args { bytes: line.as_bytes(), spans: &spans })
}

fn run(shard: &mut Shard, db: DbIndex, args: Args<'_>) -> Effect {
    let id = super::encode::with_subcommand(id_of(args), args);
    let (Handler::Shard(handler) | Handler::Spread(_, handler)) = registry().row(id).handler else {
        panic!("no handler on a shard");
    };
    let mut out = Output::default();
    let mut cx = Cx { ks: shard.keyspace(db, false), out: Writer { out: &mut out, proto: Proto::Resp2 } };
    handler(&mut cx, args).unwrap_or(Effect::None)
}

/// By database and key the value and its deadline.
type Contents = BTreeMap<(u16, Vec<u8>), (Vec<u8>, Option<Millis>)>;

/// All that a shard holds.
fn contents(shard: &mut Shard) -> Contents {
    let mut all = BTreeMap::new();
    let databases = shard.keyspace(DbIndex(0), true).databases();
    for db in (0..databases).map(DbIndex) {
        let mut keys = Vec::new();
        shard.each_key(db, &mut |key| keys.push(key.to_vec()));
        for key in keys {
            let (value, deadline) = shard.as_it_is(db, &key).expect("it is there");
            let state = (value.to_vec(), deadline);
            assert_eq!(all.insert((db.0, key), state), None, "visited twice");
        }
    }
    all
}

/// So many shards, each of which has seen what is its own.
fn written(happenings: &[Happening], shards: u16) -> Vec<Live> {
    let mut writers: Vec<Live> = (0..shards).map(|_| Live::new()).collect();
    for happening in happenings {
        for (shard, writer) in writers.iter_mut().enumerate() {
            match happening {
                Happening::Command(_, line) if !belongs(line, shard as u16, shards) => {}
                happening => writer.happen(happening),
            }
        }
    }
    writers
}

/// Their logs, read by another number of shards, each log whole before the next: they have no order.
fn read_by(shards: u16, writers: &[Live], backwards: bool) -> Vec<Shard> {
    let before = writers.len() as u16;
    let mut order: Vec<u16> = (0..before).collect();
    if backwards {
        order.reverse();
    }
    let read = |shard| {
        let mut reader = Shard::new(config());
        for &writer in &order {
            let from = Slots::of(ShardId(writer), before);
            replayed(&writers[usize::from(writer)].records, from, Slots::of(ShardId(shard), shards), &mut reader);
        }
        reader
    };
    (0..shards).map(read).collect()
}

fn replayed(records: &[(Millis, Vec<u8>)], from: Slots, own: Slots, into: &mut Shard) {
    let mut replayer = Replayer::new(from, own);
    for (time, record) in records {
        into.begin_turn(*time);
        replayer.apply(into, record).expect("it applies");
    }
}

/// Whether all keys of a command belong to the shard: what another one would carry out is not sent to it.
fn belongs(line: &str, shard: u16, shards: u16) -> bool {
    with_args(line, |args| {
        let entry = registry().entry(super::encode::with_subcommand(id_of(args), args));
        keys_of::keys(entry, args).all(|at| shard_of(slot_of(args.get(at)), shards) == ShardId(shard))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn records_make_the_same_shard(happenings in prop::collection::vec(happening(), 1..80)) {
        let mut live = Live::new();
        let all = Slots::of(ShardId(0), 1);
        for happening in &happenings {
            live.happen(happening);
        }
        let mut again = Shard::new(config());
        replayed(&live.records, all, all, &mut again);
        prop_assert_eq!(contents(&mut live.shard), contents(&mut again));
    }

    /// Logs of so many shards, read by another number of them, each log whole before the next: they have no order.
    #[test]
    fn any_number_of_shards_reads_what_any_other_wrote(
        happenings in prop::collection::vec(happening(), 1..80), before in 1u16..6, after in 1u16..6, backwards: bool,
    ) {
        let mut writers = written(&happenings, before);
        let mut expected = BTreeMap::new();
        writers.iter_mut().for_each(|writer| expected.extend(contents(&mut writer.shard)));
        let mut found = BTreeMap::new();
        read_by(after, &writers, backwards).iter_mut().for_each(|reader| found.extend(contents(reader)));
        prop_assert_eq!(expected, found);
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(record: Vec<u8>) {
        let all = Slots::of(ShardId(0), 1);
        let _ = Replayer::new(all, all).apply(&mut Shard::new(config()), &record);
    }

    /// As above, near to what is right.
    #[test]
    fn changed_bytes_are_refused_without_a_panic(
        happenings in prop::collection::vec(happening(), 1..30), changes in prop::collection::vec((any::<u16>(), any::<u8>()), 1..4),
    ) {
        let mut live = Live::new();
        happenings.iter().for_each(|happening| live.happen(happening));
        let mut record: Vec<u8> = live.records.into_iter().flat_map(|(_, record)| record).collect();
        for (at, byte) in changes {
            let len = record.len().max(1);
            if let Some(changed) = record.get_mut(usize::from(at) % len) {
                *changed = byte;
            }
        }
        let all = Slots::of(ShardId(0), 1);
        let mut shard = Shard::new(config());
        let _ = Replayer::new(all, all).apply(&mut shard, &record);
        contents(&mut shard);
    }
}

/// A record is not bound by `proto-max-bulk-len`, but no string is longer than memory. It once ended the process.
#[test]
fn a_string_that_no_memory_holds_is_refused() {
    for line in ["SETRANGE a 9223372036854775000 b", "SETBIT a 9223372036854775800 1"] {
        let words: Vec<&str> = line.split(' ').collect();
        let mut record = Vec::new();
        write::command(DbIndex(0), words.len(), &mut record);
        words.iter().for_each(|word| write::bytes(word.as_bytes(), &mut record));
        let all = Slots::of(ShardId(0), 1);
        let applied = Replayer::new(all, all).apply(&mut Shard::new(config()), &record);
        assert!(matches!(applied, Err(Damaged::Failed { .. })), "{line}: {applied:?}");
    }
}

fn record_of(lines: &[&str]) -> Vec<u8> {
    let mut live = Live::new();
    for line in lines {
        live.command(DbIndex(0), line);
    }
    live.shard.journal().operations().to_vec()
}

/// The bytes, once and for all: what is on disks must be understood by every later version.
#[test]
fn the_bytes_stay_as_they_are() {
    assert_eq!(record_of(&["SET a b"]), b"\x01\x01a\x00\x01b");
    assert_eq!(record_of(&["SET a b PXAT 1700000000020"]), b"\x01\x01a\x95\xd0\x95\xff\xbc\x31\x01b");
    assert_eq!(record_of(&["DEL a b"]), b"", "nothing was there");
    assert_eq!(record_of(&["MSET a 1 b 2"]), b"\x01\x01a\x00\x011\x01\x01b\x00\x012");
    assert_eq!(record_of(&["INCR a"]), b"\x04\x02\x04incr\x01a");
    assert_eq!(&record_of(&["SET a b", "DEL a"])[6..], b"\x00\x01a");
    let all = Slots::of(ShardId(0), 1);
    let apply = |record: &[u8]| Replayer::new(all, all).apply(&mut Shard::new(config()), record);
    assert_eq!(apply(b"\x05\x16\xf7\x13\x01"), Ok(()), "flushes and a swap");
    assert_eq!(apply(b"\x01\x01a\x00\x02b"), Err(Damaged::Short));
    assert_eq!(apply(b"\x0f"), Err(Damaged::Operation(15)));
    assert_eq!(apply(b"\xf0\x14\x01a"), Err(Damaged::Database(20)));
    assert_eq!(apply(b"\x04\x01\x04WHAT"), Err(Damaged::Command("WHAT".into())));
    let error = "ERR value is not an integer or out of range".to_owned();
    let failed = Damaged::Failed { command: "incr".into(), error };
    assert_eq!(apply(b"\x01\x01a\x00\x01b\x04\x02\x04INCR\x01a"), Err(failed));
}

#[test]
fn nothing_is_recorded_without_a_journal() {
    let mut live = Live::new();
    live.command(DbIndex(0), "SET a b PX 5");
    live.shard.set_journal(false);
    live.command(DbIndex(0), "SET c d");
    live.now += 10;
    live.shard.begin_turn(Millis(live.now));
    live.shard.expire_slice(Millis(live.now), 10, &mut |_, _| {});
    assert!(live.shard.journal().is_empty());
}

/// A command of more arguments than are counted in one byte.
#[test]
fn arguments_are_counted_as_they_come() {
    let mut live = Live::new();
    let key = |number: usize| format!("{{t}}{number}").into_bytes();
    let keys: Vec<Vec<u8>> = (0..300).map(key).collect();
    for key in &keys {
        with_args(std::str::from_utf8(key).expect("text"), |args| {
            let mut ks = live.shard.keyspace(DbIndex(0), true);
            let key = ks.key_of(args.get(0));
            ks.put(key, crate::keyspace::NewValue::Int(1), crate::keyspace::Ttl::Clear);
        });
    }
    let mut copy = Live::new().shard;
    let all = Slots::of(ShardId(0), 1);
    let mut ks = live.shard.keyspace(DbIndex(0), true);
    assert!(ks.is_recording());
    let pairs: Vec<&[u8]> = keys.iter().flat_map(|key| [&key[..], b"1"]).collect();
    ks.record_with(&[b"MSET"], pairs.into_iter());
    let record = live.shard.journal().operations().to_vec();
    Replayer::new(all, all).apply(&mut copy, &record).expect("it applies");
    assert_eq!(contents(&mut live.shard), contents(&mut copy));
}

fn id_of(args: Args<'_>) -> CommandId {
    registry().find(args.get(0)).expect("a command")
}

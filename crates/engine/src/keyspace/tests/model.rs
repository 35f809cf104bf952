//! The keyspace against a map of maps: every operation in random order, with time passing.

use std::collections::{BTreeMap, BTreeSet};

use pinyon_base::{Blob, DbIndex, Millis, parse_i64};
use proptest::prelude::*;

use super::{NOW, put, remove, shard};
use crate::keyspace::{NewValue, Shard, Ttl};

/// What a database should hold.
#[derive(Clone, Debug, PartialEq)]
struct Item {
    text: Vec<u8>,
    encoding: &'static str,
    deadline: Option<Millis>,
}

#[derive(Clone, Debug)]
enum Op {
    Put { key: u16, value: Value, ttl: TtlKind },
    Remove { key: u16, lazy: bool },
    SetDeadline { key: u16, after: Option<i64> },
    Append { key: u16, tail: Vec<u8> },
    SetRange { key: u16, offset: usize, bytes: Vec<u8> },
    Rename { from: u16, to: u16 },
    Copy { from: u16, to: u16, db: u16 },
    Swap { a: u16, b: u16 },
    Flush { db: u16, sync: bool },
    Select { db: u16 },
    Pass { ms: i64 },
    Expire,
    Background,
    Fill { from: u16, count: u16 },
    Drain { from: u16, count: u16 },
    Check { key: u16 },
}

#[derive(Clone, Debug)]
enum Value {
    Text(Vec<u8>),
    Plain(Vec<u8>),
    Raw(Vec<u8>),
    Int(i64),
    Blob(Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
enum TtlKind {
    Clear,
    Keep,
    After(i64),
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let sizes = prop_oneof![
        10 => 0usize..40,
        3 => 100usize..200,
        2 => 480usize..540,
        1 => 4080usize..4110,
        1 => Just(20_000usize),
    ];
    (sizes, any::<u8>()).prop_map(|(len, seed)| (0..len).map(|i| seed.wrapping_add(i as u8)).collect())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => text().prop_map(Value::Text),
        3 => any::<i64>().prop_map(|v| Value::Text(v.to_string().into_bytes())),
        3 => (0i64..300).prop_map(Value::Int),
        2 => text().prop_map(Value::Plain),
        1 => (0u32..100).prop_map(|v| Value::Plain(v.to_string().into_bytes())),
        2 => text().prop_map(Value::Raw),
        2 => text().prop_map(Value::Blob),
    ]
}

fn op(keys: u16) -> impl Strategy<Value = Op> {
    let key = move || 0..keys;
    let ttl = || {
        prop_oneof![
            4 => Just(TtlKind::Clear),
            2 => Just(TtlKind::Keep),
            3 => (1i64..2000).prop_map(TtlKind::After),
            1 => Just(TtlKind::After(1 << 50)),
        ]
    };
    prop_oneof![
        20 => (key(), value(), ttl()).prop_map(|(key, value, ttl)| Op::Put { key, value, ttl }),
        10 => (key(), any::<bool>()).prop_map(|(key, lazy)| Op::Remove { key, lazy }),
        8 => (key(), prop::option::weighted(0.8, 1i64..3000)).prop_map(|(key, after)| Op::SetDeadline { key, after }),
        8 => (key(), text()).prop_map(|(key, tail)| Op::Append { key, tail }),
        5 => (key(), 0usize..5000, prop::collection::vec(any::<u8>(), 1..50))
            .prop_map(|(key, offset, bytes)| Op::SetRange { key, offset, bytes }),
        4 => (key(), key()).prop_map(|(from, to)| Op::Rename { from, to }),
        3 => (key(), key(), 0..4u16).prop_map(|(from, to, db)| Op::Copy { from, to, db }),
        1 => (0..4u16, 0..4u16).prop_map(|(a, b)| Op::Swap { a, b }),
        1 => (0..4u16, any::<bool>()).prop_map(|(db, sync)| Op::Flush { db, sync }),
        3 => (0..4u16).prop_map(|db| Op::Select { db }),
        6 => (0i64..400).prop_map(|ms| Op::Pass { ms }),
        4 => Just(Op::Expire),
        4 => Just(Op::Background),
        3 => (key(), 0u16..1500).prop_map(|(from, count)| Op::Fill { from, count }),
        2 => (key(), 0u16..2500).prop_map(|(from, count)| Op::Drain { from, count }),
        10 => key().prop_map(|key| Op::Check { key }),
    ]
}

fn name(key: u16) -> Vec<u8> {
    match key % 50 {
        // Keys whose length takes two bytes, and a few long ones.
        0 => format!("{key:0>140}").into_bytes(),
        1 => format!("{key:0>5000}").into_bytes(),
        2 if key == 2 => Vec::new(),
        _ => format!("key:{key}").into_bytes(),
    }
}

fn encoding(text: &[u8], kind: &Value) -> &'static str {
    match kind {
        Value::Int(_) => "int",
        Value::Text(_) if parse_i64(text).is_some() => "int",
        Value::Raw(_) => "raw",
        _ if text.len() > 44 => "raw",
        _ => "embstr",
    }
}

struct Model {
    dbs: Vec<BTreeMap<Vec<u8>, Item>>,
    db: usize,
    now: i64,
}

impl Model {
    fn live(&mut self, db: usize, key: &[u8]) -> Option<&mut Item> {
        let now = self.now;
        let due = self.dbs[db].get(key).is_some_and(|item| item.deadline.is_some_and(|at| at.0 <= now));
        if due {
            self.dbs[db].remove(key);
        }
        self.dbs[db].get_mut(key)
    }
}

fn run(ops: Vec<Op>) {
    let mut shard = shard();
    let mut model = Model { dbs: vec![BTreeMap::new(); 4], db: 0, now: NOW.0 };
    for op in ops {
        step(&mut shard, &mut model, op);
    }
    check_all(&mut shard, &mut model);
}

fn step(shard: &mut Shard, model: &mut Model, op: Op) {
    let (db, now) = (DbIndex(model.db as u16), model.now);
    let mut ks = shard.keyspace(db, false);
    match op {
        Op::Put { key, value, ttl } => {
            let key = name(key);
            let text = match &value {
                Value::Text(text) | Value::Plain(text) | Value::Raw(text) | Value::Blob(text) => text.clone(),
                Value::Int(value) => value.to_string().into_bytes(),
            };
            let new = match &value {
                Value::Text(text) => NewValue::Text(text),
                Value::Plain(text) => NewValue::Plain(text),
                Value::Raw(text) => NewValue::Raw(text),
                Value::Int(value) => NewValue::Int(*value),
                Value::Blob(text) => NewValue::Blob(Blob::new(text.clone())),
            };
            let old = model.live(model.db, &key).and_then(|item| item.deadline);
            let (ttl, deadline) = match ttl {
                TtlKind::Clear => (Ttl::Clear, None),
                TtlKind::Keep => (Ttl::Keep, old),
                TtlKind::After(ms) => (Ttl::At(Millis(now + ms)), Some(Millis(now + ms))),
            };
            ks.put(ks.key_of(&key), new, ttl);
            let encoding = encoding(&text, &value);
            model.dbs[model.db].insert(key, Item { text, encoding, deadline });
        }
        Op::Remove { key, lazy } => {
            let key = name(key);
            let hashed = ks.key_of(&key);
            let removed = if lazy { ks.remove_lazy(hashed) } else { ks.remove(hashed) };
            let there = model.live(model.db, &key).is_some();
            model.dbs[model.db].remove(&key);
            assert_eq!(removed, there);
        }
        Op::SetDeadline { key, after } => {
            let key = name(key);
            let at = after.map(|ms| Millis(now + ms));
            let set = ks.set_deadline(ks.key_of(&key), at);
            let item = model.live(model.db, &key);
            assert_eq!(set, item.is_some());
            if let Some(item) = item {
                item.deadline = at;
            }
        }
        Op::Append { key, tail } => {
            let key = name(key);
            let len = ks.append(ks.key_of(&key), &tail);
            match model.live(model.db, &key) {
                Some(item) => {
                    item.text.extend_from_slice(&tail);
                    item.encoding = "raw";
                    assert_eq!(len, item.text.len());
                }
                None => {
                    assert_eq!(len, tail.len());
                    let encoding = encoding(&tail, &Value::Text(Vec::new()));
                    model.dbs[model.db].insert(key, Item { text: tail, encoding, deadline: None });
                }
            }
        }
        Op::SetRange { key, offset, bytes } => {
            let key = name(key);
            let len = ks.set_range(ks.key_of(&key), offset, &bytes);
            model.live(model.db, &key);
            let item =
                model.dbs[model.db].entry(key).or_insert(Item { text: Vec::new(), encoding: "raw", deadline: None });
            item.text.resize(item.text.len().max(offset + bytes.len()), 0);
            item.text[offset..offset + bytes.len()].copy_from_slice(&bytes);
            item.encoding = "raw";
            assert_eq!(len, item.text.len());
        }
        Op::Rename { from, to } => {
            let (from, to) = (name(from), name(to));
            let taken = ks.take(ks.key_of(&from));
            let item = model.live(model.db, &from).cloned();
            assert_eq!(taken.is_some(), item.is_some());
            if let (Some(taken), Some(item)) = (taken, item) {
                assert_eq!(taken.deadline(), item.deadline);
                ks.restore(ks.key_of(&to), taken);
                model.dbs[model.db].remove(&from);
                model.dbs[model.db].insert(to, item);
            }
        }
        Op::Copy { from, to, db } => {
            let (from, to) = (name(from), name(to));
            let copy = ks.copy_out(ks.key_of(&from));
            let item = model.live(model.db, &from).cloned();
            assert_eq!(copy.is_some(), item.is_some());
            if let (Some(copy), Some(item)) = (copy, item) {
                let mut other = ks.other_db(DbIndex(db));
                other.restore(other.key_of(&to), copy);
                model.dbs[usize::from(db)].insert(to, item);
            }
        }
        Op::Swap { a, b } => {
            shard.swap_db(DbIndex(a), DbIndex(b));
            model.dbs.swap(usize::from(a), usize::from(b));
        }
        Op::Flush { db, sync } => {
            shard.flush_db(DbIndex(db), sync);
            model.dbs[usize::from(db)].clear();
        }
        Op::Select { db } => model.db = usize::from(db),
        Op::Pass { ms } => {
            model.now += ms;
            shard.begin_turn(Millis(model.now));
        }
        Op::Expire => {
            let mut gone = Vec::new();
            while shard.expire_slice(Millis(now), 64, &mut |db, key| gone.push((db, key.to_vec()))) {}
            for (db, key) in gone {
                let item = model.dbs[usize::from(db.0)].remove(&key);
                assert!(item.is_some_and(|item| item.deadline.is_some_and(|at| at.0 <= now)), "{key:?} was not due");
            }
            // What is left is at most a tick and a bit overdue.
            for db in &mut model.dbs {
                assert!(db.values().all(|item| item.deadline.is_none_or(|at| at.0 > now - 20)));
            }
        }
        Op::Background => {
            shard.background_slice(50);
        }
        Op::Fill { from, count } => {
            for key in from..from.saturating_add(count) {
                let key = name(key % 5000);
                put(shard, db, &key, b"filled");
                let item = Item { text: b"filled".to_vec(), encoding: "embstr", deadline: None };
                model.dbs[model.db].insert(key, item);
            }
        }
        Op::Drain { from, count } => {
            for key in from..from.saturating_add(count) {
                let key = name(key % 5000);
                let removed = remove(shard, db, &key);
                assert_eq!(removed, model.live(model.db, &key).is_some());
                model.dbs[model.db].remove(&key);
            }
        }
        Op::Check { key } => check_key(shard, model, model.db, &name(key)),
    }
}

fn check_key(shard: &mut Shard, model: &mut Model, db: usize, key: &[u8]) {
    let expected = model.live(db, key).cloned();
    let mut ks = shard.keyspace(DbIndex(db as u16), false);
    let hashed = ks.key_of(key);
    let found = ks.read(hashed).map(|value| {
        assert_eq!(value.len(), value.to_vec().len());
        (value.to_vec(), value.encoding())
    });
    let item = found.map(|(text, encoding)| Item {
        text,
        encoding,
        deadline: ks.deadline(hashed).expect("it was there just now"),
    });
    assert_eq!(item, expected, "{:?}", String::from_utf8_lossy(key));
    assert_eq!(ks.memory_usage(hashed).is_some(), expected.is_some());
}

fn check_all(shard: &mut Shard, model: &mut Model) {
    for db in 0..4 {
        let index = DbIndex(db as u16);
        shard.tables[db].check();
        assert_eq!(shard.db_len(index), model.dbs[db].len(), "lengths, due keys included");
        let volatile = model.dbs[db].values().filter(|item| item.deadline.is_some()).count();
        assert_eq!(shard.db_volatile_len(index), volatile);
        let keys: Vec<Vec<u8>> = model.dbs[db].keys().cloned().collect();
        for key in &keys {
            check_key(shard, model, db, key);
        }
        let mut seen = BTreeSet::new();
        let mut cursor = 0;
        loop {
            cursor = shard.scan(index, cursor, 20, &mut |key, _| assert!(seen.insert(key.to_vec()), "seen twice"));
            if cursor == 0 {
                break;
            }
        }
        let live: BTreeSet<Vec<u8>> = model.dbs[db].keys().cloned().collect();
        assert_eq!(seen, live);
        assert_eq!(shard.random_key(index).is_some(), !live.is_empty());
    }
    while shard.background_slice(100) {}
    for table in &shard.tables {
        table.check();
    }
    assert_eq!(shard.ledger.graveyard.bytes(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 200 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// Everything a shard does to keys is what a map of maps does.
    #[test]
    fn agrees_with_a_model(ops in prop::collection::vec(op(5000), 1..300)) {
        run(ops);
    }

    /// The same few keys over and over: overwrites, deadlines moving both ways, empty tables.
    #[test]
    fn agrees_with_a_model_on_few_keys(ops in prop::collection::vec(op(5), 1..400)) {
        run(ops);
    }
}

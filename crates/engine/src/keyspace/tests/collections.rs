//! Collections in the keyspace: beside strings, over them and under them; the deadlines of fields; freeing in slices.

use std::collections::BTreeMap;

use pinyon_base::{DbIndex, Millis};
use pinyon_values::hash::{FieldTtl, Hash};
use pinyon_values::list::List;
use pinyon_values::set::Set;
use pinyon_values::stream::Stream;
use proptest::prelude::*;

use super::{DB, NOW, get, name, put, shard};
use crate::CommandError;
use crate::keyspace::{KeyType, Shard};

fn hset(shard: &mut Shard, db: DbIndex, key: &[u8], field: &[u8], value: &[u8], ttl: FieldTtl) -> bool {
    let mut ks = shard.keyspace(db, false);
    let (key, limits) = (ks.key_of(key), ks.limits().hash);
    let Ok(hash) = ks.update_or_create::<Hash>(key) else { return false };
    hash.set(field, value, ttl, &limits);
    ks.changed::<Hash>(key)
}

fn fields(shard: &mut Shard, db: DbIndex, key: &[u8]) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut ks = shard.keyspace(db, false);
    let key = ks.key_of(key);
    let hash = ks.read_as::<Hash>(key).ok().flatten()?;
    Some(hash.fields().map(|field| (field.name.to_vec(), field.value.to_vec())).collect())
}

#[test]
fn a_key_has_one_type() {
    let mut shard = shard();
    put(&mut shard, DB, b"text", b"v");
    assert!(hset(&mut shard, DB, b"hash", b"f", b"v", FieldTtl::Clear));
    let mut ks = shard.keyspace(DB, false);
    let (text, hash, absent) = (ks.key_of(b"text"), ks.key_of(b"hash"), ks.key_of(b"absent"));
    assert_eq!(ks.read_as::<Hash>(text).err(), Some(CommandError::WrongType));
    assert_eq!(ks.read_as::<List>(hash).err(), Some(CommandError::WrongType));
    assert_eq!(ks.update::<Set>(hash).err(), Some(CommandError::WrongType));
    assert_eq!(ks.update_or_create::<Stream>(text).err(), Some(CommandError::WrongType));
    assert!(matches!(ks.read_as::<Hash>(absent), Ok(None)));
    assert_eq!(ks.look(hash).map(|value| value.key_type()), Some(KeyType::Hash));
    assert_eq!(get(&mut shard, DB, b"text"), Some(b"v".to_vec()), "still there");
    // A string goes over a hash, and a hash that is put over a string.
    put(&mut shard, DB, b"hash", b"now a string");
    assert_eq!(get(&mut shard, DB, b"hash"), Some(b"now a string".to_vec()));
    shard.tables[0].check();
}

/// Below 448 bytes a packed hash or set is no structure of its own; above it becomes one, and stays one.
#[test]
fn small_ones_lie_in_their_entries() {
    let mut shard = shard();
    let field = |i: u32| (format!("field{i}").into_bytes(), format!("value-{:06}", i * 77).into_bytes());
    let mut model = BTreeMap::new();
    let usage = |shard: &mut Shard, key: &[u8]| {
        let mut ks = shard.keyspace(DB, false);
        ks.memory_usage(ks.key_of(key)).expect("it is there")
    };
    for i in 0..40 {
        let (name, value) = field(i);
        assert!(hset(&mut shard, DB, b"user:0000001", &name, &value, FieldTtl::Clear));
        model.insert(name, value);
        assert_eq!(fields(&mut shard, DB, b"user:0000001").as_ref(), Some(&model));
        if i == 9 {
            // 180 bytes of text, one more for each, the key, the head of the entry and a slot.
            assert!(usage(&mut shard, b"user:0000001") <= 236, "{}", usage(&mut shard, b"user:0000001"));
        }
    }
    assert!(usage(&mut shard, b"user:0000001") > 900);
    for i in 0..39 {
        let mut ks = shard.keyspace(DB, false);
        let key = ks.key_of(b"user:0000001");
        assert!(ks.update::<Hash>(key).ok().flatten().is_some_and(|hash| hash.remove(&field(i).0)));
        assert!(ks.changed::<Hash>(key));
    }
    assert_eq!(fields(&mut shard, DB, b"user:0000001"), Some(BTreeMap::from([field(39)])));

    let mut ks = shard.keyspace(DB, false);
    let (key, limits) = (ks.key_of(b"ids"), ks.limits().set);
    for member in ["70123", "99000", "12", "a", "b"] {
        assert!(ks.update_or_create::<Set>(key).is_ok_and(|set| set.add(member.as_bytes(), &limits)));
        assert!(ks.changed::<Set>(key));
        // A look at another one, and a change of it, do no harm to this one.
        let other = ks.key_of(b"other");
        assert!(ks.update_or_create::<Set>(other).is_ok_and(|set| set.add(member.as_bytes(), &limits)));
        assert!(ks.changed::<Set>(other));
        assert!(ks.update::<Set>(key).is_ok_and(|set| set.is_some_and(|set| !set.add(member.as_bytes(), &limits))));
    }
    let set = ks.read_as::<Set>(key).ok().flatten().expect("it is there");
    assert_eq!((set.len(), set.encoding()), (5, "listpack"));
    assert!(ks.memory_usage(key).is_some_and(|bytes| bytes < 50));
    assert!(ks.set_deadline(key, Some(Millis(NOW.0 + 1000))) && ks.set_deadline(key, None));
    let value = ks.take(key).expect("it is there");
    ks.restore(key, value);
    assert_eq!(ks.read_as::<Set>(key).ok().flatten().map(|set| set.len()), Some(5));
    shard.tables[0].check();
}

#[test]
fn an_empty_collection_is_no_key_but_for_streams() {
    let mut shard = shard();
    let mut ks = shard.keyspace(DB, false);
    let (hash, stream) = (ks.key_of(b"h"), ks.key_of(b"x"));
    assert!(ks.update_or_create::<Hash>(hash).is_ok_and(|hash| hash.is_empty()));
    assert!(!ks.changed::<Hash>(hash));
    assert!(ks.peek(hash).is_none());
    assert!(ks.update_or_create::<Stream>(stream).is_ok_and(|stream| stream.is_empty()));
    assert!(ks.changed::<Stream>(stream));
    assert!(ks.peek(stream).is_some());
    shard.tables[0].check();
}

#[test]
fn big_collections_are_freed_in_slices() {
    let mut shard = shard();
    for round in 0..3 {
        for field in 0..20_000 {
            hset(&mut shard, DB, b"big", &name(field), b"some value", FieldTtl::Clear);
        }
        match round {
            0 => {
                let mut ks = shard.keyspace(DB, false);
                let key = ks.key_of(b"big");
                assert!(ks.remove(key));
            }
            1 => put(&mut shard, DB, b"big", b"short"),
            _ => shard.flush_db(DB, false),
        }
        let waiting = shard.ledger.graveyard.bytes();
        assert!(waiting > 20_000 * 20 || round == 2, "{waiting} bytes");
        let mut steps = 0;
        while shard.background_slice(1) {
            steps += 1;
        }
        assert!(steps > 50, "{steps} steps");
        assert_eq!(shard.ledger.graveyard.bytes(), 0);
        shard.flush_db(DB, true);
    }
}

/// A hash of which many fields are due at once is emptied in slices, whatever happens to its database meanwhile.
#[test]
fn many_fields_due_at_once() {
    let mut shard = shard();
    let deadline = NOW.0 + 100;
    for field in 0..5_000 {
        hset(&mut shard, DB, b"h", &name(field), b"v", FieldTtl::At(deadline));
    }
    hset(&mut shard, DB, b"h", b"stays", b"v", FieldTtl::Clear);
    let later = Millis(deadline + 20);
    shard.begin_turn(later);
    assert!(shard.expire_slice(later, 100, &mut |_, _| {}));
    shard.swap_db(DB, DbIndex(2));
    let mut slices = 0;
    while shard.expire_slice(later, 100, &mut |_, _| {}) {
        slices += 1;
    }
    assert!((30..200).contains(&slices), "{slices}");
    assert_eq!(shard.stats().expired_fields, 5_000);
    assert_eq!(fields(&mut shard, DbIndex(2), b"h").map(|fields| fields.len()), Some(1));
    // The next deadline is kept as the first one was.
    hset(&mut shard, DbIndex(2), b"h", b"goes", b"v", FieldTtl::At(later.0 + 50));
    let later = Millis(later.0 + 70);
    shard.begin_turn(later);
    while shard.expire_slice(later, 100, &mut |_, _| {}) {}
    assert_eq!(shard.stats().expired_fields, 5_001);
    shard.tables.iter().for_each(|table| table.check());
}

#[derive(Clone, Debug)]
enum Op {
    Set { key: u8, field: u8, after: Option<i64>, keep: bool },
    Remove { key: u8, field: u8 },
    Text { key: u8 },
    Delete { key: u8 },
    Deadline { key: u8, after: Option<i64> },
    Rename { from: u8, to: u8 },
    Copy { from: u8, to: u8 },
    Swap,
    Pass { ms: i64 },
    Expire { budget: usize },
    Background,
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0u8..6;
    let after = || prop::option::weighted(0.6, 1i64..400);
    prop_oneof![
        12 => (key(), 0u8..40, after(), any::<bool>())
            .prop_map(|(key, field, after, keep)| Op::Set { key, field, after, keep }),
        4 => (key(), 0u8..40).prop_map(|(key, field)| Op::Remove { key, field }),
        1 => key().prop_map(|key| Op::Text { key }),
        1 => key().prop_map(|key| Op::Delete { key }),
        2 => (key(), after()).prop_map(|(key, after)| Op::Deadline { key, after }),
        2 => (key(), key()).prop_map(|(from, to)| Op::Rename { from, to }),
        2 => (key(), key()).prop_map(|(from, to)| Op::Copy { from, to }),
        1 => Just(Op::Swap),
        5 => (0i64..120).prop_map(|ms| Op::Pass { ms }),
        5 => (1usize..60).prop_map(|budget| Op::Expire { budget }),
        2 => Just(Op::Background),
    ]
}

/// Fields with value and deadline; the key's own deadline.
#[derive(Clone, Debug, Default, PartialEq)]
struct Item {
    fields: BTreeMap<u8, Option<i64>>,
    deadline: Option<i64>,
    is_text: bool,
}

type Model = [BTreeMap<u8, Item>; 2];

fn settle(model: &mut Model, now: i64) {
    for db in model {
        db.values_mut().for_each(|item| item.fields.retain(|_, at| at.is_none_or(|at| at > now)));
        db.retain(|_, item| item.deadline.is_none_or(|at| at > now) && (item.is_text || !item.fields.is_empty()));
    }
}

fn check(shard: &mut Shard, model: &Model) {
    for (db, keys) in model.iter().enumerate() {
        for key in 0..6u8 {
            let found = fields(shard, DbIndex(db as u16), &[key]);
            let expected = keys.get(&key).filter(|item| !item.is_text);
            let names = found.map(|fields| fields.into_keys().map(|name| name[0]).collect::<Vec<_>>());
            assert_eq!(names, expected.map(|item| item.fields.keys().copied().collect()), "db {db} key {key}");
        }
    }
    shard.tables.iter().for_each(|table| table.check());
}

fn step(shard: &mut Shard, model: &mut Model, now: &mut i64, op: Op) {
    let db = &mut model[0];
    let in_time = |after: Option<i64>| after.map(|after| *now + after);
    match op {
        Op::Set { key, field, after, keep } => {
            let ttl = match in_time(after) {
                Some(at) => FieldTtl::At(at),
                None if keep => FieldTtl::Keep,
                None => FieldTtl::Clear,
            };
            if hset(shard, DB, &[key], &[field], b"v", ttl) {
                let fields = &mut db.entry(key).or_default().fields;
                let old = fields.get(&field).copied().flatten();
                fields.insert(field, in_time(after).or(if keep { old } else { None }));
            } else {
                assert!(db[&key].is_text);
            }
        }
        Op::Remove { key, field } => {
            let mut ks = shard.keyspace(DB, false);
            let bytes = [key];
            let hashed = ks.key_of(&bytes);
            let hash = ks.update::<Hash>(hashed).ok().flatten();
            let removed = hash.is_some_and(|hash| hash.remove(&[field]));
            if removed {
                ks.changed::<Hash>(hashed);
            }
            let expected = db.get_mut(&key).is_some_and(|item| item.fields.remove(&field).is_some());
            assert_eq!(removed, expected);
        }
        Op::Text { key } => {
            put(shard, DB, &[key], b"text");
            db.insert(key, Item { is_text: true, ..Item::default() });
        }
        Op::Delete { key } => {
            let mut ks = shard.keyspace(DB, false);
            let bytes = [key];
            let hashed = ks.key_of(&bytes);
            assert_eq!(ks.remove(hashed), db.remove(&key).is_some());
        }
        Op::Deadline { key, after } => {
            let mut ks = shard.keyspace(DB, false);
            let bytes = [key];
            let hashed = ks.key_of(&bytes);
            let is_there = ks.set_deadline(hashed, in_time(after).map(Millis));
            assert_eq!(is_there, db.get_mut(&key).map(|item| item.deadline = in_time(after)).is_some());
        }
        Op::Rename { from, to } | Op::Copy { from, to } if from == to => {}
        Op::Rename { from, to } => {
            let mut ks = shard.keyspace(DB, false);
            let (hashed, target) = (&[from][..], &[to][..]);
            let (hashed, target) = (ks.key_of(hashed), ks.key_of(target));
            if let Some(value) = ks.take(hashed) {
                ks.restore(target, value);
                let item = db.remove(&from).expect("both have it");
                db.insert(to, item);
            }
        }
        Op::Copy { from, to } => {
            let mut ks = shard.keyspace(DB, false);
            let (hashed, target) = (&[from][..], &[to][..]);
            let (hashed, target) = (ks.key_of(hashed), ks.key_of(target));
            if let Some(value) = ks.copy_out(hashed) {
                ks.restore(target, value);
                let item = db[&from].clone();
                db.insert(to, item);
            }
        }
        Op::Swap => {
            shard.swap_db(DB, DbIndex(1));
            model.swap(0, 1);
        }
        Op::Pass { ms } => {
            *now += ms;
            shard.begin_turn(Millis(*now));
        }
        Op::Expire { budget } => {
            shard.expire_slice(Millis(*now), budget, &mut |_, _| {});
        }
        Op::Background => drop(shard.background_slice(20)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 200 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// Hashes and their fields come and go as in a map of maps, and the timer finds every deadline.
    #[test]
    fn hashes_agree_with_a_model(ops in prop::collection::vec(op(), 1..200)) {
        let (mut shard, mut model, mut now) = (shard(), Model::default(), NOW.0);
        for op in ops {
            settle(&mut model, now);
            step(&mut shard, &mut model, &mut now, op);
        }
        settle(&mut model, now);
        check(&mut shard, &model);
        // Nobody looks at anything any more: what is due goes by itself.
        now += 1_000;
        shard.begin_turn(Millis(now));
        while shard.expire_slice(Millis(now), 50, &mut |_, _| {}) {}
        now += 50;
        shard.begin_turn(Millis(now));
        while shard.expire_slice(Millis(now), 50, &mut |_, _| {}) {}
        settle(&mut model, now);
        for (db, keys) in model.iter().enumerate() {
            prop_assert_eq!(shard.db_len(DbIndex(db as u16)), keys.len());
        }
        check(&mut shard, &model);
    }
}

//! Snapshots: whatever happens to a shard while one is made, it holds every entry once, as at the cut.

use std::collections::BTreeMap;

use pinyon_base::{DbIndex, Millis, ShardId};
use pinyon_values::codec::Saving;
use pinyon_values::hash::{FieldTtl, Hash};
use proptest::prelude::*;

use crate::keyspace::{Batch, EvictionPolicy, Key, Loader, NewValue, Piece, Shard, ShardConfig, Ttl, ValueRef};
use crate::record::{Damaged, Slots};

const START: i64 = 1_700_000_000_000;
const DBS: u16 = 17;

/// What happens to a shard; numbers are of keys.
#[derive(Clone, Debug)]
enum Happening {
    Put(u16, u32, u32, Kind),
    Append(u16, u32, usize),
    Remove(u16, u32, u32),
    Deadline(u16, u32, Option<i64>),
    Take(u16, u32, u16),
    /// Hashes, each with so many fields, from this number on.
    Fields(u16, u32, u32, Option<i64>),
    /// Somebody is going to change such a hash.
    Want(u16, u32),
    Wait(i64),
    Expire,
    Evict,
    Flush(u16, bool),
    FlushAll,
    Swap(u16, u16),
    Background,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Int,
    Short,
    Volatile(i64),
    Middle,
    Long,
}

fn happening() -> impl Strategy<Value = Happening> {
    let db = || prop::sample::select(vec![0u16, 1, 16]);
    let key = || 0u32..3000;
    let kind = prop_oneof![
        3 => Just(Kind::Int),
        3 => Just(Kind::Short),
        2 => (0..200i64).prop_map(Kind::Volatile),
        1 => Just(Kind::Middle),
        1 => Just(Kind::Long),
    ];
    prop_oneof![
        8 => (db(), key(), 1..600u32, kind).prop_map(|(db, from, count, kind)| Happening::Put(db, from, count, kind)),
        4 => (db(), key(), 1..300usize).prop_map(|(db, key, len)| Happening::Append(db, key, len)),
        4 => (db(), key(), 1..900u32).prop_map(|(db, from, count)| Happening::Remove(db, from, count)),
        3 => (db(), key(), prop::option::of(0..300i64)).prop_map(|(db, key, at)| Happening::Deadline(db, key, at)),
        2 => (db(), key(), db()).prop_map(|(db, key, other)| Happening::Take(db, key, other)),
        6 => (db(), 0..8u32, prop_oneof![1..9u32, 100..3000u32], prop::option::of(0..200i64)).prop_map(
            |(db, key, count, after)| Happening::Fields(db, key, count, after)
        ),
        4 => (db(), 0..8u32).prop_map(|(db, key)| Happening::Want(db, key)),
        2 => (0..90i64).prop_map(Happening::Wait),
        2 => Just(Happening::Expire),
        2 => Just(Happening::Evict),
        1 => (db(), any::<bool>()).prop_map(|(db, sync)| Happening::Flush(db, sync)),
        1 => Just(Happening::FlushAll),
        1 => (db(), db()).prop_map(|(a, b)| Happening::Swap(a, b)),
        2 => Just(Happening::Background),
    ]
}

fn config() -> ShardConfig {
    ShardConfig { databases: DBS, policy: EvictionPolicy::AllkeysRandom, ..ShardConfig::default() }
}

struct World {
    shard: Shard,
    now: i64,
    step: u64,
}

impl World {
    fn new() -> World {
        let mut shard = Shard::new(config());
        shard.begin_turn(Millis(START));
        World { shard, now: START, step: 0 }
    }

    fn happen(&mut self, happening: &Happening) {
        self.step += 1;
        let step = self.step;
        let shard = &mut self.shard;
        let name = |key: u32| format!("key:{key}").into_bytes();
        match *happening {
            Happening::Put(db, from, count, kind) => {
                let mut ks = shard.keyspace(DbIndex(db), false);
                for key in from..from + count {
                    let name = name(key);
                    let key = ks.key_of(&name);
                    let text = |len: usize| format!("{step}-{:0len$}", key.hash).into_bytes();
                    match kind {
                        Kind::Int => ks.put(key, NewValue::Int(step as i64), Ttl::Keep),
                        Kind::Short => ks.put(key, NewValue::Text(&text(30)), Ttl::Clear),
                        Kind::Volatile(ms) => {
                            ks.put(
                                key,
                                NewValue::Text(&text(5)),
                                Ttl::At(Millis(self.now + ms + (key.hash % 50) as i64)),
                            );
                        }
                        Kind::Middle => ks.put(key, NewValue::Text(&text(500)), Ttl::Keep),
                        Kind::Long if key.hash.is_multiple_of(64) => {
                            ks.put(key, NewValue::Text(&text(40_000)), Ttl::Clear)
                        }
                        Kind::Long => {}
                    }
                }
            }
            Happening::Append(db, key, len) => {
                let mut ks = shard.keyspace(DbIndex(db), false);
                ks.append(ks.key_of(&name(key)), &vec![b'x'; len]);
            }
            Happening::Remove(db, from, count) => {
                let mut ks = shard.keyspace(DbIndex(db), false);
                for key in from..from + count {
                    ks.remove(ks.key_of(&name(key)));
                }
            }
            Happening::Deadline(db, key, after) => {
                let mut ks = shard.keyspace(DbIndex(db), false);
                ks.set_deadline(ks.key_of(&name(key)), after.map(|after| Millis(self.now + after)));
            }
            Happening::Take(db, key, other) => {
                let mut ks = shard.keyspace(DbIndex(db), false);
                if let Some(value) = ks.take(ks.key_of(&name(key))) {
                    let mut ks = shard.keyspace(DbIndex(other), false);
                    ks.restore(ks.key_of(&name(key)), value);
                }
            }
            Happening::Fields(db, key, count, after) => {
                let mut ks = shard.keyspace(DbIndex(db), false);
                let name = format!("hash:{key}").into_bytes();
                let key = ks.key_of(&name);
                let limits = ks.limits().hash;
                let fields = ks.update_or_create::<Hash>(key).expect("there are only hashes of that name");
                for number in 0..count {
                    let ttl = match after {
                        Some(after) if number % 7 == 0 => FieldTtl::At(self.now + after + i64::from(number)),
                        _ => FieldTtl::Keep,
                    };
                    let value = format!("{step} and something so that they are not all of one length {number}");
                    fields.set(
                        format!("field {}", step % 5 * 500 + u64::from(number)).as_bytes(),
                        value.as_bytes(),
                        ttl,
                        &limits,
                    );
                }
                ks.changed::<Hash>(key);
            }
            Happening::Want(db, key) => {
                shard.must_save_first(DbIndex(db), format!("hash:{key}").as_bytes());
            }
            Happening::Wait(ms) => {
                self.now += ms;
                shard.begin_turn(Millis(self.now));
            }
            Happening::Expire => {
                shard.expire_slice(Millis(self.now), 500, &mut |_, _| {});
            }
            Happening::Evict => {
                shard.evict_one(&mut |_, _| {});
            }
            Happening::Flush(db, sync) => shard.flush_db(DbIndex(db), sync),
            Happening::FlushAll => shard.flush_all(false),
            Happening::Swap(a, b) => shard.swap_db(DbIndex(a), DbIndex(b)),
            Happening::Background => {
                shard.background_slice(20);
            }
        }
    }
}

/// By database and key the value, the deadline and the access word.
type Contents = BTreeMap<(u16, Vec<u8>), (Vec<u8>, Option<Millis>)>;

fn contents(shard: &mut Shard) -> Contents {
    let mut all = BTreeMap::new();
    for db in (0..DBS).map(DbIndex) {
        let mut keys = Vec::new();
        shard.each_key(db, &mut |key| keys.push(key.to_vec()));
        for key in keys {
            let (value, deadline) = shard.as_it_is(db, &key).expect("it is there");
            let value = match value {
                ValueRef::Collection(collection) => {
                    let mut parts = Vec::new();
                    Saving::all(collection, &mut |part| parts.push(format!("{part:?}")));
                    parts.sort();
                    parts.concat().into_bytes()
                }
                value => value.to_vec(),
            };
            all.insert((db.0, key), (value, deadline));
        }
    }
    all
}

/// The bytes of a snapshot that nothing happens beside.
fn saved(shard: &mut Shard) -> Vec<u8> {
    shard.begin_snapshot();
    while shard.snapshot_slice(50_000) {}
    let mut bytes = Vec::new();
    while let Some(batch) = shard.take_batch() {
        gather(&batch, &mut bytes);
    }
    bytes
}

/// The bytes of all entries one after the other, and how many begin.
fn gather(batch: &Batch, into: &mut Vec<u8>) -> u64 {
    let mut entries = 0;
    batch.pieces(&mut |piece| match piece {
        Piece::Entry => entries += 1,
        Piece::Bytes(bytes) => into.extend_from_slice(bytes),
    });
    assert_eq!(entries, batch.entries());
    entries
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_is_saved_once_as_at_the_cut(
        before in prop::collection::vec(happening(), 0..40),
        during in prop::collection::vec((happening(), 0..60_000usize), 0..60),
        after in 1u16..4,
        rounds in 1..3usize,
    ) {
        let mut world = World::new();
        before.iter().for_each(|happening| world.happen(happening));
        for _ in 0..rounds {
            let expected = contents(&mut world.shard);
            world.shard.begin_snapshot();
            let (mut entries, mut bytes, mut order) = (0, Vec::new(), during.iter());
            let mut more = true;
            while more {
                let budget = match order.next() {
                    Some((happening, budget)) => {
                        world.happen(happening);
                        *budget
                    }
                    None => 100_000,
                };
                more = world.shard.snapshot_slice(budget) || order.len() > 0;
                if budget % 3 == 0 && let Some(batch) = world.shard.take_batch() {
                    entries += gather(&batch, &mut bytes);
                }
            }
            prop_assert_eq!(world.shard.snapshot_progress(), if world.shard.is_saving() { (expected.len() as u64, expected.len() as u64) } else { (0, 0) });
            while let Some(batch) = world.shard.take_batch() {
                entries += gather(&batch, &mut bytes);
            }
            prop_assert!(!world.shard.is_saving());
            prop_assert_eq!(entries, expected.len() as u64, "each once");
            let mut found = BTreeMap::new();
            for shard in 0..after {
                let mut again = Shard::new(config());
                Loader::new(Slots::of(ShardId(shard), after)).load(&mut again, &bytes).expect("it loads");
                found.extend(contents(&mut again));
            }
            prop_assert!(expected == found, "{} entries, {} found", expected.len(), found.len());
        }
        for table in &world.shard.tables {
            table.check();
        }
    }

    /// A snapshot that is given up leaves the next one whole.
    #[test]
    fn one_that_is_given_up_leaves_nothing_behind(
        before in prop::collection::vec(happening(), 1..20), during in prop::collection::vec(happening(), 0..20), budget in 0..50_000usize,
    ) {
        let mut world = World::new();
        before.iter().for_each(|happening| world.happen(happening));
        world.shard.begin_snapshot();
        world.shard.snapshot_slice(budget);
        during.iter().for_each(|happening| world.happen(happening));
        world.shard.give_up_snapshot();
        during.iter().for_each(|happening| world.happen(happening));
        while world.shard.snapshot_slice(50_000) {}
        prop_assert!(world.shard.take_batch().is_none() && !world.shard.is_saving());
        let expected = contents(&mut world.shard);
        world.shard.begin_snapshot();
        while world.shard.snapshot_slice(50_000) {}
        let mut bytes = Vec::new();
        while let Some(batch) = world.shard.take_batch() {
            gather(&batch, &mut bytes);
        }
        let mut again = Shard::new(config());
        Loader::new(Slots::of(ShardId(0), 1)).load(&mut again, &bytes).expect("it loads");
        prop_assert!(expected == contents(&mut again));
    }

    /// A shard that loads what it has saved itself has the same data, and can be saved again.
    #[test]
    fn a_reload_changes_nothing(before in prop::collection::vec(happening(), 1..20)) {
        let mut world = World::new();
        before.iter().for_each(|happening| world.happen(happening));
        let expected = contents(&mut world.shard);
        prop_assert_eq!(world.shard.reload(), Ok(true));
        prop_assert!(expected == contents(&mut world.shard));
        for table in &world.shard.tables {
            table.check();
        }
        world.shard.begin_snapshot();
        prop_assert_eq!(world.shard.reload(), Ok(false), "one at a time");
        prop_assert!(expected == contents(&mut world.shard));
    }

    /// Data that were loaded beside a shard's own take their place, whatever has happened to those meanwhile, and all goes on.
    #[test]
    fn data_loaded_beside_take_the_place_of_what_is_there(
        before in prop::collection::vec(happening(), 1..20), meanwhile in prop::collection::vec(happening(), 0..20),
        after in prop::collection::vec(happening(), 0..20),
    ) {
        let mut world = World::new();
        before.iter().for_each(|happening| world.happen(happening));
        let expected = contents(&mut world.shard);
        let bytes = saved(&mut world.shard);
        let mut data = world.shard.fresh();
        Loader::new(Slots::of(ShardId(0), 1)).load(&mut data, &bytes).expect("it loads");
        meanwhile.iter().for_each(|happening| world.happen(happening));
        world.shard.replace_data(data);
        prop_assert!(expected == contents(&mut world.shard));
        after.iter().for_each(|happening| world.happen(happening));
        while world.shard.background_slice(1) {}
        for table in &world.shard.tables {
            table.check();
        }
        let expected = contents(&mut world.shard);
        let bytes = saved(&mut world.shard);
        let mut again = Shard::new(config());
        Loader::new(Slots::of(ShardId(0), 1)).load(&mut again, &bytes).expect("it loads");
        prop_assert!(expected == contents(&mut again), "it is saved as it is");
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
        let _ = Loader::new(Slots::of(ShardId(0), 1)).load(&mut Shard::new(config()), &bytes);
    }
}

#[test]
fn a_big_collection_that_is_waited_for_comes_next_and_in_slices() {
    let mut world = World::new();
    (0..50).for_each(|key| world.happen(&Happening::Fields(0, key, 3000, None)));
    world.happen(&Happening::Fields(0, 99, 3, None));
    let db = DbIndex(0);
    let shard = &mut world.shard;
    assert!(!shard.must_save_first(db, b"hash:31") && shard.bigs_saved().is_none(), "there is no snapshot");
    shard.begin_snapshot();
    assert!(shard.may_save_first());
    assert!(!shard.must_save_first(db, b"hash:99"), "a small one is saved at once");
    assert!(!shard.must_save_first(db, b"hash:100"), "it is not there");
    assert!(!shard.must_save_first(DbIndex(1), b"hash:31"));
    assert!(shard.must_save_first(db, b"hash:31") && shard.must_save_first(db, b"hash:31"));
    let (mut slices, before) = (0, shard.bigs_saved());
    while shard.bigs_saved() == before {
        assert!(shard.must_save_first(db, b"hash:31"));
        let bytes = shard.saved_bytes();
        assert!(shard.snapshot_slice(4000));
        assert!(shard.saved_bytes() - bytes < 20_000, "a slice");
        slices += 1;
    }
    assert!(slices > 10 && shard.snapshot_progress().0 <= 2);
    assert!(!shard.must_save_first(db, b"hash:31"));
    let bytes = shard.saved_bytes();
    world.happen(&Happening::Fields(0, 31, 10, None));
    assert_eq!(world.shard.saved_bytes(), bytes, "nothing is left to save before it changes");
    // Who still waits when nobody wants the snapshot any more hears of it.
    assert!(world.shard.must_save_first(db, b"hash:32"));
    let before = world.shard.bigs_saved();
    world.shard.give_up_snapshot();
    assert_ne!(world.shard.bigs_saved(), before);
    assert!(!world.shard.must_save_first(db, b"hash:32"));
}

/// The bytes, once and for all.
#[test]
fn the_bytes_stay_as_they_are() {
    let mut shard = Shard::new(config());
    shard.begin_turn(Millis(START));
    let mut ks = shard.keyspace(DbIndex(1), false);
    ks.put(ks.key_of(b"k"), NewValue::Text(b"v"), Ttl::At(Millis(START + 20)));
    let key = Key { bytes: b"k", hash: shard.hash(b"k") };
    let access = shard.tables[1].find(key).expect("it is there").entry().access().to_bytes();
    shard.begin_snapshot();
    while shard.snapshot_slice(1000) {}
    let mut bytes = Vec::new();
    gather(&shard.take_batch().expect("one entry"), &mut bytes);
    let expected = [&b"\x10\x01k\x95\xd0\x95\xff\xbc\x31"[..], &access, b"\x00\x01v"].concat();
    assert_eq!(bytes, expected);
    let all = Slots::of(ShardId(0), 1);
    let load = |bytes: &[u8]| Loader::new(all).load(&mut Shard::new(config()), bytes);
    assert_eq!(load(&bytes), Ok(()));
    assert_eq!(load(&bytes[..bytes.len() - 1]), Err(Damaged::Short));
    assert_eq!(load(b"\xf0\x11\x01k\x00abc\x00\x01v"), Err(Damaged::Database(17)));
    assert!(matches!(load(b"\x00\x01k\x00abc\x63\x01v"), Err(Damaged::Value(_))));
}

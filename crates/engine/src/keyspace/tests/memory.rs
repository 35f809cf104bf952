//! Memory: as little as promised, given back when keys go, and always accounted for.

use pinyon_base::DbIndex;

use super::{DB, Dice, SCALE, get, name, put, remove, shard};
use crate::keyspace::{NewValue, Ttl};

/// Blocks and buckets take at most 18 bytes per key beyond key and value.
#[test]
fn overhead_per_key() {
    let mut shard = shard();
    let keys = 300_000 / SCALE;
    let mut payload = 0;
    for number in 0..keys {
        put(&mut shard, DB, &name(1_000_000 + number), b"8 bytes.");
        payload += 11 + 8;
    }
    let used = shard.tables[0].bytes() - shard.slack_bytes();
    let overhead = (used - payload) as f64 / keys as f64;
    assert!(SCALE > 1 || overhead < 18.0, "{overhead} bytes per key");
    assert!(SCALE > 1 || shard.slack_bytes() < 4 << 20, "{} bytes of slack", shard.slack_bytes());
    assert!(shard.table_stats(DB).load > 0.8);
}

/// Deleting nine of ten keys at random leaves holes everywhere; packing gives most of that memory back, while keys come and
/// go and stay what they are.
#[test]
fn deletions_give_memory_back() {
    let mut shard = shard();
    let mut dice = Dice(5);
    let keys = 1_000_000 / SCALE;
    for number in 0..keys {
        put(&mut shard, DB, &name(number), format!("value of {number}").as_bytes());
    }
    let full = shard.tables[0].bytes();
    let stays = |number: usize| number % 10 == 3;
    for number in (0..keys).filter(|number| !stays(*number)) {
        assert!(remove(&mut shard, DB, &name(number)));
    }
    let holey = shard.tables[0].bytes();
    while shard.background_slice(5) {
        let number = dice.below(keys);
        if !stays(number) {
            put(&mut shard, DB, &name(number), b"short lived");
            remove(&mut shard, DB, &name(number));
        }
    }
    shard.tables[0].check();
    let packed = shard.tables[0].bytes();
    assert!(SCALE > 1 || packed < full / 4, "{full} bytes when full, then {holey}, packed {packed}");
    for number in (0..keys).filter(|number| stays(*number)) {
        assert_eq!(get(&mut shard, DB, &name(number)), Some(format!("value of {number}").into_bytes()));
    }
}

/// Segments of a table that shrinks give their memory back by themselves.
#[test]
fn tables_shrink_with_their_keys() {
    let mut shard = shard();
    let keys = 100_000 / SCALE;
    for number in 0..keys {
        put(&mut shard, DB, &name(number), b"v");
    }
    for number in 0..keys {
        assert!(remove(&mut shard, DB, &name(number)));
        if number % 10_000 == 0 {
            shard.tables[0].check();
        }
        let stats = shard.table_stats(DB);
        assert!(stats.slots <= stats.len * 5 + 300, "{stats:?}");
    }
    assert_eq!(shard.table_stats(DB).segments, 1);
    assert_eq!(shard.tables[0].bytes() - shard.slack_bytes(), 39 * 64);
}

#[test]
fn flushed_databases_are_freed_in_small_steps() {
    for blobs in [false, true] {
        let mut shard = shard();
        let long = vec![b'x'; 5000];
        for number in 0..20_000 / SCALE {
            let db = DbIndex((number % 2) as u16);
            let value: &[u8] = if blobs && number % 10 == 0 { &long } else { b"v" };
            put(&mut shard, db, &name(number), value);
        }
        let before = shard.slack_bytes();
        let held: usize = shard.tables.iter().map(|table| table.bytes()).sum();
        shard.flush_all(false);
        assert_eq!((shard.db_len(DB), shard.random_key(DB)), (0, None));
        assert!(shard.slack_bytes() >= held.max(before));
        put(&mut shard, DB, b"new", b"v");
        let mut steps = 0;
        while shard.background_slice(1) {
            steps += 1;
        }
        assert!(steps > if blobs { 2000 / SCALE } else { 1 }, "{steps}");
        assert_eq!(get(&mut shard, DB, b"new"), Some(b"v".to_vec()));
        assert_eq!(shard.ledger.graveyard.bytes(), 0);
    }
}

/// A big value is not freed while the command waits; UNLINK leaves smaller ones for later, too.
#[test]
fn big_values_are_freed_later() {
    let mut shard = shard();
    let sizes = [(10_000, false, 0), (10_000, true, 10_000), (1 << 20, false, 1 << 20)];
    for (bytes, lazy, waiting) in sizes {
        let mut ks = shard.keyspace(DB, false);
        let key = ks.key_of(b"k");
        ks.put(key, NewValue::Text(&vec![b'x'; bytes]), Ttl::Clear);
        assert!(if lazy { ks.remove_lazy(key) } else { ks.remove(key) });
        assert_eq!(shard.ledger.graveyard.bytes(), waiting);
        while shard.background_slice(1) {}
        assert_eq!(shard.ledger.graveyard.bytes(), 0);
    }
    put(&mut shard, DB, b"k", &vec![b'x'; 1 << 20]);
    put(&mut shard, DB, b"k", b"short");
    assert_eq!(shard.take_garbage().len(), 1);
    assert_eq!(shard.ledger.graveyard.bytes(), 0);
}

#[test]
fn memory_of_a_key() {
    let mut shard = shard();
    let usage = |shard: &mut super::Shard, value: &[u8]| {
        put(shard, DB, b"key", value);
        let mut ks = shard.keyspace(DB, false);
        ks.memory_usage(ks.key_of(b"key")).expect("it is there")
    };
    assert!((24..40).contains(&usage(&mut shard, b"v")));
    assert!((120..150).contains(&usage(&mut shard, &[b'x'; 100])));
    assert!((10_000..10_100).contains(&usage(&mut shard, &[b'x'; 10_000])));
}

//! Deadlines: exact on access, soon by the timer, and the wheel's nodes follow the keys.

use pinyon_base::{DbIndex, Millis};

use super::{DB, Dice, NOW, SCALE, get, name, put, put_with, remove, shard};
use crate::keyspace::{Shard, Ttl};

fn at(ms: i64) -> Millis {
    Millis(NOW.0 + ms)
}

/// Lets the timer do all that is due; returns the keys it removed.
fn expire_all(shard: &mut Shard, now: Millis) -> Vec<Vec<u8>> {
    let mut gone = Vec::new();
    shard.begin_turn(now);
    while shard.expire_slice(now, 100, &mut |_, key| gone.push(key.to_vec())) {}
    gone
}

#[test]
fn access_is_exact_to_the_millisecond() {
    let mut shard = shard();
    put_with(&mut shard, DB, b"k", b"v", Ttl::At(at(1000)));
    shard.begin_turn(at(999));
    assert_eq!(get(&mut shard, DB, b"k"), Some(b"v".to_vec()));
    shard.begin_turn(at(1000));
    assert_eq!(shard.db_len(DB), 1);
    assert_eq!(get(&mut shard, DB, b"k"), None);
    assert_eq!(shard.db_len(DB), 0);
    let stats = *shard.stats();
    assert_eq!((stats.hits, stats.misses, stats.expired, stats.expired_on_access), (1, 1, 1, 1));
    // Written over when it is due, it is a new key.
    put_with(&mut shard, DB, b"k", b"v", Ttl::At(at(2000)));
    shard.begin_turn(at(2000));
    put_with(&mut shard, DB, b"k", b"w", Ttl::Keep);
    assert_eq!(get(&mut shard, DB, b"k"), Some(b"w".to_vec()));
    assert_eq!((shard.stats().expired, shard.db_volatile_len(DB)), (2, 0));
}

#[test]
fn the_timer_removes_what_is_due_and_nothing_else() {
    let mut shard = shard();
    let keys = 10_000 / SCALE;
    for number in 0..keys {
        let db = DbIndex((number % 3) as u16);
        put_with(&mut shard, db, &name(number), b"v", Ttl::At(at(number as i64)));
        put(&mut shard, db, &format!("stays:{number}").into_bytes(), b"v");
    }
    let mut gone = 0;
    for ms in (0..keys as i64 + 40).step_by(20) {
        gone += expire_all(&mut shard, at(ms)).len() as i64;
        assert!(gone <= ms + 1 && gone >= (ms - 16).min(keys as i64), "{gone} gone after {ms} ms");
    }
    assert_eq!(gone, keys as i64);
    assert_eq!((0..3).map(|db| shard.db_len(DbIndex(db))).sum::<usize>(), keys);
    assert_eq!(shard.next_deadline(), None);
    assert_eq!(shard.stats().expired, keys as u64);
    for table in &shard.tables {
        table.check();
    }
}

/// A deadline that moves later needs no new node; one that moves earlier is kept, too.
#[test]
fn moved_deadlines_are_kept() {
    let mut shard = shard();
    let mut dice = Dice(1);
    let keys = 500 / SCALE.min(10);
    let mut deadlines = vec![0; keys];
    for (number, deadline) in deadlines.iter_mut().enumerate() {
        for _ in 0..dice.below(20) + 1 {
            *deadline = dice.below(5000) as i64 + 1;
            let mut ks = shard.keyspace(DB, false);
            let key = name(number);
            let key = ks.key_of(&key);
            if dice.below(3) == 0 || !ks.set_deadline(key, Some(at(*deadline))) {
                ks.put(key, crate::keyspace::NewValue::Int(1), Ttl::At(at(*deadline)));
            }
            if dice.below(10) == 0 {
                assert!(ks.set_deadline(key, None));
                assert!(ks.set_deadline(key, Some(at(*deadline))));
            }
        }
    }
    for ms in (0..6000).step_by(16) {
        for key in expire_all(&mut shard, at(ms)) {
            let number: usize = String::from_utf8_lossy(&key[4..]).parse().expect("a number");
            assert!((ms - 31..=ms).contains(&deadlines[number]), "{} at {ms}", deadlines[number]);
            deadlines[number] = 0;
        }
    }
    assert!(deadlines.iter().all(|deadline| *deadline == 0));
    assert_eq!((shard.db_len(DB), shard.expiry_nodes()), (0, 0));
}

/// A session that is refreshed on every request has one node, not one for each refresh.
#[test]
fn refreshing_a_deadline_does_not_pile_up_nodes() {
    let mut shard = shard();
    for ms in 0..5000 {
        shard.begin_turn(at(ms));
        put_with(&mut shard, DB, b"session", b"v", Ttl::At(at(ms + 1000)));
        expire_all(&mut shard, at(ms));
        assert_eq!(shard.expiry_nodes(), 1);
    }
    // Now and then for a shorter time: what is left over from that goes when it fires.
    for ms in 5000..20_000 {
        shard.begin_turn(at(ms));
        let ttl = if ms % 2 == 0 { 1000 } else { 100 };
        put_with(&mut shard, DB, b"session", b"v", Ttl::At(at(ms + ttl)));
        expire_all(&mut shard, at(ms));
        assert!(shard.expiry_nodes() < 1500, "{} nodes for one key", shard.expiry_nodes());
    }
    expire_all(&mut shard, at(30_000));
    assert_eq!((shard.db_len(DB), shard.expiry_nodes()), (0, 0));
}

/// Nodes of keys that are gone are dropped in the background when they are many.
#[test]
fn stale_nodes_are_swept() {
    let mut shard = shard();
    let keys = 100_000 / SCALE;
    for number in 0..keys {
        put_with(&mut shard, DB, &name(number), b"v", Ttl::At(at(3_600_000)));
    }
    for number in 1000 / SCALE..keys {
        remove(&mut shard, DB, &name(number));
    }
    assert_eq!(shard.expiry_nodes(), keys);
    while shard.background_slice(10) {}
    if SCALE == 1 {
        assert_eq!(shard.expiry_nodes(), 1000);
    }
    assert_eq!(expire_all(&mut shard, at(3_600_016)).len(), 1000 / SCALE);
}

#[test]
fn flushed_and_swapped_databases_keep_their_own_deadlines() {
    let mut shard = shard();
    let (a, b) = (DbIndex(0), DbIndex(1));
    put_with(&mut shard, a, b"a", b"v", Ttl::At(at(100)));
    put_with(&mut shard, b, b"b", b"v", Ttl::At(at(200)));
    shard.swap_db(a, b);
    shard.flush_db(a, false);
    put_with(&mut shard, a, b"b", b"v", Ttl::At(at(5000)));
    assert_eq!(expire_all(&mut shard, at(300)), [b"a".to_vec()]);
    assert_eq!(get(&mut shard, a, b"b"), Some(b"v".to_vec()));
    assert_eq!(expire_all(&mut shard, at(5016)), [b"b".to_vec()]);
}

#[test]
fn without_the_timer_access_still_expires() {
    let mut shard = shard();
    shard.set_active_expire(false);
    put_with(&mut shard, DB, b"k", b"v", Ttl::At(at(10)));
    assert!(expire_all(&mut shard, at(1000)).is_empty());
    assert_eq!((shard.db_len(DB), shard.next_deadline()), (1, None));
    assert_eq!(shard.random_key(DB), None);
    assert_eq!(shard.db_len(DB), 0, "looking for a random key has removed it");
}

#[test]
fn what_is_due_may_be_kept_unseen() {
    let mut shard = shard();
    put_with(&mut shard, DB, b"k", b"v", Ttl::At(at(10)));
    shard.keep_due(true);
    assert!(expire_all(&mut shard, at(1000)).is_empty());
    assert_eq!((get(&mut shard, DB, b"k"), shard.db_len(DB), shard.next_deadline()), (None, 1, None));
    shard.keep_due(false);
    assert_eq!(expire_all(&mut shard, at(1000)), [b"k".to_vec()]);
    assert_eq!(shard.db_len(DB), 0);
}

#[test]
fn mean_time_to_live() {
    let mut shard = shard();
    assert_eq!(shard.db_average_ttl(DB), 0);
    for (key, ms) in [("a", 1000), ("b", 2000), ("c", 6000)] {
        put_with(&mut shard, DB, key.as_bytes(), b"v", Ttl::At(at(ms)));
    }
    put(&mut shard, DB, b"d", b"v");
    assert_eq!(shard.db_average_ttl(DB), 3000);
    shard.begin_turn(at(500));
    remove(&mut shard, DB, b"c");
    assert_eq!(shard.db_average_ttl(DB), 1000);
}

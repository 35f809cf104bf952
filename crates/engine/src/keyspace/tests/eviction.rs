//! Eviction: the policy decides who goes, and the last key that may go is found in any crowd.

use std::collections::BTreeSet;

use pinyon_base::{DbIndex, Millis};

use super::{DB, NOW, SCALE, get, name, put, put_with, shard_with};
use crate::keyspace::{Evicted, EvictionPolicy, Shard, ShardConfig, Ttl};

fn shard(policy: EvictionPolicy) -> Shard {
    shard_with(ShardConfig { policy, ..ShardConfig::default() })
}

fn evict(shard: &mut Shard) -> Option<(DbIndex, Vec<u8>)> {
    let mut victim = None;
    match shard.evict_one(&mut |db, key| victim = Some((db, key.to_vec()))) {
        Evicted::Freed(bytes) => {
            assert!(bytes > 20);
            victim
        }
        Evicted::NothingToEvict => {
            assert_eq!(victim, None);
            None
        }
    }
}

#[test]
fn every_policy_evicts_all_it_may() {
    for policy in EvictionPolicy::ALL {
        let mut shard = shard(policy);
        let keys = 2000 / SCALE;
        for number in 0..keys {
            let db = DbIndex((number % 4) as u16);
            let ttl = if number % 3 == 0 { Ttl::At(Millis(NOW.0 + 1_000_000 + number as i64)) } else { Ttl::Clear };
            put_with(&mut shard, db, &name(number), b"v", ttl);
        }
        let mut gone = BTreeSet::new();
        while let Some((_, key)) = evict(&mut shard) {
            assert!(gone.insert(key));
        }
        let expected = match policy {
            EvictionPolicy::NoEviction => 0,
            policy if policy.volatile_only() => keys.div_ceil(3),
            _ => keys,
        };
        assert_eq!(gone.len(), expected, "{}", policy.name());
        assert_eq!(shard.stats().evicted, expected as u64);
        for table in &shard.tables {
            table.check();
        }
    }
}

/// One volatile key among many others is found without going through them all.
#[test]
fn the_only_volatile_key_is_found() {
    for policy in EvictionPolicy::ALL.into_iter().filter(|policy| policy.volatile_only()) {
        let mut shard = shard(policy);
        for number in 0..100_000 / SCALE {
            put(&mut shard, DB, &name(number), b"v");
        }
        put_with(&mut shard, DB, b"the one", b"v", Ttl::At(Millis(NOW.0 + 1000)));
        assert_eq!(evict(&mut shard), Some((DB, b"the one".to_vec())));
        assert_eq!(evict(&mut shard), None);
        assert_eq!(shard.db_len(DB), 100_000 / SCALE);
    }
}

/// Of the keys that go first, nearly all are among those not used for long.
#[test]
fn lru_spares_what_was_read() {
    let mut shard = shard(EvictionPolicy::AllkeysLru);
    let keys = 4000 / SCALE.min(10);
    for number in 0..keys {
        put(&mut shard, DB, &name(number), b"v");
    }
    shard.begin_turn(Millis(NOW.0 + 60_000));
    for number in 0..keys / 2 {
        assert!(get(&mut shard, DB, &name(number)).is_some());
    }
    shard.begin_turn(Millis(NOW.0 + 120_000));
    let mut recent = 0;
    for _ in 0..keys / 4 {
        let (_, key) = evict(&mut shard).expect("there are keys");
        let number: usize = String::from_utf8_lossy(&key[4..]).parse().expect("a number");
        recent += usize::from(number < keys / 2);
    }
    assert!(recent * 50 < keys, "{recent} recently used keys went");
}

#[test]
fn lfu_spares_what_is_read_often() {
    let mut shard = shard(EvictionPolicy::AllkeysLfu);
    let keys = 2000 / SCALE.min(10);
    for number in 0..keys {
        put(&mut shard, DB, &name(number), b"v");
    }
    for _ in 0..50 {
        for number in 0..keys / 2 {
            get(&mut shard, DB, &name(number));
        }
    }
    let mut ks = shard.keyspace(DB, false);
    let frequency = ks.frequency(ks.key_of(&name(0))).expect("it is there");
    assert!(frequency > 7, "{frequency}");
    let mut often = 0;
    for _ in 0..keys / 4 {
        let (_, key) = evict(&mut shard).expect("there are keys");
        let number: usize = String::from_utf8_lossy(&key[4..]).parse().expect("a number");
        often += usize::from(number < keys / 2);
    }
    assert!(often * 50 < keys, "{often} often used keys went");
}

#[test]
fn volatile_ttl_takes_the_nearest_deadlines() {
    let mut shard = shard(EvictionPolicy::VolatileTtl);
    let keys = 2000 / SCALE.min(10);
    for number in 0..keys {
        put_with(&mut shard, DB, &name(number), b"v", Ttl::At(Millis(NOW.0 + 1000 + number as i64)));
    }
    let mut sum = 0;
    for _ in 0..keys / 10 {
        let (_, key) = evict(&mut shard).expect("there are keys");
        sum += String::from_utf8_lossy(&key[4..]).parse::<usize>().expect("a number");
    }
    let mean = sum / (keys / 10);
    assert!(mean < keys / 5, "mean rank {mean} of {keys}");
}

#[test]
fn reads_of_clients_that_leave_no_trace_do_not_count() {
    let mut shard = shard(EvictionPolicy::AllkeysLru);
    put(&mut shard, DB, b"k", b"v");
    shard.begin_turn(Millis(NOW.0 + 10_000));
    let mut ks = shard.keyspace(DB, true);
    let key = ks.key_of(b"k");
    assert!(ks.read(key).is_some());
    assert_eq!(ks.idle_seconds(key), Some(10));
    assert!(ks.look(key).is_some());
    assert!(ks.touch(key));
    assert_eq!(ks.idle_seconds(key), Some(0));
}

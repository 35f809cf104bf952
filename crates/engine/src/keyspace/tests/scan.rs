//! SCAN: what stays is seen, whatever else happens meanwhile. RANDOMKEY: every key has its chance.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{DB, Dice, SCALE, name, put, remove, shard};
use crate::keyspace::Shard;

fn scan_all(shard: &Shard, count: usize) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    let mut cursor = 0;
    loop {
        cursor = shard.scan(DB, cursor, count, &mut |key, _| seen.push(key.to_vec()));
        assert!(cursor < 1 << 48);
        if cursor == 0 {
            return seen;
        }
    }
}

#[test]
fn an_undisturbed_scan_sees_every_key_once() {
    let mut shard = shard();
    assert!(scan_all(&shard, 10).is_empty());
    let keys = 50_000 / SCALE;
    for number in 0..keys {
        put(&mut shard, DB, &name(number), b"v");
    }
    for count in [1, 10, 1000, usize::MAX] {
        let seen = scan_all(&shard, count);
        assert_eq!(seen.len(), keys);
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), keys);
    }
}

#[test]
fn a_step_does_not_do_much_more_than_asked() {
    let mut shard = shard();
    for number in 0..20_000 / SCALE {
        put(&mut shard, DB, &name(number), b"v");
    }
    let mut cursor = 0;
    loop {
        let mut seen = 0;
        cursor = shard.scan(DB, cursor, 10, &mut |_, _| seen += 1);
        assert!(seen < 60, "{seen} keys for a count of 10");
        if cursor == 0 {
            break;
        }
        assert!(seen >= 10);
    }
}

/// What happens between two steps of a scan.
#[derive(Clone, Debug)]
enum Between {
    Nothing,
    Insert(usize),
    Remove(usize),
    /// All but the keys that stay.
    RemoveAll,
    Background,
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        4 => Just(Between::Nothing),
        4 => (1usize..4000).prop_map(Between::Insert),
        4 => (1usize..4000).prop_map(Between::Remove),
        1 => Just(Between::RemoveAll),
        1 => Just(Between::Background),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 1 } else { 80 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// Keys that are there from before the scan until after it are seen at least once, however the table grows, splits,
    /// shrinks and merges; keys that were never there are not.
    #[test]
    fn keys_that_stay_are_seen(
        staying in 0usize..3000,
        others in 0usize..6000,
        count in 1usize..400,
        actions in prop::collection::vec(between(), 1..40),
        seed in any::<u64>(),
    ) {
        let mut shard = shard();
        let mut dice = Dice(seed);
        let mut next = 0;
        let mut temporary = Vec::new();
        let stays = |number: usize| format!("stays:{number}").into_bytes();
        for number in 0..staying / SCALE {
            put(&mut shard, DB, &stays(number), b"v");
        }
        let mut insert = |shard: &mut Shard, temporary: &mut Vec<usize>, count: usize| {
            for _ in 0..count / SCALE {
                put(shard, DB, &name(next), b"v");
                temporary.push(next);
                next += 1;
            }
        };
        insert(&mut shard, &mut temporary, others);
        let mut seen = BTreeMap::new();
        let mut actions = actions.iter().cycle();
        let (mut cursor, mut steps) = (0, 0);
        loop {
            cursor = shard.scan(DB, cursor, count, &mut |key, _| *seen.entry(key.to_vec()).or_insert(0) += 1);
            if cursor == 0 {
                break;
            }
            steps += 1;
            // Without end, insertions could keep ahead of a scan in small steps.
            if steps > 200 {
                continue;
            }
            match actions.next().expect("a cycle") {
                Between::Nothing => {}
                Between::Insert(count) => insert(&mut shard, &mut temporary, *count),
                Between::Remove(count) => {
                    for _ in 0..(*count / SCALE).min(temporary.len()) {
                        let number = temporary.swap_remove(dice.below(temporary.len()));
                        prop_assert!(remove(&mut shard, DB, &name(number)));
                    }
                }
                Between::RemoveAll => {
                    for number in temporary.drain(..) {
                        prop_assert!(remove(&mut shard, DB, &name(number)));
                    }
                }
                Between::Background => {
                    shard.background_slice(20);
                }
            }
        }
        for number in 0..staying / SCALE {
            prop_assert!(seen.contains_key(&stays(number)), "stays:{number} was missed");
        }
        shard.tables[0].check();
    }

    /// Any number is a cursor.
    #[test]
    fn made_up_cursors_do_no_harm(cursor in any::<u64>(), keys in 0usize..2000) {
        let mut shard = shard();
        for number in 0..keys / SCALE {
            put(&mut shard, DB, &name(number), b"v");
        }
        shard.scan(DB, cursor, 10, &mut |_, _| {});
    }
}

/// How evenly random keys are drawn: no key more than some times as often as it should be.
#[test]
fn random_keys_are_spread_evenly() {
    let mut shard = shard();
    for keys in [1, 2, 10, 1000, 3000] {
        for number in 0..keys {
            put(&mut shard, DB, &name(number), b"v");
        }
        let draws = 200 * keys / SCALE;
        let mut counts = BTreeMap::new();
        for _ in 0..draws {
            *counts.entry(shard.random_key(DB).expect("there are keys")).or_insert(0usize) += 1;
        }
        if SCALE == 1 {
            assert_eq!(counts.len(), keys);
            let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
            assert!(*least >= 60 && *most <= 600, "between {least} and {most} of {draws} draws among {keys} keys");
        }
    }
}

#[test]
fn the_last_key_of_a_once_large_table_is_found_at_once() {
    let mut shard = shard();
    let keys = 200_000 / SCALE;
    for number in 0..keys {
        put(&mut shard, DB, &name(number), b"v");
    }
    for number in (0..keys).filter(|number| *number != 777) {
        remove(&mut shard, DB, &name(number));
    }
    assert_eq!(shard.random_key(DB), Some(name(777)));
    assert_eq!(shard.table_stats(DB).segments, 1);
    shard.tables[0].check();
    remove(&mut shard, DB, &name(777));
    assert_eq!(shard.random_key(DB), None);
}

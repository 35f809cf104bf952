//! The table against a map, its walks under growth and shrinking, and that random records are evenly chosen.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A small generator (xorshift) for what proptest does not choose.
fn generator(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn plain(key: &[u8]) -> Record<'_> {
    Record { key, value: b"", deadline: None }
}

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

fn check(table: &Table, model: &Model) {
    assert_eq!(table.len(), model.len());
    let all: Model = table.iter().map(|r| (r.key.to_vec(), (r.value.to_vec(), r.deadline))).collect();
    assert_eq!(&all, model);
    for (key, (value, deadline)) in model {
        assert_eq!(table.get(key), Some(Record { key, value, deadline: *deadline }));
    }
    let pages: usize = table.pages.iter().map(Page::memory).sum();
    assert_eq!(pages, table.page_bytes);
    let mut scanned = Model::new();
    let mut cursor = 0;
    loop {
        cursor = table.scan(cursor, 10, &mut |r| {
            let before = scanned.insert(r.key.to_vec(), (r.value.to_vec(), r.deadline));
            assert!(before.is_none(), "a walk over a table that does not change visits once");
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(&scanned, model);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Growing to some thousand records of very different sizes, then shrinking to none.
    #[test]
    fn like_a_map(seed: u64, keys in 1u64..3000, sizes in 0u32..4) {
        let mut next = generator(seed | 1);
        let mut table = Table::new(seed, true);
        let mut model = Model::new();
        for round in 0..3 {
            for _ in 0..keys * 2 {
                let key = format!("key:{}", next() % keys).into_bytes();
                let choice = next() % 16;
                if choice < [3, 7, 13][round] {
                    prop_assert_eq!(table.remove(&key), model.remove(&key).is_some());
                } else {
                    let len = match sizes {
                        0 => next() % 20,
                        1 => next() % 400,
                        2 if next().is_multiple_of(20) => next() % 3000,
                        2 => next() % 30,
                        _ => 7,
                    };
                    let value = vec![next() as u8; len as usize];
                    let deadline = next().is_multiple_of(3).then(|| next() as i64 >> 8);
                    let is_new = table.insert(Record { key: &key, value: &value, deadline });
                    prop_assert_eq!(is_new, model.insert(key, (value, deadline)).is_none());
                }
            }
            check(&table, &model);
        }
        let copy = table.clone();
        for key in model.keys() {
            prop_assert!(table.remove(key));
        }
        prop_assert_eq!((table.len(), table.directory.depth(), table.pages.len()), (0, 0, 1));
        check(&copy, &model);
        let mut copy = copy;
        while copy.free_some(100) {}
        prop_assert_eq!((copy.len(), copy.page_bytes), (0, 0));
    }

    /// What is there during the whole walk is visited, whatever comes and goes meanwhile.
    #[test]
    fn walks_keep_the_guarantee(seed: u64, start in 0u64..4000, grow: bool, count in 1usize..50) {
        let mut next = generator(seed | 1);
        let mut table = Table::new(seed, false);
        for key in 0..start {
            table.insert(plain(&key.to_le_bytes()));
        }
        let mut missing: BTreeSet<u64> = (0..start).filter(|key| key % 7 == 0).collect();
        let mut cursor = 0;
        loop {
            cursor = table.scan(cursor, count, &mut |record| {
                missing.remove(&u64::from_le_bytes(record.key.try_into().expect("eight bytes")));
            });
            if cursor == 0 {
                break;
            }
            for _ in 0..next() % (3 * count as u64) {
                let key = if grow { start + next() % 5000 } else { next() % start };
                if grow {
                    table.insert(plain(&key.to_le_bytes()));
                } else if key % 7 != 0 {
                    table.remove(&key.to_le_bytes());
                }
            }
        }
        prop_assert_eq!(missing, BTreeSet::new());
    }
}

#[test]
fn any_number_is_a_cursor() {
    let mut table = Table::new(1, false);
    for key in 0..2000u64 {
        table.insert(plain(&key.to_le_bytes()));
    }
    let mut next = generator(99);
    for shift in 0..64 {
        table.scan(next() >> shift, 5, &mut |_| {});
    }
    assert_eq!(table.scan(u64::MAX, 5, &mut |_| panic!("behind the end")), 0);
}

#[test]
fn random_records_are_evenly_chosen() {
    let mut table = Table::new(5, false);
    const KEYS: usize = 1300;
    for key in 0..KEYS {
        table.insert(plain(&(key as u64).to_le_bytes()));
    }
    let mut next = generator(17);
    let mut counts = vec![0u32; KEYS];
    const DRAWS: u32 = 130_000;
    for _ in 0..DRAWS {
        let key = table.random(&mut next).expect("some").key;
        counts[u64::from_le_bytes(key.try_into().expect("eight bytes")) as usize] += 1;
    }
    // Chi squared with 1,299 degrees of freedom: 1,550 has a chance of 10^-6.
    let expected = f64::from(DRAWS) / KEYS as f64;
    let chi: f64 = counts.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
    assert!(chi < 1550.0, "chi squared {chi}");
    assert_eq!(Table::new(1, false).random(&mut next), None);
}

#[test]
fn a_record_costs_few_bytes() {
    let mut table = Table::new(3, false);
    const KEYS: u64 = 200_000;
    for key in 0..KEYS {
        table.insert(plain(format!("m:{key:08}").as_bytes()));
    }
    let per_record = table.memory() as f64 / KEYS as f64;
    assert!(per_record < 10.0 + 7.5, "{per_record} bytes for ten");
}

//! Sets of every form against a plain one, conversions at the limits, chances of random members, and the algebra.

use super::algebra::{diff, inter, inter_count};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

type Step = fn(SetRef<'_>, &[SetRef<'_>], u64, usize, &mut dyn FnMut(Item<'_>)) -> u64;

fn generator(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn members(set: &Set) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    let mut cursor = 0;
    loop {
        cursor = set.scan(cursor, 7, &mut |member| assert!(found.insert(member.to_vec())));
        if cursor == 0 {
            return found;
        }
    }
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (-30i64..30).prop_map(|value| value.to_string().into_bytes()),
        1 => any::<i64>().prop_map(|value| value.to_string().into_bytes()),
        1 => "[ab0-3]{0,3}".prop_map(String::into_bytes),
        1 => (0usize..80).prop_map(|len| vec![b'x'; len]),
    ]
}

proptest! {
    #[test]
    fn like_a_set(
        steps in proptest::collection::vec((0u32..5, member()), 0..150),
        only_ints: bool,
        intset_entries in 0usize..40,
        listpack_entries in 0usize..40,
    ) {
        let limits = SetLimits { intset_entries, listpack_entries, listpack_value: 40, seed: 9 };
        let mut next = generator(77);
        let (mut set, mut model) = (Set::new(), BTreeSet::new());
        for (kind, member) in steps {
            if only_ints && matches!(Item::of(&member), Item::Bytes(_)) {
                continue;
            }
            let rank = |form: &str| ["intset", "listpack", "hashtable"].iter().position(|name| *name == form);
            let before = rank(set.encoding());
            match kind {
                0 => prop_assert_eq!(set.remove(&member), model.remove(&member)),
                1 if !model.is_empty() => {
                    let mut popped = Vec::new();
                    assert!(set.pop(&mut next, &mut |member| popped = member.to_vec()));
                    prop_assert!(model.remove(&popped));
                }
                _ => prop_assert_eq!(set.add(&member, &limits), model.insert(member.clone())),
            }
            prop_assert!(before <= rank(set.encoding()));
            prop_assert_eq!(set.len(), model.len());
            prop_assert_eq!(set.contains(Item::of(&member)), model.contains(&member));
            match set.encoding() {
                "intset" => prop_assert!(set.len() <= intset_entries),
                "listpack" => prop_assert!(set.len() <= listpack_entries.max(1)),
                _ => {}
            }
        }
        prop_assert_eq!(&members(&set), &model);
        prop_assert_eq!(&members(&set.clone()), &model);
        let mut table = set.clone();
        table.to_table(3);
        prop_assert_eq!(&members(&table), &model);
        while table.free_some(10) {}
    }

    #[test]
    fn algebra_like_that_of_sets(all in proptest::collection::vec(proptest::collection::vec(member(), 0..60), 1..4)) {
        let limits = SetLimits { intset_entries: 20, listpack_entries: 10, ..SetLimits::default() };
        let models: Vec<BTreeSet<Vec<u8>>> = all.iter().map(|one| one.iter().cloned().collect()).collect();
        let sets: Vec<Set> = all.iter().map(|one| {
            let mut set = Set::new();
            for member in one {
                set.add(member, &limits);
            }
            set
        }).collect();
        let others: Vec<SetRef<'_>> = sets[1..].iter().map(Set::as_ref).collect();
        let expected_inter = models[1..].iter().fold(models[0].clone(), |sum, one| &sum & one);
        let expected_diff = models[1..].iter().fold(models[0].clone(), |sum, one| &sum - one);
        for (step, expected) in [(inter as Step, &expected_inter), (diff, &expected_diff)] {
            let mut found = BTreeSet::new();
            let mut cursor = 0;
            loop {
                cursor = step(sets[0].as_ref(), &others[..], cursor, 3, &mut |member: Item<'_>| {
                    assert!(found.insert(member.to_vec()));
                });
                if cursor == 0 {
                    break;
                }
            }
            prop_assert_eq!(&found, expected);
        }
        let all: Vec<SetRef<'_>> = sets.iter().map(Set::as_ref).collect();
        prop_assert_eq!(inter_count(&all, 0), expected_inter.len());
        prop_assert_eq!(inter_count(&all, 2), expected_inter.len().min(2));
    }
}

#[test]
fn forms_change_where_redis_changes_them() {
    let limits = SetLimits::default();
    let mut set = Set::new();
    for value in 0..512 {
        set.add(value.to_string().as_bytes(), &limits);
    }
    assert_eq!(set.encoding(), "intset");
    set.add(b"512", &limits);
    assert_eq!((set.encoding(), set.len()), ("hashtable", 513));

    let mut set = Set::new();
    set.add(b"1", &limits);
    set.add(b"a", &limits);
    assert_eq!(set.encoding(), "listpack");
    for value in 2..128 {
        set.add(value.to_string().as_bytes(), &limits);
    }
    assert_eq!((set.encoding(), set.len()), ("listpack", 128));
    set.add(b"b", &limits);
    assert_eq!((set.encoding(), set.len()), ("hashtable", 129));

    let mut set = Set::new();
    set.add(&[b'x'; 64], &limits);
    assert_eq!(set.encoding(), "listpack");
    set.add(&[b'x'; 65], &limits);
    assert_eq!(set.encoding(), "hashtable");

    let before_7_2 = SetLimits { listpack_entries: 0, ..limits };
    let mut set = Set::new();
    set.add(b"a", &before_7_2);
    assert_eq!(set.encoding(), "hashtable");
}

#[test]
fn every_member_has_the_same_chance() {
    let mut next = generator(4);
    for texts in [&["1", "2", "3", "4"], &["a", "b", "1", "4"]] {
        let mut set = Set::new();
        for text in texts {
            set.add(text.as_bytes(), &SetLimits::default());
        }
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..8000 {
            *counts.entry(set.random(&mut next).expect("some").to_vec()).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 4);
        assert!(counts.values().all(|&n| (1800..2200).contains(&n)), "{counts:?}");
    }
}

//! Sorted sets of both forms against a plain map, their ranges, and walks under changes.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Model = BTreeMap<Vec<u8>, f64>;

fn in_order(model: &Model) -> Vec<(Vec<u8>, f64)> {
    let mut all: Vec<_> = model.iter().map(|(member, score)| (member.clone(), *score)).collect();
    all.sort_by(|a, b| a.1.partial_cmp(&b.1).expect("numbers").then_with(|| a.0.cmp(&b.0)));
    all
}

fn generator(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn check(zset: &ZSet, model: &Model, every: usize) {
    let expected = in_order(model);
    let mut found = Vec::new();
    zset.range(0, usize::MAX, false, &mut |member, score| found.push((member.to_vec(), score)));
    assert_eq!(found, expected);
    assert_eq!(zset.len(), model.len());
    for (rank, (member, score)) in expected.iter().enumerate().step_by(every) {
        assert_eq!(zset.score(member), Some(*score));
        assert_eq!(zset.rank(member), Some((rank, *score)));
        let below = expected.iter().filter(|one| one.1 < *score).count();
        let not_above = expected.iter().filter(|one| one.1 <= *score).count();
        assert_eq!((zset.rank_of_score(*score, false), zset.rank_of_score(*score, true)), (below, not_above));
        let mut down = Vec::new();
        zset.range(rank, 5, true, &mut |member, score| down.push((member.to_vec(), score)));
        assert!(expected[..=rank].iter().rev().take(5).eq(&down));
    }
    let mut scanned = BTreeMap::new();
    let mut cursor = 0;
    loop {
        cursor = zset.scan(cursor, 9, &mut |member, score| {
            assert!(scanned.insert(member.to_vec(), score).is_none());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(&scanned, model);
    if let ZSet::Ranked(ranked) = zset {
        assert!(ranked.leaf_bytes_are_right());
    }
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => (-5i32..5).prop_map(f64::from),
        1 => any::<f64>().prop_filter("a number", |score| !score.is_nan()),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0), Just(0.1), Just(1e16)],
    ]
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => (0i64..60).prop_map(|value| value.to_string().into_bytes()),
        2 => "[a-c]{0,3}".prop_map(String::into_bytes),
        1 => (0usize..80).prop_map(|len| vec![b'm'; len]),
    ]
}

proptest! {
    /// Small ones, with every kind of score.
    #[test]
    fn like_a_map(
        steps in proptest::collection::vec((0u32..8, member(), score(), any::<usize>()), 0..120),
        entries in 0usize..40,
    ) {
        let limits = ZSetLimits { entries, value: 40, seed: 3 };
        let (mut zset, mut model) = (ZSet::new(), Model::new());
        for (kind, member, score, at) in steps {
            match kind {
                0 | 1 => prop_assert_eq!(zset.remove(&member), model.remove(&member)),
                2 => {
                    let start = at % (model.len() + 2);
                    let gone: Vec<_> = in_order(&model).into_iter().skip(start).take(3).collect();
                    let mut shown = Vec::new();
                    zset.remove_range(start, 3, &mut |member, score| shown.push((member.to_vec(), score)));
                    prop_assert_eq!(&shown, &gone);
                    for (member, _) in gone {
                        model.remove(&member);
                    }
                }
                _ => prop_assert_eq!(zset.add(&member, score, &limits), model.insert(member, score)),
            }
            if zset.encoding() == "listpack" {
                prop_assert!(zset.len() <= entries);
            }
            check(&zset, &model, 1);
        }
        let mut packed = zset.clone();
        let ample = ZSetLimits { entries: 1000, value: 100, seed: 0 };
        packed.pack(&ample);
        prop_assert_eq!(packed.encoding(), "listpack");
        check(&packed, &model, 1);
        let mut next = generator(5);
        let mut shown = None;
        let rank = zset.random(&mut next, &mut |member, score| shown = Some((member.to_vec(), score)));
        prop_assert_eq!(rank.map(|rank| in_order(&model)[rank].clone()), shown);
        while zset.free_some(3) {}
    }

    /// Members in their own order, as ZRANGEBYLEX sees them.
    #[test]
    fn bounds_of_members(members in proptest::collection::vec("[a-d]{0,4}", 0..400), entries in prop_oneof![Just(0), Just(1000)]) {
        let limits = ZSetLimits { entries, ..ZSetLimits::default() };
        let mut zset = ZSet::new();
        let model: BTreeSet<Vec<u8>> = members.into_iter().map(String::into_bytes).collect();
        for member in &model {
            zset.add(member, 0.0, &limits);
        }
        for probe in [&b""[..], b"a", b"abc", b"b", b"bd", b"cccc", b"d", b"dddd", b"e"] {
            let before = model.iter().filter(|one| one.as_slice() < probe).count();
            let not_behind = model.iter().filter(|one| one.as_slice() <= probe).count();
            prop_assert_eq!(zset.rank_of_lex(probe, false), before);
            prop_assert_eq!(zset.rank_of_lex(probe, true), not_behind);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Some thousand members that come, move and go, some of them long.
    #[test]
    fn many_members(seed: u64, members in 1u64..4000, spread in 1u64..100_000, long: bool) {
        let limits = ZSetLimits::default();
        let mut next = generator(seed | 1);
        let (mut zset, mut model) = (ZSet::new(), Model::new());
        for round in 0..3 {
            for _ in 0..members * 2 {
                let mut member = format!("member:{}", next() % members).into_bytes();
                if long && next().is_multiple_of(50) {
                    member.resize(2000, b'l');
                }
                if next() % 10 < [1, 5, 8][round] {
                    prop_assert_eq!(zset.remove(&member), model.remove(&member));
                } else {
                    let score = (next() % spread) as f64 / 8.0;
                    prop_assert_eq!(zset.add(&member, score, &limits), model.insert(member, score));
                }
            }
            check(&zset, &model, 97);
        }
        let ordered = in_order(&model);
        let (start, count) = ((next() % (members + 1)) as usize, (next() % (members + 1)) as usize);
        zset.remove_range(start, count, &mut |_, _| {});
        for (member, _) in ordered.into_iter().skip(start).take(count) {
            model.remove(&member);
        }
        check(&zset, &model, 97);
        check(&zset.clone(), &model, 97);
    }

    /// What is there during the whole walk is visited, whatever comes and goes meanwhile.
    #[test]
    fn walks_keep_the_guarantee(seed: u64, start in 0u64..3000, grow: bool, count in 1usize..50) {
        let limits = ZSetLimits::default();
        let mut next = generator(seed | 1);
        let mut zset = ZSet::new();
        zset.to_ranked(seed);
        for key in 0..start {
            zset.add(&key.to_le_bytes(), key as f64, &limits);
        }
        let mut missing: BTreeSet<u64> = (0..start).filter(|key| key % 7 == 0).collect();
        let mut cursor = 0;
        loop {
            cursor = zset.scan(cursor, count, &mut |member, _| {
                missing.remove(&u64::from_le_bytes(member.try_into().expect("eight bytes")));
            });
            if cursor == 0 {
                break;
            }
            for _ in 0..next() % (3 * count as u64) {
                let key = if grow { start + next() % 5000 } else { next() % start };
                if grow {
                    zset.add(&key.to_le_bytes(), (next() % 100) as f64, &limits);
                } else if key % 7 != 0 {
                    zset.remove(&key.to_le_bytes());
                } else {
                    zset.add(&key.to_le_bytes(), (next() % 100) as f64, &limits);
                }
            }
        }
        prop_assert_eq!(missing, BTreeSet::new());
    }
}

#[test]
fn an_element_costs_few_bytes() {
    let mut zset = ZSet::new();
    let mut next = generator(8);
    const MEMBERS: u64 = 200_000;
    for i in 0..MEMBERS {
        zset.add(format!("member:{i:07}").as_bytes(), next() as f64, &ZSetLimits::default());
    }
    let per_member = zset.memory() as f64 / MEMBERS as f64;
    assert!(per_member < 14.0 + 8.0 + 25.0, "{per_member} bytes for 22");
}

//! Effects replay: whatever random commands do to one shard, applying the canonical form of their effects to another
//! one gives the same keys, values and deadlines.

use pinyon_base::{DbIndex, Millis};
use pinyon_resp::Args;
use proptest::prelude::*;

use crate::Effect;
use crate::command::trial::{Owned, Trial};
use crate::keyspace::{NewValue, Ttl};

/// Commands small enough to meet each other's keys often.
fn command() -> impl Strategy<Value = Vec<String>> {
    let key = prop::sample::select(vec!["a", "b", "c", "d"]);
    let value = prop::sample::select(vec!["", "x", "10", "-3", "2.5", "hello", "9223372036854775807", "007"]);
    let number = prop_oneof![Just("-5"), Just("0"), Just("1"), Just("7"), Just("100"), Just("x")];
    let deadline = prop::sample::select(vec![
        "",
        "EX 1",
        "EX 100",
        "PX 3",
        "PX 50",
        "EXAT 1",
        "EXAT 1800000000",
        "PXAT 5",
        "PXAT 1700000000020",
        "EX 0",
        "EX x",
    ]);
    let condition = prop::sample::select(vec!["", "NX", "XX", "GET", "NX GET", "XX GET", "IFEQ 10", "IFEQ x GET"]);
    let several = prop::sample::select(vec!["", "NX", "XX"]);
    let keeps = prop::sample::select(vec!["", "KEEPTTL", "PERSIST"]);
    (0..20u8, key.clone(), key, value.clone(), value, number, (deadline, condition, several, keeps)).prop_map(
        |(which, k, l, v, w, n, (deadline, condition, several, keeps))| {
            let line = match which {
                0 | 1 => format!("SET {k} {{v}} {condition} {deadline}"),
                2 => format!("SET {k} {{v}} {keeps} {condition}"),
                3 => format!("SETNX {k} {{v}}"),
                4 => format!("SETEX {k} {n} {{v}}"),
                5 => format!("PSETEX {k} {n} {{v}}"),
                6 => format!("GETSET {k} {{v}}"),
                7 => format!("GETDEL {k}"),
                8 => format!("GETEX {k} {deadline}"),
                9 => format!("GETEX {k} {keeps}"),
                10 => format!("DELIFEQ {k} {{v}}"),
                11 => format!("INCRBY {k} {n}"),
                12 => format!("DECR {k}"),
                13 => format!("INCRBYFLOAT {k} {{v}}"),
                14 => format!("APPEND {k} {{v}}"),
                15 => format!("SETRANGE {k} {n} {{v}}"),
                16 => format!("MSET {k} {{v}} {l} {{w}}"),
                17 => format!("MSETNX {k} {{v}} {l} {{w}}"),
                18 => format!("MSETEX 2 {k} {{v}} {l} {{w}} {several} {deadline}"),
                _ => format!("MSETEX 1 {k} {{v}} {several} {keeps}"),
            };
            line.split_whitespace()
                .map(|word| match word {
                    "{v}" => v.to_owned(),
                    "{w}" => w.to_owned(),
                    _ => word.to_owned(),
                })
                .collect()
        },
    )
}

/// Applies what a log or a replica would be sent for `effect` of the command `args` on `from` to `to`.
fn replay(from: &mut Trial, to: &mut Trial, args: Args<'_>, effect: Effect) {
    match effect {
        Effect::None | Effect::Recorded { .. } => {}
        Effect::AsSent { .. } => {
            let reply = to.run_args(args);
            assert!(!reply.starts_with(b"-"), "as sent it must replay: {:?}", String::from_utf8_lossy(&reply));
            assert_eq!(to.effect(), effect, "the replayed command changes as much");
        }
        Effect::Put { key } => copy_state(from, to, args.get(usize::from(key))),
        Effect::PutMany { first, step, count } => {
            for i in 0..count as usize {
                copy_state(from, to, args.get(usize::from(first) + i * usize::from(step)));
            }
        }
        Effect::Deadline { key } => {
            let key = args.get(usize::from(key));
            let (_, deadline) = state(from, key).expect("a deadline of a key that is there");
            let mut ks = to.shard.keyspace(DbIndex(0), false);
            let key = ks.key_of(key);
            assert!(ks.set_deadline(key, deadline));
        }
        Effect::Deleted { key } => {
            let key = args.get(usize::from(key));
            assert_eq!(state(from, key), None, "it is gone");
            let mut ks = to.shard.keyspace(DbIndex(0), false);
            let key = ks.key_of(key);
            ks.remove(key);
        }
    }
}

fn copy_state(from: &mut Trial, to: &mut Trial, key: &[u8]) {
    let state = state(from, key);
    let mut ks = to.shard.keyspace(DbIndex(0), false);
    let key = ks.key_of(key);
    match state {
        Some((value, deadline)) => ks.put(key, NewValue::Text(&value), deadline.map_or(Ttl::Clear, Ttl::At)),
        None => {
            ks.remove(key);
        }
    }
}

fn state(trial: &mut Trial, key: &[u8]) -> Option<(Vec<u8>, Option<Millis>)> {
    let mut ks = trial.shard.keyspace(DbIndex(0), true);
    let key = ks.key_of(key);
    let value = ks.peek(key)?.to_vec();
    Some((value, ks.deadline(key)?))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    fn effects_replay_to_the_same_state(commands in prop::collection::vec((command(), 0..8i64), 1..60)) {
        let (mut a, mut b) = (Trial::new(), Trial::new());
        for (command, wait) in commands {
            let owned = Owned::of(&command);
            let before = ["a", "b", "c", "d"].map(|key| state(&mut a, key.as_bytes()));
            let reply = a.run_args(owned.args());
            let effect = a.effect();
            replay(&mut a, &mut b, owned.args(), effect);
            for (key, before) in ["a", "b", "c", "d"].into_iter().zip(before) {
                let after = state(&mut a, key.as_bytes());
                prop_assert_eq!(&after, &state(&mut b, key.as_bytes()), "key {} after {:?}", key, command);
                let said = effect != Effect::None;
                prop_assert!(said || before == after, "{:?} changed {} and said nothing: {:?}", command, key, reply);
            }
            a.advance(wait);
            b.advance(wait);
        }
    }
}

//! The EXPIRE family against a model that fits on a page: a map from key to deadline, and Redis's rules spelled out.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::trial::{START, Trial};
use crate::Effect;

/// One step of a test.
#[derive(Clone, Debug)]
enum Step {
    /// SET key v, without a deadline.
    Put(u8),
    /// Which of the four commands, key, time (relative to now for EXPIRE and PEXPIRE, to `START` else), options.
    Expire {
        absolute: bool,
        seconds: bool,
        key: u8,
        time: i64,
        options: Vec<&'static str>,
    },
    Persist(u8),
    Rename(u8, u8),
    Copy(u8, u8),
    Advance(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0u8..4;
    let time = prop_oneof![
        8 => -3_000i64..6_000,
        1 => Just(i64::MAX),
        1 => Just(i64::MIN),
        1 => Just(i64::MAX / 1000),
        1 => Just(i64::MIN / 1000 - 1),
    ];
    let options = proptest::collection::vec(prop::sample::select(vec!["nx", "xx", "gt", "lt", "GT", "huh"]), 0..3);
    prop_oneof![
        2 => key.clone().prop_map(Step::Put),
        6 => (any::<bool>(), any::<bool>(), key.clone(), time, options).prop_map(
            |(absolute, seconds, key, time, options)| Step::Expire { absolute, seconds, key, time, options }
        ),
        1 => key.clone().prop_map(Step::Persist),
        1 => (key.clone(), key.clone()).prop_map(|(a, b)| Step::Rename(a, b)),
        1 => (key.clone(), key).prop_map(|(a, b)| Step::Copy(a, b)),
        2 => (0i64..4_000).prop_map(Step::Advance),
    ]
}

/// Deadlines by key.
#[derive(Default)]
struct Model {
    keys: BTreeMap<u8, Option<i64>>,
    now: i64,
}

impl Model {
    fn drop_due(&mut self) {
        let now = self.now;
        self.keys.retain(|_, deadline| deadline.is_none_or(|at| at > now));
    }

    /// The reply and the effect of `command key time options…`.
    fn expire(&mut self, command: &str, key: u8, time: i64, options: &[&str]) -> (String, Effect) {
        let refused = |text: &str| (format!("-ERR {text}"), Effect::None);
        let options: Vec<String> = options.iter().map(|option| option.to_lowercase()).collect();
        let has = |name: &str| options.iter().any(|option| option == name);
        if has("huh") {
            return refused("Unsupported option huh");
        }
        if has("nx") && (has("xx") || has("gt") || has("lt")) {
            return refused("NX and XX, GT or LT options at the same time are not compatible");
        }
        if has("gt") && has("lt") {
            return refused("GT and LT options at the same time are not compatible");
        }
        let unit = if command.starts_with('p') { 1 } else { 1000 };
        let base = if command.ends_with("at") { 0 } else { self.now };
        let at = i128::from(time) * unit + i128::from(base);
        // The product alone must fit as well as the sum.
        if i64::try_from(i128::from(time) * unit).is_err() || i64::try_from(at).is_err() {
            return refused(&format!("invalid expire time in '{command}' command"));
        }
        let at = at as i64;
        let Some(current) = self.keys.get(&key).copied() else {
            return (":0".into(), Effect::None);
        };
        // Without a deadline a key lives forever: the latest of all deadlines.
        let stays = (has("nx") && current.is_some())
            || (has("xx") && current.is_none())
            || (has("gt") && i128::from(at) <= current.map_or(i128::MAX, i128::from))
            || (has("lt") && i128::from(at) >= current.map_or(i128::MAX, i128::from));
        if stays {
            (":0".into(), Effect::None)
        } else if at <= self.now {
            self.keys.remove(&key);
            (":1".into(), Effect::Deleted { key: 1 })
        } else {
            self.keys.insert(key, Some(at));
            (":1".into(), Effect::Deadline { key: 1 })
        }
    }
}

proptest! {
    #[test]
    fn deadlines_agree_with_the_model(steps in proptest::collection::vec(step(), 1..60)) {
        let mut t = Trial::new();
        let mut model = Model { now: START, ..Model::default() };
        for step in steps {
            match &step {
                Step::Put(key) => {
                    t.set(&format!("k{key}"), "v");
                    model.keys.insert(*key, None);
                }
                Step::Expire { absolute, seconds, key, time, options } => {
                    let command = match (absolute, seconds) {
                        (false, true) => "expire",
                        (false, false) => "pexpire",
                        (true, true) => "expireat",
                        (true, false) => "pexpireat",
                    };
                    let start = if *seconds { START / 1000 } else { START };
                    let time = if *absolute && time.unsigned_abs() < 10_000 { time + start } else { *time };
                    let mut line = format!("{command} k{key} {time}");
                    for option in options {
                        line = format!("{line} {option}");
                    }
                    let expected = model.expire(command, *key, time, options);
                    prop_assert_eq!((t.run(&line), t.effect()), expected, "{}", line);
                }
                Step::Persist(key) => {
                    let volatile = model.keys.get(key).copied().flatten().is_some();
                    let effect = if volatile { Effect::Deadline { key: 1 } } else { Effect::None };
                    let reply = format!(":{}", u8::from(volatile));
                    prop_assert_eq!((t.run(&format!("persist k{key}")), t.effect()), (reply, effect));
                    if volatile {
                        model.keys.insert(*key, None);
                    }
                }
                Step::Rename(from, to) => {
                    let reply = match model.keys.remove(from) {
                        None => "-ERR no such key",
                        Some(deadline) => {
                            model.keys.insert(*to, deadline);
                            "+OK"
                        }
                    };
                    prop_assert_eq!(t.run(&format!("rename k{from} k{to}")), reply);
                }
                Step::Copy(from, to) => {
                    let reply = match model.keys.get(from).copied() {
                        _ if from == to => "-ERR source and destination objects are the same",
                        Some(deadline) if !model.keys.contains_key(to) => {
                            model.keys.insert(*to, deadline);
                            ":1"
                        }
                        _ => ":0",
                    };
                    prop_assert_eq!(t.run(&format!("copy k{from} k{to}")), reply);
                }
                Step::Advance(millis) => {
                    t.advance(*millis);
                    model.now = t.now();
                    model.drop_due();
                }
            }
            for key in 0..4 {
                let (left, at) = match model.keys.get(&key) {
                    None => (-2, -2),
                    Some(None) => (-1, -1),
                    // Years 10889 and later may be cut to 48 bits.
                    Some(Some(at)) if *at >= (1 << 48) - 2 => continue,
                    Some(Some(at)) => (at - model.now, *at),
                };
                prop_assert_eq!(t.run(&format!("pttl k{key}")), format!(":{left}"), "after {:?}", step);
                prop_assert_eq!(t.run(&format!("pexpiretime k{key}")), format!(":{at}"), "after {:?}", step);
            }
        }
    }
}

//! Random mixes of transactions on few hot keys.
//!
//! The mix keeps three things in balance. Values are to grow for a while, so that appends to them can be ordered; they are to
//! end in every way there is (SET, MSET, DEL, expiry, RENAME, FLUSHALL), mostly seen by somebody; and most transactions touch
//! keys of several shards. The last keys are **targets**: RENAME and COPY bring values to them and to no others, and take none
//! from them, so that no value comes back to a key that it left.

use super::history::{Action, Key, Only, Token};
use crate::Random;

/// A transaction to be carried out.
#[derive(Clone, Debug)]
pub struct Plan {
    /// More than one only with `exec`.
    pub actions: Vec<Action>,
    pub exec: bool,
    /// Keys that are watched and read before EXEC.
    pub watch: Vec<Key>,
}

/// Where what must be unique in a run comes from.
pub trait Source {
    fn token(&mut self) -> Token;
    /// A deadline some `ms` from now.
    fn deadline(&mut self, ms: u64) -> u64;
}

/// How keys and commands are chosen.
#[derive(Clone, Debug)]
pub struct Mix {
    pub keys: usize,
    /// How many of them, the last, are targets of RENAME and COPY.
    pub targets: usize,
    /// FLUSHALL once in so many transactions.
    pub flush_one_in: usize,
    /// So many more of a hundred transactions end keys, unseen. The more, the less is certain of their order.
    pub churn: usize,
    /// With MULTI, EXEC and WATCH.
    pub exec: bool,
}

impl Default for Mix {
    fn default() -> Mix {
        Mix { keys: 32, targets: 6, flush_one_in: 30_000, churn: 0, exec: true }
    }
}

impl Mix {
    /// Keys that are hot are the first ones, more so the earlier they come.
    fn key(&self, random: &mut Random) -> Key {
        let own = self.keys - self.targets;
        if random.one_in(8) {
            return Key((own + random.below(self.targets)) as u8);
        }
        let a = random.below(own);
        Key(if random.one_in(2) { a.min(random.below(own)) } else { a } as u8)
    }

    fn own_key(&self, random: &mut Random) -> Key {
        Key(random.below(self.keys - self.targets) as u8)
    }

    fn target(&self, random: &mut Random) -> Key {
        Key((self.keys - self.targets + random.below(self.targets)) as u8)
    }

    /// From `low` to `high` keys, all different.
    fn some_keys(&self, random: &mut Random, low: i64, high: i64) -> Vec<Key> {
        let count = random.between(low, high) as usize;
        let mut keys: Vec<Key> = Vec::with_capacity(count);
        while keys.len() < count.min(self.keys) {
            let key = self.key(random);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// The next transaction.
    pub fn plan(&self, random: &mut Random, source: &mut impl Source) -> Plan {
        if random.one_in(self.flush_one_in) {
            let mut actions = vec![Action::FlushAll];
            let exec = self.exec && random.one_in(2);
            if exec {
                actions.insert(0, Action::ReadMany { keys: (0..self.keys).map(|i| Key(i as u8)).collect() });
            }
            return Plan { actions, exec, watch: Vec::new() };
        }
        if random.below(100) < self.churn {
            let actions = vec![self.ending(random, source)];
            return Plan { actions, exec: false, watch: Vec::new() };
        }
        match random.below(if self.exec { 100 } else { 74 }) {
            0..74 => Plan { actions: vec![self.action(random, source)], exec: false, watch: Vec::new() },
            74 if random.one_in(3) => {
                // What ends lives says little of what it ended; most endings are seen.
                let mut actions = vec![self.ending(random, source)];
                self.witness_endings(&mut actions);
                if let [.., Action::Rename { to, .. } | Action::Copy { to, .. }] = actions[..]
                    && !random.one_in(4)
                {
                    actions.push(Action::Append { key: to, token: source.token() });
                }
                Plan { actions, exec: true, watch: Vec::new() }
            }
            _ => self.exec(random, source),
        }
    }

    fn ending(&self, random: &mut Random, source: &mut impl Source) -> Action {
        match random.below(6) {
            4 | 5 => Action::ExpireAt { key: self.key(random), deadline: source.deadline(random.below(30) as u64) },
            0 => Action::Delete { keys: self.some_keys(random, 1, 4), unlink: random.one_in(2) },
            1 => self.write_many(random, source),
            _ => {
                let (from, to) = (self.own_key(random), self.target(random));
                self.moving(random, from, to)
            }
        }
    }

    fn moving(&self, random: &mut Random, from: Key, to: Key) -> Action {
        match random.below(8) {
            0..3 => Action::Rename { from, to, if_absent: false },
            3 => Action::Rename { from, to, if_absent: true },
            4..7 => Action::Copy { from, to, replace: true },
            _ => Action::Copy { from, to, replace: false },
        }
    }

    fn exec(&self, random: &mut Random, source: &mut impl Source) -> Plan {
        let watch = if random.one_in(4) { self.some_keys(random, 1, 3) } else { Vec::new() };
        let mut actions = Vec::new();
        if !watch.is_empty() && random.one_in(2) {
            // The classic: what was read is changed.
            actions.extend(watch.iter().map(|key| Action::Append { key: *key, token: source.token() }));
        } else if random.one_in(3) {
            // One write to several keys, as one APPEND each.
            let keys = self.some_keys(random, 2, 5);
            actions.extend(keys.into_iter().map(|key| Action::Append { key, token: source.token() }));
        } else if random.one_in(2) {
            // A snapshot by single reads.
            actions.extend(self.some_keys(random, 2, 5).into_iter().map(|key| Action::Get { key }));
        } else {
            actions.extend((0..random.between(2, 5)).map(|_| self.action(random, source)));
            self.witness_endings(&mut actions);
        }
        Plan { actions, exec: true, watch }
    }

    /// Has what ends the life of a key in an EXEC seen by a read before it.
    fn witness_endings(&self, actions: &mut Vec<Action>) {
        let ended: Vec<Key> = actions
            .iter()
            .flat_map(|action| match action {
                Action::Delete { keys, .. } => keys.clone(),
                Action::ExpireAt { key, .. } => vec![*key],
                Action::WriteMany { pairs, .. } => pairs.iter().map(|pair| pair.0).collect(),
                Action::Rename { from, to, .. } | Action::Copy { from, to, .. } => vec![*from, *to],
                _ => Vec::new(),
            })
            .collect();
        if !ended.is_empty() {
            let mut keys = ended;
            keys.sort_unstable();
            keys.dedup();
            actions.insert(0, Action::ReadMany { keys });
        }
    }

    fn action(&self, random: &mut Random, source: &mut impl Source) -> Action {
        match random.below(1000) {
            0..360 => Action::Append { key: self.key(random), token: source.token() },
            360..490 => Action::Get { key: self.key(random) },
            490..590 => Action::Tail { key: self.key(random) },
            590..592 => Action::Length { key: self.key(random) },
            592..820 => Action::ReadMany { keys: self.some_keys(random, 2, 6) },
            820..860 => {
                Action::Set { key: self.key(random), token: source.token(), get: true, only: Only::Always, deadline: 0 }
            }
            860..870 => self.write_many(random, source),
            870..872 => self.set(random, source),
            872..874 => Action::Take { key: self.key(random) },
            874 => Action::Delete { keys: self.some_keys(random, 1, 3), unlink: random.one_in(2) },
            875 => {
                let (from, to) = (self.own_key(random), self.target(random));
                self.moving(random, from, to)
            }
            876 => Action::ExpireAt { key: self.key(random), deadline: source.deadline(random.below(30) as u64) },
            877 => Action::Persist { key: self.key(random) },
            878..890 => Action::ExpireTime { key: self.key(random) },
            890..900 => Action::Exists { keys: self.some_keys(random, 1, 4) },
            900..904 => Action::Count,
            904..908 => Action::Keys,
            908..912 => Action::RandomKey,
            _ => Action::Get { key: self.key(random) },
        }
    }

    fn write_many(&self, random: &mut Random, source: &mut impl Source) -> Action {
        let if_absent = random.one_in(4);
        let keys = match if_absent {
            true if random.one_in(2) => vec![self.target(random)],
            true => self.some_keys(random, 1, 2),
            false => self.some_keys(random, 2, 4),
        };
        let pairs = keys.into_iter().map(|key| (key, source.token())).collect();
        Action::WriteMany { pairs, if_absent }
    }

    fn set(&self, random: &mut Random, source: &mut impl Source) -> Action {
        let deadline = if random.one_in(2) { source.deadline(random.below(30) as u64) } else { 0 };
        let only = match random.below(4) {
            0 => Only::IfAbsent,
            1 => Only::IfPresent,
            _ => Only::Always,
        };
        Action::Set { key: self.key(random), token: source.token(), get: false, only, deadline }
    }
}

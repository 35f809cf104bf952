//! What a client does in one step: a command, or several in an EXEC; and what that makes of its keys.
//!
//! Whatever a step does is known ahead, whenever it runs: keys that may be gone by then (`v`) are only overwritten or deleted.

use std::collections::VecDeque;

use super::state::{Content, Entry, State, now};
use crate::{Client, Random, Value};

/// Counters that all clients count up.
pub(super) const SHARED: usize = 3;
/// Keys of each kind that a client has.
const KEYS: usize = 6;

/// Which commands the server has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Abilities {
    pub lists: bool,
    pub hashes: bool,
    pub sets: bool,
    pub sorted: bool,
}

impl Abilities {
    pub fn of(client: &mut Client) -> Abilities {
        let mut has = |name: &str| {
            let reply = client.call(&["COMMAND", "INFO", name]);
            matches!(reply, Ok(Value::Array(rows)) if rows.first().is_some_and(|row| row.as_array().is_some()))
        };
        Abilities { lists: has("RPUSH"), hashes: has("HSET"), sets: has("SADD"), sorted: has("ZADD") }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Set(String, Vec<u8>),
    /// Until Unix milliseconds.
    SetUntil(String, Vec<u8>, i64),
    /// For milliseconds.
    SetFor(String, Vec<u8>, i64),
    Append(String, Vec<u8>),
    Count(String, i64),
    CountShared(usize),
    Delete(Vec<String>),
    ExpireAt(String, i64),
    Persist(String),
    SetMany(Vec<(String, Vec<u8>)>),
    Rename(String, String),
    Copy(String, String),
    Push(String, Vec<Vec<u8>>),
    Pop(String),
    SetField(String, Vec<u8>, Vec<u8>),
    DeleteField(String, Vec<u8>),
    Add(String, Vec<u8>),
    Remove(String, Vec<u8>),
    Score(String, Vec<u8>, i64),
    Unscore(String, Vec<u8>),
}

/// One step: more than one operation is an EXEC.
#[derive(Clone, Debug)]
pub(super) struct Step(pub Vec<Op>);

pub(super) fn shared_key(number: usize) -> String {
    format!("shared:n{number}")
}

/// All names of a client's keys.
pub(super) fn names(client: usize) -> impl Iterator<Item = String> {
    "tnvelhsz".chars().flat_map(move |kind| (0..KEYS).map(move |number| format!("c{client}:{kind}{number}")))
}

/// Makes the steps of one client.
pub(super) struct Maker {
    pub client: usize,
    pub random: Random,
    pub abilities: Abilities,
}

impl Maker {
    pub fn step(&mut self, number: usize) -> Step {
        match self.random.below(12) {
            0 => {
                let count = self.random.between(2, 5);
                Step((0..count).map(|_| self.op(number)).collect())
            }
            // Its own key makes it known whether the shared counter was counted up.
            1 => {
                let shared = Op::CountShared(self.random.below(SHARED));
                Step(vec![Op::Set(self.key('t'), self.value(number)), shared])
            }
            2 | 3 => {
                let count = self.random.between(2, 6) as usize;
                let pairs = (0..count).map(|_| (self.key('t'), self.value(number))).collect();
                Step(vec![Op::SetMany(pairs)])
            }
            _ => Step(vec![self.op(number)]),
        }
    }

    fn key(&mut self, kind: char) -> String {
        format!("c{}:{kind}{}", self.client, self.random.below(KEYS))
    }

    /// The step's number makes it unlike others; now and then long enough to fill segments.
    fn value(&mut self, number: usize) -> Vec<u8> {
        let length = if self.random.one_in(8) { self.random.below(6_000) } else { self.random.below(80) };
        let mut value = format!("{number}:").into_bytes();
        value.extend((0..length).map(|_| b'a' + (self.random.next_u64() % 26) as u8));
        value
    }

    fn member(&mut self) -> Vec<u8> {
        format!("m{}", self.random.below(20)).into_bytes()
    }

    fn op(&mut self, number: usize) -> Op {
        let Abilities { lists, hashes, sets, sorted } = self.abilities;
        match self.random.below(24) {
            0..4 => Op::Set(self.key('t'), self.value(number)),
            4 => Op::SetUntil(self.key('v'), self.value(number), now() + self.random.between(-5, 2_500)),
            5 => Op::SetFor(self.key('v'), self.value(number), self.random.between(1, 2_500)),
            6 => Op::Delete(vec![self.key('v')]),
            7 => Op::Append(self.key('e'), format!("+{number}").into_bytes()),
            8 => Op::ExpireAt(self.key('e'), now() + self.random.between(3_600_000, 7_200_000)),
            9 => Op::Persist(self.key('e')),
            10 => Op::Delete(vec![self.key('e'), self.key('t'), self.key('n')]),
            11 | 12 => Op::Count(self.key('n'), self.random.between(-9, 99)),
            13 => Op::Rename(self.key('t'), self.key('t')),
            14 => Op::Copy(self.key('t'), self.key('t')),
            15 | 16 if lists => {
                let values = (0..self.random.between(1, 3)).map(|_| self.value(number)).collect();
                Op::Push(self.key('l'), values)
            }
            17 if lists => Op::Pop(self.key('l')),
            18 if hashes => Op::SetField(self.key('h'), self.member(), self.value(number)),
            19 if hashes => Op::DeleteField(self.key('h'), self.member()),
            20 if sets => Op::Add(self.key('s'), self.member()),
            21 if sets => Op::Remove(self.key('s'), self.member()),
            22 if sorted => Op::Score(self.key('z'), self.member(), number as i64),
            23 if sorted => Op::Unscore(self.key('z'), self.member()),
            _ => Op::Set(self.key('t'), self.value(number)),
        }
    }
}

impl Step {
    /// The commands as they are sent.
    pub fn commands(&self) -> Vec<Vec<Vec<u8>>> {
        let commands = self.0.iter().map(Op::words);
        if self.0.len() == 1 {
            return commands.collect();
        }
        let around = |word: &str| vec![word.as_bytes().to_vec()];
        std::iter::once(around("MULTI")).chain(commands).chain([around("EXEC")]).collect()
    }

    /// What it makes of the keys. `took`: Unix milliseconds before and after it ran.
    pub fn apply(&self, state: &mut State, took: (i64, i64)) {
        self.0.iter().for_each(|op| op.apply(state, took));
    }

    /// How often it counts up a shared counter.
    pub fn counts(&self, shared: usize) -> i64 {
        self.0.iter().filter(|op| matches!(op, Op::CountShared(number) if *number == shared)).count() as i64
    }
}

impl Op {
    fn words(&self) -> Vec<Vec<u8>> {
        let text = |word: &str| word.as_bytes().to_vec();
        let number = |value: &i64| value.to_string().into_bytes();
        match self {
            Op::Set(key, value) => vec![text("SET"), text(key), value.clone()],
            Op::SetUntil(key, value, at) => vec![text("SET"), text(key), value.clone(), text("PXAT"), number(at)],
            Op::SetFor(key, value, ms) => vec![text("SET"), text(key), value.clone(), text("PX"), number(ms)],
            Op::Append(key, value) => vec![text("APPEND"), text(key), value.clone()],
            Op::Count(key, by) => vec![text("INCRBY"), text(key), number(by)],
            Op::CountShared(shared) => vec![text("INCR"), text(&shared_key(*shared))],
            Op::Delete(keys) => [text("DEL")].into_iter().chain(keys.iter().map(|key| text(key))).collect(),
            Op::ExpireAt(key, at) => vec![text("PEXPIREAT"), text(key), number(at)],
            Op::Persist(key) => vec![text("PERSIST"), text(key)],
            Op::SetMany(pairs) => {
                let pairs = pairs.iter().flat_map(|(key, value)| [text(key), value.clone()]);
                [text("MSET")].into_iter().chain(pairs).collect()
            }
            Op::Rename(from, to) => vec![text("RENAME"), text(from), text(to)],
            Op::Copy(from, to) => vec![text("COPY"), text(from), text(to), text("REPLACE")],
            Op::Push(key, values) => [text("RPUSH"), text(key)].into_iter().chain(values.iter().cloned()).collect(),
            Op::Pop(key) => vec![text("LPOP"), text(key)],
            Op::SetField(key, field, value) => vec![text("HSET"), text(key), field.clone(), value.clone()],
            Op::DeleteField(key, field) => vec![text("HDEL"), text(key), field.clone()],
            Op::Add(key, member) => vec![text("SADD"), text(key), member.clone()],
            Op::Remove(key, member) => vec![text("SREM"), text(key), member.clone()],
            Op::Score(key, member, score) => vec![text("ZADD"), text(key), number(score), member.clone()],
            Op::Unscore(key, member) => vec![text("ZREM"), text(key), member.clone()],
        }
    }

    fn apply(&self, state: &mut State, took: (i64, i64)) {
        let entries = &mut state.entries;
        let mut put = |key: &String, value: &Vec<u8>, deadline| {
            entries.insert(key.clone(), Entry { content: Content::Text(value.clone()), deadline });
        };
        match self {
            Op::Set(key, value) => put(key, value, None),
            Op::SetUntil(key, value, at) => put(key, value, Some((*at, *at))),
            Op::SetFor(key, value, ms) => put(key, value, Some((took.0 + ms, took.1 + ms))),
            Op::SetMany(pairs) => pairs.iter().for_each(|(key, value)| put(key, value, None)),
            Op::Append(key, tail) => change(
                state,
                key,
                || Content::Text(Vec::new()),
                |content| {
                    if let Content::Text(text) = content {
                        text.extend_from_slice(tail);
                    }
                },
            ),
            Op::Count(key, by) => change(
                state,
                key,
                || Content::Text(b"0".to_vec()),
                |content| {
                    if let Content::Text(text) = content {
                        let value: i64 = String::from_utf8_lossy(text).parse().unwrap_or(0);
                        *text = (value + by).to_string().into_bytes();
                    }
                },
            ),
            Op::CountShared(_) => {}
            Op::Delete(keys) => keys.iter().for_each(|key| drop(entries.remove(key))),
            Op::ExpireAt(key, at) => {
                if let Some(entry) = entries.get_mut(key) {
                    entry.deadline = Some((*at, *at));
                }
            }
            Op::Persist(key) => {
                if let Some(entry) = entries.get_mut(key) {
                    entry.deadline = None;
                }
            }
            Op::Rename(from, to) => {
                if let Some(entry) = entries.remove(from) {
                    entries.insert(to.clone(), entry);
                }
            }
            Op::Copy(from, to) => {
                if let Some(entry) = entries.get(from).cloned()
                    && from != to
                {
                    entries.insert(to.clone(), entry);
                }
            }
            Op::Push(key, values) => change(
                state,
                key,
                || Content::List(VecDeque::new()),
                |content| {
                    if let Content::List(list) = content {
                        list.extend(values.iter().cloned());
                    }
                },
            ),
            Op::Pop(key) => shrink(state, key, |content| match content {
                Content::List(list) => {
                    list.pop_front();
                    list.is_empty()
                }
                _ => false,
            }),
            Op::SetField(key, field, value) => change(
                state,
                key,
                || Content::Hash(Default::default()),
                |content| {
                    if let Content::Hash(hash) = content {
                        hash.insert(field.clone(), value.clone());
                    }
                },
            ),
            Op::DeleteField(key, field) => shrink(state, key, |content| match content {
                Content::Hash(hash) => {
                    hash.remove(field);
                    hash.is_empty()
                }
                _ => false,
            }),
            Op::Add(key, member) => change(
                state,
                key,
                || Content::Set(Default::default()),
                |content| {
                    if let Content::Set(set) = content {
                        set.insert(member.clone());
                    }
                },
            ),
            Op::Remove(key, member) => shrink(state, key, |content| match content {
                Content::Set(set) => {
                    set.remove(member);
                    set.is_empty()
                }
                _ => false,
            }),
            Op::Score(key, member, score) => change(
                state,
                key,
                || Content::Sorted(Default::default()),
                |content| {
                    if let Content::Sorted(sorted) = content {
                        sorted.insert(member.clone(), *score);
                    }
                },
            ),
            Op::Unscore(key, member) => shrink(state, key, |content| match content {
                Content::Sorted(sorted) => {
                    sorted.remove(member);
                    sorted.is_empty()
                }
                _ => false,
            }),
        }
    }
}

fn change(state: &mut State, key: &str, fresh: impl FnOnce() -> Content, with: impl FnOnce(&mut Content)) {
    let entry = state.entries.entry(key.to_owned());
    with(&mut entry.or_insert_with(|| Entry { content: fresh(), deadline: None }).content);
}

/// `with` says whether nothing is left.
fn shrink(state: &mut State, key: &str, with: impl FnOnce(&mut Content) -> bool) {
    if state.entries.get_mut(key).is_some_and(|entry| with(&mut entry.content)) {
        state.entries.remove(key);
    }
}

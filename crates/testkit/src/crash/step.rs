//! What a client does in one step: a command, or several in an EXEC; and what that makes of its keys.
//!
//! Whatever a step does is known ahead, or by its reply, whenever it runs: keys that may be gone by then (`v`) are only overwritten or deleted.

use std::collections::VecDeque;

use super::state::{Content, Entry, Group, State, Stream, StreamId, kind_of, now};
use crate::{Client, Random, Value};

/// Counters that all clients count up.
pub(super) const SHARED: usize = 3;
/// Keys of each kind that a client has.
const KEYS: usize = 6;
const STREAM_LEN: usize = 12;

/// Which commands the server has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Abilities {
    pub lists: bool,
    pub hashes: bool,
    pub sets: bool,
    pub sorted: bool,
    pub streams: bool,
    /// Deadlines of fields.
    pub fading: bool,
}

impl Abilities {
    pub fn of(client: &mut Client) -> Abilities {
        let mut has = |name: &str| {
            let reply = client.call(&["COMMAND", "INFO", name]);
            matches!(reply, Ok(Value::Array(rows)) if rows.first().is_some_and(|row| row.as_array().is_some()))
        };
        let (lists, hashes, sets, sorted) = (has("RPUSH"), has("HSET"), has("SADD"), has("ZADD"));
        Abilities { lists, hashes, sets, sorted, streams: has("XADD"), fading: has("HPEXPIREAT") }
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
    PopMany(String, usize),
    /// From the front of one list to the end of another.
    Move(String, String),
    SetField(String, Vec<u8>, Vec<u8>),
    DeleteField(String, Vec<u8>),
    CountField(String, Vec<u8>, i64),
    /// Until Unix milliseconds.
    FieldUntil(String, Vec<u8>, i64),
    Add(String, Vec<u8>),
    Remove(String, Vec<u8>),
    /// Which ones, the reply says.
    PopMembers(String, usize),
    Score(String, Vec<u8>, i64),
    Unscore(String, Vec<u8>),
    /// At the end of a stream, of which [`STREAM_LEN`] entries are left.
    AddEntry(String, StreamId, Vec<u8>),
    Trim(String, usize),
    MakeGroup(String),
    /// By the group's consumer; so many entries.
    Deliver(String, usize),
    Acknowledge(String, StreamId),
}

/// One step: more than one operation is an EXEC.
#[derive(Clone, Debug)]
pub(super) struct Step(pub Vec<Op>);

pub(super) fn shared_key(number: usize) -> String {
    format!("shared:n{number}")
}

/// All names of a client's keys.
pub(super) fn names(client: usize) -> impl Iterator<Item = String> {
    "tnvelhspzfx".chars().flat_map(move |kind| (0..KEYS).map(move |number| format!("c{client}:{kind}{number}")))
}

/// Makes the steps of one client.
pub(super) struct Maker {
    pub client: usize,
    pub random: Random,
    pub abilities: Abilities,
    /// Of the last entry of a stream; the clock may go back.
    last_ms: i64,
    ids: Vec<StreamId>,
}

impl Maker {
    pub fn new(client: usize, random: Random, abilities: Abilities) -> Maker {
        Maker { client, random, abilities, last_ms: 0, ids: Vec::new() }
    }

    pub fn step(&mut self, number: usize) -> Step {
        match self.random.below(14) {
            12 if self.abilities.fading => {
                let (key, field) = (self.key('f'), self.member());
                let at = now() + self.random.between(-5, 2_500);
                let set = Op::SetField(key.clone(), field.clone(), self.value(number));
                Step(vec![set, Op::FieldUntil(key, field, at)])
            }
            0 => {
                let count = self.random.between(2, 5);
                let mut ops: Vec<Op> = (0..count).map(|_| self.op(number)).collect();
                // Nothing else is done to a set of which it may stay unknown what is left.
                let popped = ops.iter().position(|op| matches!(op, Op::PopMembers(..)));
                let mut at = 0..;
                ops.retain(|op| at.next() == popped || !matches!(op, Op::Add(key, _) | Op::PopMembers(key, _) if popped.is_some() && kind_of(key) == 'p'));
                Step(ops)
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
        let Abilities { lists, hashes, sets, sorted, streams, fading } = self.abilities;
        match self.random.below(38) {
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
            24 if lists => Op::PopMany(self.key('l'), self.random.below(4)),
            25 if lists => Op::Move(self.key('l'), self.key('l')),
            26 | 27 if hashes => Op::CountField(
                self.key('h'),
                format!("n{}", self.random.below(5)).into_bytes(),
                self.random.between(-9, 99),
            ),
            28 | 29 if sets => Op::Add(self.key('p'), self.member()),
            30 if sets => Op::PopMembers(self.key('p'), self.random.below(3)),
            31 if fading => Op::SetField(self.key('f'), self.member(), self.value(number)),
            32 if fading => Op::DeleteField(self.key('f'), self.member()),
            33 | 34 if streams => {
                self.last_ms = self.last_ms.max(now());
                let id = (self.last_ms as u64, self.ids.len() as u64);
                self.ids.push(id);
                Op::AddEntry(self.key('x'), id, self.value(number))
            }
            35 if streams => Op::Trim(self.key('x'), self.random.between(1, STREAM_LEN as i64) as usize),
            36 if streams && self.random.one_in(2) => Op::MakeGroup(self.key('x')),
            36 if streams => Op::Deliver(self.key('x'), self.random.between(1, 4) as usize),
            37 if streams && !self.ids.is_empty() => {
                let recent = self.ids.len().saturating_sub(40);
                let id = self.ids[recent + self.random.below(self.ids.len() - recent)];
                Op::Acknowledge(self.key('x'), id)
            }
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

    /// What it makes of the keys. `took`: Unix milliseconds before and after it ran; `replies`: of its operations, if there are.
    pub fn apply(&self, state: &mut State, took: (i64, i64), replies: &[Value]) {
        self.0.iter().enumerate().for_each(|(at, op)| op.apply(state, took, replies.get(at)));
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
            Op::PopMany(key, count) => vec![text("LPOP"), text(key), text(&count.to_string())],
            Op::Move(from, to) => vec![text("LMOVE"), text(from), text(to), text("LEFT"), text("RIGHT")],
            Op::SetField(key, field, value) => vec![text("HSET"), text(key), field.clone(), value.clone()],
            Op::DeleteField(key, field) => vec![text("HDEL"), text(key), field.clone()],
            Op::CountField(key, field, by) => vec![text("HINCRBY"), text(key), field.clone(), number(by)],
            Op::FieldUntil(key, field, at) => {
                vec![text("HPEXPIREAT"), text(key), number(at), text("FIELDS"), text("1"), field.clone()]
            }
            Op::PopMembers(key, count) => vec![text("SPOP"), text(key), text(&count.to_string())],
            Op::Add(key, member) => vec![text("SADD"), text(key), member.clone()],
            Op::Remove(key, member) => vec![text("SREM"), text(key), member.clone()],
            Op::Score(key, member, score) => vec![text("ZADD"), text(key), number(score), member.clone()],
            Op::Unscore(key, member) => vec![text("ZREM"), text(key), member.clone()],
            Op::AddEntry(key, (ms, number), value) => {
                let (len, id) = (STREAM_LEN.to_string(), format!("{ms}-{number}"));
                [&["XADD", key, "MAXLEN", "=", &len, &id, "v"].map(text)[..], std::slice::from_ref(value)].concat()
            }
            Op::Trim(key, len) => ["XTRIM", key, "MAXLEN", "=", &len.to_string()].map(text).into(),
            Op::MakeGroup(key) => ["XGROUP", "CREATE", key, "g", "0", "MKSTREAM"].map(text).into(),
            Op::Deliver(key, count) => {
                ["XREADGROUP", "GROUP", "g", "c", "COUNT", &count.to_string(), "STREAMS", key, ">"].map(text).into()
            }
            Op::Acknowledge(key, (ms, number)) => ["XACK", key, "g", &format!("{ms}-{number}")].map(text).into(),
        }
    }

    fn apply(&self, state: &mut State, took: (i64, i64), reply: Option<&Value>) {
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
            Op::PopMany(key, count) => shrink(state, key, |content| match content {
                Content::List(list) => {
                    list.drain(..(*count).min(list.len()));
                    list.is_empty()
                }
                _ => false,
            }),
            Op::Move(from, to) => {
                let mut moved = None;
                shrink(state, from, |content| match content {
                    Content::List(list) => {
                        moved = list.pop_front();
                        // What is put back behind it keeps the list.
                        list.is_empty() && from != to
                    }
                    _ => false,
                });
                if let Some(value) = moved {
                    Op::Push(to.clone(), vec![value]).apply(state, took, None);
                }
            }
            Op::SetField(key, field, value) => change(
                state,
                key,
                || {
                    if kind_of(key) == 'f' {
                        Content::Fading(Default::default())
                    } else {
                        Content::Hash(Default::default())
                    }
                },
                |content| match content {
                    Content::Hash(hash) => drop(hash.insert(field.clone(), value.clone())),
                    Content::Fading(hash) => drop(hash.insert(field.clone(), (value.clone(), None))),
                    _ => {}
                },
            ),
            Op::DeleteField(key, field) => shrink(state, key, |content| match content {
                Content::Hash(hash) => {
                    hash.remove(field);
                    hash.is_empty()
                }
                Content::Fading(hash) => {
                    hash.remove(field);
                    hash.is_empty()
                }
                _ => false,
            }),
            Op::CountField(key, field, by) => change(
                state,
                key,
                || Content::Hash(Default::default()),
                |content| {
                    if let Content::Hash(hash) = content {
                        let before =
                            hash.get(field).and_then(|text| std::str::from_utf8(text).ok()?.parse::<i64>().ok());
                        hash.insert(field.clone(), (before.unwrap_or(0) + by).to_string().into_bytes());
                    }
                },
            ),
            Op::FieldUntil(key, field, at) => {
                if let Some(Entry { content: Content::Fading(hash), .. }) = entries.get_mut(key)
                    && let Some((_, deadline)) = hash.get_mut(field)
                {
                    *deadline = Some(*at);
                }
            }
            Op::PopMembers(key, count) => pop_members(state, key, *count, reply),
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
            Op::AddEntry(key, id, value) => {
                let add = |stream: &mut Stream| {
                    stream.entries.push_back((*id, value.clone()));
                    stream.entries.drain(..stream.entries.len().saturating_sub(STREAM_LEN));
                };
                change(
                    state,
                    key,
                    || Content::Stream(Default::default()),
                    |content| {
                        if let Content::Stream(stream) = content {
                            add(stream);
                        }
                    },
                );
            }
            Op::Trim(key, len) => with_stream(state, key, |stream| {
                stream.entries.drain(..stream.entries.len().saturating_sub(*len));
            }),
            Op::MakeGroup(key) => change(
                state,
                key,
                || Content::Stream(Default::default()),
                |content| {
                    if let Content::Stream(stream) = content {
                        stream.group.get_or_insert_default();
                    }
                },
            ),
            Op::Deliver(key, count) => with_group(state, key, |group, entries| {
                let ids = entries.iter().map(|(id, _)| *id).filter(|id| *id > group.delivered);
                let ids: Vec<StreamId> = ids.take(*count).collect();
                group.delivered = ids.last().copied().unwrap_or(group.delivered);
                group.pending.extend(ids);
            }),
            Op::Acknowledge(key, id) => with_group(state, key, |group, _| {
                group.pending.remove(id);
            }),
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

/// Without a reply it is the last step that was sent, and any of the members may be gone.
fn pop_members(state: &mut State, key: &str, count: usize, reply: Option<&Value>) {
    let Some(Entry { content, .. }) = state.entries.get_mut(key) else { return };
    let Content::Set(set) = content else { return };
    let popped = match reply.and_then(Value::as_array) {
        Some(popped) => popped,
        None if count < set.len() => {
            *content = Content::SetWithout(std::mem::take(set), count);
            return;
        }
        None => return drop(state.entries.remove(key)),
    };
    for member in popped.iter().filter_map(Value::as_bytes) {
        set.remove(member);
    }
    if set.is_empty() {
        state.entries.remove(key);
    }
}

/// Does something to a stream that is there.
fn with_stream(state: &mut State, key: &str, with: impl FnOnce(&mut Stream)) {
    if let Some(Entry { content: Content::Stream(stream), .. }) = state.entries.get_mut(key) {
        with(stream);
    }
}

fn with_group(state: &mut State, key: &str, with: impl FnOnce(&mut Group, &VecDeque<(StreamId, Vec<u8>)>)) {
    with_stream(state, key, |stream| {
        if let Some(group) = &mut stream.group {
            with(group, &stream.entries);
        }
    });
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

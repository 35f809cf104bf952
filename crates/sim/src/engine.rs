//! What the simulator runs on a shard: the trait, and a small store of bytes that stands in for the real engine.
//!
//! Everything is a function of its arguments: commands, times and chance come in, effects go out. Effects replay to the same
//! state; some of them (append, add) only if none before them is missing or comes twice, which is what makes losses visible.

use std::collections::BTreeMap;

use crate::rng::Rng;

pub type Key = Vec<u8>;

/// A shard as the simulator sees it.
pub trait Engine: Clone + PartialEq {
    fn empty() -> Self;
    /// Runs a write drawn from `rng` on `key` and appends its effects, none if nothing changed.
    fn write(&mut self, key: &Key, now: u64, rng: &mut Rng, value_max: usize, effects: &mut Vec<u8>);
    /// Removes `key` if its deadline has passed, with the effect that says so.
    fn expire(&mut self, key: &Key, now: u64, effects: &mut Vec<u8>);
    /// Does what effects say.
    fn replay(&mut self, effects: &[u8]) -> Result<(), String>;
    /// All entries as a snapshot holds them.
    fn entries(&self) -> Vec<Vec<u8>>;
    /// Takes entries that lie one after the other; how many there were.
    fn load(&mut self, entries: &[u8]) -> Result<u64, String>;
    /// Gives the keys for which `keep` is true to a shard of their own.
    fn part(&self, keep: impl Fn(&Key) -> bool) -> Self;
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Value {
    bytes: Vec<u8>,
    deadline: u64,
}

/// Keys with bytes and a deadline (0: none).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toy(BTreeMap<Key, Value>);

const PUT: u8 = 1;
const APPEND: u8 = 2;
const ADD: u8 = 3;
const DELETE: u8 = 4;
const DEADLINE: u8 = 5;

fn effect(to: &mut Vec<u8>, tag: u8, key: &Key, deadline: u64, bytes: &[u8]) {
    to.push(tag);
    to.push(key.len() as u8);
    to.extend(key);
    to.extend(deadline.to_le_bytes());
    to.extend((bytes.len() as u32).to_le_bytes());
    to.extend(bytes);
}

/// Takes one effect off the front.
fn take<'a>(from: &mut &'a [u8]) -> Option<(u8, Key, u64, &'a [u8])> {
    let mut part = |length: usize| {
        let (part, rest) = from.split_at_checked(length)?;
        *from = rest;
        Some(part)
    };
    let [tag, length] = part(2)? else { return None };
    let key = part(usize::from(*length))?.to_vec();
    let deadline = u64::from_le_bytes(part(8)?.try_into().ok()?);
    let length = u32::from_le_bytes(part(4)?.try_into().ok()?);
    Some((*tag, key, deadline, part(length as usize)?))
}

impl Toy {
    fn apply(&mut self, tag: u8, key: Key, deadline: u64, bytes: &[u8]) -> Result<(), String> {
        let empty = Value { bytes: Vec::new(), deadline: 0 };
        match tag {
            PUT => drop(self.0.insert(key, Value { bytes: bytes.to_vec(), deadline })),
            APPEND => self.0.entry(key).or_insert(empty).bytes.extend(bytes),
            ADD => {
                let sum = &mut self.0.entry(key).or_insert(empty).bytes;
                let mut carry = 0u16;
                sum.resize(sum.len().max(8), 0);
                for (byte, more) in sum.iter_mut().zip(bytes.iter().chain(std::iter::repeat(&0))) {
                    carry += u16::from(*byte) + u16::from(*more);
                    *byte = carry as u8;
                    carry >>= 8;
                }
            }
            DELETE => drop(self.0.remove(&key)),
            DEADLINE => {
                self.0.get_mut(&key).ok_or("a deadline for a key that is not there")?.deadline = deadline;
            }
            _ => return Err(format!("an effect with tag {tag}")),
        }
        Ok(())
    }
}

impl Engine for Toy {
    fn empty() -> Toy {
        Toy(BTreeMap::new())
    }

    fn write(&mut self, key: &Key, now: u64, rng: &mut Rng, value_max: usize, effects: &mut Vec<u8>) {
        self.expire(key, now, effects);
        let length = if rng.permille(40) { rng.index(value_max + 1) } else { rng.index(40) };
        // Half of the values can be compressed.
        let mask = if rng.permille(500) { 0xff } else { 0x01 };
        let bytes: Vec<u8> = (0..length).map(|_| rng.u64() as u8 & mask).collect();
        let there = self.0.get(key);
        let (tag, deadline, bytes) = match rng.below(10) {
            0..3 => (PUT, 0, bytes),
            3 => (PUT, now + 1 + rng.below(300), bytes),
            4 | 5 if there.is_none_or(|value| value.bytes.len() < 3 * value_max) => (APPEND, 0, bytes),
            6 | 7 => (ADD, 0, rng.u64().to_le_bytes().to_vec()),
            8 if there.is_some() => (DEADLINE, now + 1 + rng.below(300), Vec::new()),
            9 if there.is_some() => (DELETE, 0, Vec::new()),
            _ => (PUT, 0, bytes),
        };
        effect(effects, tag, key, deadline, &bytes);
        self.apply(tag, key.clone(), deadline, &bytes).expect("an effect of its own");
    }

    fn expire(&mut self, key: &Key, now: u64, effects: &mut Vec<u8>) {
        if self.0.get(key).is_some_and(|value| value.deadline != 0 && value.deadline <= now) {
            effect(effects, DELETE, key, 0, &[]);
            self.0.remove(key);
        }
    }

    fn replay(&mut self, mut effects: &[u8]) -> Result<(), String> {
        while !effects.is_empty() {
            let (tag, key, deadline, bytes) = take(&mut effects).ok_or("effects that end early")?;
            self.apply(tag, key, deadline, bytes)?;
        }
        Ok(())
    }

    fn entries(&self) -> Vec<Vec<u8>> {
        let entry = |(key, value): (&Key, &Value)| {
            let mut bytes = Vec::new();
            effect(&mut bytes, PUT, key, value.deadline, &value.bytes);
            bytes
        };
        self.0.iter().map(entry).collect()
    }

    fn load(&mut self, mut entries: &[u8]) -> Result<u64, String> {
        let mut count = 0;
        while !entries.is_empty() {
            let (tag, key, deadline, bytes) = take(&mut entries).ok_or("entries that end early")?;
            self.apply(tag, key, deadline, bytes)?;
            count += 1;
        }
        Ok(count)
    }

    fn part(&self, keep: impl Fn(&Key) -> bool) -> Toy {
        Toy(self.0.iter().filter(|(key, _)| keep(key)).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

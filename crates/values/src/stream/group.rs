//! A consumer group: how far it has read, and which entries were delivered and not acknowledged yet (its pending ones), by ID and
//! by consumer.
//!
//! An ID is pending for one consumer at most. The group's map and the consumers' sets always agree.

use std::collections::{BTreeMap, BTreeSet};

use super::id::StreamId;
use crate::memory::block_bytes;

/// A delivery that was not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Whose it is: the number of a [`Consumer`].
    pub consumer: u32,
    /// How often it was delivered.
    pub deliveries: u32,
    /// When it was delivered last, unix time in milliseconds.
    pub delivered_at: i64,
}

/// A consumer of a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub name: Box<[u8]>,
    /// When it was heard of last, unix time in milliseconds.
    pub seen_at: i64,
    /// When it got or claimed an entry last; `None` before it did.
    pub active_at: Option<i64>,
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    /// IDs of its pending entries.
    pub fn pending(&self) -> &BTreeSet<StreamId> {
        &self.pending
    }
}

/// A consumer group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The ID up to which entries were delivered.
    pub last_delivered: StreamId,
    /// How many entries of all ever added that is; `None` when it cannot be known.
    pub entries_read: Option<u64>,
    pending: BTreeMap<StreamId, Pending>,
    consumers: Vec<Option<Consumer>>,
    names: BTreeMap<Box<[u8]>, u32>,
}

/// What an entry in a map of the standard library takes: nodes of eleven are three quarters full.
fn in_tree(entries: usize, bytes: usize) -> usize {
    entries * (bytes * 4 / 3 + 2)
}

impl Group {
    /// A group that reads on behind that ID.
    pub fn new(last_delivered: StreamId, entries_read: Option<u64>) -> Group {
        Group { last_delivered, entries_read, ..Group::default() }
    }

    /// Bytes owned.
    pub fn memory(&self) -> usize {
        let name = |consumer: &Consumer| 2 * block_bytes(consumer.name.len());
        let consumers: usize = self.consumers().map(name).sum();
        in_tree(self.pending.len(), 16 + size_of::<Pending>())
            + in_tree(self.pending.len(), 16)
            + in_tree(self.names.len(), 24)
            + block_bytes(self.consumers.capacity() * size_of::<Option<Consumer>>())
            + consumers
    }

    /// All consumers by name.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.names.values().map(|number| self.consumer(*number))
    }

    pub fn consumer_count(&self) -> usize {
        self.names.len()
    }

    /// The number of the consumer of that name.
    pub fn consumer_named(&self, name: &[u8]) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// The consumer of that number, which must be one.
    pub fn consumer(&self, number: u32) -> &Consumer {
        self.consumers[number as usize].as_ref().expect("a consumer's number")
    }

    pub fn consumer_mut(&mut self, number: u32) -> &mut Consumer {
        self.consumers[number as usize].as_mut().expect("a consumer's number")
    }

    /// Adds a consumer whose name is new, and gives its number.
    pub fn add_consumer(&mut self, name: &[u8], now: i64) -> u32 {
        let free = self.consumers.iter().position(Option::is_none).unwrap_or(self.consumers.len());
        let consumer = Consumer { name: name.into(), seen_at: now, active_at: None, pending: BTreeSet::new() };
        if free == self.consumers.len() {
            self.consumers.push(None);
        }
        self.consumers[free] = Some(consumer);
        let before = self.names.insert(name.into(), free as u32);
        assert!(before.is_none(), "a new name");
        free as u32
    }

    /// Takes a consumer away; what was pending for it is no more. How many that were, or `None` when there is no such consumer.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let number = self.names.remove(name)?;
        let consumer = self.consumers[number as usize].take().expect("a consumer's number");
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    /// All pending entries by ID.
    pub fn pending(&self) -> &BTreeMap<StreamId, Pending> {
        &self.pending
    }

    /// Makes an entry pending for a consumer, or changes whose it is.
    pub fn assign(&mut self, id: StreamId, pending: Pending) {
        if let Some(old) = self.pending.insert(id, pending)
            && old.consumer != pending.consumer
        {
            self.consumer_mut(old.consumer).pending.remove(&id);
        }
        self.consumer_mut(pending.consumer).pending.insert(id);
    }

    /// Ends that an entry is pending (XACK; XCLAIM of an entry that is gone); false when it was not.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        self.consumer_mut(pending.consumer).pending.remove(&id);
        true
    }

    /// Frees some pending entries; true while there are more. The group is of no use afterwards.
    pub fn free_some(&mut self, budget: usize) -> bool {
        for _ in 0..budget {
            if self.pending.pop_first().is_none() {
                let mut consumers = self.consumers.iter_mut().flatten();
                return consumers.any(|consumer| (0..budget).all(|_| consumer.pending.pop_first().is_some()));
            }
        }
        true
    }
}

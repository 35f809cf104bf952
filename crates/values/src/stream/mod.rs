//! Streams: entries by ascending ID in blocks, and the consumer groups that read them.
//!
//! ```text
//!  tree, by the ID of a block's first entry ─▶ block ◀──▶ block ◀──▶ …        see `block`
//!  groups, by name                                                            see `group`
//! ```
//!
//! Blocks begin and end where Redis's nodes do, since trimming with `~` takes whole ones. Whether an ID is acceptable and what a
//! command makes of its options is not decided here.

mod block;
mod group;
mod id;

use std::collections::BTreeMap;

pub use block::{BlockLimits, Fields};
pub use group::{Consumer, Group, Pending};
pub use id::StreamId;

use crate::memory::block_bytes;
use crate::tree::Tree;
use block::Block;

/// How far a trim may go (XTRIM, XADD).
#[derive(Clone, Copy, Debug)]
pub enum TrimTo {
    /// At most that many entries are left.
    Length(u64),
    /// No entry below that ID is left.
    From(StreamId),
}

/// A stream.
pub struct Stream {
    tree: Tree<Block, StreamId>,
    /// Bytes of all blocks.
    block_bytes: usize,
    last_id: StreamId,
    /// The highest ID that XDEL has deleted.
    pub max_deleted_id: StreamId,
    /// How many entries were ever added.
    pub entries_added: u64,
    groups: BTreeMap<Box<[u8]>, Group>,
}

impl Default for Stream {
    fn default() -> Stream {
        let block = Block::new(StreamId::MIN, &[]);
        let (last_id, max_deleted_id) = (StreamId::MIN, StreamId::MIN);
        let block_bytes = block.memory();
        Stream {
            tree: Tree::new(block),
            block_bytes,
            last_id,
            max_deleted_id,
            entries_added: 0,
            groups: BTreeMap::new(),
        }
    }
}

impl Clone for Stream {
    fn clone(&self) -> Stream {
        let tree = self.tree.clone();
        // A copy has no room ahead.
        let block_bytes = tree.bodies().map(Block::memory).sum();
        Stream { tree, block_bytes, groups: self.groups.clone(), ..*self }
    }
}

impl Stream {
    pub fn new() -> Stream {
        Stream::default()
    }

    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.tree.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        "stream"
    }

    /// Number of blocks, as XINFO STREAM's radix-tree-keys.
    pub fn block_count(&self) -> usize {
        if self.is_empty() { 0 } else { self.tree.leaf_count() }
    }

    /// Bytes owned, beside this value itself.
    pub fn memory(&self) -> usize {
        let groups: usize = self.groups.iter().map(|(name, group)| block_bytes(name.len()) + group.memory()).sum();
        self.tree.memory() + self.block_bytes + groups + self.groups.len() * (size_of::<Group>() + 16) * 4 / 3
    }

    /// The highest ID ever added or set: new ones must be above it.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// Sets the last ID (XSETID), which is not below that of an entry.
    pub fn set_last_id(&mut self, id: StreamId) {
        assert!(self.last_entry().is_none_or(|last| last <= id), "new IDs will be above all entries");
        self.last_id = id;
    }

    /// ID of the first entry.
    pub fn first_entry(&self) -> Option<StreamId> {
        if self.is_empty() {
            return None;
        }
        self.tree.leaf(self.tree.first()).first_live()
    }

    /// ID of the last entry.
    pub fn last_entry(&self) -> Option<StreamId> {
        if self.is_empty() {
            return None;
        }
        self.tree.leaf(self.tree.last()).last_live()
    }

    /// The highest ID that XDEL has deleted, if no later trim has taken all that lay around it.
    pub fn gap_end(&self) -> Option<StreamId> {
        if self.max_deleted_id == StreamId::MIN {
            return None;
        }
        self.first_entry().filter(|first| *first <= self.max_deleted_id).map(|_| self.max_deleted_id)
    }

    /// The ID that an entry gets by itself: the time, or next to the last one; `None` when there is none left.
    pub fn next_id(&self, now: u64) -> Option<StreamId> {
        if now > self.last_id.ms { Some(StreamId { ms: now, seq: 0 }) } else { self.last_id.next() }
    }

    /// The sequence number that an entry of that millisecond gets; `None` when there is none left.
    pub fn next_seq(&self, ms: u64) -> Option<u64> {
        match ms.cmp(&self.last_id.ms) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => self.last_id.seq.checked_add(1),
            std::cmp::Ordering::Greater => Some(0),
        }
    }

    /// Adds an entry; its ID is above the last one.
    pub fn add(&mut self, id: StreamId, fields: &[(&[u8], &[u8])], limits: &BlockLimits) {
        assert!(id > self.last_id, "IDs ascend");
        let text_bytes = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let last = self.tree.last();
        if self.is_empty() || self.tree.leaf(last).is_full_for(text_bytes, limits) {
            let mut block = Block::new(id, fields);
            block.push(id, fields);
            self.block_bytes += block.memory();
            if self.is_empty() {
                self.block_bytes -= std::mem::replace(self.tree.leaf_mut(last), block).memory();
                self.tree.add(last, 1);
            } else {
                self.change(last, Block::close);
                self.tree.insert(last, true, block, 1, id);
            }
        } else {
            self.change(last, |block| block.push(id, fields));
        }
        self.last_id = id;
        self.entries_added += 1;
    }

    /// Changes a block and keeps the sums right.
    fn change<T>(&mut self, leaf: u32, change: impl FnOnce(&mut Block) -> T) -> T {
        let block = self.tree.leaf_mut(leaf);
        let (bytes, len) = (block.memory(), block.len());
        let result = change(block);
        self.block_bytes = self.block_bytes + block.memory() - bytes;
        let change = block.len() as i64 - len as i64;
        if change != 0 {
            self.tree.add(leaf, change);
        }
        result
    }

    /// Takes away a block all of whose entries are counted off.
    fn remove_block(&mut self, leaf: u32) {
        match self.tree.remove(leaf) {
            Some(block) => self.block_bytes -= block.memory(),
            None => self.change(leaf, |block| *block = Block::new(StreamId::MIN, &[])),
        }
    }

    /// Visits entries from one ID to another, both included, upwards or downwards, until `visit` says false.
    pub fn walk(
        &self,
        from: StreamId,
        to: StreamId,
        reverse: bool,
        visit: &mut dyn FnMut(StreamId, Fields<'_>) -> bool,
    ) {
        if self.is_empty() || from > to {
            return;
        }
        let begin = if reverse { to } else { from };
        let mut leaf = self.tree.descend(|bound| *bound <= begin);
        loop {
            if !self.tree.leaf(leaf).walk(from, to, reverse, visit) {
                return;
            }
            if !reverse && self.tree.leaf(leaf).last() >= to {
                return;
            }
            let next = if reverse { self.tree.prev(leaf) } else { self.tree.next(leaf) };
            let Some(next) = next else { return };
            if reverse && self.tree.leaf(next).last() < from {
                return;
            }
            leaf = next;
        }
    }

    /// How many entries lie in the blocks in which there may be some from one ID to another, both included: no more than these
    /// are between them.
    pub fn len_around(&self, from: StreamId, to: StreamId) -> u64 {
        if self.is_empty() || from > to {
            return 0;
        }
        let (first, last) = (self.tree.descend(|bound| *bound <= from), self.tree.descend(|bound| *bound <= to));
        self.tree.rank(last) + self.tree.leaf(last).len() as u64 - self.tree.rank(first)
    }

    /// Shows the entry of that ID; false when there is none.
    pub fn get(&self, id: StreamId, show: &mut dyn FnMut(Fields<'_>)) -> bool {
        let mut is_there = false;
        self.walk(id, id, false, &mut |_, fields| {
            is_there = true;
            show(fields);
            false
        });
        is_there
    }

    /// Deletes an entry (XDEL); false when there is none of that ID.
    pub fn delete(&mut self, id: StreamId) -> bool {
        if self.is_empty() {
            return false;
        }
        let leaf = self.tree.descend(|bound| *bound <= id);
        if !self.change(leaf, |block| block.delete(id)) {
            return false;
        }
        if self.tree.leaf(leaf).len() == 0 {
            self.remove_block(leaf);
        }
        self.max_deleted_id = self.max_deleted_id.max(id);
        true
    }

    /// Takes off entries from the lowest ID on; gives how many. An approximate trim takes whole blocks only, and stops before it
    /// has taken more than `limit` entries, if that is not 0.
    pub fn trim(&mut self, to: TrimTo, approximate: bool, limit: u64) -> u64 {
        let mut taken = 0;
        while !self.is_empty() {
            let first = self.tree.first();
            let block = self.tree.leaf(first);
            let len = block.len() as u64;
            let surplus = match to {
                TrimTo::Length(length) => self.len().saturating_sub(length),
                TrimTo::From(id) if block.last() < id => len,
                TrimTo::From(_) => 0,
            };
            if approximate && limit > 0 && taken + len > limit {
                break;
            }
            if surplus >= len {
                taken += len;
                self.tree.add(first, -(len as i64));
                let emptied = Block::new(StreamId::MIN, &[]);
                self.block_bytes -= self.tree.leaf(first).memory();
                self.block_bytes += emptied.memory();
                *self.tree.leaf_mut(first) = emptied;
                self.remove_block(first);
                continue;
            }
            if !approximate {
                let mut left = surplus;
                taken += self.change(first, |block| {
                    let marked = block.delete_first(|id| match to {
                        TrimTo::Length(_) => {
                            left > 0 && {
                                left -= 1;
                                true
                            }
                        }
                        TrimTo::From(min) => id < min,
                    });
                    block.drop_deleted_front();
                    marked as u64
                });
                // What lay behind the ID was deleted already.
                if self.tree.leaf(first).len() == 0 {
                    self.remove_block(first);
                }
            }
            break;
        }
        taken
    }

    /// How many entries were ever added up to that ID, if it can be told: a group that has delivered up to there has read that
    /// many.
    pub fn entries_up_to(&self, id: StreamId) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if id >= self.last_id || self.is_empty() {
            return (id <= self.last_id).then_some(self.entries_added);
        }
        let first = self.first_entry()?;
        if self.max_deleted_id != StreamId::MIN && self.max_deleted_id >= first {
            return None;
        }
        // What a payload says may make no sense.
        let gone = self.entries_added.saturating_sub(self.len());
        match id.cmp(&first) {
            std::cmp::Ordering::Less => Some(gone),
            std::cmp::Ordering::Equal => Some(gone + 1),
            std::cmp::Ordering::Greater => None,
        }
    }

    /// All groups by name.
    pub fn groups(&self) -> &BTreeMap<Box<[u8]>, Group> {
        &self.groups
    }

    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    pub fn group_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.groups.get_mut(name)
    }

    /// Adds a group; false when there is one of that name.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        let is_new = !self.groups.contains_key(name);
        if is_new {
            self.groups.insert(name.into(), group);
        }
        is_new
    }

    /// Takes a group away; `None` when there is none of that name. One with many pending entries is freed in pieces.
    pub fn remove_group(&mut self, name: &[u8]) -> Option<Group> {
        self.groups.remove(name)
    }

    /// Frees a part of it, some `budget` entries; true while there is more. It is of no use afterwards.
    pub fn free_some(&mut self, budget: usize) -> bool {
        while let Some(mut group) = self.groups.first_entry() {
            if group.get_mut().free_some(budget) {
                return true;
            }
            group.remove();
        }
        let mut freed = 0;
        while freed < budget {
            let Some(block) = self.tree.pop_any() else { return false };
            freed += block.len() + 1;
        }
        true
    }
}

#[cfg(test)]
mod tests;

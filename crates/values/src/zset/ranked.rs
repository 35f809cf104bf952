//! The large form of a sorted set: leaves in a counted tree, and an index from members to leaves.
//!
//! ```text
//!   rank, score, lex ─▶ tree ─▶ leaf (elements in order) ◀─ index ◀─ hash of a member
//! ```
//!
//! A member's bytes are kept once, in its leaf, so a range is read from one place after the other. Its rank is that of its
//! leaf, which the tree's counts give without a comparison, and its number there.

use ahash::RandomState;

use super::index::Index;
use super::leaf::{Key, Leaf};
use crate::memory::block_bytes;
use crate::tree::Tree;

/// What no element of a leaf is below.
#[derive(Clone)]
struct Bound {
    score: f64,
    member: Box<[u8]>,
}

impl Bound {
    fn key(&self) -> Key<'_> {
        Key { score: self.score, member: &self.member }
    }
}

pub struct Ranked {
    tree: Tree<Leaf, Bound>,
    index: Index,
    hasher: RandomState,
    /// Bytes of all leaves' blocks.
    leaf_bytes: usize,
}

impl Clone for Ranked {
    fn clone(&self) -> Ranked {
        let (tree, index, hasher) = (self.tree.clone(), self.index.clone(), self.hasher.clone());
        // A copy has no room ahead.
        let leaf_bytes = tree.bodies().map(Leaf::memory).sum();
        Ranked { tree, index, hasher, leaf_bytes }
    }
}

impl Ranked {
    pub fn new(seed: u64) -> Ranked {
        let hasher = RandomState::with_seeds(seed, !seed, seed.rotate_left(32), 0x9e37_79b9_7f4a_7c15);
        Ranked { tree: Tree::new(Leaf::default()), index: Index::new(), hasher, leaf_bytes: 0 }
    }

    pub fn len(&self) -> usize {
        self.tree.len() as usize
    }

    pub fn memory(&self) -> usize {
        let bounds = self.tree.bounds_memory(|bound| block_bytes(bound.member.len()));
        self.leaf_bytes + self.tree.memory() + bounds + self.index.memory()
    }

    fn hash(&self, member: &[u8]) -> u32 {
        (self.hasher.hash_one(member) >> 32) as u32
    }

    fn find(&self, hash: u32, member: &[u8]) -> Option<(u32, usize)> {
        self.index.leaves(hash).find_map(|leaf| Some((leaf, self.tree.leaf(leaf).find(hash, member)?)))
    }

    pub fn score(&self, member: &[u8]) -> Option<f64> {
        let (leaf, index) = self.find(self.hash(member), member)?;
        Some(self.tree.leaf(leaf).key(index).score)
    }

    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let (leaf, index) = self.find(self.hash(member), member)?;
        Some((self.tree.rank(leaf) as usize + index, self.tree.leaf(leaf).key(index).score))
    }

    fn change<T>(&mut self, leaf: u32, change: impl FnOnce(&mut Leaf) -> T) -> T {
        let body = self.tree.leaf_mut(leaf);
        let before = body.memory();
        let result = change(body);
        self.leaf_bytes = self.leaf_bytes + body.memory() - before;
        result
    }

    /// Gives a member a score; its old one if it had one.
    pub fn add(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let hash = self.hash(member);
        let found = self.find(hash, member);
        let Some((leaf, index)) = found else {
            self.insert(hash, Key { score, member });
            return None;
        };
        let old = self.tree.leaf(leaf).key(index).score;
        if old.to_bits() != score.to_bits() && !self.tree.leaf_mut(leaf).rescore(index, score) {
            self.remove_at(leaf, index, 1);
            self.insert(hash, Key { score, member });
        }
        Some(old)
    }

    fn insert(&mut self, hash: u32, key: Key<'_>) {
        let leaf = self.tree.descend(|bound| bound.key().cmp(&key).is_le());
        let index = self.change(leaf, |body| body.insert(key, hash));
        self.tree.add(leaf, 1);
        self.index.insert(hash, leaf);
        let body = self.tree.leaf(leaf);
        if body.is_full() {
            // What comes in ascending order leaves full leaves behind.
            let is_last = leaf == self.tree.last() && index + 1 == body.len();
            let at = if is_last { index } else { body.middle() };
            self.split(leaf, at);
        }
    }

    fn split(&mut self, leaf: u32, at: usize) {
        let upper = self.change(leaf, |body| body.split_off(at));
        let count = upper.len();
        let first = upper.key(0);
        let bound = Bound { score: first.score, member: first.member.into() };
        let hashes = upper.hashes().to_vec();
        self.leaf_bytes += upper.memory();
        self.tree.add(leaf, -(count as i64));
        let new = self.tree.insert(leaf, true, upper, count as u64, bound);
        for hash in hashes {
            self.index.change(hash, leaf, new);
        }
        if self.tree.leaf(leaf).is_full() {
            let at = self.tree.leaf(leaf).middle();
            self.split(leaf, at);
        }
        if self.tree.leaf(new).is_full() {
            let at = self.tree.leaf(new).middle();
            self.split(new, at);
        }
    }

    /// Takes a member out; its score if it was there.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (leaf, index) = self.find(self.hash(member), member)?;
        let score = self.tree.leaf(leaf).key(index).score;
        self.remove_at(leaf, index, 1);
        Some(score)
    }

    fn remove_at(&mut self, leaf: u32, index: usize, count: usize) {
        for at in index..index + count {
            self.index.remove(self.tree.leaf(leaf).hash(at), leaf);
        }
        self.change(leaf, |body| body.remove(index, count));
        self.tree.add(leaf, -(count as i64));
        self.tidy(leaf);
    }

    /// Takes away a leaf that is empty, and merges one that is thin with a neighbour.
    fn tidy(&mut self, leaf: u32) {
        let len = self.tree.leaf(leaf).len();
        if len == 0 {
            if let Some(body) = self.tree.remove(leaf) {
                self.leaf_bytes -= body.memory();
            }
            return;
        }
        if len > super::leaf::ELEMENTS_MAX / 4 {
            return;
        }
        for (left, right) in [(self.tree.prev(leaf), Some(leaf)), (Some(leaf), self.tree.next(leaf))] {
            let (Some(left), Some(right)) = (left, right) else { continue };
            if self.tree.leaf(left).can_take(self.tree.leaf(right)) {
                self.merge(left, right);
                return;
            }
        }
    }

    fn merge(&mut self, left: u32, right: u32) {
        let taken = self.change(right, std::mem::take);
        let count = taken.len() as i64;
        self.tree.add(right, -count);
        self.tree.remove(right);
        self.change(left, |body| body.append(&taken));
        self.tree.add(left, count);
        for &hash in taken.hashes() {
            self.index.change(hash, right, left);
        }
    }

    /// Takes out elements by rank after showing them.
    pub fn remove_range(&mut self, start: usize, count: usize, show: &mut dyn FnMut(&[u8], f64)) {
        let mut left = count.min(self.len().saturating_sub(start));
        while left > 0 {
            let (leaf, offset) = self.tree.find(start as u64);
            let offset = offset as usize;
            let here = left.min(self.tree.leaf(leaf).len() - offset);
            for at in offset..offset + here {
                let key = self.tree.leaf(leaf).key(at);
                show(key.member, key.score);
            }
            self.remove_at(leaf, offset, here);
            left -= here;
        }
    }

    /// How many elements have a lower score, or one that is not higher.
    pub fn rank_of_score(&self, score: f64, or_equal: bool) -> usize {
        let leaf = self.tree.descend(|bound| if or_equal { bound.score <= score } else { bound.score < score });
        self.tree.rank(leaf) as usize + self.tree.leaf(leaf).partition_score(score, or_equal)
    }

    /// How many elements' members are before this one, or not behind it, all scores being equal.
    pub fn rank_of_lex(&self, member: &[u8], or_equal: bool) -> usize {
        let is_before = |one: &[u8]| if or_equal { one <= member } else { one < member };
        let leaf = self.tree.descend(|bound| is_before(&bound.member));
        self.tree.rank(leaf) as usize + self.tree.leaf(leaf).partition(|key| is_before(key.member))
    }

    /// Visits elements from a rank on, upwards or downwards, until `visit` says false.
    pub fn walk(&self, from: usize, reverse: bool, visit: &mut dyn FnMut(&[u8], f64) -> bool) {
        if from >= self.len() {
            return;
        }
        let (mut leaf, offset) = self.tree.find(from as u64);
        let mut offset = offset as usize;
        loop {
            let body = self.tree.leaf(leaf);
            let mut show = |index| {
                let key = body.key(index);
                visit(key.member, key.score)
            };
            let goes_on = if reverse { (0..=offset).rev().all(&mut show) } else { (offset..body.len()).all(&mut show) };
            let next = if reverse { self.tree.prev(leaf) } else { self.tree.next(leaf) };
            let (true, Some(next)) = (goes_on, next) else { return };
            leaf = next;
            offset = if reverse { self.tree.leaf(leaf).len() - 1 } else { 0 };
        }
    }

    /// Visits `count` elements or some more by hash; the next cursor, 0 at the end. A cursor is the first hash to visit.
    pub fn scan(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(&[u8], f64)) -> u64 {
        let Ok(from) = u32::try_from(cursor) else { return 0 };
        let count = count.max(1);
        let (mut visited, mut last) = (0, None);
        let next = self.index.walk(from, &mut |hash, leaf| {
            if visited >= count && last != Some((hash, leaf)) && last.is_some_and(|(before, _)| before != hash) {
                return false;
            }
            // Members of one hash in one leaf have equal entries, one behind the other: the first shows them all.
            if last != Some((hash, leaf)) {
                let body = self.tree.leaf(leaf);
                for index in (0..body.len()).filter(|&index| body.hash(index) == hash) {
                    let key = body.key(index);
                    visit(key.member, key.score);
                    visited += 1;
                }
            }
            last = Some((hash, leaf));
            true
        });
        next.map_or(0, u64::from)
    }

    /// Frees some of it; true while there is more.
    pub fn free_some(&mut self, budget: usize) -> bool {
        let mut freed = 0;
        while freed < budget {
            match self.tree.pop_any() {
                Some(leaf) => freed += leaf.len() + 1,
                None => return self.index.free_some(budget),
            }
        }
        true
    }

    #[cfg(test)]
    pub fn leaf_bytes_are_right(&self) -> bool {
        self.leaf_bytes == self.tree.bodies().map(Leaf::memory).sum::<usize>()
    }
}

//! Some of a sorted set's elements, in order.
//!
//! ```text
//!  scores   f64  f64  f64 …
//!  hashes   u32  u32  u32 …       of the members, to find one without comparing all
//!  ends     u32  u32  u32 …       where each member ends in the heap
//!  heap     member│member│member│…
//! ```
//!
//! Elements are ordered by score, then by the member's bytes.

use std::cmp::Ordering;

use crate::memory::{reserve_class, shrink_class, vec_bytes};

/// A leaf with more elements is split.
pub const ELEMENTS_MAX: usize = 128;
/// So is one with more bytes of members, unless it has only one.
pub const HEAP_MAX: usize = 16 << 10;

/// The place of an element in the order.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub score: f64,
    pub member: &'a [u8],
}

impl Key<'_> {
    pub fn cmp(&self, other: &Key<'_>) -> Ordering {
        self.score.partial_cmp(&other.score).expect("no score is NaN").then_with(|| self.member.cmp(other.member))
    }
}

#[derive(Clone, Default)]
pub struct Leaf {
    scores: Vec<f64>,
    hashes: Vec<u32>,
    ends: Vec<u32>,
    heap: Vec<u8>,
}

impl Leaf {
    #[inline]
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    pub fn memory(&self) -> usize {
        vec_bytes(&self.scores) + vec_bytes(&self.hashes) + vec_bytes(&self.ends) + vec_bytes(&self.heap)
    }

    pub fn is_full(&self) -> bool {
        self.len() > ELEMENTS_MAX || (self.heap.len() > HEAP_MAX && self.len() > 1)
    }

    /// Whether both would make a leaf that is not nearly full.
    pub fn can_take(&self, other: &Leaf) -> bool {
        self.len() + other.len() <= ELEMENTS_MAX / 4 * 3 && self.heap.len() + other.heap.len() <= HEAP_MAX / 4 * 3
    }

    #[inline]
    fn start(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.ends[index - 1] as usize }
    }

    #[inline]
    pub fn key(&self, index: usize) -> Key<'_> {
        let member = &self.heap[self.start(index)..self.ends[index] as usize];
        Key { score: self.scores[index], member }
    }

    pub fn hash(&self, index: usize) -> u32 {
        self.hashes[index]
    }

    pub fn hashes(&self) -> &[u32] {
        &self.hashes
    }

    /// The number of the element with that member.
    #[inline]
    pub fn find(&self, hash: u32, member: &[u8]) -> Option<usize> {
        let same = self.hashes.iter().enumerate().filter(|(_, one)| **one == hash);
        same.map(|(index, _)| index).find(|&index| self.key(index).member == member)
    }

    /// The number of elements for which `is_before` holds, which must be the first ones.
    pub fn partition(&self, is_before: impl Fn(Key<'_>) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            if is_before(self.key(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// How many scores are below this one, or not above it.
    pub fn partition_score(&self, score: f64, or_equal: bool) -> usize {
        self.scores.partition_point(|one| if or_equal { *one <= score } else { *one < score })
    }

    /// Puts an element in its place and says which number it has.
    pub fn insert(&mut self, key: Key<'_>, hash: u32) -> usize {
        let index = self.partition(|one| one.cmp(&key) == Ordering::Less);
        let at = self.start(index);
        let len = key.member.len();
        reserve_class(&mut self.scores, 1);
        reserve_class(&mut self.hashes, 1);
        reserve_class(&mut self.ends, 1);
        reserve_class(&mut self.heap, len);
        self.scores.insert(index, key.score);
        self.hashes.insert(index, hash);
        self.ends.insert(index, at as u32);
        self.ends[index..].iter_mut().for_each(|end| *end += len as u32);
        let old_len = self.heap.len();
        self.heap.resize(old_len + len, 0);
        self.heap.copy_within(at..old_len, at + len);
        self.heap[at..at + len].copy_from_slice(key.member);
        index
    }

    /// Gives an element another score if it keeps its place by that; false if not.
    pub fn rescore(&mut self, index: usize, score: f64) -> bool {
        let key = Key { score, member: self.key(index).member };
        let above_previous = index > 0 && self.key(index - 1).cmp(&key) == Ordering::Less;
        let below_next = index + 1 < self.len() && key.cmp(&self.key(index + 1)) == Ordering::Less;
        let stays = above_previous && below_next;
        if stays {
            self.scores[index] = score;
        }
        stays
    }

    /// Takes out elements.
    pub fn remove(&mut self, index: usize, count: usize) {
        let (from, to) = (self.start(index), self.start(index + count));
        self.scores.drain(index..index + count);
        self.hashes.drain(index..index + count);
        self.ends.drain(index..index + count);
        self.ends[index..].iter_mut().for_each(|end| *end -= (to - from) as u32);
        self.heap.drain(from..to);
        shrink_class(&mut self.scores);
        shrink_class(&mut self.hashes);
        shrink_class(&mut self.ends);
        shrink_class(&mut self.heap);
    }

    /// Cuts it in two before the element of that number; gives the second part.
    pub fn split_off(&mut self, index: usize) -> Leaf {
        let at = self.start(index);
        let other = Leaf {
            scores: self.scores[index..].to_vec(),
            hashes: self.hashes[index..].to_vec(),
            ends: self.ends[index..].iter().map(|end| end - at as u32).collect(),
            heap: self.heap[at..].to_vec(),
        };
        self.scores.truncate(index);
        self.hashes.truncate(index);
        self.ends.truncate(index);
        self.heap.truncate(at);
        self.shrink();
        other
    }

    /// Gives back what is reserved.
    fn shrink(&mut self) {
        self.scores.shrink_to_fit();
        self.hashes.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.heap.shrink_to_fit();
    }

    /// Where to cut a full leaf: half of the elements, or of the bytes when few members are long.
    pub fn middle(&self) -> usize {
        if self.len() > ELEMENTS_MAX {
            return self.len() / 2;
        }
        let half = self.heap.len() as u32 / 2;
        self.ends.partition_point(|end| *end <= half).clamp(1, self.len() - 1)
    }

    /// Appends all elements of a leaf behind this one.
    pub fn append(&mut self, other: &Leaf) {
        let at = self.heap.len() as u32;
        reserve_class(&mut self.scores, other.len());
        reserve_class(&mut self.hashes, other.len());
        reserve_class(&mut self.ends, other.len());
        reserve_class(&mut self.heap, other.heap.len());
        self.scores.extend_from_slice(&other.scores);
        self.hashes.extend_from_slice(&other.hashes);
        self.ends.extend(other.ends.iter().map(|end| end + at));
        self.heap.extend_from_slice(&other.heap);
    }
}

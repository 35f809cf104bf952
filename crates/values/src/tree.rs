//! A tree over leaves that counts: finds the leaf of a position, the position of a leaf, and the leaf for a bound.
//!
//! It knows nothing of what a leaf holds but how many elements that are; lists and sorted sets put their own leaves into it
//! and split and merge them. Leaves are linked to their neighbours.
//!
//! ```text
//!  inner   parent │ for each of up to 64 children: number, elements below it, bound below which nothing is in it
//!  leaf    parent, neighbours │ body
//! ```
//!
//! The bound of an inner node's first child is never looked at: the node was only reached by the bound that its own parent
//! keeps for it.

use crate::memory::{block_bytes, vec_bytes};
use crate::slab::Slab;

const NONE: u32 = u32::MAX;
const CHILDREN_MAX: usize = 64;

#[derive(Clone)]
struct Leaf<L> {
    parent: u32,
    prev: u32,
    next: u32,
    body: L,
}

#[derive(Clone)]
struct Inner<B> {
    parent: u32,
    /// Whether the children are leaves.
    lowest: bool,
    children: Vec<u32>,
    counts: Vec<u64>,
    bounds: Vec<B>,
}

/// A tree of leaves `L` with bounds `B`. There is always at least one leaf.
#[derive(Clone)]
pub struct Tree<L, B> {
    leaves: Slab<Leaf<L>>,
    inners: Slab<Inner<B>>,
    /// A leaf if there are no inner nodes.
    root: u32,
    height: u32,
    first: u32,
    last: u32,
    leaf_count: usize,
    len: u64,
}

impl<L, B: Clone> Tree<L, B> {
    /// A tree of one leaf without elements.
    pub fn new(body: L) -> Tree<L, B> {
        let mut leaves = Slab::default();
        let root = leaves.insert(Leaf { parent: NONE, prev: NONE, next: NONE, body });
        Tree { leaves, inners: Slab::default(), root, height: 0, first: root, last: root, leaf_count: 1, len: 0 }
    }

    /// Number of elements in all leaves.
    #[inline]
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn leaf_count(&self) -> usize {
        self.leaf_count
    }

    #[inline]
    pub fn first(&self) -> u32 {
        self.first
    }

    #[inline]
    pub fn last(&self) -> u32 {
        self.last
    }

    pub fn next(&self, leaf: u32) -> Option<u32> {
        Some(self.leaves.get(leaf).next).filter(|id| *id != NONE)
    }

    pub fn prev(&self, leaf: u32) -> Option<u32> {
        Some(self.leaves.get(leaf).prev).filter(|id| *id != NONE)
    }

    #[inline]
    pub fn leaf(&self, leaf: u32) -> &L {
        &self.leaves.get(leaf).body
    }

    #[inline]
    pub fn leaf_mut(&mut self, leaf: u32) -> &mut L {
        &mut self.leaves.get_mut(leaf).body
    }

    /// Bytes owned, but for what the bodies own.
    pub fn memory(&self) -> usize {
        let inner = |node: &Inner<B>| {
            vec_bytes(&node.children) + vec_bytes(&node.counts) + block_bytes(node.bounds.capacity() * size_of::<B>())
        };
        self.leaves.memory() + self.inners.memory() + self.inners.iter().map(inner).sum::<usize>()
    }

    /// What the bounds of all inner nodes own, by `of`.
    pub fn bounds_memory(&self, of: impl Fn(&B) -> usize) -> usize {
        self.inners.iter().flat_map(|node| &node.bounds).map(of).sum()
    }

    /// Which child of its parent a node is.
    #[inline]
    fn index_in(&self, parent: u32, child: u32) -> usize {
        self.inners.get(parent).children.iter().position(|id| *id == child).expect("a child of its parent")
    }

    /// Notes that a leaf has so many elements more, or fewer.
    #[inline]
    pub fn add(&mut self, leaf: u32, change: i64) {
        self.len = self.len.wrapping_add_signed(change);
        let mut child = leaf;
        let mut parent = self.leaves.get(leaf).parent;
        while parent != NONE {
            let index = self.index_in(parent, child);
            let node = self.inners.get_mut(parent);
            node.counts[index] = node.counts[index].wrapping_add_signed(change);
            child = parent;
            parent = node.parent;
        }
    }

    /// The leaf of the element at `position` and its number there. Behind the last element: the last leaf.
    pub fn find(&self, position: u64) -> (u32, u64) {
        let (mut node, mut rest) = (self.root, position);
        for _ in 0..self.height {
            let inner = self.inners.get(node);
            let mut index = 0;
            while index + 1 < inner.counts.len() && rest >= inner.counts[index] {
                rest -= inner.counts[index];
                index += 1;
            }
            node = inner.children[index];
        }
        (node, rest)
    }

    /// Number of elements before those of the leaf.
    pub fn rank(&self, leaf: u32) -> u64 {
        let mut rank = 0;
        let mut child = leaf;
        let mut parent = self.leaves.get(leaf).parent;
        while parent != NONE {
            let index = self.index_in(parent, child);
            let node = self.inners.get(parent);
            rank += node.counts[..index].iter().sum::<u64>();
            child = parent;
            parent = node.parent;
        }
        rank
    }

    /// The last leaf whose bound `is_below` holds for; the first leaf if it holds for none. It must hold for all bounds up to
    /// some leaf, and for none behind.
    pub fn descend(&self, is_below: impl Fn(&B) -> bool) -> u32 {
        let mut node = self.root;
        for _ in 0..self.height {
            let inner = self.inners.get(node);
            node = inner.children[inner.bounds[1..].partition_point(&is_below)];
        }
        node
    }

    /// Puts a new leaf with `count` elements right behind another, or before it.
    pub fn insert(&mut self, beside: u32, behind: bool, body: L, count: u64, bound: B) -> u32 {
        let old = self.leaves.get(beside);
        let (prev, next) = if behind { (beside, old.next) } else { (old.prev, beside) };
        let parent = old.parent;
        let new = self.leaves.insert(Leaf { parent, prev, next, body });
        match prev {
            NONE => self.first = new,
            prev => self.leaves.get_mut(prev).next = new,
        }
        match next {
            NONE => self.last = new,
            next => self.leaves.get_mut(next).prev = new,
        }
        self.leaf_count += 1;
        if parent == NONE {
            self.grow_root(beside, bound.clone());
        }
        let parent = self.leaves.get(beside).parent;
        self.leaves.get_mut(new).parent = parent;
        let index = self.index_in(parent, beside) + usize::from(behind);
        self.insert_child(parent, index, new, 0, bound);
        self.add(new, count as i64);
        new
    }

    /// Puts an inner node with one child above the root.
    fn grow_root(&mut self, child: u32, bound: B) {
        let lowest = self.height == 0;
        let root = Inner { parent: NONE, lowest, children: vec![child], counts: vec![self.len], bounds: vec![bound] };
        self.root = self.inners.insert(root);
        self.height += 1;
        self.set_parent(lowest, child, self.root);
    }

    fn set_parent(&mut self, is_leaf: bool, child: u32, parent: u32) {
        if is_leaf {
            self.leaves.get_mut(child).parent = parent;
        } else {
            self.inners.get_mut(child).parent = parent;
        }
    }

    fn insert_child(&mut self, parent: u32, index: usize, child: u32, count: u64, bound: B) {
        let node = self.inners.get_mut(parent);
        node.children.insert(index, child);
        node.counts.insert(index, count);
        node.bounds.insert(index, bound);
        if node.children.len() > CHILDREN_MAX {
            self.split(parent);
        }
    }

    fn split(&mut self, id: u32) {
        if self.inners.get(id).parent == NONE {
            let bound = self.inners.get(id).bounds[0].clone();
            self.grow_root(id, bound);
        }
        let node = self.inners.get_mut(id);
        let at = CHILDREN_MAX / 2;
        let (children, counts, bounds) =
            (node.children.split_off(at), node.counts.split_off(at), node.bounds.split_off(at));
        let (parent, lowest) = (node.parent, node.lowest);
        let (count, bound) = (counts.iter().sum(), bounds[0].clone());
        let moved = children.clone();
        let new = self.inners.insert(Inner { parent, lowest, children, counts, bounds });
        for child in moved {
            self.set_parent(lowest, child, new);
        }
        let index = self.index_in(parent, id);
        self.inners.get_mut(parent).counts[index] -= count;
        self.insert_child(parent, index + 1, new, count, bound);
    }

    /// Takes out a leaf that has no elements any more, unless it is the only one.
    pub fn remove(&mut self, leaf: u32) -> Option<L> {
        if self.leaf_count == 1 {
            return None;
        }
        let Leaf { parent, prev, next, body } = self.leaves.remove(leaf);
        match prev {
            NONE => self.first = next,
            prev => self.leaves.get_mut(prev).next = next,
        }
        match next {
            NONE => self.last = prev,
            next => self.leaves.get_mut(next).prev = prev,
        }
        self.leaf_count -= 1;
        self.remove_child(parent, leaf);
        Some(body)
    }

    fn remove_child(&mut self, parent: u32, child: u32) {
        let index = self.index_in(parent, child);
        let node = self.inners.get_mut(parent);
        node.children.remove(index);
        node.counts.remove(index);
        node.bounds.remove(index);
        let (left, above) = (node.children.len(), node.parent);
        if left == 0 {
            self.inners.remove(parent);
            self.remove_child(above, parent);
        } else if above == NONE {
            self.lower_root();
        } else if left < CHILDREN_MAX / 4 {
            self.merge(above, parent);
        }
    }

    /// Takes away roots of one child.
    fn lower_root(&mut self) {
        while self.height > 0 && self.inners.get(self.root).children.len() == 1 {
            let Inner { children, lowest, .. } = self.inners.remove(self.root);
            self.root = children[0];
            self.height -= 1;
            self.set_parent(lowest, self.root, NONE);
        }
    }

    /// Puts the children of a thin node and of a neighbour under one, if they are few.
    fn merge(&mut self, parent: u32, id: u32) {
        let index = self.index_in(parent, id);
        let siblings = &self.inners.get(parent).children;
        let Some(left_index) = (if index > 0 { Some(index - 1) } else { (siblings.len() > 1).then_some(0) }) else {
            return;
        };
        let (left, right) = (siblings[left_index], siblings[left_index + 1]);
        if self.inners.get(left).children.len() + self.inners.get(right).children.len() > CHILDREN_MAX / 2 {
            return;
        }
        let node = self.inners.get_mut(parent);
        let bound = node.bounds[left_index + 1].clone();
        let count = std::mem::take(&mut node.counts[left_index + 1]);
        node.counts[left_index] += count;
        let taken = self.inners.get_mut(right);
        let children = std::mem::take(&mut taken.children);
        let counts = std::mem::take(&mut taken.counts);
        let mut bounds = std::mem::take(&mut taken.bounds);
        bounds[0] = bound;
        let lowest = taken.lowest;
        for &child in &children {
            self.set_parent(lowest, child, left);
        }
        let kept = self.inners.get_mut(left);
        kept.children.extend(children);
        kept.counts.extend(counts);
        kept.bounds.extend(bounds);
        self.inners.remove(right);
        self.remove_child(parent, right);
    }

    /// Takes any leaf apart from the tree, which is of no use afterwards; `None` when none is left.
    pub fn pop_any(&mut self) -> Option<L> {
        if let Some(leaf) = self.leaves.pop() {
            return Some(leaf.body);
        }
        self.inners = Slab::default();
        None
    }

    /// All bodies in no order.
    pub fn bodies(&self) -> impl Iterator<Item = &L> {
        self.leaves.iter().map(|leaf| &leaf.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Numbers = Tree<Vec<u32>, u32>;

    /// Everything that must hold of a tree's nodes; gives the leaves in order.
    fn check(tree: &Numbers) -> Vec<u32> {
        let mut leaves = Vec::new();
        let sum = walk(tree, tree.root, tree.height, NONE, &mut leaves);
        assert_eq!(sum, tree.len);
        let mut linked = vec![tree.first];
        while let Some(next) = tree.next(linked[linked.len() - 1]) {
            assert_eq!(tree.prev(next), linked.last().copied());
            linked.push(next);
        }
        assert_eq!(linked, leaves);
        assert_eq!((tree.last, tree.leaf_count), (leaves[leaves.len() - 1], leaves.len()));
        leaves
    }

    fn walk(tree: &Numbers, node: u32, height: u32, parent: u32, leaves: &mut Vec<u32>) -> u64 {
        if height == 0 {
            assert_eq!(tree.leaves.get(node).parent, parent);
            leaves.push(node);
            return tree.leaf(node).len() as u64;
        }
        let inner = tree.inners.get(node);
        assert_eq!((inner.parent, inner.lowest), (parent, height == 1));
        assert!(!inner.children.is_empty() && inner.children.len() <= CHILDREN_MAX);
        assert_eq!(inner.children.len(), inner.bounds.len());
        for (child, count) in inner.children.iter().zip(&inner.counts) {
            assert_eq!(walk(tree, *child, height - 1, node, leaves), *count);
        }
        inner.counts.iter().sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]

        /// Ascending numbers in leaves of up to four, put in and taken out at random.
        #[test]
        fn counts_and_bounds_hold(values in proptest::collection::vec(0u32..20_000, 1..3000), at_end: bool) {
            let mut tree = Numbers::new(Vec::new());
            let mut model: Vec<u32> = Vec::new();
            let put = |tree: &mut Numbers, value: u32| {
                let leaf = tree.descend(|bound| *bound <= value);
                let body = tree.leaf_mut(leaf);
                let at = body.partition_point(|one| *one < value);
                body.insert(at, value);
                if body.len() > 4 {
                    let upper = body.split_off(2);
                    let (count, bound) = (upper.len(), upper[0]);
                    tree.add(leaf, 1 - count as i64);
                    tree.insert(leaf, true, upper, count as u64, bound);
                } else {
                    tree.add(leaf, 1);
                }
            };
            let mut values = values;
            if at_end {
                values.sort_unstable();
            }
            for &value in &values {
                if let Err(at) = model.binary_search(&value) {
                    model.insert(at, value);
                    put(&mut tree, value);
                }
            }
            let leaves = check(&tree);
            let in_order: Vec<u32> = leaves.iter().flat_map(|leaf| tree.leaf(*leaf).clone()).collect();
            prop_assert_eq!(&in_order, &model);
            for (position, value) in model.iter().enumerate() {
                let (leaf, offset) = tree.find(position as u64);
                prop_assert_eq!(tree.leaf(leaf)[offset as usize], *value);
                prop_assert_eq!(tree.rank(leaf) + offset, position as u64);
                prop_assert_eq!(tree.descend(|bound| *bound <= *value), leaf);
            }
            for (round, value) in values.iter().enumerate() {
                if model.len() <= 1 {
                    break;
                }
                if let Ok(at) = model.binary_search(value) {
                    model.remove(at);
                    let leaf = tree.descend(|bound| *bound <= *value);
                    tree.leaf_mut(leaf).retain(|one| one != value);
                    tree.add(leaf, -1);
                    if tree.leaf(leaf).is_empty() {
                        tree.remove(leaf);
                    }
                    if round.is_multiple_of(100) {
                        check(&tree);
                    }
                }
            }
            check(&tree);
            prop_assert!(tree.height < 2);
            while tree.pop_any().is_some() {}
        }
    }
}

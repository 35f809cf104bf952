//! What takes long on a long list, in parts: looking for elements (LPOS, LINSERT), taking out those equal to one (LREM), and
//! taking out a range (LTRIM).
//!
//! A part is some whole nodes, one at least, as many as a budget allows: bytes of elements, uncompressed, on which there is
//! about as much work as looking at them. All parts together leave the same nodes as doing it at once, which is one part without
//! a limit. Between two of them nothing else may change the list. A packed list is one part.

use super::{List, ListLimits, NO_LEAF, Node, Nodes};
use crate::item::Item;
use crate::packed::coding::encode;

/// What a node costs beside its bytes.
const NODE_COST: usize = 256;
/// What is done with an element that was found costs as much as looking at so many bytes.
const FOUND_COST: usize = 32;
/// A node from which elements were taken is put together and compressed again: it costs so many times its bytes.
const REBUILT_TIMES: usize = 4;

/// How far a walk over a list in parts has come.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    from_back: bool,
    passed: usize,
}

impl Cursor {
    /// At the front of a list, or at its back.
    pub fn new(from_back: bool) -> Cursor {
        Cursor { from_back, passed: 0 }
    }

    /// Elements that it has passed and that are still there.
    pub fn passed(&self) -> usize {
        self.passed
    }
}

impl List {
    /// Looks at the next part for elements equal to this. `visit` is told how many elements come before each in the order of
    /// the walk; it ends the walk by saying false. True: there is more to look at.
    pub fn find_some(
        &self,
        element: &[u8],
        cursor: &mut Cursor,
        budget: usize,
        visit: &mut dyn FnMut(usize) -> bool,
    ) -> bool {
        let item = Item::of(element);
        match self {
            List::Packed(packed) => {
                let len = packed.len();
                let is_equal = packed.seq().iter().enumerate().filter(|(_, one)| *one == item);
                let places: Vec<usize> = is_equal.map(|(place, _)| place).collect();
                visit_places(&places, len, cursor, visit);
                false
            }
            List::Nodes(nodes) => nodes.find_some(item, cursor, budget, visit),
        }
    }

    /// Takes out elements of the next part that are equal to this, at most so many. Gives how many, and whether more may follow.
    pub fn remove_equal_some(
        &mut self,
        element: &[u8],
        at_most: usize,
        cursor: &mut Cursor,
        budget: usize,
        limits: &ListLimits,
    ) -> (usize, bool) {
        match self {
            List::Packed(_) => (self.remove_equal(element, at_most, cursor.from_back, limits), false),
            List::Nodes(nodes) => nodes.remove_equal_some(Item::of(element), at_most, cursor, budget, limits),
        }
    }

    /// Takes out the next part of `count` elements from `start` on, or of all there are; gives how many are still to go.
    pub fn remove_range_some(&mut self, start: usize, count: usize, budget: usize, limits: &ListLimits) -> usize {
        let count = count.min(self.len().saturating_sub(start));
        match self {
            List::Nodes(nodes) if count > 0 => nodes.remove_range_some(start, count, budget, limits),
            _ => {
                self.remove_range(start, count, limits);
                0
            }
        }
    }
}

/// Shows places in one node, of `len` elements, and passes it; false when `visit` has said so.
fn visit_places(places: &[usize], len: usize, cursor: &mut Cursor, visit: &mut dyn FnMut(usize) -> bool) -> bool {
    let before = cursor.passed;
    cursor.passed += len;
    if cursor.from_back {
        places.iter().rev().all(|place| visit(before + len - 1 - place))
    } else {
        places.iter().all(|place| visit(before + place))
    }
}

impl Nodes {
    /// The node at which a walk goes on; `None` behind the last one.
    fn node_at(&self, cursor: &Cursor) -> Option<u32> {
        let left = (self.tree.len() as usize).checked_sub(cursor.passed + 1)?;
        Some(self.tree.find(if cursor.from_back { left } else { cursor.passed } as u64).0)
    }

    fn find_some(
        &self,
        item: Item<'_>,
        cursor: &mut Cursor,
        budget: usize,
        visit: &mut dyn FnMut(usize) -> bool,
    ) -> bool {
        let mut needle = Vec::new();
        encode(item, &mut needle);
        let mut spent = 0;
        while let Some(leaf) = self.node_at(cursor) {
            if spent >= budget {
                return true;
            }
            let node = self.tree.leaf(leaf);
            let places = node.places_of(&needle);
            if !visit_places(&places, node.len(), cursor, visit) {
                return false;
            }
            spent += NODE_COST + node.raw_len() + places.len() * FOUND_COST;
        }
        false
    }

    /// As [`List::remove_equal_some`].
    pub(super) fn remove_equal_some(
        &mut self,
        item: Item<'_>,
        at_most: usize,
        cursor: &mut Cursor,
        budget: usize,
        limits: &ListLimits,
    ) -> (usize, bool) {
        let mut needle = Vec::new();
        encode(item, &mut needle);
        let (mut removed, mut spent) = (0, 0);
        while let Some(leaf) = self.node_at(cursor).filter(|_| removed < at_most) {
            if spent >= budget {
                return (removed, true);
            }
            let bytes = self.tree.leaf(leaf).raw_len();
            let here = self.change(leaf, |node| node.remove_equal(&needle, at_most - removed, cursor.from_back));
            removed += here;
            cursor.passed += self.tree.leaf(leaf).len();
            spent += NODE_COST + if here > 0 { REBUILT_TIMES * bytes } else { bytes };
            if here > 0 {
                self.thinned(leaf, limits);
            }
        }
        self.shrinks(limits);
        (removed, false)
    }

    /// Sees to a node that was put together without some of its elements. It is not merged with a neighbour, which may be the
    /// one that comes next.
    fn thinned(&mut self, leaf: u32, limits: &ListLimits) {
        if self.marks_of == leaf {
            self.marks_of = NO_LEAF;
        }
        self.settle(leaf, limits);
        if self.tree.leaf(leaf).len() == 0 {
            self.remove_node(leaf);
        }
    }

    /// As [`List::remove_range_some`]; there are so many elements.
    pub(super) fn remove_range_some(
        &mut self,
        start: usize,
        count: usize,
        budget: usize,
        limits: &ListLimits,
    ) -> usize {
        let (mut left, mut spent) = (count, 0);
        while left > 0 {
            if spent >= budget {
                return left;
            }
            let (leaf, offset) = self.tree.find(start as u64);
            let len = self.tree.leaf(leaf).len();
            let here = left.min(len - offset as usize);
            left -= here;
            spent += NODE_COST + self.tree.leaf(leaf).raw_len();
            if here == len {
                self.tree.add(leaf, -(len as i64));
                self.node_bytes -= self.tree.leaf(leaf).memory();
                *self.tree.leaf_mut(leaf) = Node::default();
                self.remove_node(leaf);
            } else {
                self.touch(leaf, limits);
                self.change(leaf, |node| node.splice(offset as usize, here, &[]));
                if left == 0 {
                    self.tidy(leaf, limits);
                }
            }
        }
        self.shrinks(limits);
        0
    }
}

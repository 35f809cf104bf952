//! Lists: a short one is a packed sequence, a longer one a tree of nodes that hold some kilobytes of elements each.
//!
//! The first and the last node are open, so pushing and popping are changes at the end of a byte string; nodes between are
//! closed (see `node`). An element's place is found by the tree's counts, then by walking its node.
//!
//! ```text
//!  tree     first ◀──▶ node ◀──▶ node ◀──▶ … ◀──▶ last
//!           open       closed    closed           open, and `marks` knows where its elements begin
//! ```
//!
//! Elements are not linked backwards. Walking or popping from the end first notes where the elements of a node begin.

mod node;
mod partial;

use crate::item::Item;
use crate::memory::{block_bytes, vec_bytes};
use crate::packed::Packed;
use crate::packed::coding::{decode, encoded_len, listpack_len};
use crate::tree::Tree;
pub use node::NodeLimit;
use node::{Node, marks};
pub use partial::Cursor;

/// Longer lists are trees.
const PACKED_BYTES_MAX: usize = 256;
/// How many nodes between the ends may stay open after a change.
const WARM_MAX: usize = 8;
const NO_LEAF: u32 = u32::MAX;

/// How a list is kept.
#[derive(Clone, Copy, Debug)]
pub struct ListLimits {
    /// `list-max-listpack-size`
    pub node: NodeLimit,
    /// Whether closed nodes are compressed.
    pub compress: bool,
}

impl Default for ListLimits {
    fn default() -> ListLimits {
        ListLimits { node: NodeLimit::of(-2), compress: true }
    }
}

/// A list.
#[derive(Clone)]
pub enum List {
    Packed(Packed),
    Nodes(Box<Nodes>),
}

/// The long form.
pub struct Nodes {
    tree: Tree<Node, ()>,
    /// Where each element of the last node begins, if this is its number.
    marks: Vec<u32>,
    marks_of: u32,
    /// Open nodes between the ends, the longest open first.
    warm: Vec<u32>,
    /// Bytes of all nodes' blocks.
    node_bytes: usize,
    /// Whether it has been longer than one of Redis's listpacks may be.
    is_long: bool,
    /// How much longer Redis's listpack could surely get, in bytes, when it may get so long.
    room: (usize, usize),
}

impl Default for List {
    fn default() -> List {
        List::Packed(Packed::new())
    }
}

impl Clone for Nodes {
    fn clone(&self) -> Nodes {
        let tree = self.tree.clone();
        // A copy has no room ahead.
        let node_bytes = tree.bodies().map(Node::memory).sum();
        let (marks, warm) = (self.marks.clone(), self.warm.clone());
        Nodes { tree, marks, warm, node_bytes, ..*self }
    }
}

impl List {
    pub fn new() -> List {
        List::default()
    }

    #[inline]
    pub fn len(&self) -> usize {
        match self {
            List::Packed(packed) => packed.len(),
            List::Nodes(nodes) => nodes.tree.len() as usize,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What OBJECT ENCODING answers from Redis 7.2 on; before, every list is a "quicklist".
    pub fn encoding(&self) -> &'static str {
        match self {
            List::Nodes(nodes) if nodes.is_long => "quicklist",
            _ => "listpack",
        }
    }

    /// Bytes owned, beside this value itself.
    pub fn memory(&self) -> usize {
        match self {
            List::Packed(packed) => packed.memory(),
            List::Nodes(nodes) => {
                let lists = vec_bytes(&nodes.marks) + vec_bytes(&nodes.warm);
                block_bytes(size_of::<Nodes>()) + nodes.tree.memory() + nodes.node_bytes + lists
            }
        }
    }

    pub fn push_back(&mut self, element: &[u8], limits: &ListLimits) {
        let item = Item::of(element);
        match self.packed_with_room(item, limits) {
            Some(packed) => packed.push(item),
            None => self.nodes().push(item, true, limits),
        }
    }

    pub fn push_front(&mut self, element: &[u8], limits: &ListLimits) {
        let item = Item::of(element);
        match self.packed_with_room(item, limits) {
            Some(packed) => packed.insert(packed.seq().first(), &[item]),
            None => self.nodes().push(item, false, limits),
        }
    }

    /// The packed form, if it has room for that element.
    fn packed_with_room(&mut self, item: Item<'_>, limits: &ListLimits) -> Option<&mut Packed> {
        match self {
            List::Packed(packed)
                if packed.as_bytes().len() + encoded_len(item) <= PACKED_BYTES_MAX
                    && packed.len() < limits.node.count =>
            {
                Some(packed)
            }
            _ => None,
        }
    }

    /// Makes it the long form, if it is not.
    fn nodes(&mut self) -> &mut Nodes {
        if let List::Packed(packed) = self {
            let mut node = Node::default();
            packed.seq().iter().for_each(|item| node.push_back(item));
            let (count, node_bytes) = (node.len(), node.memory());
            let mut tree = Tree::new(node);
            tree.add(tree.first(), count as i64);
            let (marks, warm) = (Vec::new(), Vec::new());
            *self = List::Nodes(Box::new(Nodes {
                tree,
                marks,
                marks_of: NO_LEAF,
                warm,
                node_bytes,
                is_long: false,
                room: (0, 0),
            }));
        }
        match self {
            List::Nodes(nodes) => nodes,
            List::Packed(_) => unreachable!("it was just made the long form"),
        }
    }

    /// Takes off the first element after showing it; false when there is none.
    pub fn pop_front(&mut self, limits: &ListLimits, show: &mut dyn FnMut(Item<'_>)) -> bool {
        self.pop(false, limits, show)
    }

    /// Takes off the last element after showing it; false when there is none.
    pub fn pop_back(&mut self, limits: &ListLimits, show: &mut dyn FnMut(Item<'_>)) -> bool {
        self.pop(true, limits, show)
    }

    fn pop(&mut self, back: bool, limits: &ListLimits, show: &mut dyn FnMut(Item<'_>)) -> bool {
        if self.is_empty() {
            return false;
        }
        match self {
            List::Packed(packed) => {
                let place = packed.seq().place_of(if back { packed.len() - 1 } else { 0 });
                show(packed.seq().at(place).0);
                packed.remove(place, 1);
            }
            List::Nodes(nodes) => nodes.pop(back, limits, show),
        }
        true
    }

    /// Shows the element at that index; false when there is none.
    pub fn get(&self, index: usize, show: &mut dyn FnMut(Item<'_>)) -> bool {
        let is_there = index < self.len();
        if is_there {
            self.walk(index, false, &mut |item| {
                show(item);
                false
            });
        }
        is_there
    }

    /// Overwrites the element at that index; false when there is none.
    pub fn set(&mut self, index: usize, element: &[u8], limits: &ListLimits) -> bool {
        if index >= self.len() {
            return false;
        }
        self.splice(index, 1, Some(Item::of(element)), limits);
        true
    }

    /// Puts an element before the one at that index, which may be the length.
    pub fn insert(&mut self, index: usize, element: &[u8], limits: &ListLimits) {
        if index >= self.len() {
            self.push_back(element, limits);
        } else {
            self.splice(index, 0, Some(Item::of(element)), limits);
        }
    }

    /// Puts `item` in the place of up to one element at an index below the length.
    fn splice(&mut self, index: usize, removed: usize, item: Option<Item<'_>>, limits: &ListLimits) {
        let more = item.map_or(0, encoded_len);
        match self {
            List::Packed(packed)
                if packed.as_bytes().len() + more <= PACKED_BYTES_MAX && packed.len() - removed < limits.node.count =>
            {
                packed.splice(packed.seq().place_of(index), removed, item.as_slice());
            }
            _ => self.nodes().splice(index, removed, item, limits),
        }
    }

    /// Takes out `count` elements from `start` on, or all there are (LTRIM).
    pub fn remove_range(&mut self, start: usize, count: usize, limits: &ListLimits) {
        let count = count.min(self.len().saturating_sub(start));
        match self {
            _ if count == 0 => {}
            List::Packed(packed) => packed.remove(packed.seq().place_of(start), count),
            List::Nodes(nodes) => _ = nodes.remove_range_some(start, count, usize::MAX, limits),
        }
    }

    /// Takes out elements equal to this, at most so many, from the front or from the back; gives how many (LREM).
    pub fn remove_equal(&mut self, element: &[u8], at_most: usize, from_back: bool, limits: &ListLimits) -> usize {
        let item = Item::of(element);
        match self {
            List::Packed(packed) => {
                let is_equal = packed.seq().iter().enumerate().filter(|(_, one)| *one == item);
                let mut found: Vec<usize> = is_equal.map(|(index, _)| index).collect();
                let surplus = found.len().saturating_sub(at_most);
                if from_back {
                    found.drain(..surplus);
                } else {
                    found.truncate(at_most);
                }
                for &index in found.iter().rev() {
                    packed.remove(packed.seq().place_of(index), 1);
                }
                found.len()
            }
            List::Nodes(nodes) => {
                nodes.remove_equal_some(item, at_most, &mut Cursor::new(from_back), usize::MAX, limits).0
            }
        }
    }

    /// Visits elements from an index on, towards the back or towards the front, until `visit` says false.
    pub fn walk(&self, from: usize, reverse: bool, visit: &mut dyn FnMut(Item<'_>) -> bool) {
        if from >= self.len() {
            return;
        }
        match self {
            List::Packed(packed) => {
                let bytes = &packed.as_bytes()[packed.seq().first()..];
                walk_elements(bytes, from, reverse, visit);
            }
            List::Nodes(nodes) => {
                let (mut leaf, offset) = nodes.tree.find(from as u64);
                let mut offset = offset as usize;
                loop {
                    let node = nodes.tree.leaf(leaf);
                    if !walk_elements(&node.elements(), offset, reverse, visit) {
                        return;
                    }
                    let next = if reverse { nodes.tree.prev(leaf) } else { nodes.tree.next(leaf) };
                    let Some(next) = next else { return };
                    leaf = next;
                    offset = if reverse { nodes.tree.leaf(leaf).len() - 1 } else { 0 };
                }
            }
        }
    }

    /// Visits `count` elements from `start` on (LRANGE).
    pub fn range(&self, start: usize, count: usize, visit: &mut dyn FnMut(Item<'_>)) {
        let mut left = count;
        if left > 0 {
            self.walk(start, false, &mut |item| {
                visit(item);
                left -= 1;
                left > 0
            });
        }
    }

    /// The indexes of elements equal to this, in the order in which they are met: from the front, or from the back. Skips
    /// `skip` of them, gives at most `count`, looks at no more than `look_at` elements (LPOS; LINSERT's pivot).
    pub fn positions(&self, element: &[u8], reverse: bool, skip: usize, count: usize, look_at: usize) -> Vec<usize> {
        let item = Item::of(element);
        let (len, mut looked, mut skip, mut found) = (self.len(), 0, skip, Vec::new());
        if len == 0 || count == 0 || look_at == 0 {
            return found;
        }
        self.walk(if reverse { len - 1 } else { 0 }, reverse, &mut |one| {
            if one == item {
                if skip > 0 {
                    skip -= 1;
                } else {
                    found.push(if reverse { len - 1 - looked } else { looked });
                }
            }
            looked += 1;
            found.len() < count && looked < look_at
        });
        found
    }

    /// Frees a part of a long list, some `budget` elements; true while there is more. It is of no use afterwards.
    pub fn free_some(&mut self, budget: usize) -> bool {
        let List::Nodes(nodes) = self else { return false };
        let mut freed = 0;
        while freed < budget {
            let Some(node) = nodes.tree.pop_any() else { return false };
            freed += node.len() + 1;
        }
        true
    }
}

/// Visits the elements in these bytes from a number on; false when `visit` has said so.
fn walk_elements(bytes: &[u8], from: usize, reverse: bool, visit: &mut dyn FnMut(Item<'_>) -> bool) -> bool {
    if reverse {
        return marks(bytes)[..=from].iter().rev().all(|&at| visit(decode(bytes, at as usize).0));
    }
    let mut at = (0..from).fold(0, |at, _| crate::packed::coding::next_of(bytes, at));
    while at < bytes.len() {
        let (item, next) = decode(bytes, at);
        if !visit(item) {
            return false;
        }
        at = next;
    }
    true
}

impl Nodes {
    /// Changes a node and keeps the sums right.
    fn change<T>(&mut self, leaf: u32, change: impl FnOnce(&mut Node) -> T) -> T {
        let node = self.tree.leaf_mut(leaf);
        let (bytes, len) = (node.memory(), node.len());
        let result = change(node);
        self.node_bytes = self.node_bytes + node.memory() - bytes;
        let change = node.len() as i64 - len as i64;
        if change != 0 {
            self.tree.add(leaf, change);
        }
        result
    }

    fn push(&mut self, item: Item<'_>, back: bool, limits: &ListLimits) {
        self.grows(item.text_len(), limits);
        let end = if back { self.tree.last() } else { self.tree.first() };
        let bytes = encoded_len(item);
        if self.tree.leaf(end).fits(bytes, 1, limits.node) {
            if back && self.marks_of == end {
                self.marks.push(self.tree.leaf(end).raw_len() as u32);
            } else if !back && self.marks_of == end {
                self.marks_of = NO_LEAF;
            }
            self.change(end, |node| if back { node.push_back(item) } else { node.push_front(item) });
        } else {
            let mut node = Node::default();
            if back {
                node.push_back(item)
            } else {
                node.push_front(item)
            }
            self.add_node(end, back, node);
            self.settle(end, limits);
            self.is_long = true;
        }
    }

    fn add_node(&mut self, beside: u32, behind: bool, node: Node) -> u32 {
        self.node_bytes += node.memory();
        let count = node.len() as u64;
        self.tree.insert(beside, behind, node, count, ())
    }

    /// Closes a node that is not at an end.
    fn settle(&mut self, leaf: u32, limits: &ListLimits) {
        if leaf != self.tree.first() && leaf != self.tree.last() {
            self.change(leaf, |node| node.close(limits.compress));
        }
    }

    fn remove_node(&mut self, leaf: u32) {
        if self.tree.leaf_count() > 1 {
            let node = self.tree.remove(leaf).expect("there is another");
            self.node_bytes -= node.memory();
        }
        self.warm.retain(|one| *one != leaf);
        if self.marks_of == leaf {
            self.marks_of = NO_LEAF;
        }
        self.open_ends();
    }

    fn open_ends(&mut self) {
        for end in [self.tree.first(), self.tree.last()] {
            self.change(end, Node::open);
        }
    }

    fn pop(&mut self, back: bool, limits: &ListLimits, show: &mut dyn FnMut(Item<'_>)) {
        let end = if back { self.tree.last() } else { self.tree.first() };
        if back {
            if self.marks_of != end {
                self.marks = self.tree.leaf(end).marks();
                self.marks_of = end;
            }
            let mark = self.marks.pop().expect("ends are not empty") as usize;
            show(self.tree.leaf(end).at(mark));
            self.change(end, |node| node.drop_back(mark));
        } else {
            if self.marks_of == end {
                self.marks_of = NO_LEAF;
            }
            show(self.tree.leaf(end).front());
            self.change(end, Node::drop_front);
        }
        if self.tree.leaf(end).len() == 0 {
            self.remove_node(end);
        }
        self.shrinks(limits);
    }

    /// Opens a node for a change somewhere in it. Nodes between the ends stay open for a while.
    fn touch(&mut self, leaf: u32, limits: &ListLimits) {
        if self.marks_of == leaf {
            self.marks_of = NO_LEAF;
        }
        self.change(leaf, Node::open);
        if leaf != self.tree.first() && leaf != self.tree.last() && !self.warm.contains(&leaf) {
            self.warm.push(leaf);
            if self.warm.len() > WARM_MAX {
                let oldest = self.warm.remove(0);
                self.settle(oldest, limits);
            }
        }
    }

    fn splice(&mut self, index: usize, removed: usize, item: Option<Item<'_>>, limits: &ListLimits) {
        if let Some(item) = item {
            self.grows(item.text_len(), limits);
        }
        let (leaf, offset) = self.tree.find(index as u64);
        let offset = offset as usize;
        self.touch(leaf, limits);
        let more = item.map_or(0, encoded_len);
        let fits = self.tree.leaf(leaf).fits(more, 1 - removed, limits.node);
        if let (Some(item), false) = (item, fits) {
            // Cut in two around the place; the element goes between, into a node of its own, and what is small is merged.
            let second = self.change(leaf, |node| {
                let mut second = node.split_off(offset);
                second.splice(0, removed, &[]);
                second
            });
            let mut between = Node::default();
            between.push_back(item);
            let between = self.add_node(leaf, true, between);
            if second.len() > 0 {
                let second = self.add_node(between, true, second);
                self.tidy(second, limits);
            }
            self.tidy(between, limits);
            if self.tree.leaf(leaf).len() == 0 {
                self.remove_node(leaf);
            }
            self.open_ends();
        } else {
            self.change(leaf, |node| node.splice(offset, removed, item.as_slice()));
            self.tidy(leaf, limits);
        }
        self.shrinks(limits);
    }

    /// Takes away a node that is empty, and merges one that is thin with a neighbour.
    fn tidy(&mut self, leaf: u32, limits: &ListLimits) {
        let (len, bytes) = (self.tree.leaf(leaf).len(), self.tree.leaf(leaf).raw_len());
        if len == 0 {
            return self.remove_node(leaf);
        }
        if bytes > limits.node.bytes / 4 && len > limits.node.count / 4 {
            return;
        }
        for (left, right) in [(self.tree.prev(leaf), Some(leaf)), (Some(leaf), self.tree.next(leaf))] {
            let (Some(left), Some(right)) = (left, right) else { continue };
            let other = self.tree.leaf(right);
            let (bytes, count) = (other.raw_len() + limits.node.bytes / 4, other.len());
            if self.tree.leaf(left).fits(bytes, count, limits.node) {
                self.touch(left, limits);
                let taken = self.change(right, std::mem::take);
                self.change(left, |node| node.append(&taken));
                self.remove_node(right);
                return;
            }
        }
    }

    /// Notes whether the list becomes what Redis calls a quicklist by an element of that length, or is one by its nodes.
    fn grows(&mut self, text_len: usize, limits: &ListLimits) {
        if self.is_long {
            return;
        }
        let node = self.tree.leaf(self.tree.first());
        let (bytes, len) = (node.raw_len(), node.len());
        // Redis takes up to six bytes more for an element than we do; near the limit it is counted out.
        let near = bytes + 6 * len + 7 + text_len > limits.node.bytes;
        self.is_long = self.tree.leaf_count() > 1
            || len >= limits.node.count
            || (near && !self.takes_room(text_len, limits) && self.listpack_bytes() + text_len > limits.node.bytes);
    }

    /// Whether Redis's listpack would surely have room for a text of this length, which it then takes. Counting all elements for
    /// each that is pushed would make a list of a thousand short ones slow to grow.
    fn takes_room(&mut self, text_len: usize, limits: &ListLimits) -> bool {
        /// What an element takes beside its text at most.
        const AROUND: usize = 10;
        let most = limits.node.bytes;
        if self.room.1 != most || self.room.0 < text_len + AROUND {
            self.room = (most.saturating_sub(self.listpack_bytes()), most);
        }
        let has_room = self.room.0 >= text_len + AROUND;
        if has_room {
            self.room.0 -= text_len + AROUND;
        }
        has_room
    }

    /// Notes whether the list has shrunk to half of what Redis has in one listpack.
    fn shrinks(&mut self, limits: &ListLimits) {
        if !self.is_long || self.tree.leaf_count() > 1 {
            return;
        }
        let node = self.tree.leaf(self.tree.first());
        if node.len() <= limits.node.count / 2 && node.raw_len() <= limits.node.bytes / 2 {
            self.room = (0, 0);
            self.is_long = self.listpack_bytes() > limits.node.bytes / 2;
        }
    }

    /// The size of the listpack that Redis would have for a list of one node.
    fn listpack_bytes(&self) -> usize {
        let mut sum = 7;
        walk_elements(&self.tree.leaf(self.tree.first()).elements(), 0, false, &mut |item| {
            sum += listpack_len(item);
            true
        });
        sum
    }
}

#[cfg(test)]
mod tests;

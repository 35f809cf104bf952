//! Which segment holds a hash: a tree over the hash's highest bits.
//!
//! ```text
//!  word  │ address, 48 bits │ count, 6 bits │ depth, 5 bits │ kind │ volatile │ 3 free
//!        kind 0: a segment of `count` buckets, which holds the hashes that begin with its `depth` bits
//!        kind 1: a node, chosen from by the next `count` bits of the hash
//!  node  │ deepest │ start │ bits │ 2^bits words │      for the hash bits start .. start + bits
//! ```
//!
//! A small table is one segment, without any node. A segment that splits takes one more hash bit; when its node has no more
//! bits, the node doubles, and when it is at [`NODE_BITS_MAX`], one word becomes a node of its own. So the costliest step
//! copies 16 KiB, however big the table, and a lookup passes one node up to some 700,000 keys and two up to a billion.
//! A segment whose depth is below `start + bits` is named by a row of equal words.
//!
//! The volatile bit says that an entry with a deadline is somewhere below: it leads to the last volatile key of a large table.
//!
//! Invariants: a node has at least one bit and names at least two segments; a node below a word lies at its parent's last
//! bit; `deepest` counts the words that name nodes or segments of depth start + bits. Two segments that differ in the last bit
//! of their depth only, *buddies*, are therefore always named by the same node.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr;

use super::segment::{Hash16, Segment, SegmentPtr, segment_bytes};

/// A node has up to 2,048 words; in tests eight, so that small tables have many levels.
const NODE_BITS_MAX: u32 = if cfg!(test) { 3 } else { 11 };
/// The most hash bits that the directory tells apart. At 300 keys per segment this is out of reach: 40 G keys per shard.
pub(super) const DEPTH_MAX: u32 = 27;
const LEVELS_MAX: usize = DEPTH_MAX.div_ceil(NODE_BITS_MAX) as usize;

const ADDRESS_BITS: u32 = 48;
const ADDRESS: usize = (1 << ADDRESS_BITS) - 1;
const COUNT: usize = 0x3F << ADDRESS_BITS;
const DEPTH_SHIFT: u32 = ADDRESS_BITS + 6;
const DEPTH: usize = 0x1F << DEPTH_SHIFT;
const NODE: usize = 1 << (DEPTH_SHIFT + 5);
const VOLATILE: usize = 1 << (DEPTH_SHIFT + 6);

const _: () = assert!(DEPTH_MAX < 32 && super::segment::BUCKETS_MAX < 64);
const _: () = assert!(size_of::<Word>() == 8);

/// An address with tags: names a segment, a node, or nothing.
#[derive(Clone, Copy)]
struct Word(*mut u8);

impl Word {
    const NONE: Word = Word(ptr::null_mut());

    fn tagged(address: *mut u8, tags: usize) -> Word {
        assert!(address.addr() & !ADDRESS == 0, "addresses have at most 48 bits");
        Word(address.map_addr(|addr| addr | tags))
    }

    fn of_segment(segment: SegmentPtr, depth: u32, volatile: bool) -> Word {
        let tags = segment.bucket_count() << ADDRESS_BITS | (depth as usize) << DEPTH_SHIFT;
        Word::tagged(segment.address(), tags | if volatile { VOLATILE } else { 0 })
    }

    fn of_node(node: NodePtr, volatile: bool) -> Word {
        let tags = (node.bits as usize) << ADDRESS_BITS | NODE;
        Word::tagged(node.address, tags | if volatile { VOLATILE } else { 0 })
    }

    #[inline]
    fn is_none(self) -> bool {
        self.0.is_null()
    }

    #[inline]
    fn is_node(self) -> bool {
        self.0.addr() & NODE != 0
    }

    #[inline]
    fn is_volatile(self) -> bool {
        self.0.addr() & VOLATILE != 0
    }

    fn with_volatile(self, volatile: bool) -> Word {
        Word(self.0.map_addr(|addr| if volatile { addr | VOLATILE } else { addr & !VOLATILE }))
    }

    #[inline]
    fn depth(self) -> u32 {
        ((self.0.addr() & DEPTH) >> DEPTH_SHIFT) as u32
    }

    #[inline]
    fn count(self) -> usize {
        (self.0.addr() & COUNT) >> ADDRESS_BITS
    }

    #[inline]
    fn segment(self) -> SegmentPtr {
        SegmentPtr::from_parts(self.0.map_addr(|addr| addr & ADDRESS), self.count())
    }

    #[inline]
    fn node(self) -> NodePtr {
        NodePtr { address: self.0.map_addr(|addr| addr & ADDRESS), bits: self.count() as u32 }
    }
}

/// See the file's head.
#[repr(C)]
struct Node {
    deepest: u32,
    /// Hash bits used above this node.
    start: u8,
    words: [Word],
}

const NODE_HEAD_BYTES: usize = 8;

#[derive(Clone, Copy)]
struct NodePtr {
    address: *mut u8,
    bits: u32,
}

impl NodePtr {
    fn layout(bits: u32) -> Layout {
        Layout::from_size_align(NODE_HEAD_BYTES + (8 << bits), 8).expect("16 KiB at most")
    }

    /// A node whose words are given by their number.
    fn alloc(start: u32, bits: u32, word: impl Fn(usize) -> Word) -> NodePtr {
        let layout = NodePtr::layout(bits);
        // SAFETY: the size is not 0; head and words are written before the node is used.
        unsafe {
            let address = alloc(layout);
            if address.is_null() {
                handle_alloc_error(layout);
            }
            address.cast::<u32>().write(0);
            address.add(4).write(start as u8);
            let words = address.add(NODE_HEAD_BYTES).cast::<Word>();
            for index in 0..1 << bits {
                words.add(index).write(word(index));
            }
            NodePtr { address, bits }
        }
    }

    /// # Safety
    /// The node is live, and nobody holds a mutable reference to it while this one is used.
    #[inline]
    unsafe fn as_ref<'n>(self) -> &'n Node {
        let fat = ptr::slice_from_raw_parts(self.address, 1 << self.bits) as *const Node;
        // SAFETY: a live node has this address and this many words.
        unsafe { &*fat }
    }

    /// # Safety
    /// The node is live, and nobody else holds a reference to it while this one is used.
    #[inline]
    unsafe fn as_mut<'n>(self) -> &'n mut Node {
        let fat = ptr::slice_from_raw_parts_mut(self.address, 1 << self.bits) as *mut Node;
        // SAFETY: a live node has this address and this many words.
        unsafe { &mut *fat }
    }

    /// # Safety
    /// The node is live and not used any more.
    unsafe fn free(self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.address, NodePtr::layout(self.bits)) };
    }
}

impl Node {
    /// Hash bits used down to this node's words.
    fn end(&self) -> u32 {
        u32::from(self.start) + self.words.len().trailing_zeros()
    }

    #[inline]
    fn index(&self, hash: u64) -> usize {
        let bits = self.words.len().trailing_zeros();
        (hash << self.start >> (64 - bits)) as usize
    }

    /// The words that name what is at `hash` with that depth.
    fn row(&mut self, hash: u64, depth: u32) -> &mut [Word] {
        let len = 1 << (self.end() - depth);
        let first = self.index(hash) & !(len - 1);
        &mut self.words[first..first + len]
    }

    fn has_volatile(&self) -> bool {
        self.words.iter().any(|word| word.is_volatile())
    }

    fn count_deepest(&self) -> u32 {
        let end = self.end();
        self.words.iter().filter(|word| word.is_node() || word.depth() == end).count() as u32
    }
}

/// What the directory knows of a segment without touching it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located {
    pub(super) segment: SegmentPtr,
    /// Hash bits that all its entries share.
    pub(super) depth: u32,
}

impl Located {
    /// The lowest hash behind the segment's, given one of them; `None` behind the last segment.
    pub(super) fn next_hash(&self, hash: u64) -> Option<u64> {
        if self.depth == 0 {
            return None;
        }
        let span = 1 << (64 - self.depth);
        (hash & !(span - 1)).checked_add(span)
    }
}

/// Knows a table's segments and owns its nodes. The memory of the segments is the slab's, the entries in them the table's.
pub(super) struct Directory {
    root: Word,
    segments: usize,
    buckets: usize,
    node_bytes: usize,
    segment_bytes: usize,
}

impl Directory {
    pub(super) const fn new() -> Directory {
        Directory { root: Word::NONE, segments: 0, buckets: 0, node_bytes: 0, segment_bytes: 0 }
    }

    pub(super) fn segments(&self) -> usize {
        self.segments
    }

    pub(super) fn buckets(&self) -> usize {
        self.buckets
    }

    /// Bytes of nodes and segments.
    pub(super) fn bytes(&self) -> usize {
        self.node_bytes + self.segment_bytes
    }

    /// Bytes of nodes.
    pub(super) fn node_bytes(&self) -> usize {
        self.node_bytes
    }

    /// The segment that holds a hash; `None` in a table that never held anything.
    #[inline]
    pub(super) fn locate(&self, hash: u64) -> Option<Located> {
        let (mut word, mut rest) = (self.root, hash);
        while word.is_node() {
            let node = word.node();
            // SAFETY: words name live nodes, and `self` is borrowed.
            let words = unsafe { &node.as_ref().words };
            word = words[(rest >> (64 - node.bits)) as usize];
            rest <<= node.bits;
        }
        (!word.is_none()).then(|| Located { segment: word.segment(), depth: word.depth() })
    }

    /// The segment at `hash` for reading, and where it is.
    #[inline]
    pub(super) fn segment(&self, hash: u64) -> Option<(&Segment, Located)> {
        // SAFETY: words name live segments, and `self` is borrowed.
        self.locate(hash).map(|located| (unsafe { located.segment.as_ref() }, located))
    }

    /// Puts the first segment into an empty directory.
    pub(super) fn plant(&mut self, segment: SegmentPtr) {
        assert!(self.root.is_none());
        self.root = Word::of_segment(segment, 0, false);
        self.count_in(segment);
    }

    /// Names another segment in the place of the one at `hash`, with the same depth and entries. The old one is the caller's.
    pub(super) fn replace(&mut self, hash: u64, new: SegmentPtr) -> SegmentPtr {
        let path = self.path(hash);
        let old = path.word;
        let word = Word::of_segment(new, old.depth(), old.is_volatile());
        match path.last() {
            None => self.root = word,
            // SAFETY: nodes on a path are live, and `self` is borrowed mutably.
            Some(node) => unsafe { node.as_mut() }.row(hash, old.depth()).fill(word),
        }
        self.count_in(new);
        self.count_out(old.segment())
    }

    /// Names two segments, by the next hash bit, in the place of the one at `hash`, which is the caller's.
    pub(super) fn split(&mut self, hash: u64, left: SegmentPtr, right: SegmentPtr) -> SegmentPtr {
        let mut path = self.path(hash);
        let old = path.word;
        let depth = old.depth() + 1;
        assert!(depth <= DEPTH_MAX, "the hash does not spread the keys");
        let words = [left, right].map(|segment| {
            // SAFETY: both are live and not yet known to anyone else.
            let volatile = unsafe { segment.as_ref() }.volatile() > 0;
            Word::of_segment(segment, depth, volatile)
        });
        self.count_in(left);
        self.count_in(right);
        let last = path.last();
        // SAFETY: nodes on a path are live, and `self` is borrowed mutably.
        let full = last.is_none_or(|node| unsafe { node.as_ref() }.end() < depth);
        match last {
            Some(node) if full && node.bits < NODE_BITS_MAX => {
                // SAFETY: as above.
                let node_ref = unsafe { node.as_ref() };
                let start = u32::from(node_ref.start);
                self.swap_node(&mut path, NodePtr::alloc(start, node.bits + 1, |index| node_ref.words[index / 2]));
            }
            last if full => {
                let child = NodePtr::alloc(depth - 1, 1, |index| words[index]);
                self.node_bytes += NodePtr::layout(1).size();
                // SAFETY: nobody else knows the node yet.
                unsafe { child.as_mut() }.deepest = 2;
                let word = Word::of_node(child, old.is_volatile());
                match last {
                    None => self.root = word,
                    // SAFETY: as above. The word named a segment and now names a node: it stays among the deepest.
                    Some(node) => unsafe { node.as_mut() }.row(hash, depth - 1).fill(word),
                }
                return self.count_out(old.segment());
            }
            _ => {}
        }
        // SAFETY: as above.
        let node = unsafe { path.last().expect("there is one by now").as_mut() };
        if node.end() == depth {
            node.deepest += 2;
        }
        let row = node.row(hash, depth - 1);
        let (first, second) = row.split_at_mut(row.len() / 2);
        first.fill(words[0]);
        second.fill(words[1]);
        self.count_out(old.segment())
    }

    /// The segment whose hashes differ from those at `hash` in the last bit of the depth only, if there is one of that depth.
    pub(super) fn buddy(&self, hash: u64) -> Option<SegmentPtr> {
        let depth = self.locate(hash)?.depth;
        if depth == 0 {
            return None;
        }
        let buddy = self.locate(hash ^ 1 << (64 - depth))?;
        (buddy.depth == depth).then_some(buddy.segment)
    }

    /// Names one segment in the place of the one at `hash` and its buddy, which are the caller's.
    pub(super) fn merge(&mut self, hash: u64, merged: SegmentPtr) -> [SegmentPtr; 2] {
        let mut path = self.path(hash);
        let old = path.word;
        let depth = old.depth() - 1;
        let buddy = self.buddy(hash).expect("the caller has looked");
        // SAFETY: the segment is live and not yet known to anyone else.
        let volatile = unsafe { merged.as_ref() }.volatile() > 0;
        let word = Word::of_segment(merged, depth, volatile);
        let last = path.last().expect("buddies are named by a node");
        // SAFETY: nodes on a path are live, and `self` is borrowed mutably.
        let node = unsafe { last.as_mut() };
        if node.end() == depth + 1 {
            node.deepest -= 2;
        }
        node.row(hash, depth).fill(word);
        if u32::from(node.start) == depth {
            // All words are the same: the node goes, and what is above names the segment.
            path.len -= 1;
            match path.last() {
                None => self.root = word,
                // SAFETY: as above.
                Some(node) => unsafe { node.as_mut() }.row(hash, depth).fill(word),
            }
            self.node_bytes -= NodePtr::layout(last.bits).size();
            // SAFETY: no word names the node any more.
            unsafe { last.free() };
        } else if node.deepest == 0 {
            let halved = NodePtr::alloc(u32::from(node.start), last.bits - 1, |index| node.words[2 * index]);
            self.swap_node(&mut path, halved);
        }
        self.count_in(merged);
        [self.count_out(old.segment()), self.count_out(buddy)]
    }

    /// Notes whether the segment at `hash` has volatile entries, all the way up.
    pub(super) fn set_volatile(&mut self, hash: u64, volatile: bool) {
        let path = self.path(hash);
        let depth = path.word.depth();
        let mut level = path.len;
        if let Some(node) = path.last() {
            // SAFETY: nodes on a path are live, and `self` is borrowed mutably.
            let row = unsafe { node.as_mut() }.row(hash, depth);
            row.fill(row[0].with_volatile(volatile));
        }
        // A node's word says yes as long as any word in the node does.
        while level > 0 {
            level -= 1;
            // SAFETY: as above.
            if !volatile && unsafe { path.nodes[level].as_ref() }.has_volatile() {
                return;
            }
            if level > 0 {
                // SAFETY: as above.
                let above = unsafe { path.nodes[level - 1].as_mut() };
                let index = above.index(hash);
                above.words[index] = above.words[index].with_volatile(volatile);
            }
        }
        self.root = self.root.with_volatile(volatile);
    }

    /// A hash whose segment has a volatile entry, near a random one; `None` when there is none.
    pub(super) fn volatile_near(&self, random: u64) -> Option<u64> {
        if !self.root.is_volatile() {
            return None;
        }
        let (mut word, mut prefix, mut used) = (self.root, 0u64, 0);
        while word.is_node() {
            let node = word.node();
            // SAFETY: words name live nodes, and `self` is borrowed.
            let words = unsafe { &node.as_ref().words };
            let start = (random << used >> (64 - node.bits)) as usize;
            let mask = words.len() - 1;
            let index = (0..words.len()).map(|step| (start + step) & mask).find(|index| words[*index].is_volatile())?;
            used += node.bits;
            prefix |= (index as u64) << (64 - used);
            word = words[index];
        }
        Some(prefix)
    }

    /// Fetches the bucket of a hash into the cache.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        if let Some(located) = self.locate(hash) {
            located.segment.prefetch(Hash16::of(hash));
        }
    }

    /// Takes the first segment out, for emptying a whole table in small steps; it is the caller's. Until nothing is left,
    /// hashes may have no segment.
    pub(super) fn cut_first(&mut self) -> Option<SegmentPtr> {
        let mut path = Path::default();
        let mut word = self.root;
        while word.is_node() {
            let node = word.node();
            path.push(node);
            // SAFETY: words name live nodes, and `self` is borrowed mutably.
            let words = unsafe { &node.as_ref().words };
            // What was cut already is at the front.
            word = words[words.partition_point(|word| word.is_none())];
        }
        if word.is_none() {
            return None;
        }
        let cut = self.count_out(word.segment());
        let depth = word.depth();
        let mut rows = true;
        while let Some(last) = path.last() {
            // SAFETY: nodes on a path are live, and `self` is borrowed mutably.
            let node = unsafe { last.as_mut() };
            let first = node.words.partition_point(|word| word.is_none());
            let len = if rows { 1 << (node.end() - depth) } else { 1 };
            node.words[first..first + len].fill(Word::NONE);
            if first + len < node.words.len() {
                return Some(cut);
            }
            rows = false;
            self.node_bytes -= NodePtr::layout(last.bits).size();
            // SAFETY: the word above is cleared next, and no other names the node.
            unsafe { last.free() };
            path.len -= 1;
        }
        self.root = Word::NONE;
        Some(cut)
    }

    /// Panics unless the tree is as the file's head says. Shows each segment once.
    #[cfg(test)]
    pub(super) fn check(&self, mut each: impl FnMut(&Segment, Located)) {
        let (mut segments, mut buckets, mut bytes, mut node_bytes) = (0, 0, 0, 0);
        let mut to_do = vec![(self.root, 0u64, 0u32)];
        while let Some((word, first_hash, start)) = to_do.pop() {
            if word.is_none() {
                assert!(self.root.is_none());
            } else if word.is_node() {
                // SAFETY: words name live nodes, and `self` is borrowed.
                let node = unsafe { word.node().as_ref() };
                node_bytes += NodePtr::layout(word.node().bits).size();
                assert_eq!((u32::from(node.start), node.deepest), (start, node.count_deepest()));
                assert!(node.deepest > 0 && node.words.len() >= 2);
                assert_eq!(node.has_volatile(), word.is_volatile());
                let mut index = 0;
                while index < node.words.len() {
                    let below = node.words[index];
                    let row = if below.is_node() { 1 } else { 1 << (node.end() - below.depth()) };
                    assert!(index % row == 0 && row < node.words.len());
                    assert!(node.words[index..index + row].iter().all(|word| word.0 == below.0));
                    to_do.push((below, first_hash | (index as u64) << (64 - node.end()), node.end()));
                    index += row;
                }
            } else {
                let located = Located { segment: word.segment(), depth: word.depth() };
                // SAFETY: words name live segments, and `self` is borrowed.
                let segment = unsafe { located.segment.as_ref() };
                assert_eq!(segment.first_hash(), first_hash);
                assert_eq!(segment.volatile() > 0, word.is_volatile());
                segments += 1;
                buckets += segment.bucket_count();
                bytes += segment_bytes(segment.bucket_count());
                each(segment, located);
            }
        }
        assert_eq!((segments, buckets), (self.segments, self.buckets));
        assert_eq!((bytes, node_bytes), (self.segment_bytes, self.node_bytes));
    }

    /// The nodes that lead to a hash, and the word there.
    fn path(&self, hash: u64) -> Path {
        let mut path = Path { word: self.root, ..Path::default() };
        while path.word.is_node() {
            let node = path.word.node();
            path.push(node);
            // SAFETY: words name live nodes, and `self` is borrowed.
            let node = unsafe { node.as_ref() };
            path.word = node.words[node.index(hash)];
        }
        path
    }

    /// Names `new` in the place of the last node of a path, and frees that one.
    fn swap_node(&mut self, path: &mut Path, new: NodePtr) {
        let old = path.last().expect("there is one to replace");
        path.len -= 1;
        // SAFETY: `new` is live and nobody else knows it; so are the nodes on a path, and `self` is borrowed mutably.
        let volatile = unsafe {
            let node = new.as_mut();
            node.deepest = node.count_deepest();
            node.has_volatile()
        };
        let word = Word::of_node(new, volatile);
        match path.last() {
            None => self.root = word,
            Some(above) => {
                // SAFETY: as above.
                let above = unsafe { above.as_mut() };
                let own = |word: &&mut Word| word.is_node() && word.node().address == old.address;
                *above.words.iter_mut().find(own).expect("the node is named by the one above") = word;
            }
        }
        path.push(new);
        self.node_bytes = self.node_bytes + NodePtr::layout(new.bits).size() - NodePtr::layout(old.bits).size();
        // SAFETY: no word names the node any more.
        unsafe { old.free() };
    }

    fn count_in(&mut self, segment: SegmentPtr) {
        self.segments += 1;
        self.buckets += segment.bucket_count();
        self.segment_bytes += segment_bytes(segment.bucket_count());
    }

    fn count_out(&mut self, segment: SegmentPtr) -> SegmentPtr {
        self.segments -= 1;
        self.buckets -= segment.bucket_count();
        self.segment_bytes -= segment_bytes(segment.bucket_count());
        segment
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        while self.cut_first().is_some() {}
    }
}

/// The nodes from the root to a word.
struct Path {
    nodes: [NodePtr; LEVELS_MAX],
    len: usize,
    word: Word,
}

impl Path {
    fn push(&mut self, node: NodePtr) {
        self.nodes[self.len] = node;
        self.len += 1;
    }

    fn last(&self) -> Option<NodePtr> {
        self.len.checked_sub(1).map(|last| self.nodes[last])
    }
}

impl Default for Path {
    fn default() -> Path {
        Path { nodes: [NodePtr { address: ptr::null_mut(), bits: 0 }; LEVELS_MAX], len: 0, word: Word::NONE }
    }
}

//! Nodes, and the chunked lists that hold them.
//!
//! A node is 16 bytes; a chunk is 512 bytes and holds 31 of them. A list is a chain of chunks of which only the first is
//! partly filled, so pushing and popping touch one cache line and no allocation or release is larger than one chunk:
//!
//! ```text
//!  node   ┌ hash 64 ───────────────────────────────────────────────────────┐
//!         └ time code 47 ──────────────────────────────── │ generation 17 ─┘
//!  chunk  ┌ next 8 │ len 4 │ unused 4 │ node 0 │ … │ node 30 ┐   512 bytes
//! ```
//!
//! The time code is exact to the millisecond below 2⁴⁶ ms (the year 4199). Later times are rounded up to a multiple of
//! 2¹⁷ ms (131 s), so a node never fires early, and all of `i64` fits.

use pinyon_base::Millis;

/// Nodes in a chunk.
pub(super) const CHUNK_NODES: usize = 31;
/// Generations that fit in a node.
pub(super) const GENERATIONS_MAX: u32 = 1 << GENERATION_BITS;
/// Bytes of a chunk.
pub(super) const CHUNK_BYTES: usize = size_of::<Chunk>();

const GENERATION_BITS: u32 = 17;
/// Times from here on are coarse.
const EXACT_END: u64 = 1 << 46;
const COARSE_FLAG: u64 = 1 << 46;
const COARSE_SHIFT: u32 = 17;
/// The coarse mantissa that stands for the end of time, `i64::MAX`.
const END_OF_TIME: u64 = EXACT_END - 1;
/// Empty chunks kept for reuse; more go back to the allocator one by one.
const SPARE_CHUNKS_MAX: usize = 64;

/// A key's hash and the time at which somebody should look at it.
#[derive(Clone, Copy)]
pub(super) struct Node {
    pub(super) hash: u64,
    when: u64,
}

const _: () = assert!(size_of::<Node>() == 16);
const _: () = assert!(size_of::<Chunk>() == 512);

impl Node {
    /// A deadline before 1970 counts as 1970.
    pub(super) fn new(hash: u64, deadline: Millis, generation: u32) -> Node {
        let ms = deadline.0.max(0) as u64;
        let code = if ms < EXACT_END {
            ms
        } else {
            let rounded_up = (ms + (1 << COARSE_SHIFT) - 1) >> COARSE_SHIFT;
            COARSE_FLAG | rounded_up.min(END_OF_TIME)
        };
        Node { hash, when: code << GENERATION_BITS | u64::from(generation) }
    }

    /// The deadline, rounded up as the time code says.
    pub(super) fn deadline(self) -> Millis {
        let code = self.when >> GENERATION_BITS;
        if code < EXACT_END {
            return Millis(code as i64);
        }
        match code & !COARSE_FLAG {
            END_OF_TIME => Millis(i64::MAX),
            mantissa => Millis((mantissa << COARSE_SHIFT) as i64),
        }
    }

    pub(super) fn generation(self) -> u32 {
        (self.when & u64::from(GENERATIONS_MAX - 1)) as u32
    }
}

struct Chunk {
    next: Option<Box<Chunk>>,
    len: u32,
    nodes: [Node; CHUNK_NODES],
}

/// Where lists take their chunks from and return them to.
#[derive(Default)]
pub(super) struct ChunkPool {
    spare: Option<Box<Chunk>>,
    spare_len: usize,
    in_lists: usize,
}

impl ChunkPool {
    /// Bytes of all chunks, those kept for reuse included.
    pub(super) fn bytes(&self) -> usize {
        (self.in_lists + self.spare_len) * CHUNK_BYTES
    }

    fn take(&mut self, next: Option<Box<Chunk>>) -> Box<Chunk> {
        self.in_lists += 1;
        match self.spare.take() {
            Some(mut chunk) => {
                self.spare = std::mem::replace(&mut chunk.next, next);
                self.spare_len -= 1;
                chunk
            }
            None => Box::new(Chunk { next, len: 0, nodes: [Node { hash: 0, when: 0 }; CHUNK_NODES] }),
        }
    }

    fn give_back(&mut self, mut chunk: Box<Chunk>) {
        self.in_lists -= 1;
        if self.spare_len < SPARE_CHUNKS_MAX {
            chunk.next = self.spare.take();
            self.spare = Some(chunk);
            self.spare_len += 1;
        }
    }
}

/// A stack of nodes. No chunk in it is empty.
#[derive(Default)]
pub(super) struct List {
    head: Option<Box<Chunk>>,
}

impl List {
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    #[inline]
    pub(super) fn push(&mut self, node: Node, pool: &mut ChunkPool) {
        match &mut self.head {
            Some(chunk) if (chunk.len as usize) < CHUNK_NODES => {
                chunk.nodes[chunk.len as usize] = node;
                chunk.len += 1;
            }
            head => {
                let mut chunk = pool.take(head.take());
                chunk.nodes[0] = node;
                chunk.len = 1;
                *head = Some(chunk);
            }
        }
    }

    /// Takes up to `max` nodes off the first chunk.
    #[inline]
    pub(super) fn pop_batch(&mut self, max: usize, pool: &mut ChunkPool) -> Batch {
        let mut batch = Batch::default();
        let Some(chunk) = &mut self.head else { return batch };
        let (len, count) = (chunk.len as usize, max.min(chunk.len as usize));
        batch.nodes[..count].copy_from_slice(&chunk.nodes[len - count..len]);
        batch.len = count;
        chunk.len -= count as u32;
        if chunk.len == 0
            && let Some(mut empty) = self.head.take()
        {
            self.head = empty.next.take();
            pool.give_back(empty);
        }
        batch
    }
}

/// Nodes taken off a list, up to a chunk of them.
pub(super) struct Batch {
    nodes: [Node; CHUNK_NODES],
    len: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Batch { nodes: [Node { hash: 0, when: 0 }; CHUNK_NODES], len: 0 }
    }
}

impl Batch {
    #[inline]
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes[..self.len]
    }
}

/// A chain of a million chunks must not be dropped by recursion.
fn drop_chain(mut chunk: Option<Box<Chunk>>) {
    while let Some(mut first) = chunk {
        chunk = first.next.take();
    }
}

impl Drop for List {
    fn drop(&mut self) {
        drop_chain(self.head.take());
    }
}

impl Drop for ChunkPool {
    fn drop(&mut self) {
        drop_chain(self.spare.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_codes_are_exact_now_and_never_early() {
        let exact = [0, 1, 15, 16, 1_700_000_000_123, (1 << 46) - 1];
        for ms in exact {
            assert_eq!(Node::new(7, Millis(ms), 3).deadline(), Millis(ms));
        }
        assert_eq!(Node::new(7, Millis(-5), 3).deadline(), Millis(0));
        let mut ms = 1i64 << 46;
        while ms < i64::MAX / 3 * 2 {
            for ms in [ms - 1, ms, ms + 1, ms + 77_777] {
                let node = Node::new(7, Millis(ms), GENERATIONS_MAX - 1);
                assert!(node.deadline().0 >= ms && node.deadline().0 - ms < 1 << 17, "{ms}");
                assert_eq!(node.generation(), GENERATIONS_MAX - 1);
            }
            ms = ms / 2 * 3;
        }
        for ms in [i64::MAX, i64::MAX - 1, i64::MAX - (1 << 17)] {
            assert_eq!(Node::new(7, Millis(ms), 0).deadline(), Millis(i64::MAX));
        }
    }

    #[test]
    fn lists_are_stacks_and_reuse_chunks() {
        let mut pool = ChunkPool::default();
        let mut list = List::default();
        for hash in 0..1000 {
            list.push(Node::new(hash, Millis(0), 0), &mut pool);
        }
        assert_eq!(pool.bytes(), 1000usize.div_ceil(CHUNK_NODES) * CHUNK_BYTES);
        let mut expected = 1000;
        for max in [1, 3, 31, 100, 7].into_iter().cycle() {
            let batch = list.pop_batch(max, &mut pool);
            let hashes: Vec<u64> = batch.nodes().iter().map(|node| node.hash).collect();
            expected -= hashes.len() as u64;
            assert!(hashes.len() <= max && hashes.iter().copied().eq(expected..expected + hashes.len() as u64));
            if hashes.is_empty() {
                break;
            }
        }
        assert!(expected == 0 && list.is_empty());
        assert_eq!(pool.in_lists, 0);
        assert!(pool.spare_len <= SPARE_CHUNKS_MAX);
    }

    #[test]
    fn long_lists_drop_without_recursion() {
        let mut pool = ChunkPool::default();
        let mut list = List::default();
        for hash in 0..3_000_000 {
            list.push(Node::new(hash, Millis(0), 0), &mut pool);
        }
    }
}

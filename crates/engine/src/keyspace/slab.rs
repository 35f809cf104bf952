//! The memory of one table: blocks for its entries, in size classes 8 bytes apart, and for its segments.
//!
//! General allocators round small sizes up to 16 bytes, which costs four bytes per key on average, keep what was freed in one
//! size class from the others, and are built for threads. A table's blocks never leave their core, so a free list per chunk
//! is all it takes, and the table can move what lies in them.
//!
//! ```text
//!  chunk  32 KiB from a region, aligned to its size, so that a block's address gives its chunk; one size class
//!    header  64 bytes │ block │ block │ … │ never used yet
//!                       │ a free block holds the number of the next free one in its first two bytes
//! ```
//!
//! - *Entries*: a free list in each chunk. When deletions have left holes everywhere, [`Slab::mark_sparse`] chooses chunks to
//!   be emptied, and the table moves its entries out of them. Blocks above 512 bytes come from the global allocator, rounded up
//!   to 8 bytes.
//! - *Segments*: they all grow in step, so one size after the other would be left full of holes. The chunks of a size
//!   therefore form a stack without holes: when a block is freed, the last one moves into its place.
//!
//! The slab does not know who uses a block: dropping it drops no entries, and its owner must let go of every block first.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr;

use super::region::{self, CHUNK_BYTES, Region, Regions, TAIL_BYTES, used_chunks};

const HEADER_BYTES: usize = size_of::<Chunk>();
const BLOCKS_BYTES: usize = CHUNK_BYTES - HEADER_BYTES - TAIL_BYTES;

/// Blocks for entries are multiples of this, and aligned to it.
pub(super) const BLOCK_UNIT: usize = 8;
/// The largest block for an entry that comes out of a chunk.
pub(super) const CHUNKED_BYTES_MAX: usize = 512;
const ENTRY_CLASSES: usize = CHUNKED_BYTES_MAX / BLOCK_UNIT + 1;

/// Bytes of the blocks for segments. As many fit a chunk as leave at most 1.4 % of it unused; they are aligned to 64.
pub(super) const SEGMENT_BYTES: [usize; 4] = [39 * 64, 46 * 64, 56 * 64, 63 * 64];
const CLASSES: usize = ENTRY_CLASSES + SEGMENT_BYTES.len();

#[repr(C, align(64))]
struct Chunk {
    /// Neighbours among the chunks of the class: for entries those with a free block, for segments the ones below and above
    /// in the stack.
    prev: *mut Chunk,
    next: *mut Chunk,
    region: *mut Region,
    block_bytes: u16,
    capacity: u16,
    used: u16,
    /// Blocks from this number on were never handed out.
    untouched: u16,
    /// Number of the first free block below `untouched`; `NO_BLOCK` without one.
    free: u16,
    class: u8,
    /// To be emptied: it is in no list, and no block of it is handed out.
    marked: bool,
}

const NO_BLOCK: u16 = u16::MAX;

const _: () = assert!(size_of::<Chunk>() == 64 && CLASSES <= 256);

/// What a size class has.
#[derive(Clone, Copy)]
struct Class {
    /// For entries, the first chunk with a free block that is not marked; for segments, the top of the stack.
    first: *mut Chunk,
    /// Free blocks in its chunks, without those in marked ones.
    free_blocks: usize,
    /// Used blocks in marked chunks: what has to move elsewhere.
    leaving_blocks: usize,
}

/// See the file's head.
pub(super) struct Slab {
    classes: [Class; CLASSES],
    regions: Regions,
    /// Marked chunks.
    marked: usize,
    used_bytes: usize,
    big_bytes: usize,
}

impl Slab {
    pub(super) const fn new() -> Slab {
        let class = Class { first: ptr::null_mut(), free_blocks: 0, leaving_blocks: 0 };
        Slab { classes: [class; CLASSES], regions: Regions::new(), marked: 0, used_bytes: 0, big_bytes: 0 }
    }

    /// Bytes in blocks handed out.
    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Bytes taken from the global allocator.
    pub(super) fn reserved_bytes(&self) -> usize {
        self.regions.bytes() + self.big_bytes
    }

    /// A block of `size` bytes for an entry, a multiple of 8 above 0, aligned to 8; its contents are undefined.
    #[inline]
    pub(super) fn alloc(&mut self, size: usize) -> *mut u8 {
        debug_assert!(size > 0 && size.is_multiple_of(BLOCK_UNIT));
        self.used_bytes += size;
        if size > CHUNKED_BYTES_MAX { self.alloc_big(size) } else { self.alloc_block(size / BLOCK_UNIT) }
    }

    /// Takes an entry's block back.
    ///
    /// # Safety
    /// `block` came from `alloc(size)` of this slab with the same size, was not freed since, and nothing refers to it.
    #[inline]
    pub(super) unsafe fn free(&mut self, block: *mut u8, size: usize) {
        self.used_bytes -= size;
        if size > CHUNKED_BYTES_MAX {
            self.big_bytes -= size;
            // SAFETY: blocks of this size came from the global allocator with this layout.
            unsafe { dealloc(block, big_layout(size)) };
        } else {
            // SAFETY: a block of this slab's chunks.
            unsafe { self.free_block(block, size) };
        }
    }

    /// A block for a segment, of `SEGMENT_BYTES[index]` bytes, aligned to 64; its contents are undefined.
    pub(super) fn alloc_segment(&mut self, index: usize) -> *mut u8 {
        let class = ENTRY_CLASSES + index;
        self.used_bytes += SEGMENT_BYTES[index];
        // SAFETY: the top of the stack is live if there is one, and blocks lie within their chunk.
        unsafe {
            let top = self.classes[class].first;
            if top.is_null() || (*top).used == (*top).capacity {
                let chunk = self.add_chunk(class);
                self.list(chunk);
            }
            let top = self.classes[class].first;
            (*top).used += 1;
            block_at(top, (*top).used - 1)
        }
    }

    /// Takes a segment's block back. The segment at the address returned has moved into it.
    ///
    /// # Safety
    /// `block` came from `alloc_segment(index)` of this slab, was not freed since, and nothing refers to it, nor to any other
    /// such block by anything that the caller does not correct.
    pub(super) unsafe fn free_segment(&mut self, block: *mut u8, index: usize) -> Option<*mut u8> {
        self.used_bytes -= SEGMENT_BYTES[index];
        // SAFETY: the stack holds the block, so it has a top; the last block of the top is the last one in use.
        unsafe {
            let top = self.classes[ENTRY_CLASSES + index].first;
            (*top).used -= 1;
            let last = block_at(top, (*top).used);
            let moves = !ptr::eq(last, block);
            if moves {
                ptr::copy_nonoverlapping(last, block, SEGMENT_BYTES[index]);
            }
            if (*top).used == 0 {
                self.unlist(top);
                self.regions.give_chunk(top.cast(), (*top).region);
            }
            moves.then_some(last)
        }
    }

    /// Moves one chunk of segments out of a region that is to be emptied, and tells the new address of every segment in it.
    /// `None`: all regions were looked at, and the next call begins anew.
    ///
    /// # Safety
    /// Nothing refers to segments by anything that `on_moved` (new address, `index` of its size) does not correct.
    pub(super) unsafe fn move_segments(&mut self, mut on_moved: impl FnMut(*mut u8, usize)) -> bool {
        let Some(region) = self.regions.here() else { return false };
        // SAFETY: the walk's region is live, as are the used chunks in it and their neighbours.
        unsafe {
            let mut chunks = used_chunks(region).map(|chunk| chunk.cast::<Chunk>());
            let holds_segments = |chunk: &*mut Chunk| usize::from((**chunk).class) >= ENTRY_CLASSES;
            if !region::is_marked(region) {
                return self.regions.go_on_from(region);
            }
            let Some(chunk) = chunks.find(holds_segments) else { return self.regions.go_on_from(region) };
            let class = usize::from((*chunk).class);
            let new = self.add_chunk(class);
            let new_region = (*new).region;
            ptr::copy_nonoverlapping(chunk.cast::<u8>(), new.cast::<u8>(), CHUNK_BYTES - TAIL_BYTES);
            (*new).region = new_region;
            match (*new).prev.as_mut() {
                Some(above) => above.next = new,
                None => self.classes[class].first = new,
            }
            if let Some(below) = (*new).next.as_mut() {
                below.prev = new;
            }
            for number in 0..(*new).used {
                on_moved(block_at(new, number), class - ENTRY_CLASSES);
            }
            // The walk stays at this region, or goes on if this was all that it held.
            self.regions.give_chunk(chunk.cast(), region);
            self.regions.is_walking()
        }
    }

    /// Whether the block lies in a chunk that is to be emptied.
    ///
    /// # Safety
    /// `block` is a live block of this slab for an entry of at most [`CHUNKED_BYTES_MAX`] bytes.
    #[inline]
    pub(super) unsafe fn is_marked(&self, block: *const u8) -> bool {
        // SAFETY: the block lies in a live chunk.
        unsafe { (*chunk_of(block.cast_mut())).marked }
    }

    /// Looks at one more region for chunks that are worth emptying: those with many free blocks, and all those of a region
    /// with many free chunks; but no more than what is in them finds room elsewhere. Blocks in them should then be replaced by new
    /// ones. False: all regions were looked at, and the next call begins anew.
    pub(super) fn mark_sparse(&mut self) -> bool {
        let Some(region) = self.regions.here() else { return false };
        // SAFETY: the walk's region is live, as are the used chunks in it.
        unsafe {
            self.regions.mark_if_sparse(region);
            let always = region::is_marked(region);
            for chunk in used_chunks(region) {
                self.mark_chunk_if(chunk.cast(), always);
            }
        }
        self.regions.go_on_from(region)
    }

    /// Whether anything is to be emptied.
    pub(super) fn has_marks(&self) -> bool {
        self.marked + self.regions.marked() > 0
    }

    /// Takes the marks off one more region's chunks. False: all regions were looked at, and the next call begins anew.
    pub(super) fn unmark(&mut self) -> bool {
        let Some(region) = self.regions.here() else { return false };
        // SAFETY: the walk's region is live, as are the used chunks in it; marked chunks are in no list.
        unsafe {
            self.regions.unmark(region);
            let chunks = used_chunks(region).map(|chunk| chunk.cast::<Chunk>());
            for chunk in chunks.filter(|chunk| (**chunk).marked) {
                (*chunk).marked = false;
                self.marked -= 1;
                let class = &mut self.classes[usize::from((*chunk).class)];
                class.free_blocks += usize::from((*chunk).capacity - (*chunk).used);
                class.leaving_blocks -= usize::from((*chunk).used);
                if (*chunk).used < (*chunk).capacity {
                    self.list(chunk);
                }
            }
        }
        self.regions.go_on_from(region)
    }

    /// Gives regions back to the global allocator, at most `count`. True: more are left.
    ///
    /// # Safety
    /// No block of this slab's chunks is used any more.
    pub(super) unsafe fn release_regions(&mut self, count: usize) -> bool {
        for class in &mut self.classes {
            class.first = ptr::null_mut();
        }
        self.used_bytes = self.big_bytes;
        // SAFETY: the caller says so.
        unsafe { self.regions.give_back(count) }
    }

    #[inline]
    fn alloc_block(&mut self, class: usize) -> *mut u8 {
        if self.classes[class].first.is_null() {
            let chunk = self.add_chunk(class);
            // SAFETY: the chunk is new.
            unsafe {
                self.classes[class].free_blocks += usize::from((*chunk).capacity);
                self.list(chunk);
            }
        }
        let chunk = self.classes[class].first;
        self.classes[class].free_blocks -= 1;
        // SAFETY: chunks in the list are live, of this class, and have a free block; blocks lie within their chunk.
        unsafe {
            let number = (*chunk).free;
            let block = if number != NO_BLOCK {
                let block = block_at(chunk, number);
                (*chunk).free = block.cast::<u16>().read();
                block
            } else {
                let block = block_at(chunk, (*chunk).untouched);
                (*chunk).untouched += 1;
                block
            };
            (*chunk).used += 1;
            if (*chunk).used == (*chunk).capacity {
                self.unlist(chunk);
            }
            block
        }
    }

    /// # Safety
    /// `block` is a live block of this slab's chunks, of `size` bytes, and nothing refers to it.
    #[inline]
    unsafe fn free_block(&mut self, block: *mut u8, size: usize) {
        let chunk = chunk_of(block);
        // SAFETY: the block lies in a live chunk of this slab, which starts at the multiple of its size below the block.
        unsafe {
            debug_assert_eq!(usize::from((*chunk).block_bytes), size);
            let class = usize::from((*chunk).class);
            let offset = block.addr() - chunk.addr() - HEADER_BYTES;
            block.cast::<u16>().write((*chunk).free);
            (*chunk).free = (offset / size) as u16;
            let was_full = (*chunk).used == (*chunk).capacity;
            (*chunk).used -= 1;
            if (*chunk).marked {
                self.classes[class].leaving_blocks -= 1;
                if (*chunk).used == 0 {
                    self.marked -= 1;
                    self.regions.give_chunk(chunk.cast(), (*chunk).region);
                }
                return;
            }
            self.classes[class].free_blocks += 1;
            if (*chunk).used == 0 {
                if !was_full {
                    self.unlist(chunk);
                }
                self.classes[class].free_blocks -= usize::from((*chunk).capacity);
                self.regions.give_chunk(chunk.cast(), (*chunk).region);
            } else if was_full {
                self.list(chunk);
            }
        }
    }

    #[cold]
    fn alloc_big(&mut self, size: usize) -> *mut u8 {
        self.big_bytes += size;
        // SAFETY: the size is not 0.
        let block = unsafe { alloc(big_layout(size)) };
        if block.is_null() {
            handle_alloc_error(big_layout(size));
        }
        block
    }

    /// A chunk for blocks of that class, in no list.
    #[cold]
    fn add_chunk(&mut self, class: usize) -> *mut Chunk {
        let (chunk, region) = self.regions.take_chunk();
        let chunk = chunk.cast::<Chunk>();
        let block_bytes = if class < ENTRY_CLASSES { class * BLOCK_UNIT } else { SEGMENT_BYTES[class - ENTRY_CLASSES] };
        // SAFETY: a chunk begins with its header, and nothing refers to this one yet.
        unsafe {
            chunk.write(Chunk {
                prev: ptr::null_mut(),
                next: ptr::null_mut(),
                region,
                block_bytes: block_bytes as u16,
                capacity: (BLOCKS_BYTES / block_bytes) as u16,
                used: 0,
                untouched: 0,
                free: NO_BLOCK,
                class: class as u8,
                marked: false,
            });
        }
        chunk
    }

    /// Marks a chunk if asked to, or if a quarter of it is free and what it holds finds room in others of its class.
    ///
    /// # Safety
    /// The chunk is live.
    unsafe fn mark_chunk_if(&mut self, chunk: *mut Chunk, always: bool) {
        // SAFETY: the caller says so; a chunk with free blocks that is not marked is in its list.
        unsafe {
            let (used, capacity) = (usize::from((*chunk).used), usize::from((*chunk).capacity));
            let free = capacity - used;
            let class = &mut self.classes[usize::from((*chunk).class)];
            let worth_it = free * 4 > capacity && class.leaving_blocks + used + free <= class.free_blocks;
            let is_segments = usize::from((*chunk).class) >= ENTRY_CLASSES;
            if is_segments || (*chunk).marked || !(always || worth_it) {
                return;
            }
            class.leaving_blocks += used;
            class.free_blocks -= free;
            (*chunk).marked = true;
            self.marked += 1;
            if free > 0 {
                self.unlist(chunk);
            }
        }
    }

    /// # Safety
    /// The chunk is live and in no list.
    unsafe fn list(&mut self, chunk: *mut Chunk) {
        // SAFETY: the caller says so, and chunks in the list are live.
        unsafe {
            let first = &mut self.classes[usize::from((*chunk).class)].first;
            (*chunk).prev = ptr::null_mut();
            (*chunk).next = *first;
            if let Some(next) = first.as_mut() {
                next.prev = chunk;
            }
            *first = chunk;
        }
    }

    /// # Safety
    /// The chunk is live and in its class's list.
    unsafe fn unlist(&mut self, chunk: *mut Chunk) {
        // SAFETY: the caller says so, and chunks in the list are live.
        unsafe {
            let (prev, next) = ((*chunk).prev, (*chunk).next);
            match prev.as_mut() {
                Some(prev) => prev.next = next,
                None => self.classes[usize::from((*chunk).class)].first = next,
            }
            if let Some(next) = next.as_mut() {
                next.prev = prev;
            }
        }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        debug_assert!(self.big_bytes == 0 || std::thread::panicking(), "blocks are freed before their slab");
        // SAFETY: the owner drops the slab last.
        while unsafe { self.release_regions(usize::MAX) } {}
    }
}

/// The chunk that a block lies in.
#[inline]
fn chunk_of(block: *mut u8) -> *mut Chunk {
    block.map_addr(|addr| addr & !(CHUNK_BYTES - 1)).cast::<Chunk>()
}

/// # Safety
/// The chunk is live and the number below its capacity.
#[inline]
unsafe fn block_at(chunk: *mut Chunk, number: u16) -> *mut u8 {
    // SAFETY: `capacity` blocks fit between the header and the chunk's end.
    unsafe { chunk.cast::<u8>().add(HEADER_BYTES + usize::from(number) * usize::from((*chunk).block_bytes)) }
}

fn big_layout(size: usize) -> Layout {
    Layout::from_size_align(size, BLOCK_UNIT).expect("a block is smaller than the address space")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::region::REGION_BYTES_MAX;

    struct Rng(u64);

    impl Rng {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) as usize % bound
        }
    }

    struct Block {
        at: *mut u8,
        size: usize,
        fill: u8,
    }

    impl Block {
        fn new(slab: &mut Slab, size: usize, fill: u8) -> Block {
            let at = slab.alloc(size);
            assert!(at.addr().is_multiple_of(BLOCK_UNIT));
            // SAFETY: the block has `size` bytes.
            unsafe { at.write_bytes(fill, size) };
            Block { at, size, fill }
        }

        fn free(self, slab: &mut Slab) {
            // SAFETY: written whole when it was made, and not freed yet.
            unsafe {
                assert!((0..self.size).all(|i| self.at.add(i).read() == self.fill));
                slab.free(self.at, self.size);
            }
        }
    }

    const ROUNDS: usize = if cfg!(miri) { 2_000 } else { 200_000 };

    /// Blocks keep their contents while others come and go, and all memory goes back.
    #[test]
    fn blocks_do_not_overlap_and_memory_returns() {
        let (mut slab, mut rng) = (Slab::new(), Rng(7));
        let mut live: Vec<Block> = Vec::new();
        for round in 0..ROUNDS {
            let growing = (round / (ROUNDS / 4)).is_multiple_of(2);
            if live.is_empty() || (rng.below(4) != 0) == growing {
                let size = if rng.below(16) == 0 { 8 * (64 + rng.below(600)) } else { 8 * (1 + rng.below(64)) };
                live.push(Block::new(&mut slab, size, round as u8));
            } else {
                live.swap_remove(rng.below(live.len())).free(&mut slab);
            }
            debug_assert!(slab.used_bytes() <= slab.reserved_bytes());
            if live.len() > 3000 {
                live.drain(..2500).for_each(|block| block.free(&mut slab));
            }
        }
        live.into_iter().for_each(|block| block.free(&mut slab));
        assert_eq!(slab.used_bytes(), 0);
        assert!(slab.reserved_bytes() <= REGION_BYTES_MAX, "one spare region at most");
    }

    #[test]
    fn small_blocks_are_packed() {
        let mut slab = Slab::new();
        let blocks: Vec<Block> = (0..ROUNDS).map(|_| Block::new(&mut slab, 24, 1)).collect();
        assert_eq!(slab.used_bytes(), ROUNDS * 24);
        assert!(slab.reserved_bytes() < ROUNDS * 24 * 17 / 16 + REGION_BYTES_MAX);
        blocks.into_iter().for_each(|block| block.free(&mut slab));
    }

    /// Nine of ten blocks go at random, so no chunk becomes free by itself; moving what lies in marked chunks gives most of
    /// the memory back, also while other blocks come and go.
    #[test]
    fn moving_blocks_out_of_marked_chunks_returns_memory() {
        let (mut slab, mut rng) = (Slab::new(), Rng(3));
        let sizes = [24, 80, 512];
        let mut live: Vec<Block> = (0..ROUNDS).map(|i| Block::new(&mut slab, sizes[i % 3], i as u8)).collect();
        let full = slab.reserved_bytes();
        while live.len() > ROUNDS / 10 {
            live.swap_remove(rng.below(live.len())).free(&mut slab);
        }
        for _ in 0..4 {
            while slab.mark_sparse() {}
            for i in 0..live.len() {
                // SAFETY: a live block of this slab.
                if unsafe { slab.is_marked(live[i].at) } {
                    let moved = Block::new(&mut slab, live[i].size, live[i].fill);
                    std::mem::replace(&mut live[i], moved).free(&mut slab);
                }
                if i % 7 == 0 {
                    live.push(Block::new(&mut slab, sizes[i % 3], 9));
                    live.swap_remove(rng.below(live.len())).free(&mut slab);
                }
            }
            while slab.unmark() {}
        }
        assert!(slab.reserved_bytes() < full / 5, "{} of {full} bytes are left", slab.reserved_bytes());
        live.into_iter().for_each(|block| block.free(&mut slab));
        assert_eq!((slab.used_bytes(), slab.has_marks()), (0, false));
        assert!(slab.classes.iter().all(|class| class.leaving_blocks == 0));
    }

    #[test]
    fn segments_fit_their_chunks_closely() {
        for bytes in SEGMENT_BYTES {
            let blocks = BLOCKS_BYTES / bytes;
            assert!(blocks * bytes * 1000 >= CHUNK_BYTES * 984, "{bytes}");
        }
    }
}

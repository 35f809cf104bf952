//! The memory of one table: blocks for its entries, in size classes 8 bytes apart, and for its segments.
//!
//! General allocators round small sizes up to 16 bytes, which costs four bytes per key on average, keep what was freed in one
//! size class from the others, and are built for threads. A table's blocks never leave their core, so a free list per chunk
//! is all it takes, and the table can move what lies in them.
//!
//! ```text
//!  region  6 chunks at first, then more, up to 62 (2 MiB less 64 KiB); given back when all its chunks are free, but for one
//!    chunk   32 KiB, aligned to its size, so that a block's address gives its chunk; one size class
//!      header  64 bytes │ block │ block │ … │ never used yet
//!                         │ a free block holds the number of the next free one in its first two bytes
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

const CHUNK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = size_of::<Chunk>();
/// Chunks in the first region, the second and so on.
const REGION_CHUNKS: [usize; 4] = [6, 14, 30, 62];
/// What a region is short of whole chunks; every chunk leaves as much unused at its end. mimalloc puts 64 KiB before a region
/// and eight bytes behind it and rounds up to 64 KiB. So the sum is a power of two, and regions are packed without gaps, which
/// matters where huge pages make every gap resident.
const TAIL_BYTES: usize = 64;
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

struct Region {
    memory: *mut u8,
    bytes: usize,
    /// The first chunk.
    base: *mut u8,
    chunks: u16,
    free_chunks: u16,
    /// A bit for each free chunk.
    free: u64,
    /// To be emptied: it is not in `open`, and no chunk of it is handed out.
    marked: bool,
    /// Neighbours among all regions.
    prev: *mut Region,
    next: *mut Region,
    /// Neighbours among the regions with a free chunk.
    open_prev: *mut Region,
    open_next: *mut Region,
}

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
    regions: *mut Region,
    open: *mut Region,
    /// The region that `mark_sparse` looks at next.
    marking: *mut Region,
    region_count: usize,
    empty_regions: usize,
    /// Chunks that are free, and those of marked regions that are used.
    free_chunks: usize,
    leaving_chunks: usize,
    reserved_bytes: usize,
    used_bytes: usize,
    big_bytes: usize,
}

impl Slab {
    pub(super) const fn new() -> Slab {
        let class = Class { first: ptr::null_mut(), free_blocks: 0, leaving_blocks: 0 };
        Slab {
            classes: [class; CLASSES],
            regions: ptr::null_mut(),
            open: ptr::null_mut(),
            marking: ptr::null_mut(),
            region_count: 0,
            empty_regions: 0,
            free_chunks: 0,
            leaving_chunks: 0,
            reserved_bytes: 0,
            used_bytes: 0,
            big_bytes: 0,
        }
    }

    /// Bytes in blocks handed out.
    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Bytes taken from the global allocator.
    pub(super) fn reserved_bytes(&self) -> usize {
        self.reserved_bytes + self.big_bytes
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
                self.release_chunk(top);
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
        let region = if self.marking.is_null() { self.regions } else { self.marking };
        if region.is_null() {
            return false;
        }
        // SAFETY: regions in the list are live, as are the used chunks in them and their neighbours.
        unsafe {
            if (*region).marked
                && let Some(chunk) = used_chunks(region).find(|chunk| usize::from((**chunk).class) >= ENTRY_CLASSES)
            {
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
                self.marking = region;
                self.release_chunk(chunk);
                for number in 0..(*new).used {
                    on_moved(block_at(new, number), class - ENTRY_CLASSES);
                }
                return true;
            }
            self.marking = (*region).next;
        }
        !self.marking.is_null()
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
        let region = if self.marking.is_null() { self.regions } else { self.marking };
        if region.is_null() {
            return false;
        }
        // SAFETY: regions in the list are live, and `release_region` keeps `marking` so.
        unsafe {
            self.marking = (*region).next;
            let used = (*region).chunks - (*region).free_chunks;
            let elsewhere = self.free_chunks - usize::from((*region).free_chunks);
            if !(*region).marked
                && used > 0
                && used < (*region).chunks / 2
                && self.leaving_chunks + usize::from(used) <= elsewhere
            {
                self.mark_region(region);
            }
            for chunk in used_chunks(region) {
                self.mark_chunk_if(chunk, (*region).marked);
            }
        }
        !self.marking.is_null()
    }

    /// Takes the marks off one more region's chunks. False: all regions were looked at, and the next call begins anew.
    pub(super) fn unmark(&mut self) -> bool {
        let region = if self.marking.is_null() { self.regions } else { self.marking };
        if region.is_null() {
            return false;
        }
        // SAFETY: as in `mark_sparse`; chunks that are marked are in no list.
        unsafe {
            self.marking = (*region).next;
            if (*region).marked {
                (*region).marked = false;
                self.free_chunks += usize::from((*region).free_chunks);
                self.leaving_chunks -= usize::from((*region).chunks - (*region).free_chunks);
                if (*region).free_chunks > 0 {
                    self.reopen(region);
                }
            }
            for chunk in used_chunks(region).filter(|chunk| (**chunk).marked) {
                (*chunk).marked = false;
                let class = &mut self.classes[usize::from((*chunk).class)];
                class.free_blocks += usize::from((*chunk).capacity - (*chunk).used);
                class.leaving_blocks -= usize::from((*chunk).used);
                if (*chunk).used < (*chunk).capacity {
                    self.list(chunk);
                }
            }
        }
        !self.marking.is_null()
    }

    /// Gives regions back to the global allocator, at most `count`. True: more are left.
    ///
    /// # Safety
    /// No block of this slab's chunks is used any more.
    pub(super) unsafe fn release_regions(&mut self, count: usize) -> bool {
        for class in &mut self.classes {
            class.first = ptr::null_mut();
        }
        self.open = ptr::null_mut();
        self.used_bytes = self.big_bytes;
        for _ in 0..count {
            if self.regions.is_null() {
                break;
            }
            // SAFETY: regions in the list are live, and the caller says that their blocks are not in use.
            unsafe { self.release_region(self.regions) };
        }
        !self.regions.is_null()
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
                    self.release_chunk(chunk);
                }
                return;
            }
            self.classes[class].free_blocks += 1;
            if (*chunk).used == 0 {
                if !was_full {
                    self.unlist(chunk);
                }
                self.classes[class].free_blocks -= usize::from((*chunk).capacity);
                self.release_chunk(chunk);
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
        if self.open.is_null() {
            self.add_region();
        }
        let region = self.open;
        // SAFETY: regions in `open` are live and have a free chunk; the chunk at a free bit is within the region and unused.
        unsafe {
            let index = (*region).free.trailing_zeros() as usize;
            if (*region).free_chunks == (*region).chunks {
                self.empty_regions -= 1;
            }
            (*region).free &= (*region).free - 1;
            (*region).free_chunks -= 1;
            self.free_chunks -= 1;
            if (*region).free_chunks == 0 {
                self.close(region);
            }
            let chunk = (*region).base.add(index * CHUNK_BYTES).cast::<Chunk>();
            let block_bytes =
                if class < ENTRY_CLASSES { class * BLOCK_UNIT } else { SEGMENT_BYTES[class - ENTRY_CLASSES] };
            let capacity = BLOCKS_BYTES / block_bytes;
            chunk.write(Chunk {
                prev: ptr::null_mut(),
                next: ptr::null_mut(),
                region,
                block_bytes: block_bytes as u16,
                capacity: capacity as u16,
                used: 0,
                untouched: 0,
                free: NO_BLOCK,
                class: class as u8,
                marked: false,
            });
            chunk
        }
    }

    /// # Safety
    /// The chunk is live, in no list, and none of its blocks is used.
    #[cold]
    unsafe fn release_chunk(&mut self, chunk: *mut Chunk) {
        // SAFETY: a chunk's region is live.
        unsafe {
            let region = (*chunk).region;
            let index = (chunk.addr() - (*region).base.addr()) / CHUNK_BYTES;
            (*region).free |= 1 << index;
            (*region).free_chunks += 1;
            let empty = (*region).free_chunks == (*region).chunks;
            if (*region).marked {
                self.leaving_chunks -= 1;
                if empty {
                    self.release_region(region);
                }
                return;
            }
            self.free_chunks += 1;
            if (*region).free_chunks == 1 {
                self.reopen(region);
            }
            if empty {
                self.empty_regions += 1;
                if self.empty_regions > 1 {
                    self.empty_regions -= 1;
                    self.free_chunks -= usize::from((*region).chunks);
                    self.close(region);
                    self.release_region(region);
                }
            }
        }
    }

    fn add_region(&mut self) {
        let bytes = REGION_CHUNKS[self.region_count.min(REGION_CHUNKS.len() - 1)] * CHUNK_BYTES - TAIL_BYTES;
        // Memory of this size mostly comes aligned to 64 KiB. To ask for it would make mimalloc take more and align inside.
        // SAFETY: the size is not 0.
        let memory = unsafe { alloc(region_layout(bytes)) };
        if memory.is_null() {
            handle_alloc_error(region_layout(bytes));
        }
        let before = memory.addr().next_multiple_of(CHUNK_BYTES) - memory.addr();
        let chunks = (bytes - before + TAIL_BYTES) / CHUNK_BYTES;
        // SAFETY: less than a chunk is left out, and there are several.
        let base = unsafe { memory.add(before) };
        let region = Box::into_raw(Box::new(Region {
            memory,
            bytes,
            base,
            chunks: chunks as u16,
            free_chunks: chunks as u16,
            free: (1 << chunks) - 1,
            marked: false,
            prev: ptr::null_mut(),
            next: self.regions,
            open_prev: ptr::null_mut(),
            open_next: ptr::null_mut(),
        }));
        // SAFETY: both regions are live.
        unsafe {
            if let Some(next) = self.regions.as_mut() {
                next.prev = region;
            }
            self.regions = region;
            self.reopen(region);
        }
        self.region_count += 1;
        self.empty_regions += 1;
        self.free_chunks += chunks;
        self.reserved_bytes += bytes;
    }

    /// # Safety
    /// The region is live, and not in `open` unless that list is not used any more. No block in it is used.
    unsafe fn release_region(&mut self, region: *mut Region) {
        // SAFETY: the region and its neighbours are live; it came from a box and its memory from `alloc`.
        unsafe {
            if ptr::eq(self.marking, region) {
                self.marking = (*region).next;
            }
            let region = Box::from_raw(region);
            match region.prev.as_mut() {
                Some(prev) => prev.next = region.next,
                None => self.regions = region.next,
            }
            if let Some(next) = region.next.as_mut() {
                next.prev = region.prev;
            }
            dealloc(region.memory, region_layout(region.bytes));
            self.reserved_bytes -= region.bytes;
        }
        self.region_count -= 1;
    }

    /// # Safety
    /// The region is live, not marked, and used in part.
    unsafe fn mark_region(&mut self, region: *mut Region) {
        // SAFETY: the caller says so; a region with free chunks is in `open`.
        unsafe {
            (*region).marked = true;
            self.close(region);
            self.free_chunks -= usize::from((*region).free_chunks);
            self.leaving_chunks += usize::from((*region).chunks - (*region).free_chunks);
        }
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
            if free > 0 {
                self.unlist(chunk);
            }
        }
    }

    /// # Safety
    /// The region is live and not in `open`.
    unsafe fn reopen(&mut self, region: *mut Region) {
        // SAFETY: the caller says so, and regions in `open` are live.
        unsafe {
            (*region).open_prev = ptr::null_mut();
            (*region).open_next = self.open;
            if let Some(next) = self.open.as_mut() {
                next.open_prev = region;
            }
        }
        self.open = region;
    }

    /// # Safety
    /// The region is live and in `open`.
    unsafe fn close(&mut self, region: *mut Region) {
        // SAFETY: the caller says so, and regions in `open` are live.
        unsafe {
            let (prev, next) = ((*region).open_prev, (*region).open_next);
            match prev.as_mut() {
                Some(prev) => prev.open_next = next,
                None => self.open = next,
            }
            if let Some(next) = next.as_mut() {
                next.open_prev = prev;
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

/// The used chunks of a region.
///
/// # Safety
/// The region is live for as long as the iterator is used.
unsafe fn used_chunks(region: *mut Region) -> impl Iterator<Item = *mut Chunk> {
    // SAFETY: the caller says so; chunks lie within their region.
    unsafe {
        let (base, free) = ((*region).base, (*region).free);
        (0..usize::from((*region).chunks))
            .filter(move |index| free >> index & 1 == 0)
            .map(move |index| base.add(index * CHUNK_BYTES).cast::<Chunk>())
    }
}

fn region_layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, BLOCK_UNIT).expect("a few MiB")
}

fn big_layout(size: usize) -> Layout {
    Layout::from_size_align(size, BLOCK_UNIT).expect("a block is smaller than the address space")
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(slab.reserved_bytes() <= REGION_CHUNKS[3] * CHUNK_BYTES, "one spare region at most");
    }

    #[test]
    fn small_blocks_are_packed() {
        let mut slab = Slab::new();
        let blocks: Vec<Block> = (0..ROUNDS).map(|_| Block::new(&mut slab, 24, 1)).collect();
        assert_eq!(slab.used_bytes(), ROUNDS * 24);
        assert!(slab.reserved_bytes() < ROUNDS * 24 * 17 / 16 + REGION_CHUNKS[3] * CHUNK_BYTES);
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
        assert_eq!((slab.used_bytes(), slab.leaving_chunks), (0, 0));
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

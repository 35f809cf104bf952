//! The regions that a slab takes from the global allocator, and which of their chunks are free.
//!
//! ```text
//!  region  6 chunks at first, then 14, 30 and 62 (2 MiB less 64 KiB)
//!    chunk   32 KiB, aligned to its size, the last 64 bytes unused
//! ```
//!
//! A region is given back when all its chunks are free, but for one. A region of which little is used may be *marked*: none
//! of its chunks is handed out any more, and when the slab has emptied them, it goes.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr;

pub(super) const CHUNK_BYTES: usize = 32 << 10;
/// Bytes at the end of a chunk that must not be used: a region is short of so many. mimalloc puts 64 KiB before a region and
/// eight bytes behind it and rounds up to 64 KiB. So the sum is a power of two, and regions are packed without gaps, which
/// matters where huge pages make every gap resident.
pub(super) const TAIL_BYTES: usize = 64;
/// Chunks in the first region, the second and so on.
const REGION_CHUNKS: [usize; 4] = [6, 14, 30, 62];
/// Bytes of the largest regions.
#[cfg(test)]
pub(super) const REGION_BYTES_MAX: usize = REGION_CHUNKS[REGION_CHUNKS.len() - 1] * CHUNK_BYTES;

pub(super) struct Region {
    memory: *mut u8,
    bytes: usize,
    /// The first chunk.
    base: *mut u8,
    chunks: u16,
    free_chunks: u16,
    /// A bit for each free chunk.
    free: u64,
    marked: bool,
    /// Neighbours among all regions.
    prev: *mut Region,
    next: *mut Region,
    /// Neighbours among the regions with a free chunk that are not marked.
    open_prev: *mut Region,
    open_next: *mut Region,
}

/// See the file's head.
pub(super) struct Regions {
    all: *mut Region,
    open: *mut Region,
    /// Where a walk over all regions goes on; null before and after one.
    walk: *mut Region,
    count: usize,
    empty: usize,
    marked: usize,
    bytes: usize,
    /// Free chunks, without those of marked regions.
    free_chunks: usize,
    /// Used chunks of marked regions: what has to move elsewhere.
    leaving_chunks: usize,
}

impl Regions {
    pub(super) const fn new() -> Regions {
        Regions {
            all: ptr::null_mut(),
            open: ptr::null_mut(),
            walk: ptr::null_mut(),
            count: 0,
            empty: 0,
            marked: 0,
            bytes: 0,
            free_chunks: 0,
            leaving_chunks: 0,
        }
    }

    /// Bytes taken from the global allocator.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Regions that are marked.
    pub(super) fn marked(&self) -> usize {
        self.marked
    }

    /// A free chunk, its contents undefined, and its region.
    pub(super) fn take_chunk(&mut self) -> (*mut u8, *mut Region) {
        if self.open.is_null() {
            self.add();
        }
        let region = self.open;
        // SAFETY: regions in `open` are live and have a free chunk; chunks lie within their region.
        unsafe {
            let index = (*region).free.trailing_zeros() as usize;
            if (*region).free_chunks == (*region).chunks {
                self.empty -= 1;
            }
            (*region).free &= (*region).free - 1;
            (*region).free_chunks -= 1;
            self.free_chunks -= 1;
            if (*region).free_chunks == 0 {
                self.close(region);
            }
            ((*region).base.add(index * CHUNK_BYTES), region)
        }
    }

    /// Takes a chunk back.
    ///
    /// # Safety
    /// `take_chunk` gave the chunk and the region, and nothing refers to the chunk.
    pub(super) unsafe fn give_chunk(&mut self, chunk: *mut u8, region: *mut Region) {
        // SAFETY: a used chunk's region is live.
        unsafe {
            (*region).free |= 1 << ((chunk.addr() - (*region).base.addr()) / CHUNK_BYTES);
            (*region).free_chunks += 1;
            let empty = (*region).free_chunks == (*region).chunks;
            if (*region).marked {
                self.leaving_chunks -= 1;
                if empty {
                    self.marked -= 1;
                    self.release(region);
                }
                return;
            }
            self.free_chunks += 1;
            if (*region).free_chunks == 1 {
                self.reopen(region);
            }
            if empty {
                self.empty += 1;
                if self.empty > 1 {
                    self.empty -= 1;
                    self.free_chunks -= usize::from((*region).chunks);
                    self.close(region);
                    self.release(region);
                }
            }
        }
    }

    /// Gives regions back, at most `count`. True: more are left. Nothing else can be done with what is left.
    ///
    /// # Safety
    /// No chunk is used any more.
    pub(super) unsafe fn give_back(&mut self, count: usize) -> bool {
        self.open = ptr::null_mut();
        for _ in 0..count {
            if self.all.is_null() {
                return false;
            }
            // SAFETY: regions in the list are live, and the caller says that they are not used.
            unsafe { self.release(self.all) };
        }
        !self.all.is_null()
    }

    /// The region at which a walk over all regions stands, or begins; `None` without any region. The region is live until it
    /// is given back, which may happen when one of its chunks is.
    pub(super) fn here(&mut self) -> Option<*mut Region> {
        if self.walk.is_null() {
            self.walk = self.all;
        }
        (!self.walk.is_null()).then_some(self.walk)
    }

    /// Moves the walk on from `region` unless that is gone. False: the walk is complete.
    pub(super) fn go_on_from(&mut self, region: *mut Region) -> bool {
        if ptr::eq(self.walk, region) {
            // SAFETY: regions at which the walk stands are live.
            self.walk = unsafe { (*region).next };
        }
        !self.walk.is_null()
    }

    /// Whether a walk is under way.
    pub(super) fn is_walking(&self) -> bool {
        !self.walk.is_null()
    }

    /// Marks a region if less than half of it is used and the rest of the regions has room for that.
    ///
    /// # Safety
    /// The region is live.
    pub(super) unsafe fn mark_if_sparse(&mut self, region: *mut Region) {
        // SAFETY: the caller says so; a region with free chunks that is not marked is in `open`.
        unsafe {
            let (used, free) = ((*region).chunks - (*region).free_chunks, (*region).free_chunks);
            if (*region).marked || used == 0 || used >= free {
                return;
            }
            if self.leaving_chunks + usize::from(used + free) > self.free_chunks {
                return;
            }
            (*region).marked = true;
            self.marked += 1;
            self.close(region);
            self.free_chunks -= usize::from(free);
            self.leaving_chunks += usize::from(used);
        }
    }

    /// Takes a region's mark off.
    ///
    /// # Safety
    /// The region is live.
    pub(super) unsafe fn unmark(&mut self, region: *mut Region) {
        // SAFETY: the caller says so; a marked region is not in `open`.
        unsafe {
            if !(*region).marked {
                return;
            }
            (*region).marked = false;
            self.marked -= 1;
            self.free_chunks += usize::from((*region).free_chunks);
            self.leaving_chunks -= usize::from((*region).chunks - (*region).free_chunks);
            if (*region).free_chunks > 0 {
                self.reopen(region);
            }
        }
    }

    fn add(&mut self) {
        let bytes = REGION_CHUNKS[self.count.min(REGION_CHUNKS.len() - 1)] * CHUNK_BYTES - TAIL_BYTES;
        // Memory of this size mostly comes aligned to 64 KiB. To ask for it would make mimalloc take more and align inside.
        // SAFETY: the size is not 0.
        let memory = unsafe { alloc(layout(bytes)) };
        if memory.is_null() {
            handle_alloc_error(layout(bytes));
        }
        let before = memory.addr().next_multiple_of(CHUNK_BYTES) - memory.addr();
        let chunks = (bytes - before + TAIL_BYTES) / CHUNK_BYTES;
        let region = Box::into_raw(Box::new(Region {
            memory,
            bytes,
            // SAFETY: less than a chunk is left out, and there are several.
            base: unsafe { memory.add(before) },
            chunks: chunks as u16,
            free_chunks: chunks as u16,
            free: (1 << chunks) - 1,
            marked: false,
            prev: ptr::null_mut(),
            next: self.all,
            open_prev: ptr::null_mut(),
            open_next: ptr::null_mut(),
        }));
        // SAFETY: both regions are live.
        unsafe {
            if let Some(next) = self.all.as_mut() {
                next.prev = region;
            }
            self.all = region;
            self.reopen(region);
        }
        self.count += 1;
        self.empty += 1;
        self.free_chunks += chunks;
        self.bytes += bytes;
    }

    /// # Safety
    /// The region is live, and not in `open` unless that list is not used any more. No chunk of it is used.
    unsafe fn release(&mut self, region: *mut Region) {
        // SAFETY: the region and its neighbours are live; it came from a box and its memory from `alloc`.
        unsafe {
            if ptr::eq(self.walk, region) {
                self.walk = (*region).next;
            }
            let region = Box::from_raw(region);
            match region.prev.as_mut() {
                Some(prev) => prev.next = region.next,
                None => self.all = region.next,
            }
            if let Some(next) = region.next.as_mut() {
                next.prev = region.prev;
            }
            dealloc(region.memory, layout(region.bytes));
            self.bytes -= region.bytes;
        }
        self.count -= 1;
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
}

/// Whether a region is marked.
///
/// # Safety
/// The region is live.
pub(super) unsafe fn is_marked(region: *mut Region) -> bool {
    // SAFETY: the caller says so.
    unsafe { (*region).marked }
}

/// The used chunks of a region.
///
/// # Safety
/// The region is live for as long as the iterator is used.
pub(super) unsafe fn used_chunks(region: *mut Region) -> impl Iterator<Item = *mut u8> {
    // SAFETY: the caller says so; chunks lie within their region.
    unsafe {
        let (base, free) = ((*region).base, (*region).free);
        (0..usize::from((*region).chunks))
            .filter(move |index| free >> index & 1 == 0)
            .map(move |index| base.add(index * CHUNK_BYTES))
    }
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, align_of::<usize>()).expect("2 MiB at most")
}

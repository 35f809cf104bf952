//! The allocator (mimalloc) and what it counts.
//!
//! `maxmemory`, INFO and MEMORY need the bytes in use at any moment, cheaply. So every thread counts
//! what it allocates and frees in a block of its own, with plain loads and stores that no other
//! thread writes; the sum over all blocks is the memory in use. A thread that frees what another
//! has allocated goes below zero: only the sum has a meaning. Sizes are counted as mimalloc rounds
//! them, so the sum is what the allocator's blocks really take.
//!
//! The blocks of ended threads stay in the list, since what these threads have allocated may live
//! on: 128 bytes per thread ever started.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::{c_long, c_void};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU16, AtomicU64, Ordering};
use std::thread::{self, Thread};

use crate::signal;

// Links the library whose functions are declared below.
use mimalloc as _;

unsafe extern "C" {
    fn mi_malloc(size: usize) -> *mut c_void;
    fn mi_zalloc(size: usize) -> *mut c_void;
    fn mi_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn mi_malloc_aligned(size: usize, alignment: usize) -> *mut c_void;
    fn mi_zalloc_aligned(size: usize, alignment: usize) -> *mut c_void;
    fn mi_realloc_aligned(block: *mut c_void, size: usize, alignment: usize) -> *mut c_void;
    fn mi_free(block: *mut c_void);
    fn mi_good_size(size: usize) -> usize;
    fn mi_collect(force: bool);
    fn mi_option_set_default(option: i32, value: c_long);
    fn mi_process_info(
        elapsed_ms: *mut usize,
        user_ms: *mut usize,
        system_ms: *mut usize,
        current_rss: *mut usize,
        peak_rss: *mut usize,
        current_commit: *mut usize,
        peak_commit: *mut usize,
        page_faults: *mut usize,
    );
}

/// mimalloc, counting. In the binary: `#[global_allocator] static ALLOC: Counting = Counting;`
pub struct Counting;

/// Alignments up to this come with every block.
const NATURAL_ALIGN: usize = 8;

// SAFETY: all calls go to mimalloc, which keeps the contract of an allocator: blocks of at least
// the size asked for, aligned as asked for (every block is aligned to 8; larger alignments use the
// aligned functions), and `mi_free` and `mi_realloc` accept blocks of all of these.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size and any power-of-two alignment is accepted; failure is null.
        let block = unsafe {
            if layout.align() <= NATURAL_ALIGN {
                mi_malloc(layout.size())
            } else {
                mi_malloc_aligned(layout.size(), layout.align())
            }
        };
        if !block.is_null() {
            count(rounded(layout.size()) as i64);
        }
        block.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let block = unsafe {
            if layout.align() <= NATURAL_ALIGN {
                mi_zalloc(layout.size())
            } else {
                mi_zalloc_aligned(layout.size(), layout.align())
            }
        };
        if !block.is_null() {
            count(rounded(layout.size()) as i64);
        }
        block.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(rounded(layout.size()) as i64));
        // SAFETY: the caller gives a block of this allocator that is not used any more.
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller gives a block of this allocator; on failure it stays as it is.
        let moved = unsafe {
            if layout.align() <= NATURAL_ALIGN {
                mi_realloc(block.cast(), size)
            } else {
                mi_realloc_aligned(block.cast(), size, layout.align())
            }
        };
        if !moved.is_null() {
            count(rounded(size) as i64 - rounded(layout.size()) as i64);
        }
        moved.cast()
    }
}

/// One thread's count. Two lines, so that neighbours never share a fetched pair.
#[repr(align(128))]
struct Count {
    bytes: AtomicI64,
    next: *const Count,
}

thread_local! {
    /// This thread's count; null before its first allocation. No destructor: the cell can be used
    /// at any moment of the thread's life.
    static MINE: Cell<*const Count> = const { Cell::new(ptr::null()) };
}

/// The list of all counts; only ever grows at its head.
static COUNTS: AtomicPtr<Count> = AtomicPtr::new(ptr::null_mut());

#[inline]
fn count(bytes: i64) {
    MINE.with(|mine| {
        let mut block = mine.get();
        if block.is_null() {
            block = register(mine);
            if block.is_null() {
                return;
            }
        }
        // SAFETY: registered counts are never freed.
        let counter = unsafe { &(*block).bytes };
        // Only this thread writes it: no read-modify-write is needed.
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(bytes), Ordering::Relaxed);
    });
}

/// Makes this thread's count and puts it into the list.
#[cold]
#[inline(never)]
fn register(mine: &Cell<*const Count>) -> *const Count {
    // SAFETY: plain allocation, not counted; null is handled.
    let block = unsafe { mi_malloc_aligned(size_of::<Count>(), align_of::<Count>()) }.cast::<Count>();
    if block.is_null() {
        return block;
    }
    fill_size_classes();
    let mut head = COUNTS.load(Ordering::Acquire);
    loop {
        // SAFETY: the block is ours, of the right size and alignment, and not yet in the list.
        unsafe { block.write(Count { bytes: AtomicI64::new(0), next: head }) };
        match COUNTS.compare_exchange_weak(head, block, Ordering::Release, Ordering::Acquire) {
            Ok(_) => break,
            Err(now) => head = now,
        }
    }
    mine.set(block);
    block
}

const SMALL_MAX: usize = 1024;
const WORDS: usize = SMALL_MAX / 8 + 1;

/// mimalloc's block size for each small size, by 8-byte words. It depends on how mimalloc was
/// built (24 bytes take 24 or 32), so mimalloc is asked.
static SIZE_CLASSES: [AtomicU16; WORDS] = [const { AtomicU16::new(0) }; WORDS];

fn fill_size_classes() {
    if SIZE_CLASSES[1].load(Ordering::Relaxed) != 0 {
        return;
    }
    for (words, class) in SIZE_CLASSES.iter().enumerate().rev() {
        // SAFETY: a pure function of the size.
        let size = unsafe { mi_good_size((words * 8).max(1)) };
        class.store(size as u16, Ordering::Relaxed);
    }
}

/// The bytes that a block for `size` bytes takes.
#[inline]
pub fn rounded(size: usize) -> usize {
    if size <= SMALL_MAX {
        return usize::from(SIZE_CLASSES[size.div_ceil(8)].load(Ordering::Relaxed));
    }
    if size <= LARGE_MAX {
        // Four classes per doubling.
        let step = 1 << ((size - 1).ilog2() - 2);
        return size.next_multiple_of(step);
    }
    size.next_multiple_of(4096)
}

/// Larger blocks are pages of their own.
const LARGE_MAX: usize = 512 * 1024;

/// Bytes allocated and not freed, in the sizes of the allocator's blocks. 0 when [`Counting`] is
/// not the global allocator.
pub fn used_bytes() -> u64 {
    let mut sum = 0i64;
    let mut block: *const Count = COUNTS.load(Ordering::Acquire);
    // SAFETY: the list's blocks are complete when they enter it and are never freed.
    while let Some(count) = unsafe { block.as_ref() } {
        sum = sum.wrapping_add(count.bytes.load(Ordering::Relaxed));
        block = count.next;
    }
    let used = sum.max(0) as u64;
    if used > PEAK.load(Ordering::Relaxed) {
        PEAK.fetch_max(used, Ordering::Relaxed);
    }
    used
}

static PEAK: AtomicU64 = AtomicU64::new(0);

/// The highest value that [`used_bytes`] has returned: as good as how often that is asked.
pub fn peak_bytes() -> u64 {
    PEAK.load(Ordering::Relaxed)
}

/// Forgets the peak.
pub fn reset_peak() {
    PEAK.store(0, Ordering::Relaxed);
}

/// Resident memory of the process, from the kernel; 0 when it cannot be asked.
pub fn resident_bytes() -> u64 {
    static STATM: OnceLock<Option<File>> = OnceLock::new();
    let Some(file) = STATM.get_or_init(|| File::open("/proc/self/statm").ok()) else { return 0 };
    let mut text = [0u8; 128];
    let Ok(len) = file.read_at(&mut text, 0) else { return 0 };
    let text = String::from_utf8_lossy(&text[..len]);
    let pages = text.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * page_bytes()
}

fn page_bytes() -> u64 {
    // SAFETY: plain call.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as u64 }
}

/// Memory that mimalloc has taken from the kernel and not given back: blocks in use, free blocks
/// between them, and pages kept for later.
pub fn allocator_bytes() -> u64 {
    let mut commit = 0;
    let null = ptr::null_mut();
    // SAFETY: null pointers are skipped; `commit` is writable.
    unsafe { mi_process_info(null, null, null, null, null, &mut commit, null, null) };
    commit as u64
}

/// Bytes that the calling thread has allocated and not freed; below zero if it freed what others had allocated.
#[inline]
pub fn thread_bytes() -> i64 {
    // SAFETY: registered counts are never freed.
    MINE.with(|mine| unsafe { mine.get().as_ref() }).map_or(0, |count| count.bytes.load(Ordering::Relaxed))
}

/// From here on free memory goes back to the kernel when [`give_back`] says so, and not by itself. By itself it goes a second
/// after it was freed, all there is in one go, while some thread allocates: after much was freed that takes 100 ms.
/// `MIMALLOC_PURGE_DELAY` still says otherwise. The thread that does it must not get the process's signals, so they are blocked
/// ([`crate::signal::block`]).
///
/// # Errors
/// The thread cannot be started.
pub fn give_back_when_told() -> io::Result<()> {
    /// The number of `purge_delay` in mimalloc.h.
    const PURGE_DELAY: i32 = 15;
    /// Of no delay at all nothing would be remembered.
    const NEVER_MS: c_long = 1 << 50;
    signal::block()?;
    let giver = thread::Builder::new().name("memory".to_owned()).spawn(|| {
        // Whoever has work comes first: at nice 19 it got 4 ms of a busy core every 0.3 s, as long as there was something to give
        // back. Where that is not allowed it runs like any other.
        let nothing = libc::sched_param { sched_priority: 0 };
        // SAFETY: a plain call for the calling thread (0); the structure lives as long as it.
        unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &nothing) };
        loop {
            thread::park();
            while IS_WANTED.swap(false, Ordering::Relaxed) {
                purge();
            }
        }
    })?;
    GIVER.get_or_init(|| giver.thread().clone());
    // SAFETY: a plain call with a number below that of all options.
    unsafe { mi_option_set_default(PURGE_DELAY, NEVER_MS) };
    Ok(())
}

/// From here on the process gets no transparent huge pages, whatever the host and the allocator say: first touches of memory take
/// microseconds, of 4 KiB each.
///
/// # Errors
/// The kernel has none, or does not let the process say so.
pub fn without_huge_pages() -> io::Result<()> {
    // SAFETY: plain call; the arguments are numbers.
    match unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

static GIVER: OnceLock<Thread> = OnceLock::new();
static IS_WANTED: AtomicBool = AtomicBool::new(false);

/// Has all that is free between the heaps of all threads go back to the kernel, soon, by a thread of its own.
pub fn give_back() {
    IS_WANTED.store(true, Ordering::Relaxed);
    if let Some(giver) = GIVER.get() {
        giver.unpark();
    }
}

/// Gives what the calling thread's heap has free back to the kernel, and what is free between heaps: of 1 GiB that takes 100 ms.
pub fn purge() {
    // SAFETY: concerns free memory only.
    unsafe { mi_collect(true) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_what_mimalloc_does() {
        fill_size_classes();
        for size in (1..4096).chain((4096..600_000).step_by(331)) {
            // SAFETY: a pure function of the size.
            assert_eq!(rounded(size), unsafe { mi_good_size(size) }, "size {size}");
        }
    }

    #[test]
    fn resident_memory_is_known() {
        assert!(resident_bytes() > 1 << 20);
        purge();
    }
}

//! Receive buffers that the kernel picks from (a provided-buffer ring), and the pool of output
//! buffers. Together they make an idle connection own no buffer at all.
//!
//! ```text
//! entries  (16 B each, a power of two, page-aligned; shared with the kernel)
//!   0: addr len bid | tail     the tail lies in the last 2 bytes of entry 0
//!   1: addr len bid | -
//! data     count x stride bytes; stride = buffer bytes + 64, so that the buffers' first lines
//!          fall on different sets of the cache
//! ```
//! The kernel takes entries from its head on, one per receive; we put a buffer back behind the tail
//! when its bytes have been delivered, and publish the tail (Release) once a turn.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use crate::ring::Ring;

/// The buffer group of every receive.
pub(crate) const GROUP: u16 = 0;

pub(crate) struct RecvBuffers {
    memory: Mapping,
    /// Number of buffers, a power of two.
    count: u16,
    buffer_bytes: u32,
    stride: usize,
    /// Where the data begins in `memory`.
    data_at: usize,
    /// Our tail; the kernel sees it after `publish`.
    tail: u16,
    published: u16,
}

impl RecvBuffers {
    /// Maps `count` buffers (rounded up to a power of two) and registers them with the ring.
    ///
    /// # Errors
    /// No memory, or the kernel refuses the registration.
    pub fn new(ring: &Ring, count: u16, buffer_bytes: u32) -> io::Result<RecvBuffers> {
        let count = count.clamp(2, 1 << 15).next_power_of_two();
        let buffer_bytes = buffer_bytes.clamp(512, 1 << 24).next_multiple_of(64);
        let stride = buffer_bytes as usize + 64;
        let data_at = (usize::from(count) * size_of::<BufRingEntry>()).next_multiple_of(4096);
        let memory = Mapping::new(data_at + usize::from(count) * stride)?;
        let mut buffers = RecvBuffers { memory, count, buffer_bytes, stride, data_at, tail: 0, published: 0 };
        for bid in 0..count {
            buffers.give_back(bid);
        }
        // SAFETY: the mapping begins with `count` entries, is page-aligned, and outlives the ring:
        // the core loop drops its ring before its buffers.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(buffers.memory.base.as_ptr() as u64, count, GROUP, 0)?;
        }
        buffers.publish();
        Ok(buffers)
    }

    /// The bytes that a receive put into buffer `bid`.
    ///
    /// # Safety
    /// The kernel has handed out `bid` with at least `len` bytes, and the result is not used after
    /// `give_back(bid)`.
    #[inline]
    pub unsafe fn bytes<'a>(&self, bid: u16, len: usize) -> &'a [u8] {
        assert!(bid < self.count && len <= self.buffer_bytes as usize, "buffer {bid} with {len} bytes");
        // SAFETY: inside the mapping by the assertion; nobody writes to a buffer that the kernel
        // has handed out until it is given back.
        unsafe {
            std::slice::from_raw_parts(
                self.memory.base.as_ptr().add(self.data_at + usize::from(bid) * self.stride),
                len,
            )
        }
    }

    /// Puts a buffer behind the tail. The kernel may use it after `publish`.
    #[inline]
    pub fn give_back(&mut self, bid: u16) {
        let place = usize::from(self.tail & (self.count - 1));
        let address = self.memory.base.as_ptr() as usize + self.data_at + usize::from(bid) * self.stride;
        // SAFETY: `place` is below `count`; entries behind the published tail belong to us. Only
        // addr, len and bid are written: entry 0 also holds the tail.
        unsafe {
            let entry = &mut *self.memory.base.as_ptr().cast::<BufRingEntry>().add(place);
            entry.set_addr(address as u64);
            entry.set_len(self.buffer_bytes);
            entry.set_bid(bid);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was given back.
    #[inline]
    pub fn publish(&mut self) {
        if self.tail != self.published {
            self.published = self.tail;
            // SAFETY: the tail lies in entry 0 of the mapping, is aligned for a u16, and is only
            // accessed atomically from here on.
            let tail = unsafe {
                AtomicU16::from_ptr(BufRingEntry::tail(self.memory.base.as_ptr().cast::<BufRingEntry>()).cast_mut())
            };
            tail.store(self.tail, Ordering::Release);
        }
    }
}

/// Anonymous memory straight from the kernel: page-aligned, and resident only where touched.
struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    fn new(bytes: usize) -> io::Result<Mapping> {
        // SAFETY: a fresh anonymous mapping touches no existing memory.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        Ok(Mapping { base, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and its users are gone with its owner.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// Free output buffers of one core. The one used last is given out first: it is still in the cache.
#[derive(Default)]
pub(crate) struct OutputPool {
    free: Vec<Vec<u8>>,
    bytes: usize,
}

impl OutputPool {
    /// Room of a fresh buffer.
    const FRESH_BYTES: usize = 16 * 1024;
    /// Larger ones are not kept: one big reply must not hold memory for good.
    const KEPT_BYTES_MAX: usize = 64 * 1024;
    /// All that is kept.
    const POOL_BYTES_MAX: usize = 4 * 1024 * 1024;

    #[inline]
    pub fn take(&mut self) -> Vec<u8> {
        match self.free.pop() {
            Some(buffer) => {
                self.bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(Self::FRESH_BYTES),
        }
    }

    #[inline]
    pub fn give_back(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if (Self::FRESH_BYTES..=Self::KEPT_BYTES_MAX).contains(&capacity)
            && self.bytes + capacity <= Self::POOL_BYTES_MAX
        {
            buffer.clear();
            self.bytes += capacity;
            self.free.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_is_bounded() {
        let mut pool = OutputPool::default();
        let first = pool.take();
        assert!(first.capacity() >= OutputPool::FRESH_BYTES);
        let address = first.as_ptr() as usize;
        pool.give_back(first);
        let again = pool.take();
        assert_eq!(again.as_ptr() as usize, address, "used last, given first");
        for _ in 0..10_000 {
            pool.give_back(Vec::with_capacity(OutputPool::KEPT_BYTES_MAX));
        }
        assert!(pool.bytes <= OutputPool::POOL_BYTES_MAX);
        let kept = pool.free.len();
        pool.give_back(Vec::with_capacity(OutputPool::KEPT_BYTES_MAX + 1));
        pool.give_back(Vec::new());
        assert_eq!(pool.free.len(), kept);
    }

    #[test]
    fn buffers_are_registered_and_addressable() {
        let ring = Ring::new(64).unwrap();
        let buffers = RecvBuffers::new(&ring, 5, 1000).unwrap();
        assert_eq!((buffers.count, buffers.buffer_bytes, buffers.tail), (8, 1024, 8));
        // SAFETY: nothing was received: the buffer is zeroed memory that nobody writes to.
        let bytes = unsafe { buffers.bytes(7, 1024) };
        assert!(bytes.iter().all(|&byte| byte == 0));
        drop(ring);
    }
}

//! The receive buffers of one thread: a ring that the kernel takes them from, one for each arrival, whatever connection it is.
//!
//! ```text
//! entries  (16 bytes each, a power of two of them, page-aligned, shared with the kernel)
//!   0: addr len bid | tail     the tail lies in the last two bytes of entry 0
//!   1: addr len bid | -
//! data     count x (buffer bytes + 64), so that the first lines of the buffers fall on different sets of the cache
//! ```
//! A buffer belongs to the kernel from the moment its entry is behind the published tail until a completion names it, and to
//! us until it is given back.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::ring::Ring;

/// The buffer group of every receive.
pub(super) const GROUP: u16 = 0;

pub(super) struct Buffers {
    base: NonNull<u8>,
    mapped: usize,
    count: u16,
    bytes: usize,
    stride: usize,
    data_at: usize,
    tail: u16,
    published: u16,
}

impl Buffers {
    /// Maps and registers `count` buffers (a power of two up to 32,768) of `bytes` bytes.
    ///
    /// # Errors
    /// No memory, or the kernel refuses them.
    pub fn new(ring: &Ring, count: u16, bytes: usize) -> io::Result<Buffers> {
        assert!(count.is_power_of_two() && bytes.is_multiple_of(64));
        let stride = bytes + 64;
        let data_at = (usize::from(count) * size_of::<BufRingEntry>()).next_multiple_of(4096);
        let mapped = data_at + usize::from(count) * stride;
        let (read_write, anonymous) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh anonymous mapping touches no existing memory.
        let base = unsafe { libc::mmap(ptr::null_mut(), mapped, read_write, anonymous, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let mut buffers = Buffers { base, mapped, count, bytes, stride, data_at, tail: 0, published: 0 };
        for bid in 0..count {
            buffers.give_back(bid);
        }
        // SAFETY: the mapping begins with `count` entries, is page-aligned, and outlives the ring (`Wire` drops it first).
        unsafe { ring.submitter().register_buf_ring_with_flags(base.as_ptr() as u64, count, GROUP, 0)? };
        buffers.publish();
        Ok(buffers)
    }

    /// The first `length` bytes of a buffer.
    ///
    /// # Safety
    /// A completion named `bid` with at least that length, and it was not given back since.
    #[inline]
    pub unsafe fn bytes(&self, bid: u16, length: usize) -> &[u8] {
        assert!(bid < self.count && length <= self.bytes);
        // SAFETY: inside the mapping, as asserted; the kernel does not write to a buffer that is ours.
        unsafe {
            std::slice::from_raw_parts(self.base.as_ptr().add(self.data_at + usize::from(bid) * self.stride), length)
        }
    }

    /// Puts a buffer behind the tail; the kernel may use it after `publish`.
    #[inline]
    pub fn give_back(&mut self, bid: u16) {
        let place = usize::from(self.tail & (self.count - 1));
        let address = self.base.as_ptr() as usize + self.data_at + usize::from(bid) * self.stride;
        // SAFETY: `place` is below `count`, and entries behind the published tail are ours. Only addr, len and bid are written,
        // since entry 0 also holds the tail.
        unsafe {
            let entry = &mut *self.base.as_ptr().cast::<BufRingEntry>().add(place);
            entry.set_addr(address as u64);
            entry.set_len(self.bytes as u32);
            entry.set_bid(bid);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was given back.
    #[inline]
    pub fn publish(&mut self) {
        if self.tail != self.published {
            self.published = self.tail;
            // SAFETY: the tail lies in entry 0 of the mapping, is aligned, and is only accessed atomically.
            let tail = unsafe {
                AtomicU16::from_ptr(BufRingEntry::tail(self.base.as_ptr().cast::<BufRingEntry>()).cast_mut())
            };
            tail.store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and the ring that used it is gone.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.mapped) };
    }
}

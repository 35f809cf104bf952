//! A buffer whose first byte lies at a multiple of the disk's unit, as O_DIRECT wants it.
//!
//! It is a longer vector, used from its first aligned byte on; the vector is never moved or grown afterwards, so the address
//! stays what it is.

/// `length` bytes, zero at first, whose address is a multiple of `align`. The default has none and no room for any.
#[derive(Default)]
pub struct AlignedBuffer {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    /// `align` must be a power of two.
    pub fn new(length: usize, align: u32) -> AlignedBuffer {
        assert!(align.is_power_of_two());
        let align = align as usize;
        let bytes = vec![0; length + align];
        let start = (align - bytes.as_ptr().addr() % align) % align;
        AlignedBuffer { bytes, start, length }
    }

    /// Makes it `length` bytes long, if it has the room; what it holds is not cleared.
    pub fn reuse(mut self, length: usize) -> Option<AlignedBuffer> {
        (self.start + length <= self.bytes.len()).then(|| {
            self.length = length;
            self
        })
    }

    /// As long as it can be.
    pub fn whole(mut self) -> AlignedBuffer {
        self.length = self.bytes.len() - self.start;
        self
    }

    /// The first `length` bytes of it.
    pub fn shortened(mut self, length: usize) -> AlignedBuffer {
        assert!(length <= self.length, "shortened from {} to {length} bytes", self.length);
        self.length = length;
        self
    }
}

impl std::ops::Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }
}

impl std::ops::DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_aligned_and_lengths_kept() {
        for length in [0, 1, 512, 5000] {
            for align in [512, 4096] {
                let buffer = AlignedBuffer::new(length, align);
                assert_eq!((buffer.as_ptr().addr() % align as usize, buffer.len()), (0, length));
                let buffer = buffer.reuse(length / 2).unwrap_or_else(|| AlignedBuffer::new(0, 512));
                assert_eq!((buffer.as_ptr().addr() % 512, buffer.len()), (0, length / 2));
                assert!(buffer.reuse(length + 2 * align as usize).is_none());
            }
        }
    }
}

//! The records of a frame to come, appended where they will be written from: behind the place of its header, in an aligned buffer.
//!
//! So a record is copied here, and no more unless its frame is compressed.

use crate::aligned::AlignedBuffer;
use crate::frame::{self, CRC_BYTES, HEADER_BYTES};

/// Beyond this it gets all the room that it can use: growing on would copy it, and the memory left behind is of no use.
const GROWS_UP_TO: usize = 32 << 10;

/// See the file's head.
#[derive(Default)]
pub struct Payload {
    buffer: AlignedBuffer,
    length: usize,
    /// How long it can become before the buffer has to grow.
    room: usize,
}

impl Payload {
    /// An empty one in the memory of a buffer that was written.
    pub fn reuse(buffer: AlignedBuffer, align: u32) -> Payload {
        let buffer = buffer.whole();
        let extent = buffer.len() - buffer.len() % align as usize;
        Payload { buffer, length: 0, room: extent.saturating_sub(HEADER_BYTES + CRC_BYTES) }
    }

    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(HEADER_BYTES..HEADER_BYTES + self.length).unwrap_or_default()
    }

    /// Appends `bytes`; the buffer's address is to be a multiple of `align`. It will become `most` bytes long, at most.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8], align: u32, most: usize) {
        let end = self.length + bytes.len();
        if end > self.room {
            self.grow(end, align, most);
        }
        if !bytes.is_empty() {
            self.buffer[HEADER_BYTES + self.length..][..bytes.len()].copy_from_slice(bytes);
            self.length = end;
        }
    }

    #[cold]
    fn grow(&mut self, length: usize, align: u32, most: usize) {
        let room = if 2 * length > GROWS_UP_TO { most } else { 2 * length };
        let extent = frame::extent(length.max(room), align);
        let mut grown = Payload::reuse(AlignedBuffer::new(extent as usize, align), align);
        if self.length > 0 {
            let kept = HEADER_BYTES..HEADER_BYTES + self.length;
            grown.buffer[kept.clone()].copy_from_slice(&self.buffer[kept]);
        }
        *self = Payload { length: self.length, ..grown };
    }

    /// The buffer as long as the frame, the payload in its place.
    pub fn into_frame(self, align: u32) -> AlignedBuffer {
        self.buffer.shortened(frame::extent(self.length, align) as usize)
    }

    /// The buffer, for anything.
    pub fn into_buffer(self) -> AlignedBuffer {
        self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_lies_behind_the_header() {
        let mut payload = Payload::default();
        let mut expected = Vec::new();
        for i in 0..2000u32 {
            let piece = vec![i as u8; i as usize % 40];
            payload.extend(&piece, 512, 40_000);
            expected.extend(piece);
            assert_eq!(payload.bytes(), expected);
        }
        assert_eq!(payload.buffer.len() as u64 / 512, frame::extent(40_000, 512) / 512);
        let frame = payload.into_frame(512);
        assert_eq!(frame.len() as u64, frame::extent(expected.len(), 512));
        assert_eq!(frame.as_ptr().addr() % 512, 0);
        assert_eq!(&frame[HEADER_BYTES..][..expected.len()], expected);
        let mut again = Payload::reuse(frame, 512);
        assert!(again.is_empty() && again.bytes().is_empty());
        again.extend(b"next", 512, 40_000);
        assert_eq!(again.bytes(), b"next");
    }
}

//! Reply bytes on their way to a connection, with large values by reference among them.

use pinyon_base::Blob;

/// Reply bytes and shared values, in the order they are to be sent. The default is empty and owns no memory.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// Values that belong between the bytes, by the position in `bytes` that they come before; positions never fall.
    blobs: Vec<Insert>,
    /// Bytes of all `blobs`.
    blob_bytes: usize,
}

#[derive(Debug)]
struct Insert {
    at: usize,
    blob: Blob,
}

impl Output {
    /// Bytes to send, those of shared values included.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() + self.blob_bytes
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes at the end, to append to. What is there must stay, and nothing may be inserted before it.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a shared value without copying it.
    pub fn push_blob(&mut self, blob: Blob) {
        if blob.is_empty() {
            return;
        }
        self.blob_bytes += blob.len();
        self.blobs.push(Insert { at: self.bytes.len(), blob });
    }

    /// Bytes behind the last shared value.
    pub fn open_bytes(&self) -> usize {
        self.bytes.len() - self.blobs.last().map_or(0, |insert| insert.at)
    }

    /// Makes a shared value of the bytes behind the last one: what is appended from now on does not move them.
    pub fn seal(&mut self) {
        let from = self.blobs.last().map_or(0, |insert| insert.at);
        let sealed = self.bytes[from..].to_vec();
        self.bytes.truncate(from);
        self.push_blob(Blob::new(sealed));
    }

    /// Whether any part is a shared value, so that sending takes more than one piece.
    #[inline]
    pub fn has_blobs(&self) -> bool {
        !self.blobs.is_empty()
    }

    /// Appends all of `other`, which is empty afterwards but may keep its memory.
    pub fn append(&mut self, other: &mut Output) {
        if self.is_empty() && self.bytes.capacity() <= other.bytes.capacity() {
            std::mem::swap(self, other);
            return;
        }
        let base = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.blobs.extend(other.blobs.drain(..).map(|insert| Insert { at: base + insert.at, ..insert }));
        self.blob_bytes += std::mem::take(&mut other.blob_bytes);
    }

    /// Appends what `other` holds, which stays as it is: its bytes are copied, its shared values are not.
    pub fn extend(&mut self, other: &Output) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.blobs.extend(other.blobs.iter().map(|insert| Insert { at: base + insert.at, blob: insert.blob.clone() }));
        self.blob_bytes += other.blob_bytes;
    }

    /// Forgets the content and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.blobs.clear();
        self.blob_bytes = 0;
    }

    /// Bytes of memory held by this buffer itself, without the shared values.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives memory back so that about `bytes` or what is in use stays, whichever is more.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.bytes.shrink_to(bytes);
        self.blobs.shrink_to(0);
    }

    /// The content as contiguous pieces, in order; none is empty.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces_from(0)
    }

    /// The content without its first `skip` bytes, which were sent already.
    pub fn pieces_from(&self, skip: usize) -> impl Iterator<Item = &[u8]> {
        Pieces { output: self, blob: 0, at: 0 }
            .scan(skip, |skip, piece| {
                let skipped = piece.len().min(*skip);
                *skip -= skipped;
                Some(&piece[skipped..])
            })
            .filter(|piece| !piece.is_empty())
    }
}

struct Pieces<'a> {
    output: &'a Output,
    /// The next shared value.
    blob: usize,
    /// Bytes already given.
    at: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let bytes = &self.output.bytes;
        let Some(insert) = self.output.blobs.get(self.blob) else {
            let rest = &bytes[self.at..];
            self.at = bytes.len();
            return (!rest.is_empty()).then_some(rest);
        };
        if insert.at > self.at {
            let before = &bytes[self.at..insert.at];
            self.at = insert.at;
            return Some(before);
        }
        self.blob += 1;
        Some(&insert.blob)
    }
}

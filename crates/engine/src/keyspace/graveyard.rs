//! What is to be freed later, a little at a time: tables of flushed databases and big blobs.

use pinyon_base::Blob;

use super::table::Table;

/// Freeing more than this at once takes longer than a command should wait.
pub(super) const PROMPT_BYTES_MAX: usize = 256 << 10;

#[derive(Default)]
pub(super) struct Graveyard {
    tables: Vec<Table>,
    blobs: Vec<Blob>,
    /// Of the blobs.
    blob_bytes: usize,
}

impl Graveyard {
    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.blobs.is_empty()
    }

    /// Bytes waiting to be freed.
    pub(super) fn bytes(&self) -> usize {
        self.blob_bytes + self.tables.iter().map(Table::bytes).sum::<usize>()
    }

    pub(super) fn bury_table(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// Takes a blob over if this is its last owner and it is big or `later` is asked for; otherwise drops it.
    pub(super) fn bury_blob(&mut self, blob: Blob, later: bool) {
        if later || blob.capacity() > PROMPT_BYTES_MAX {
            self.blob_bytes += blob.capacity();
            self.blobs.push(blob);
        }
    }

    /// Hands out the blobs that wait, for freeing them on another thread.
    pub(super) fn take_blobs(&mut self) -> Vec<Blob> {
        self.blob_bytes = 0;
        std::mem::take(&mut self.blobs)
    }

    /// Frees about `budget` segments, regions or blobs. True: more is left.
    pub(super) fn slice(&mut self, budget: usize) -> bool {
        for _ in 0..budget {
            if let Some(blob) = self.blobs.pop() {
                self.blob_bytes -= blob.capacity();
            } else if let Some(table) = self.tables.last_mut() {
                let (blobs, blob_bytes) = (&mut self.blobs, &mut self.blob_bytes);
                let more = table.dismantle(&mut |blob| {
                    *blob_bytes += blob.capacity();
                    blobs.push(blob);
                });
                if !more {
                    self.tables.pop();
                }
            } else {
                break;
            }
        }
        !self.is_empty()
    }
}

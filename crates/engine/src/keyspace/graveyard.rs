//! What is to be freed later, a little at a time: tables of flushed databases, big blobs and big collections.

use pinyon_base::Blob;
use pinyon_values::Collection;

use super::block::Heavy;
use super::table::Table;

/// Freeing more than this at once takes longer than a command should wait.
pub(super) const PROMPT_BYTES_MAX: usize = 256 << 10;
/// Elements of a collection freed in a step: some 10 µs.
const ELEMENTS_PER_STEP: usize = 200;

#[derive(Default)]
pub(super) struct Graveyard {
    tables: Vec<Table>,
    blobs: Vec<Blob>,
    /// Of the blobs.
    blob_bytes: usize,
    collections: Vec<Dying>,
    /// Of the collections.
    collection_bytes: usize,
    /// Values that were freed here, not at once.
    freed: u64,
}

/// A collection that is being freed.
struct Dying {
    collection: Collection,
    /// What is still to be freed, about: elements and bytes.
    elements: usize,
    bytes: usize,
}

impl Graveyard {
    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.blobs.is_empty() && self.collections.is_empty()
    }

    /// Bytes waiting to be freed; collections in tables are not counted.
    pub(super) fn bytes(&self) -> usize {
        self.blob_bytes + self.collection_bytes + self.tables.iter().map(Table::bytes).sum::<usize>()
    }

    /// Values that wait to be freed (`lazyfree_pending_objects`).
    pub(super) fn pending(&self) -> usize {
        self.blobs.len() + self.collections.len() + self.tables.iter().map(Table::len).sum::<usize>()
    }

    /// Values that were freed here (`lazyfreed_objects`).
    pub(super) fn freed(&self) -> u64 {
        self.freed
    }

    pub(super) fn forget_freed(&mut self) {
        self.freed = 0;
    }

    pub(super) fn bury_table(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// Takes a value over if this is its last owner and it is big or `later` is asked for; otherwise drops it.
    pub(super) fn bury(&mut self, heavy: Heavy, later: bool) {
        match heavy {
            Heavy::Blob(blob) => {
                if later || blob.capacity() > PROMPT_BYTES_MAX {
                    self.blob_bytes += blob.capacity();
                    self.blobs.push(blob);
                }
            }
            // Small ones cost less to drop than to keep.
            Heavy::Collection(collection) if collection.is_small() => drop(collection),
            Heavy::Collection(collection) => {
                let (elements, bytes) = (collection.len().max(1) as usize, collection.memory());
                self.collection_bytes += bytes;
                self.collections.push(Dying { collection, elements, bytes });
            }
        }
    }

    /// Hands out the blobs that wait, for freeing them on another thread.
    pub(super) fn take_blobs(&mut self) -> Vec<Blob> {
        self.blob_bytes = 0;
        std::mem::take(&mut self.blobs)
    }

    /// Frees about `budget` segments, regions, blobs or pieces of collections. True: more is left.
    pub(super) fn slice(&mut self, budget: usize) -> bool {
        for _ in 0..budget {
            if let Some(blob) = self.blobs.pop() {
                self.blob_bytes -= blob.capacity();
                self.freed += 1;
            } else if let Some(dying) = self.collections.last_mut() {
                let freed = dying.bytes / dying.elements.div_ceil(ELEMENTS_PER_STEP).max(1);
                dying.elements = dying.elements.saturating_sub(ELEMENTS_PER_STEP);
                dying.bytes -= freed;
                self.collection_bytes -= freed;
                if !dying.collection.free_some(ELEMENTS_PER_STEP) {
                    self.collection_bytes -= dying.bytes;
                    self.collections.pop();
                    self.freed += 1;
                }
            } else if let Some(mut table) = self.tables.pop() {
                let before = table.len();
                let more = table.dismantle(&mut |heavy| self.bury(heavy, true));
                self.freed += before as u64;
                if more {
                    self.tables.push(table);
                }
            } else {
                break;
            }
        }
        !self.is_empty()
    }
}

//! One key with its value: the slot in a bucket, which owns the entry's block.
//!
//! ```text
//!  slot   │ address of the block, 48 bits │ 8 hash bits │ 8 flag bits │       what is in the block: [`super::block`]
//! ```
//!
//! Blocks are aligned, so the lowest bit of the address is free: it is the version by which a snapshot tells what it has
//! saved ([`super::snapshot`]).
//!
//! A slot owns its block but cannot free it alone: the slab that the block came from is needed. So a dropped slot leaks, and
//! a slot is freed by [`Slot::free`].
#![allow(unsafe_code)]

use std::ptr;

use pinyon_base::{Blob, Millis, write_i64};
use pinyon_values::CollectionMut;

use super::access::AccessWord;
use super::block::{
    ACCESS_BYTES, ARMED, BIG, BLOB, BYTES, Content, DEADLINE, EntryRef, FADING_HASH, HASH, Heavy, INLINE_VALUE_MAX,
    INT, KIND, PackedContent, RAW, Shape, WIDE, collection_mut_at, deadline_bytes, deadline_flags, is_packed,
    kind_of_hash, owns_more, take_heavy, varint_len, write_deadline, write_head, write_int, write_value, write_varint,
};
use super::slab::{BLOCK_UNIT, Slab};
use super::value::{Body, ValueRef};

const ADDRESS_BITS: u32 = 48;
const ADDRESS: usize = (1 << ADDRESS_BITS) - 1 - VERSION;
const VERSION: usize = 1;

const _: () = assert!(usize::BITS == 64, "slots keep tags in the upper bits of an address");
const _: () = assert!(size_of::<Slot>() == 8);

/// Owner of an entry's block, or empty. All zero bits are an empty slot.
#[repr(transparent)]
pub(super) struct Slot(*mut u8);

impl Slot {
    pub(super) const EMPTY: Slot = Slot(ptr::null_mut());

    /// A new entry.
    pub(super) fn new(
        slab: &mut Slab,
        hash8: u8,
        key: &[u8],
        content: Content<'_>,
        deadline: Option<Millis>,
        access: AccessWord,
    ) -> Slot {
        let shape = Shape::of(&content, key.len(), deadline);
        let block = slab.alloc(shape.size);
        // SAFETY: the block has the shape's size, and nothing else refers to it.
        unsafe {
            block.cast::<[u8; 3]>().write(access.to_bytes());
            write_head(block, &shape, deadline);
            ptr::copy_nonoverlapping(key.as_ptr(), block.add(shape.key_at), key.len());
            write_value(block, &shape, content);
        }
        Slot::tagged(block, hash8, shape.flags)
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_null()
    }

    /// Eight hash bits of the entry's key.
    #[inline]
    pub(super) fn hash8(&self) -> u8 {
        (self.0.addr() >> ADDRESS_BITS) as u8
    }

    #[inline]
    pub(super) fn is_volatile(&self) -> bool {
        self.flags() & DEADLINE != 0
    }

    /// The wheel has a node for exactly this entry's deadline.
    pub(super) fn is_armed(&self) -> bool {
        self.flags() & ARMED != 0
    }

    /// See [`Slot::is_armed`].
    pub(super) fn set_armed(&mut self, armed: bool) {
        let flags = if armed { self.flags() | ARMED } else { self.flags() & !ARMED };
        *self = self.retagged(self.block(), flags);
    }

    /// Of the table's two versions the one under which the entry was saved last, or made.
    #[inline]
    pub(super) fn version(&self) -> bool {
        self.0.addr() & VERSION != 0
    }

    #[inline]
    pub(super) fn set_version(&mut self, version: bool) {
        self.0 = self.0.map_addr(|addr| (addr & !VERSION) | usize::from(version));
    }

    /// Whether the value is a [`Blob`].
    pub(super) fn is_blob(&self) -> bool {
        self.flags() & KIND == BLOB
    }

    /// Freeing the entry takes more than forgetting its block: a blob, a collection, or a big block.
    pub(super) fn is_heavy(&self) -> bool {
        owns_more(self.flags() & KIND) || self.flags() & BIG != 0
    }

    /// Whether the value is the bytes of a packed collection.
    #[inline]
    pub(super) fn is_packed(&self) -> bool {
        is_packed(self.flags() & KIND)
    }

    /// Whether the value is a hash of which fields have deadlines.
    #[inline]
    pub(super) fn is_fading(&self) -> bool {
        self.flags() & KIND == FADING_HASH
    }

    /// The collection that the entry holds, to be changed.
    #[inline]
    pub(super) fn collection_mut(&mut self) -> Option<CollectionMut<'_>> {
        let kind = self.flags() & KIND;
        if kind <= BLOB || !owns_more(kind) {
            return None;
        }
        let at = self.entry().shape().value_at;
        // SAFETY: the entry's value is a collection of that kind, and the slot is borrowed mutably.
        unsafe { Some(collection_mut_at(kind, self.block().add(at))) }
    }

    /// Sees to it that the slot says whether fields of its hash have deadlines. The value must be a hash.
    pub(super) fn settle_hash_kind(&mut self) {
        let Some(CollectionMut::Hash(hash)) = self.collection_mut() else { return };
        let kind = kind_of_hash(hash);
        debug_assert!(matches!(self.flags() & KIND, HASH | FADING_HASH));
        // Both kinds have the same shape.
        *self = self.retagged(self.block(), self.flags() & !KIND | kind);
    }

    /// The entry. The slot must not be empty.
    #[inline]
    pub(super) fn entry(&self) -> EntryRef<'_> {
        debug_assert!(!self.is_empty());
        // SAFETY: a slot that is not empty owns a block with an entry, which changes only while the slot is borrowed mutably.
        unsafe { EntryRef::new(self.block(), self.flags()) }
    }

    /// Starts fetching the entry into the cache: its first two lines, as most entries lie across two.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(self.block());
        prefetch(self.block().wrapping_add(64));
    }

    #[inline]
    pub(super) fn set_access(&mut self, access: AccessWord) {
        debug_assert!(!self.is_empty());
        // SAFETY: every block starts with the access word, and the slot is borrowed mutably.
        unsafe { self.block().cast::<[u8; 3]>().write(access.to_bytes()) };
    }

    /// Does what `store` does if that is simple: a short value in the place of a short value, in a block that stays the same
    /// size. Not armed afterwards.
    #[inline]
    pub(super) fn store_in_place(
        &mut self,
        content: &Content<'_>,
        deadline: Option<Millis>,
        access: AccessWord,
    ) -> bool {
        const SHORT: usize = 0x80;
        let (flags, block) = (self.flags(), self.block());
        let new_flags = content.kind() | deadline_flags(deadline);
        // SAFETY: the lengths lie within the block; the key's is one byte if it is below 128, and then the next one is the
        // value's or its first byte.
        let (key_len, old_width) = unsafe {
            let lengths = block.add(ACCESS_BYTES);
            (usize::from(lengths.read()), usize::from(lengths.add(1).read()))
        };
        let mut width = content.width();
        let is_simple = (flags | new_flags) & (BIG | WIDE) == 0
            && (flags ^ new_flags) & DEADLINE == 0
            && !owns_more(flags & KIND)
            && !owns_more(new_flags & KIND)
            && key_len < SHORT
            && old_width < SHORT
            && width < SHORT;
        if !is_simple {
            return false;
        }
        let value_at = ACCESS_BYTES + 2 + deadline_bytes(flags) + key_len;
        let size = (value_at + old_width).next_multiple_of(BLOCK_UNIT);
        if (value_at + width).next_multiple_of(BLOCK_UNIT) != size {
            return false;
        }
        if new_flags & KIND == INT {
            width = (size - value_at).min(8);
        }
        // SAFETY: the block has that size, the key stays where it is, and the slot is borrowed mutably.
        unsafe {
            block.cast::<[u8; 3]>().write(access.to_bytes());
            block.add(ACCESS_BYTES + 1).write(width as u8);
            if let Some(deadline) = deadline {
                write_deadline(block.add(ACCESS_BYTES + 2), deadline, new_flags);
            }
            match content {
                Content::Int(value) => write_int(block.add(value_at), *value, width),
                Content::Bytes(bytes) | Content::Raw(bytes) => {
                    ptr::copy_nonoverlapping(bytes.as_ptr(), block.add(value_at), width);
                }
                Content::Packed(packed) => ptr::copy_nonoverlapping(packed.bytes.as_ptr(), block.add(value_at), width),
                Content::Collection(collection) => {
                    if let Some(packed) = PackedContent::of(collection.as_ref()) {
                        ptr::copy_nonoverlapping(packed.bytes.as_ptr(), block.add(value_at), width);
                    }
                }
                Content::Blob(_) => unreachable!("not simple"),
            }
        }
        *self = self.retagged(block, new_flags);
        true
    }

    /// Stores another value, deadline and access word, in place where the block's size stays the same. Not armed
    /// afterwards. Returns what the entry owned beside its block.
    pub(super) fn store(
        &mut self,
        slab: &mut Slab,
        content: Content<'_>,
        deadline: Option<Millis>,
        access: AccessWord,
    ) -> Option<Heavy> {
        let old = self.entry().shape();
        let freed = self.take_heavy(&old);
        let new = Shape::of(&content, old.key_len, deadline);
        self.reshape(slab, &old, &new, deadline, false);
        self.set_access(access);
        // SAFETY: the block has the new shape now, and its old value was taken out.
        unsafe { write_value(self.block(), &new, content) };
        freed
    }

    /// Sets, changes or clears the deadline. Not armed afterwards.
    pub(super) fn set_deadline(&mut self, slab: &mut Slab, deadline: Option<Millis>) {
        if let ValueRef::Int(value) = self.entry().value() {
            // The integer gives back the spare bytes that it took.
            let access = self.entry().access();
            self.store(slab, Content::Int(value), deadline, access);
            return;
        }
        let old = self.entry().shape();
        let new = Shape::new(old.flags & KIND | deadline_flags(deadline), old.key_len, old.width);
        self.reshape(slab, &old, &new, deadline, true);
    }

    /// Appends to a text stored inside the entry if its block has room; its encoding is "raw" afterwards.
    pub(super) fn append_in_place(&mut self, tail: &[u8]) -> bool {
        let old = self.entry().shape();
        if !matches!(old.flags & KIND, BYTES | RAW) {
            return false;
        }
        let width = old.width + tail.len();
        if width > INLINE_VALUE_MAX {
            return false;
        }
        let new = Shape::new(old.flags & !KIND | RAW, old.key_len, width);
        if (new.size, new.value_at) != (old.size, old.value_at) {
            return false;
        }
        let flags = self.flags() & !KIND | RAW;
        *self = self.retagged(self.block(), flags);
        // SAFETY: key and value stay where they are, the longer value still fits the block, its length takes as many bytes
        // as before, and `tail` is no part of the block, which is borrowed mutably.
        unsafe {
            let block = self.block();
            write_varint(block.add(ACCESS_BYTES + varint_len(new.key_len)), width);
            ptr::copy_nonoverlapping(tail.as_ptr(), block.add(old.value_at + old.width), tail.len());
        }
        true
    }

    /// The blob that the entry holds, for changing it where it is.
    pub(super) fn blob_mut(&mut self) -> Option<&mut Blob> {
        if !self.is_blob() {
            return None;
        }
        let shape = self.entry().shape();
        // SAFETY: the value is a blob, aligned, and the slot is borrowed mutably.
        unsafe { Some(&mut *self.block().add(shape.value_at).cast::<Blob>()) }
    }

    /// Moves the entry to another block of the same size if its own lies in a chunk that is to be emptied.
    #[inline]
    pub(super) fn move_if_marked(&mut self, slab: &mut Slab) {
        // SAFETY: a block that is not big lies in a chunk.
        if self.flags() & BIG != 0 || !unsafe { slab.is_marked(self.block()) } {
            return;
        }
        let size = self.entry().block_bytes();
        let block = slab.alloc(size);
        // SAFETY: two blocks of that size, the old one owned by this slot and not used afterwards.
        unsafe {
            ptr::copy_nonoverlapping(self.block(), block, size);
            slab.free(self.block(), size);
        }
        *self = self.retagged(block, self.flags());
    }

    /// Frees the block and returns what the entry owned beside it. The slab must be the one that the entry was made with.
    pub(super) fn free(self, slab: &mut Slab) -> Option<Heavy> {
        let mut slot = self;
        let shape = slot.entry().shape();
        let heavy = slot.take_heavy(&shape);
        // SAFETY: the slot owned the block, and is gone now.
        unsafe { slab.free(slot.block(), shape.size) };
        heavy
    }

    /// Takes the entry apart into an owned value.
    pub(super) fn into_body(self, slab: &mut Slab) -> Body {
        let is_moved = owns_more(self.flags() & KIND);
        let body = (!is_moved).then(|| Body::copy_of(&self.entry().value()));
        match (self.free(slab), body) {
            (Some(Heavy::Blob(blob)), _) => Body::Blob(blob),
            (Some(Heavy::Collection(collection)), _) => Body::Collection(collection),
            (None, Some(body)) => body,
            (None, None) => unreachable!("an entry owns its blob or collection"),
        }
    }

    /// The same slot with another block or other flags.
    #[inline]
    fn retagged(&self, block: *mut u8, flags: u8) -> Slot {
        let version = self.0.addr() & VERSION;
        Slot(Slot::tagged(block, self.hash8(), flags).0.map_addr(|addr| addr | version))
    }

    #[inline]
    fn tagged(block: *mut u8, hash8: u8, flags: u8) -> Slot {
        assert!(block.addr() & !ADDRESS == 0, "addresses are even and have at most 48 bits");
        Slot(
            block.map_addr(|addr| addr | usize::from(hash8) << ADDRESS_BITS | usize::from(flags) << (ADDRESS_BITS + 8)),
        )
    }

    #[inline]
    fn flags(&self) -> u8 {
        (self.0.addr() >> (ADDRESS_BITS + 8)) as u8
    }

    #[inline]
    fn block(&self) -> *mut u8 {
        self.0.map_addr(|addr| addr & ADDRESS)
    }

    /// Takes what the entry owns out of one that will not be read before another value is written.
    fn take_heavy(&mut self, shape: &Shape) -> Option<Heavy> {
        // SAFETY: the value is of that kind and is moved out; the caller overwrites or frees the block.
        unsafe { take_heavy(self.flags() & KIND, self.block().add(shape.value_at)) }
    }

    /// Gives the block another shape for the same key. Key, head and, if `keep_value`, the value are in place afterwards.
    fn reshape(&mut self, slab: &mut Slab, old: &Shape, new: &Shape, deadline: Option<Millis>, keep_value: bool) {
        let block = self.block();
        let target = if new.size == old.size { block } else { slab.alloc(new.size) };
        // SAFETY: both shapes fit their blocks. In place, key and value move in the same direction: the one that moves into
        // the other's place goes last, and the head is written when both are out of its way.
        unsafe {
            let move_key = || {
                if target != block || new.key_at != old.key_at {
                    ptr::copy(block.add(old.key_at), target.add(new.key_at), old.key_len);
                }
            };
            let move_value = || {
                if keep_value && (target != block || new.value_at != old.value_at) {
                    ptr::copy(block.add(old.value_at), target.add(new.value_at), old.width);
                }
            };
            if new.key_at > old.key_at {
                move_value();
                move_key();
            } else {
                move_key();
                move_value();
            }
            if target != block {
                target.cast::<[u8; 3]>().write(block.cast::<[u8; 3]>().read());
            }
            write_head(target, new, deadline);
            if target != block {
                slab.free(block, old.size);
            }
        }
        *self = self.retagged(target, new.flags);
    }
}

impl Default for Slot {
    fn default() -> Slot {
        Slot::EMPTY
    }
}

impl Body {
    /// Calls `store` with the value as it is stored.
    pub(super) fn store_with<R>(self, store: impl FnOnce(Content<'_>) -> R) -> R {
        if let Body::Collection(collection) = self {
            return store(Content::Collection(collection));
        }
        store(match &self {
            Body::Int(value) => Content::Int(*value),
            Body::Bytes(bytes) => Content::Bytes(bytes),
            Body::Raw(bytes) => Content::Raw(bytes),
            Body::Blob(blob) => Content::Blob(blob.clone()),
            Body::Collection(_) => unreachable!("stored above"),
        })
    }

    pub(super) fn copy_of(value: &ValueRef<'_>) -> Body {
        match value {
            ValueRef::Int(value) => Body::Int(*value),
            ValueRef::Bytes(bytes) => Body::Bytes((*bytes).into()),
            ValueRef::Raw(bytes) => Body::Raw((*bytes).into()),
            ValueRef::Blob(blob) => Body::Blob((*blob).clone()),
            ValueRef::Collection(collection) => Body::Collection(collection.to_collection()),
        }
    }
}

/// Starts fetching a cache line.
#[inline]
pub(super) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; any address will do.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint; any address will do.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}

/// The text of a value as APPEND and SETRANGE extend it.
pub(super) fn copy_text(value: &ValueRef<'_>, into: &mut Vec<u8>) {
    match value {
        ValueRef::Int(value) => into.extend_from_slice(write_i64(&mut [0; 20], *value)),
        ValueRef::Bytes(bytes) | ValueRef::Raw(bytes) => into.extend_from_slice(bytes),
        ValueRef::Blob(blob) => into.extend_from_slice(blob),
        ValueRef::Collection(_) => debug_assert!(false, "not a text"),
    }
}

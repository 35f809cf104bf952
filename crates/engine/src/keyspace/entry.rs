//! One key with its value: the slot in a bucket, and the block of memory that the slot owns.
//!
//! ```text
//!  slot   │ address of the block, 48 bits │ 8 hash bits │ 8 flag bits │
//!          flags: 0-3 kind │ 4 has a deadline │ 5 the deadline takes 8 bytes │ 6 armed │ 7 big block
//!
//!  block  │ access word │ key length │ value length │ deadline     │ key │ value │ padding to 8
//!          3 bytes       varint       varint         0, 6 or 8 bytes
//! ```
//!
//! The value is the text itself up to [`INLINE_VALUE_MAX`] bytes; of an integer its low bytes, as many as it needs; of a
//! longer text a [`Blob`], aligned to 8 and without a value length. Lengths are varints, seven bits to a byte, lowest first.
//! A *big block* is one that the slab takes from the global allocator. *Armed* says that the expiry wheel holds a node for exactly this deadline; a volatile entry that is not armed has a node
//! for an earlier one.
//!
//! A slot owns its block but cannot free it alone: the slab that the block came from is needed. So a dropped slot leaks, and
//! a slot is freed by [`Slot::free`].
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::{ptr, slice};

use pinyon_base::{Blob, Millis, write_i64};

use super::access::AccessWord;
use super::slab::{BLOCK_UNIT, CHUNKED_BYTES_MAX, Slab};
use super::value::{Body, ValueRef};

/// The longest text that is stored inside its entry, in bytes.
pub const INLINE_VALUE_MAX: usize = 4096;

const KIND: u8 = 0x0F;
const DEADLINE: u8 = 0x10;
const WIDE: u8 = 0x20;
const ARMED: u8 = 0x40;
const BIG: u8 = 0x80;

const INT: u8 = 1;
const BYTES: u8 = 2;
const RAW: u8 = 3;
const BLOB: u8 = 4;

const ACCESS_BYTES: usize = 3;
const NARROW_DEADLINE_MAX: u64 = (1 << 48) - 1;
const ADDRESS_BITS: u32 = 48;
const ADDRESS: usize = (1 << ADDRESS_BITS) - 1;

const _: () = assert!(usize::BITS == 64, "slots keep tags in the upper bits of an address");
const _: () = assert!(size_of::<Slot>() == 8);

/// A value about to be stored.
#[derive(Clone, Debug)]
pub(super) enum Content<'v> {
    Int(i64),
    /// At most [`INLINE_VALUE_MAX`] bytes.
    Bytes(&'v [u8]),
    /// At most [`INLINE_VALUE_MAX`] bytes.
    Raw(&'v [u8]),
    Blob(Blob),
}

impl Content<'_> {
    fn kind(&self) -> u8 {
        match self {
            Content::Int(_) => INT,
            Content::Bytes(_) => BYTES,
            Content::Raw(_) => RAW,
            Content::Blob(_) => BLOB,
        }
    }

    /// Bytes that the value needs in the block.
    fn width(&self) -> usize {
        match self {
            Content::Int(value) => int_width(*value),
            Content::Bytes(bytes) | Content::Raw(bytes) => {
                debug_assert!(bytes.len() <= INLINE_VALUE_MAX);
                bytes.len()
            }
            Content::Blob(_) => size_of::<Blob>(),
        }
    }
}

/// Where the parts of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Of the slot: kind and width of the deadline.
    flags: u8,
    key_len: usize,
    /// Stored bytes of the value.
    width: usize,
    deadline_at: usize,
    key_at: usize,
    value_at: usize,
    /// Of the whole block.
    size: usize,
}

impl Shape {
    #[inline(always)]
    fn new(flags: u8, key_len: usize, width: usize) -> Shape {
        let lengths = varint_len(key_len) + if flags & KIND == BLOB { 0 } else { varint_len(width) };
        let deadline_at = ACCESS_BYTES + lengths;
        let key_at = deadline_at + deadline_bytes(flags);
        let mut value_at = key_at + key_len;
        if flags & KIND == BLOB {
            value_at = value_at.next_multiple_of(align_of::<Blob>());
        }
        let size = (value_at + width).next_multiple_of(BLOCK_UNIT);
        let big = if size > CHUNKED_BYTES_MAX { BIG } else { 0 };
        Shape { flags: flags & !BIG | big, key_len, width, deadline_at, key_at, value_at, size }
    }

    /// The shape of an entry with this content. An integer gets the bytes that are left over in the block, so that it can
    /// grow where it is.
    #[inline]
    fn of(content: &Content<'_>, key_len: usize, deadline: Option<Millis>) -> Shape {
        let mut shape = Shape::new(content.kind() | deadline_flags(deadline), key_len, content.width());
        if shape.flags & KIND == INT {
            shape.width = (shape.size - shape.value_at).min(8);
        }
        shape
    }
}

/// An entry for reading.
#[derive(Clone, Copy)]
pub(super) struct EntryRef<'e> {
    block: *const u8,
    flags: u8,
    life: PhantomData<&'e [u8]>,
}

impl<'e> EntryRef<'e> {
    #[inline]
    pub(super) fn access(self) -> AccessWord {
        // SAFETY: every block starts with the access word.
        AccessWord::from_bytes(unsafe { self.block.cast::<[u8; 3]>().read() })
    }

    #[inline]
    pub(super) fn key(self) -> &'e [u8] {
        let shape = self.shape();
        // SAFETY: the shape is that of the block, whose key was written when the entry was made.
        unsafe { slice::from_raw_parts(self.block.add(shape.key_at), shape.key_len) }
    }

    /// Whether this is the entry of that key.
    #[inline]
    pub(super) fn has_key(self, key: &[u8]) -> bool {
        // SAFETY: the length is within the block.
        let (key_len, _) = unsafe { read_varint(self.block.add(ACCESS_BYTES)) };
        // SAFETY: the key that is stored has that length, too.
        key_len == key.len() && unsafe { same_bytes(self.key().as_ptr(), key.as_ptr(), key_len) }
    }

    #[inline]
    pub(super) fn value(self) -> ValueRef<'e> {
        let shape = self.shape();
        // SAFETY: the shape is that of the block, whose value was written as its kind says; a blob is aligned.
        unsafe {
            let at = self.block.add(shape.value_at);
            match self.flags & KIND {
                INT => ValueRef::Int(read_int(at, shape.width)),
                BYTES => ValueRef::Bytes(slice::from_raw_parts(at, shape.width)),
                RAW => ValueRef::Raw(slice::from_raw_parts(at, shape.width)),
                _ => ValueRef::Blob(&*at.cast::<Blob>()),
            }
        }
    }

    #[inline]
    pub(super) fn deadline(self) -> Option<Millis> {
        if self.flags & DEADLINE == 0 {
            return None;
        }
        let at = self.shape().deadline_at;
        // SAFETY: a volatile entry's block has the deadline there.
        unsafe { Some(read_deadline(self.block.add(at), self.flags)) }
    }

    /// Bytes of the entry's block.
    pub(super) fn block_bytes(self) -> usize {
        self.shape().size
    }

    #[inline(always)]
    fn shape(self) -> Shape {
        // SAFETY: the lengths lie within the block.
        unsafe {
            let (key_len, key_bytes) = read_varint(self.block.add(ACCESS_BYTES));
            let width = if self.flags & KIND == BLOB {
                size_of::<Blob>()
            } else {
                read_varint(self.block.add(ACCESS_BYTES + key_bytes)).0
            };
            Shape::new(self.flags & !ARMED, key_len, width)
        }
    }
}

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
        *self = Slot::tagged(self.block(), self.hash8(), flags);
    }

    /// Whether the value is a [`Blob`].
    pub(super) fn is_blob(&self) -> bool {
        self.flags() & KIND == BLOB
    }

    /// Freeing the entry takes more than forgetting its block: a blob, or a big block.
    pub(super) fn is_heavy(&self) -> bool {
        self.is_blob() || self.flags() & BIG != 0
    }

    /// The entry. The slot must not be empty.
    #[inline]
    pub(super) fn entry(&self) -> EntryRef<'_> {
        debug_assert!(!self.is_empty());
        EntryRef { block: self.block(), flags: self.flags(), life: PhantomData }
    }

    /// Starts fetching the entry into the cache.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(self.block());
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
            && flags & KIND != BLOB
            && new_flags & KIND != BLOB
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
                Content::Blob(_) => unreachable!("not simple"),
            }
        }
        *self = Slot::tagged(block, self.hash8(), new_flags);
        true
    }

    /// Stores another value, deadline and access word, in place where the block's size stays the same. Not armed
    /// afterwards. Returns the blob that the entry held.
    pub(super) fn store(
        &mut self,
        slab: &mut Slab,
        content: Content<'_>,
        deadline: Option<Millis>,
        access: AccessWord,
    ) -> Option<Blob> {
        let old = self.entry().shape();
        let freed = self.take_blob(&old);
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
        *self = Slot::tagged(self.block(), self.hash8(), flags);
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
        *self = Slot::tagged(block, self.hash8(), self.flags());
    }

    /// Frees the block and returns the blob that the entry held. The slab must be the one that the entry was made with.
    pub(super) fn free(self, slab: &mut Slab) -> Option<Blob> {
        let mut slot = self;
        let shape = slot.entry().shape();
        let blob = slot.take_blob(&shape);
        // SAFETY: the slot owned the block, and is gone now.
        unsafe { slab.free(slot.block(), shape.size) };
        blob
    }

    /// Takes the entry apart into an owned value.
    pub(super) fn into_body(self, slab: &mut Slab) -> Body {
        let body = match self.entry().value() {
            ValueRef::Blob(_) => None,
            value => Some(Body::copy_of(&value)),
        };
        match (self.free(slab), body) {
            (Some(blob), _) => Body::Blob(blob),
            (None, Some(body)) => body,
            (None, None) => unreachable!("an entry of kind blob holds a blob"),
        }
    }

    #[inline]
    fn tagged(block: *mut u8, hash8: u8, flags: u8) -> Slot {
        assert!(block.addr() & !ADDRESS == 0, "addresses have at most 48 bits");
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

    /// Takes the blob out of an entry that will not be read before another value is written.
    fn take_blob(&mut self, shape: &Shape) -> Option<Blob> {
        if !self.is_blob() {
            return None;
        }
        // SAFETY: the value is a blob, which is moved out; the caller overwrites or frees the block.
        unsafe { Some(self.block().add(shape.value_at).cast::<Blob>().read()) }
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
        *self = Slot::tagged(target, self.hash8(), new.flags);
    }
}

impl Default for Slot {
    fn default() -> Slot {
        Slot::EMPTY
    }
}

impl Body {
    /// The value as it is stored; borrowed but for a blob, which is shared.
    pub(super) fn as_content(&self) -> Content<'_> {
        match self {
            Body::Int(value) => Content::Int(*value),
            Body::Bytes(bytes) => Content::Bytes(bytes),
            Body::Raw(bytes) => Content::Raw(bytes),
            Body::Blob(blob) => Content::Blob(blob.clone()),
        }
    }

    pub(super) fn copy_of(value: &ValueRef<'_>) -> Body {
        match value {
            ValueRef::Int(value) => Body::Int(*value),
            ValueRef::Bytes(bytes) => Body::Bytes((*bytes).into()),
            ValueRef::Raw(bytes) => Body::Raw((*bytes).into()),
            ValueRef::Blob(blob) => Body::Blob((*blob).clone()),
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

/// Whether two strings of the same length are equal. Keys are short: a call of `memcmp` takes longer than this.
///
/// # Safety
/// `len` bytes are readable at both addresses.
#[inline]
unsafe fn same_bytes(a: *const u8, b: *const u8, len: usize) -> bool {
    // SAFETY: the caller says so; every read ends at `len` at most.
    unsafe {
        let word = |at: *const u8, from: usize| at.add(from).cast::<u64>().read_unaligned();
        let half = |at: *const u8, from: usize| at.add(from).cast::<u32>().read_unaligned();
        match len {
            0 => true,
            1..4 => {
                (a.read(), a.add(len / 2).read(), a.add(len - 1).read())
                    == (b.read(), b.add(len / 2).read(), b.add(len - 1).read())
            }
            4..8 => half(a, 0) == half(b, 0) && half(a, len - 4) == half(b, len - 4),
            8..=32 => {
                let mut from = 0;
                while from + 8 < len {
                    if word(a, from) != word(b, from) {
                        return false;
                    }
                    from += 8;
                }
                word(a, len - 8) == word(b, len - 8)
            }
            _ => slice::from_raw_parts(a, len) == slice::from_raw_parts(b, len),
        }
    }
}

#[inline]
fn deadline_flags(deadline: Option<Millis>) -> u8 {
    match deadline {
        None => 0,
        Some(at) if at.0.max(0) as u64 <= NARROW_DEADLINE_MAX => DEADLINE,
        Some(_) => DEADLINE | WIDE,
    }
}

#[inline]
fn deadline_bytes(flags: u8) -> usize {
    match flags & (DEADLINE | WIDE) {
        0 => 0,
        DEADLINE => 6,
        _ => 8,
    }
}

/// # Safety
/// A deadline of the width that the flags say is stored there.
#[inline]
unsafe fn read_deadline(at: *const u8, flags: u8) -> Millis {
    let mut bytes = [0; 8];
    // SAFETY: the caller says so.
    unsafe { ptr::copy_nonoverlapping(at, bytes.as_mut_ptr(), deadline_bytes(flags)) };
    Millis(i64::from_le_bytes(bytes))
}

/// # Safety
/// As many bytes are writable as the flags say.
#[inline]
unsafe fn write_deadline(at: *mut u8, deadline: Millis, flags: u8) {
    let bytes = deadline.0.max(0).to_le_bytes();
    // SAFETY: the caller says so.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at, deadline_bytes(flags)) };
}

/// # Safety
/// `width` bytes are writable, at most 8.
#[inline]
unsafe fn write_int(at: *mut u8, value: i64, width: usize) {
    // SAFETY: the caller says so.
    unsafe { ptr::copy_nonoverlapping(value.to_le_bytes().as_ptr(), at, width) };
}

/// Writes the lengths and the deadline.
///
/// # Safety
/// The block has the shape's size.
#[inline]
unsafe fn write_head(block: *mut u8, shape: &Shape, deadline: Option<Millis>) {
    // SAFETY: lengths and deadline lie before the key.
    unsafe {
        let after = write_varint(block.add(ACCESS_BYTES), shape.key_len);
        if shape.flags & KIND != BLOB {
            write_varint(after, shape.width);
        }
        if let Some(deadline) = deadline {
            write_deadline(block.add(shape.deadline_at), deadline, shape.flags);
        }
    }
}

/// # Safety
/// The block has the shape, which was made for this content and borrows nothing from the block.
#[inline]
unsafe fn write_value(block: *mut u8, shape: &Shape, content: Content<'_>) {
    // SAFETY: the value's place lies within the block, and a blob's is aligned.
    unsafe {
        let at = block.add(shape.value_at);
        match content {
            Content::Int(value) => write_int(at, value, shape.width),
            Content::Bytes(bytes) | Content::Raw(bytes) => ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()),
            Content::Blob(blob) => at.cast::<Blob>().write(blob),
        }
    }
}

/// Bytes of two's complement that hold the integer; 0 for 0.
fn int_width(value: i64) -> usize {
    if value == 0 {
        return 0;
    }
    let significant = 65 - (value ^ (value >> 63)).leading_zeros() as usize;
    significant.div_ceil(8)
}

/// # Safety
/// `width` bytes are readable, at most 8.
#[inline]
unsafe fn read_int(at: *const u8, width: usize) -> i64 {
    let mut bytes = [0; 8];
    // SAFETY: the caller says so.
    unsafe { ptr::copy_nonoverlapping(at, bytes.as_mut_ptr(), width) };
    let unused = 64 - 8 * width as u32;
    if unused == 64 {
        return 0;
    }
    i64::from_le_bytes(bytes) << unused >> unused
}

#[inline]
fn varint_len(value: usize) -> usize {
    if value < 0x80 { 1 } else { (usize::BITS - value.leading_zeros()).div_ceil(7) as usize }
}

/// Returns where it ends.
///
/// # Safety
/// `varint_len(value)` bytes are writable.
#[inline]
unsafe fn write_varint(at: *mut u8, value: usize) -> *mut u8 {
    let (mut at, mut rest) = (at, value);
    // SAFETY: one byte for each seven bits.
    unsafe {
        while rest >= 0x80 {
            at.write(rest as u8 | 0x80);
            at = at.add(1);
            rest >>= 7;
        }
        at.write(rest as u8);
        at.add(1)
    }
}

/// Returns the value and its length in bytes.
///
/// # Safety
/// A varint is stored there.
#[inline]
unsafe fn read_varint(at: *const u8) -> (usize, usize) {
    // SAFETY: a varint ends with the first byte below 0x80.
    unsafe {
        let first = at.read();
        if first < 0x80 {
            return (usize::from(first), 1);
        }
        let (mut value, mut len) = (usize::from(first & 0x7F), 1);
        loop {
            let byte = at.add(len).read();
            value |= usize::from(byte & 0x7F) << (7 * len);
            len += 1;
            if byte < 0x80 {
                return (value, len);
            }
        }
    }
}

/// The text of a value as APPEND and SETRANGE extend it.
pub(super) fn copy_text(value: &ValueRef<'_>, into: &mut Vec<u8>) {
    match value {
        ValueRef::Int(value) => into.extend_from_slice(write_i64(&mut [0; 20], *value)),
        ValueRef::Bytes(bytes) | ValueRef::Raw(bytes) => into.extend_from_slice(bytes),
        ValueRef::Blob(blob) => into.extend_from_slice(blob),
    }
}

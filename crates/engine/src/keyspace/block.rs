//! The bytes of one entry: where its parts are, and how they are read and written.
//!
//! ```text
//!  block  │ access word │ key length │ value length │ deadline     │ key │ value │ padding to 8
//!          3 bytes       varint       varint         0, 6 or 8 bytes
//!
//!  flags  kept in the entry's slot: 0-3 kind │ 4 has a deadline │ 5 the deadline takes 8 bytes │ 6 armed │ 7 big block
//! ```
//!
//! The value is the text itself up to [`INLINE_VALUE_MAX`] bytes; of an integer its low bytes, as many as it needs; of a
//! longer text a [`Blob`], aligned to 8; of a collection the address of its structure, wherever it falls. These two have no
//! value length. A small packed hash or set is no structure: its bytes are the value, as a text's are. Lengths are varints,
//! seven bits to a byte, lowest first.
//! A *big block* is one that the slab takes from the global allocator. *Armed* says that the expiry wheel holds a node for
//! exactly this deadline; a volatile entry that is not armed has a node for an earlier one.
//!
//! Kinds from [`BLOB`] to [`FADING_HASH`] own more than the block. A hash of which fields have deadlines has a kind of its own.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::{ptr, slice};

use pinyon_base::{Blob, Millis};
use pinyon_values::hash::{Hash, HashRef};
use pinyon_values::packed::Seq;
use pinyon_values::set::intset::Ints;
use pinyon_values::set::{Set, SetRef};
use pinyon_values::{Collection, CollectionMut, CollectionRef};

use super::access::AccessWord;
use super::slab::{BLOCK_UNIT, CHUNKED_BYTES_MAX};
use super::value::ValueRef;

/// The longest text that is stored inside its entry, in bytes.
pub const INLINE_VALUE_MAX: usize = 4096;
/// The longest packed hash or set that is: a change copies it out and back, and its block should come out of a chunk.
const INLINE_PACKED_MAX: usize = 448;

pub(super) const KIND: u8 = 0x0F;
pub(super) const DEADLINE: u8 = 0x10;
pub(super) const WIDE: u8 = 0x20;
pub(super) const ARMED: u8 = 0x40;
pub(super) const BIG: u8 = 0x80;

pub(super) const INT: u8 = 1;
pub(super) const BYTES: u8 = 2;
pub(super) const RAW: u8 = 3;
pub(super) const BLOB: u8 = 4;
pub(super) const HASH: u8 = 5;
pub(super) const LIST: u8 = 6;
pub(super) const SET: u8 = 7;
pub(super) const ZSET: u8 = 8;
pub(super) const STREAM: u8 = 9;
/// A hash with fields that have deadlines.
pub(super) const FADING_HASH: u8 = 10;
/// A packed hash, the bytes themselves.
const PACKED_HASH: u8 = 11;
/// A set of integers, the bytes themselves.
const INTS: u8 = 12;
/// A packed set, the bytes themselves.
const PACKED_SET: u8 = 13;

/// Whether an entry of that kind owns more than its block: its value is a word that has no length.
#[inline]
pub(super) fn owns_more(kind: u8) -> bool {
    (BLOB..=FADING_HASH).contains(&kind)
}

/// Whether an entry of that kind holds the bytes of a packed collection.
#[inline]
pub(super) fn is_packed(kind: u8) -> bool {
    kind >= PACKED_HASH
}

pub(super) const ACCESS_BYTES: usize = 3;
/// A blob, or the address of a collection.
const WORD_BYTES: usize = 8;
const NARROW_DEADLINE_MAX: u64 = (1 << 48) - 1;

/// A value about to be stored.
#[derive(Debug)]
pub(super) enum Content<'v> {
    Int(i64),
    /// At most [`INLINE_VALUE_MAX`] bytes.
    Bytes(&'v [u8]),
    /// At most [`INLINE_VALUE_MAX`] bytes.
    Raw(&'v [u8]),
    Blob(Blob),
    Collection(Collection),
    Packed(PackedContent<'v>),
}

/// A collection that is stored as its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedContent<'v> {
    kind: u8,
    pub(super) bytes: &'v [u8],
}

impl<'v> PackedContent<'v> {
    /// The bytes of a collection that is small enough.
    #[inline]
    pub(super) fn of(collection: CollectionRef<'v>) -> Option<PackedContent<'v>> {
        let (kind, bytes) = match collection {
            CollectionRef::Hash(HashRef::Packed(seq)) => (PACKED_HASH, seq.as_bytes()),
            CollectionRef::Set(SetRef::Ints(ints)) => (INTS, ints.as_bytes()),
            CollectionRef::Set(SetRef::Packed(seq)) => (PACKED_SET, seq.as_bytes()),
            _ => return None,
        };
        (bytes.len() <= INLINE_PACKED_MAX).then_some(PackedContent { kind, bytes })
    }
}

/// What an entry owned beside its block.
#[derive(Debug)]
pub(super) enum Heavy {
    Blob(Blob),
    Collection(Collection),
}

impl Content<'_> {
    pub(super) fn kind(&self) -> u8 {
        match self {
            Content::Int(_) => INT,
            Content::Bytes(_) => BYTES,
            Content::Raw(_) => RAW,
            Content::Blob(_) => BLOB,
            Content::Collection(collection) => kind_of(collection),
            Content::Packed(packed) => packed.kind,
        }
    }

    /// Bytes that the value needs in the block.
    pub(super) fn width(&self) -> usize {
        match self {
            Content::Int(value) => int_width(*value),
            Content::Bytes(bytes) | Content::Raw(bytes) => {
                debug_assert!(bytes.len() <= INLINE_VALUE_MAX);
                bytes.len()
            }
            Content::Blob(_) => WORD_BYTES,
            Content::Collection(collection) => {
                PackedContent::of(collection.as_ref()).map_or(WORD_BYTES, |packed| packed.bytes.len())
            }
            Content::Packed(packed) => packed.bytes.len(),
        }
    }
}

/// Where the parts of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Of the slot: kind and width of the deadline.
    pub(super) flags: u8,
    pub(super) key_len: usize,
    /// Stored bytes of the value.
    pub(super) width: usize,
    pub(super) deadline_at: usize,
    pub(super) key_at: usize,
    pub(super) value_at: usize,
    /// Of the whole block.
    pub(super) size: usize,
}

impl Shape {
    #[inline(always)]
    pub(super) fn new(flags: u8, key_len: usize, width: usize) -> Shape {
        let lengths = varint_len(key_len) + if owns_more(flags & KIND) { 0 } else { varint_len(width) };
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
    pub(super) fn of(content: &Content<'_>, key_len: usize, deadline: Option<Millis>) -> Shape {
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
    /// # Safety
    /// A whole entry with these flags lies in the block and stays as it is for 'e.
    #[inline]
    pub(super) unsafe fn new(block: *const u8, flags: u8) -> EntryRef<'e> {
        EntryRef { block, flags, life: PhantomData }
    }

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
                BLOB => ValueRef::Blob(&*at.cast::<Blob>()),
                kind if is_packed(kind) => {
                    ValueRef::Collection(packed_collection(kind, slice::from_raw_parts(at, shape.width)))
                }
                kind => ValueRef::Collection(collection_at(kind, at)),
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

    /// The hash that the entry holds.
    pub(super) fn hash(self) -> Option<HashRef<'e>> {
        match self.value() {
            ValueRef::Collection(CollectionRef::Hash(hash)) => Some(hash),
            _ => None,
        }
    }

    /// The earliest deadline of a field of the hash that the entry holds.
    pub(super) fn next_fading(self) -> Option<Millis> {
        self.hash().and_then(HashRef::next_deadline).map(Millis)
    }

    /// Bytes of the entry's block.
    pub(super) fn block_bytes(self) -> usize {
        self.shape().size
    }

    #[inline(always)]
    pub(super) fn shape(self) -> Shape {
        // SAFETY: the lengths lie within the block.
        unsafe {
            let (key_len, key_bytes) = read_varint(self.block.add(ACCESS_BYTES));
            let width = if owns_more(self.flags & KIND) {
                WORD_BYTES
            } else {
                read_varint(self.block.add(ACCESS_BYTES + key_bytes)).0
            };
            Shape::new(self.flags & !ARMED, key_len, width)
        }
    }
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
pub(super) fn deadline_flags(deadline: Option<Millis>) -> u8 {
    match deadline {
        None => 0,
        Some(at) if at.0.max(0) as u64 <= NARROW_DEADLINE_MAX => DEADLINE,
        Some(_) => DEADLINE | WIDE,
    }
}

#[inline]
pub(super) fn deadline_bytes(flags: u8) -> usize {
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
pub(super) unsafe fn write_deadline(at: *mut u8, deadline: Millis, flags: u8) {
    let bytes = deadline.0.max(0).to_le_bytes();
    // SAFETY: the caller says so.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at, deadline_bytes(flags)) };
}

/// # Safety
/// `width` bytes are writable, at most 8.
#[inline]
pub(super) unsafe fn write_int(at: *mut u8, value: i64, width: usize) {
    // SAFETY: the caller says so.
    unsafe { ptr::copy_nonoverlapping(value.to_le_bytes().as_ptr(), at, width) };
}

/// Writes the lengths and the deadline.
///
/// # Safety
/// The block has the shape's size.
#[inline]
pub(super) unsafe fn write_head(block: *mut u8, shape: &Shape, deadline: Option<Millis>) {
    // SAFETY: lengths and deadline lie before the key.
    unsafe {
        let after = write_varint(block.add(ACCESS_BYTES), shape.key_len);
        if !owns_more(shape.flags & KIND) {
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
pub(super) unsafe fn write_value(block: *mut u8, shape: &Shape, content: Content<'_>) {
    // SAFETY: the value's place lies within the block, and a blob's is aligned.
    unsafe {
        let at = block.add(shape.value_at);
        match content {
            Content::Int(value) => write_int(at, value, shape.width),
            Content::Bytes(bytes) | Content::Raw(bytes) => ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()),
            Content::Blob(blob) => at.cast::<Blob>().write(blob),
            Content::Packed(packed) => ptr::copy_nonoverlapping(packed.bytes.as_ptr(), at, packed.bytes.len()),
            Content::Collection(collection) => match PackedContent::of(collection.as_ref()) {
                Some(packed) => ptr::copy_nonoverlapping(packed.bytes.as_ptr(), at, packed.bytes.len()),
                None => at.cast::<*mut ()>().write_unaligned(address_of(collection)),
            },
        }
    }
}

const _: () = assert!(size_of::<Blob>() == WORD_BYTES && size_of::<*mut ()>() == WORD_BYTES);

fn kind_of(collection: &Collection) -> u8 {
    if let Some(packed) = PackedContent::of(collection.as_ref()) {
        return packed.kind;
    }
    match collection {
        Collection::Hash(hash) => kind_of_hash(hash),
        Collection::List(_) => LIST,
        Collection::Set(_) => SET,
        Collection::ZSet(_) => ZSET,
        Collection::Stream(_) => STREAM,
    }
}

/// The kind of an entry that holds the hash as it is now.
pub(super) fn kind_of_hash(hash: &Hash) -> u8 {
    if hash.next_deadline().is_some() { FADING_HASH } else { HASH }
}

/// Gives a collection away as an address; its kind says what is there.
fn address_of(collection: Collection) -> *mut () {
    match collection {
        Collection::Hash(hash) => Box::into_raw(hash).cast(),
        Collection::List(list) => Box::into_raw(list).cast(),
        Collection::Set(set) => Box::into_raw(set).cast(),
        Collection::ZSet(zset) => Box::into_raw(zset).cast(),
        Collection::Stream(stream) => Box::into_raw(stream).cast(),
    }
}

/// # Safety
/// The address of a collection of that kind is stored there, and the collection stays as it is for 'e.
#[inline]
unsafe fn collection_at<'e>(kind: u8, at: *const u8) -> CollectionRef<'e> {
    // SAFETY: the caller says so; the kind tells the type that the address was made from.
    unsafe {
        let word = at.cast::<*mut ()>().read_unaligned();
        match kind {
            HASH | FADING_HASH => CollectionRef::Hash((*word.cast::<Hash>()).as_ref()),
            LIST => CollectionRef::List(&*word.cast()),
            SET => CollectionRef::Set((*word.cast::<Set>()).as_ref()),
            ZSET => CollectionRef::ZSet(&*word.cast()),
            _ => CollectionRef::Stream(&*word.cast()),
        }
    }
}

/// A collection of a packed kind, out of its bytes.
#[inline]
fn packed_collection(kind: u8, bytes: &[u8]) -> CollectionRef<'_> {
    match kind {
        PACKED_HASH => CollectionRef::Hash(HashRef::Packed(Seq::new(bytes))),
        INTS => CollectionRef::Set(SetRef::Ints(Ints::new(bytes))),
        _ => CollectionRef::Set(SetRef::Packed(Seq::new(bytes))),
    }
}

/// # Safety
/// As for [`collection_at`], and nobody else refers to the collection for 'e.
#[inline]
pub(super) unsafe fn collection_mut_at<'e>(kind: u8, at: *const u8) -> CollectionMut<'e> {
    // SAFETY: as in `collection_at`.
    unsafe {
        let word = at.cast::<*mut ()>().read_unaligned();
        match kind {
            HASH | FADING_HASH => CollectionMut::Hash(&mut *word.cast()),
            LIST => CollectionMut::List(&mut *word.cast()),
            SET => CollectionMut::Set(&mut *word.cast()),
            ZSET => CollectionMut::ZSet(&mut *word.cast()),
            _ => CollectionMut::Stream(&mut *word.cast()),
        }
    }
}

/// Takes what an entry of that kind owns beside its block; `None` when it owns nothing else.
///
/// # Safety
/// The value of an entry of that kind is stored there and is not used any more.
pub(super) unsafe fn take_heavy(kind: u8, at: *const u8) -> Option<Heavy> {
    // SAFETY: the caller says so; the kind tells the type of what is there, and an address came out of a box.
    unsafe {
        let word = || at.cast::<*mut ()>().read_unaligned();
        let collection = match kind {
            BLOB => return Some(Heavy::Blob(at.cast::<Blob>().read())),
            HASH | FADING_HASH => Collection::Hash(Box::from_raw(word().cast())),
            LIST => Collection::List(Box::from_raw(word().cast())),
            SET => Collection::Set(Box::from_raw(word().cast())),
            ZSET => Collection::ZSet(Box::from_raw(word().cast())),
            STREAM => Collection::Stream(Box::from_raw(word().cast())),
            _ => return None,
        };
        Some(Heavy::Collection(collection))
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
pub(super) fn varint_len(value: usize) -> usize {
    if value < 0x80 { 1 } else { (usize::BITS - value.leading_zeros()).div_ceil(7) as usize }
}

/// Returns where it ends.
///
/// # Safety
/// `varint_len(value)` bytes are writable.
#[inline]
pub(super) unsafe fn write_varint(at: *mut u8, value: usize) -> *mut u8 {
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

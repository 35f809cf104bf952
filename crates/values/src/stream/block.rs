//! Up to a hundred entries of a stream, one after the other.
//!
//! ```text
//!  block    varint number of fields │ field │ field … of its first entry        the master fields
//!           │ entry │ entry │ …
//!  entry    varint  milliseconds since the entry before × 8 + flags
//!             1  deleted
//!             2  its fields are the master fields
//!             4  sequence number is the next in the same millisecond, or 0 in another
//!           │ varint sequence number, without flag 4: since the entry before in the same millisecond, else as it is
//!           │ without flag 2: varint number of fields │ field │ …
//!           │ value │ value │ …
//! ```
//!
//! Fields and values are written as `packed::coding` draws elements. The entry before the first is the block's base. An entry
//! that is deleted keeps its bytes until all of its block are.

use super::id::StreamId;
use crate::item::Item;
use crate::memory::{reserve_class, vec_bytes};
use crate::packed::coding::{decode, decode_varint, encode, encode_varint, listpack_len, next_of};

const DELETED: u64 = 1;
const SAME_FIELDS: u64 = 2;
const NEXT_SEQ: u64 = 4;
/// Bytes of an empty listpack.
const LISTPACK_EMPTY: usize = 7;

/// When a block is full (`stream-node-max-*`; 0: no limit by this).
#[derive(Clone, Copy, Debug)]
pub struct BlockLimits {
    pub entries: usize,
    /// Bytes of the listpack that Redis would have in its place.
    pub bytes: usize,
}

impl Default for BlockLimits {
    fn default() -> BlockLimits {
        BlockLimits { entries: 100, bytes: 4096 }
    }
}

#[derive(Clone)]
pub struct Block {
    base: StreamId,
    last: StreamId,
    bytes: Vec<u8>,
    live: u32,
    deleted: u32,
    /// Of the listpack that Redis would have, without its two counts.
    listpack_bytes: u32,
}

/// An entry's fields with their values.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    names: &'a [u8],
    values: &'a [u8],
    len: usize,
}

impl<'a> Fields<'a> {
    /// Number of fields.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = (Item<'a>, Item<'a>)> + use<'a> {
        let Fields { names, values, len } = *self;
        let (mut name_at, mut value_at) = (0, 0);
        (0..len).map(move |_| {
            let (name, value);
            (name, name_at) = decode(names, name_at);
            (value, value_at) = decode(values, value_at);
            (name, value)
        })
    }
}

/// An entry where it lies.
struct Place<'a> {
    id: StreamId,
    at: usize,
    end: usize,
    is_deleted: bool,
    fields: Fields<'a>,
}

fn skip(bytes: &[u8], at: usize, count: usize) -> usize {
    (0..count).fold(at, |at, _| next_of(bytes, at))
}

impl Block {
    /// An empty block whose master fields are these.
    pub fn new(base: StreamId, fields: &[(&[u8], &[u8])]) -> Block {
        let mut bytes = Vec::new();
        encode_varint(fields.len() as u64, &mut bytes);
        // The number of fields, and a 0 that ends them.
        let mut listpack = LISTPACK_EMPTY + listpack_len(Item::Int(fields.len() as i64)) + listpack_len(Item::Int(0));
        for (name, _) in fields {
            encode(Item::of(name), &mut bytes);
            listpack += listpack_len(Item::of(name));
        }
        Block { base, last: base, bytes, live: 0, deleted: 0, listpack_bytes: listpack as u32 }
    }

    /// Entries that are not deleted.
    pub fn len(&self) -> usize {
        self.live as usize
    }

    pub fn last(&self) -> StreamId {
        self.last
    }

    /// ID of the first entry that is not deleted.
    pub fn first_live(&self) -> Option<StreamId> {
        self.places().find(|place| !place.is_deleted).map(|place| place.id)
    }

    /// ID of the last entry that is not deleted.
    pub fn last_live(&self) -> Option<StreamId> {
        if self.deleted == 0 {
            return (self.live > 0).then_some(self.last);
        }
        self.places().filter(|place| !place.is_deleted).last().map(|place| place.id)
    }

    pub fn memory(&self) -> usize {
        vec_bytes(&self.bytes)
    }

    /// Whether an entry of that many bytes of fields and values goes to another block.
    pub fn is_full_for(&self, text_bytes: usize, limits: &BlockLimits) -> bool {
        const LISTPACK_MAX: usize = 1 << 30;
        let counts = listpack_len(Item::Int(i64::from(self.live))) + listpack_len(Item::Int(i64::from(self.deleted)));
        let bytes_max = if limits.bytes == 0 { LISTPACK_MAX } else { limits.bytes.min(LISTPACK_MAX) };
        self.listpack_bytes as usize + counts + text_bytes >= bytes_max
            || (limits.entries > 0 && (self.live + self.deleted) as usize >= limits.entries)
    }

    fn master(&self) -> (usize, usize) {
        let (count, at) = decode_varint(&self.bytes, 0);
        (count as usize, at)
    }

    fn has_master_fields(&self, fields: &[(&[u8], &[u8])]) -> bool {
        let (count, mut at) = self.master();
        count == fields.len()
            && fields.iter().all(|(name, _)| {
                let (item, next) = decode(&self.bytes, at);
                at = next;
                item == Item::of(name)
            })
    }

    /// Appends an entry, whose ID is above all others of the block (or equal to the base, as the first).
    pub fn push(&mut self, id: StreamId, fields: &[(&[u8], &[u8])]) {
        let same = self.has_master_fields(fields);
        let ms = id.ms - self.last.ms;
        let is_first = self.live + self.deleted == 0;
        let seq = if ms == 0 { id.seq - self.last.seq } else { id.seq };
        let is_next = seq == u64::from(ms == 0 && !is_first);
        let flags = if same { SAME_FIELDS } else { 0 } | if is_next { NEXT_SEQ } else { 0 };
        let mut entry = Vec::with_capacity(64);
        encode_varint_wide(ms, flags, &mut entry);
        if !is_next {
            encode_varint(seq, &mut entry);
        }
        if !same {
            encode_varint(fields.len() as u64, &mut entry);
            fields.iter().for_each(|(name, _)| encode(Item::of(name), &mut entry));
        }
        fields.iter().for_each(|(_, value)| encode(Item::of(value), &mut entry));
        reserve_class(&mut self.bytes, entry.len());
        self.bytes.extend_from_slice(&entry);
        self.listpack_bytes += self.listpack_entry(id, fields, same) as u32;
        self.last = id;
        self.live += 1;
    }

    /// Bytes that Redis's listpack grows by.
    fn listpack_entry(&self, id: StreamId, fields: &[(&[u8], &[u8])], same: bool) -> usize {
        let int = |value: u64| listpack_len(Item::Int(value as i64));
        let names: usize = fields.iter().map(|(name, _)| listpack_len(Item::of(name))).sum();
        let values: usize = fields.iter().map(|(_, value)| listpack_len(Item::of(value))).sum();
        let count = fields.len() as u64;
        let ids = int(id.ms.wrapping_sub(self.base.ms)) + int(id.seq.wrapping_sub(self.base.seq));
        // Flags, ID, values, and how many elements the entry has.
        let entry = int(0) + ids + values;
        if same { entry + int(count + 3) } else { entry + int(count) + names + int(2 * count + 4) }
    }

    /// Gives back what is reserved: nothing more will be appended.
    pub fn close(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// All entries with those deleted.
    fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let bytes = self.bytes.as_slice();
        let (master_count, master_at) = self.master();
        let mut at = skip(bytes, master_at, master_count);
        let (mut before, mut is_first) = (self.base, true);
        std::iter::from_fn(move || {
            let begin = at;
            if begin >= bytes.len() {
                return None;
            }
            let (ms, flags, mut next) = decode_varint_wide(bytes, begin);
            let mut seq = u64::from(ms == 0 && !is_first);
            if flags & NEXT_SEQ == 0 {
                (seq, next) = decode_varint(bytes, next);
            }
            let id = StreamId { ms: before.ms + ms, seq: if ms == 0 { before.seq + seq } else { seq } };
            (before, is_first) = (id, false);
            let (mut len, mut names) = (master_count, master_at);
            if flags & SAME_FIELDS == 0 {
                let (count, first) = decode_varint(bytes, next);
                (len, names) = (count as usize, first);
                next = skip(bytes, first, len);
            }
            at = skip(bytes, next, len);
            let fields = Fields { names: &bytes[names..], values: &bytes[next..], len };
            Some(Place { id, at: begin, end: at, is_deleted: flags & DELETED != 0, fields })
        })
    }

    /// Visits entries from one ID to another, both included, until `visit` says false; false then.
    pub fn walk(
        &self,
        from: StreamId,
        to: StreamId,
        reverse: bool,
        visit: &mut dyn FnMut(StreamId, Fields<'_>) -> bool,
    ) -> bool {
        let inside = |place: &Place<'_>| !place.is_deleted && place.id >= from;
        if reverse {
            let places: Vec<Place<'_>> = self.places().take_while(|place| place.id <= to).filter(inside).collect();
            return places.iter().rev().all(|place| visit(place.id, place.fields));
        }
        let mut places = self.places().take_while(|place| place.id <= to).filter(inside);
        places.all(|place| visit(place.id, place.fields))
    }

    /// Marks an entry as deleted; false when it is not there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let found = self.places().find(|place| place.id >= id).filter(|place| place.id == id && !place.is_deleted);
        let Some(at) = found.map(|place| place.at) else { return false };
        self.mark(at);
        true
    }

    fn mark(&mut self, at: usize) {
        self.bytes[at] |= DELETED as u8;
        self.live -= 1;
        self.deleted += 1;
    }

    /// Marks the first entries as deleted while `goes_on` says so for them; gives how many.
    pub fn delete_first(&mut self, mut goes_on: impl FnMut(StreamId) -> bool) -> usize {
        let live = self.places().filter(|place| !place.is_deleted);
        let marked: Vec<usize> = live.take_while(|place| goes_on(place.id)).map(|place| place.at).collect();
        marked.iter().for_each(|at| self.mark(*at));
        marked.len()
    }

    /// Drops the bytes of deleted entries that begin the block, if that is most of it: exact trimming moves on entry by entry.
    pub fn drop_deleted_front(&mut self) {
        let mut front = self.places().take_while(|place| place.is_deleted);
        let Some(first) = front.next() else { return };
        let (begin, mut end, mut last, mut count) = (first.at, first.end, first.id, 1);
        for place in front {
            (end, last, count) = (place.end, place.id, count + 1);
        }
        if end - begin < self.bytes.len() / 2 {
            return;
        }
        // One entry without fields stands for them, so that IDs behind it count from the same one.
        let mut stand_in = Vec::with_capacity(32);
        let ms = last.ms - self.base.ms;
        encode_varint_wide(ms, DELETED, &mut stand_in);
        encode_varint(if ms == 0 { last.seq - self.base.seq } else { last.seq }, &mut stand_in);
        encode_varint(0, &mut stand_in);
        if count > 1 || stand_in.len() < end - begin {
            self.bytes.splice(begin..end, stand_in);
            self.bytes.shrink_to_fit();
        }
    }
}

/// A number with three bits of flags below it, as a varint of up to 67 bits.
fn encode_varint_wide(value: u64, flags: u64, out: &mut Vec<u8>) {
    let low = (value & 0xF) << 3 | flags;
    if value < 16 {
        out.push(low as u8);
    } else {
        out.push(low as u8 | 0x80);
        encode_varint(value >> 4, out);
    }
}

/// The number, its flags, and what lies behind.
fn decode_varint_wide(bytes: &[u8], at: usize) -> (u64, u64, usize) {
    let first = u64::from(bytes[at]);
    let (low, flags) = (first >> 3 & 0xF, first & 7);
    if first < 0x80 {
        return (low, flags, at + 1);
    }
    let (high, next) = decode_varint(bytes, at + 1);
    (high << 4 | low, flags, next)
}

//! Entries as replies.

use pinyon_resp::{Output, Proto, Writer};
use pinyon_values::Item;
use pinyon_values::stream::{Fields, Stream, StreamId};

use super::id;

/// Replies an element of an entry.
fn write_item(out: &mut Writer<'_>, item: Item<'_>) {
    match item {
        Item::Int(value) => out.bulk_int(value),
        Item::Bytes(bytes) => out.bulk(bytes),
    }
}

/// Replies an entry: its ID, and its fields with their values.
pub fn write(out: &mut Writer<'_>, id: StreamId, fields: Fields<'_>) {
    out.array(2);
    id::write(out, id);
    out.array(2 * fields.len());
    for (name, value) in fields.iter() {
        write_item(out, name);
        write_item(out, value);
    }
}

/// Replies the entry of that ID; false when there is none, and nothing is written.
pub fn write_one(out: &mut Writer<'_>, stream: &Stream, id: StreamId) -> bool {
    stream.get(id, &mut |fields| write(out, id, fields))
}

/// Elements of a reply whose number is known only when they are all there.
pub struct Gathered {
    output: Output,
    proto: Proto,
    count: usize,
}

impl Gathered {
    pub fn new(proto: Proto) -> Gathered {
        Gathered { output: Output::default(), proto, count: 0 }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// Adds an element.
    pub fn add(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        write(&mut Writer { out: &mut self.output, proto: self.proto });
        self.count += 1;
    }

    /// Adds entries of a range, `limit` of them at most if that is not 0; `visit` is told which.
    pub fn add_range(
        &mut self,
        stream: &Stream,
        (from, to): (StreamId, StreamId),
        reverse: bool,
        limit: u64,
        mut visit: impl FnMut(StreamId),
    ) {
        let mut left = if limit == 0 { u64::MAX } else { limit };
        stream.walk(from, to, reverse, &mut |id, fields| {
            self.add(|out| write(out, id, fields));
            visit(id);
            left -= 1;
            left > 0
        });
    }

    /// Replies them as an array.
    pub fn write(&self, out: &mut Writer<'_>) {
        out.array(self.count);
        self.output.pieces().for_each(|piece| out.raw(piece));
    }
}

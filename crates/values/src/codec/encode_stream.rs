//! Parts into encoded streams; the form is drawn in `decode_stream.rs`.
//!
//! Every node but the last has the same number of entries, so that their number is known before the first.

use super::encoding::StreamForm;
use super::listpack::ListpackBuilder;
use super::output::{write_length, write_text};
use super::{Consumer, Group, Part, StreamId, StreamState};
use crate::Item;

#[derive(Debug)]
pub(super) struct StreamEncoder {
    form: StreamForm,
    per_node: u64,
    /// Entries that are not in a node yet.
    left: u64,
    node: Option<Node>,
}

/// A node in the making.
#[derive(Debug)]
struct Node {
    name: StreamId,
    listpack: ListpackBuilder,
    /// The fields of its first entry, each as it was given.
    fields: Vec<Vec<u8>>,
    left: u64,
}

impl StreamEncoder {
    pub fn new(form: StreamForm, entries: u64, per_node: u64) -> StreamEncoder {
        assert!(per_node > 0, "a node has entries");
        StreamEncoder { form, per_node, left: entries, node: None }
    }

    pub fn put(&mut self, part: Part<'_>, compress: bool, out: &mut Vec<u8>) {
        match part {
            Part::Begin { .. } => write_length(self.left.div_ceil(self.per_node), out),
            Part::Entry { id, fields } => self.entry(id, fields, compress, out),
            Part::StreamState(state) => self.state(&state, out),
            Part::Group(group) => self.group(&group, compress, out),
            Part::Pending { id, delivered_at, deliveries } => {
                write_id_bytes(id, out);
                out.extend_from_slice(&delivered_at.0.to_le_bytes());
                write_length(deliveries, out);
            }
            Part::Consumers(count) => write_length(count, out),
            Part::Consumer(consumer) => self.consumer(&consumer, compress, out),
            Part::Owned(id) => write_id_bytes(id, out),
            Part::End => {}
            other => panic!("a stream has no {other:?}"),
        }
    }

    fn entry(&mut self, id: StreamId, fields: &[(Item<'_>, Item<'_>)], compress: bool, out: &mut Vec<u8>) {
        let (per_node, left) = (self.per_node, self.left);
        let node = self.node.get_or_insert_with(|| Node::new(id, fields, per_node.min(left)));
        node.push(id, fields);
        self.left = left.checked_sub(1).expect("as many entries as the shape said");
        if node.left == 0 {
            let mut name = Vec::new();
            write_id_bytes(node.name, &mut name);
            write_text(&name, false, out);
            write_text(&node.listpack.finish(), compress, out);
            self.node = None;
        }
    }

    fn state(&mut self, state: &StreamState, out: &mut Vec<u8>) {
        assert_eq!(self.left, 0, "as many entries as the shape said");
        write_length(state.length, out);
        write_id(state.last_id, out);
        if self.form >= StreamForm::Counts {
            write_id(state.first_id.unwrap_or_default(), out);
            write_id(state.max_deleted_id.unwrap_or_default(), out);
            write_length(state.entries_added.unwrap_or(state.length), out);
        }
        write_length(state.groups, out);
    }

    fn group(&mut self, group: &Group<'_>, compress: bool, out: &mut Vec<u8>) {
        write_text(group.name, compress, out);
        write_id(group.last_id, out);
        if self.form >= StreamForm::Counts {
            write_length(group.entries_read.unwrap_or(super::decode_stream::UNKNOWN), out);
        }
        write_length(group.pending, out);
    }

    fn consumer(&mut self, consumer: &Consumer<'_>, compress: bool, out: &mut Vec<u8>) {
        write_text(consumer.name, compress, out);
        out.extend_from_slice(&consumer.seen_at.0.to_le_bytes());
        if self.form >= StreamForm::Active {
            out.extend_from_slice(&consumer.active_at.unwrap_or(consumer.seen_at).0.to_le_bytes());
        }
        write_length(consumer.pending, out);
    }
}

impl Node {
    fn new(name: StreamId, fields: &[(Item<'_>, Item<'_>)], entries: u64) -> Node {
        let mut listpack = ListpackBuilder::default();
        let mut number = |value: u64| listpack.push(Item::Int(value as i64));
        number(entries);
        number(0);
        number(fields.len() as u64);
        fields.iter().for_each(|(field, _)| listpack.push(*field));
        listpack.push(Item::Int(0));
        let fields = fields.iter().map(|(field, _)| field.to_vec()).collect();
        Node { name, listpack, fields, left: entries }
    }

    fn push(&mut self, id: StreamId, fields: &[(Item<'_>, Item<'_>)]) {
        let same = self.fields.len() == fields.len()
            && self.fields.iter().zip(fields).all(|(own, (field, _))| own == field.bytes(&mut [0; 20]));
        let mut number = |value: i64| self.listpack.push(Item::Int(value));
        number(if same { super::decode_stream::FLAG_SAME_FIELDS } else { 0 });
        number(id.ms.wrapping_sub(self.name.ms) as i64);
        number(id.seq.wrapping_sub(self.name.seq) as i64);
        if same {
            fields.iter().for_each(|(_, value)| self.listpack.push(*value));
        } else {
            number(fields.len() as i64);
            for (field, value) in fields {
                self.listpack.push(*field);
                self.listpack.push(*value);
            }
        }
        let elements = if same { 3 + fields.len() } else { 4 + 2 * fields.len() };
        self.listpack.push(Item::Int(elements as i64));
        self.left -= 1;
    }
}

fn write_id(id: StreamId, out: &mut Vec<u8>) {
    write_length(id.ms, out);
    write_length(id.seq, out);
}

fn write_id_bytes(id: StreamId, out: &mut Vec<u8>) {
    out.extend_from_slice(&id.ms.to_be_bytes());
    out.extend_from_slice(&id.seq.to_be_bytes());
}

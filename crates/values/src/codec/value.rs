//! A value of its own, outside of any structure: for tools, tests and fuzzers. It holds what the parts say, and nothing is
//! looked up in it.

use std::collections::BTreeSet;

use pinyon_base::Millis;

use super::{Encoder, Kind, Part, Refused, SetForm, Settings, Shape, StreamId, StreamState};
use crate::Item;

/// A value, whole. Equal values are equal whatever they were encoded as, if lists and streams are in order and the
/// others sorted ([`Value::sort`]).
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(Vec<Vec<u8>>),
    /// Field, value, deadline.
    Hash(Vec<(Vec<u8>, Vec<u8>, Option<Millis>)>),
    SortedSet(Vec<(Vec<u8>, f64)>),
    Stream(Box<Stream>),
}

/// Fields with their values.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    pub entries: Vec<(StreamId, Pairs)>,
    pub state: StreamState,
    pub groups: Vec<Group>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    pub name: Vec<u8>,
    pub last_id: StreamId,
    pub entries_read: Option<u64>,
    /// Name, time of delivery, deliveries.
    pub pending: Vec<(StreamId, Millis, u64)>,
    pub consumers: Vec<Consumer>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Consumer {
    pub name: Vec<u8>,
    pub seen_at: Millis,
    pub active_at: Option<Millis>,
    pub pending: Vec<StreamId>,
}

/// Up to which size collections are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    pub elements_max: usize,
    pub bytes_max: usize,
}

impl Default for Packing {
    fn default() -> Self {
        Packing { elements_max: 128, bytes_max: 64 }
    }
}

impl Value {
    pub fn kind(&self) -> Kind {
        match self {
            Value::String(_) => Kind::String,
            Value::List(_) => Kind::List,
            Value::Set(_) => Kind::Set,
            Value::Hash(_) => Kind::Hash,
            Value::SortedSet(_) => Kind::SortedSet,
            Value::Stream(_) => Kind::Stream,
        }
    }

    /// Number of elements; of a string, its bytes.
    pub fn len(&self) -> usize {
        match self {
            Value::String(text) => text.len(),
            Value::List(items) | Value::Set(items) => items.len(),
            Value::Hash(fields) => fields.len(),
            Value::SortedSet(members) => members.len(),
            Value::Stream(stream) => stream.entries.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts what has no order of its own into one.
    pub fn sort(&mut self) {
        match self {
            Value::Set(members) => members.sort(),
            Value::Hash(fields) => fields.sort(),
            Value::SortedSet(members) => members.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0))),
            Value::Stream(stream) => {
                stream.groups.sort_by(|a, b| a.name.cmp(&b.name));
                for group in &mut stream.groups {
                    group.consumers.sort_by(|a, b| a.name.cmp(&b.name));
                }
            }
            Value::String(_) | Value::List(_) => {}
        }
    }

    /// How it should be encoded.
    pub fn shape(&self, packing: &Packing) -> Shape {
        let few = self.len() <= packing.elements_max;
        let short = |text: &Vec<u8>| text.len() <= packing.bytes_max;
        let elements = self.len() as u64;
        match self {
            Value::String(_) => Shape::String,
            Value::List(items) => Shape::List { items: elements, packed: few && items.iter().all(short) },
            Value::Set(members) => {
                let integers = members.iter().all(|member| matches!(Item::of(member), Item::Int(_)));
                let form = match few {
                    true if integers => SetForm::Integers,
                    true if members.iter().all(short) => SetForm::Packed,
                    _ => SetForm::Table,
                };
                Shape::Set { members: elements, form }
            }
            Value::Hash(fields) => Shape::Hash {
                fields: elements,
                packed: few && fields.iter().all(|(field, value, _)| short(field) && short(value)),
                first_deadline: fields.iter().filter_map(|(.., expires)| *expires).min(),
            },
            Value::SortedSet(members) => {
                Shape::SortedSet { members: elements, packed: few && members.iter().all(|(member, _)| short(member)) }
            }
            Value::Stream(_) => Shape::Stream { entries: elements, per_node: 100 },
        }
    }

    /// Appends the encoded value; gives the encoder back, which knows its number and version. It must be sorted if it is a
    /// sorted set.
    pub fn encode(&self, packing: &Packing, settings: Settings, out: &mut Vec<u8>) -> Encoder {
        let mut encoder = Encoder::new(self.shape(packing), settings);
        self.parts(&mut |part| encoder.put(part, out));
        encoder
    }

    /// Hands out its parts.
    pub fn parts(&self, each: &mut dyn FnMut(Part<'_>)) {
        if let Value::String(text) = self {
            return each(Part::String(Item::of(text)));
        }
        each(Part::Begin { kind: self.kind(), about: self.len() as u64 });
        match self {
            Value::String(_) => {}
            Value::List(items) | Value::Set(items) => items.iter().for_each(|item| each(Part::Item(Item::of(item)))),
            Value::Hash(fields) => {
                for (field, value, expires) in fields {
                    each(Part::Field { field: Item::of(field), value: Item::of(value), expires: *expires });
                }
            }
            Value::SortedSet(members) => {
                members
                    .iter()
                    .for_each(|(member, score)| each(Part::Member { member: Item::of(member), score: *score }));
            }
            Value::Stream(stream) => stream.parts(each),
        }
        each(Part::End);
    }
}

impl Stream {
    fn parts(&self, each: &mut dyn FnMut(Part<'_>)) {
        for (id, fields) in &self.entries {
            let fields: Vec<_> = fields.iter().map(|(field, value)| (Item::of(field), Item::of(value))).collect();
            each(Part::Entry { id: *id, fields: &fields });
        }
        let (length, groups) = (self.entries.len() as u64, self.groups.len() as u64);
        each(Part::StreamState(StreamState { length, groups, ..self.state }));
        for group in &self.groups {
            let pending = group.pending.len() as u64;
            let Group { name, last_id, entries_read, .. } = group;
            each(Part::Group(super::Group { name, last_id: *last_id, entries_read: *entries_read, pending }));
            for (id, delivered_at, deliveries) in &group.pending {
                each(Part::Pending { id: *id, delivered_at: *delivered_at, deliveries: *deliveries });
            }
            each(Part::Consumers(group.consumers.len() as u64));
            for Consumer { name, seen_at, active_at, pending } in &group.consumers {
                let count = pending.len() as u64;
                let (seen_at, active_at) = (*seen_at, *active_at);
                each(Part::Consumer(super::Consumer { name, seen_at, active_at, pending: count }));
                pending.iter().for_each(|id| each(Part::Owned(*id)));
            }
        }
    }
}

/// Makes a [`Value`] of parts. What no key can hold is refused: a member or field twice, a pending entry of two consumers.
#[derive(Debug, Default)]
pub struct Collector {
    value: Option<Value>,
    seen: BTreeSet<Vec<u8>>,
    owned: BTreeSet<StreamId>,
    is_whole: bool,
}

impl Collector {
    /// The value, once it is whole. The collector is empty afterwards.
    pub fn take(&mut self) -> Option<Value> {
        let Collector { value, is_whole, .. } = std::mem::take(self);
        value.filter(|_| is_whole)
    }

    /// Takes the next part in.
    pub fn put(&mut self, part: Part<'_>) -> Result<(), Refused> {
        match (&mut self.value, part) {
            (None, Part::String(item)) => {
                self.value = Some(Value::String(item.to_vec()));
                self.is_whole = true;
            }
            (None, Part::Long { .. }) => self.value = Some(Value::String(Vec::new())),
            (None, Part::Begin { kind, .. }) => {
                self.value = Some(match kind {
                    Kind::String => Value::String(Vec::new()),
                    Kind::List => Value::List(Vec::new()),
                    Kind::Set => Value::Set(Vec::new()),
                    Kind::Hash => Value::Hash(Vec::new()),
                    Kind::SortedSet => Value::SortedSet(Vec::new()),
                    Kind::Stream => Value::Stream(Box::default()),
                });
            }
            (Some(_), Part::End) => self.is_whole = true,
            (Some(Value::String(text)), Part::Piece(bytes)) => text.extend_from_slice(bytes),
            (Some(Value::List(items)), Part::Item(item)) => items.push(item.to_vec()),
            (Some(Value::Set(members)), Part::Item(item)) => {
                members.push(item.to_vec());
                first_time(&mut self.seen, item)?;
            }
            (Some(Value::Hash(fields)), Part::Field { field, value, expires }) => {
                fields.push((field.to_vec(), value.to_vec(), expires));
                first_time(&mut self.seen, field)?;
            }
            (Some(Value::SortedSet(members)), Part::Member { member, score }) => {
                members.push((member.to_vec(), score));
                first_time(&mut self.seen, member)?;
            }
            (Some(Value::Stream(stream)), part) => put_stream(stream, &mut self.owned, part)?,
            _ => return Err(Refused("a part that does not belong here")),
        }
        Ok(())
    }
}

fn first_time(seen: &mut BTreeSet<Vec<u8>>, item: Item<'_>) -> Result<(), Refused> {
    if seen.insert(item.to_vec()) { Ok(()) } else { Err(Refused("an element is there twice")) }
}

fn put_stream(stream: &mut Stream, owned: &mut BTreeSet<StreamId>, part: Part<'_>) -> Result<(), Refused> {
    match part {
        Part::Entry { id, fields } => {
            let fields = fields.iter().map(|(field, value)| (field.to_vec(), value.to_vec()));
            stream.entries.push((id, fields.collect()));
            return Ok(());
        }
        Part::StreamState(state) => {
            stream.state = state;
            return Ok(());
        }
        Part::Group(group) => {
            if stream.groups.iter().any(|other| other.name == group.name) {
                return Err(Refused("a group is there twice"));
            }
            owned.clear();
            let (name, last_id, entries_read) = (group.name.to_vec(), group.last_id, group.entries_read);
            stream.groups.push(Group { name, last_id, entries_read, ..Group::default() });
            return Ok(());
        }
        _ => {}
    }
    let group = stream.groups.last_mut().ok_or(Refused("a consumer without its group"))?;
    match part {
        Part::Pending { id, delivered_at, deliveries } => {
            if group.pending.last().is_some_and(|(last, ..)| *last >= id) {
                return Err(Refused("pending entries do not ascend"));
            }
            group.pending.push((id, delivered_at, deliveries));
        }
        Part::Consumers(_) => {}
        Part::Consumer(consumer) => {
            if group.consumers.iter().any(|other| other.name == consumer.name) {
                return Err(Refused("a consumer is there twice"));
            }
            let super::Consumer { name, seen_at, active_at, .. } = consumer;
            group.consumers.push(Consumer { name: name.to_vec(), seen_at, active_at, pending: Vec::new() });
        }
        Part::Owned(id) => {
            let consumer = group.consumers.last_mut().ok_or(Refused("a pending entry of nobody"))?;
            if group.pending.binary_search_by_key(&id, |(id, ..)| *id).is_err() || !owned.insert(id) {
                return Err(Refused("a consumer's pending entry that its group does not have, or that is another's"));
            }
            consumer.pending.push(id);
        }
        _ => return Err(Refused("a part that does not belong here")),
    }
    Ok(())
}

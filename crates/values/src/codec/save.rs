//! A collection as parts, some of them at a time.
//!
//! Between two pieces the collection must not change: who changes it first saves the rest, or gives up.

use pinyon_base::Millis;

use super::{Consumer, Group, Kind, Part, SetForm, Shape, StreamState};
use crate::set::SetRef;
use crate::stream::{self, Stream, StreamId};
use crate::zset::ZSet;
use crate::{CollectionRef, Item};

/// A list of up to this size is saved as one packed string.
const LIST_PACKED_BYTES_MAX: usize = 8 << 10;
/// What a node of a saved stream should hold at most: Redis's own limits by default.
const NODE_ENTRIES_MAX: u64 = 100;
const NODE_BYTES: u64 = 4096;

/// What a collection is.
pub fn kind_of<'c>(collection: impl Into<CollectionRef<'c>>) -> Kind {
    match collection.into() {
        CollectionRef::List(_) => Kind::List,
        CollectionRef::Set(_) => Kind::Set,
        CollectionRef::Hash(_) => Kind::Hash,
        CollectionRef::ZSet(_) => Kind::SortedSet,
        CollectionRef::Stream(_) => Kind::Stream,
    }
}

/// How a collection is encoded: packed where it is packed in memory.
pub fn shape_of<'c>(collection: impl Into<CollectionRef<'c>>) -> Shape {
    let collection = collection.into();
    let elements = collection.len();
    match collection {
        CollectionRef::List(list) => Shape::List { items: elements, packed: list.memory() <= LIST_PACKED_BYTES_MAX },
        CollectionRef::Set(set) => {
            let form = match set {
                SetRef::Ints(_) => SetForm::Integers,
                SetRef::Packed(_) => SetForm::Packed,
                SetRef::Table(_) => SetForm::Table,
            };
            Shape::Set { members: elements, form }
        }
        CollectionRef::Hash(hash) => {
            Shape::Hash { fields: elements, packed: hash.is_packed(), first_deadline: hash.next_deadline().map(Millis) }
        }
        CollectionRef::ZSet(zset) => Shape::SortedSet { members: elements, packed: matches!(zset, ZSet::Packed(_)) },
        CollectionRef::Stream(stream) => {
            let entry_bytes = (stream.memory() as u64 / elements.max(1)).max(1);
            Shape::Stream { entries: elements, per_node: (NODE_BYTES / entry_bytes).clamp(1, NODE_ENTRIES_MAX) }
        }
    }
}

/// How far a collection has been saved.
#[derive(Clone, Debug)]
pub struct Saving {
    at: At,
}

#[derive(Clone, Debug)]
enum At {
    Begin,
    /// By a cursor of the structure, or by the number of an element.
    Elements(u64),
    /// From the entry of this name on.
    Entries(StreamId),
    /// The groups behind the one of this name.
    Groups(Option<Box<[u8]>>),
    Pending(Box<[u8]>, StreamId),
    /// The consumer of this number.
    Consumers(Box<[u8]>, usize),
    Owned(Box<[u8]>, usize, StreamId),
    End,
    Done,
}

impl Default for Saving {
    fn default() -> Self {
        Saving { at: At::Begin }
    }
}

impl Saving {
    /// Hands out the next parts, those of some `budget` elements. True: that was all.
    pub fn some<'c>(
        &mut self,
        collection: impl Into<CollectionRef<'c>>,
        budget: usize,
        each: &mut dyn FnMut(Part<'_>),
    ) -> bool {
        let collection = collection.into();
        let budget = budget.max(1);
        let at = std::mem::replace(&mut self.at, At::Done);
        self.at = match at {
            At::Begin => {
                each(Part::Begin { kind: kind_of(collection), about: collection.len() });
                match collection {
                    CollectionRef::Stream(_) => At::Entries(StreamId::MIN),
                    _ => At::Elements(0),
                }
            }
            At::Elements(from) => elements(collection, from, budget, each),
            At::End => {
                each(Part::End);
                At::Done
            }
            At::Done => At::Done,
            at => match collection {
                CollectionRef::Stream(stream) => next_of_stream(stream, at, budget, each),
                _ => unreachable!("only streams are saved in these steps"),
            },
        };
        matches!(self.at, At::Done)
    }

    /// Hands out all parts of a collection.
    pub fn all<'c>(collection: impl Into<CollectionRef<'c>>, each: &mut dyn FnMut(Part<'_>)) {
        let collection = collection.into();
        let mut saving = Saving::default();
        while !saving.some(collection, usize::MAX, each) {}
    }
}

fn elements(collection: CollectionRef<'_>, from: u64, budget: usize, each: &mut dyn FnMut(Part<'_>)) -> At {
    let (start, len) = (from as usize, collection.len() as usize);
    let count = budget.min(len - start.min(len));
    let by_number = if start + count >= len { 0 } else { (start + count) as u64 };
    let next = match collection {
        CollectionRef::List(list) => {
            list.range(start, count, &mut |item| each(Part::Item(item)));
            by_number
        }
        CollectionRef::ZSet(zset) => {
            let mut member = |member: &[u8], score| each(Part::Member { member: Item::of(member), score });
            zset.range(start, count, false, &mut member);
            by_number
        }
        CollectionRef::Set(set) => set.scan(from, budget, &mut |item| each(Part::Item(item))),
        CollectionRef::Hash(hash) => hash.scan(from, budget, &mut |field| {
            let expires = field.deadline.map(Millis);
            each(Part::Field { field: field.name, value: field.value, expires });
        }),
        CollectionRef::Stream(_) => unreachable!("streams have entries"),
    };
    if next == 0 { At::End } else { At::Elements(next) }
}

fn next_of_stream(stream: &Stream, at: At, budget: usize, each: &mut dyn FnMut(Part<'_>)) -> At {
    let group_named = |name: &[u8]| stream.group(name).expect("the group was there");
    match at {
        At::Entries(from) => entries(stream, from, budget, each),
        At::Groups(done) => {
            let mut groups = stream.groups().iter();
            let next = groups.find(|(name, _)| done.as_ref().is_none_or(|done| *name > done));
            let Some((name, group)) = next else { return At::End };
            each(Part::Group(Group {
                name,
                last_id: group.last_delivered,
                entries_read: group.entries_read,
                pending: group.pending().len() as u64,
            }));
            At::Pending(name.clone(), StreamId::MIN)
        }
        At::Pending(name, from) => {
            let group = group_named(&name);
            let mut pending = group.pending().range(from..);
            for (id, pending) in pending.by_ref().take(budget) {
                let (delivered_at, deliveries) = (Millis(pending.delivered_at), u64::from(pending.deliveries));
                each(Part::Pending { id: *id, delivered_at, deliveries });
            }
            if let Some((next, _)) = pending.next() {
                return At::Pending(name, *next);
            }
            each(Part::Consumers(group.consumer_count() as u64));
            At::Consumers(name, 0)
        }
        At::Consumers(name, number) => consumer(group_named(&name), name.clone(), number, each),
        At::Owned(name, number, from) => {
            let consumer = group_named(&name).consumers().nth(number).expect("the consumer was there");
            let mut owned = consumer.pending().range(from..);
            owned.by_ref().take(budget).for_each(|id| each(Part::Owned(*id)));
            match owned.next() {
                Some(next) => At::Owned(name, number, *next),
                None => At::Consumers(name, number + 1),
            }
        }
        At::Begin | At::Elements(_) | At::End | At::Done => unreachable!("no step of a stream alone"),
    }
}

fn consumer(group: &stream::Group, name: Box<[u8]>, number: usize, each: &mut dyn FnMut(Part<'_>)) -> At {
    let Some(consumer) = group.consumers().nth(number) else {
        return At::Groups(Some(name));
    };
    /// As Redis has the time of a consumer that never got anything.
    const NEVER: i64 = -1;
    each(Part::Consumer(Consumer {
        name: &consumer.name,
        seen_at: Millis(consumer.seen_at),
        active_at: Some(Millis(consumer.active_at.unwrap_or(NEVER))),
        pending: consumer.pending().len() as u64,
    }));
    At::Owned(name, number, StreamId::MIN)
}

/// Entries from one name on; behind the last, what else the stream knows.
fn entries(stream: &Stream, from: StreamId, budget: usize, each: &mut dyn FnMut(Part<'_>)) -> At {
    let (mut left, mut next) = (budget, None);
    stream.walk(from, StreamId::MAX, false, &mut |id, fields| {
        if left == 0 {
            next = Some(id);
            return false;
        }
        left -= 1;
        let fields: Vec<(Item<'_>, Item<'_>)> = fields.iter().collect();
        each(Part::Entry { id, fields: &fields });
        true
    });
    if let Some(next) = next {
        return At::Entries(next);
    }
    each(Part::StreamState(StreamState {
        length: stream.len(),
        last_id: stream.last_id(),
        first_id: Some(stream.first_entry().unwrap_or(StreamId::MIN)),
        max_deleted_id: Some(stream.max_deleted_id),
        entries_added: Some(stream.entries_added),
        groups: stream.groups().len() as u64,
    }));
    At::Groups(None)
}

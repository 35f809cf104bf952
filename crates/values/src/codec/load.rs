//! A collection out of parts, one at a time.
//!
//! What a structure cannot hold is refused: an element twice, entries out of order, an entry pending for two consumers or for
//! none. Numbers that the parts claim reserve nothing.

use pinyon_base::Millis;

use super::{Kind, Part, Refused, StreamState};
use crate::hash::{FieldTtl, HashLimits};
use crate::list::ListLimits;
use crate::set::{Set, SetLimits};
use crate::stream::{BlockLimits, Group, Pending, Stream, StreamId};
use crate::zset::ZSetLimits;
use crate::{Collection, Item};

/// Up to where each kind of collection stays small, as the directives say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    pub list: ListLimits,
    pub set: SetLimits,
    pub hash: HashLimits,
    pub zset: ZSetLimits,
    pub stream: BlockLimits,
}

/// Builds one collection.
pub struct Builder {
    limits: Limits,
    /// As many elements as the parts claimed.
    about: usize,
    collection: Option<Collection>,
    group: Option<GroupBuilder>,
    /// The stream came without counts, as before Redis 7.0: what its groups have read is told by their last IDs.
    is_uncounted: bool,
    is_whole: bool,
}

/// A group whose parts are coming. Its pending entries come before the consumers that own them.
struct GroupBuilder {
    name: Box<[u8]>,
    group: Group,
    /// In order, each with the time and number of deliveries, until its consumer is known.
    pending: Vec<(StreamId, Millis, u64)>,
    owned: usize,
    consumer: Option<u32>,
}

const MISPLACED: Refused = Refused("a part that does not belong here");
const TWICE: Refused = Refused("an element is there twice");

impl Builder {
    pub fn new(limits: Limits) -> Builder {
        Builder { limits, about: 0, collection: None, group: None, is_uncounted: false, is_whole: false }
    }

    /// The collection, if it is whole.
    pub fn finish(self) -> Option<Collection> {
        self.collection.filter(|_| self.is_whole)
    }

    /// Takes the next part in. After an error the builder is of no use any more.
    pub fn put(&mut self, part: Part<'_>) -> Result<(), Refused> {
        if self.is_whole {
            return Err(MISPLACED);
        }
        let limits = &self.limits;
        match (&mut self.collection, part) {
            (None, Part::Begin { kind, about }) => {
                self.about = usize::try_from(about).unwrap_or(usize::MAX);
                self.collection = Some(match kind {
                    Kind::String => return Err(MISPLACED),
                    Kind::List => Collection::List(Box::default()),
                    Kind::Set => Collection::Set(Box::default()),
                    Kind::Hash => Collection::Hash(Box::default()),
                    Kind::SortedSet => Collection::ZSet(Box::default()),
                    Kind::Stream => Collection::Stream(Box::default()),
                });
            }
            (Some(Collection::List(list)), Part::Item(item)) => {
                list.push_back(item.bytes(&mut [0; 20]), &limits.list);
            }
            (Some(Collection::Set(set)), Part::Item(item)) => {
                let digits = &mut [0; 20];
                let member = item.bytes(digits);
                if set.is_empty() && self.about > 0 {
                    **set = Set::with_hint(member, self.about, &limits.set);
                }
                first_time(set.add(member, &limits.set))?;
            }
            (Some(Collection::Hash(hash)), Part::Field { field, value, expires }) => {
                let ttl = expires.map_or(FieldTtl::Clear, |at| FieldTtl::At(at.0));
                let (digits, more_digits) = (&mut [0; 20], &mut [0; 20]);
                first_time(hash.set(field.bytes(digits), value.bytes(more_digits), ttl, &limits.hash))?;
            }
            (Some(Collection::ZSet(zset)), Part::Member { member, score }) => {
                first_time(zset.add(member.bytes(&mut [0; 20]), score, &limits.zset).is_none())?;
            }
            (Some(Collection::Stream(stream)), mut part) => {
                if let Part::StreamState(state) = &part {
                    self.is_uncounted = state.entries_added.is_none();
                }
                if let Part::Group(group) = &mut part
                    && self.is_uncounted
                {
                    group.entries_read = stream.entries_up_to(group.last_id);
                }
                if put_stream(stream, &mut self.group, part, limits)? {
                    self.is_whole = true;
                }
            }
            (Some(_), Part::End) => self.is_whole = true,
            _ => return Err(MISPLACED),
        }
        Ok(())
    }
}

fn first_time(is_new: bool) -> Result<(), Refused> {
    if is_new { Ok(()) } else { Err(TWICE) }
}

/// True: the stream is complete.
fn put_stream(
    stream: &mut Stream,
    group: &mut Option<GroupBuilder>,
    part: Part<'_>,
    limits: &Limits,
) -> Result<bool, Refused> {
    match part {
        Part::Entry { id, fields } => add_entry(stream, id, fields, limits)?,
        Part::StreamState(state) => set_state(stream, &state)?,
        Part::Group(next) => {
            add_group(stream, group.take())?;
            *group = Some(GroupBuilder::new(&next));
        }
        Part::End => {
            add_group(stream, group.take())?;
            return Ok(true);
        }
        part => group.as_mut().ok_or(MISPLACED)?.put(part)?,
    }
    Ok(false)
}

fn add_entry(
    stream: &mut Stream,
    id: StreamId,
    fields: &[(Item<'_>, Item<'_>)],
    limits: &Limits,
) -> Result<(), Refused> {
    if id <= stream.last_id() {
        return Err(Refused("the names of entries do not ascend"));
    }
    let mut digits = vec![([0; 20], [0; 20]); fields.len()];
    let texts = fields.iter().zip(&mut digits);
    let fields: Vec<(&[u8], &[u8])> =
        texts.map(|((field, value), digits)| (field.bytes(&mut digits.0), value.bytes(&mut digits.1))).collect();
    stream.add(id, &fields, &limits.stream);
    Ok(())
}

fn set_state(stream: &mut Stream, state: &StreamState) -> Result<(), Refused> {
    if state.last_id < stream.last_id() {
        return Err(Refused("an entry has a higher name than the last"));
    }
    stream.set_last_id(state.last_id);
    stream.max_deleted_id = state.max_deleted_id.unwrap_or_default();
    stream.entries_added = state.entries_added.unwrap_or(stream.len());
    Ok(())
}

fn add_group(stream: &mut Stream, group: Option<GroupBuilder>) -> Result<(), Refused> {
    let Some(built) = group else { return Ok(()) };
    if built.owned != built.pending.len() {
        return Err(Refused("a pending entry of nobody"));
    }
    if stream.add_group(&built.name, built.group) { Ok(()) } else { Err(Refused("a group is there twice")) }
}

impl GroupBuilder {
    fn new(group: &super::Group<'_>) -> GroupBuilder {
        GroupBuilder {
            name: group.name.into(),
            group: Group::new(group.last_id, group.entries_read),
            pending: Vec::new(),
            owned: 0,
            consumer: None,
        }
    }

    fn put(&mut self, part: Part<'_>) -> Result<(), Refused> {
        match part {
            Part::Pending { id, delivered_at, deliveries } => {
                if self.pending.last().is_some_and(|(last, ..)| *last >= id) {
                    return Err(Refused("pending entries do not ascend"));
                }
                self.pending.push((id, delivered_at, deliveries));
            }
            Part::Consumers(_) => {}
            Part::Consumer(consumer) => {
                if self.group.consumer_named(consumer.name).is_some() {
                    return Err(Refused("a consumer is there twice"));
                }
                let number = self.group.add_consumer(consumer.name, consumer.seen_at.0);
                // Before 7.2 it was not kept apart from the time it was seen; below 0: never.
                let active_at = consumer.active_at.unwrap_or(consumer.seen_at).0;
                self.group.consumer_mut(number).active_at = Some(active_at).filter(|at| *at >= 0);
                self.consumer = Some(number);
            }
            Part::Owned(id) => {
                let consumer = self.consumer.ok_or(MISPLACED)?;
                let at = self.pending.binary_search_by_key(&id, |(id, ..)| *id);
                let at = at.map_err(|_| Refused("a consumer's pending entry that its group does not have"))?;
                if self.group.pending().contains_key(&id) {
                    return Err(Refused("an entry is pending for two consumers"));
                }
                let (_, delivered_at, deliveries) = self.pending[at];
                let deliveries = u32::try_from(deliveries).unwrap_or(u32::MAX);
                self.group.assign(id, Pending { consumer, deliveries, delivered_at: delivered_at.0 });
                self.owned += 1;
            }
            _ => return Err(MISPLACED),
        }
        Ok(())
    }
}

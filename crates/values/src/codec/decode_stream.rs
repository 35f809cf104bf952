//! Encoded streams into parts.
//!
//! ```text
//!  number of nodes
//!    per node: a string of 16 bytes, the node's name (ms, seq, highest byte first); a string, its listpack:
//!      live entries, deleted entries, number of fields, the fields, 0
//!      per entry: flags (1 deleted, 2 with the node's fields), ms and seq less those of the node,
//!                 the values, or without flag 2 the number of fields and then field, value, …
//!                 how many elements this entry has without this one
//!  number of entries, last name (two lengths)
//!  from 7.0 on: first name, highest deleted name, entries ever added
//!  number of groups
//!    per group: name, last name delivered, from 7.0 on: entries read, or 2⁶⁴-1
//!      number of pending entries, per entry: name in 16 bytes, delivery time in 8, deliveries
//!      number of consumers
//!        per consumer: name, time seen in 8 bytes, from 7.2 on: time active in 8 bytes (-1: never)
//!          number of its pending entries, per entry: name in 16 bytes
//! ```
//!
//! Numbers without a width are lengths; times are unix milliseconds, lowest byte first. The flags and differences of an
//! entry are elements of the listpack; differences wrap.

use pinyon_base::Millis;

use super::encoding::StreamForm;
use super::input::{Input, Stop};
use super::listpack::Listpack;
use super::{Consumer, DecodeError, Group, Part, Sink, StreamId, StreamState};
use crate::Item;

const ID_BYTES: usize = 16;
pub(super) const FLAG_DELETED: i64 = 1;
pub(super) const FLAG_SAME_FIELDS: i64 = 2;
/// A number of entries read that is not known.
pub(super) const UNKNOWN: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct StreamDecoder {
    form: StreamForm,
    /// The name of the last entry handed out.
    last: Option<StreamId>,
    /// Entries handed out.
    entries: u64,
    groups: u64,
    consumers: u64,
    at: At,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Start,
    Nodes(u64),
    Group,
    Pending(u64),
    Consumers,
    Consumer,
    Owned(u64),
}

impl StreamDecoder {
    pub fn new(form: StreamForm) -> StreamDecoder {
        StreamDecoder { form, last: None, entries: 0, groups: 0, consumers: 0, at: At::Start }
    }

    /// Reads one unit. True: the stream is complete.
    pub fn unit(
        &mut self,
        input: &mut Input<'_>,
        scratch: &mut [Vec<u8>; 2],
        sink: &mut Sink<'_>,
    ) -> Result<bool, Stop> {
        let [first, second] = scratch;
        match self.at {
            At::Start => self.at = At::Nodes(input.length()?),
            At::Nodes(0) => {
                let state = self.state(input)?;
                self.groups = state.groups;
                self.at = At::Group;
                sink(Part::StreamState(state))?;
            }
            At::Nodes(left) => {
                let name = input.text(first)?;
                let name: &[u8; ID_BYTES] = name.try_into().map_err(|_| bad("a node has a name of another length"))?;
                let node = input.text(second)?;
                self.at = At::Nodes(left - 1);
                self.node(id_of(name), Listpack::new(node)?, sink)?;
            }
            At::Group if self.groups == 0 => {
                sink(Part::End)?;
                return Ok(true);
            }
            At::Group => {
                let name = input.text(first)?;
                let last_id = id(input)?;
                let known = self.form >= StreamForm::Counts;
                let entries_read = if known { Some(input.length()?).filter(|read| *read != UNKNOWN) } else { None };
                let pending = input.length()?;
                self.groups -= 1;
                self.at = At::Pending(pending);
                sink(Part::Group(Group { name, last_id, entries_read, pending }))?;
            }
            At::Pending(0) => {
                self.consumers = input.length()?;
                self.at = At::Consumers;
                sink(Part::Consumers(self.consumers))?;
            }
            At::Pending(left) => {
                let id = id_of(&input.array()?);
                let delivered_at = Millis(i64::from_le_bytes(input.array()?));
                let deliveries = input.length()?;
                self.at = At::Pending(left - 1);
                sink(Part::Pending { id, delivered_at, deliveries })?;
            }
            At::Consumers => self.at = if self.consumers == 0 { At::Group } else { At::Consumer },
            At::Consumer => {
                let consumer = self.consumer(input, first)?;
                self.consumers -= 1;
                self.at = At::Owned(consumer.pending);
                sink(Part::Consumer(consumer))?;
            }
            At::Owned(0) => self.at = At::Consumers,
            At::Owned(left) => {
                let id = id_of(&input.array()?);
                self.at = At::Owned(left - 1);
                sink(Part::Owned(id))?;
            }
        }
        Ok(false)
    }

    fn state(&self, input: &mut Input<'_>) -> Result<StreamState, Stop> {
        let (length, last_id) = (input.length()?, id(input)?);
        let mut state = StreamState { length, last_id, ..StreamState::default() };
        if self.form >= StreamForm::Counts {
            state.first_id = Some(id(input)?);
            state.max_deleted_id = Some(id(input)?);
            state.entries_added = Some(input.length()?);
        }
        state.groups = input.length()?;
        if state.length != self.entries {
            return Err(bad("the number of entries is not the one that it says").into());
        }
        if self.last.is_some_and(|last| last > last_id) {
            return Err(bad("an entry has a higher name than the last").into());
        }
        Ok(state)
    }

    fn consumer<'s, 'i: 's>(&self, input: &mut Input<'i>, scratch: &'s mut Vec<u8>) -> Result<Consumer<'s>, Stop> {
        let name = input.text(scratch)?;
        let seen_at = Millis(i64::from_le_bytes(input.array()?));
        let knows_active = self.form >= StreamForm::Active;
        let active_at = if knows_active { Some(Millis(i64::from_le_bytes(input.array()?))) } else { None };
        Ok(Consumer { name, seen_at, active_at, pending: input.length()? })
    }

    /// Hands out the entries of a node that are not deleted.
    fn node(&mut self, name: StreamId, mut items: Listpack<'_>, sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        let (live, deleted) = (count(&mut items)?, count(&mut items)?);
        let shared = (0..count(&mut items)?).map(|_| any(&mut items)).collect::<Result<Vec<_>, _>>()?;
        if integer(&mut items)? != 0 {
            return Err(bad("the first entry of a node does not end as it should"));
        }
        let (mut live_found, mut deleted_found) = (0, 0);
        let mut fields = Vec::new();
        while let Some(flags) = items.next() {
            let Item::Int(flags) = flags? else { return Err(bad("flags that are no number")) };
            let id = StreamId {
                ms: name.ms.wrapping_add(integer(&mut items)? as u64),
                seq: name.seq.wrapping_add(integer(&mut items)? as u64),
            };
            fields.clear();
            let has_shared = flags & FLAG_SAME_FIELDS != 0;
            if has_shared {
                for field in &shared {
                    fields.push((*field, any(&mut items)?));
                }
            } else {
                for _ in 0..count(&mut items)? {
                    fields.push((any(&mut items)?, any(&mut items)?));
                }
            }
            let elements = if has_shared { 3 + fields.len() } else { 4 + 2 * fields.len() };
            if integer(&mut items)? != elements as i64 {
                return Err(bad("the length of an entry is not the one that it says"));
            }
            if flags & FLAG_DELETED != 0 {
                deleted_found += 1;
                continue;
            }
            live_found += 1;
            if self.last.is_some_and(|last| last >= id) {
                return Err(bad("the names of its entries do not ascend"));
            }
            self.last = Some(id);
            self.entries += 1;
            sink(Part::Entry { id, fields: &fields })?;
        }
        if (live_found, deleted_found) != (live, deleted) {
            return Err(bad("the number of a node's entries is not the one that it says"));
        }
        Ok(())
    }
}

fn bad(what: &'static str) -> DecodeError {
    DecodeError::Stream(what)
}

fn id_of(bytes: &[u8; ID_BYTES]) -> StreamId {
    let both = u128::from_be_bytes(*bytes);
    StreamId { ms: (both >> 64) as u64, seq: both as u64 }
}

/// A name as two lengths.
fn id(input: &mut Input<'_>) -> Result<StreamId, Stop> {
    Ok(StreamId { ms: input.length()?, seq: input.length()? })
}

fn any<'a>(items: &mut Listpack<'a>) -> Result<Item<'a>, DecodeError> {
    items.next().unwrap_or(Err(bad("a node is cut off")))
}

fn integer(items: &mut Listpack<'_>) -> Result<i64, DecodeError> {
    match any(items)? {
        Item::Int(value) => Ok(value),
        Item::Bytes(_) => Err(bad("a text where a number should be")),
    }
}

/// A number of things that are in the node.
fn count(items: &mut Listpack<'_>) -> Result<u64, DecodeError> {
    u64::try_from(integer(items)?).map_err(|_| bad("a number of things below 0"))
}

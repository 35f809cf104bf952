//! Values as DUMP gives them away and RESTORE takes them in: one string of bytes each, that redis-server exchanges, too.

use pinyon_values::codec::dump::{Payload, PayloadError, seal};
use pinyon_values::codec::{Builder, DecodeError, Encoder, Kind, Part, Saving, Settings, Shape, shape_of};
use pinyon_values::{Collection, Item};

use super::access::{with_frequency, with_idle_seconds};
use super::keyspace::lookup;
use super::{Key, Keyspace, Limits, NewValue, Shard, Ttl, ValueRef};

/// A value that was read from a payload, and is in no keyspace yet.
pub enum Loaded {
    Text(Vec<u8>),
    Collection(Collection),
}

/// A value in the form of DUMP, by the format of redis-server 7.0 where that can hold it.
pub fn payload_of(value: ValueRef<'_>) -> Vec<u8> {
    let settings = Settings::default();
    let shape = match value {
        ValueRef::Collection(collection) => shape_of(collection),
        _ => Shape::String,
    };
    let mut encoder = Encoder::new(shape, settings);
    let mut payload = vec![encoder.number()];
    match value {
        ValueRef::Int(value) => encoder.put(Part::String(Item::Int(value)), &mut payload),
        ValueRef::Bytes(text) | ValueRef::Raw(text) => encoder.put(Part::String(Item::of(text)), &mut payload),
        ValueRef::Blob(blob) => encoder.put(Part::String(Item::of(blob)), &mut payload),
        ValueRef::Collection(collection) => Saving::all(collection, &mut |part| encoder.put(part, &mut payload)),
    }
    seal(&encoder, settings.version, &mut payload);
    payload
}

impl Loaded {
    /// Reads a payload. Its bytes are not trusted.
    pub fn of(payload: &[u8], limits: &Limits) -> Result<Loaded, PayloadError> {
        let payload = Payload::open(payload)?;
        if payload.kind() == Kind::String {
            let mut text = Vec::new();
            payload.load(&mut |part| {
                match part {
                    Part::String(item) => text = item.to_vec(),
                    Part::Piece(bytes) => text.extend_from_slice(bytes),
                    _ => {}
                }
                Ok(())
            })?;
            return Ok(Loaded::Text(text));
        }
        let mut builder = Builder::new(limits.of_collections());
        payload.load(&mut |part| builder.put(part))?;
        builder.finish().map(Loaded::Collection).ok_or(PayloadError::Value(DecodeError::Truncated))
    }
}

impl Keyspace<'_> {
    /// Stores a value that came from elsewhere, over whatever is there.
    pub fn put_loaded(&mut self, key: Key<'_>, value: Loaded, ttl: Ttl) {
        match value {
            Loaded::Text(text) => self.put(key, NewValue::Text(&text), ttl),
            Loaded::Collection(collection) => self.put_collection(key, collection, ttl),
        }
    }

    /// Sets when the key was last used, or how often it is used: whichever the policy goes by.
    pub fn set_usage(&mut self, key: Key<'_>, idle_seconds: Option<u64>, frequency: Option<u8>) {
        let Shard { tables, now, ledger, touch, .. } = &mut *self.shard;
        let word = match (touch.policy.lfu, idle_seconds, frequency) {
            (true, _, Some(frequency)) => with_frequency(frequency, *now),
            (false, Some(idle), _) => with_idle_seconds(idle, *now),
            _ => return,
        };
        if let Some(mut found) = lookup(tables, self.db, key, *now, ledger) {
            found.set_access(word);
        }
    }
}

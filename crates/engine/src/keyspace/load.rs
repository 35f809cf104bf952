//! Loading what a snapshot has saved, into any number of shards: each takes the entries of its own slots.
//!
//! The layout of entries is drawn in [`super::snapshot`]. Bytes are not trusted: those that make no sense are an error.

use pinyon_base::{Blob, DbIndex, ShardId, slot_of};
use pinyon_values::codec::{Builder, Decoder, Encoding, Kind, Part};
use pinyon_values::{Collection, Item};

use super::access::AccessWord;
use super::block::{Content, INLINE_VALUE_MAX};
use super::collections::Limits;
use super::expiry::ExpiryWheel;
use super::housekeeping::Housekeeping;
use super::keyspace::content_of;
use super::snapshot::FORMAT;
use super::{NewValue, Piece, Shard, Ttl};
use crate::record::read::Reader;
use crate::record::{Damaged, Slots};

/// Loads entries into one shard.
pub struct Loader {
    own: Slots,
    loaded: u64,
    text: Vec<u8>,
}

/// A value that was read.
enum Decoded {
    Int(i64),
    /// It is in the loader's buffer.
    Text,
    Collection(Collection),
}

impl Loader {
    pub fn new(own: Slots) -> Loader {
        Loader { own, loaded: 0, text: Vec::new() }
    }

    /// Entries that were the shard's own.
    pub fn loaded(&self) -> u64 {
        self.loaded
    }

    /// Loads whole entries that follow one another.
    pub fn load(&mut self, shard: &mut Shard, entries: &[u8]) -> Result<(), Damaged> {
        // It was there before: nothing happens to it.
        shard.mute_events(true);
        let result = self.load_entries(shard, entries);
        shard.mute_events(false);
        result
    }

    fn load_entries(&mut self, shard: &mut Shard, entries: &[u8]) -> Result<(), Damaged> {
        let databases = shard.tables.len();
        let mut reader = Reader::new(entries);
        while !reader.is_at_end() {
            let (kind, db) = reader.head()?;
            if kind != 0 {
                return Err(Damaged::Operation(kind));
            }
            if usize::from(db.0) >= databases {
                return Err(Damaged::Database(u64::from(db.0)));
            }
            let (key, deadline) = (reader.bytes()?, reader.deadline()?);
            let access = AccessWord::from_bytes(reader.exactly()?);
            let encoding = reader.byte()?;
            let (value, length) = self.decode(encoding, reader.rest(), &shard.config.limits)?;
            reader.pass(length);
            if self.own.contain(slot_of(key)) {
                self.loaded += 1;
                self.put(shard, db, key, deadline.map_or(Ttl::Clear, Ttl::At), access, value);
            }
        }
        Ok(())
    }

    fn put(&mut self, shard: &mut Shard, db: DbIndex, key: &[u8], ttl: Ttl, access: AccessWord, value: Decoded) {
        let mut ks = shard.keyspace(db, true);
        let key = ks.key_of(key);
        let value = match value {
            Decoded::Collection(collection) => {
                return ks.store(key, Content::Collection(collection), ttl, Some(access));
            }
            Decoded::Int(value) => NewValue::Int(value),
            Decoded::Text if self.text.len() > INLINE_VALUE_MAX => {
                let mut text = std::mem::take(&mut self.text);
                text.shrink_to_fit();
                NewValue::Blob(Blob::new(text))
            }
            Decoded::Text => NewValue::Text(&self.text),
        };
        let content = content_of(&value);
        ks.store(key, content, ttl, Some(access));
    }

    /// The value at the front of `bytes`, and how many of them it takes.
    fn decode(&mut self, encoding: u8, bytes: &[u8], limits: &Limits) -> Result<(Decoded, usize), Damaged> {
        let encoding = Encoding::of(encoding, FORMAT).map_err(|error| Damaged::Value(error.to_string()))?;
        if encoding.kind() != Kind::String {
            let (collection, length) = decode_collection(encoding, bytes, limits)?;
            return Ok((Decoded::Collection(collection), length));
        }
        let mut value = Decoded::Text;
        let text = &mut self.text;
        text.clear();
        let step = Decoder::new(encoding).step(bytes, &mut |part| {
            match part {
                Part::String(Item::Int(int)) => value = Decoded::Int(int),
                Part::String(Item::Bytes(bytes)) | Part::Piece(bytes) => text.extend_from_slice(bytes),
                _ => {}
            }
            Ok(())
        });
        let step = step.map_err(|error| Damaged::Value(error.to_string()))?;
        if step.need > 0 { Err(Damaged::Short) } else { Ok((value, step.consumed)) }
    }
}

impl Shard {
    /// Saves all entries and loads them again in their own place, all at once. False: not now, a snapshot is under way.
    pub fn reload(&mut self) -> Result<bool, Damaged> {
        if self.is_saving() {
            return Ok(false);
        }
        self.begin_snapshot();
        while self.snapshot_slice(usize::MAX) {}
        let mut entries = Vec::new();
        while let Some(batch) = self.take_batch() {
            batch.pieces(&mut |piece| {
                if let Piece::Bytes(bytes) = piece {
                    entries.extend_from_slice(bytes);
                }
            });
        }
        self.flush_all(true);
        Loader::new(Slots::of(ShardId(0), 1)).load(self, &entries)?;
        Ok(true)
    }
}

impl Shard {
    /// An empty shard of the same configuration, for data that may take the place of this one's.
    pub fn fresh(&self) -> Shard {
        let mut fresh = Shard::new(self.config.clone());
        fresh.begin_turn(self.now);
        fresh.wheel = ExpiryWheel::new(self.now);
        fresh
    }

    /// Takes the data of a shard that [`Shard::fresh`] has made in the place of its own, which are freed by
    /// [`Shard::background_slice`]. Those who watch a key that is there before or afterwards are told. Nothing is journaled but
    /// the end of watched keys that are due.
    pub fn replace_data(&mut self, data: Shard) {
        let dbs: Vec<DbIndex> = (0..self.tables.len()).map(|index| DbIndex(index as u16)).collect();
        dbs.iter().for_each(|db| self.tell_watchers_of(&[*db]));
        let Shard { tables, wheel, fading, .. } = data;
        let old = std::mem::replace(&mut self.tables, tables);
        (self.wheel, self.fading) = (wheel, fading);
        self.housekeeping = Housekeeping::default();
        self.pool.clear();
        old.into_iter().for_each(|table| self.discard_table(table, false));
        dbs.iter().for_each(|db| self.tell_watchers_of(&[*db]));
    }
}

/// The collection at the front of `bytes`, and how many of them it takes.
pub(crate) fn decode_collection(
    encoding: Encoding,
    bytes: &[u8],
    limits: &Limits,
) -> Result<(Collection, usize), Damaged> {
    let mut builder = Builder::new(limits.of_collections());
    let step = Decoder::new(encoding).step(bytes, &mut |part| builder.put(part));
    let step = step.map_err(|error| Damaged::Value(error.to_string()))?;
    match builder.finish() {
        _ if step.need > 0 => Err(Damaged::Short),
        Some(collection) if !collection.is_empty() || matches!(collection, Collection::Stream(_)) => {
            Ok((collection, step.consumed))
        }
        _ => Err(Damaged::Value("it is no collection, or an empty one".to_owned())),
    }
}

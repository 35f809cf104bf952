//! Records applied to a shard.
//!
//! A shard may read records that another one wrote, of a run with another number of shards: it takes the operations on keys
//! in its own slots and passes over the others. A flush and a swap mean the keys of the slots of the shard that wrote them.
//! So the records of one log have their order, and those of two logs need none between them.

use pinyon_base::{DbIndex, ShardId, Slot, slot_of, slots_of};
use pinyon_resp::{Args, Output, Proto, Span, Writer};
use pinyon_values::codec::{Encoding, VERSION_7_4};

use super::encode::with_subcommand;
use super::read::{Damaged, Op, Reader};
use crate::Cx;
use crate::command::keys_of;
use crate::command::registry::registry;
use crate::command::row::Handler;
use crate::keyspace::{NewValue, Shard, Ttl, decode_collection};

/// Slots from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    pub first: Slot,
    pub last: Slot,
}

impl Slots {
    /// Those of one shard of so many.
    pub fn of(shard: ShardId, shards: u16) -> Slots {
        let (first, last) = slots_of(shard, shards);
        Slots { first, last }
    }

    #[inline]
    pub fn contain(self, slot: Slot) -> bool {
        self.first <= slot && slot <= self.last
    }

    fn include(self, other: Slots) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Whether there is a slot in both.
    pub fn meet(self, other: Slots) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Applies the records of one log to one shard.
pub struct Replayer {
    /// The slots of the shard that wrote them.
    from: Slots,
    /// The slots of the shard that they are applied to.
    own: Slots,
    applied: u64,
    spans: Vec<Span>,
    reply: Output,
}

impl Replayer {
    pub fn new(from: Slots, own: Slots) -> Replayer {
        Replayer { from, own, applied: 0, spans: Vec::new(), reply: Output::default() }
    }

    /// Whether any of the records can concern the shard.
    pub fn has_business(&self) -> bool {
        self.from.meet(self.own)
    }

    /// How many operations were applied.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Applies one record. The shard's time ([`Shard::begin_turn`]) should be that of the record; deadlines do not pass.
    /// After an error the record has been applied in part.
    pub fn apply(&mut self, shard: &mut Shard, record: &[u8]) -> Result<(), Damaged> {
        shard.set_replaying(true);
        let result = self.operations(shard, record);
        shard.set_replaying(false);
        result
    }

    fn operations(&mut self, shard: &mut Shard, record: &[u8]) -> Result<(), Damaged> {
        let databases = shard.keyspace(DbIndex(0), true).databases();
        let mut reader = Reader::new(record);
        while let Some((db, op)) = reader.op()? {
            for db in [db, if let Op::Swap { with } = op { with } else { db }] {
                if db.0 >= databases {
                    return Err(Damaged::Database(u64::from(db.0)));
                }
            }
            match op {
                Op::Command { count } => self.command(shard, db, count, record, &mut reader)?,
                Op::Flush => self.flush(shard, db),
                Op::FlushAll => (0..databases).for_each(|db| self.flush(shard, DbIndex(db))),
                Op::Swap { with } => self.swap(shard, db, with),
                Op::Delete { key } | Op::Text { key, .. } | Op::Deadline { key, .. } | Op::Value { key, .. } => {
                    if self.own.contain(slot_of(key)) {
                        on_key(shard, db, op)?;
                        self.applied += 1;
                    }
                }
            }
        }
        Ok(())
    }

    fn command(
        &mut self,
        shard: &mut Shard,
        db: DbIndex,
        count: u64,
        record: &[u8],
        reader: &mut Reader<'_>,
    ) -> Result<(), Damaged> {
        self.spans.clear();
        for _ in 0..count {
            let len = reader.bytes()?.len();
            let start = u32::try_from(reader.at() - len).map_err(|_| Damaged::Number)?;
            self.spans.push(Span { start, len: u32::try_from(len).map_err(|_| Damaged::Number)? });
        }
        let args = Args { bytes: record, spans: &self.spans };
        let unknown = || {
            let name = args.spans.first().map_or(&b""[..], |_| args.get(0));
            Damaged::Command(String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned())
        };
        let id = args.spans.first().and_then(|_| registry().find(args.get(0))).ok_or_else(unknown)?;
        let entry = registry().entry(with_subcommand(id, args));
        let (Handler::Shard(handler) | Handler::Spread(_, handler)) = entry.row.handler else { return Err(unknown()) };
        if !entry.arity_ok(args.len()) {
            return Err(unknown());
        }
        let key = keys_of::keys(entry, args).next().ok_or_else(unknown)?;
        if !self.own.contain(slot_of(args.get(key))) {
            return Ok(());
        }
        self.reply.clear();
        let mut cx = Cx { ks: shard.keyspace(db, false), out: Writer { out: &mut self.reply, proto: Proto::Resp2 } };
        if let Err(error) = handler(&mut cx, args) {
            let command = entry.full_name.to_string();
            return Err(Damaged::Failed { command, error: error.to_string() });
        }
        self.applied += 1;
        Ok(())
    }

    fn flush(&mut self, shard: &mut Shard, db: DbIndex) {
        self.applied += 1;
        if self.from.include(self.own) {
            return shard.flush_db(db, false);
        }
        for key in self.keys_from(shard, db) {
            let mut ks = shard.keyspace(db, true);
            let key = ks.key_of(&key);
            ks.remove_lazy(key);
        }
    }

    fn swap(&mut self, shard: &mut Shard, first: DbIndex, second: DbIndex) {
        self.applied += 1;
        if self.from.include(self.own) {
            return shard.swap_db(first, second);
        }
        let dbs = [first, second];
        let keys = dbs.map(|db| self.keys_from(shard, db));
        let mut taken = Vec::new();
        for (db, keys) in dbs.into_iter().zip(keys) {
            let other = if db == first { second } else { first };
            for bytes in keys {
                let mut ks = shard.keyspace(db, true);
                let key = ks.key_of(&bytes);
                taken.extend(ks.take(key).map(|value| (other, bytes, value)));
            }
        }
        for (db, bytes, value) in taken {
            let mut ks = shard.keyspace(db, true);
            let key = ks.key_of(&bytes);
            ks.restore(key, value);
        }
    }

    /// The keys of a database that the writer's shard had.
    fn keys_from(&self, shard: &Shard, db: DbIndex) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        shard.each_key(db, &mut |key| {
            if self.from.contain(slot_of(key)) {
                keys.push(key.to_vec());
            }
        });
        keys
    }
}

/// An operation on one key.
fn on_key(shard: &mut Shard, db: DbIndex, op: Op<'_>) -> Result<(), Damaged> {
    let mut ks = shard.keyspace(db, true);
    match op {
        Op::Delete { key } => {
            let key = ks.key_of(key);
            ks.remove_lazy(key);
        }
        Op::Text { key, deadline, text } => {
            let key = ks.key_of(key);
            ks.put(key, NewValue::Text(text), deadline.map_or(Ttl::Clear, Ttl::At));
        }
        Op::Deadline { key, deadline } => {
            let key = ks.key_of(key);
            ks.set_deadline(key, deadline);
        }
        Op::Value { key, deadline, encoding, encoded } => {
            let encoding = Encoding::of(encoding, VERSION_7_4).map_err(|error| Damaged::Value(error.to_string()))?;
            let (collection, _) = decode_collection(encoding, encoded, ks.limits())?;
            let key = ks.key_of(key);
            ks.put_collection(key, collection, deadline.map_or(Ttl::Clear, Ttl::At));
        }
        Op::Command { .. } | Op::Flush | Op::FlushAll | Op::Swap { .. } => {}
    }
    Ok(())
}

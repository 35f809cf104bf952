//! DEBUG DIGEST and DEBUG DIGEST-VALUE: the same hash as Redis gives for the same data, so that two servers of either kind
//! can be compared.
//!
//! ```text
//! value of a key  mix type, mix value, and with a deadline xor SHA-1("!!expire!!")
//! value           string: its bytes        list: mix each element       set: xor each member
//!                 hash, sorted set: xor the digest of each pair, mixed of both
//!                 stream: mix each ID, fields and values
//! key             mix key, then as above
//! database        xor of the SHA-1s of its keys' digests: the order of keys does not count
//! everything      for each database with keys, in order: mix its number, xor its digest
//!
//! xor x: digest ^= SHA-1(x)      mix x: xor x, then digest = SHA-1(digest)
//! ```

use pinyon_base::{DbIndex, SHA1_BYTES, format_f64, sha1};
use pinyon_engine::keyspace::{KeyType, Keyspace, ValueRef};
use pinyon_values::CollectionRef;
use pinyon_values::stream::StreamId;

use crate::commands::Call;
use crate::core::{Core, Io};

/// A digest under way. All zeros: nothing was put in.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Digest([u8; SHA1_BYTES]);

impl Digest {
    fn join(&mut self, other: &Digest) {
        for (byte, other) in self.0.iter_mut().zip(other.0) {
            *byte ^= other;
        }
    }

    fn xor(&mut self, bytes: &[u8]) {
        self.join(&Digest(sha1(&[bytes])));
    }

    fn mix(&mut self, bytes: &[u8]) {
        self.xor(bytes);
        self.0 = sha1(&[&self.0]);
    }

    /// Mixes in what is under the key; false when nothing is.
    fn mix_value(&mut self, ks: &mut Keyspace<'_>, key: &[u8]) -> bool {
        let key = ks.key_of(key);
        let Some(deadline) = ks.deadline(key) else { return false };
        let Some(value) = ks.peek(key) else { return false };
        let number: u32 = match value.key_type() {
            KeyType::String => 0,
            KeyType::List => 1,
            KeyType::Set => 2,
            KeyType::ZSet => 3,
            KeyType::Hash => 4,
            KeyType::Stream => 6,
        };
        self.mix(&number.to_be_bytes());
        match value {
            ValueRef::Collection(collection) => self.mix_collection(collection),
            text => self.mix(text.as_bytes(&mut [0; 20])),
        }
        if deadline.is_some() {
            self.xor(b"!!expire!!");
        }
        true
    }

    fn mix_collection(&mut self, collection: CollectionRef<'_>) {
        match collection {
            CollectionRef::List(list) => list.range(0, list.len(), &mut |item| self.mix(item.bytes(&mut [0; 20]))),
            CollectionRef::Set(set) => {
                set.scan(0, usize::MAX, &mut |item| self.xor(item.bytes(&mut [0; 20])));
            }
            CollectionRef::ZSet(zset) => zset.range(0, zset.len(), false, &mut |member, score| {
                let mut text = Vec::new();
                format_f64(score, &mut text);
                self.xor(&Digest::of_pair(member, &text).0);
            }),
            CollectionRef::Hash(hash) => {
                for field in hash.fields() {
                    let (name, value) = (field.name.to_vec(), field.value.to_vec());
                    self.xor(&Digest::of_pair(&name, &value).0);
                }
            }
            CollectionRef::Stream(stream) => stream.walk(StreamId::MIN, StreamId::MAX, false, &mut |id, fields| {
                self.mix(format!("{}.{}", id.ms, id.seq).as_bytes());
                for (name, value) in fields.iter() {
                    self.mix(name.bytes(&mut [0; 20]));
                    self.mix(value.bytes(&mut [0; 20]));
                }
                true
            }),
        }
    }

    fn of_pair(first: &[u8], second: &[u8]) -> Digest {
        let mut digest = Digest::default();
        digest.mix(first);
        digest.mix(second);
        digest
    }

    fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Keys whose names are copied at a time.
const KEYS_AT_A_TIME: usize = 1024;

/// All data. Each core takes one database per turn, and all of it at once, so that no key changes place on the way: this is
/// no command for a server at work.
pub(super) fn digest(core: &mut Core, io: &mut Io, call: &Call<'_>) {
    let ticket = core.promise(call.conn);
    let share = || {
        let mut dbs: Vec<Digest> = Vec::new();
        move |core: &mut Core, _: &mut Io| {
            dbs.push(core.db_digest(DbIndex(dbs.len() as u16)));
            (dbs.len() == usize::from(core.settings.databases)).then(|| std::mem::take(&mut dbs))
        }
    };
    core.gather_slices(io, share, move |core, io, parts: Vec<Vec<Digest>>| {
        let mut all = Digest::default();
        for number in 0..core.settings.databases {
            let mut db = Digest::default();
            parts.iter().for_each(|part| db.join(&part[usize::from(number)]));
            if db != Digest::default() {
                all.mix(&u32::from(number).to_be_bytes());
                all.join(&db);
            }
        }
        core.fulfil(io, ticket, |out| out.simple(&all.hex()));
    });
}

/// The value of each key, zeros for one that is not there.
pub(super) fn digest_value(core: &mut Core, io: &mut Io, call: &Call<'_>) {
    let db = super::selected(core, call);
    let keys: Vec<Vec<u8>> = call.args.iter().skip(2).map(<[u8]>::to_vec).collect();
    let ticket = core.promise(call.conn);
    let work = move |core: &mut Core, io: &mut Io| -> Vec<Digest> {
        core.exec.start(io.now_ms());
        let mut digests = vec![Digest::default(); keys.len()];
        for (digest, key) in digests.iter_mut().zip(&keys) {
            if core.owner(key) == core.id.0 {
                digest.mix_value(&mut core.exec.shard.keyspace(db, true), key);
            }
        }
        digests
    };
    core.gather_all(io, work, move |core, io, parts: Vec<Vec<Digest>>| {
        let mut digests = parts.into_iter();
        let mut sum = digests.next().unwrap_or_default();
        for part in digests {
            // A key's digest is zero but on one core.
            sum.iter_mut().zip(&part).for_each(|(digest, other)| digest.join(other));
        }
        core.fulfil(io, ticket, |out| {
            out.array(sum.len());
            sum.iter().for_each(|digest| out.simple(&digest.hex()));
        });
    });
}

impl Core {
    /// The keys of one database on this core.
    fn db_digest(&mut self, db: DbIndex) -> Digest {
        let mut sum = Digest::default();
        let mut cursor = 0;
        loop {
            let mut keys = Vec::new();
            cursor = self.exec.shard.scan(db, cursor, KEYS_AT_A_TIME, &mut |key, _| keys.push(key.to_vec()));
            let mut ks = self.exec.shard.keyspace(db, true);
            for key in &keys {
                let mut digest = Digest::default();
                digest.mix(key);
                if digest.mix_value(&mut ks, key) {
                    sum.xor(&digest.0);
                }
            }
            if cursor == 0 {
                return sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pinyon_base::Millis;
    use pinyon_engine::keyspace::{NewValue, Shard, ShardConfig, Ttl};
    use pinyon_values::Collection;
    use pinyon_values::hash::{FieldTtl, Hash, HashLimits};
    use pinyon_values::list::{List, ListLimits};
    use pinyon_values::set::{Set, SetLimits};
    use pinyon_values::stream::{BlockLimits, Stream};
    use pinyon_values::zset::{ZSet, ZSetLimits};

    use super::*;

    /// `HSET h a 1 b hello c 12345`, DEBUG DIGEST-VALUE, and so on, asked of redis-server 7.0.15.
    #[test]
    fn collections_as_in_redis() {
        let (mut hash, mut list, mut set, mut zset, mut stream) =
            (Hash::new(), List::new(), Set::new(), ZSet::new(), Stream::new());
        for (name, value) in [("a", "1"), ("b", "hello"), ("c", "12345")] {
            hash.set(name.as_bytes(), value.as_bytes(), FieldTtl::Clear, &HashLimits::default());
        }
        for element in ["a", "b", "10"] {
            list.push_back(element.as_bytes(), &ListLimits::default());
            set.add(element.as_bytes(), &SetLimits::default());
        }
        for (member, score) in [("a", 1.0), ("b", 1.5), ("c", 0.1)] {
            zset.add(member.as_bytes(), score, &ZSetLimits::default());
        }
        stream.add(StreamId { ms: 5, seq: 1 }, &[(b"f", b"v"), (b"g", b"10")], &BlockLimits::default());
        stream.add(StreamId { ms: 6, seq: 2 }, &[(b"f", b"w")], &BlockLimits::default());
        let mut shard = Shard::new(ShardConfig::default());
        shard.begin_turn(Millis(1_000));
        let mut ks = shard.keyspace(DbIndex(0), false);
        for (collection, expected) in [
            (Collection::Hash(hash.into()), "15075e8261a172a34ab2f31b686865198e3bb605"),
            (Collection::List(list.into()), "fc505d38f0c81be3be0de6ee5a7e33ff54bba1f2"),
            (Collection::Set(set.into()), "6c4c4a8172124064173b70cedf712f77142f8623"),
            (Collection::ZSet(zset.into()), "3e64faa9117b2010712d2e8960cbd5feaf0a4147"),
            (Collection::Stream(stream.into()), "6565a14aa3787b09ee4163a0a59d08a2590514b2"),
        ] {
            let key = ks.key_of(b"k");
            let name = collection.type_name();
            ks.put_collection(key, collection, Ttl::Clear);
            let mut digest = Digest::default();
            assert!(digest.mix_value(&mut ks, b"k"));
            assert_eq!(digest.hex(), expected, "{name}");
        }
    }

    /// Asked of redis-server 7.0.15.
    #[test]
    fn same_as_redis() {
        let mut shard = Shard::new(ShardConfig::default());
        shard.begin_turn(Millis(1_000));
        let mut ks = shard.keyspace(DbIndex(0), false);
        let key = ks.key_of(b"a");
        ks.put(key, NewValue::Text(b"1"), Ttl::At(Millis(2_000)));
        let mut digest = Digest::default();
        assert!(digest.mix_value(&mut ks, b"a"));
        assert_eq!(digest.hex(), "5279988c5d1911f474bcbbf2f0a87012d40f8459");
        assert!(!Digest::default().mix_value(&mut ks, b"b"));
    }
}

//! What the keyspace promises, tested through [`Shard`]: [`model`] compares everything with a map, the others take one promise
//! each.

mod collections;
mod deadlines;
mod eviction;
mod memory;
mod model;
mod scan;
mod sizes;
mod snapshot;

use pinyon_base::{DbIndex, Millis};

use super::{NewValue, Shard, ShardConfig, Ttl};

const DB: DbIndex = DbIndex(0);
const NOW: Millis = Millis(1_700_000_000_000);
/// Miri is some hundred times slower.
const SCALE: usize = if cfg!(miri) { 100 } else { 1 };

fn shard() -> Shard {
    shard_with(ShardConfig::default())
}

fn shard_with(config: ShardConfig) -> Shard {
    let mut shard = Shard::new(ShardConfig { databases: 4, ..config });
    shard.begin_turn(NOW);
    shard
}

fn put(shard: &mut Shard, db: DbIndex, key: &[u8], value: &[u8]) {
    put_with(shard, db, key, value, Ttl::Clear);
}

fn put_with(shard: &mut Shard, db: DbIndex, key: &[u8], value: &[u8], ttl: Ttl) {
    let mut ks = shard.keyspace(db, false);
    ks.put(ks.key_of(key), NewValue::Text(value), ttl);
}

fn get(shard: &mut Shard, db: DbIndex, key: &[u8]) -> Option<Vec<u8>> {
    let mut ks = shard.keyspace(db, false);
    ks.read(ks.key_of(key)).map(|value| value.to_vec())
}

fn remove(shard: &mut Shard, db: DbIndex, key: &[u8]) -> bool {
    let mut ks = shard.keyspace(db, false);
    ks.remove(ks.key_of(key))
}

/// "key:N"
fn name(number: usize) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

/// Random numbers for the tests themselves.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % bound
    }
}

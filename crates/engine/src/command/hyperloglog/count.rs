//! PFCOUNT and PFMERGE: several HyperLogLogs as one.
//!
//! Over shards the server's `tx` gathers what [`Union`] is made of.

use pinyon_resp::Args;
use pinyon_values::hyperloglog::{self, Registers};

use super::{checked, fault, store};
use crate::command::row::{Arg, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};
use crate::keyspace::{Events, Key, Keyspace};
use crate::{CommandError, Cx, Effect};

pub(super) const PFCOUNT: Command = Command {
    name: "pfcount",
    arity: -2,
    flags: Flags::READONLY.union(Flags::MAY_REPLICATE),
    categories: Categories::HYPERLOGLOG,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RW.union(KeyFlags::ACCESS))
        .noting("A write because the count is noted in the string")],
    group: Group::Hyperloglog,
    since: "2.8.9",
    complexity: "O(1) with a large constant for one key, and O(N) for N keys.",
    summary: "Estimates how many different elements were added to a HyperLogLog, or to several together.",
    args: &[Arg::key("key", 0).multiple()],
    handler: Handler::Spread(Spread::Pfcount, pfcount),
    ..Command::EMPTY
};

fn pfcount(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    if args.len() > 2 {
        let mut union = Union::default();
        for at in 1..args.len() {
            let key = cx.ks.key(args, at);
            union.read(&mut cx.ks, key)?;
        }
        cx.out.int(union.count() as i64);
        return Ok(Effect::None);
    }
    let key = cx.ks.key(args, 1);
    let Some(value) = cx.ks.read(key) else {
        cx.out.int(0);
        return Ok(Effect::None);
    };
    let value = checked(value)?;
    let mut digits = [0; 20];
    let bytes = value.as_bytes(&mut digits);
    if let Some(count) = hyperloglog::cached_count(bytes) {
        cx.out.int(count as i64);
        return Ok(Effect::None);
    }
    let count = hyperloglog::count(bytes).map_err(fault)?;
    let at = hyperloglog::CACHED_COUNT;
    let mut noted = bytes[..at.end].to_vec();
    hyperloglog::cache_count(&mut noted, count);
    cx.ks.set_range(key, at.start, &noted[at]);
    cx.out.int(count as i64);
    Ok(Effect::AsSent { changes: 1 })
}

/// What several HyperLogLogs have together.
#[derive(Default)]
pub struct Union {
    registers: Registers,
    is_dense: bool,
}

impl Union {
    /// Adds the one under a key, if there is any.
    pub fn read(&mut self, ks: &mut Keyspace<'_>, key: Key<'_>) -> Result<(), CommandError> {
        let Some(value) = ks.read(key) else { return Ok(()) };
        let value = checked(value)?;
        let mut digits = [0; 20];
        let bytes = value.as_bytes(&mut digits);
        self.is_dense |= hyperloglog::encoding(bytes) == "dense";
        self.registers.merge(bytes).map_err(fault)
    }

    /// Adds those of another union.
    pub fn join(&mut self, other: &Union) {
        self.is_dense |= other.is_dense;
        self.registers.raise_to(&other.registers);
    }

    pub fn count(&self) -> u64 {
        self.registers.count()
    }

    /// Raises the HyperLogLog under a key to this, which is made if there is none.
    pub fn merge_into(&self, ks: &mut Keyspace<'_>, key: Key<'_>) -> Result<(), CommandError> {
        let sparse_bytes_max = ks.limits().hll_sparse_bytes_max;
        let mut bytes = match ks.for_write(key) {
            Some(value) => checked(value)?.to_vec(),
            None => hyperloglog::new(),
        };
        self.registers.write_into(&mut bytes, self.is_dense, sparse_bytes_max).map_err(fault)?;
        store(ks, key, bytes);
        ks.notify(Events::STRING, "pfadd", key);
        Ok(())
    }
}

pub(super) const PFMERGE: Command = Command {
    name: "pfmerge",
    arity: -2,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::HYPERLOGLOG,
    keys: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::INSERT)),
        KeySpec::range(2, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    group: Group::Hyperloglog,
    since: "2.8.9",
    complexity: "O(N) in the number of keys, with a large constant.",
    summary: "Makes the first HyperLogLog one of all elements of all of them.",
    args: &[Arg::key("destkey", 0), Arg::key("sourcekey", 1).multiple()],
    handler: Handler::Spread(Spread::Pfmerge, pfmerge),
    ..Command::EMPTY
};

fn pfmerge(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let mut union = Union::default();
    for at in 1..args.len() {
        let key = cx.ks.key(args, at);
        union.read(&mut cx.ks, key)?;
    }
    let key = cx.ks.key(args, 1);
    union.merge_into(&mut cx.ks, key)?;
    cx.out.ok();
    Ok(Effect::AsSent { changes: 1 })
}

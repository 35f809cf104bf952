//! PFDEBUG: a HyperLogLog looked into. The row of PFSELFTEST, which the server carries out.

use pinyon_base::Blob;
use pinyon_resp::Args;
pub use pinyon_values::hyperloglog::self_test;
use pinyon_values::hyperloglog::{self, Registers};

use super::{checked, fault};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, ServerCommand};
use crate::keyspace::{NewValue, Ttl};
use crate::{CommandError, Cx, Effect};

pub(super) const PFDEBUG: Command = Command {
    name: "pfdebug",
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::ADMIN),
    categories: Categories::HYPERLOGLOG,
    keys: &[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::ACCESS))],
    group: Group::Hyperloglog,
    since: "2.8.9",
    complexity: "O(N) in the length of the HyperLogLog.",
    summary: "Looks into a HyperLogLog: its registers, its encoding, the runs of the sparse one; or makes it dense.",
    args: &[Arg::new("subcommand", ArgKind::String), Arg::key("key", 0)],
    handler: Handler::Shard(pfdebug),
    ..Command::EMPTY
};

pub(super) const PFSELFTEST: Command = Command {
    name: "pfselftest",
    arity: 1,
    flags: Flags::ADMIN,
    categories: Categories::HYPERLOGLOG,
    group: Group::Hyperloglog,
    since: "2.8.9",
    complexity: "O(N) in the number of elements that the test adds.",
    summary: "Tests the HyperLogLogs of this build: their registers, and how far estimates are off.",
    handler: Handler::Server(ServerCommand::Pfselftest),
    ..Command::EMPTY
};

fn pfdebug(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let named = |name: &str| args.get(1).eq_ignore_ascii_case(name.as_bytes());
    let key = cx.ks.key(args, 2);
    let Some(value) = cx.ks.for_write(key) else {
        return Err(CommandError::text("ERR The specified key does not exist"));
    };
    let bytes = checked(value)?.to_vec();
    if named("DECODE") {
        let words = hyperloglog::describe(&bytes).ok_or(CommandError::text("ERR HLL encoding is not sparse"))?;
        cx.out.bulk(words.as_bytes());
        return Ok(Effect::None);
    }
    if named("ENCODING") {
        cx.out.simple(hyperloglog::encoding(&bytes));
        return Ok(Effect::None);
    }
    if !named("GETREG") && !named("TODENSE") {
        return Err(CommandError::quoting("ERR Unknown PFDEBUG subcommand '", args.get(1), "'"));
    }
    let was_sparse = hyperloglog::encoding(&bytes) == "sparse";
    let mut dense = bytes;
    hyperloglog::to_dense(&mut dense).map_err(fault)?;
    if named("GETREG") {
        let mut registers = Registers::default();
        registers.merge(&dense).map_err(fault)?;
        cx.out.array(registers.values().len());
        registers.values().iter().for_each(|value| cx.out.int(i64::from(*value)));
    } else {
        cx.out.int(i64::from(was_sparse));
    }
    if !was_sparse {
        return Ok(Effect::None);
    }
    // As in Redis, nobody who watches the key is told: it counts the same.
    cx.ks.put_unwatched(key, NewValue::Blob(Blob::new(dense)), Ttl::Keep);
    Ok(Effect::AsSent { changes: 1 })
}

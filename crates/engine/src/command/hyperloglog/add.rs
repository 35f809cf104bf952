//! PFADD: elements are added to a HyperLogLog.

use pinyon_resp::Args;
use pinyon_values::hyperloglog;

use super::{checked, fault, store};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::Events;
use crate::{CommandError, Cx, Effect};

pub(super) const PFADD: Command = Command {
    name: "pfadd",
    arity: -2,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::HYPERLOGLOG,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    group: Group::Hyperloglog,
    since: "2.8.9",
    complexity: "O(1) for each element.",
    summary: "Adds elements to the HyperLogLog under a key, which is made if there is none.",
    args: &[Arg::key("key", 0), Arg::new("element", ArgKind::String).optional().multiple()],
    handler: Handler::Shard(pfadd),
    ..Command::EMPTY
};

fn pfadd(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let elements = || (2..args.len()).map(|at| args.get(at));
    let sparse_bytes_max = cx.ks.limits().hll_sparse_bytes_max;
    let mut changes = 0;
    let bytes = match cx.ks.for_write(key) {
        None => {
            changes = 1;
            None
        }
        Some(value) => {
            let value = checked(value)?;
            let mut digits = [0; 20];
            let bytes = value.as_bytes(&mut digits);
            // Most elements of a large one raise nothing: then it is not copied.
            let mut raises = false;
            for element in elements() {
                raises = raises || hyperloglog::raises(bytes, element).map_err(fault)?;
            }
            if !raises {
                cx.out.int(0);
                return Ok(Effect::None);
            }
            Some(bytes.to_vec())
        }
    };
    let mut bytes = bytes.unwrap_or_else(hyperloglog::new);
    for element in elements() {
        changes += u32::from(hyperloglog::add(&mut bytes, element, sparse_bytes_max).map_err(fault)?);
    }
    hyperloglog::outdate(&mut bytes);
    store(&mut cx.ks, key, bytes);
    cx.ks.notify(Events::STRING, "pfadd", key);
    cx.out.int(1);
    Ok(Effect::AsSent { changes })
}

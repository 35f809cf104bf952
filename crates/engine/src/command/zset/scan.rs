//! ZSCAN: members and their scores a few at a time.

use pinyon_base::format_f64;
use pinyon_resp::Args;
use pinyon_values::zset::ZSet;

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::command::set::scan::{ElementScan, cursor, write_u64};
use crate::{CommandError, Cx, Effect};

pub const ZSCAN: Command = Command {
    name: "zscan",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "2.8.0",
    complexity: "O(1) per call, O(N) for a walk over all N members.",
    summary: "Walks over the members of a sorted set and their scores a few at a time.",
    tips: &["nondeterministic_output"],
    args: &[
        Arg::key("key", 0),
        Arg::new("cursor", ArgKind::Integer),
        Arg::new("pattern", ArgKind::Pattern).with_token("MATCH").optional(),
        Arg::new("count", ArgKind::Integer).with_token("COUNT").optional(),
    ],
    handler: Handler::Shard(zscan),
    ..Command::EMPTY
};

fn zscan(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let cursor = cursor(args)?;
    let key = cx.ks.key(args, 1);
    let Some(zset) = cx.ks.read_as::<ZSet>(key)? else {
        cx.out.array(2);
        cx.out.bulk_int(0);
        cx.out.array(0);
        return Ok(Effect::None);
    };
    let options = ElementScan::parse(args)?;
    // Their number goes first, so the same step is gone twice.
    let mut members = 0;
    let next = zset.scan(cursor, options.count, &mut |member, _| members += usize::from(options.admits(member)));
    cx.out.array(2);
    cx.out.bulk(write_u64(&mut [0; 20], next));
    cx.out.array(2 * members);
    let mut digits = Vec::new();
    zset.scan(cursor, options.count, &mut |member, score| {
        if options.admits(member) {
            digits.clear();
            format_f64(score, &mut digits);
            cx.out.bulk(member);
            cx.out.bulk(&digits);
        }
    });
    Ok(Effect::None)
}

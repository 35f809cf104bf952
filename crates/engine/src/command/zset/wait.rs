//! Commands that wait for an element: BZPOPMIN, BZPOPMAX, BZMPOP.

use pinyon_resp::Args;
use pinyon_values::zset::ZSet;

use super::pop::{End, Many, take};
use crate::command::blocking::{self, Answers, Blocking, Served, Try, Wants, no_check, timeout, zset_is_there};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};
use crate::{CommandError, Cx, Effect};

const POP_TRIES: Blocking = Blocking {
    patience: |args| timeout(args.get(args.len() - 1)),
    keys: |args| 1..args.len() - 1,
    wants: Wants::ZSet,
    answers: Answers::First,
    check: no_check,
    ready: zset_is_there,
    serve: |_, _, _| Ok(Served::Nothing),
    target: None,
    nothing: |out| out.null_array(),
};

pub const BZPOPMIN: Command = Command {
    name: "bzpopmin",
    arity: -3,
    flags: Flags::WRITE.union(Flags::NOSCRIPT).union(Flags::BLOCKING).union(Flags::FAST),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::range(1, -2, 1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    group: Group::SortedSet,
    since: "5.0.0",
    complexity: "O(log(N)) where N is the size of the sorted set.",
    summary: "Takes the element with the lowest score out of the first of several sorted sets that has any, and waits for one.",
    history: &[("6.0.0", "A timeout with decimals.")],
    args: &[Arg::key("key", 0).multiple(), Arg::new("timeout", ArgKind::Double)],
    handler: Handler::Spread(Spread::Tries, bzpopmin),
    blocking: Some(&BZPOPMIN_TRIES),
    ..Command::EMPTY
};

const BZPOPMIN_TRIES: Blocking = Blocking { serve: |cx, args, at| pop_one(cx, args, at, End::Min), ..POP_TRIES };

fn bzpopmin(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    blocking::at_once(cx, args, &BZPOPMIN_TRIES)
}

pub const BZPOPMAX: Command = Command {
    name: "bzpopmax",
    arity: -3,
    flags: Flags::WRITE.union(Flags::NOSCRIPT).union(Flags::BLOCKING).union(Flags::FAST),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::range(1, -2, 1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    group: Group::SortedSet,
    since: "5.0.0",
    complexity: "O(log(N)) where N is the size of the sorted set.",
    summary: "Takes the element with the highest score out of the first of several sorted sets that has any, and waits for one.",
    history: &[("6.0.0", "A timeout with decimals.")],
    args: &[Arg::key("key", 0).multiple(), Arg::new("timeout", ArgKind::Double)],
    handler: Handler::Spread(Spread::Tries, bzpopmax),
    blocking: Some(&BZPOPMAX_TRIES),
    ..Command::EMPTY
};

const BZPOPMAX_TRIES: Blocking = Blocking { serve: |cx, args, at| pop_one(cx, args, at, End::Max), ..POP_TRIES };

fn bzpopmax(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    blocking::at_once(cx, args, &BZPOPMAX_TRIES)
}

fn pop_one(cx: &mut Cx<'_>, args: Args<'_>, at: Try, end: End) -> Result<Served, CommandError> {
    let key = cx.ks.key_of(args.get(at.key));
    if cx.ks.update::<ZSet>(key)?.is_none() {
        return Ok(Served::Nothing);
    }
    cx.out.array(3);
    cx.out.bulk(key.bytes);
    take(cx, key, end, 1, false)?;
    cx.ks.record(&[end.command(), key.bytes]);
    Ok(Served::Done(Effect::recorded(1)))
}

pub const BZMPOP: Command = Command {
    name: "bzmpop",
    arity: -5,
    flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::counted(2, 1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    group: Group::SortedSet,
    since: "7.0.0",
    complexity: "O(K) + O(M*log(N)) where K is the number of keys, N the size of the sorted set and M how many are taken.",
    summary: "Takes elements with the lowest or highest scores out of the first of several sorted sets that has any, and waits for one.",
    args: &[
        Arg::new("timeout", ArgKind::Double),
        Arg::new("numkeys", ArgKind::Integer),
        Arg::key("key", 0).multiple(),
        Arg::one_of("where", &[Arg::token("min", "MIN"), Arg::token("max", "MAX")]),
        Arg::new("count", ArgKind::Integer).with_token("COUNT").optional(),
    ],
    handler: Handler::Spread(Spread::Tries, bzmpop),
    blocking: Some(&BZMPOP_TRIES),
    ..Command::EMPTY
};

const BZMPOP_TRIES: Blocking = Blocking {
    patience: |args| {
        Many::parse(args, 2)?;
        timeout(args.get(1))
    },
    keys: |args| Many::keys(args, 2),
    serve: |cx, args, at| Many::parse(args, 2)?.serve(cx, args, at),
    ..POP_TRIES
};

fn bzmpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    blocking::at_once(cx, args, &BZMPOP_TRIES)
}

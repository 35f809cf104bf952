//! Elements with the lowest or highest scores taken out: ZPOPMIN, ZPOPMAX, ZMPOP.

use std::ops::Range;

use pinyon_base::number::{parse_i64, write_i64};
use pinyon_resp::{Args, Proto};
use pinyon_values::zset::ZSet;

use crate::command::blocking::{self, Answers, Blocking, Patience, Served, Try, Wants, no_check, zset_is_there};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};
use crate::command::set::random::positive_count;
use crate::keyspace::Key;
use crate::{CommandError, Cx, Effect};

/// Which end elements are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Min,
    Max,
}

pub const ZPOPMIN: Command = Command {
    name: "zpopmin",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    group: Group::SortedSet,
    since: "5.0.0",
    complexity: "O(log(N)*M) where N is the size of the sorted set and M how many are taken.",
    summary: "Takes the elements with the lowest scores out of a sorted set.",
    args: &[Arg::key("key", 0), Arg::new("count", ArgKind::Integer).optional()],
    handler: Handler::Shard(zpopmin),
    ..Command::EMPTY
};

fn zpopmin(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    pop(cx, args, End::Min)
}

pub const ZPOPMAX: Command = Command {
    name: "zpopmax",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    group: Group::SortedSet,
    since: "5.0.0",
    complexity: "O(log(N)*M) where N is the size of the sorted set and M how many are taken.",
    summary: "Takes the elements with the highest scores out of a sorted set.",
    args: &[Arg::key("key", 0), Arg::new("count", ArgKind::Integer).optional()],
    handler: Handler::Shard(zpopmax),
    ..Command::EMPTY
};

fn zpopmax(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    pop(cx, args, End::Max)
}

fn pop(cx: &mut Cx<'_>, args: Args<'_>, end: End) -> Result<Effect, CommandError> {
    let count = match args.len() {
        2 => None,
        3 => Some(positive_count(args.get(2))?),
        _ => return Err(CommandError::Syntax),
    };
    let key = cx.ks.key(args, 1);
    let members = cx.ks.update::<ZSet>(key)?.map_or(0, |zset| zset.len());
    let taken = count.unwrap_or(1).min(members);
    // Only with a count does RESP3 have a pair for each.
    let nested = count.is_some() && cx.out.proto == Proto::Resp3;
    cx.out.array(if nested { taken } else { 2 * taken });
    take(cx, key, end, taken, nested)?;
    Ok(Effect::as_sent(taken))
}

impl End {
    /// What taking from this end is called.
    fn event(self) -> &'static str {
        match self {
            End::Min => "zpopmin",
            End::Max => "zpopmax",
        }
    }

    /// The command that takes elements from this end of one key.
    pub(super) fn command(self) -> &'static [u8] {
        match self {
            End::Min => b"ZPOPMIN",
            End::Max => b"ZPOPMAX",
        }
    }
}

/// Takes elements out, of which there are as many, and replies them one after the other.
pub(super) fn take(cx: &mut Cx<'_>, key: Key<'_>, end: End, count: usize, nested: bool) -> Result<(), CommandError> {
    if count == 0 {
        return Ok(());
    }
    let Some(zset) = cx.ks.update::<ZSet>(key)? else { return Ok(()) };
    let out = &mut cx.out;
    let mut write = |member: &[u8], score: f64| {
        if nested {
            out.array(2);
        }
        out.bulk(member);
        out.double(score);
    };
    match end {
        End::Min => zset.remove_range(0, count, &mut write),
        End::Max => {
            let from = zset.len() - count;
            zset.range(zset.len() - 1, count, true, &mut write);
            zset.remove_range(from, count, &mut |_, _| {});
        }
    }
    cx.ks.changed_by::<ZSet>(key, end.event());
    Ok(())
}

/// What ZMPOP and BZMPOP ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Many {
    keys: usize,
    end: End,
    count: usize,
}

impl Many {
    /// `numkeys key… MIN|MAX [COUNT count]` from argument `at` on.
    pub fn parse(args: Args<'_>, at: usize) -> Result<Many, CommandError> {
        let above_zero = |arg: &[u8], text: &'static str| {
            parse_i64(arg)
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| *number > 0)
                .ok_or(CommandError::text(text))
        };
        let keys = above_zero(args.get(at), "ERR numkeys should be greater than 0")?;
        let end_at = keys.checked_add(at + 1).filter(|end| *end < args.len()).ok_or(CommandError::Syntax)?;
        let end = match args.get(end_at) {
            end if end.eq_ignore_ascii_case(b"min") => End::Min,
            end if end.eq_ignore_ascii_case(b"max") => End::Max,
            _ => return Err(CommandError::Syntax),
        };
        let mut count = None;
        let mut option = end_at + 1;
        while option < args.len() {
            if count.is_some() || option + 1 == args.len() || !args.get(option).eq_ignore_ascii_case(b"count") {
                return Err(CommandError::Syntax);
            }
            count = Some(above_zero(args.get(option + 1), "ERR count should be greater than 0")?);
            option += 2;
        }
        let count = count.unwrap_or(1);
        Ok(Many { keys, end, count })
    }

    /// The positions of the keys, of which `numkeys` is at `at`.
    pub fn keys(args: Args<'_>, at: usize) -> Range<usize> {
        Many::parse(args, at).map_or(0..0, |many| at + 1..at + 1 + many.keys)
    }

    /// Takes elements from one key and replies them behind its name.
    pub fn serve(self, cx: &mut Cx<'_>, args: Args<'_>, at: Try) -> Result<Served, CommandError> {
        let key = cx.ks.key_of(args.get(at.key));
        let Some(members) = cx.ks.update::<ZSet>(key)?.map(|zset| zset.len()) else { return Ok(Served::Nothing) };
        let taken = self.count.min(members);
        cx.out.array(2);
        cx.out.bulk(key.bytes);
        cx.out.array(taken);
        take(cx, key, self.end, taken, true)?;
        cx.ks.record(&[self.end.command(), key.bytes, write_i64(&mut [0; 20], taken as i64)]);
        Ok(Served::Done(Effect::recorded(taken)))
    }
}

pub const ZMPOP: Command = Command {
    name: "zmpop",
    arity: -4,
    flags: Flags::WRITE.union(Flags::MOVABLE_KEYS),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::counted(1, 1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    group: Group::SortedSet,
    since: "7.0.0",
    complexity: "O(K) + O(M*log(N)) where K is the number of keys, N the size of the sorted set and M how many are taken.",
    summary: "Takes elements with the lowest or highest scores out of the first of several sorted sets that has any.",
    args: &[
        Arg::new("numkeys", ArgKind::Integer),
        Arg::key("key", 0).multiple(),
        Arg::one_of("where", &[Arg::token("min", "MIN"), Arg::token("max", "MAX")]),
        Arg::new("count", ArgKind::Integer).with_token("COUNT").optional(),
    ],
    handler: Handler::Spread(Spread::Tries, zmpop),
    blocking: Some(&ZMPOP_TRIES),
    ..Command::EMPTY
};

const ZMPOP_TRIES: Blocking = Blocking {
    patience: |args| Many::parse(args, 1).map(|_| Patience::None),
    keys: |args| Many::keys(args, 1),
    wants: Wants::ZSet,
    answers: Answers::First,
    check: no_check,
    ready: zset_is_there,
    serve: |cx, args, at| Many::parse(args, 1)?.serve(cx, args, at),
    target: None,
    nothing: |out| out.null_array(),
};

fn zmpop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    blocking::at_once(cx, args, &ZMPOP_TRIES)
}

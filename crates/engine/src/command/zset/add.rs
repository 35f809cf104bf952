//! Scores given: ZADD and ZINCRBY. GEOADD gives them the same way.

use pinyon_base::number::parse_f64;
use pinyon_resp::Args;
use pinyon_values::zset::{ZSet, ZSetLimits};

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::Key;
use crate::{CommandError, Cx, Effect};

/// When a score is given at all, and what is replied.
#[derive(Clone, Copy, Default)]
pub(in crate::command) struct Adding {
    /// Only to new members.
    pub nx: bool,
    /// Only to members that are there.
    pub xx: bool,
    /// Only a higher one.
    gt: bool,
    /// Only a lower one.
    lt: bool,
    /// Changed members count like new ones.
    pub ch: bool,
    /// It is added to the old one.
    incr: bool,
}

impl Adding {
    /// Takes an option; false: it is none.
    fn take(&mut self, option: &[u8]) -> bool {
        let options = [
            (&b"nx"[..], &mut self.nx),
            (b"xx", &mut self.xx),
            (b"ch", &mut self.ch),
            (b"incr", &mut self.incr),
            (b"gt", &mut self.gt),
            (b"lt", &mut self.lt),
        ];
        let found = options.into_iter().find(|(name, _)| option.eq_ignore_ascii_case(name));
        found.map(|(_, flag)| *flag = true).is_some()
    }
}

/// What became of one member.
enum Given {
    Nothing,
    Same(f64),
    Updated(f64),
    Added(f64),
}

pub const ZADD: Command = Command {
    name: "zadd",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    group: Group::SortedSet,
    since: "1.2.0",
    complexity: "O(log(N)) for each member, where N is the size of the sorted set.",
    summary: "Gives members of a sorted set their scores, adding those that are new.",
    history: &[("2.4.0", "Several members at once."), ("3.0.2", "XX, NX, CH and INCR."), ("6.2.0", "GT and LT.")],
    args: &[
        Arg::key("key", 0),
        Arg::one_of("condition", &[Arg::token("nx", "NX"), Arg::token("xx", "XX")]).optional().since("3.0.2"),
        Arg::one_of("comparison", &[Arg::token("gt", "GT"), Arg::token("lt", "LT")]).optional().since("6.2.0"),
        Arg::token("change", "CH").optional().since("3.0.2"),
        Arg::token("increment", "INCR").optional().since("3.0.2"),
        Arg::block("score_member", &[Arg::new("score", ArgKind::Double), Arg::new("member", ArgKind::String)])
            .multiple(),
    ],
    handler: Handler::Shard(zadd),
    ..Command::EMPTY
};

fn zadd(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    add(cx, args, Adding::default())
}

pub const ZINCRBY: Command = Command {
    name: "zincrby",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    group: Group::SortedSet,
    since: "1.2.0",
    complexity: "O(log(N)) where N is the size of the sorted set.",
    summary: "Adds to the score of a member.",
    args: &[Arg::key("key", 0), Arg::new("increment", ArgKind::Integer), Arg::new("member", ArgKind::String)],
    handler: Handler::Shard(zincrby),
    ..Command::EMPTY
};

fn zincrby(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    add(cx, args, Adding { incr: true, ..Adding::default() })
}

fn add(cx: &mut Cx<'_>, args: Args<'_>, mut adding: Adding) -> Result<Effect, CommandError> {
    let mut first = 2;
    while first < args.len() && adding.take(args.get(first)) {
        first += 1;
    }
    let elements = args.from(first);
    if elements.len() == 0 || !elements.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    if adding.nx && adding.xx {
        return Err(CommandError::text("ERR XX and NX options at the same time are not compatible"));
    }
    if adding.nx && (adding.gt || adding.lt) || adding.gt && adding.lt {
        return Err(CommandError::text("ERR GT, LT, and/or NX options at the same time are not compatible"));
    }
    if adding.incr && elements.len() > 2 {
        return Err(CommandError::text("ERR INCR option supports a single increment-element pair"));
    }
    let score = |at: usize| parse_f64(elements.get(at)).ok_or(CommandError::NotFloat);
    // All are read before any is given; the usual one only once.
    let one = score(0)?;
    for at in (2..elements.len()).step_by(2) {
        score(at)?;
    }
    let key = cx.ks.key(args, 1);
    let score_of = |at: usize| if at == 0 { Ok(one) } else { score(at) };
    let pairs = (0..elements.len()).step_by(2).map(|at| Ok((score_of(at)?, elements.get(at + 1))));
    add_pairs(cx, key, adding, pairs)
}

/// Gives members their scores and replies as ZADD does.
pub(in crate::command) fn add_pairs<'a>(
    cx: &mut Cx<'_>,
    key: Key<'_>,
    adding: Adding,
    pairs: impl Iterator<Item = Result<(f64, &'a [u8]), CommandError>>,
) -> Result<Effect, CommandError> {
    let limits = cx.ks.limits().zset;
    let zset = match adding.xx {
        true => cx.ks.update::<ZSet>(key)?,
        false => Some(cx.ks.update_or_create::<ZSet>(key)?),
    };
    let (mut added, mut updated, mut last) = (0, 0, None);
    if let Some(zset) = zset {
        for pair in pairs {
            let (score, member) = pair?;
            last = match give(zset, score, member, adding, &limits)? {
                Given::Nothing => None,
                Given::Same(score) => Some(score),
                Given::Updated(score) => {
                    updated += 1;
                    Some(score)
                }
                Given::Added(score) => {
                    added += 1;
                    Some(score)
                }
            };
        }
    }
    if added + updated > 0 {
        cx.ks.changed_by::<ZSet>(key, if adding.incr { "zincr" } else { "zadd" });
    }
    match (adding.incr, last) {
        (true, Some(score)) => cx.out.double(score),
        (true, None) => cx.out.null(),
        (false, _) => cx.out.int(if adding.ch { added + updated } else { added }),
    }
    Ok(Effect::as_sent((added + updated) as usize))
}

fn give(
    zset: &mut ZSet,
    score: f64,
    member: &[u8],
    adding: Adding,
    limits: &ZSetLimits,
) -> Result<Given, CommandError> {
    // One search will do. (Not for a zero, whose sign would change.)
    if !(adding.nx || adding.xx || adding.gt || adding.lt || adding.incr) && score != 0.0 {
        return Ok(match zset.add(member, score, limits) {
            None => Given::Added(score),
            Some(old) if old == score => Given::Same(score),
            Some(_) => Given::Updated(score),
        });
    }
    let Some(old) = zset.score(member) else {
        if adding.xx {
            return Ok(Given::Nothing);
        }
        zset.add(member, score, limits);
        return Ok(Given::Added(score));
    };
    if adding.nx {
        return Ok(Given::Nothing);
    }
    let score = if adding.incr { old + score } else { score };
    if score.is_nan() {
        return Err(CommandError::text("ERR resulting score is not a number (NaN)"));
    }
    if (adding.lt && score >= old) || (adding.gt && score <= old) {
        return Ok(Given::Nothing);
    }
    if score == old {
        return Ok(Given::Same(score));
    }
    zset.add(member, score, limits);
    Ok(Given::Updated(score))
}

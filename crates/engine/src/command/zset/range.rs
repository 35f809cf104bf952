//! Ranges read: ZRANGE and its older forms, ZRANGESTORE, and how many a range holds: ZCOUNT, ZLEXCOUNT.

use std::ops::Range;

use pinyon_base::number::parse_i64;
use pinyon_resp::Args;
use pinyon_values::Collection;
use pinyon_values::zset::ZSet;

use super::bounds::{Members, Scores, ranks};
use super::{write_count, write_element};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::{Events, Ttl};
use crate::{CommandError, Cx, Effect};

/// What the bounds are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Lex,
}

/// A range as it was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    by: By,
    pub reverse: bool,
    pub with_scores: bool,
    offset: i64,
    /// -1: all.
    limit: i64,
    min: &'a [u8],
    max: &'a [u8],
}

/// A range whose bounds have been read.
pub(super) enum Bounds<'a> {
    Ranks(&'a [u8], &'a [u8]),
    Scores(Scores),
    Members(Members<'a>),
}

/// What a command's name says already.
#[derive(Clone, Copy)]
pub(super) struct Said {
    by: Option<By>,
    reverse: Option<bool>,
}

/// Options say what the range is.
pub(super) const OPEN: Said = Said { by: None, reverse: None };
pub(super) const REV_BY_RANK: Said = Said { by: Some(By::Rank), reverse: Some(true) };
pub(super) const BY_SCORE: Said = Said { by: Some(By::Score), reverse: Some(false) };
pub(super) const REV_BY_SCORE: Said = Said { by: Some(By::Score), reverse: Some(true) };
pub(super) const BY_LEX: Said = Said { by: Some(By::Lex), reverse: Some(false) };
pub(super) const REV_BY_LEX: Said = Said { by: Some(By::Lex), reverse: Some(true) };

impl Said {
    /// Whether the bounds are no ranks, by the command's name.
    pub fn has_other_bounds(self) -> bool {
        self.by.is_some_and(|by| by != By::Rank)
    }
}

impl<'a> Asked<'a> {
    /// The bounds from argument `at` on, and options behind them.
    pub fn parse(args: Args<'a>, at: usize, said: Said, stores: bool) -> Result<(Asked<'a>, Bounds<'a>), CommandError> {
        let mut asked = Asked {
            by: said.by.unwrap_or(By::Rank),
            reverse: said.reverse.unwrap_or(false),
            with_scores: false,
            offset: 0,
            limit: -1,
            min: args.get(at),
            max: args.get(at + 1),
        };
        let mut free = said;
        let mut next = at + 2;
        while next < args.len() {
            let option = args.get(next);
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            if !stores && is(b"withscores") {
                asked.with_scores = true;
            } else if is(b"limit") && next + 2 < args.len() {
                asked.offset = parse_i64(args.get(next + 1)).ok_or(CommandError::NotInteger)?;
                asked.limit = parse_i64(args.get(next + 2)).ok_or(CommandError::NotInteger)?;
                next += 2;
            } else if free.reverse.is_none() && is(b"rev") {
                free.reverse = Some(true);
                asked.reverse = true;
            } else if free.by.is_none() && is(b"bylex") {
                free.by = Some(By::Lex);
                asked.by = By::Lex;
            } else if free.by.is_none() && is(b"byscore") {
                free.by = Some(By::Score);
                asked.by = By::Score;
            } else {
                return Err(CommandError::Syntax);
            }
            next += 1;
        }
        let bounds = asked.bounds()?;
        Ok((asked, bounds))
    }

    fn bounds(&self) -> Result<Bounds<'a>, CommandError> {
        if self.limit != -1 && self.by == By::Rank {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if self.with_scores && self.by == By::Lex {
            return Err(CommandError::text("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let (low, high) = if self.reverse { (self.max, self.min) } else { (self.min, self.max) };
        Ok(match self.by {
            By::Rank => {
                ranks(self.min, self.max, 0)?;
                Bounds::Ranks(self.min, self.max)
            }
            By::Score => Bounds::Scores(Scores::parse(low, high)?),
            By::Lex => Bounds::Members(Members::parse(low, high)?),
        })
    }

    /// Where the range begins, in its own direction, and how many elements it has.
    pub fn place(&self, bounds: &Bounds<'_>, zset: &ZSet) -> Result<(usize, usize), CommandError> {
        let members = zset.len();
        let found: Range<usize> = match bounds {
            Bounds::Ranks(min, max) => {
                let found = ranks(min, max, members)?;
                let start = if self.reverse { members.wrapping_sub(1 + found.start) } else { found.start };
                return Ok((start, found.len()));
            }
            Bounds::Scores(scores) => scores.ranks(zset),
            Bounds::Members(lex) => lex.ranks(zset, self.reverse),
        };
        let skipped = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let count = found.len().saturating_sub(skipped);
        let count = usize::try_from(self.limit).map_or(count, |limit| count.min(limit));
        if count == 0 {
            return Ok((0, 0));
        }
        Ok((if self.reverse { found.end - 1 - skipped } else { found.start + skipped }, count))
    }

    /// The rank that comes `count` elements behind one, in the range's direction; behind the last it means nothing.
    pub fn behind(&self, rank: usize, count: usize) -> usize {
        if self.reverse { rank.wrapping_sub(count) } else { rank + count }
    }
}

pub(super) fn zrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply(cx, args, OPEN)
}

pub(super) fn zrevrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply(cx, args, REV_BY_RANK)
}

pub(super) fn zrangebyscore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply(cx, args, BY_SCORE)
}

pub(super) fn zrevrangebyscore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply(cx, args, REV_BY_SCORE)
}

pub(super) fn zrangebylex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply(cx, args, BY_LEX)
}

pub(super) fn zrevrangebylex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply(cx, args, REV_BY_LEX)
}

fn reply(cx: &mut Cx<'_>, args: Args<'_>, said: Said) -> Result<Effect, CommandError> {
    let (asked, bounds) = Asked::parse(args, 2, said, false)?;
    let key = cx.ks.key(args, 1);
    let Some(zset) = cx.ks.read_as::<ZSet>(key)? else {
        cx.out.array(0);
        return Ok(Effect::None);
    };
    let (start, count) = asked.place(&bounds, zset)?;
    write_count(&mut cx.out, count, asked.with_scores);
    zset.range(start, count, asked.reverse, &mut |member, score| {
        write_element(&mut cx.out, member, score, asked.with_scores);
    });
    Ok(Effect::None)
}

pub(super) fn zrangestore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (asked, bounds) = Asked::parse(args, 3, OPEN, true)?;
    let limits = cx.ks.limits().zset;
    let source = cx.ks.key(args, 2);
    let mut result = ZSet::new();
    if let Some(zset) = cx.ks.read_as::<ZSet>(source)? {
        let (start, count) = asked.place(&bounds, zset)?;
        zset.range(start, count, asked.reverse, &mut |member, score| {
            result.add(member, score, &limits);
        });
    }
    store(cx, args, result, "zrangestore")
}

/// Puts a result under the key at argument 1 and replies how many members it has; without any there is no such key
/// afterwards.
pub(in crate::command) fn store(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    mut result: ZSet,
    event: &'static str,
) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    result.pack(&cx.ks.limits().zset);
    cx.out.int(result.len() as i64);
    if result.is_empty() {
        let removed = cx.ks.remove_lazy(key);
        if removed {
            cx.ks.notify(Events::GENERIC, "del", key);
        }
        return Ok(Effect::as_sent(usize::from(removed)));
    }
    cx.ks.put_collection(key, Collection::ZSet(Box::new(result)), Ttl::Clear);
    cx.ks.notify(Events::ZSET, event, key);
    Ok(Effect::AsSent { changes: 1 })
}

pub const ZCOUNT: Command = Command {
    name: "zcount",
    arity: 4,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "2.0.0",
    complexity: "O(log(N)) where N is the size of the sorted set.",
    summary: "Returns how many members have scores within a range.",
    args: &[Arg::key("key", 0), Arg::new("min", ArgKind::Double), Arg::new("max", ArgKind::Double)],
    handler: Handler::Shard(zcount),
    ..Command::EMPTY
};

fn zcount(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let scores = Scores::parse(args.get(2), args.get(3))?;
    let key = cx.ks.key(args, 1);
    let count = cx.ks.read_as::<ZSet>(key)?.map_or(0, |zset| scores.ranks(zset).len());
    cx.out.int(count as i64);
    Ok(Effect::None)
}

pub const ZLEXCOUNT: Command = Command {
    name: "zlexcount",
    arity: 4,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "2.8.9",
    complexity: "O(log(N)) where N is the size of the sorted set.",
    summary: "Returns how many members lie within a range of bytes, all scores being equal.",
    args: &[Arg::key("key", 0), Arg::new("min", ArgKind::String), Arg::new("max", ArgKind::String)],
    handler: Handler::Shard(zlexcount),
    ..Command::EMPTY
};

fn zlexcount(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let members = Members::parse(args.get(2), args.get(3))?;
    let key = cx.ks.key(args, 1);
    let count = cx.ks.read_as::<ZSet>(key)?.map_or(0, |zset| members.ranks(zset, false).len());
    cx.out.int(count as i64);
    Ok(Effect::None)
}

//! Several sorted sets together: ZUNION, ZINTER, ZDIFF, ZINTERCARD, and the forms that store the result. Sets take part, with
//! a score of 1 for each member.
//!
//! The handlers run where all keys are. Over several shards the coordinator lends the sources to one shard first.

use pinyon_base::number::{parse_f64, parse_i64};
use pinyon_resp::Args;
use pinyon_values::Item;
use pinyon_values::set::{Set, SetRef};
use pinyon_values::zset::{ZSet, ZSetLimits};

use super::range::store;
use super::{pieces, write_count, write_element};
use crate::command::long::Long;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};
use crate::keyspace::{Key, KeyType, Keyspace};
use crate::{CommandError, Cx, Effect};

/// How they become one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Union,
    Inter,
    Diff,
}

/// How the scores of one member become one.
#[derive(Clone, Copy)]
pub(super) enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, one: f64, other: f64) -> f64 {
        match self {
            // Infinities of both signs.
            Aggregate::Sum if (one + other).is_nan() => 0.0,
            Aggregate::Sum => one + other,
            Aggregate::Min => {
                if other < one {
                    other
                } else {
                    one
                }
            }
            Aggregate::Max => {
                if other > one {
                    other
                } else {
                    one
                }
            }
        }
    }
}

/// What is under one of the keys.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Nothing,
    Set(SetRef<'a>),
    ZSet(&'a ZSet),
}

impl Source<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Source::Nothing => 0,
            Source::Set(set) => set.len(),
            Source::ZSet(zset) => zset.len(),
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Nothing => None,
            Source::Set(set) => set.contains(Item::Bytes(member)).then_some(1.0),
            Source::ZSet(zset) => zset.score(member),
        }
    }

    /// Visits `count` elements or some more from the cursor on, and gives the next cursor, 0 at the end.
    pub(super) fn some(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(&[u8], f64)) -> u64 {
        match self {
            Source::Nothing => 0,
            Source::Set(set) => set.scan(cursor, count, &mut |member| visit(member.bytes(&mut [0; 20]), 1.0)),
            Source::ZSet(zset) => {
                let from = cursor as usize;
                zset.range(from, count, false, visit);
                if from + count < zset.len() { cursor + count as u64 } else { 0 }
            }
        }
    }

    /// Visits all elements until `visit` says false.
    fn each(&self, visit: &mut dyn FnMut(&[u8], f64) -> bool) {
        match self {
            Source::Nothing => {}
            Source::ZSet(zset) => zset.walk(0, false, visit),
            Source::Set(set) => {
                let mut goes_on = true;
                let mut cursor = 0;
                loop {
                    cursor = set.scan(cursor, 64, &mut |member| {
                        goes_on = goes_on && visit(member.bytes(&mut [0; 20]), 1.0);
                    });
                    if cursor == 0 || !goes_on {
                        return;
                    }
                }
            }
        }
    }
}

/// A source with its weight.
pub(super) struct Weighted<'a> {
    pub(super) source: Source<'a>,
    weight: f64,
}

impl Weighted<'_> {
    fn weighted(&self, score: f64) -> f64 {
        let score = score * self.weight;
        if score.is_nan() { 0.0 } else { score }
    }
}

/// What is asked beside the keys.
pub(super) struct Asked {
    weights: Option<Vec<f64>>,
    pub(super) aggregate: Aggregate,
    pub(super) with_scores: bool,
    /// ZINTERCARD's; 0: none.
    limit: usize,
}

/// What of these options a command takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Reply,
    Store,
    Count,
}

pub const ZUNION: Command = Command {
    name: "zunion",
    arity: -3,
    flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::counted(1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "6.2.0",
    complexity: "O(N)+O(M*log(M)) where N is the size of all and M that of the result.",
    summary: "Returns the members that any of the sorted sets has, their scores put together.",
    args: &[
        Arg::new("numkeys", ArgKind::Integer),
        Arg::key("key", 0).multiple(),
        Arg::new("weight", ArgKind::Integer).with_token("WEIGHTS").optional().multiple(),
        Arg::one_of("aggregate", &[Arg::token("sum", "SUM"), Arg::token("min", "MIN"), Arg::token("max", "MAX")])
            .with_token("AGGREGATE")
            .optional(),
        Arg::token("withscores", "WITHSCORES").optional(),
    ],
    handler: Handler::Spread(Spread::Lend, zunion),
    long: Some(Long { is: pieces::are_big, work: pieces::zunion }),
    ..Command::EMPTY
};

fn zunion(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply(cx, args, How::Union, "zunion")
}

pub const ZINTER: Command = Command {
    name: "zinter",
    arity: -3,
    flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::counted(1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "6.2.0",
    complexity: "O(N*K)+O(M*log(M)) at worst, where N is the size of the smallest, K their number and M the size of the result.",
    summary: "Returns the members that all sorted sets have, their scores put together.",
    args: &[
        Arg::new("numkeys", ArgKind::Integer),
        Arg::key("key", 0).multiple(),
        Arg::new("weight", ArgKind::Integer).with_token("WEIGHTS").optional().multiple(),
        Arg::one_of("aggregate", &[Arg::token("sum", "SUM"), Arg::token("min", "MIN"), Arg::token("max", "MAX")])
            .with_token("AGGREGATE")
            .optional(),
        Arg::token("withscores", "WITHSCORES").optional(),
    ],
    handler: Handler::Spread(Spread::Lend, zinter),
    long: Some(Long { is: pieces::are_big, work: pieces::zinter }),
    ..Command::EMPTY
};

fn zinter(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply(cx, args, How::Inter, "zinter")
}

pub const ZDIFF: Command = Command {
    name: "zdiff",
    arity: -3,
    flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::counted(1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "6.2.0",
    complexity: "O(L + (N-K)log(N)) at worst, where L is the size of all, N that of the first and K that of the result.",
    summary: "Returns the members of the first sorted set that are in none of the others.",
    args: &[
        Arg::new("numkeys", ArgKind::Integer),
        Arg::key("key", 0).multiple(),
        Arg::token("withscores", "WITHSCORES").optional(),
    ],
    handler: Handler::Spread(Spread::Lend, zdiff),
    long: Some(Long { is: pieces::are_big, work: pieces::zdiff }),
    ..Command::EMPTY
};

fn zdiff(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply(cx, args, How::Diff, "zdiff")
}

pub const ZUNIONSTORE: Command = Command {
    name: "zunionstore",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
    categories: Categories::SORTEDSET,
    keys: &[
        KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::counted(2, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    group: Group::SortedSet,
    since: "2.0.0",
    complexity: "O(N)+O(M*log(M)) where N is the size of all and M that of the result.",
    summary: "Stores the members that any of the sorted sets has, their scores put together, under a key.",
    args: &[
        Arg::key("destination", 0),
        Arg::new("numkeys", ArgKind::Integer),
        Arg::key("key", 1).multiple(),
        Arg::new("weight", ArgKind::Integer).with_token("WEIGHTS").optional().multiple(),
        Arg::one_of("aggregate", &[Arg::token("sum", "SUM"), Arg::token("min", "MIN"), Arg::token("max", "MAX")])
            .with_token("AGGREGATE")
            .optional(),
    ],
    handler: Handler::Spread(Spread::Lend, zunionstore),
    long: Some(Long { is: pieces::are_stored_big, work: pieces::zunionstore }),
    ..Command::EMPTY
};

fn zunionstore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (result, _) = result(cx, args, 2, How::Union, Form::Store, "zunionstore")?;
    store(cx, args, result, "zunionstore")
}

pub const ZINTERSTORE: Command = Command {
    name: "zinterstore",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
    categories: Categories::SORTEDSET,
    keys: &[
        KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::counted(2, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    group: Group::SortedSet,
    since: "2.0.0",
    complexity: "O(N*K)+O(M*log(M)) at worst, where N is the size of the smallest, K their number and M the size of the result.",
    summary: "Stores the members that all sorted sets have, their scores put together, under a key.",
    args: &[
        Arg::key("destination", 0),
        Arg::new("numkeys", ArgKind::Integer),
        Arg::key("key", 1).multiple(),
        Arg::new("weight", ArgKind::Integer).with_token("WEIGHTS").optional().multiple(),
        Arg::one_of("aggregate", &[Arg::token("sum", "SUM"), Arg::token("min", "MIN"), Arg::token("max", "MAX")])
            .with_token("AGGREGATE")
            .optional(),
    ],
    handler: Handler::Spread(Spread::Lend, zinterstore),
    long: Some(Long { is: pieces::are_stored_big, work: pieces::zinterstore }),
    ..Command::EMPTY
};

fn zinterstore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (result, _) = result(cx, args, 2, How::Inter, Form::Store, "zinterstore")?;
    store(cx, args, result, "zinterstore")
}

pub const ZDIFFSTORE: Command = Command {
    name: "zdiffstore",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
    categories: Categories::SORTEDSET,
    keys: &[
        KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::counted(2, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    group: Group::SortedSet,
    since: "6.2.0",
    complexity: "O(L + (N-K)log(N)) at worst, where L is the size of all, N that of the first and K that of the result.",
    summary: "Stores the members of the first sorted set that are in none of the others under a key.",
    args: &[Arg::key("destination", 0), Arg::new("numkeys", ArgKind::Integer), Arg::key("key", 1).multiple()],
    handler: Handler::Spread(Spread::Lend, zdiffstore),
    long: Some(Long { is: pieces::are_stored_big, work: pieces::zdiffstore }),
    ..Command::EMPTY
};

fn zdiffstore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (result, _) = result(cx, args, 2, How::Diff, Form::Store, "zdiffstore")?;
    store(cx, args, result, "zdiffstore")
}

pub const ZINTERCARD: Command = Command {
    name: "zintercard",
    arity: -3,
    flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::counted(1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "7.0.0",
    complexity: "O(N*K) at worst, where N is the size of the smallest and K their number.",
    summary: "Returns how many members all sorted sets have, or a limit.",
    args: &[
        Arg::new("numkeys", ArgKind::Integer),
        Arg::key("key", 0).multiple(),
        Arg::new("limit", ArgKind::Integer).with_token("LIMIT").optional(),
    ],
    handler: Handler::Spread(Spread::Lend, zintercard),
    ..Command::EMPTY
};

fn zintercard(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (sources, asked) = sources(&mut cx.ks, args, 1, How::Inter, Form::Count, "zintercard")?;
    let mut count = 0;
    inter(&sources, Aggregate::Sum, &mut |_, _| {
        count += 1;
        count != asked.limit
    });
    cx.out.int(count as i64);
    Ok(Effect::None)
}

fn reply(cx: &mut Cx<'_>, args: Args<'_>, how: How, name: &'static str) -> Result<Effect, CommandError> {
    let (result, asked) = result(cx, args, 1, how, Form::Reply, name)?;
    write_count(&mut cx.out, result.len(), asked.with_scores);
    result.walk(0, false, &mut |member, score| {
        write_element(&mut cx.out, member, score, asked.with_scores);
        true
    });
    Ok(Effect::None)
}

fn result(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    at: usize,
    how: How,
    form: Form,
    name: &'static str,
) -> Result<(ZSet, Asked), CommandError> {
    let limits = cx.ks.limits().zset;
    let (sources, asked) = sources(&mut cx.ks, args, at, how, form, name)?;
    let mut result = ZSet::new();
    // As in Redis it is packed, if at all, when it is stored.
    result.to_ranked(limits.seed);
    match how {
        How::Union => union(&sources, asked.aggregate, &limits, &mut result),
        How::Inter => inter(&sources, asked.aggregate, &mut |member, score| {
            result.add(member, score, &limits);
            true
        }),
        How::Diff => diff(&sources, &limits, &mut result),
    }
    Ok((result, asked))
}

/// The sources named from argument `at` on, and the options behind them. As Redis, it looks at all keys before the options;
/// for unions and intersections the smallest comes first.
pub(super) fn sources<'c>(
    ks: &'c mut Keyspace<'_>,
    args: Args<'_>,
    at: usize,
    how: How,
    form: Form,
    name: &'static str,
) -> Result<(Vec<Weighted<'c>>, Asked), CommandError> {
    let count = parse_i64(args.get(at)).ok_or(CommandError::NotInteger)?;
    if count < 1 {
        return Err(CommandError::Other(format!("ERR at least 1 input key is needed for '{name}' command").into()));
    }
    let count = usize::try_from(count).ok().filter(|count| *count < args.len() - at).ok_or(CommandError::Syntax)?;
    let keys = args.range(at + 1..at + 1 + count);
    for key in keys {
        let key = ks.key_of(key);
        match ks.read(key).map(|value| value.key_type()) {
            None | Some(KeyType::Set | KeyType::ZSet) => {}
            Some(_) => return Err(CommandError::WrongType),
        }
    }
    seen_sources(ks, args, at, how, form)
}

/// As [`sources`], of a command whose sources have been read already.
pub(super) fn seen_sources<'c>(
    ks: &'c Keyspace<'_>,
    args: Args<'_>,
    at: usize,
    how: How,
    form: Form,
) -> Result<(Vec<Weighted<'c>>, Asked), CommandError> {
    let count = parse_i64(args.get(at)).and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count < args.len() - at).ok_or(CommandError::Syntax)?;
    let keys = args.range(at + 1..at + 1 + count);
    let asked = Asked::parse(args, at + 1 + count, count, how, form)?;
    let weight = |number: usize| asked.weights.as_ref().map_or(1.0, |weights| weights[number]);
    let weighted = |(number, key)| Weighted { source: source(ks, ks.key_of(key)), weight: weight(number) };
    let mut sources: Vec<Weighted<'c>> = keys.iter().enumerate().map(weighted).collect();
    if how != How::Diff {
        sources.sort_by_key(|weighted| weighted.source.len());
    }
    Ok((sources, asked))
}

fn source<'c>(ks: &'c Keyspace<'_>, key: Key<'_>) -> Source<'c> {
    match (ks.seen_as::<ZSet>(key), ks.seen_as::<Set>(key)) {
        (Some(zset), _) => Source::ZSet(zset),
        (None, Some(set)) => Source::Set(set),
        (None, None) => Source::Nothing,
    }
}

impl Asked {
    fn parse(args: Args<'_>, from: usize, keys: usize, how: How, form: Form) -> Result<Asked, CommandError> {
        let mut asked = Asked { weights: None, aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
        let combines = how != How::Diff && form != Form::Count;
        let mut at = from;
        while at < args.len() {
            let (option, left) = (args.get(at), args.len() - at);
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            if combines && left > keys && is(b"weights") {
                let weight =
                    |at: usize| parse_f64(args.get(at)).ok_or(CommandError::text("ERR weight value is not a float"));
                asked.weights = Some((at + 1..at + 1 + keys).map(weight).collect::<Result<_, _>>()?);
                at += keys;
            } else if combines && left >= 2 && is(b"aggregate") {
                asked.aggregate = match args.get(at + 1) {
                    name if name.eq_ignore_ascii_case(b"sum") => Aggregate::Sum,
                    name if name.eq_ignore_ascii_case(b"min") => Aggregate::Min,
                    name if name.eq_ignore_ascii_case(b"max") => Aggregate::Max,
                    _ => return Err(CommandError::Syntax),
                };
                at += 1;
            } else if form == Form::Reply && is(b"withscores") {
                asked.with_scores = true;
            } else if form == Form::Count && left >= 2 && is(b"limit") {
                asked.limit = parse_i64(args.get(at + 1))
                    .and_then(|limit| usize::try_from(limit).ok())
                    .ok_or(CommandError::text("ERR LIMIT can't be negative"))?;
                at += 1;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        Ok(asked)
    }
}

fn union(sources: &[Weighted<'_>], aggregate: Aggregate, limits: &ZSetLimits, result: &mut ZSet) {
    for one in sources {
        one.source.each(&mut |member, score| {
            unite(one, member, score, aggregate, limits, result);
            true
        });
    }
}

/// Adds one element of a source to a union.
pub(super) fn unite(
    one: &Weighted<'_>,
    member: &[u8],
    score: f64,
    aggregate: Aggregate,
    limits: &ZSetLimits,
    result: &mut ZSet,
) {
    let score = one.weighted(score);
    let score = result.score(member).map_or(score, |old| aggregate.of(old, score));
    result.add(member, score, limits);
}

/// Shows what all have until `show` says false.
fn inter(sources: &[Weighted<'_>], aggregate: Aggregate, show: &mut dyn FnMut(&[u8], f64) -> bool) {
    sources[0]
        .source
        .each(&mut |member, score| in_all(sources, member, score, aggregate).is_none_or(|score| show(member, score)));
}

/// The score in the intersection of an element of the first source, if the others have it, too.
pub(super) fn in_all(sources: &[Weighted<'_>], member: &[u8], score: f64, aggregate: Aggregate) -> Option<f64> {
    let mut sum = sources[0].weighted(score);
    for other in &sources[1..] {
        // Redis leaves a product that is not a number to the sum.
        sum = aggregate.of(sum, other.source.score(member)? * other.weight);
    }
    Some(sum)
}

fn diff(sources: &[Weighted<'_>], limits: &ZSetLimits, result: &mut ZSet) {
    sources[0].source.each(&mut |member, score| {
        if in_none(&sources[1..], member) {
            result.add(member, score, limits);
        }
        true
    });
}

pub(super) fn in_none(sources: &[Weighted<'_>], member: &[u8]) -> bool {
    sources.iter().all(|source| source.source.score(member).is_none())
}

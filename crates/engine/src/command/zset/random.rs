//! ZRANDMEMBER: members by chance.

use std::collections::BTreeSet;

use pinyon_resp::{Args, Writer};
use pinyon_values::zset::ZSet;

use super::{write_count, write_element};
use crate::command::hash::walk::{check_repeats, parse_random_count};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::{CommandError, Cx, Effect};

pub const ZRANDMEMBER: Command = Command {
    name: "zrandmember",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::SORTEDSET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::SortedSet,
    since: "6.2.0",
    complexity: "O(N) where N is how many are returned.",
    summary: "Returns random members of a sorted set.",
    tips: &["nondeterministic_output"],
    args: &[
        Arg::key("key", 0),
        Arg::block(
            "options",
            &[Arg::new("count", ArgKind::Integer), Arg::token("withscores", "WITHSCORES").optional()],
        )
        .optional(),
    ],
    handler: Handler::Shard(zrandmember),
    ..Command::EMPTY
};

fn zrandmember(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    if args.len() > 2 {
        return several(cx, args);
    }
    let key = cx.ks.key(args, 1);
    let mut rng = cx.ks.rng();
    match cx.ks.read_as::<ZSet>(key)? {
        Some(zset) => {
            zset.random(&mut || rng.next_u64(), &mut |member, _| cx.out.bulk(member));
        }
        None => cx.out.null(),
    }
    Ok(Effect::None)
}

/// A negative count may give the same member several times.
fn several(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let count = parse_random_count(args.get(2))?;
    let with_scores = args.len() == 4 && args.get(3).eq_ignore_ascii_case(b"withscores");
    if args.len() > 3 && !with_scores {
        return Err(CommandError::Syntax);
    }
    if with_scores && !(-(i64::MAX / 2)..=i64::MAX / 2).contains(&count) {
        return Err(CommandError::text("ERR value is out of range"));
    }
    let key = cx.ks.key(args, 1);
    let mut rng = cx.ks.rng();
    let mut random = || rng.next_u64();
    let Some(zset) = cx.ks.read_as::<ZSet>(key)?.filter(|_| count != 0) else {
        cx.out.array(0);
        return Ok(Effect::None);
    };
    check_repeats(count)?;
    let wanted = count.unsigned_abs() as usize;
    if count < 0 {
        write_count(&mut cx.out, wanted, with_scores);
        for _ in 0..wanted {
            zset.random(&mut random, &mut |member, score| write_element(&mut cx.out, member, score, with_scores));
        }
    } else {
        let wanted = wanted.min(zset.len());
        write_count(&mut cx.out, wanted, with_scores);
        distinct(zset, wanted, with_scores, &mut random, &mut cx.out);
    }
    Ok(Effect::None)
}

/// Writes that many of the elements, each only once.
fn distinct(zset: &ZSet, wanted: usize, with_scores: bool, random: &mut dyn FnMut() -> u64, out: &mut Writer<'_>) {
    if wanted > zset.len() / 3 {
        // Most of them: every element has its chance to be among those left.
        let (mut left, mut wanted) = (zset.len(), wanted);
        zset.walk(0, false, &mut |member, score| {
            if ((u128::from(random()) * left as u128) >> 64) < wanted as u128 {
                write_element(out, member, score, with_scores);
                wanted -= 1;
            }
            left -= 1;
            wanted > 0
        });
        return;
    }
    let mut seen = BTreeSet::new();
    while seen.len() < wanted {
        let rank = ((u128::from(random()) * zset.len() as u128) >> 64) as usize;
        if seen.insert(rank) {
            zset.range(rank, 1, false, &mut |member, score| write_element(out, member, score, with_scores));
        }
    }
}

//! Big ranges of big sorted sets in pieces: replied, stored, or taken out.

use std::ops::Range;

use pinyon_base::parse_i64;
use pinyon_resp::Args;
use pinyon_values::zset::ZSet;

use super::range::{Asked, BY_LEX, BY_SCORE, OPEN, REV_BY_LEX, REV_BY_RANK, REV_BY_SCORE, Said, store};
use super::remove::{lex_range, rank_range, score_range};
use super::{write_count, write_element};
use crate::command::long::{self, ELEMENTS_MIN, ELEMENTS_PER_PIECE, Long, Work};
use crate::keyspace::Keyspace;
use crate::{CommandError, Effect};

/// Elements put into the destination in a piece: each costs a microsecond or more.
const STORED_PER_PIECE: usize = 48;
/// Elements taken out in a piece: each costs some 0.2 µs, for its place among the members.
const REMOVED_PER_PIECE: usize = 256;

pub(super) const ZRANGE: Long = Long { is: |ks, args| is_long(ks, args, OPEN), work: || replied(OPEN) };
pub(super) const ZREVRANGE: Long =
    Long { is: |ks, args| is_long(ks, args, REV_BY_RANK), work: || replied(REV_BY_RANK) };
pub(super) const ZRANGEBYSCORE: Long = Long { is: |ks, args| is_long(ks, args, BY_SCORE), work: || replied(BY_SCORE) };
pub(super) const ZREVRANGEBYSCORE: Long =
    Long { is: |ks, args| is_long(ks, args, REV_BY_SCORE), work: || replied(REV_BY_SCORE) };
pub(super) const ZRANGEBYLEX: Long = Long { is: |ks, args| is_long(ks, args, BY_LEX), work: || replied(BY_LEX) };
pub(super) const ZREVRANGEBYLEX: Long =
    Long { is: |ks, args| is_long(ks, args, REV_BY_LEX), work: || replied(REV_BY_LEX) };
pub(super) const ZRANGESTORE: Long = Long {
    is: |ks, args| Asked::parse(args, 3, OPEN, true).is_ok_and(|asked| reaches(ks, args.get(2), asked)),
    work: stored,
};
pub(super) const ZREMRANGEBYRANK: Long = Long {
    is: |ks, args| may_be_long(args) && is_long_removal(ks, args, rank_range),
    work: || removed(rank_range, "zremrangebyrank"),
};
pub(super) const ZREMRANGEBYSCORE: Long =
    Long { is: |ks, args| is_long_removal(ks, args, score_range), work: || removed(score_range, "zremrangebyscore") };
pub(super) const ZREMRANGEBYLEX: Long =
    Long { is: |ks, args| is_long_removal(ks, args, lex_range), work: || removed(lex_range, "zremrangebylex") };

/// Whether a range of ranks may hold many elements, from its bounds alone: most ask for a few, and need not be looked up for it.
fn may_be_long(args: Args<'_>) -> bool {
    match (parse_i64(args.get(2)), parse_i64(args.get(3))) {
        (Some(first), Some(last)) if (first < 0) == (last < 0) => last.saturating_sub(first) >= ELEMENTS_MIN as i64 - 1,
        (Some(_), Some(_)) => true,
        _ => false,
    }
}

fn is_long(ks: &mut Keyspace<'_>, args: Args<'_>, said: Said) -> bool {
    if args.len() == 4 && !said.has_other_bounds() && !may_be_long(args) {
        return false;
    }
    Asked::parse(args, 2, said, false).is_ok_and(|asked| reaches(ks, args.get(1), asked))
}

/// Whether the range holds many elements of the sorted set under the key.
fn reaches(ks: &Keyspace<'_>, key: &[u8], (asked, bounds): (Asked<'_>, super::range::Bounds<'_>)) -> bool {
    if long::elements_of(ks, key) < ELEMENTS_MIN {
        return false;
    }
    let Some(zset) = ks.seen_as::<ZSet>(ks.key_of(key)) else { return false };
    asked.place(&bounds, zset).is_ok_and(|(_, count)| count >= ELEMENTS_MIN)
}

fn replied(said: Said) -> Work {
    // The next rank, and how many elements are still to come.
    let mut left: Option<(usize, usize)> = None;
    Box::new(move |cx, args| {
        let (asked, bounds) = Asked::parse(args, 2, said, false)?;
        let key = cx.ks.key(args, 1);
        let zset = match left {
            None => cx.ks.read_as::<ZSet>(key)?,
            Some(_) => cx.ks.seen_as::<ZSet>(key),
        };
        let Some(zset) = zset else {
            cx.out.array(0);
            return Ok(Some(Effect::None));
        };
        let (start, count) = match left {
            Some(left) => left,
            None => {
                let whole = asked.place(&bounds, zset)?;
                write_count(&mut cx.out, whole.1, asked.with_scores);
                whole
            }
        };
        let here = count.min(ELEMENTS_PER_PIECE);
        zset.range(start, here, asked.reverse, &mut |member, score| {
            write_element(&mut cx.out, member, score, asked.with_scores);
        });
        left = Some((asked.behind(start, here), count - here));
        Ok((here == count).then_some(Effect::None))
    })
}

fn stored() -> Work {
    let mut left: Option<(usize, usize)> = None;
    let mut result = ZSet::new();
    Box::new(move |cx, args| {
        let (asked, bounds) = Asked::parse(args, 3, OPEN, true)?;
        let limits = cx.ks.limits().zset;
        let source = cx.ks.key(args, 2);
        let zset = match left {
            None => cx.ks.read_as::<ZSet>(source)?,
            Some(_) => cx.ks.seen_as::<ZSet>(source),
        };
        if let Some(zset) = zset {
            let (start, count) = match left {
                Some(left) => left,
                None => asked.place(&bounds, zset)?,
            };
            let here = count.min(STORED_PER_PIECE);
            zset.range(start, here, asked.reverse, &mut |member, score| {
                result.add(member, score, &limits);
            });
            left = Some((asked.behind(start, here), count - here));
            if here < count {
                return Ok(None);
            }
        }
        store(cx, args, std::mem::take(&mut result), "zrangestore").map(Some)
    })
}

/// The ranks that a command's arguments name in a sorted set.
type Ranks = fn(Args<'_>, &ZSet) -> Result<Range<usize>, CommandError>;

fn is_long_removal(ks: &mut Keyspace<'_>, args: Args<'_>, ranks: Ranks) -> bool {
    if long::elements_of(ks, args.get(1)) < ELEMENTS_MIN {
        return false;
    }
    let Some(zset) = ks.seen_as::<ZSet>(ks.key_of(args.get(1))) else { return false };
    ranks(args, zset).is_ok_and(|range| range.len() >= ELEMENTS_MIN)
}

fn removed(ranks: Ranks, event: &'static str) -> Work {
    // The ranks still to go, and how many there were in all.
    let mut left: Option<(Range<usize>, usize)> = None;
    Box::new(move |cx, args| {
        if left.is_some() {
            cx.ks.goes_on();
        }
        let key = cx.ks.key(args, 1);
        let Some(zset) = cx.ks.update::<ZSet>(key)? else {
            cx.out.int(0);
            return Ok(Some(Effect::None));
        };
        let (range, in_all) = match left.take() {
            Some(left) => left,
            None => {
                let range = ranks(args, zset)?;
                let len = range.len();
                (range, len)
            }
        };
        let here = range.len().min(REMOVED_PER_PIECE);
        if here > 0 {
            zset.remove_range(range.start, here, &mut |_, _| {});
            if here < range.len() {
                cx.ks.changed::<ZSet>(key);
            } else {
                cx.ks.changed_by::<ZSet>(key, event);
            }
        }
        if here < range.len() {
            left = Some((range.start..range.end - here, in_all));
            return Ok(None);
        }
        cx.out.int(in_all as i64);
        Ok(Some(Effect::as_sent(in_all)))
    })
}

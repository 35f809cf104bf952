//! Ranges of sorted sets: ranks, scores and members' bytes, read as Redis reads them and turned into ranges of ranks.

use std::cmp::Ordering;
use std::ops::Range;

use pinyon_base::number::parse_i64;
use pinyon_base::strtod;
use pinyon_values::zset::ZSet;

use crate::{CommandError, until_nul};

/// The ranks from the first to the last, each counted from the end where negative.
pub(super) fn ranks(min: &[u8], max: &[u8], members: usize) -> Result<Range<usize>, CommandError> {
    let rank = |arg: &[u8]| parse_i64(arg).ok_or(CommandError::NotInteger);
    let (first, last) = (rank(min)?, rank(max)?);
    let from_end = |rank: i64| if rank < 0 { rank.saturating_add(members as i64) } else { rank };
    let (first, last) = (from_end(first).max(0) as usize, from_end(last).min(members as i64 - 1));
    Ok(if last < 0 || first > last as usize { 0..0 } else { first..last as usize + 1 })
}

/// A range of scores.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scores {
    min: (f64, bool),
    max: (f64, bool),
}

impl Scores {
    pub fn parse(min: &[u8], max: &[u8]) -> Result<Scores, CommandError> {
        let bound = |arg: &[u8]| {
            let (text, exclusive) = match arg {
                [b'(', rest @ ..] => (rest, true),
                _ => (arg, false),
            };
            strtod(until_nul(text)).map(|score| (score, exclusive))
        };
        match (bound(min), bound(max)) {
            (Some(min), Some(max)) => Ok(Scores { min, max }),
            _ => Err(CommandError::text("ERR min or max is not a float")),
        }
    }

    pub fn ranks(&self, zset: &ZSet) -> Range<usize> {
        let from = zset.rank_of_score(self.min.0, self.min.1);
        let to = zset.rank_of_score(self.max.0, !self.max.1);
        from..to.max(from)
    }
}

/// One end of a range of members.
#[derive(Clone, Copy, Debug)]
enum Lex<'a> {
    Lowest,
    Highest,
    Inclusive(&'a [u8]),
    Exclusive(&'a [u8]),
}

impl<'a> Lex<'a> {
    fn parse(arg: &'a [u8]) -> Option<Lex<'a>> {
        match arg {
            [b'-'] | [b'-', 0, ..] => Some(Lex::Lowest),
            [b'+'] | [b'+', 0, ..] => Some(Lex::Highest),
            [b'[', member @ ..] => Some(Lex::Inclusive(member)),
            [b'(', member @ ..] => Some(Lex::Exclusive(member)),
            _ => None,
        }
    }

    /// How this bound lies to a member.
    fn cmp(&self, member: &[u8]) -> Ordering {
        match self {
            Lex::Lowest => Ordering::Less,
            Lex::Highest => Ordering::Greater,
            Lex::Inclusive(bound) | Lex::Exclusive(bound) => (*bound).cmp(member),
        }
    }
}

/// A range of members' bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Members<'a> {
    min: Lex<'a>,
    max: Lex<'a>,
}

impl<'a> Members<'a> {
    pub fn parse(min: &'a [u8], max: &'a [u8]) -> Result<Members<'a>, CommandError> {
        match (Lex::parse(min), Lex::parse(max)) {
            (Some(min), Some(max)) => Ok(Members { min, max }),
            _ => Err(CommandError::text("ERR min or max not valid string range item")),
        }
    }

    fn is_above_min(&self, member: &[u8]) -> bool {
        match self.min.cmp(member) {
            Ordering::Less => true,
            Ordering::Equal => matches!(self.min, Lex::Inclusive(_)),
            Ordering::Greater => false,
        }
    }

    fn is_below_max(&self, member: &[u8]) -> bool {
        match self.max.cmp(member) {
            Ordering::Greater => true,
            Ordering::Equal => matches!(self.max, Lex::Inclusive(_)),
            Ordering::Less => false,
        }
    }

    /// Where scores differ the members have no order; then this is what Redis finds in small sorted sets, from the front or
    /// from the back.
    pub fn ranks(&self, zset: &ZSet, from_back: bool) -> Range<usize> {
        match zset {
            ZSet::Packed(_) if from_back => self.packed_ranks_from_back(zset),
            ZSet::Packed(_) => self.packed_ranks(zset),
            ZSet::Ranked(_) => {
                let from = match self.min {
                    Lex::Lowest => 0,
                    Lex::Highest => zset.len(),
                    Lex::Inclusive(member) => zset.rank_of_lex(member, false),
                    Lex::Exclusive(member) => zset.rank_of_lex(member, true),
                };
                let to = match self.max {
                    Lex::Lowest => 0,
                    Lex::Highest => zset.len(),
                    Lex::Inclusive(member) => zset.rank_of_lex(member, true),
                    Lex::Exclusive(member) => zset.rank_of_lex(member, false),
                };
                from..to.max(from)
            }
        }
    }

    /// Whether the last member is not before the range and the first one not behind it.
    fn touches(&self, zset: &ZSet) -> bool {
        let (mut first, mut last) = (false, false);
        zset.range(0, 1, false, &mut |member, _| first = self.is_below_max(member));
        zset.range(zset.len().saturating_sub(1), 1, false, &mut |member, _| last = self.is_above_min(member));
        first && last
    }

    fn packed_ranks(&self, zset: &ZSet) -> Range<usize> {
        if !self.touches(zset) {
            return 0..0;
        }
        let (mut from, mut rank) = (None, 0);
        zset.walk(0, false, &mut |member, _| {
            if from.is_none() && self.is_above_min(member) {
                from = Some(rank);
            }
            let goes_on = from.is_none() || self.is_below_max(member);
            rank += usize::from(goes_on);
            goes_on
        });
        from.map_or(0..0, |from| from..rank)
    }

    fn packed_ranks_from_back(&self, zset: &ZSet) -> Range<usize> {
        if !self.touches(zset) {
            return 0..0;
        }
        let (mut to, mut rank) = (None, zset.len());
        zset.walk(zset.len() - 1, true, &mut |member, _| {
            if to.is_none() && self.is_below_max(member) {
                to = Some(rank);
            }
            let goes_on = to.is_none() || self.is_above_min(member);
            rank -= usize::from(goes_on);
            goes_on
        });
        to.map_or(0..0, |to| rank..to)
    }
}

//! Ranges of bits: BITCOUNT and BITPOS.
//!
//! A range is given by its first and last byte, or bit, both included; negative numbers count from the end.

use std::ops::Range;

use pinyon_base::{Blob, parse_i64};
use pinyon_resp::Args;
use pinyon_values::bits;

use super::operation;
use crate::command::long::{self, Long};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::command::string::string;
use crate::keyspace::Keyspace;
use crate::{CommandError, Cx, Effect};

pub(super) const BITCOUNT: Command = Command {
    name: "bitcount",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::BITMAP,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Bitmap,
    since: "2.6.0",
    complexity: "O(N) in the length of the part looked at.",
    summary: "Counts the bits that are 1 in the string under a key, or in a part of it.",
    history: &[("7.0.0", "`BYTE` and `BIT`.")],
    args: &[
        Arg::key("key", 0),
        Arg::block(
            "index",
            &[
                Arg::new("start", ArgKind::Integer),
                Arg::new("end", ArgKind::Integer),
                Arg::one_of("index_unit", &[Arg::token("byte", "BYTE"), Arg::token("bit", "BIT")])
                    .optional()
                    .since("7.0.0"),
            ],
        )
        .optional(),
    ],
    handler: Handler::Shard(bitcount),
    long: Some(Long { is: is_big, work: bitcount_in_pieces }),
    ..Command::EMPTY
};

fn bitcount(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let Some(value) = cx.ks.read(key) else {
        cx.out.int(0);
        return Ok(Effect::None);
    };
    let value = string(value)?;
    let mut digits = [0; 20];
    let bytes = value.as_bytes(&mut digits);
    let range = counted(args, bytes.len())?;
    cx.out.int(if range.is_empty() { 0 } else { bits::count_range(bytes, range) as i64 });
    Ok(Effect::None)
}

/// The bits that BITCOUNT counts of a string of so many bytes.
fn counted(args: Args<'_>, len: usize) -> Result<Range<u64>, CommandError> {
    match args.len() {
        2 => Ok(0..len as u64 * 8),
        4 | 5 => {
            let start = parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
            let end = parse_i64(args.get(3)).ok_or(CommandError::NotInteger)?;
            let is_reversed = start < 0 && end < 0 && start > end;
            if is_reversed {
                return Ok(0..0);
            }
            let unit = if args.len() == 5 { Unit::parse(args.get(4))? } else { Unit::Byte };
            Ok(bounds(start, Some(end), unit, len))
        }
        _ => Err(CommandError::Syntax),
    }
}

fn is_big(ks: &mut Keyspace<'_>, args: Args<'_>) -> bool {
    ks.seen_text(ks.key_of(args.get(1))).is_some_and(|text| text.len() >= long::BYTES_MIN)
}

fn bitcount_in_pieces() -> long::Work {
    // The text, the bits that are still to be counted, and those found.
    let mut state: Option<(Blob, Range<u64>, u64)> = None;
    Box::new(move |cx, args| {
        if state.is_none() {
            let key = cx.ks.key(args, 1);
            let text = operation::source(&mut cx.ks, key)?.unwrap_or_default();
            let range = counted(args, text.len())?;
            state = Some((text, range, 0));
        }
        let Some((text, range, sum)) = &mut state else { return Ok(Some(Effect::None)) };
        let until = range.end.min(range.start + 8 * long::BYTES_PER_PIECE as u64);
        if range.start < until {
            *sum += bits::count_range(text, range.start..until);
            range.start = until;
        }
        if range.start < range.end {
            return Ok(None);
        }
        cx.out.int(*sum as i64);
        Ok(Some(Effect::None))
    })
}

pub(super) const BITPOS: Command = Command {
    name: "bitpos",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::BITMAP,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Bitmap,
    since: "2.8.7",
    complexity: "O(N) in the length of the part looked at.",
    summary: "Finds the first bit that is 1, or 0, in the string under a key or in a part of it.",
    history: &[("7.0.0", "`BYTE` and `BIT`.")],
    args: &[
        Arg::key("key", 0),
        Arg::new("bit", ArgKind::Integer),
        Arg::block(
            "index",
            &[
                Arg::new("start", ArgKind::Integer),
                Arg::block(
                    "end_index",
                    &[
                        Arg::new("end", ArgKind::Integer),
                        Arg::one_of("index_unit", &[Arg::token("byte", "BYTE"), Arg::token("bit", "BIT")])
                            .optional()
                            .since("7.0.0"),
                    ],
                )
                .optional(),
            ],
        )
        .optional(),
    ],
    handler: Handler::Shard(bitpos),
    ..Command::EMPTY
};

fn bitpos(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let bit = parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
    if bit != 0 && bit != 1 {
        return Err(CommandError::text("ERR The bit argument must be 1 or 0."));
    }
    let key = cx.ks.key(args, 1);
    let Some(value) = cx.ks.read(key) else {
        // Without a key there is nothing but zeros.
        cx.out.int(-bit);
        return Ok(Effect::None);
    };
    let value = string(value)?;
    let mut digits = [0; 20];
    let bytes = value.as_bytes(&mut digits);
    let (mut range, mut is_open) = (0..bytes.len() as u64 * 8, true);
    if args.len() > 3 {
        let start = parse_i64(args.get(3)).ok_or(CommandError::NotInteger)?;
        let unit = match args.len() {
            4 | 5 => Unit::Byte,
            6 => Unit::parse(args.get(5))?,
            _ => return Err(CommandError::Syntax),
        };
        let end = match args.len() {
            4 => None,
            _ => Some(parse_i64(args.get(4)).ok_or(CommandError::NotInteger)?),
        };
        is_open = end.is_none();
        range = bounds(start, end, unit, bytes.len());
    }
    let end = range.end;
    let is_empty = range.is_empty();
    let found = bits::first(bytes, bit == 1, range).map(|at| at as i64);
    // Behind a string that is all ones come zeros, if no end was given.
    let behind = (bit == 0 && is_open && !is_empty).then_some(end as i64);
    cx.out.int(found.or(behind).unwrap_or(-1));
    Ok(Effect::None)
}

/// What the ends of a range count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    fn parse(text: &[u8]) -> Result<Unit, CommandError> {
        if text.eq_ignore_ascii_case(b"BIT") {
            Ok(Unit::Bit)
        } else if text.eq_ignore_ascii_case(b"BYTE") {
            Ok(Unit::Byte)
        } else {
            Err(CommandError::Syntax)
        }
    }
}

/// The bits from `start` to `end`, both included and counted in units, of a string of `len` bytes; up to its end without `end`.
fn bounds(start: i64, end: Option<i64>, unit: Unit, len: usize) -> Range<u64> {
    let (total, bits) = match unit {
        Unit::Byte => (len as i64, 8),
        Unit::Bit => (len as i64 * 8, 1),
    };
    let from_end = |at: i64| if at < 0 { at.saturating_add(total).max(0) } else { at };
    let start = from_end(start);
    let end = end.map_or(total - 1, |end| from_end(end).min(total - 1));
    if start > end { 0..0 } else { start as u64 * bits..(end as u64 + 1) * bits }
}

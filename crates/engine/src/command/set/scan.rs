//! SSCAN: members a few at a time; and what it shares with ZSCAN.

use pinyon_base::glob::glob_match;
use pinyon_base::number::parse_i64;
use pinyon_resp::Args;
use pinyon_values::set::Set;

use super::write_item;
use crate::command::key::walk::parse_cursor;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::{CommandError, Cx, Effect};

/// The options of SSCAN and ZSCAN.
pub(in crate::command) struct ElementScan<'a> {
    /// How many elements to look at, at least 1.
    pub count: usize,
    pattern: Option<&'a [u8]>,
}

/// The cursor in argument 2.
pub(in crate::command) fn cursor(args: Args<'_>) -> Result<u64, CommandError> {
    parse_cursor(args.get(2)).ok_or(CommandError::text("ERR invalid cursor"))
}

impl<'a> ElementScan<'a> {
    /// `key cursor [MATCH pattern] [COUNT count]`. Of an option given twice the last one counts.
    pub fn parse(args: Args<'a>) -> Result<ElementScan<'a>, CommandError> {
        let mut options = ElementScan { count: 10, pattern: None };
        let mut at = 3;
        while at < args.len() {
            let option = args.get(at);
            if at + 1 == args.len() {
                return Err(CommandError::Syntax);
            }
            let value = args.get(at + 1);
            if option.eq_ignore_ascii_case(b"count") {
                let count = parse_i64(value).ok_or(CommandError::NotInteger)?;
                options.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(CommandError::Syntax)?;
            } else if option.eq_ignore_ascii_case(b"match") {
                options.pattern = (value != b"*").then_some(value);
            } else {
                return Err(CommandError::Syntax);
            }
            at += 2;
        }
        Ok(options)
    }

    /// Whether an element is asked for.
    pub fn admits(&self, member: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob_match(pattern, member, false))
    }
}

pub const SSCAN: Command = Command {
    name: "sscan",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::SET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Set,
    since: "2.8.0",
    complexity: "O(1) per call, O(N) for a walk over all N members.",
    summary: "Walks over the members of a set a few at a time.",
    tips: &["nondeterministic_output"],
    args: &[
        Arg::key("key", 0),
        Arg::new("cursor", ArgKind::Integer),
        Arg::new("pattern", ArgKind::Pattern).with_token("MATCH").optional(),
        Arg::new("count", ArgKind::Integer).with_token("COUNT").optional(),
    ],
    handler: Handler::Shard(sscan),
    ..Command::EMPTY
};

fn sscan(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let cursor = cursor(args)?;
    let key = cx.ks.key(args, 1);
    let Some(set) = cx.ks.read_as::<Set>(key)? else {
        cx.out.array(2);
        cx.out.bulk_int(0);
        cx.out.array(0);
        return Ok(Effect::None);
    };
    let options = ElementScan::parse(args)?;
    // Their number goes first, so the same step is gone twice.
    let mut members = 0;
    let next = set.scan(cursor, options.count, &mut |member| {
        members += usize::from(options.admits(member.bytes(&mut [0; 20])));
    });
    cx.out.array(2);
    let mut digits = [0; 20];
    cx.out.bulk(write_u64(&mut digits, next));
    cx.out.array(members);
    set.scan(cursor, options.count, &mut |member| {
        if options.admits(member.bytes(&mut [0; 20])) {
            write_item(&mut cx.out, member);
        }
    });
    Ok(Effect::None)
}

/// The decimal digits of a cursor.
pub(in crate::command) fn write_u64(digits: &mut [u8; 20], mut value: u64) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &digits[at..];
        }
    }
}

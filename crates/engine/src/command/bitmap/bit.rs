//! Single bits: SETBIT and GETBIT.

use pinyon_base::parse_i64;
use pinyon_resp::Args;

use super::bit_offset;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::command::string::string;
use crate::keyspace::Events;
use crate::{CommandError, Cx, Effect};

pub(super) const SETBIT: Command = Command {
    name: "setbit",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::BITMAP,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    group: Group::Bitmap,
    since: "2.2.0",
    complexity: "O(1)",
    summary: "Sets or clears one bit of the string under a key, which is made long enough; replies what it was.",
    args: &[Arg::key("key", 0), Arg::new("offset", ArgKind::Integer), Arg::new("value", ArgKind::Integer)],
    handler: Handler::Shard(setbit),
    ..Command::EMPTY
};

fn setbit(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let offset = bit_offset(&cx.ks, args.get(2), None)?;
    let is_set = match parse_i64(args.get(3)) {
        Some(bit @ (0 | 1)) => bit == 1,
        _ => return Err(CommandError::text("ERR bit is not an integer or out of range")),
    };
    let key = cx.ks.key(args, 1);
    let (at, mask) = ((offset / 8) as usize, 0x80u8 >> (offset % 8));
    let (old, is_raw) = match cx.ks.for_write(key) {
        Some(value) => (string(value)?.as_bytes(&mut [0; 20]).get(at).copied(), value.encoding() == "raw"),
        None => (None, false),
    };
    let byte = old.unwrap_or(0);
    let was_set = byte & mask != 0;
    cx.out.int(i64::from(was_set));
    // A bit that stays as it is changes nothing, unless the string grows up to it.
    if old.is_some() && was_set == is_set {
        if !is_raw {
            // Its encoding does change.
            cx.ks.make_raw(key);
        }
        return Ok(Effect::None);
    }
    let byte = if is_set { byte | mask } else { byte & !mask };
    cx.ks.set_range(key, at, &[byte]);
    cx.ks.notify(Events::STRING, "setbit", key);
    Ok(Effect::AsSent { changes: 1 })
}

pub(super) const GETBIT: Command = Command {
    name: "getbit",
    arity: 3,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::BITMAP,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Bitmap,
    since: "2.2.0",
    complexity: "O(1)",
    summary: "Replies one bit of the string under a key; bits behind its end are 0.",
    args: &[Arg::key("key", 0), Arg::new("offset", ArgKind::Integer)],
    handler: Handler::Shard(getbit),
    ..Command::EMPTY
};

fn getbit(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let offset = bit_offset(&cx.ks, args.get(2), None)?;
    let key = cx.ks.key(args, 1);
    let byte = match cx.ks.read(key) {
        Some(value) => string(value)?.as_bytes(&mut [0; 20]).get((offset / 8) as usize).copied().unwrap_or(0),
        None => 0,
    };
    cx.out.int(i64::from(byte >> (7 - offset % 8) & 1));
    Ok(Effect::None)
}

//! Members of a set by name: SADD, SREM, SISMEMBER, SMISMEMBER, SCARD, SMEMBERS, SMOVE.
//!
//! SMOVE over two shards is a procedure of the server, which has the shards run an SREM and an SADD.

use pinyon_resp::Args;
use pinyon_values::Item;
use pinyon_values::set::{Set, SetRef};

use super::write_item;
use crate::command::long::{self, ELEMENTS_PER_PIECE, Long};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};
use crate::{CommandError, Cx, Effect};

pub const SADD: Command = Command {
    name: "sadd",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::SET,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(1) for each member.",
    summary: "Adds members to a set.",
    history: &[("2.4.0", "Several members at once.")],
    args: &[Arg::key("key", 0), Arg::new("member", ArgKind::String).multiple()],
    handler: Handler::Shard(sadd),
    ..Command::EMPTY
};

fn sadd(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().set;
    let set = cx.ks.update_or_create::<Set>(key)?;
    let added = args.from(2).iter().filter(|member| set.add(member, &limits)).count();
    if added > 0 {
        cx.ks.changed_by::<Set>(key, "sadd");
    }
    cx.out.int(added as i64);
    Ok(Effect::as_sent(added))
}

pub const SREM: Command = Command {
    name: "srem",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::SET,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(N) where N is the number of members given.",
    summary: "Takes members out of a set.",
    history: &[("2.4.0", "Several members at once.")],
    args: &[Arg::key("key", 0), Arg::new("member", ArgKind::String).multiple()],
    handler: Handler::Shard(srem),
    ..Command::EMPTY
};

fn srem(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let removed = match cx.ks.update::<Set>(key)? {
        Some(set) => args.from(2).iter().filter(|member| set.remove(member)).count(),
        None => 0,
    };
    if removed > 0 {
        cx.ks.changed_by::<Set>(key, "srem");
    }
    cx.out.int(removed as i64);
    Ok(Effect::as_sent(removed))
}

pub const SISMEMBER: Command = Command {
    name: "sismember",
    arity: 3,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::SET,
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Tells whether something is a member of a set.",
    args: &[Arg::key("key", 0), Arg::new("member", ArgKind::String)],
    handler: Handler::Shard(sismember),
    ..Command::EMPTY
};

fn sismember(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let is_member = cx.ks.read_as::<Set>(key)?.is_some_and(|set| set.contains(Item::Bytes(args.get(2))));
    cx.out.int(i64::from(is_member));
    Ok(Effect::None)
}

pub const SMISMEMBER: Command = Command {
    name: "smismember",
    arity: -3,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::SET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Set,
    since: "6.2.0",
    complexity: "O(N) where N is the number of strings asked about.",
    summary: "Tells of each of several strings whether it is a member of a set.",
    args: &[Arg::key("key", 0), Arg::new("member", ArgKind::String).multiple()],
    handler: Handler::Shard(smismember),
    ..Command::EMPTY
};

fn smismember(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let set = cx.ks.read_as::<Set>(key)?;
    cx.out.array(args.len() - 2);
    for member in args.from(2) {
        cx.out.int(i64::from(set.is_some_and(|set| set.contains(Item::Bytes(member)))));
    }
    Ok(Effect::None)
}

pub const SCARD: Command = Command {
    name: "scard",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::SET,
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Returns how many members a set has.",
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(scard),
    ..Command::EMPTY
};

fn scard(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let members = cx.ks.read_as::<Set>(key)?.map_or(0, SetRef::len);
    cx.out.int(members as i64);
    Ok(Effect::None)
}

pub const SMEMBERS: Command = Command {
    name: "smembers",
    arity: 2,
    flags: Flags::READONLY,
    categories: Categories::SET,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(N) where N is the size of the set.",
    summary: "Returns all members of a set.",
    tips: &["nondeterministic_output_order"],
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(smembers),
    long: Some(Long { is: long::is_first_big, work: smembers_in_pieces }),
    ..Command::EMPTY
};

fn smembers_in_pieces() -> long::Work {
    let mut cursor = None;
    Box::new(move |cx, args| {
        let key = cx.ks.key(args, 1);
        let set = match cursor {
            None => cx.ks.read_as::<Set>(key)?,
            Some(_) => cx.ks.seen_as::<Set>(key),
        };
        if cursor.is_none() {
            cx.out.set(set.map_or(0, SetRef::len));
        }
        let Some(set) = set else { return Ok(Some(Effect::None)) };
        let out = &mut cx.out;
        let next = set.scan(cursor.unwrap_or(0), ELEMENTS_PER_PIECE, &mut |member| write_item(out, member));
        cursor = Some(next);
        Ok((next == 0).then_some(Effect::None))
    })
}

fn smembers(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    match cx.ks.read_as::<Set>(key)? {
        None => cx.out.set(0),
        Some(set) => {
            cx.out.set(set.len());
            set.scan(0, usize::MAX, &mut |member| write_item(&mut cx.out, member));
        }
    }
    Ok(Effect::None)
}

pub const SMOVE: Command = Command {
    name: "smove",
    arity: 4,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::SET,
    keys: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE)),
        KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT)),
    ],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Moves a member from one set to another.",
    args: &[Arg::key("source", 0), Arg::key("destination", 1), Arg::new("member", ArgKind::String)],
    handler: Handler::Spread(Spread::Smove, smove),
    ..Command::EMPTY
};

fn smove(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (from, to, member) = (cx.ks.key(args, 1), cx.ks.key(args, 2), args.get(3));
    let limits = cx.ks.limits().set;
    let is_member = match cx.ks.update::<Set>(from)? {
        None => {
            // As in Redis, without a source the destination's type is not looked at.
            cx.out.int(0);
            return Ok(Effect::None);
        }
        Some(set) => set.contains(Item::Bytes(member)),
    };
    cx.ks.update::<Set>(to)?;
    cx.out.int(i64::from(is_member));
    if !is_member || from.bytes == to.bytes {
        return Ok(Effect::None);
    }
    if let Some(set) = cx.ks.update::<Set>(from)? {
        set.remove(member);
        cx.ks.changed_by::<Set>(from, "srem");
    }
    if cx.ks.update_or_create::<Set>(to)?.add(member, &limits) {
        cx.ks.changed_by::<Set>(to, "sadd");
    }
    Ok(Effect::AsSent { changes: 1 })
}

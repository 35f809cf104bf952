//! What sets have in common or not: SINTER, SUNION, SDIFF, SINTERCARD, and the forms that store the result.
//!
//! The handlers run where all keys are. Over several shards the coordinator lends the sets to one shard first.

use pinyon_base::number::parse_i64;
use pinyon_resp::{Args, Output, Writer};
use pinyon_values::set::{Set, SetLimits, SetRef, algebra};
use pinyon_values::{Collection, Item};

use super::{pieces, write_item};
use crate::command::long::Long;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};
use crate::keyspace::{Events, Keyspace, Ttl};
use crate::{CommandError, Cx, Effect};

/// How the sets become one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Inter,
    Union,
    Diff,
}

pub const SINTER: Command = Command {
    name: "sinter",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::SET,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(N*M) at worst, where N is the size of the smallest set and M the number of sets.",
    summary: "Returns the members that all sets have.",
    tips: &["nondeterministic_output_order"],
    args: &[Arg::key("key", 0).multiple()],
    handler: Handler::Spread(Spread::Lend, sinter),
    long: Some(Long { is: pieces::are_big, work: pieces::sinter }),
    ..Command::EMPTY
};

fn sinter(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply(cx, args, How::Inter)
}

pub const SUNION: Command = Command {
    name: "sunion",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::SET,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(N) where N is the number of members of all sets.",
    summary: "Returns the members that any of the sets has.",
    tips: &["nondeterministic_output_order"],
    args: &[Arg::key("key", 0).multiple()],
    handler: Handler::Spread(Spread::Lend, sunion),
    long: Some(Long { is: pieces::are_big, work: pieces::sunion }),
    ..Command::EMPTY
};

fn sunion(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply(cx, args, How::Union)
}

pub const SDIFF: Command = Command {
    name: "sdiff",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::SET,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(N) where N is the number of members of all sets.",
    summary: "Returns the members of the first set that are in none of the others.",
    tips: &["nondeterministic_output_order"],
    args: &[Arg::key("key", 0).multiple()],
    handler: Handler::Spread(Spread::Lend, sdiff),
    long: Some(Long { is: pieces::are_big, work: pieces::sdiff }),
    ..Command::EMPTY
};

fn sdiff(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply(cx, args, How::Diff)
}

pub const SINTERSTORE: Command = Command {
    name: "sinterstore",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::SET,
    keys: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE)),
        KeySpec::range(2, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(N*M) at worst, where N is the size of the smallest set and M the number of sets.",
    summary: "Stores the members that all sets have under a key.",
    args: &[Arg::key("destination", 0), Arg::key("key", 1).multiple()],
    handler: Handler::Spread(Spread::Lend, sinterstore),
    long: Some(Long { is: pieces::are_stored_big, work: pieces::sinterstore }),
    ..Command::EMPTY
};

fn sinterstore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    store(cx, args, How::Inter)
}

pub const SUNIONSTORE: Command = Command {
    name: "sunionstore",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::SET,
    keys: &[
        KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::range(2, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(N) where N is the number of members of all sets.",
    summary: "Stores the members that any of the sets has under a key.",
    args: &[Arg::key("destination", 0), Arg::key("key", 1).multiple()],
    handler: Handler::Spread(Spread::Lend, sunionstore),
    long: Some(Long { is: pieces::are_stored_big, work: pieces::sunionstore }),
    ..Command::EMPTY
};

fn sunionstore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    store(cx, args, How::Union)
}

pub const SDIFFSTORE: Command = Command {
    name: "sdiffstore",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::SET,
    keys: &[
        KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::range(2, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    group: Group::Set,
    since: "1.0.0",
    complexity: "O(N) where N is the number of members of all sets.",
    summary: "Stores the members of the first set that are in none of the others under a key.",
    args: &[Arg::key("destination", 0), Arg::key("key", 1).multiple()],
    handler: Handler::Spread(Spread::Lend, sdiffstore),
    long: Some(Long { is: pieces::are_stored_big, work: pieces::sdiffstore }),
    ..Command::EMPTY
};

fn sdiffstore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    store(cx, args, How::Diff)
}

/// The sets under the keys, each read as Redis reads it: all of them are looked at before one is found to be of another type
/// or missing.
pub(super) fn sources<'c>(ks: &'c mut Keyspace<'_>, keys: Args<'_>) -> Result<Vec<Option<SetRef<'c>>>, CommandError> {
    for key in keys {
        let key = ks.key_of(key);
        ks.read_as::<Set>(key)?;
    }
    Ok(keys.iter().map(|key| ks.seen_as::<Set>(ks.key_of(key))).collect())
}

/// Calls `visit` with every member of the result once.
fn each(how: How, sets: &[Option<SetRef<'_>>], limits: &SetLimits, visit: &mut dyn FnMut(Item<'_>)) {
    match how {
        How::Union => {
            union(sets, limits).scan(0, usize::MAX, visit);
        }
        How::Inter => {
            let Some(mut all) = sets.iter().copied().collect::<Option<Vec<SetRef<'_>>>>() else { return };
            all.sort_by_key(|set| set.len());
            algebra::inter(all[0], &all[1..], 0, usize::MAX, visit);
        }
        How::Diff => {
            let Some(&Some(first)) = sets.first() else { return };
            let others: Vec<SetRef<'_>> = sets[1..].iter().copied().flatten().collect();
            algebra::diff(first, &others, 0, usize::MAX, visit);
        }
    }
}

fn union(sets: &[Option<SetRef<'_>>], limits: &SetLimits) -> Set {
    let mut sets: Vec<SetRef<'_>> = sets.iter().copied().flatten().collect();
    sets.sort_by_key(|set| std::cmp::Reverse(set.len()));
    let mut union = match sets.first() {
        // It would become a table anyway, and a copy is faster than its members one by one.
        Some(SetRef::Table(table)) if table.len() > limits.intset_entries.max(limits.listpack_entries) => {
            sets.remove(0).to_set()
        }
        _ => Set::new(),
    };
    for set in sets {
        set.scan(0, usize::MAX, &mut |member| {
            union.add(member.bytes(&mut [0; 20]), limits);
        });
    }
    union
}

fn reply(cx: &mut Cx<'_>, args: Args<'_>, how: How) -> Result<Effect, CommandError> {
    let limits = cx.ks.limits().set;
    let sets = sources(&mut cx.ks, args.from(1))?;
    if how == How::Union {
        let union = union(&sets, &limits);
        cx.out.set(union.len());
        union.scan(0, usize::MAX, &mut |member| write_item(&mut cx.out, member));
        return Ok(Effect::None);
    }
    // Their number goes first.
    let mut found = Output::default();
    let mut members = 0;
    each(how, &sets, &limits, &mut |member| {
        write_item(&mut Writer { out: &mut found, proto: cx.out.proto }, member);
        members += 1;
    });
    cx.out.set(members);
    cx.out.out.append(&mut found);
    Ok(Effect::None)
}

fn store(cx: &mut Cx<'_>, args: Args<'_>, how: How) -> Result<Effect, CommandError> {
    let limits = cx.ks.limits().set;
    let sets = sources(&mut cx.ks, args.from(2))?;
    let result = match how {
        How::Union => union(&sets, &limits),
        _ => {
            let mut result = Set::new();
            each(how, &sets, &limits, &mut |member| {
                result.add(member.bytes(&mut [0; 20]), &limits);
            });
            result
        }
    };
    put(cx, args, how, result)
}

/// Stores a result under the destination and replies its size.
pub(super) fn put(cx: &mut Cx<'_>, args: Args<'_>, how: How, result: Set) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let members = result.len();
    cx.out.int(members as i64);
    if members == 0 {
        let removed = cx.ks.remove_lazy(key);
        if removed {
            cx.ks.notify(Events::GENERIC, "del", key);
        }
        return Ok(Effect::as_sent(usize::from(removed)));
    }
    cx.ks.put_collection(key, Collection::Set(Box::new(result)), Ttl::Clear);
    let event = match how {
        How::Inter => "sinterstore",
        How::Union => "sunionstore",
        How::Diff => "sdiffstore",
    };
    cx.ks.notify(Events::SET, event, key);
    Ok(Effect::AsSent { changes: 1 })
}

pub const SINTERCARD: Command = Command {
    name: "sintercard",
    arity: -3,
    flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
    categories: Categories::SET,
    keys: &[KeySpec::counted(1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Set,
    since: "7.0.0",
    complexity: "O(N*M) at worst, where N is the size of the smallest set and M the number of sets.",
    summary: "Returns how many members all sets have, or a limit.",
    args: &[
        Arg::new("numkeys", ArgKind::Integer),
        Arg::key("key", 0).multiple(),
        Arg::new("limit", ArgKind::Integer).with_token("LIMIT").optional(),
    ],
    handler: Handler::Spread(Spread::Lend, sintercard),
    ..Command::EMPTY
};

fn sintercard(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (keys, limit) = intercard_options(args)?;
    let sets = sources(&mut cx.ks, keys)?;
    let sets: Option<Vec<SetRef<'_>>> = sets.into_iter().collect();
    cx.out.int(sets.map_or(0, |sets| algebra::inter_count(&sets, limit)) as i64);
    Ok(Effect::None)
}

/// `numkeys key… [LIMIT limit]` of SINTERCARD and ZINTERCARD; 0 is no limit.
pub(in crate::command) fn intercard_options(args: Args<'_>) -> Result<(Args<'_>, usize), CommandError> {
    let keys = parse_i64(args.get(1))
        .and_then(|keys| usize::try_from(keys).ok())
        .filter(|keys| *keys > 0)
        .ok_or(CommandError::text("ERR numkeys should be greater than 0"))?;
    if keys > args.len() - 2 {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    let mut limit = 0;
    let mut at = 2 + keys;
    while at < args.len() {
        if !args.get(at).eq_ignore_ascii_case(b"limit") || at + 1 == args.len() {
            return Err(CommandError::Syntax);
        }
        limit = parse_i64(args.get(at + 1))
            .and_then(|limit| usize::try_from(limit).ok())
            .ok_or(CommandError::text("ERR LIMIT can't be negative"))?;
        at += 2;
    }
    Ok((args.range(2..2 + keys), limit))
}

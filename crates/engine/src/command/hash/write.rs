//! Writing and removing fields.

use pinyon_base::{Extended, parse_i64};
use pinyon_resp::Args;
use pinyon_values::Item;
use pinyon_values::hash::{FieldTtl, Hash};

use super::KEY;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::{CommandError, Cx, Effect};

const FIELD: Arg = Arg::new("field", ArgKind::String);
const VALUE: Arg = Arg::new("value", ArgKind::String);
const PAIRS: Arg = Arg::block("data", &[FIELD, VALUE]).multiple();
const STORES: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);
const UPDATES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
const INSERTS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))];
const REMOVES: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))];
const COUNTS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))];

pub(super) const HSET: Command = Command {
    name: "hset",
    arity: -4,
    flags: STORES,
    categories: Categories::HASH,
    keys: UPDATES,
    group: Group::Hash,
    since: "2.0.0",
    complexity: "O(N) with N the number of fields written.",
    summary: "Writes fields of a hash, and replies how many of them are new.",
    history: &[("4.0.0", "Takes several fields.")],
    args: &[KEY, PAIRS],
    handler: Handler::Shard(hset),
    ..Command::EMPTY
};

fn hset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (created, effect) = set_pairs(cx, args, "hset")?;
    cx.out.int(created);
    Ok(effect)
}

pub(super) const HMSET: Command = Command {
    name: "hmset",
    arity: -4,
    flags: STORES,
    categories: Categories::HASH,
    keys: UPDATES,
    group: Group::Hash,
    since: "2.0.0",
    complexity: "O(N) with N the number of fields written.",
    summary: "Writes fields of a hash.",
    deprecated: Some(("4.0.0", "`HSET` with multiple field-value pairs")),
    args: &[KEY, PAIRS],
    handler: Handler::Shard(hmset),
    ..Command::EMPTY
};

fn hmset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let (_, effect) = set_pairs(cx, args, "hmset")?;
    cx.out.ok();
    Ok(effect)
}

/// Writes the fields from the third argument on; gives how many are new.
#[inline]
fn set_pairs(cx: &mut Cx<'_>, args: Args<'_>, name: &'static str) -> Result<(i64, Effect), CommandError> {
    if args.len() % 2 == 1 {
        return Err(CommandError::WrongArity(name.into()));
    }
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().hash;
    let hash = cx.ks.update_or_create::<Hash>(key)?;
    let mut created = 0;
    for at in (2..args.len()).step_by(2) {
        created += i64::from(hash.set(args.get(at), args.get(at + 1), FieldTtl::Clear, &limits));
    }
    cx.ks.changed_by::<Hash>(key, "hset");
    Ok((created, Effect::AsSent { changes: (args.len() / 2 - 1) as u32 }))
}

pub(super) const HSETNX: Command = Command {
    name: "hsetnx",
    arity: 4,
    flags: STORES,
    categories: Categories::HASH,
    keys: INSERTS,
    group: Group::Hash,
    since: "2.0.0",
    complexity: "O(1)",
    summary: "Writes a field unless the hash has it.",
    args: &[KEY, FIELD, VALUE],
    handler: Handler::Shard(hsetnx),
    ..Command::EMPTY
};

fn hsetnx(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().hash;
    let hash = cx.ks.update_or_create::<Hash>(key)?;
    let is_new = !hash.contains(args.get(2));
    if is_new {
        hash.set(args.get(2), args.get(3), FieldTtl::Clear, &limits);
        cx.ks.changed_by::<Hash>(key, "hset");
    }
    cx.out.int(i64::from(is_new));
    Ok(if is_new { Effect::AsSent { changes: 1 } } else { Effect::None })
}

pub(super) const HDEL: Command = Command {
    name: "hdel",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::HASH,
    keys: REMOVES,
    group: Group::Hash,
    since: "2.0.0",
    complexity: "O(N) with N the number of fields named.",
    summary: "Removes fields of a hash, and with the last one the key.",
    history: &[("2.4.0", "Takes several fields.")],
    args: &[KEY, FIELD.multiple()],
    handler: Handler::Shard(hdel),
    ..Command::EMPTY
};

fn hdel(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let mut removed = 0;
    if let Some(hash) = cx.ks.update::<Hash>(key)? {
        removed = args.iter().skip(2).filter(|name| hash.remove(name)).count();
    }
    if removed > 0 {
        cx.ks.changed_by::<Hash>(key, "hdel");
    }
    cx.out.int(removed as i64);
    Ok(if removed > 0 { Effect::AsSent { changes: removed as u32 } } else { Effect::None })
}

pub(super) const HINCRBY: Command = Command {
    name: "hincrby",
    arity: 4,
    flags: STORES,
    categories: Categories::HASH,
    keys: COUNTS,
    group: Group::Hash,
    since: "2.0.0",
    complexity: "O(1)",
    summary: "Adds an integer to that of a field; a missing field counts as 0.",
    args: &[KEY, FIELD, Arg::new("increment", ArgKind::Integer)],
    handler: Handler::Shard(hincrby),
    ..Command::EMPTY
};

fn hincrby(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    const NOT_INTEGER: CommandError = CommandError::text("ERR hash value is not an integer");
    let by = parse_i64(args.get(3)).ok_or(CommandError::NotInteger)?;
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().hash;
    // A key that this makes gets its field: from 0 nothing overflows.
    let hash = cx.ks.update_or_create::<Hash>(key)?;
    let old = match hash.get(args.get(2)) {
        None => 0,
        Some(Item::Int(value)) => value,
        Some(Item::Bytes(text)) => parse_i64(text).ok_or(NOT_INTEGER)?,
    };
    let new = old.checked_add(by).ok_or(CommandError::IncrementOverflow)?;
    let text = Item::Int(new);
    hash.set(args.get(2), text.bytes(&mut [0; 20]), FieldTtl::Keep, &limits);
    cx.ks.changed_by::<Hash>(key, "hincrby");
    cx.out.int(new);
    Ok(Effect::AsSent { changes: 1 })
}

pub(super) const HINCRBYFLOAT: Command = Command {
    name: "hincrbyfloat",
    arity: 4,
    flags: STORES,
    categories: Categories::HASH,
    keys: COUNTS,
    group: Group::Hash,
    since: "2.6.0",
    complexity: "O(1)",
    summary: "Adds a floating point number to that of a field; a missing field counts as 0.",
    args: &[KEY, FIELD, Arg::new("increment", ArgKind::Double)],
    handler: Handler::Shard(hincrbyfloat),
    ..Command::EMPTY
};

fn hincrbyfloat(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let by = Extended::parse(args.get(3)).ok_or(CommandError::NotFloat)?;
    if !by.is_finite() {
        return Err(CommandError::text("ERR value is NaN or Infinity"));
    }
    let key = cx.ks.key(args, 1);
    let limits = cx.ks.limits().hash;
    let hash = cx.ks.update_or_create::<Hash>(key)?;
    let old = hash.get(args.get(2)).map(|value| Extended::parse(value.bytes(&mut [0; 20])));
    let old =
        old.unwrap_or_else(|| Extended::parse(b"0")).ok_or(CommandError::text("ERR hash value is not a float"))?;
    let new = old.add(by);
    if !new.is_finite() {
        return Err(CommandError::IncrementNotFinite);
    }
    let text = new.format();
    hash.set(args.get(2), text.as_bytes(), FieldTtl::Keep, &limits);
    let keeps_deadline = hash.deadline(args.get(2)).flatten().is_some();
    cx.ks.changed_by::<Hash>(key, "hincrbyfloat");
    cx.out.bulk(text.as_bytes());
    if keeps_deadline {
        cx.ks.record(&[b"HSETEX", key.bytes, b"KEEPTTL", b"FIELDS", b"1", args.get(2), text.as_bytes()]);
    } else {
        cx.ks.record(&[b"HSET", key.bytes, args.get(2), text.as_bytes()]);
    }
    Ok(Effect::Recorded { changes: 1 })
}

#[cfg(test)]
mod tests {
    use crate::Effect;
    use crate::command::trial::Trial;

    /// Replies asked of redis-server 7.0.15.
    #[test]
    fn writes() {
        let mut t = Trial::new();
        t.run("set s x");
        let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        for (command, reply, changes) in [
            ("hset h a 1 b 2", ":2", 2),
            ("hset h a 3 c 4 c 5", ":1", 3),
            ("hset h a 1 b", "-ERR wrong number of arguments for 'hset' command", 0),
            ("hmset h a 1 b", "-ERR wrong number of arguments for 'hmset' command", 0),
            ("hmset h d 1", "+OK", 1),
            ("hsetnx h a 9", ":0", 0),
            ("hsetnx h e 9", ":1", 1),
            ("hdel h x y", ":0", 0),
            ("hdel h e x d", ":2", 2),
            ("hset s a 1", wrong, 0),
            ("hsetnx s a 1", wrong, 0),
            ("hdel s a", wrong, 0),
            ("hincrby s a 1", wrong, 0),
            ("hincrby h n 5", ":5", 1),
            ("hincrby h n -7", ":-2", 1),
            ("hincrby h n x", "-ERR value is not an integer or out of range", 0),
            ("hset h t text", ":1", 1),
            ("hincrby h t 1", "-ERR hash value is not an integer", 0),
            ("hset h m 9223372036854775807", ":1", 1),
            ("hincrby h m 1", "-ERR increment or decrement would overflow", 0),
            ("hdel h a b c n t m", ":6", 6),
            ("hdel h a", ":0", 0),
        ] {
            assert_eq!(t.run(command), reply, "{command}");
            assert_eq!(t.effect().changes(), changes, "{command}");
        }
        let mut ks = t.shard.keyspace(pinyon_base::DbIndex(0), true);
        assert!(ks.peek(ks.key_of(b"h")).is_none(), "without fields there is no key");
    }

    /// Replies asked of redis-server 7.0.15.
    #[test]
    fn floats() {
        let mut t = Trial::new();
        t.expect(&[
            ("hincrbyfloat h f 10.5", "$4 10.5"),
            ("hincrbyfloat h f 0.1", "$4 10.6"),
            ("hincrbyfloat h f x", "-ERR value is not a valid float"),
            ("hincrbyfloat h f inf", "-ERR value is NaN or Infinity"),
            ("hset h t text", ":1"),
            ("hincrbyfloat h t 1", "-ERR hash value is not a float"),
            ("hincrbyfloat h f 5e1", "$4 60.6"),
        ]);
        assert_eq!(t.effect(), Effect::Recorded { changes: 1 });
        assert_eq!(t.recorded(), ["HSET h f 60.6"]);
    }
}

//! Reading fields: one, some, all.

use pinyon_resp::{Args, Writer};
use pinyon_values::hash::{Field, Hash, HashRef};

use super::{KEY, write_item};
use crate::command::long::{self, ELEMENTS_PER_PIECE, Long};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::Keyspace;
use crate::{CommandError, Cx, Effect};

const FIELD: Arg = Arg::new("field", ArgKind::String);
const FAST: Flags = Flags::READONLY.union(Flags::FAST);
const LOOKS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO)];
const READS: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];
const UNORDERED: &[&str] = &["nondeterministic_output_order"];

pub(super) const HGET: Command = Command {
    name: "hget",
    arity: 3,
    flags: FAST,
    categories: Categories::HASH,
    keys: READS,
    group: Group::Hash,
    since: "2.0.0",
    complexity: "O(1)",
    summary: "Replies the value of a field.",
    args: &[KEY, FIELD],
    handler: Handler::Shard(hget),
    ..Command::EMPTY
};

fn hget(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    match cx.ks.read_as::<Hash>(key)?.and_then(|hash| hash.get(args.get(2))) {
        Some(value) => write_item(&mut cx.out, value),
        None => cx.out.null(),
    }
    Ok(Effect::None)
}

pub(super) const HMGET: Command = Command {
    name: "hmget",
    arity: -3,
    flags: FAST,
    categories: Categories::HASH,
    keys: READS,
    group: Group::Hash,
    since: "2.0.0",
    complexity: "O(N) with N the number of fields asked for.",
    summary: "Replies the values of several fields.",
    args: &[KEY, FIELD.multiple()],
    handler: Handler::Shard(hmget),
    ..Command::EMPTY
};

fn hmget(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let hash = cx.ks.read_as::<Hash>(key)?;
    cx.out.array(args.len() - 2);
    for name in args.iter().skip(2) {
        match hash.and_then(|hash| hash.get(name)) {
            Some(value) => write_item(&mut cx.out, value),
            None => cx.out.null(),
        }
    }
    Ok(Effect::None)
}

pub(super) const HEXISTS: Command = Command {
    name: "hexists",
    arity: 3,
    flags: FAST,
    categories: Categories::HASH,
    keys: LOOKS,
    group: Group::Hash,
    since: "2.0.0",
    complexity: "O(1)",
    summary: "Tells whether a hash has a field.",
    args: &[KEY, FIELD],
    handler: Handler::Shard(hexists),
    ..Command::EMPTY
};

fn hexists(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let is_there = cx.ks.read_as::<Hash>(key)?.is_some_and(|hash| hash.contains(args.get(2)));
    cx.out.int(i64::from(is_there));
    Ok(Effect::None)
}

pub(super) const HSTRLEN: Command = Command {
    name: "hstrlen",
    arity: 3,
    flags: FAST,
    categories: Categories::HASH,
    keys: LOOKS,
    group: Group::Hash,
    since: "3.2.0",
    complexity: "O(1)",
    summary: "Replies how many bytes long the value of a field is, 0 without such a field.",
    args: &[KEY, FIELD],
    handler: Handler::Shard(hstrlen),
    ..Command::EMPTY
};

fn hstrlen(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let value = cx.ks.read_as::<Hash>(key)?.and_then(|hash| hash.get(args.get(2)));
    cx.out.int(value.map_or(0, |value| value.text_len()) as i64);
    Ok(Effect::None)
}

pub(super) const HLEN: Command = Command {
    name: "hlen",
    arity: 2,
    flags: FAST,
    categories: Categories::HASH,
    keys: LOOKS,
    group: Group::Hash,
    since: "2.0.0",
    complexity: "O(1)",
    summary: "Replies how many fields a hash has.",
    args: &[KEY],
    handler: Handler::Shard(hlen),
    ..Command::EMPTY
};

fn hlen(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let len = cx.ks.read_as::<Hash>(key)?.map_or(0, HashRef::len);
    cx.out.int(len as i64);
    Ok(Effect::None)
}

const fn whole(name: &'static str, summary: &'static str, handler: Handler, work: fn() -> long::Work) -> Command {
    Command {
        name,
        arity: 2,
        flags: Flags::READONLY,
        categories: Categories::HASH,
        keys: READS,
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(N) with N the number of fields.",
        summary,
        tips: UNORDERED,
        args: &[KEY],
        handler,
        long: Some(Long { is: is_big, work }),
        ..Command::EMPTY
    }
}

pub(super) const HGETALL: Command =
    whole("hgetall", "Replies all fields and their values.", Handler::Shard(hgetall), hgetall_in_pieces);
pub(super) const HKEYS: Command =
    whole("hkeys", "Replies the names of all fields.", Handler::Shard(hkeys), hkeys_in_pieces);
pub(super) const HVALS: Command =
    whole("hvals", "Replies the values of all fields.", Handler::Shard(hvals), hvals_in_pieces);

fn hgetall(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let hash = cx.ks.read_as::<Hash>(key)?;
    cx.out.map(hash.map_or(0, HashRef::len));
    let out = &mut cx.out;
    each(hash, &mut |field| {
        write_item(out, field.name);
        write_item(out, field.value);
    })
}

fn hkeys(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let hash = cx.ks.read_as::<Hash>(key)?;
    cx.out.array(hash.map_or(0, HashRef::len));
    let out = &mut cx.out;
    each(hash, &mut |field| write_item(out, field.name))
}

fn hvals(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let hash = cx.ks.read_as::<Hash>(key)?;
    cx.out.array(hash.map_or(0, HashRef::len));
    let out = &mut cx.out;
    each(hash, &mut |field| write_item(out, field.value))
}

/// Whether the hash is big. One of which fields have deadlines is read at once: they could pass on the way.
fn is_big(ks: &mut Keyspace<'_>, args: Args<'_>) -> bool {
    long::is_first_big(ks, args)
        && ks.seen_as::<Hash>(ks.key_of(args.get(1))).is_some_and(|hash| hash.next_deadline().is_none())
}

fn hgetall_in_pieces() -> long::Work {
    in_pieces(
        |out, len| out.map(len),
        |out, field| {
            write_item(out, field.name);
            write_item(out, field.value);
        },
    )
}

fn hkeys_in_pieces() -> long::Work {
    in_pieces(|out, len| out.array(len), |out, field| write_item(out, field.name))
}

fn hvals_in_pieces() -> long::Work {
    in_pieces(|out, len| out.array(len), |out, field| write_item(out, field.value))
}

fn in_pieces(begin: fn(&mut Writer<'_>, usize), write: fn(&mut Writer<'_>, Field<'_>)) -> long::Work {
    let mut cursor = None;
    Box::new(move |cx, args| {
        let key = cx.ks.key(args, 1);
        let hash = match cursor {
            None => cx.ks.read_as::<Hash>(key)?,
            Some(_) => cx.ks.seen_as::<Hash>(key),
        };
        if cursor.is_none() {
            begin(&mut cx.out, hash.map_or(0, HashRef::len));
        }
        let Some(hash) = hash else { return Ok(Some(Effect::None)) };
        let out = &mut cx.out;
        let next = hash.scan(cursor.unwrap_or(0), ELEMENTS_PER_PIECE, &mut |field| write(out, field));
        cursor = Some(next);
        Ok((next == 0).then_some(Effect::None))
    })
}

/// Visits all fields.
fn each(hash: Option<HashRef<'_>>, visit: &mut dyn FnMut(Field<'_>)) -> Result<Effect, CommandError> {
    if let Some(hash) = hash {
        hash.scan(0, usize::MAX, visit);
    }
    Ok(Effect::None)
}

#[cfg(test)]
mod tests {
    use pinyon_resp::Proto;

    use crate::Effect;
    use crate::command::trial::Trial;

    /// Replies asked of redis-server 7.0.15.
    #[test]
    fn reads() {
        let mut t = Trial::new();
        t.run("hset h a 1 b hello c \"\"");
        t.run("set s x");
        t.expect(&[
            ("hget h a", "$1 1"),
            ("hget h b", "$5 hello"),
            ("hget h c", "$0"),
            ("hget h d", "$-1"),
            ("hget nokey a", "$-1"),
            ("hmget h a d b", "*3 $1 1 $-1 $5 hello"),
            ("hmget nokey a", "*1 $-1"),
            ("hexists h a", ":1"),
            ("hexists h d", ":0"),
            ("hexists nokey d", ":0"),
            ("hstrlen h b", ":5"),
            ("hstrlen h a", ":1"),
            ("hstrlen h d", ":0"),
            ("hlen h", ":3"),
            ("hlen nokey", ":0"),
            ("hgetall h", "*6 $1 a $1 1 $1 b $5 hello $1 c $0"),
            ("hkeys h", "*3 $1 a $1 b $1 c"),
            ("hvals h", "*3 $1 1 $5 hello $0"),
            ("hgetall nokey", "*0"),
            ("hkeys nokey", "*0"),
        ]);
        let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        for command in [
            "hget s a",
            "hmget s a",
            "hexists s a",
            "hstrlen s a",
            "hlen s",
            "hgetall s",
            "hkeys s",
            "hvals s",
            "get h",
            "append h x",
            "getrange h 0 1",
            "incr h",
            "strlen h",
            "getdel h",
            "setrange h 0 x",
            "getset h x",
            "set h x get",
            "incrbyfloat h 1",
            "getex h",
        ] {
            assert_eq!((t.run(command), t.effect()), (wrong.into(), Effect::None), "{command}");
        }
        assert_eq!(t.run("mget h s"), "*2 $-1 $1 x");
        t.proto = Proto::Resp3;
        t.expect(&[("hgetall nokey", "%0"), ("hgetall h", "%3 $1 a $1 1 $1 b $5 hello $1 c $0"), ("hget h d", "_")]);
    }

    #[test]
    fn hits_and_misses() {
        let mut t = Trial::new();
        t.run("hset h a 1");
        for (command, hits, misses) in [
            ("hget h a", 1, 0),
            ("hget h z", 1, 0),
            ("hget no a", 0, 1),
            ("hgetall h", 1, 0),
            ("hlen no", 0, 1),
            ("hset h a 2", 0, 0),
            ("hdel no a", 0, 0),
        ] {
            t.shard.reset_stats();
            t.run(command);
            assert_eq!((t.shard.stats().hits, t.shard.stats().misses), (hits, misses), "{command}");
        }
    }
}

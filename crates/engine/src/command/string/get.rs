//! Reading one whole value, and what may go with it: GETEX changes the deadline, GETDEL removes the key, DELIFEQ
//! removes it when it holds what the client expects.

use pinyon_resp::Args;

use super::options::{EX_ARG, EXAT_ARG, Options, PX_ARG, PXAT_ARG, Taker};
use super::{equals, string};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::{Events, Ttl};
use crate::{CommandError, Cx, Effect};

const KEY: Arg = Arg::key("key", 0);

pub const GET: Command = Command {
    name: "get",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::String,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Replies the string stored under a key.",
    args: &[KEY],
    handler: Handler::Shard(get),
    ..Command::EMPTY
};

fn get(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    match cx.ks.read(key) {
        Some(value) => string(value)?.write_bulk(&mut cx.out),
        None => cx.out.null(),
    }
    Ok(Effect::None)
}

pub const STRLEN: Command = Command {
    name: "strlen",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    group: Group::String,
    since: "2.2.0",
    complexity: "O(1)",
    summary: "Replies how many bytes long the string under a key is, 0 without such a key.",
    args: &[KEY],
    handler: Handler::Shard(strlen),
    ..Command::EMPTY
};

fn strlen(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let len = match cx.ks.read(key) {
        Some(value) => string(value)?.len(),
        None => 0,
    };
    cx.out.int(len as i64);
    Ok(Effect::None)
}

pub const GETDEL: Command = Command {
    name: "getdel",
    arity: 2,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))],
    group: Group::String,
    since: "6.2.0",
    complexity: "O(1)",
    summary: "Replies the string under a key and removes the key.",
    args: &[KEY],
    handler: Handler::Shard(getdel),
    ..Command::EMPTY
};

fn getdel(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    match cx.ks.read(key) {
        None => {
            cx.out.null();
            Ok(Effect::None)
        }
        Some(value) => {
            string(value)?.write_bulk(&mut cx.out);
            cx.ks.remove(key);
            cx.ks.notify(Events::GENERIC, "del", key);
            Ok(Effect::Deleted { key: 1 })
        }
    }
}

pub const GETEX: Command = Command {
    name: "getex",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))
        .noting("A write because it can change the deadline")],
    group: Group::String,
    since: "6.2.0",
    complexity: "O(1)",
    summary: "Replies the string under a key and sets or clears its deadline.",
    args: &[
        KEY,
        Arg::one_of("expiration", &[EX_ARG, PX_ARG, EXAT_ARG, PXAT_ARG, Arg::token("persist", "PERSIST")]).optional(),
    ],
    handler: Handler::Shard(getex),
    ..Command::EMPTY
};

fn getex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let options = Options::parse(args, 2, Taker::GetEx)?;
    let key = cx.ks.key(args, 1);
    let now = cx.ks.now();
    let Some(value) = cx.ks.read(key) else {
        cx.out.null();
        return Ok(Effect::None);
    };
    let value = string(value)?;
    // Only now: the number's errors are told of an existing string alone.
    let ttl = options.ttl_of_getex(now, "getex")?;
    value.write_bulk(&mut cx.out);
    match ttl {
        None | Some(Ttl::Keep) => Ok(Effect::None),
        Some(Ttl::At(at)) if options.is_absolute() && at <= now => {
            cx.ks.remove(key);
            cx.ks.notify(Events::GENERIC, "del", key);
            Ok(Effect::Deleted { key: 1 })
        }
        Some(Ttl::At(at)) => {
            cx.ks.set_deadline(key, Some(at));
            cx.ks.notify(Events::GENERIC, "expire", key);
            Ok(Effect::Deadline { key: 1 })
        }
        Some(Ttl::Clear) if cx.ks.deadline(key) == Some(None) => Ok(Effect::None),
        Some(Ttl::Clear) => {
            cx.ks.set_deadline(key, None);
            cx.ks.notify(Events::GENERIC, "persist", key);
            Ok(Effect::Deadline { key: 1 })
        }
    }
}

pub const DELIFEQ: Command = Command {
    name: "delifeq",
    arity: 3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::RM.union(KeyFlags::DELETE))],
    group: Group::String,
    since: "9.0.0",
    complexity: "O(1)",
    summary: "Removes a key when it holds exactly the given string: how the holder of a lock gives it back.",
    history: &[("9.0.0", "A command of Valkey's.")],
    args: &[KEY, Arg::new("value", ArgKind::String)],
    handler: Handler::Shard(delifeq),
    ..Command::EMPTY
};

fn delifeq(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let holds = match cx.ks.for_write(key) {
        Some(value) => equals(string(value)?, args.get(2)),
        None => false,
    };
    cx.out.int(i64::from(holds));
    if !holds {
        return Ok(Effect::None);
    }
    cx.ks.remove(key);
    cx.ks.notify(Events::GENERIC, "del", key);
    Ok(Effect::Deleted { key: 1 })
}

#[cfg(test)]
mod tests {
    use pinyon_resp::Proto;

    use crate::Effect;
    use crate::command::trial::Trial;

    #[test]
    fn reads() {
        let mut t = Trial::new();
        t.run("mset n -123 e \"\" s hello");
        t.expect(&[
            ("get n", "$4 -123"),
            ("get e", "$0"),
            ("get s", "$5 hello"),
            ("get nokey", "$-1"),
            ("strlen n", ":4"),
            ("strlen e", ":0"),
            ("strlen s", ":5"),
            ("strlen nokey", ":0"),
        ]);
        t.proto = Proto::Resp3;
        t.expect(&[("get nokey", "_"), ("getdel nokey", "_"), ("getex nokey", "_")]);
    }

    #[test]
    fn long_values_come_back_whole() {
        let mut t = Trial::new();
        for len in [44, 45, 4095, 4096, 4097, 32_767, 32_768, 100_000] {
            let value: String = (0..len).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
            t.run(&format!("set k {value}"));
            assert_eq!(t.run("get k"), format!("${len} {value}"));
            assert_eq!(t.run("strlen k"), format!(":{len}"));
            assert_eq!(t.run("getdel k"), format!("${len} {value}"));
        }
    }

    #[test]
    fn getdel() {
        let mut t = Trial::new();
        t.run("set k v ex 10");
        assert_eq!(t.run("getdel k"), "$1 v");
        assert_eq!(t.effect(), Effect::Deleted { key: 1 });
        assert_eq!(t.run("getdel k"), "$-1");
        assert_eq!(t.effect(), Effect::None);
    }

    /// Replies asked of redis-server 7.0.15.
    #[test]
    fn errors_of_getex_and_their_order() {
        let mut t = Trial::new();
        t.run("set a b");
        t.expect(&[
            ("getex a ex 0", "-ERR invalid expire time in 'getex' command"),
            ("getex a px 9223372036854775807", "-ERR invalid expire time in 'getex' command"),
            ("getex a ex x", "-ERR value is not an integer or out of range"),
            ("getex nokey ex 0", "$-1"),
            ("getex nokey ex", "-ERR syntax error"),
            ("getex a foo", "-ERR syntax error"),
            ("getex a persist ex 1", "-ERR syntax error"),
            ("getex a ex 1 persist", "-ERR syntax error"),
            ("getex a keepttl", "-ERR syntax error"),
            ("getex a nx", "-ERR syntax error"),
            ("getex a get", "-ERR syntax error"),
        ]);
    }

    #[test]
    fn getex() {
        let mut t = Trial::new();
        t.run("set a b");
        for (command, left, effect) in [
            ("getex a", None, Effect::None),
            ("getex a persist", None, Effect::None),
            ("getex a ex 5", Some(5000), Effect::Deadline { key: 1 }),
            ("getex a", Some(5000), Effect::None),
            ("getex a persist", None, Effect::Deadline { key: 1 }),
            ("getex a px 5", Some(5), Effect::Deadline { key: 1 }),
            ("getex a exat 1700000001", Some(1000), Effect::Deadline { key: 1 }),
            ("getex a pxat 1700000000009", Some(9), Effect::Deadline { key: 1 }),
            ("getex a exat 1", None, Effect::Deleted { key: 1 }),
        ] {
            assert_eq!(t.run(command), "$1 b", "{command}");
            assert_eq!(t.left("a"), left, "{command}");
            assert_eq!(t.effect(), effect, "{command}");
        }
        assert_eq!(t.run("getex a"), "$-1");
    }

    /// Replies asked of valkey-server 9.1.2.
    #[test]
    fn delifeq() {
        let mut t = Trial::new();
        t.run("mset a b n 10");
        for (command, reply, effect) in [
            ("delifeq a x", ":0", Effect::None),
            ("delifeq nokey x", ":0", Effect::None),
            ("delifeq n 010", ":0", Effect::None),
            ("delifeq n 10", ":1", Effect::Deleted { key: 1 }),
            ("delifeq a b", ":1", Effect::Deleted { key: 1 }),
            ("delifeq a b", ":0", Effect::None),
        ] {
            assert_eq!(t.run(command), reply, "{command}");
            assert_eq!(t.effect(), effect, "{command}");
        }
    }

    /// INFO's keyspace_hits and keyspace_misses, as redis-server 7.0.15 counts them.
    #[test]
    fn hits_and_misses() {
        let mut t = Trial::new();
        t.run("set k v");
        for (command, hits, misses) in [
            ("get k", 1, 0),
            ("get no", 0, 1),
            ("strlen k", 1, 0),
            ("strlen no", 0, 1),
            ("getex k ex 100", 1, 0),
            ("getex no", 0, 1),
            ("getdel no", 0, 1),
            ("delifeq k x", 0, 0),
            ("getdel k", 1, 0),
        ] {
            t.shard.reset_stats();
            t.run(command);
            assert_eq!((t.shard.stats().hits, t.shard.stats().misses), (hits, misses), "{command}");
        }
    }
}

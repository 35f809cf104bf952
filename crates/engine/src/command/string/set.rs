//! Storing one whole value: SET and its older forms SETNX, SETEX, PSETEX and GETSET.

use pinyon_base::Millis;
use pinyon_resp::Args;

use super::options::{
    Condition, EX_ARG, EXAT_ARG, KEEPTTL_ARG, NX_ARG, Options, PX_ARG, PXAT_ARG, Taker, XX_ARG, deadline,
};
use super::{equals, string};
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::{Events, Key, Keyspace, NewValue, Ttl};
use crate::{CommandError, Cx, Effect};

const KEY: Arg = Arg::key("key", 0);
const VALUE: Arg = Arg::new("value", ArgKind::String);

/// What happens to SET's key by its options, as COMMAND GETKEYSANDFLAGS tells it: GET makes it a read as well.
pub fn key_flags(args: Args<'_>) -> KeyFlags {
    let reads = (3..args.len()).any(|i| args.get(i).eq_ignore_ascii_case(b"get"));
    if reads {
        KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE)
    } else {
        KeyFlags::OW.union(KeyFlags::UPDATE)
    }
}

/// Stores the value, unless its deadline has passed already: then the key is gone, as if it had expired at once.
pub(super) fn store(ks: &mut Keyspace<'_>, key: Key<'_>, value: &[u8], ttl: Ttl) {
    let is_over = matches!(ttl, Ttl::At(at) if at <= ks.now());
    if !is_over {
        ks.put(key, NewValue::Text(value), ttl);
    } else if !ks.remove(key) {
        ks.notify(Events::NEW, "new", key);
    }
    ks.notify(Events::STRING, "set", key);
    if matches!(ttl, Ttl::At(_)) {
        ks.notify(Events::GENERIC, "expire", key);
    }
    if is_over {
        ks.notify(Events::EXPIRED, "expired", key);
    }
}

/// The effect of [`store`] on the key at argument 1.
fn effect_of_store(ttl: Ttl, now: Millis) -> Effect {
    match ttl {
        Ttl::At(at) if at <= now => Effect::Deleted { key: 1 },
        Ttl::At(_) => Effect::Put { key: 1 },
        Ttl::Clear | Ttl::Keep => Effect::AsSent { changes: 1 },
    }
}

pub const SET: Command = Command {
    name: "set",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::STRING,
    keys: &[KeySpec::one(
        1,
        KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE_FLAGS),
    )
    .noting("Read as well only when GET is given")],
    group: Group::String,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Stores a string under a key; options make it conditional, set a deadline, or reply the old value.",
    history: &[
        ("2.6.12", "EX, PX, NX and XX."),
        ("6.0.0", "KEEPTTL."),
        ("6.2.0", "GET, EXAT and PXAT."),
        ("7.0.0", "NX and GET may be given together."),
        ("8.1.0", "IFEQ (Valkey's)."),
    ],
    args: &[
        KEY,
        VALUE,
        Arg::one_of(
            "condition",
            &[NX_ARG, XX_ARG, Arg::new("comparison-value", ArgKind::String).with_token("IFEQ").since("8.1.0")],
        )
        .optional()
        .since("2.6.12"),
        Arg::token("get", "GET").optional().since("6.2.0"),
        Arg::one_of(
            "expiration",
            &[
                EX_ARG.since("2.6.12"),
                PX_ARG.since("2.6.12"),
                EXAT_ARG.since("6.2.0"),
                PXAT_ARG.since("6.2.0"),
                KEEPTTL_ARG.since("6.0.0"),
            ],
        )
        .optional(),
    ],
    handler: Handler::Shard(set),
    ..Command::EMPTY
};

fn set(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    if args.len() == 3 {
        cx.ks.put(key, NewValue::Text(args.get(2)), Ttl::Clear);
        cx.ks.notify(Events::STRING, "set", key);
        cx.out.ok();
        return Ok(Effect::AsSent { changes: 1 });
    }
    set_with_options(cx, args, key)
}

fn set_with_options(cx: &mut Cx<'_>, args: Args<'_>, key: Key<'_>) -> Result<Effect, CommandError> {
    let options = Options::parse(args, 3, Taker::Set)?;
    let now = cx.ks.now();
    let ttl = options.ttl_of_set(now, "set")?;
    if options.get || options.condition != Condition::Always {
        let old = if options.get { cx.ks.read(key) } else { cx.ks.for_write(key) };
        let stored = match (options.condition, old) {
            (_, Some(old)) if options.get && string(old).is_err() => return Err(CommandError::WrongType),
            (Condition::Always, _) => true,
            (Condition::Absent, old) => old.is_none(),
            (Condition::Present, old) => old.is_some(),
            (Condition::Equals(_), None) => false,
            (Condition::Equals(expected), Some(old)) => equals(string(old)?, expected),
        };
        match old {
            Some(old) if options.get => old.write_bulk(&mut cx.out),
            None if options.get => cx.out.null(),
            _ if stored => cx.out.ok(),
            _ => cx.out.null(),
        }
        if !stored {
            return Ok(Effect::None);
        }
    } else {
        cx.out.ok();
    }
    store(&mut cx.ks, key, args.get(2), ttl);
    Ok(effect_of_store(ttl, now))
}

pub const SETNX: Command = Command {
    name: "setnx",
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::INSERT))],
    group: Group::String,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Stores a string under a key that is not there yet.",
    args: &[KEY, VALUE],
    handler: Handler::Shard(setnx),
    ..Command::EMPTY
};

fn setnx(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    if cx.ks.for_write(key).is_some() {
        cx.out.int(0);
        return Ok(Effect::None);
    }
    cx.ks.put(key, NewValue::Text(args.get(2)), Ttl::Clear);
    cx.ks.notify(Events::STRING, "set", key);
    cx.out.int(1);
    Ok(Effect::AsSent { changes: 1 })
}

pub const SETEX: Command = Command {
    name: "setex",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    group: Group::String,
    since: "2.0.0",
    complexity: "O(1)",
    summary: "Stores a string under a key that expires after a number of seconds.",
    args: &[KEY, Arg::new("seconds", ArgKind::Integer), VALUE],
    handler: Handler::Shard(setex),
    ..Command::EMPTY
};

fn setex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    set_for(cx, args, true, "setex")
}

pub const PSETEX: Command = Command {
    name: "psetex",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE))],
    group: Group::String,
    since: "2.6.0",
    complexity: "O(1)",
    summary: "Stores a string under a key that expires after a number of milliseconds.",
    args: &[KEY, Arg::new("milliseconds", ArgKind::Integer), VALUE],
    handler: Handler::Shard(psetex),
    ..Command::EMPTY
};

fn psetex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    set_for(cx, args, false, "psetex")
}

/// `SETEX key time value`.
fn set_for(cx: &mut Cx<'_>, args: Args<'_>, seconds: bool, command: &'static str) -> Result<Effect, CommandError> {
    let at = deadline(args.get(2), seconds, Some(cx.ks.now()), command)?;
    let key = cx.ks.key(args, 1);
    cx.ks.put(key, NewValue::Text(args.get(3)), Ttl::At(at));
    cx.ks.notify(Events::STRING, "set", key);
    cx.ks.notify(Events::GENERIC, "expire", key);
    cx.out.ok();
    Ok(Effect::Put { key: 1 })
}

pub const GETSET: Command = Command {
    name: "getset",
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::STRING,
    keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    group: Group::String,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Replies the old string of a key and stores a new one.",
    deprecated: Some(("6.2.0", "`SET` with the `!GET` argument")),
    args: &[KEY, VALUE],
    handler: Handler::Shard(getset),
    ..Command::EMPTY
};

fn getset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    match cx.ks.read(key) {
        Some(old) => string(old)?.write_bulk(&mut cx.out),
        None => cx.out.null(),
    }
    cx.ks.put(key, NewValue::Text(args.get(2)), Ttl::Clear);
    cx.ks.notify(Events::STRING, "set", key);
    Ok(Effect::AsSent { changes: 1 })
}

#[cfg(test)]
mod tests {
    use crate::Effect;
    use crate::command::trial::Trial;

    const WRONG_EXPIRE: &str = "-ERR invalid expire time in 'set' command";
    const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
    const SYNTAX: &str = "-ERR syntax error";

    /// Replies asked of redis-server 7.0.15.
    #[test]
    fn errors_and_their_order() {
        let mut t = Trial::new();
        t.expect(&[
            ("set a b ex 0", WRONG_EXPIRE),
            ("set a b ex -1", WRONG_EXPIRE),
            ("set a b exat 0", WRONG_EXPIRE),
            ("set a b ex 9223372036854775807", WRONG_EXPIRE),
            ("set a b ex 9223372036854775", WRONG_EXPIRE),
            ("set a b px 9223372036854775807", WRONG_EXPIRE),
            ("set a b px 9223372036854775000", WRONG_EXPIRE),
            ("set a b exat 9223372036854776", WRONG_EXPIRE),
            ("set a b ex x", NOT_INTEGER),
            ("set a b ex \"\"", NOT_INTEGER),
            ("set a b ex 9223372036854775808", NOT_INTEGER),
            ("set a b ex", SYNTAX),
            ("set a b ex x nx xx", SYNTAX),
            ("set a b ex 5 px 5", SYNTAX),
            ("set a b px 5 pxat 5", SYNTAX),
            ("set a b keepttl ex 4", SYNTAX),
            ("set a b ex 4 keepttl", SYNTAX),
            ("set a b nx xx", SYNTAX),
            ("set a b persist", SYNTAX),
            ("set a b nxx", SYNTAX),
            ("set a b keepttlkeepttl", SYNTAX),
            ("set a b \"\"", SYNTAX),
            ("set a b ifeq", SYNTAX),
            ("set a b ifeq 1 nx", SYNTAX),
            ("set a b xx ifeq 1", SYNTAX),
            ("set a b ifeq 1 ifeq 1", SYNTAX),
            ("setex a 0 b", "-ERR invalid expire time in 'setex' command"),
            ("setex a x b", NOT_INTEGER),
            ("psetex a -1 b", "-ERR invalid expire time in 'psetex' command"),
            ("get a", "$-1"),
        ]);
    }

    #[test]
    fn conditions() {
        let mut t = Trial::new();
        t.expect(&[
            ("set a 1 xx", "$-1"),
            ("set a 1 nx", "+OK"),
            ("set a 2 NX", "$-1"),
            ("set a 2 nx get", "$1 1"),
            ("set b 2 get nx", "$-1"),
            ("get b", "$1 2"),
            ("set b 3 xx get get", "$1 2"),
            ("get b", "$1 3"),
            ("set c 3 xx get", "$-1"),
            ("get c", "$-1"),
            ("setnx b 4", ":0"),
            ("setnx c 4", ":1"),
            ("getset c 5", "$1 4"),
            ("getset d 5", "$-1"),
        ]);
    }

    /// Replies asked of valkey-server 9.1.2.
    #[test]
    fn compare_and_set() {
        let mut t = Trial::new();
        t.expect(&[
            ("set a 2 ifeq 1", "$-1"),
            ("set a 2 get ifeq 1", "$-1"),
            ("get a", "$-1"),
            ("set a 10", "+OK"),
            ("set a 11 ifeq 010", "$-1"),
            ("set a 11 ifeq 10", "+OK"),
            ("set a 12 ifeq 10 get", "$2 11"),
            ("set a 12 ifeq 11 get", "$2 11"),
            ("get a", "$2 12"),
            ("set a \"\" ifeq 12 ex 100", "+OK"),
            ("set a x ifeq \"\" keepttl", "+OK"),
        ]);
        assert_eq!(t.left("a"), Some(100_000));
    }

    #[test]
    fn deadlines() {
        let mut t = Trial::new();
        for (command, left) in [
            ("set a b ex 5", Some(5000)),
            ("set a c keepttl", Some(5000)),
            ("set a c ex 1 ex 6", Some(6000)),
            ("set a c", None),
            ("set a c keepttl", None),
            ("set a c px 7", Some(7)),
            ("set a c exat 1700000001", Some(1000)),
            ("set a c pxat 1700000000001", Some(1)),
            ("setex a 9 c", Some(9000)),
            ("psetex a 9 c", Some(9)),
        ] {
            assert_eq!(t.run(command), "+OK");
            assert_eq!(t.left("a"), left, "{command}");
        }
        assert_eq!(t.run("getset a d"), "$1 c");
        assert_eq!(t.left("a"), None);
    }

    #[test]
    fn a_deadline_in_the_past_leaves_no_key() {
        let mut t = Trial::new();
        for command in ["set a c pxat 1", "set a c exat 1700000000", "set a c pxat 1700000000000"] {
            t.run("set a b");
            assert_eq!(t.run(command), "+OK");
            assert_eq!(t.effect(), Effect::Deleted { key: 1 });
            assert_eq!(t.run("get a"), "$-1");
        }
        t.run("set a b");
        assert_eq!(t.run("set a c pxat 1 get"), "$1 b");
        assert_eq!(t.run("get a"), "$-1");
    }

    #[test]
    fn effects() {
        let mut t = Trial::new();
        for (command, effect) in [
            ("set a b", Effect::AsSent { changes: 1 }),
            ("set a b nx", Effect::None),
            ("set a b ex 5", Effect::Put { key: 1 }),
            ("set a c keepttl", Effect::AsSent { changes: 1 }),
            ("set a c ifeq x", Effect::None),
            ("set a b ex x", Effect::None),
            ("setnx a b", Effect::None),
            ("setnx n b", Effect::AsSent { changes: 1 }),
            ("setex a 5 b", Effect::Put { key: 1 }),
            ("getset a b", Effect::AsSent { changes: 1 }),
        ] {
            t.run(command);
            assert_eq!(t.effect(), effect, "{command}");
        }
    }

    /// INFO's keyspace_hits and keyspace_misses, as redis-server 7.0.15 counts them: GET makes SET a read.
    #[test]
    fn hits_and_misses() {
        let mut t = Trial::new();
        for (command, hits, misses) in [
            ("set k v", 0, 0),
            ("set k v nx", 0, 0),
            ("set k v xx", 0, 0),
            ("set k v get", 1, 0),
            ("set no v get xx", 0, 1),
            ("getset k v", 1, 0),
            ("setnx k 1", 0, 0),
        ] {
            t.shard.reset_stats();
            t.run(command);
            assert_eq!((t.shard.stats().hits, t.shard.stats().misses), (hits, misses), "{command}");
        }
    }
}

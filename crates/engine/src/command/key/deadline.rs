//! EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT and PERSIST: what gives a key a deadline or takes it away.
//!
//! A deadline is an absolute Unix time in milliseconds. One that is not in the future deletes the key at once, so no such
//! deadline is ever stored by these commands.

use pinyon_base::Millis;
use pinyon_base::number::parse_i64;
use pinyon_resp::Args;

use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::keyspace::Events;
use crate::{CommandError, Cx, Effect};

const KEY: KeySpec = KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE));
const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::token("nx", "NX"), Arg::token("xx", "XX"), Arg::token("gt", "GT"), Arg::token("lt", "LT")],
)
.since("7.0.0")
.optional();
const HISTORY: &[(&str, &str)] = &[("7.0.0", "The options `NX`, `XX`, `GT` and `LT`.")];

pub(super) const EXPIRE: Command = Command {
    name: "expire",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KEY],
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Makes a key expire after a number of seconds.",
    history: HISTORY,
    args: &[Arg::key("key", 0), Arg::new("seconds", ArgKind::Integer), CONDITION],
    handler: Handler::Shard(expire),
    ..Command::EMPTY
};

pub(super) const PEXPIRE: Command = Command {
    name: "pexpire",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KEY],
    group: Group::Generic,
    since: "2.6.0",
    complexity: "O(1)",
    summary: "Makes a key expire after a number of milliseconds.",
    history: HISTORY,
    args: &[Arg::key("key", 0), Arg::new("milliseconds", ArgKind::Integer), CONDITION],
    handler: Handler::Shard(pexpire),
    ..Command::EMPTY
};

pub(super) const EXPIREAT: Command = Command {
    name: "expireat",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KEY],
    group: Group::Generic,
    since: "1.2.0",
    complexity: "O(1)",
    summary: "Makes a key expire at a Unix time given in seconds.",
    history: HISTORY,
    args: &[Arg::key("key", 0), Arg::new("unix-time-seconds", ArgKind::UnixTime), CONDITION],
    handler: Handler::Shard(expireat),
    ..Command::EMPTY
};

pub(super) const PEXPIREAT: Command = Command {
    name: "pexpireat",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KEY],
    group: Group::Generic,
    since: "2.6.0",
    complexity: "O(1)",
    summary: "Makes a key expire at a Unix time given in milliseconds.",
    history: HISTORY,
    args: &[Arg::key("key", 0), Arg::new("unix-time-milliseconds", ArgKind::UnixTime), CONDITION],
    handler: Handler::Shard(pexpireat),
    ..Command::EMPTY
};

pub(super) const PERSIST: Command = Command {
    name: "persist",
    arity: 2,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KEY],
    group: Group::Generic,
    since: "2.2.0",
    complexity: "O(1)",
    summary: "Takes a key's deadline away, so that it no longer expires.",
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(persist),
    ..Command::EMPTY
};

/// Under which conditions a deadline is set.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Conditions {
    /// Only where there is none.
    nx: bool,
    /// Only where there is one.
    xx: bool,
    /// Only if later; a key without a deadline counts as never expiring.
    gt: bool,
    /// Only if earlier.
    lt: bool,
}

impl Conditions {
    /// Parses the arguments behind the time.
    fn parse(args: Args<'_>) -> Result<Conditions, CommandError> {
        let mut conditions = Conditions::default();
        for option in args.from(3) {
            let flag = if option.eq_ignore_ascii_case(b"nx") {
                &mut conditions.nx
            } else if option.eq_ignore_ascii_case(b"xx") {
                &mut conditions.xx
            } else if option.eq_ignore_ascii_case(b"gt") {
                &mut conditions.gt
            } else if option.eq_ignore_ascii_case(b"lt") {
                &mut conditions.lt
            } else {
                return Err(CommandError::quoting("ERR Unsupported option ", option, ""));
            };
            *flag = true;
        }
        let Conditions { nx, xx, gt, lt } = conditions;
        if nx && (xx || gt || lt) {
            return Err(CommandError::text("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if gt && lt {
            return Err(CommandError::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// Whether `new` may replace `current`.
    fn allow(self, current: Option<Millis>, new: Millis) -> bool {
        let refused = match current {
            None => self.xx || self.gt,
            Some(current) => self.nx || (self.gt && new <= current) || (self.lt && new >= current),
        };
        !refused
    }
}

/// How the time argument is meant.
#[derive(Clone, Copy)]
enum Scale {
    Seconds,
    Millis,
}

/// The time argument as an absolute time. `base` is what it counts from.
fn absolute(time: &[u8], base: Millis, scale: Scale, command: &'static str) -> Result<Millis, CommandError> {
    let time = parse_i64(time).ok_or(CommandError::NotInteger)?;
    let millis = match scale {
        Scale::Seconds => time.checked_mul(1000),
        Scale::Millis => Some(time),
    };
    millis.and_then(|millis| millis.checked_add(base.0)).map(Millis).ok_or(CommandError::InvalidExpire(command))
}

/// The four setting commands: `name key time [NX | XX | GT | LT]`; replies whether the deadline was set (or the key deleted).
fn set_deadline(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    base: Millis,
    scale: Scale,
    command: &'static str,
) -> Result<Effect, CommandError> {
    let conditions = Conditions::parse(args)?;
    let at = absolute(args.get(2), base, scale, command)?;
    let key = cx.ks.key(args, 1);
    let found = cx.ks.for_write(key).is_some();
    // Without conditions, the usual case, the present deadline need not be looked up.
    let allowed = found && (conditions == Conditions::default() || conditions.allow(cx.ks.deadline(key).flatten(), at));
    let effect = if !allowed {
        Effect::None
    } else if at <= cx.ks.now() {
        cx.ks.remove_lazy(key);
        cx.ks.notify(Events::GENERIC, "del", key);
        Effect::Deleted { key: 1 }
    } else {
        cx.ks.set_deadline(key, Some(at));
        cx.ks.notify(Events::GENERIC, "expire", key);
        Effect::Deadline { key: 1 }
    };
    cx.out.int(i64::from(effect != Effect::None));
    Ok(effect)
}

fn expire(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    set_deadline(cx, args, cx.ks.now(), Scale::Seconds, "expire")
}

fn pexpire(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    set_deadline(cx, args, cx.ks.now(), Scale::Millis, "pexpire")
}

fn expireat(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    set_deadline(cx, args, Millis(0), Scale::Seconds, "expireat")
}

fn pexpireat(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    set_deadline(cx, args, Millis(0), Scale::Millis, "pexpireat")
}

fn persist(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let volatile = cx.ks.for_write(key).is_some() && cx.ks.deadline(key).flatten().is_some();
    if volatile {
        cx.ks.set_deadline(key, None);
        cx.ks.notify(Events::GENERIC, "persist", key);
    }
    cx.out.int(i64::from(volatile));
    Ok(if volatile { Effect::Deadline { key: 1 } } else { Effect::None })
}

#[cfg(test)]
mod tests {
    use crate::Effect;
    use crate::command::key::trial::{START, Trial};

    /// Replies asked of redis-server 7.0.15, in this order.
    #[test]
    fn errors_and_their_order() {
        let mut t = Trial::new();
        t.set("k", "v");
        let incompatible = "-ERR NX and XX, GT or LT options at the same time are not compatible";
        for (command, reply) in [
            ("expire k 10 nx xx", incompatible),
            ("expire k 10 NX Gt", incompatible),
            ("expire k 10 nx gt lt", incompatible),
            ("expire k 10 gt lt", "-ERR GT and LT options at the same time are not compatible"),
            ("expire k 10 foo", "-ERR Unsupported option foo"),
            ("expire k abc foo", "-ERR Unsupported option foo"),
            ("expire k abc", "-ERR value is not an integer or out of range"),
            ("expire nokey abc", "-ERR value is not an integer or out of range"),
            ("expire k 9223372036854775807", "-ERR invalid expire time in 'expire' command"),
            ("expire k 9223372036854775", "-ERR invalid expire time in 'expire' command"),
            ("expire k -9223372036854776", "-ERR invalid expire time in 'expire' command"),
            ("pexpire k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"),
            ("pexpire k 9223372036854770000", "-ERR invalid expire time in 'pexpire' command"),
            ("expireat k 9223372036854776", "-ERR invalid expire time in 'expireat' command"),
            ("expire nokey 9223372036854775", "-ERR invalid expire time in 'expire' command"),
            ("expire nokey 10", ":0"),
            ("persist nokey", ":0"),
            ("ttl k", ":-1"),
        ] {
            assert_eq!(t.run(command), reply, "{command}");
        }
    }

    #[test]
    fn conditions() {
        let mut t = Trial::new();
        t.set("k", "v");
        for (command, reply) in [
            ("expire k 10 xx", ":0"),
            ("expire k 10 gt", ":0"),
            ("expire k 10 lt", ":1"),
            ("expire k 20 lt", ":0"),
            ("expire k 10 lt", ":0"),
            ("expire k 20 gt", ":1"),
            ("expire k 20 gt", ":0"),
            ("expire k 10 gt", ":0"),
            ("expire k 10 nx", ":0"),
            ("expire k 10 lt xx", ":1"),
            ("expire k 100 XX gt gt", ":1"),
            ("expire k -1 gt", ":0"),
            ("ttl k", ":100"),
            ("persist k", ":1"),
            ("persist k", ":0"),
            ("expire k 7 nx nx", ":1"),
            ("ttl k", ":7"),
            ("expire k -1 lt", ":1"),
            ("exists k", ":0"),
        ] {
            assert_eq!(t.run(command), reply, "{command}");
        }
    }

    #[test]
    fn a_time_in_the_past_deletes() {
        let mut t = Trial::new();
        for command in [
            "expire k 0",
            "expire k -1",
            "pexpire k -9223372036854775808",
            "expire k -9223372036854775",
            "pexpireat k -1",
            "expireat k 1",
        ] {
            t.set("k", "v");
            assert_eq!(t.run(command), ":1", "{command}");
            assert_eq!(t.effect(), Effect::Deleted { key: 1 }, "{command}");
            assert_eq!(t.run("exists k"), ":0", "{command}");
        }
        t.set("k", "v");
        assert_eq!(t.run("expire k -1 xx"), ":0");
        assert_eq!(t.effect(), Effect::None);
        assert_eq!(t.run(&format!("pexpireat k {}", START + 1)), ":1");
        assert_eq!(t.effect(), Effect::Deadline { key: 1 });
        assert_eq!(t.run(&format!("pexpireat k {START}")), ":1");
        assert_eq!(t.effect(), Effect::Deleted { key: 1 });
    }

    #[test]
    fn persist_says_what_changed() {
        let mut t = Trial::new();
        t.set("k", "v");
        assert_eq!((t.run("persist k"), t.effect()), (":0".into(), Effect::None));
        t.run("expire k 10");
        assert_eq!((t.run("persist k"), t.effect()), (":1".into(), Effect::Deadline { key: 1 }));
        t.advance(20_000);
        assert_eq!(t.run("ttl k"), ":-1");
    }
}

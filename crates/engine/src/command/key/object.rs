//! OBJECT: how a value is kept and when it was used. OBJECT HELP is the server's.

use pinyon_resp::Args;

use crate::command::row::{Arg, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, ServerCommand};
use crate::command::server::help::help_row;
use crate::keyspace::ValueRef;
use crate::{CommandError, Cx, Effect};

pub(super) const OBJECT: Command = Command {
    name: "object",
    arity: -2,
    group: Group::Generic,
    since: "2.2.3",
    complexity: "Depends on the subcommand.",
    summary: "Looks at how a key's value is kept.",
    subcommands: &[OBJECT_ENCODING, OBJECT_FREQ, OBJECT_HELP, OBJECT_IDLETIME, OBJECT_REFCOUNT],
    handler: Handler::Container,
    ..Command::EMPTY
};

const OBJECT_ENCODING: Command = Command {
    name: "encoding",
    arity: 3,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::one(2, KeyFlags::RO)],
    group: Group::Generic,
    since: "2.2.3",
    complexity: "O(1)",
    summary: "Names the internal encoding of a key's value.",
    tips: &["nondeterministic_output"],
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(encoding),
    ..Command::EMPTY
};

const OBJECT_FREQ: Command = Command {
    name: "freq",
    arity: 3,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::one(2, KeyFlags::RO)],
    group: Group::Generic,
    since: "4.0.0",
    complexity: "O(1)",
    summary: "Returns the logarithmic counter of how often a key is used.",
    tips: &["nondeterministic_output"],
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(freq),
    ..Command::EMPTY
};

const OBJECT_HELP: Command = help_row(
    Group::Generic,
    Categories::KEYSPACE,
    "6.2.0",
    "Lists the subcommands of OBJECT.",
    ServerCommand::ObjectHelp,
);

const OBJECT_IDLETIME: Command = Command {
    name: "idletime",
    arity: 3,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::one(2, KeyFlags::RO)],
    group: Group::Generic,
    since: "2.2.3",
    complexity: "O(1)",
    summary: "Returns how many seconds ago a key was last used.",
    tips: &["nondeterministic_output"],
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(idletime),
    ..Command::EMPTY
};

const OBJECT_REFCOUNT: Command = Command {
    name: "refcount",
    arity: 3,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::one(2, KeyFlags::RO)],
    group: Group::Generic,
    since: "2.2.3",
    complexity: "O(1)",
    summary: "Returns how many references a key's value has.",
    tips: &["nondeterministic_output"],
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(refcount),
    ..Command::EMPTY
};

fn encoding(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 2);
    match cx.ks.inspect(key) {
        None => cx.out.null(),
        Some(value) => cx.out.bulk_str(value.encoding()),
    }
    Ok(Effect::None)
}

fn freq(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 2);
    if cx.ks.inspect(key).is_none() {
        cx.out.null();
        return Ok(Effect::None);
    }
    if !cx.ks.policy().is_lfu() {
        return Err(CommandError::text(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
             between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    cx.out.int(i64::from(cx.ks.frequency(key).unwrap_or(0)));
    Ok(Effect::None)
}

fn idletime(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 2);
    if cx.ks.inspect(key).is_none() {
        cx.out.null();
        return Ok(Effect::None);
    }
    if cx.ks.policy().is_lfu() {
        return Err(CommandError::text(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
             policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    cx.out.int(cx.ks.idle_seconds(key).unwrap_or(0) as i64);
    Ok(Effect::None)
}

/// What Redis answers for the integers that it keeps once for all keys, unless its eviction policy looks at the
/// accesses of each.
const SHARED_INTEGERS: std::ops::Range<i64> = 0..10_000;
const SHARED_COUNT: i64 = i32::MAX as i64;

/// As Redis answers; here no two keys share a value.
fn refcount(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 2);
    let policy = cx.ks.policy();
    let may_share = !(policy.is_lru() || policy.is_lfu());
    match cx.ks.inspect(key) {
        None => cx.out.null(),
        Some(ValueRef::Int(value)) if may_share && SHARED_INTEGERS.contains(&value) => cx.out.int(SHARED_COUNT),
        Some(_) => cx.out.int(1),
    }
    Ok(Effect::None)
}

#[cfg(test)]
mod tests {
    use crate::command::key::trial::Trial;
    use crate::keyspace::EvictionPolicy;

    #[test]
    fn encodings() {
        let mut t = Trial::new();
        t.set("n", "12345");
        t.set("s", "hello");
        t.set("e", &"x".repeat(44));
        t.set("r", &"x".repeat(45));
        t.set("z", "007");
        for (key, name) in [("n", "int"), ("s", "embstr"), ("e", "embstr"), ("r", "raw"), ("z", "embstr")] {
            assert_eq!(t.run(&format!("object encoding {key}")), format!("${}\r\n{name}", name.len()), "{key}");
        }
        assert_eq!(t.run("object encoding nokey"), "$-1");
        assert_eq!(t.run("object refcount n"), ":1");
        t.set("n", "9999");
        assert_eq!(t.run("object refcount n"), ":2147483647");
        assert_eq!(t.run("object refcount nokey"), "$-1");
    }

    #[test]
    fn each_policy_tracks_one_of_the_two() {
        let mut t = Trial::new();
        t.set("k", "v");
        t.advance(3_500);
        assert_eq!(t.run("object idletime k"), ":3");
        assert!(t.run("object freq k").starts_with("-ERR An LFU maxmemory policy is not selected, access frequency"));
        t.policy(EvictionPolicy::VolatileLfu);
        assert!(
            t.run("object idletime k")
                .starts_with("-ERR An LFU maxmemory policy is selected, idle time not tracked. P")
        );
        assert!(t.run("object freq k").starts_with(':'));
        for command in ["object freq nokey", "object idletime nokey"] {
            assert_eq!(t.run(command), "$-1", "a missing key is no error under any policy");
        }
    }
}

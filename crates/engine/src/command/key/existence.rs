//! DEL, UNLINK, EXISTS, TOUCH and TYPE.
//!
//! The first four count keys, so that over several shards the counts are added. A key named twice counts twice for EXISTS
//! and TOUCH, once for DEL and UNLINK, because the first mention removes it.

use pinyon_resp::Args;

use crate::command::row::{Arg, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};
use crate::keyspace::{Ahead, Events};
use crate::{CommandError, Cx, Effect};

pub(super) const DEL: Command = Command {
    name: "del",
    arity: -2,
    flags: Flags::WRITE,
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RM.union(KeyFlags::DELETE))],
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys; freeing a collection of M elements adds O(M).",
    summary: "Deletes one or more keys.",
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    args: &[Arg::key("key", 0).multiple()],
    handler: Handler::Spread(Spread::Sum, del),
    ..Command::EMPTY
};

pub(super) const UNLINK: Command = Command {
    name: "unlink",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RM.union(KeyFlags::DELETE))],
    group: Group::Generic,
    since: "4.0.0",
    complexity: "O(1) per key before the reply; freeing N allocations afterwards costs O(N) in the background.",
    summary: "Deletes one or more keys and frees large values in the background.",
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    args: &[Arg::key("key", 0).multiple()],
    handler: Handler::Spread(Spread::Sum, unlink),
    ..Command::EMPTY
};

pub(super) const EXISTS: Command = Command {
    name: "exists",
    arity: -2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys.",
    summary: "Counts how many of the given keys exist.",
    history: &[("3.0.3", "Takes several keys.")],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    args: &[Arg::key("key", 0).multiple()],
    handler: Handler::Spread(Spread::Sum, exists),
    ..Command::EMPTY
};

pub(super) const TOUCH: Command = Command {
    name: "touch",
    arity: -2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
    group: Group::Generic,
    since: "3.2.1",
    complexity: "O(N) where N is the number of keys.",
    summary: "Marks keys as just used and counts those that exist.",
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    args: &[Arg::key("key", 0).multiple()],
    handler: Handler::Spread(Spread::Sum, touch),
    ..Command::EMPTY
};

pub(super) const TYPE: Command = Command {
    name: "type",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KeySpec::one(1, KeyFlags::RO)],
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Names the type of the value at a key.",
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(type_of),
    ..Command::EMPTY
};

/// Removes the keys `args[1..]`. Large values are freed in the background: dropping hundreds of megabytes takes longer than
/// any other command should wait.
fn remove_keys(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let mut removed = 0;
    let mut keys = Ahead::new(args, 1);
    for i in 1..args.len() {
        let key = keys.key(&cx.ks, i);
        if cx.ks.remove_lazy(key) {
            removed += 1;
            cx.ks.notify(Events::GENERIC, "del", key);
        }
    }
    cx.out.int(i64::from(removed));
    Ok(match removed {
        0 => Effect::None,
        changes => Effect::AsSent { changes },
    })
}

fn del(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    remove_keys(cx, args)
}

fn unlink(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    remove_keys(cx, args)
}

fn exists(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let mut found = 0;
    let mut keys = Ahead::new(args, 1);
    for i in 1..args.len() {
        let key = keys.key(&cx.ks, i);
        found += i64::from(cx.ks.look(key).is_some());
    }
    cx.out.int(found);
    Ok(Effect::None)
}

fn touch(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let mut found = 0;
    let mut keys = Ahead::new(args, 1);
    for i in 1..args.len() {
        let key = keys.key(&cx.ks, i);
        found += i64::from(cx.ks.touch(key));
    }
    cx.out.int(found);
    Ok(Effect::None)
}

/// Replies "none" where there is no such key.
fn type_of(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    cx.out.simple(cx.ks.look(key).map_or("none", |value| value.key_type().name()));
    Ok(Effect::None)
}

#[cfg(test)]
mod tests {
    use crate::Effect;
    use crate::command::key::trial::Trial;

    #[test]
    fn counts_keys_named_twice() {
        let mut t = Trial::new();
        t.set("a", "1");
        t.set("b", "2");
        assert_eq!(t.run("exists a a nokey b"), ":3");
        assert_eq!(t.run("touch a a nokey b"), ":3");
        assert_eq!(t.run("del a a nokey"), ":1");
        assert_eq!(t.effect(), Effect::AsSent { changes: 1 });
        assert_eq!(t.run("unlink b a b"), ":1");
        assert_eq!(t.run("del a b"), ":0");
        assert_eq!(t.effect(), Effect::None);
    }

    #[test]
    fn a_due_key_is_gone() {
        let mut t = Trial::new();
        for command in ["exists k", "touch k", "del k", "unlink k"] {
            t.set("k", "v");
            assert_eq!(t.run("pexpire k 10"), ":1");
            t.advance(9);
            assert_eq!(t.run("exists k"), ":1");
            t.advance(1);
            assert_eq!(t.run(command), ":0", "{command}");
            assert_eq!(t.effect(), Effect::None, "{command}");
        }
    }

    #[test]
    fn type_of_strings_and_nothing() {
        let mut t = Trial::new();
        t.set("k", "v");
        t.set("n", "17");
        assert_eq!(t.run("type k"), "+string");
        assert_eq!(t.run("type n"), "+string");
        assert_eq!(t.run("type nokey"), "+none");
    }

    #[test]
    fn hits_and_misses_as_redis_counts_them() {
        let mut t = Trial::new();
        t.set("k", "v");
        for (command, hits, misses) in [
            ("exists k nokey k", 2, 1),
            ("touch k nokey", 1, 1),
            ("type k", 1, 0),
            ("type nokey", 0, 1),
            ("ttl k", 1, 0),
            ("pexpiretime nokey", 0, 1),
            ("persist k", 0, 0),
            ("expire k 100", 0, 0),
            ("expire nokey 100", 0, 0),
            ("object encoding k", 1, 0),
            ("object idletime nokey", 0, 1),
            ("memory usage k", 0, 0),
            ("memory usage nokey", 0, 0),
            ("copy k k2", 1, 0),
            ("copy k k2", 1, 0),
            ("copy nokey k3", 0, 1),
            ("move nokey 5", 0, 0),
            ("rename k k4", 0, 0),
            ("del k4 nokey", 0, 0),
        ] {
            t.reset_stats();
            t.run(command);
            assert_eq!(t.hits_and_misses(), (hits, misses), "{command}");
        }
    }

    #[test]
    fn looking_leaves_the_access_time_alone() {
        let mut t = Trial::new();
        t.set("k", "v");
        t.advance(100_000);
        for command in ["exists k", "type k", "ttl k", "object encoding k", "memory usage k"] {
            t.run(command);
            assert_eq!(t.run("object idletime k"), ":100", "{command}");
        }
        assert_eq!(t.run("touch k"), ":1");
        assert_eq!(t.run("object idletime k"), ":0");
    }

    #[test]
    fn touch_touches_for_clients_that_leave_no_trace() {
        let mut t = Trial::new();
        t.set("k", "v");
        t.no_touch = true;
        t.advance(100_000);
        t.run("expire k 1000");
        assert_eq!(t.run("object idletime k"), ":100");
        t.run("touch k");
        assert_eq!(t.run("object idletime k"), ":0");
    }
}

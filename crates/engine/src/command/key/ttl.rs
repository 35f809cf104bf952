//! TTL, PTTL, EXPIRETIME and PEXPIRETIME: what tells a key's deadline.

use pinyon_base::Millis;
use pinyon_resp::Args;

use crate::command::row::{Arg, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec};
use crate::{CommandError, Cx, Effect};

const KEY: KeySpec = KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS));
const HISTORY: &[(&str, &str)] = &[("2.8.0", "Tells a missing key (-2) from one without a deadline (-1).")];

pub(super) const TTL: Command = Command {
    name: "ttl",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KEY],
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Returns how many seconds a key has left to live.",
    history: HISTORY,
    tips: &["nondeterministic_output"],
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(ttl),
    ..Command::EMPTY
};

pub(super) const PTTL: Command = Command {
    name: "pttl",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KEY],
    group: Group::Generic,
    since: "2.6.0",
    complexity: "O(1)",
    summary: "Returns how many milliseconds a key has left to live.",
    history: HISTORY,
    tips: &["nondeterministic_output"],
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(pttl),
    ..Command::EMPTY
};

pub(super) const EXPIRETIME: Command = Command {
    name: "expiretime",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KEY],
    group: Group::Generic,
    since: "7.0.0",
    complexity: "O(1)",
    summary: "Returns the Unix time, in seconds, at which a key expires.",
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(expiretime),
    ..Command::EMPTY
};

pub(super) const PEXPIRETIME: Command = Command {
    name: "pexpiretime",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::KEYSPACE,
    keys: &[KEY],
    group: Group::Generic,
    since: "7.0.0",
    complexity: "O(1)",
    summary: "Returns the Unix time, in milliseconds, at which a key expires.",
    args: &[Arg::key("key", 0)],
    handler: Handler::Shard(pexpiretime),
    ..Command::EMPTY
};

/// Replies the deadline in ms less `from`, turned by `unit`; -1 where there is none and -2 without such a key.
fn reply_deadline(cx: &mut Cx<'_>, args: Args<'_>, from: i64, unit: fn(i64) -> i64) -> Result<Effect, CommandError> {
    let key = cx.ks.key(args, 1);
    let reply = match cx.ks.look(key) {
        None => -2,
        Some(_) => match cx.ks.deadline(key).flatten() {
            None => -1,
            Some(at) => unit((at.0 - from).max(0)),
        },
    };
    cx.out.int(reply);
    Ok(Effect::None)
}

/// Milliseconds as seconds, rounded to the nearest.
fn seconds(millis: i64) -> i64 {
    Millis(millis).nearest_second()
}

fn millis(millis: i64) -> i64 {
    millis
}

fn ttl(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply_deadline(cx, args, cx.ks.now().0, seconds)
}

fn pttl(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply_deadline(cx, args, cx.ks.now().0, millis)
}

fn expiretime(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply_deadline(cx, args, 0, seconds)
}

fn pexpiretime(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    reply_deadline(cx, args, 0, millis)
}

#[cfg(test)]
mod tests {
    use crate::command::key::trial::Trial;

    #[test]
    fn no_key_and_no_deadline() {
        let mut t = Trial::new();
        t.set("k", "v");
        for command in ["ttl", "pttl", "expiretime", "pexpiretime"] {
            assert_eq!(t.run(&format!("{command} nokey")), ":-2");
            assert_eq!(t.run(&format!("{command} k")), ":-1");
        }
    }

    /// Replies asked of redis-server 7.0.15.
    #[test]
    fn seconds_are_rounded_to_the_nearest() {
        let mut t = Trial::new();
        t.set("k", "v");
        for (at, seconds) in
            [(4102444800499i64, 4102444800i64), (4102444800500, 4102444801), (4102444800000, 4102444800)]
        {
            t.run(&format!("pexpireat k {at}"));
            assert_eq!(t.run("expiretime k"), format!(":{seconds}"));
            assert_eq!(t.run("pexpiretime k"), format!(":{at}"));
        }
        t.run("pexpire k 1500");
        assert_eq!(t.run("ttl k"), ":2");
        t.advance(1);
        assert_eq!(t.run("ttl k"), ":1");
        assert_eq!(t.run("pttl k"), ":1499");
        t.advance(1000);
        assert_eq!(t.run("ttl k"), ":0");
    }

    /// Redis takes and gives back any positive 64-bit deadline; from the year 10889 on (48 bits of milliseconds) ours may be
    /// cut to that.
    #[test]
    fn far_deadlines_do_not_wrap() {
        let mut t = Trial::new();
        t.set("k", "v");
        for at in ["281474976710654", "281474976710656", "9223372036854775807"] {
            assert_eq!(t.run(&format!("pexpireat k {at}")), ":1");
            let reply = t.run("pexpiretime k")[1..].parse::<i64>().expect("a number");
            let at = at.parse::<i64>().expect("a number");
            assert!(reply == at || (reply < at && reply >= (1 << 48) - 2), "{at} became {reply}");
            assert_eq!(t.run("exists k"), ":1");
        }
    }
}

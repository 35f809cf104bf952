//! Several strings at once: MGET, MSET, MSETNX and MSETEX.
//!
//! The handlers run where one shard owns all keys. For keys on several shards the coordinator runs MGET and MSET once
//! per shard on its part of the arguments; MSETNX and MSETEX store all pairs or none, so it parses them into a
//! [`MultiSet`], asks every shard whether one of its keys [forbids](MultiSet::forbidden_by) it, and lets each
//! [store](MultiSet::store) its pairs when none does.

use pinyon_base::{Millis, parse_i64};
use pinyon_resp::Args;

use super::options::{Condition, EX_ARG, EXAT_ARG, KEEPTTL_ARG, NX_ARG, Options, PX_ARG, PXAT_ARG, Taker, XX_ARG};
use super::set::store;
use super::string;
use crate::command::row::{Arg, ArgKind, Categories, Command, Flags, Group, Handler, KeyFlags, KeySpec, Spread};
use crate::keyspace::{Ahead, Events, Keyspace, NewValue, Ttl};
use crate::{CommandError, Cx, Effect};

const PAIR: &[Arg] = &[Arg::key("key", 0), Arg::new("value", ArgKind::String)];
const PAIRS: Arg = Arg::block("key_value", PAIR).multiple();

pub const MGET: Command = Command {
    name: "mget",
    arity: -2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::STRING,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::String,
    since: "1.0.0",
    complexity: "O(N) in the number of keys.",
    summary: "Replies the strings under several keys, as they are at one moment; null where there is none.",
    tips: &["request_policy:multi_shard"],
    args: &[Arg::key("key", 0).multiple()],
    handler: Handler::Spread(Spread::Gather, mget),
    ..Command::EMPTY
};

fn mget(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    cx.out.array(args.len() - 1);
    let mut keys = Ahead::new(args, 1);
    for i in 1..args.len() {
        let key = keys.key(&cx.ks, i);
        match cx.ks.read(key).map(string) {
            Some(Ok(value)) => value.write_bulk(&mut cx.out),
            _ => cx.out.null(),
        }
    }
    Ok(Effect::None)
}

pub const MSET: Command = Command {
    name: "mset",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::STRING,
    keys: &[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::UPDATE))],
    group: Group::String,
    since: "1.0.1",
    complexity: "O(N) in the number of keys.",
    summary: "Stores several strings at one moment.",
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    args: &[PAIRS],
    handler: Handler::Spread(Spread::Pairs, mset),
    ..Command::EMPTY
};

/// Refuses a key without its value.
fn check_pairs(args: Args<'_>, command: &'static str) -> Result<(), CommandError> {
    if args.len() % 2 == 1 { Ok(()) } else { Err(CommandError::WrongArity(command.into())) }
}

fn mset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    check_pairs(args, "mset")?;
    let mut keys = Ahead::new(args, 2);
    for i in (1..args.len()).step_by(2) {
        let key = keys.key(&cx.ks, i);
        cx.ks.put(key, NewValue::Text(args.get(i + 1)), Ttl::Clear);
        cx.ks.notify(Events::STRING, "set", key);
    }
    cx.out.ok();
    Ok(Effect::AsSent { changes: (args.len() / 2) as u32 })
}

pub const MSETNX: Command = Command {
    name: "msetnx",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::STRING,
    keys: &[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::INSERT))],
    group: Group::String,
    since: "1.0.1",
    complexity: "O(N) in the number of keys.",
    summary: "Stores several strings at one moment, if none of the keys is there yet.",
    tips: &["request_policy:multi_shard", "response_policy:agg_min"],
    args: &[PAIRS],
    handler: Handler::Spread(Spread::MsetNx, msetnx),
    ..Command::EMPTY
};

fn msetnx(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let what = MultiSet::of_msetnx(args)?;
    Ok(run(cx, &what, args))
}

pub const MSETEX: Command = Command {
    name: "msetex",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
    categories: Categories::STRING,
    keys: &[KeySpec::counted(1, 2, KeyFlags::OW.union(KeyFlags::UPDATE))],
    group: Group::String,
    since: "9.1.0",
    complexity: "O(N) in the number of keys.",
    summary: "Stores several strings at one moment, with one deadline, if none or all of the keys are there.",
    history: &[("9.1.0", "A command of Valkey's.")],
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    args: &[
        Arg::new("numkeys", ArgKind::Integer),
        Arg::block("data", PAIR).multiple(),
        Arg::one_of("condition", &[NX_ARG, XX_ARG]).optional(),
        Arg::one_of("expiration", &[EX_ARG, PX_ARG, EXAT_ARG, PXAT_ARG, KEEPTTL_ARG]).optional(),
    ],
    handler: Handler::Spread(Spread::MsetEx, msetex),
    ..Command::EMPTY
};

fn msetex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Effect, CommandError> {
    let what = MultiSet::of_msetex(args, cx.ks.now())?;
    Ok(run(cx, &what, args))
}

fn run(cx: &mut Cx<'_>, what: &MultiSet, args: Args<'_>) -> Effect {
    if what.positions().any(|i| what.forbidden_by(&mut cx.ks, args.get(i))) {
        cx.out.int(0);
        return Effect::None;
    }
    for i in what.positions() {
        what.store(&mut cx.ks, args.get(i), args.get(i + 1));
    }
    cx.out.int(1);
    what.effect()
}

/// MSETNX or MSETEX, parsed: which pairs to store, under which condition, with which deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiSet {
    /// Position of the first key among the arguments; its value follows, then the next key.
    pub first_key: usize,
    pub pairs: usize,
    /// What becomes of the keys' deadlines.
    pub ttl: Ttl,
    /// Whether a key must be there (`Some(true)`) or must not (`Some(false)`).
    wanted: Option<bool>,
}

impl MultiSet {
    pub fn of_msetnx(args: Args<'_>) -> Result<MultiSet, CommandError> {
        check_pairs(args, "msetnx")?;
        Ok(MultiSet { first_key: 1, pairs: args.len() / 2, ttl: Ttl::Clear, wanted: Some(false) })
    }

    /// `now` is the moment from which EX and PX count.
    pub fn of_msetex(args: Args<'_>, now: Millis) -> Result<MultiSet, CommandError> {
        const FIRST_KEY: usize = 2;
        let pairs = parse_i64(args.get(1))
            .filter(|n| (1..=i64::from(i32::MAX)).contains(n))
            .ok_or(CommandError::text("ERR invalid numkeys value or out of range"))? as usize;
        let options_at = FIRST_KEY + 2 * pairs;
        if options_at > args.len() {
            return Err(CommandError::Syntax);
        }
        let options = Options::parse(args, options_at, Taker::MsetEx)?;
        let wanted = match options.condition {
            Condition::Absent => Some(false),
            Condition::Present => Some(true),
            Condition::Always | Condition::Equals(_) => None,
        };
        Ok(MultiSet { first_key: FIRST_KEY, pairs, ttl: options.ttl_of_set(now, "msetex")?, wanted })
    }

    /// Positions of the keys among the arguments; each one's value follows it.
    pub fn positions(&self) -> impl ExactSizeIterator<Item = usize> + use<> {
        (self.first_key..self.first_key + 2 * self.pairs).step_by(2)
    }

    /// Whether the condition needs the keys to be looked at.
    pub fn is_conditional(&self) -> bool {
        self.wanted.is_some()
    }

    /// Whether the condition is violated by this key, which is on this shard: then nothing may be stored anywhere.
    pub fn forbidden_by(&self, ks: &mut Keyspace<'_>, key: &[u8]) -> bool {
        self.wanted.is_some_and(|wanted| {
            let key = ks.key_of(key);
            ks.for_write(key).is_some() != wanted
        })
    }

    /// Stores one pair on this shard. With a deadline that has passed, the key is removed.
    pub fn store(&self, ks: &mut Keyspace<'_>, key: &[u8], value: &[u8]) {
        let key = ks.key_of(key);
        store(ks, key, value, self.ttl);
    }

    /// The effect of having stored all pairs.
    pub fn effect(&self) -> Effect {
        let count = self.pairs as u32;
        match self.ttl {
            Ttl::At(_) => Effect::PutMany { first: self.first_key as u16, step: 2, count },
            Ttl::Clear | Ttl::Keep => Effect::AsSent { changes: count },
        }
    }
}

#[cfg(test)]
mod tests {
    use pinyon_base::DbIndex;

    use super::*;
    use crate::command::trial::{Owned, START, Trial};

    /// Replies asked of redis-server 7.0.15.
    #[test]
    fn several_at_once() {
        let mut t = Trial::new();
        t.expect(&[
            ("mset a 1 b two a 3", "+OK"),
            ("mget a nokey b a", "*4 $1 3 $-1 $3 two $1 3"),
            ("mset a 1 b", "-ERR wrong number of arguments for 'mset' command"),
            ("msetnx a 1 c", "-ERR wrong number of arguments for 'msetnx' command"),
            ("msetnx c 1 a 2", ":0"),
            ("get c", "$-1"),
            ("msetnx c 1 d 2 c 3", ":1"),
            ("mget c d", "*2 $1 3 $1 2"),
        ]);
        assert_eq!(t.run("mset x 1 y 2"), "+OK");
        assert_eq!(t.effect(), Effect::AsSent { changes: 2 });
        assert_eq!(t.run("msetnx x 1"), ":0");
        assert_eq!(t.effect(), Effect::None);
    }

    #[test]
    fn mset_clears_deadlines() {
        let mut t = Trial::new();
        t.run("set a 1 ex 10");
        t.run("mset a 2");
        assert_eq!(t.left("a"), None);
    }

    /// Replies asked of valkey-server 9.1.2.
    #[test]
    fn errors_of_msetex() {
        let mut t = Trial::new();
        let numkeys = "-ERR invalid numkeys value or out of range";
        let syntax = "-ERR syntax error";
        t.expect(&[
            ("msetex x a 1", numkeys),
            ("msetex 0 a 1", numkeys),
            ("msetex -1 a 1", numkeys),
            ("msetex 2147483648 a 1", numkeys),
            ("msetex 2147483647 a 1", syntax),
            ("msetex 2 a 1", syntax),
            ("msetex 2 a 1 b", syntax),
            ("msetex 1 a 1 b 2", syntax),
            ("msetex 1 a 1 nx xx", syntax),
            ("msetex 1 a 1 get", syntax),
            ("msetex 1 a 1 ifeq 1", syntax),
            ("msetex 1 a 1 persist", syntax),
            ("msetex 1 a 1 ex", syntax),
            ("msetex 1 a 1 ex 5 px 5", syntax),
            ("msetex 1 a 1 ex 5 keepttl", syntax),
            ("msetex 1 a 1 ex x", "-ERR value is not an integer or out of range"),
            ("msetex 1 a 1 ex 0", "-ERR invalid expire time in 'msetex' command"),
        ]);
    }

    #[test]
    fn msetex() {
        let mut t = Trial::new();
        t.expect(&[
            ("msetex 2 a 1 b 2 xx", ":0"),
            ("msetex 2 a 1 b 2 ex 100 nx", ":1"),
            ("mget a b", "*2 $1 1 $1 2"),
            ("msetex 2 c 1 b 2 nx", ":0"),
            ("msetex 2 c 1 b 2 xx", ":0"),
            ("msetex 2 a 3 b 4 xx keepttl", ":1"),
        ]);
        assert_eq!((t.left("a"), t.left("b")), (Some(100_000), Some(100_000)));
        assert_eq!(t.effect(), Effect::AsSent { changes: 2 });
        assert_eq!(t.run("msetex 2 a 3 b 4 px 7"), ":1");
        assert_eq!((t.left("a"), t.effect()), (Some(7), Effect::PutMany { first: 2, step: 2, count: 2 }));
        assert_eq!(t.run("msetex 1 a 3"), ":1");
        assert_eq!(t.left("a"), None);
        // A name of an option where a key belongs is a key.
        assert_eq!(t.run("msetex 1 ex 10"), ":1");
        assert_eq!(t.run("get ex"), "$2 10");
    }

    #[test]
    fn msetex_with_a_deadline_in_the_past_removes() {
        let mut t = Trial::new();
        t.run("mset a 1 b 2");
        assert_eq!(t.run("msetex 2 a 3 c 4 pxat 1"), ":1");
        assert_eq!(t.run("mget a b c"), "*3 $-1 $1 2 $-1");
    }

    /// What the coordinator does when the keys are on two shards.
    #[test]
    fn over_two_shards() {
        let (mut one, mut two) = (Trial::new(), Trial::new());
        let owned = Owned::of(&["msetex", "3", "a", "1", "b", "2", "c", "3", "NX", "EX", "5"]);
        let args = owned.args();
        let what = MultiSet::of_msetex(args, START).expect("parses");
        assert!(what.is_conditional());
        assert_eq!(what.positions().collect::<Vec<_>>(), [2, 4, 6]);
        let parts = [vec![2, 6], vec![4]];
        let allowed = |one: &mut Trial, two: &mut Trial| {
            [one, two].into_iter().zip(&parts).all(|(shard, part)| {
                let mut ks = shard.shard.keyspace(DbIndex(0), false);
                !part.iter().any(|&i| what.forbidden_by(&mut ks, args.get(i)))
            })
        };
        assert!(allowed(&mut one, &mut two));
        for (shard, part) in [&mut one, &mut two].into_iter().zip(&parts) {
            let mut ks = shard.shard.keyspace(DbIndex(0), false);
            part.iter().for_each(|&i| what.store(&mut ks, args.get(i), args.get(i + 1)));
        }
        assert_eq!(one.run("mget a b c"), "*3 $1 1 $-1 $1 3");
        assert_eq!(two.run("mget a b c"), "*3 $-1 $1 2 $-1");
        assert_eq!(two.left("b"), Some(5000));
        assert!(!allowed(&mut one, &mut two));
    }

    /// INFO's keyspace_hits and keyspace_misses, as redis-server 7.0.15 counts them.
    #[test]
    fn hits_and_misses() {
        let mut t = Trial::new();
        t.run("set k v");
        for (command, hits, misses) in
            [("mget k no k", 2, 1), ("mset k 1 n 2", 0, 0), ("msetnx k 1 q 2", 0, 0), ("lcs k no2", 1, 1)]
        {
            t.shard.reset_stats();
            t.run(command);
            assert_eq!((t.shard.stats().hits, t.shard.stats().misses), (hits, misses), "{command}");
        }
    }
}

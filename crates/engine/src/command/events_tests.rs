//! The keyspace events of commands, beside those that redis-server and valkey-server publish; and what makes events although no
//! command says so.

use pinyon_base::Millis;

use super::trial::Trial;
use crate::keyspace::{Events, Evicted, EvictionPolicy, ShardConfig};

fn trial(letters: &str) -> Trial {
    Trial::with(ShardConfig { events: Events::parse(letters), ..ShardConfig::default() })
}

/// Every line is a command, run behind those before it, and its events.
fn check(samples: &str) {
    let mut t = trial("KEAmn");
    let mut checked = 0;
    for line in samples.lines().filter(|line| !line.starts_with('#')) {
        let (command, events) = line.split_once('\t').expect("a command and its events");
        let reply = t.run(command);
        assert_eq!(t.events().join(", "), events, "{command} (its reply is {reply})");
        checked += 1;
    }
    assert!(checked > 50);
}

#[test]
fn events_of_commands() {
    check(include_str!("../../tests/samples/events.tsv"));
}

#[test]
fn events_of_newer_commands() {
    check(include_str!("../../tests/samples/events-newer.tsv"));
}

#[test]
fn only_what_is_wanted() {
    let script = ["set a 1", "lpush l x", "get nokey", "del a l", "expire a 1"];
    let events = |letters: &str| {
        let mut t = trial(letters);
        let all = script.iter().flat_map(|command| {
            t.run(command);
            t.events()
        });
        all.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(events("KEg"), "del a, del l");
    assert_eq!(events("K$l"), "set a, lpush l");
    assert_eq!(events("Em"), "keymiss nokey");
    assert_eq!(events("A"), "", "neither by key nor by event");
    assert_eq!(events(""), "");
}

#[test]
fn deadlines_that_pass() {
    let mut t = trial("KEAn");
    for command in ["set looked v px 10", "set timed v px 10", "hset fields a 1 b 2", "hpexpire fields 10 fields 1 a"] {
        t.run(command);
    }
    t.events();
    t.advance(10);
    t.run("get looked");
    assert_eq!(t.events(), ["expired looked"]);
    let now = t.now();
    while t.shard.expire_slice(now, 100, &mut |_, _| {}) {}
    let mut events = t.events();
    events.sort();
    assert_eq!(events, ["expired timed", "hexpired fields"]);
    t.run("hpexpire fields 5 fields 1 b");
    t.advance(5);
    t.run("hlen fields");
    assert_eq!(t.events(), ["hexpire fields", "hexpired fields", "del fields"]);
    t.run("set over v px 5");
    t.advance(5);
    t.events();
    t.run("set over w");
    assert_eq!(t.events(), ["expired over", "new over", "set over"]);
    t.run("pexpire over 5");
    t.advance(5);
    t.events();
    t.run("rpush over w");
    assert_eq!(t.events(), ["expired over", "new over", "rpush over"]);
    // As in Redis, but that the key goes at once instead of at the next look at it.
    t.run(&format!("set past v pxat {}", now.0 - 1));
    assert_eq!(t.events(), ["new past", "set past", "expire past", "expired past"]);
}

#[test]
fn evictions() {
    let policy = EvictionPolicy::AllkeysRandom;
    let mut t = Trial::with(ShardConfig { events: Events::parse("Ke"), policy, ..ShardConfig::default() });
    t.run("set k v");
    assert!(matches!(t.shard.evict_one(&mut |_, _| {}), Evicted::Freed(_)));
    assert_eq!(t.events(), ["evicted k"]);
}

/// What is replayed was told when it happened.
#[test]
fn nothing_is_told_of_a_replay() {
    let mut t = trial("KEAmn");
    t.shard.set_replaying(true);
    for command in ["set k v", "lpush l a b", "lpop l 2", "del k", "get k"] {
        t.run(command);
    }
    t.shard.set_replaying(false);
    assert!(t.events().is_empty());
    t.shard.begin_turn(Millis(0));
    t.run("set k v");
    assert_eq!(t.events(), ["new k", "set k"]);
}

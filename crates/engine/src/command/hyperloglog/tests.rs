//! Replies asked of redis-server 7.0.15.

use pinyon_base::DbIndex;

use crate::Effect;
use crate::command::trial::Trial;
use crate::transaction::WatcherId;

const NOT_ONE: &str = "-WRONGTYPE Key is not a valid HyperLogLog string value.";

#[test]
fn adding_and_counting() {
    let mut t = Trial::new();
    t.expect(&[
        ("pfadd h", ":1"),
        ("pfadd h", ":0"),
        ("pfadd h a b c d e f g", ":1"),
        ("pfadd h a", ":0"),
        ("pfcount h", ":7"),
        ("pfcount h", ":7"),
        ("pfcount nokey", ":0"),
        ("pfcount h nokey", ":7"),
        ("pfdebug encoding h", "+sparse"),
        ("set s x", "+OK"),
        ("pfadd s a", NOT_ONE),
        ("pfcount s", NOT_ONE),
        ("pfcount h s", NOT_ONE),
        ("pfmerge d s", NOT_ONE),
        ("pfdebug todense nokey", "-ERR The specified key does not exist"),
        ("pfdebug what h", "-ERR Unknown PFDEBUG subcommand 'what'"),
    ]);
    t.run("pfadd h h");
    assert_eq!(t.effect(), Effect::AsSent { changes: 1 });
    t.run("pfcount h");
    assert_eq!(t.effect(), Effect::AsSent { changes: 1 });
    t.run("pfcount h");
    assert_eq!(t.effect(), Effect::None);
}

#[test]
fn merging_keeps_the_deadline_of_the_destination() {
    let mut t = Trial::new();
    t.run("pfadd a 1 2 3");
    t.run("pfadd b 3 4 5");
    t.run("pfadd d 6");
    t.run("expire d 100");
    t.expect(&[
        ("pfmerge d a b nokey", "+OK"),
        ("pfcount d", ":6"),
        ("pfmerge new a b", "+OK"),
        ("pfcount new", ":5"),
        ("pfmerge empty", "+OK"),
        ("pfcount empty", ":0"),
        ("pfdebug todense a", ":1"),
        ("pfdebug todense a", ":0"),
        ("pfdebug decode a", "-ERR HLL encoding is not sparse"),
        ("pfmerge b a", "+OK"),
        ("pfdebug encoding b", "+dense"),
        ("pfcount b", ":5"),
    ]);
    assert_eq!(t.left("d"), Some(100_000));
}

#[test]
fn damaged_registers_are_an_error() {
    let mut t = Trial::new();
    t.run("pfadd h a b c");
    t.run("append h hello");
    t.expect(&[("pfcount h", "-INVALIDOBJ Corrupted HLL object detected")]);
}

/// Whether somebody who watches `h` is told of a command.
fn spoils_a_watch(setup: &[&str], command: &str) -> bool {
    let mut t = Trial::new();
    setup.iter().for_each(|line| drop(t.run(line)));
    let watcher = WatcherId { client: 1, core: 0, place: 0, epoch: 0 };
    t.shard.watch(watcher, DbIndex(0), b"h");
    t.run(command);
    t.shard.has_changed(watcher)
}

/// As in redis-server 7.0.15: looking into a HyperLogLog is no change, also where it becomes dense; noting its count is one.
#[test]
fn what_spoils_a_watch() {
    const SPARSE: &[&str] = &["pfadd h a b c", "pfadd other d e"];
    const COUNTED: &[&str] = &["pfadd h a b c", "pfcount h"];
    const DENSE: &[&str] = &["pfadd h a b c", "pfdebug todense h"];
    for quiet in ["getreg", "todense", "decode", "encoding"] {
        for setup in [SPARSE, DENSE] {
            assert!(!spoils_a_watch(setup, &format!("pfdebug {quiet} h")), "{quiet}");
        }
    }
    for quiet in ["pfadd h a", "pfadd h", "pfcount h other", "pfmerge other h"] {
        assert!(!spoils_a_watch(SPARSE, quiet), "{quiet}");
    }
    assert!(!spoils_a_watch(COUNTED, "pfcount h"));
    for loud in ["pfcount h", "pfadd h z", "pfmerge h", "pfmerge h h", "pfmerge h other"] {
        assert!(spoils_a_watch(SPARSE, loud), "{loud}");
    }
}

//! Replies asked of redis-server 7.0.15.

use crate::Effect;
use crate::command::trial::Trial;

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

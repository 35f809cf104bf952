//! The set commands, as redis-server 7.0.15 answers them.

use std::collections::BTreeSet;

use pinyon_resp::Proto;

use crate::Effect;
use crate::command::trial::Trial;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

/// The elements of a reply of short strings, in any order.
fn elements(reply: &str) -> BTreeSet<String> {
    reply.split(' ').filter(|word| !word.starts_with(['*', '$', '~'])).map(str::to_owned).collect()
}

fn set(members: &[&str]) -> BTreeSet<String> {
    members.iter().map(|member| (*member).to_owned()).collect()
}

#[test]
fn members() {
    let mut t = Trial::new();
    t.expect(&[
        ("sadd s a b a", ":2"),
        ("sadd s b c", ":1"),
        ("scard s", ":3"),
        ("sismember s c", ":1"),
        ("sismember s d", ":0"),
        ("smismember s a d c", "*3 :1 :0 :1"),
        ("smismember none a", "*1 :0"),
        ("srem s a x", ":1"),
        ("srem s b c", ":2"),
        ("scard s", ":0"),
        ("exists s", ":0"),
        ("sadd n 3 1 2", ":3"),
        ("sismember n 03", ":0"),
        ("smembers n", "*3 $1 1 $1 2 $1 3"),
        ("set str x", "+OK"),
        ("sadd str a", WRONG_TYPE),
        ("srem str a", WRONG_TYPE),
        ("smembers str", WRONG_TYPE),
        ("spop str", WRONG_TYPE),
        ("smembers none", "*0"),
    ]);
    assert_eq!(t.encoding("n"), "intset");
    t.proto = Proto::Resp3;
    t.expect(&[("smembers n", "~3 $1 1 $1 2 $1 3"), ("smembers none", "~0")]);
}

#[test]
fn moved() {
    let mut t = Trial::new();
    t.run("sadd a x y");
    t.run("set str x");
    t.expect(&[
        ("smove a b z", ":0"),
        ("smove a b x", ":1"),
        ("smove a a y", ":1"),
        ("smove none str y", ":0"),
        ("smove a str y", WRONG_TYPE),
        ("smove a b y", ":1"),
        ("exists a", ":0"),
        ("scard b", ":2"),
    ]);
}

#[test]
fn by_chance() {
    let mut t = Trial::new();
    t.expect(&[
        ("spop none", "$-1"),
        ("spop none 3", "*0"),
        ("spop none abc", "-ERR value is out of range, must be positive"),
        ("spop none -1", "-ERR value is out of range, must be positive"),
        ("spop none 1 2", "-ERR syntax error"),
        ("srandmember none", "$-1"),
        ("srandmember none 3", "*0"),
        ("srandmember none -2147483648", "*0"),
        ("srandmember none abc", "-ERR value is not an integer or out of range"),
    ]);
    t.run("sadd s a b c d e");
    assert_eq!(elements(&t.run("srandmember s 9")).len(), 5);
    assert_eq!(elements(&t.run("srandmember s 2")).len(), 2);
    assert_eq!(elements(&t.run("srandmember s 4")).len(), 4);
    assert!(t.run("srandmember s -20").starts_with("*20 "));
    t.expect(&[("srandmember s -2147483648", "-ERR value is out of range")]);
    let popped = t.run("spop s");
    assert_eq!(t.effect(), Effect::Recorded { changes: 1 });
    assert_eq!(t.run(&format!("sismember s {}", popped.split(' ').nth(1).expect("a member"))), ":0");
    let two = elements(&t.run("spop s 2"));
    assert_eq!((two.len(), t.effect()), (2, Effect::Recorded { changes: 2 }));
    let rest = elements(&t.run("spop s 100"));
    assert!(rest.len() == 2 && rest.is_disjoint(&two));
    assert_eq!(t.run("exists s"), ":0");
    assert_eq!(t.run("spop s 0"), "*0");
}

/// Over many draws every member comes, and one that stays in the set is drawn as often as others.
#[test]
fn chances_are_equal() {
    let mut t = Trial::new();
    for member in 0..300 {
        t.run(&format!("sadd s member:{member}"));
    }
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        seen.extend(elements(&t.run("srandmember s 50")));
    }
    assert_eq!(seen.len(), 300);
}

#[test]
fn algebra() {
    let mut t = Trial::new();
    t.run("sadd a 1 2 3 x y");
    t.run("sadd b 2 3 y z");
    t.run("sadd c 3 y");
    t.run("set str x");
    assert_eq!(elements(&t.run("sinter a b")), set(&["2", "3", "y"]));
    assert_eq!(elements(&t.run("sunion a b none")), set(&["1", "2", "3", "x", "y", "z"]));
    assert_eq!(elements(&t.run("sdiff a b none")), set(&["1", "x"]));
    t.expect(&[
        ("sinter a none b", "*0"),
        ("sinter a none str", WRONG_TYPE),
        ("sdiff none a", "*0"),
        ("sdiff a a", "*0"),
        ("sintercard 3 a b c", ":2"),
        ("sintercard 3 a b c limit 1", ":1"),
        ("sintercard 2 a b limit 0", ":3"),
        ("sintercard 0 a", "-ERR numkeys should be greater than 0"),
        ("sintercard abc a", "-ERR numkeys should be greater than 0"),
        ("sintercard 3 a b", "-ERR Number of keys can't be greater than number of args"),
        ("sintercard 1 a limit -1", "-ERR LIMIT can't be negative"),
        ("sintercard 1 a limit", "-ERR syntax error"),
        ("sinterstore d a b c", ":2"),
        ("scard d", ":2"),
        ("sunionstore d d c", ":2"),
        ("sdiffstore d a b", ":2"),
        ("sinterstore d a none", ":0"),
        ("exists d", ":0"),
        ("sunionstore str a", ":5"),
        ("scard str", ":5"),
    ]);
    assert_eq!(t.effect(), Effect::None);
    t.run("sunionstore d a");
    assert_eq!(t.effect(), Effect::AsSent { changes: 1 });
    t.run("sinterstore none a none2");
    assert_eq!(t.effect(), Effect::None);
}

#[test]
fn encodings_of_results() {
    let mut t = Trial::new();
    t.run("sadd a 1 2");
    t.run("sadd b x");
    t.expect(&[("sunionstore d a", ":2"), ("sunionstore e a b", ":3")]);
    assert_eq!((t.encoding("d"), t.encoding("e")), ("intset", "listpack"));
    for i in 0..600 {
        t.run(&format!("sadd big {i}"));
    }
    t.expect(&[("sunionstore f big b", ":601"), ("scard f", ":601"), ("sinterstore g big a", ":2")]);
    assert_eq!((t.encoding("big"), t.encoding("f"), t.encoding("g")), ("hashtable", "hashtable", "intset"));
}

#[test]
fn scan() {
    let mut t = Trial::new();
    t.expect(&[
        ("sscan none 0", "*2 $1 0 *0"),
        ("sscan none x", "-ERR invalid cursor"),
        ("sscan none 0 foo", "*2 $1 0 *0"),
    ]);
    t.run("sadd s 1 2 3");
    t.expect(&[
        ("sscan s 0", "*2 $1 0 *3 $1 1 $1 2 $1 3"),
        ("sscan s 0 match [12]", "*2 $1 0 *2 $1 1 $1 2"),
        ("sscan s 0 count 0", "-ERR syntax error"),
        ("sscan s 0 count x", "-ERR value is not an integer or out of range"),
        ("sscan s 0 type set", "-ERR syntax error"),
    ]);
    for i in 0..1000 {
        t.run(&format!("sadd big m{i}"));
    }
    let (mut cursor, mut found, mut steps) = ("0".to_owned(), BTreeSet::new(), 0);
    loop {
        let reply = t.run(&format!("sscan big {cursor} count 50"));
        cursor = reply.split(' ').nth(2).expect("a cursor").to_owned();
        found.extend(elements(&reply).into_iter().filter(|word| word.starts_with('m')));
        steps += 1;
        if cursor == "0" {
            break;
        }
    }
    assert!(found.len() == 1000 && steps > 5, "{} in {steps} steps", found.len());
}

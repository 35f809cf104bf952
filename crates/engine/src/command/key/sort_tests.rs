//! Replies asked of redis-server 7.0.15.

use pinyon_base::DbIndex;
use pinyon_values::Collection;
use pinyon_values::list::{List, ListLimits};
use pinyon_values::set::{Set, SetLimits};
use pinyon_values::zset::{ZSet, ZSetLimits};

use crate::Effect;
use crate::command::trial::Trial;
use crate::keyspace::Ttl;

/// Stores a list.
fn list(t: &mut Trial, key: &str, elements: &[&str]) {
    let mut list = List::new();
    elements.iter().for_each(|element| list.push_back(element.as_bytes(), &ListLimits::default()));
    let mut ks = t.shard.keyspace(DbIndex(0), false);
    let key = ks.key_of(key.as_bytes());
    ks.put_collection(key, Collection::List(Box::new(list)), Ttl::Clear);
}

#[test]
fn elements() {
    let mut t = Trial::new();
    list(&mut t, "l", &["3", "1", "10", "2"]);
    list(&mut t, "t", &["a", "b"]);
    list(&mut t, "f", &["1.5", "-2", "1e2", "0x10", " 7"]);
    list(&mut t, "g", &["5", ""]);
    list(&mut t, "n", &["2\0y", "\0z\u{1}", "1"]);
    let (mut zset, mut set) = (ZSet::new(), Set::new());
    for (member, score) in [(b"1", 3.0), (b"3", 1.0), (b"2", 2.0)] {
        zset.add(member, score, &ZSetLimits::default());
        set.add(member, &SetLimits::default());
    }
    let mut ks = t.shard.keyspace(DbIndex(0), false);
    let (z, s) = (ks.key_of(b"z"), ks.key_of(b"s"));
    ks.put_collection(z, Collection::ZSet(Box::new(zset)), Ttl::Clear);
    ks.put_collection(s, Collection::Set(Box::new(set)), Ttl::Clear);
    t.expect(&[
        ("sort l", "*4 $1 1 $1 2 $1 3 $2 10"),
        ("sort l desc", "*4 $2 10 $1 3 $1 2 $1 1"),
        ("sort l alpha", "*4 $1 1 $2 10 $1 2 $1 3"),
        ("sort l alpha desc", "*4 $1 3 $1 2 $2 10 $1 1"),
        ("sort l limit 1 2", "*2 $1 2 $1 3"),
        ("sort l limit -1 2", "*2 $1 1 $1 2"),
        ("sort l limit 9 2", "*0"),
        ("sort l limit 0 -5", "*4 $1 1 $1 2 $1 3 $2 10"),
        ("sort l limit x 2", "-ERR value is not an integer or out of range"),
        ("sort l by nosort", "*4 $1 3 $1 1 $2 10 $1 2"),
        ("sort l by nosort desc limit 1 2", "*2 $2 10 $1 1"),
        ("sort l what", "-ERR syntax error"),
        ("sort nokey", "*0"),
        ("sort nokey store d", ":0"),
        ("set str x", "+OK"),
        ("sort str", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("sort t", "-ERR One or more scores can't be converted into double"),
        ("sort t alpha", "*2 $1 a $1 b"),
        ("sort f", "*5 $2 -2 $3 1.5 $2  7 $4 0x10 $3 1e2"),
        ("sort g", "*2 $0  $1 5"),
        ("sort n", "*3 $3 \0z\u{1} $1 1 $3 2\0y"),
        ("sort_ro l desc", "*4 $2 10 $1 3 $1 2 $1 1"),
        ("sort_ro l store d", "-ERR syntax error"),
        ("sort z", "*3 $1 1 $1 2 $1 3"),
        ("sort z by nosort", "*3 $1 3 $1 2 $1 1"),
        ("sort z by nosort desc", "*3 $1 1 $1 2 $1 3"),
        ("sort z by nosort desc limit 0 2", "*2 $1 1 $1 2"),
        ("sort s", "*3 $1 1 $1 2 $1 3"),
        ("sort s by nosort store d", ":3"),
        ("sort d by nosort", "*3 $1 1 $1 2 $1 3"),
    ]);
}

#[test]
fn other_keys() {
    let mut t = Trial::new();
    list(&mut t, "l", &["1", "2", "3"]);
    t.expect(&[
        ("mset w1 30 w2 20 w3 10", "+OK"),
        ("hset h1 n a1 k 3", ":2"),
        ("hset h2 n a2 k 1", ":2"),
        ("sort l by w*", "*3 $1 3 $1 2 $1 1"),
        ("sort l by w* desc", "*3 $1 1 $1 2 $1 3"),
        ("sort l by h*->k", "*3 $1 3 $1 2 $1 1"),
        ("sort l by w* get #", "*3 $1 3 $1 2 $1 1"),
        ("sort l by w* get w* get h*->n get #", "*9 $2 10 $-1 $1 3 $2 20 $2 a2 $1 2 $2 30 $2 a1 $1 1"),
        ("sort l by w*->k", "*3 $1 1 $1 2 $1 3"),
        ("sort l by h*->n alpha", "*3 $1 3 $1 1 $1 2"),
        ("sort l by nokey* alpha desc", "*3 $1 1 $1 2 $1 3"),
        ("sort l by w* limit 0 2", "*2 $1 3 $1 2"),
        ("sort l by w* get h*->", "*3 $-1 $-1 $-1"),
        ("sort l get nostar", "*3 $-1 $-1 $-1"),
        ("sort l by w* get w* store d", ":3"),
        ("sort d by nosort", "*3 $2 10 $2 20 $2 30"),
        ("sort l get h*->n store d", ":3"),
        ("sort d by nosort", "*3 $2 a1 $2 a2 $0"),
        ("expire d 100", ":1"),
        ("sort l limit 0 0 store d", ":0"),
        ("exists d", ":0"),
        ("object encoding d", "$-1"),
    ]);
}

/// A stored result is recorded as the value that it is.
#[test]
fn effects() {
    let mut t = Trial::new();
    list(&mut t, "l", &["2", "1"]);
    t.run("sort l store d");
    assert_eq!(t.effect(), Effect::Put { key: 3 });
    t.run("sort nokey store d");
    assert_eq!(t.effect(), Effect::Deleted { key: 3 });
    t.run("sort nokey store d");
    assert_eq!(t.effect(), Effect::None);
}

/// Sets that are tables, which have no places.
#[test]
fn large_sets() {
    let mut t = Trial::new();
    let mut set = Set::new();
    for member in 0..1000 {
        set.add(format!("m{:03}", (member * 7) % 1000).as_bytes(), &SetLimits::default());
    }
    assert_eq!(set.encoding(), "hashtable");
    let mut ks = t.shard.keyspace(DbIndex(0), false);
    let s = ks.key_of(b"s");
    ks.put_collection(s, Collection::Set(Box::new(set)), Ttl::Clear);
    t.expect(&[
        ("sort s alpha limit 0 3", "*3 $4 m000 $4 m001 $4 m002"),
        ("sort s alpha desc limit 997 9", "*3 $4 m002 $4 m001 $4 m000"),
        ("sort s by nosort store d", ":1000"),
        ("lrange d 998 -1", "*2 $4 m998 $4 m999"),
    ]);
}

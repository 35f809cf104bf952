//! The same of lists, hashes, sets, sorted sets, streams and bitmaps: whatever random commands did to them, among them those
//! that depend on chance or the time, their records make the same keys on any other number of shards.

use pinyon_base::{DbIndex, Millis};
use pinyon_resp::{Output, Proto, Writer};
use proptest::prelude::*;

use super::{Happening, id_of, read_by, with_args, written};
use crate::Cx;
use crate::command::registry::registry;
use crate::command::row::Handler;
use crate::keyspace::Shard;

/// Keys by family, so that most commands find what they work on.
fn key(family: char, number: u8) -> String {
    match number % 4 {
        0 => format!("{{t}}{family}1"),
        1 => format!("{{t}}{family}2"),
        2 => format!("{family}a"),
        _ => format!("{family}b"),
    }
}

/// One of the commands, made of numbers.
fn line(which: usize, a: u8, b: u8, n: u16) -> String {
    let key = |family, number| key(family, number);
    let (l, l2, h, h2) = (key('l', a), key('l', b), key('h', a), key('h', b));
    let (s, s2, z, z2) = (key('s', a), key('s', b), key('z', a), key('z', b));
    let (x, t, t2) = (key('x', a), key('t', a), key('t', b));
    let s3 = key('s', a.wrapping_add(b));
    let z3 = key('z', a.wrapping_add(b));
    let (m, m2, few) = (n % 12, n / 12 % 12, n % 5);
    let side = ["LEFT", "RIGHT"][usize::from(n % 2)];
    let other = ["LEFT", "RIGHT"][usize::from(n / 2 % 2)];
    let start = 1_700_000_000_000_i64;
    let id = format!("{}-{}", start + i64::from(m) * 10, m2);
    let all: &[&dyn Fn() -> String] = &[
        &|| format!("RPUSH {l} v{m} {n} v{m2}"),
        &|| format!("LPUSH {l} v{m}"),
        &|| format!("LPUSHX {l} v{m} w{m2}"),
        &|| format!("LPOP {l}"),
        &|| format!("RPOP {l} {few}"),
        &|| format!("LMOVE {l} {l2} {side} {other}"),
        &|| format!("RPOPLPUSH {l} {l2}"),
        &|| format!("BLMOVE {l} {l2} {side} {other} 0"),
        &|| format!("LMPOP 2 {l} {l2} {side} COUNT {}", few + 1),
        &|| format!("BLMPOP 0 2 {l} {l2} {side} COUNT {}", few + 1),
        &|| format!("BLPOP {l} {l2} 0"),
        &|| format!("BRPOP {l} {l2} 0"),
        &|| format!("LINSERT {l} BEFORE v{m} i{m2}"),
        &|| format!("LSET {l} {few} s{m}"),
        &|| format!("LREM {l} {} v{m}", i32::from(few) - 2),
        &|| format!("LTRIM {l} {few} -2"),
        &|| format!("HSET {h} f{m} v{m2} f{m2} {n}"),
        &|| format!("HSETNX {h} f{m} {n}"),
        &|| format!("HINCRBY {h} n{few} {n}"),
        &|| format!("HINCRBYFLOAT {h} n{few} 0.{n}"),
        &|| format!("HDEL {h} f{m} f{m2} n1"),
        &|| format!("HEXPIRE {h} {few} FIELDS 2 f{m} f{m2}"),
        &|| format!("HPEXPIRE {h} {n} FIELDS 1 f{m}"),
        &|| format!("HPEXPIREAT {h} {} NX FIELDS 1 f{m}", start + i64::from(n)),
        &|| format!("HPERSIST {h} FIELDS 2 f{m} f{m2}"),
        &|| format!("HGETDEL {h} FIELDS 2 f{m} f{m2}"),
        &|| format!("HGETEX {h} PX {} FIELDS 1 f{m}", n + 1),
        &|| format!("HSETEX {h} PX {} FIELDS 1 f{m} {n}", n + 1),
        &|| format!("HSETEX {h} FNX KEEPTTL FIELDS 1 f{m} {n}"),
        &|| format!("HGETALL {h}"),
        &|| format!("SADD {s} m{m} {m2} {n}"),
        &|| format!("SADD {s} {m} {m2}"),
        &|| format!("SREM {s} m{m} {m2}"),
        &|| format!("SPOP {s}"),
        &|| format!("SPOP {s} {few}"),
        &|| format!("SMOVE {s} {s2} m{m}"),
        &|| format!("SUNIONSTORE {s} {s2} {s3}"),
        &|| format!("SDIFFSTORE {s} {s2} {s3}"),
        &|| format!("SINTERSTORE {s} {s2} {s3}"),
        &|| format!("ZADD {z} {n} m{m} -0.{m} m{m2}"),
        &|| format!("ZADD {z} GT CH {n} m{m}"),
        &|| format!("ZADD {z} INCR 1.{n} m{m}"),
        &|| format!("ZINCRBY {z} -{n} m{m}"),
        &|| format!("ZREM {z} m{m} m{m2}"),
        &|| format!("ZPOPMIN {z} {few}"),
        &|| format!("ZPOPMAX {z}"),
        &|| format!("ZMPOP 2 {z} {z2} MIN COUNT {}", few + 1),
        &|| format!("BZMPOP 0 2 {z} {z2} MAX COUNT {}", few + 1),
        &|| format!("BZPOPMIN {z} {z2} 0"),
        &|| format!("ZREMRANGEBYRANK {z} 0 {few}"),
        &|| format!("ZREMRANGEBYSCORE {z} ({few} {n}"),
        &|| format!("ZUNIONSTORE {z} 2 {z2} {z3} WEIGHTS 2 0.{few} AGGREGATE MAX"),
        &|| format!("ZINTERSTORE {z} 2 {z2} {s3}"),
        &|| format!("ZDIFFSTORE {z} 2 {z2} {z3}"),
        &|| format!("ZRANGESTORE {z} {z2} {few} -1 REV"),
        &|| format!("GEOADD {{t}}geo {few}.{n} {few} p{m}"),
        &|| format!("GEOSEARCHSTORE {z} {{t}}geo FROMLONLAT 2 2 BYRADIUS 300 km STOREDIST"),
        &|| format!("GEORADIUS {{t}}geo 2 2 200 km STORE {z}"),
        &|| format!("XADD {x} * f {n}"),
        &|| format!("XADD {x} MAXLEN ~ {m} * f {n} g {m}"),
        &|| format!("XADD {x} MAXLEN = {few} {id} f {n}"),
        &|| format!("XADD {x} NOMKSTREAM {}-* f {n}", start + i64::from(n)),
        &|| format!("XTRIM {x} MINID {id}"),
        &|| format!("XDEL {x} {id}"),
        &|| format!("XSETID {x} {}-1", start + 1_000_000),
        &|| format!("XGROUP CREATE {x} g{few} 0 MKSTREAM"),
        &|| format!("XGROUP CREATE {x} g{few} $ MKSTREAM"),
        &|| format!("XGROUP SETID {x} g{few} {id}"),
        &|| format!("XGROUP DESTROY {x} g{few}"),
        &|| format!("XGROUP CREATECONSUMER {x} g{few} c{}", m % 3),
        &|| format!("XGROUP DELCONSUMER {x} g{few} c{}", m % 3),
        &|| format!("XREADGROUP GROUP g{few} c{} COUNT 3 STREAMS {x} >", m % 3),
        &|| format!("XREADGROUP GROUP g{few} c{} COUNT 3 BLOCK 0 STREAMS {x} >", m % 3),
        &|| format!("XREADGROUP GROUP g{few} c{} NOACK COUNT 3 STREAMS {x} >", m % 3),
        &|| format!("XREADGROUP GROUP g{few} c{} COUNT 3 STREAMS {x} 0", m % 3),
        &|| format!("XACK {x} g{few} {id}"),
        &|| format!("XCLAIM {x} g{few} c{} 0 {id}", m % 3),
        &|| format!("XCLAIM {x} g{few} c{} 5 {id} IDLE {n} RETRYCOUNT 3 FORCE", m % 3),
        &|| format!("XCLAIM {x} g{few} c{} 0 {id} JUSTID", m % 3),
        &|| format!("XAUTOCLAIM {x} g{few} c{} 0 0 COUNT 3", m % 3),
        &|| format!("SETBIT {t} {n} 1"),
        &|| format!("BITFIELD {t} SET u8 #{few} {m} INCRBY i5 100 {m2} OVERFLOW FAIL INCRBY u2 3 1"),
        &|| format!("BITOP XOR {t} {t2} {t}"),
        &|| format!("PFADD {{t}}p{few} a{n} b{m}"),
        &|| format!("PFMERGE {{t}}p{few} {{t}}p{}", m % 5),
        &|| format!("SORT {s} ALPHA STORE {l}"),
        &|| format!("SORT {l} BY nosort STORE {l2}"),
        &|| format!("SORT {z} ALPHA LIMIT 0 {few} DESC STORE {l}"),
        &|| format!("RENAME {h} {h2}"),
        &|| format!("RENAME {x} {}", key('x', b)),
        &|| format!("COPY {z} {z2} REPLACE"),
        &|| format!("COPY {h} {h2} DB 1 REPLACE"),
        &|| format!("COPY {x} {} REPLACE", key('x', b)),
        &|| format!("MOVE {h} 1"),
        &|| format!("MOVE {l} 1"),
        &|| format!("PEXPIRE {l} {n}"),
        &|| format!("PEXPIRE {s} {n}"),
        &|| format!("PERSIST {s}"),
        &|| format!("DEL {l} {h}"),
        &|| format!("SET {l} text"),
    ];
    all[which % all.len()]()
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let command = (any::<u16>(), any::<u8>(), any::<u8>(), 0..300u16)
        .prop_map(|(which, a, b, n)| Happening::Command(u16::from(n == 7), line(usize::from(which), a, b, n)));
    let happening = prop_oneof![
        40 => command,
        3 => (0..60i64).prop_map(Happening::Wait),
        1 => Just(Happening::Wait(3_000)),
        2 => Just(Happening::Expire),
        1 => Just(Happening::Evict),
    ];
    prop::collection::vec(happening, 1..160)
}

/// What commands tell of all keys: by database and name, in an order that does not depend on how it is kept.
fn told(shard: &mut Shard, now: i64) -> Vec<String> {
    shard.begin_turn(Millis(now));
    shard.set_replaying(true);
    let mut all = Vec::new();
    for db in [DbIndex(0), DbIndex(1)] {
        let mut keys = Vec::new();
        shard.each_key(db, &mut |key| keys.push(String::from_utf8_lossy(key).into_owned()));
        for key in keys {
            let (_, deadline) = shard.as_it_is(db, key.as_bytes()).expect("it is there");
            let kind = ask(shard, db, &format!("TYPE {key}")).concat();
            let lines = match kind.trim_start_matches('+') {
                "list" => vec![ask(shard, db, &format!("LRANGE {key} 0 -1"))],
                "hash" => hash(shard, db, &key),
                "set" => {
                    sorted(ask(shard, db, &format!("SMEMBERS {key}"))).into_iter().map(|line| vec![line]).collect()
                }
                "zset" => vec![ask(shard, db, &format!("ZRANGE {key} 0 -1 WITHSCORES"))],
                "stream" => vec![without_seen_times(ask(shard, db, &format!("XINFO STREAM {key} FULL COUNT 0")))],
                _ => vec![ask(shard, db, &format!("GET {key}"))],
            };
            all.push(format!("{} {key} {deadline:?} {lines:?}", db.0));
        }
    }
    shard.set_replaying(false);
    all.sort();
    all
}

/// When a consumer was last seen: reading again what is pending makes no record.
fn without_seen_times(mut lines: Vec<String>) -> Vec<String> {
    let named: Vec<usize> = (0..lines.len()).filter(|&at| lines[at] == "seen-time").collect();
    named.iter().rev().for_each(|at| drop(lines.remove(at + 1)));
    lines
}

/// Fields with their values and deadlines.
fn hash(shard: &mut Shard, db: DbIndex, key: &str) -> Vec<Vec<String>> {
    let fields = sorted(ask(shard, db, &format!("HKEYS {key}")));
    let names: Vec<&String> = fields.iter().filter(|line| line.starts_with(['f', 'n'])).collect();
    let each = |name: &&String| {
        let value = ask(shard, db, &format!("HGET {key} {name}"));
        let deadline = ask(shard, db, &format!("HPEXPIRETIME {key} FIELDS 1 {name}"));
        [vec![(*name).clone()], value, deadline].concat()
    };
    names.iter().map(each).collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// The lines of the reply.
fn ask(shard: &mut Shard, db: DbIndex, line: &str) -> Vec<String> {
    let mut out = Output::default();
    with_args(line, |args| {
        let id = id_of(args);
        let id = registry().find_sub(id, args.get(1)).unwrap_or(id);
        let (Handler::Shard(handler) | Handler::Spread(_, handler)) = registry().row(id).handler else {
            panic!("{line}: no handler on a shard");
        };
        let mut cx = Cx { ks: shard.keyspace(db, true), out: Writer { out: &mut out, proto: Proto::Resp2 } };
        if let Err(error) = handler(&mut cx, args) {
            panic!("{line}: {error}");
        }
    });
    let bytes: Vec<u8> = out.pieces().flatten().copied().collect();
    String::from_utf8_lossy(&bytes).split("\r\n").map(str::to_owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn records_of_collections_make_the_same_on_any_number_of_shards(
        happenings in happenings(), before in 1u16..5, after in 1u16..5, backwards: bool,
    ) {
        let mut writers = written(&happenings, before);
        let now = writers[0].now;
        let mut expected: Vec<String> = writers.iter_mut().flat_map(|writer| told(&mut writer.shard, now)).collect();
        let mut readers = read_by(after, &writers, backwards);
        let mut found: Vec<String> = readers.iter_mut().flat_map(|reader| told(reader, now)).collect();
        expected.sort();
        found.sort();
        prop_assert_eq!(expected, found);
    }
}

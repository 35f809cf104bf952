//! Sets, sorted sets and places under keys of several shards: every reply is that of the same call on keys of one shard, and so
//! is what is stored.

use pinyon_testkit::{Client, Random, Value};

use super::{connect, options, say, short, start};

const KEYS: &[&str] = &["a", "b", "c", "d", "e", "f", "none"];
const MEMBERS: usize = 12;

/// A call with `@` before each key, and whether the order of its reply says nothing.
fn random_call(random: &mut Random) -> (String, bool) {
    fn key(random: &mut Random) -> String {
        format!("@{}", random.pick(KEYS))
    }
    fn keys(random: &mut Random) -> String {
        let keys: Vec<String> = (0..1 + random.below(3)).map(|_| key(random)).collect();
        keys.join(" ")
    }
    fn counted(random: &mut Random) -> String {
        let keys = keys(random);
        format!("{} {keys}", keys.split(' ').count())
    }
    let one = |random: &mut Random| format!("m{}", random.below(MEMBERS));
    let score = |random: &mut Random| random.between(-9, 9);
    match random.below(24) {
        0..=2 => (format!("SADD {} {} {}", key(random), one(random), one(random)), false),
        3..=5 => (format!("ZADD {} {} {}", key(random), score(random), one(random)), false),
        6 => (format!("GEOADD {} 1{}.5 3{}.5 {}", key(random), random.below(8), random.below(8), one(random)), false),
        7 => (format!("DEL {}", key(random)), false),
        8 => (format!("SET {} text", key(random)), false),
        9 => (format!("SINTER {}", keys(random)), true),
        10 => (format!("SUNION {}", keys(random)), true),
        11 => (format!("SDIFF {}", keys(random)), true),
        12 => (format!("SINTERCARD {} LIMIT {}", counted(random), random.below(4)), false),
        13 => (
            format!("{} {} {}", random.pick(&["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"]), key(random), keys(random)),
            false,
        ),
        14 | 15 => (format!("SMOVE {} {} {}", key(random), key(random), one(random)), false),
        16 => (format!("ZUNION {} AGGREGATE MAX WITHSCORES", counted(random)), false),
        17 => (format!("{} {} WITHSCORES", random.pick(&["ZINTER", "ZDIFF"]), counted(random)), false),
        18 => (format!("ZINTERCARD {}", counted(random)), false),
        19 => {
            let name = random.pick(&["ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"]);
            (format!("{name} {} {}", key(random), counted(random)), false)
        }
        20 => (format!("ZRANGESTORE {} {} 0 {}", key(random), key(random), random.below(5)), false),
        21 => (format!("ZMPOP {} {} COUNT 2", counted(random), random.pick(&["MIN", "MAX", "MIDDLE"])), false),
        22 => {
            let (to, from) = (key(random), key(random));
            (format!("GEOSEARCHSTORE {to} {from} FROMLONLAT 15 35 BYRADIUS 400 km ASC"), false)
        }
        _ => {
            let (from, to, other) = (key(random), key(random), key(random));
            (format!("GEORADIUS {from} 15 35 400 km STORE {other} STOREDIST {to}"), false)
        }
    }
}

fn answer(client: &mut Client, call: &str, prefix: &str, any_order: bool) -> String {
    let reply = client.line(&call.replace('@', prefix)).unwrap_or_else(|error| panic!("{call}: {error}"));
    let text = match reply.as_array() {
        Some(items) if any_order => {
            let mut items: Vec<String> = items.iter().map(short).collect();
            items.sort_unstable();
            items.join(" ")
        }
        _ => short(&reply),
    };
    // ZMPOP names its key.
    text.replace(prefix, "")
}

/// What is under each key.
fn state(client: &mut Client, prefix: &str) -> Vec<String> {
    let content = |key: &&str| {
        let kind = say(client, &format!("TYPE {prefix}{key}"));
        let content = match kind.as_str() {
            "set" => answer(client, &format!("SMEMBERS @{key}"), prefix, true),
            "zset" => answer(client, &format!("ZRANGE @{key} 0 -1 WITHSCORES"), prefix, false),
            _ => String::new(),
        };
        format!("{key} {kind} {content}")
    };
    KEYS.iter().map(content).collect()
}

#[test]
fn as_on_one_shard() {
    const CALLS: usize = 3_000;
    let seed = std::env::var("PINYON_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for shards in [2, 3] {
        let server = options().shards(shards).start().unwrap_or_else(|error| panic!("{error}"));
        let mut client = connect(&server);
        let mut random = Random::new(seed);
        for number in 0..CALLS {
            let (call, any_order) = random_call(&mut random);
            let tagged = answer(&mut client, &call, "{t}", any_order);
            let spread = answer(&mut client, &call, "", any_order);
            assert_eq!(spread, tagged, "{call}: call {number} of PINYON_SEED={seed}, {shards} shards");
            if number % 100 == 99 {
                assert_eq!(state(&mut client, ""), state(&mut client, "{t}"), "after call {number}, seed {seed}");
            }
        }
        // Nothing that was lent is left behind.
        let keys: usize = say(&mut client, "DBSIZE").parse().expect("a number");
        let Ok(Value::Array(listed)) = client.line("KEYS *") else { panic!("KEYS gives an array") };
        assert_eq!(keys, listed.len());
        assert!(keys <= 2 * KEYS.len());
    }
}

#[test]
fn within_a_transaction() {
    let server = start(&[]);
    let mut client = connect(&server);
    for (call, reply) in [
        ("SADD a 1 2 3", "3"),
        ("SADD b 2 3 4", "3"),
        ("MULTI", "OK"),
        ("SUNIONSTORE c a b", "QUEUED"),
        ("SINTERSTORE d a c", "QUEUED"),
        ("SMOVE a b 1", "QUEUED"),
        ("ZUNIONSTORE e 2 a b", "QUEUED"),
        ("ZMPOP 2 none e MAX", "QUEUED"),
        ("SINTER a str", "QUEUED"),
        ("SET str x", "QUEUED"),
        ("SINTER a str", "QUEUED"),
        ("SCARD b", "QUEUED"),
        ("EXEC", "[4 3 1 4 [e [[3 2]]] [] OK -WRONGTYPE Operation against a key holding the wrong kind of value 4]"),
    ] {
        assert_eq!(say(&mut client, call), reply, "{call}");
    }
}

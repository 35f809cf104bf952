//! DUMP and RESTORE on one shard; what they exchange with redis-server is tested end to end.

use pinyon_base::DbIndex;

use super::super::super::trial::{Owned, START, Trial};
use super::*;
use crate::keyspace::{EvictionPolicy, ShardConfig};

/// `SET s hello`, `DUMP s` on redis-server 7.0.15.
const HELLO: &[u8] = b"\x00\x05hello\n\x00cr\xdfve4 \n";

fn restore(trial: &mut Trial, key: &str, ttl: &str, payload: &[u8], options: &[&str]) -> String {
    let mut args: Vec<&[u8]> = vec![b"RESTORE", key.as_bytes(), ttl.as_bytes(), payload];
    args.extend(options.iter().map(|option| option.as_bytes()));
    String::from_utf8_lossy(&trial.run_args(Owned::of(&args).args())).trim_end().to_owned()
}

fn dump(trial: &mut Trial, key: &str) -> Vec<u8> {
    let reply = trial.run_args(Owned::of(&["DUMP", key]).args());
    let begin = reply.iter().position(|byte| *byte == b'\n').expect("a bulk string") + 1;
    reply[begin..reply.len() - 2].to_vec()
}

#[test]
fn a_dump_is_restored() {
    let mut trial = Trial::new();
    trial.expect(&[
        ("SET s hello", "+OK"),
        ("SET n 12345", "+OK"),
        ("HSET h a 1 b two", ":2"),
        ("DUMP missing", "$-1"),
    ]);
    assert_eq!(dump(&mut trial, "s"), HELLO);
    for key in ["s", "n", "h"] {
        let payload = dump(&mut trial, key);
        assert_eq!(restore(&mut trial, "copy", "0", &payload, &["REPLACE"]), "+OK");
        assert_eq!(trial.effect(), Effect::Put { key: 1 });
        assert_eq!(dump(&mut trial, "copy"), payload, "{key}");
        assert_eq!(trial.run("TYPE copy"), trial.run(&format!("TYPE {key}")));
    }
    trial.expect(&[("HGET copy b", "$3 two"), ("GET n", "$5 12345")]);
    let mut ks = trial.shard.keyspace(DbIndex(0), true);
    let copy = ks.key_of(b"n");
    assert_eq!(ks.peek(copy).map(|value| value.encoding()), Some("int"));
}

/// TTL, payload, options, reply.
type Case<'a> = (&'a str, &'a [u8], &'a [&'a str], &'a str);

#[test]
fn what_is_refused_and_in_which_order() {
    let mut trial = Trial::new();
    trial.expect(&[("SET k old", "+OK")]);
    let mut changed = HELLO.to_vec();
    changed[3] ^= 1;
    let cases: &[Case<'_>] = &[
        ("0", HELLO, &[], "-BUSYKEY Target key name already exists."),
        ("x", b"", &["what"], "-ERR syntax error"),
        ("x", b"", &["REPLACE"], "-ERR value is not an integer or out of range"),
        ("-1", b"", &["REPLACE"], "-ERR Invalid TTL value, must be >= 0"),
        ("0", &changed, &["REPLACE"], "-ERR DUMP payload version or checksum are wrong"),
        ("0", HELLO, &["IDLETIME", "-1"], "-ERR Invalid IDLETIME value, must be >= 0"),
        ("0", HELLO, &["FREQ", "256"], "-ERR Invalid FREQ value, must be >= 0 and <= 255"),
        ("0", HELLO, &["FREQ", "x"], "-ERR value is not an integer or out of range"),
        ("0", HELLO, &["FREQ", "1", "IDLETIME", "1"], "-ERR syntax error"),
        ("0", HELLO, &["FREQ"], "-ERR syntax error"),
    ];
    for (ttl, payload, options, expected) in cases {
        assert_eq!(restore(&mut trial, "k", ttl, payload, options), *expected, "{options:?}");
        assert_eq!(trial.effect(), Effect::None);
    }
    trial.expect(&[("GET k", "$3 old")]);
}

#[test]
fn deadlines_are_kept_and_those_that_passed_remove_the_key() {
    let mut trial = Trial::new();
    assert_eq!(restore(&mut trial, "k", "1500", HELLO, &[]), "+OK");
    assert_eq!(trial.left("k"), Some(1500));
    let at = (START.0 + 99).to_string();
    assert_eq!(restore(&mut trial, "k", &at, HELLO, &["replace", "absttl"]), "+OK");
    assert_eq!(trial.left("k"), Some(99));
    assert_eq!(restore(&mut trial, "k", "0", HELLO, &["replace"]), "+OK");
    assert_eq!(trial.left("k"), None);
    assert_eq!(restore(&mut trial, "k", "1", HELLO, &["REPLACE", "ABSTTL"]), "+OK");
    assert_eq!(trial.effect(), Effect::Deleted { key: 1 });
    assert_eq!(restore(&mut trial, "k", "1", HELLO, &["ABSTTL"]), "+OK");
    assert_eq!(trial.effect(), Effect::None);
    trial.expect(&[("EXISTS k", ":0")]);
}

#[test]
fn uses_are_taken_over_where_the_policy_goes_by_them() {
    let mut trial = Trial::new();
    assert_eq!(restore(&mut trial, "k", "0", HELLO, &["IDLETIME", "1000"]), "+OK");
    // Idle times are kept in minutes or finer.
    let mut ks = trial.shard.keyspace(DbIndex(0), true);
    let key = ks.key_of(b"k");
    let idle = ks.idle_seconds(key).expect("it is there");
    assert!((940..=1060).contains(&idle), "{idle}");
    let policy = EvictionPolicy::AllkeysLfu;
    let mut trial = Trial::with(ShardConfig { policy, ..ShardConfig::default() });
    assert_eq!(restore(&mut trial, "k", "0", HELLO, &["FREQ", "77"]), "+OK");
    let mut ks = trial.shard.keyspace(DbIndex(0), true);
    let key = ks.key_of(b"k");
    assert_eq!(ks.frequency(key), Some(77));
}

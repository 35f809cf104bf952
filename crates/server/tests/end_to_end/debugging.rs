//! DEBUG and MEMORY over the cores; replies as redis-server 7.0.15 gives them where they are not about our own insides.

use super::{connect, info, say, start};

#[test]
fn populate_and_digest() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut client = connect(&server);
    let nothing = "0".repeat(40);
    assert_eq!(say(&mut client, "DEBUG DIGEST"), nothing);
    // Digests asked of redis-server 7.0.15 with the same data.
    for line in
        ["SET x 12345", "SET y abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", "SET z 1", "SET w 100000000000"]
    {
        assert_eq!(say(&mut client, line), "OK");
    }
    assert_eq!(say(&mut client, "DEBUG DIGEST"), "25eab47ac919cbeec8ea9c1f2892c0e0b6230cdd");
    assert_eq!(say(&mut client, "SELECT 3"), "OK");
    assert_eq!(say(&mut client, "SET a 1 EX 1000"), "OK");
    assert_eq!(say(&mut client, "DEBUG DIGEST"), "d816f108268ff9e8afbc98c2764e8bbc49c36c8f");
    assert_eq!(
        say(&mut client, "DEBUG DIGEST-VALUE a b"),
        format!("[5279988c5d1911f474bcbbf2f0a87012d40f8459 {nothing}]")
    );
    assert_eq!(say(&mut client, "FLUSHALL"), "OK");
    assert_eq!(say(&mut client, "DEBUG POPULATE 3000"), "OK");
    assert_eq!(say(&mut client, "DBSIZE"), "3000");
    assert_eq!(say(&mut client, "MGET key:0 key:1 key:2 key:2999"), "[value:0 value:1 value:2 value:2999]");
    assert_eq!(say(&mut client, "SET key:3 mine"), "OK");
    assert_eq!(say(&mut client, "DEBUG POPULATE 4 key 9"), "OK");
    assert_eq!(say(&mut client, "GET key:3"), "mine", "keys that are there stay");
    assert_eq!(say(&mut client, "DEBUG POPULATE 2 other 9"), "OK");
    assert_eq!(say(&mut client, "GET other:1"), "value:1\0\0");
    assert_eq!(say(&mut client, "DEBUG POPULATE x"), "-ERR value is out of range, must be positive");
}

/// Every core's data, deadlines included.
#[test]
fn reload_keeps_all_data() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut client = connect(&server);
    for number in 0..50 {
        say(&mut client, &format!("SET {{{number}}}string {number} PX 100000000"));
        say(&mut client, &format!("RPUSH {{{number}}}list a b {number}"));
        say(&mut client, &format!("ZADD {{{number}}}zset 1 a {number} b"));
        say(&mut client, &format!("XADD {{{number}}}stream 1-{number} field value"));
    }
    let before = say(&mut client, "DEBUG DIGEST");
    assert_ne!(before, "0".repeat(40));
    assert_eq!(say(&mut client, "DEBUG RELOAD"), "OK");
    assert_eq!(say(&mut client, "DEBUG DIGEST"), before);
    assert_eq!(say(&mut client, "DBSIZE"), "200");
    assert!(say(&mut client, "PTTL {7}string").parse::<i64>().is_ok_and(|left| left > 0));
}

#[test]
fn object_is_found_wherever_it_is() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut client = connect(&server);
    for number in 20_000..20_009 {
        let key = format!("n{number}");
        say(&mut client, &format!("SET {key} {number}"));
        let before = say(&mut client, &format!("DEBUG OBJECT {key}"));
        assert!(
            before.starts_with("Value at:0x7") && before.contains(" encoding:int serializedlength:3 lru:"),
            "{before}"
        );
        assert!(before.contains(" refcount:1 ") && before.ends_with(" lru_seconds_idle:0"), "{before}");
        say(&mut client, &format!("INCR {key}"));
        let after = say(&mut client, &format!("DEBUG OBJECT {key}"));
        assert_eq!(before.split(' ').nth(1), after.split(' ').nth(1), "INCR changes it in place");
    }
    assert_eq!(say(&mut client, "DEBUG OBJECT nokey"), "-ERR no such key");
}

#[test]
fn the_rest_of_debug() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "DEBUG ERROR 'MYCODE what happened'"), "-MYCODE what happened");
    assert_eq!(info(&mut client, "errorstats", "errorstat_MYCODE"), "count=1");
    let unknown =
        |what: &str| format!("-ERR unknown subcommand or wrong number of arguments for '{what}'. Try DEBUG HELP.");
    for (line, what) in
        [("JMAP", "JMAP"), ("RELOAD x", "RELOAD"), ("xyz", "xyz"), ("LOG", "LOG"), ("SLEEP 0 1", "SLEEP")]
    {
        assert_eq!(say(&mut client, &format!("DEBUG {line}")), unknown(what));
    }
    assert_eq!(say(&mut client, "DEBUG SLEEP nonsense"), "OK");
    let before = info(&mut client, "replication", "master_replid");
    assert_eq!(before.len(), 40);
    assert_eq!(say(&mut client, "DEBUG CHANGE-REPL-ID"), "OK");
    assert_ne!(info(&mut client, "replication", "master_replid"), before);
    assert_eq!(say(&mut client, "DEBUG HTSTATS 0").matches("[Shard ").count(), 3);
    assert_eq!(say(&mut client, "DEBUG HTSTATS 99"), "-ERR Out of range database");
    assert!(say(&mut client, "DEBUG HELP").starts_with("[DEBUG <subcommand>"));
    assert_eq!(say(&mut client, "DEBUG PROTOCOL push"), "-ERR RESP2 is not supported by this command");
}

#[test]
fn memory() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut client = connect(&server);
    assert!(say(&mut client, "MEMORY DOCTOR").contains("too little data"));
    assert_eq!(say(&mut client, "DEBUG POPULATE 60000 key 100"), "OK");
    assert_eq!(say(&mut client, "SELECT 5"), "OK");
    assert_eq!(say(&mut client, "DEBUG POPULATE 10"), "OK");
    let stats = client.line("MEMORY STATS").expect("a reply");
    assert_eq!(stats.as_array().map(<[_]>::len), Some(58), "29 pairs, two databases among them");
    let number = |name: &str| {
        stats.field(name).and_then(pinyon_testkit::Value::as_int).unwrap_or_else(|| panic!("{name}: {stats}"))
    };
    assert_eq!(number("keys.count"), 60_010);
    assert!(number("dataset.bytes") > 60_000 * 100, "{stats}");
    assert!((110..160).contains(&number("keys.bytes-per-key")), "{stats}");
    assert!(number("total.allocated") <= number("peak.allocated"));
    assert!(stats.field("db.5").is_some() && stats.field("db.0").is_some() && stats.field("db.1").is_none());
    assert!(!say(&mut client, "MEMORY DOCTOR").contains("too little data"));
    assert_eq!(say(&mut client, "MEMORY PURGE"), "OK");
    assert!(say(&mut client, "MEMORY MALLOC-STATS").starts_with("mimalloc"));
    assert!(say(&mut client, "MEMORY HELP").starts_with("[MEMORY <subcommand>"));
    assert_eq!(say(&mut client, "MEMORY XYZ"), "-ERR unknown subcommand 'XYZ'. Try MEMORY HELP.");
    let usage: i64 = say(&mut client, "MEMORY USAGE key:1").parse().expect("a number");
    assert!((20..200).contains(&usage), "{usage}");
}

#[test]
fn lolwut() {
    let server = start(&[]);
    let mut client = connect(&server);
    let first = say(&mut client, "LOLWUT");
    let last_line = first.lines().last().expect("lines");
    assert_eq!(last_line, format!("Pinyon ver. {}", info(&mut client, "server", "pinyon_version")));
    assert!(say(&mut client, "LOLWUT VERSION 5 1 2").ends_with(&format!("{last_line}\n")));
    assert_eq!(say(&mut client, "LOLWUT VERSION x"), "-ERR value is not an integer or out of range");
    super::eventually("another drawing", || say(&mut client, "LOLWUT") != first);
}

#[test]
fn help_of_object() {
    let server = start(&[]);
    assert!(say(&mut connect(&server), "OBJECT HELP").starts_with("[OBJECT <subcommand>"));
}

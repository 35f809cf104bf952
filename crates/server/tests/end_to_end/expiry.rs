//! Deadlines over the cores: exact on access, and kept by the timer without any.

use std::time::Instant;

use super::{connect, eventually, info_number, say, start};

#[test]
fn due_keys_go_by_themselves() {
    let server = start(&[]);
    let mut client = connect(&server);
    for number in 0..300 {
        assert_eq!(say(&mut client, &format!("SET due:{number} v PX {}", 50 + number % 100)), "OK");
        assert_eq!(say(&mut client, &format!("SET later:{number} v EX 1000")), "OK");
    }
    eventually("the due ones are gone", || say(&mut client, "DBSIZE") == "300");
    assert_eq!(info_number(&mut client, "stats", "expired_keys"), 300);
    assert!(super::info(&mut client, "keyspace", "db0").starts_with("keys=300,expires=300,"));
}

/// A key is never seen after its deadline, and always before.
#[test]
fn access_is_exact() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "DEBUG SET-ACTIVE-EXPIRE 0"), "OK");
    for round in 0..6 {
        let key = format!("exact:{round}");
        let begin = Instant::now();
        assert_eq!(say(&mut client, &format!("SET {key} v PX 60")), "OK");
        let set = Instant::now();
        loop {
            let reply = say(&mut client, &format!("GET {key}"));
            if reply == "nil" {
                // The deadline lies between 60 ms after `begin` and 60 ms after `set`, in whole milliseconds.
                assert!(begin.elapsed().as_millis() >= 59, "gone after {:?}", begin.elapsed());
                break;
            }
            assert!(set.elapsed().as_millis() < 2_000, "{key} is still there");
        }
    }
    assert_eq!(say(&mut client, "DEBUG SET-ACTIVE-EXPIRE 1"), "OK");
}

/// With the timer off, due keys count until somebody looks at them, and are gone for those who do.
#[test]
fn without_the_timer() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "DEBUG SET-ACTIVE-EXPIRE 0"), "OK");
    // A change of the configuration leaves the timer off.
    assert_eq!(say(&mut client, "CONFIG SET maxmemory-samples 7"), "OK");
    for key in ["b", "c", "d", "e", "a"] {
        assert_eq!(say(&mut client, &format!("SET {key} v PX 1")), "OK");
    }
    eventually("the last one is due", || say(&mut client, "PTTL a") == "-2");
    assert_eq!(say(&mut client, "DBSIZE"), "4");
    assert_eq!(say(&mut client, "DEL b"), "0");
    assert_eq!(say(&mut client, "EXPIRE c 100"), "0");
    assert_eq!(say(&mut client, "MGET d e"), "[nil nil]");
    assert_eq!(say(&mut client, "DBSIZE"), "0");
    assert_eq!(say(&mut client, "SET f v PX 1"), "OK");
    assert_eq!(say(&mut client, "DEBUG SET-ACTIVE-EXPIRE 1"), "OK");
    eventually("the timer is back", || say(&mut client, "DBSIZE") == "0");
}

#[test]
fn deadlines_that_change() {
    let server = start(&[]);
    let mut client = connect(&server);
    for key in ["x1", "x2", "x3", "x4", "x5", "x6"] {
        assert_eq!(say(&mut client, &format!("SET {key} v PX 250")), "OK");
    }
    assert_eq!(say(&mut client, "PERSIST x1"), "1");
    assert_eq!(say(&mut client, "EXPIRE x2 1000"), "1");
    assert_eq!(say(&mut client, "SET x3 w"), "OK");
    assert_eq!(say(&mut client, "SET x4 w KEEPTTL"), "OK");
    assert_eq!(say(&mut client, "RENAME x5 elsewhere"), "OK");
    assert_eq!(say(&mut client, "COPY x6 copied"), "1");
    eventually("four are due", || say(&mut client, "DBSIZE") == "3");
    assert_eq!(say(&mut client, "MGET x1 x2 x3 x4 elsewhere x6 copied"), "[v v w nil nil nil nil]");
}

/// Fields of hashes on all cores, and with their last one the hash, without anybody looking.
#[test]
fn due_fields_go_by_themselves() {
    let server = start(&[]);
    let mut client = connect(&server);
    for number in 0..100 {
        assert_eq!(say(&mut client, &format!("HSET h:{number} stays v goes v")), "2");
        assert_eq!(say(&mut client, &format!("HSETEX g:{number} PX 80 FIELDS 2 a 1 b 2")), "1");
        assert_eq!(say(&mut client, &format!("HPEXPIRE h:{number} 80 FIELDS 1 goes")), "[1]");
    }
    eventually("those of which nothing is left are gone", || say(&mut client, "DBSIZE") == "100");
    eventually("all due fields are gone", || info_number(&mut client, "stats", "expired_fields") == 300);
    assert_eq!(say(&mut client, "HGETALL h:42"), "[stays v]");
}

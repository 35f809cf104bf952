//! Commands over all keys of all shards: SCAN, KEYS, DBSIZE, FLUSHALL, SWAPDB, RANDOMKEY; and very long values.

use std::collections::HashSet;

use pinyon_testkit::Client;

use super::{call, connect, eventually, info_number, say, short, start};

/// Walks through all keys and gives them, repeats included.
fn scan_all(client: &mut Client, options: &str, mut between: impl FnMut(usize)) -> Vec<String> {
    let mut cursor = "0".to_owned();
    let mut keys = Vec::new();
    for page in 0.. {
        let reply = client.line(&format!("SCAN {cursor} {options}")).expect("a reply");
        let reply = reply.as_array().expect("two elements");
        cursor = short(&reply[0]);
        keys.extend(reply[1].as_array().expect("keys").iter().map(short));
        if cursor == "0" {
            break;
        }
        between(page);
    }
    keys
}

#[test]
fn scan_finds_every_key_that_stays() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "DEBUG POPULATE 5000 stays"), "OK");
    let mut writer = connect(&server);
    // Between the pages others come and go, enough of them that the tables grow.
    let keys = scan_all(&mut client, "COUNT 50", |page| {
        let words: Vec<String> = (0..100).map(|n| format!("comes:{page}:{n}")).collect();
        let sets: Vec<Vec<&str>> = words.iter().map(|key| vec!["SET", key, "x"]).collect();
        writer.pipeline(&sets).expect("replies");
        if page % 2 == 0 {
            let dels: Vec<Vec<&str>> = words.iter().map(|key| vec!["DEL", key]).collect();
            writer.pipeline(&dels).expect("replies");
        }
    });
    let found: HashSet<&str> = keys.iter().map(String::as_str).filter(|key| key.starts_with("stays:")).collect();
    assert_eq!(found.len(), 5000);
    let ten = scan_all(&mut client, "MATCH stays:12? COUNT 1000", |_| {});
    assert_eq!(ten.iter().collect::<HashSet<_>>().len(), 10);
    assert!(scan_all(&mut client, "TYPE list COUNT 1000", |_| {}).is_empty());
    assert_eq!(say(&mut client, "SCAN x"), "-ERR invalid cursor");
}

#[test]
fn keys_dbsize_randomkey() {
    let server = start(&[]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "RANDOMKEY"), "nil");
    for number in 0..30 {
        assert_eq!(say(&mut client, &format!("SET r:{number} v")), "OK");
    }
    assert_eq!(say(&mut client, "DBSIZE"), "30");
    let keys = client.line("KEYS r:*").expect("a reply");
    let keys: HashSet<String> = keys.as_array().expect("keys").iter().map(short).collect();
    assert_eq!(keys.len(), 30);
    assert_eq!(say(&mut client, "KEYS r:2?").split(' ').count(), 10);
    let mut drawn = HashSet::new();
    eventually("every key is drawn", || {
        drawn.insert(say(&mut client, "RANDOMKEY"));
        drawn.len() == 30
    });
    assert_eq!(drawn, keys);
}

#[test]
fn flush() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut client = connect(&server);
    let mut other = connect(&server);
    for how in ["", " SYNC", " ASYNC"] {
        assert_eq!(say(&mut client, "DEBUG POPULATE 5000 key 100"), "OK");
        assert_eq!(say(&mut client, "SELECT 1"), "OK");
        assert_eq!(say(&mut client, "DEBUG POPULATE 100"), "OK");
        assert_eq!(say(&mut client, &format!("FLUSHDB{how}")), "OK");
        assert_eq!(say(&mut client, "DBSIZE"), "0");
        assert_eq!(say(&mut other, "DBSIZE"), "5000", "other databases stay");
        assert_eq!(say(&mut client, &format!("FLUSHALL{how}")), "OK");
        assert_eq!(say(&mut other, "DBSIZE"), "0");
        assert_eq!(say(&mut other, "GET key:1"), "nil");
        assert_eq!(say(&mut client, "SELECT 0"), "OK");
    }
    assert_eq!(say(&mut client, "FLUSHALL NOW"), "-ERR syntax error");
    // A pipeline around it keeps its order on all shards.
    let mut commands: Vec<Vec<String>> = (0..20).map(|n| vec!["SET".into(), format!("k{n}"), "v".into()]).collect();
    commands.push(vec!["FLUSHALL".into()]);
    commands.extend((0..20).map(|n| vec!["GET".into(), format!("k{n}")]));
    let replies = client.pipeline(&commands).expect("replies");
    assert!(replies[..21].iter().all(|reply| reply.as_str() == Some("OK")));
    assert!(replies[21..].iter().all(pinyon_testkit::Value::is_null));
}

#[test]
fn swapdb() {
    let server = start(&[]);
    let mut client = connect(&server);
    let mut other = connect(&server);
    assert_eq!(say(&mut other, "SELECT 2"), "OK");
    for number in 0..20 {
        assert_eq!(say(&mut client, &format!("SET k{number} zero EX 1000")), "OK");
    }
    assert_eq!(say(&mut other, "SET only two"), "OK");
    assert_eq!(say(&mut client, "SWAPDB 0 2"), "OK");
    assert_eq!(say(&mut client, "DBSIZE"), "1");
    assert_eq!(say(&mut client, "GET only"), "two");
    assert_eq!(say(&mut other, "GET k7"), "zero");
    assert_eq!(say(&mut other, "TTL k7"), "1000");
    assert_eq!(say(&mut client, "SWAPDB 0 99"), "-ERR DB index is out of range");
    assert_eq!(say(&mut client, "SWAPDB x 1"), "-ERR invalid first DB index");
    // Deadlines go with the keys.
    assert_eq!(say(&mut other, "SET short v PX 30"), "OK");
    assert_eq!(say(&mut client, "SWAPDB 2 3"), "OK");
    assert_eq!(say(&mut client, "SELECT 3"), "OK");
    eventually("it expires in its new place", || say(&mut client, "DBSIZE") == "20");
}

/// The longest value there is. It is neither compared nor read back whole: that would take the test its time.
#[test]
fn half_a_gibibyte() {
    const BYTES: usize = 512 << 20;
    let server = start(&[]);
    let mut client = connect(&server);
    let mut other = connect(&server);
    client.send_raw(format!("*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n${BYTES}\r\n").as_bytes()).expect("sent");
    let chunk = vec![b'x'; 4 << 20];
    for _ in 0..BYTES / chunk.len() - 1 {
        client.send_raw(&chunk).expect("sent");
    }
    assert_eq!(say(&mut other, "GET huge"), "nil", "others go on");
    client.send_raw(&chunk[6..]).expect("sent");
    client.send_raw(b"theend\r\n").expect("sent");
    assert_eq!(client.receive().expect("a reply").as_str(), Some("OK"));
    assert_eq!(say(&mut other, "STRLEN huge"), BYTES.to_string());
    assert_eq!(say(&mut other, "GETRANGE huge -8 -1"), "xxtheend");
    assert_eq!(say(&mut other, "GETRANGE huge 0 2"), "xxx");
    assert_eq!(say(&mut other, "APPEND huge y"), "-ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    let too_long = format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${}\r\n", BYTES + 1);
    client.send_raw(too_long.as_bytes()).expect("sent");
    assert_eq!(client.receive_to_end().expect("an end"), b"-ERR Protocol error: invalid bulk length\r\n");
    assert_eq!(say(&mut other, "DEL huge"), "1");
    eventually("the memory is free again", || info_number(&mut other, "memory", "used_memory") < 64 << 20);
    assert_eq!(call(&mut other, &[b"SET", b"huge", b"small"]), "OK");
}

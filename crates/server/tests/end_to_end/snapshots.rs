//! Snapshots of the running server: what BGSAVE, SAVE, BGREWRITEAOF, save points and SHUTDOWN leave, and what a start makes
//! of it.

use pinyon_testkit::Client;

use super::durability::{Store, kill, terminate};
use super::{connect, eventually, info, say};

const DEBUG: &[&str] = &["--enable-debug-command", "yes", "--save", ""];

/// Names in the store's folder that begin like this.
fn named(store: &Store, start: &str) -> Vec<String> {
    let folder = std::fs::read_dir(store.0.join("appendonlydir")).expect("the store's folder");
    let names = folder.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(start)).collect()
}

fn saved(client: &mut Client) {
    eventually("the snapshot ends", || info(client, "persistence", "rdb_bgsave_in_progress") == "0");
    assert_eq!(info(client, "persistence", "rdb_last_bgsave_status"), "ok");
}

#[test]
fn a_snapshot_with_what_came_after_it_is_found_again_by_any_number_of_shards() {
    let store = Store::new();
    let server = store.open(3, DEBUG);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "DEBUG POPULATE 20000 key 100"), "OK");
    let fields: Vec<String> = (0..3000).map(|number| format!("field:{number} {number}")).collect();
    assert_eq!(say(&mut client, &format!("HSET hash {}", fields.join(" "))), "3000");
    assert_eq!(say(&mut client, "SET volatile soon EX 1000"), "OK");
    assert_eq!(say(&mut client, "MOVE key:17 4"), "1");
    assert_eq!(say(&mut client, "BGSAVE"), "Background saving started");
    // Whatever of these comes while it is made and whatever after it: all of it counts.
    for number in 0..2000 {
        assert!(say(&mut client, &format!("APPEND key:{number} :{number}")).parse::<u64>().is_ok());
        assert_eq!(say(&mut client, &format!("SET new:{number} {number}")), "OK");
    }
    assert_eq!(say(&mut client, "DEL key:19000 key:19001 key:2500"), "3");
    assert_eq!(say(&mut client, "HSET hash field:5 changed new field"), "1");
    saved(&mut client);
    assert_eq!(say(&mut client, "SWAPDB 0 9"), "OK");
    assert_eq!(say(&mut client, "RENAME key:1 key:renamed"), "-ERR no such key");
    let digest = say(&mut client, "DEBUG DIGEST");
    terminate(server);
    assert_eq!(named(&store, "snapshot-").len(), 1);
    for shards in [3, 1, 4, 2] {
        let server = store.open(shards, DEBUG);
        let mut client = connect(&server);
        assert_eq!(say(&mut client, "DEBUG DIGEST"), digest, "{shards} shards");
        // The next one is of this number of shards.
        assert_eq!(say(&mut client, "SAVE"), "OK");
        assert_eq!(named(&store, "snapshot-").len(), 1);
        assert_eq!(say(&mut client, &format!("SET by:{shards} 1")), "OK");
        assert_eq!(say(&mut client, &format!("DEL by:{shards}")), "1");
        terminate(server);
    }
}

#[test]
fn a_snapshot_frees_the_logs_before_it() {
    let store = Store::new();
    let server = store.open(2, DEBUG);
    let mut client = connect(&server);
    // Text that does not compress.
    let mut state = 1_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + (state >> 58) as u8)
    };
    for _ in 0..8 {
        for number in 0..200 {
            let text: String = (0..10_000).map(|_| letter()).collect();
            assert_eq!(say(&mut client, &format!("SET long:{number} {text}")), "OK");
        }
    }
    eventually("there are several segments", || store.segments().len() > 8);
    assert_eq!(say(&mut client, "BGREWRITEAOF"), "Background append only file rewriting started");
    eventually("it ends", || info(&mut client, "persistence", "aof_rewrite_in_progress") == "0");
    assert_eq!(info(&mut client, "persistence", "aof_last_bgrewrite_status"), "ok");
    // Each shard's own, and the one that is prepared for it.
    assert!(store.segments().len() <= 4, "{:?}", store.segments());
    let digest = say(&mut client, "DEBUG DIGEST");
    kill(server);
    let server = store.open(2, DEBUG);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "DEBUG DIGEST"), digest);
    terminate(server);
}

#[test]
fn a_server_killed_while_it_saves_has_everything_that_it_acknowledged() {
    let store = Store::new();
    let mut expected = 0;
    for round in 0..6 {
        let server = store.open(1 + round % 3, &["--appendfsync", "always", "--save", ""]);
        let mut client = connect(&server);
        assert_eq!(say(&mut client, "DBSIZE"), expected.to_string(), "round {round}");
        if expected > 0 {
            assert_eq!(say(&mut client, "STRLEN key:0:0"), "400");
        }
        for number in 0..400 {
            assert_eq!(say(&mut client, &format!("SET key:{round}:{number} {}", "x".repeat(400))), "OK");
        }
        assert_eq!(say(&mut client, "BGSAVE"), "Background saving started");
        for number in 0..20 * round {
            assert_eq!(say(&mut client, &format!("SET during:{round}:{number} 1")), "OK");
        }
        expected += 400 + 20 * round;
        kill(server);
    }
}

#[test]
fn words_and_numbers_are_those_of_redis() {
    let store = Store::new();
    let server = store.open(2, &["--save", ""]);
    let mut client = connect(&server);
    let started = say(&mut client, "LASTSAVE").parse::<i64>().expect("a time");
    assert_eq!(info(&mut client, "persistence", "rdb_saves"), "0");
    assert_eq!(say(&mut client, "MSET a 1 b 2 c 3"), "OK");
    assert_eq!(info(&mut client, "persistence", "rdb_changes_since_last_save"), "3");
    assert_eq!(say(&mut client, "SAVE"), "OK");
    assert_eq!(info(&mut client, "persistence", "rdb_changes_since_last_save"), "0");
    assert_eq!(info(&mut client, "persistence", "rdb_saves"), "1");
    assert!(say(&mut client, "LASTSAVE").parse::<i64>().expect("a time") >= started);
    assert_eq!(say(&mut client, "BGSAVE now"), "-ERR syntax error");
    assert_eq!(say(&mut client, "BGSAVE schedule"), "Background saving started");
    saved(&mut client);
    terminate(server);
}

/// Whoever changes a big collection waits until the snapshot has saved it: alone, in an EXEC, from any core.
#[test]
fn big_collections_that_change_meanwhile_are_saved_as_they_were() {
    let store = Store::new();
    let server = store.open(2, &["--enable-debug-command", "yes", "--save", ""]);
    let mut clients: Vec<Client> = (0..4).map(|_| connect(&server)).collect();
    let client = &mut clients[0];
    for hash in 0..6 {
        let fields: Vec<String> = (0..20_000).map(|number| format!("field:{number} {number}")).collect();
        assert_eq!(say(client, &format!("HSET hash:{hash} {}", fields.join(" "))), "20000");
    }
    for round in 0..3 {
        assert_eq!(say(&mut clients[0], "BGSAVE"), "Background saving started");
        for (number, client) in clients.iter_mut().enumerate() {
            let hash = (round + number) % 6;
            let lines = [
                format!("HINCRBY hash:{hash} field:{number} 1"),
                "MULTI".to_owned(),
                format!("HDEL hash:{hash} field:{}", 100 + 10 * round + number),
                format!("HSET hash:{hash} new:{round}:{number} 1"),
                "EXEC".to_owned(),
                format!("HLEN hash:{hash}"),
            ];
            let lines: Vec<Vec<&str>> = lines.iter().map(|line| line.split(' ').collect()).collect();
            for words in &lines {
                client.send(words).expect("sent");
            }
        }
        for client in &mut clients {
            for _ in 0..6 {
                let reply = client.receive().expect("a reply");
                assert!(!reply.is_error(), "{reply}");
            }
        }
        saved(&mut clients[0]);
    }
    let digest = say(&mut clients[0], "DEBUG DIGEST");
    terminate(server);
    for shards in [2, 3] {
        let server = store.open(shards, DEBUG);
        assert_eq!(say(&mut connect(&server), "DEBUG DIGEST"), digest, "{shards} shards");
        terminate(server);
    }
}

#[test]
fn a_save_point_saves_by_itself() {
    let store = Store::new();
    let server = store.open(2, &["--save", "1 3"]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "MSET a 1 b 2 c 3"), "OK");
    eventually("it has saved", || info(&mut client, "persistence", "rdb_saves") == "1");
    assert_eq!(info(&mut client, "persistence", "rdb_changes_since_last_save"), "0");
    terminate(server);
}

#[test]
fn a_shutdown_saves_if_asked_to() {
    let store = Store::new();
    let server = store.open(2, &["--save", ""]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "SET a 1"), "OK");
    client.send(&["SHUTDOWN", "SAVE"]).expect("sent");
    let mut server = server;
    let status = server.wait_exit(super::PATIENCE).expect("a child").expect("it ends in time");
    assert!(status.success(), "{status}: {}", server.log());
    assert_eq!(named(&store, "snapshot-").len(), 1);
    let server = store.open(1, &["--save", ""]);
    assert_eq!(say(&mut connect(&server), "GET a"), "1");
    terminate(server);
}

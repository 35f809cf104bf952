//! DEBUG LOADAOF: what is on the disk takes the place of what is in memory, over several shards, with nothing lost on the way.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use pinyon_testkit::Client;

use super::durability::{Store, kill};
use super::{connect, eventually, info, say};

const LOGGED: &[&str] = &["--enable-debug-command", "yes", "--save", "", "--appendfsync", "always"];
const UNLOGGED: &[&str] = &["--enable-debug-command", "yes", "--save", "", "--appendonly", "no"];

/// Keys of every type on every shard, with deadlines, and changes of all kinds over shards.
fn fill(client: &mut Client, round: u32) {
    for number in 0..40 {
        for line in [
            format!("SET {{{number}}}string{round} {number} PX 100000000"),
            format!("APPEND {{{number}}}long{round} {}", "x".repeat(1 + number * 20)),
            format!("RPUSH {{{number}}}list{round} a b {number}"),
            format!("SADD {{{number}}}set{round} a {number} {round}"),
            format!("HSET {{{number}}}hash{round} field {number} other {round}"),
            format!("ZADD {{{number}}}zset{round} 1 a {number} b"),
            format!("XADD {{{number}}}stream{round} 1-{number} field value"),
            format!("XGROUP CREATE {{{number}}}stream{round} group 0"),
            format!("XREADGROUP GROUP group reader COUNT 1 STREAMS {{{number}}}stream{round} >"),
            format!("PFADD {{{number}}}hll{round} a b {number}"),
        ] {
            let reply = say(client, &line);
            assert!(!reply.starts_with('-'), "{line}: {reply}");
        }
    }
    let (rename, pop) = (format!("RENAME {{3}}string{round} renamed"), format!("SPOP {{5}}set{round} 1"));
    for line in ["MULTI", "MSET a 1 b 2 c 3 d 4", &rename, "INCR counter", &pop] {
        say(client, line);
    }
    let ran = say(client, "EXEC");
    assert!(ran.starts_with("[OK "), "{ran}");
    assert_eq!(say(client, &format!("COPY {{7}}list{round} copied REPLACE")), "1");
    assert_eq!(say(client, "SELECT 5"), "OK");
    assert_eq!(say(client, &format!("SET elsewhere {round}")), "OK");
    assert_eq!(say(client, "SELECT 0"), "OK");
    assert_eq!(say(client, "SET gone soon PX 1"), "OK");
    eventually("it expires", || say(client, "EXISTS gone") == "0");
}

fn digest(client: &mut Client) -> String {
    say(client, "DEBUG DIGEST")
}

#[track_caller]
fn loads_the_same(client: &mut Client) {
    let before = (digest(client), say(client, "DBSIZE"), say(client, "PEXPIRETIME {4}string0"));
    assert_eq!(say(client, "DEBUG LOADAOF"), "OK");
    assert_eq!((digest(client), say(client, "DBSIZE"), say(client, "PEXPIRETIME {4}string0")), before);
}

#[test]
fn loaded_again_and_again_and_after_a_kill() {
    let store = Store::new();
    let server = store.open(3, LOGGED);
    let mut client = connect(&server);
    fill(&mut client, 0);
    loads_the_same(&mut client);
    loads_the_same(&mut client);
    assert_eq!(say(&mut client, "EXISTS gone"), "0");
    // On what was loaded all goes on as before, deadlines too.
    fill(&mut client, 1);
    loads_the_same(&mut client);
    assert_eq!(say(&mut client, "XPENDING {9}stream1 group"), "[1 1-9 1-9 [[reader 1]]]");
    assert_eq!(say(&mut client, "PEXPIRE {4}string1 1"), "1");
    eventually("it expires", || say(&mut client, "EXISTS {4}string1") == "0");
    let size = say(&mut client, "DBSIZE");
    for number in 0..9 {
        assert_eq!(say(&mut client, &format!("SET brief{number} 1 PX 300")), "OK");
    }
    assert_eq!(say(&mut client, "DEBUG LOADAOF"), "OK");
    eventually("they expire without being looked at", || say(&mut client, "DBSIZE") == size);
    // With a snapshot below.
    assert_eq!(say(&mut client, "BGREWRITEAOF"), "Background append only file rewriting started");
    loads_the_same(&mut client);
    fill(&mut client, 2);
    loads_the_same(&mut client);
    assert_eq!(say(&mut client, "FLUSHDB"), "OK");
    loads_the_same(&mut client);
    fill(&mut client, 0);
    let before = digest(&mut client);
    kill(server);
    for shards in [3, 2] {
        let server = store.open(shards, LOGGED);
        let mut client = connect(&server);
        assert_eq!(digest(&mut client), before, "{shards} shards");
        loads_the_same(&mut client);
        kill(server);
    }
}

/// Redis goes by its append-only file, whether or not it is being written.
#[test]
fn without_a_log_it_goes_back_to_what_was_saved() {
    let store = Store::new();
    let server = store.open(3, UNLOGGED);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "MSET a 1 b 2 c 3"), "OK");
    // Here redis-server ends.
    let nothing = "-ERR the log cannot be loaded: nothing was saved or logged yet";
    assert_eq!(say(&mut client, "DEBUG LOADAOF"), nothing);
    assert_eq!(say(&mut client, "MGET a b c"), "[1 2 3]");
    assert_eq!(say(&mut client, "BGREWRITEAOF"), "Background append only file rewriting started");
    assert_eq!(say(&mut client, "DEBUG LOADAOF"), "OK", "the snapshot under way is waited for");
    assert_eq!(say(&mut client, "MSET a 10 d 4"), "OK");
    assert_eq!(say(&mut client, "DEBUG LOADAOF"), "OK");
    assert_eq!(say(&mut client, "MGET a b c d"), "[1 2 3 nil]");
    // Logs started at run time count from their base on, which is waited for.
    assert_eq!(say(&mut client, "CONFIG SET appendonly yes"), "OK");
    assert_eq!(say(&mut client, "MSET a 20 d 40"), "OK");
    loads_the_same(&mut client);
    assert_eq!(say(&mut client, "MGET a b c d"), "[20 2 3 40]");
    assert_eq!(info(&mut client, "persistence", "rdb_changes_since_last_save"), "0");
    assert_eq!(say(&mut client, "CONFIG SET appendonly no"), "OK");
    assert_eq!(say(&mut client, "MSET a 30 e 5"), "OK");
    assert_eq!(say(&mut client, "DEBUG LOADAOF"), "OK");
    assert_eq!(say(&mut client, "MGET a d e"), "[20 40 nil]");
}

#[test]
fn those_who_watch_and_wait() {
    let store = Store::new();
    let server = store.open(3, LOGGED);
    let (mut client, mut waiting, mut other) = (connect(&server), connect(&server), connect(&server));
    assert_eq!(say(&mut client, "MSET a 1 b 2"), "OK");
    waiting.send(&["BLPOP", "empty", "void", "0"]).expect("sent");
    eventually("it waits", || info(&mut client, "clients", "blocked_clients") == "1");
    assert_eq!(say(&mut other, "WATCH nokey"), "OK");
    assert_eq!(say(&mut client, "WATCH a"), "OK");
    assert_eq!(say(&mut client, "DEBUG LOADAOF"), "OK");
    for (client, ran) in [(&mut client, "nil"), (&mut other, "[PONG]")] {
        assert_eq!(say(client, "MULTI"), "OK");
        assert_eq!(say(client, "PING"), "QUEUED");
        assert_eq!(say(client, "EXEC"), ran);
    }
    assert_eq!(say(&mut client, "RPUSH void x"), "1");
    let served = waiting.receive().expect("a reply").as_array().map(<[_]>::len);
    assert_eq!(served, Some(2));
    // An EXEC holds keys, which it would wait for.
    for (line, reply) in [("MULTI", "OK"), ("MSET a 5 b 6 c 7", "QUEUED"), ("DEBUG LOADAOF", "QUEUED")] {
        assert_eq!(say(&mut client, line), reply);
    }
    assert_eq!(say(&mut client, "EXEC"), "[OK -ERR DEBUG LOADAOF cannot be part of a MULTI]");
    assert_eq!(say(&mut client, "MGET a b c"), "[5 6 7]");
}

#[test]
fn writers_go_on_beside_it() {
    let store = Store::new();
    let server = store.open(3, LOGGED);
    let mut client = connect(&server);
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let mut own = connect(&server);
            std::thread::spawn(move || {
                for number in 1..=150 {
                    assert_eq!(say(&mut own, &format!("INCR counter{writer}")), number.to_string());
                    assert_eq!(say(&mut own, &format!("MSET one{writer} {number} two{writer} {number}")), "OK");
                }
            })
        })
        .collect();
    for round in 0.. {
        assert_eq!(say(&mut client, "DEBUG LOADAOF"), "OK");
        if round % 3 == 0 {
            say(&mut client, "BGREWRITEAOF");
        }
        if writers.iter().all(std::thread::JoinHandle::is_finished) {
            break;
        }
    }
    writers.into_iter().for_each(|writer| writer.join().expect("no reply was wrong"));
    loads_the_same(&mut client);
    for writer in 0..3 {
        assert_eq!(say(&mut client, &format!("MGET counter{writer} one{writer} two{writer}")), "[150 150 150]");
    }
}

fn file(store: &Store, name: &str) -> PathBuf {
    store.0.join("appendonlydir").join(name)
}

/// Inverts a byte where the file lies.
fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("a file of the store");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("it is longer");
    file.write_all_at(&[!byte[0]], at).expect("written");
    file.sync_all().expect("synced");
}

/// Whatever is wrong on the disk: the reply says so, and the data in memory stay.
#[test]
fn damage_costs_the_attempt_and_nothing_else() {
    let store = Store::new();
    let server = store.open(2, LOGGED);
    let mut client = connect(&server);
    fill(&mut client, 0);
    assert_eq!(say(&mut client, "SAVE"), "OK");
    fill(&mut client, 1);
    let before = digest(&mut client);
    let snapshot = file(&store, "snapshot-1/shard-1.snap");
    let aside = store.0.join("aside");
    fs::rename(&snapshot, &aside).expect("renamed");
    let said = say(&mut client, "DEBUG LOADAOF");
    assert!(said.starts_with("-ERR the log cannot be loaded: ") && said.contains("shard-1.snap"), "{said}");
    assert_eq!(digest(&mut client), before);
    fs::rename(&aside, &snapshot).expect("renamed");
    // Behind the header of the segment is the first frame after the snapshot.
    let logs = store.segments().into_iter().filter(|path| path.to_string_lossy().contains("/log-1-0-"));
    let log = logs.min().expect("the log of shard 0");
    let name = log.file_name().expect("a file").to_string_lossy().into_owned();
    flip(&log, 4096 + 200);
    let said = say(&mut client, "DEBUG LOADAOF");
    assert!(said.starts_with("-ERR the log cannot be loaded: ") && said.contains(&name), "{said}");
    assert_eq!(digest(&mut client), before);
    // All goes on, and the log with it.
    fill(&mut client, 2);
    flip(&log, 4096 + 200);
    loads_the_same(&mut client);
    assert_eq!(say(&mut client, "DEBUG LOG-FAULT EIO"), "OK");
    assert!(say(&mut client, "SET a lost").starts_with("-MISCONF"));
    let before = digest(&mut client);
    let said = say(&mut client, "DEBUG LOADAOF");
    assert_eq!(said, "-ERR the log cannot be loaded: the log cannot be written: Input/output error");
    assert_eq!(digest(&mut client), before);
}

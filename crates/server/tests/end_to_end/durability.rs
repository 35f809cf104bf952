//! The log: what a restart finds again, after an orderly end and after a kill, by any number of shards.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pinyon_testkit::{Client, Server};

use super::{PATIENCE, connect, eventually, info, options, say};

/// A folder that outlives servers and goes with the test.
pub(super) struct Store(pub(super) PathBuf);

impl Store {
    pub(super) fn new() -> Store {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pinyon-store-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        Store(path)
    }

    #[track_caller]
    pub(super) fn open(&self, shards: u16, words: &[&str]) -> Server {
        self.try_open(shards, words).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(super) fn try_open(&self, shards: u16, words: &[&str]) -> Result<Server, String> {
        let options = options().shards(shards).log_in(&self.0).args(["--log-segment-size", "1mb"]);
        options.args(words.iter().copied()).start().map_err(|error| error.to_string())
    }

    /// The files of the logs, in no order.
    pub(super) fn segments(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.0.join("appendonlydir")).expect("the store's folder");
        let names = folder.map(|entry| entry.expect("an entry").path());
        names.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log-"))).collect()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn terminate(mut server: Server) {
    server.signal("TERM").expect("it runs");
    let status = server.wait_exit(PATIENCE).expect("a child").expect("it ends in time");
    assert!(status.success(), "{status}: {}", server.log());
}

/// The server is gone without a word, as by a crash of its process.
pub(super) fn kill(mut server: Server) {
    server.signal("KILL").expect("it runs");
    server.wait_exit(PATIENCE).expect("a child").expect("it ends in time");
}

fn fill(client: &mut Client) {
    for number in 0..200 {
        assert_eq!(say(client, &format!("SET key:{number} value:{number}")), "OK");
    }
    for number in 0..200 {
        assert!(!say(client, &format!("INCRBY counter:{} {number}", number % 7)).is_empty());
    }
    assert_eq!(say(client, "MSET a 1 b 2 c 3 d 4 e 5"), "OK");
    assert_eq!(say(client, "SET volatile soon EX 1000"), "OK");
    assert_eq!(say(client, "SET gone soon PX 1"), "OK");
    assert_eq!(say(client, "RENAME key:1 key:renamed"), "OK");
    assert_eq!(say(client, "DEL key:2 key:3 key:4"), "3");
    assert_eq!(say(client, "COPY key:5 key:copied"), "1");
    assert_eq!(say(client, "APPEND key:6 :more"), "12");
}

fn state(client: &mut Client) -> Vec<String> {
    let mut state = vec![say(client, "DBSIZE"), say(client, "DEBUG DIGEST")];
    for line in ["GET key:0", "GET key:1", "GET key:renamed", "MGET key:2 key:5 key:copied key:6", "MGET a b c d e"] {
        state.push(say(client, line));
    }
    for number in 0..7 {
        state.push(say(client, &format!("GET counter:{number}")));
    }
    state.push(say(client, "PEXPIRETIME volatile"));
    state
}

const DEBUG: &[&str] = &["--enable-debug-command", "yes"];

#[test]
fn a_restart_finds_everything_again_with_any_number_of_shards() {
    let store = Store::new();
    let server = store.open(3, DEBUG);
    let mut client = connect(&server);
    fill(&mut client);
    eventually("it expires", || say(&mut client, "EXISTS gone") == "0");
    let before = state(&mut client);
    terminate(server);
    for shards in [3, 1, 4, 2] {
        let server = store.open(shards, DEBUG);
        let mut client = connect(&server);
        assert_eq!(state(&mut client), before, "{shards} shards");
        assert_eq!(say(&mut client, &format!("SET by:{shards} 1")), "OK");
        assert_eq!(say(&mut client, &format!("DEL by:{shards}")), "1");
        terminate(server);
    }
}

#[test]
fn flushes_and_swaps_are_found_again() {
    let store = Store::new();
    let server = store.open(3, DEBUG);
    let mut client = connect(&server);
    fill(&mut client);
    assert_eq!(say(&mut client, "FLUSHALL"), "OK");
    for number in 0..50 {
        assert_eq!(say(&mut client, &format!("SET zero:{number} {number}")), "OK");
    }
    assert_eq!(say(&mut client, "SWAPDB 0 3"), "OK");
    for number in 0..20 {
        assert_eq!(say(&mut client, &format!("SET again:{number} {number}")), "OK");
    }
    assert_eq!(say(&mut client, "MOVE again:7 5"), "1");
    let digest = say(&mut client, "DEBUG DIGEST");
    terminate(server);
    for shards in [2, 3] {
        let server = store.open(shards, DEBUG);
        let mut client = connect(&server);
        assert_eq!(say(&mut client, "DEBUG DIGEST"), digest, "{shards} shards");
        assert_eq!(say(&mut client, "DBSIZE"), "19");
        terminate(server);
    }
}

/// Keys that expire behind the last cut are logged, and never synced: the end does not wait for that.
#[test]
fn a_server_ends_at_once_while_keys_expire() {
    for policy in ["everysec", "no"] {
        let store = Store::new();
        let mut server = store.open(2, &["--appendfsync", policy, "--hz", "100"]);
        let mut client = connect(&server);
        let begin = Instant::now();
        let line = |number: u64| -> Vec<String> {
            let ms = (300 + number / 40).to_string();
            vec!["SET".into(), format!("key:{number}"), "value".into(), "PX".into(), ms]
        };
        client.pipeline(&(0..40_000).map(line).collect::<Vec<_>>()).expect("replies");
        // Amid the time in which forty keys expire in each millisecond.
        while begin.elapsed() < Duration::from_millis(700) {
            assert_eq!(say(&mut client, "PING"), "PONG");
        }
        server.signal("TERM").expect("it runs");
        let status = server.wait_exit(Duration::from_secs(20)).expect("a child");
        assert!(status.is_some_and(|status| status.success()), "{policy}: {}", server.log());
    }
}

#[test]
fn a_killed_server_loses_nothing_under_always() {
    let store = Store::new();
    let server = store.open(2, &["--appendfsync", "always"]);
    let mut client = connect(&server);
    for number in 0..300 {
        assert_eq!(say(&mut client, &format!("SET key:{number} {number}")), "OK");
        if number % 10 == 0 {
            assert_eq!(say(&mut client, &format!("MSET m:{number} a n:{number} b o:{number} c")), "OK");
        }
    }
    kill(server);
    let server = store.open(2, &[]);
    let mut client = connect(&server);
    for number in 0..300 {
        assert_eq!(say(&mut client, &format!("GET key:{number}")), number.to_string());
        if number % 10 == 0 {
            assert_eq!(say(&mut client, &format!("MGET m:{number} n:{number} o:{number}")), "[a b c]");
        }
    }
}

#[test]
fn what_waitaof_confirmed_survives_a_kill() {
    let store = Store::new();
    let server = store.open(3, &[]);
    let mut client = connect(&server);
    for number in 0..100 {
        assert_eq!(say(&mut client, &format!("SET key:{number} {number}")), "OK");
    }
    assert_eq!(say(&mut client, "WAITAOF 1 0 0"), "[1 0]");
    kill(server);
    let server = store.open(3, &[]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "DBSIZE"), "100");
}

#[test]
fn a_killed_server_keeps_a_cut_over_all_shards() {
    let store = Store::new();
    for round in 0..5u32 {
        let server = store.open(3, &[]);
        let mut client = connect(&server);
        let last: u32 = say(&mut client, "GET last").parse().unwrap_or(0);
        if round > 0 {
            // Each number was written in the order of numbers, so there is none missing before the last.
            for number in 1..=last {
                assert_eq!(say(&mut client, &format!("GET key:{number}")), number.to_string(), "of {last}");
            }
            assert_eq!(say(&mut client, "EXISTS left right"), "2");
            assert_eq!(say(&mut client, "GET left"), say(&mut client, "GET right"));
        }
        for number in last + 1..last + 200 {
            assert_eq!(say(&mut client, &format!("SET key:{number} {number}")), "OK");
            assert_eq!(say(&mut client, &format!("MSET left {number} right {number}")), "OK");
            assert_eq!(say(&mut client, &format!("SET last {number}")), "OK");
        }
        if round == 0 {
            assert_eq!(say(&mut client, "WAITAOF 1 0 0"), "[1 0]");
        }
        kill(server);
    }
}

#[test]
fn an_exec_is_found_whole_or_not_at_all() {
    let store = Store::new();
    let server = store.open(2, &["--appendfsync", "always"]);
    let mut client = connect(&server);
    for line in ["MULTI", "SET {t}1 a", "INCR {t}2", "SET u b", "SET v c"] {
        say(&mut client, line);
    }
    assert_eq!(say(&mut client, "EXEC"), "[OK 1 OK OK]");
    kill(server);
    let server = store.open(2, &[]);
    assert_eq!(say(&mut connect(&server), "MGET {t}1 {t}2 u v"), "[a 1 b c]");
}

#[test]
fn a_second_server_is_refused_and_so_is_damage() {
    let store = Store::new();
    let server = store.open(2, &[]);
    let mut client = connect(&server);
    let refused = store.try_open(2, &[]).expect_err("the folder is in use");
    assert!(refused.contains("in use by another server"), "{refused}");
    for number in 0..2000 {
        say(&mut client, &format!("SET key:{number} {number}"));
    }
    assert_eq!(say(&mut client, "WAITAOF 1 0 0"), "[1 0]");
    for number in 0..2000 {
        say(&mut client, &format!("SET key:{number} {number}"));
    }
    terminate(server);
    // A bit of the first frame: the frames behind it say that it had been durable.
    let segment = store.segments().into_iter().find(|path| path.to_string_lossy().ends_with("-0-1")).expect("a log");
    let mut bytes = std::fs::read(&segment).expect("it is there");
    bytes[4096 + 100] ^= 1;
    std::fs::write(&segment, &bytes).expect("it can be written");
    let refused = store.try_open(2, &[]).expect_err("the log is damaged");
    assert!(refused.contains("is damaged at byte 4096") && refused.contains("log-repair yes"), "{refused}");
    let server = store.open(2, &["--log-repair", "yes"]);
    assert!(server.log().contains("went on in spite of this"), "{}", server.log());
}

#[test]
fn the_policy_changes_at_run_time() {
    let store = Store::new();
    let server = store.open(3, &["--appendfsync", "no"]);
    let mut client = connect(&server);
    for policy in ["always", "everysec", "always"] {
        assert_eq!(say(&mut client, "SET before 1"), "OK");
        assert_eq!(say(&mut client, &format!("CONFIG SET appendfsync {policy}")), "OK");
        for number in 0..50 {
            assert_eq!(say(&mut client, &format!("MSET a:{number} {policy} b:{number} {policy}")), "OK");
        }
    }
    kill(server);
    let server = store.open(3, &[]);
    let mut client = connect(&server);
    for number in 0..50 {
        assert_eq!(say(&mut client, &format!("MGET a:{number} b:{number}")), "[always always]");
    }
}

#[test]
fn info_tells_of_the_log() {
    let store = Store::new();
    let server = store.open(1, &[]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "SET a 1"), "OK");
    assert_eq!(say(&mut client, "WAITAOF 1 0 0"), "[1 0]");
    assert_eq!(info(&mut client, "persistence", "aof_enabled"), "1");
    assert_eq!(info(&mut client, "persistence", "aof_last_write_status"), "ok");
    let log = info(&mut client, "pinyon", "pinyon_log0");
    assert!(log.contains("lag=0") && log.contains("state=ok"), "{log}");
    drop(server);
    let server = super::start(&[]);
    let mut client = connect(&server);
    assert_eq!(info(&mut client, "persistence", "aof_enabled"), "0");
    assert!(say(&mut client, "WAITAOF 1 0 0").contains("appendonly is disabled"));
    assert_eq!(say(&mut client, "WAITAOF 0 0 0"), "[0 0]");
    assert_eq!(say(&mut client, "WAITAOF 0 1 10"), "[0 0]");
}

const NO_ROOM: &str = "-MISCONF Errors writing to the AOF file: No space left on device";
const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const BROKEN: &str = "-MISCONF Errors writing to the AOF file: Input/output error";

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    let store = Store::new();
    let server = store.open(2, DEBUG);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "SET a 1"), "OK");
    assert_eq!(say(&mut client, "DEBUG LOG-FAULT ENOSPC"), "OK");
    eventually("writes are refused", || say(&mut client, "SET b 1") == NO_ROOM);
    assert_eq!(say(&mut client, "MSET a 2 b 2 c 2 d 2"), NO_ROOM);
    assert_eq!(say(&mut client, "GET a"), "1");
    assert_eq!(info(&mut client, "persistence", "aof_last_write_status"), "err");
    assert_eq!(say(&mut client, "MULTI"), "OK");
    assert_eq!(say(&mut client, "SET a 3"), NO_ROOM);
    assert!(say(&mut client, "EXEC").starts_with("-EXECABORT"));
    assert_eq!(say(&mut client, "DEBUG LOG-FAULT NONE"), "OK");
    eventually("writes are taken again", || say(&mut client, "SET b 2") == "OK");
    assert_eq!(say(&mut client, "WAITAOF 1 0 0"), "[1 0]");
    assert_eq!(info(&mut client, "persistence", "aof_last_write_status"), "ok");
    kill(server);
    let server = store.open(2, &[]);
    assert_eq!(say(&mut connect(&server), "MGET a b c"), "[1 2 nil]");
}

#[test]
fn after_a_failed_write_nothing_is_confirmed_and_reads_go_on() {
    let store = Store::new();
    for policy in ["always", "everysec"] {
        let server = store.open(2, &["--enable-debug-command", "yes", "--appendfsync", policy]);
        let mut client = connect(&server);
        assert_eq!(say(&mut client, "SET a 1"), "OK");
        assert_eq!(say(&mut client, "WAITAOF 1 0 0"), "[1 0]");
        assert_eq!(say(&mut client, "DEBUG LOG-FAULT EIO"), "OK");
        if policy == "always" {
            assert_eq!(say(&mut client, "SET b 1"), BROKEN);
        }
        eventually("writes are refused", || say(&mut client, "SET b 1") == BROKEN);
        assert_eq!(say(&mut client, "DEBUG LOG-FAULT NONE"), "OK");
        assert_eq!(say(&mut client, "SET b 1"), BROKEN);
        assert_eq!(say(&mut client, "GET a"), "1");
        say(&mut client, "GET b");
        assert!(server.log().contains("until the server is started again"), "{}", server.log());
        kill(server);
        let server = store.open(2, &[]);
        assert_eq!(say(&mut connect(&server), "GET a"), "1");
    }
}

/// What a pipeline says, with an error where a command has one.
fn pipeline(client: &mut Client, lines: &[&str]) -> Vec<String> {
    let words: Vec<Vec<&str>> = lines.iter().map(|line| line.split(' ').collect()).collect();
    client.pipeline(&words).expect("a reply for each").iter().map(super::short).collect()
}

#[test]
fn replies_to_a_pipeline_wait_for_the_log_and_stay_in_order() {
    let store = Store::new();
    for shards in [1, 3] {
        let server = store.open(shards, &["--appendfsync", "always"]);
        let mut client = connect(&server);
        say(&mut client, "FLUSHALL");
        let lines =
            ["GET a", "GET b", "SET a 1", "INCR a", "GET a", "LPUSH l x y", "INCR l", "GET b", "SET b 3", "STRLEN b"];
        let wanted = ["nil", "nil", "OK", "2", "2", "2", WRONG, "nil", "OK", "1"];
        assert_eq!(pipeline(&mut client, &lines), wanted, "{shards} shards");
        assert_eq!(pipeline(&mut client, &["GET a", "ECHO 1", "GET b", "NOSUCH", "GET a"])[..3], ["2", "1", "3"]);
        // More than are parsed ahead, and then than a turn runs.
        let many: Vec<String> = (0..2_000).map(|number| format!("SET n:{} {number}", number % 10)).collect();
        let many: Vec<&str> = many.iter().flat_map(|line| [line.as_str(), "GET n:7"]).collect();
        let said = pipeline(&mut client, &many);
        let wanted = (0..2_000_i64).flat_map(|number| {
            let seven = (number - 7).div_euclid(10) * 10 + 7;
            ["OK".to_owned(), if seven < 0 { "nil".to_owned() } else { seven.to_string() }]
        });
        assert_eq!(said, wanted.collect::<Vec<_>>(), "{shards} shards");
        kill(server);
        let server = store.open(shards, &[]);
        assert_eq!(say(&mut connect(&server), "MGET a b n:0 n:9"), "[2 3 1990 1999]");
        terminate(server);
    }
}

#[test]
fn a_pipeline_has_a_reply_for_each_command_when_its_log_fails() {
    let store = Store::new();
    let server = store.open(1, &["--enable-debug-command", "yes", "--appendfsync", "always"]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "SET a 1"), "OK");
    assert_eq!(say(&mut client, "DEBUG LOG-FAULT EIO"), "OK");
    let said = pipeline(&mut client, &["GET a", "SET b 1", "SET c 1", "GET a", "SET d 1", "PING"]);
    assert_eq!(said[0], "1", "what was durable before does not wait");
    for (at, said) in said.iter().enumerate().filter(|(at, _)| [1, 2, 4].contains(at)) {
        assert_eq!(said, BROKEN, "reply {at}");
    }
    assert!(said[3] == "1" || said[3] == BROKEN, "{said:?}");
    assert_eq!(pipeline(&mut client, &["GET a", "SET b 1", "GET a", "ECHO end"]), ["1", BROKEN, "1", "end"]);
}

#[test]
fn renamed_commands_are_logged_by_their_own_names() {
    let store = Store::new();
    let server = store.open(2, &["--rename-command", "INCR", "UP", "--rename-command", "MSET", "PUT"]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "UP n"), "1");
    assert_eq!(say(&mut client, "PUT a 1 b 2 c 3"), "OK");
    terminate(server);
    let server = store.open(2, &[]);
    assert_eq!(say(&mut connect(&server), "MGET n a b c"), "[1 1 2 3]");
}

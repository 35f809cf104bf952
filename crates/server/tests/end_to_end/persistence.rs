//! Logs that are started and stopped at run time, servers that keep snapshots alone, and the ways in which a server ends.

use std::path::Path;

use pinyon_testkit::{Client, Server};

use super::durability::{Store, kill, terminate};
use super::{PATIENCE, connect, eventually, info, info_number, say};

/// Snapshots alone, and none of them by itself.
const BARE: &[&str] = &["--appendonly", "no", "--save", "", "--enable-debug-command", "yes"];
const LOGGED: &[&str] = &["--save", "", "--enable-debug-command", "yes"];

/// Nothing is saved any more, whatever is told: the folder's place is taken by a file.
fn block(store: &Store) -> impl Drop {
    struct Blocked(std::path::PathBuf);
    impl Drop for Blocked {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).expect("a file");
        }
    }
    let path = store.0.join("appendonlydir");
    std::fs::write(&path, "in the way").expect("a file");
    Blocked(path)
}

fn fill(client: &mut Client) {
    assert_eq!(say(client, "DEBUG POPULATE 3000 key 100"), "OK");
    assert_eq!(say(client, "HSET hash a 1 b 2 c 3"), "3");
    assert_eq!(say(client, "RPUSH list one two three"), "3");
    assert_eq!(say(client, "SET volatile soon EX 1000"), "OK");
    assert_eq!(say(client, "MOVE key:17 4"), "1");
}

fn switch(client: &mut Client, on: &str) {
    assert_eq!(say(client, &format!("CONFIG SET appendonly {on}")), "OK");
}

/// The logs have their base.
fn based(client: &mut Client) {
    eventually("the base is there", || {
        info(client, "persistence", "aof_rewrite_in_progress") == "0"
            && info(client, "persistence", "aof_rewrite_scheduled") == "0"
    });
    assert_eq!(info(client, "persistence", "aof_last_bgrewrite_status"), "ok");
}

fn saved(client: &mut Client) {
    eventually("the snapshot ends", || info(client, "persistence", "rdb_bgsave_in_progress") == "0");
}

fn digest(client: &mut Client) -> String {
    say(client, "DEBUG DIGEST")
}

/// The server goes by itself, in order.
fn ended(mut server: Server) -> String {
    let status = server.wait_exit(PATIENCE).expect("a child").expect("it ends in time");
    assert!(status.success(), "{status}: {}", server.log());
    server.log()
}

#[test]
fn logs_that_are_switched_on_are_found_with_what_was_there_before() {
    for policy in ["everysec", "always"] {
        let store = Store::new();
        let server = store.open(3, &[BARE, &["--appendfsync", policy]].concat());
        let mut client = connect(&server);
        fill(&mut client);
        assert_eq!(info(&mut client, "persistence", "aof_enabled"), "0");
        assert!(!store.0.join("appendonlydir").exists(), "nothing is written unasked");
        switch(&mut client, "yes");
        assert_eq!(info(&mut client, "persistence", "aof_enabled"), "1");
        // Some of this comes before the base is there, some after.
        for number in 0..300 {
            assert_eq!(say(&mut client, &format!("MSET a:{number} {number} b:{number} {number} c:{number} x")), "OK");
        }
        based(&mut client);
        assert_eq!(say(&mut client, "SET last 1"), "OK");
        if policy == "everysec" {
            assert_eq!(say(&mut client, "WAITAOF 1 0 0"), "[1 0]");
        }
        let before = digest(&mut client);
        kill(server);
        for shards in [2, 3] {
            let server = store.open(shards, LOGGED);
            let mut client = connect(&server);
            assert_eq!(digest(&mut client), before, "{policy}, {shards} shards");
            assert_eq!(say(&mut client, "SET more 1"), "OK");
            assert_eq!(say(&mut client, "DEL more"), "1");
            terminate(server);
        }
    }
}

/// Killed at any moment after the switch, the server comes back with what was saved before it, or with that and what follows.
#[test]
fn a_server_killed_before_the_base_is_there_has_what_it_had_before() {
    let store = Store::new();
    let mut last = "nil".to_owned();
    for round in 1..7_u16 {
        let server = store.open(1 + round % 3, &[BARE, &["--rdb-key-save-delay", "20"]].concat());
        let mut client = connect(&server);
        if round == 1 {
            assert_eq!(say(&mut client, "DEBUG POPULATE 2000 key 100"), "OK");
        } else {
            assert_eq!(say(&mut client, "GET saved"), (round - 1).to_string());
            let found = say(&mut client, "MGET left right");
            assert!(found == format!("[{last} {last}]") || found == format!("[{0} {0}]", round - 1), "{found}, {last}");
            last = say(&mut client, "GET left");
        }
        assert_eq!(say(&mut client, &format!("SET saved {round}")), "OK");
        assert_eq!(say(&mut client, "CONFIG SET rdb-key-save-delay 0"), "OK");
        assert_eq!(say(&mut client, "SAVE"), "OK");
        assert_eq!(say(&mut client, "CONFIG SET rdb-key-save-delay 20"), "OK");
        switch(&mut client, "yes");
        for _ in 0..20 * (round - 1) {
            assert_eq!(say(&mut client, &format!("MSET left {round} right {round}")), "OK");
        }
        kill(server);
    }
}

#[test]
fn logs_that_are_switched_off_are_whole_up_to_that_moment() {
    let store = Store::new();
    let server = store.open(3, LOGGED);
    let mut client = connect(&server);
    fill(&mut client);
    assert_eq!(say(&mut client, "BGSAVE"), "Background saving started");
    assert_eq!(say(&mut client, "MSET a 1 b 2 c 3"), "OK");
    switch(&mut client, "no");
    let before = digest(&mut client);
    assert_eq!(info(&mut client, "persistence", "aof_enabled"), "0");
    assert!(say(&mut client, "WAITAOF 1 0 0").contains("appendonly is disabled"));
    saved(&mut client);
    assert_eq!(info(&mut client, "persistence", "rdb_last_bgsave_status"), "ok");
    assert_eq!(say(&mut client, "SET unlogged 1"), "OK");
    kill(server);
    // It is found whether the next one logs or not; and that one leaves it as it was.
    for (shards, words) in [(2, BARE), (3, LOGGED), (1, BARE)] {
        let server = store.open(shards, words);
        assert_eq!(digest(&mut connect(&server)), before, "{shards} shards");
        kill(server);
    }
}

#[test]
fn logs_may_be_switched_again_and_again_under_load() {
    let store = Store::new();
    let server = store.open(3, BARE);
    let address = server.address();
    let (tell, stop) = std::sync::mpsc::channel::<()>();
    let load = std::thread::spawn(move || {
        let mut client = Client::connect(&address).expect("a connection");
        let mut number = 0_u64;
        while stop.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            number += 1;
            assert_eq!(say(&mut client, &format!("MSET left {number} mid {number} right {number}")), "OK");
            assert!(say(&mut client, &format!("SET {{x}}:{} {number}", number % 500)) == "OK");
        }
        number
    });
    let mut client = connect(&server);
    for _ in 0..5 {
        switch(&mut client, "yes");
        if say(&mut client, "BGSAVE").starts_with('-') {
            saved(&mut client);
        }
        switch(&mut client, "no");
    }
    switch(&mut client, "yes");
    based(&mut client);
    drop(tell);
    let number = load.join().expect("no error");
    assert_eq!(say(&mut client, "WAITAOF 1 0 0"), "[1 0]");
    let before = digest(&mut client);
    kill(server);
    let server = store.open(2, LOGGED);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "MGET left mid right"), format!("[{number} {number} {number}]"));
    assert_eq!(digest(&mut client), before);
    terminate(server);
}

#[test]
fn a_log_that_cannot_be_written_can_be_switched_off_and_on_again() {
    let store = Store::new();
    let server = store.open(2, LOGGED);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "SET a 1"), "OK");
    assert_eq!(say(&mut client, "WAITAOF 1 0 0"), "[1 0]");
    assert_eq!(say(&mut client, "DEBUG LOG-FAULT ENOSPC"), "OK");
    eventually("writes are refused", || say(&mut client, "SET b 1").starts_with("-MISCONF Errors writing to the AOF"));
    // So that nobody takes it for well.
    assert!(say(&mut client, "PING").starts_with("-MISCONF Errors writing to the AOF file: No space left"));
    let mut waiting = connect(&server);
    waiting.send(&["WAITAOF", "1", "0", "0"]).expect("room");
    eventually("it waits", || info_number(&mut client, "clients", "blocked_clients") >= 1 || waits(&mut client));
    switch(&mut client, "no");
    let answer = waiting.receive().expect("a reply");
    assert_eq!(super::short(&answer), "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");
    assert_eq!(say(&mut client, "PING"), "PONG");
    assert_eq!(say(&mut client, "SET b 2"), "OK");
    switch(&mut client, "yes");
    based(&mut client);
    assert_eq!(say(&mut client, "SET c 3"), "OK");
    assert_eq!(say(&mut client, "WAITAOF 1 0 0"), "[1 0]");
    kill(server);
    let server = store.open(3, LOGGED);
    assert_eq!(say(&mut connect(&server), "MGET a b c"), "[1 2 3]");
}

/// Somebody waits for the log, as CLIENT LIST shows.
fn waits(client: &mut Client) -> bool {
    say(client, "CLIENT LIST").lines().any(|line| line.contains("cmd=waitaof"))
}

#[test]
fn snapshots_without_logs_are_found_again() {
    let store = Store::new();
    let server = store.open(3, BARE);
    let mut client = connect(&server);
    fill(&mut client);
    assert_eq!(say(&mut client, "SAVE"), "OK");
    let first = digest(&mut client);
    assert_eq!(say(&mut client, "SET lost 1"), "OK");
    kill(server);
    let server = store.open(2, BARE);
    let mut client = connect(&server);
    assert_eq!(digest(&mut client), first);
    assert_eq!(info(&mut client, "persistence", "aof_enabled"), "0");
    assert_eq!(info_number(&mut client, "persistence", "rdb_last_load_keys_loaded"), 3003);
    assert_eq!(say(&mut client, "SET b 1"), "OK");
    assert_eq!(say(&mut client, "BGSAVE"), "Background saving started");
    saved(&mut client);
    let second = digest(&mut client);
    kill(server);
    let server = store.open(3, BARE);
    assert_eq!(digest(&mut connect(&server)), second);
    terminate(server);
    // With a log from now on.
    let server = store.open(1, LOGGED);
    let mut client = connect(&server);
    assert_eq!(digest(&mut client), second);
    assert_eq!(say(&mut client, "SET c 1"), "OK");
    assert_eq!(say(&mut client, "WAITAOF 1 0 0"), "[1 0]");
    let third = digest(&mut client);
    kill(server);
    let server = store.open(2, BARE);
    assert_eq!(digest(&mut connect(&server)), third);
}

#[test]
fn save_points_count_without_logs_on_every_core() {
    let store = Store::new();
    let server = store.open(3, &["--appendonly", "no", "--save", "1 1"]);
    let mut client = connect(&server);
    for number in 1..4 {
        // Whichever core owns it, the first one must hear of it.
        assert_eq!(say(&mut client, &format!("SET key:{number} 1")), "OK");
        eventually("it has saved", || info_number(&mut client, "persistence", "rdb_saves") >= number);
        eventually("and all of it", || info(&mut client, "persistence", "rdb_changes_since_last_save") == "0");
    }
    kill(server);
    let server = store.open(2, BARE);
    assert_eq!(say(&mut connect(&server), "DBSIZE"), "3");
}

#[test]
fn without_logs_the_end_saves_if_there_are_save_points() {
    // What is said to end the server, and whether the last write is there afterwards.
    let ways: [(&str, &str, bool); 8] = [
        ("3600 1", "SHUTDOWN", true),
        ("3600 1", "SHUTDOWN NOW", true),
        ("3600 1", "SHUTDOWN FORCE", true),
        ("3600 1", "SHUTDOWN NOSAVE", false),
        ("", "SHUTDOWN", false),
        ("", "SHUTDOWN SAVE NOW FORCE", true),
        ("3600 1", "TERM", true),
        ("", "INT", false),
    ];
    let store = Store::new();
    let mut last = 0;
    for (number, (points, way, saves)) in (1..).zip(ways) {
        let server = store.open(2, &["--appendonly", "no", "--save", points]);
        let mut client = connect(&server);
        assert_eq!(
            say(&mut client, "GET number"),
            if last == 0 { "nil".to_owned() } else { last.to_string() },
            "{way}"
        );
        assert_eq!(say(&mut client, &format!("SET number {number}")), "OK");
        match way {
            "TERM" | "INT" => server.signal(way).expect("it runs"),
            _ => client.send(&way.split(' ').collect::<Vec<_>>()).expect("room"),
        }
        ended(server);
        if saves {
            last = number;
        }
    }
}

#[test]
fn nothing_is_lost_that_was_answered_before_a_saving_end() {
    let store = Store::new();
    let server = store.open(3, &["--appendonly", "no", "--save", "3600 1"]);
    let address = server.address();
    let load = std::thread::spawn(move || {
        let mut client = Client::connect(&address).expect("a connection");
        let mut number = 0_u64;
        loop {
            let line = format!("MSET left {0} mid {0} right {0}", number + 1);
            match client.line(&line) {
                Ok(_) => number += 1,
                Err(_) => return number,
            }
        }
    });
    let mut client = connect(&server);
    eventually("there is load", || say(&mut client, "GET left").parse::<u64>().is_ok_and(|number| number > 100));
    client.send(&["SHUTDOWN"]).expect("room");
    ended(server);
    let number = load.join().expect("no panic");
    let server = store.open(2, BARE);
    let found = say(&mut connect(&server), "MGET left mid right");
    // The last one may have been made and not answered.
    let is = |number: u64| found == format!("[{number} {number} {number}]");
    assert!(is(number) || is(number + 1), "{found}, {number} were answered");
}

#[test]
fn an_end_that_waits_for_a_snapshot_can_be_called_off() {
    for (words, policy) in [(BARE, "without logs"), (LOGGED, "with logs")] {
        let store = Store::new();
        let server = store.open(2, &[words, &["--save", "3600 100000"]].concat());
        let mut client = connect(&server);
        assert_eq!(say(&mut client, "DEBUG POPULATE 2000 key 100"), "OK");
        assert_eq!(say(&mut client, "SHUTDOWN ABORT"), "-ERR No shutdown in progress.");
        assert_eq!(say(&mut client, "SHUTDOWN ABORT NOW"), "-ERR syntax error");
        assert_eq!(say(&mut client, "CONFIG SET rdb-key-save-delay 100000"), "OK");
        let mut asker = connect(&server);
        asker.send(&["SHUTDOWN", "SAVE"]).expect("room");
        eventually("it saves", || info_number(&mut client, "persistence", "current_save_keys_processed") > 0);
        assert_eq!(say(&mut client, "GET key:1").trim_end_matches('\0'), "value:1");
        let mut writer = connect(&server);
        writer.send(&["SET", "written", "1"]).expect("room");
        if policy == "with logs" {
            assert_eq!(super::short(&writer.receive().expect("a reply")), "OK");
        }
        assert_eq!(say(&mut client, "SHUTDOWN ABORT"), "OK");
        let answer = super::short(&asker.receive().expect("a reply"));
        assert_eq!(answer, "-ERR Errors trying to SHUTDOWN. Check logs.");
        if policy == "without logs" {
            assert_eq!(super::short(&writer.receive().expect("a reply")), "OK");
        }
        // What was given up has not failed.
        assert_eq!(say(&mut client, "SET written 2"), "OK");
        assert_eq!(say(&mut client, "GET written"), "2");
        assert_eq!(say(&mut client, "SHUTDOWN ABORT"), "-ERR No shutdown in progress.");
        assert_eq!(say(&mut client, "CONFIG SET rdb-key-save-delay 0"), "OK");
        saved(&mut client);
        eventually("the next one succeeds", || say(&mut client, "SAVE") == "OK");
        client.send(&["SHUTDOWN", "NOSAVE"]).expect("room");
        ended(server);
    }
}

#[test]
fn a_snapshot_that_cannot_be_made_refuses_writes_and_the_end() {
    const REFUSED: &str = "-MISCONF Redis is configured to save RDB snapshots";
    let store = Store::new();
    let server = store.open(2, &["--appendonly", "no", "--save", "3600 1"]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "SET a 1"), "OK");
    let blocked = block(&store);
    assert_eq!(say(&mut client, "SAVE"), "-ERR");
    assert_eq!(info(&mut client, "persistence", "rdb_last_bgsave_status"), "err");
    assert!(say(&mut client, "SET a 2").starts_with(REFUSED));
    assert!(say(&mut client, "PING").starts_with(REFUSED));
    assert_eq!(say(&mut client, "GET a"), "1");
    assert_eq!(
        say(&mut client, "CONFIG SET appendonly yes"),
        "-ERR CONFIG SET failed (possibly related to argument 'appendonly') - Unable to turn on AOF. Check server logs."
    );
    assert_eq!(say(&mut client, "CONFIG GET appendonly"), "[appendonly no]");
    assert_eq!(say(&mut client, "SHUTDOWN"), "-ERR Errors trying to SHUTDOWN. Check logs.");
    server.signal("TERM").expect("it runs");
    eventually("it refuses", || server.log().contains("A signal asked for the end"));
    assert_eq!(say(&mut client, "CONFIG SET stop-writes-on-bgsave-error no"), "OK");
    assert_eq!(say(&mut client, "SET a 3"), "OK");
    assert_eq!(say(&mut client, "PING"), "PONG");
    assert_eq!(say(&mut client, "CONFIG SET stop-writes-on-bgsave-error yes"), "OK");
    assert!(say(&mut client, "SET a 4").starts_with(REFUSED));
    drop(blocked);
    assert_eq!(say(&mut client, "BGSAVE"), "Background saving started");
    eventually("writes are taken again", || say(&mut client, "SET a 5") == "OK");
    let blocked = Path::new(&store.0).join("appendonlydir");
    assert!(blocked.is_dir());
    client.send(&["SHUTDOWN", "FORCE"]).expect("room");
    ended(server);
    let server = store.open(1, BARE);
    assert_eq!(say(&mut connect(&server), "GET a"), "5");
}

/// Text that does not compress; another one for each number.
fn noise(number: u64, length: usize) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + (state >> 58) as u8)
    };
    (0..length).map(letter).collect()
}

#[test]
fn logs_that_have_grown_enough_are_compacted() {
    let store = Store::new();
    let words = ["--auto-aof-rewrite-percentage", "100", "--auto-aof-rewrite-min-size", "1mb"];
    let server = store.open(2, &[LOGGED, &words].concat());
    let mut client = connect(&server);
    let sizes = |client: &mut Client| {
        ["aof_base_size", "aof_current_size"].map(|field| info_number(client, "persistence", field))
    };
    for round in 1..3 {
        // The second time it needs twice as much as is in the first snapshot.
        let mut number = 0;
        eventually("it is compacted", || {
            for _ in 0..10 {
                number += 1;
                assert_eq!(say(&mut client, &format!("SET key:{} {}", number % 60, noise(number, 10_000))), "OK");
            }
            info_number(&mut client, "persistence", "rdb_saves") >= round
        });
        let [base, current] = sizes(&mut client);
        assert!(base > 0 && current >= base, "{base}, {current}");
    }
    assert!(server.log().contains("Starting automatic rewriting of AOF on "), "{}", server.log());
    let [base, before] = sizes(&mut client);
    assert_eq!(say(&mut client, &format!("SET more {}", noise(0, 200_000))), "OK");
    assert_eq!(say(&mut client, "WAITAOF 1 0 0"), "[1 0]");
    let [same, after] = sizes(&mut client);
    assert!(same != base || after >= before + 200_000, "{base}, {before}, {same}, {after}");
    terminate(server);
    // A start finds how much there is.
    let server = store.open(3, &[LOGGED, &["--auto-aof-rewrite-percentage", "0"]].concat());
    let [found, current] = sizes(&mut connect(&server));
    assert!(found > 0 && current >= found, "{found}, {current}");
    if found == same {
        assert!(current >= after, "{current}, {after}");
    }
}

/// With the store's folder gone no further segment can be made. The server must not wait for one when it ends.
#[test]
fn a_server_that_has_no_room_for_its_log_ends() {
    let store = Store::new();
    let server = store.open(2, LOGGED);
    let mut client = connect(&server);
    std::fs::rename(store.0.join("appendonlydir"), store.0.join("elsewhere")).expect("a folder");
    let mut number = 0;
    eventually("it is refused", || {
        number += 1;
        say(&mut client, &format!("SET key:{number} {}", noise(number, 100_000))).starts_with("-MISCONF")
    });
    assert!(server.log().contains("next segment cannot be made"), "{}", server.log());
    server.signal("TERM").expect("it runs");
    ended(server);
}

/// One shard's log has failed, and the other has records that it has not written yet: the end waits for those.
#[test]
fn the_end_waits_for_the_logs_that_can_be_written() {
    let store = Store::new();
    let server = store.open(2, LOGGED);
    let mut client = connect(&server);
    // Of the two, b belongs to the first shard.
    assert_eq!(say(&mut client, "MSET a 1 b 1"), "OK");
    assert_eq!(say(&mut client, "WAITAOF 1 0 0"), "[1 0]");
    assert_eq!(say(&mut client, "DEBUG LOG-FAULT EIO 1"), "OK");
    // So much is written at once, and fails; what is little waits for the next cut.
    let mark = "waits-for-the-next-cut";
    let much = noise(1, 300_000);
    let lines = [vec!["SET", "b", mark], vec!["SET", "a", &much]];
    client.pipeline(&lines).expect("replies");
    eventually("it has failed", || server.log().contains("The log of shard 1 has failed"));
    client.send(&["SHUTDOWN"]).expect("room");
    ended(server);
    let holds = |path: &std::path::PathBuf| {
        let bytes = std::fs::read(path).expect("a segment");
        bytes.windows(mark.len()).any(|window| window == mark.as_bytes())
    };
    assert!(store.segments().iter().any(holds), "the record was thrown away");
}

#[test]
fn snapshots_are_compressed_and_checked_as_they_are_told() {
    let mut bytes = Vec::new();
    let unchecked = ["--rdbchecksum", "no", "--rdbcompression", "no"];
    for words in [&["--rdbcompression", "yes"][..], &["--rdbcompression", "no"], &unchecked] {
        let store = Store::new();
        let server = store.open(1, &[BARE, words].concat());
        let mut client = connect(&server);
        assert_eq!(say(&mut client, &format!("SET repeated {}", "abc".repeat(30_000))), "OK");
        assert_eq!(say(&mut client, "SAVE"), "OK");
        kill(server);
        let path = store.0.join("appendonlydir/snapshot-1/shard-0.snap");
        let mut file = std::fs::read(&path).expect("a snapshot");
        bytes.push(file.len());
        // A byte within the value.
        let at = file.len() / 2;
        file[at] ^= 1;
        std::fs::write(&path, &file).expect("written");
        match store.try_open(2, BARE) {
            Ok(_) => assert_eq!(words, unchecked),
            Err(why) => assert!(words != unchecked && why.contains("CRC"), "{words:?}: {why}"),
        }
    }
    assert!(bytes[0] * 4 < bytes[1], "{bytes:?}");
}

/// While a snapshot is made nothing is synced by the clock, whatever the policy; who asks for it gets it.
#[test]
fn the_disk_may_be_left_to_a_snapshot() {
    let store = Store::new();
    let words = ["--no-appendfsync-on-rewrite", "yes", "--appendfsync", "always"];
    let server = store.open(1, &[LOGGED, &words].concat());
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "DEBUG POPULATE 2000 key 100"), "OK");
    assert_eq!(say(&mut client, "CONFIG SET rdb-key-save-delay 100000"), "OK");
    assert_eq!(say(&mut client, "BGSAVE"), "Background saving started");
    eventually("it saves", || info_number(&mut client, "persistence", "current_save_keys_processed") > 0);
    let lag = |client: &mut Client| {
        let log = info(client, "pinyon", "pinyon_log0");
        let lag = log.split(',').find_map(|field| field.strip_prefix("lag=")).expect("a lag").to_owned();
        lag.parse::<u64>().expect("a number")
    };
    let mut number = 0;
    eventually("writes are answered before they are synced", || {
        number += 1;
        assert_eq!(say(&mut client, &format!("SET during {number}")), "OK");
        lag(&mut client) > 0
    });
    assert_eq!(say(&mut client, "WAITAOF 1 0 0"), "[1 0]");
    assert_eq!(say(&mut client, "CONFIG SET rdb-key-save-delay 0"), "OK");
    saved(&mut client);
    eventually("they are synced again", || lag(&mut client) == 0);
    assert_eq!(say(&mut client, "SET after 1"), "OK");
    kill(server);
    let server = store.open(1, LOGGED);
    assert_eq!(say(&mut connect(&server), "MGET during after"), format!("[{number} 1]"));
}

#[test]
fn the_folder_of_snapshots_moves_while_there_are_no_logs() {
    let (here, there) = (Store::new(), Store::new());
    let allowed = ["--enable-protected-configs", "yes"];
    let server = here.open(2, &[BARE, &allowed].concat());
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "SET a 1"), "OK");
    assert_eq!(say(&mut client, "SAVE"), "OK");
    let refused = "-ERR CONFIG SET failed (possibly related to argument 'appenddirname') - can't set immutable config";
    assert_eq!(say(&mut client, "CONFIG SET appenddirname other"), refused);
    assert_eq!(say(&mut client, &format!("CONFIG SET dir {}", there.0.display())), "OK");
    assert_eq!(say(&mut client, "SET a 2"), "OK");
    assert_eq!(say(&mut client, "SAVE"), "OK");
    let refused = say(&mut client, &format!("CONFIG SET dir {}", here.0.display()));
    assert!(refused.contains("there is a store in it"), "{refused}");
    switch(&mut client, "yes");
    based(&mut client);
    let refused = say(&mut client, "CONFIG SET dir /");
    assert!(refused.contains("the logs stay where they are"), "{refused}");
    kill(server);
    for (store, value) in [(&here, "1"), (&there, "2")] {
        let server = store.open(1, LOGGED);
        assert_eq!(say(&mut connect(&server), "GET a"), value);
    }
}

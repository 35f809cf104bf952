//! MULTI, EXEC, DISCARD, WATCH and UNWATCH, over keys of three shards, in the words of redis-server 7.0.15.

use pinyon_testkit::{Client, Value};

use super::durability::Store;
use super::{connect, eventually, info_number, short, start};

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.";
const QUEUED: &str = "QUEUED";

/// Sends lines and compares what comes back, as `short` writes it.
#[track_caller]
fn expect(client: &mut Client, dialogue: &[(&str, &str)]) {
    for (line, wanted) in dialogue {
        let got = client.line(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(short(&got), *wanted, "{line}");
    }
}

#[test]
fn queued_commands_run_together() {
    let server = start(&[]);
    let mut client = connect(&server);
    expect(
        &mut client,
        &[
            ("MULTI", "OK"),
            ("SET a 1", QUEUED),
            ("INCR b", QUEUED),
            ("MSET c 3 d 4 e 5", QUEUED),
            ("MGET a b c d e", QUEUED),
            ("RENAME e f", QUEUED),
            ("COPY f g", QUEUED),
            ("MSETNX x 1 y 2 z 3", QUEUED),
            ("MSETNX x 1 y 2 w 3", QUEUED),
            ("DEL a b c", QUEUED),
            ("LCS f g", QUEUED),
            ("EXISTS a d f g", QUEUED),
            ("DBSIZE", QUEUED),
            ("PING", QUEUED),
            ("EXEC", "[OK 1 OK [1 1 3 4 5] OK 1 1 0 3 5 3 6 PONG]"),
            ("GET a", "nil"),
            ("EXEC", "-ERR EXEC without MULTI"),
            ("DISCARD", "-ERR DISCARD without MULTI"),
            ("MULTI", "OK"),
            ("EXEC", "[]"),
        ],
    );
}

#[test]
fn errors_while_queueing_abort_and_errors_at_run_time_do_not() {
    let server = start(&[]);
    let mut client = connect(&server);
    expect(
        &mut client,
        &[
            ("MULTI", "OK"),
            ("SET a 1", QUEUED),
            ("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: "),
            ("SET b 1", QUEUED),
            ("EXEC", ABORTED),
            ("EXISTS a b", "0"),
            ("MULTI", "OK"),
            ("SET a", "-ERR wrong number of arguments for 'set' command"),
            ("EXEC", ABORTED),
            ("MULTI", "OK"),
            ("SHUTDOWN", "-ERR Command not allowed inside a transaction"),
            ("EXEC", ABORTED),
            ("MULTI", "OK"),
            ("CLIENT NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP."),
            ("EXEC", ABORTED),
            ("MULTI", "OK"),
            ("SET a text", QUEUED),
            ("INCR a", QUEUED),
            ("RENAME nosuch other", QUEUED),
            ("COPY a a", QUEUED),
            ("CONFIG SET nosuch 1", QUEUED),
            ("SET b 2", QUEUED),
            (
                "EXEC",
                "[OK -ERR value is not an integer or out of range -ERR no such key \
                 -ERR source and destination objects are the same \
                 -ERR Unknown option or number of arguments for CONFIG SET - 'nosuch' OK]",
            ),
            ("MGET a b", "[text 2]"),
            ("MULTI", "OK"),
            ("MULTI", "-ERR MULTI calls can not be nested"),
            ("WATCH a", "-ERR WATCH inside MULTI is not allowed"),
            ("MONITOR", QUEUED),
            ("EXEC", "[-ERR MONITOR isn't allowed for DENY BLOCKING client]"),
            ("MULTI", "OK"),
            ("EXEC now", "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"),
            ("PING", "PONG"),
            ("MULTI", "OK"),
            ("SET a never", QUEUED),
            ("DISCARD", "OK"),
            ("GET a", "text"),
        ],
    );
}

#[test]
fn databases_and_the_server_s_own_commands_in_their_place() {
    let server = start(&[]);
    let mut client = connect(&server);
    expect(
        &mut client,
        &[
            ("MSET a 0 b 0 c 0", "OK"),
            ("MULTI", "OK"),
            ("SET a 00", QUEUED),
            ("SELECT 1", QUEUED),
            ("SET a 1", QUEUED),
            ("SELECT 99", QUEUED),
            ("MGET a b c", QUEUED),
            ("SELECT 0", QUEUED),
            ("MGET a b c", QUEUED),
            ("SWAPDB 0 1", QUEUED),
            ("MGET a b c", QUEUED),
            ("CONFIG SET slowlog-max-len 77", QUEUED),
            ("CONFIG GET slowlog-max-len", QUEUED),
            ("SELECT 1", QUEUED),
            ("DBSIZE", QUEUED),
            ("FLUSHDB", QUEUED),
            ("DBSIZE", QUEUED),
            ("MSETNX a 9 b 9 c 9", QUEUED),
            ("FLUSHALL ASYNC", QUEUED),
            ("KEYS *", QUEUED),
            ("RANDOMKEY", QUEUED),
            (
                "EXEC",
                "[OK OK OK -ERR DB index is out of range [1 nil nil] OK [00 0 0] OK [1 nil nil] OK \
                 [slowlog-max-len 77] OK 3 OK 0 1 OK [] nil]",
            ),
            ("SET k 1", "OK"),
            ("SELECT 0", "OK"),
            ("GET k", "nil"),
        ],
    );
}

#[test]
fn the_protocol_may_change_on_the_way() {
    let server = start(&[]);
    let mut client = connect(&server);
    expect(&mut client, &[("MULTI", "OK"), ("GET no", QUEUED), ("HELLO 3", QUEUED), ("GET no", QUEUED)]);
    client.send(&["EXEC"]).expect("sent");
    let (reply, bytes) = client.receive_with_bytes().expect("a reply");
    assert!(bytes.starts_with(b"*3\r\n$-1\r\n%7\r\n") && bytes.ends_with(b"_\r\n"), "{reply}");
}

#[test]
fn silence_inside_a_multi() {
    let server = start(&[]);
    for keys in [["a", "a"], ["a", "b"]] {
        let mut client = connect(&server);
        expect(&mut client, &[("MULTI", "OK")]);
        for line in [format!("SET {} 1", keys[0]), "CLIENT REPLY OFF".into(), format!("SET {} 2", keys[1])] {
            assert_eq!(short(&client.line(&line).expect("a reply")), QUEUED);
        }
        client.send(&["EXEC"]).expect("sent");
        client.send(&["CLIENT", "REPLY", "ON"]).expect("sent");
        let raw = client.receive_bytes(b"*3\r\n+OK\r\n+OK\r\n".len()).expect("what was not silent");
        assert_eq!(String::from_utf8_lossy(&raw), "*3\r\n+OK\r\n+OK\r\n");
        assert_eq!(short(&client.line(&format!("GET {}", keys[1])).expect("a reply")), "2");
    }
}

const GROUP_READ: [&str; 3] = ["XADD a 1-1 f v", "XGROUP CREATE a g 0", "XREADGROUP GROUP g c STREAMS a >"];

/// What somebody else does to watched keys between WATCH and EXEC, and whether it is a change.
#[test]
fn watched_keys() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut other = connect(&server);
    let cases: &[(&[&str], &str, &[&str], bool)] = &[
        (&["SET a 1"], "a", &["SET a 2"], true),
        (&["SET a 1"], "a", &["SET a 1"], true),
        (&["SET a 1"], "b", &["SET a 2"], false),
        (&["SET a 1"], "a b c", &["MSET x 1 c 2"], true),
        (&["SET a 1"], "a b c", &["MSET x 1 y 2"], false),
        (&["SET a 1"], "a", &["GET a"], false),
        (&["SET a 1"], "a", &["DEL a"], true),
        (&[], "a", &["DEL a"], false),
        (&["SET b 1"], "a", &["DEL a b"], false),
        (&["SET a 1"], "a", &["EXPIRE a 100"], true),
        (&["SET a 1"], "a", &["PERSIST a"], false),
        (&["SET a 1"], "a", &["APPEND a x"], true),
        (&["SET a 1"], "a", &["SETRANGE a 0 x"], true),
        (&["SET a 1"], "a", &["RENAME a z"], true),
        (&["SET a 1"], "z", &["RENAME a z"], true),
        (&["SET a 1", "SET z 1"], "z", &["RENAMENX a z"], false),
        (&["SET a 1"], "a", &["COPY a z"], false),
        (&["SET a 1"], "z", &["COPY a z"], true),
        (&["SET a 1"], "a", &["MOVE a 1"], true),
        (&["SET a 1"], "a", &["FLUSHALL"], true),
        (&[], "a", &["FLUSHALL"], false),
        (&["SET a 1"], "a", &["FLUSHDB"], true),
        (&["SET a 1"], "a", &["SWAPDB 0 1"], true),
        (&[], "a", &["SWAPDB 0 1"], false),
        (&["SET a 1"], "a", &["SWAPDB 0 0"], false),
        (&["SET a 1"], "a", &["SELECT 1", "SET a 2", "SELECT 0"], false),
        (&["SET a 1"], "a", &["MSETNX a 1 b 2 c 3"], false),
        (&["SET a 1"], "a", &["MULTI", "SET a 1", "SET b 1", "EXEC"], true),
        (&["SET a 1"], "a", &["MULTI", "SET a 1", "DISCARD"], false),
        (&["SET a 1 PXAT 1"], "a", &["DEL a"], false),
        (&["DEBUG SET-ACTIVE-EXPIRE 0", "SET a 1 PX 1", "DEBUG SLEEP 0.01"], "a", &["DEL a"], false),
        (&["DEBUG SET-ACTIVE-EXPIRE 0", "SET a 1 PX 1", "DEBUG SLEEP 0.01"], "a", &["FLUSHALL"], false),
        (&["DEBUG SET-ACTIVE-EXPIRE 0", "SET a 1 PX 300"], "a b c d", &["DEBUG SLEEP 0.35"], true),
        (&["DEBUG SET-ACTIVE-EXPIRE 1", "SET a 1 PX 300"], "a b c d", &["DEBUG SLEEP 0.35"], true),
        // The groups of a stream are not seen, its entries are.
        (&["XADD a 1-1 f v"], "a", &["XGROUP CREATE a g 0"], false),
        (&[], "a", &["XGROUP CREATE a g 0 MKSTREAM"], true),
        (&["XADD a 1-1 f v", "XGROUP CREATE a g 0"], "a", &["XGROUP SETID a g 1-1"], false),
        (&["XADD a 1-1 f v", "XGROUP CREATE a g 0"], "a", &["XGROUP DESTROY a g"], false),
        (&["XADD a 1-1 f v", "XGROUP CREATE a g 0"], "a", &["XREADGROUP GROUP g c STREAMS a >"], false),
        (&GROUP_READ, "a", &["XACK a g 1-1"], false),
        (&GROUP_READ, "a", &["XCLAIM a g d 0 1-1"], false),
        (&GROUP_READ, "a", &["XAUTOCLAIM a g d 0 0"], false),
        (&["XADD a 1-1 f v"], "a", &["XSETID a 9-9"], false),
        (&["XADD a 1-1 f v"], "a", &["XDEL a 1-1"], true),
        // A bit that stays as it is changes nothing.
        (&["SET a abc"], "a", &["SETBIT a 0 0"], false),
        (&["SET a abc"], "a", &["SETBIT a 0 1"], true),
        (&["SET a abc"], "a", &["BITFIELD a SET u8 0 97"], false),
        (&["SET a 12"], "a", &["BITFIELD a SET u8 0 97"], true),
    ];
    // The EXEC on the shard of one key, on three shards, with commands of the server's own, and of nothing.
    let queues = [&["SET q 1"][..], &["SET q 1", "SET r 1", "SET s 1"], &["SET q 1", "CLIENT GETNAME"], &[]];
    for (before, watched, between, changed) in cases {
        for queue in queues {
            let mut client = connect(&server);
            let all = |client: &mut Client, lines: &[&str]| {
                lines.iter().for_each(|line| drop(client.line(line).expect("a reply")));
            };
            all(&mut other, &["FLUSHALL", "SELECT 0"]);
            all(&mut other, before);
            assert_eq!(short(&client.line(&format!("WATCH {watched}")).expect("a reply")), "OK");
            all(&mut other, between);
            expect(&mut client, &[("MULTI", "OK")]);
            queue.iter().for_each(|line| expect(&mut client, &[(line, QUEUED)]));
            let reply = client.line("EXEC").expect("a reply");
            let nothing = matches!(reply, Value::NullArray | Value::Null);
            assert_eq!(nothing, *changed, "WATCH {watched}, {between:?}, {queue:?}: {reply}");
            assert_eq!(short(&other.line("EXISTS q").expect("a reply")) == "0", nothing || queue.is_empty());
        }
    }
}

#[test]
fn what_ends_watching() {
    let server = start(&[]);
    let mut client = connect(&server);
    let mut other = connect(&server);
    for end in ["UNWATCH", "DISCARD", "EXEC", "RESET"] {
        expect(&mut client, &[("WATCH a b c d e f", "OK")]);
        if end == "DISCARD" || end == "EXEC" {
            expect(&mut client, &[("MULTI", "OK")]);
        }
        client.line(end).expect("a reply");
        expect(&mut other, &[("MSET a 1 b 2 c 3 d 4 e 5 f 6", "OK")]);
        expect(&mut client, &[("MULTI", "OK"), ("PING", QUEUED), ("EXEC", "[PONG]")]);
    }
    // One's own changes count, too.
    expect(&mut client, &[("WATCH a b", "OK"), ("SET b 1", "OK"), ("MULTI", "OK"), ("PING", QUEUED), ("EXEC", "nil")]);
    expect(&mut client, &[("MULTI", "OK"), ("PING", QUEUED), ("EXEC", "[PONG]")]);
    // A dirty client stays so whatever else it watches.
    expect(&mut client, &[("WATCH a", "OK"), ("SET a 1", "OK"), ("WATCH b", "OK"), ("MULTI", "OK"), ("EXEC", "nil")]);
    expect(&mut client, &[("WATCH a", "OK"), ("SET a 1", "OK"), ("UNWATCH", "OK"), ("MULTI", "OK"), ("EXEC", "[]")]);
    // Inside a MULTI it is only queued, and comes too late.
    expect(&mut client, &[("WATCH a", "OK"), ("SET a 1", "OK"), ("MULTI", "OK"), ("UNWATCH", QUEUED), ("EXEC", "nil")]);
}

#[test]
fn connections_that_end_in_between() {
    let server = start(&[]);
    let mut other = connect(&server);
    let mut client = connect(&server);
    expect(&mut client, &[("WATCH a b c", "OK"), ("MULTI", "OK"), ("SET a 1", QUEUED)]);
    assert_eq!(info_number(&mut other, "clients", "watching_clients"), 1);
    assert_eq!(info_number(&mut other, "clients", "total_watched_keys"), 3);
    drop(client);
    eventually("it is gone", || info_number(&mut other, "clients", "connected_clients") == 1);
    assert_eq!(info_number(&mut other, "clients", "watching_clients"), 0);
    expect(&mut other, &[("EXISTS a", "0")]);
    let mut client = connect(&server);
    expect(
        &mut client,
        &[("MULTI", "OK"), ("SET a 1", QUEUED), ("RESET", "RESET"), ("EXEC", "-ERR EXEC without MULTI")],
    );
    expect(&mut client, &[("MULTI", "OK"), ("SET a 1", QUEUED), ("QUIT", "OK")]);
    assert_eq!(client.receive_to_end().expect("an end"), b"");
    expect(&mut other, &[("EXISTS a", "0")]);
    // What was sent with EXEC is done, whether anybody waits for the reply or not.
    for round in 0..30 {
        let mut client = connect(&server);
        let keys: Vec<String> = (0..6).map(|key| format!("r{round}k{key}")).collect();
        let sets: String = keys.iter().map(|key| format!("SET {key} 1\r\n")).collect();
        client.send_raw(format!("MULTI\r\n{sets}EXEC\r\n").as_bytes()).expect("sent");
        drop(client);
        let there = format!("EXISTS {}", keys.join(" "));
        let mut last = 0;
        eventually("it is done or never came", || {
            last = other.line(&there).expect("a reply").as_int().expect("a number");
            assert!(last == 0 || last == 6, "half a transaction: {last}");
            last == 6 || info_number(&mut other, "clients", "connected_clients") == 1
        });
    }
}

#[test]
fn clients_show_what_they_are_at() {
    let server = start(&[]);
    let mut client = connect(&server);
    let mut other = connect(&server);
    let id = client.line("CLIENT ID").expect("a reply").as_int().expect("a number");
    let mut line = || short(&other.line(&format!("CLIENT LIST ID {id}")).expect("a reply"));
    assert!(line().contains(" flags=N ") && line().contains(" multi=-1 "), "{}", line());
    expect(&mut client, &[("WATCH a", "OK"), ("MULTI", "OK"), ("PING", QUEUED), ("PING", QUEUED)]);
    assert!(line().contains(" flags=x ") && line().contains(" multi=2 "), "{}", line());
    expect(&mut other, &[("SET a 1", "OK")]);
    let mut line = || short(&other.line(&format!("CLIENT LIST ID {id}")).expect("a reply"));
    eventually("its core knows", || line().contains(" flags=xd "));
    expect(&mut client, &[("EXEC", "nil"), ("MULTI", "OK"), ("CLIENT INFO", QUEUED)]);
    let info = short(&client.line("EXEC").expect("a reply"));
    assert!(info.contains(" flags=x ") && info.contains(" multi=1 "), "{info}");
    assert!(line().contains(" flags=N ") && line().contains(" multi=-1 "), "{}", line());
}

#[test]
fn monitors_see_the_commands_of_a_multi_and_then_exec() {
    let server = start(&[]);
    let mut monitor = connect(&server);
    expect(&mut monitor, &[("MONITOR", "OK")]);
    let mut client = connect(&server);
    let mut shown = |lines: &[&str]| {
        for wanted in lines {
            let line = short(&monitor.receive().expect("a line"));
            assert!(line.ends_with(wanted), "{wanted}: {line}");
        }
    };
    for keys in ["a", "b", "c", "a b c"] {
        let keys: Vec<&str> = keys.split(' ').collect();
        client.line("MULTI").expect("a reply");
        let sets: Vec<String> = keys.iter().map(|key| format!("set {key} 1")).collect();
        sets.iter().for_each(|line| expect(&mut client, &[(line, QUEUED)]));
        client.line("exec").expect("a reply");
        shown(&["\"MULTI\""]);
        for key in &keys {
            shown(&[&format!("\"set\" \"{key}\" \"1\"")]);
        }
        shown(&["\"exec\""]);
    }
}

#[test]
fn memory_that_is_short() {
    let server = start(&[]);
    let mut client = connect(&server);
    let mut other = connect(&server);
    let oom = "-OOM command not allowed when used memory > 'maxmemory'.";
    expect(&mut other, &[("CONFIG SET maxmemory 1", "OK")]);
    // Nothing is queued, not even reads.
    expect(&mut client, &[("MULTI", "OK"), ("GET a", oom), ("EXEC", ABORTED)]);
    expect(&mut client, &[("MULTI", "OK"), ("DISCARD", "OK"), ("MULTI", "OK"), ("EXEC", "[]")]);
    expect(&mut other, &[("CONFIG SET maxmemory 0", "OK")]);
    expect(&mut client, &[("MULTI", "OK"), ("SET a 1", QUEUED), ("SET b 1", QUEUED), ("GET a", QUEUED)]);
    expect(&mut other, &[("CONFIG SET maxmemory 1", "OK")]);
    let aborted =
        "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.";
    expect(&mut client, &[("EXEC", aborted), ("EXEC", "-ERR EXEC without MULTI"), ("EXISTS a b", "0")]);
    // Reads alone run.
    expect(&mut other, &[("CONFIG SET maxmemory 0", "OK")]);
    expect(&mut client, &[("MULTI", "OK"), ("GET a", QUEUED), ("DEL a b c", QUEUED)]);
    expect(&mut other, &[("CONFIG SET maxmemory 1", "OK")]);
    expect(&mut client, &[("EXEC", "[nil 0]")]);
    // What is too much by a command of the MULTI itself is none of its business.
    expect(&mut other, &[("CONFIG SET maxmemory 0", "OK")]);
    expect(&mut client, &[("MULTI", "OK"), ("CONFIG SET maxmemory 1", QUEUED), ("MSET a 1 b 1 c 1", QUEUED)]);
    expect(&mut client, &[("EXEC", "[OK OK]"), ("MSET a 1 b 1 c 1", oom)]);
}

#[test]
fn a_multi_in_a_pipeline_keeps_its_place() {
    let server = start(&[]);
    let mut client = connect(&server);
    let lines = "SET a 1\r\nSET b 1\r\nMULTI\r\nINCR a\r\nINCR b\r\nINCR c\r\nEXEC\r\nGET a\r\nMULTI\r\nGET b\r\nEXEC\r\nMGET a b c\r\nWATCH a b\r\nSET b 5\r\nMULTI\r\nPING\r\nEXEC\r\nDBSIZE\r\n";
    for _ in 0..50 {
        client.send_raw(b"FLUSHALL\r\n").expect("sent");
        client.send_raw(lines.as_bytes()).expect("sent");
        let wanted = "OK OK OK OK QUEUED QUEUED QUEUED [2 2 1] 2 OK QUEUED [2] [2 2 1] OK OK OK QUEUED nil 3";
        let got: Vec<String> = (0..19).map(|_| short(&client.receive().expect("a reply"))).collect();
        assert_eq!(got.join(" "), wanted);
    }
}

/// A pause of writes holds an EXEC that writes, and no other.
#[test]
fn pauses_hold_an_exec_that_writes() {
    let server = start(&[]);
    let mut client = connect(&server);
    let mut other = connect(&server);
    expect(&mut client, &[("MULTI", "OK"), ("SET a 1", QUEUED), ("SET b 1", QUEUED)]);
    let mut reader = connect(&server);
    expect(&mut reader, &[("MULTI", "OK"), ("GET a", QUEUED), ("GET b", QUEUED)]);
    expect(&mut other, &[("CLIENT PAUSE 100000 WRITE", "OK")]);
    client.send(&["EXEC"]).expect("sent");
    expect(&mut reader, &[("EXEC", "[nil nil]")]);
    expect(&mut other, &[("EXISTS a b", "0"), ("CLIENT UNPAUSE", "OK")]);
    assert_eq!(short(&client.receive().expect("a reply")), "[OK OK]");
}

/// Inline commands that have to wait are not forgotten: neither for a pause nor for replies that are under way.
#[test]
fn commands_sent_as_lines_wait_like_others() {
    let server = start(&[]);
    let mut client = connect(&server);
    let mut other = connect(&server);
    expect(&mut other, &[("CLIENT PAUSE 100000 WRITE", "OK")]);
    client.send_raw(b"SET a 1\r\nGET a\r\n").expect("sent");
    expect(&mut other, &[("EXISTS a", "0"), ("CLIENT UNPAUSE", "OK")]);
    assert_eq!(short(&client.receive().expect("a reply")), "OK");
    assert_eq!(short(&client.receive().expect("a reply")), "1");
}

/// CONFIG SET in an EXEC once waited for a cut over all logs, which waited for the keys that the EXEC held: for ever.
#[test]
fn a_config_set_that_concerns_the_logs_does_not_wait_for_its_own_exec() {
    let store = Store::new();
    let server = store.open(3, &[]);
    let mut client = connect(&server);
    for policy in ["always", "everysec"] {
        let set = format!("CONFIG SET appendfsync {policy}");
        expect(&mut client, &[("MULTI", "OK"), ("MSET a 1 b 2 c 3", QUEUED), (&set, QUEUED), ("EXEC", "[OK OK]")]);
        expect(
            &mut client,
            &[("MSET a 1 b 2 c 3", "OK"), ("CONFIG GET appendfsync", &format!("[appendfsync {policy}]"))],
        );
    }
    expect(&mut client, &[("MULTI", "OK"), ("MSET a 4 b 5", QUEUED), ("CONFIG SET appendonly no", QUEUED)]);
    let refused = "-ERR CONFIG SET failed (possibly related to argument 'appendonly') - it cannot be part of a MULTI";
    expect(&mut client, &[("EXEC", &format!("[OK {refused}]")), ("MGET a b", "[4 5]")]);
    expect(&mut client, &[("CONFIG SET appendonly no", "OK"), ("CONFIG SET appendonly yes", "OK"), ("SET a 7", "OK")]);
}

//! Keyspace events over the cores. Which commands make which events is tested in the engine, and beside redis-server.

use pinyon_testkit::{Client, Server};

use super::durability::{Store, terminate};
use super::{connect, eventually, say, short, start};

/// A connection that hears events of both ways.
fn listen(server: &Server) -> Client {
    let mut listener = connect(server);
    assert_eq!(say(&mut listener, "PSUBSCRIBE __key*"), "[psubscribe __key* 1]");
    listener
}

#[track_caller]
fn heard(listener: &mut Client) -> (String, String) {
    match listener.receive().expect("a message").as_array() {
        Some([_, _, channel, text]) => (short(channel), short(text)),
        other => panic!("no message: {other:?}"),
    }
}

/// What comes until there is an event of the key `last`: events with their keys.
#[track_caller]
fn events_up_to(listener: &mut Client, last: &str) -> Vec<String> {
    let mut events = Vec::new();
    loop {
        let (channel, text) = heard(listener);
        if let Some((_, event)) = channel.strip_prefix("__keyevent@").and_then(|rest| rest.split_once(':')) {
            if text == last {
                return events;
            }
            events.push(format!("{event} {text}"));
        }
    }
}

/// On every core one key, so that the events before are there when theirs are.
const LAST: [&str; 3] = ["key2", "c", "foo"];

#[track_caller]
fn all_events(listener: &mut Client, client: &mut Client) -> Vec<String> {
    let mut events = Vec::new();
    for key in LAST {
        say(client, &format!("SET {key} x"));
        events.extend(events_up_to(listener, key));
    }
    events
}

#[test]
fn events_of_all_cores_are_heard() {
    let server = start(&["--notify-keyspace-events", "KEA"]);
    let (mut listener, mut client) = (listen(&server), connect(&server));
    for number in 0..30 {
        let mut other = connect(&server);
        assert_eq!(say(&mut other, &format!("SET key:{number} v")), "OK");
        assert_eq!(heard(&mut listener), (format!("__keyspace@0__:key:{number}"), "set".to_owned()));
        assert_eq!(heard(&mut listener), ("__keyevent@0__:set".to_owned(), format!("key:{number}")));
    }
    // Over shards a command is one, and every shard tells its part.
    say(&mut client, "MSET a 1 b 2 d 3 e 4");
    let mut events = all_events(&mut listener, &mut client);
    events.sort();
    assert_eq!(events, ["set a", "set b", "set d", "set e"]);
    say(&mut client, "RENAME a z");
    say(&mut client, "COPY b y");
    let mut events = all_events(&mut listener, &mut client);
    events.sort();
    assert_eq!(events, ["copy_to y", "rename_from a", "rename_to z"]);
    // Sets that are lent to another shard do not come about there.
    for key in ["s1", "s2", "s3", "s4"] {
        say(&mut client, &format!("SADD {key} {key}"));
    }
    all_events(&mut listener, &mut client);
    assert_eq!(say(&mut client, "SUNIONSTORE union s1 s2 s3 s4"), "4");
    assert_eq!(all_events(&mut listener, &mut client), ["sunionstore union"]);
    say(&mut client, "RPUSH l1 x y");
    all_events(&mut listener, &mut client);
    for (source, target) in [("l1", "l2"), ("l2", "l3"), ("l3", "l4")] {
        assert_eq!(say(&mut client, &format!("LMOVE {source} {target} LEFT RIGHT")), "x");
        let mut events = all_events(&mut listener, &mut client);
        events.sort();
        let mut wanted = vec![format!("lpop {source}"), format!("rpush {target}")];
        if source != "l1" {
            wanted.insert(0, format!("del {source}"));
        }
        assert_eq!(events, wanted);
    }
    assert_eq!(say(&mut client, "MULTI"), "OK");
    for command in ["SET t1 v", "DEL t1 y", "INCR t2"] {
        assert_eq!(say(&mut client, command), "QUEUED");
    }
    assert_eq!(say(&mut client, "EXEC"), "[OK 2 1]");
    let mut events = all_events(&mut listener, &mut client);
    events.sort();
    assert_eq!(events, ["del t1", "del y", "incrby t2", "set t1"]);
}

#[test]
fn the_directive_changes_at_once() {
    let server = start(&[]);
    let (mut listener, mut client) = (listen(&server), connect(&server));
    say(&mut client, "SET quiet v");
    assert_eq!(say(&mut client, "CONFIG SET notify-keyspace-events Elg"), "OK");
    assert_eq!(say(&mut client, "CONFIG GET notify-keyspace-events"), "[notify-keyspace-events glE]");
    for command in ["SET quiet v", "RPUSH list x", "DEL quiet", "DEL list"] {
        say(&mut client, command);
    }
    let mut events: Vec<(String, String)> = (0..3).map(|_| heard(&mut listener)).collect();
    events.sort();
    let event = |event: &str, key: &str| (format!("__keyevent@0__:{event}"), key.to_owned());
    assert_eq!(events, [event("del", "list"), event("del", "quiet"), event("rpush", "list")]);
    assert_eq!(say(&mut client, "CONFIG SET notify-keyspace-events KA"), "OK");
    say(&mut client, "SET k v");
    assert_eq!(heard(&mut listener), ("__keyspace@0__:k".to_owned(), "set".to_owned()));
    // Whoever begins to listen does not hear of what was before, be it in the same breath.
    let mut late = connect(&server);
    late.send_raw(b"SET k w\r\nSUBSCRIBE __keyspace@0__:k\r\n").expect("sent");
    assert_eq!(short(&late.receive().expect("a reply")), "OK");
    assert_eq!(short(&late.receive().expect("the confirmation")), "[subscribe __keyspace@0__:k 1]");
    let mut writer = connect(&server);
    say(&mut writer, "DEL k");
    assert_eq!(short(&late.receive().expect("a message")), "[message __keyspace@0__:k del]");
}

#[test]
fn what_goes_by_itself_is_told() {
    let server = start(&["--notify-keyspace-events", "Exe", "--maxmemory-policy", "allkeys-lru"]);
    let (mut listener, mut client) = (listen(&server), connect(&server));
    for number in 0..20 {
        say(&mut client, &format!("SET due:{number} v PX 20"));
    }
    let mut gone: Vec<String> = (0..20).map(|_| heard(&mut listener).1).collect();
    gone.sort();
    gone.dedup();
    assert_eq!(gone.len(), 20);
    for number in 0..200 {
        say(&mut client, &format!("SET key:{number} {}", "x".repeat(1000)));
    }
    assert_eq!(say(&mut client, "CONFIG SET maxmemory 1"), "OK");
    let (channel, key) = heard(&mut listener);
    assert_eq!(channel, "__keyevent@0__:evicted");
    eventually("it is gone", || say(&mut client, &format!("EXISTS {key}")) == "0");
}

/// What is loaded is not news; and under `always` nothing is told before it is durable.
#[test]
fn events_and_the_log() {
    let store = Store::new();
    let words = ["--notify-keyspace-events", "KEA", "--appendfsync", "always"];
    let server = store.open(3, &words);
    let (mut listener, mut client) = (listen(&server), connect(&server));
    for number in 0..100 {
        say(&mut client, &format!("SET key:{number} v"));
        assert_eq!(heard(&mut listener), (format!("__keyspace@0__:key:{number}"), "set".to_owned()));
        heard(&mut listener);
    }
    // Also what takes several steps on several shards.
    say(&mut client, "DEL key:1");
    all_events(&mut listener, &mut client);
    for number in 2..20 {
        assert_eq!(say(&mut client, &format!("RENAME key:{number} key:1")), "OK");
        let mut events = all_events(&mut listener, &mut client);
        events.sort();
        assert_eq!(events, [format!("rename_from key:{number}"), "rename_to key:1".to_owned()]);
    }
    // A listener that writes hears of it, too.
    listener.send(&["RESET"]).expect("sent");
    assert_eq!(short(&listener.receive().expect("a reply")), "RESET");
    listener.hello3().expect("RESP3");
    say(&mut listener, "SUBSCRIBE __keyevent@0__:incrby");
    for number in 1..50 {
        listener.send(&["INCR", "counter"]).expect("sent");
        let mut both = [short(&listener.receive().expect("one")), short(&listener.receive().expect("the other"))];
        both.sort();
        assert_eq!(both, [number.to_string(), "[message __keyevent@0__:incrby counter]".to_owned()]);
    }
    terminate(server);
    let server = store.open(2, &words);
    let (mut listener, mut client) = (listen(&server), connect(&server));
    assert_eq!(say(&mut client, "GET key:99"), "v");
    assert!(all_events(&mut listener, &mut client).is_empty());
    terminate(server);
}

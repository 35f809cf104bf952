//! Publish and subscribe over the cores: who hears what, in which order, and what listeners may do.
//!
//! Replies and errors are those of redis-server 7.0.15.

use std::time::Duration;

use pinyon_testkit::{Client, Server, Value};

use super::{SHARDS, connect, eventually, info_number, is_closed, options, say, short, start};

/// Enough connections that every core has some.
const MANY: usize = 3 * SHARDS as usize;

#[track_caller]
fn heard(client: &mut Client) -> String {
    short(&client.receive().expect("a message"))
}

fn connect_many(server: &Server) -> Vec<Client> {
    (0..MANY).map(|_| connect(server)).collect()
}

#[test]
fn listeners_of_all_cores_hear() {
    let server = start(&[]);
    let mut listeners = connect_many(&server);
    for (number, listener) in listeners.iter_mut().enumerate() {
        assert_eq!(say(listener, "SUBSCRIBE news"), "[subscribe news 1]");
        if number % 2 == 0 {
            assert_eq!(say(listener, "PSUBSCRIBE n[aeiou]w*"), "[psubscribe n[aeiou]w* 2]");
        }
    }
    let total = MANY + MANY.div_ceil(2);
    for (number, mut publisher) in connect_many(&server).into_iter().enumerate() {
        assert_eq!(say(&mut publisher, "PUBLISH olds none"), "0");
        assert_eq!(say(&mut publisher, &format!("PUBLISH news {number}")), total.to_string());
        assert_eq!(say(&mut publisher, &format!("PUBLISH nowhere {number}")), MANY.div_ceil(2).to_string());
        assert_eq!(say(&mut publisher, "SPUBLISH news none"), "0", "shard channels are others");
        for (at, listener) in listeners.iter_mut().enumerate() {
            assert_eq!(heard(listener), format!("[message news {number}]"));
            if at % 2 == 0 {
                assert_eq!(heard(listener), format!("[pmessage n[aeiou]w* news {number}]"));
                assert_eq!(heard(listener), format!("[pmessage n[aeiou]w* nowhere {number}]"));
            }
        }
    }
    let mut asking = connect(&server);
    assert_eq!(say(&mut asking, "PUBSUB NUMSUB news olds"), format!("[news {MANY} olds 0]"));
    assert_eq!(say(&mut asking, "PUBSUB CHANNELS"), "[news]");
    assert_eq!(say(&mut asking, "PUBSUB CHANNELS o*"), "[]");
    assert_eq!(say(&mut asking, "PUBSUB NUMPAT"), "1");
    assert_eq!(info_number(&mut asking, "stats", "pubsub_channels"), 1, "one channel on three cores");
    assert_eq!(info_number(&mut asking, "stats", "pubsub_patterns"), 1);
    assert_eq!(say(&mut asking, "CLIENT LIST TYPE pubsub").lines().count(), MANY);
    assert!(say(&mut asking, "CLIENT LIST").contains(" flags=P db=0 sub=1 psub=1 ssub=0 "));
    assert_eq!(say(&mut asking, "CLIENT KILL TYPE pubsub"), MANY.to_string());
    assert!(listeners.iter_mut().all(is_closed));
    eventually("those who have gone are forgotten", || say(&mut asking, "PUBSUB CHANNELS") == "[]");
    assert_eq!(say(&mut asking, "PUBLISH news none"), "0");
}

/// Also in one pipeline, where later messages do not wait for the number of those who have heard earlier ones.
#[test]
fn messages_come_in_the_order_sent() {
    const MESSAGES: usize = 500;
    let server = start(&[]);
    let mut listeners = connect_many(&server);
    for listener in &mut listeners {
        say(listener, "SUBSCRIBE even odd");
        listener.receive().expect("the second confirmation");
    }
    let mut publishers = connect_many(&server);
    for publisher in &mut publishers {
        let channel = |number: usize| if number.is_multiple_of(2) { "even" } else { "odd" };
        let commands: Vec<Vec<String>> =
            (0..MESSAGES).map(|n| vec!["PUBLISH".to_owned(), channel(n).to_owned(), n.to_string()]).collect();
        let replies = publisher.pipeline(&commands).expect("replies");
        assert!(replies.iter().all(|reply| *reply == Value::Int(MANY as i64)));
        for listener in &mut listeners {
            for number in 0..MESSAGES {
                assert_eq!(heard(listener), format!("[message {} {number}]", channel(number)));
            }
        }
    }
}

#[test]
fn who_is_confirmed_hears_what_follows() {
    let server = start(&[]);
    let mut publishers = connect_many(&server);
    for round in 0..60 {
        let mut listener = connect(&server);
        let (word, kind) = [("SUBSCRIBE", "message"), ("SSUBSCRIBE", "smessage")][round % 2];
        say(&mut listener, &format!("{word} round:{round}"));
        let publish = if round % 2 == 0 { "PUBLISH" } else { "SPUBLISH" };
        for (number, publisher) in publishers.iter_mut().enumerate() {
            assert_eq!(say(publisher, &format!("{publish} round:{round} {number}")), "1");
            assert_eq!(heard(&mut listener), format!("[{kind} round:{round} {number}]"));
        }
    }
}

/// Whoever is told that something is written finds it, wherever it is.
#[test]
fn a_message_does_not_overtake_the_writes_before_it() {
    let server = start(&[]);
    let mut listeners = connect_many(&server);
    listeners.iter_mut().for_each(|listener| {
        say(listener, "SUBSCRIBE written");
    });
    let mut readers = connect_many(&server);
    let mut writer = connect(&server);
    for round in 0..50 {
        let mut commands: Vec<Vec<String>> =
            (0..20).map(|key| vec!["SET".to_owned(), format!("key:{key}"), round.to_string()]).collect();
        commands.push(vec!["PUBLISH".to_owned(), "written".to_owned(), round.to_string()]);
        let bytes: Vec<u8> = commands.iter().flat_map(|words| encoded(words)).collect();
        writer.send_raw(&bytes).expect("sent");
        for (listener, reader) in listeners.iter_mut().zip(&mut readers) {
            assert_eq!(heard(listener), format!("[message written {round}]"));
            for key in 0..20 {
                assert_eq!(say(reader, &format!("GET key:{key}")), round.to_string());
            }
        }
        for _ in 0..commands.len() {
            writer.receive().expect("a reply");
        }
    }
}

fn encoded(words: &[String]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes()));
    bytes
}

#[test]
fn what_listeners_may_say() {
    let server = start(&[]);
    let mut client = connect(&server);
    for word in ["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"] {
        assert_eq!(say(&mut client, word), format!("[{} nil 0]", word.to_ascii_lowercase()));
    }
    assert_eq!(say(&mut client, "SUBSCRIBE a"), "[subscribe a 1]");
    assert_eq!(say(&mut client, "SSUBSCRIBE s"), "[ssubscribe s 1]");
    let allowed = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
    for (command, name) in
        [("GET k", "get"), ("CLIENT LIST", "client|list"), ("MULTI", "multi"), ("PUBLISH a b", "publish")]
    {
        assert_eq!(say(&mut client, command), format!("-ERR Can't execute '{name}': {allowed}"));
    }
    assert_eq!(say(&mut client, "GET"), "-ERR wrong number of arguments for 'get' command");
    assert_eq!(say(&mut client, "PING"), "[pong ]");
    assert_eq!(say(&mut client, "PING hello"), "[pong hello]");
    assert_eq!(say(&mut client, "UNSUBSCRIBE b a"), "[unsubscribe b 1]");
    assert_eq!(heard(&mut client), "[unsubscribe a 0]");
    assert_eq!(say(&mut client, "PING"), "[pong ]", "there is a shard channel left");
    assert_eq!(say(&mut client, "SUNSUBSCRIBE"), "[sunsubscribe s 0]");
    assert_eq!(say(&mut client, "PING"), "PONG");
    assert_eq!(say(&mut client, "GET k"), "nil");

    say(&mut client, "PSUBSCRIBE *");
    assert_eq!(say(&mut client, "RESET"), "RESET");
    assert_eq!(say(&mut client, "PUBLISH a b"), "0");

    // In RESP3 messages are something else than replies.
    client.hello3().expect("RESP3");
    assert_eq!(say(&mut client, "SUBSCRIBE a"), "[subscribe a 1]");
    assert_eq!(say(&mut client, "SET k v"), "OK");
    assert_eq!(say(&mut client, "PING"), "PONG");
    client.send(&["PUBLISH", "a", "to myself"]).expect("sent");
    assert!(matches!(client.receive().expect("a message"), Value::Push(_)));
    assert_eq!(heard(&mut client), "1");
    assert_eq!(say(&mut client, "QUIT"), "OK");
}

/// CLIENT REPLY keeps back replies, and neither messages nor what confirms a subscription.
#[test]
fn messages_are_no_replies() {
    let server = start(&[]);
    let (mut listener, mut publisher) = (connect(&server), connect(&server));
    listener.send(&["CLIENT", "REPLY", "OFF"]).expect("sent");
    assert_eq!(say(&mut listener, "SUBSCRIBE a"), "[subscribe a 1]");
    assert_eq!(say(&mut publisher, "PUBLISH a 1"), "1");
    assert_eq!(heard(&mut listener), "[message a 1]");

    // Nor do they wait for a reply that takes its time.
    let mut waiting = connect(&server);
    waiting.hello3().expect("RESP3");
    say(&mut waiting, "SUBSCRIBE a");
    waiting.send(&["BLPOP", "list", "0"]).expect("sent");
    eventually("it waits", || info_number(&mut publisher, "clients", "blocked_clients") == 1);
    assert_eq!(say(&mut publisher, "PUBLISH a 2"), "2");
    assert_eq!(heard(&mut waiting), "[message a 2]");
    say(&mut publisher, "RPUSH list x");
    assert_eq!(heard(&mut waiting), "[list x]");
}

#[test]
fn inside_of_transactions() {
    let server = start(&[]);
    let mut listeners = connect_many(&server);
    listeners.iter_mut().for_each(|listener| {
        say(listener, "SUBSCRIBE a");
    });
    let mut client = connect(&server);
    let queue = |client: &mut Client, commands: &[&str]| {
        assert_eq!(say(client, "MULTI"), "OK");
        commands.iter().for_each(|command| assert_eq!(say(client, command), "QUEUED"));
    };
    queue(&mut client, &["SET k1 v", "PUBLISH a 1", "SET k2 v", "SET k3 v", "PUBLISH a 2", "PUBSUB NUMSUB a"]);
    assert_eq!(say(&mut client, "EXEC"), format!("[OK {MANY} OK OK {MANY} [a {MANY}]]"));
    for listener in &mut listeners {
        assert_eq!((heard(listener), heard(listener)), ("[message a 1]".to_owned(), "[message a 2]".to_owned()));
    }
    // With nothing else in it.
    queue(&mut client, &["PUBLISH a 1", "PUBLISH a 2"]);
    assert_eq!(say(&mut client, "EXEC"), format!("[{MANY} {MANY}]"));
    listeners.iter_mut().for_each(|listener| {
        assert_eq!((heard(listener), heard(listener)), ("[message a 1]".to_owned(), "[message a 2]".to_owned()));
    });
    // What is published to a listener that begins to listen there comes when it has been told so.
    queue(&mut client, &["SUBSCRIBE a", "PUBLISH a 3", "SSUBSCRIBE s", "GET k1", "PING"]);
    let denied = "-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client";
    assert_eq!(say(&mut client, "EXEC"), format!("[[subscribe a 1] {} {denied} v [pong ]]", MANY + 1));
    assert_eq!(heard(&mut client), "[message a 3]");
    assert_eq!(say(&mut client, "PING"), "[pong ]");
    assert_eq!(say(&mut client, "RESET"), "RESET");
    queue(&mut client, &["UNSUBSCRIBE", "SUBSCRIBE a", "UNSUBSCRIBE"]);
    assert_eq!(say(&mut client, "EXEC"), "[[unsubscribe nil 0] [subscribe a 1] [unsubscribe a 0]]");
    assert_eq!(say(&mut client, "GET k2"), "v");
    // So does what a listener publishes to itself, on whichever shards the rest is.
    client.hello3().expect("RESP3");
    say(&mut client, "SUBSCRIBE a");
    for keys in [&["GET k1"][..], &["GET k1", "GET k2", "GET k3"], &[]] {
        let commands: Vec<&str> = ["PUBLISH a x", "ECHO y"].iter().chain(keys).copied().collect();
        queue(&mut client, &commands);
        let values = " v".repeat(keys.len());
        assert_eq!(say(&mut client, "EXEC"), format!("[{} y{values}]", MANY + 1));
        assert_eq!(heard(&mut client), "[message a x]");
    }
}

#[test]
fn a_pause_of_writes_holds_messages_up() {
    let server = start(&[]);
    let (mut listener, mut publisher, mut admin) = (connect(&server), connect(&server), connect(&server));
    say(&mut listener, "SUBSCRIBE a");
    assert_eq!(say(&mut admin, "CLIENT PAUSE 100000 WRITE"), "OK");
    publisher.send(&["PUBLISH", "a", "late"]).expect("sent");
    assert_eq!(listener.receive_within(Duration::from_millis(20)).expect("it is open"), None);
    assert_eq!(say(&mut admin, "CLIENT UNPAUSE"), "OK");
    assert_eq!(short(&publisher.receive().expect("a reply")), "1");
    assert_eq!(heard(&mut listener), "[message a late]");
}

#[test]
fn long_messages_are_whole() {
    let server = start(&[]);
    let mut listeners = connect_many(&server);
    for (number, listener) in listeners.iter_mut().enumerate() {
        if number % 2 == 0 {
            listener.hello3().expect("RESP3");
        }
        say(listener, "SUBSCRIBE a");
    }
    let mut publisher = connect(&server);
    for length in [1, 32 * 1024 - 1, 32 * 1024, 300_000] {
        let text = "x".repeat(length);
        assert_eq!(say(&mut publisher, &format!("PUBLISH a {text}")), MANY.to_string());
        for listener in &mut listeners {
            assert_eq!(heard(listener), format!("[message a {text}]"));
        }
    }
}

#[test]
fn a_listener_that_does_not_read_is_closed() {
    let server = start(&["--client-output-buffer-limit", "pubsub", "2mb", "0", "0"]);
    let mut listeners = connect_many(&server);
    listeners.iter_mut().for_each(|listener| {
        say(listener, "SUBSCRIBE a");
    });
    let mut reader = connect(&server);
    say(&mut reader, "SUBSCRIBE b");
    let mut publisher = connect(&server);
    let text = "x".repeat(100_000);
    eventually("they are closed", || say(&mut publisher, &format!("PUBLISH a {text}")) == "0");
    assert_eq!(say(&mut publisher, "PUBSUB NUMSUB a b"), "[a 0 b 1]");
    assert_eq!(info_number(&mut publisher, "stats", "client_output_buffer_limit_disconnections"), MANY as i64);
    assert!(listeners.iter_mut().all(is_closed));
}

#[test]
fn an_idle_listener_stays() {
    let server = start(&["--timeout", "1"]);
    let (mut listener, mut idle) = (connect(&server), connect(&server));
    say(&mut listener, "SUBSCRIBE a");
    assert_eq!(say(&mut idle, "PING"), "PONG");
    assert!(is_closed(&mut idle));
    let mut publisher = connect(&server);
    assert_eq!(say(&mut publisher, "PUBLISH a b"), "1");
    assert_eq!(heard(&mut listener), "[message a b]");
}

/// On a core's own port a shard channel belongs to its slot's core, and on the main port all do.
#[test]
fn shard_channels_of_nodes() {
    let server = options().core_ports().start().unwrap_or_else(|error| panic!("{error}"));
    let mut main = connect(&server);
    // Of the slots 4998, 7365 and 12182: one on each core.
    for (owner, channel) in ["key2", "c", "foo"].into_iter().enumerate() {
        for core in 0..SHARDS {
            let mut node = Client::connect(&server.core_address(core)).expect("a connection");
            for command in ["SSUBSCRIBE", "SUNSUBSCRIBE"] {
                let reply = say(&mut node, &format!("{command} {channel}"));
                assert_eq!(!reply.starts_with("-MOVED "), usize::from(core) == owner, "{reply}");
            }
            let reply = say(&mut node, &format!("SPUBLISH {channel} x"));
            assert_eq!(!reply.starts_with("-MOVED "), usize::from(core) == owner, "{reply}");
            let cross = "-CROSSSLOT Keys in request don't hash to the same slot";
            assert_eq!(say(&mut node, "SSUBSCRIBE key2 c"), cross);
        }
        let mut node = Client::connect(&server.core_address(owner as u16)).expect("a connection");
        assert_eq!(say(&mut node, &format!("SSUBSCRIBE {channel}")), format!("[ssubscribe {channel} 1]"));
        assert_eq!(say(&mut main, &format!("SPUBLISH {channel} x")), "1");
        assert_eq!(heard(&mut node), format!("[smessage {channel} x]"));
        assert_eq!(say(&mut main, &format!("PUBSUB SHARDNUMSUB {channel}")), format!("[{channel} 1]"));
    }
    let mut listener = connect(&server);
    assert_eq!(say(&mut listener, "SSUBSCRIBE key2 c"), "[ssubscribe key2 1]");
    assert_eq!(heard(&mut listener), "[ssubscribe c 2]");
    assert_eq!(say(&mut main, "PUBSUB SHARDCHANNELS"), "[c key2]");
    assert_eq!(info_number(&mut main, "stats", "pubsubshard_channels"), 2);
    let mut node = Client::connect(&server.core_address(0)).expect("a connection");
    assert_eq!(say(&mut node, "SPUBLISH key2 x"), "1");
    assert_eq!(heard(&mut listener), "[smessage key2 x]");
    assert_eq!(listener.receive_within(Duration::from_millis(1)).expect("it is open"), None);
}

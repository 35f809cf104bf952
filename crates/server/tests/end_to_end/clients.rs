//! CLIENT, and what becomes of connections: limits on their number and idleness, half-closed ones, many at once.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use pinyon_testkit::{Client, Server};

use super::{SHARDS, connect, eventually, info, info_number, is_closed, options, say, start};

fn id(client: &mut Client) -> i64 {
    say(client, "CLIENT ID").parse().expect("a number")
}

/// Enough connections that each core has some, with their ids.
fn crowd(server: &Server, count: usize) -> Vec<(Client, i64)> {
    let clients = (0..count).map(|_| connect(server));
    let with_id = |mut client: Client| {
        let id = id(&mut client);
        (client, id)
    };
    clients.map(with_id).collect()
}

/// CLIENT LIST's value of `field` for the client `id`.
fn listed(client: &mut Client, id: i64, field: &str) -> Option<String> {
    let list = say(client, &format!("CLIENT LIST ID {id}"));
    let line = list.lines().find(|line| line.starts_with(&format!("id={id} ")))?;
    line.split(' ').find_map(|word| Some(word.strip_prefix(field)?.strip_prefix('=')?.to_owned()))
}

#[test]
fn list_and_info() {
    let server = start(&[]);
    let mut crowd = crowd(&server, 9);
    let ids: HashSet<i64> = crowd.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids.len(), 9, "ids are unique over the cores");
    let (asking, own) = &mut crowd[0];
    let list = say(asking, "CLIENT LIST");
    assert_eq!(list.lines().count(), 9);
    assert!(list.ends_with('\n'));
    let line = list.lines().find(|line| line.starts_with(&format!("id={own} "))).expect("its own line");
    let names: Vec<&str> = line.split(' ').map(|word| word.split('=').next().unwrap_or_default()).collect();
    // Redis 7.0's fields, in its order.
    let wanted = "id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp obl \
                  oll omem tot-mem events cmd user redir resp";
    assert!(names.join(" ").starts_with(wanted), "{line}");
    for part in
        ["name= ", " flags=N ", " db=0 ", " qbuf=26 ", " cmd=client|list ", " user=default ", " redir=-1 resp=2"]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(say(asking, "SELECT 3"), "OK");
    assert_eq!(say(asking, "CLIENT SETNAME me"), "OK");
    assert!(say(asking, "CLIENT SETNAME 'a b'").starts_with("-ERR Client names cannot contain spaces"));
    let line = say(asking, "CLIENT INFO");
    assert!(line.contains(" name=me ") && line.contains(" db=3 ") && line.contains(" cmd=client|info "), "{line}");
    let some: Vec<String> = ids.iter().take(2).map(i64::to_string).collect();
    assert_eq!(say(asking, &format!("CLIENT LIST ID {} 99999", some.join(" "))).lines().count(), 2);
    assert_eq!(say(asking, "CLIENT LIST TYPE normal").lines().count(), 9);
    assert_eq!(say(asking, "CLIENT LIST TYPE pubsub"), "");
    assert_eq!(say(asking, "CLIENT LIST TYPE x"), "-ERR Unknown client type 'x'");
    crowd.truncate(3);
    let asking = &mut crowd[0].0;
    eventually("closed connections leave the list", || say(asking, "CLIENT LIST").lines().count() == 3);
}

#[test]
fn kill() {
    let server = start(&[]);
    let mut crowd = crowd(&server, 8);
    let (mut asking, own) = crowd.remove(0);
    assert_eq!(say(&mut asking, "CLIENT KILL ID 99999"), "0");
    assert_eq!(say(&mut asking, "CLIENT KILL ID 0"), "-ERR client-id should be greater than 0");
    assert_eq!(say(&mut asking, "CLIENT KILL 1.2.3.4:5"), "-ERR No such client");
    let (mut victim, victim_id) = crowd.remove(0);
    assert_eq!(say(&mut asking, &format!("CLIENT KILL ID {victim_id}")), "1");
    assert!(is_closed(&mut victim));
    assert_eq!(info_number(&mut asking, "clients", "connected_clients"), 7);
    let (mut victim, victim_id) = crowd.remove(0);
    let address = listed(&mut asking, victim_id, "addr").expect("listed");
    assert_eq!(say(&mut asking, &format!("CLIENT KILL {address}")), "OK");
    assert!(is_closed(&mut victim));
    let count = info_number(&mut asking, "clients", "connected_clients");
    assert_eq!(say(&mut asking, "CLIENT KILL SKIPME yes"), (count - 1).to_string());
    assert_eq!(info_number(&mut asking, "clients", "connected_clients"), 1);
    for (client, _) in &mut crowd {
        assert!(is_closed(client));
    }
    // The one that asks gets its answer before it goes.
    assert_eq!(say(&mut asking, &format!("CLIENT KILL ID {own} SKIPME no")), "1");
    assert!(is_closed(&mut asking));
}

#[test]
fn reply_off_skip_on() {
    let server = start(&[]);
    let mut client = connect(&server);
    client
        .send_raw(b"CLIENT REPLY OFF\r\nSET a 1\r\nMGET a b c d\r\nINFO\r\nGET a\r\nCLIENT REPLY ON\r\nGET a\r\n")
        .expect("sent");
    assert_eq!(client.receive().expect("a reply").as_str(), Some("OK"));
    assert_eq!(client.receive().expect("a reply").as_str(), Some("1"));
    client.send_raw(b"CLIENT REPLY SKIP\r\nKEYS *\r\nGET a\r\nCLIENT REPLY SKIP\r\nGET b\r\nPING\r\n").expect("sent");
    assert_eq!(client.receive().expect("a reply").as_str(), Some("1"));
    assert_eq!(client.receive().expect("a reply").as_str(), Some("PONG"));
}

#[test]
fn pause_holds_back_and_lets_go() {
    let server = start(&[]);
    let mut crowd = crowd(&server, usize::from(SHARDS) * 2);
    let (mut boss, _) = crowd.remove(0);
    assert_eq!(say(&mut boss, "CLIENT PAUSE 60000 WRITE"), "OK");
    for (number, (client, _)) in crowd.iter_mut().enumerate() {
        assert_eq!(say(client, "GET a"), "nil", "reads go on");
        client.send(&["SET".to_owned(), format!("p{number}"), "1".to_owned()]).expect("sent");
    }
    assert_eq!(say(&mut boss, "DBSIZE"), "0");
    for (client, _) in &mut crowd {
        assert!(client.receive_within(Duration::from_millis(10)).expect("no error").is_none(), "writes wait");
    }
    assert_eq!(say(&mut boss, "CLIENT UNPAUSE"), "OK");
    for (client, _) in &mut crowd {
        assert_eq!(client.receive().expect("a reply").as_str(), Some("OK"));
    }
    // Who waits is blocked. What is wrong with a command, or not there, is said at once; nothing expires, or is seen when it has.
    for line in ["MULTI", "SET due v PX 10", "CLIENT PAUSE 60000 WRITE", "EXEC"] {
        assert!(!say(&mut boss, line).starts_with('-'), "{line}");
    }
    crowd[0].0.send(&["PFCOUNT", "h"]).expect("sent");
    eventually("it waits", || info(&mut boss, "clients", "blocked_clients") == "1");
    assert_eq!(say(&mut crowd[1].0, "SET a"), "-ERR wrong number of arguments for 'set' command");
    eventually("it is due", || say(&mut boss, "GET due") == "nil");
    assert_eq!(info(&mut boss, "stats", "expired_keys"), "0");
    assert_eq!(say(&mut boss, "CLIENT UNPAUSE"), "OK");
    assert_eq!(crowd[0].0.receive().expect("a reply").as_int(), Some(0));
    eventually("it has expired", || info(&mut boss, "stats", "expired_keys") == "1");
    // A pause of everybody ends by itself.
    let begin = Instant::now();
    assert_eq!(say(&mut boss, "CLIENT PAUSE 150"), "OK");
    assert_eq!(say(&mut crowd[0].0, "PING"), "PONG");
    assert!(begin.elapsed() >= Duration::from_millis(100), "{:?}", begin.elapsed());
    assert_eq!(say(&mut boss, "CLIENT PAUSE 10 SOME"), "-ERR CLIENT PAUSE mode must be WRITE or ALL");
    assert_eq!(say(&mut boss, "CLIENT PAUSE -1"), "-ERR timeout is negative");
}

/// Only accesses of others count for a key while NO-TOUCH is on.
#[test]
fn no_touch() {
    let server = start(&["--maxmemory-policy", "allkeys-lfu", "--lfu-log-factor", "0"]);
    let mut quiet = connect(&server);
    let mut loud = connect(&server);
    assert_eq!(say(&mut quiet, "CLIENT NO-TOUCH on"), "OK");
    for key in ["a", "b", "c", "d"] {
        say(&mut loud, &format!("SET {key} 1"));
        let before = say(&mut loud, &format!("OBJECT FREQ {key}"));
        for _ in 0..20 {
            assert_eq!(say(&mut quiet, &format!("GET {key}")), "1");
        }
        assert_eq!(say(&mut loud, &format!("OBJECT FREQ {key}")), before, "{key}");
        assert_eq!(say(&mut loud, &format!("GET {key}")), "1");
        assert_ne!(say(&mut loud, &format!("OBJECT FREQ {key}")), before, "{key}");
    }
}

#[test]
fn maxclients() {
    let server = start(&["--maxclients", "10"]);
    let mut clients: Vec<Client> = (0..10).map(|_| connect(&server)).collect();
    assert!(clients.iter_mut().all(|client| say(client, "PING") == "PONG"));
    for _ in 0..6 {
        let refused = connect(&server).receive_to_end().expect("an end");
        assert_eq!(refused, b"-ERR max number of clients reached\r\n");
    }
    assert_eq!(info_number(&mut clients[0], "stats", "rejected_connections"), 6);
    assert_eq!(info_number(&mut clients[0], "clients", "connected_clients"), 10);
    clients.pop();
    eventually("the place is free again", || {
        let mut client = connect(&server);
        client.send(&["PING"]).is_ok() && client.receive().is_ok_and(|reply| reply.as_str() == Some("PONG"))
    });
    assert_eq!(say(&mut clients[0], "CONFIG SET maxclients 12"), "OK");
    let too_many = say(&mut clients[0], "CONFIG SET maxclients 4000000000");
    assert!(
        too_many.contains("The operating system is not able to handle the specified number of clients, try with "),
        "{too_many}"
    );
}

#[test]
fn idle_connections_are_closed() {
    let server = start(&["--timeout", "3"]);
    let mut idle: Vec<Client> = (0..4).map(|_| connect(&server)).collect();
    let mut busy = connect(&server);
    let begin = Instant::now();
    for client in &mut idle {
        while !is_gone(client) {
            assert_eq!(say(&mut busy, "PING"), "PONG");
            assert!(begin.elapsed() < Duration::from_secs(20));
        }
        assert!(begin.elapsed() >= Duration::from_millis(2900), "{:?}", begin.elapsed());
    }
    assert_eq!(say(&mut busy, "CONFIG SET timeout 0"), "OK");
    assert_eq!(info_number(&mut busy, "clients", "connected_clients"), 1);
}

/// Looks for an end of the connection without waiting for long.
fn is_gone(client: &mut Client) -> bool {
    client.receive_within(Duration::from_millis(20)).is_err()
}

/// What was sent before the client closed its side is answered, also where other cores must be asked.
#[test]
fn half_closed_connections_are_answered() {
    let server = start(&[]);
    for round in 0..20 {
        let mut client = connect(&server);
        let text =
            format!("SET h{round} x\r\nMGET h{round} nokey other\r\nDBSIZE\r\nKEYS h{round}\r\nGET h{round}\r\n");
        client.send_raw(text.as_bytes()).expect("sent");
        client.finish_sending().expect("half closed");
        let key = format!("h{round}");
        let wanted = format!(
            "+OK\r\n*3\r\n$1\r\nx\r\n$-1\r\n$-1\r\n:{}\r\n*1\r\n${}\r\n{key}\r\n$1\r\nx\r\n",
            round + 1,
            key.len()
        );
        assert_eq!(String::from_utf8_lossy(&client.receive_to_end().expect("an end")), wanted);
    }
    let mut client = connect(&server);
    eventually("they are gone", || info_number(&mut client, "clients", "connected_clients") == 1);
}

/// The same for more than is run in one go, also on one core, where nobody has to be asked.
#[test]
fn long_half_closed_pipelines_are_answered() {
    for shards in [1, SHARDS] {
        let server = options().shards(shards).start().unwrap_or_else(|error| panic!("{error}"));
        let mut client = connect(&server);
        client.send_raw("PING\r\nDBSIZE\r\nMGET a b c\r\n".repeat(10_000).as_bytes()).expect("sent");
        client.finish_sending().expect("half closed");
        let wanted = b"+PONG\r\n:0\r\n*3\r\n$-1\r\n$-1\r\n$-1\r\n".repeat(10_000);
        let received = client.receive_to_end().expect("an end");
        assert_eq!(received.len(), wanted.len(), "{shards} shards");
        assert!(received == wanted);
    }
}

/// Connections that come and go, each in its own way, leave nothing behind.
#[test]
fn connection_storm() {
    let server = start(&[]);
    let mut watcher = connect(&server);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for number in 0..100 {
                    let mut client = connect(server);
                    match number % 4 {
                        // Says nothing at all.
                        0 => {}
                        1 => assert_eq!(say(&mut client, &format!("SET s:{thread}:{number} 1")), "OK"),
                        // Leaves before the reply.
                        2 => client.send(&["MGET", "a", "b", "c", "d", "e", "f"]).expect("sent"),
                        // Leaves in the middle of a command.
                        _ => client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100000\r\nxxx").expect("sent"),
                    }
                }
            });
        }
    });
    eventually("all are gone", || info_number(&mut watcher, "clients", "connected_clients") == 1);
    assert_eq!(say(&mut watcher, "DBSIZE"), "100");
    assert_eq!(
        info_number(&mut watcher, "stats", "total_connections_received"),
        402,
        "400, the watcher, the first PING"
    );
}

#[test]
fn unblock_and_the_small_ones() {
    let server = start(&[]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "CLIENT GETNAME"), "nil");
    assert_eq!(say(&mut client, "CLIENT UNBLOCK 1"), "0");
    assert_eq!(say(&mut client, "CLIENT GETREDIR"), "-1");
    assert_eq!(say(&mut client, "CLIENT SETINFO lib-name pinyon-test"), "OK");
    assert_eq!(say(&mut client, "CLIENT SETINFO lib-ver 1.0"), "OK");
    assert!(say(&mut client, "CLIENT INFO").trim_end().ends_with("lib-name=pinyon-test lib-ver=1.0"));
    assert!(say(&mut client, "CLIENT HELP").starts_with("[CLIENT <subcommand>"));
    assert_eq!(say(&mut client, "CLIENT XYZ"), "-ERR unknown subcommand 'XYZ'. Try CLIENT HELP.");
    assert_eq!(say(&mut client, "CLIENT"), "-ERR wrong number of arguments for 'client' command");
}

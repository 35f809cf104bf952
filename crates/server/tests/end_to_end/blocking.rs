//! Commands that wait for their keys, on 1, 2 and 3 shards: who is served when, with what, and what ends the waiting.

use std::time::Duration;

use pinyon_testkit::{Client, Server};

use super::{connect, eventually, info_number, options, say, short};

/// Keys on all shards.
const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "{a}x"];

#[track_caller]
fn start(shards: u16) -> Server {
    options().shards(shards).start().unwrap_or_else(|error| panic!("{error}"))
}

fn on_all_shards(test: impl Fn(&Server)) {
    for shards in [1, 2, 3] {
        test(&start(shards));
    }
}

/// Sends a command that is going to wait, and sees to it that it does.
#[track_caller]
fn wait(client: &mut Client, line: &str, others: i64, observer: &mut Client) {
    client.send(&line.split(' ').collect::<Vec<_>>()).expect("sent");
    waiting(observer, others + 1);
}

#[track_caller]
fn waiting(observer: &mut Client, count: i64) {
    eventually(&format!("{count} clients wait"), || info_number(observer, "clients", "blocked_clients") == count);
}

#[track_caller]
fn reply(client: &mut Client) -> String {
    short(&client.receive().expect("a reply"))
}

#[track_caller]
fn assert_waits(client: &mut Client) {
    assert_eq!(client.receive_within(Duration::from_millis(30)).expect("open"), None);
}

#[test]
fn an_element_wakes_those_who_came_first() {
    on_all_shards(|server| {
        let mut other = connect(server);
        let mut clients: Vec<Client> = (0..3).map(|_| connect(server)).collect();
        let all = KEYS.join(" ");
        for key in KEYS {
            for (number, client) in clients.iter_mut().enumerate() {
                // Some wait for one key, some for those of all shards.
                let keys = if number == 1 { key } else { all.as_str() };
                wait(client, &format!("BLPOP {keys} 0"), number as i64, &mut other);
            }
            assert_eq!(say(&mut other, &format!("RPUSH {key} 1 2 3")), "3");
            for (number, client) in clients.iter_mut().enumerate() {
                assert_eq!(reply(client), format!("[{key} {}]", number + 1));
            }
            waiting(&mut other, 0);
            assert_eq!(say(&mut other, &format!("EXISTS {all}")), "0");
        }
    });
}

#[test]
fn keys_of_the_command_are_tried_in_their_order() {
    on_all_shards(|server| {
        let (mut client, mut other) = (connect(server), connect(server));
        for key in KEYS {
            say(&mut other, &format!("RPUSH {key} 1 2"));
        }
        for key in KEYS {
            let all = KEYS.join(" ");
            assert_eq!(say(&mut client, &format!("BLPOP {all} 0")), format!("[{key} 1]"));
            assert_eq!(say(&mut client, &format!("BLMPOP 0 7 nokey {all} RIGHT COUNT 5")), format!("[{key} [2]]"));
        }
        say(&mut other, "SET b x");
        let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        assert_eq!(say(&mut client, "BLPOP a b c 0"), wrong);
        say(&mut other, "RPUSH c 1");
        assert_eq!(say(&mut client, "BLPOP a b c 0"), wrong);
        assert_eq!(say(&mut client, "BLPOP a c b 0"), "[c 1]");
        assert_eq!(say(&mut client, "LMPOP 2 a b LEFT"), wrong);
        assert_eq!(say(&mut client, "LMPOP 3 a c d LEFT"), "nil");
    });
}

#[test]
fn served_after_an_exec_and_not_within() {
    on_all_shards(|server| {
        let (mut client, mut other) = (connect(server), connect(server));
        for keys in ["a", "a b c"] {
            wait(&mut client, &format!("BLPOP {keys} 0"), 0, &mut other);
            for line in ["MULTI", "RPUSH a 1", "DEL a", "EXEC"] {
                say(&mut other, line);
            }
            assert_waits(&mut client);
            for line in ["MULTI", "RPUSH a old", "DEL a", "SET d x", "RPUSH a 1 2", "LPUSH a 0"] {
                say(&mut other, line);
            }
            assert_eq!(say(&mut other, "EXEC"), "[1 1 OK 2 3]");
            assert_eq!(reply(&mut client), "[a 0]");
            assert_eq!(say(&mut other, "LRANGE a 0 -1"), "[1 2]");
            say(&mut other, "DEL a");
        }
        // Within an EXEC nobody waits.
        for line in
            ["MULTI", "BLPOP a 0", "BLPOP a b c 0", "BLMOVE a b LEFT LEFT 0", "BLMPOP 0 2 a b LEFT", "RPUSH c 1"]
        {
            say(&mut other, line);
        }
        say(&mut other, "BLPOP a b c 0");
        assert_eq!(say(&mut other, "EXEC"), "[nil nil nil nil 1 [c 1]]");
    });
}

#[test]
fn elements_go_to_a_list_on_any_shard() {
    on_all_shards(|server| {
        let (mut client, mut next, mut other) = (connect(server), connect(server), connect(server));
        for from in KEYS {
            for to in KEYS {
                wait(&mut client, &format!("BLMOVE {from} {to} LEFT RIGHT 0"), 0, &mut other);
                say(&mut other, &format!("RPUSH {from} v"));
                assert_eq!(reply(&mut client), "v");
                assert_eq!(say(&mut other, &format!("LRANGE {to} 0 -1")), "[v]");
                assert_eq!(say(&mut other, &format!("DEL {from} {to}")), "1");
                if from != to {
                    // A value that cannot take it: the element stays where it is.
                    wait(&mut client, &format!("BRPOPLPUSH {from} {to} 0"), 0, &mut other);
                    say(&mut other, &format!("SET {to} x"));
                    say(&mut other, &format!("RPUSH {from} v"));
                    assert!(reply(&mut client).starts_with("-WRONGTYPE"));
                    assert_eq!(say(&mut other, &format!("LRANGE {from} 0 -1")), "[v]");
                    say(&mut other, &format!("DEL {to}"));
                    assert_eq!(say(&mut other, &format!("LMOVE {from} {to} LEFT LEFT")), "v");
                    assert_eq!(say(&mut other, &format!("RPOPLPUSH {from} {to}")), "nil");
                    say(&mut other, &format!("DEL {to}"));
                }
            }
        }
        // One wakes the other.
        wait(&mut client, "BLMOVE a b LEFT RIGHT 0", 0, &mut other);
        wait(&mut next, "BLMOVE b c LEFT RIGHT 0", 1, &mut other);
        say(&mut other, "RPUSH a v");
        assert_eq!((reply(&mut client), reply(&mut next)), ("v".to_owned(), "v".to_owned()));
        assert_eq!(say(&mut other, "LRANGE c 0 -1"), "[v]");
    });
}

#[test]
fn the_ways_in_which_waiting_ends() {
    on_all_shards(|server| {
        let (mut client, mut other) = (connect(server), connect(server));
        let id = say(&mut client, "CLIENT ID");
        for keys in ["a", "b", "c", "a b c d"] {
            assert_eq!(say(&mut client, &format!("BLPOP {keys} 0.01")), "nil");
            wait(&mut client, &format!("BLPOP {keys} 0"), 0, &mut other);
            assert!(say(&mut other, &format!("CLIENT LIST ID {id}")).contains(" flags=b "));
            assert_eq!(say(&mut other, &format!("CLIENT UNBLOCK {id}")), "1");
            assert_eq!(reply(&mut client), "nil");
            assert_eq!(say(&mut other, &format!("CLIENT UNBLOCK {id}")), "0");
            wait(&mut client, &format!("BLPOP {keys} 1000"), 0, &mut other);
            assert_eq!(info_number(&mut other, "clients", "clients_in_timeout_table"), 1);
            assert_eq!(say(&mut other, &format!("CLIENT UNBLOCK {id} ERROR")), "1");
            assert_eq!(reply(&mut client), "-UNBLOCKED client unblocked via CLIENT UNBLOCK");
            assert_eq!(info_number(&mut other, "clients", "clients_in_timeout_table"), 0);
            // What is gone takes nothing along.
            let mut gone = connect(server);
            wait(&mut gone, &format!("BLPOP {keys} 0"), 0, &mut other);
            drop(gone);
            waiting(&mut other, 0);
            let mut killed = connect(server);
            let killed_id = say(&mut killed, "CLIENT ID");
            wait(&mut killed, &format!("BLPOP {keys} 0"), 0, &mut other);
            assert_eq!(say(&mut other, &format!("CLIENT KILL ID {killed_id}")), "1");
            waiting(&mut other, 0);
            for key in keys.split(' ') {
                assert_eq!(say(&mut other, &format!("RPUSH {key} v")), "1");
                assert_eq!(say(&mut other, &format!("LRANGE {key} 0 -1")), "[v]");
                say(&mut other, &format!("DEL {key}"));
            }
        }
    });
}

#[test]
fn whatever_brings_a_list_wakes() {
    on_all_shards(|server| {
        let (mut client, mut other, mut elsewhere) = (connect(server), connect(server), connect(server));
        say(&mut elsewhere, "SELECT 1");
        for keys in ["a", "a b c"] {
            for bring in ["RENAME src a", "COPY src a", "COPY src a DB 0", "RENAMENX src a"] {
                wait(&mut client, &format!("BLPOP {keys} 0"), 0, &mut other);
                say(&mut other, "RPUSH src v");
                say(&mut other, bring);
                assert_eq!(reply(&mut client), "[a v]", "{bring}");
                say(&mut other, "DEL src");
            }
            for bring in ["SWAPDB 0 1", "SWAPDB 1 0", "MOVE a 0"] {
                wait(&mut client, &format!("BLPOP {keys} 0"), 0, &mut other);
                say(&mut elsewhere, "RPUSH a v");
                say(&mut elsewhere, bring);
                assert_eq!(reply(&mut client), "[a v]", "{bring}");
                assert_eq!(say(&mut other, "DBSIZE"), "0");
            }
            // A key of another type does not, and a list in its place does.
            wait(&mut client, &format!("BLPOP {keys} 0"), 0, &mut other);
            say(&mut other, "SET a x");
            say(&mut other, "DEL a");
            assert_waits(&mut client);
            say(&mut other, "RPUSH a v");
            assert_eq!(reply(&mut client), "[a v]");
        }
    });
}

#[test]
fn what_is_pushed_goes_to_the_waiting_before_the_next_command() {
    on_all_shards(|server| {
        let (mut client, mut other) = (connect(server), connect(server));
        for keys in ["a", "a b c"] {
            wait(&mut client, &format!("BLPOP {keys} 0"), 0, &mut other);
            other.send_raw(b"RPUSH a v\r\nLPOP a\r\n").expect("sent");
            assert_eq!((reply(&mut other), reply(&mut other)), ("1".to_owned(), "nil".to_owned()));
            assert_eq!(reply(&mut client), "[a v]");
        }
        // What a waiting client has sent meanwhile comes after.
        wait(&mut client, "BLPOP a b c 0", 0, &mut other);
        client.send_raw(b"RPUSH b w\r\nBLPOP b 0\r\nPING\r\n").expect("sent");
        assert_waits(&mut client);
        say(&mut other, "RPUSH c v");
        let got: Vec<String> = (0..4).map(|_| reply(&mut client)).collect();
        assert_eq!(got, ["[c v]", "1", "[b w]", "PONG"]);
    });
}

/// Many who push and many who wait, with short timeouts and some who are unblocked: every element comes out exactly once.
#[test]
fn nothing_is_lost_and_nothing_given_twice() {
    const CLIENTS: usize = 6;
    const ELEMENTS: usize = 400;
    for shards in [2, 3] {
        let server = start(shards);
        let mut taken: Vec<usize> = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let mut client = connect(&server);
                    scope.spawn(move || {
                        let mut taken = Vec::new();
                        // The last element of each ends it.
                        loop {
                            let keys = if number % 3 == 0 { "a" } else { "c b a d" };
                            let timeout = ["0.001", "0.003", "1"][taken.len() % 3];
                            let got = say(&mut client, &format!("BLPOP {keys} {timeout}"));
                            match got.trim_end_matches(']').rsplit(' ').next() {
                                Some("end") => return taken,
                                Some("nil") => {}
                                Some(element) => taken.push(element.parse().expect("a number")),
                                None => {}
                            }
                        }
                    })
                })
                .collect();
            let mut pusher = connect(&server);
            for element in 0..ELEMENTS {
                let key = ["a", "b", "c", "d"][element % 4];
                say(&mut pusher, &format!("RPUSH {key} {element}"));
                if element % 7 == 0 {
                    let id = element as i64 % 10 + 1;
                    say(&mut pusher, &format!("CLIENT UNBLOCK {id}"));
                }
            }
            eventually("all are taken", || say(&mut pusher, "EXISTS a b c d") == "0");
            // All of them look at this key.
            for _ in 0..CLIENTS {
                say(&mut pusher, "RPUSH a end");
            }
            takers.into_iter().flat_map(|taker| taker.join().expect("it ends")).collect()
        });
        taken.sort_unstable();
        assert_eq!(taken, (0..ELEMENTS).collect::<Vec<_>>(), "{shards} shards");
    }
}

#[test]
fn changes_count_once() {
    on_all_shards(|server| {
        let (mut client, mut other) = (connect(server), connect(server));
        let dirty = |client: &mut Client| info_number(client, "persistence", "rdb_changes_since_last_save");
        let before = dirty(&mut other);
        wait(&mut client, "BLPOP a b c 0", 0, &mut other);
        say(&mut other, "RPUSH a v");
        reply(&mut client);
        assert_eq!(dirty(&mut other) - before, 2);
        wait(&mut client, "BLMOVE a b LEFT LEFT 0", 0, &mut other);
        say(&mut other, "RPUSH a v");
        reply(&mut client);
        assert_eq!(dirty(&mut other) - before, 4);
    });
}

//! Connections that move to the core of their keys: what they said before holds after, and no reply is lost.

use pinyon_testkit::{Client, Server, Value};

use super::{connect, eventually, info, options, say, start};

/// A key of each of the three cores.
const KEYS: [&str; 3] = ["key2", "c", "foo"];

/// Sums up a field of INFO's lines about the cores.
fn total(client: &mut Client, field: &str) -> i64 {
    (0..3)
        .map(|core| {
            let line = info(client, "pinyon", &format!("pinyon_core{core}"));
            let value = line.split(',').find_map(|pair| pair.strip_prefix(field)?.strip_prefix('='));
            value.expect("the field").parse::<i64>().expect("a number")
        })
        .sum()
}

/// Pipelines of increments of one key until the server has moved more connections than before.
fn push_until_moved(server: &Server, client: &mut Client, key: &str, count: &mut i64) {
    let mut control = connect(server);
    let before = total(&mut control, "moved");
    let commands: Vec<Vec<&str>> = (0..300).map(|_| vec!["INCR", key]).collect();
    eventually("the connection moves to its key", || {
        for reply in client.pipeline(&commands).expect("replies") {
            *count += 1;
            assert_eq!(reply, Value::Int(*count));
        }
        total(&mut control, "moved") > before
    });
}

#[test]
fn a_connection_follows_its_keys() {
    let server = start(&["--connection-migration", "yes"]);
    let mut client = connect(&server);
    client.hello3().expect("RESP3");
    let id = say(&mut client, "CLIENT ID");
    assert_eq!(say(&mut client, "CLIENT SETNAME wanderer"), "OK");
    assert_eq!(say(&mut client, "SELECT 5"), "OK");
    // One of the three is on the connection's own core; the next one is not.
    let mut counts = [0; 3];
    for (key, count) in KEYS.iter().zip(&mut counts).skip(1) {
        let mut control = connect(&server);
        let before = total(&mut control, "hops");
        let replies = client.pipeline(&vec![vec!["INCR", key]; 50]).expect("replies");
        *count += replies.len() as i64;
        if total(&mut control, "hops") > before {
            push_until_moved(&server, &mut client, key, count);
            let before = total(&mut control, "hops");
            client.pipeline(&vec![vec!["INCR", key]; 50]).expect("replies");
            assert_eq!(total(&mut control, "hops"), before, "its keys are at home now");
        }
    }
    assert!(total(&mut connect(&server), "moved") >= 1);
    assert_eq!(say(&mut client, "CLIENT ID"), id);
    assert_eq!(say(&mut client, "CLIENT GETNAME"), "wanderer");
    let line = say(&mut client, "CLIENT INFO");
    assert!(line.contains(" db=5 ") && line.contains(" resp=3 ") && line.contains(&format!("id={id} ")), "{line}");
    assert_eq!(
        say(&mut connect(&server), "INFO clients").matches("connected_clients:2").count(),
        1,
        "none counts twice"
    );
}

#[test]
fn over_a_unix_socket_too() {
    let server = options().args(["--connection-migration", "yes"]).unix_socket().start();
    let server = server.unwrap_or_else(|error| panic!("{error}"));
    let unix = server.unix_address().expect("a unix socket");
    // Of three connections, which are dealt in turn, two are not where the key is.
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(&unix).expect("a connection")).collect();
    let mut control = connect(&server);
    let commands: Vec<Vec<&str>> = (0..300).map(|_| vec!["INCR", "foo"]).collect();
    let mut count = 0;
    eventually("a connection moves to its key", || {
        for client in &mut clients {
            for reply in client.pipeline(&commands).expect("replies") {
                count += 1;
                assert_eq!(reply, Value::Int(count));
            }
        }
        total(&mut control, "moved") > 0
    });
}

#[test]
fn it_can_be_switched_off() {
    let server = start(&["--connection-migration", "no"]);
    let mut client = connect(&server);
    for key in KEYS {
        client.pipeline(&vec![vec!["INCR", key]; 2000]).expect("replies");
    }
    assert_eq!(total(&mut client, "moved"), 0);
    assert!(total(&mut client, "hops") >= 4000);
}

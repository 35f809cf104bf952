//! CONFIG while the server runs: GET, SET all or nothing, other ports and addresses, REWRITE.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use pinyon_testkit::{Address, Client, free_port};

use super::{call, connect, eventually, info, is_closed, say, short, start};

#[test]
fn set_is_seen_by_all_cores() {
    let server = start(&[]);
    let mut clients: Vec<Client> = (0..9).map(|_| connect(&server)).collect();
    assert_eq!(say(&mut clients[0], "CONFIG SET maxmemory 10000001 repl-backlog-size 10000002 save '3000 5'"), "OK");
    for client in &mut clients {
        let all = say(client, "CONFIG GET maxmemory repl-backlog-size save");
        assert_eq!(all, "[maxmemory 10000001 repl-backlog-size 10000002 save 3000 5]");
    }
}

#[test]
fn all_or_nothing() {
    let server = start(&[]);
    let mut client = connect(&server);
    let failed =
        |name: &str, why: &str| format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
    for (words, wanted) in [
        (
            "maxmemory 10000001 maxmemory-clients 200% client-query-buffer-limit invalid",
            failed("maxmemory-clients", "percentage argument must be less or equal to 100"),
        ),
        ("maxmemory 1 maxmemory 2", failed("maxmemory", "duplicate parameter")),
        ("maxmemory 1 daemonize yes", failed("daemonize", "can't set immutable config")),
        ("maxmemory 1 nosuch 2", "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'".to_owned()),
        ("maxmemory 1 bind 203.0.113.1", failed("bind", "Failed to bind to specified addresses.")),
        ("maxmemory 1 dir /nonexistent", failed("dir", "can't set protected config")),
    ] {
        assert_eq!(say(&mut client, &format!("CONFIG SET {words}")), wanted);
        assert_eq!(say(&mut client, "CONFIG GET maxmemory"), "[maxmemory 0]", "{words}");
    }
    assert_eq!(say(&mut client, "CONFIG SET maxmemory"), "-ERR wrong number of arguments for 'config|set' command");
    assert_eq!(say(&mut client, "CONFIG GET_XX"), "-ERR unknown subcommand 'GET_XX'. Try CONFIG HELP.");
}

/// Whatever GET shows, SET takes back, and then it still is what it was.
#[test]
fn everything_can_be_set_to_what_it_is() {
    let server = start(&[]);
    let mut client = connect(&server);
    let all = client.line("CONFIG GET *").expect("a reply");
    let all: Vec<String> = all.as_array().expect("an array").iter().map(short).collect();
    assert!(all.len() > 300, "{}", all.len());
    let mut accepted = 0;
    for pair in all.chunks_exact(2) {
        let reply = call(&mut client, &[b"CONFIG", b"SET", pair[0].as_bytes(), pair[1].as_bytes()]);
        assert!(
            reply == "OK" || reply.ends_with("immutable config") || reply.ends_with("protected config"),
            "{pair:?}: {reply}"
        );
        accepted += usize::from(reply == "OK");
    }
    assert!(accepted > 100, "{accepted}");
    let again = client.line("CONFIG GET *").expect("a reply");
    let again: Vec<String> = again.as_array().expect("an array").iter().map(short).collect();
    assert_eq!(again, all);
    assert_eq!(say(&mut connect(&server), "PING"), "PONG");
}

#[test]
fn another_port() {
    let server = start(&[]);
    let mut client = connect(&server);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken_port = taken.local_addr().expect("bound").port();
    let reply = say(&mut client, &format!("CONFIG SET maxmemory 10000001 port {taken_port}"));
    let why = "Unable to listen on this port. Check server logs.";
    assert_eq!(reply, format!("-ERR CONFIG SET failed (possibly related to argument 'port') - {why}"));
    assert_eq!(say(&mut client, "CONFIG GET port maxmemory"), format!("[port {} maxmemory 0]", server.port()));
    assert_eq!(say(&mut connect(&server), "PING"), "PONG", "the old port still answers");

    let port = free_port().expect("a port");
    assert_eq!(say(&mut client, &format!("CONFIG SET port {port} maxmemory 10000001")), "OK");
    assert_eq!(info(&mut client, "server", "tcp_port"), port.to_string());
    assert_eq!(say(&mut client, "SET a 1"), "OK", "connections stay");
    // Several: each core listens.
    for _ in 0..12 {
        let mut moved = Client::connect(&Address::local(port)).expect("the new port");
        assert_eq!(say(&mut moved, "GET a"), "1");
    }
    assert!(Client::connect(&server.address()).is_err(), "the old port is closed");
    assert_eq!(say(&mut client, "CONFIG SET port 0"), "OK");
    assert!(Client::connect(&Address::local(port)).is_err(), "no port at all");
    assert_eq!(say(&mut client, &format!("CONFIG SET port {}", server.port())), "OK");
    assert_eq!(say(&mut connect(&server), "GET a"), "1");
}

#[test]
fn other_addresses() {
    let server = start(&[]);
    let mut client = connect(&server);
    let v6 = Address::Tcp(format!("[::1]:{}", server.port()).parse().expect("an address"));
    assert!(Client::connect(&v6).is_err());
    assert_eq!(say(&mut client, "CONFIG SET bind '127.0.0.1 ::1'"), "OK");
    assert_eq!(say(&mut Client::connect(&v6).expect("IPv6"), "PING"), "PONG");
    // From one address to all, and back, on the same port.
    assert_eq!(say(&mut client, "CONFIG SET bind '* -::*'"), "OK");
    let other = Address::Tcp(format!("127.0.0.2:{}", server.port()).parse().expect("an address"));
    assert_eq!(say(&mut Client::connect(&other).expect("any address"), "PING"), "PONG");
    assert_eq!(say(&mut client, "CONFIG SET bind 127.0.0.1"), "OK");
    assert!(Client::connect(&other).is_err());
    assert_eq!(say(&mut connect(&server), "PING"), "PONG");
    assert_eq!(say(&mut client, "CONFIG GET bind"), "[bind 127.0.0.1]");
}

/// Changes from many connections at once all count; none is lost.
#[test]
fn changes_at_the_same_time() {
    let server = start(&[]);
    let names =
        ["maxmemory-samples", "slowlog-max-len", "lfu-log-factor", "lfu-decay-time", "hz", "latency-monitor-threshold"];
    // Connected before the port begins to move.
    let mut clients: Vec<Client> = (0..=names.len()).map(|_| connect(&server)).collect();
    let mut mover = clients.pop().expect("one more");
    std::thread::scope(|scope| {
        for (name, client) in names.into_iter().zip(&mut clients) {
            scope.spawn(move || {
                for value in 1..=50 {
                    assert_eq!(say(client, &format!("CONFIG SET {name} {value}")), "OK");
                    assert_eq!(say(client, &format!("CONFIG GET {name}")), format!("[{name} {value}]"));
                }
            });
        }
        let ports = [free_port().expect("a port"), server.port()];
        scope.spawn(move || {
            for round in 0..20 {
                assert_eq!(say(&mut mover, &format!("CONFIG SET port {}", ports[round % 2])), "OK");
            }
        });
    });
    let mut client = connect(&server);
    for name in names {
        assert_eq!(say(&mut client, &format!("CONFIG GET {name}")), format!("[{name} 50]"));
    }
}

/// Starts a server by a configuration file.
fn start_by_file(path: &std::path::Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinyon-server"));
    command.arg(path).stdout(Stdio::null()).spawn().expect("the binary")
}

#[test]
fn rewrite_keeps_what_was_set() {
    let file = std::env::temp_dir().join(format!("pinyon-rewrite-{}.conf", std::process::id()));
    let port = free_port().expect("a port");
    let text = format!(
        "# a comment that stays\nport {port}\nbind 127.0.0.1\nshards 2\npin no\nappendonly no\n\nmaxclients 50 \n"
    );
    std::fs::write(&file, text).expect("a file");
    let connect_when_up = || {
        let mut client = None;
        eventually("the server listens", || {
            client = Client::connect(&Address::local(port)).ok();
            client.is_some()
        });
        client.expect("connected")
    };
    let mut child = start_by_file(&file);
    let mut client = connect_when_up();
    assert_eq!(say(&mut client, "CONFIG SET maxclients 60 maxmemory 123mb requirepass 'a \"b'"), "OK");
    assert_eq!(say(&mut client, "CONFIG REWRITE"), "OK");
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(text.starts_with("# a comment that stays\n") && text.contains("\nmaxclients 60\n"), "{text}");
    client.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    assert!(is_closed(&mut client));
    assert_eq!(child.wait().expect("a child").code(), Some(0));

    let mut child = start_by_file(&file);
    let mut client = connect_when_up();
    assert_eq!(say(&mut client, "PING"), "-NOAUTH Authentication required.");
    assert_eq!(call(&mut client, &[b"AUTH", b"a \"b"]), "OK");
    assert_eq!(say(&mut client, "CONFIG GET maxclients maxmemory"), "[maxclients 60 maxmemory 128974848]");
    client.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    assert_eq!(child.wait().expect("a child").code(), Some(0));
    std::fs::remove_file(&file).expect("our file");

    let server = start(&[]);
    assert_eq!(say(&mut connect(&server), "CONFIG REWRITE"), "-ERR The server is running without a config file");
}

#[test]
fn loglevel_takes_effect() {
    let server = start(&["--enable-debug-command", "yes"]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "DEBUG LOG one-is-seen"), "OK");
    assert_eq!(say(&mut client, "CONFIG SET loglevel nothing"), "OK");
    assert_eq!(say(&mut client, "DEBUG LOG two-is-not"), "OK");
    assert_eq!(say(&mut client, "CONFIG SET loglevel notice"), "OK");
    assert_eq!(say(&mut client, "DEBUG LOG three-is-seen"), "OK");
    eventually("the log is written", || server.log().contains("three-is-seen"));
    assert!(server.log().contains("one-is-seen") && !server.log().contains("two-is-not"), "{}", server.log());
}

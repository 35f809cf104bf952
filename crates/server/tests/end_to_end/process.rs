//! Starting and stopping: signals, SHUTDOWN, the configuration file, the addresses to listen on.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use pinyon_testkit::{Address, Client, Server};

use super::{PATIENCE, connect, eventually, options, say, start};

/// How the process ended.
fn exit_code(mut server: Server) -> Option<i32> {
    let status = server.wait_exit(PATIENCE).expect("a child of ours").expect("an end");
    status.code()
}

#[test]
fn signals_stop_it_cleanly() {
    for signal in ["TERM", "INT"] {
        let server = start(&[]);
        let mut idle = connect(&server);
        assert_eq!(say(&mut idle, "PING"), "PONG");
        server.signal(signal).expect("kill");
        assert_eq!(exit_code(server), Some(0), "{signal}");
        assert!(idle.line("PING").is_err());
    }
}

#[test]
fn shutdown_stops_it_cleanly() {
    for line in ["SHUTDOWN", "SHUTDOWN NOSAVE", "SHUTDOWN NOW FORCE"] {
        let server = start(&[]);
        let mut client = connect(&server);
        assert_eq!(say(&mut client, "SHUTDOWN ABORT"), "-ERR No shutdown in progress.");
        assert_eq!(say(&mut client, "SHUTDOWN SAVE NOSAVE"), "-ERR syntax error");
        client.send(&line.split(' ').collect::<Vec<_>>()).expect("room to send");
        assert_eq!(client.receive_to_end().expect("an end"), b"", "{line}");
        assert_eq!(exit_code(server), Some(0), "{line}");
    }
}

/// Replies to what was sent before the stop still leave.
#[test]
fn a_pipeline_before_shutdown_is_answered() {
    let server = start(&[]);
    let mut client = connect(&server);
    let mut bytes = Vec::new();
    for number in 0..100 {
        bytes.extend_from_slice(format!("SET key:{number} {number}\r\n").as_bytes());
    }
    client.send_raw(&bytes).expect("room to send");
    let replies: Vec<_> = (0..100).map(|_| client.receive().expect("a reply")).collect();
    assert!(replies.iter().all(|reply| reply.as_str() == Some("OK")));
    client.send_raw(b"PING\r\nSHUTDOWN\r\n").expect("room to send");
    assert_eq!(client.receive_to_end().expect("an end"), b"+PONG\r\n");
    assert_eq!(exit_code(server), Some(0));
}

#[test]
fn options_override_the_file() {
    let file = std::env::temp_dir().join(format!("pinyon-e2e-{}.conf", std::process::id()));
    std::fs::write(&file, "maxclients 100\ntimeout 77 # not a comment in Redis\n").expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_pinyon-server")).arg(&file).output().expect("the binary");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("at line 2") && text.contains("timeout 77"), "{text}");

    std::fs::write(&file, "# comment\nmaxclients 100\ntimeout 77\nport 1\nappendonly no\nsave \"\"\n").expect("a file");
    let path = file.to_str().expect("UTF-8").to_owned();
    // The file stands first among the words, so a server of its own is started here.
    let port = pinyon_testkit::free_port().expect("a port");
    let mut child = Command::new(env!("CARGO_BIN_EXE_pinyon-server"))
        .args([
            &path,
            "--port",
            &port.to_string(),
            "--shards",
            "2",
            "--pin",
            "no",
            "--timeout",
            "78",
            "--bind",
            "127.0.0.1",
        ])
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the binary");
    let mut client = None;
    eventually("the server listens", || {
        client = Client::connect(&Address::local(port)).ok();
        client.is_some()
    });
    let mut client = client.expect("connected");
    assert_eq!(say(&mut client, "CONFIG GET maxclients"), "[maxclients 100]");
    assert_eq!(say(&mut client, "CONFIG GET timeout"), "[timeout 78]");
    assert_eq!(super::info(&mut client, "server", "config_file"), path);
    client.send(&["SHUTDOWN"]).expect("room to send");
    assert_eq!(child.wait().expect("a child").code(), Some(0));
    std::fs::remove_file(&file).expect("our file");
}

#[test]
fn a_port_in_use_is_refused() {
    let server = start(&[]);
    let output = Command::new(env!("CARGO_BIN_EXE_pinyon-server"))
        .args([
            "--port",
            &server.port().to_string(),
            "--bind",
            "127.0.0.1",
            "--shards",
            "2",
            "--pin",
            "no",
            "--appendonly",
            "no",
        ])
        .output()
        .expect("the binary");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains(&format!("127.0.0.1:{}", server.port())), "{text}");
    assert_eq!(say(&mut connect(&server), "PING"), "PONG");
}

/// Unix connections are dealt round: every shard gets some, and all see the same keys.
#[test]
fn unix_socket() {
    let server = options().unix_socket().args(["--unixsocketperm", "700"]).start().unwrap_or_else(|e| panic!("{e}"));
    let address = server.unix_address().expect("asked for");
    let Address::Unix(path) = &address else { panic!("{address:?}") };
    assert_eq!(path.metadata().expect("a socket").permissions().mode() & 0o777, 0o700);
    let mut clients: Vec<Client> = (0..6).map(|_| Client::connect(&address).expect("a connection")).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(say(client, &format!("SET unix:{number} {number}")), "OK");
    }
    for client in &mut clients {
        assert_eq!(say(client, "MGET unix:0 unix:3 unix:5"), "[0 3 5]");
        let line = say(client, "CLIENT INFO");
        assert!(line.contains(&format!("addr={}:0", path.display())) && line.contains("flags=U"), "{line}");
    }
    let path = path.clone();
    server.signal("TERM").expect("kill");
    assert_eq!(exit_code(server), Some(0));
    assert!(!path.exists(), "the socket goes with the server");
}

#[test]
fn both_families() {
    let server = start(&["--bind", "127.0.0.1", "::1"]);
    let v6 = Address::Tcp(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], server.port())));
    let mut client = Client::connect(&v6).expect("a connection over IPv6");
    assert_eq!(say(&mut client, "SET a 6"), "OK");
    assert_eq!(say(&mut connect(&server), "GET a"), "6");
    let line = say(&mut client, "CLIENT INFO");
    assert!(line.contains("addr=[::1]:") && line.contains(&format!("laddr=[::1]:{} ", server.port())), "{line}");
}

/// Transparent huge pages are off as in Redis, unless they are asked for.
#[test]
fn huge_pages_are_off_unless_asked_for() {
    for (given, expected) in [(&[][..], "THP_enabled:\t0"), (&["--disable-thp", "no"], "THP_enabled:\t1")] {
        let server = start(given);
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("its status");
        assert!(status.lines().any(|line| line == expected), "{given:?}: {status}");
    }
}

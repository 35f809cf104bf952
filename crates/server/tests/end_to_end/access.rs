//! Who may connect, and what before a password: protected mode, AUTH, HELLO, and DEBUG's own gate.

use std::net::{SocketAddr, UdpSocket};

use pinyon_testkit::{Address, Client, Server};

use super::{call, connect, is_closed, say, start};

/// An address of this machine that is not the loopback interface's. None where there is no network.
fn outside_address() -> Option<std::net::IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the kernel only chooses the interface.
    socket.connect("198.51.100.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

fn from_outside(server: &Server) -> Option<Client> {
    let address = SocketAddr::new(outside_address()?, server.port());
    Some(Client::connect(&Address::Tcp(address)).expect("a connection by the outside address"))
}

#[test]
fn protected_mode() {
    let server = start(&["--bind", "*"]);
    let Some(mut stranger) = from_outside(&server) else {
        eprintln!("this machine has no address but the loopback interface's: nothing to test");
        return;
    };
    let text = String::from_utf8(stranger.receive_to_end().expect("an end")).expect("UTF-8");
    assert!(text.starts_with("-DENIED Pinyon is running in protected mode") && text.ends_with("\r\n"), "{text}");
    let mut local = connect(&server);
    assert_eq!(say(&mut local, "PING"), "PONG");
    assert_eq!(super::info_number(&mut local, "stats", "rejected_connections"), 1);

    assert_eq!(say(&mut local, "CONFIG SET protected-mode no"), "OK");
    let mut stranger = from_outside(&server).expect("as before");
    assert_eq!(say(&mut stranger, "PING"), "PONG");

    // With a password the door is open, too: the password guards it.
    assert_eq!(say(&mut local, "CONFIG SET protected-mode yes requirepass secret"), "OK");
    let mut stranger = from_outside(&server).expect("as before");
    assert_eq!(say(&mut stranger, "PING"), "-NOAUTH Authentication required.");
}

#[test]
fn nothing_but_auth_before_the_password() {
    let server = start(&["--requirepass", "open sesame"]);
    let mut client = connect(&server);
    for line in ["PING", "GET a", "MGET a b c d", "INFO", "CONFIG GET port", "KEYS *", "MONITOR", "CLIENT LIST"] {
        assert_eq!(say(&mut client, line), "-NOAUTH Authentication required.", "{line}");
    }
    assert!(
        say(&mut client, "HELLO 3").starts_with("-NOAUTH HELLO must be called with the client already authenticated")
    );
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(say(&mut client, "AUTH nonsense"), wrong);
    assert_eq!(say(&mut client, "AUTH nobody 'open sesame'"), wrong);
    assert_eq!(say(&mut client, "HELLO 3 AUTH default nonsense"), wrong);
    assert_eq!(say(&mut client, "AUTH a b c"), "-ERR syntax error");
    assert_eq!(say(&mut client, "GET a"), "-NOAUTH Authentication required.");
    assert_eq!(say(&mut client, "AUTH 'open sesame'"), "OK");
    assert_eq!(say(&mut client, "SET a 1"), "OK");
    // A wrong password later does not lock anybody out.
    assert_eq!(say(&mut client, "AUTH nonsense"), wrong);
    assert_eq!(say(&mut client, "GET a"), "1");
    assert_eq!(say(&mut client, "RESET"), "RESET");
    assert_eq!(say(&mut client, "GET a"), "-NOAUTH Authentication required.");
    let hello = say(&mut client, "HELLO 3 AUTH default 'open sesame' SETNAME me");
    assert!(hello.starts_with("{server=redis version=") && hello.contains("proto=3"), "{hello}");
    assert_eq!(say(&mut client, "CLIENT GETNAME"), "me");
    assert_eq!(say(&mut client, "QUIT"), "OK");
    assert!(is_closed(&mut client));
}

/// Before AUTH the protocol allows little, so that strangers cannot make the server hold memory.
#[test]
fn strangers_may_not_send_much() {
    let server = start(&["--requirepass", "secret"]);
    let mut client = connect(&server);
    client.send_raw(b"*100\r\n").expect("room to send");
    assert_eq!(client.receive_to_end().expect("an end"), b"-ERR Protocol error: unauthenticated multibulk length\r\n");
    let mut client = connect(&server);
    client.send_raw(b"*2\r\n$4\r\nAUTH\r\n$20000\r\n").expect("room to send");
    assert_eq!(client.receive_to_end().expect("an end"), b"-ERR Protocol error: unauthenticated bulk length\r\n");
}

#[test]
fn a_password_set_later_concerns_new_connections() {
    let server = start(&[]);
    let mut early = connect(&server);
    let no_password = "-ERR AUTH <password> called without any password configured for the default user. \
                       Are you sure your configuration is correct?";
    assert_eq!(say(&mut early, "AUTH x"), no_password);
    assert_eq!(say(&mut early, "AUTH default anything"), "OK");
    assert_eq!(say(&mut early, "CONFIG SET requirepass secret"), "OK");
    assert_eq!(say(&mut early, "SET a 1"), "OK", "who is in stays in");
    // Several, so that every core has one.
    let mut late: Vec<Client> = (0..8).map(|_| connect(&server)).collect();
    for client in &mut late {
        assert_eq!(say(client, "GET a"), "-NOAUTH Authentication required.");
    }
    assert_eq!(say(&mut late[0], "AUTH secret"), "OK");
    assert_eq!(say(&mut early, "CONFIG SET requirepass ''"), "OK");
    for client in &mut late {
        assert_eq!(say(client, "GET a"), "1", "the password is gone");
    }
}

#[test]
fn hello_and_resp3() {
    let server = start(&[]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "HELLO 4"), "-NOPROTO unsupported protocol version");
    assert_eq!(say(&mut client, "HELLO x"), "-ERR Protocol version is not an integer or out of range");
    assert_eq!(say(&mut client, "HELLO 2 NONSENSE"), "-ERR Syntax error in HELLO option 'NONSENSE'");
    let hello2 = say(&mut client, "HELLO");
    assert!(hello2.starts_with("[server redis version ") && hello2.contains("proto 2"), "{hello2}");
    assert_eq!(call(&mut client, &[b"GET", b"missing"]), "nil");
    client.send(&["GET", "missing"]).expect("room to send");
    assert_eq!(client.receive_bytes(5).expect("a reply"), b"$-1\r\n");
    client.hello3().expect("RESP3");
    client.send(&["GET", "missing"]).expect("room to send");
    assert_eq!(client.receive_bytes(3).expect("a reply"), b"_\r\n");
    let config = client.line("CONFIG GET maxmemory").expect("a reply");
    assert_eq!(super::short(&config), "{maxmemory=0}");
    let info = client.line("INFO server").expect("a reply");
    assert!(matches!(info, pinyon_testkit::Value::Verbatim { .. }), "{info}");
    // A command split over shards answers in the same protocol.
    assert_eq!(say(&mut client, "MGET x1 x2 x3 x4 x5"), "[nil nil nil nil nil]");
    client.send(&["MGET", "x1", "x2", "x3"]).expect("room to send");
    assert_eq!(client.receive_bytes(13).expect("a reply"), b"*3\r\n_\r\n_\r\n_\r\n");
}

#[test]
fn debug_only_where_allowed() {
    let refused = "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from \
                   a local connection, otherwise you need to set this option in the configuration file, and then restart \
                   the server.";
    let server = start(&[]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "DEBUG LOG x"), refused);
    assert_eq!(say(&mut client, "DEBUG"), "-ERR wrong number of arguments for 'debug' command");
    assert!(say(&mut client, "CONFIG SET enable-debug-command yes").ends_with("can't set immutable config"));

    let server = start(&["--enable-debug-command", "local", "--protected-mode", "no", "--bind", "*"]);
    assert_eq!(say(&mut connect(&server), "DEBUG LOG x"), "OK");
    if let Some(mut stranger) = from_outside(&server) {
        assert_eq!(say(&mut stranger, "DEBUG LOG x"), refused);
    }
}

/// Renamed commands are gone under their old names.
#[test]
fn renamed_commands() {
    let server = start(&["--rename-command", "FLUSHALL", "SWEEP", "--rename-command", "KEYS", ""]);
    let mut client = connect(&server);
    assert_eq!(say(&mut client, "SET a 1"), "OK");
    assert!(say(&mut client, "FLUSHALL").starts_with("-ERR unknown command 'FLUSHALL'"));
    assert!(say(&mut client, "KEYS *").starts_with("-ERR unknown command 'KEYS'"));
    assert_eq!(say(&mut client, "sweep"), "OK");
    assert_eq!(say(&mut client, "DBSIZE"), "0");
}

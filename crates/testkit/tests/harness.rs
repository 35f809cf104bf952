//! The testkit on itself. The differential harness finds nothing between redis-server and redis-server, and against one
//! that was altered it finds what was altered. A missing redis-server fails these tests.

use std::time::Duration;

use pinyon_testkit::differential::{Differential, Era, Options, calls_from_env};
use pinyon_testkit::{Address, Client, Program, Server, ServerOptions, Value};

fn redis(args: &[&str]) -> Server {
    ServerOptions::new(Program::Redis).args(args.iter().copied()).start().unwrap_or_else(|error| panic!("{error}"))
}

fn compared(oracle: &Server, subject: &Server) -> Differential {
    let options = Options::from_env(Era::Redis70);
    Differential::new(&oracle.address(), &subject.address(), options).expect("connections to both")
}

/// The report of a run that is to find something.
fn found(differential: Differential, calls: u64) -> String {
    match differential.run(calls) {
        Ok(_) => panic!("nothing was found"),
        Err(differences) => differences.to_string(),
    }
}

#[test]
fn a_server_does_not_differ_from_itself() {
    let (oracle, subject) = (redis(&[]), redis(&[]));
    let run = compared(&oracle, &subject).run(calls_from_env());
    let differential = run.unwrap_or_else(|differences| panic!("{differences}"));
    assert!(differential.calls() >= calls_from_env());
}

#[test]
fn a_missing_command_is_found() {
    let (oracle, subject) = (redis(&[]), redis(&["--rename-command", "PERSIST", "SOMETHINGELSE"]));
    let report = found(compared(&oracle, &subject), 20_000);
    assert!(report.to_uppercase().contains("PERSIST") && report.contains("PINYON_SEED="), "{report}");
}

#[test]
fn a_missing_database_is_found() {
    let (oracle, subject) = (redis(&[]), redis(&["--databases", "15"]));
    let report = found(compared(&oracle, &subject), 20_000);
    assert!(report.contains("DB index is out of range"), "{report}");
}

#[test]
fn data_that_no_reply_showed_is_found() {
    let (oracle, subject) = (redis(&[]), redis(&[]));
    let run = compared(&oracle, &subject).run(1_000);
    let mut differential = run.unwrap_or_else(|differences| panic!("{differences}"));
    // Nobody ever asks for this key.
    differential.subject().call(&["SET", "lost and found", "x"]).expect("a reply");
    let report = found(differential, 0);
    assert!(report.contains("lost and found"), "{report}");
}

#[test]
fn a_server_is_reached_by_port_and_socket_until_it_is_dropped() {
    let server = ServerOptions::new(Program::Redis).unix_socket().start().unwrap_or_else(|error| panic!("{error}"));
    let (port, folder) = (server.port(), server.folder().to_path_buf());
    for address in [Some(server.address()), server.unix_address()].into_iter().flatten() {
        let mut client = Client::connect(&address).expect("a connection");
        assert_eq!(client.line("ECHO 'a b'").expect("a reply"), Value::Bulk(b"a b".to_vec()));
        assert!(client.hello3().expect("a reply").field("server").is_some());
        assert_eq!(client.receive_within(Duration::from_millis(20)).expect("nothing"), None);
        let replies = client.pipeline(&[vec!["INCR", "n"], vec!["NOSUCH"]]).expect("replies");
        assert!(replies[0].as_int().is_some() && replies[1].is_error());
        client.send_raw(b"PING\r\nPING\r\n").expect("room");
        assert_eq!(client.receive_bytes(7).expect("a reply"), b"+PONG\r\n");
        client.finish_sending().expect("half closed");
        assert_eq!(client.receive_to_end().expect("the rest"), b"+PONG\r\n");
    }
    drop(server);
    assert!(Client::connect(&Address::local(port)).is_err() && !folder.exists());
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let error = ServerOptions::new(Program::Redis).args(["--no-such-directive", "1"]).start().expect_err("it started");
    assert!(error.to_string().contains("no-such-directive"), "{error}");
}

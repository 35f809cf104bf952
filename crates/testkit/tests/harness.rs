//! The differential harness on itself: redis-server against redis-server finds nothing, and against one that was altered
//! it finds what was altered. A missing redis-server fails these tests.

use pinyon_testkit::differential::{Differential, Era, Options, calls_from_env};
use pinyon_testkit::{Program, Server, ServerOptions};

fn redis(args: &[&str]) -> Server {
    ServerOptions::new(Program::Redis).args(args.iter().copied()).start().unwrap_or_else(|error| panic!("{error}"))
}

fn compared(oracle: &Server, subject: &Server) -> Differential {
    let options = Options::from_env(Era::Redis70);
    Differential::new(&oracle.address(), &subject.address(), options).expect("connections to both")
}

#[test]
fn a_server_does_not_differ_from_itself() {
    let (oracle, subject) = (redis(&[]), redis(&[]));
    let mut differential = compared(&oracle, &subject);
    if let Err(difference) = differential.run(calls_from_env()) {
        panic!("{difference}");
    }
    assert!(differential.calls() >= calls_from_env());
}

#[test]
fn a_missing_command_is_found() {
    let (oracle, subject) = (redis(&[]), redis(&["--rename-command", "PERSIST", "SOMETHINGELSE"]));
    let difference = compared(&oracle, &subject).run(20_000).expect_err("nothing was found");
    let report = difference.to_string();
    assert!(report.to_uppercase().contains("PERSIST") && report.contains("PINYON_SEED="), "{report}");
}

#[test]
fn a_missing_database_is_found() {
    let (oracle, subject) = (redis(&[]), redis(&["--databases", "15"]));
    let difference = compared(&oracle, &subject).run(20_000).expect_err("nothing was found");
    assert!(difference.to_string().contains("DB index is out of range"), "{difference}");
}

#[test]
fn data_that_no_reply_showed_is_found() {
    let (oracle, subject) = (redis(&[]), redis(&[]));
    let mut differential = compared(&oracle, &subject);
    differential.run(1_000).unwrap_or_else(|difference| panic!("{difference}"));
    // Nobody ever asks for this key.
    differential.subject().call(&["SET", "lost and found", "x"]).expect("a reply");
    let difference = differential.run(0).expect_err("nothing was found");
    assert!(difference.to_string().contains("lost and found"), "{difference}");
}

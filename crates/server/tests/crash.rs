//! A few rounds of killing the server under load (`pinyon_testkit::crash`); many are
//! `cargo run -p pinyon-testkit --example crash -- --rounds 200`.

use std::time::Duration;

use pinyon_testkit::crash::{Plan, run};

#[test]
fn what_was_promised_survives_kill_9() {
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64 % 1_000_000_007);
    println!("seed {seed}");
    let built_at = Some(env!("CARGO_BIN_EXE_pinyon-server").into());
    let life = Duration::from_millis(700);
    let plan = Plan { seed, rounds: 6, clients: 8, life, built_at, tell: |line| println!("{line}") };
    let outcome = run(&plan).unwrap_or_else(|why| panic!("{why}"));
    assert!(outcome.acknowledged > 0);
}

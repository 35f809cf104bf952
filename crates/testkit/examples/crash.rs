//! Kills a server with -9 at random moments under load and checks what it comes back with:
//! `cargo run -p pinyon-testkit --example crash -- --rounds 200`.
//!
//! Options: `--rounds N` (20), `--clients N` (12), `--life MS` that a server lives at most (1,500), `--seed N`, `--server PATH` of a
//! pinyon-server. Ends with 1 when something is not as it was promised; the store is then kept, beside where it was.

use std::process::ExitCode;
use std::time::Duration;

use pinyon_testkit::crash::{Plan, run};

fn plan() -> Result<Plan, String> {
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64 % 1_000_000_007);
    let tell = |line: &str| println!("{line}");
    let life = Duration::from_millis(1_500);
    let mut plan = Plan { seed, rounds: 20, clients: 12, life, built_at: None, tell };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word} {value}: not a number"));
        match word.as_str() {
            "--rounds" => plan.rounds = number()? as usize,
            "--clients" => plan.clients = number()?.max(1) as usize,
            "--life" => plan.life = Duration::from_millis(number()?.max(1)),
            "--seed" => plan.seed = number()?,
            "--server" => plan.built_at = Some(value.into()),
            _ => return Err(format!("no option {word}")),
        }
    }
    Ok(plan)
}

fn main() -> ExitCode {
    let outcome = plan().and_then(|plan| {
        println!("seed {}", plan.seed);
        run(&plan)
    });
    match outcome {
        Ok(outcome) => {
            println!("{outcome:?}: no violation");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

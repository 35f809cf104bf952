//! Checks a server for strict serializability: `cargo run --release -p pinyon-testkit --example check -- --ops 10000000`.
//!
//! Options: `--ops N` operations (1,000,000), `--shards N` (3), `--clients N` (64), `--depth N` transactions in a pipeline at
//! most (4), `--round N` operations between two pauses (100,000), `--seed N`, `--server PATH` of a pinyon-server, `--redis`
//! to check redis-server instead, `--no-exec` to do without MULTI, `--churn N` of a hundred transactions more that end keys unseen (0), `--flush N`
//! for a FLUSHALL once in N transactions (30,000). Ends with 1 when there is an anomaly; the history is kept in a file then.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use pinyon_testkit::serializability::{History, Load, Mix, Run, check};
use pinyon_testkit::{Program, ServerOptions};

struct Options {
    operations: usize,
    shards: u16,
    round: usize,
    load: Load,
    server: Option<String>,
    redis: bool,
}

fn options() -> Result<Options, String> {
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64 % 1_000_000_007);
    let load = Load { seed, clients: 64, depth: 4, mix: Mix::default(), shown_past_deadline: 0 };
    let mut options = Options { operations: 1_000_000, shards: 3, round: 100_000, load, server: None, redis: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--redis" => {
                options.redis = true;
                options.load.shown_past_deadline = 1_000_000;
            }
            "--no-exec" => options.load.mix.exec = false,
            _ => {}
        }
        if word == "--redis" || word == "--no-exec" {
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<usize>().map_err(|_| format!("{word} {value}: not a number"));
        match word.as_str() {
            "--ops" => options.operations = number()?,
            "--shards" => options.shards = number()? as u16,
            "--clients" => options.load.clients = number()?.max(1),
            "--depth" => options.load.depth = number()?.max(1),
            "--round" => options.round = number()?.max(1),
            "--seed" => options.load.seed = number()? as u64,
            "--churn" => options.load.mix.churn = number()?,
            "--flush" => options.load.mix.flush_one_in = number()?.max(1),
            "--server" => options.server = Some(value),
            _ => return Err(format!("no option {word}")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("check: error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Writes a history down, one transaction a line, and says where.
fn keep(history: &History, seed: u64) -> String {
    let path = std::env::temp_dir().join(format!("pinyon-history-{seed}.txt"));
    let lines: String = history.transactions.iter().map(|transaction| format!("{transaction}\n")).collect();
    match std::fs::write(&path, lines) {
        Ok(()) => format!("the history is in {}", path.display()),
        Err(error) => format!("the history cannot be kept: {error}"),
    }
}

/// Whether there was no anomaly.
fn run(options: &Options) -> Result<bool, String> {
    let server = if options.redis {
        ServerOptions::new(Program::Redis)
    } else {
        let server = ServerOptions::new(Program::Pinyon).shards(options.shards);
        options.server.iter().fold(server, |server, path| server.exactly(path))
    };
    let server = server.start().map_err(|error| error.to_string())?;
    println!("seed {}, {} clients, {} shards", options.load.seed, options.load.clients, options.shards);
    let mut run = Run::connect(&server.address(), options.load.clone())?;
    let (mut operations, mut transactions, mut aborted, mut repairs) = (0, 0, 0, 0);
    let (mut running, mut checking) = (Duration::ZERO, Duration::ZERO);
    while operations < options.operations {
        let begun = Instant::now();
        let history = run.round(options.round.min(options.operations - operations))?;
        running += begun.elapsed();
        operations += history.operations();
        transactions += history.transactions.len();
        aborted += history.aborted();
        let begun = Instant::now();
        let verdict = check(&history);
        checking += begun.elapsed();
        match verdict {
            Ok(proven) => {
                repairs += proven.repairs;
                run.follow(proven);
            }
            Err(anomalies) => {
                println!("{operations} operations, {} anomalies", anomalies.len());
                println!("{}", keep(&history, options.load.seed));
                anomalies.iter().for_each(|anomaly| println!("\n{anomaly}"));
                return Ok(false);
            }
        }
    }
    let rate = operations as f64 / running.as_secs_f64();
    println!(
        "{operations} operations in {transactions} transactions ({aborted} of them aborted by WATCH) in {:.1} s, {rate:.0}/s",
        running.as_secs_f64()
    );
    println!("proven strictly serializable in {:.1} s ({repairs} choices undone): 0 anomalies", checking.as_secs_f64());
    Ok(true)
}

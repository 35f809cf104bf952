//! The deterministic simulator: N shards, their logs, snapshots and recovery on one thread over a simulated disk, driven by one
//! seed. `scripts/sim` runs it.
//!
//!   sim [SEEDS] [--from N] [--threads N] [--trace]
//!
//! Runs seeds N, N + 1, …; a seed that fails is printed, and running it alone (`sim 1 --from SEED`) fails in the same way.
//! Ends with 1 if any failed.
#![forbid(unsafe_code)]

mod disk;
mod engine;
mod node;
mod oracle;
mod recover;
mod rng;
mod save;
mod scenario;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use engine::Toy;
use scenario::Tally;

/// Failures that are shown; more would say nothing new.
const SHOWN_MAX: usize = 5;

struct Wanted {
    seeds: u64,
    from: u64,
    threads: usize,
    trace: bool,
}

impl Wanted {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Wanted> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut wanted = Wanted { seeds: 1000, from: 0, threads, trace: false };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--from" => wanted.from = words.next()?.parse().ok()?,
                "--threads" => wanted.threads = words.next()?.parse().ok().filter(|threads| *threads > 0)?,
                "--trace" => wanted.trace = true,
                _ => wanted.seeds = word.parse().ok()?,
            }
        }
        Some(wanted)
    }
}

fn run(seed: u64, trace: bool) -> Result<Tally, String> {
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| scenario::run::<Toy>(seed, trace)));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?")))
    })
}

fn main() -> ExitCode {
    let Some(Wanted { seeds, from, threads, trace }) = Wanted::read(std::env::args().skip(1)) else {
        eprintln!("usage: sim [SEEDS] [--from N] [--threads N] [--trace]");
        return ExitCode::from(2);
    };
    if seeds > 1 {
        // A panic is a failed seed; the message comes with it.
        panic::set_hook(Box::new(|_| {}));
    }
    let started = Instant::now();
    let next = AtomicU64::new(from);
    let failures = Mutex::new(Vec::new());
    let tally = Mutex::new(Tally::default());
    let end = from.saturating_add(seeds);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Tally::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    match run(seed, trace) {
                        Ok(one) => own.add(&one),
                        Err(what) => failures.lock().expect("no panic here").push((seed, what)),
                    }
                }
                tally.lock().expect("no panic here").add(&own);
            });
        }
    });
    let mut failures = failures.into_inner().expect("no panic here");
    failures.sort();
    for (seed, what) in failures.iter().take(SHOWN_MAX) {
        println!("seed {seed} failed: {what}\n  again: scripts/sim 1 --from {seed}");
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{:?}", tally.into_inner().expect("no panic here"));
    println!("seeds {from} to {}: {} failed, {seconds:.1} s", end - 1, failures.len());
    ExitCode::from(u8::from(!failures.is_empty()))
}

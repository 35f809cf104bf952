//! Measures the expiry wheel against its bars:
//! `cargo run --release -p pinyon-engine --example expiry_speed [millions of nodes]`
//!
//! - bytes per node, as the wheel counts them and as resident memory;
//! - a million keys far ahead and a thousand due within a second: how late these fire when the caller sleeps until
//!   `next_deadline`, by the real clock;
//! - ten million keys due in the same second: the cost of a node, the longest call, and how late the last one fires.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinyon_base::{DbIndex, Millis};
use pinyon_engine::keyspace::access::Rng;
use pinyon_engine::keyspace::expiry::{ExpiryWheel, Fired};

const HOUR: i64 = 3_600_000;
const DB: DbIndex = DbIndex(0);

fn main() {
    let millions: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10);
    memory(1_000_000);
    few_among_many();
    for budget in [200, 1_000] {
        many_at_once(millions * 1_000_000, budget);
    }
}

fn memory(nodes: u64) {
    let mut rng = Rng::new(1);
    let rss = resident_bytes();
    let mut wheel = ExpiryWheel::new(Millis(0));
    let start = Instant::now();
    for hash in 0..nodes {
        wheel.add(DB, hash, Millis(rng.below(24 * HOUR as u64) as i64));
    }
    let ns = start.elapsed().as_nanos() as f64 / nodes as f64;
    println!(
        "{nodes} nodes over a day: {:.2} bytes per node, {:.2} resident; add {ns:.1} ns",
        wheel.bytes() as f64 / nodes as f64,
        resident_bytes().saturating_sub(rss) as f64 / nodes as f64,
    );
}

fn few_among_many() {
    let mut rng = Rng::new(2);
    let start = now();
    let mut wheel = ExpiryWheel::new(Millis(start));
    for hash in 0..1_000_000 {
        wheel.add(DB, hash, Millis(start + HOUR + rng.below(24 * HOUR as u64) as i64));
    }
    let first = now() + 100;
    for hash in 0..1_000 {
        wheel.add(DB, hash, Millis(first + rng.below(1_000) as i64));
    }
    let mut late = Vec::new();
    let mut wakes = 0;
    while late.len() < 1_000 {
        let at = now();
        wakes += 1;
        let more = wheel.advance(Millis(at), 1_000, &mut |_, _, deadline| {
            late.push(at - deadline.0);
            Fired::Done
        });
        if !more
            && late.len() < 1_000
            && let Some(next) = wheel.next_deadline()
        {
            std::thread::sleep(Duration::from_millis((next.0 - now()).max(0) as u64));
        }
    }
    late.sort_unstable();
    println!(
        "1 M far + 1,000 due within a second: late by {} ms at p50, {} at p99, {} at most; {wakes} wakes",
        late[500], late[990], late[999]
    );
}

/// Simulated time: the clock moves on by what the calls take, so an overload shows as lateness.
fn many_at_once(nodes: u64, budget: usize) {
    let mut rng = Rng::new(3);
    let mut wheel = ExpiryWheel::new(Millis(0));
    let due = 24 * HOUR;
    let start = Instant::now();
    for hash in 0..nodes {
        wheel.add(DB, hash, Millis(due + rng.below(1_000) as i64));
    }
    let add_ns = start.elapsed().as_nanos() as f64 / nodes as f64;

    let (mut calls, mut longest, mut busy) = (Vec::new(), Duration::ZERO, Duration::ZERO);
    let (mut fired, mut latest) = (0u64, 0i64);
    let mut at = Duration::ZERO;
    while wheel.node_count() > 0 {
        let now = at.as_millis() as i64;
        let start = Instant::now();
        let more = wheel.advance(Millis(now), budget, &mut |_, _, deadline| {
            fired += 1;
            latest = latest.max(now - deadline.0);
            Fired::Done
        });
        let took = start.elapsed();
        calls.push(took.as_nanos() as u32);
        longest = longest.max(took);
        busy += took;
        at += took;
        if !more && let Some(next) = wheel.next_deadline() {
            at = at.max(Duration::from_millis(next.0 as u64));
        }
    }
    calls.sort_unstable();
    println!(
        "{fired} due in one second, budget {budget}: add {add_ns:.1} ns, cascade and fire {:.1} ns per node in {} calls; \
         a call takes {:.1} µs at p50, {:.1} at p99.9, {:.1} at most; late by {latest} ms at most",
        busy.as_nanos() as f64 / nodes as f64,
        calls.len(),
        f64::from(calls[calls.len() / 2]) / 1e3,
        f64::from(calls[calls.len() / 1_000 * 999]) / 1e3,
        longest.as_nanos() as f64 / 1e3,
    );
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

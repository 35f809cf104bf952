//! How fast and how big the keyspace is: `cargo run --release -p pinyon-engine --example table_speed [million keys]`.
//!
//! Prints ns per operation for inserting, reading (with and without prefetching a pipeline ahead), overwriting, scanning and
//! deleting; the slowest single operations; and bytes per key beyond key and value, by resident memory. Time is read around
//! every operation only where the slowest one is asked for.

use std::hint::black_box;
use std::time::Instant;

use pinyon_base::{DbIndex, Millis};
use pinyon_engine::keyspace::{Key, NewValue, Shard, ShardConfig, Ttl};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DB: DbIndex = DbIndex(0);

fn main() {
    let argument = |index| std::env::args().nth(index);
    let millions: f64 = argument(1).map_or(5.0, |arg| arg.parse().expect("a number of million keys"));
    let keys = (millions * 1e6) as u64;
    if let Some(value_bytes) = argument(2) {
        return memory_per_key(keys, value_bytes.parse().expect("bytes of a value"));
    }
    for value_bytes in ["8", "64"] {
        // A process of its own, so that no memory is resident already.
        let own = std::env::current_exe().expect("the program's path");
        let millions = millions.min(5.0).to_string();
        let status = std::process::Command::new(own).args([&millions, value_bytes]).status().expect("it starts");
        assert!(status.success());
    }
    speed(keys);
    expiry(keys.min(5_000_000));
}

fn new_shard() -> Shard {
    let mut shard = Shard::new(ShardConfig { hash_seed: [7, 11, 13, 17], ..ShardConfig::default() });
    shard.begin_turn(Millis(1_700_000_000_000));
    shard
}

/// Writes "key:N" into a buffer.
fn key_name(number: u64, buffer: &mut Vec<u8>) {
    use std::io::Write;
    buffer.clear();
    write!(buffer, "key:{number}").expect("a vector takes all");
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number of pages") * 4096
}

fn memory_per_key(keys: u64, value_bytes: usize) {
    let before = resident_bytes();
    let mut shard = new_shard();
    let mut name = Vec::new();
    let value = vec![b'x'; value_bytes];
    let mut payload = 0;
    for number in 0..keys {
        key_name(number, &mut name);
        payload += name.len() + value.len();
        let mut ks = shard.keyspace(DB, false);
        ks.put(ks.key_of(&name), NewValue::Text(&value), Ttl::Clear);
    }
    let resident = resident_bytes() - before;
    let stats = shard.table_stats(DB);
    println!(
        "{keys} keys with {value_bytes}-byte values: {:.1} bytes per key beyond {:.1} of key and value; load {:.3}; table {:.1} bytes per key",
        (resident as f64 - payload as f64) / keys as f64,
        payload as f64 / keys as f64,
        stats.load,
        stats.bytes as f64 / keys as f64,
    );
    let start = Instant::now();
    shard.flush_db(DB, false);
    let flush = start.elapsed();
    let mut slowest = 0;
    let mut steps = 0;
    loop {
        let start = Instant::now();
        let more = shard.background_slice(1);
        slowest = slowest.max(start.elapsed().as_nanos());
        steps += 1;
        if !more {
            break;
        }
    }
    println!(
        "  flush {:.1} µs, then {steps} steps of at most {:.1} µs; resident afterwards {:.1} MB more than before",
        flush.as_nanos() as f64 / 1e3,
        slowest as f64 / 1e3,
        (resident_bytes() as f64 - before as f64) / 1e6
    );
}

/// Operations that take longer are looked at: why costs some ten µs itself.
const LOOK_NS: u64 = 25_000;

/// The slowest single operations, apart from those during which the kernel was busy with something else.
#[derive(Default)]
struct Times {
    slowest: Vec<u64>,
    over_50_us: usize,
    preempted: usize,
    faulted: usize,
    before: (u64, u64),
}

impl Times {
    fn add(&mut self, ns: u64) {
        if ns < LOOK_NS {
            return;
        }
        let now = switches_and_faults();
        let before = std::mem::replace(&mut self.before, now);
        if now.0 > before.0 {
            self.preempted += 1;
        } else if now.1 > before.1 {
            self.faulted += 1;
        } else {
            self.over_50_us += usize::from(ns > 50_000);
            self.slowest.push(ns);
            self.slowest.sort_unstable_by(|a, b| b.cmp(a));
            self.slowest.truncate(10);
        }
    }

    fn print(&self, what: &str) {
        let slowest: Vec<String> = self.slowest.iter().map(|ns| format!("{:.1}", *ns as f64 / 1e3)).collect();
        println!(
            "  slowest {what}, µs: {} ({} over 50 µs); above 25 µs not counted: {} preempted, {} with a page fault",
            slowest.join(" "),
            self.over_50_us,
            self.preempted,
            self.faulted
        );
    }
}

/// How often the thread was switched out, and its page faults so far.
fn switches_and_faults() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("Linux");
    let switches = status.lines().filter(|line| line.contains("ctxt_switches"));
    let switches = switches.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum();
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux");
    let after_name = stat.rsplit(')').next().expect("a name in brackets");
    let mut fields = after_name.split_whitespace();
    let faults = fields.nth(7).and_then(|faults| faults.parse().ok()).expect("a number of faults");
    (switches, faults)
}

/// Measures the time that this thread ran, so that other processes on the machine matter less.
struct Stopwatch(u64);

impl Stopwatch {
    fn start() -> Stopwatch {
        Stopwatch(Stopwatch::ran_ns())
    }

    fn ns(&self) -> f64 {
        (Stopwatch::ran_ns() - self.0) as f64
    }

    fn ran_ns() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with schedstat");
        stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number of ns")
    }
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * u128::from(bound)) >> 64) as u64
    }
}

/// How slow operations seem that do nothing to the table: what the machine adds.
fn control(operations: u64) {
    let mut times = Times::default();
    let mut name = Vec::new();
    for number in 0..operations {
        key_name(number, &mut name);
        let start = Instant::now();
        for _ in 0..10 {
            black_box(&name).iter().for_each(|byte| {
                black_box(byte);
            });
        }
        times.add(start.elapsed().as_nanos() as u64);
    }
    times.print("operations of the control");
}

fn speed(keys: u64) {
    println!("{keys} keys:");
    control(keys);
    let mut shard = new_shard();
    let mut name = Vec::new();

    let mut times = Times::default();
    let start = Stopwatch::start();
    for number in 0..keys {
        key_name(number, &mut name);
        let start = Instant::now();
        let mut ks = shard.keyspace(DB, false);
        ks.put(ks.key_of(&name), NewValue::Text(b"value-08"), Ttl::Clear);
        times.add(start.elapsed().as_nanos() as u64);
    }
    println!("  insert {:.1} ns, timing and making names included", start.ns() / keys as f64);
    times.print("inserts");
    println!("  {:?}", shard.table_stats(DB));

    let reads = 5_000_000;
    // Names and hashes are made beforehand, as the parser and the dispatcher do.
    let mut rng = Rng(88_172_645_463_325_252);
    let wanted: Vec<Vec<u8>> = (0..reads)
        .map(|_| {
            key_name(rng.below(keys), &mut name);
            name.clone()
        })
        .collect();
    let hot: Vec<&Vec<u8>> = wanted.iter().take(1000).collect();
    for round in 0..2 {
        let start = Stopwatch::start();
        let rounds = 2000;
        for _ in 0..rounds {
            for name in &hot {
                let mut ks = shard.keyspace(DB, false);
                black_box(ks.read(ks.key_of(name)).expect("all are there"));
            }
        }
        if round > 0 {
            println!("  get of 1000 hot keys {:.1} ns", start.ns() / (rounds * hot.len()) as f64);
        }
    }
    let start = Stopwatch::start();
    for name in &wanted {
        black_box(shard.hash(name));
    }
    println!("  reading a name and hashing it {:.1} ns", start.ns() / reads as f64);
    let start = Stopwatch::start();
    for name in &wanted {
        let mut ks = shard.keyspace(DB, false);
        black_box(ks.read(ks.key_of(name)).expect("all are there"));
    }
    println!("  get of random keys {:.1} ns", start.ns() / reads as f64);
    let start = Stopwatch::start();
    for batch in wanted.chunks(16) {
        let mut hashes = [0; 16];
        for (name, hash) in batch.iter().zip(&mut hashes) {
            *hash = shard.hash(name);
            shard.prefetch_bucket(DB, *hash);
        }
        for hash in &hashes[..batch.len()] {
            shard.prefetch_entry(DB, *hash);
        }
        for (name, hash) in batch.iter().zip(hashes) {
            let mut ks = shard.keyspace(DB, false);
            black_box(ks.read(Key { bytes: name, hash }).expect("all are there"));
        }
    }
    println!("  get of random keys, 16 prefetched together {:.1} ns", start.ns() / reads as f64);
    let start = Stopwatch::start();
    for name in &wanted {
        let mut ks = shard.keyspace(DB, false);
        let mut absent = *b"absent:................";
        let len = name.len().min(16);
        absent[7..7 + len].copy_from_slice(&name[..len]);
        black_box(ks.read(ks.key_of(&absent)).is_none());
    }
    println!("  get of absent keys {:.1} ns", start.ns() / reads as f64);
    let start = Stopwatch::start();
    for name in &wanted {
        let mut ks = shard.keyspace(DB, false);
        ks.put(ks.key_of(name), NewValue::Text(b"other-08"), Ttl::Clear);
    }
    println!("  overwrite of random keys {:.1} ns", start.ns() / reads as f64);

    let start = Stopwatch::start();
    let (mut cursor, mut seen) = (0, 0u64);
    loop {
        cursor = shard.scan(DB, cursor, 100, &mut |key, _| seen += u64::from(!key.is_empty()));
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen, keys);
    println!("  scan, 100 at a time, {:.1} ns per key", start.ns() / keys as f64);

    let start = Stopwatch::start();
    for _ in 0..100_000 {
        black_box(shard.random_key(DB));
    }
    println!("  random key of {keys} {:.1} ns", start.ns() / 1e5);

    let mut times = Times::default();
    let start = Stopwatch::start();
    for number in 1..keys {
        key_name(number, &mut name);
        let start = Instant::now();
        let mut ks = shard.keyspace(DB, false);
        ks.remove(ks.key_of(&name));
        times.add(start.elapsed().as_nanos() as u64);
    }
    println!("  remove {:.1} ns, timing and making names included", start.ns() / (keys - 1) as f64);
    times.print("removals");
    println!("  {:?}", shard.table_stats(DB));
    let start = Stopwatch::start();
    for _ in 0..100_000 {
        black_box(shard.random_key(DB).expect("one is left"));
    }
    println!("  random key of one that is left {:.1} ns", start.ns() / 1e5);
}

/// All keys due at once.
fn expiry(keys: u64) {
    const BUDGET: usize = 64;
    let mut shard = new_shard();
    let mut name = Vec::new();
    let now = 1_700_000_000_000;
    for number in 0..keys {
        key_name(number, &mut name);
        let at = Ttl::At(Millis(now + 1000 + (number % 1000) as i64));
        let mut ks = shard.keyspace(DB, false);
        ks.put(ks.key_of(&name), NewValue::Text(b"value-08"), at);
    }
    println!(
        "{keys} keys due within a second; the wheel takes {:.1} bytes per key",
        shard.expiry_bytes() as f64 / keys as f64
    );
    let start = Stopwatch::start();
    let (mut times, mut gone, mut calls) = (Times::default(), 0, 0);
    loop {
        let start = Instant::now();
        let more = shard.expire_slice(Millis(now + 2100), BUDGET, &mut |_, _| gone += 1);
        times.add(start.elapsed().as_nanos() as u64);
        calls += 1;
        if !more {
            break;
        }
    }
    assert_eq!(gone, keys);
    println!("  expiring {:.1} ns per key, {calls} calls with a budget of {BUDGET}", start.ns() / keys as f64);
    times.print("calls");
}

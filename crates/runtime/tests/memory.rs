//! What is counted, and what an idle connection costs. A file of its own: the counts are those of
//! the whole process.

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pinyon_runtime::{RuntimeConfig, memory};
use support::{Dice, Mode, start};

#[global_allocator]
static ALLOC: memory::Counting = memory::Counting;

/// The tests of this file count the same memory: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn counts_come_back_to_where_they_were() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = memory::used_bytes();
    let mut dice = Dice(1);
    let blocks: Vec<Vec<u8>> = (0..50_000).map(|_| vec![1; 1 + dice.below(3_000) as usize]).collect();
    let exact: usize = blocks.iter().map(|block| block.capacity()).sum();
    let used = memory::used_bytes() - before;
    assert!(used >= exact as u64, "{used} counted for {exact}");
    assert!((used as f64) < exact as f64 * 1.15 + 2e6, "{used} counted for {exact}");
    assert!(memory::peak_bytes() >= before + used);
    // Freed by another thread, and the thread is gone when it is counted.
    thread::spawn(move || drop(blocks)).join().unwrap();
    let after = memory::used_bytes();
    assert!(after.abs_diff(before) < 100_000, "{before} before, {after} after");

    // Growing and shrinking in place.
    let mut block: Vec<u64> = Vec::new();
    for i in 0..1_000_000 {
        block.push(i);
    }
    assert!(memory::used_bytes() >= after + 8_000_000);
    block.truncate(10);
    block.shrink_to_fit();
    assert!(memory::used_bytes() < after + 100_000);
}

#[test]
fn an_idle_connection_costs_at_most_300_bytes() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let running = start(RuntimeConfig::new(1), "127.0.0.1:0", None);
    let connect = |count: usize| {
        let mut streams: Vec<TcpStream> = (0..count).map(|_| running.connect(Mode::Blast)).collect();
        // Each has been busy once: its buffers must have gone back.
        for stream in &mut streams {
            stream.write_all(b"1").unwrap();
        }
        let begin = Instant::now();
        while running.seen.opens.load(std::sync::atomic::Ordering::Relaxed) < count as u64
            && begin.elapsed() < Duration::from_secs(10)
        {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(100));
        streams
    };
    let first = connect(100);
    let before = memory::used_bytes();
    let count = 4_000;
    let second = connect(count);
    let each = (memory::used_bytes() - before) as f64 / count as f64;
    println!("{each:.0} bytes per idle connection, the test program's own state included");
    // The program of the test keeps a table entry and a byte of its own.
    assert!(each <= 300.0, "{each:.0} bytes");
    drop((first, second));
    running.wait_closed();
    running.stop();
}

#[test]
fn what_counting_costs() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let begin = Instant::now();
    let rounds = 2_000_000u64;
    for i in 0..rounds {
        std::hint::black_box(Box::new(i));
    }
    println!("{:.1} ns per allocation and free", begin.elapsed().as_nanos() as f64 / rounds as f64);
}

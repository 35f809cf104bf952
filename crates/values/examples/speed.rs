//! How long the operations of the speed bars take in the structures alone: `cargo run --release -p pinyon-values --example speed`.
//!
//! Prints ns per operation on collections of a million elements, and the slowest single operation while one grows to that.

use std::hint::black_box;
use std::time::Instant;

use pinyon_runtime::memory::Counting;
use pinyon_values::hash::{FieldTtl, Hash, HashLimits};
use pinyon_values::item::Item;
use pinyon_values::list::{List, ListLimits};
use pinyon_values::set::{Set, SetLimits};
use pinyon_values::stream::{BlockLimits, Stream, StreamId};
use pinyon_values::zset::{ZSet, ZSetLimits};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ELEMENTS: u64 = 1_000_000;

fn mix(i: u64) -> u64 {
    let x = (i ^ i >> 30).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Runs an operation on each of a million numbers whose names are made ahead, and prints what it took.
fn time(name: &str, names: &[Vec<u8>], mut operation: impl FnMut(u64, &[u8])) {
    let begin = Instant::now();
    for (i, element) in names.iter().enumerate() {
        operation(i as u64, element);
    }
    println!("{name:28} {:6.0} ns", begin.elapsed().as_nanos() as f64 / names.len() as f64);
}

/// The same, with the slowest.
fn time_slowest(name: &str, names: &[Vec<u8>], mut operation: impl FnMut(u64, &[u8])) {
    let mut slowest = Vec::new();
    let begin = Instant::now();
    for (i, element) in names.iter().enumerate() {
        let one = Instant::now();
        operation(i as u64, element);
        slowest.push(one.elapsed().as_nanos() as u64);
    }
    let each = begin.elapsed().as_nanos() as f64 / names.len() as f64;
    slowest.sort_unstable();
    let at = |share: f64| slowest[((slowest.len() - 1) as f64 * share) as usize] / 1000;
    println!("{name:28} {each:6.0} ns, 99.99 % below {} µs, slowest {} µs", at(0.9999), at(1.0));
}

fn main() {
    let names: Vec<Vec<u8>> = (0..ELEMENTS).map(|i| format!("element:{:07}", mix(i) % ELEMENTS).into_bytes()).collect();
    let mut random = {
        let mut state = 1;
        move || {
            state += 1;
            mix(state)
        }
    };

    let (mut hash, limits) = (Hash::new(), HashLimits::default());
    time_slowest("HSET, growing", &names, |_, name| {
        hash.set(name, b"value:12345678", FieldTtl::Clear, &limits);
    });
    time("HSET, there already", &names, |_, name| {
        hash.set(name, b"value:87654321", FieldTtl::Clear, &limits);
    });
    time("HGET", &names, |_, name| {
        black_box(hash.get(name));
    });

    let (mut set, limits) = (Set::new(), SetLimits::default());
    time_slowest("SADD, growing", &names, |_, name| {
        set.add(name, &limits);
    });
    time("SISMEMBER", &names, |_, name| {
        black_box(set.contains(Item::Bytes(name)));
    });
    time("SPOP of half", &names[..set.len() / 2], |_, _| {
        black_box(set.pop(&mut random, &mut |member| {
            black_box(member);
        }));
    });

    let (mut zset, limits) = (ZSet::new(), ZSetLimits::default());
    time_slowest("ZADD, growing", &names, |i, name| {
        zset.add(name, mix(i) as f64, &limits);
    });
    time("ZADD, other score", &names, |i, name| {
        zset.add(name, mix(i + 7) as f64, &limits);
    });
    time("ZSCORE", &names, |_, name| {
        black_box(zset.score(name));
    });
    time("ZRANK", &names, |_, name| {
        black_box(zset.rank(name));
    });
    time("ZRANGE 0 9", &names, |_, _| {
        zset.range(0, 10, false, &mut |member, score| {
            black_box((member, score));
        });
    });

    let (mut list, limits) = (List::new(), ListLimits::default());
    time_slowest("LPUSH", &names, |_, name| list.push_front(name, &limits));
    time("LPOP of half", &names[..list.len() / 2], |_, _| {
        list.pop_front(&limits, &mut |item| {
            black_box(item);
        });
    });
    time("RPOP of the rest", &names[..list.len()], |_, _| {
        list.pop_back(&limits, &mut |item| {
            black_box(item);
        });
    });

    let (mut stream, limits) = (Stream::new(), BlockLimits::default());
    time_slowest("XADD", &names, |i, name| {
        stream.add(StreamId { ms: 1_700_000_000_000 + i, seq: 0 }, &[(b"field", name)], &limits);
    });
    time("XRANGE, 10 from anywhere", &names, |i, _| {
        let (from, mut left) = (StreamId { ms: 1_700_000_000_000 + mix(i) % ELEMENTS, seq: 0 }, 10);
        stream.walk(from, StreamId::MAX, false, &mut |id, fields| {
            black_box((id, fields.len()));
            left -= 1;
            left > 0
        });
    });
}

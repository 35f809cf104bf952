//! What the collections weigh and how long they take: `cargo run --release -p pinyon-values --example footprint [name…]`.
//!
//! Builds each data set of the memory bars in a process of its own and prints, per element: bytes by the allocator's count, by
//! what the structure says of itself, by resident memory, and the time to build it. For a million small collections, which
//! would lie inside the keyspace's entries, it prints the bytes of the packed form as well.

use std::hint::black_box;
use std::time::Instant;

use pinyon_runtime::memory::{Counting, purge, resident_bytes, used_bytes};
use pinyon_values::hash::{FieldTtl, Hash, HashLimits};
use pinyon_values::list::{List, ListLimits};
use pinyon_values::set::{Set, SetLimits};
use pinyon_values::stream::{BlockLimits, Stream, StreamId};
use pinyon_values::zset::{ZSet, ZSetLimits};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const M: u64 = 1_000_000;

/// A data set: its name, how many elements, and how it is built.
struct Case {
    name: &'static str,
    elements: u64,
    run: fn(u64) -> Built,
}

/// What was built, what it says it weighs, and its packed bytes if it is many small ones.
struct Built {
    all: Box<dyn std::any::Any>,
    said: usize,
    packed: usize,
}

const CASES: &[Case] = &[
    Case {
        name: "hashes-of-10-texts",
        elements: M,
        run: |n| hashes(n, |j| format!("field{j}"), |i, j| format!("val{:05}", (i * 7 + j) % 100_000)),
    },
    Case {
        name: "hashes-of-10-integers",
        elements: M,
        run: |n| hashes(n, |j| format!("f{j}"), |i, j| ((i * 7919 + j * 31) % 100_000).to_string()),
    },
    Case { name: "sets-of-10-integers", elements: M, run: sets },
    Case { name: "set-of-strings", elements: 5 * M, run: set },
    Case { name: "hash-of-strings", elements: 5 * M, run: hash },
    Case { name: "zset-random-scores", elements: 5 * M, run: |n| zset(n, |i| (mix(i) >> 24) as f64 / 1e6) },
    Case { name: "zset-ascending-scores", elements: 5 * M, run: |n| zset(n, |i| i as f64) },
    Case { name: "list-item-n", elements: 10 * M, run: |n| list(n, |i| format!("item:{i}")) },
    Case { name: "list-integers", elements: 10 * M, run: |n| list(n, |i| i.to_string()) },
    Case { name: "stream", elements: 5 * M, run: stream },
    Case { name: "list-random-10-letters", elements: 10 * M, run: |n| list(n, letters) },
];

fn mix(i: u64) -> u64 {
    let x = (i ^ i >> 30).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

fn letters(i: u64) -> String {
    (0..10).map(|at| char::from(b'a' + (mix(i * 10 + at) % 26) as u8)).collect()
}

fn hashes(count: u64, field: impl Fn(u64) -> String, value: impl Fn(u64, u64) -> String) -> Built {
    let limits = HashLimits::default();
    let names: Vec<String> = (0..10).map(field).collect();
    let mut all = Vec::with_capacity(count as usize);
    for i in 0..count {
        let mut hash = Hash::new();
        for (j, name) in names.iter().enumerate() {
            hash.set(name.as_bytes(), value(i, j as u64).as_bytes(), FieldTtl::Clear, &limits);
        }
        all.push(hash);
    }
    let packed = |hash: &Hash| match hash {
        Hash::Packed(packed) => packed.as_bytes().len(),
        Hash::Table(_) => 0,
    };
    let said = all.iter().map(Hash::memory).sum::<usize>() + all.capacity() * size_of::<Hash>();
    Built { said, packed: all.iter().map(packed).sum(), all: Box::new(all) }
}

fn sets(count: u64) -> Built {
    let limits = SetLimits::default();
    let mut all = Vec::with_capacity(count as usize);
    for i in 0..count {
        let mut set = Set::new();
        for j in 0..10 {
            set.add((mix(i * 10 + j) % M).to_string().as_bytes(), &limits);
        }
        all.push(set);
    }
    let packed = |set: &Set| match set {
        Set::Ints(ints) => ints.as_bytes().len(),
        _ => 0,
    };
    let said = all.iter().map(Set::memory).sum::<usize>() + all.capacity() * size_of::<Set>();
    Built { said, packed: all.iter().map(packed).sum(), all: Box::new(all) }
}

fn set(count: u64) -> Built {
    let limits = SetLimits::default();
    let mut set = Set::new();
    for i in 0..count {
        set.add(format!("member:{i:07}").as_bytes(), &limits);
    }
    Built { said: set.memory(), packed: 0, all: Box::new(set) }
}

fn hash(count: u64) -> Built {
    let limits = HashLimits::default();
    let mut hash = Hash::new();
    for i in 0..count {
        let (field, value) = (format!("field:{i:08}"), format!("value:{:08}", mix(i) % 100_000_000));
        hash.set(field.as_bytes(), value.as_bytes(), FieldTtl::Clear, &limits);
    }
    Built { said: hash.memory(), packed: 0, all: Box::new(hash) }
}

fn zset(count: u64, score: impl Fn(u64) -> f64) -> Built {
    let limits = ZSetLimits::default();
    let mut zset = ZSet::new();
    for i in 0..count {
        zset.add(format!("member:{i:07}").as_bytes(), score(i), &limits);
    }
    let begin = Instant::now();
    const ASKED: u64 = 200_000;
    for i in 0..ASKED {
        black_box(zset.rank(format!("member:{:07}", mix(i) % count).as_bytes()));
    }
    println!("    a rank: {} ns", begin.elapsed().as_nanos() as u64 / ASKED);
    Built { said: zset.memory(), packed: 0, all: Box::new(zset) }
}

fn list(count: u64, element: impl Fn(u64) -> String) -> Built {
    let limits = ListLimits::default();
    let mut list = List::new();
    for i in 0..count {
        list.push_back(element(i).as_bytes(), &limits);
    }
    let begin = Instant::now();
    const ASKED: u64 = 20_000;
    for i in 0..ASKED {
        list.get((mix(i) % count) as usize, &mut |item| {
            black_box(item);
        });
    }
    println!("    by a random index: {} ns", begin.elapsed().as_nanos() as u64 / ASKED);
    Built { said: list.memory(), packed: 0, all: Box::new(list) }
}

fn stream(count: u64) -> Built {
    let limits = BlockLimits::default();
    let mut stream = Stream::new();
    for i in 0..count {
        let (sensor, value) = (format!("s{}", i % 1000), ((i * 7919) % 10_000).to_string());
        let fields: [(&[u8], &[u8]); 2] = [(b"sensor", sensor.as_bytes()), (b"value", value.as_bytes())];
        stream.add(StreamId { ms: 1_700_000_000_000 + 3 * i, seq: 0 }, &fields, &limits);
    }
    Built { said: stream.memory(), packed: 0, all: Box::new(stream) }
}

fn measure(case: &Case) {
    let (used, resident) = (used_bytes(), resident_bytes());
    let begin = Instant::now();
    let built = (case.run)(case.elements);
    let ns = begin.elapsed().as_nanos() as f64 / case.elements as f64;
    purge();
    let each = |bytes: u64| bytes as f64 / case.elements as f64;
    println!(
        "{:24} {:7.2} bytes counted, {:7.2} said, {:7.2} resident, {:6.1} packed; built in {:5.0} ns each",
        case.name,
        each(used_bytes() - used),
        each(built.said as u64),
        each(resident_bytes() - resident),
        each(built.packed as u64),
        ns,
    );
    drop(black_box(built.all));
}

fn main() {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name] = wanted.as_slice()
        && flag == "--here"
    {
        return CASES.iter().filter(|case| case.name == name).for_each(measure);
    }
    if wanted.is_empty() {
        wanted = CASES.iter().map(|case| case.name.to_owned()).collect();
    }
    let own = std::env::current_exe().expect("the program's path");
    for name in wanted {
        let status = std::process::Command::new(&own).args(["--here", &name]).status().expect("it starts");
        assert!(status.success());
    }
}

//! Records of a run that never was: enough of everything that a report can show.

use std::collections::BTreeMap;

use pinyon_bench::peers::disturbance::Disturbance;
use pinyon_bench::peers::record::{
    Begin, Finish, LeftOut, Load, Machine, Memory, Record, Recovery, Round, Second, WorkloadRecord,
};

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn workload(name: &str, title: &str, kind: &str) -> WorkloadRecord {
    WorkloadRecord {
        name: name.to_owned(),
        title: title.to_owned(),
        about: format!("About {title}."),
        kind: kind.to_owned(),
        options: "connections 50\ncommand 1 GET key:{key}\n".to_owned(),
        ..WorkloadRecord::default()
    }
}

/// A round of two seconds with a CPU time per operation in microseconds.
fn round(workload: &str, server: &str, number: usize, ops_per_s: f64, cpu_us: f64, p999_us: f64) -> Round {
    let ops = (ops_per_s * 2.0) as u64;
    let histogram =
        vec![(p999_us / 10.0, ops * 98 / 100), (p999_us / 2.0, ops * 19 / 1000), (p999_us * 1.1, ops / 1000)];
    let second =
        |t: f64, ops| Second { t, ops, p50_us: 10.0, p99_us: 20.0 * t, p999_us, max_us: 50.0 * t, ..Second::default() };
    Round {
        workload: workload.to_owned(),
        server: server.to_owned(),
        round: number,
        server_cores: 1,
        generator_cores: 1,
        command_line: format!("{server}-server-9 --port 70{number} --save \"\""),
        load: Load {
            ops,
            seconds: 2.0,
            ops_per_s,
            p50_us: p999_us / 10.0,
            p99_us: p999_us / 2.0,
            p999_us,
            max_us: p999_us * 2.0,
            server_cpu_s: cpu_us * ops as f64 / 1e6,
            client_cpu_s: 1.98,
            histogram,
            series: vec![second(1.0, ops / 2), second(2.0, ops / 2), second(3.0, 0)],
            ..Load::default()
        },
        ..Round::default()
    }
}

fn disturbed(mut round: Round) -> Record {
    round.disturbance = Disturbance { other: 0.3, ..Disturbance::default() };
    Record::Round(Box::new(round))
}

fn quiet(round: Round) -> Record {
    Record::Round(Box::new(round))
}

fn memory(server: &str, full_bytes: u64) -> Record {
    Record::Memory(Memory {
        workload: "memory-strings-8".to_owned(),
        server: server.to_owned(),
        keys: 1000,
        full_bytes,
        key_bytes: 10.0,
        loaded_per_s: 5e5,
        ..Memory::default()
    })
}

/// Pinyon, valkey and redis over one workload of each kind.
pub fn records() -> Vec<Record> {
    let mut records = vec![Record::Begin(Begin {
        date: "2026-01-02".to_owned(),
        mode: "full".to_owned(),
        rounds: 2,
        machine: Machine {
            processor: "Some Processor".to_owned(),
            cores: 2,
            memory_bytes: 8 << 30,
            kernel: "6.1".to_owned(),
            system: "Some System".to_owned(),
            guest: true,
            settings: map(&[("vm.overcommit_memory", "1")]),
            file_system: "ext4".to_owned(),
        },
        versions: map(&[("pinyon", "0.1.0"), ("valkey", "9.1.2"), ("redis", "8.0.6")]),
        absent: map(&[("dragonfly", "no path to its binary was given")]),
    })];
    let closed = "get-p1";
    records.push(Record::Workload(workload(closed, "GET, unpipelined", "closed")));
    for number in [1, 2] {
        let more = number as f64 * 10_000.0;
        records.push(quiet(round(closed, "pinyon", number, 135_000.0 + more, 4.0, 300.0)));
        records.push(quiet(round(closed, "valkey", number, 85_000.0 + more, 8.0, 500.0)));
        records.push(disturbed(round(closed, "redis", number, 35_000.0 + more, 16.0, 900.0)));
    }
    let open = "open-get-p1";
    records.push(Record::Workload(workload(open, "Open loop: GET", "open")));
    records.push(quiet(round(open, "pinyon", 1, 50_000.0, 4.0, 900.0)));
    records.push(quiet(round(open, "valkey", 1, 50_000.0, 8.0, 1000.0)));
    let snapshot = "snapshot";
    records.push(Record::Workload(workload(snapshot, "While BGSAVE runs", "snapshot")));
    for (server, p999_us) in [("pinyon", 100.0), ("valkey", 200.0)] {
        let events = vec![(1.0, "save begins".to_owned()), (2.5, "save ends (ok)".to_owned())];
        records.push(quiet(Round { events, ..round(snapshot, server, 1, 20_000.0, 5.0, p999_us) }));
    }
    let missing = "leaderboard";
    records.push(Record::Workload(workload(missing, "Leaderboard", "closed")));
    records.push(Record::LeftOut(LeftOut {
        workload: missing.to_owned(),
        server: "pinyon".to_owned(),
        reason: "pinyon does not know ZADD yet".to_owned(),
    }));
    let shape = "memory-strings-8";
    let reasons = map(&[("redis", "it packs bits")]);
    let value_bytes = Some(8.0);
    records.push(Record::Workload(WorkloadRecord {
        reasons,
        value_bytes,
        ..workload(shape, "Memory: 8-byte strings", "memory")
    }));
    records.extend([memory("pinyon", 40_000), memory("valkey", 80_000), memory("redis", 20_000)]);
    let recovery = "recovery-log";
    records.push(Record::Workload(workload(recovery, "Recovery from the log", "recovery-log")));
    for (server, seconds) in [("pinyon", 0.5), ("valkey", 2.0)] {
        let (workload, server) = (recovery.to_owned(), server.to_owned());
        records.push(Record::Recovery(Recovery {
            workload,
            server,
            round: 1,
            keys: 1000,
            keys_before: 1000,
            seconds,
            ..Recovery::default()
        }));
    }
    let cores = "cores-get";
    records.push(Record::Workload(workload(cores, "Cores: GET", "scaling")));
    for (server, variant, serving, rate) in [
        ("pinyon", "hops", 1, 500_000.0),
        ("valkey", "", 1, 400_000.0),
        ("pinyon", "core ports", 2, 900_000.0),
        ("valkey", "", 2, 450_000.0),
    ] {
        let one = round(cores, server, 1, rate, 1e6 / rate, 500.0);
        let shared_cores = serving == 2;
        records.push(quiet(Round { variant: variant.to_owned(), server_cores: serving, shared_cores, ..one }));
    }
    records.push(Record::Finish(Finish { seconds: 600.0, repeated: 1 }));
    records
}

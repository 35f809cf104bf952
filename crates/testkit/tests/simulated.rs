//! The checker against a simulated server: nothing is found where nothing is wrong, and every fault is found.

use pinyon_testkit::serializability::{Fault, Mix, Settings, check, simulate};

fn settings(seed: u64, fault: Option<Fault>) -> Settings {
    Settings { seed, shards: 4, clients: 32, transactions: 20_000, mix: Mix::default(), fault }
}

#[test]
fn a_serial_server_is_proven() {
    for seed in 1..=20 {
        if let Err(anomalies) = check(&simulate(settings(seed, None))) {
            panic!("seed {seed}: {}", anomalies[0]);
        }
    }
}

/// Keys end more often here, and fewer clients overlap: some faults show only where keys come and go.
fn lively(seed: u64, fault: Option<Fault>) -> Settings {
    let mix = Mix { churn: 6, flush_one_in: 500, ..Mix::default() };
    Settings { clients: 10, mix, ..settings(seed, fault) }
}

#[test]
fn a_serial_server_with_lively_keys_is_proven() {
    for seed in 1..=20 {
        if let Err(anomalies) = check(&simulate(lively(seed, None))) {
            panic!("seed {seed}: {}", anomalies[0]);
        }
    }
}

#[test]
fn every_fault_is_found() {
    let mut missed = Vec::new();
    for fault in Fault::ALL {
        if (1..=5).all(|seed| check(&simulate(lively(seed, Some(fault)))).is_ok()) {
            missed.push(fault);
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

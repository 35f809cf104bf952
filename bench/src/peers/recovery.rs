//! How long a server takes until it is back with what it had: after being killed, out of its log, or out of a snapshot. And
//! the check whether it keeps anything at all, which a server must pass before figures of durable writes are taken of it.
//!
//! The files have just been written, so they are read out of the page cache; that is the same for all.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::campaign::{Campaign, START_MAX, said};
use super::generator::longest;
use super::record::{Record, Recovery};
use super::server::{Launch, Peer, Server};
use super::workload::{Kind, Workload};

/// Until a log that is synced once a second has what was written before.
const SYNCED_AFTER: Duration = Duration::from_millis(2_200);
const SAVE_MAX: Duration = Duration::from_secs(120);

pub fn run(campaign: &mut Campaign, workload: &Workload) -> Result<(), String> {
    campaign.describe(workload, &workload.runs(campaign.orders.quick).1, None)?;
    let rounds = if campaign.orders.quick { 1 } else { workload.rounds.unwrap_or(1) };
    for peer in campaign.orders.peers.clone() {
        match one(campaign, workload, &peer, rounds) {
            Ok(records) => {
                for record in records {
                    let (server, seconds, keys) = (&record.server, record.seconds, record.keys);
                    said(&format!(
                        "    {server:<10} {seconds:>6.2} s for {keys} keys of {} MiB",
                        record.file_bytes >> 20
                    ));
                    campaign.journal.add(Record::Recovery(record))?;
                }
            }
            Err(reason) => campaign.leave_out(workload, peer.kind, &reason)?,
        }
    }
    Ok(())
}

/// Loads one server and has it recover `rounds` times.
fn one(campaign: &Campaign, workload: &Workload, peer: &Peer, rounds: usize) -> Result<Vec<Recovery>, String> {
    let launch = campaign.launch(workload, peer.kind);
    let server = campaign.start(workload, peer, &launch)?;
    if workload.kind == Kind::RecoveryLog {
        let probe = Launch { folder: launch.folder.join("probe"), ..launch.clone() };
        check_durable(peer, &probe)?;
    }
    let options = workload.runs(campaign.orders.quick).1;
    let load = campaign.generator().run(&options, server.port, server.pid(), longest(&options))?;
    if load.errors > 0 {
        return Err(format!("{} errors while loading ({})", load.errors, load.error_texts.join("; ")));
    }
    let keys_before = server.keys()?;
    match workload.kind {
        Kind::RecoverySnapshot => save(&server)?,
        _ => thread::sleep(SYNCED_AFTER),
    }
    server.kill();
    let file_bytes = bytes_below(&launch.folder);
    let mut records = Vec::new();
    for round in 1..=rounds {
        let server = Server::start(peer, &launch, START_MAX)?;
        records.push(Recovery {
            workload: workload.name.clone(),
            server: peer.kind.name().to_owned(),
            round,
            keys: server.keys()?,
            keys_before,
            seconds: server.ready_after.as_secs_f64(),
            file_bytes,
            command_line: server.command_line.clone(),
        });
        server.kill();
    }
    let _ = fs::remove_dir_all(&launch.folder);
    let lost = records.iter().find(|record| record.keys != record.keys_before);
    match lost {
        Some(record) => Err(format!("came back with {} of {} keys", record.keys, record.keys_before)),
        None => Ok(records),
    }
}

fn save(server: &Server) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let mut client = server.client()?;
    let reply = client.call(&["BGSAVE"]).map_err(told)?;
    if reply.text().is_none() {
        return Err(format!("BGSAVE gave {reply:?}"));
    }
    let deadline = Instant::now() + SAVE_MAX;
    while client.info("persistence", "rdb_bgsave_in_progress").map_err(told)?.as_deref() == Some("1") {
        if Instant::now() > deadline {
            return Err(format!("BGSAVE took more than {} s", SAVE_MAX.as_secs()));
        }
        thread::sleep(Duration::from_millis(20));
    }
    match client.info("persistence", "rdb_last_bgsave_status").map_err(told)?.as_deref() {
        Some("ok") => Ok(()),
        other => Err(format!("BGSAVE ended with {other:?}")),
    }
}

/// Whether a key that was acknowledged is there after the server was killed. A server can take a directive and not heed it.
pub fn check_durable(peer: &Peer, launch: &Launch) -> Result<(), String> {
    let _ = fs::remove_dir_all(&launch.folder);
    let told = |error: std::io::Error| error.to_string();
    let server = Server::start(peer, launch, START_MAX)?;
    server.client()?.call(&["SET", "probe:durable", "kept"]).map_err(told)?;
    thread::sleep(SYNCED_AFTER);
    server.kill();
    let server = Server::start(peer, launch, START_MAX)?;
    let reply = server.client()?.call(&["GET", "probe:durable"]).map_err(told)?;
    server.kill();
    let _ = fs::remove_dir_all(&launch.folder);
    if reply.text() == Some("kept") {
        Ok(())
    } else {
        Err(format!("{} keeps nothing on disk yet: a key that it acknowledged was gone after a kill", peer.kind.name()))
    }
}

/// Bytes of all files in a folder and below.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of_entry = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.filter_map(|entry| Some(of_entry(entry.ok()?))).sum()
}
